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
use super::environment::Surroundings;
use super::error::JobError;
use super::folder::{Folder, open_fifo, private, private_new};
use super::lines::{Event, Lines};
use super::program::{CommandId, Order};
use super::record::{Record, User, unix_time};
use super::recovery;
use super::results::Results;

/// How long a full disk is left alone before it is tried again.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(1);

/// What such a task tells the owner of the jobs.
pub(super) enum News {
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
    pub(super) news: mpsc::Sender<(CommandId, News)>,
}

impl Reporter {
    async fn tell(&self, news: News) {
        // The owner ends these tasks with itself.
        let _ = self.news.send((self.cmd_id.clone(), news)).await;
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
pub(super) async fn begin(shared: Arc<Surroundings>, order: Order, reporter: Reporter) {
    match record_and_start(&shared, order, &reporter.cmd_id).await {
        Ok((record, events, supervisor)) => follow(&shared, record, events, Some(supervisor), reporter).await,
        Err(refusal) => reporter.tell(News::Refused(refusal)).await,
    }
}

async fn record_and_start(
    shared: &Arc<Surroundings>,
    order: Order,
    cmd_id: &CommandId,
) -> Result<(Record, Receiver, Child), JobError> {
    let prepared = {
        let (shared, cmd_id) = (shared.clone(), cmd_id.clone());
        blocking(move || prepare(&shared, &cmd_id, order)).await?
    };
    let started = start(shared, prepared);
    if started.is_err() {
        recovery::discard_later(shared.folder(cmd_id), cmd_id.clone()).await;
    }
    started
}

/// Starts a job that an agent before this one recorded and could not start any more.
pub(super) async fn begin_recorded(shared: Arc<Surroundings>, record: Record, reporter: Reporter) {
    let folder = shared.folder(&reporter.cmd_id);
    let prepared = blocking(move || {
        let found = connect(&folder).map_err(JobError::io("connect to", folder.path()));
        found.map(|(events, stdio)| Prepared { folder, record, events, stdio })
    });
    match prepared.await.and_then(|prepared| start(&shared, prepared)) {
        Ok((record, events, supervisor)) => follow(&shared, record, events, Some(supervisor), reporter).await,
        Err(refusal) => {
            tracing::error!(cmd = %reporter.cmd_id, %refusal, "a command that was recorded is not started");
            recovery::discard_later(shared.folder(&reporter.cmd_id), reporter.cmd_id.clone()).await;
            reporter.tell(News::Refused(refusal)).await;
        }
    }
}

/// Takes up a job whose supervisor was found running.
pub(super) async fn take_up(shared: Arc<Surroundings>, record: Record, events: File, reporter: Reporter) {
    match Receiver::from_file(events) {
        Ok(events) => follow(&shared, record, events, None, reporter).await,
        Err(error) => tracing::error!(cmd = %reporter.cmd_id, %error, "a running command cannot be followed"),
    }
}

/// Marks a job as acknowledged, for the next agent to see, and removes what the host has: only the record and the
/// results are of use any more.
pub(super) async fn mark_acknowledged(
    shared: Arc<Surroundings>,
    reporter: Reporter,
    reply: oneshot::Sender<Result<(), JobError>>,
) {
    let folder = shared.folder(&reporter.cmd_id);
    let marked = blocking(move || {
        let mark = folder.acknowledged();
        private(&mark, true).map_err(JobError::io("write", &mark))?;
        folder.strip();
        Ok(())
    })
    .await;
    let _ = reply.send(marked);
    reporter.tell(News::Acknowledged).await;
}

async fn follow(
    shared: &Surroundings,
    record: Record,
    mut events: Receiver,
    supervisor: Option<Child>,
    reporter: Reporter,
) {
    let folder = shared.folder(&reporter.cmd_id);
    let mut lines = Lines::default();
    let mut bytes = [0; 4096];
    'told: while let Ok(length @ 1..) = events.read(&mut bytes).await {
        for event in lines.take(bytes.get(..length).unwrap_or_default()) {
            match event {
                Event::Ended => break 'told,
                Event::Full => reporter.tell(News::Full).await,
                Event::Output { out, err } => reporter.tell(News::Output { out, err }).await,
                Event::Started => {
                    reporter.tell(News::Started).await;
                    shared.have_spare();
                }
                Event::Taken { bytes } => reporter.tell(News::Taken(bytes)).await,
            }
        }
    }
    if let Some(results) = kept_results(&folder, record, &reporter.cmd_id).await {
        reporter.tell(News::Ended(Box::new(results))).await;
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
fn prepare(shared: &Surroundings, cmd_id: &CommandId, order: Order) -> Result<Prepared, JobError> {
    let stdin = order.options.stdin.clone();
    let record = record(shared, cmd_id, order)?;
    let folder = shared.folder(cmd_id);
    folder.create().map_err(JobError::io("create", folder.path()))?;
    match fill(&folder, &record, stdin.as_deref()).and_then(|()| connect(&folder)) {
        Ok((events, stdio)) => Ok(Prepared { folder, record, events, stdio }),
        Err(cause) => {
            recovery::discard(&folder, cmd_id);
            Err(JobError::io("record a command in", folder.path())(cause))
        }
    }
}

fn record(shared: &Surroundings, cmd_id: &CommandId, order: Order) -> Result<Record, JobError> {
    let Order { program, options, digest } = order;
    let user = shared.look_up(options.user.as_deref())?;
    Ok(Record {
        cmd_id: cmd_id.to_string(),
        program_sha256: digest,
        boot_id: shared.boot_id.clone(),
        recorded: unix_time(),
        env: shared.environment(user.as_ref(), &program),
        directory: shared.directory(&program),
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
        spool_limit: shared.config.spool_limit,
        when_spool_full: shared.config.when_spool_full,
    })
}

fn fill(folder: &Folder, record: &Record, stdin: Option<&[u8]>) -> std::io::Result<()> {
    if let Some(stdin) = stdin {
        std::io::Write::write_all(&mut private_new(&folder.stdin())?, stdin)?;
    }
    if record.input {
        private_new(&folder.input())?;
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
    let told = open_fifo(&folder.events(), false, true)?;
    // Read and write, so that it does not end when an agent does.
    let control = open_fifo(&folder.control(), true, true)?;
    let log = private(&folder.log(), true)?;
    Ok((events, [control, told, log]))
}

fn start(shared: &Surroundings, prepared: Prepared) -> Result<(Record, Receiver, Child), JobError> {
    let Prepared { folder, record, events, stdio } = prepared;
    let receiver = Receiver::from_file(events).map_err(JobError::io("listen to", &folder.events()))?;
    let supervisor =
        shared.supervise(folder.path(), stdio).map_err(JobError::io("start", &shared.config.supervisor))?;
    Ok((record, receiver, supervisor))
}
