//! Jobs: one computation in one machine each. Its machine is started, its inputs are brought, its program is run, and its
//! outputs are fetched; meanwhile the machine may be suspended, saved or throttled.
//!
//! ```text
//! starting ─▶ bringing ─▶ running ─▶ fetching ─▶ done
//!     └───────────┴──────────┴───────────┴─────▶ failed, or aborted by whoever wants that
//! ```
//!
//! A job lives in this process: after a restart of the agent whoever opened it opens it again under its own id. Nothing
//! is done twice by that, since its command and its transfers have ids made of the job's.

use crate::agent::commands::{Command, Program, State as CommandState};
use crate::agent::control::{CommandReply, Signal};
use crate::agent::events::Wanted;
use crate::agent::handle::{Handle, new_run_id};
use crate::agent::run::{RunOptions, RunRequest};
use crate::agent::store::Spec as TransferSpec;
use crate::files::Files;
use crate::files::transfers::Transfers;
use crate::machines::HypervisorError;
use crate::machines::policy::Operation;
use crate::machines::request::over;
use crate::machines::service::Machines;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use vocable_api::checked::Percent;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::file::{Direction, TransferState};
use vocable_api::job::{Action, File, Spec, State, Status};
use vocable_api::vm::{Settings, Usage};
use vocable_runtime::Lexicon;
use vocable_xmlrpc::excerpt;

/// Jobs at a time.
const MAX_JOBS: usize = 1000;
/// Requests that may wait for the task.
const WAITING: usize = 64;
/// How long a machine has to come up with its guest agent, unless the caller says otherwise.
const BOOT_TIMEOUT: Duration = Duration::from_secs(600);
/// Longer than anything is waited for.
const FOREVER: Duration = Duration::from_hours(24 * 365 * 10);
/// The snapshot of a job.
const CHECKPOINT: &str = "vocable-job";
/// Bytes of a file with a fraction that are read.
const FRACTION: u64 = 64;

/// Where jobs are done.
#[derive(Clone)]
pub(crate) struct Engines {
    /// The agent.
    pub(crate) handle: Handle,
    /// Its words.
    pub(crate) lexicon: Lexicon,
    /// The files of guests.
    pub(crate) files: Files,
    /// Copies of files.
    pub(crate) transfers: Transfers,
    /// The machines.
    pub(crate) machines: Machines,
}

enum Request {
    Abort { id: String, reply: oneshot::Sender<Result<Job, Fault>> },
    Close { id: String, reply: oneshot::Sender<Result<State, Fault>> },
    Look { id: String, reply: oneshot::Sender<Result<watch::Sender<Job>, Fault>> },
    Open { spec: Box<Spec>, reply: oneshot::Sender<Result<String, Fault>> },
}

/// The jobs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Jobs {
    requests: mpsc::Sender<Request>,
    engines: Engines,
}

/// The task that owns them.
pub(crate) struct JobsTask {
    requests: mpsc::Receiver<Request>,
    engines: Engines,
    jobs: BTreeMap<String, Opened>,
}

/// A job that was opened.
struct Opened {
    spec: Spec,
    job: watch::Sender<Job>,
    /// What carries it out; dropped when it is aborted.
    task: Option<AbortOnDropHandle<()>>,
}

/// A job, as it stands.
#[derive(Clone, Debug, Default)]
struct Job {
    vm: String,
    fraction_file: Option<String>,
    state: State,
    failure: Option<Fault>,
    cmd_id: Option<String>,
    exit: Option<i32>,
    cpu_s: Option<f64>,
    checkpoint_cpu_s: Option<f64>,
}

impl Jobs {
    /// Jobs that are done by these engines.
    pub(crate) fn new(engines: Engines) -> (Self, JobsTask) {
        let (sender, requests) = mpsc::channel(WAITING);
        let task = JobsTask { requests, engines: engines.clone(), jobs: BTreeMap::new() };
        (Self { requests: sender, engines }, task)
    }

    async fn ask<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, Fault>>) -> Request,
    ) -> Result<T, Fault> {
        let stopping = || Fault::new(FaultKind::Stopping, "the host agent is stopping");
        let (reply, answer) = oneshot::channel();
        self.requests.send(make(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Begins a job; its id. The same id with the same job is the same job.
    pub(crate) async fn open(&self, spec: Spec) -> Result<String, Fault> {
        self.ask(|reply| Request::Open { spec: Box::new(spec), reply }).await
    }

    /// Forgets a job that is over; how it ended.
    pub(crate) async fn close(&self, id: &str) -> Result<State, Fault> {
        self.ask(|reply| Request::Close { id: id.to_owned(), reply }).await
    }

    /// How a job stands. What cannot be known now is absent: a guest may be suspended.
    pub(crate) async fn status(&self, id: &str) -> Result<Status, Fault> {
        let found = self.ask(|reply| Request::Look { id: id.to_owned(), reply }).await?;
        let job = found.borrow().clone();
        if job.state.is_over() {
            return Ok(job.status(id, Usage::default(), None));
        }
        let usage = self.engines.machines.usage(&job.vm).await.unwrap_or_default();
        let mut fraction = None;
        if let Some(cmd_id) = &job.cmd_id {
            fraction = match &job.fraction_file {
                Some(file) => self.engines.fraction_done(&job.vm, file).await,
                None => None,
            };
            if let Some(cpu_s) = self.engines.cpu_now(cmd_id).await {
                found.send_modify(|job| job.cpu_s = Some(cpu_s));
            }
        }
        let job = found.borrow().clone();
        Ok(job.status(id, usage, fraction))
    }

    /// Does something with a job; its state then. What is done to its machine is waited for until the deadline.
    pub(crate) async fn control(
        &self,
        id: &str,
        action: Action,
        percent: Option<Percent>,
        deadline: Instant,
    ) -> Result<State, Fault> {
        let found = self.ask(|reply| Request::Look { id: id.to_owned(), reply }).await?;
        let set =
            |network, cpu_cap_pct| Operation::Set(Settings { network, cpu_cap_pct, ..Settings::default() });
        let operation = match action {
            Action::Abort => return self.abort(id).await,
            Action::Checkpoint => Operation::TakeSnapshot {
                name: CHECKPOINT.to_owned(),
                description: String::new(),
                replace: true,
            },
            Action::NetworkOff => set(Some(false), None),
            Action::NetworkOn => set(Some(true), None),
            Action::Quit => Operation::Save,
            Action::Resume => Operation::Resume,
            Action::Suspend => Operation::Pause,
            Action::Throttle => set(None, percent),
        };
        let vm = found.borrow().vm.clone();
        let begun = self.engines.machines.begin(&vm, operation, None).await?;
        if let Ok(op) = timeout_at(deadline, over(begun)).await {
            op.result()?;
        }
        if action == Action::Checkpoint {
            found.send_modify(|job| job.checkpoint_cpu_s = job.cpu_s);
        }
        let state = found.borrow().state;
        Ok(state)
    }

    /// Ends the program, if it runs; the machine is left to those who know what else is in it.
    async fn abort(&self, id: &str) -> Result<State, Fault> {
        let job = self.ask(|reply| Request::Abort { id: id.to_owned(), reply }).await?;
        if let Some(cmd_id) = &job.cmd_id {
            let Engines { handle, lexicon, .. } = &self.engines;
            let term = Signal { number: Signal::TERM, end: Some(None) };
            // A guest that is not there ends it when it is back.
            handle.signal(lexicon, cmd_id, term).await?;
        }
        Ok(job.state)
    }
}

impl JobsTask {
    /// Runs until cancelled; what is under way then is opened again by whoever wants it.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while let Some(Some(request)) = stop.run_until_cancelled(self.requests.recv()).await {
            // Whoever asked may have gone: then the answer goes nowhere.
            match request {
                Request::Abort { id, reply } => drop(reply.send(self.abort(&id))),
                Request::Close { id, reply } => drop(reply.send(self.close(&id))),
                Request::Look { id, reply } => {
                    drop(reply.send(self.find(&id).map(|opened| opened.job.clone())));
                }
                Request::Open { spec, reply } => drop(reply.send(self.open(*spec))),
            }
        }
    }

    fn find(&mut self, id: &str) -> Result<&mut Opened, Fault> {
        let unknown = || Fault::new(FaultKind::NoSuchJob, format!("no job is called {}", excerpt(id)));
        self.jobs.get_mut(id).ok_or_else(unknown)
    }

    fn open(&mut self, spec: Spec) -> Result<String, Fault> {
        let id = match &spec.id {
            Some(id) => id.as_str().to_owned(),
            None => new_run_id()?,
        };
        if let Some(known) = self.jobs.get(&id) {
            if known.spec == spec {
                return Ok(id);
            }
            return Err(Fault::new(FaultKind::AlreadyExists, format!("there is another job {id}")));
        }
        if self.jobs.len() >= MAX_JOBS {
            return Err(Fault::new(FaultKind::TooMany, format!("there are {MAX_JOBS} jobs: close some")));
        }
        let (vm, fraction_file) = (spec.vm.clone(), spec.fraction_file.clone());
        let job = watch::Sender::new(Job { vm, fraction_file, ..Job::default() });
        let (work, engines) = ((id.clone(), spec.clone(), job.clone()), self.engines.clone());
        let task = tokio::spawn(async move {
            let (id, spec, job) = work;
            let result = engines.perform(&id, &spec, &job).await;
            job.send_modify(|job| match result {
                _ if job.state.is_over() => {}
                Ok(()) => job.state = State::Done,
                Err(fault) => (job.state, job.failure) = (State::Failed, Some(fault)),
            });
        });
        let task = Some(AbortOnDropHandle::new(task));
        self.jobs.insert(id.clone(), Opened { spec, job, task });
        Ok(id)
    }

    fn abort(&mut self, id: &str) -> Result<Job, Fault> {
        let opened = self.find(id)?;
        drop(opened.task.take());
        opened.job.send_if_modified(|job| {
            let ends = !job.state.is_over();
            if ends {
                job.state = State::Aborted;
            }
            ends
        });
        Ok(opened.job.borrow().clone())
    }

    fn close(&mut self, id: &str) -> Result<State, Fault> {
        let state = self.find(id)?.job.borrow().state;
        if !state.is_over() {
            let text = format!("job {id} is {}: end it first with job.control abort", <&str>::from(state));
            return Err(Fault::new(FaultKind::WrongState, text));
        }
        self.jobs.remove(id);
        Ok(state)
    }
}

impl Job {
    fn status(self, id: &str, usage: Usage, fraction_done: Option<f64>) -> Status {
        let failure = self.failure.as_ref();
        Status {
            job_id: id.to_owned(),
            state: self.state,
            message: failure.map(|fault| fault.message.clone()),
            code: failure.map(|fault| fault.kind.slug().to_owned()),
            transient: failure.map(|fault| fault.kind.transient()),
            cmd_id: self.cmd_id,
            exit_code_or_signal: self.exit,
            fraction_done,
            cpu_s: self.cpu_s,
            checkpoint_cpu_s: self.checkpoint_cpu_s,
            vm_pid: usage.session_pid,
            net_rx_bytes_s: usage.net_rx_bytes_s,
            net_tx_bytes_s: usage.net_tx_bytes_s,
        }
    }
}

impl Engines {
    /// All of a job, from the machine to its outputs.
    async fn perform(&self, id: &str, spec: &Spec, job: &watch::Sender<Job>) -> Result<(), Fault> {
        let enter = |state| job.send_modify(|job| job.state = state);
        let guest = self.boot(spec).await?;
        enter(State::Bringing);
        self.copy_all(Direction::Push, &guest, spec.inputs.as_deref(), id).await?;
        enter(State::Running);
        let program = Program {
            cmd: spec.cmd.clone(),
            args: spec.args.clone().unwrap_or_default(),
            env: spec.env.clone().unwrap_or_default(),
            path: spec.path.clone(),
            ..Program::default()
        };
        let options = RunOptions::default();
        let run = RunRequest { target: guest.clone(), program, id: Some(id.to_owned()), options };
        let cmd_id = self.handle.run(run).await?;
        job.send_modify(|job| job.cmd_id = Some(cmd_id.clone()));
        let over = |command: &Command| command.state.is_over();
        let ended = self.handle.watch(&cmd_id, Instant::now() + FOREVER, over).await?;
        let results = ended.results.unwrap_or_default();
        job.send_modify(|job| {
            job.exit = results.exit_code_or_signal.and_then(|code| code.try_into().ok());
            job.cpu_s = results.rusage().map(|used| used.ru_utime + used.ru_stime).or(job.cpu_s);
        });
        if ended.state != CommandState::Done {
            let why = ended.failure.map_or_else(String::new, |failure| format!(": {}", failure.message));
            let text = format!("the program is {}{why}", ended.state.as_str());
            return Err(Fault::new(FaultKind::WrongState, text));
        }
        enter(State::Fetching);
        self.copy_all(Direction::Pull, &guest, spec.outputs.as_deref(), id).await
    }

    /// Starts the machine, and waits until the guest in it is there.
    async fn boot(&self, spec: &Spec) -> Result<String, Fault> {
        let timeout = spec.boot_timeout_s.map_or(BOOT_TIMEOUT, |seconds| {
            Duration::try_from_secs_f64(seconds.max(0.0)).map_or(FOREVER, |timeout| timeout.min(FOREVER))
        });
        let deadline = Instant::now() + timeout;
        match self.machines.begin(&spec.vm, Operation::Start, None).await {
            Ok(begun) => {
                if let Ok(op) = timeout_at(deadline, over(begun)).await {
                    op.result()?;
                }
            }
            // One that is in no machine is there by itself or is not.
            Err(HypervisorError::NoMachine(_))
                if self.handle.roster().await?.guests.contains_key(&spec.vm) => {}
            Err(error) => return Err(error.into()),
        }
        let wanted = Wanted::of(None, &["guest.*".to_owned()])
            .map_err(|error| Fault::new(FaultKind::Internal, error.to_string()))?;
        let mut next = self.handle.events(u64::MAX, 1, &wanted, Instant::now()).await?.next;
        loop {
            let roster = self.handle.roster().await?;
            let absent = match roster.guest_of(&spec.vm) {
                Ok(guest) if roster.guests.get(guest).is_some_and(|(it, _)| it.state.is_there()) => {
                    return Ok(guest.to_owned());
                }
                Ok(guest) => Fault::new(FaultKind::GuestOffline, format!("{guest} did not come up in time")),
                Err(fault) if fault.kind == FaultKind::GuestOffline => fault,
                Err(fault) => return Err(fault),
            };
            if deadline <= Instant::now() {
                return Err(absent);
            }
            next = self.handle.events(next, 1, &wanted, deadline).await?.next;
        }
    }

    async fn copy_all(
        &self,
        direction: Direction,
        guest: &str,
        files: Option<&[File]>,
        id: &str,
    ) -> Result<(), Fault> {
        let way = if direction == Direction::Push { "in" } else { "out" };
        for (n, File { local, remote }) in files.unwrap_or_default().iter().enumerate() {
            copy(&self.transfers, direction, guest, (local, remote), Some(format!("{id}-{way}{n}"))).await?;
        }
        Ok(())
    }

    /// What the program wrote last of how far it is.
    async fn fraction_done(&self, vm: &str, file: &str) -> Option<f64> {
        let roster = self.handle.roster().await.ok()?;
        let piece = self.files.read(roster.guest_of(vm).ok()?, file, 0, FRACTION).await.ok()?;
        let text = std::str::from_utf8(&piece.data).ok()?;
        text.split_whitespace().next()?.parse().ok().filter(|part| (0.0..=1.0).contains(part))
    }

    /// Processor time of a command that runs.
    async fn cpu_now(&self, cmd_id: &str) -> Option<f64> {
        let used = self.handle.usage(&self.lexicon, Some(cmd_id)).await.ok()?;
        used.into_iter().find_map(|CommandReply { answer, .. }| Some(answer.ok()?.cpu_s))
    }
}

/// Copies a file or a folder and waits for the end: the path on the host, and on the guest.
pub(crate) async fn copy(
    transfers: &Transfers,
    direction: Direction,
    guest: &str,
    (local, remote): (&str, &str),
    id: Option<String>,
) -> Result<(), Fault> {
    let spec = TransferSpec {
        direction,
        guest: guest.to_owned(),
        local: local.to_owned(),
        remote: remote.to_owned(),
        exclude: Vec::new(),
        delete: false,
        resume: true,
        preserve: false,
    };
    let id = transfers.start(spec, id).await?;
    let ended = transfers.wait(&id, Instant::now() + FOREVER).await?;
    if ended.state == TransferState::Done {
        return Ok(());
    }
    let (code, why) = ended.report.error.unwrap_or_else(|| ("internal".to_owned(), "it failed".to_owned()));
    let kind = FaultKind::ALL.iter().copied().find(|kind| kind.slug() == code).unwrap_or(FaultKind::Internal);
    Err(Fault::new(kind, format!("the transfer failed: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_the_machine_uses_and_why_a_job_failed() {
        let fault = Fault::new(FaultKind::GuestOffline, "vm1 did not come up in time");
        let job = Job { state: State::Failed, failure: Some(fault), cpu_s: Some(1.5), ..Job::default() };
        let usage = Usage {
            session_pid: Some(7),
            net_rx_bytes_s: Some(2048.0),
            net_tx_bytes_s: Some(1.0),
            ..Usage::default()
        };
        let status = job.status("wu-1", usage, Some(0.5));
        assert_eq!(status.message.as_deref(), Some("vm1 did not come up in time"));
        assert_eq!((status.code.as_deref(), status.transient), (Some("guest-offline"), Some(true)));
        assert_eq!((status.net_rx_bytes_s, status.net_tx_bytes_s), (Some(2048.0), Some(1.0)));
        assert_eq!((status.vm_pid, status.fraction_done), (Some(7), Some(0.5)));
    }
}
