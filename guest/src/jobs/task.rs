//! The task that owns the jobs: which there are, in which state, and who has yet to hear of it.
//! It waits for nothing but its channels; whatever touches the disk is a task of its own, held
//! here and ended with this one.  The commands themselves go on without it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::fcntl::Flock;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use vocable_protocol::{OnDisconnect, Part, Results};

use super::context::JobContext;
use super::error::JobError;
use super::follow::{self, JobUpdate, Reporter};
use super::program::CheckedProgram;
use super::recovery::{self, Found, FoundState};
use super::{JobEvent, JobInfo, Started};
use crate::job::command_id::CommandId;
use crate::timer::sleep_until;

/// How many commands are remembered at most, running, waiting for their acknowledgement or kept
/// after it: a thousand bytes each in memory, a folder each on the disk.  The oldest of those that
/// are kept go when there are more, so that only what the host has yet to take refuses new ones.
const MAX_KNOWN: usize = 10_000;

/// How many may be on their way out beside these, and in one go.  A disk that cannot keep up with
/// that holds up new commands.
const MAX_BEING_REMOVED: usize = 1_000;
const REMOVED_AT_ONCE: usize = 64;

/// A time nobody lives to see is one the clock may not be able to count.
const MAX_KEPT: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

type Reply<T> = oneshot::Sender<T>;

/// What can be asked of the owner.
#[derive(Debug)]
pub(super) enum Request {
    Acknowledge { cmd_id: CommandId, reply: Reply<Result<(), JobError>> },
    IsKnown { cmd_id: CommandId, reply: Reply<bool> },
    List { reply: Reply<Vec<JobInfo>> },
    Start { cmd_id: CommandId, program: Box<CheckedProgram>, reply: Reply<Result<Started, JobError>> },
    Unacknowledged { reply: Reply<Vec<String>> },
}

/// What the owner knows of one job.
struct Job {
    digest: String,
    info: JobInfo,
    /// Who waits for its start, and whether it was known when they asked.
    waiting: Vec<(Reply<Result<Started, JobError>>, bool)>,
    started: bool,
}

/// What there is to say of a job.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum Subject {
    End,
    Input,
    Output(Part),
}

/// What the agent has yet to hear, oldest first.  Only the subjects are kept, each once; what is
/// said of them is what is known when it is said.
#[derive(Default)]
struct Outbox {
    queue: VecDeque<(CommandId, Subject)>,
    queued: BTreeSet<(CommandId, Subject)>,
}

impl Outbox {
    fn push(&mut self, cmd_id: &CommandId, subject: Subject) {
        let key = (cmd_id.clone(), subject);
        if self.queued.insert(key.clone()) {
            self.queue.push_back(key);
        }
    }

    fn pop(&mut self) -> Option<(CommandId, Subject)> {
        let key = self.queue.pop_front()?;
        self.queued.remove(&key);
        Some(key)
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

pub(super) struct JobsTask {
    context: Arc<JobContext>,
    jobs: BTreeMap<CommandId, Job>,
    /// How many of them have no results yet.
    running: usize,
    /// Those that have yet to be acknowledged.
    unacknowledged: BTreeSet<CommandId>,
    /// When acknowledged jobs are to be forgotten: all that are kept, the oldest first.
    forget_at: BTreeSet<(Instant, CommandId)>,
    /// Those whose folders are to be removed, or are being removed.
    being_removed: VecDeque<CommandId>,
    /// How many are remembered at most.
    most_known: usize,
    requests: mpsc::Receiver<Request>,
    updates: mpsc::Receiver<(CommandId, JobUpdate)>,
    reporter: mpsc::Sender<(CommandId, JobUpdate)>,
    outbox: Outbox,
    tasks: JoinSet<()>,
    /// One at most.
    removals: JoinSet<Vec<CommandId>>,
    _lock: Flock<File>,
}

impl JobsTask {
    pub(super) fn new(
        context: Arc<JobContext>,
        lock: Flock<File>,
        requests: mpsc::Receiver<Request>,
        found: Vec<Found>,
    ) -> Self {
        let (reporter, updates) = mpsc::channel(64);
        let mut task = Self {
            context,
            jobs: BTreeMap::new(),
            running: 0,
            unacknowledged: BTreeSet::new(),
            forget_at: BTreeSet::new(),
            being_removed: VecDeque::new(),
            most_known: MAX_KNOWN,
            requests,
            updates,
            reporter,
            outbox: Outbox::default(),
            tasks: JoinSet::new(),
            removals: JoinSet::new(),
            _lock: lock,
        };
        found.into_iter().for_each(|found| task.take_up(found));
        task
    }

    /// Until nobody can ask any more.
    pub(super) async fn run(mut self, events: mpsc::Sender<JobEvent>) {
        loop {
            let forget = self.forget_at.first().map(|(when, _)| *when);
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(request) => self.serve(request),
                    None => return,
                },
                Some((cmd_id, update)) = self.updates.recv() => self.on_update(cmd_id, update),
                permit = events.reserve(), if !self.outbox.is_empty() => match permit {
                    Ok(permit) => if let Some(event) = self.next_event() { permit.send(event) },
                    // Nobody listens any more.
                    Err(_) => self.outbox = Outbox::default(),
                },
                () = sleep_until(forget) => self.forget_due(),
                Some(removed) = self.removals.join_next() => self.removed(removed.unwrap_or_default()),
                Some(ended) = self.tasks.join_next() => if let Err(error) = ended {
                    tracing::error!(%error, "a task of the jobs failed");
                },
            }
        }
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Acknowledge { cmd_id, reply } => self.acknowledge(cmd_id, reply),
            Request::IsKnown { cmd_id, reply } => drop(reply.send(self.jobs.contains_key(&cmd_id))),
            Request::List { reply } => {
                let _ = reply.send(self.jobs.values().map(|job| job.info.clone()).collect());
            }
            Request::Start { cmd_id, program, reply } => self.start(cmd_id, *program, reply),
            Request::Unacknowledged { reply } => {
                let _ = reply.send(self.unacknowledged.iter().map(CommandId::to_string).collect());
            }
        }
    }

    fn start(&mut self, cmd_id: CommandId, program: CheckedProgram, reply: Reply<Result<Started, JobError>>) {
        if let Some(job) = self.jobs.get_mut(&cmd_id) {
            return job.start_again(&program.digest, reply);
        }
        if let Err(refusal) = self.make_room() {
            let _ = reply.send(Err(refusal));
            return;
        }
        let job = Job::new(&cmd_id, &program.digest, program.options.on_disconnect);
        self.add(&cmd_id, Job { started: false, waiting: vec![(reply, false)], ..job });
        let reporter = self.reporter(cmd_id);
        self.tasks.spawn(follow::begin(self.context.clone(), program, reporter));
    }

    /// Makes sure that there is room for one more.
    fn make_room(&mut self) -> Result<(), JobError> {
        let limit = self.context.config.max_running;
        if self.running >= limit {
            return Err(JobError::TooManyRunning { limit });
        }
        while self.jobs.len() >= self.most_known + self.being_removed.len() {
            let limit = self.most_known;
            let (_, oldest) = self.forget_at.pop_first().ok_or(JobError::TooManyKnown { limit })?;
            self.remove(oldest);
        }
        if self.being_removed.len() > MAX_BEING_REMOVED {
            return Err(JobError::SlowDisk { leaving: self.being_removed.len() });
        }
        Ok(())
    }

    fn add(&mut self, cmd_id: &CommandId, job: Job) {
        self.running += 1;
        self.unacknowledged.insert(cmd_id.clone());
        self.jobs.insert(cmd_id.clone(), job);
    }

    fn reporter(&self, cmd_id: CommandId) -> Reporter {
        Reporter { cmd_id, updates: self.reporter.clone() }
    }

    /// A job that was there before this agent.
    fn take_up(&mut self, Found { cmd_id, record, state }: Found) {
        self.add(&cmd_id, Job::new(&cmd_id, &record.program_sha256, record.on_disconnect));
        match state {
            FoundState::Recorded => {
                if let Some(job) = self.jobs.get_mut(&cmd_id) {
                    job.started = false;
                }
                tracing::info!(cmd = %cmd_id, "a command is started that was recorded when the agent ended");
                let reporter = self.reporter(cmd_id);
                self.tasks.spawn(follow::begin_recorded(self.context.clone(), record, reporter));
            }
            FoundState::Running { events } => {
                let folder = self.context.folder(&cmd_id);
                self.on_output(&cmd_id, folder.spooled(Part::Out), folder.spooled(Part::Err));
                tracing::info!(cmd = %cmd_id, "a command goes on that was started before this agent");
                let reporter = self.reporter(cmd_id);
                self.tasks.spawn(follow::take_up(self.context.clone(), record, events, reporter));
            }
            FoundState::Ended { results, acknowledged: None } => self.on_end(&cmd_id, *results),
            FoundState::Ended { results, acknowledged: Some(when) } => {
                let age = SystemTime::now().duration_since(when).unwrap_or_default();
                let left = self.context.config.keep.saturating_sub(age);
                if let Some(job) = self.jobs.get_mut(&cmd_id) {
                    job.info.acknowledge(*results);
                    self.running -= 1;
                }
                self.forget_after(left, cmd_id);
            }
        }
    }

    fn on_update(&mut self, cmd_id: CommandId, update: JobUpdate) {
        match update {
            JobUpdate::Acknowledged => self.forget_after(self.context.config.keep, cmd_id),
            JobUpdate::Ended(results) => self.on_end(&cmd_id, *results),
            JobUpdate::Full => tracing::warn!(cmd = %cmd_id, "the output spool of a command takes no more"),
            JobUpdate::Output { out, err } => self.on_output(&cmd_id, out, err),
            JobUpdate::Refused(refusal) => {
                if let Some(job) = self.jobs.remove(&cmd_id) {
                    self.running -= usize::from(job.info.results.is_none());
                    self.unacknowledged.remove(&cmd_id);
                    job.refuse(refusal);
                }
            }
            JobUpdate::Taken(bytes) => {
                if let Some(job) = self.jobs.get_mut(&cmd_id) {
                    job.info.input_taken = bytes;
                    self.outbox.push(&cmd_id, Subject::Input);
                }
            }
            JobUpdate::Started => {
                if let Some(job) = self.jobs.get_mut(&cmd_id) {
                    job.has_started();
                }
            }
        }
    }

    /// Announces totals that are new.
    fn on_output(&mut self, cmd_id: &CommandId, out: u64, err: u64) {
        let Some(job) = self.jobs.get_mut(cmd_id) else { return };
        let totals = [(Part::Out, &mut job.info.out_bytes, out), (Part::Err, &mut job.info.err_bytes, err)];
        for (part, known, total) in totals {
            if total > *known {
                *known = total;
                self.outbox.push(cmd_id, Subject::Output(part));
            }
        }
    }

    fn on_end(&mut self, cmd_id: &CommandId, results: Results) {
        self.on_output(cmd_id, results.out_bytes, results.err_bytes);
        let Some(job) = self.jobs.get_mut(cmd_id) else { return };
        job.has_started();
        tracing::debug!(cmd = %cmd_id, state = ?results.state, code = ?results.exit_code_or_signal, "a command ended");
        if job.info.results.replace(results).is_none() {
            self.running -= 1;
        }
        self.outbox.push(cmd_id, Subject::End);
    }

    /// The oldest thing the agent has not heard, as it is now.
    fn next_event(&mut self) -> Option<JobEvent> {
        let (cmd_id, subject) = self.outbox.pop()?;
        let info = &self.jobs.get(&cmd_id)?.info;
        let cmd_id = info.cmd_id.clone();
        Some(match subject {
            Subject::End => JobEvent::Ended { cmd_id, results: info.results.clone()? },
            Subject::Input => JobEvent::Input { cmd_id, taken: info.input_taken },
            Subject::Output(part @ Part::Err) => JobEvent::Output { cmd_id, part, bytes: info.err_bytes },
            Subject::Output(part @ Part::Out) => JobEvent::Output { cmd_id, part, bytes: info.out_bytes },
        })
    }

    fn acknowledge(&mut self, cmd_id: CommandId, reply: Reply<Result<(), JobError>>) {
        let answer = match self.jobs.get_mut(&cmd_id) {
            None => Err(JobError::Unknown { cmd_id: cmd_id.to_string() }),
            Some(job) if job.info.results.is_none() => Err(JobError::NotEnded { cmd_id: cmd_id.to_string() }),
            Some(job) if job.info.acknowledged => Ok(()),
            Some(job) => {
                job.info.acknowledged = true;
                self.unacknowledged.remove(&cmd_id);
                let reporter = self.reporter(cmd_id);
                self.tasks.spawn(follow::mark_acknowledged(self.context.clone(), reporter, reply));
                return;
            }
        };
        let _ = reply.send(answer);
    }

    /// Keeps an acknowledged job for so long, if there is room.
    fn forget_after(&mut self, time: Duration, cmd_id: CommandId) {
        self.unacknowledged.remove(&cmd_id);
        let when = Instant::now() + time.min(MAX_KEPT);
        self.forget_at.insert((when, cmd_id));
    }

    fn forget_due(&mut self) {
        let now = Instant::now();
        while self.forget_at.first().is_some_and(|(when, _)| *when <= now) {
            if let Some((_, cmd_id)) = self.forget_at.pop_first() {
                self.remove(cmd_id);
            }
        }
    }

    /// Has the folder of a job removed.  Until it is, the job is known.
    fn remove(&mut self, cmd_id: CommandId) {
        self.being_removed.push_back(cmd_id);
        self.remove_next();
    }

    fn remove_next(&mut self) {
        if self.removals.is_empty() && !self.being_removed.is_empty() {
            let some = self.being_removed.iter().take(REMOVED_AT_ONCE).cloned().collect();
            self.removals.spawn(recovery::discard_all(self.context.clone(), some));
        }
    }

    fn removed(&mut self, gone: Vec<CommandId>) {
        // They are the first of those that leave; none if the task failed, which is then tried again.
        for cmd_id in gone {
            self.being_removed.pop_front();
            self.jobs.remove(&cmd_id);
        }
        self.remove_next();
    }
}

impl Job {
    fn new(cmd_id: &CommandId, digest: &str, on_disconnect: OnDisconnect) -> Self {
        let info = JobInfo { cmd_id: cmd_id.to_string(), on_disconnect, ..JobInfo::default() };
        Self { digest: digest.to_owned(), info, waiting: Vec::new(), started: true }
    }

    /// The answer to an id that is known: a retry, or a mistake.
    fn start_again(&mut self, digest: &str, reply: Reply<Result<Started, JobError>>) {
        if self.digest != digest {
            let _ = reply.send(Err(JobError::Differs { cmd_id: self.info.cmd_id.clone() }));
        } else if self.started {
            let _ = reply.send(Ok(Started { already: true }));
        } else {
            self.waiting.push((reply, true));
        }
    }

    fn has_started(&mut self) {
        self.started = true;
        for (reply, already) in self.waiting.drain(..) {
            let _ = reply.send(Ok(Started { already }));
        }
    }

    /// Nothing was run: whoever asked first hears why, the others that it is not running.
    fn refuse(self, refusal: JobError) {
        let cmd_id = self.info.cmd_id;
        let mut refusal = Some(refusal);
        for (reply, _) in self.waiting {
            let refusal = refusal.take().unwrap_or_else(|| JobError::NotRunning { cmd_id: cmd_id.clone() });
            let _ = reply.send(Err(refusal));
        }
    }
}

impl JobInfo {
    fn acknowledge(&mut self, results: Results) {
        (self.out_bytes, self.err_bytes) = (results.out_bytes, results.err_bytes);
        self.results = Some(results);
        self.acknowledged = true;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::test_config;
    use super::*;
    use crate::job::record::Record;
    use crate::private;
    use std::path::Path;
    use std::sync::LazyLock;
    use vocable_protocol::{Failure, FailureCode};

    fn task(dir: &Path, most_known: usize) -> JobsTask {
        let context = JobContext::prepare(test_config(dir)).unwrap();
        let lock = recovery::lock(&context.config.dir).unwrap();
        // Nobody asks but the test.
        let mut task = JobsTask::new(Arc::new(context), lock, mpsc::channel(1).1, Vec::new());
        task.most_known = most_known;
        task
    }

    fn record(cmd_id: &CommandId) -> Record {
        static ONE: LazyLock<Record> = LazyLock::new(|| {
            serde_json::from_value(serde_json::json!({
                "cmd_id": "", "program_sha256": "", "boot_id": "", "recorded": 0.0, "cmd": "true", "args": ["x"],
                "env": [], "directory": "/", "user": null, "nice": null, "limits": [], "stdin": false,
                "timeout": null, "grace": {"secs": 10, "nanos": 0}, "on_disconnect": "keep", "spool_limit": 1,
                "when_spool_full": "pause"
            }))
            .unwrap()
        });
        Record { cmd_id: cmd_id.to_string(), ..ONE.clone() }
    }

    fn results() -> Results {
        Results::not_started(Failure::new(FailureCode::NotStarted, "a test"), 0.0)
    }

    impl JobsTask {
        /// A command that has ended at once: all but the process.
        fn ends(&mut self, cmd_id: &CommandId) -> Result<(), JobError> {
            self.make_room()?;
            let state = FoundState::Ended { results: Box::new(results()), acknowledged: None };
            self.take_up(Found { cmd_id: cmd_id.clone(), record: record(cmd_id), state });
            while self.next_event().is_some() {}
            Ok(())
        }

        /// What the task does when a removal is through.
        async fn removal(&mut self) {
            if let Some(removed) = self.removals.join_next().await {
                self.removed(removed.unwrap());
            }
        }
    }

    #[tokio::test]
    async fn a_command_every_second_for_a_week_is_taken_and_what_is_remembered_stays_bounded() {
        const WEEK: usize = 7 * 24 * 60 * 60;
        let dir = tempfile::tempdir().unwrap();
        let mut task = task(dir.path(), MAX_KNOWN);
        for n in 0..WEEK {
            let cmd_id: CommandId = format!("r{n}.vm1").parse().unwrap();
            while task.being_removed.len() > MAX_BEING_REMOVED / 2 {
                task.removal().await;
            }
            task.ends(&cmd_id).unwrap();
            task.on_update(cmd_id, JobUpdate::Acknowledged);
            assert!(task.jobs.len() <= MAX_KNOWN + MAX_BEING_REMOVED);
        }
        assert_eq!((task.running, task.unacknowledged.len()), (0, 0));
        assert!(task.forget_at.len() <= MAX_KNOWN && task.outbox.is_empty());
    }

    #[tokio::test]
    async fn the_oldest_that_are_acknowledged_leave_the_disk_and_the_newest_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut task = task(dir.path(), 100);
        let id = |n: usize| format!("c{n}").parse::<CommandId>().unwrap();
        for n in 0..1000 {
            let folder = task.context.folder(&id(n));
            private::new_folder(folder.path()).unwrap();
            folder.write_result(&results()).unwrap();
            task.ends(&id(n)).unwrap();
            task.on_update(id(n), JobUpdate::Acknowledged);
        }
        while !task.being_removed.is_empty() {
            task.removal().await;
        }
        let is_there = |n: &usize| task.context.folder(&id(*n)).path().exists();
        assert_eq!((0..1000).filter(is_there).collect::<Vec<_>>(), (900..1000).collect::<Vec<_>>());
        assert_eq!(task.jobs.len(), 100);
    }

    #[tokio::test]
    async fn only_what_the_host_has_yet_to_take_refuses_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut task = task(dir.path(), 10);
        let id = |n: usize| format!("c{n}").parse::<CommandId>().unwrap();
        (0..10).for_each(|n| task.ends(&id(n)).unwrap());
        assert!(matches!(task.ends(&id(10)), Err(JobError::TooManyKnown { limit: 10 })));
        task.on_update(id(3), JobUpdate::Acknowledged);
        task.ends(&id(10)).unwrap();
        task.removal().await;
        assert!(!task.jobs.contains_key(&id(3)) && task.jobs.contains_key(&id(0)));
        assert!(matches!(task.ends(&id(11)), Err(JobError::TooManyKnown { limit: 10 })));
    }

    #[tokio::test]
    async fn a_disk_that_is_too_slow_to_forget_holds_up_new_commands() {
        let dir = tempfile::tempdir().unwrap();
        let mut task = task(dir.path(), 1);
        let refused = (0..10 * MAX_BEING_REMOVED).find_map(|n| {
            let cmd_id: CommandId = format!("c{n}").parse().unwrap();
            let taken = task.ends(&cmd_id);
            task.on_update(cmd_id, JobUpdate::Acknowledged);
            taken.err()
        });
        assert!(matches!(refused, Some(JobError::SlowDisk { .. })), "{refused:?}");
        assert!(task.jobs.len() <= MAX_BEING_REMOVED + 2);
    }
}
