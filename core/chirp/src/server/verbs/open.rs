//! Open files, by number.

use super::super::dispatch::number;
use super::super::files::{self, Files, Need, Opened};
use super::super::tree::{Links, Place};
use super::{MODES, put_statfs};
use crate::proto::{Code, Flags};
use bytes::{BufMut, BytesMut};
use rustix::fs::{Mode, OFlags};
use std::sync::Arc;

pub(in crate::server) fn open(
    files: &mut Files,
    path: &[u8],
    flags: Flags,
    mode: u32,
    out: &mut BytesMut,
) -> Result<(), Code> {
    let need = if flags.changes() { Need::Write } else { Need::Read };
    let place = files.place(path, Links::Follow, need)?;
    if flags.read && !files.rights.read {
        return Err(Code::NotAuthorized);
    }
    let fd = free(files)?;
    if flags.create
        && let Place::Entry { fd, .. } = &place
    {
        files.has_changed(fd)?;
    }
    let (file, stat) = files::open_file(&place, system(flags), mode & 0o777 | 0o600)?;
    let opened = Opened { file: Arc::new(file), write: flags.write, append: flags.append, position: 0 };
    match files.open.get_mut(fd) {
        Some(slot) => *slot = Some(opened),
        None => files.open.push(Some(opened)),
    }
    out.put_slice(format!("{fd}\n{stat}\n").as_bytes());
    Ok(())
}

/// The smallest number that is free.
fn free(files: &Files) -> Result<usize, Code> {
    let fd = files.open.iter().position(Option::is_none).unwrap_or(files.open.len());
    if fd < files.shared.limits.descriptors { Ok(fd) } else { Err(Code::TooManyOpen) }
}

fn system(flags: Flags) -> OFlags {
    let Flags { read, write, create, truncate, append, exclusive, sync } = flags;
    let mut system = match (read, write) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    system.set(OFlags::CREATE, create);
    system.set(OFlags::TRUNC, truncate);
    system.set(OFlags::APPEND, append);
    system.set(OFlags::EXCL, exclusive);
    system.set(OFlags::SYNC, sync);
    system
}

pub(in crate::server) fn close(files: &mut Files, fd: u32) -> Result<(), Code> {
    files.open.get_mut(fd as usize).and_then(Option::take).map(drop).ok_or(Code::BadDescriptor)
}

pub(in crate::server) fn fstat(files: &Files, fd: u32, out: &mut BytesMut) -> Result<(), Code> {
    let stat = rustix::fs::fstat(&files.opened(fd)?.file)?;
    super::put_stat(&files::convert(&stat), out);
    Ok(())
}

pub(in crate::server) fn fstatfs(files: &Files, fd: u32, out: &mut BytesMut) -> Result<(), Code> {
    put_statfs(&files.opened(fd)?.file, out)
}

pub(in crate::server) fn fsync(files: &Files, fd: u32) -> Result<(), Code> {
    Ok(rustix::fs::fsync(&files.opened(fd)?.file)?)
}

pub(in crate::server) fn ftruncate(files: &Files, fd: u32, len: u64) -> Result<(), Code> {
    let file = &files.writable(fd)?.file;
    files.has_room(file, 0, len)?;
    Ok(rustix::fs::ftruncate(file, len)?)
}

pub(in crate::server) fn fchmod(files: &Files, fd: u32, mode: u32) -> Result<(), Code> {
    Ok(rustix::fs::fchmod(&files.writable(fd)?.file, Mode::from_raw_mode(mode & MODES))?)
}

/// Whence: 0 from the beginning, 1 from where it is, 2 from the end.
pub(in crate::server) fn lseek(
    files: &mut Files,
    fd: u32,
    offset: i64,
    whence: u32,
    out: &mut BytesMut,
) -> Result<(), Code> {
    let opened = files.opened(fd)?;
    let base = match whence {
        0 => 0,
        1 => opened.position,
        2 => u64::try_from(rustix::fs::fstat(&opened.file)?.st_size).unwrap_or_default(),
        _ => return Err(Code::InvalidRequest),
    };
    let position = base.checked_add_signed(offset).ok_or(Code::InvalidRequest)?;
    if let Some(Some(opened)) = files.open.get_mut(fd as usize) {
        opened.position = position;
    }
    number(position, out);
    Ok(())
}
