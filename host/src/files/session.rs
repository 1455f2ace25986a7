//! A session with the Chirp server of one guest, and what can be done in it. Everything a guest answers is checked by the
//! client underneath; refusals become [`Fault`]s that name guest and path.

use super::walk::Walk;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use vocable_api::fault::{Fault, FaultKind};
use vocable_chirp::client::{Client, Error};
use vocable_chirp::proto::{self, Code, Flags, Meta};
use vocable_copy::exclude::Exclude;
use vocable_copy::listing::{Limits, Listing};
use vocable_copy::path::{TreePath, escape};
use vocable_copy::plan::Refusal;
use vocable_copy::tree::{Entry, Kind};

/// A session. Clones share its connection; requests of all of them are on their way at the same time.
#[derive(Clone)]
pub(crate) struct Session {
    client: Client,
    guest: Arc<str>,
    /// Counts as one of the sessions this guest may have at a time.
    _place: Option<Arc<OwnedSemaphorePermit>>,
}

/// A file that is open on a guest.
pub(crate) type Handle = vocable_chirp::client::Fd;

impl Session {
    /// A session over a client that is logged in.
    pub(crate) fn new(client: Client, guest: &str, place: Option<OwnedSemaphorePermit>) -> Self {
        Self { client, guest: guest.into(), _place: place.map(Arc::new) }
    }

    /// The guest.
    pub(crate) fn guest(&self) -> &str {
        &self.guest
    }

    /// The client underneath.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// What is at a path; nothing if there is nothing. Its time is exact to the second only.
    pub(crate) async fn look(&self, path: &[u8]) -> Result<Option<Entry>, Fault> {
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
    pub(crate) async fn list(&self, folder: &[u8], at: &TreePath) -> Result<Vec<Entry>, Fault> {
        let below = |found: proto::Entry| {
            // The client has checked the names; this also bounds the whole path.
            let path = at.join(found.name.as_bytes()).map_err(|error| {
                Fault::new(FaultKind::FileFailed, format!("{}: {error}", self.shown(folder)))
            })?;
            Ok(Self::entry(path, found))
        };
        self.found(folder).await?.into_iter().map(below).collect()
    }

    /// The same without the paths.
    pub(super) async fn found(&self, folder: &[u8]) -> Result<Vec<proto::Entry>, Fault> {
        let mut found = self.client.vlist(folder).await.map_err(|error| self.fault(error, folder))?;
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// What was found, at that path.
    pub(super) fn entry(path: TreePath, found: proto::Entry) -> Entry {
        let kind = match found.kind {
            proto::Kind::Dir => Kind::Dir,
            proto::Kind::File => Kind::File(found.size),
            proto::Kind::Link => Kind::Link(found.target.unwrap_or_default()),
            proto::Kind::Other => Kind::Other,
        };
        let mtime = i64::try_from(found.meta.mtime_ns).unwrap_or_default();
        Entry { path, kind, mode: found.meta.mode & 0o7777, mtime }
    }

    /// Everything below a folder, the folder first, folders before what is in them.
    /// What is excluded is left out.
    pub(crate) async fn walk(&self, base: &[u8], exclude: &Exclude) -> Result<Listing, Fault> {
        let mut walk = Walk::begin(self, base).await?;
        let mut listing = Listing::new(Limits::GUEST);
        while let Some(entry) = walk.next().await? {
            self.add(base, &entry, exclude, &mut listing)?;
        }
        Ok(listing)
    }

    /// What is in a folder, and not what is in that.
    pub(crate) async fn flat(&self, base: &[u8]) -> Result<Listing, Fault> {
        let mut listing = Listing::new(Limits::GUEST);
        for entry in self.list(base, &TreePath::top()).await? {
            self.add(base, &entry, &Exclude::default(), &mut listing)?;
        }
        Ok(listing)
    }

    fn add(&self, base: &[u8], entry: &Entry, exclude: &Exclude, listing: &mut Listing) -> Result<(), Fault> {
        if exclude.fits(&entry.path) {
            listing.leave_out(&entry.path);
            return Ok(());
        }
        let added = listing.push(entry).map(drop);
        added.map_err(|error| Fault::new(FaultKind::TooMany, format!("{}: {error}", self.shown(base))))
    }

    /// A folder with its time in nanoseconds, which only the listing of the folder around it tells.
    pub(super) async fn exact(&self, path: &[u8]) -> Option<Entry> {
        let slash = path.iter().rposition(|octet| *octet == b'/')?;
        let (around, name) = (path.get(..slash.max(1))?, path.get(slash + 1..)?);
        let listed = self.list(around, &TreePath::top()).await.ok()?;
        listed.into_iter().find(|entry| entry.path.as_bytes() == name)
    }

    /// Writes a small file: whole, or not at all. A link of that name is replaced, and a folder is not.
    pub(crate) async fn put(
        &self,
        path: &[u8],
        meta: Meta,
        octets: &[u8],
        digest: [u8; 32],
    ) -> Result<(), Fault> {
        let put = self.client.vput_known(path, meta, octets, digest).await;
        put.map_err(|error| self.not_replaced(error, path))
    }

    /// Gives something another name; a file or link of that name is replaced.
    pub(crate) async fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), Fault> {
        self.client.rename(from, to).await.map_err(|error| self.not_replaced(error, to))
    }

    /// Waits until all new names of this connection are on the guest's disk, as what is in the files is. One older than
    /// that does what it can by itself.
    pub(crate) async fn sync(&self) -> Result<(), Fault> {
        match self.client.vsync().await {
            Err(error) if error.code() == Some(Code::InvalidRequest) => Ok(()),
            synced => synced.map_err(|error| self.fault(error, b"/")),
        }
    }

    /// Something did not get to its place.
    pub(crate) fn not_replaced(&self, error: Error, path: &[u8]) -> Fault {
        let refusal = match error.code() {
            Some(Code::IsDirectory) => Refusal::OntoFolder,
            Some(Code::IsPipe) => Refusal::OntoSpecial,
            _ => return self.fault(error, path),
        };
        Fault::new(FaultKind::FileFailed, refusal.of(&self.shown(path)))
    }

    /// Reads a small file whole.
    pub(crate) async fn get(&self, path: &[u8], most: u64) -> Result<(Meta, Bytes), Fault> {
        let got = self.client.vget(path, most).await.map_err(|error| self.fault(error, path))?;
        Ok((got.meta, got.bytes))
    }

    /// Opens a file to be read.
    pub(crate) async fn open(&self, path: &[u8]) -> Result<Handle, Fault> {
        let opened = self.client.open(path, Flags::READ, 0).await;
        opened.map(|(handle, _)| handle).map_err(|error| self.fault(error, path))
    }

    /// Opens a part to be written; from its beginning, or to be gone on with.
    pub(crate) async fn open_part(&self, path: &[u8], afresh: bool) -> Result<Handle, Fault> {
        let flags = Flags { read: true, write: true, create: afresh, truncate: afresh, ..Flags::default() };
        let opened = self.client.open(path, flags, 0o600).await;
        opened.map(|(handle, _)| handle).map_err(|error| self.fault(error, path))
    }

    /// Sets mode and time.
    pub(crate) async fn set(&self, path: &[u8], meta: Meta) -> Result<(), Fault> {
        self.client.vmeta(path, meta).await.map_err(|error| self.fault(error, path))
    }

    /// Makes a folder; one that is there already is fine.
    pub(crate) async fn make_dir(&self, path: &[u8], mode: u32) -> Result<(), Fault> {
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
    pub(crate) async fn remove(&self, path: &[u8]) -> Result<(), Fault> {
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
    pub(crate) fn fault(&self, error: Error, path: &[u8]) -> Fault {
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
    pub(crate) fn missing(&self, path: &[u8]) -> Fault {
        Fault::new(FaultKind::NoSuchPath, format!("{}: nothing of that name is there", self.shown(path)))
    }

    /// `vm1:/data/x`
    pub(crate) fn shown(&self, path: &[u8]) -> String {
        format!("{}:{}", self.guest, escape(path))
    }
}
