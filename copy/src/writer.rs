//! Trees of files written on this machine. To it everything it is told is hostile: it writes below its top and nowhere
//! else, never through a link, and a file is the old one or the new one, never half. Blocking.

use crate::local::{code, open_folder, seek};
use crate::outcome::Outcome;
use crate::path::{TreePath, shown};
use crate::plan::{Refusal, SMALL, leads_out, part_name};
use crate::tree::{Entry, Item, Kind};
use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, File, OpenOptions};
use rustix::fs::{Advice, AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Files that are written to the disk together, which takes a fraction of the time: so many, and so many bytes of them.
const TOGETHER: usize = 64;
const TOGETHER_BYTES: u64 = 32 << 20;
/// Folders with new names that are not on the disk yet.
const FOLDERS: usize = 64;

/// What is taken over from a guest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// Also what can do harm: set-user-id and set-group-id bits, and links that lead out of the tree.
    pub preserve: bool,
}

/// The disk is full: everything else would fail too.
#[derive(Debug, thiserror::Error)]
#[error("no space left for {path}")]
pub struct Full {
    /// What there was no space for.
    pub path: String,
}

/// A folder that is written to.
#[derive(Debug)]
pub struct TreeWriter {
    top: Dir,
    policy: Policy,
    /// The folder that was written to last: files come folder by folder.
    folder: Option<(TreePath, Dir)>,
    file: Option<Receiving>,
    /// Files that are whole, and have yet to get to the disk and to their places.
    whole: Vec<Whole>,
    bytes: u64,
    /// Folders with names that have yet to get to the disk.
    changed: BTreeMap<TreePath, Dir>,
    /// Folders that could not be made: what would be in them is not tried.
    lost: BTreeSet<TreePath>,
    /// Bytes of a file that is not wanted are still to come.
    skipping: bool,
    outcome: Outcome,
}

/// A file that is being written.
#[derive(Debug)]
struct Receiving {
    entry: Entry,
    folder: Dir,
    name: OsString,
    part: OsString,
    file: File,
    hasher: Sha256,
    at: u64,
}

/// A file that is written, under the name of its part.
#[derive(Debug)]
struct Whole {
    path: TreePath,
    folder: Dir,
    name: OsString,
    part: OsString,
    file: File,
    digest: [u8; 32],
}

impl TreeWriter {
    /// Below a folder of the user's own choice.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn open(folder: &Path, policy: Policy) -> io::Result<Self> {
        Ok(Self::of(Dir::open_ambient_dir(folder, ambient_authority())?, policy))
    }

    /// Below a folder that is open already.
    pub fn of(top: Dir, policy: Policy) -> Self {
        Self {
            top,
            policy,
            folder: None,
            file: None,
            whole: Vec::new(),
            bytes: 0,
            changed: BTreeMap::new(),
            lost: BTreeSet::new(),
            skipping: false,
            outcome: Outcome::default(),
        }
    }

    /// Does what an item says. What is refused or fails is noted, and the rest goes on.
    ///
    /// # Errors
    /// [`Full`]: then the rest would fail too.
    pub fn take(&mut self, item: Item) -> Result<(), Full> {
        let is_file = matches!(item, Item::File { .. });
        let is_content = is_file || matches!(item, Item::Bytes(_) | Item::End(_) | Item::Failed { .. });
        let path = match &item {
            Item::Entry(entry) | Item::Attributes(entry) | Item::File { entry, .. } => entry.path.clone(),
            Item::Remove(path) | Item::Failed { path, .. } | Item::Replace { path, .. } => path.clone(),
            Item::Bytes(_) | Item::End(_) => {
                self.file.as_ref().map(|file| file.entry.path.clone()).unwrap_or_default()
            }
            Item::Done => TreePath::top(),
        };
        if !is_content {
            // What is done to folders is done to what is in its place.
            self.place_files()?;
        }
        if self.is_lost(&path) {
            if is_file {
                self.skip();
            }
            return Ok(());
        }
        let is_folder = matches!(&item, Item::Entry(entry) if entry.kind == Kind::Dir);
        let done = match item {
            Item::Entry(entry) => self.make(&entry),
            Item::File { entry, offset, length } => self.begin(entry, offset, length),
            Item::Bytes(bytes) => self.write(&bytes),
            Item::End(digest) => self.end(digest),
            Item::Attributes(entry) => self.attributes(&entry),
            Item::Remove(path) => self.remove(&path),
            Item::Replace { path, with } => self.replace(&path, &with),
            Item::Failed { path, code, message } => {
                self.outcome.failed(&path, &code, message);
                Ok(())
            }
            Item::Done => Ok(()),
        };
        let Err(refused) = done else {
            return if self.whole.len() >= TOGETHER || self.bytes > TOGETHER_BYTES {
                self.place_files()
            } else {
                Ok(())
            };
        };
        if is_folder {
            self.lost.insert(path.clone());
        }
        // Whatever else comes of this file is thrown away.
        self.skipping = self.file.take().is_some() || is_file || self.skipping;
        let full = refused.code == "no-space";
        self.outcome.failed(&path, refused.code, refused.message);
        if full { Err(Full { path: path.to_string() }) } else { Ok(()) }
    }

    /// What came of it, once all of it is on the disk. What was begun and not ended stays as a part.
    pub fn finish(mut self) -> Outcome {
        if let Err(full) = self.place_files() {
            // It was noted with the file.
            tracing::debug!("{full}");
        }
        self.sync_folders();
        self.outcome
    }

    /// Throws away what comes until the next file begins.
    pub fn skip(&mut self) {
        (self.file, self.skipping) = (None, true);
    }

    /// Gives all files that are whole their names.
    ///
    /// # Errors
    /// [`Full`].
    pub fn settle(&mut self) -> Result<(), Full> {
        self.place_files()
    }

    /// Whether something could not be done, or was not sent.
    pub const fn has_failed(&self) -> bool {
        self.outcome.failures > 0
    }

    /// Whether a folder that this would be in could not be made.
    fn is_lost(&self, path: &TreePath) -> bool {
        !self.lost.is_empty() && path.upwards().skip(1).any(|folder| self.lost.contains(&folder))
    }

    /// Gives the files that are whole their names, once what is in them is on the disk: after a crash of the machine a
    /// file is the old one or the new one, too.
    fn place_files(&mut self) -> Result<(), Full> {
        let whole = std::mem::take(&mut self.whole);
        self.bytes = 0;
        // All begin to be written before the first is waited for. It is advice only: nothing hangs on it.
        if whole.len() > 1 {
            for one in &whole {
                let _ = rustix::fs::fadvise(&one.file, 0, None, Advice::DontNeed);
            }
        }
        let synced: Vec<_> = whole.into_iter().map(|one| (one.file.sync_data(), one)).collect();
        let mut full = None;
        for (synced, Whole { path, folder, name, part, digest, .. }) in synced {
            match synced
                .and_then(|()| folder.rename(&part, &folder, &name))
                .map_err(|error| onto(error, &path))
            {
                Ok(()) => {
                    self.outcome.files += 1;
                    self.outcome.sha256 = Some(hex::encode(digest));
                    self.has_changed(&path, folder);
                }
                Err(Refused { code, message }) => {
                    self.outcome.failed(&path, code, message);
                    if code == "no-space" {
                        full.get_or_insert(Full { path: path.to_string() });
                    }
                }
            }
        }
        full.map_or(Ok(()), Err)
    }

    /// Something in a folder has a new name.
    fn has_changed(&mut self, path: &TreePath, folder: Dir) {
        if let Some((around, _)) = path.split() {
            self.changed.entry(around).or_insert(folder);
        }
        if self.changed.len() >= FOLDERS {
            self.sync_folders();
        }
    }

    fn sync_folders(&mut self) {
        for (path, folder) in std::mem::take(&mut self.changed) {
            match readable(&folder, OsStr::new(".")) {
                Ok(folder) => {
                    if let Err(error) = rustix::fs::fsync(&folder) {
                        let Refused { code, message } = io::Error::from(error).into();
                        self.outcome.failed(&path, code, message);
                    }
                }
                // One that may not be read cannot be asked for it either.
                Err(error) => tracing::debug!("{path} is not synced: {error}"),
            }
        }
    }

    /// What came of it so far.
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    fn make(&mut self, entry: &Entry) -> Result<(), Refused> {
        let Some((folder, name)) = self.place(&entry.path)? else { return Ok(()) };
        match &entry.kind {
            // For the owner only, until it gets its mode.
            Kind::Dir => match folder.create_dir_with(&name, &private_dir()) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // Through a link it would be somewhere else.
                    match folder.open_dir_nofollow(&name) {
                        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                            Err(Refused::onto(Refusal::OntoOther, &entry.path))
                        }
                        opened => Ok(opened.map(drop)?),
                    }
                }
                made => {
                    made.and_then(|()| Ok(rustix::fs::fchmod(readable(&folder, &name)?, Mode::RWXU)?))?;
                    self.has_changed(&entry.path, folder);
                    Ok(())
                }
            },
            Kind::Link(target) => {
                if !self.policy.preserve && leads_out(&entry.path, target) {
                    return Err(Refused::new(
                        "link-leads-out",
                        format!(
                            "a link to {} was not made: it leads out of the tree",
                            crate::path::escape(target)
                        ),
                    ));
                }
                let target = OsString::from_vec(target.clone());
                let temporary = temporary(&name);
                remove_file(&folder, &temporary)?;
                folder.symlink_contents(&target, &temporary)?;
                if let Err(error) = folder.rename(&temporary, &folder, &name) {
                    remove_file(&folder, &temporary)?;
                    return Err(onto(error, &entry.path));
                }
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::utimensat(&folder, Path::new(&name), &times(entry.mtime), flags)
                    .map_err(io::Error::from)?;
                self.has_changed(&entry.path, folder);
                Ok(())
            }
            Kind::File(_) | Kind::Other => {
                Err(Refused::new("file-failed", "neither a folder nor a link".to_owned()))
            }
        }
    }

    fn begin(&mut self, entry: Entry, offset: u64, length: u64) -> Result<(), Refused> {
        let Kind::File(size) = entry.kind else {
            return Err(Refused::new("file-failed", "is no file".to_owned()));
        };
        if let Some(file) = &self.file {
            // The next stretch of the same file.
            if file.entry == entry && file.at == offset {
                return Ok(());
            }
            self.file = None;
        }
        self.skipping = false;
        let Some((folder, name)) = self.place(&entry.path)? else {
            return Err(Refused::new("is-a-directory", "the top is a folder".to_owned()));
        };
        if offset > size || length > size - offset {
            return Err(Refused::new("file-failed", "a stretch that is not within its file".to_owned()));
        }
        // Before anything is written: in the place of a folder it could never get.
        if folder.symlink_metadata(&name).is_ok_and(|there| there.is_dir()) {
            return Err(Refused::onto(Refusal::OntoFolder, &entry.path));
        }
        let part = OsString::from_vec(part_name(&name, size, entry.mtime));
        let (file, hasher) = open_part(&folder, &part, offset)?;
        self.file = Some(Receiving { entry, folder, name, part, file, hasher, at: offset });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let Some(file) = &mut self.file else {
            return if self.skipping {
                Ok(())
            } else {
                Err(Refused::new("file-failed", "data without a file".to_owned()))
            };
        };
        let Kind::File(size) = file.entry.kind else { return Ok(()) };
        if bytes.len() as u64 > size - file.at {
            return Err(Refused::new("file-failed", "more data than the file has".to_owned()));
        }
        file.file.write_all(bytes)?;
        file.hasher.update(bytes);
        file.at += bytes.len() as u64;
        self.outcome.bytes += bytes.len() as u64;
        Ok(())
    }

    fn end(&mut self, digest: Option<[u8; 32]>) -> Result<(), Refused> {
        let Some(digest) = digest else { return Ok(()) };
        let Some(receiving) = self.file.take() else {
            self.skipping = false;
            return Ok(());
        };
        let Receiving { entry, folder, name, part, file, hasher, at } = receiving;
        let found: [u8; 32] = hasher.finalize().into();
        if entry.kind != Kind::File(at) || found != digest {
            // Nobody can go on with this.
            folder.remove_file(&part)?;
            return Err(Refused::new("digest-mismatch", MISMATCH.to_owned()));
        }
        let mode = if self.policy.preserve { entry.mode } else { entry.mode & 0o1777 };
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(io::Error::from)?;
        rustix::fs::futimens(&file, &times(entry.mtime)).map_err(io::Error::from)?;
        self.bytes += at;
        self.whole.push(Whole { path: entry.path, folder, name, part, file, digest });
        Ok(())
    }

    fn attributes(&mut self, entry: &Entry) -> Result<(), Refused> {
        let mode = Mode::from_raw_mode(if self.policy.preserve { entry.mode } else { entry.mode & 0o1777 });
        match self.place(&entry.path)? {
            None => set(&readable(&self.top, OsStr::new("."))?, mode, entry.mtime)?,
            Some((folder, name)) if folder.symlink_metadata(&name)?.is_dir() => {
                set(&readable(&folder, &name)?, mode, entry.mtime)?;
            }
            Some((folder, name)) => {
                let mut options = OpenOptions::new();
                let file = folder.open_with(&name, options.read(true).follow(FollowSymlinks::No))?;
                set(&file, mode, entry.mtime)?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, path: &TreePath) -> Result<(), Refused> {
        self.folder = None;
        let Some((folder, name)) = self.place(path)? else {
            return Err(Refused::new("is-a-directory", "the top is not removed".to_owned()));
        };
        Ok(remove_all(&folder, &name)?)
    }

    /// Puts what was made beside its place in its place. What was there is moved away first, and removed last, so that one
    /// or the other is there whole whatever happens.
    fn replace(&mut self, path: &TreePath, with: &TreePath) -> Result<(), Refused> {
        self.folder = None;
        let (Some((folder, name)), Some((_, new))) = (self.place(path)?, with.split()) else {
            return Err(Refused::new("is-a-directory", "the top is not replaced".to_owned()));
        };
        folder.symlink_metadata(new)?;
        let old = OsString::from_vec(part_name(&name, u64::MAX, 1));
        remove_all(&folder, &old)?;
        folder.rename(&name, &folder, &old)?;
        if let Err(error) = folder.rename(new, &folder, &name) {
            folder.rename(&old, &folder, &name)?;
            return Err(error.into());
        }
        rustix::fs::fsync(readable(&folder, OsStr::new("."))?).map_err(io::Error::from)?;
        Ok(remove_all(&folder, &old)?)
    }

    /// The open folder that something is in, and its name there; nothing for the top.
    fn place(&mut self, path: &TreePath) -> io::Result<Option<(Dir, OsString)>> {
        let Some((folder, name)) = path.split() else { return Ok(None) };
        let open = match &self.folder {
            Some((known, open)) if *known == folder => open.try_clone()?,
            _ => {
                let open = open_folder(&self.top, &folder)?;
                self.folder = Some((folder, open.try_clone()?));
                open
            }
        };
        Ok(Some((open, name.to_owned())))
    }
}

/// What is said where the bytes that came are not those that were meant.
const MISMATCH: &str = "what arrived is not what was sent; the old file is still there";

/// Why an item was not done.
struct Refused {
    code: &'static str,
    message: String,
}

impl Refused {
    const fn new(code: &'static str, message: String) -> Self {
        Self { code, message }
    }

    fn onto(refusal: Refusal, path: &TreePath) -> Self {
        Self::new(refusal.code(), refusal.of(&shown(path)))
    }
}

/// Something that is no folder did not get to its place.
fn onto(error: io::Error, path: &TreePath) -> Refused {
    if error.kind() == io::ErrorKind::IsADirectory {
        Refused::onto(Refusal::OntoFolder, path)
    } else {
        error.into()
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self { code: code(&error), message: error.to_string() }
    }
}

/// The part of a file, open to be gone on with at an offset, and the digest of what is in it so far.
fn open_part(folder: &Dir, part: &OsStr, offset: u64) -> io::Result<(File, Sha256)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).follow(FollowSymlinks::No);
    if offset == 0 {
        remove_file(folder, part)?;
        options.create_new(true);
        cap_std::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let mut file = folder.open_with(part, &options)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() < offset {
        return Err(io::Error::new(io::ErrorKind::NotFound, "what was begun is not there any more"));
    }
    file.set_len(offset)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; usize::try_from(offset.min(SMALL)).unwrap_or_default()];
    let mut left = offset;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let piece = buffer.get_mut(..most).unwrap_or_default();
        file.read_exact(piece)?;
        hasher.update(&*piece);
        left -= most as u64;
    }
    seek(&mut file, offset)?;
    Ok((file, hasher))
}

/// Removes what is there, with all that is in it; nothing is fine.
fn remove_all(folder: &Dir, name: &OsStr) -> io::Result<()> {
    match folder.symlink_metadata(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        // cap-std does not follow links on its way down either.
        Ok(metadata) if metadata.is_dir() => folder.remove_dir_all(name),
        Ok(_) => folder.remove_file(name),
    }
}

/// How folders are made, whatever the umask is.
fn private_dir() -> DirBuilder {
    let mut private = DirBuilder::new();
    cap_std::fs::DirBuilderExt::mode(&mut private, 0o700);
    private
}

fn remove_file(folder: &Dir, name: &OsStr) -> io::Result<()> {
    match folder.remove_file(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn temporary(name: &OsStr) -> OsString {
    OsString::from_vec(part_name(name, 0, 0))
}

/// A folder, opened so that its mode can be set: cap-std opens them for looking up names only.
fn readable(folder: &Dir, name: &OsStr) -> io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, Path::new(name), flags, Mode::empty())?)
}

fn set(what: &impl std::os::fd::AsFd, mode: Mode, mtime: i64) -> io::Result<()> {
    rustix::fs::fchmod(what, mode)?;
    Ok(rustix::fs::futimens(what, &times(mtime))?)
}

fn times(mtime: i64) -> Timestamps {
    const SECOND: i64 = 1_000_000_000;
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.div_euclid(SECOND), tv_nsec: mtime.rem_euclid(SECOND) },
    }
}

#[cfg(test)]
mod tests;
