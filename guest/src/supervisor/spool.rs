//! Copies what the program writes from its pipes into the spool files, counts and digests it, and
//! knows when there is no more room.  A byte that was read is in the spool or is counted as left
//! out; one that was not read keeps the program waiting.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, FcntlArg, fallocate, fcntl};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sha2::{Digest, Sha256};

use crate::job::INLINE;
use crate::job::folder::Freed;
use vocable_protocol::{LeftOut, Part};

/// One read from a pipe: the capacity of a pipe unless somebody changed it.
const BLOCK: usize = 64 * 1024;

/// How often a full disk is tried again: nothing tells when somebody makes room on it.
const RETRY: Duration = Duration::from_secs(1);

/// So much of what the host has taken is kept nevertheless, of each stream: a host has the last
/// few mebibytes in memory only, and if its machine stops it asks for them again.  At most a
/// quarter of the limit, so that there is room for new output in any case.
const KEPT_BACK: u64 = 8 << 20;

/// Room is made in steps of an eighth of the limit, but not more than this.
const MAX_STEP: u64 = 64 << 20;

pub(super) struct Spool {
    out: Stream,
    err: Stream,
    limit: u64,
    /// Whether the program has ended: the limit holds up nobody any more, and of what is in the pipes no more is taken
    /// than they held then.
    draining: bool,
    full: Option<Full>,
    discarding: bool,
    /// Why anything was left out: the first reason.
    reason: Option<String>,
    block: Box<[u8]>,
}

enum Full {
    /// The configured limit: until the host has taken some of it.
    Limit,
    /// The disk: perhaps better later.
    Disk { cause: io::Error, retry_at: Instant },
}

struct Stream {
    pipe: Option<File>,
    file: File,
    digest: Sha256,
    kept: u64,
    /// Of that, from the beginning, no longer there.
    freed: u64,
    left_out: u64,
    /// Read, but not yet written because the disk was full.
    pending: Vec<u8>,
    /// After the end of the program: how much may still be read.
    left: u64,
}

impl Spool {
    /// Copies from each pipe into the file beside it, at most `limit` bytes together.
    pub(super) fn new(out: (File, File), err: (File, File), limit: u64) -> Self {
        let block = vec![0; BLOCK].into_boxed_slice();
        let (out, err) = (Stream::new(out), Stream::new(err));
        Self { out, err, limit, draining: false, full: None, discarding: false, reason: None, block }
    }

    /// The pipes worth waiting for.  None while the spool is full: then the program waits.
    pub(super) fn pipes(&self) -> impl Iterator<Item = (Part, BorrowedFd<'_>)> {
        let listening = self.full.is_none() || self.discarding;
        [(Part::Out, &self.out), (Part::Err, &self.err)].into_iter().filter_map(move |(part, stream)| {
            Some((part, stream.pipe.as_ref().filter(|_| listening)?.as_fd()))
        })
    }

    /// Copies one block of a pipe that poll(2) found ready.
    pub(super) fn copy(&mut self, part: Part, ready: PollFlags, now: Instant) {
        let room = self.room();
        if room == 0 && !self.discarding && ready.contains(PollFlags::IN) {
            self.full = Some(Full::Limit);
            return;
        }
        // Not more than there is room for is read: the rest keeps the program waiting.
        let most =
            if self.discarding { BLOCK } else { usize::try_from(room).unwrap_or(BLOCK).clamp(1, BLOCK) };
        let Self { out, err, block, .. } = self;
        let stream = if part == Part::Out { out } else { err };
        let block = block.get_mut(..most).unwrap_or_default();
        let Some(bytes) = stream.read(block) else { return };
        if self.discarding {
            stream.left_out += bytes.len() as u64;
        } else if let Err(cause) = stream.keep(bytes) {
            self.full = Some(Full::Disk { cause, retry_at: now + RETRY });
        }
    }

    /// How much the limit lets in.
    fn room(&self) -> u64 {
        if self.draining { u64::MAX } else { self.limit.saturating_sub(self.used()) }
    }

    /// What of the output is still there.
    fn used(&self) -> u64 {
        self.out.kept - self.out.freed + self.err.kept - self.err.freed
    }

    /// Whether there is so much that its beginning may have to be freed.
    pub(super) fn will_want_room(&self) -> bool {
        self.used() > INLINE.min(self.limit / 2)
    }

    /// What can be freed now that the host has taken so much; nothing as long as there is room, so
    /// that most output can be read again from its beginning.
    pub(super) fn can_free(&self, taken: Freed) -> Option<Freed> {
        let used = self.used();
        // On a full disk, room is what there is.
        let limit = if matches!(self.full, Some(Full::Disk { .. })) { used } else { self.limit };
        if used <= limit / 2 {
            return None;
        }
        let kept_back = KEPT_BACK.min(limit / 4);
        let of =
            |stream: &Stream, taken: u64| taken.min(stream.kept).saturating_sub(kept_back).max(stream.freed);
        let freed = Freed { out: of(&self.out, taken.out), err: of(&self.err, taken.err) };
        let gain = freed.out - self.out.freed + freed.err - self.err.freed;
        (gain >= (limit / 8).clamp(1, MAX_STEP)).then_some(freed)
    }

    /// Frees the beginning of the streams; everything behind stays where it is.
    pub(super) fn free(&mut self, freed: Freed) -> io::Result<()> {
        self.out.free(freed.out)?;
        self.err.free(freed.err)?;
        match &mut self.full {
            Some(Full::Limit) => self.full = None,
            Some(Full::Disk { retry_at, .. }) => *retry_at = Instant::now(),
            None => {}
        }
        Ok(())
    }

    /// Tries a full disk again if it is time.
    pub(super) fn retry(&mut self, now: Instant) {
        let Some(Full::Disk { retry_at, .. }) = &mut self.full else { return };
        if now < *retry_at || self.discarding {
            return;
        }
        *retry_at = now + RETRY;
        if self.out.keep_pending().is_ok() && self.err.keep_pending().is_ok() {
            self.full = None;
        }
    }

    /// When `retry` has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.full {
            Some(Full::Disk { retry_at, .. }) if !self.discarding => Some(*retry_at),
            _ => None,
        }
    }

    /// Why there is no more room, if there is none.
    pub(super) fn full(&self) -> Option<String> {
        Some(match self.full.as_ref()? {
            Full::Limit => format!("the output spool is full: {} bytes (jobs.spool_limit)", self.limit),
            Full::Disk { cause, .. } => format!("the output spool cannot be written: {cause}"),
        })
    }

    /// From now on everything is read, counted and thrown away, so that nobody waits for room.
    pub(super) fn discard(&mut self) {
        self.reason = self.reason.take().or_else(|| self.full());
        self.discarding = true;
    }

    /// Takes what is left in the pipes after the end of the program.  What its background
    /// processes may write from now on is not waited for: at most one pipe's capacity is read,
    /// and everything the program itself wrote is in that.  The limit is there to hold up a program
    /// that writes too much; one that has ended leaves no more than this, and loses nothing to it.
    ///
    /// Gives whether that was all.  On a full disk it is not: then the rest stays in the pipes, and
    /// this is to be called again after [`retry`](Self::retry), or [`give_up`](Self::give_up).
    pub(super) fn drain(&mut self, now: Instant) -> bool {
        if !self.draining {
            self.begin_to_drain(now);
        }
        for part in [Part::Out, Part::Err] {
            while let Some(ready) = self.ready(part) {
                let before = self.read_bytes();
                self.copy(part, ready, now);
                let read = self.read_bytes() - before;
                let stream = self.stream_mut(part);
                stream.left = stream.left.saturating_sub(read);
            }
        }
        if self.discarding {
            self.out.give_up_pending();
            self.err.give_up_pending();
        }
        self.full.is_none() || self.discarding
    }

    fn begin_to_drain(&mut self, now: Instant) {
        self.draining = true;
        for stream in [&mut self.out, &mut self.err] {
            stream.left = stream.capacity();
        }
        if !self.discarding && matches!(self.full, Some(Full::Limit)) {
            self.full = None;
        }
        self.retry(now + RETRY);
    }

    /// Whether more of that pipe is to be taken now.
    fn ready(&self, part: Part) -> Option<PollFlags> {
        let is_possible = self.full.is_none() || self.discarding;
        let stream = self.stream(part);
        stream.ready().filter(|_| is_possible && stream.left > 0)
    }

    /// Waits no longer for room: what could not be kept is counted as left out.
    pub(super) fn give_up(&mut self) {
        self.discard();
        self.drain(Instant::now());
    }

    /// Makes sure the spool outlives the machine.
    pub(super) fn sync(&self) -> io::Result<()> {
        [&self.out, &self.err]
            .into_iter()
            .filter(|stream| stream.kept > 0)
            .try_for_each(|stream| stream.file.sync_data())
    }

    /// Bytes in the spool, of each stream.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.out.kept, self.err.kept)
    }

    /// SHA-256 of what is in the spool, of each stream.
    pub(super) fn digests(&self) -> (String, String) {
        let digest = |stream: &Stream| hex::encode(stream.digest.clone().finalize());
        (digest(&self.out), digest(&self.err))
    }

    /// What was read and not kept, if anything.
    pub(super) fn left_out(&self) -> Option<LeftOut> {
        let (out, err) = (self.out.left_out, self.err.left_out);
        let reason = || self.reason.clone().or_else(|| self.full()).unwrap_or_default();
        (out + err > 0).then(|| LeftOut { out, err, reason: reason() })
    }

    fn stream(&self, part: Part) -> &Stream {
        match part {
            Part::Out => &self.out,
            Part::Err => &self.err,
        }
    }

    fn stream_mut(&mut self, part: Part) -> &mut Stream {
        match part {
            Part::Out => &mut self.out,
            Part::Err => &mut self.err,
        }
    }

    fn read_bytes(&self) -> u64 {
        [&self.out, &self.err]
            .iter()
            .map(|stream| stream.kept + stream.left_out + stream.pending.len() as u64)
            .sum()
    }
}

impl Stream {
    fn new((pipe, file): (File, File)) -> Self {
        Self {
            pipe: Some(pipe),
            file,
            digest: Sha256::new(),
            kept: 0,
            freed: 0,
            left_out: 0,
            pending: Vec::new(),
            left: 0,
        }
    }

    fn free(&mut self, to: u64) -> io::Result<()> {
        let length = to.saturating_sub(self.freed);
        if length > 0 {
            let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            fallocate(&self.file, hole, self.freed.cast_signed(), length.cast_signed())?;
            self.freed = to;
        }
        Ok(())
    }

    /// One block from the pipe; at its end the pipe is closed.
    fn read<'a>(&mut self, block: &'a mut [u8]) -> Option<&'a [u8]> {
        match self.pipe.as_mut()?.read(block) {
            Ok(length) if length > 0 => block.get(..length),
            Err(cause) if matches!(cause.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {
                None
            }
            _ => {
                self.pipe = None;
                None
            }
        }
    }

    /// Writes to the file; what it does not take is pending.
    fn keep(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(length) => {
                    let (written, rest) = bytes.split_at(length.min(bytes.len()));
                    self.digest.update(written);
                    self.kept += written.len() as u64;
                    bytes = rest;
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => {
                    self.pending = bytes.to_vec();
                    return Err(cause);
                }
            }
        }
        Ok(())
    }

    fn keep_pending(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.keep(&pending)
    }

    fn give_up_pending(&mut self) {
        self.left_out += self.pending.len() as u64;
        self.pending = Vec::new();
    }

    fn capacity(&self) -> u64 {
        let capacity = self.pipe.as_ref().and_then(|pipe| fcntl(pipe, FcntlArg::F_GETPIPE_SZ).ok());
        capacity.and_then(|capacity| u64::try_from(capacity).ok()).unwrap_or(BLOCK as u64)
    }

    /// Whether something can be read without waiting, the end included.
    fn ready(&self) -> Option<PollFlags> {
        let pipe = self.pipe.as_ref()?;
        let mut polled = [PollFd::new(pipe, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec::default())).ok()?;
        let [polled] = polled;
        Some(polled.revents()).filter(|ready| !ready.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::fd::OwnedFd;

    use super::*;

    /// A spool with two pipes to write into and two files to read back from.
    struct Bed {
        spool: Spool,
        writers: [io::PipeWriter; 2],
        files: [File; 2],
    }

    fn bed(limit: u64, out: File) -> Bed {
        let (out_pipe, out_writer) = io::pipe().unwrap();
        let (err_pipe, err_writer) = io::pipe().unwrap();
        let err = tempfile::tempfile().unwrap();
        let files = [out.try_clone().unwrap(), err.try_clone().unwrap()];
        let pipe = |reader: io::PipeReader| File::from(OwnedFd::from(reader));
        let spool = Spool::new((pipe(out_pipe), out), (pipe(err_pipe), err), limit);
        Bed { spool, writers: [out_writer, err_writer], files }
    }

    fn content(file: &mut File) -> Vec<u8> {
        let mut bytes = Vec::new();
        io::Seek::rewind(file).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn full_disk() -> File {
        OpenOptions::new().read(true).write(true).open("/dev/full").unwrap()
    }

    #[test]
    fn what_is_written_is_spooled_counted_and_digested() {
        let mut bed = bed(100, tempfile::tempfile().unwrap());
        bed.writers[0].write_all(b"one").unwrap();
        bed.writers[1].write_all(b"two!").unwrap();
        bed.spool.drain(Instant::now());
        assert_eq!(bed.spool.totals(), (3, 4));
        assert_eq!(bed.files.each_mut().map(content), [b"one".to_vec(), b"two!".to_vec()]);
        assert_eq!(bed.spool.digests().0, vocable_protocol::sha256_hex(b"one"));
        assert_eq!(bed.spool.left_out(), None);
        bed.spool.sync().unwrap();
    }

    #[test]
    fn what_is_beyond_the_limit_is_not_read_before_the_end_and_then_kept() {
        let mut bed = bed(5, tempfile::tempfile().unwrap());
        bed.writers[0].write_all(b"12345678").unwrap();
        for _ in 0..3 {
            bed.spool.copy(Part::Out, PollFlags::IN, Instant::now());
        }
        assert!(bed.spool.full().unwrap().contains('5'));
        assert_eq!(bed.spool.pipes().count(), 0, "the program has to wait");
        bed.writers[1].write_all(b"err").unwrap();
        bed.spool.drain(Instant::now());
        assert_eq!(bed.spool.totals(), (8, 3));
        assert_eq!(bed.files.each_mut().map(content), [b"12345678".to_vec(), b"err".to_vec()]);
        assert_eq!(bed.spool.left_out(), None);
    }

    #[test]
    fn what_is_beyond_the_limit_is_counted_to_the_end_where_it_is_not_kept() {
        let mut bed = bed(5, tempfile::tempfile().unwrap());
        bed.writers[0].write_all(b"12345678").unwrap();
        for _ in 0..3 {
            bed.spool.copy(Part::Out, PollFlags::IN, Instant::now());
        }
        bed.spool.discard();
        bed.spool.drain(Instant::now());
        assert_eq!((bed.spool.totals(), content(&mut bed.files[0])), ((5, 0), b"12345".to_vec()));
        let left_out = bed.spool.left_out().unwrap();
        assert_eq!((left_out.out, left_out.err), (3, 0));
        assert!(left_out.reason.contains("5 bytes"), "{}", left_out.reason);
    }

    #[test]
    fn what_the_host_has_makes_room_and_the_rest_stays_where_it_is() {
        let mut bed = bed(4096, tempfile::tempfile().unwrap());
        let (mut written, mut taken) = (Vec::new(), 0);
        for round in 0..40_u8 {
            let block: Vec<u8> = (0..1000_u16).map(|n| (n % 251) as u8 ^ round).collect();
            bed.writers[0].write_all(&block).unwrap();
            written.extend(block);
            // Until all is in the spool; whenever it is full, the host takes what is there.
            while bed.spool.totals().0 < written.len() as u64 {
                bed.spool.copy(Part::Out, PollFlags::IN, Instant::now());
                if bed.spool.full().is_some() {
                    taken = bed.spool.totals().0;
                    let freed = bed.spool.can_free(Freed { out: taken, err: 0 }).unwrap();
                    assert!(freed.out <= taken - 1024, "a quarter of the limit is kept back");
                    bed.spool.free(freed).unwrap();
                    assert_eq!(bed.spool.full(), None);
                }
            }
            assert!(bed.spool.used() <= 4096);
        }
        assert!(taken > 30_000, "room was made again and again");
        bed.spool.drain(Instant::now());
        let freed = usize::try_from(bed.spool.out.freed).unwrap();
        let there = content(&mut bed.files[0]);
        assert_eq!((there.len(), &there[freed..]), (written.len(), &written[freed..]));
        assert!(there[..freed].iter().all(|byte| *byte == 0), "it is gone from the disk");
        assert_eq!(bed.spool.digests().0, vocable_protocol::sha256_hex(&written));
        assert_eq!(bed.spool.left_out(), None);
    }

    #[test]
    fn nothing_is_freed_as_long_as_there_is_room() {
        let mut bed = bed(1000, tempfile::tempfile().unwrap());
        bed.writers[0].write_all(&[b'x'; 500]).unwrap();
        bed.spool.copy(Part::Out, PollFlags::IN, Instant::now());
        assert_eq!(bed.spool.can_free(Freed { out: 500, err: 0 }), None);
        bed.writers[1].write_all(b"y").unwrap();
        bed.spool.copy(Part::Err, PollFlags::IN, Instant::now());
        // More than was written cannot have been taken.
        assert_eq!(bed.spool.can_free(Freed { out: 9000, err: 0 }), Some(Freed { out: 250, err: 0 }));
        assert_eq!(bed.spool.can_free(Freed { out: 300, err: 1 }), None, "too little to be worth it");
    }

    #[test]
    fn a_full_disk_loses_nothing_silently_and_is_tried_again() {
        let now = Instant::now();
        let mut bed = bed(1000, full_disk());
        bed.writers[0].write_all(b"12345678").unwrap();
        bed.spool.copy(Part::Out, PollFlags::IN, now);
        assert!(bed.spool.full().unwrap().contains("No space left"));
        assert_eq!((bed.spool.pipes().count(), bed.spool.deadline()), (0, Some(now + RETRY)));
        bed.spool.out.file = tempfile::tempfile().unwrap();
        bed.spool.retry(now + RETRY);
        assert_eq!((bed.spool.full(), bed.spool.totals()), (None, (8, 0)));
        assert_eq!(content(&mut bed.spool.out.file), b"12345678");
    }

    #[test]
    fn what_a_full_disk_never_took_is_counted_with_the_reason() {
        let mut bed = bed(1000, full_disk());
        bed.writers[0].write_all(b"12345678").unwrap();
        bed.spool.copy(Part::Out, PollFlags::IN, Instant::now());
        bed.writers[0].write_all(b"9").unwrap();
        bed.writers[1].write_all(b"err").unwrap();
        assert!(!bed.spool.drain(Instant::now()));
        bed.spool.give_up();
        let left_out = bed.spool.left_out().unwrap();
        assert_eq!((left_out.out, left_out.err, bed.spool.totals()), (9, 3, (0, 0)));
        assert!(left_out.reason.contains("No space left"), "{}", left_out.reason);
    }

    #[test]
    fn what_is_in_the_pipes_at_the_end_waits_for_room_on_the_disk() {
        let mut now = Instant::now();
        let mut bed = bed(1000, full_disk());
        bed.writers[0].write_all(b"12345678").unwrap();
        bed.spool.copy(Part::Out, PollFlags::IN, now);
        bed.writers[0].write_all(b"9").unwrap();
        bed.writers[1].write_all(b"err").unwrap();
        drop(bed.writers);
        for _ in 0..3 {
            assert!(!bed.spool.drain(now), "there is no room yet");
            now = bed.spool.deadline().unwrap();
            bed.spool.retry(now);
        }
        bed.spool.out.file = tempfile::tempfile().unwrap();
        now = bed.spool.deadline().unwrap();
        bed.spool.retry(now);
        assert!(bed.spool.drain(now));
        assert_eq!((bed.spool.totals(), bed.spool.left_out()), ((9, 3), None));
        assert_eq!(content(&mut bed.spool.out.file), b"123456789");
    }

    #[test]
    fn a_daemon_is_not_waited_for_because_a_disk_was_full_in_between() {
        let now = Instant::now();
        let mut bed = bed(u64::MAX, full_disk());
        let mut writer = bed.writers[0].try_clone().unwrap();
        let daemon = std::thread::spawn(move || while writer.write_all(&[b'x'; 4096]).is_ok() {});
        while bed.spool.full().is_none() {
            bed.spool.drain(now);
        }
        bed.spool.out.file = tempfile::tempfile().unwrap();
        for _ in 0..100 {
            bed.spool.retry(bed.spool.deadline().unwrap_or(now));
            assert!(bed.spool.drain(now));
        }
        assert!(bed.spool.totals().0 <= 2 * BLOCK as u64);
        drop(bed);
        daemon.join().unwrap();
    }

    #[test]
    fn a_daemon_that_goes_on_writing_does_not_hold_up_the_end() {
        let mut bed = bed(u64::MAX, tempfile::tempfile().unwrap());
        let mut writer = bed.writers[0].try_clone().unwrap();
        let daemon = std::thread::spawn(move || while writer.write_all(&[b'x'; 4096]).is_ok() {});
        bed.spool.drain(Instant::now());
        assert!(bed.spool.totals().0 <= 2 * BLOCK as u64);
        drop(bed);
        daemon.join().unwrap();
    }
}
