//! One task for each job that is not over: it records the job and starts its supervisor, or takes
//! up one that was found, and passes on what that supervisor tells until its end.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};

use super::blocking;
use super::context::JobContext;
use super::error::JobError;
use super::program::CheckedProgram;
use super::recovery;
use crate::job::command_id::CommandId;
use crate::job::folder::{Folder, open_fifo};
use crate::job::lines::{Event, Lines};
use crate::job::record::{Record, User, unix_time};
use crate::private;
use vocable_protocol::Results;

/// How long a full disk is left alone before it is tried again.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(1);

/// What such a task reports to the owner of the jobs.
pub(super) enum JobUpdate {
    /// The mark of it is made, or cannot be.
    Acknowledged,
    Ended(Box<Results>),
    Full,
    Output {
        out: u64,
        err: u64,
    },
    /// Nothing was run, and nothing is left of it.
    Refused(JobError),
    Started,
    /// So much of the input has been read.
    Taken(u64),
}

/// The way to the owner.
#[derive(Clone)]
pub(super) struct Reporter {
    pub(super) cmd_id: CommandId,
    pub(super) updates: mpsc::Sender<(CommandId, JobUpdate)>,
}

impl Reporter {
    async fn send(&self, update: JobUpdate) {
        // The owner ends these tasks with itself.
        let _ = self.updates.send((self.cmd_id.clone(), update)).await;
    }
}

/// A job on the disk, ready to be started.
struct Prepared {
    folder: Folder,
    record: Record,
    /// Our end of `events`.
    events: File,
    /// The supervisor's: `control`, `events` and its log.
    stdio: [File; 3],
}

/// Starts a job and follows it to its end.
pub(super) async fn begin(context: Arc<JobContext>, program: CheckedProgram, reporter: Reporter) {
    match record_and_start(&context, program, &reporter.cmd_id).await {
        Ok((record, events, supervisor)) => {
            follow(&context, record, events, Some(supervisor), reporter).await;
        }
        Err(refusal) => reporter.send(JobUpdate::Refused(refusal)).await,
    }
}

async fn record_and_start(
    context: &Arc<JobContext>,
    program: CheckedProgram,
    cmd_id: &CommandId,
) -> Result<(Record, Receiver, Child), JobError> {
    let prepared = {
        let (context, cmd_id) = (context.clone(), cmd_id.clone());
        blocking(move || prepare(&context, &cmd_id, program)).await?
    };
    let started = start(context, prepared);
    if started.is_err() {
        recovery::discard_later(context.folder(cmd_id), cmd_id.clone()).await;
    }
    started
}

/// Starts a job that an agent before this one recorded and could not start any more.
pub(super) async fn begin_recorded(context: Arc<JobContext>, record: Record, reporter: Reporter) {
    let folder = context.folder(&reporter.cmd_id);
    let prepared = blocking(move || {
        let found = connect(&folder).map_err(JobError::io("connect to", folder.path()));
        found.map(|(events, stdio)| Prepared { folder, record, events, stdio })
    });
    match prepared.await.and_then(|prepared| start(&context, prepared)) {
        Ok((record, events, supervisor)) => {
            follow(&context, record, events, Some(supervisor), reporter).await;
        }
        Err(refusal) => {
            tracing::error!(cmd = %reporter.cmd_id, %refusal, "a command that was recorded is not started");
            recovery::discard_later(context.folder(&reporter.cmd_id), reporter.cmd_id.clone()).await;
            reporter.send(JobUpdate::Refused(refusal)).await;
        }
    }
}

/// Takes up a job whose supervisor was found running.
pub(super) async fn take_up(context: Arc<JobContext>, record: Record, events: File, reporter: Reporter) {
    match Receiver::from_file(events) {
        Ok(events) => follow(&context, record, events, None, reporter).await,
        Err(error) => tracing::error!(cmd = %reporter.cmd_id, %error, "a running command cannot be followed"),
    }
}

/// Marks a job as acknowledged, for the next agent to see, and removes what the host has: only the record and the
/// results are of use any more.
pub(super) async fn mark_acknowledged(
    context: Arc<JobContext>,
    reporter: Reporter,
    reply: oneshot::Sender<Result<(), JobError>>,
) {
    let folder = context.folder(&reporter.cmd_id);
    let marked = blocking(move || {
        let mark = folder.acknowledged();
        private::file(&mark, true).map_err(JobError::io("write", &mark))?;
        folder.strip();
        Ok(())
    })
    .await;
    let _ = reply.send(marked);
    reporter.send(JobUpdate::Acknowledged).await;
}

async fn follow(
    context: &JobContext,
    record: Record,
    mut events: Receiver,
    supervisor: Option<Child>,
    reporter: Reporter,
) {
    let folder = context.folder(&reporter.cmd_id);
    let mut lines = Lines::default();
    let mut bytes = [0; 4096];
    'events: while let Ok(length @ 1..) = events.read(&mut bytes).await {
        for event in lines.take(bytes.get(..length).unwrap_or_default()) {
            match event {
                Event::Ended => break 'events,
                Event::Full => reporter.send(JobUpdate::Full).await,
                Event::Output { out, err } => reporter.send(JobUpdate::Output { out, err }).await,
                Event::Started => {
                    reporter.send(JobUpdate::Started).await;
                    context.prepare_spare();
                }
                Event::Taken { bytes } => reporter.send(JobUpdate::Taken(bytes)).await,
            }
        }
    }
    if let Some(results) = kept_results(&folder, record, &reporter.cmd_id).await {
        reporter.send(JobUpdate::Ended(Box::new(results))).await;
    }
    if let Some(mut supervisor) = supervisor
        && let Err(error) = supervisor.wait().await
    {
        tracing::warn!(cmd = %reporter.cmd_id, %error, "the supervisor of a command was not waited for");
    }
    let cleared = blocking(move || {
        recovery::remove_group(&folder);
        Ok(())
    });
    let _ = cleared.await;
}

/// What a job has come to, as soon as that can be told; nothing if the agent ends before.
async fn kept_results(folder: &Folder, record: Record, cmd_id: &CommandId) -> Option<Results> {
    let record = Arc::new(record);
    let mut warned = false;
    loop {
        let (folder, record) = (folder.clone(), record.clone());
        let work = move || {
            recovery::results(&folder, &record).map_err(JobError::io("write the results in", folder.path()))
        };
        match blocking(work).await {
            Ok(results) => return Some(results),
            Err(JobError::Closed) => return None,
            Err(error) if !warned => {
                tracing::warn!(cmd = %cmd_id, %error, "its end is told when it can be kept");
            }
            Err(_) => {}
        }
        warned = true;
        // Nothing tells when somebody makes room on a disk.
        tokio::time::sleep(FULL_DISK_PAUSE).await;
    }
}

/// Puts the job on the disk.  When this returns it is there for good; on failure nothing is.
fn prepare(context: &JobContext, cmd_id: &CommandId, program: CheckedProgram) -> Result<Prepared, JobError> {
    let stdin = program.options.stdin.clone();
    let record = record(context, cmd_id, program)?;
    let folder = context.folder(cmd_id);
    private::new_folder(folder.path()).map_err(JobError::io("create", folder.path()))?;
    match fill(&folder, &record, stdin.as_deref()).and_then(|()| connect(&folder)) {
        Ok((events, stdio)) => Ok(Prepared { folder, record, events, stdio }),
        Err(cause) => {
            recovery::discard(&folder, cmd_id);
            Err(JobError::io("record a command in", folder.path())(cause))
        }
    }
}

fn record(context: &JobContext, cmd_id: &CommandId, program: CheckedProgram) -> Result<Record, JobError> {
    let CheckedProgram { program, options, digest } = program;
    let user = context.look_up(options.user.as_deref())?;
    Ok(Record {
        cmd_id: cmd_id.to_string(),
        program_sha256: digest,
        boot_id: context.boot_id.clone(),
        recorded: unix_time(),
        env: context.environment(user.as_ref(), &program),
        directory: context.directory(&program),
        cmd: program.cmd,
        args: program.args,
        user: options.user.and(user.as_ref().map(User::from)),
        nice: options.nice,
        limits: options.limits,
        stdin: options.stdin.is_some(),
        input: options.input,
        tty: options.tty,
        timeout: options.timeout,
        grace: options.grace,
        on_disconnect: options.on_disconnect,
        spool_limit: context.config.spool_limit,
        when_spool_full: context.config.when_spool_full,
    })
}

fn fill(folder: &Folder, record: &Record, stdin: Option<&[u8]>) -> std::io::Result<()> {
    if let Some(stdin) = stdin {
        std::io::Write::write_all(&mut private::new_file(&folder.stdin())?, stdin)?;
    }
    if record.input {
        private::new_file(&folder.input())?;
    }
    folder.write_record(record)
}

/// Makes the FIFOs, anew if there are any, and opens both ends of them, so that neither side ever waits for the other to
/// be there, and the end of one is always seen by the other.
fn connect(folder: &Folder) -> std::io::Result<(File, [File; 3])> {
    for fifo in [folder.events(), folder.control()] {
        match std::fs::remove_file(&fifo) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(cause),
            _ => Folder::make_fifo(&fifo)?,
        }
    }
    let events = open_fifo(&folder.events(), true, false)?;
    let theirs = open_fifo(&folder.events(), false, true)?;
    // Read and write, so that it does not end when an agent does.
    let control = open_fifo(&folder.control(), true, true)?;
    let log = private::file(&folder.log(), true)?;
    Ok((events, [control, theirs, log]))
}

fn start(context: &JobContext, prepared: Prepared) -> Result<(Record, Receiver, Child), JobError> {
    let Prepared { folder, record, events, stdio } = prepared;
    let receiver = Receiver::from_file(events).map_err(JobError::io("listen to", &folder.events()))?;
    let supervisor =
        context.supervise(folder.path(), stdio).map_err(JobError::io("start", &context.config.supervisor))?;
    Ok((record, receiver, supervisor))
}
