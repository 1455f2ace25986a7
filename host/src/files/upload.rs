//! A stream of a tree on its way to a guest. Many small files are on their way at the same time, over one connection; a
//! large one goes into a part beside it, which becomes the file when its digest is right.

use super::session::{Handle, Session};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered, StreamExt};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use vocable_api::fault::{Fault, FaultKind};
use vocable_chirp::proto::{Code, Meta};
use vocable_copy::path::{TreePath, split_parent};
use vocable_copy::plan::{Refusal, SMALL, part_name, part_path};
use vocable_copy::tree::{Entry, Item, Kind};
use vocable_copy::{Failed, Outcome, Progress};

/// Requests on their way at the same time.
const AT_ONCE: usize = 64;
/// Bytes of a large file that are written with one request.
const CHUNK: usize = 512 << 10;
/// Bytes on their way at the same time.
const BYTES_AT_ONCE: usize = 4 << 20;

/// What becomes of a request that is on its way: of which path, where in the file, how many bytes it holds, and how it
/// ended.
type OnItsWay = BoxFuture<'static, (TreePath, u64, usize, Result<Ended, Fault>)>;

/// How a request ended.
enum Ended {
    /// A file is whole.
    File { bytes: u64, digest: [u8; 32] },
    /// A piece was written.
    Piece(u64),
    /// Something else was done.
    Other,
}

/// Does what items say below `base` of a guest, until they end or nothing else can succeed.
pub(crate) async fn upload(
    session: &Session,
    base: &[u8],
    items: &mut BoxStream<'_, Result<Item, Fault>>,
    progress: &(dyn Progress + Sync),
) -> Outcome {
    let mut upload = Upload::new(session, base, progress);
    let ended = loop {
        match items.next().await {
            None => break upload.sync().await.err(),
            Some(Ok(item)) => {
                if let Err(fault) = upload.take(item).await {
                    break Some(fault);
                }
            }
            Some(Err(fault)) => break Some(fault),
        }
    };
    let ended = ended.map(|fault| failed(&fault));
    Outcome { ended, ..upload.close_all().await }
}

fn failed(fault: &Fault) -> Failed {
    Failed { path: String::new(), code: fault.kind.slug().to_owned(), message: fault.message.clone() }
}

/// A tree on its way.
struct Upload<'a> {
    session: &'a Session,
    base: &'a [u8],
    on_their_way: FuturesUnordered<OnItsWay>,
    bytes: usize,
    file: Option<Sending>,
    /// Whatever still comes of this file is not wanted.
    skipping: Option<TreePath>,
    /// Folders that could not be made: what would be in them is not tried.
    lost: BTreeSet<TreePath>,
    outcome: Outcome,
    progress: &'a (dyn Progress + Sync),
}

/// A file whose bytes are coming.
enum Sending {
    Small {
        entry: Entry,
        bytes: BytesMut,
    },
    /// `gathered`: of the bytes before `at`, the last, which have not been sent. `lost`: what could not be written
    /// begins there. Pieces after it may have been.
    Large {
        entry: Entry,
        part: Vec<u8>,
        handle: Handle,
        at: u64,
        gathered: BytesMut,
        lost: Option<u64>,
    },
}

impl<'a> Upload<'a> {
    fn new(session: &'a Session, base: &'a [u8], progress: &'a (dyn Progress + Sync)) -> Self {
        Self {
            session,
            base,
            on_their_way: FuturesUnordered::new(),
            bytes: 0,
            file: None,
            skipping: None,
            lost: BTreeSet::new(),
            outcome: Outcome::default(),
            progress,
        }
    }

    /// Does what an item says, as soon as there is room.
    async fn take(&mut self, item: Item) -> Result<(), Fault> {
        let path = self.path_of(&item);
        if self.is_in_lost_folder(&path) {
            if matches!(item, Item::File { .. }) {
                self.close().await;
                self.skipping = Some(path);
            }
            return Ok(());
        }
        let is_folder = matches!(&item, Item::Entry(entry) if entry.kind == Kind::Dir);
        let done = match item {
            Item::Entry(entry) => self.make(entry).await,
            Item::File { entry, offset, length } => self.begin(entry, offset, length).await,
            Item::Bytes(bytes) => self.write(bytes).await?,
            Item::End(digest) => self.end(digest).await?,
            Item::Attributes(entry) => {
                // Whatever is still made in a folder would change its time.
                self.drain(0).await?;
                self.set(entry).await
            }
            Item::Remove(path) => {
                self.drain(0).await?;
                self.session.remove(&path.below(self.base)).await
            }
            Item::Replace { path, with } => {
                self.drain(0).await?;
                self.replace(&path, &with).await
            }
            Item::Failed { path, code, message } => {
                self.outcome.failed(&path, &code, message);
                Ok(())
            }
            Item::Done => Ok(()),
        };
        match done {
            Ok(()) => Ok(()),
            // Without the top there is nothing that anything could be in.
            Err(fault) if is_folder && path.is_top() => Err(fault),
            Err(fault) => {
                self.skipping = Some(path.clone());
                if is_folder {
                    self.lost.insert(path.clone());
                }
                self.failed(&path, fault)
            }
        }
    }

    /// Whether a folder that this would be in could not be made.
    fn is_in_lost_folder(&self, path: &TreePath) -> bool {
        !self.lost.is_empty() && path.upwards().skip(1).any(|folder| self.lost.contains(&folder))
    }

    /// Puts what was made beside its place in its place. What was there is moved away first, and removed last, so that one
    /// or the other is there whole whatever happens.
    async fn replace(&mut self, path: &TreePath, with: &TreePath) -> Result<(), Fault> {
        let (place, new) = (path.below(self.base), with.below(self.base));
        let old = beside(path, self.base, 1);
        if self.session.look(&new).await?.is_none() {
            return Err(self.session.missing(&new));
        }
        self.session.remove(&old).await?;
        self.session.rename(&place, &old).await?;
        if let Err(fault) = self.session.rename(&new, &place).await {
            self.session.rename(&old, &place).await?;
            return Err(fault);
        }
        self.session.sync().await?;
        self.session.remove(&old).await
    }

    /// Waits for all that is on its way and until the guest has it on its disk.
    async fn sync(&mut self) -> Result<(), Fault> {
        self.drain(0).await?;
        self.close().await;
        self.session.sync().await
    }

    /// Leaves it in a state that can be gone on from, and gives what came of it so far.
    async fn close_all(mut self) -> Outcome {
        while let Some((path, place, weight, ended)) = self.on_their_way.next().await {
            self.bytes -= weight;
            if ended.is_err() {
                self.is_lost(&path, place);
            }
        }
        self.close().await;
        self.outcome
    }

    async fn make(&mut self, entry: Entry) -> Result<(), Fault> {
        let path = entry.path.below(self.base);
        match &entry.kind {
            // For its owner only, until everything is in it and it gets its mode.
            Kind::Dir => match self.session.make_dir(&path, 0o700).await {
                Err(fault) if fault.kind == FaultKind::NoSuchPath && entry.path.is_top() => {
                    let (folder, _) = split_parent(&path).unwrap_or((&path, TreePath::top()));
                    Err(self.session.missing(folder))
                }
                Err(fault) if fault.kind == FaultKind::AlreadyExists => {
                    Err(self.refused(Refusal::OntoOther, &entry.path))
                }
                made => made,
            },
            Kind::Link(target) => {
                let (session, target) = (self.session.clone(), target.clone());
                let temporary = beside(&entry.path, self.base, 0);
                let meta = meta(&entry);
                self.send(entry.path, 0, 0, async move {
                    session.remove(&temporary).await?;
                    let failed = |error| session.fault(error, &path);
                    session.client().symlink(&target, &temporary).await.map_err(failed)?;
                    if let Err(error) = session.client().rename(&temporary, &path).await {
                        session.remove(&temporary).await?;
                        return Err(session.not_replaced(error, &path));
                    }
                    session.set(&path, meta).await?;
                    Ok(Ended::Other)
                })
                .await
            }
            Kind::File(_) | Kind::Other => {
                Err(Fault::new(FaultKind::InvalidParameter, "neither a folder nor a link".to_owned()))
            }
        }
    }

    /// Something of another kind is there.
    fn refused(&self, refusal: Refusal, path: &TreePath) -> Fault {
        let place = self.session.shown(&path.below(self.base));
        Fault::new(FaultKind::FileFailed, refusal.of(&place))
    }

    async fn begin(&mut self, entry: Entry, offset: u64, length: u64) -> Result<(), Fault> {
        let Kind::File(size) = entry.kind else { return Ok(()) };
        if offset > 0 && self.skipping.as_ref() == Some(&entry.path) {
            return Ok(());
        }
        self.skipping = None;
        match &self.file {
            // The next stretch of the same file.
            Some(Sending::Large { entry: same, at, .. }) if *same == entry && *at == offset => return Ok(()),
            Some(_) => self.close().await,
            None => {}
        }
        if size <= SMALL && offset == 0 && length == size {
            let capacity = usize::try_from(size).unwrap_or_default();
            self.file = Some(Sending::Small { entry, bytes: BytesMut::with_capacity(capacity) });
            return Ok(());
        }
        let part = part_path(&entry).map(|part| part.below(self.base));
        let part = part.ok_or_else(|| {
            Fault::new(FaultKind::InvalidParameter, "the top of a tree is a folder".to_owned())
        })?;
        let handle = self.session.open_part(&part, offset == 0).await?;
        self.file =
            Some(Sending::Large { entry, part, handle, at: offset, gathered: BytesMut::new(), lost: None });
        Ok(())
    }

    async fn write(&mut self, piece: Bytes) -> Result<Result<(), Fault>, Fault> {
        match &mut self.file {
            Some(Sending::Small { bytes, entry }) => {
                if (bytes.len() + piece.len()) as u64 > size(entry) {
                    return Ok(Err(too_much()));
                }
                bytes.extend_from_slice(&piece);
                Ok(Ok(()))
            }
            Some(Sending::Large { entry, at, gathered, .. }) => {
                if piece.len() as u64 > size(entry) - *at {
                    return Ok(Err(too_much()));
                }
                *at += piece.len() as u64;
                gathered.extend_from_slice(&piece);
                if gathered.len() >= CHUNK {
                    self.flush_chunk().await?;
                }
                Ok(Ok(()))
            }
            None if self.skipping.is_some() => Ok(Ok(())),
            None => Ok(Err(Fault::new(FaultKind::InvalidParameter, "data without a file".to_owned()))),
        }
    }

    /// Sends what has been gathered of a large file.
    async fn flush_chunk(&mut self) -> Result<(), Fault> {
        let Some(Sending::Large { entry, handle, at, part, gathered, .. }) = &mut self.file else {
            return Ok(());
        };
        let bytes = gathered.split().freeze();
        if bytes.is_empty() {
            return Ok(());
        }
        let (weight, length) = (bytes.len(), bytes.len() as u64);
        let (session, handle, offset, part) = (self.session.clone(), *handle, *at - length, part.clone());
        let path = entry.path.clone();
        let write = async move {
            session.write(handle, bytes, offset, &part).await?;
            Ok(Ended::Piece(length))
        };
        self.send(path, offset, weight, write).await
    }

    async fn end(&mut self, digest: Option<[u8; 32]>) -> Result<Result<(), Fault>, Fault> {
        self.flush_chunk().await?;
        let Some(digest) = digest else {
            // A stretch counts when it is written.
            self.drain(0).await?;
            return Ok(Ok(()));
        };
        match self.file.take() {
            None => Ok(Ok(())),
            Some(Sending::Small { entry, bytes }) => {
                let (session, path) = (self.session.clone(), entry.path.below(self.base));
                let (bytes, meta) = (bytes.freeze(), meta(&entry));
                let weight = bytes.len();
                if weight as u64 != size(&entry) {
                    return Ok(Err(too_little()));
                }
                let sent = self.send(entry.path, 0, weight, async move {
                    let length = bytes.len() as u64;
                    session.put(&path, meta, &bytes, digest).await?;
                    Ok(Ended::File { bytes: length, digest })
                });
                sent.await.map(|()| Ok(()))
            }
            Some(Sending::Large { entry, part, handle, at, gathered, lost }) => {
                let (again, beside) = (entry.clone(), part.clone());
                self.file = Some(Sending::Large { entry: again, part: beside, handle, at, gathered, lost });
                self.drain(0).await?;
                let is_whole = matches!(self.file, Some(Sending::Large { lost: None, .. }));
                let synced = if is_whole { self.session.client().fsync(handle).await } else { Ok(()) };
                self.close().await;
                if let Err(error) = synced {
                    return Ok(Err(self.session.fault(error, &entry.path.below(self.base))));
                }
                if !is_whole {
                    return Ok(Ok(()));
                }
                if at != size(&entry) {
                    return Ok(Err(too_little()));
                }
                let done = complete(self.session, self.base, &entry, &part, digest).await;
                if done.is_ok() {
                    self.outcome.files += 1;
                    self.outcome.sha256 = Some(hex::encode(digest));
                    self.progress.advanced(0, 1);
                }
                Ok(done)
            }
        }
    }

    async fn set(&mut self, entry: Entry) -> Result<(), Fault> {
        let (session, path) = (self.session.clone(), entry.path.below(self.base));
        let meta = meta(&entry);
        self.send(entry.path, 0, 0, async move {
            session.set(&path, meta).await?;
            Ok(Ended::Other)
        })
        .await?;
        // One after the other: a folder's time must not change by what is set in it.
        self.drain(0).await
    }

    /// Sends a request once there is room for it.
    async fn send(
        &mut self,
        path: TreePath,
        place: u64,
        weight: usize,
        request: impl Future<Output = Result<Ended, Fault>> + Send + 'static,
    ) -> Result<(), Fault> {
        while self.on_their_way.len() >= AT_ONCE || self.bytes > BYTES_AT_ONCE {
            self.one().await?;
        }
        self.bytes += weight;
        self.on_their_way.push(Box::pin(async move { (path, place, weight, request.await) }));
        Ok(())
    }

    /// Waits until so few requests are on their way.
    async fn drain(&mut self, left: usize) -> Result<(), Fault> {
        while self.on_their_way.len() > left {
            self.one().await?;
        }
        Ok(())
    }

    async fn one(&mut self) -> Result<(), Fault> {
        let Some((path, place, weight, ended)) = self.on_their_way.next().await else { return Ok(()) };
        self.bytes -= weight;
        match ended {
            Ok(Ended::File { bytes, digest }) => {
                self.outcome.files += 1;
                self.outcome.bytes += bytes;
                self.outcome.sha256 = Some(hex::encode(digest));
                self.progress.advanced(bytes, 1);
                Ok(())
            }
            Ok(Ended::Piece(bytes)) => {
                self.outcome.bytes += bytes;
                self.progress.advanced(bytes, 0);
                Ok(())
            }
            Ok(Ended::Other) => Ok(()),
            Err(fault) => {
                // Told once, not for each of its pieces.
                if self.is_lost(&path, place) && !is_fatal(&fault) {
                    Ok(())
                } else {
                    self.failed(&path, fault)
                }
            }
        }
    }

    /// Notes that a piece could not be written. Whether the same was so for another piece of that file.
    fn is_lost(&mut self, path: &TreePath, place: u64) -> bool {
        match &mut self.file {
            Some(Sending::Large { entry, lost, .. }) if entry.path == *path => {
                let before = lost.replace(lost.map_or(place, |lost| lost.min(place)));
                before.is_some()
            }
            _ => false,
        }
    }

    fn failed(&mut self, path: &TreePath, fault: Fault) -> Result<(), Fault> {
        self.outcome.failed(path, fault.kind.slug(), fault.message.clone());
        if is_fatal(&fault) { Err(fault) } else { Ok(()) }
    }

    /// What an item is about: bytes and ends about the file that was begun.
    fn path_of(&self, item: &Item) -> TreePath {
        match item {
            Item::Entry(entry) | Item::Attributes(entry) | Item::File { entry, .. } => entry.path.clone(),
            Item::Remove(path) | Item::Failed { path, .. } | Item::Replace { path, .. } => path.clone(),
            Item::Bytes(_) | Item::End(_) | Item::Done => match &self.file {
                Some(Sending::Small { entry, .. } | Sending::Large { entry, .. }) => entry.path.clone(),
                None => TreePath::top(),
            },
        }
    }

    async fn close(&mut self) {
        let Some(Sending::Large { handle, lost, .. }) = self.file.take() else { return };
        let client = self.session.client();
        if let Some(lost) = lost
            // A part is gone on with where it ends: it may have no holes.
            && let Err(error) = client.ftruncate(handle, lost).await
        {
            tracing::debug!(guest = self.session.guest(), "not cut off: {error}");
        }
        if let Err(error) = client.close(handle).await {
            tracing::debug!(guest = self.session.guest(), "not closed: {error}");
        }
    }
}

/// Makes the part the file, if it is what it should be.
async fn complete(
    session: &Session,
    base: &[u8],
    entry: &Entry,
    part: &[u8],
    digest: [u8; 32],
) -> Result<(), Fault> {
    let path = entry.path.below(base);
    let failed = |error| session.fault(error, part);
    let found = session.client().vhash(part, size(entry)).await.map_err(failed)?;
    if found != digest {
        // Nobody can go on with this.
        session.remove(part).await?;
        let text = format!(
            "{}: what arrived is not what was sent; the old file is still there",
            session.shown(&path)
        );
        return Err(Fault::new(FaultKind::DigestMismatch, text));
    }
    session.set(part, meta(entry)).await?;
    match session.client().rename(part, &path).await {
        Err(error) if error.code() == Some(Code::IsDirectory) => {
            // Nothing of this name can be gone on with as long as the folder is there.
            session.remove(part).await?;
            Err(session.not_replaced(error, &path))
        }
        renamed => renamed.map_err(|error| session.fault(error, &path)),
    }
}

/// Whether nothing else can succeed after that.
pub(super) const fn is_fatal(fault: &Fault) -> bool {
    matches!(
        fault.kind,
        FaultKind::NoSpace | FaultKind::GuestOffline | FaultKind::TimedOut | FaultKind::Stopping
    )
}

fn size(entry: &Entry) -> u64 {
    if let Kind::File(size) = entry.kind { size } else { 0 }
}

fn meta(entry: &Entry) -> Meta {
    Meta { mode: entry.mode, mtime_ns: entry.mtime.into() }
}

fn too_much() -> Fault {
    Fault::new(FaultKind::InvalidParameter, "more data than the file has".to_owned())
}

fn too_little() -> Fault {
    Fault::new(FaultKind::InvalidParameter, "less data than the file has".to_owned())
}

/// A name beside a place: for what is moved there (0), and for what was moved away from there (1).
fn beside(path: &TreePath, base: &[u8], which: i64) -> Vec<u8> {
    let (folder, name) = path.split().unwrap_or((TreePath::top(), OsStr::new("top")));
    let name = part_name(name, if which == 0 { 0 } else { u64::MAX }, which);
    let mut place = folder.below(base);
    if !place.ends_with(b"/") {
        place.push(b'/');
    }
    place.extend_from_slice(OsStr::from_bytes(&name).as_bytes());
    place
}
