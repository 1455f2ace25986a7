//! The task that owns what is known of the machines. Operations on one machine are done one after the other, each until
//! its deadline; what happens in the hypervisor is told by the driver, nothing is polled.
//!
//! ```text
//! request ─▶ its machine's queue ─▶ read it, decide, do, read it again ─▶ the operation is over, the view is new
//! event of the driver ─▶ read that machine (or all) ─▶ the view is new, and what has changed is told
//! ```

use super::cards::Duplicates;
use super::policy::{Operation, Task, decide, leftovers};
use super::request::{Begun, MachineRequest, Op, Phase, View, What};
use super::service::Machines;
use super::{DriverEvent, Hypervisor, HypervisorError, Machine, Progress, Snapshot, State, Step};
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Map, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use vocable_api::vm::{Action, Create};

/// Operations that may wait for their turn at one machine.
const MOST_WAITING: usize = 16;
/// Events of the driver that may wait for the task.
const EVENTS: usize = 1024;
/// Operations that are remembered after they are over.
const OPS_KEPT: usize = 1000;
/// Requests that may wait for the task.
const REQUESTS: usize = 256;
/// Operations that read or write disks may take so many times the usual.
const LONG: u32 = 20;
/// The longest an operation may take, whatever the caller says.
const LONGEST: Duration = Duration::from_hours(24);
/// Asking again when the hypervisor does not answer: first after this, then doubling.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// And at most after this.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Something to tell everybody.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notice {
    /// `vm.state`, `vm.created`, `vm.removed`, `vm.duplicate-mac`, `vm.hypervisor`.
    pub(crate) kind: &'static str,
    /// The machine it is about, by name.
    pub(crate) machine: Option<String>,
    /// In words.
    pub(crate) text: String,
    /// Further facts.
    pub(crate) data: Map<String, serde_json::Value>,
}

/// How the task does things.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The tag of machines that are ours.
    pub(crate) tag: String,
    /// How long an operation may take, unless its caller says otherwise; those that read or write disks twenty times
    /// that.
    pub(crate) operation_timeout: Duration,
}

/// Starts the task. Returns the handle, the notices, and the task, which ends when it is told to stop.
pub(crate) fn start(
    driver: Arc<dyn Hypervisor>,
    settings: Settings,
    stop: CancellationToken,
) -> (Machines, mpsc::Receiver<Notice>, tokio::task::JoinHandle<()>) {
    let (sender, requests) = mpsc::channel(REQUESTS);
    let (notices, published) = mpsc::channel(REQUESTS);
    let view = watch::Sender::new(Arc::new(View::default()));
    let machines = Machines {
        driver: Arc::clone(&driver),
        requests: sender,
        view: view.subscribe(),
        tag: settings.tag.as_str().into(),
        timeout: settings.operation_timeout,
    };
    let engine = Engine {
        driver,
        settings,
        view,
        notices,
        queues: HashMap::new(),
        creating: BTreeSet::new(),
        ops: VecDeque::new(),
        next_op: 0,
        work: FuturesUnordered::new(),
        reading: BTreeMap::new(),
        reading_all: None,
        retry: FIRST_RETRY,
        known_duplicates: Duplicates::new(),
    };
    let task = tokio::spawn(engine.run(requests, stop));
    (machines, published, task)
}

/// An operation that waits for its turn.
struct Pending {
    op: watch::Sender<Op>,
    what: What,
    limit: Duration,
}

/// What is being done to a machine, and what waits.
#[derive(Default)]
struct Queue {
    running: Option<watch::Sender<Op>>,
    waiting: VecDeque<Pending>,
}

/// Whether something was read while it changed again.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Reading {
    Once,
    Again,
}

/// Work that was done beside the loop.
enum Done {
    /// Everything was read.
    All(Result<Vec<Machine>, HypervisorError>),
    /// One machine was read; nothing if it is gone.
    One(String, Result<Option<Machine>, HypervisorError>),
    /// An operation on a machine is over, and the machine was read again.
    Operated { id: String, op: watch::Sender<Op>, outcome: Outcome },
    /// A machine was made or taken in, or not.
    Made { op: watch::Sender<Op>, made: Result<Machine, HypervisorError> },
    /// An operation has waited for as long as it may.
    Overdue { id: String, op: String },
    /// It is time to ask again.
    Retry,
}

/// What came of an operation.
struct Outcome {
    result: Result<bool, HypervisorError>,
    machine: Option<Machine>,
    /// Whether the machine could be read afterwards.
    read: bool,
}

struct Engine {
    driver: Arc<dyn Hypervisor>,
    settings: Settings,
    view: watch::Sender<Arc<View>>,
    notices: mpsc::Sender<Notice>,
    queues: HashMap<String, Queue>,
    /// Names of machines that are being made.
    creating: BTreeSet<String>,
    ops: VecDeque<watch::Sender<Op>>,
    next_op: u64,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    reading: BTreeMap<String, Reading>,
    reading_all: Option<Reading>,
    retry: Duration,
    known_duplicates: Duplicates,
}

impl Engine {
    async fn run(mut self, mut requests: mpsc::Receiver<MachineRequest>, stop: CancellationToken) {
        let (tell, mut events) = mpsc::channel(EVENTS);
        // Over when the driver has nothing more to tell.
        let mut watching = self.driver.watch(tell).fuse();
        self.read_all();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(request) = requests.recv() => self.answer(request),
                Some(event) = events.recv() => self.happened(event).await,
                Some(done) = self.work.next() => self.done(done).await,
                () = &mut watching => {}
                else => stop.cancelled().await,
            }
        }
    }

    fn answer(&mut self, request: MachineRequest) {
        // Whoever asked may have gone: then the answer goes nowhere.
        match request {
            MachineRequest::Begin { machine, what, limit, reply } => {
                drop(reply.send(self.begin(&machine, what, limit)));
            }
            MachineRequest::Create { wanted, limit, reply } => {
                drop(reply.send(self.create(*wanted, limit)));
            }
            MachineRequest::Look { id, reply } => {
                let found = self.ops.iter().rev().find(|op| op.borrow().id == id);
                drop(reply.send(found.map(watch::Sender::subscribe)));
            }
            MachineRequest::Register { file, limit, reply } => {
                drop(reply.send(Ok(self.register(file, limit))));
            }
        }
    }

    fn new_op(&mut self, action: Action, machine: &str) -> watch::Sender<Op> {
        self.next_op += 1;
        let op = watch::Sender::new(Op {
            id: format!("op{}", self.next_op),
            action,
            machine: machine.to_owned(),
            machine_id: None,
            state: None,
            phase: Phase::Waiting,
            percent: 0,
            doing: String::new(),
            asked: OffsetDateTime::now_utc(),
            ended: None,
        });
        let is_over = |op: &watch::Sender<Op>| op.borrow().is_over();
        while self.ops.len() >= OPS_KEPT {
            // Only those that are over are forgotten; what waits or runs is bounded by the queues.
            match self.ops.iter().position(is_over) {
                Some(oldest) => drop(self.ops.remove(oldest)),
                None => break,
            }
        }
        self.ops.push_back(op.clone());
        op
    }

    // ---- operations on a machine

    fn begin(&mut self, id: &str, what: What, limit: Option<Duration>) -> Begun {
        let view = self.view.borrow().clone();
        let machine = view.find(id)?;
        let queue = self.queues.entry(machine.id.clone()).or_default();
        if queue.waiting.len() >= MOST_WAITING {
            let doing = doing_now(queue);
            return Err(HypervisorError::Busy { machine: machine.name.clone(), doing });
        }
        let op = self.new_op(what.action(), &machine.name);
        op.send_modify(|op| (op.machine_id, op.state) = (Some(machine.id.clone()), Some(machine.state)));
        let receiver = op.subscribe();
        let limit = limit.unwrap_or_else(|| self.usual(&what)).min(LONGEST);
        let (waits, op_id) = (machine.id.clone(), op.borrow().id.clone());
        let queue = self.queues.entry(machine.id.clone()).or_default();
        queue.waiting.push_back(Pending { op, what, limit });
        if queue.running.is_some() {
            let until = Instant::now() + limit;
            self.work.push(Box::pin(async move {
                sleep_until(until).await;
                Done::Overdue { id: waits, op: op_id }
            }));
        }
        self.next_turn(&machine.id);
        Ok(receiver)
    }

    /// How long it may take, unless somebody says otherwise.
    fn usual(&self, what: &What) -> Duration {
        let usual = self.settings.operation_timeout;
        match what {
            What::Operation(Operation::Shutdown { grace }) => (*grace).min(LONGEST) + usual,
            What::Operation(operation) if !operation.is_long() => usual,
            _ => usual * LONG,
        }
    }

    /// Begins what waits for a machine that nothing is done to.
    fn next_turn(&mut self, id: &str) {
        let Some(queue) = self.queues.get_mut(id) else { return };
        if queue.running.is_some() {
            return;
        }
        let Some(Pending { op, what, limit }) = queue.waiting.pop_front() else {
            self.queues.remove(id);
            return;
        };
        op.send_modify(|op| op.phase = Phase::Running);
        queue.running = Some(op.clone());
        let job = Job {
            driver: Arc::clone(&self.driver),
            view: self.view.subscribe(),
            id: id.to_owned(),
            what,
            tag: self.settings.tag.clone(),
            limit,
        };
        self.work.push(Box::pin(async move {
            let id = job.id.clone();
            let name = op.borrow().machine.clone();
            let outcome = job.perform(progress_of(&op), name).await;
            Done::Operated { id, op, outcome }
        }));
    }

    fn overdue(&mut self, id: &str, op_id: &str) {
        let Some(queue) = self.queues.get_mut(id) else { return };
        let Some(place) = queue.waiting.iter().position(|pending| pending.op.borrow().id == op_id) else {
            return;
        };
        let doing = doing_now(queue);
        if let Some(pending) = queue.waiting.remove(place) {
            let machine = pending.op.borrow().machine.clone();
            end(&pending.op, Phase::Failed(HypervisorError::Busy { machine, doing }));
        }
    }

    // ---- new machines

    fn create(&mut self, wanted: Create, limit: Option<Duration>) -> Begun {
        let name = wanted.name.as_str().to_owned();
        let is_there = self.view.borrow().machines.values().any(|machine| machine.name == name);
        if is_there || !self.creating.insert(name.clone()) {
            return Err(HypervisorError::Exists(name));
        }
        let limit = limit.unwrap_or(self.settings.operation_timeout * LONG);
        let op = self.new_op(Action::Create, &name);
        let (driver, progress) = (Arc::clone(&self.driver), progress_of(&op));
        Ok(self.make(op, limit, move || Box::pin(async move { driver.create(wanted, progress).await })))
    }

    fn register(&mut self, file: PathBuf, limit: Option<Duration>) -> watch::Receiver<Op> {
        let op = self.new_op(Action::Register, &file.to_string_lossy());
        let (driver, limit) = (Arc::clone(&self.driver), limit.unwrap_or(self.settings.operation_timeout));
        self.make(op, limit, move || Box::pin(async move { driver.register(&file).await }))
    }

    fn make(
        &mut self,
        op: watch::Sender<Op>,
        limit: Duration,
        make: impl FnOnce() -> BoxFuture<'static, Result<Machine, HypervisorError>> + Send + 'static,
    ) -> watch::Receiver<Op> {
        op.send_modify(|op| op.phase = Phase::Running);
        let (receiver, limit) = (op.subscribe(), limit.min(LONGEST));
        self.work.push(Box::pin(async move {
            let what = format!("{}: {}", op.borrow().machine, <&str>::from(op.borrow().action));
            let made = timeout(limit, make()).await;
            let made = made.unwrap_or(Err(HypervisorError::TimedOut { what, after: limit }));
            Done::Made { op, made }
        }));
        receiver
    }

    // ---- what is known

    async fn happened(&mut self, event: DriverEvent) {
        match event {
            DriverEvent::Resync => self.read_all(),
            DriverEvent::Machine(id) => self.read_one(id),
            DriverEvent::Gone(reason) => self.lost(reason).await,
        }
    }

    fn read_all(&mut self) {
        if self.reading_all.is_some() {
            self.reading_all = Some(Reading::Again);
            return;
        }
        self.reading_all = Some(Reading::Once);
        let (driver, limit) = (Arc::clone(&self.driver), self.settings.operation_timeout);
        self.work.push(Box::pin(async move {
            let late = || HypervisorError::TimedOut { what: "reading the machines".into(), after: limit };
            Done::All(timeout(limit, driver.machines()).await.unwrap_or_else(|_| Err(late())))
        }));
    }

    fn read_one(&mut self, id: String) {
        if let Some(reading) = self.reading.get_mut(&id) {
            *reading = Reading::Again;
            return;
        }
        self.reading.insert(id.clone(), Reading::Once);
        let (driver, limit) = (Arc::clone(&self.driver), self.settings.operation_timeout);
        self.work.push(Box::pin(async move {
            let read = read(&*driver, &id, limit).await;
            Done::One(id, read)
        }));
    }

    async fn done(&mut self, done: Done) {
        match done {
            Done::All(read) => {
                let again = self.reading_all.take() == Some(Reading::Again);
                match read {
                    Ok(all) => {
                        self.retry = FIRST_RETRY;
                        self.publish(all.into_iter().map(|machine| (machine.id.clone(), machine)).collect())
                            .await;
                        if again {
                            self.read_all();
                        }
                    }
                    Err(HypervisorError::Gone { reason, .. }) => self.lost(reason).await,
                    Err(error) => self.lost(error.to_string()).await,
                }
            }
            Done::One(id, read) => {
                let again = self.reading.remove(&id) == Some(Reading::Again);
                match read {
                    // Until everything has been read once, one machine alone would look like all there are.
                    Ok(machine) if self.view.borrow().is_read => self.replace(&id, machine).await,
                    Ok(_) => self.read_all(),
                    Err(error) => warn!("a machine could not be read: {error}"),
                }
                if again {
                    self.read_one(id);
                }
            }
            Done::Operated { id, op, outcome } => {
                if outcome.read {
                    self.replace(&id, outcome.machine.clone()).await;
                }
                let state = outcome.machine.as_ref().map(|machine| machine.state);
                op.send_modify(|op| op.state = state.or(op.state));
                self.close(&op, outcome.result);
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.running = None;
                }
                self.next_turn(&id);
            }
            Done::Made { op, made } => {
                let name = op.borrow().machine.clone();
                self.creating.remove(&name);
                if let Ok(machine) = &made {
                    self.replace(&machine.id.clone(), Some(machine.clone())).await;
                    op.send_modify(|op| {
                        op.machine.clone_from(&machine.name);
                        (op.machine_id, op.state) = (Some(machine.id.clone()), Some(machine.state));
                    });
                }
                self.close(&op, made.map(|_| true));
            }
            Done::Overdue { id, op } => self.overdue(&id, &op),
            Done::Retry => self.read_all(),
        }
    }

    fn close(&self, op: &watch::Sender<Op>, result: Result<bool, HypervisorError>) {
        let (machine, action) = (op.borrow().machine.clone(), <&str>::from(op.borrow().action));
        match result {
            Ok(changed) => {
                info!(vm = machine, "{action}{}", if changed { "" } else { ": nothing to do" });
                end(op, Phase::Done { changed });
            }
            Err(error) => {
                warn!(vm = machine, "{action} failed: {error}");
                end(op, Phase::Failed(error));
            }
        }
    }

    /// The hypervisor does not answer: say so once, and ask again until it does.
    async fn lost(&mut self, reason: String) {
        let was_well = self.view.borrow().problem.is_none();
        let mut view = (**self.view.borrow()).clone();
        view.problem = Some(reason.clone());
        self.view.send_replace(Arc::new(view));
        if was_well {
            let name = self.driver.about().name;
            warn!("{name} does not answer: {reason}");
            let text = format!("{name} does not answer: {reason}");
            self.publish_notice(Notice { kind: "vm.hypervisor", machine: None, text, data: Map::new() })
                .await;
        }
        let pause = self.retry;
        self.retry = (self.retry * 2).min(LAST_RETRY);
        self.work.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            Done::Retry
        }));
    }

    async fn replace(&mut self, id: &str, machine: Option<Machine>) {
        let mut machines = self.view.borrow().machines.clone();
        match machine {
            Some(machine) => drop(machines.insert(id.to_owned(), machine)),
            None => drop(machines.remove(id)),
        }
        self.publish(machines).await;
    }

    /// Makes it known, and tells what is new.
    async fn publish(&mut self, machines: BTreeMap<String, Machine>) {
        let before = self.view.borrow().clone();
        let view = View::new(machines);
        let notes = if before.is_read { differences(&before, &view) } else { Vec::new() };
        // Several agents on one computer have one address, and are no machines that somebody could give others.
        let matters = self.driver.about().runs_machines;
        let duplicates =
            if matters { new_duplicates(&self.known_duplicates, &view.duplicates) } else { Vec::new() };
        self.known_duplicates.clone_from(&view.duplicates);
        if before.problem.is_some() {
            info!("{} answers again", self.driver.about().name);
        }
        self.view.send_replace(Arc::new(view));
        for note in notes.into_iter().chain(duplicates) {
            info!(vm = note.machine, "{}: {}", note.kind, note.text);
            self.publish_notice(note).await;
        }
    }

    async fn publish_notice(&mut self, notice: Notice) {
        // The agent that listens ends a moment before this task does.
        drop(self.notices.send(notice).await);
    }
}

/// Where the driver says how far an operation is.
fn progress_of(op: &watch::Sender<Op>) -> Progress {
    let op = op.clone();
    Progress::new(move |percent, doing| op.send_modify(|op| (op.percent, op.doing) = (percent, doing)))
}

fn doing_now(queue: &Queue) -> String {
    let Some(running) = &queue.running else { return format!("{} operations wait", queue.waiting.len()) };
    let op = running.borrow();
    format!("{} ({}) is under way, and {} wait", <&str>::from(op.action), op.id, queue.waiting.len())
}

fn end(op: &watch::Sender<Op>, phase: Phase) {
    op.send_modify(|op| {
        op.phase = phase;
        op.ended = Some(OffsetDateTime::now_utc());
        if matches!(op.phase, Phase::Done { .. }) {
            op.percent = 100;
        }
    });
}

/// What is new between two views.
fn differences(before: &View, now: &View) -> Vec<Notice> {
    let mut notes = Vec::new();
    let note = |kind, machine: &Machine, text: String, was: Option<State>| {
        let mut data = Map::new();
        data.insert("uuid".into(), json!(machine.id));
        data.insert("state".into(), json!(machine.state.as_str()));
        data.extend(was.map(|was| ("was".to_owned(), json!(was.as_str()))));
        Notice { kind, machine: Some(machine.name.clone()), text, data }
    };
    for (id, machine) in &now.machines {
        match before.machines.get(id) {
            None => {
                notes.push(note(
                    "vm.created",
                    machine,
                    format!("known now, {}", machine.state.as_str()),
                    None,
                ));
            }
            Some(old) if old.state != machine.state => {
                let text = machine.state.as_str().to_owned();
                notes.push(note("vm.state", machine, text, Some(old.state)));
            }
            Some(_) => {}
        }
    }
    let gone = before.machines.iter().filter(|(id, _)| !now.machines.contains_key(*id));
    notes.extend(gone.map(|(_, machine)| note("vm.removed", machine, "no longer known".to_owned(), None)));
    notes
}

/// Addresses that several machines have, and had not before.
fn new_duplicates(known: &Duplicates, now: &Duplicates) -> Vec<Notice> {
    let is_new = |(mac, names): &(&String, &Vec<String>)| known.get(*mac) != Some(*names);
    let note = |(mac, names): (&String, &Vec<String>)| {
        let text = format!(
            "{} have the same address {mac}: guests that give it are not taken for either; give one a new address: \
             vocable vm set {} --mac new",
            names.join(" and "),
            names.last().map_or("", String::as_str)
        );
        let mut data = Map::new();
        data.insert("mac".into(), json!(mac));
        data.insert("vms".into(), json!(names));
        Notice { kind: "vm.duplicate-mac", machine: names.last().cloned(), text, data }
    };
    now.iter().filter(is_new).map(note).collect()
}

/// Reads one machine; none if it is gone.
async fn read(
    driver: &dyn Hypervisor,
    id: &str,
    limit: Duration,
) -> Result<Option<Machine>, HypervisorError> {
    match timeout(limit, driver.machine(id)).await {
        Ok(Ok(machine)) => Ok(Some(machine)),
        Ok(Err(HypervisorError::NoMachine(_))) => Ok(None),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(HypervisorError::TimedOut { what: format!("reading {id}"), after: limit }),
    }
}

/// How long a machine may be asked for after something was done to it.
const READING: Duration = Duration::from_secs(30);

/// One operation on one machine, beside the loop.
struct Job {
    driver: Arc<dyn Hypervisor>,
    view: watch::Receiver<Arc<View>>,
    id: String,
    what: What,
    tag: String,
    limit: Duration,
}

impl Job {
    async fn perform(self, progress: Progress, name: String) -> Outcome {
        let deadline = Instant::now() + self.limit;
        let action = <&str>::from(self.what.action());
        let late = || HypervisorError::TimedOut { what: format!("{action} of {name}"), after: self.limit };
        let result = timeout_at(deadline, self.steps(&progress)).await.unwrap_or_else(|_| Err(late()));
        match read(&*self.driver, &self.id, READING).await {
            Ok(machine) => Outcome { result, machine, read: true },
            Err(error) => {
                warn!(vm = name, "it could not be read afterwards: {error}");
                Outcome { result, machine: None, read: false }
            }
        }
    }

    async fn steps(&self, progress: &Progress) -> Result<bool, HypervisorError> {
        let machine = self.driver.machine(&self.id).await?;
        let operation = match &self.what {
            What::Operation(operation) => operation.clone(),
            What::Collect(tag) => {
                if leftovers([&machine], tag).is_empty() {
                    return Err(HypervisorError::WrongState {
                        machine: machine.name,
                        state: machine.state,
                        wanted: "be collected",
                        advice: "it is not left over any more",
                    });
                }
                Operation::Destroy { keep_disks: false, force: true }
            }
        };
        let tasks = decide(&operation, &machine, &self.tag)?;
        let tasks = self.with_snapshots(&machine, &operation, tasks).await?;
        let changed = !tasks.is_empty();
        for task in tasks {
            match task {
                Task::Do(step) => self.driver.perform(&self.id, step, progress.clone()).await?,
                Task::UntilOff(grace) => self.until_off(grace, progress).await?,
            }
        }
        Ok(changed)
    }

    /// What depends on which snapshots there are: a name that is taken, one that does not exist, one to be replaced.
    async fn with_snapshots(
        &self,
        machine: &Machine,
        operation: &Operation,
        mut tasks: Vec<Task>,
    ) -> Result<Vec<Task>, HypervisorError> {
        let named = |all: &[Snapshot], name: &str| {
            all.iter().find(|it| it.name == name || it.id == name).map(|it| it.id.clone())
        };
        match operation {
            Operation::RestoreSnapshot(name) | Operation::DeleteSnapshot(name) => {
                let all = self.driver.snapshots(&self.id).await?;
                if named(&all, name).is_none() {
                    return Err(HypervisorError::NoSnapshot {
                        machine: machine.name.clone(),
                        snapshot: name.clone(),
                    });
                }
            }
            Operation::TakeSnapshot { name, replace, .. } => {
                let all = self.driver.snapshots(&self.id).await?;
                match named(&all, name) {
                    Some(old) if *replace => tasks.push(Task::Do(Step::DeleteSnapshot(old))),
                    Some(_) => {
                        let (machine, snapshot) = (machine.name.clone(), name.clone());
                        return Err(HypervisorError::SnapshotExists { machine, snapshot });
                    }
                    None => {}
                }
            }
            _ => {}
        }
        Ok(tasks)
    }

    /// Waits for the hypervisor to say that the machine is off; a guest that does not listen loses its power.
    async fn until_off(&self, grace: Duration, progress: &Progress) -> Result<(), HypervisorError> {
        progress.tell(0, format!("the guest has {} s to shut down", grace.as_secs()));
        let mut view = self.view.clone();
        let is_off =
            |view: &Arc<View>| view.machines.get(&self.id).is_none_or(|machine| !machine.state.is_on());
        if let Ok(Ok(_)) = timeout(grace, view.wait_for(is_off)).await {
            return Ok(());
        }
        progress.tell(90, "the guest does not shut down: its power is cut");
        match self.driver.perform(&self.id, Step::PowerOff, progress.clone()).await {
            // It may have shut down in that very moment.
            Err(error) => match self.driver.machine(&self.id).await {
                Ok(machine) if !machine.state.is_on() => Ok(()),
                _ => Err(error),
            },
            done => done,
        }
    }
}
