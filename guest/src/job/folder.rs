//! The folder of one job: what lies in it, and how it is written so that it survives a crash.
//!
//! ```text
//! job.json      the record: what was asked for                     agent, durable before the start
//! stdin         standard input, if any was given                   agent
//! input         standard input as it comes, read parts are holes   agent, holes by the supervisor
//! input.end     the input is complete                              agent
//! input.taken   how much of it the program has read                supervisor
//! events        FIFO, supervisor to agent; its end is the supervisor's
//! control       FIFO, agent to supervisor
//! supervisor.json  the supervisor as a process, and the cgroup     supervisor
//! out, err      what the program wrote                             supervisor
//! freed.json    how much of that was freed, from the beginning; the host has it    supervisor
//! result.json   the results, durable a moment after they appear    supervisor
//! acknowledged  the host has the results; its age is the delay of the removal      agent
//! supervisor.log   what a supervisor in trouble had to say
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use vocable_protocol::{Part, Results};

use super::record::Record;
use crate::private;

/// A full disk must not keep a job from saying how it ended, so the room is taken beforehand.
const ROOM_FOR_RESULT: usize = 4096;

const FREED: &str = "freed.json";
/// Less than what a disk writes as one.
const ROOM_FOR_FREED: usize = 128;

/// From the beginning of each stream so many bytes are no longer in the spool, to make room: the
/// host has them.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Freed {
    pub(crate) out: u64,
    pub(crate) err: u64,
}

impl Freed {
    pub(crate) const fn of(self, part: Part) -> u64 {
        match part {
            Part::Err => self.err,
            Part::Out => self.out,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.0.join("job.json")
    }

    pub(crate) fn stdin(&self) -> PathBuf {
        self.0.join("stdin")
    }

    /// Standard input that is streamed: its length is how much has come.
    pub(crate) fn input(&self) -> PathBuf {
        self.0.join("input")
    }

    /// Exists once no more input will come.
    pub(crate) fn input_end(&self) -> PathBuf {
        self.0.join("input.end")
    }

    /// How many bytes of the input the program has read, in decimal.
    pub(crate) fn input_taken(&self) -> PathBuf {
        self.0.join("input.taken")
    }

    pub(crate) fn events(&self) -> PathBuf {
        self.0.join("events")
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.0.join("control")
    }

    pub(crate) fn supervisor(&self) -> PathBuf {
        self.0.join("supervisor.json")
    }

    pub(crate) fn spool(&self, part: Part) -> PathBuf {
        self.0.join(part.as_str())
    }

    pub(crate) fn result(&self) -> PathBuf {
        self.0.join("result.json")
    }

    pub(crate) fn acknowledged(&self) -> PathBuf {
        self.0.join("acknowledged")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("supervisor.log")
    }

    /// Where the launcher leaves the reason why it could not become the program.
    pub(crate) fn start_failure(&self) -> PathBuf {
        self.0.join("start-failure.json")
    }

    /// Makes one of the two FIFOs.
    pub(crate) fn make_fifo(path: &Path) -> io::Result<()> {
        Ok(mkfifo(path, Mode::from_bits_truncate(private::FILE_MODE))?)
    }

    /// Takes the room `result.json` will need.
    pub(crate) fn reserve_result(&self) -> io::Result<()> {
        private::file(&new(&self.result()), false)?.write_all(&[b' '; ROOM_FOR_RESULT])
    }

    /// Puts the results in place, for everybody to see; [`sync_result`](Self::sync_result) makes
    /// them survive a crash of the machine.
    pub(crate) fn write_result(&self, results: &Results) -> io::Result<()> {
        let json = serde_json::to_vec(results)?;
        // Over what was reserved.
        let file = private::file(&new(&self.result()), false)?;
        file.write_all_at(&json, 0)?;
        file.set_len(json.len() as u64)?;
        fs::rename(new(&self.result()), self.result())
    }

    pub(crate) fn sync_result(&self) -> io::Result<()> {
        File::open(self.result())?.sync_all()?;
        File::open(&self.0)?.sync_all()
    }

    /// The results, if there are any yet.
    pub(crate) fn read_result(&self) -> io::Result<Option<Results>> {
        match read_json(&self.result()) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Writes the record, which must not exist; when this returns, it survives a crash of the
    /// machine.  A record that cannot be read was cut off by one, and its job never started.
    pub(crate) fn write_record(&self, record: &Record) -> io::Result<()> {
        let mut file = private::new_file(&self.record())?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()?;
        File::open(&self.0)?.sync_all()?;
        self.0.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }

    /// Writes a document that need not survive the machine, but is never seen half written.
    pub(crate) fn write_briefly(path: &Path, document: &impl Serialize) -> io::Result<()> {
        private::file(&new(path), true)?.write_all(&serde_json::to_vec(document)?)?;
        fs::rename(new(path), path)
    }

    /// What is no longer in the spool.
    pub(crate) fn freed(&self) -> Freed {
        read_json(&self.0.join(FREED)).unwrap_or_default()
    }

    /// Says, before it is done, what will no longer be in the spool; durably, for what is freed
    /// reads as zeros.
    pub(crate) fn write_freed(&self, freed: &Freed) -> io::Result<()> {
        let mut json = serde_json::to_vec(freed)?;
        json.resize(ROOM_FOR_FREED, b' ');
        // Over what was reserved: a full disk is when room is wanted most.
        let file = private::file(&self.0.join(FREED), false)?;
        file.write_all_at(&json, 0)?;
        file.sync_all()
    }

    /// Takes the room [`write_freed`](Self::write_freed) will need.
    pub(crate) fn reserve_freed(&self) -> io::Result<()> {
        self.write_freed(&Freed::default())
    }

    /// Removes what nobody wants to read any more when the job is over and told.  Its FIFOs and what tells of its
    /// supervisor stay for whoever looks at how it ended.
    pub(crate) fn strip(&self) {
        for path in [self.spool(Part::Out), self.spool(Part::Err), self.input(), self.stdin()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "a file of a command that is over is not removed");
                }
                _ => {}
            }
        }
    }

    /// Bytes written to a spool, those freed included; 0 before there is one.
    pub(crate) fn spooled(&self, part: Part) -> u64 {
        fs::metadata(self.spool(part)).map_or(0, |metadata| metadata.len())
    }
}

fn new(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Opens one end of a FIFO, never waiting for the other.
pub(crate) fn open_fifo(path: &Path, read: bool, write: bool) -> io::Result<File> {
    OpenOptions::new().read(read).write(write).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}
