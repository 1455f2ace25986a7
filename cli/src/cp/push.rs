//! From here to one guest.

use super::meter::Meter;
use super::{Copied, CpArgs, Share, is_folder, local_failed, remote, since};
use crate::CliError;
use bytes::{Buf as _, BytesMut};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use vocable_api::client::Client;
use vocable_copy::exclude::Exclude;
use vocable_copy::landing::Outcome;
use vocable_copy::listing::{Limits, Listing};
use vocable_copy::local::{self, LocalTree, Reader};
use vocable_copy::plan::{self, Options, Plan, Refusal, Task};
use vocable_copy::tree::{Entry, Item, Kind, encode};

/// Octets of one request: what is lost if its answer is, and read over if the guest's disk is full.
const OCTETS: u64 = 64 << 20;
/// Items of one request.
const ITEMS: u64 = 20_000;
/// Octets that are encoded at once.
const AHEAD: usize = 64 << 10;

/// Something to copy, listed once however many guests it goes to.
pub(super) struct Source {
    shown: String,
    name: OsString,
    is_folder: bool,
    tree: LocalTree,
    entries: Arc<Listing>,
    exclude: Exclude,
    /// Only what is in the folder: `dir/.`
    contents: bool,
}

impl Source {
    /// Lists it.
    pub(super) fn read(path: &Path, args: &CpArgs) -> Result<Self, CliError> {
        let text = path.to_string_lossy().into_owned();
        let contents = text == "." || text.ends_with("/.");
        let (parent, name) = local::parent_and_name(path).map_err(|error| local_failed(&error))?;
        let real = parent.join(&name);
        let is_dir = real.is_dir();
        if is_dir && !args.recursive {
            return Err(is_folder(&text));
        }
        let failed = |error| local_failed(&error);
        let exclude =
            Exclude::new(&args.exclude).map_err(|error| CliError::bad_argument(error.to_string()))?;
        if is_dir {
            let tree = LocalTree::open(&real).map_err(failed)?;
            let entries = Arc::new(tree.list(&|path| exclude.fits(path)).map_err(failed)?);
            return Ok(Self { shown: text, name, is_folder: true, tree, entries, exclude, contents });
        }
        let tree = LocalTree::open(&parent).map_err(failed)?;
        let entry = tree.one(&name).map_err(failed)?;
        let entry = entry
            .filter(|entry| matches!(entry.kind, Kind::File(_)))
            .ok_or_else(|| CliError::new("file-failed", format!("{text} is neither a file nor a folder")))?;
        let entries = Arc::new(listed([entry])?);
        Ok(Self { shown: text, name, is_folder: false, tree, entries, exclude, contents: false })
    }
}

fn listed(entries: impl IntoIterator<Item = Entry>) -> Result<Listing, CliError> {
    let listed = Listing::of(entries, Limits::LOCAL);
    listed.map_err(|error| CliError::new("too-many", error.to_string()))
}

/// Copies to one guest.
pub(super) fn push(
    client: &Client,
    guest: &str,
    sources: &[Source],
    path: &str,
    args: &CpArgs,
    meter: &Meter,
) -> Share {
    // Of several each goes into the folder, as of one with a slash behind it.
    let into = sources.len() > 1 || path.is_empty() || path.ends_with('/');
    sources.iter().map(|source| push_one(client, guest, source, path, into, args, meter)).collect()
}

fn push_one(
    client: &Client,
    guest: &str,
    source: &Source,
    path: &str,
    into: bool,
    args: &CpArgs,
    meter: &Meter,
) -> Result<Copied, CliError> {
    let started = Instant::now();
    let name = source.name.to_str().map(str::to_owned).ok_or_else(|| {
        CliError::bad_argument(format!("{} is no text; name it on the guest: {guest}:PATH", source.shown))
    });
    let exact = match path.strip_suffix("/.") {
        Some(folder) if source.contents => folder,
        _ => path,
    };
    let destination = match (source.contents, into) {
        (true, _) => exact.to_owned(),
        (false, true) => remote::join(exact, &name?),
        // A file that is copied onto a folder goes into it.
        (false, false) if !source.is_folder && is_remote_folder(client, guest, exact)? => {
            remote::join(exact, &name?)
        }
        (false, false) => exact.to_owned(),
    };
    let (base, entries, there, called) = if source.is_folder {
        let there = folder_there(client, guest, &destination, source)?;
        // A folder that is there keeps its own mode and time if only what is in it is copied.
        let entries = match &there {
            Some(_) if source.contents => Arc::new((*source.entries).clone().without_top()),
            _ => Arc::clone(&source.entries),
        };
        (destination.clone(), entries, there.unwrap_or_else(plan::nothing), None)
    } else {
        let (folder, name) = remote::around(&destination).ok_or_else(|| {
            CliError::bad_argument(format!("{} has no name of its own", remote::shown(guest, &destination)))
        })?;
        let there = remote::entries(client, guest, &folder, "list", &Exclude::default())?;
        let there = there.ok_or_else(|| missing_folder(guest, &folder))?;
        let file = source.entries.entries().map(|entry| Entry { path: name.clone(), ..entry });
        (folder, Arc::new(listed(file)?), there, Some(source.name.as_os_str()))
    };
    let options = Options { resume: !args.no_resume, delete: args.delete && source.is_folder };
    let plan = plan::plan(entries, there, options);
    meter.expect(plan.octets);
    let to = To { client, guest, base: &base, meter };
    let mut outcome = to.send_all(&source.tree, called, &plan)?;
    outcome.add_unplanned(&plan);
    Ok(Copied {
        guest: guest.to_owned(),
        source: source.shown.clone(),
        destination: remote::shown(guest, &destination),
        is_folder: source.is_folder,
        outcome,
        skipped: plan.same,
        resumed: plan.resumed,
        took: since(started),
    })
}

/// What is in the folder that a folder is copied to, if there is one.
fn folder_there(
    client: &Client,
    guest: &str,
    path: &str,
    source: &Source,
) -> Result<Option<Listing>, CliError> {
    match remote::one(client, guest, path)? {
        Some(Kind::Dir) => remote::entries(client, guest, path, "walk", &source.exclude),
        Some(_) => {
            let text = Refusal::OntoOther.of(&remote::shown(guest, path));
            Err(CliError::new(Refusal::OntoOther.code(), text).hint("remove it first, or name another place"))
        }
        None => match remote::around(path) {
            // One that is missing is told at once, and not with everything that would be in it.
            Some((folder, _)) if remote::one(client, guest, &folder)?.is_none() => {
                Err(missing_folder(guest, &folder))
            }
            _ => Ok(None),
        },
    }
}

fn missing_folder(guest: &str, folder: &str) -> CliError {
    CliError::new("no-such-path", format!("{} is not there", remote::shown(guest, folder)))
        .hint(format!("vocable ls {guest}:/"))
}

fn is_remote_folder(client: &Client, guest: &str, path: &str) -> Result<bool, CliError> {
    Ok(remote::one(client, guest, path)? == Some(Kind::Dir))
}

fn reader<'a>(
    tree: &'a LocalTree,
    called: Option<&OsStr>,
    tasks: impl Iterator<Item = Task> + 'a,
) -> Reader<'a> {
    let reader = Reader::new(tree, tasks);
    if let Some(name) = called { reader.called(name) } else { reader }
}

/// Where things are sent.
struct To<'a> {
    client: &'a Client,
    guest: &'a str,
    base: &'a str,
    meter: &'a Meter,
}

impl To<'_> {
    /// All that a plan says, as long as it goes well.
    fn send_all(&self, tree: &LocalTree, called: Option<&OsStr>, plan: &Plan) -> Result<Outcome, CliError> {
        let mut outcome = Outcome::default();
        if !plan.replaces() {
            self.send(reader(tree, called, plan.making().chain(plan.finishing())), &mut outcome)?;
            return Ok(outcome);
        }
        self.send(reader(tree, called, plan.making()), &mut outcome)?;
        if outcome.failures == 0 && outcome.ended.is_none() {
            self.send(reader(tree, called, plan.replacing()), &mut outcome)?;
        }
        if outcome.ended.is_none() {
            self.send(reader(tree, called, plan.finishing()), &mut outcome)?;
        }
        Ok(outcome)
    }

    /// In as many requests as it takes.
    fn send(&self, items: impl Iterator<Item = Item>, outcome: &mut Outcome) -> Result<(), CliError> {
        let mut items = items.peekable();
        while items.peek().is_some() && outcome.ended.is_none() {
            let mut body = Body::new(&mut items, self.meter);
            let sent = remote::put(self.client, self.guest, self.base, &mut body);
            add(outcome, sent?);
        }
        Ok(())
    }
}

/// Adds what came of one request to what came of those before.
fn add(outcome: &mut Outcome, more: Outcome) {
    outcome.files += more.files;
    outcome.bytes += more.bytes;
    outcome.failures += more.failures;
    outcome.failed.extend(more.failed);
    outcome.failed.truncate(100);
    outcome.ended = more.ended;
    outcome.sha256 = more.sha256.or(outcome.sha256.take());
}

/// Items as the body of one request, until that is long enough.
struct Body<'a, I: Iterator<Item = Item>> {
    items: &'a mut Peekable<I>,
    buffer: BytesMut,
    octets: u64,
    count: u64,
    ended: bool,
    meter: &'a Meter,
}

impl<'a, I: Iterator<Item = Item>> Body<'a, I> {
    fn new(items: &'a mut Peekable<I>, meter: &'a Meter) -> Self {
        Self { items, buffer: BytesMut::new(), octets: 0, count: 0, ended: false, meter }
    }

    fn fill(&mut self) {
        while self.buffer.len() < AHEAD && !self.ended {
            // A file's octets and its end belong to what was begun.
            let may_end = !matches!(self.items.peek(), Some(Item::Octets(_) | Item::End(_)));
            let long = self.octets >= OCTETS || self.count >= ITEMS;
            match self.items.next_if(|_| !(long && may_end)) {
                Some(item) => {
                    if let Item::Octets(octets) = &item {
                        self.octets += octets.len() as u64;
                        self.meter.advance(octets.len() as u64);
                    }
                    self.count += 1;
                    encode(&item, &mut self.buffer);
                }
                None => {
                    encode(&Item::Done, &mut self.buffer);
                    self.ended = true;
                }
            }
        }
    }
}

impl<I: Iterator<Item = Item>> Read for Body<'_, I> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.fill();
        let octets = out.len().min(self.buffer.len());
        self.buffer.split_to(octets).copy_to_slice(out.get_mut(..octets).unwrap_or_default());
        Ok(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Screen;
    use vocable_copy::path::TreePath;
    use vocable_copy::tree::Decoder;

    #[test]
    fn a_body_ends_between_two_files_and_says_that_it_is_whole() {
        let entry = |name: &str, size| Entry {
            path: TreePath::parse(name.as_bytes()).unwrap(),
            kind: Kind::File(size),
            mode: 0o644,
            mtime: 0,
        };
        let piece = vec![7; 1 << 20];
        let mut items = Vec::new();
        for name in ["a", "b"] {
            items.push(Item::File { entry: entry(name, 70 << 20), offset: 0, length: 70 << 20 });
            items.extend((0..70).map(|_| Item::Octets(piece.clone().into())));
            items.push(Item::End(Some([0; 32])));
        }
        let meter = Meter::new(&Screen::default().terminal(&[]));
        let mut items = items.into_iter().peekable();
        let mut bodies = 0;
        while items.peek().is_some() {
            let mut octets = Vec::new();
            Body::new(&mut items, &meter).read_to_end(&mut octets).unwrap();
            let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::from(octets.as_slice()));
            let mut files = 0;
            while let Some(item) = decoder.next(&mut buffer).unwrap() {
                files += usize::from(matches!(item, Item::File { .. }));
            }
            decoder.finish(&buffer).unwrap();
            assert_eq!(files, 1);
            bodies += 1;
        }
        assert_eq!(bodies, 2);
    }
}
