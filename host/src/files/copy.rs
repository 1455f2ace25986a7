//! A copy the agent makes by itself, between a folder of this machine that it may touch and a guest.

use super::download::{Wanted, download};
use super::exclude::Exclude;
use super::landing::{Landing, Outcome, Policy};
use super::ledger::{Direction, Spec};
use super::local::{LocalTree, Reader};
use super::path::TreePath;
use super::plan::{self, Options, Plan, Step};
use super::session::Session;
use super::tree::{Entry, Item, Kind};
use super::upload::Upload;
use super::{Files, Report};
use crate::fault::{Fault, FaultKind};
use cap_fs_ext::DirExt;
use cap_std::fs::Dir;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;
use tokio::sync::mpsc;

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
        Direction::Pull => pull(&session, spec, (folder, name), &remote, &exclude, note).await,
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
    let (shown, wanted) = (spec.local.clone(), name.clone());
    let (tree, here) = blocking(move || read_source(folder, &wanted, &shown, &exclude)).await??;
    let is_folder = here.first().is_some_and(|entry| entry.path.is_top());
    let (base, here, there) = if is_folder {
        let there = match session.look(remote).await? {
            Some(found) if found.kind == Kind::Dir => session.walk(remote).await?,
            _ => Vec::new(),
        };
        (remote.to_vec(), here, there)
    } else {
        let (base, called) = around(remote)?;
        let there = session.list(&base, &TreePath::top()).await?;
        let file = here.into_iter().next().map(|entry| renamed(entry, &called)).transpose()?;
        (base, file.into_iter().collect(), there)
    };
    let options = Options { resume: spec.resume, delete: spec.delete && is_folder };
    let plan = plan::plan(&here, &there, options);
    let progress = Progress::new(&plan, note);
    let told = |octets, done| progress.add(octets, done);
    let (items, mut steps) = mpsc::channel(WAITING);
    let (planned, original) = (plan.steps, name);
    let reading = tokio::task::spawn_blocking(move || {
        // A single file is called by its own name here, whatever it is called there.
        let mut reader = Reader::new(&tree, planned);
        if !is_folder {
            reader = reader.called(&original);
        }
        for item in reader {
            if items.blocking_send(item).is_err() {
                return;
            }
        }
    });
    let mut upload = Upload::new(session, &base, &told);
    let mut ended = None;
    while let Some(item) = steps.recv().await {
        if let Err(fault) = upload.take(item).await {
            ended = Some(fault);
            break;
        }
    }
    // The reader ends when nobody takes its items any more.
    drop(steps);
    let _ = reading.await;
    match ended {
        Some(fault) => {
            upload.give_up().await;
            Err(fault)
        }
        None => {
            let outcome = upload.finish().await?;
            Ok(progress.report(outcome))
        }
    }
}

async fn pull(
    session: &Session,
    spec: &Spec,
    (folder, name): (Dir, OsString),
    remote: &[u8],
    exclude: &Exclude,
    note: &(dyn Fn(Report) + Send + Sync),
) -> Result<Report, Fault> {
    let found = session.look(remote).await?.ok_or_else(|| session.missing(remote))?;
    let is_folder = found.kind == Kind::Dir;
    let (base, here) = if is_folder {
        let mut here = session.walk(remote).await?;
        here.retain(|entry| !exclude.fits(&entry.path));
        (remote.to_vec(), here)
    } else {
        let (base, called) = around(remote)?;
        let listed = session.list(&base, &TreePath::top()).await?;
        let here = listed.into_iter().filter(|entry| entry.path.as_bytes() == called.as_bytes()).collect();
        (base, here)
    };
    let shown = spec.local.clone();
    let (top, there, here) = blocking(move || destination(folder, &name, &shown, is_folder, here)).await??;
    let options = Options { resume: spec.resume, delete: spec.delete && is_folder };
    let (plan, wanted_name) = (plan::plan(&here, &there, options), around(remote).map(|(_, name)| name));
    let progress = Progress::new(&plan, note);
    let (before, mut wanted, after) = split(plan.steps);
    // Locally a single file may have another name than on the guest.
    let local_name = (!is_folder).then(|| here.first().map(|entry| entry.path.clone())).flatten();
    if let (false, Ok(called)) = (is_folder, &wanted_name) {
        for one in &mut wanted {
            one.entry = renamed(one.entry.clone(), called)?;
        }
    }
    let (sender, mut items) = mpsc::channel(WAITING);
    let (to_disk, mut for_disk) = mpsc::channel::<Item>(WAITING);
    let policy = Policy { preserve: spec.preserve };
    let writing = tokio::task::spawn_blocking(move || {
        let mut landing = Landing::of(top, policy);
        let mut full = None;
        while let Some(item) = for_disk.blocking_recv() {
            if let Err(error) = landing.take(item) {
                full = Some(error);
                break;
            }
        }
        (landing.finish(), full)
    });
    let passing = async {
        let mut sent = before;
        for item in sent.drain(..) {
            if to_disk.send(item).await.is_err() {
                return;
            }
        }
        while let Some(item) = items.recv().await {
            let (octets, done) = match &item {
                Item::Octets(octets) => (octets.len() as u64, 0),
                Item::End(Some(_)) => (0, 1),
                _ => (0, 0),
            };
            let item = match (&local_name, item) {
                (Some(path), Item::File { entry, offset, length }) => {
                    Item::File { entry: Entry { path: path.clone(), ..entry }, offset, length }
                }
                (_, item) => item,
            };
            if to_disk.send(item).await.is_err() {
                return;
            }
            progress.add(octets, done);
        }
        for item in after {
            if to_disk.send(item).await.is_err() {
                return;
            }
        }
    };
    let (sent, ()) = tokio::join!(download(session, &base, wanted, sender), passing);
    drop(to_disk);
    let (outcome, full) = writing.await.map_err(|_| stopping())?;
    if let Some(full) = full {
        return Err(Fault::new(FaultKind::NoSpace, format!("{}: {full}", spec.local)));
    }
    sent?;
    Ok(progress.report(outcome))
}

/// A plan's steps for whoever fetches: what to do before, which files to ask for, and what to do after.
pub fn split(steps: Vec<Step>) -> (Vec<Item>, Vec<Wanted>, Vec<Item>) {
    let (mut before, mut wanted, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Remove(path) => before.push(Item::Remove(path)),
            Step::Make(entry) => before.push(Item::Entry(entry)),
            Step::Send(entry, offset) => wanted.push(Wanted { entry, offset }),
            Step::Attributes(entry) => after.push(Item::Attributes(entry)),
        }
    }
    (before, wanted, after)
}

fn read_source(
    folder: Dir,
    name: &OsStr,
    shown: &str,
    exclude: &Exclude,
) -> Result<(LocalTree, Vec<Entry>), Fault> {
    let failed = |error: super::local::LocalError| {
        Fault::new(FaultKind::FileFailed, format!("cannot be read: {error}"))
    };
    let around = LocalTree::of(folder.try_clone().map_err(io)?, Path::new(shown));
    let found = around.one(name).map_err(failed)?.ok_or_else(|| {
        Fault::new(FaultKind::NoSuchPath, format!("{shown}: nothing of that name is there"))
    })?;
    match found.kind {
        Kind::Dir => {
            let inner = folder.open_dir_nofollow(Path::new(name)).map_err(io)?;
            let tree = LocalTree::of(inner, Path::new(shown));
            let here = tree.list(&|path| exclude.fits(path)).map_err(failed)?;
            Ok((tree, here))
        }
        _ => Ok((around, vec![found])),
    }
}

/// The folder to write to, what is in it, and what shall be there.
fn destination(
    folder: Dir,
    name: &OsStr,
    shown: &str,
    is_folder: bool,
    here: Vec<Entry>,
) -> Result<(Dir, Vec<Entry>, Vec<Entry>), Fault> {
    let failed = |error: super::local::LocalError| Fault::new(FaultKind::FileFailed, error.to_string());
    if is_folder {
        match folder.create_dir(Path::new(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(io(error)),
            _ => {}
        }
        let top = folder.open_dir_nofollow(Path::new(name)).map_err(io)?;
        let there = LocalTree::of(top.try_clone().map_err(io)?, Path::new(shown)).list(&|_| false);
        return Ok((top, there.map_err(failed)?, here));
    }
    let there = LocalTree::of(folder.try_clone().map_err(io)?, Path::new(shown)).flat().map_err(failed)?;
    let here = here.into_iter().map(|entry| renamed(entry, name)).collect::<Result<_, _>>()?;
    Ok((folder, there, here))
}

fn io(error: std::io::Error) -> Fault {
    let kind = match super::local::code(&error) {
        "no-such-path" => FaultKind::NoSuchPath,
        "not-permitted" => FaultKind::NotPermitted,
        "no-space" => FaultKind::NoSpace,
        _ => FaultKind::FileFailed,
    };
    Fault::new(kind, error.to_string())
}

fn renamed(entry: Entry, name: &OsStr) -> Result<Entry, Fault> {
    let path = TreePath::top().join(name.as_bytes());
    let path = path.map_err(|error| Fault::new(FaultKind::InvalidParameter, error.to_string()))?;
    Ok(Entry { path, ..entry })
}

/// The folder around a path, and its name there.
pub fn around(path: &[u8]) -> Result<(Vec<u8>, OsString), Fault> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let slash = path.iter().rposition(|octet| *octet == b'/').unwrap_or(0);
    let name = path.get(slash + 1..).filter(|name| !name.is_empty() && *name != b"." && *name != b"..");
    let name = name.ok_or_else(|| {
        let text = format!("{} has no name of its own", super::path::escape(path));
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
