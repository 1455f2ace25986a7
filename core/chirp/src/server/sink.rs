//! Where a body goes: into a file that is to take another's place, into an open file, or nowhere.
//!
//! A body is always taken to its end, whatever fails, as what follows it is the next request.

use super::files::Files;
use super::tree::Place;
use crate::proto::{Code, Meta, Name};
use crate::secret::nonce;
use rustix::fs::{Advice, AtFlags, Mode, OFlags, Timespec, Timestamps};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Where a body goes.
pub(super) enum Sink {
    /// Nowhere: it was refused with that code, which has been answered (`None`) or is to be.
    Nowhere(Option<Code>),
    /// Into an open file.
    Open(OpenSink),
    /// Into a new file that takes the place of the old one at the end.
    Upload(Box<Upload>),
}

impl Sink {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::Nowhere(_) => {}
            Self::Open(open) => open.write(bytes),
            Self::Upload(upload) => upload.write(bytes),
        }
    }

    /// All of it is there: what to answer, if anything.
    pub(super) fn finish(self, files: &mut Files) -> Option<Result<u64, Code>> {
        match self {
            Self::Nowhere(code) => code.map(Err),
            Self::Open(open) => Some(open.finish(files)),
            Self::Upload(upload) => {
                let batched = upload.digest.is_some();
                let placed = upload.arrived().and_then(|arrived| arrived.place(files));
                // Who can ask for it asks for it when all have arrived.
                let synced = placed
                    .and_then(|length| if batched { Ok(length) } else { files.sync().map(|()| length) });
                Some(synced)
            }
        }
    }

    /// The same for many at a time, which takes a fraction of the time: what to answer to each.
    pub(super) fn finish_all(
        sinks: Vec<Result<Box<Upload>, Code>>,
        files: &mut Files,
    ) -> Vec<Result<u64, Code>> {
        let arrived: Vec<_> =
            sinks.into_iter().map(|sink| sink.and_then(|upload| upload.arrived())).collect();
        // All begin to be written before the first is waited for. It is advice only: nothing hangs on it.
        if arrived.len() > 1 {
            for one in arrived.iter().flatten() {
                let _ = rustix::fs::fadvise(&one.temporary.file, 0, None, Advice::DontNeed);
            }
        }
        arrived.into_iter().map(|one| one.and_then(|one| one.place(files))).collect()
    }
}

/// Bytes into an open file: from an offset on, with gaps if it is strided.
pub(super) struct OpenSink {
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
    /// So many bytes together, and how far it is from one such part to the next.
    pub(super) stride: Option<(u64, u64)>,
    pub(super) written: u64,
    pub(super) failed: Option<Code>,
    /// Whose position is to be moved.
    pub(super) moves: Option<u32>,
}

impl OpenSink {
    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.failed.is_none() {
            let (at, most) = self.next();
            let (part, rest) = bytes.split_at(bytes.len().min(usize::try_from(most).unwrap_or(usize::MAX)));
            match self.file.write_all_at(part, at) {
                Ok(()) => self.written += part.len() as u64,
                Err(error) => self.failed = Some(error.into()),
            }
            bytes = rest;
        }
    }

    /// Where the next byte goes, and how many may follow it there.
    fn next(&self) -> (u64, u64) {
        let Some((stride, skip)) = self.stride else {
            return (self.offset.saturating_add(self.written), u64::MAX);
        };
        let (part, within) = (self.written / stride, self.written % stride);
        (self.offset.saturating_add(part.saturating_mul(skip)).saturating_add(within), stride - within)
    }

    fn finish(self, files: &mut Files) -> Result<u64, Code> {
        files.stored = files.stored.saturating_add(self.written);
        let opened = self.moves.and_then(|fd| files.open.get_mut(fd as usize)).and_then(Option::as_mut);
        if let Some(opened) = opened {
            opened.position = self.offset.saturating_add(self.written);
        }
        // What was written before it failed is told, as write(2) does.
        match self.failed {
            Some(code) if self.written == 0 => Err(code),
            _ => Ok(self.written),
        }
    }
}

/// A file on its way.
pub(super) struct Upload {
    temporary: Temporary,
    meta: Option<Meta>,
    mode: u32,
    digest: Option<Tail>,
    written: u64,
    failed: Option<Code>,
    answer: Answer,
    limit: u64,
}

/// The digest of the content, and the one that follows it.
struct Tail {
    digest: Sha256,
    /// How much of the content is still to come.
    content: u64,
    expected: Vec<u8>,
}

impl Tail {
    /// The content among these bytes; what is behind it is the digest.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let most = usize::try_from(self.content).unwrap_or(usize::MAX).min(bytes.len());
        let (content, tail) = bytes.split_at(most);
        self.content -= most as u64;
        self.digest.update(content);
        self.expected.extend_from_slice(tail);
        content
    }
}

/// What is answered when all has gone well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// How many bytes there were.
    Length,
    /// That it is done.
    Zero,
}

/// A file under a hidden name, gone when it is dropped before it has its own.
struct Temporary {
    folder: Arc<OwnedFd>,
    name: Name,
    hidden: String,
    file: File,
    placed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.placed {
            // Nothing can be done about what can't be removed.
            let _ = rustix::fs::unlinkat(&*self.folder, &self.hidden, AtFlags::empty());
        }
    }
}

/// How a file is to be when it has arrived.
pub(super) struct Wanted {
    pub(super) mode: u32,
    /// Its time of change, and mode to the bit.
    pub(super) meta: Option<Meta>,
    /// Whether the digest of its content follows it.
    pub(super) digest: bool,
    pub(super) answer: Answer,
}

impl Upload {
    /// Makes the hidden file, if one may be there and there is room for it.
    pub(super) fn new(files: &Files, place: &Place, len: u64, wanted: Wanted) -> Result<Self, Code> {
        let (folder, name) = place.entry()?;
        files.has_room(&**folder, len, len)?;
        match rustix::fs::statat(&**folder, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => match stat.st_mode & 0o170_000 {
                // A link is only found here if it is meant itself.
                0o100_000 | 0o120_000 => {}
                0o040_000 => return Err(Code::IsDirectory),
                _ => return Err(Code::NotAuthorized),
            },
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let random = nonce::<8>().map_err(|_| Code::TryAgain)?;
        let hidden = format!(".__vocable.{}", hex::encode(random));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&**folder, &hidden, flags, Mode::from_raw_mode(0o600))?;
        let (folder, name) = (folder.clone(), name.clone());
        let temporary = Temporary { folder, name, hidden, file: file.into(), placed: false };
        let Wanted { mode, meta, digest, answer } = wanted;
        let digest = digest.then(|| Tail { digest: Sha256::new(), content: len, expected: Vec::new() });
        let limit = files.shared.limits.file.min(files.shared.limits.stored.saturating_sub(files.taken()));
        Ok(Self { temporary, meta, mode, digest, written: 0, failed: None, answer, limit })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        let content = match &mut self.digest {
            Some(tail) => tail.take(bytes),
            None => bytes,
        };
        self.written = self.written.saturating_add(content.len() as u64);
        if self.written > self.limit {
            self.failed = Some(Code::TooBig);
            return;
        }
        if let Err(error) = self.temporary.file.write_all(content) {
            self.failed = Some(error.into());
        }
    }

    fn arrived(mut self) -> Result<Arrived, Code> {
        if let Some(code) = self.failed {
            return Err(code);
        }
        if let Some(Tail { digest, expected, .. }) = self.digest.take()
            && digest.finalize().as_slice() != expected
        {
            return Err(Code::DigestMismatch);
        }
        rustix::fs::fchmod(&self.temporary.file, Mode::from_raw_mode(self.mode))?;
        if let Some(meta) = self.meta {
            rustix::fs::futimens(&self.temporary.file, &times(meta.mtime_ns))?;
        }
        Ok(Arrived { temporary: self.temporary, written: self.written, answer: self.answer })
    }
}

/// A file that is whole, under its hidden name.
struct Arrived {
    temporary: Temporary,
    written: u64,
    answer: Answer,
}

impl Arrived {
    /// Gives it its name, once what is in it is on the disk: after a crash of the machine it is the old file or the new
    /// one, too.
    fn place(mut self, files: &mut Files) -> Result<u64, Code> {
        rustix::fs::fsync(&self.temporary.file)?;
        let Temporary { folder, name, hidden, .. } = &self.temporary;
        rustix::fs::renameat(&**folder, hidden, &**folder, name.as_os_str())?;
        self.temporary.placed = true;
        files.has_changed(&self.temporary.folder)?;
        files.stored = files.stored.saturating_add(self.written);
        Ok(if self.answer == Answer::Length { self.written } else { 0 })
    }
}

/// As the system calls take it: the time of change that is given, the time of access left alone.
pub(super) fn times(mtime_ns: i128) -> Timestamps {
    let seconds = i64::try_from(mtime_ns.div_euclid(1_000_000_000)).unwrap_or_default();
    let nanos = i64::try_from(mtime_ns.rem_euclid(1_000_000_000)).unwrap_or_default();
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT as _ },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanos as _ },
    }
}
