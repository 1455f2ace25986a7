//! Content on its way in: where it goes to.

use super::super::files::{Files, Need};
use super::super::sink::{Answer, OpenSink, Sink, Upload, Wanted};
use super::super::tree::Links;
use super::MODES;
use crate::proto::{CHUNK, Code, Meta};

/// The mode is a whole st_mode. The owner can always read and write what he has sent.
pub(in crate::server) fn putfile(files: &Files, path: &[u8], mode: u32, len: u64) -> Result<Sink, Code> {
    let mode = mode & 0o777 | 0o600;
    let wanted = Wanted { mode, meta: None, digest: false, answer: Answer::Length };
    upload(files, path, Links::Follow, len, wanted).map(Sink::Upload)
}

/// Until the client closes.
pub(in crate::server) fn putstream(files: &Files, path: &[u8]) -> Result<Sink, Code> {
    let wanted = Wanted { mode: 0o644, meta: None, digest: false, answer: Answer::Length };
    upload(files, path, Links::Follow, 0, wanted).map(Sink::Upload)
}

/// With its digest behind it. A link of that name is replaced, and not followed.
pub(in crate::server) fn vput(files: &Files, path: &[u8], meta: Meta, len: u64) -> Result<Box<Upload>, Code> {
    let (mode, meta) = (meta.mode & MODES, Some(meta));
    upload(files, path, Links::Keep, len, Wanted { mode, meta, digest: true, answer: Answer::Zero })
}

fn upload(files: &Files, path: &[u8], links: Links, len: u64, wanted: Wanted) -> Result<Box<Upload>, Code> {
    let place = files.place(path, links, Need::Write)?;
    Ok(Box::new(Upload::new(files, &place, len, wanted)?))
}

/// At most 16 MiB are taken, as by the real server. `strides`: bytes together, and from one such part to the next.
pub(in crate::server) fn pwrite(
    files: &Files,
    fd: u32,
    len: u64,
    offset: u64,
    strides: Option<(u64, u64)>,
) -> Result<Sink, Code> {
    if len > CHUNK {
        return Err(Code::TooBig);
    }
    let file = files.writable(fd)?.file.clone();
    let end = match strides {
        Some((0, _) | (_, 0)) => return Err(Code::InvalidRequest),
        Some((stride, skip)) => {
            offset.saturating_add((len / stride).saturating_mul(skip)).saturating_add(stride)
        }
        None => offset.saturating_add(len),
    };
    files.has_room(&file, len, end)?;
    Ok(Sink::Open(OpenSink { file, offset, stride: strides, written: 0, failed: None, moves: None }))
}

/// From where the last one ended.
pub(in crate::server) fn write(files: &Files, fd: u32, len: u64) -> Result<Sink, Code> {
    let opened = files.writable(fd)?;
    let offset = match opened.append {
        true => u64::try_from(rustix::fs::fstat(&opened.file)?.st_size).unwrap_or_default(),
        false => opened.position,
    };
    let sink = pwrite(files, fd, len, offset, None)?;
    match sink {
        Sink::Open(open) => Ok(Sink::Open(OpenSink { moves: Some(fd), ..open })),
        other => Ok(other),
    }
}
