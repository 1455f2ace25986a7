//! Commands that outlive the message, the connection and the agent.  A job is a folder and a
//! process: everything about it lies in the folder, and a supervisor of its own
//! ([`supervisor`](crate::supervisor)) runs the program, spools what it writes and leaves the
//! results.  This module is the agent's side: it records jobs, starts supervisors, follows what
//! they tell, finds everything again after a restart, and reads from the folders.
//!
//! ```text
//!            start                started                    ended
//!  (nothing) ─────▶ recorded ───────────────▶ running ─────────────────────▶ ended ──acknowledged──▶ kept ──keep──▶ (nothing)
//!                      │     nothing was run     │  done, failed, timeout,     ▲
//!                      └─────── failed ──────────┴─ cancelled; lost if nobody ─┘
//!                                                   saw the end
//! ```
//!
//! - The record is on the disk before the supervisor is started, and a supervisor never starts a
//!   program twice: an id that is tried again starts nothing, for as long as it is remembered.
//! - An agent that ends between the two leaves the start to the next one.
//! - Results are announced again after every restart, until they are acknowledged.
//! - Nothing here polls: a supervisor writes into a FIFO, whose end tells its death.
//! - It does not know words, hosts or connections; what becomes of a job when the connection is
//!   lost ([`OnDisconnect`]) is done by whoever has the connection.
//! - Signals are those of 1 to 31: real-time signals can end a job, but not be sent to one.
//! - An agent run by a service manager must be stopped alone (systemd: `KillMode=process`), or its
//!   jobs are stopped with it.

mod context;
mod control;
mod error;
mod follow;
mod program;
mod recovery;
mod run_once;
mod spare;
mod task;
mod usage;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;
use vocable_protocol::{OnDisconnect, Part, Program, Results};

pub(crate) use self::error::JobError;
pub(crate) use self::run_once::Output;

use self::context::JobContext;
use self::program::CheckedProgram;
use self::task::{JobsTask, Request};
use crate::job::cgroup;
use crate::job::command_id::CommandId;
use crate::job::folder::{Folder, Freed, open_fifo};
use crate::job::lines::Control;
use crate::job::record::WhenSpoolFull;

/// How an agent keeps its jobs.
#[derive(Clone, Debug)]
pub(crate) struct JobsConfig {
    /// The folder of all jobs; made if it is missing.
    pub(crate) dir: PathBuf,
    /// The executable that calls [`supervisor::main`](crate::supervisor::main) …
    pub(crate) supervisor: PathBuf,
    /// … given these arguments and the folder of the job.
    pub(crate) supervisor_args: Vec<OsString>,
    /// Bytes of output kept for a command until the host has them, both streams together.  What is in its pipes at
    /// its end (64 KiB each unless the program changes that) comes on top, so that it is not lost.
    pub(crate) spool_limit: u64,
    /// What to do with a command that writes more, or fills the disk.
    pub(crate) when_spool_full: WhenSpoolFull,
    pub(crate) max_running: usize,
    /// The working directory of commands that ask for none.
    pub(crate) default_dir: PathBuf,
    /// Added to the environment of every command.
    pub(crate) env: BTreeMap<String, String>,
    /// How long an acknowledged command is remembered, unless there are too many of them.
    pub(crate) keep: Duration,
    /// Whether each command gets a cgroup of its own, where that is possible.
    pub(crate) cgroups: bool,
}

/// What the agent is told of its jobs.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time is on its way, and results are what it is all about"
)]
pub(crate) enum JobEvent {
    Ended {
        cmd_id: String,
        results: Results,
    },
    Input {
        cmd_id: String,
        /// How many bytes it has read, from the beginning.
        taken: u64,
    },
    Output {
        cmd_id: String,
        part: Part,
        /// How many bytes can be read by now, from the beginning.
        bytes: u64,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Started {
    /// The command was known already; nothing was started.
    pub(crate) already: bool,
}

/// One line of the list of jobs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct JobInfo {
    pub(crate) cmd_id: String,
    pub(crate) on_disconnect: OnDisconnect,
    /// Bytes of standard output announced so far.
    pub(crate) out_bytes: u64,
    /// Bytes of standard error announced so far.
    pub(crate) err_bytes: u64,
    /// Bytes of streamed input it is known to have read.
    pub(crate) input_taken: u64,
    /// How it went; `None` as long as it runs.
    pub(crate) results: Option<Results>,
    pub(crate) acknowledged: bool,
}

/// The jobs of this agent: a handle to the task that owns them.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    context: Arc<JobContext>,
    requests: mpsc::Sender<Request>,
}

impl Jobs {
    /// Opens the folder, follows again the jobs in it that run, and announces again what was not
    /// acknowledged.  The jobs are kept until the handle in third place is dropped, or all `Jobs`
    /// are; the commands themselves go on regardless.
    pub(crate) async fn open(
        config: JobsConfig,
    ) -> Result<(Self, mpsc::Receiver<JobEvent>, AbortOnDropHandle<()>), JobError> {
        let (context, lock, found) = blocking(move || {
            let context = JobContext::prepare(config)?;
            let lock = recovery::lock(&context.config.dir)?;
            let found = recovery::scan(&context)?;
            context.cgroups.iter().for_each(cgroup::Parent::sweep);
            Ok((Arc::new(context), lock, found))
        })
        .await?;
        context.prepare_spare();
        let (requests, incoming) = mpsc::channel(64);
        // One: what waits longer waits with the owner, who lets new totals replace old ones.
        let (events, announced) = mpsc::channel(1);
        let task = JobsTask::new(context.clone(), lock, incoming, found);
        let task = AbortOnDropHandle::new(tokio::spawn(task.run(events)));
        Ok((Self { context, requests }, announced, task))
    }

    /// Records the command and starts it.  When this returns it can be signalled; a program that
    /// could not be started is no error here but the state `failed` of its results.
    ///
    /// An id that is known already, with the same program, starts nothing.
    pub(crate) async fn start(&self, cmd_id: &str, program: Program) -> Result<Started, JobError> {
        let cmd_id = cmd_id.parse()?;
        let program = Box::new(CheckedProgram::new(program)?);
        self.request(|reply| Request::Start { cmd_id, program, reply }).await?
    }

    /// Reads at most `max` bytes of a stream, from an offset in bytes.  Less comes only at the end
    /// of what is there; nothing comes from behind it.
    pub(crate) async fn read(
        &self,
        cmd_id: &str,
        part: Part,
        offset: u64,
        max: usize,
    ) -> Result<Vec<u8>, JobError> {
        let (folder, cmd_id) = self.folder(cmd_id)?;
        blocking(move || {
            require_known(&folder, &cmd_id)?;
            read_spool(&folder, &cmd_id, part, offset, max)
        })
        .await
    }

    /// The host has so many bytes of each stream of a command: of a command that runs, room may be
    /// made of them.
    pub(crate) async fn acknowledge_output(&self, cmd_id: &str, out: u64, err: u64) -> Result<(), JobError> {
        let (folder, _) = self.folder(cmd_id)?;
        blocking(move || {
            // Of one that has ended there is nobody who needs room.
            let Ok(control) = open_fifo(&folder.control(), false, true) else { return Ok(()) };
            let line = Control::Taken { out, err }.to_string();
            match nix::unistd::write(&control, line.as_bytes()) {
                // Full: the supervisor has enough of these to read.  Gone: it ended just now.
                Ok(_) | Err(nix::Error::EAGAIN | nix::Error::EPIPE) => Ok(()),
                Err(cause) => Err(JobError::io("write to", &folder.control())(cause.into())),
            }
        })
        .await
    }

    /// How much of both streams was freed from their beginnings, and is with the host.
    pub(crate) async fn freed(&self, cmd_id: &str) -> Result<(u64, u64), JobError> {
        let (folder, _) = self.folder(cmd_id)?;
        let Freed { out, err } = blocking(move || Ok(folder.freed())).await?;
        Ok((out, err))
    }

    /// Every command that is remembered, by id.
    pub(crate) async fn list(&self) -> Result<Vec<JobInfo>, JobError> {
        self.request(|reply| Request::List { reply }).await
    }

    /// The commands of which not everything was acknowledged.
    pub(crate) async fn unacknowledged(&self) -> Result<Vec<String>, JobError> {
        self.request(|reply| Request::Unacknowledged { reply }).await
    }

    /// Whether a command of that id is remembered: then nothing starts it again.
    pub(crate) async fn is_known(&self, cmd_id: &str) -> Result<bool, JobError> {
        let cmd_id = cmd_id.parse()?;
        self.request(|reply| Request::IsKnown { cmd_id, reply }).await
    }

    /// The host has the results: they are not announced again, the output is removed, and after the
    /// configured time the command is forgotten.
    pub(crate) async fn acknowledge(&self, cmd_id: &str) -> Result<(), JobError> {
        let cmd_id = cmd_id.parse()?;
        self.request(|reply| Request::Acknowledge { cmd_id, reply }).await?
    }

    /// Runs a program that is no job: it is read to its end, and killed with its whole process
    /// group when it takes longer than its `timeout` (default 10 s), writes more than `max_output`
    /// bytes, or when the caller no longer waits.  Of the options only `stdin` and `timeout` are
    /// for such a program.
    pub(crate) async fn run_once(&self, program: Program, max_output: usize) -> Result<Output, JobError> {
        run_once::run(self.context.clone(), program, max_output).await
    }

    fn folder(&self, cmd_id: &str) -> Result<(Folder, CommandId), JobError> {
        let cmd_id = cmd_id.parse()?;
        Ok((self.context.folder(&cmd_id), cmd_id))
    }

    async fn request<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, JobError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| JobError::Closed)?;
        answer.await.map_err(|_| JobError::Closed)
    }
}

/// Disks and process tables are slow: nothing of that on the agent's own thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JobError> + Send + 'static,
) -> Result<T, JobError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(JobError::Closed))
}

fn require_known(folder: &Folder, cmd_id: &CommandId) -> Result<(), JobError> {
    if folder.record().exists() { Ok(()) } else { Err(JobError::Unknown { cmd_id: cmd_id.to_string() }) }
}

fn read_spool(
    folder: &Folder,
    cmd_id: &CommandId,
    part: Part,
    offset: u64,
    max: usize,
) -> Result<Vec<u8>, JobError> {
    let path = folder.spool(part);
    let from = folder.freed().of(part);
    if offset < from {
        return Err(JobError::Freed { cmd_id: cmd_id.to_string(), part, from });
    }
    let left = folder.spooled(part).saturating_sub(offset);
    let mut bytes = vec![0; usize::try_from(left).unwrap_or(max).min(max)];
    if !bytes.is_empty() {
        let file = File::open(&path).map_err(JobError::io("open", &path))?;
        file.read_exact_at(&mut bytes, offset).map_err(JobError::io("read", &path))?;
    }
    Ok(bytes)
}
