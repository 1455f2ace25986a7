//! The task that owns the transfers: copies that the agent makes by itself, for callers who come back later.
//!
//! A transfer is written down before it begins and when it ends. One that a restart of the agent, of the guest or of the
//! network interrupts goes on by itself, with what is missing.

use super::Files;
use super::remote::{OnProgress, copy};
use crate::agent::events::{About, Wanted};
use crate::agent::handle::Handle;
use crate::agent::request::Request as AgentRequest;
use crate::agent::store::{Report, Spec, Store, Transfer};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use vocable_api::clock::Now;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::file::{Direction, TransferState as State};
use vocable_xmlrpc::excerpt;

/// Transfers under way at a time; more wait for their turn.
const AT_ONCE: usize = 4;
/// Transfers that are not over, at a time.
const MAX_UNFINISHED: usize = 1000;
/// Requests that may wait for the task.
const WAITING: usize = 64;
/// So often a transfer to a guest that is there is tried anew without anything having come across.
const TRIES: u32 = 8;
/// How long a guest that is away is waited for.
const AWAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The first pause after a failure that may pass; doubles each time.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest id a caller may choose.
const MAX_ID: usize = 40;

enum Request {
    Start { spec: Spec, id: Option<String>, reply: oneshot::Sender<Result<String, Fault>> },
    Cancel { id: String, reply: oneshot::Sender<Result<bool, Fault>> },
    Look { id: String, reply: oneshot::Sender<Option<watch::Receiver<Transfer>>> },
    UnderWay { reply: oneshot::Sender<Vec<Transfer>> },
}

/// The transfers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Transfers {
    requests: mpsc::Sender<Request>,
    store: Store,
}

/// The task that owns them.
pub(crate) struct TransfersTask {
    requests: mpsc::Receiver<Request>,
    store: Store,
    files: Files,
    handle: Handle,
    running: BTreeMap<String, Running>,
    jobs: JoinSet<String>,
    turns: Arc<Semaphore>,
}

struct Running {
    state: watch::Sender<Transfer>,
    cancel: CancellationToken,
}

impl Transfers {
    /// Transfers of these files, written down in that store.
    pub(crate) fn new(store: Store, files: Files, handle: Handle) -> (Self, TransfersTask) {
        let (sender, requests) = mpsc::channel(WAITING);
        let task = TransfersTask {
            requests,
            store: store.clone(),
            files,
            handle,
            running: BTreeMap::new(),
            jobs: JoinSet::new(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        };
        (Self { requests: sender, store }, task)
    }

    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Fault> {
        let stopping = || Fault::new(FaultKind::Stopping, "the host agent is stopping");
        let (reply, answer) = oneshot::channel();
        self.requests.send(make(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }

    /// Begins a transfer and gives its id. The same id with the same wish is the same transfer.
    pub(crate) async fn start(&self, spec: Spec, id: Option<String>) -> Result<String, Fault> {
        if let Some(id) = &id {
            let fits = !id.is_empty()
                && id.len() <= MAX_ID
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            if !fits {
                let text = format!("option \"id\": 1 to {MAX_ID} letters, digits, '-' or '_'");
                return Err(Fault::new(FaultKind::InvalidParameter, text));
            }
        }
        self.ask(|reply| Request::Start { spec, id, reply }).await?
    }

    /// Ends a transfer. False if it was over already.
    pub(crate) async fn cancel(&self, id: &str) -> Result<bool, Fault> {
        self.ask(|reply| Request::Cancel { id: id.to_owned(), reply }).await?
    }

    /// A transfer as it is, once it is over or at the deadline.
    pub(crate) async fn wait(&self, id: &str, deadline: Instant) -> Result<Transfer, Fault> {
        if let Some(mut state) = self.ask(|reply| Request::Look { id: id.to_owned(), reply }).await? {
            let over = state.wait_for(|transfer| transfer.state.is_over());
            if let Ok(Ok(transfer)) = timeout_at(deadline, over).await {
                return Ok(transfer.clone());
            }
            let transfer = state.borrow().clone();
            return Ok(transfer);
        }
        self.store.transfer(id.to_owned()).await?.ok_or_else(|| no_such(id))
    }

    /// All transfers, newest first; of those that are over as many as are kept.
    pub(crate) async fn list(&self) -> Result<Vec<Transfer>, Fault> {
        let mut now: BTreeMap<String, Transfer> = self
            .ask(|reply| Request::UnderWay { reply })
            .await?
            .into_iter()
            .map(|transfer| (transfer.id.clone(), transfer))
            .collect();
        let listed = self.store.transfers().await?;
        Ok(listed.into_iter().map(|transfer| now.remove(&transfer.id).unwrap_or(transfer)).collect())
    }
}

impl TransfersTask {
    /// Runs until cancelled; what is under way then goes on after the next start.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        match self.store.transfers().await {
            Ok(all) => {
                let unfinished = all.into_iter().filter(|transfer| !transfer.state.is_over());
                unfinished.for_each(|transfer| self.begin(transfer, &stop));
            }
            Err(problem) => error!("transfers of before are not gone on with: {problem}"),
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(request) = self.requests.recv() => self.answer(request, &stop).await,
                Some(ended) = self.jobs.join_next() => {
                    if let Ok(id) = ended {
                        self.running.remove(&id);
                    }
                }
                else => break,
            }
        }
        self.jobs.shutdown().await;
    }

    async fn answer(&mut self, request: Request, stop: &CancellationToken) {
        // Whoever asked may have gone: then the answer goes nowhere.
        match request {
            Request::Start { spec, id, reply } => {
                let _ = reply.send(self.start(spec, id, stop).await);
            }
            Request::Cancel { id, reply } => {
                let _ = reply.send(self.cancel(&id).await);
            }
            Request::Look { id, reply } => {
                let _ = reply.send(self.running.get(&id).map(|running| running.state.subscribe()));
            }
            Request::UnderWay { reply } => {
                let _ = reply.send(self.running.values().map(|it| it.state.borrow().clone()).collect());
            }
        }
    }

    async fn start(
        &mut self,
        mut spec: Spec,
        id: Option<String>,
        stop: &CancellationToken,
    ) -> Result<String, Fault> {
        // A guest may be named by its machine: it is still the same request.
        let named = spec.guest.clone();
        let found = self.handle.request(|reply| AgentRequest::Guest { name: named, reply }).await?;
        let is_known = found.map(|(guest, _)| spec.guest = guest).is_some();
        if let Some(id) = &id {
            let known = match self.running.get(id) {
                Some(running) => Some(running.state.borrow().clone()),
                None => self.store.transfer(id.to_owned()).await?,
            };
            match known {
                Some(known) if known.spec == spec => return Ok(known.id),
                Some(_) => {
                    let text = format!("the id {id} is that of another transfer");
                    return Err(Fault::new(FaultKind::AlreadyExists, text));
                }
                None => {}
            }
        }
        if self.running.len() >= MAX_UNFINISHED {
            let text = format!("{MAX_UNFINISHED} transfers are not over yet");
            return Err(Fault::new(FaultKind::TooMany, text));
        }
        // What can be refused at once is not written down.
        self.files.local(&spec.local)?;
        vocable_copy::exclude::Exclude::new(&spec.exclude)
            .map_err(|error| Fault::new(FaultKind::InvalidParameter, error.to_string()))?;
        if !is_known {
            let text = format!("no guest is called {}", excerpt(&spec.guest));
            return Err(Fault::new(FaultKind::NoSuchGuest, text));
        }
        let id = match id {
            Some(id) => id,
            None => new_id()?,
        };
        let (state, created) = (State::Queued, Now::read().utc);
        let transfer =
            Transfer { id: id.clone(), spec, state, created, ended: None, report: Report::default() };
        self.store.write_transfer(&transfer).await?;
        self.begin(transfer, stop);
        Ok(id)
    }

    fn begin(&mut self, transfer: Transfer, stop: &CancellationToken) {
        let (id, cancel) = (transfer.id.clone(), CancellationToken::new());
        let (state, _) = watch::channel(transfer);
        let job = Job {
            state: state.clone(),
            files: self.files.clone(),
            store: self.store.clone(),
            handle: self.handle.clone(),
            turns: Arc::clone(&self.turns),
            cancel: cancel.clone(),
        };
        let (name, stop) = (id.clone(), stop.clone());
        self.jobs.spawn(async move {
            stop.run_until_cancelled(job.run()).await;
            name
        });
        self.running.insert(id, Running { state, cancel });
    }

    async fn cancel(&self, id: &str) -> Result<bool, Fault> {
        if let Some(running) = self.running.get(id) {
            running.cancel.cancel();
            return Ok(!running.state.borrow().state.is_over());
        }
        match self.store.transfer(id.to_owned()).await? {
            Some(_) => Ok(false),
            None => Err(no_such(id)),
        }
    }
}

/// One transfer.
struct Job {
    state: watch::Sender<Transfer>,
    files: Files,
    store: Store,
    handle: Handle,
    turns: Arc<Semaphore>,
    cancel: CancellationToken,
}

impl Job {
    async fn run(self) {
        let ended = tokio::select! {
            ended = self.to_its_end() => ended,
            () = self.cancel.cancelled() => Err(None),
        };
        let mut transfer = self.state.borrow().clone();
        transfer.ended = Some(Now::read().utc);
        match ended {
            Ok(report) if report.outcome.failures == 0 => {
                (transfer.state, transfer.report) = (State::Done, report);
            }
            Ok(report) => {
                let text = match (report.outcome.failed.first(), report.outcome.failures) {
                    (Some(first), 1) => first.line(),
                    (Some(first), n) => format!("{}, and {} more", first.line(), n - 1),
                    (None, n) => format!("{n} failed"),
                };
                let code = report.outcome.failed.first().map_or("file-failed", |first| first.code.as_str());
                let error = Some((code.to_owned(), text));
                (transfer.state, transfer.report) = (State::Failed, Report { error, ..report });
            }
            Err(Some(fault)) => {
                transfer.state = State::Failed;
                transfer.report.error = Some((fault.kind.slug().to_owned(), fault.message));
            }
            Err(None) => {
                transfer.state = State::Cancelled;
                transfer.report.error = Some(("cancelled".to_owned(), "it was cancelled".to_owned()));
            }
        }
        if let Err(problem) = self.store.write_transfer(&transfer).await {
            error!(
                guest = transfer.spec.guest,
                "the end of transfer {} was not written down: {problem}", transfer.id
            );
        }
        self.report_end(&transfer).await;
        self.state.send_replace(transfer);
    }

    /// Tries until it is done, or cannot be.
    async fn to_its_end(&self) -> Result<Report, Option<Fault>> {
        let mut tries = 0;
        loop {
            let before = self.state.borrow().report.bytes;
            let turn = self.turns.acquire().await;
            self.set(State::Running);
            let spec = self.state.borrow().spec.clone();
            let state = self.state.clone();
            let progress: OnProgress = Arc::new(move |report| {
                state.send_if_modified(|transfer| {
                    // One that was cancelled may stop a moment later.
                    let goes_on = !transfer.state.is_over();
                    if goes_on {
                        transfer.report = report;
                    }
                    goes_on
                });
            });
            let fault = match copy(&self.files, &spec, progress).await {
                Ok(report) => return Ok(report),
                Err(fault) => fault,
            };
            drop(turn);
            if !matches!(fault.kind, FaultKind::GuestOffline | FaultKind::TimedOut | FaultKind::TooMany) {
                return Err(Some(fault));
            }
            // What has come across is not sent again: then it is worth another try, however often.
            tries = if self.state.borrow().report.bytes > before { 1 } else { tries + 1 };
            if tries > TRIES {
                return Err(Some(fault));
            }
            warn!(guest = spec.guest, "transfer {} waits: {}", self.state.borrow().id, fault.message);
            self.set(State::Queued);
            if !self.guest_is_back(&spec.guest).await {
                return Err(Some(fault));
            }
            sleep(PAUSE * 2_u32.pow(tries.min(6) - 1)).await;
        }
    }

    fn set(&self, state: State) {
        self.state.send_if_modified(|transfer| {
            let changed = transfer.state != state;
            transfer.state = state;
            changed
        });
    }

    /// Waits for the guest; false if it does not come.
    async fn guest_is_back(&self, guest: &str) -> bool {
        let deadline = Instant::now() + AWAY;
        let mut next = u64::MAX;
        loop {
            // The number of the newest event first: one that happens after the look is not missed.
            let asked = self.handle.request(|reply| AgentRequest::Events { since: next, limit: 1, reply });
            let Ok((news, _)) = asked.await else { return false };
            next = news.next;
            let look = |reply| AgentRequest::Guest { name: guest.to_owned(), reply };
            match self.handle.request(look).await {
                Ok(Some((_, found))) if found.state.is_there() => return true,
                Ok(_) if Instant::now() < deadline => {}
                _ => return false,
            }
            if self.handle.events(next, 1, &Wanted::default(), deadline).await.is_err() {
                return false;
            }
        }
    }

    async fn report_end(&self, transfer: &Transfer) {
        let Transfer { id, spec, report, .. } = transfer;
        let way = match spec.direction {
            Direction::Push => format!("{} \u{2192} {}:{}", spec.local, spec.guest, spec.remote),
            Direction::Pull => format!("{}:{} \u{2192} {}", spec.guest, spec.remote, spec.local),
        };
        let (kind, text) = match &report.error {
            None => ("file.done", format!("{way}: {} files, {} bytes", report.files, report.bytes)),
            Some((code, why)) => ("file.failed", format!("{way}: {code}: {why}")),
        };
        info!(guest = spec.guest, "transfer {id} {}: {text}", transfer.state);
        let data = json!({"transfer": id, "state": transfer.state, "files": report.files,
            "bytes": report.bytes});
        let data = data.as_object().cloned().unwrap_or_default();
        let about = About { data, ..About::guest(&spec.guest) };
        let note = |reply| AgentRequest::NoteEvent { kind, about, text, reply };
        if self.handle.request(note).await.is_err() {
            warn!(guest = spec.guest, "the event of transfer {id} was lost");
        }
    }
}

fn no_such(id: &str) -> Fault {
    Fault::new(FaultKind::NoSuchTransfer, format!("no transfer is called {}", excerpt(id)))
}

fn new_id() -> Result<String, Fault> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| Fault::new(FaultKind::Internal, error.to_string()))?;
    let letters = random.iter().filter_map(|byte| LETTERS.get(usize::from(byte & 31)));
    Ok(std::iter::once('t').chain(letters.map(|letter| char::from(*letter))).collect())
}
