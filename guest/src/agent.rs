//! The one task that owns the guest's state: the bus, the jobs' reports, the beacon.
//!
//! It hears a message by calling its word where the message arrives; a word acts through `capabilities`. Calls of words run
//! beside the loop, so that a slow one holds up neither commands nor signs of life. So does everything that has to wait
//! for room on its way to the host: the loop itself waits for nothing but events.
//!
//! - `messages`: what becomes of one message from the host, and the clocks that it is judged by.
//! - `orders`: which of the host's orders have expired while they waited, by the `host_clock`.
//! - `redeliveries`: messages that never get through.
//! - `outbound`: the way to the host, and what is too large for it.
//! - `reporting`: jobs, and what the host is told of them; `reports`: what it has yet to hear of each.
//! - `asks`: what this process has asked, so that an answer to another one is told from an answer to it.

mod asks;
mod host_clock;
mod messages;
mod orders;
mod outbound;
mod redeliveries;
mod reporting;
mod reports;
#[cfg(test)]
mod tests;

use self::asks::{Ask, Match, PendingAsks};
use self::messages::{
    Processed, boot_time, boot_time_instant, header_time, is_stream_packet, process, process_number, refuse,
    time_text,
};
use self::orders::{Orders, Verdict};
use self::outbound::{Outbound, SendError, word_of};
use self::redeliveries::Redeliveries;
use self::reporting::SendFailure;
use self::reports::{Report, Reports};
use crate::files::FilesHandle;
use crate::jobs::{JobEvent, Jobs};
use crate::timer::sleep_until;
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
use vocable_protocol::{Event, Facts, HOST, OnDisconnect, Results, header};
use vocable_runtime::{
    Answer, Envelope, Events as WordEvents, Interpreter, Lexicon, Message, PING, WordError, wrap, wrap_raw,
};
use vocable_stomp::client::{Client, ClientError, Delivery, Event as BusEvent};

/// Messages in progress at the same time; more wait unacknowledged at the broker.
const MAX_IN_PROGRESS: usize = 32;
/// How long an orderly exit may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// A word wants another word said to the host.
pub(crate) struct SayRequest {
    pub(crate) word: String,
    /// Its arguments, JSON.
    pub(crate) args: String,
    /// The id of the message once it is on its way, or why there is none.
    pub(crate) reply: oneshot::Sender<Result<String, String>>,
}

pub(crate) struct Parts {
    pub(crate) id: String,
    /// What it tells of itself when it joins.
    pub(crate) facts: Facts,
    /// How often it says that it is alive.
    pub(crate) beacon: Duration,
    /// How long without the host, until commands that want it so are ended.
    pub(crate) kill_after: Duration,
    pub(crate) client: Client,
    pub(crate) bus: mpsc::Receiver<BusEvent>,
    pub(crate) lexicon: Lexicon,
    pub(crate) words: WordEvents,
    pub(crate) jobs: Jobs,
    pub(crate) job_events: mpsc::Receiver<JobEvent>,
    pub(crate) say_requests: mpsc::Receiver<SayRequest>,
    pub(crate) files: FilesHandle,
}

/// Something that ran beside the loop has come to its end.
enum Completed {
    /// A message is acknowledged, if its id is here.
    Acknowledged {
        message: Option<String>,
    },
    /// The host was told who is here.
    Joined,
    /// Something that needs no more attention.
    Nothing,
    Processed(Processed),
    /// The words bound to a report have said it, and it is on its way under that id; or they have not.
    ReportSent {
        ask: String,
        report: Report,
        result: Result<(), SendFailure>,
    },
}

/// The state, and the loop around it.
pub(crate) struct Agent {
    id: String,
    facts: Facts,
    client: Client,
    outbound: Outbound,
    connected: bool,
    /// Whether the host is being told who is here: nothing else is received meanwhile.
    joining: bool,
    /// Since when there is no host, unless the commands that do not outlive it have been ended.
    disconnected_since: Option<Instant>,
    lexicon: Lexicon,
    interpreter: Interpreter,
    jobs: Jobs,
    reports: Reports,
    /// Results that wait to be reported.
    results: BTreeMap<String, Results>,
    /// Reports that wait while a word says an earlier one of the same job: they go on their way in their order.
    composing: HashMap<String, VecDeque<Report>>,
    asks: PendingAsks,
    orders: Orders<Delivery>,
    redeliveries: Redeliveries,
    work: FuturesUnordered<BoxFuture<'static, Completed>>,
    /// Messages that are being processed, or wait for being acknowledged.
    in_progress: usize,
    files: FilesHandle,
}

impl Agent {
    /// Runs until cancelled, then says that it leaves. Commands go on without it.
    pub(crate) async fn run(parts: Parts, stop: CancellationToken) {
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
            mut say_requests,
            files,
        } = parts;
        let mut beacon = interval(beacon);
        beacon.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut agent = Self {
            outbound: Outbound::new(&id, client.clone()),
            id,
            facts,
            client,
            connected: false,
            joining: false,
            // A host that was never there is one that is lost.
            disconnected_since: Some(Instant::now()),
            interpreter: Interpreter::new(lexicon.clone()),
            lexicon,
            jobs,
            reports: Reports::default(),
            results: BTreeMap::new(),
            composing: HashMap::new(),
            asks: PendingAsks::new(process_number()),
            orders: Orders::default(),
            redeliveries: Redeliveries::default(),
            work: FuturesUnordered::new(),
            in_progress: 0,
            files,
        };
        loop {
            agent.send_reports();
            agent.release_orders();
            let resend = agent.reports.next_deadline().filter(|_| agent.connected);
            let release = agent.orders.deadline().filter(|_| agent.in_progress < MAX_IN_PROGRESS);
            let kill = agent.disconnected_since.map(|since| since + kill_after);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(event) = bus.recv(), if agent.can_receive() => agent.on_bus_event(event),
                Some(event) = job_events.recv() => agent.on_job_event(event),
                Some(request) = say_requests.recv() => agent.on_say_request(request),
                Some(event) = words.recv() => info!(guest = agent.id, word = event.word(), "{event}"),
                Some(completed) = agent.work.next() => agent.on_completed(completed),
                _ = beacon.tick(), if agent.connected => agent.raise(Event::Beacon, Map::new()),
                () = sleep_until(resend.map(Into::into)) => agent.reports.resend_overdue(Instant::now()),
                () = sleep_until(release.map(boot_time_instant)) => {}
                () = sleep_until(kill.map(Into::into)) => agent.cancel_dependent_jobs(),
            }
        }
        agent.leave().await;
    }

    /// Has something done beside the loop.
    fn spawn(&mut self, work: impl Future<Output = Completed> + Send + 'static) {
        self.work.push(Box::pin(work));
    }

    // ---- the bus

    /// Whether to take what comes over the bus. What is not taken waits at the broker.
    fn can_receive(&self) -> bool {
        !self.joining && self.in_progress < MAX_IN_PROGRESS
    }

    fn on_bus_event(&mut self, event: BusEvent) {
        match event {
            BusEvent::Connected { version, max_frame, .. } => {
                info!(guest = self.id, %version, "connected");
                self.reports.set_message_limit(self.outbound.set_limit(max_frame) as u64);
                self.join();
            }
            BusEvent::Message(delivery) if is_stream_packet(&delivery) => {
                self.files.packet(delivery.frame.body);
            }
            BusEvent::Message(delivery) => self.on_message(delivery),
            BusEvent::Disconnected { reason, retry_in }
            | BusEvent::BadFrame { problem: reason, retry_in } => {
                self.on_disconnected();
                let seconds = retry_in.as_secs_f64();
                warn!(guest = self.id, "connection lost: {reason}; trying again in {seconds:.1} s");
            }
            BusEvent::NotSent { error, .. } => error!(guest = self.id, "not sent: {error}"),
            BusEvent::Refused { message, retry_in, .. } => {
                self.on_disconnected();
                let seconds = retry_in.as_secs_f64();
                error!(guest = self.id, "refused: {message}; trying again in {seconds:.1} s");
            }
        }
    }

    fn on_disconnected(&mut self) {
        if std::mem::take(&mut self.connected) {
            self.disconnected_since = Some(Instant::now());
        }
        self.orders.connection_lost();
        self.files.disconnected();
    }

    /// Ends the commands whose callers wanted them ended when the host is lost.
    fn cancel_dependent_jobs(&mut self) {
        self.disconnected_since = None;
        let (jobs, guest) = (self.jobs.clone(), self.id.clone());
        self.spawn(async move {
            for job in jobs.list().await.unwrap_or_default() {
                if job.on_disconnect == OnDisconnect::Kill && job.results.is_none() {
                    info!(guest, cmd = job.cmd_id, "the host is lost: ending it, as was wanted");
                    if let Err(error) = jobs.cancel(&job.cmd_id, Signal::SIGTERM as i32, None).await {
                        warn!(guest, cmd = job.cmd_id, "not ended: {error}");
                    }
                }
            }
            Completed::Nothing
        });
    }

    /// First of all the host is told who is there; only then what has happened meanwhile.
    fn join(&mut self) {
        self.joining = true;
        self.asks.clear();
        self.orders.connection_lost();
        let mut facts = self.facts.clone();
        facts.unasked_answers = Some(self.asks.unasked()).filter(|count| *count > 0);
        let (lexicon, jobs, outbound, guest) =
            (self.lexicon.clone(), self.jobs.clone(), self.outbound.clone(), self.id.clone());
        self.spawn(async move {
            // For the host to see whether it knows of one that is missing here.
            facts.jobs = jobs.unacknowledged().await.ok();
            for message in raised(&lexicon, Event::Connected, facts.into_members()).await {
                if let Err(error) = outbound.send(message).await {
                    error!(guest, "the host was not told that this guest is here: {error}");
                }
            }
            Completed::Joined
        });
    }

    async fn leave(&mut self) {
        if !self.connected {
            return;
        }
        let leaving = async {
            let facts = Map::from_iter([("reason".to_owned(), json!("the guest agent was stopped"))]);
            for message in raised(&self.lexicon, Event::Leaving, facts).await {
                if let Err(error) = self.outbound.send(message).await {
                    warn!(guest = self.id, "the host was not told that this guest leaves: {error}");
                }
            }
            self.client.disconnect(LEAVE_TIMEOUT).await
        };
        match tokio::time::timeout(LEAVE_TIMEOUT, leaving).await {
            Ok(Ok(())) => info!(guest = self.id, "left"),
            Ok(Err(error)) => warn!(guest = self.id, "left without an answer: {error}"),
            Err(_) => warn!(guest = self.id, "left without an answer in {} s", LEAVE_TIMEOUT.as_secs()),
        }
    }

    // ---- what the host says

    fn on_message(&mut self, delivery: Delivery) {
        let (now, frame) = (boot_time(), &delivery.frame);
        let in_reply_to = frame.header(header::IN_REPLY_TO);
        let is_order = in_reply_to.is_none();
        if let Some(host) = header_time(frame.header(header::HOST_TIME)) {
            self.orders.host_time(now, host, in_reply_to);
        }
        let given_out = frame.earlier_deliveries();
        let times =
            frame.header(header::MESSAGE_ID).and_then(|message| self.redeliveries.count(message, given_out));
        if let Some(times) = times.filter(|_| is_order) {
            let why =
                format!("it came {times} times and was never dealt with to its end; it is not heard again");
            return self.refuse(delivery, "failed", why);
        }
        match frame.header(header::VALID_UNTIL).filter(|_| is_order) {
            None => self.process(delivery),
            Some(text) => match header_time(Some(text)) {
                Some(valid_until) => {
                    let bytes = frame.weight();
                    self.orders.push(delivery, valid_until, bytes, now);
                }
                None => {
                    let why = "its header valid-until is no time in milliseconds; nothing was run";
                    self.refuse(delivery, "invalid", why.to_owned());
                }
            },
        }
    }

    /// Processes orders, or refuses them, as far as it is known whether they have expired.
    fn release_orders(&mut self) {
        while self.in_progress < MAX_IN_PROGRESS
            && let Some(verdict) = self.orders.next(boot_time())
        {
            match verdict {
                Verdict::Accept(delivery) => self.process(delivery),
                Verdict::Expired { order, valid_until, now } => self.on_expired(order, valid_until, now),
            }
        }
        if self.connected && self.orders.has_to_ask(boot_time()) {
            let ask = self.asks.add(Ask::Time);
            let question = wrap_raw(PING, Vec::new().into()).to(HOST).asked(&ask);
            // Later, if there is no room now: what waits for the answer does not wait for ever.
            if let Err(error) = self.outbound.try_send(question) {
                debug!(guest = self.id, "the host was not asked for its time: {error}");
            }
            self.orders.ask(ask, boot_time());
        }
    }

    fn on_expired(&mut self, order: Delivery, valid_until: i64, now: i64) {
        let word = word_of(&order.frame.body).to_owned();
        let why = format!(
            "{word} was valid until {} by the host's clock, which shows {} by now; nothing was run",
            time_text(valid_until),
            time_text(now)
        );
        let command = order.frame.header(header::CMD_ID).map(str::to_owned);
        match command.filter(|_| self.lexicon.bound_to(Event::RunRequested.as_str()).contains(&word)) {
            None => self.refuse(order, "expired", why),
            // It may have been started when this order came the first time; then it is not true that nothing was run.
            Some(command) => self.process_if_known(order, command, why),
        }
    }

    fn process(&mut self, delivery: Delivery) {
        self.in_progress += 1;
        let (interpreter, outbound) = (self.interpreter.clone(), self.outbound.clone());
        self.spawn(async move { Completed::Processed(process(interpreter, outbound, delivery).await) });
    }

    /// Processes an order that cannot start anything, since the command that it names is known; refuses any other.
    fn process_if_known(&mut self, delivery: Delivery, command: String, why: String) {
        self.in_progress += 1;
        let (interpreter, outbound, jobs) =
            (self.interpreter.clone(), self.outbound.clone(), self.jobs.clone());
        self.spawn(async move {
            Completed::Processed(match jobs.is_known(&command).await {
                Ok(true) => process(interpreter, outbound, delivery).await,
                Ok(false) | Err(_) => refuse(outbound, delivery, "expired", why).await,
            })
        });
    }

    fn refuse(&mut self, delivery: Delivery, kind: &'static str, why: String) {
        self.in_progress += 1;
        let outbound = self.outbound.clone();
        self.spawn(async move { Completed::Processed(refuse(outbound, delivery, kind, why).await) });
    }

    fn on_processed(&mut self, processed: Processed) {
        let Processed { delivery, word, answer, error, is_replied } = processed;
        if let Some(error) = error {
            warn!(guest = self.id, word, "{error}");
        }
        if let Some(answer) = answer {
            self.on_answer(answer, &word);
        }
        if !is_replied {
            // It comes again on the next connection.
            warn!(guest = self.id, word, "not answered: there is no room on the way to the host");
            self.in_progress -= 1;
            return;
        }
        let outbound = self.outbound.clone();
        self.spawn(async move {
            let message = delivery.frame.header(header::MESSAGE_ID).map(str::to_owned);
            let is_acknowledged = outbound.ack(&delivery).await;
            Completed::Acknowledged { message: message.filter(|_| is_acknowledged) }
        });
    }

    fn on_answer(&mut self, Answer { to, result }: Answer, word: &str) {
        self.orders.answered_without_time(&to, boot_time());
        match self.asks.resolve(&to) {
            Match::Pending(Ask::Report(report)) => self.on_report_answered(&report, result),
            Match::Pending(Ask::Time) => {}
            Match::Late => debug!(guest = self.id, word, "an answer to what is not asked any more"),
            Match::Unknown => {
                // At most as many as wait in the mailbox of a guest whose agent was killed.
                let count = self.asks.unasked();
                info!(guest = self.id, word, count, "an answer that this process has not asked for");
            }
        }
    }

    // ---- what words say

    /// Has a word said because another one wants it said.
    fn on_say_request(&mut self, SayRequest { word, args, reply }: SayRequest) {
        let (lexicon, outbound) = (self.lexicon.clone(), self.outbound.clone());
        self.spawn(async move {
            let sent = match lexicon.say(&word, args).await {
                Ok(message) => {
                    outbound.send(wrap(&word, message).to(HOST)).await.map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            // The message has no id of its own that anybody could ask about: it is not asked.
            drop(reply.send(sent.map(|()| String::new())));
            Completed::Nothing
        });
    }

    /// Has the words bound to an event say it, unless there is no room: it is one of which the next says the same, or
    /// more. Nothing of them waits.
    fn raise(&mut self, event: Event, facts: Map<String, Value>) {
        let (lexicon, outbound, guest) = (self.lexicon.clone(), self.outbound.clone(), self.id.clone());
        self.spawn(async move {
            for message in raised(&lexicon, event, facts).await {
                match outbound.try_send(message) {
                    Err(SendError::Client(ClientError::QueueFull { .. })) => {
                        debug!(guest, "{event} is left out: there is no room on the way to the host");
                    }
                    Err(error) => warn!(guest, "{event} was not told: {error}"),
                    Ok(()) => {}
                }
            }
            Completed::Nothing
        });
    }

    fn on_completed(&mut self, completed: Completed) {
        match completed {
            Completed::Acknowledged { message } => {
                self.in_progress -= 1;
                message.into_iter().for_each(|message| self.redeliveries.acknowledged(&message));
            }
            Completed::Joined => {
                self.joining = false;
                self.connected = true;
                self.disconnected_since = None;
                self.reports.reconnected();
            }
            Completed::Nothing => {}
            Completed::Processed(processed) => self.on_processed(processed),
            Completed::ReportSent { ask, report, result } => self.on_report_sent(&ask, &report, result),
        }
    }
}

/// What the words bound to an event have to say to the host. That some of them fail is in the log.
async fn raised(lexicon: &Lexicon, event: Event, facts: Map<String, Value>) -> Vec<Envelope> {
    let said = lexicon.raise(event.as_str(), Value::from(facts).to_string()).await;
    let message = |(word, said): (String, Result<Message, WordError>)| match said {
        Ok(message) => Some(wrap(&word, message).to(HOST)),
        Err(error) => {
            error!(word, "{error}");
            None
        }
    };
    said.into_iter().filter_map(message).collect()
}
