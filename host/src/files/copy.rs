//! A copy the agent makes by itself, between a folder of this machine that it may touch and a guest.

use super::download::download;
use super::ledger::{Direction, Spec};
use super::session::Session;
use super::upload::Upload;
use super::{Files, Report};
use cap_fs_ext::DirExt;
use cap_std::fs::Dir;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use vocable_api::fault::{Fault, FaultKind};
use vocable_copy::arrival::Arrival;
use vocable_copy::exclude::Exclude;
use vocable_copy::landing::{Outcome, Policy};
use vocable_copy::listing::{Limits, Listing, ListingError};
use vocable_copy::local::{LocalTree, Reader};
use vocable_copy::path::{BadPath, TreePath};
use vocable_copy::plan::Wanted;
use vocable_copy::plan::{self, Options, Plan, Refusal, Task};
use vocable_copy::tree::{Entry, Item, Kind};

/// Items that wait between the disk and the network.
const WAITING: usize = 64;

pub(super) async fn copy(
    files: &Files,
    spec: &Spec,
    note: &(dyn Fn(Report) + Send + Sync),
) -> Result<Report, Fault> {
    let remote = files.remote(&spec.guest, spec.remote.as_bytes()).await?;
    let session = files.session(&spec.guest).await?;
    let (folder, name) = files.local(&spec.local)?;
    let exclude = Exclude::new(&spec.exclude)
        .map_err(|error| Fault::new(FaultKind::InvalidParameter, error.to_string()))?;
    match spec.direction {
        Direction::Push => push(&session, spec, (folder, name), &remote, exclude, note).await,
        Direction::Pull => pull(&session, spec, (folder, name), &remote, exclude, note).await,
    }
}

async fn push(
    session: &Session,
    spec: &Spec,
    (folder, name): (Dir, OsString),
    remote: &[u8],
    exclude: Exclude,
    note: &(dyn Fn(Report) + Send + Sync),
) -> Result<Report, Fault> {
    let (shown, wanted, excluded) = (spec.local.clone(), name.clone(), exclude.clone());
    let (tree, here) = blocking(move || read_source(folder, &wanted, &shown, &excluded)).await??;
    let is_folder = here.has_top();
    let (base, here, there) = if is_folder {
        let there = match session.look(remote).await? {
            Some(found) if found.kind == Kind::Dir => session.walk(remote, &exclude).await?,
            Some(_) => return Err(onto(Refusal::OntoOther, &session.shown(remote))),
            None => plan::nothing(),
        };
        (remote.to_vec(), here, there)
    } else {
        let (base, called) = around(remote)?;
        (base.clone(), renamed(&here, &called)?, session.flat(&base).await?)
    };
    let options = Options { resume: spec.resume, delete: spec.delete && is_folder };
    let plan = Arc::new(plan::plan(Arc::new(here), there, options));
    let progress = Progress::new(&plan, note);
    let told = |octets, done| progress.add(octets, done);
    let mut upload = Upload::new(session, &base, &told);
    let sent = send(&mut upload, tree, (!is_folder).then_some(name), &plan).await;
    match sent {
        Err(fault) => {
            upload.give_up().await;
            Err(fault)
        }
        Ok(()) => {
            let mut outcome = upload.finish().await?;
            outcome.add_unplanned(&plan);
            Ok(progress.report(outcome))
        }
    }
}

/// Sends what a plan says. `called`: what a single file is called here, whatever it is called there.
async fn send(
    upload: &mut Upload<'_>,
    tree: LocalTree,
    called: Option<OsString>,
    plan: &Arc<Plan>,
) -> Result<(), Fault> {
    let (items, mut making) = mpsc::channel(WAITING);
    let planned = Arc::clone(plan);
    let reading = tokio::task::spawn_blocking(move || {
        let mut reader = Reader::new(&tree, planned.making());
        if let Some(name) = called {
            reader = reader.called(&name);
        }
        for item in reader {
            if items.blocking_send(item).is_err() {
                return;
            }
        }
    });
    let mut ended = Ok(());
    while let Some(item) = making.recv().await {
        ended = upload.take(item).await;
        if ended.is_err() {
            break;
        }
    }
    // The reader ends when nobody takes its items any more.
    drop(making);
    let _ = reading.await;
    ended?;
    if plan.replaces() && upload.settle().await? {
        for item in plan.replacing().filter_map(Task::into_item) {
            upload.take(item).await?;
        }
    }
    for item in plan.finishing().filter_map(Task::into_item) {
        upload.take(item).await?;
    }
    Ok(())
}

async fn pull(
    session: &Session,
    spec: &Spec,
    (folder, name): (Dir, OsString),
    remote: &[u8],
    exclude: Exclude,
    note: &(dyn Fn(Report) + Send + Sync),
) -> Result<Report, Fault> {
    let found = session.look(remote).await?.ok_or_else(|| session.missing(remote))?;
    let is_folder = found.kind == Kind::Dir;
    let (base, called, here) = if is_folder {
        (remote.to_vec(), None, session.walk(remote, &exclude).await?)
    } else {
        let (base, called) = around(remote)?;
        let listed = session.list(&base, &TreePath::top()).await?;
        let here = listed.into_iter().filter(|entry| entry.path.as_bytes() == called.as_bytes());
        let here = Listing::of(here, Limits::GUEST).map_err(|error| too_many(&error))?;
        (base, Some(TreePath::top().join(called.as_bytes()).map_err(|error| bad_path(&error))?), here)
    };
    let shown = spec.local.clone();
    let (top, there, here) =
        blocking(move || destination(folder, &name, &shown, is_folder.then_some(&exclude), here)).await??;
    let options = Options { resume: spec.resume, delete: spec.delete && is_folder };
    let plan = Arc::new(plan::plan(Arc::new(here), there, options));
    let progress = Progress::new(&plan, note);
    let wanted = plan.making().filter_map(|task| match task {
        Task::Send { from, entry, offset } => {
            let path = called.clone().unwrap_or(from);
            Some(Wanted { entry: Entry { path, ..entry }, offset })
        }
        _ => None,
    });
    let (sender, mut items) = mpsc::channel(WAITING);
    let (to_disk, mut for_disk) = mpsc::channel::<Item>(WAITING);
    let policy = Policy { preserve: spec.preserve };
    let (planned, called) = (Arc::clone(&plan), called.clone());
    let writing = tokio::task::spawn_blocking(move || {
        let mut arrival = Arrival::new(&planned, top, policy, called);
        let mut taken = Ok(());
        while let Some(item) = for_disk.blocking_recv()
            && taken.is_ok()
        {
            taken = arrival.take(item);
        }
        if arrival.is_done() && taken.is_ok() {
            taken = arrival.complete();
        }
        (arrival.finish(), taken)
    });
    let passing = async {
        while let Some(item) = items.recv().await {
            let (octets, done) = match &item {
                Item::Octets(octets) => (octets.len() as u64, 0),
                Item::End(Some(_)) => (0, 1),
                _ => (0, 0),
            };
            if to_disk.send(item).await.is_err() {
                return;
            }
            progress.add(octets, done);
        }
    };
    let (sent, ()) = tokio::join!(download(session, &base, wanted, sender), passing);
    drop(to_disk);
    let (outcome, taken) = writing.await.map_err(|_| stopping())?;
    if let Err(full) = taken {
        return Err(Fault::new(FaultKind::NoSpace, format!("{}: {full}", spec.local)));
    }
    sent?;
    Ok(progress.report(outcome))
}

fn read_source(
    folder: Dir,
    name: &OsStr,
    shown: &str,
    exclude: &Exclude,
) -> Result<(LocalTree, Listing), Fault> {
    let failed = |error: vocable_copy::local::LocalError| {
        Fault::new(FaultKind::FileFailed, format!("cannot be read: {error}"))
    };
    let around = LocalTree::of(folder.try_clone().map_err(|error| io(shown, &error))?, Path::new(shown));
    let found = around.one(name).map_err(failed)?;
    let found = found
        .ok_or_else(|| Fault::new(FaultKind::NoSuchPath, format!("{shown}: no such file or directory")))?;
    match found.kind {
        Kind::Dir => {
            let inner = folder.open_dir_nofollow(Path::new(name)).map_err(|error| io(shown, &error))?;
            let tree = LocalTree::of(inner, Path::new(shown));
            let here = tree.list(&|path| exclude.fits(path)).map_err(failed)?;
            Ok((tree, here))
        }
        _ => Ok((around, Listing::of([found], Limits::LOCAL).map_err(|error| too_many(&error))?)),
    }
}

/// The folder to write to, what is in it, and what shall be there. `exclude`: of a folder, what is not touched in it.
fn destination(
    folder: Dir,
    name: &OsStr,
    shown: &str,
    exclude: Option<&Exclude>,
    here: Listing,
) -> Result<(Dir, Listing, Listing), Fault> {
    let failed =
        |error: vocable_copy::local::LocalError| Fault::new(FaultKind::FileFailed, error.to_string());
    if let Some(exclude) = exclude {
        match folder.create_dir(Path::new(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(io(shown, &error));
            }
            _ => {}
        }
        let top = folder.open_dir_nofollow(Path::new(name)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotADirectory => onto(Refusal::OntoOther, shown),
            _ => io(shown, &error),
        })?;
        let inside = LocalTree::of(top.try_clone().map_err(|error| io(shown, &error))?, Path::new(shown));
        let there = inside.list(&|path| exclude.fits(path)).map_err(failed)?;
        return Ok((top, there, here));
    }
    let around = LocalTree::of(folder.try_clone().map_err(|error| io(shown, &error))?, Path::new(shown));
    let there = around.flat().map_err(failed)?;
    Ok((folder, there, renamed(&here, name)?))
}

fn onto(refusal: Refusal, shown: &str) -> Fault {
    Fault::new(FaultKind::FileFailed, refusal.of(shown))
}

fn too_many(error: &ListingError) -> Fault {
    Fault::new(FaultKind::TooMany, error.to_string())
}

fn bad_path(error: &BadPath) -> Fault {
    Fault::new(FaultKind::InvalidParameter, error.to_string())
}

fn io(shown: &str, error: &std::io::Error) -> Fault {
    let kind = match vocable_copy::local::code(error) {
        "no-such-path" => FaultKind::NoSuchPath,
        "not-permitted" => FaultKind::NotPermitted,
        "no-space" => FaultKind::NoSpace,
        _ => FaultKind::FileFailed,
    };
    Fault::new(kind, format!("{shown}: {error}"))
}

/// One file under another name.
fn renamed(listing: &Listing, name: &OsStr) -> Result<Listing, Fault> {
    let path = TreePath::top().join(name.as_bytes()).map_err(|error| bad_path(&error))?;
    let file = listing.entries().next().map(|entry| Entry { path, ..entry });
    Listing::of(file, Limits::LOCAL).map_err(|error| too_many(&error))
}

/// The folder around a path, and its name there.
pub(crate) fn around(path: &[u8]) -> Result<(Vec<u8>, OsString), Fault> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let slash = path.iter().rposition(|octet| *octet == b'/').unwrap_or(0);
    let name = path.get(slash + 1..).filter(|name| !name.is_empty() && *name != b"." && *name != b"..");
    let name = name.ok_or_else(|| {
        let text = format!("{} has no name of its own", vocable_copy::path::escape(path));
        Fault::new(FaultKind::InvalidParameter, text)
    })?;
    let folder = path.get(..slash.max(1)).unwrap_or(b"/");
    Ok((folder.to_vec(), OsStr::from_bytes(name).to_owned()))
}

/// How far it is, told as it goes.
struct Progress<'a> {
    report: Mutex<Report>,
    note: &'a (dyn Fn(Report) + Send + Sync),
}

impl<'a> Progress<'a> {
    fn new(plan: &Plan, note: &'a (dyn Fn(Report) + Send + Sync)) -> Self {
        let report = Report {
            total_files: plan.files,
            total_bytes: plan.octets,
            skipped: plan.same,
            resumed_from: plan.resumed,
            ..Report::default()
        };
        note(report.clone());
        Self { report: Mutex::new(report), note }
    }

    fn add(&self, octets: u64, files: u64) {
        let report = {
            let mut report = self.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            report.bytes += octets;
            report.files += files;
            report.clone()
        };
        (self.note)(report);
    }

    fn report(self, outcome: Outcome) -> Report {
        let report = self.report.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Report { files: outcome.files, bytes: outcome.bytes, outcome, ..report }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|_| stopping())
}

fn stopping() -> Fault {
    Fault::new(FaultKind::Stopping, "the host agent is stopping")
}
