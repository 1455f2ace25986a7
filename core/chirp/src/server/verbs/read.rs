//! Content on its way out, and its digests. Small files are answered at once, large ones are streamed.

use super::super::dispatch::{Then, number};
use super::super::files::{self, Files, Need};
use super::super::tree::Links;
use crate::proto::{CHUNK, Code, Strides};
use crate::stream::fill;
use bytes::{BufMut, BytesMut};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Up to here content is read into the answers, beyond it is streamed.
const SMALL: u64 = 64 * 1024;

type Streamed = Result<Option<Then>, Code>;

pub(in crate::server) fn getfile(files: &Files, path: &[u8], out: &mut BytesMut) -> Streamed {
    let place = files.place(path, Links::Follow, Need::Read)?;
    let (file, stat) = files::read_file(&place)?;
    part(file.into(), 0, stat.size, out)
}

pub(in crate::server) fn getstream(files: &Files, path: &[u8], out: &mut BytesMut) -> Streamed {
    let place = files.place(path, Links::Follow, Need::Read)?;
    let (file, stat) = files::read_file(&place)?;
    number(0, out);
    Ok(Some(Then::Send { file: file.into(), offset: 0, len: stat.size, hashed: false, close: true }))
}

pub(in crate::server) fn pread(
    files: &Files,
    fd: u32,
    len: u64,
    offset: u64,
    out: &mut BytesMut,
) -> Streamed {
    let file = &files.opened(fd)?.file;
    let stat = files::convert(&rustix::fs::fstat(file)?);
    if !stat.is_file() {
        return Err(Code::IsDirectory);
    }
    let len = len.min(CHUNK).min(stat.size.saturating_sub(offset));
    part(file.clone(), offset, len, out)
}

/// From where the last one ended.
pub(in crate::server) fn read(files: &mut Files, fd: u32, len: u64, out: &mut BytesMut) -> Streamed {
    let opened = files.opened(fd)?;
    let size = files::convert(&rustix::fs::fstat(&opened.file)?).size;
    let (file, offset) = (opened.file.clone(), opened.position);
    let len = len.min(CHUNK).min(size.saturating_sub(offset));
    let then = part(file, offset, len, out)?;
    if let Some(Some(opened)) = files.open.get_mut(fd as usize) {
        opened.position = offset.saturating_add(len);
    }
    Ok(then)
}

fn part(file: Arc<File>, offset: u64, len: u64, out: &mut BytesMut) -> Streamed {
    if len > SMALL {
        number(len, out);
        return Ok(Some(Then::Send { file, offset, len, hashed: false, close: false }));
    }
    let bytes = read_part(&file, offset, len)?;
    number(bytes.len() as u64, out);
    out.put_slice(&bytes);
    Ok(None)
}

/// All of it, or what there is.
fn read_part(file: &File, offset: u64, len: u64) -> Result<Vec<u8>, Code> {
    let mut bytes = Vec::new();
    fill(file, offset, usize::try_from(len).unwrap_or_default(), &mut bytes)?;
    Ok(bytes)
}

/// So many bytes together, then a gap to where the next such part begins; at most 16 MiB, and in memory only so much
/// at a time as one answer may have.
pub(in crate::server) fn sread(
    files: &Files,
    fd: u32,
    len: u64,
    Strides { stride, skip, offset }: Strides,
    out: &mut BytesMut,
) -> Result<(), Code> {
    let file = &files.opened(fd)?.file;
    if stride == 0 || skip == 0 {
        return Err(Code::InvalidRequest);
    }
    let (mut bytes, mut at) = (Vec::new(), offset);
    let len = len.min(4 * SMALL);
    while (bytes.len() as u64) < len {
        let wanted = stride.min(len - bytes.len() as u64);
        let part = read_part(file, at, wanted)?;
        bytes.extend_from_slice(&part);
        if (part.len() as u64) < wanted {
            break;
        }
        at = at.saturating_add(skip);
    }
    number(bytes.len() as u64, out);
    out.put_slice(&bytes);
    Ok(())
}

/// Size, a line with permissions and time of change, content, digest.
pub(in crate::server) fn vget(files: &Files, path: &[u8], out: &mut BytesMut) -> Streamed {
    let place = files.place(path, Links::Follow, Need::Read)?;
    let (file, _) = files::read_file(&place)?;
    let stat = rustix::fs::fstat(&file)?;
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    let mtime_ns = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
    let about = format!("{} {mtime_ns}\n", stat.st_mode & 0o7777);
    if size > SMALL {
        number(size, out);
        out.put_slice(about.as_bytes());
        return Ok(Some(Then::Send { file: file.into(), offset: 0, len: size, hashed: true, close: false }));
    }
    let bytes = read_part(&file, 0, size)?;
    number(bytes.len() as u64, out);
    out.put_slice(about.as_bytes());
    out.put_slice(&bytes);
    out.put_slice(&Sha256::digest(&bytes));
    Ok(None)
}

/// The length of a digest, and the digest.
pub(in crate::server) fn hash(
    files: &Files,
    algorithm: &[u8],
    path: &[u8],
    out: &mut BytesMut,
) -> Result<(), Code> {
    match algorithm.to_ascii_lowercase().as_slice() {
        b"md5" => digest::<Md5>(files, path, u64::MAX, out),
        b"sha1" => digest::<Sha1>(files, path, u64::MAX, out),
        b"sha256" => digest::<Sha256>(files, path, u64::MAX, out),
        _ => Err(Code::InvalidRequest),
    }
}

/// SHA-256 of the first bytes: where an interrupted transfer may go on.
pub(in crate::server) fn vhash(files: &Files, path: &[u8], len: u64, out: &mut BytesMut) -> Result<(), Code> {
    digest::<Sha256>(files, path, len, out)
}

fn digest<D: Digest>(files: &Files, path: &[u8], len: u64, out: &mut BytesMut) -> Result<(), Code> {
    let place = files.place(path, Links::Follow, Need::Read)?;
    let (file, stat) = files::read_file(&place)?;
    let (mut digest, mut at, end) = (D::new(), 0, len.min(stat.size));
    let mut buffer = vec![0; usize::try_from(end.min(256 * 1024)).unwrap_or_default()];
    while at < end {
        files.check_is_wanted()?;
        let most = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let part = buffer.get_mut(..most).unwrap_or_default();
        match file.read_at(part, at)? {
            0 => break,
            read => {
                digest.update(part.get(..read).unwrap_or_default());
                at += read as u64;
            }
        }
    }
    let digest = digest.finalize();
    number(digest.len() as u64, out);
    out.put_slice(&digest);
    Ok(())
}
