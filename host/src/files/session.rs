//! A session with the Chirp server of one guest, and what can be done in it. Everything a guest answers is checked by the
//! client underneath; refusals become [`Fault`]s that name guest and path.

use super::path::{TreePath, escape};
use super::tree::{Entry, Kind};
use crate::fault::{Fault, FaultKind};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use vocable_chirp::client::{Client, Error};
use vocable_chirp::proto::{Code, Flags, Meta};

/// Folders that are listed at the same time.
const LISTED_AT_ONCE: usize = 16;
/// Files and folders of one tree on a guest: more is not copied in one go.
const MAX_ENTRIES: usize = 1_000_000;

/// A session. Clones share its connection; requests of all of them are on their way at the same time.
#[derive(Clone)]
pub struct Session {
    client: Client,
    guest: Arc<str>,
    /// Counts as one of the sessions this guest may have at a time.
    _place: Option<Arc<OwnedSemaphorePermit>>,
}

/// A file that is open on a guest.
pub type Handle = vocable_chirp::client::Fd;

impl Session {
    /// A session over a client that is logged in.
    pub fn new(client: Client, guest: &str, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { client, guest: guest.into(), _place: place.map(Arc::new) }
    }

    /// The guest.
    pub fn guest(&self) -> &str {
        &self.guest
    }

    /// The client underneath.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// What is at a path; nothing if there is nothing. Its time is exact to the second only.
    pub async fn look(&self, path: &[u8]) -> Result<Option<Entry>, Fault> {
        match self.client.lstat(path).await {
            Ok(stat) => {
                let kind = if stat.is_dir() {
                    Kind::Dir
                } else if stat.is_file() {
                    Kind::File(stat.size)
                } else if stat.is_link() {
                    let target = self.client.readlink(path).await.map_err(|error| self.fault(error, path))?;
                    Kind::Link(target)
                } else {
                    Kind::Other
                };
                let mtime = stat.mtime.saturating_mul(1_000_000_000);
                Ok(Some(Entry { path: TreePath::top(), kind, mode: stat.mode & 0o7777, mtime }))
            }
            Err(error) if error.code() == Some(Code::DoesntExist) => Ok(None),
            Err(error) => Err(self.fault(error, path)),
        }
    }

    /// What is in a folder, in the order of the names.
    pub async fn list(&self, folder: &[u8], at: &TreePath) -> Result<Vec<Entry>, Fault> {
        let listed = self.client.vlist(folder).await.map_err(|error| self.fault(error, folder))?;
        let mut entries = Vec::with_capacity(listed.len());
        for found in listed {
            // The client has checked the names; this also bounds the whole path.
            let path = at.join(found.name.as_bytes()).map_err(|error| {
                Fault::new(FaultKind::FileFailed, format!("{}: {error}", self.shown(folder)))
            })?;
            let kind = match found.kind {
                vocable_chirp::proto::Kind::Dir => Kind::Dir,
                vocable_chirp::proto::Kind::File => Kind::File(found.size),
                vocable_chirp::proto::Kind::Link => Kind::Link(found.target.unwrap_or_default()),
                vocable_chirp::proto::Kind::Other => Kind::Other,
            };
            let mtime = i64::try_from(found.meta.mtime_ns).unwrap_or_default();
            entries.push(Entry { path, kind, mode: found.meta.mode & 0o7777, mtime });
        }
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(entries)
    }

    /// Everything below a folder, the folder first, folders before what is in them.
    pub async fn walk(&self, base: &[u8]) -> Result<Vec<Entry>, Fault> {
        let mut top = self.look(base).await?.ok_or_else(|| self.missing(base))?;
        if top.kind != Kind::Dir {
            return Err(Fault::new(FaultKind::FileFailed, format!("{} is no folder", self.shown(base))));
        }
        if let Some(exact) = self.exact(base).await {
            top = exact;
        }
        let mut folders: BTreeMap<TreePath, Vec<Entry>> = BTreeMap::new();
        let mut waiting = vec![TreePath::top()];
        let mut listing = FuturesUnordered::new();
        let mut entries = 0;
        loop {
            while listing.len() < LISTED_AT_ONCE
                && let Some(folder) = waiting.pop()
            {
                listing.push(async move {
                    let found = self.list(&folder.below(base), &folder).await;
                    (folder, found)
                });
            }
            let Some((folder, found)) = listing.next().await else { break };
            let found = found?;
            entries += found.len();
            if entries > MAX_ENTRIES {
                let many = format!("{} has more than {MAX_ENTRIES} files and folders", self.shown(base));
                return Err(Fault::new(FaultKind::TooMany, many));
            }
            let inner = found.iter().filter(|entry| entry.kind == Kind::Dir).map(|entry| entry.path.clone());
            waiting.extend(inner);
            folders.insert(folder, found);
        }
        let mut all = vec![Entry { path: TreePath::top(), ..top }];
        gather(&mut folders, &TreePath::top(), &mut all);
        Ok(all)
    }

    /// A folder with its time in nanoseconds, which only the listing of the folder around it tells.
    async fn exact(&self, path: &[u8]) -> Option<Entry> {
        let slash = path.iter().rposition(|octet| *octet == b'/')?;
        let (around, name) = (path.get(..slash.max(1))?, path.get(slash + 1..)?);
        let listed = self.list(around, &TreePath::top()).await.ok()?;
        listed.into_iter().find(|entry| entry.path.as_bytes() == name)
    }

    /// Writes a small file: whole, or not at all.
    pub async fn put(&self, path: &[u8], meta: Meta, octets: &[u8], digest: [u8; 32]) -> Result<(), Fault> {
        let put = self.client.vput_known(path, meta, octets, digest).await;
        put.map_err(|error| self.fault(error, path))
    }

    /// Reads a small file whole.
    pub async fn get(&self, path: &[u8], most: u64) -> Result<(Meta, Bytes), Fault> {
        let got = self.client.vget(path, most).await.map_err(|error| self.fault(error, path))?;
        Ok((got.meta, got.octets))
    }

    /// Opens a file to be read.
    pub async fn open(&self, path: &[u8]) -> Result<Handle, Fault> {
        let opened = self.client.open(path, Flags::READ, 0).await;
        opened.map(|(handle, _)| handle).map_err(|error| self.fault(error, path))
    }

    /// Opens a part to be written; from its beginning, or to be gone on with.
    pub async fn open_part(&self, path: &[u8], afresh: bool) -> Result<Handle, Fault> {
        let flags = Flags { read: true, write: true, create: afresh, truncate: afresh, ..Flags::default() };
        let opened = self.client.open(path, flags, 0o600).await;
        opened.map(|(handle, _)| handle).map_err(|error| self.fault(error, path))
    }

    /// Sets mode and time.
    pub async fn set(&self, path: &[u8], meta: Meta) -> Result<(), Fault> {
        self.client.vmeta(path, meta).await.map_err(|error| self.fault(error, path))
    }

    /// Makes a folder; one that is there already is fine.
    pub async fn make_dir(&self, path: &[u8], mode: u32) -> Result<(), Fault> {
        match self.client.mkdir(path, mode).await {
            Err(error) if error.code() == Some(Code::AlreadyExists) => {
                match self.look(path).await?.map(|found| found.kind) {
                    Some(Kind::Dir) => Ok(()),
                    _ => Err(self.fault(error, path)),
                }
            }
            made => made.map_err(|error| self.fault(error, path)),
        }
    }

    /// Removes what is there, with all that is in it; nothing is fine.
    pub async fn remove(&self, path: &[u8]) -> Result<(), Fault> {
        let removed = match self.client.unlink(path).await {
            Err(error) if error.code() == Some(Code::IsDirectory) => self.client.rmall(path).await,
            removed => removed,
        };
        match removed {
            Err(error) if error.code() == Some(Code::DoesntExist) => Ok(()),
            removed => removed.map_err(|error| self.fault(error, path)),
        }
    }

    /// What a guest has refused, or why it did not answer.
    pub fn fault(&self, error: Error, path: &[u8]) -> Fault {
        let kind = match error.code() {
            Some(Code::DoesntExist) => FaultKind::NoSuchPath,
            Some(Code::NotAuthorized | Code::NotAuthenticated) => FaultKind::NotPermitted,
            Some(Code::NoSpace) => FaultKind::NoSpace,
            Some(Code::AlreadyExists) => FaultKind::AlreadyExists,
            Some(Code::DigestMismatch) => FaultKind::DigestMismatch,
            Some(Code::TimedOut) => FaultKind::TimedOut,
            Some(Code::TooManyOpen | Code::TryAgain | Code::Busy) => FaultKind::TooMany,
            Some(_) => FaultKind::FileFailed,
            None => match &error {
                Error::Closed { .. } | Error::Broke(_) => FaultKind::GuestOffline,
                Error::Silent { .. } => FaultKind::TimedOut,
                Error::Digest { .. } => FaultKind::DigestMismatch,
                _ => FaultKind::FileFailed,
            },
        };
        let text = match error.code() {
            Some(code) => format!("{}: {code}", self.shown(path)),
            None => format!("{}: {error}", self.shown(path)),
        };
        Fault::new(kind, text)
    }

    /// There is nothing at a path.
    pub fn missing(&self, path: &[u8]) -> Fault {
        Fault::new(FaultKind::NoSuchPath, format!("{}: nothing of that name is there", self.shown(path)))
    }

    /// `vm1:/data/x`
    pub fn shown(&self, path: &[u8]) -> String {
        format!("{}:{}", self.guest, escape(path))
    }
}

/// Puts the listings of all folders into the order of one walk.
fn gather(folders: &mut BTreeMap<TreePath, Vec<Entry>>, folder: &TreePath, all: &mut Vec<Entry>) {
    for entry in folders.remove(folder).unwrap_or_default() {
        let inner = (entry.kind == Kind::Dir).then(|| entry.path.clone());
        all.push(entry);
        if let Some(inner) = inner {
            gather(folders, &inner, all);
        }
    }
}
