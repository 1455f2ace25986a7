//! The verbs, by what they have to do with: here those that only tell about a path.

pub(super) mod change;
pub(super) mod list;
pub(super) mod open;
pub(super) mod read;
pub(super) mod upload;

use super::dispatch::{bytes, number};
use super::files::{self, Files, Need};
use super::tree::{Links, Place};
use crate::proto::{Code, Request, Stat, Statfs};
use bytes::{BufMut, BytesMut};
use rustix::fs::{Access, AtFlags};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

/// Permissions a client can set: nothing runs with another's rights because of him.
pub(super) const MODES: u32 = 0o1777;

pub(super) fn stat(files: &Files, path: &[u8], links: Links, out: &mut BytesMut) -> Result<(), Code> {
    let place = files.place(path, links, Need::List)?;
    put_stat(&files::stat(&place)?, out);
    Ok(())
}

/// Answers at once, if that takes no disk: the shortest way for what is asked most.
pub(super) fn stat_at_once(files: &Files, request: &Request, out: &mut BytesMut) -> bool {
    let (path, links) = match request {
        Request::Stat { path } => (path, Links::Follow),
        Request::Lstat { path } => (path, Links::Keep),
        _ => return false,
    };
    let stat =
        Some(path).filter(|_| files.rights.list).and_then(|path| files.shared.tree.stat_cached(path, links));
    if let Some(stat) = &stat {
        put_stat(&files::convert(stat), out);
    }
    stat.is_some()
}

/// A result of zero and a stat line.
pub(super) fn put_stat(stat: &Stat, out: &mut BytesMut) {
    out.put_slice(format!("0\n{stat}\n").as_bytes());
}

pub(super) fn statfs(files: &Files, path: &[u8], out: &mut BytesMut) -> Result<(), Code> {
    let place = files.place(path, Links::Follow, Need::List)?;
    files::stat(&place)?;
    match &place {
        Place::Top => {
            let mount = files.shared.tree.mounts().first().ok_or(Code::NotAuthorized)?;
            put_statfs(&*mount.fd, out)
        }
        Place::Directory { fd, .. } | Place::Entry { fd, .. } => put_statfs(&**fd, out),
    }
}

#[allow(clippy::unnecessary_cast, reason = "the types differ between platforms")]
pub(super) fn put_statfs(fd: impl AsFd, out: &mut BytesMut) -> Result<(), Code> {
    let fs = rustix::fs::fstatfs(fd)?;
    let statfs = Statfs {
        kind: (fs.f_type as i64).cast_unsigned(),
        bsize: (fs.f_bsize as i64).cast_unsigned(),
        blocks: fs.f_blocks,
        bfree: fs.f_bfree,
        bavail: fs.f_bavail,
        files: fs.f_files,
        ffree: fs.f_ffree,
    };
    out.put_slice(format!("0\n{statfs}\n").as_bytes());
    Ok(())
}

pub(super) fn access(files: &Files, path: &[u8], mode: u32) -> Result<(), Code> {
    let place = files.place(path, Links::Follow, Need::List)?;
    let Some((fd, name)) = place.at() else { return Ok(()) };
    let wanted = Access::from_bits(mode).ok_or(Code::InvalidRequest)?;
    let may_change = files.rights.write && files.shared.tree.may_change(&place);
    if wanted.contains(Access::READ_OK) && !files.rights.read
        || wanted.contains(Access::WRITE_OK) && !may_change
    {
        return Err(Code::NotAuthorized);
    }
    Ok(rustix::fs::accessat(fd, name, wanted, AtFlags::empty())?)
}

pub(super) fn readlink(files: &Files, path: &[u8], max: u64, out: &mut BytesMut) -> Result<(), Code> {
    let place = files.place(path, Links::Keep, Need::List)?;
    let (fd, name) = place.at().ok_or(Code::InvalidRequest)?;
    let target = rustix::fs::readlinkat(fd, name, Vec::new())?;
    bytes(target.to_bytes(), max, out);
    Ok(())
}

/// What the one who asks may do there: the operator's rules are nobody else's concern.
pub(super) fn getacl(files: &Files, path: &[u8], out: &mut BytesMut) -> Result<(), Code> {
    let place = files.place(path, Links::Follow, Need::List)?;
    files::stat(&place)?;
    let may_change = files.shared.tree.may_change(&place);
    let mut rights = files.rights;
    rights.write &= may_change;
    rights.delete &= may_change;
    number(0, out);
    out.put_slice(format!("{} {rights}\n\n", files.subject.name).as_bytes());
    Ok(())
}

pub(super) fn localpath(files: &Files, path: &[u8], out: &mut BytesMut) -> Result<(), Code> {
    files::stat(&files.place(path, Links::Follow, Need::List)?)?;
    let local = files.shared.tree.local(path)?;
    bytes(local.as_os_str().as_bytes(), u64::MAX, out);
    Ok(())
}
