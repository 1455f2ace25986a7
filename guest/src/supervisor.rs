//! The process that owns one job.  It starts the program, copies what it writes into the spool,
//! ends it when its time is over, and leaves the results; so a job outlives the agent that asked
//! for it.  It is this executable under a hidden first argument, it is synchronous, and it talks
//! to nobody but the agent, over two FIFOs that it was born with as standard input and output.
//!
//! ```text
//! agent ──control──▶ supervisor ──▶ program ──▶ its children
//!       ◀──events──     │   ▲  ◀── pipes ──┘       │
//!                       │   └── orphans come back ─┘     (PR_SET_CHILD_SUBREAPER)
//!                       ▼
//!                 out, err, result.json
//! ```
//!
//! Rules:
//! - A job ends when the program's own process ends.  What is in the pipes by then is output; what
//!   background processes do later is theirs, and they are left alone.
//! - A job that is *made* to end (timeout, cancel, spool full) ends with its whole tree: whatever
//!   descends from the supervisor, however it detached itself, gets SIGTERM, after the grace
//!   SIGKILL, and the results are written when nobody is left.
//! - When the spool is full and the configuration says `pause`, the pipes are not read any more
//!   and the program waits in its next write, until there is room, it is cancelled, or its time is
//!   over.  Room is made of what the host has taken: the beginning of a spool is then freed, its
//!   offsets stay what they are.
//! - SIGTERM to the supervisor itself (a guest that shuts down) cancels the job.
//!
//! The results do not say what was never known: see [`Results`].

mod announcer;
mod ending;
mod job;
mod launcher;
mod spool;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::prctl::set_child_subreaper;
use nix::unistd::setsid;

use self::announcer::Announcer;
use self::job::{Job, Wakes};
use crate::jobs::Part;
use crate::jobs::folder::{Folder, private_new, read_json};
use crate::jobs::launch::Launch;
use crate::jobs::lines::Event;
use crate::jobs::processes::Identity;
use crate::jobs::record::{Record, unix_time};
use crate::jobs::results::{Failure, FailureCode, Results};

/// Watches over the job in this folder until it has ended; what `main` does under the hidden
/// argument.  Success means that the results are in the folder and on the disk, however the job went.
pub fn main(job_dir: &Path) -> ExitCode {
    let folder = Folder::new(job_dir);
    let done = if launcher::is_this() {
        launcher::launch(&folder)
    } else {
        supervise(&folder).map(|()| ExitCode::SUCCESS)
    };
    done.unwrap_or_else(|cause| {
        // Standard error is the supervisor's log in the folder.
        let _ = writeln!(io::stderr(), "cannot supervise {}: {cause}", job_dir.display());
        ExitCode::FAILURE
    })
}

/// One job from its start to its results.
pub(crate) fn supervise(folder: &Folder) -> io::Result<()> {
    let record: Record = read_json(&folder.record())?;
    let (control, events) = (duplicate(io::stdin().as_fd())?, duplicate(io::stdout().as_fd())?);
    // Fails for the leader of a process group only, and such a one is detached already.
    let _ = setsid();
    set_child_subreaper(true)?;
    let wakes = Wakes::register()?;
    // A job whose spool exists has been started before, and is never started again.
    let files = [private_new(&folder.spool(Part::Out))?, private_new(&folder.spool(Part::Err))?];
    folder.reserve_result()?;
    Folder::write_briefly(&folder.supervisor(), &Identity::own()?)?;
    let mut announcer = Announcer::new(events, Instant::now());
    let started = unix_time();
    let program = start(folder, &record);
    announcer.tell(Event::Started);
    let spool = match program {
        Ok(program) => {
            let mut job = Job::new(folder, &record, program, files, control, wakes, announcer)?;
            job.watch()?;
            job.announce_rest();
            let mut results = job.results(started);
            if let Some(failure) = launcher::failure(folder) {
                results = results.but_not_started(failure);
            }
            leave(folder, &results);
            Some(job.take_leave())
        }
        Err(failure) => {
            leave(folder, &Results::not_started(failure, started));
            announcer.tell(Event::Ended);
            None
        }
    };
    // Whoever waits for the results does not wait for the disk.  A machine that stops before this
    // is through has lost the job, unless somebody else has the results by then.
    spool.map_or(Ok(()), |spool| spool.sync())?;
    folder.sync_result()
}

fn start(folder: &Folder, record: &Record) -> Result<Child, Failure> {
    let launch = Launch::of(record);
    let mut command = if record.needs_launcher() { launcher::command() } else { launch.command()? };
    let stdin = stdin(folder, record).map_err(|cause| {
        Failure::new(FailureCode::NotStarted, format!("standard input is missing: {cause}"))
    })?;
    command.process_group(0).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|cause| launch.failure(&cause))
}

/// Standard input of the program: what was given, or nothing.
fn stdin(folder: &Folder, record: &Record) -> io::Result<File> {
    if record.stdin { File::open(folder.stdin()) } else { File::open("/dev/null") }
}

/// Puts the results in place, however long that takes: without them nobody knows of the end.
/// Only if the folder itself is gone, nobody wants to.
fn leave(folder: &Folder, results: &Results) {
    let mut told = false;
    while let Err(cause) = folder.write_result(results) {
        if cause.kind() == io::ErrorKind::NotFound {
            return;
        }
        if !told {
            let _ = writeln!(io::stderr(), "cannot write the results, trying on: {cause}");
            told = true;
        }
        // Nothing tells when somebody makes room on a disk.
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// A descriptor of our own, which the program does not inherit.
fn duplicate(descriptor: BorrowedFd<'_>) -> io::Result<File> {
    Ok(File::from(descriptor.try_clone_to_owned()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_job_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(supervise(&Folder::new(dir.path())).is_err());
    }
}
