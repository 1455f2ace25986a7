//! What is in a directory: the protocol's listings, with names as they are, and ours.

use super::super::dispatch::number;
use super::super::files::{self, Files, Need};
use super::super::tree::{Links, Place};
use crate::proto::{Code, Entry, Kind, Meta, Name, Stat};
use bytes::{BufMut, BytesMut};
use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

pub(in crate::server) fn getdir(files: &Files, path: &[u8], out: &mut BytesMut) -> Result<(), Code> {
    let place = files.place(path, Links::Follow, Need::List)?;
    let names = match &place {
        Place::Top => mounts(files),
        _ => names(files, &files::read_directory(&place)?)?,
    };
    let mut lines = BytesMut::from(&b".\n..\n"[..]);
    for name in names {
        lines.put_slice(name.as_bytes());
        lines.put_u8(b'\n');
    }
    end(files, lines, out);
    Ok(())
}

/// Ends with an empty line; for Condor's clients the result is how long the listing is.
fn end(files: &Files, lines: BytesMut, out: &mut BytesMut) {
    if files.subject.condor {
        number(lines.len() as u64, out);
        out.unsplit(lines);
    } else {
        number(0, out);
        out.unsplit(lines);
        out.put_u8(b'\n');
    }
}

pub(in crate::server) fn getlongdir(files: &Files, path: &[u8], out: &mut BytesMut) -> Result<(), Code> {
    let place = files.place(path, Links::Follow, Need::List)?;
    let mut lines = BytesMut::new();
    let mut line = |name: &[u8], stat: &Stat| {
        lines.put_slice(name);
        lines.put_slice(format!("\n{stat}\n").as_bytes());
    };
    let own = files::stat(&place)?;
    line(b".", &own);
    line(b"..", &own); // what is above a root is nobody's concern
    if matches!(place, Place::Top) {
        for mount in files.shared.tree.mounts() {
            line(&mount.name, &files::convert(&rustix::fs::fstat(&*mount.fd)?));
        }
    } else {
        let directory = files::read_directory(&place)?;
        for name in names(files, &directory)? {
            match rustix::fs::statat(&directory, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => line(name.as_bytes(), &files::convert(&stat)),
                Err(Errno::NOENT) => {} // gone since
                Err(error) => return Err(error.into()),
            }
        }
    }
    end(files, lines, out);
    Ok(())
}

pub(in crate::server) fn vlist(files: &Files, path: &[u8], out: &mut BytesMut) -> Result<(), Code> {
    let place = files.place(path, Links::Follow, Need::List)?;
    let mut lines = BytesMut::new();
    let mut count = 0;
    if matches!(place, Place::Top) {
        for mount in files.shared.tree.mounts() {
            let name = Name::new(mount.name.clone()).map_err(|_| Code::Unknown)?;
            put(&entry(name, &rustix::fs::fstat(&*mount.fd)?, None), &mut lines);
            count += 1;
        }
    } else {
        let directory = files::read_directory(&place)?;
        for name in names(files, &directory)? {
            if let Some(entry) = entry_at(&directory, name)? {
                put(&entry, &mut lines);
                count += 1;
            }
        }
    }
    number(count, out);
    out.unsplit(lines);
    Ok(())
}

fn put(entry: &Entry, lines: &mut BytesMut) {
    lines.put_slice(format!("{entry}\n").as_bytes());
}

/// `None` if it is gone since it was listed.
fn entry_at(directory: &OwnedFd, name: Name) -> Result<Option<Entry>, Code> {
    let stat = match rustix::fs::statat(directory, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if Kind::of(stat.st_mode) != Kind::Link {
        return Ok(Some(entry(name, &stat, None)));
    }
    match rustix::fs::readlinkat(directory, name.as_os_str(), Vec::new()) {
        Ok(target) => Ok(Some(entry(name, &stat, Some(target.into_bytes())))),
        Err(Errno::NOENT | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "the types differ between platforms")]
fn entry(name: Name, stat: &rustix::fs::Stat, target: Option<Vec<u8>>) -> Entry {
    // A target with a line feed can't be told: then it is something else, which nobody takes for a link.
    let target = target.filter(|target| !target.is_empty() && !target.contains(&b'\n'));
    let kind = match Kind::of(stat.st_mode) {
        Kind::Link if target.is_none() => Kind::Other,
        kind => kind,
    };
    let mtime_ns = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec as i64);
    let meta = Meta { mode: stat.st_mode & 0o7777, mtime_ns };
    Entry { name, kind, meta, size: stat.st_size as u64, nlink: stat.st_nlink as u64, target }
}

fn mounts(files: &Files) -> Vec<Name> {
    files.shared.tree.mounts().iter().filter_map(|mount| Name::new(mount.name.clone()).ok()).collect()
}

/// What is in a directory, but for what is ours and for names with a line feed, which no client can ask for.
pub(super) fn names(files: &Files, directory: &OwnedFd) -> Result<Vec<Name>, Code> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        match Name::new(name) {
            Ok(name) if name.is_hidden() => {}
            Ok(_) if names.len() >= files.shared.limits.entries => return Err(Code::TooBig),
            Ok(name) => names.push(name),
            Err(error) => tracing::warn!(%error, "not listed"),
        }
    }
    // What is renamed meanwhile may have been read twice.
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// How much there is below a directory, as one line: `subject files directories bytes`.
pub(in crate::server) fn audit(files: &Files, path: &[u8], out: &mut BytesMut) -> Result<(), Code> {
    let place = files.place(path, Links::Follow, Need::List)?;
    let mut sum = Sum { files, count: [0; 3], left: files.shared.limits.entries };
    match &place {
        Place::Top => files.shared.tree.mounts().iter().try_for_each(|mount| sum.add(&*mount.fd, ".", 0))?,
        _ => {
            let (fd, name) = place.at().ok_or(Code::NotAuthorized)?;
            sum.add(fd, name, 0)?;
        }
    }
    let [regular, directories, bytes] = sum.count;
    number(1, out);
    out.put_slice(format!("{} {regular} {directories} {bytes}\n", files.subject.name).as_bytes());
    Ok(())
}

struct Sum<'a> {
    files: &'a Files,
    /// Files, directories, bytes.
    count: [u64; 3],
    left: usize,
}

impl Sum<'_> {
    fn add(&mut self, fd: impl AsFd, name: impl rustix::path::Arg, depth: usize) -> Result<(), Code> {
        if depth > super::change::DEPTH {
            return Err(Code::TooBig);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(fd, name, flags, Mode::empty())?;
        self.count[1] += 1;
        for name in names(self.files, &directory)? {
            self.files.check_is_wanted()?;
            self.left = self.left.checked_sub(1).ok_or(Code::TooBig)?;
            let stat = rustix::fs::statat(&directory, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)?;
            match Kind::of(stat.st_mode) {
                Kind::Dir => self.add(&directory, name.as_os_str(), depth + 1)?,
                _ => {
                    self.count[0] += 1;
                    self.count[2] += u64::try_from(stat.st_size).unwrap_or_default();
                }
            }
        }
        Ok(())
    }
}
