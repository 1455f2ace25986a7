//! The one task that owns the guest's state: the bus, the jobs' reports, the beacon.
//!
//! It hears a message by calling its word where the message arrives; a word acts through [`crate::powers`]. Calls of
//! words run beside the loop, so that a slow one holds up neither commands nor signs of life. So does everything that
//! has to wait for room on its way to the host: the loop itself waits for nothing but events.
//!
//! - `line`: the way to the host, and what is too large for it.
//! - `asks`: what this process has asked, so that an answer to another one is told from an answer to it.
//! - `orders`: which of the host's orders have expired while they waited, by the `host_clock`.
//! - `hearings`: messages that never get through.

mod asks;
mod hearings;
mod host_clock;
mod line;
mod orders;
#[cfg(test)]
mod tests;

use self::asks::{Asked, Asks, Match};
use self::hearings::Hearings;
use self::line::{Line, Unsent, refusal, word_of};
use self::orders::{Orders, Verdict};
use crate::files::{FilesHandle, STREAMS_TO};
use crate::jobs::{JobEvent, Jobs, OnDisconnect, Part, Results};
use crate::reports::{NotTaken, Reports, Tell};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use vocable_runtime::{
    Answer, AskError, Envelope, Events as WordEvents, HAIL, Heard, Interpreter, Lexicon, Message, WordError,
    wrap, wrap_raw,
};
use vocable_stomp::DELIVERIES;
use vocable_stomp::client::{Client, ClientError, Delivery, Event};

/// Who commands; also who every message that reaches a guest is from, since nobody else may write to its mailbox.
pub const HOST: &str = "host";

/// Until when an order is valid, by the host's clock, in milliseconds since 1970.
const VALID_UNTIL: &str = "valid-until";
/// What the host's clock showed when a message was said.
const HOST_TIME: &str = "host-time";
/// Headers of the transport: how a message came is no business of the word that listens.
const TRANSPORT: [&str; 8] = [
    "ack",
    "destination",
    "redelivered",
    "subscription",
    "omitted-headers",
    DELIVERIES,
    HOST_TIME,
    VALID_UNTIL,
];
/// Members of results that say how much output there was.
const OF_OUTPUT: [&str; 4] = ["out_bytes", "err_bytes", "out_sha256", "err_sha256"];
/// Messages that are heard at the same time; more wait unacknowledged at the broker.
const HEARD_AT_ONCE: usize = 32;
/// How long a reply may wait for room on its way: by then a broker has ended a connection that does not move.
const STUCK: Duration = Duration::from_secs(60);
/// How long an orderly exit may take.
const LEAVING: Duration = Duration::from_secs(3);
/// A word's wish to say another word to the host.
pub struct Wish {
    /// The other word.
    pub word: String,
    /// Its arguments, JSON.
    pub args: String,
    /// The id of the message once it is on its way, or why there is none.
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
    /// A message that was heard is acknowledged.
    Acknowledged { message: Option<String> },
    /// A message was heard, and what there is to reply is on its way, unless that is stuck.
    Heard {
        delivery: Delivery,
        word: String,
        answer: Option<Answer>,
        error: Option<String>,
        is_replied: bool,
    },
    /// The host was told who is here.
    Joined,
    /// The words bound to a report have said it, and it is on its way under that id; or they have not.
    Told { ask: String, tell: Tell, told: Result<(), Untold> },
    /// Something that needs no more attention.
    Nothing,
}

/// Why a report is not on its way, and what of the job's streams is gone from their beginnings.
struct Untold {
    why: String,
    gone: (u64, u64),
}

/// The state, and the loop around it.
pub struct Agent {
    id: String,
    facts: Map<String, Value>,
    client: Client,
    line: Line,
    connected: bool,
    /// Whether the host is being told who is here: nothing else is heard meanwhile.
    joining: bool,
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
    asks: Asks,
    orders: Orders<Delivery>,
    hearings: Hearings,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Messages that are being heard, or wait for being acknowledged.
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
            line: Line::new(&id, client.clone()),
            id,
            facts,
            client,
            connected: false,
            joining: false,
            // A host that was never there is one that is lost.
            alone_since: Some(Instant::now()),
            lexicon,
            interpreter,
            jobs,
            reports: Reports::default(),
            results: BTreeMap::new(),
            saying: HashMap::new(),
            asks: Asks::new(number_of_this_process()),
            orders: Orders::default(),
            hearings: Hearings::default(),
            work: FuturesUnordered::new(),
            hearing: 0,
            files,
        };
        loop {
            agent.report();
            agent.judge();
            let due = agent.reports.next_deadline().filter(|_| agent.connected);
            let judge = agent.orders.deadline().filter(|_| agent.hearing < HEARD_AT_ONCE).map(in_own_time);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(event) = bus.recv(), if agent.listens() => agent.bus_said(event),
                Some(event) = job_events.recv() => agent.job_said(event),
                Some(wish) = wishes.recv() => agent.grant(wish),
                Some(event) = words.recv() => info!(guest = agent.id, word = event.word(), "{event}"),
                Some(done) = agent.work.next() => agent.done(done),
                _ = beacon.tick(), if agent.connected => agent.raise("beacon", Map::new()),
                () = sleep_until(due) => agent.reports.overdue(Instant::now()),
                () = sleep_until(judge) => {}
                () = sleep_until(agent.alone_since.map(|since| since + kill_after)) => agent.end_the_dependent(),
            }
        }
        agent.leave().await;
    }

    // ---- the bus

    /// Whether to take what comes over the bus. What is not taken waits at the broker.
    fn listens(&self) -> bool {
        !self.joining && self.hearing < HEARD_AT_ONCE
    }

    fn bus_said(&mut self, event: Event) {
        match event {
            Event::Connected { version, max_frame, .. } => {
                info!(guest = self.id, %version, "connected");
                self.reports.most_in_a_message(self.line.connected(max_frame) as u64);
                self.join();
            }
            Event::Message(delivery) if is_of_a_stream(&delivery) => self.files.packet(delivery.frame.body),
            Event::Message(delivery) => self.arrived(delivery),
            Event::Disconnected { reason, retry_in } | Event::BadFrame { problem: reason, retry_in } => {
                self.is_alone();
                warn!(
                    guest = self.id,
                    "connection lost: {reason}; trying again in {:.1} s",
                    retry_in.as_secs_f64()
                );
            }
            Event::NotSent { error, .. } => error!(guest = self.id, "not sent: {error}"),
            Event::Refused { message, retry_in, .. } => {
                self.is_alone();
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
        self.orders.connection_lost();
        self.files.disconnected();
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
    fn join(&mut self) {
        self.joining = true;
        self.asks.clear();
        self.orders.connection_lost();
        let mut facts = self.facts.clone();
        if self.asks.unasked() > 0 {
            facts.insert("unasked-answers".to_owned(), self.asks.unasked().into());
        }
        let (lexicon, jobs, line, guest) =
            (self.lexicon.clone(), self.jobs.clone(), self.line.clone(), self.id.clone());
        self.work.push(Box::pin(async move {
            facts.extend(untold(&jobs).await.map(|jobs| ("jobs".to_owned(), jobs)));
            for message in said(lexicon.raise("connected", Value::from(facts).to_string()).await) {
                if let Err(error) = line.send(message).await {
                    error!(guest, "the host was not told that this guest is here: {error}");
                }
            }
            Done::Joined
        }));
    }

    // ---- what the host says

    fn arrived(&mut self, delivery: Delivery) {
        let (own, frame) = (own_time(), &delivery.frame);
        let is_order = frame.header("in-reply-to").is_none();
        if let Some(host) = time_in(frame.header(HOST_TIME)) {
            self.orders.host_said(own, host, frame.header("in-reply-to"));
        }
        let given_out = frame.earlier_deliveries();
        let times = frame.header("message-id").and_then(|message| self.hearings.begins(message, given_out));
        if let Some(times) = times.filter(|_| is_order) {
            let why =
                format!("it came {times} times and was never dealt with to its end; it is not heard again");
            return self.refuse(delivery, "failed", &why);
        }
        match frame.header(VALID_UNTIL).filter(|_| is_order) {
            None => self.hear(delivery),
            Some(text) => match time_in(Some(text)) {
                Some(valid_until) => {
                    let bytes = frame.weight();
                    self.orders.arrived(delivery, valid_until, bytes, own);
                }
                None => {
                    let why = "its header valid-until is no time in milliseconds; nothing was run";
                    self.refuse(delivery, "invalid", why);
                }
            },
        }
    }

    /// Lets orders be heard, or refuses them, as far as it is known whether they have expired.
    fn judge(&mut self) {
        while self.hearing < HEARD_AT_ONCE
            && let Some(verdict) = self.orders.next(own_time())
        {
            match verdict {
                Verdict::Hear(delivery) => self.hear(delivery),
                Verdict::Expired { order, valid_until, now } => self.expired(order, valid_until, now),
            }
        }
        if self.connected && self.orders.has_to_ask(own_time()) {
            let ask = self.asks.add(Asked::Time);
            let question = wrap_raw(HAIL, Vec::new().into()).to(HOST).asked(&ask);
            // Later, if there is no room now: what waits for the answer does not wait for ever.
            if let Err(error) = self.line.try_send(question) {
                debug!(guest = self.id, "the host was not asked for its time: {error}");
            }
            self.orders.ask(ask, own_time());
        }
    }

    fn expired(&mut self, order: Delivery, valid_until: i64, now: i64) {
        let word = word_of(&order.frame.body).to_owned();
        let why = format!(
            "{word} was valid until {} by the host's clock, which shows {} by now; nothing was run",
            clock_text(valid_until),
            clock_text(now)
        );
        let command = order.frame.header("cmd-id").map(str::to_owned);
        match command.filter(|_| self.lexicon.bound_to("run-requested").contains(&word)) {
            None => self.refuse(order, "expired", &why),
            // It may have been started when this order came the first time; then it is not true that nothing was run.
            Some(command) => self.hear_unless(order, command, why),
        }
    }

    fn hear(&mut self, delivery: Delivery) {
        self.hearing += 1;
        let (interpreter, line) = (self.interpreter.clone(), self.line.clone());
        self.work.push(Box::pin(heard(interpreter, line, delivery)));
    }

    /// Has an order heard that cannot start anything since the command that it names is known; refuses any other.
    fn hear_unless(&mut self, delivery: Delivery, command: String, why: String) {
        self.hearing += 1;
        let (interpreter, line, jobs) = (self.interpreter.clone(), self.line.clone(), self.jobs.clone());
        self.work.push(Box::pin(async move {
            match jobs.knows(&command).await {
                Ok(true) => heard(interpreter, line, delivery).await,
                Ok(false) | Err(_) => refused(line, delivery, "expired", why).await,
            }
        }));
    }

    fn refuse(&mut self, delivery: Delivery, kind: &'static str, why: &str) {
        self.hearing += 1;
        self.work.push(Box::pin(refused(self.line.clone(), delivery, kind, why.to_owned())));
    }

    // ---- what words say

    /// Has a word said because another one wants it said.
    fn grant(&mut self, Wish { word, args, reply }: Wish) {
        let (lexicon, line) = (self.lexicon.clone(), self.line.clone());
        self.work.push(Box::pin(async move {
            let said = match lexicon.say(&word, args).await {
                Ok(message) => {
                    line.send(wrap(&word, message).to(HOST)).await.map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            // The message has no id of its own that anybody could ask about: it is not asked.
            drop(reply.send(said.map(|()| String::new())));
            Done::Nothing
        }));
    }

    /// Has the words bound to an event say it, unless there is no room: it is one of which the next says the same, or
    /// more. Nothing of them waits.
    fn raise(&mut self, event: &'static str, facts: Map<String, Value>) {
        let (lexicon, line, guest) = (self.lexicon.clone(), self.line.clone(), self.id.clone());
        self.work.push(Box::pin(async move {
            let facts = Value::from(facts).to_string();
            for message in said(lexicon.raise(event, facts).await) {
                match line.try_send(message) {
                    Err(Unsent::Client(ClientError::QueueFull { .. })) => {
                        debug!(guest, "{event} is left out: there is no room on the way to the host");
                    }
                    Err(error) => warn!(guest, "{event} was not told: {error}"),
                    Ok(()) => {}
                }
            }
            Done::Nothing
        }));
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Nothing => {}
            Done::Joined => {
                self.joining = false;
                self.connected = true;
                self.alone_since = None;
                self.reports.reconnected();
            }
            Done::Told { ask, tell, told } => {
                let job = tell.job().to_owned();
                self.told(&ask, &tell, told);
                self.phrase_next(&job);
            }
            Done::Heard { delivery, word, answer, error, is_replied } => {
                if let Some(error) = error {
                    warn!(guest = self.id, word, "{error}");
                }
                if let Some(Answer { to, result }) = answer {
                    self.answered(&to, &word, result);
                }
                if !is_replied {
                    // It comes again on the next connection.
                    warn!(guest = self.id, word, "not answered: there is no room on the way to the host");
                    self.hearing -= 1;
                    return;
                }
                let line = self.line.clone();
                self.work.push(Box::pin(async move {
                    let message = delivery.frame.header("message-id").map(str::to_owned);
                    let is_acknowledged = line.ack(&delivery).await;
                    Done::Acknowledged { message: message.filter(|_| is_acknowledged) }
                }));
            }
            Done::Acknowledged { message } => {
                self.hearing -= 1;
                message.into_iter().for_each(|message| self.hearings.ended(&message));
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
                if let Err(error) = self.line.send(message).await {
                    warn!(guest = self.id, "the host was not told that this guest leaves: {error}");
                }
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
                Some(waiting) => {
                    // What is not to be told now after all does not pile up behind a word that takes its time.
                    waiting.retain(|other| *other != tell && self.reports.is_under_way(other));
                    waiting.push_back(tell);
                }
                None => {
                    self.saying.insert(tell.job().to_owned(), VecDeque::new());
                    self.phrase(tell);
                }
            }
        }
    }

    /// Has a report said and sent. It is asked before, so that its answer finds it.
    fn phrase(&mut self, tell: Tell) {
        let (lexicon, jobs, line) = (self.lexicon.clone(), self.jobs.clone(), self.line.clone());
        let results = self.results.get(tell.job()).cloned();
        let ask = self.asks.add(Asked::Told(tell.clone()));
        self.work.push(Box::pin(async move {
            let told = match phrase(&lexicon, &jobs, &tell, results).await {
                Ok((word, message)) => {
                    let sent = line.send(wrap(&word, message).to(HOST).asked(&ask)).await;
                    sent.map_err(|error| error.to_string())
                }
                Err(why) => Err(why),
            };
            let told = match told {
                Ok(()) => Ok(()),
                Err(why) => {
                    Err(Untold { why, gone: jobs.readable_from(tell.job()).await.unwrap_or_default() })
                }
            };
            Done::Told { ask, tell, told }
        }));
    }

    /// Has the next report of a job said, but for those that are not to be told now after all.
    fn phrase_next(&mut self, job: &str) {
        // Without a connection, or before the host knows who is here, all of them are told again anyway.
        let Some(waiting) = self.saying.get_mut(job).filter(|_| self.connected) else {
            self.saying.remove(job);
            return;
        };
        while let Some(tell) = waiting.pop_front() {
            if self.reports.is_under_way(&tell) {
                return self.phrase(tell);
            }
        }
        self.saying.remove(job);
    }

    fn told(&mut self, ask: &str, tell: &Tell, told: Result<(), Untold>) {
        let Err(Untold { why, gone: (out, err) }) = told else { return };
        self.asks.withdraw(ask);
        if self.reports.gone(tell.job(), out, err) {
            debug!(guest = self.id, cmd = tell.job(), "told from where it still is: {why}");
        } else {
            warn!(guest = self.id, cmd = tell.job(), "not told yet: {why}");
            self.reports.refused(tell, NotTaken::Unsaid, Instant::now());
        }
    }

    fn answered(&mut self, ask: &str, word: &str, result: Result<Option<String>, AskError>) {
        self.orders.was_answered(ask, own_time());
        let tell = match self.asks.answered(ask) {
            Match::Asked(Asked::Told(tell)) => tell,
            Match::Asked(Asked::Time) => return,
            Match::Late => return debug!(guest = self.id, word, "an answer to what is not asked any more"),
            Match::Unasked => {
                // At most as many as wait in the mailbox of a guest whose agent was killed.
                let count = self.asks.unasked();
                return info!(guest = self.id, word, count, "an answer that this process has not asked for");
            }
        };
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
            Err(error) if is_no_room(&error) => {
                // Once: it is asked every few seconds for as long as that lasts.
                if self.reports.refused(&tell, NotTaken::NoRoom, Instant::now()) {
                    info!(guest = self.id, cmd = tell.job(), "held up: {}", error.text);
                }
            }
            Err(AskError { kind, text }) => {
                warn!(guest = self.id, cmd = tell.job(), "the host did not take it ({kind}): {text}");
                self.reports.refused(&tell, NotTaken::Failed, Instant::now());
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

/// Has a message heard, and what there is to reply sent.
async fn heard(interpreter: Interpreter, line: Line, delivery: Delivery) -> Done {
    let envelope = Envelope { headers: delivery.frame.headers.clone(), body: delivery.frame.body.clone() };
    let Heard { word, reply, answer, error } = interpreter.hear(envelope.without(&TRANSPORT), HOST).await;
    let is_replied = replied(&line, reply).await;
    Done::Heard { delivery, word, answer, error, is_replied }
}

/// Has a reply sent, if there is one; whether it was not too long until there was room.
async fn replied(line: &Line, reply: Option<Envelope>) -> bool {
    match reply {
        Some(reply) => tokio::time::timeout(STUCK, line.reply(reply)).await.is_ok(),
        None => true,
    }
}

/// Refuses a message before any word sees it.
async fn refused(line: Line, delivery: Delivery, kind: &str, why: String) -> Done {
    let body = &delivery.frame.body;
    let word = word_of(body).to_owned();
    let reply = delivery.frame.header("asked").map(|asked| refusal(body, kind, &why, asked));
    let is_replied = replied(&line, reply).await;
    let error = Some(format!("refused ({kind}): {why}"));
    Done::Heard { delivery, word, answer: None, error, is_replied }
}

/// The commands of which the host has yet to hear something, for it to see whether one is missing.
async fn untold(jobs: &Jobs) -> Option<Value> {
    jobs.untold().await.ok().map(|untold| json!(untold))
}

/// Whether the host could not take it for want of room or time: that passes, and nothing is wrong. The kind is that of
/// the word, which knows of failures only; the text of the host begins with its own, or with what it is about and then that.
fn is_no_room(error: &AskError) -> bool {
    const KINDS: [&str; 2] = ["busy", "no-space"];
    let firsts = error.text.split(':').take(2).filter_map(|part| part.split_whitespace().next());
    firsts.chain([&*error.kind]).any(|first| KINDS.contains(&first))
}

/// A number that another process does not have.
fn number_of_this_process() -> u32 {
    // Without a source of chance: two processes with the same id at the same time of two boots are unlikely, too.
    getrandom::u32()
        .unwrap_or_else(|_| std::process::id() ^ own_time().to_le_bytes().map(u32::from).iter().sum::<u32>())
}

/// Milliseconds since boot, those included in which the machine was asleep.
fn own_time() -> i64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_or(0, |time| time.tv_sec().saturating_mul(1_000).saturating_add(time.tv_nsec() / 1_000_000))
}

/// When it will be so many milliseconds since boot.
fn in_own_time(own: i64) -> Instant {
    let left = u64::try_from(own.saturating_sub(own_time())).unwrap_or(0);
    Instant::now() + Duration::from_millis(left)
}

/// A time in a header: milliseconds since 1970.
fn time_in(header: Option<&str>) -> Option<i64> {
    header?.parse().ok().filter(|time| *time >= 0)
}

/// Milliseconds since 1970, for people.
fn clock_text(time: i64) -> String {
    let known = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time) * 1_000_000).ok();
    known.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{time} ms"))
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
            if let (true, Some(members)) = (results.may_lack_output(), told.as_object_mut()) {
                members.retain(|name, _| !OF_OUTPUT.contains(&&**name));
            }
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
