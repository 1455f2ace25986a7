//! The process that owns one job.  It starts the program, copies what it writes into the spool,
//! ends it when its time is over, and leaves the results; so a job outlives the agent that asked
//! for it.  It is this executable under a hidden first argument, it is synchronous, and it talks
//! to nobody but the agent, over two FIFOs as standard input and output: those it was born with, or, if it was
//! started before there was a job, got with it ([`assignment`](crate::job::assignment)).
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
mod input;
mod job;
mod launcher;
mod spool;
mod terminal;
mod termination;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::prctl::set_child_subreaper;
use nix::unistd::setsid;

use self::announcer::Announcer;
use self::input::Input;
use self::job::{Job, SignalPipes};
use self::terminal::Terminal;
use vocable_protocol::{Failure, FailureCode, Part, Results, TerminalSize};

use crate::job::assignment::{self, GROUPS, SPARE};
use crate::job::cgroup::Group;
use crate::job::folder::{Folder, read_json};
use crate::job::launch::Launch;
use crate::job::lines::Event;
use crate::job::processes::Identity;
use crate::job::record::{Record, Supervisor, unix_time};
use crate::private;

/// How long nothing is asked for until a supervisor that waits enters a cgroup.
const IDLE_TIME: Duration = Duration::from_millis(50);

/// Watches over the job in this folder until it has ended; what `main` does under the hidden
/// argument.  [`SPARE`] is no folder: then one is assigned later, or none.  Success means that the results are in the
/// folder and on the disk, however the job went.
pub(crate) fn main(job_dir: &Path) -> ExitCode {
    let done = if launcher::is_this() {
        launcher::launch(&Folder::new(job_dir))
    } else {
        run(job_dir).map(|()| ExitCode::SUCCESS)
    };
    done.unwrap_or_else(|cause| {
        // Standard error is the supervisor's log in the folder.
        let _ = writeln!(io::stderr(), "cannot supervise {}: {cause}", job_dir.display());
        ExitCode::FAILURE
    })
}

fn run(job_dir: &Path) -> io::Result<()> {
    if job_dir != Path::new(SPARE) {
        return supervise(&Folder::new(job_dir), None);
    }
    let groups = std::env::var_os(GROUPS);
    let group = match groups.filter(|_| assignment::is_quiet(IDLE_TIME)).map(|prefix| Group::enter(&prefix)) {
        Some(Ok(group)) => Some(group),
        // One that cannot be had is done without.
        Some(Err(_)) | None => None,
    };
    match assignment::wait()? {
        Some(folder) => supervise(&folder, group),
        None => group.map_or(Ok(()), |mut group| group.leave().map(|()| group.end())),
    }
}

/// One job from its start to its results.
pub(crate) fn supervise(folder: &Folder, group: Option<Group>) -> io::Result<()> {
    let record: Record = read_json(&folder.record())?;
    let (control, events) = (duplicate(io::stdin().as_fd())?, duplicate(io::stdout().as_fd())?);
    // Fails for the leader of a process group only, and such a one is detached already.
    let _ = setsid();
    set_child_subreaper(true)?;
    let signals = SignalPipes::register()?;
    let files = prepare(folder, group.as_ref())?;
    let mut announcer = Announcer::new(events, Instant::now());
    let started = unix_time();
    let program = start(folder, &record);
    announcer.send(Event::Started);
    let (spool, group) = match program {
        Ok(program) => {
            let mut job =
                Job::new(folder, &record, program, files, control, signals, announcer).in_group(group);
            job.run()?;
            job.drain_output()?;
            let mut results = job.results(started);
            if let Some(failure) = launcher::failure(folder, &record) {
                results = results.but_not_started(failure);
            }
            write_results(folder, &results);
            let (spool, group) = job.close();
            (Some(spool), group)
        }
        Err(failure) => {
            write_results(folder, &Results::not_started(failure, started));
            announcer.send(Event::Ended);
            (None, group)
        }
    };
    if let Some(group) = group {
        group.end();
    }
    // Whoever waits for the results does not wait for the disk.  A machine that stops before this
    // is through has lost the job, unless somebody else has the results by then.
    spool.map_or(Ok(()), |spool| spool.sync())?;
    folder.sync_result()
}

/// Makes what has to be there before the program is started, its spool first.
fn prepare(folder: &Folder, group: Option<&Group>) -> io::Result<[File; 2]> {
    // A job whose spool exists has been started before, and is never started again.
    let out = private::new_file(&folder.spool(Part::Out))?;
    let rest = || {
        let err = private::new_file(&folder.spool(Part::Err))?;
        folder.reserve_result()?;
        let myself =
            Supervisor { process: Identity::own()?, group: group.map(|group| group.folder().to_owned()) };
        Folder::write_briefly(&folder.supervisor(), &myself)?;
        Ok(err)
    };
    match rest() {
        Ok(err) => Ok([out, err]),
        Err(cause) => {
            // On a full disk, for one.  Nothing was run, and without a spool everybody can see that.
            for part in [Part::Err, Part::Out] {
                let _ = std::fs::remove_file(folder.spool(part));
            }
            Err(cause)
        }
    }
}

/// A program that has been started, and the supervisor's ends of what it reads and writes.
pub(crate) struct Started {
    pid: i32,
    out: File,
    err: File,
    input: Option<Input>,
    terminal: Option<File>,
}

fn start(folder: &Folder, record: &Record) -> Result<Started, Failure> {
    let launch = Launch::of(record);
    let command = if record.needs_launcher() { launcher::command(folder) } else { launch.command()? };
    let unprepared = |cause: io::Error| {
        Failure::new(FailureCode::NotStarted, format!("standard input or the terminal is missing: {cause}"))
    };
    let started = match record.tty {
        Some(size) => {
            let owner = record.user.as_ref().map(|user| user.uid);
            let (terminal, input) = terminal(folder, size, owner).map_err(unprepared)?;
            start_in(terminal, input, command)
        }
        None => {
            let (stdin, input) = stdin(folder, record).map_err(unprepared)?;
            start_piped(stdin, input, command)
        }
    };
    started.map_err(|cause| launch.failure(&cause))
}

fn terminal(folder: &Folder, size: TerminalSize, owner: Option<u32>) -> io::Result<(Terminal, Input)> {
    let terminal = Terminal::open(size, owner)?;
    let input = Input::streamed(folder, terminal.ours.try_clone()?, true)?;
    Ok((terminal, input))
}

/// The program's end of its standard input, and what is copied into the other.
fn stdin(folder: &Folder, record: &Record) -> io::Result<(Stdio, Option<Input>)> {
    if !record.stdin && !record.input {
        return Ok((Stdio::null(), None));
    }
    let (reader, writer) = io::pipe()?;
    let sink = File::from(OwnedFd::from(writer));
    let input = if record.stdin { Input::given(folder, sink) } else { Input::streamed(folder, sink, false) };
    Ok((reader.into(), Some(input?)))
}

/// With a terminal: the launcher makes it the one of a new session, so it must lead no group yet.
fn start_in(terminal: Terminal, input: Input, mut command: Command) -> io::Result<Started> {
    let Terminal { ours, theirs } = terminal;
    command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs);
    let child = command.spawn()?;
    // What is read here ends when the program's side is closed everywhere, here as well.
    drop(command);
    Ok(Started {
        pid: pid(&child)?,
        out: ours.try_clone()?,
        // Whatever goes to a terminal is one stream.
        err: File::open("/dev/null")?,
        input: Some(input),
        terminal: Some(ours),
    })
}

fn start_piped(stdin: Stdio, input: Option<Input>, mut command: Command) -> io::Result<Started> {
    command.process_group(0).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    drop(command);
    let missing = || io::Error::other("the program was started without pipes");
    Ok(Started {
        pid: pid(&child)?,
        out: File::from(OwnedFd::from(child.stdout.take().ok_or_else(missing)?)),
        err: File::from(OwnedFd::from(child.stderr.take().ok_or_else(missing)?)),
        input,
        terminal: None,
    })
}

fn pid(child: &Child) -> io::Result<i32> {
    i32::try_from(child.id()).map_err(io::Error::other)
}

/// Puts the results in place, however long that takes: without them nobody knows of the end.
/// Only if the folder itself is gone, nobody wants to.
fn write_results(folder: &Folder, results: &Results) {
    let mut warned = false;
    while let Err(cause) = folder.write_result(results) {
        if cause.kind() == io::ErrorKind::NotFound {
            return;
        }
        if !warned {
            let _ = writeln!(io::stderr(), "cannot write the results, trying on: {cause}");
            warned = true;
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
    fn what_cannot_be_prepared_leaves_no_trace_of_a_start_and_no_start_loses_its_trace() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        // In the way of the results, as a full disk would be.
        std::fs::create_dir(dir.path().join("result.json.new")).unwrap();
        prepare(&folder, None).unwrap_err();
        assert!(!folder.spool(Part::Out).exists());
        private::new_file(&folder.spool(Part::Out)).unwrap();
        prepare(&folder, None).unwrap_err();
        assert!(folder.spool(Part::Out).exists());
    }

    #[test]
    fn a_folder_that_is_no_job_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(supervise(&Folder::new(dir.path()), None).is_err());
    }
}
