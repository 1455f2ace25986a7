//! The one task that owns the guest's state: the bus, the jobs' reports, the beacon.
//!
//! It hears a message by calling its word where the message arrives; a word acts through [`crate::powers`]. Calls of
//! words run beside the loop, so that a slow one holds up neither commands nor signs of life.

use crate::files::{FilesHandle, STREAMS_TO};
use crate::jobs::{JobEvent, Jobs, OnDisconnect, Part, Results};
use crate::reports::{Reports, Tell};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use vocable_runtime::{
    AskError, Envelope, Events as WordEvents, Heard, Interpreter, Lexicon, Message, WordError, wrap,
};
use vocable_stomp::client::{Client, Delivery, Event};
use vocable_stomp::{Command as Verb, Frame};

/// Who commands; also who every message that reaches a guest is from, since nobody else may write to its mailbox.
pub const HOST: &str = "host";

/// Headers of the transport: how a message came is no business of the word that listens.
const TRANSPORT: [&str; 5] = ["ack", "destination", "redelivered", "subscription", "omitted-headers"];
/// Messages that are heard at the same time; more wait unacknowledged at the broker.
const HEARD_AT_ONCE: usize = 32;
/// How long an orderly exit may take.
const LEAVING: Duration = Duration::from_secs(3);
/// Bytes of one thing the host is told when this guest joins: it travels in one line of a header, of which brokers take
/// 8 KiB.
const LONGEST_FACT: usize = 6 * 1024;

/// A word's wish to say another word to the host.
pub struct Wish {
    /// The other word.
    pub word: String,
    /// Its arguments, JSON.
    pub args: String,
    /// The id of the message, or why there is none.
    pub reply: oneshot::Sender<Result<String, String>>,
}

/// What the agent is made of.
pub struct Parts {
    /// Its id on the bus.
    pub id: String,
    /// What it tells of itself when it joins.
    pub facts: Map<String, Value>,
    /// How often it says that it is alive.
    pub beacon: Duration,
    /// How long without the host, until commands that want it so are ended.
    pub kill_after: Duration,
    /// The bus.
    pub client: Client,
    /// What happens there.
    pub bus: mpsc::Receiver<Event>,
    /// The words.
    pub lexicon: Lexicon,
    /// What happens to the words.
    pub words: WordEvents,
    /// The commands.
    pub jobs: Jobs,
    /// What happens to the commands.
    pub job_events: mpsc::Receiver<JobEvent>,
    /// What words want said.
    pub wishes: mpsc::Receiver<Wish>,
    /// Whoever serves files through the bus.
    pub files: FilesHandle,
}

enum Done {
    /// A message was heard.
    Heard { delivery: Delivery, heard: Heard },
    /// The words bound to a report have said it.
    Phrased { tell: Tell, message: Result<(String, Message), Unsaid> },
    /// The words bound to an event have said it.
    Raised(Vec<Envelope>),
    /// Something that needs no more attention.
    Nothing,
}

/// Why a report could not be said, and what of the job's streams is gone from their beginnings.
struct Unsaid {
    why: String,
    gone: (u64, u64),
}

/// The state, and the loop around it.
pub struct Agent {
    id: String,
    facts: Map<String, Value>,
    client: Client,
    connected: bool,
    /// Since when there is no host, unless the commands that do not outlive it have been ended.
    alone_since: Option<Instant>,
    lexicon: Lexicon,
    interpreter: Interpreter,
    jobs: Jobs,
    reports: Reports,
    /// Results that wait to be told.
    results: BTreeMap<String, Results>,
    /// Reports that wait while a word says an earlier one of the same job: they go on their way in their order.
    saying: HashMap<String, VecDeque<Tell>>,
    /// Reports on their way, by the id of their ask.
    asked: HashMap<String, Tell>,
    next_ask: u64,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    hearing: usize,
    files: FilesHandle,
}

impl Agent {
    /// Runs until cancelled, then says that it leaves. Commands go on without it.
    pub async fn run(parts: Parts, stop: CancellationToken) {
        let Parts {
            id,
            facts,
            beacon,
            kill_after,
            client,
            mut bus,
            lexicon,
            mut words,
            jobs,
            mut job_events,
            mut wishes,
            files,
        } = parts;
        let mut beacon = interval(beacon);
        beacon.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let interpreter = Interpreter::new(lexicon.clone());
        let mut agent = Self {
            id,
            facts,
            client,
            connected: false,
            // A host that was never there is one that is lost.
            alone_since: Some(Instant::now()),
            lexicon,
            interpreter,
            jobs,
            reports: Reports::default(),
            results: BTreeMap::new(),
            saying: HashMap::new(),
            asked: HashMap::new(),
            next_ask: 0,
            work: FuturesUnordered::new(),
            hearing: 0,
            files,
        };
        loop {
            agent.report();
            let due = agent.reports.next_deadline().filter(|_| agent.connected);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(event) = bus.recv(), if agent.hearing < HEARD_AT_ONCE => agent.bus_said(event).await,
                Some(event) = job_events.recv() => agent.job_said(event),
                Some(wish) = wishes.recv() => agent.grant(wish),
                Some(event) = words.recv() => info!(guest = agent.id, word = event.word(), "{event}"),
                Some(done) = agent.work.next() => agent.done(done).await,
                _ = beacon.tick(), if agent.connected => agent.raise("beacon", Map::new()),
                () = sleep_until(due) => agent.reports.overdue(Instant::now()),
                () = sleep_until(agent.alone_since.map(|since| since + kill_after)) => agent.end_the_dependent(),
            }
        }
        agent.leave().await;
    }

    // ---- the bus

    async fn bus_said(&mut self, event: Event) {
        match event {
            Event::Connected { version, .. } => {
                info!(guest = self.id, %version, "connected");
                self.alone_since = None;
                self.joined().await;
            }
            Event::Message(delivery) if is_of_a_stream(&delivery) => self.files.packet(delivery.frame.body),
            Event::Message(delivery) => self.hear(delivery),
            Event::Disconnected { reason, retry_in } | Event::BadFrame { problem: reason, retry_in } => {
                self.is_alone();
                self.files.disconnected();
                warn!(
                    guest = self.id,
                    "connection lost: {reason}; trying again in {:.1} s",
                    retry_in.as_secs_f64()
                );
            }
            Event::NotSent { error, .. } => error!(guest = self.id, "not sent: {error}"),
            Event::Refused { message, retry_in, .. } => {
                self.is_alone();
                self.files.disconnected();
                error!(
                    guest = self.id,
                    "refused: {message}; trying again in {:.1} s",
                    retry_in.as_secs_f64()
                );
            }
        }
    }

    fn is_alone(&mut self) {
        if std::mem::take(&mut self.connected) {
            self.alone_since = Some(Instant::now());
        }
    }

    /// Ends the commands whose callers wanted them ended when the host is lost.
    fn end_the_dependent(&mut self) {
        self.alone_since = None;
        let (jobs, guest) = (self.jobs.clone(), self.id.clone());
        self.work.push(Box::pin(async move {
            for job in jobs.list().await.unwrap_or_default() {
                if job.on_disconnect == OnDisconnect::Kill && job.results.is_none() {
                    info!(guest, cmd = job.cmd_id, "the host is lost: ending it, as was wanted");
                    if let Err(error) = jobs.cancel(&job.cmd_id, Signal::SIGTERM as i32, None).await {
                        warn!(guest, cmd = job.cmd_id, "not ended: {error}");
                    }
                }
            }
            Done::Nothing
        }));
    }

    /// First of all the host is told who is there; only then what has happened meanwhile.
    async fn joined(&mut self) {
        let mut facts = self.facts.clone();
        facts.extend(self.untold_jobs().await.map(|jobs| ("jobs".to_owned(), jobs)));
        for message in said(self.lexicon.raise("connected", Value::from(facts).to_string()).await) {
            self.send(message).await;
        }
        self.connected = true;
        self.asked.clear();
        self.reports.reconnected();
    }

    /// The commands of which the host has yet to hear something, for it to see whether one is missing; nothing when
    /// they are too many to be told.
    async fn untold_jobs(&self) -> Option<Value> {
        let jobs = self.jobs.list().await.ok()?;
        let untold: Vec<_> = jobs.into_iter().filter(|job| !job.acknowledged).map(|job| job.cmd_id).collect();
        let told = json!(untold);
        (told.to_string().len() <= LONGEST_FACT).then_some(told)
    }

    fn hear(&mut self, delivery: Delivery) {
        self.hearing += 1;
        let interpreter = self.interpreter.clone();
        let envelope =
            Envelope { headers: delivery.frame.headers.clone(), body: delivery.frame.body.clone() }
                .without(&TRANSPORT);
        self.work.push(Box::pin(async move {
            let heard = interpreter.hear(envelope, HOST).await;
            Done::Heard { delivery, heard }
        }));
    }

    async fn send(&mut self, message: Envelope) {
        let to = format!("/queue/vocable.out.{}", self.id);
        let frame = message
            .headers
            .into_iter()
            .fold(Frame::new(Verb::Send).with("destination", to), |frame, (name, value)| {
                frame.with(&name, value)
            })
            .with_body(message.body);
        if let Err(error) = self.client.send(frame).await {
            warn!(guest = self.id, "not sent: {error}");
        }
    }

    /// Has a word said because another one wants it said.
    fn grant(&mut self, Wish { word, args, reply }: Wish) {
        let lexicon = self.lexicon.clone();
        self.work.push(Box::pin(async move {
            match lexicon.say(&word, args).await {
                Ok(message) => {
                    // The message has no id of its own that anybody could ask about: it is not asked.
                    drop(reply.send(Ok(String::new())));
                    Done::Raised(vec![wrap(&word, message).to(HOST)])
                }
                Err(error) => {
                    drop(reply.send(Err(error.to_string())));
                    Done::Nothing
                }
            }
        }));
    }

    fn raise(&mut self, event: &'static str, facts: Map<String, Value>) {
        let lexicon = self.lexicon.clone();
        self.work.push(Box::pin(async move {
            let facts = Value::from(facts).to_string();
            Done::Raised(said(lexicon.raise(event, facts).await).collect())
        }));
    }

    async fn done(&mut self, done: Done) {
        match done {
            Done::Nothing => {}
            Done::Raised(messages) => {
                for message in messages {
                    self.send(message).await;
                }
            }
            Done::Phrased { tell, message } => {
                let job = tell.job().to_owned();
                self.phrased(tell, message).await;
                self.phrase_next(&job);
            }
            Done::Heard { delivery, heard } => {
                self.hearing -= 1;
                if let Some(error) = heard.error {
                    warn!(guest = self.id, word = heard.word, "{error}");
                }
                if let Some(reply) = heard.reply {
                    self.send(reply).await;
                }
                if let Some(answer) = heard.answer {
                    self.answered(&answer.to, answer.result);
                }
                if let Err(error) = self.client.ack(&delivery).await {
                    debug!(guest = self.id, "not acknowledged: {error}");
                }
            }
        }
    }

    async fn leave(&mut self) {
        if !self.connected {
            return;
        }
        let leaving = async {
            let facts = json!({"reason": "the guest agent was stopped"});
            for message in said(self.lexicon.raise("leaving", facts.to_string()).await) {
                self.send(message).await;
            }
            self.client.disconnect(LEAVING).await
        };
        match tokio::time::timeout(LEAVING, leaving).await {
            Ok(Ok(())) => info!(guest = self.id, "left"),
            Ok(Err(error)) => warn!(guest = self.id, "left without an answer: {error}"),
            Err(_) => warn!(guest = self.id, "left without an answer in {} s", LEAVING.as_secs()),
        }
    }

    // ---- the jobs

    fn job_said(&mut self, event: JobEvent) {
        match event {
            JobEvent::Output { cmd_id, part, bytes } => {
                self.reports.written(&cmd_id, part, bytes);
                self.leave_untold(&cmd_id);
            }
            // If it is lost, nothing is: whoever has more input asks again by himself.
            JobEvent::Input { cmd_id, taken } if self.connected => {
                let facts = json!({"cmd-id": cmd_id, "taken": taken});
                self.raise("job-input", facts.as_object().cloned().unwrap_or_default());
            }
            JobEvent::Input { .. } => {}
            JobEvent::Ended { cmd_id, results } => {
                info!(guest = self.id, cmd = cmd_id, "ended: {:?}", results.state);
                self.reports.ended(&cmd_id, results.out_bytes, results.err_bytes);
                self.results.insert(cmd_id.clone(), results);
                self.leave_untold(&cmd_id);
            }
        }
    }

    /// Puts on their way as many reports as may be.
    fn report(&mut self) {
        while self.connected {
            let Some(tell) = self.reports.next(Instant::now()) else { return };
            match self.saying.get_mut(tell.job()) {
                Some(waiting) => waiting.push_back(tell),
                None => {
                    self.saying.insert(tell.job().to_owned(), VecDeque::new());
                    self.phrase(tell);
                }
            }
        }
    }

    fn phrase(&mut self, tell: Tell) {
        let (lexicon, jobs) = (self.lexicon.clone(), self.jobs.clone());
        let results = self.results.get(tell.job()).cloned();
        self.work.push(Box::pin(async move {
            let message = match phrase(&lexicon, &jobs, &tell, results).await {
                Ok(message) => Ok(message),
                Err(why) => {
                    Err(Unsaid { why, gone: jobs.readable_from(tell.job()).await.unwrap_or_default() })
                }
            };
            Done::Phrased { tell, message }
        }));
    }

    /// Has the next report of a job said, but for those that are not to be told now after all.
    fn phrase_next(&mut self, job: &str) {
        let Some(waiting) = self.saying.get_mut(job) else { return };
        while let Some(tell) = waiting.pop_front() {
            if self.reports.is_under_way(&tell) {
                return self.phrase(tell);
            }
        }
        self.saying.remove(job);
    }

    async fn phrased(&mut self, tell: Tell, message: Result<(String, Message), Unsaid>) {
        match message {
            Ok((word, message)) => {
                self.next_ask += 1;
                let id = format!("{:x}", self.next_ask);
                self.asked.insert(id.clone(), tell);
                self.send(wrap(&word, message).to(HOST).asked(&id)).await;
            }
            Err(Unsaid { why, gone: (out, err) }) => {
                if self.reports.gone(tell.job(), out, err) {
                    debug!(guest = self.id, cmd = tell.job(), "told from where it still is: {why}");
                } else {
                    warn!(guest = self.id, cmd = tell.job(), "not told yet: {why}");
                    self.reports.refused(&tell, Instant::now());
                }
            }
        }
    }

    fn answered(&mut self, ask: &str, result: Result<Option<String>, AskError>) {
        let Some(tell) = self.asked.remove(ask) else { return };
        match result {
            Ok(_) => {
                if self.reports.confirmed(&tell) {
                    self.forget(tell.job().to_owned());
                } else if let Some((out, err)) = self.reports.taken(tell.job()) {
                    self.make_room(tell.job().to_owned(), out, err);
                }
            }
            Err(AskError { kind, text }) if kind == "invalid" => {
                warn!(guest = self.id, cmd = tell.job(), "the host does not want it: {text}");
                self.reports.unwanted(tell.job());
                self.leave_untold(tell.job());
            }
            Err(AskError { kind, text }) => {
                warn!(guest = self.id, cmd = tell.job(), "the host did not take it ({kind}): {text}");
                self.reports.refused(&tell, Instant::now());
            }
        }
    }

    /// Of a job that the host wants to hear nothing of: it goes on with room for what it writes, and is forgotten when
    /// it has ended. Of any other job nothing is done.
    fn leave_untold(&mut self, job: &str) {
        if !self.reports.is_unwanted(job) {
            return;
        }
        if let Some((out, err)) = self.reports.taken(job) {
            self.make_room(job.to_owned(), out, err);
        }
        if self.reports.close_unwanted(job) {
            self.forget(job.to_owned());
        }
    }

    /// Lets a job know what the host has, which makes room for more.
    fn make_room(&mut self, job: String, out: u64, err: u64) {
        let jobs = self.jobs.clone();
        self.work.push(Box::pin(async move {
            if let Err(error) = jobs.taken(&job, out, err).await {
                warn!(cmd = job, "it may have to wait for room: {error}");
            }
            Done::Nothing
        }));
    }

    fn forget(&mut self, job: String) {
        self.results.remove(&job);
        let jobs = self.jobs.clone();
        self.work.push(Box::pin(async move {
            if let Err(error) = jobs.acknowledged(&job).await {
                warn!(cmd = job, "not forgotten: {error}");
            }
            Done::Nothing
        }));
    }
}

/// Whether it is octets of a stream, which no word hears.
fn is_of_a_stream(delivery: &Delivery) -> bool {
    delivery.frame.header("destination").is_some_and(|to| to.starts_with(STREAMS_TO))
}

/// Has the words bound to it say a report.
async fn phrase(
    lexicon: &Lexicon,
    jobs: &Jobs,
    tell: &Tell,
    results: Option<Results>,
) -> Result<(String, Message), String> {
    let (event, facts) = match tell {
        Tell::Piece { job, part, offset, length } => {
            ("job-output", json!({"cmd-id": job, "part": part.as_str(), "offset": offset, "length": length}))
        }
        Tell::End { job, inline } => {
            let results = results.ok_or("its results are gone")?;
            let mut told = serde_json::to_value(&results).map_err(|e| e.to_string())?;
            if let (true, Some(members)) = (inline, told.as_object_mut()) {
                for (part, bytes) in [(Part::Out, results.out_bytes), (Part::Err, results.err_bytes)] {
                    members.insert(part.as_str().to_owned(), text_or_base64(jobs, job, part, bytes).await?);
                }
            }
            ("job-ended", json!({"cmd-id": job, "results": told}))
        }
    };
    match lexicon.raise(event, facts.to_string()).await.into_iter().next() {
        None => Err(format!("no word is bound to {event}")),
        Some((word, Ok(message))) => Ok((word, message)),
        Some((_, Err(error))) => Err(error.to_string()),
    }
}

/// Output as it stands in results: text, or base64 where it is no text.
async fn text_or_base64(jobs: &Jobs, job: &str, part: Part, bytes: u64) -> Result<Value, String> {
    use base64::prelude::*;
    let most = usize::try_from(bytes).unwrap_or(usize::MAX);
    let octets = jobs.read(job, part, 0, most).await.map_err(|e| e.to_string())?;
    Ok(match String::from_utf8(octets) {
        Ok(text) => Value::from(text),
        Err(binary) => json!({"b64": BASE64_STANDARD.encode(binary.as_bytes())}),
    })
}

/// The messages of those words that had something to say; the others are in the log.
fn said(raised: Vec<(String, Result<Message, WordError>)>) -> impl Iterator<Item = Envelope> + Send {
    raised.into_iter().filter_map(|(word, said)| match said {
        Ok(message) => Some(wrap(&word, message).to(HOST)),
        Err(error) => {
            error!(word, "{error}");
            None
        }
    })
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
