//! Standard input: copies what the agent has put into the job's folder into the program, as fast as
//! that reads.  What has been read becomes a hole in the file, so that input without end needs no
//! disk.  Of input that comes while the program runs, how much was read stands in a file of its own,
//! and is announced from time to time.
//!
//! Input for a program that reads no more (it has closed its end, or is gone) counts as read, as
//! everything does that is written to `/dev/null`: whoever sends it is not to wait for ever.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, fallocate, fcntl};
use rustix::event::PollFlags;

use crate::job::INPUT_WINDOW;
use crate::job::folder::Folder;
use crate::private;

/// One write: as much as a pipe takes, unless somebody changed it.
const BLOCK: usize = 64 * 1024;

/// So much more must have been read before it is announced again: a sender that waits because the
/// program is a whole window behind always hears of the next step.
const STEP: u64 = INPUT_WINDOW / 4;

/// What a terminal takes for the end of the input, unless the program says otherwise.
const END_OF_TRANSMISSION: u8 = 4;

/// The standard input of one job, as it lies in its folder.
pub(super) struct Input {
    file: File,
    /// What is all there from the beginning has nobody who waits for room.
    streamed: Option<Streamed>,
    /// Where the program reads; none when it reads no more.
    sink: Option<File>,
    is_terminal: bool,
    taken: u64,
    announced: u64,
    freed: u64,
    have: u64,
    ended: bool,
    block: Box<[u8]>,
}

/// Input that comes piece by piece.
struct Streamed {
    /// Exists once no more will come.
    end: PathBuf,
    /// Says how much was read.
    progress: File,
}

impl Input {
    /// Input that was given as a whole, into that end of a pipe.
    pub(super) fn given(folder: &Folder, sink: File) -> io::Result<Self> {
        Self::new(&folder.stdin(), None, sink, false)
    }

    /// Input that comes piece by piece, into that end of a pipe, or of a terminal.
    pub(super) fn streamed(folder: &Folder, sink: File, is_terminal: bool) -> io::Result<Self> {
        let streamed =
            Streamed { end: folder.input_end(), progress: private::file(&folder.input_taken(), true)? };
        Self::new(&folder.input(), Some(streamed), sink, is_terminal)
    }

    fn new(file: &Path, streamed: Option<Streamed>, sink: File, is_terminal: bool) -> io::Result<Self> {
        let flags = OFlag::from_bits_truncate(fcntl(&sink, FcntlArg::F_GETFL)?);
        fcntl(&sink, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let mut input = Self {
            // Holes are made by writing.
            file: OpenOptions::new().read(true).write(true).open(file)?,
            streamed,
            sink: Some(sink),
            is_terminal,
            taken: 0,
            announced: 0,
            freed: 0,
            have: 0,
            ended: false,
            block: vec![0; BLOCK].into_boxed_slice(),
        };
        input.refresh();
        Ok(input)
    }

    /// The end of the pipe, and what to wait for there: room if there is something to write,
    /// otherwise only the end of the reader.
    pub(super) fn sink(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let wanted = if self.taken < self.have { PollFlags::OUT } else { PollFlags::empty() };
        Some((self.sink.as_ref()?.as_fd(), wanted))
    }

    /// Looks how much has come, and whether that is all.
    pub(super) fn refresh(&mut self) {
        // The end first: what comes before it in the file came before it in time.
        self.ended = self.streamed.as_ref().is_none_or(|streamed| streamed.end.exists());
        self.have = self.file.metadata().map_or(self.have, |metadata| metadata.len());
        self.update();
    }

    /// Writes one block, where poll(2) found that to be possible, or that nobody reads.
    pub(super) fn feed(&mut self, ready: PollFlags) {
        if !ready.contains(PollFlags::OUT) {
            self.sink = None;
            return self.update();
        }
        let length = usize::try_from(self.have - self.taken).unwrap_or(BLOCK).min(BLOCK);
        let Self { file, block, sink: Some(sink), taken, .. } = self else { return };
        let block = block.get_mut(..length).unwrap_or_default();
        match file.read_exact_at(block, *taken).and_then(|()| sink.write(block)) {
            Ok(written) => self.taken += written as u64,
            Err(cause) if matches!(cause.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(_) => self.sink = None,
        }
        self.update();
    }

    /// How much has been read, if that has to be announced.
    pub(super) fn progress(&mut self) -> Option<u64> {
        (self.streamed.is_some() && self.taken - self.announced >= STEP).then(|| {
            self.announced = self.taken;
            self.taken
        })
    }

    /// Notes how far it is, and closes what has come to its end.
    fn update(&mut self) {
        if self.taken == self.have
            && self.ended
            && let Some(mut sink) = self.sink.take().filter(|_| self.is_terminal)
        {
            // A terminal does not end when it is closed at this side: the program may write to it.
            let _ = sink.write(&[END_OF_TRANSMISSION]);
        }
        if self.sink.is_none() {
            self.taken = self.have;
        }
        if let Some(Streamed { progress, .. }) = &self.streamed {
            // A file that cannot be written now is written with the next piece.
            let _ = progress.write_all_at(format!("{:<20}", self.taken).as_bytes(), 0);
        }
        if self.taken - self.freed >= STEP {
            self.free();
        }
    }

    /// Makes a hole of what has been read. A file system that has no holes keeps it until the end.
    fn free(&mut self) {
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        if let Ok(length) = (self.taken - self.freed).try_into() {
            let _ = fallocate(&self.file, hole, self.freed.cast_signed(), length);
        }
        self.freed = self.taken;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::private;

    struct Bed {
        _dir: tempfile::TempDir,
        folder: Folder,
        file: File,
        have: u64,
        input: Input,
        reader: io::PipeReader,
    }

    fn bed() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        let file = private::new_file(&folder.input()).unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let input = Input::streamed(&folder, File::from(OwnedFd::from(writer)), false).unwrap();
        Bed { _dir: dir, folder, file, have: 0, input, reader }
    }

    impl Bed {
        fn gives(&mut self, bytes: &[u8]) {
            self.file.write_all_at(bytes, self.have).unwrap();
            self.have += bytes.len() as u64;
            self.input.refresh();
        }

        fn told(&self) -> String {
            std::fs::read_to_string(self.folder.input_taken()).unwrap()
        }
    }

    #[test]
    fn what_comes_is_passed_on_and_its_end_ends_the_pipe() {
        let mut bed = bed();
        assert_eq!(bed.input.sink().unwrap().1, PollFlags::empty(), "there is nothing to write yet");
        bed.gives(b"one ");
        bed.input.feed(PollFlags::OUT);
        bed.gives(b"two");
        private::file(&bed.folder.input_end(), true).unwrap();
        bed.input.refresh();
        bed.input.feed(PollFlags::OUT);
        assert!(bed.input.sink().is_none());
        let mut read = String::new();
        bed.reader.read_to_string(&mut read).unwrap();
        assert_eq!((read.as_str(), bed.told().trim()), ("one two", "7"));
    }

    #[test]
    fn what_was_read_is_announced_in_steps_and_needs_no_disk() {
        let mut bed = bed();
        let mut announced = Vec::new();
        let mut block = vec![1; BLOCK];
        for _ in 0..2 * STEP / BLOCK as u64 {
            bed.gives(&block.clone());
            bed.input.feed(PollFlags::OUT);
            bed.reader.read_exact(&mut block).unwrap();
            announced.extend(bed.input.progress());
        }
        assert_eq!(announced, [STEP, 2 * STEP]);
        assert_eq!(bed.file.metadata().unwrap().len(), 2 * STEP);
        assert!(bed.file.metadata().unwrap().blocks() * 512 < STEP, "holes");
    }

    #[test]
    fn what_is_all_there_is_passed_on_and_nobody_is_told_how_far_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        let all = vec![b'x'; 3 * usize::try_from(STEP).unwrap()];
        std::fs::write(folder.stdin(), &all).unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let mut input = Input::given(&folder, File::from(OwnedFd::from(writer))).unwrap();
        let reading = std::thread::spawn(move || {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).map(|_| read)
        });
        while input.sink().is_some() {
            input.feed(PollFlags::OUT);
            assert_eq!(input.progress(), None);
        }
        assert_eq!(reading.join().unwrap().unwrap(), all);
        assert!(!folder.input_taken().exists());
    }

    #[test]
    fn a_pipe_that_is_full_keeps_the_rest_waiting() {
        let mut bed = bed();
        bed.gives(&vec![1; 4 * BLOCK]);
        for _ in 0..9 {
            bed.input.feed(PollFlags::OUT);
        }
        assert_eq!((bed.input.taken, bed.input.sink().unwrap().1), (BLOCK as u64, PollFlags::OUT));
    }

    #[test]
    fn a_program_that_does_not_read_keeps_nobody_waiting() {
        let mut bed = bed();
        let (reader, _) = io::pipe().unwrap();
        drop(std::mem::replace(&mut bed.reader, reader));
        bed.gives(b"for nobody");
        bed.input.feed(PollFlags::ERR);
        assert!(bed.input.sink().is_none());
        assert_eq!(bed.told().trim(), "10");
        bed.gives(b", and more");
        assert_eq!(bed.told().trim(), "20");
    }
}
