//! What makes, moves, removes and changes names, and what belongs to them beside content.

use super::super::files::{self, Files, Need};
use super::super::sink::times;
use super::super::tree::{Links, Place};
use super::MODES;
use super::list::names;
use crate::proto::{Code, Kind};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

/// Directories below each other that are removed or counted at once.
pub(super) const DEPTH: usize = 256;

pub(in crate::server) fn mkdir(files: &mut Files, path: &[u8], mode: u32) -> Result<(), Code> {
    // A root is there already, whoever may change what.
    let place = match files.place(path, Links::Keep, Need::Write) {
        Ok(place @ Place::Entry { .. }) => place,
        Ok(Place::Top | Place::Directory { .. }) => return Err(Code::AlreadyExists),
        Err(Code::NotAuthorized) if exists(files, path) => return Err(Code::AlreadyExists),
        Err(code) => return Err(code),
    };
    let (fd, name) = place.entry()?;
    rustix::fs::mkdirat(&**fd, name.as_os_str(), Mode::from_raw_mode(mode & 0o777 | 0o700))?;
    files.has_changed(fd)
}

fn exists(files: &Files, path: &[u8]) -> bool {
    files.place(path, Links::Keep, Need::List).is_ok_and(|place| files::stat(&place).is_ok())
}

pub(in crate::server) fn rmdir(files: &Files, path: &[u8]) -> Result<(), Code> {
    remove(files, path, AtFlags::REMOVEDIR)
}

pub(in crate::server) fn unlink(files: &Files, path: &[u8]) -> Result<(), Code> {
    remove(files, path, AtFlags::empty())
}

fn remove(files: &Files, path: &[u8], flags: AtFlags) -> Result<(), Code> {
    let place = files.place(path, Links::Keep, Need::Delete)?;
    let (fd, name) = place.entry()?;
    Ok(rustix::fs::unlinkat(&**fd, name.as_os_str(), flags)?)
}

pub(in crate::server) fn rmall(files: &Files, path: &[u8]) -> Result<(), Code> {
    let place = files.place(path, Links::Keep, Need::Delete)?;
    let (fd, name) = place.entry()?;
    let mut left = files.shared.limits.entries;
    remove_all(files, fd.as_fd(), name.as_os_str(), 0, &mut left)
}

fn remove_all(
    files: &Files,
    fd: BorrowedFd<'_>,
    name: &OsStr,
    depth: usize,
    left: &mut usize,
) -> Result<(), Code> {
    files.check_is_wanted()?;
    *left = left.checked_sub(1).filter(|_| depth <= DEPTH).ok_or(Code::TooBig)?;
    let stat = rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if Kind::of(stat.st_mode) != Kind::Dir {
        return Ok(rustix::fs::unlinkat(fd, name, AtFlags::empty())?);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(fd, name, flags, Mode::empty())?;
    for inner in names(files, &directory)? {
        match remove_all(files, directory.as_fd(), inner.as_os_str(), depth + 1, left) {
            Ok(()) | Err(Code::DoesntExist) => {}
            Err(code) => return Err(code),
        }
    }
    Ok(rustix::fs::unlinkat(fd, name, AtFlags::REMOVEDIR)?)
}

pub(in crate::server) fn rename(files: &mut Files, from: &[u8], to: &[u8]) -> Result<(), Code> {
    let from = files.place(from, Links::Keep, Need::Delete)?;
    let to = files.place(to, Links::Keep, Need::Write)?;
    let ((from, old), (to, new)) = (from.entry()?, to.entry()?);
    rustix::fs::renameat(&**from, old.as_os_str(), &**to, new.as_os_str())?;
    files.has_changed(from)?;
    files.has_changed(to)
}

pub(in crate::server) fn link(files: &mut Files, from: &[u8], to: &[u8]) -> Result<(), Code> {
    let from = files.place(from, Links::Keep, Need::Write)?;
    let to = files.place(to, Links::Keep, Need::Write)?;
    let ((from, old), (to, new)) = (from.entry()?, to.entry()?);
    rustix::fs::linkat(&**from, old.as_os_str(), &**to, new.as_os_str(), AtFlags::empty())?;
    files.has_changed(to)
}

/// The target may be anything: where it leads is decided when it is followed.
pub(in crate::server) fn symlink(files: &mut Files, target: &[u8], path: &[u8]) -> Result<(), Code> {
    let place = files.place(path, Links::Keep, Need::Write)?;
    let (fd, name) = place.entry()?;
    rustix::fs::symlinkat(OsStr::from_bytes(target), &**fd, name.as_os_str())?;
    files.has_changed(fd)
}

pub(in crate::server) fn chmod(files: &Files, path: &[u8], mode: u32) -> Result<(), Code> {
    let place = files.place(path, Links::Follow, Need::Write)?;
    set_mode(&place, mode)
}

/// There is no chmod that follows no link, but for open files; and one that may neither be read nor written can't be
/// opened by its owner either, so for that the kernel's newest call is tried.
fn set_mode(place: &Place, mode: u32) -> Result<(), Code> {
    let mode = Mode::from_raw_mode(mode & MODES);
    for flags in [OFlags::RDONLY, OFlags::WRONLY] {
        match files::open_file(place, flags, 0) {
            Ok((file, _)) => return Ok(rustix::fs::fchmod(&file, mode)?),
            Err(Code::NotAuthorized | Code::IsDirectory) => {}
            Err(code) => return Err(code),
        }
    }
    let (fd, name) = place.at().ok_or(Code::NotAuthorized)?;
    Ok(rustix::fs::chmodat(fd, name, mode, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Nothing happens, as the real server has it: all files are the server's user's.
pub(in crate::server) fn chown(files: &Files, path: &[u8]) -> Result<(), Code> {
    files::stat(&files.place(path, Links::Keep, Need::Write)?).map(drop)
}

pub(in crate::server) fn truncate(files: &Files, path: &[u8], len: u64) -> Result<(), Code> {
    let place = files.place(path, Links::Follow, Need::Write)?;
    let (file, stat) = files::open_file(&place, OFlags::WRONLY, 0)?;
    if stat.is_dir() {
        return Err(Code::IsDirectory);
    }
    files.has_room(&file, 0, len)?;
    Ok(rustix::fs::ftruncate(&file, len)?)
}

pub(in crate::server) fn utime(files: &Files, path: &[u8], atime: i64, mtime: i64) -> Result<(), Code> {
    let place = files.place(path, Links::Follow, Need::Write)?;
    let (fd, name) = place.at().ok_or(Code::NotAuthorized)?;
    let of = |seconds| Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: of(atime), last_modification: of(mtime) };
    Ok(rustix::fs::utimensat(fd, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

pub(in crate::server) fn vmeta(files: &Files, path: &[u8], mode: u32, mtime_ns: i128) -> Result<(), Code> {
    let place = files.place(path, Links::Keep, Need::Write)?;
    if !files::stat(&place)?.is_link() {
        set_mode(&place, mode)?;
    }
    let (fd, name) = place.at().ok_or(Code::NotAuthorized)?;
    match rustix::fs::utimensat(fd, name, &times(mtime_ns), AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::OPNOTSUPP) => Ok(()), // the file system keeps no times for links
        other => Ok(other?),
    }
}
