//! A guest's files for the copy engine, which blocks: over a session, on a thread of the engine's own. And the copies that
//! the agent makes by itself, between a folder of this machine that it may touch and a guest.

use super::Files;
use super::download::{download, ended};
use super::session::Session;
use super::upload::upload;
use super::walk::Walk;
use crate::agent::store::{Report, Spec};
use cap_fs_ext::DirExt;
use cap_std::fs::Dir;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::file::Direction;
use vocable_copy::exclude::Exclude;
use vocable_copy::local::LocalTree;
use vocable_copy::path::TreePath;
use vocable_copy::plan::{Plan, Refusal, Wanted};
use vocable_copy::pull::What;
use vocable_copy::remote::{Depth, Items};
use vocable_copy::tree::{Item, Kind};
use vocable_copy::{Copied, CopyError, Outcome, Progress, Remote, Settings, Source};

/// Items that wait between the disk and the network.
const WAITING: usize = 64;

/// Takes how far a copy is.
pub(crate) type OnProgress = Arc<dyn Fn(Report) + Send + Sync>;

/// Copies what a transfer wants. If nobody waits for the end of it any more it stops.
pub(super) async fn copy(files: &Files, spec: &Spec, on_progress: OnProgress) -> Result<Report, Fault> {
    let path = files.remote(&spec.guest, spec.remote.as_bytes()).await?;
    let session = files.session(&spec.guest).await?;
    let (folder, name) = files.local(&spec.local)?;
    let exclude = Exclude::new(&spec.exclude)
        .map_err(|error| Fault::new(FaultKind::InvalidParameter, error.to_string()))?;
    let Spec { resume, delete, preserve, .. } = *spec;
    let settings = Settings { exclude, resume, delete, preserve };
    let progress = Arc::new(CopyProgress { report: Mutex::default(), on_progress });
    let stop = CancellationToken::new();
    let _stopped_with_this = stop.clone().drop_guard();
    let remote = SessionRemote { session, runtime: Handle::current(), stop, progress: Arc::clone(&progress) };
    let (local, direction) = (PathBuf::from(&spec.local), spec.direction);
    let copied = spawn_blocking(move || match direction {
        Direction::Push => push(&remote, folder, &name, &local, &path, &settings),
        Direction::Pull => pull(&remote, folder, &name, &local, &path, &settings),
    });
    let Copied { outcome, .. } = copied.await.map_err(|_| stopping())?.map_err(fault)?;
    if let Some(ended) = outcome.ended {
        return Err(Fault::new(kind(&ended.code), ended.message));
    }
    let report = progress.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Report { files: outcome.files, bytes: outcome.bytes, outcome, ..report })
}

fn push(
    remote: &SessionRemote,
    folder: Dir,
    name: &OsStr,
    local: &Path,
    path: &[u8],
    settings: &Settings,
) -> Result<Copied, CopyError<Fault>> {
    let parent = LocalTree::of(folder, local.parent().unwrap_or(local));
    let source = Source::read(parent, name, &settings.exclude)?;
    let source = source.ok_or_else(|| CopyError::Missing(local.display().to_string()))?;
    vocable_copy::push(remote, &source, path, settings)
}

fn pull(
    remote: &SessionRemote,
    folder: Dir,
    name: &OsStr,
    local: &Path,
    path: &[u8],
    settings: &Settings,
) -> Result<Copied, CopyError<Fault>> {
    let what = match remote.stat(path).map_err(CopyError::Remote)? {
        None => return Err(CopyError::Missing(remote.shown(path))),
        Some(Kind::Dir) => What::Folder,
        Some(_) => What::File(name),
    };
    let write = |source: io::Error| match source.kind() {
        io::ErrorKind::NotADirectory => CopyError::Occupied(Refusal::OntoOther, local.display().to_string()),
        _ => CopyError::Write { path: local.to_owned(), source },
    };
    let open = || {
        if what != What::Folder {
            return Ok(folder);
        }
        match folder.create_dir(name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(write(error)),
            _ => folder.open_dir_nofollow(name).map_err(write),
        }
    };
    vocable_copy::pull(remote, path, what, open, local, settings)
}

fn fault(error: CopyError<Fault>) -> Fault {
    let kind = error.code().map_or(FaultKind::FileFailed, kind);
    match error {
        CopyError::Remote(fault) => fault,
        error => Fault::new(kind, error.to_string()),
    }
}

/// The kind of a failure by its slug; those that only the file system tells apart are one.
fn kind(slug: &str) -> FaultKind {
    FaultKind::ALL.iter().copied().find(|kind| kind.slug() == slug).unwrap_or(FaultKind::FileFailed)
}

fn stopping() -> Fault {
    Fault::new(FaultKind::Stopping, "the host agent is stopping")
}

/// How far a copy is.
struct CopyProgress {
    report: Mutex<Report>,
    on_progress: OnProgress,
}

impl CopyProgress {
    fn change(&self, change: impl FnOnce(&mut Report)) {
        let report = {
            let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut report);
            report.clone()
        };
        (self.on_progress)(report);
    }
}

impl Progress for CopyProgress {
    fn planned(&self, plan: &Plan) {
        self.change(|report| {
            (report.total_files, report.total_bytes) = (plan.files, plan.bytes);
            (report.skipped, report.resumed_from) = (plan.same, plan.resumed);
        });
    }

    fn advanced(&self, bytes: u64, files: u64) {
        self.change(|report| {
            report.bytes += bytes;
            report.files += files;
        });
    }
}

/// A guest's files over a session, until it is stopped.
struct SessionRemote {
    session: Session,
    runtime: Handle,
    stop: CancellationToken,
    progress: Arc<CopyProgress>,
}

impl SessionRemote {
    fn wait<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let work = self.stop.run_until_cancelled(work);
        self.runtime.block_on(work).unwrap_or_else(|| Err(stopping()))
    }

    fn blocking(&self, mut items: BoxStream<'static, Item>) -> Items<'_> {
        Box::new(std::iter::from_fn(move || {
            let next = self.wait(async { Ok(items.next().await) });
            next.unwrap_or_else(|fault| Some(ended(fault)))
        }))
    }
}

impl Remote for SessionRemote {
    type Error = Fault;

    fn stat(&self, path: &[u8]) -> Result<Option<Kind>, Fault> {
        Ok(self.wait(self.session.look(path))?.map(|found| found.kind))
    }

    fn list(&self, folder: &[u8], depth: Depth) -> Result<Option<Items<'_>>, Fault> {
        let items = self.wait(async {
            Ok(match depth {
                Depth::Children => {
                    let found = self.session.list(folder, &TreePath::top()).await?;
                    stream::iter(found.into_iter().map(Item::Entry).chain([Item::Done])).boxed()
                }
                Depth::Tree => Walk::begin(&self.session, folder).await?.into_items(),
            })
        });
        match items {
            Err(fault) if fault.kind == FaultKind::NoSuchPath => Ok(None),
            items => Ok(Some(self.blocking(items?))),
        }
    }

    fn put(&self, folder: &[u8], items: &mut dyn Iterator<Item = Item>) -> Result<Outcome, Fault> {
        let (sender, mut for_guest) = mpsc::channel(WAITING);
        let (session, folder, stop) = (self.session.clone(), folder.to_owned(), self.stop.clone());
        let progress = Arc::clone(&self.progress);
        // Beside the reading of the disk.
        let sending = AbortOnDropHandle::new(self.runtime.spawn(async move {
            let mut items = stream::poll_fn(move |context| for_guest.poll_recv(context)).map(Ok).boxed();
            stop.run_until_cancelled(upload(&session, &folder, &mut items, &*progress)).await
        }));
        // Whoever takes no more has a reason, which is in the outcome.
        for item in items {
            if sender.blocking_send(item).is_err() {
                break;
            }
        }
        drop(sender);
        self.wait(async { sending.await.ok().flatten().ok_or_else(stopping) })
    }

    fn get(&self, folder: &[u8], wanted: Vec<Wanted>) -> Result<Items<'_>, Fault> {
        let items = async { Ok(download(self.session.clone(), folder.to_owned(), wanted)) };
        Ok(self.blocking(self.wait(items)?))
    }

    fn shown(&self, path: &[u8]) -> String {
        self.session.shown(path)
    }

    fn progress(&self) -> &dyn Progress {
        &*self.progress
    }
}
