//! A session with the Chirp server of one guest, and what can be done in it. Everything a guest answers is checked by the
//! client underneath; refusals become [`Fault`]s that name guest and path.

use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use vocable_api::fault::{Fault, FaultKind};
use vocable_chirp::client::{Client, Error};
use vocable_chirp::proto::{self, Code, Flags, Meta};
use vocable_copy::path::{TreePath, escape, split_parent};
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

    /// A folder with its time in nanoseconds, which only the listing of the folder around it tells.
    pub(super) async fn exact(&self, path: &[u8]) -> Option<Entry> {
        let (folder, name) = split_parent(path)?;
        let listed = self.list(folder, &TreePath::top()).await.ok()?;
        listed.into_iter().find(|entry| entry.path == name)
    }

    /// Writes a small file: whole, or not at all. A link of that name is replaced, and a folder is not.
    pub(crate) async fn put(
        &self,
        path: &[u8],
        meta: Meta,
        content: &[u8],
        digest: [u8; 32],
    ) -> Result<(), Fault> {
        let put = self.client.vput_known(path, meta, content, digest).await;
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

    /// Reads a part of a file, which is not longer than that.
    pub(crate) async fn read(&self, path: &[u8], offset: u64, length: u64) -> Result<Bytes, Fault> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let handle = self.open(path).await?;
        let read = self.client.pread(handle, length, offset).await;
        let closed = self.client.close(handle).await;
        let bytes = read.map_err(|error| self.fault(error, path))?;
        closed.map_err(|error| self.fault(error, path))?;
        Ok(bytes)
    }

    /// Writes into a file that is there, or a new one; without an offset at its end. It is on the disk then.
    pub(crate) async fn write_into(
        &self,
        path: &[u8],
        mode: u32,
        offset: Option<u64>,
        data: Bytes,
    ) -> Result<(), Fault> {
        let failed = |error| self.fault(error, path);
        let flags = Flags { read: true, write: true, create: true, ..Flags::default() };
        let (handle, _) = self.client.open(path, flags, mode).await.map_err(failed)?;
        let written = async {
            let offset = match offset {
                Some(offset) => offset,
                None => self.client.fstat(handle).await.map_err(failed)?.size,
            };
            self.write(handle, data, offset, path).await?;
            self.client.fsync(handle).await.map_err(failed)
        };
        let written = written.await;
        self.client.close(handle).await.map_err(failed)?;
        written?;
        self.sync().await
    }

    /// Writes to an open file, all of it; `path` is for messages.
    pub(crate) async fn write(
        &self,
        handle: Handle,
        data: Bytes,
        offset: u64,
        path: &[u8],
    ) -> Result<(), Fault> {
        let length = data.len() as u64;
        match self.client.pwrite(handle, data, offset).await {
            Ok(written) if written == length => Ok(()),
            Ok(_) => {
                let text = format!("{}: written in part only", self.shown(path));
                Err(Fault::new(FaultKind::FileFailed, text))
            }
            Err(error) => Err(self.fault(error, path)),
        }
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

    /// Makes the folders that a path is in, as far as they are missing.
    pub(crate) async fn make_parents(&self, path: &[u8], mode: u32) -> Result<(), Fault> {
        let slashes = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for parent in slashes.filter_map(|at| path.get(..at)) {
            // The roots themselves are there, and cannot be made.
            if self.look(parent).await?.is_none() {
                self.make_dir(parent, mode).await?;
            }
        }
        Ok(())
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
        Fault::new(FaultKind::NoSuchPath, format!("{}: no such file or directory", self.shown(path)))
    }

    /// `vm1:/data/x`
    pub(crate) fn shown(&self, path: &[u8]) -> String {
        format!("{}:{}", self.guest, escape(path))
    }
}
