//! From one guest to here. What a guest sends is hostile: see [`crate::files::landing`].

use super::meter::Meter;
use super::{Copied, CpArgs, Share, is_folder, local_failed, remote, since};
use crate::cli::{CliError, human};
use crate::client::Client;
use crate::files::download::Wanted;
use crate::files::exclude::Exclude;
use crate::files::landing::{Failed, Landing, Outcome, Policy};
use crate::files::local::{LocalTree, code};
use crate::files::path::TreePath;
use crate::files::plan::{self, Options, shown};
use crate::files::split;
use crate::files::tree::{Entry, Item, Kind, encode};
use bytes::BytesMut;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where things go on this machine.
pub(super) struct Destination {
    path: PathBuf,
    /// Into that folder, under their own names.
    into: bool,
    /// It is a folder that is there: files go into it, a folder is the copy itself, so that the same line means the same
    /// when it is typed again.
    is_folder: bool,
}

impl Destination {
    /// From what was typed: of several guests each has a folder of its own, of several sources each goes into the folder.
    pub(super) fn new(path: &str, guest: Option<&str>, several: bool) -> Result<Self, CliError> {
        let base = PathBuf::from(path);
        let into = path.ends_with('/') || path == "." || path == ".." || path.ends_with("/.") || several;
        let Some(guest) = guest else { return Ok(Self { into, is_folder: base.is_dir(), path: base }) };
        let path = base.join(guest);
        fs::create_dir_all(&path).map_err(|error| failed(&path, &error))?;
        Ok(Self { path, into: true, is_folder: true })
    }

    /// The folder that something of that name goes to, and what it is called there.
    fn place(&self, name: &str, is_folder: bool) -> Result<(PathBuf, TreePath), CliError> {
        let bad = |error: crate::files::path::BadPath| CliError::bad_argument(error.to_string());
        if self.into || self.is_folder && !is_folder {
            return Ok((self.path.clone(), TreePath::top().join(name.as_bytes()).map_err(bad)?));
        }
        let name = self.path.file_name().ok_or_else(|| {
            CliError::bad_argument(format!("{} has no name of its own", self.path.display()))
        })?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let name = std::os::unix::ffi::OsStrExt::as_bytes(name);
        Ok((folder.unwrap_or(Path::new(".")).to_owned(), TreePath::top().join(name).map_err(bad)?))
    }
}

/// Copies from one guest.
pub(super) fn pull(
    client: &Client,
    guest: &str,
    paths: &[String],
    into: &Destination,
    args: &CpArgs,
    meter: &Meter,
) -> Share {
    paths.iter().map(|path| pull_one(client, guest, path, into, args, meter)).collect()
}

fn pull_one(
    client: &Client,
    guest: &str,
    path: &str,
    into: &Destination,
    args: &CpArgs,
    meter: &Meter,
) -> Result<Copied, CliError> {
    let started = Instant::now();
    let contents = path == "." || path.ends_with("/.");
    let path = path.strip_suffix("/.").unwrap_or(path);
    let source = remote::shown(guest, path);
    let missing = || {
        let error = CliError::new("no-such-path", format!("{source} is not there"));
        match remote::around(path) {
            Some((folder, _)) => error.hint(format!("vocable ls {guest}:{folder}")),
            None => error,
        }
    };
    let found = remote::entries(client, guest, path, "stat")?.ok_or_else(missing)?;
    let found = found.into_iter().next().ok_or_else(missing)?;
    let folder = match found.kind {
        Kind::Dir if !args.recursive => return Err(is_folder(&source)),
        Kind::Dir => true,
        Kind::File(_) => false,
        Kind::Link(_) | Kind::Other => {
            return Err(CliError::new("file-failed", format!("{source} is neither a file nor a folder"))
                .hint("copy what the link leads to, or the folder it is in"));
        }
    };
    let mut work = if folder {
        whole_folder(client, guest, path, contents, into, args)?
    } else {
        one_file(client, guest, path, into, args)?
    };
    meter.expect(work.plan.octets);
    let plan = std::mem::take(&mut work.plan);
    let outcome = transfer(client, guest, &work, plan.steps, args, meter)?;
    let mut all = outcome;
    for other in &plan.others {
        let what = format!("{} is neither a file nor a folder nor a link", shown(other));
        all.failed(other, "not-copied", what);
    }
    Ok(Copied {
        guest: guest.to_owned(),
        source,
        destination: work.shown.strip_prefix(".").unwrap_or(&work.shown).display().to_string(),
        is_folder: folder,
        outcome: all,
        skipped: plan.same,
        resumed: plan.resumed,
        took: since(started),
    })
}

/// What is to be done for one source.
struct Work {
    plan: plan::Plan,
    /// The folder of the guest that is asked.
    base: String,
    /// The folder here that is written to.
    folder: PathBuf,
    /// What the one file is called there and here.
    names: Option<(TreePath, TreePath)>,
    /// What it is called, all of it.
    shown: PathBuf,
}

fn whole_folder(
    client: &Client,
    guest: &str,
    path: &str,
    contents: bool,
    into: &Destination,
    args: &CpArgs,
) -> Result<Work, CliError> {
    let exclude = Exclude::new(&args.exclude).map_err(|error| CliError::bad_argument(error.to_string()))?;
    let mut here = remote::entries(client, guest, path, "walk")?.unwrap_or_default();
    here.retain(|entry| !(exclude.fits(&entry.path) || contents && entry.path.is_top()));
    let name = path.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty());
    let folder = if contents {
        into.path.clone()
    } else {
        let (around, name) = into.place(name.unwrap_or(guest), true)?;
        name.names().fold(around, |folder, name| folder.join(name))
    };
    match fs::create_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(&folder, &error)),
        _ => {}
    }
    let there = LocalTree::open(&folder).and_then(|tree| tree.list(&|_| false));
    let there = there.map_err(|error| local_failed(&error))?;
    let plan = plan::plan(&here, &there, Options { resume: !args.no_resume, delete: args.delete });
    Ok(Work { plan, base: path.to_owned(), shown: folder.clone(), folder, names: None })
}

fn one_file(
    client: &Client,
    guest: &str,
    path: &str,
    into: &Destination,
    args: &CpArgs,
) -> Result<Work, CliError> {
    let (base, name) = remote::around(path)
        .ok_or_else(|| CliError::bad_argument(format!("{guest}:{path} has no name of its own")))?;
    // Only a listing tells the time to the nanosecond.
    let listed = remote::entries(client, guest, &base, "list")?.unwrap_or_default();
    let (folder, local) = into.place(&name.to_string(), false)?;
    let here: Vec<_> = listed
        .into_iter()
        .filter(|entry| entry.path == name)
        .map(|entry| Entry { path: local.clone(), ..entry })
        .collect();
    let there =
        LocalTree::open(&folder).and_then(|tree| tree.flat()).map_err(|error| local_failed(&error))?;
    let plan = plan::plan(&here, &there, Options { resume: !args.no_resume, delete: false });
    let shown = local.names().fold(folder.clone(), |folder, name| folder.join(name));
    Ok(Work { plan, base, folder, names: Some((name, local)), shown })
}

fn transfer(
    client: &Client,
    guest: &str,
    work: &Work,
    steps: Vec<plan::Step>,
    args: &CpArgs,
    meter: &Meter,
) -> Result<Outcome, CliError> {
    let policy = Policy { preserve: args.preserve };
    let mut landing = Landing::open(&work.folder, policy).map_err(|error| failed(&work.folder, &error))?;
    let (before, wanted, after) = split(steps);
    let full = |error: crate::files::landing::Full, landing: Landing| {
        let ended = Failed { path: error.path.clone(), code: "no-space".into(), message: error.to_string() };
        Outcome { ended: Some(ended), ..landing.finish() }
    };
    for item in before {
        if let Err(error) = landing.take(item) {
            return Ok(full(error, landing));
        }
    }
    if !wanted.is_empty() {
        let mut ended = None;
        let mut tree = remote::fetch(client, guest, &work.base, &mut request(&wanted, work).as_ref())?;
        loop {
            let item = match tree.next() {
                Ok(Some(item)) => item,
                Ok(None) => break,
                Err(error) => {
                    // Why the agent stopped, if it has said so.
                    let told = landing.outcome().failed.last().filter(|failed| failed.path.is_empty());
                    let (code, message) = match told {
                        Some(failed) => (failed.code.clone(), failed.message.clone()),
                        None => (error.code().to_owned(), error.message().to_owned()),
                    };
                    ended = Some(Failed { path: String::new(), code, message });
                    break;
                }
            };
            if let Item::Octets(octets) = &item {
                meter.advance(octets.len() as u64);
            }
            if let Err(error) = landing.take(renamed(item, work)) {
                return Ok(full(error, landing));
            }
        }
        if let Some(ended) = ended {
            return Ok(Outcome { ended: Some(ended), ..landing.finish() });
        }
    }
    for item in after {
        if let Err(error) = landing.take(item) {
            return Ok(full(error, landing));
        }
    }
    Ok(landing.finish())
}

/// The lines that ask for files.
fn request(wanted: &[Wanted], work: &Work) -> BytesMut {
    let mut lines = BytesMut::new();
    for Wanted { entry, offset } in wanted {
        let path = work.names.as_ref().map_or_else(|| entry.path.clone(), |(there, _)| there.clone());
        let entry = Entry { path, ..entry.clone() };
        // Asked for are octets from an offset on: none come with the question.
        encode(&Item::File { entry, offset: *offset, length: 0 }, &mut lines);
    }
    encode(&Item::Done, &mut lines);
    lines
}

/// A file under the name that it shall have here.
fn renamed(item: Item, work: &Work) -> Item {
    match (item, &work.names) {
        (Item::File { entry, offset, length }, Some((_, here))) => {
            Item::File { entry: Entry { path: here.clone(), ..entry }, offset, length }
        }
        (item, _) => item,
    }
}

fn failed(path: &Path, error: &io::Error) -> CliError {
    CliError::new(code(error), format!("{} cannot be written to", path.display())).cause(human::io(error))
}
