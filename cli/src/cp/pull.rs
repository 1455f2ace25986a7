//! From one guest to here. What a guest sends is hostile: see [`vocable_copy::landing`].

use super::meter::Meter;
use super::{Copied, CpArgs, Share, is_folder, local_failed, remote, since};
use crate::{CliError, human};
use bytes::BytesMut;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::fs;
use std::io;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use vocable_api::client::Client;
use vocable_copy::arrival::Arrival;
use vocable_copy::exclude::Exclude;
use vocable_copy::landing::{Failed, Full, Outcome, Policy};
use vocable_copy::listing::{Limits, Listing};
use vocable_copy::local::{LocalTree, code};
use vocable_copy::path::TreePath;
use vocable_copy::plan::Wanted;
use vocable_copy::plan::{self, Options, Plan, Refusal, Task};
use vocable_copy::tree::{Entry, Item, Kind, encode};

/// Bytes of one question for files.
const ASKED_AT_ONCE: usize = 4 << 20;

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
        let bad = |error: vocable_copy::path::BadPath| CliError::bad_argument(error.to_string());
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
    let folder = match remote::one(client, guest, path)?.ok_or_else(missing)? {
        Kind::Dir if !args.recursive => return Err(is_folder(&source)),
        Kind::Dir => true,
        Kind::File(_) => false,
        Kind::Link(_) | Kind::Other => {
            return Err(CliError::new("file-failed", format!("{source} is neither a file nor a folder"))
                .hint("copy what the link leads to, or the folder it is in"));
        }
    };
    let work = if folder {
        whole_folder(client, guest, path, contents, into, args)?
    } else {
        one_file(client, guest, path, into, args)?
    };
    let plan = &work.plan;
    meter.expect(plan.octets);
    let outcome = transfer(client, guest, &work, args, meter)?;
    Ok(Copied {
        guest: guest.to_owned(),
        source,
        destination: work.shown.strip_prefix(".").unwrap_or(&work.shown).display().to_string(),
        is_folder: folder,
        outcome,
        skipped: plan.same,
        resumed: plan.resumed,
        took: since(started),
    })
}

/// What is to be done for one source.
struct Work {
    plan: Plan,
    /// The folder of the guest that is asked.
    base: String,
    /// The folder here that is written to.
    folder: PathBuf,
    /// What the one file is called there.
    called: Option<TreePath>,
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
    let here = remote::entries(client, guest, path, "walk", &exclude)?.unwrap_or_else(plan::nothing);
    let here = if contents { here.without_top() } else { here };
    let name = path.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty());
    let folder = if contents {
        into.path.clone()
    } else {
        let (around, name) = into.place(name.unwrap_or(guest), true)?;
        name.names().fold(around, |folder, name| folder.join(name))
    };
    match fs::create_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(&folder, &error)),
        Err(_) if !folder.is_dir() => {
            let text = Refusal::OntoOther.of(&folder.to_string_lossy());
            return Err(
                CliError::new(Refusal::OntoOther.code(), text).hint("remove it first, or name another place")
            );
        }
        _ => {}
    }
    let there = LocalTree::open(&folder).and_then(|tree| tree.list(&|path| exclude.fits(path)));
    let there = there.map_err(|error| local_failed(&error))?;
    let options = Options { resume: !args.no_resume, delete: args.delete };
    let plan = plan::plan(Arc::new(here), there, options);
    Ok(Work { plan, base: path.to_owned(), shown: folder.clone(), folder, called: None })
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
    let listed = remote::entries(client, guest, &base, "list", &Exclude::default())?;
    let (folder, local) = into.place(&name.to_string(), false)?;
    let here = listed.iter().flat_map(Listing::entries).filter(|entry| entry.path == name);
    let here = Listing::of(here.map(|entry| Entry { path: local.clone(), ..entry }), Limits::LOCAL);
    let here = here.map_err(|error| CliError::new("too-many", error.to_string()))?;
    let there =
        LocalTree::open(&folder).and_then(|tree| tree.flat()).map_err(|error| local_failed(&error))?;
    let options = Options { resume: !args.no_resume, delete: false };
    let plan = plan::plan(Arc::new(here), there, options);
    let shown = local.names().fold(folder.clone(), |folder, name| folder.join(name));
    Ok(Work { plan, base, folder, called: Some(name), shown })
}

fn transfer(
    client: &Client,
    guest: &str,
    work: &Work,
    args: &CpArgs,
    meter: &Meter,
) -> Result<Outcome, CliError> {
    let policy = Policy { preserve: args.preserve };
    let folder = Dir::open_ambient_dir(&work.folder, ambient_authority());
    let folder = folder.map_err(|error| failed(&work.folder, &error))?;
    let mut arrival = Arrival::new(&work.plan, folder, policy, work.called.clone());
    let mut wanted = wanted(work).peekable();
    let mut ended = Ok(());
    while wanted.peek().is_some() && ended.is_ok() {
        ended = fetch(client, guest, work, &mut request(&mut wanted).as_ref(), &mut arrival, meter)?;
    }
    if ended.is_ok() {
        ended = arrival.complete().map_err(full);
    }
    Ok(Outcome { ended: ended.err(), ..arrival.finish() })
}

/// The files that have to be sent.
fn wanted(work: &Work) -> impl Iterator<Item = Wanted> + '_ {
    work.plan.making().filter_map(|task| match task {
        Task::Send { from, entry, offset } => {
            let path = work.called.clone().unwrap_or(from);
            Some(Wanted { entry: Entry { path, ..entry }, offset })
        }
        _ => None,
    })
}

/// Takes what is sent for one request; the inner error says why it ended early.
fn fetch(
    client: &Client,
    guest: &str,
    work: &Work,
    lines: &mut dyn io::Read,
    arrival: &mut Arrival<'_>,
    meter: &Meter,
) -> Result<Result<(), Failed>, CliError> {
    let mut tree = remote::fetch(client, guest, &work.base, lines)?;
    loop {
        let item = match tree.next() {
            Ok(Some(item)) => item,
            Ok(None) => return Ok(Ok(())),
            Err(error) => {
                // Why the agent stopped, if it has said so.
                let told = arrival.outcome().failed.last().filter(|failed| failed.path.is_empty());
                let (code, message) = match told {
                    Some(failed) => (failed.code.clone(), failed.message.clone()),
                    None => (error.code().to_owned(), error.message().to_owned()),
                };
                return Ok(Err(Failed { path: String::new(), code, message }));
            }
        };
        if let Item::Octets(octets) = &item {
            meter.advance(octets.len() as u64);
        }
        if let Err(error) = arrival.take(item) {
            return Ok(Err(full(error)));
        }
    }
}

fn full(full: Full) -> Failed {
    Failed { code: "no-space".into(), message: full.to_string(), path: full.path }
}

/// The lines that ask for files, as many as one request takes.
fn request(wanted: &mut Peekable<impl Iterator<Item = Wanted>>) -> BytesMut {
    let mut lines = BytesMut::new();
    while let Some(Wanted { entry, offset }) = wanted.next_if(|_| lines.len() < ASKED_AT_ONCE) {
        // Asked for are bytes from an offset on: none come with the question.
        encode(&Item::File { entry, offset, length: 0 }, &mut lines);
    }
    encode(&Item::Done, &mut lines);
    lines
}

fn failed(path: &Path, error: &io::Error) -> CliError {
    CliError::new(code(error), format!("{} cannot be written to", path.display())).cause(human::io(error))
}
