//! Trees of files written on this machine. To it everything it is told is hostile: it writes below its top and nowhere
//! else, never through a link, and a file is the old one or the new one, never half. Blocking.

use super::local::{code, open_folder, seek};
use super::path::TreePath;
use super::plan::{SMALL, leads_out, part_name};
use super::tree::{Entry, Item, Kind};
use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use sha2::{Digest, Sha256};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Failures that are told one by one; of more only the number.
const TOLD: usize = 100;

/// What is taken over from a guest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// Also what can do harm: set-user-id and set-group-id bits, and links that lead out of the tree.
    pub preserve: bool,
}

/// Something that could not be copied.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Failed {
    /// What, escaped.
    pub path: String,
    /// The slug.
    pub code: String,
    /// Why.
    pub message: String,
}

/// What came of it.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct Outcome {
    /// Files that are whole now.
    pub files: u64,
    /// Octets that were written.
    pub bytes: u64,
    /// What failed, as far as it is told.
    pub failed: Vec<Failed>,
    /// How much failed.
    pub failures: u64,
    /// Why it ended early, if it did: nothing after that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Failed>,
    /// The digest of the last file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Outcome {
    /// Notes a failure.
    pub fn failed(&mut self, path: &TreePath, code: &str, message: impl Into<String>) {
        self.failures += 1;
        if self.failed.len() < TOLD {
            let failed = Failed { path: path.to_string(), code: code.to_owned(), message: message.into() };
            self.failed.push(failed);
        }
    }
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
pub struct Landing {
    top: Dir,
    policy: Policy,
    /// The folder that was written to last: files come folder by folder.
    folder: Option<(TreePath, Dir)>,
    file: Option<Receiving>,
    /// Octets of a file that is not wanted are still to come.
    skipping: bool,
    outcome: Outcome,
    done: bool,
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

impl Landing {
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
            skipping: false,
            outcome: Outcome::default(),
            done: false,
        }
    }

    /// Does what an item says. What is refused or fails is noted, and the rest goes on.
    ///
    /// # Errors
    /// [`Full`]: then the rest would fail too.
    pub fn take(&mut self, item: Item) -> Result<(), Full> {
        let is_file = matches!(item, Item::File { .. });
        let path = match &item {
            Item::Entry(entry) | Item::Attributes(entry) | Item::File { entry, .. } => entry.path.clone(),
            Item::Remove(path) | Item::Failed { path, .. } => path.clone(),
            Item::Octets(_) | Item::End(_) => {
                self.file.as_ref().map(|file| file.entry.path.clone()).unwrap_or_default()
            }
            Item::Done => TreePath::top(),
        };
        let done = match item {
            Item::Entry(entry) => self.make(&entry),
            Item::File { entry, offset, length } => self.begin(entry, offset, length),
            Item::Octets(octets) => self.write(&octets),
            Item::End(digest) => self.end(digest),
            Item::Attributes(entry) => self.attributes(&entry),
            Item::Remove(path) => self.remove(&path),
            Item::Failed { path, code, message } => {
                self.outcome.failed(&path, &code, message);
                Ok(())
            }
            Item::Done => {
                self.done = true;
                Ok(())
            }
        };
        let Err(refused) = done else { return Ok(()) };
        // Whatever else comes of this file is thrown away.
        self.skipping = self.file.take().is_some() || is_file || self.skipping;
        let full = refused.code == "no-space";
        self.outcome.failed(&path, refused.code, refused.message);
        if full { Err(Full { path: path.to_string() }) } else { Ok(()) }
    }

    /// Whether all was sent.
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// What came of it. What was begun and not ended stays as a part.
    pub fn finish(self) -> Outcome {
        self.outcome
    }

    /// What came of it so far.
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    fn make(&mut self, entry: &Entry) -> Result<(), Refused> {
        let Some((folder, name)) = self.place(&entry.path)? else { return Ok(()) };
        match &entry.kind {
            Kind::Dir => match folder.create_dir(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // Through a link it would be somewhere else.
                    folder.open_dir_nofollow(&name).map(drop).map_err(Into::into)
                }
                // For the owner only, until it gets its mode.
                made => made
                    .and_then(|()| Ok(rustix::fs::fchmod(readable(&folder, &name)?, Mode::RWXU)?))
                    .map_err(Into::into),
            },
            Kind::Link(target) => {
                if !self.policy.preserve && leads_out(&entry.path, target) {
                    return Err(Refused::new(
                        "link-leads-out",
                        format!(
                            "a link to {} was not made: it leads out of the tree",
                            super::path::escape(target)
                        ),
                    ));
                }
                let target = OsString::from_vec(target.clone());
                let temporary = temporary(&name);
                remove_file(&folder, &temporary)?;
                folder.symlink_contents(&target, &temporary)?;
                folder.rename(&temporary, &folder, &name)?;
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                Ok(rustix::fs::utimensat(&folder, Path::new(&name), &times(entry.mtime), flags)
                    .map_err(io::Error::from)?)
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
        let part = OsString::from_vec(part_name(&name, size, entry.mtime));
        let (file, hasher) = open_part(&folder, &part, offset)?;
        self.file = Some(Receiving { entry, folder, name, part, file, hasher, at: offset });
        Ok(())
    }

    fn write(&mut self, octets: &[u8]) -> Result<(), Refused> {
        let Some(file) = &mut self.file else {
            return if self.skipping {
                Ok(())
            } else {
                Err(Refused::new("file-failed", "octets of no file".to_owned()))
            };
        };
        let Kind::File(size) = file.entry.kind else { return Ok(()) };
        if octets.len() as u64 > size - file.at {
            return Err(Refused::new("file-failed", "more octets than the file has".to_owned()));
        }
        file.file.write_all(octets)?;
        file.hasher.update(octets);
        file.at += octets.len() as u64;
        self.outcome.bytes += octets.len() as u64;
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
        folder.rename(&part, &folder, &name)?;
        self.outcome.files += 1;
        self.outcome.sha256 = Some(super::tree::hexadecimal(&found));
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
        match folder.symlink_metadata(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
            // cap-std does not follow links on its way down either.
            Ok(metadata) if metadata.is_dir() => Ok(folder.remove_dir_all(&name)?),
            Ok(_) => Ok(folder.remove_file(&name)?),
        }
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

/// What is said where the octets that came are not those that were meant.
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
