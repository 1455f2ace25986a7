//! What lies in the folder of the jobs when an agent starts, and what became of jobs that ended
//! without results.  All of it looks at the disk and waits for it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use sha2::{Digest, Sha256};

use super::blocking;
use super::context::JobContext;
use super::error::JobError;
use crate::job::cgroup;
use crate::job::command_id::CommandId;
use crate::job::folder::{Folder, open_fifo, read_json};
use crate::job::processes::Snapshot;
use crate::job::record::{Record, Supervisor, unix_time};
use crate::private;
use vocable_protocol::{EndState, Failure, FailureCode, Part, Results};

/// How long the lock of an agent that was killed may be held by a process it had just begun to start, which has its files
/// open until it has become another program.
const STALE_LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Keeps a second agent out of the folder, for as long as it is held.
pub(super) fn lock(dir: &Path) -> Result<Flock<File>, JobError> {
    // No job can have this name: it has a character that no id has.
    let path = dir.join("lock~");
    let mut file = private::file(&path, false).map_err(JobError::io("open", &path))?;
    let deadline = Instant::now() + STALE_LOCK_TIMEOUT;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err(_) if Instant::now() >= deadline => return Err(JobError::InUse { dir: dir.to_owned() }),
            Err((same, _)) => file = same,
        }
        // There is no waiting for a lock that ends by itself.
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(super) struct Found {
    pub(super) cmd_id: CommandId,
    pub(super) record: Record,
    pub(super) state: FoundState,
}

pub(super) enum FoundState {
    Ended {
        results: Box<Results>,
        acknowledged: Option<SystemTime>,
    },
    /// It was to be started when the agent ended, and has not been.
    Recorded,
    /// With the agent's end of `events`.
    Running {
        events: File,
    },
}

pub(super) fn scan(context: &JobContext) -> Result<Vec<Found>, JobError> {
    let dir = &context.config.dir;
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(JobError::io("read", dir))? {
        let name = entry.map_err(JobError::io("read", dir))?.file_name();
        let Some(cmd_id) = name.to_str().and_then(|name| name.parse::<CommandId>().ok()) else { continue };
        found.extend(inspect(context, cmd_id));
    }
    Ok(found)
}

fn inspect(context: &JobContext, cmd_id: CommandId) -> Option<Found> {
    let folder = context.folder(&cmd_id);
    match read_json::<Record>(&folder.record()) {
        Ok(record) => {
            let state = state(context, &folder, &record);
            Some(Found { cmd_id, record, state })
        }
        // The agent or the machine ended while it was asked: nothing was promised, nothing was run.
        Err(_) if !folder.events().exists() => {
            discard(&folder, &cmd_id);
            None
        }
        Err(error) => {
            tracing::error!(cmd = %cmd_id, %error, "the record of a command cannot be read; it stays as it is");
            None
        }
    }
}

/// Removes a folder without regret.
pub(super) fn discard(folder: &Folder, cmd_id: &CommandId) {
    if let Err(error) = fs::remove_dir_all(folder.path())
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::error!(cmd = %cmd_id, %error, "the folder of a command cannot be removed");
    }
}

/// The same, without waiting for the disk on the agent's own thread.
pub(super) async fn discard_later(folder: Folder, cmd_id: CommandId) {
    let work = move || {
        discard(&folder, &cmd_id);
        Ok(())
    };
    let _ = blocking(work).await;
}

/// The same of several, one after the other; gives which.
pub(super) async fn discard_all(context: Arc<JobContext>, cmd_ids: Vec<CommandId>) -> Vec<CommandId> {
    let work = move || {
        cmd_ids.iter().for_each(|cmd_id| discard(&context.folder(cmd_id), cmd_id));
        Ok(cmd_ids)
    };
    blocking(work).await.unwrap_or_default()
}

fn state(context: &JobContext, folder: &Folder, record: &Record) -> FoundState {
    let is_of_this_boot = record.boot_id == context.boot_id;
    if let Ok(Some(results)) = folder.read_result() {
        // Results are there before the disk has all of the output; if the machine stopped in between, the host may
        // have yet to hear what is gone.
        let is_short = |(part, told)| folder.spooled(part) < told;
        let output = [(Part::Out, results.out_bytes), (Part::Err, results.err_bytes)];
        if is_of_this_boot || folder.acknowledged().exists() || !output.into_iter().any(is_short) {
            return ended(folder, results);
        }
        let message = "the command ended, and the guest was restarted before its output was on the disk";
        return ended(folder, lost(folder, record, Failure::new(FailureCode::GuestRestarted, message)));
    }
    if !is_of_this_boot {
        let failure =
            Failure::new(FailureCode::GuestRestarted, "the guest was restarted before the command ended");
        return ended(folder, lost(folder, record, failure));
    }
    match supervised(folder) {
        Some(events) => FoundState::Running { events },
        // Nobody works on it, and whoever starts the program makes the spool before.
        None if !folder.spool(Part::Out).exists() && !folder.result().exists() => FoundState::Recorded,
        None => {
            // Results that are there and cannot be read say that it was started: never again.
            let made_up = results(folder, record).unwrap_or_else(|error| {
                tracing::error!(folder = %folder.path().display(), %error, "results cannot be kept");
                not_started(folder, record)
            });
            ended(folder, made_up)
        }
    }
}

fn ended(folder: &Folder, results: Results) -> FoundState {
    let acknowledged = fs::metadata(folder.acknowledged()).and_then(|metadata| metadata.modified()).ok();
    FoundState::Ended { results: Box::new(results), acknowledged }
}

/// The agent's end of `events`, if a supervisor has the other.  What was in the FIFO is read, and
/// missed by nobody: the job's folder says the same.
fn supervised(folder: &Folder) -> Option<File> {
    let mut events = open_fifo(&folder.events(), true, false).ok()?;
    let mut bytes = [0; 4096];
    loop {
        match events.read(&mut bytes) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => return Some(events),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// The results of a job that has no supervisor any more; if it left none, they are made up from
/// what is known, and kept.
///
/// # Errors
/// The disk's, if a job was never started and that cannot be kept.  It must not be told then: the next agent would find
/// a job without a trace of a start, and start it.
pub(super) fn results(folder: &Folder, record: &Record) -> io::Result<Results> {
    if let Ok(Some(results)) = folder.read_result() {
        return Ok(results);
    }
    if !folder.spool(Part::Out).exists() {
        let results = not_started(folder, record);
        return match folder.write_result(&results).and_then(|()| folder.sync_result()) {
            // Without its folder nobody can start it.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(results),
        };
    }
    end_remains(folder);
    let message = match last_log_line(folder) {
        Some(line) => format!("the supervisor of the command ended before it: {line}"),
        None => "the supervisor of the command ended before it, without a word; it may have been killed"
            .to_owned(),
    };
    Ok(lost(folder, record, Failure::new(FailureCode::SupervisorGone, message)))
}

/// The results of a job that nobody has started.
fn not_started(folder: &Folder, record: &Record) -> Results {
    let message = match last_log_line(folder) {
        Some(line) => format!("the command could not be started; nothing was run: {line}"),
        None => "the command was recorded but never started; nothing was run".to_owned(),
    };
    Results::not_started(Failure::new(FailureCode::NotStarted, message), record.recorded)
}

/// The results of a job whose end nobody saw: what was spooled, and why that is all.
fn lost(folder: &Folder, record: &Record, failure: Failure) -> Results {
    let (out_bytes, out_sha256) = digest(folder, Part::Out);
    let (err_bytes, err_sha256) = digest(folder, Part::Err);
    let results = Results {
        state: EndState::Lost,
        finished: false,
        exit_code_or_signal: None,
        resources: None,
        started: record.recorded,
        ended: unix_time(),
        out_bytes,
        err_bytes,
        out_sha256,
        err_sha256,
        error: Some(failure),
        left_out: None,
    };
    keep(folder, results)
}

/// Keeps results made up here, so that they stay the same.
fn keep(folder: &Folder, results: Results) -> Results {
    if let Err(error) = folder.write_result(&results).and_then(|()| folder.sync_result()) {
        tracing::error!(folder = %folder.path().display(), %error, "results cannot be kept");
    }
    results
}

/// Removes the cgroup that a supervisor left behind, if nobody is in it.
pub(super) fn remove_group(folder: &Folder) {
    let supervisor = read_json::<Supervisor>(&folder.supervisor());
    supervisor.ok().and_then(|told| told.group).iter().for_each(|group| cgroup::remove(group));
}

/// The length of a stream, and its digest unless the beginning is gone.
fn digest(folder: &Folder, part: Part) -> (u64, Option<String>) {
    if folder.freed().of(part) > 0 {
        return (folder.spooled(part), None);
    }
    let mut digest = Sha256::new();
    let mut length = 0;
    if let Ok(mut spool) = File::open(folder.spool(part)) {
        let mut block = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = spool.read(&mut block) {
            digest.update(block.get(..read).unwrap_or_default());
            length += read as u64;
        }
    }
    (length, Some(hex::encode(digest.finalize())))
}

/// The last line a supervisor in trouble wrote.
fn last_log_line(folder: &Folder) -> Option<String> {
    const MAX_LINE: usize = 200;
    let log = fs::read(folder.log()).ok()?;
    let log = String::from_utf8_lossy(&log).into_owned();
    let line = log.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.chars().take(MAX_LINE).collect())
}

/// Kills what a dead supervisor left: whoever is in the cgroup of the command, its session, and what descends from
/// that.  Without a cgroup, what had left the session *and* its parents cannot be told from strangers any more, and
/// goes on.
fn end_remains(folder: &Folder) {
    const TIMEOUT: Duration = Duration::from_secs(2);
    const PAUSE: Duration = Duration::from_millis(5);
    let Ok(Supervisor { process, group }) = read_json(&folder.supervisor()) else { return };
    let group = group.as_deref();
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline {
        let Ok(snapshot) = Snapshot::take() else { return };
        let remains = snapshot.remains_of_session(process);
        let of_session = remains.iter().filter(|process| process.signal(Signal::SIGKILL)).count();
        let in_group = group.is_some_and(cgroup::kill);
        if of_session == 0 && !in_group {
            group.into_iter().for_each(cgroup::remove);
            return;
        }
        // They are not our children: nothing tells when they are gone.
        std::thread::sleep(PAUSE);
    }
}
