//! What one client has open, may do, and has stored. Used on threads that may wait for a disk.

use super::config::Rights;
use super::tree::{Links, Place};
use super::{Shared, login::Subject};
use crate::proto::{Code, Stat};
use rustix::fs::{AtFlags, Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) struct Opened {
    pub(super) file: Arc<File>,
    pub(super) write: bool,
    pub(super) append: bool,
    /// Where `read` and `write` go on: Condor's clients use them.
    pub(super) position: u64,
}

/// Directories with new names that are not on the disk yet: each is an open file.
const CHANGED: usize = 32;

/// What a right is needed for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Need {
    Delete,
    List,
    Read,
    Write,
}

pub(super) struct Files {
    pub(super) shared: Arc<Shared>,
    pub(super) subject: Subject,
    pub(super) rights: Rights,
    pub(super) open: Vec<Option<Opened>>,
    pub(super) stored: u64,
    /// Of small files that are on their way to their places: bytes.
    pub(super) pending: u64,
    /// Directories that have new names, by device and inode, until those are on the disk.
    changed: BTreeMap<(u64, u64), Arc<OwnedFd>>,
    /// The client is gone: long work is given up.
    pub(super) gone: Arc<AtomicBool>,
}

impl Files {
    pub(super) fn new(shared: Arc<Shared>, subject: Subject, gone: Arc<AtomicBool>) -> Self {
        let found = shared.rights.iter().find(|(pattern, _)| pattern.is_match(&subject.name));
        let otherwise = if shared.rights.is_empty() { Rights::ALL } else { Rights::NONE };
        let rights = found.map_or(otherwise, |(_, rights)| *rights);
        Self {
            shared,
            subject,
            rights,
            open: Vec::new(),
            stored: 0,
            pending: 0,
            changed: BTreeMap::new(),
            gone,
        }
    }

    /// Where a path leads, if the client may do that there.
    pub(super) fn place(&self, path: &[u8], links: Links, need: Need) -> Result<Place, Code> {
        let allowed = match need {
            Need::Delete => self.rights.delete,
            Need::List => self.rights.list,
            Need::Read => self.rights.read,
            Need::Write => self.rights.write,
        };
        if !allowed {
            return Err(Code::NotAuthorized);
        }
        let place = self.shared.tree.find(path, links)?;
        let changes = matches!(need, Need::Delete | Need::Write);
        if changes && !self.shared.tree.may_change(&place) {
            return Err(Code::NotAuthorized);
        }
        Ok(place)
    }

    pub(super) fn opened(&self, fd: u32) -> Result<&Opened, Code> {
        self.open.get(fd as usize).and_then(Option::as_ref).ok_or(Code::BadDescriptor)
    }

    pub(super) fn writable(&self, fd: u32) -> Result<&Opened, Code> {
        self.opened(fd).and_then(|opened| if opened.write { Ok(opened) } else { Err(Code::BadDescriptor) })
    }

    /// What the client has stored, and is storing.
    pub(super) const fn taken(&self) -> u64 {
        self.stored.saturating_add(self.pending)
    }

    /// Whether so many bytes more may be stored there, in a file that then has `size`.
    pub(super) fn has_room(&self, fd: impl AsFd, more: u64, size: u64) -> Result<(), Code> {
        let limits = &self.shared.limits;
        if size > limits.file || self.taken().saturating_add(more) > limits.stored {
            return Err(Code::TooBig);
        }
        let stat = rustix::fs::fstatvfs(fd)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free.saturating_sub(limits.keep_free) < more { Err(Code::NoSpace) } else { Ok(()) }
    }

    /// There is a new name in a directory.
    pub(super) fn has_changed(&mut self, directory: &Arc<OwnedFd>) -> Result<(), Code> {
        let stat = convert(&rustix::fs::fstat(&**directory)?);
        self.changed.entry((stat.dev, stat.ino)).or_insert_with(|| directory.clone());
        if self.changed.len() > CHANGED { self.sync() } else { Ok(()) }
    }

    /// Waits until all new names are on the disk.
    pub(super) fn sync(&mut self) -> Result<(), Code> {
        std::mem::take(&mut self.changed).values().try_for_each(|directory| sync_directory(&**directory))
    }

    /// Gives up long work for a client that is gone.
    pub(super) fn check_is_wanted(&self) -> Result<(), Code> {
        if self.gone.load(Ordering::Relaxed) { Err(Code::TimedOut) } else { Ok(()) }
    }
}

/// Waits until the names in a directory are on the disk.
pub(super) fn sync_directory(directory: impl AsFd) -> Result<(), Code> {
    // What paths are looked up with cannot be synced.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(directory, ".", flags, Mode::empty()) {
        Ok(opened) => Ok(rustix::fs::fsync(opened)?),
        // One that may not be read cannot be asked for it either.
        Err(rustix::io::Errno::ACCESS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// About a place itself: a link is told about as a link.
pub(super) fn stat(place: &Place) -> Result<Stat, Code> {
    let Some((fd, name)) = place.at() else {
        return Ok(Stat { mode: 0o040_555, nlink: 2, blksize: 4096, ..Stat::default() });
    };
    Ok(convert(&rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)?))
}

#[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "the types differ between platforms")]
pub(super) fn convert(stat: &rustix::fs::Stat) -> Stat {
    Stat {
        dev: stat.st_dev as u64,
        ino: stat.st_ino as u64,
        mode: stat.st_mode as u32,
        nlink: stat.st_nlink as u64,
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: stat.st_rdev as u64,
        size: stat.st_size as u64,
        blksize: stat.st_blksize as u64,
        blocks: stat.st_blocks as u64,
        atime: stat.st_atime as i64,
        mtime: stat.st_mtime as i64,
        ctime: stat.st_ctime as i64,
    }
}

/// Opens what is there, if it is a file; never waits for a pipe's other end.
pub(super) fn open_file(place: &Place, flags: OFlags, mode: u32) -> Result<(File, Stat), Code> {
    let (fd, name) = place.at().ok_or(Code::IsDirectory)?;
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::openat(fd, name, flags, Mode::from_raw_mode(mode))?);
    let stat = convert(&rustix::fs::fstat(&file)?);
    if stat.is_file() || stat.is_dir() { Ok((file, stat)) } else { Err(Code::NotAuthorized) }
}

/// A regular file, to be read.
pub(super) fn read_file(place: &Place) -> Result<(File, Stat), Code> {
    let (file, stat) = open_file(place, OFlags::RDONLY, 0)?;
    if stat.is_file() { Ok((file, stat)) } else { Err(Code::IsDirectory) }
}

/// A directory, to be listed.
pub(super) fn read_directory(place: &Place) -> Result<OwnedFd, Code> {
    let (fd, name) = place.at().ok_or(Code::NotAuthorized)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(fd, name, flags, Mode::empty())?)
}
