//! The one task that owns the state: roster, commands under way, asks, events.
//!
//! It hears messages by calling words where their frames arrive. A word acts through requests to this same task, so
//! the calls run beside the loop, one at a time for each guest: a guest's messages take effect in their order, and no
//! guest waits for another's. Whose message is next is for [`turns`] to say; what computes for long goes on elsewhere
//! ([`work`]). The loop itself never waits for a word, a disk, nor for the broker: whatever it begins it finishes in
//! [`Agent::background`].
//!
//! What callers and words may ask is [`request`]; [`handle`] asks it. The task's own work: [`run`] (a request becomes
//! commands), [`orders`] (they are taken to their guests, and taken back), [`reports`] (what guests report of them),
//! [`presence`] (who is there, and where), [`messages`] (what is sent and heard). What it owns: [`roster`], [`commands`],
//! [`asks`], [`events`], and the [`store`].

pub(crate) mod asks;
pub(crate) mod capabilities;
pub(crate) mod commands;
pub(crate) mod control;
pub(crate) mod events;
pub(crate) mod handle;
mod machines;
mod messages;
mod orders;
pub(crate) mod polling;
mod presence;
mod reports;
pub(crate) mod request;
pub(crate) mod retention;
pub(crate) mod roster;
pub(crate) mod run;
pub(crate) mod say;
pub(crate) mod store;
pub(crate) mod streams;
mod time;
mod turns;
mod work;

#[cfg(test)]
mod tests;

use self::time::{HostTime, moment};
use self::work::{Work, Worked};
use crate::agent::asks::Asks;
use crate::agent::commands::{Active, Command, State as CommandState};
use crate::agent::events::{About, EventLog};
use crate::agent::reports::{Report, Writing};
use crate::agent::request::{Reply, Request};
use crate::agent::roster::{Roster, Timeouts};
use crate::agent::store::Store;
use crate::agent::streams::Streams;
use crate::agent::turns::{TurnLimits, Turns};
use crate::machines::engine::Notice;
use crate::machines::service::Machines;
use ::time::OffsetDateTime;
use futures_util::FutureExt;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use vocable_api::clock::Now;
use vocable_config::Size;
use vocable_runtime::{Events as WordEvents, Interpreter, Lexicon, LexiconEvent};
use vocable_stomp::Frame;
use vocable_stomp::broker::{Broker, Events as BrokerEvents, Link};

/// How long guests may take to hear that the broker shuts down.
const FAREWELL: Duration = Duration::from_secs(2);
/// Events that are kept for readers who come late.
const EVENTS_KEPT: usize = 10_000;

pub(crate) struct Parts {
    /// When guests are late and lost.
    pub(crate) timeouts: Timeouts,
    /// Groups of guests, by name.
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    pub(crate) broker: Broker,
    /// What happens there, from before the first guest came.
    pub(crate) broker_events: BrokerEvents,
    /// The host's own connection to it, subscribed to everything guests say.
    pub(crate) link: Link,
    pub(crate) lexicon: Lexicon,
    pub(crate) words: WordEvents,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) streams: Streams,
    pub(crate) store: Store,
    pub(crate) machines: Machines,
    pub(crate) machine_notices: mpsc::Receiver<Notice>,
    pub(crate) under_way: Vec<Active>,
    pub(crate) known: BTreeSet<String>,
    /// Bytes of a body that guests take.
    pub(crate) max_frame: usize,
    /// Bytes of output that are taken of a command, both streams together.
    pub(crate) output_limit: Size,
}

/// A command under way, and who waits for news of it.
struct Tracked {
    active: Active,
    changed: watch::Sender<()>,
    /// When its guest last said something of it, if this process has heard that.
    heard: Option<Instant>,
    /// Its guest may have the order without having said so.
    may_be_there: bool,
    is_taken: bool,
    /// What of it is being written down.
    writing: Option<Writing>,
    /// What its guest reports, until that is done.
    reports: Vec<Report>,
}

/// Goes on here with what was done in the background, which took so much of this thread's time.
type Then = Box<dyn FnOnce(&mut Agent, Duration) + Send>;

pub(crate) struct Agent {
    roster: Roster,
    groups: BTreeMap<String, Vec<String>>,
    commands: HashMap<String, Tracked>,
    /// When something has to be done about commands without anybody asking.
    due: BTreeSet<(OffsetDateTime, String)>,
    /// The ids of the commands of each guest.
    commands_of: HashMap<String, BTreeSet<String>>,
    asks: Asks,
    events: EventLog,
    broker: Broker,
    link: Link,
    machines: Machines,
    lexicon: Lexicon,
    interpreter: Interpreter,
    store: Store,
    streams: Streams,
    work: Work<Then>,
    turns: Turns<Frame>,
    /// Messages that have arrived and are not lined up yet.
    arriving: VecDeque<Frame>,
    /// Guests whose connections have ended while messages of theirs still wait, and why.
    endings: HashMap<String, String>,
    time: HostTime,
    max_frame: usize,
    output_limit: Size,
}

impl Agent {
    /// Runs until cancelled. What is under way then stays in the store, and goes on after the next start.
    pub(crate) async fn run(parts: Parts, stop: CancellationToken) {
        let Parts { timeouts, groups, broker, mut broker_events, link, lexicon, streams, store, .. } = parts;
        let Parts { mut words, mut requests, known, under_way, .. } = parts;
        let Parts { machines, mut machine_notices, max_frame, output_limit, .. } = parts;
        let mut agent = Self {
            roster: Roster::new(timeouts),
            groups,
            commands: HashMap::new(),
            commands_of: HashMap::new(),
            due: BTreeSet::new(),
            asks: Asks::new(&process_id()),
            events: EventLog::new(EVENTS_KEPT),
            broker,
            link,
            interpreter: Interpreter::new(lexicon.clone()),
            lexicon,
            machines,
            store,
            streams,
            work: Work::new(stop.clone()),
            turns: Turns::new(TurnLimits::default()),
            arriving: VecDeque::new(),
            endings: HashMap::new(),
            time: HostTime::new(Now::read()),
            max_frame,
            output_limit,
        };
        agent.resume(known, under_way);
        loop {
            let due = agent.next_deadline();
            if due.is_some_and(|due| due <= Instant::now()) {
                // However much else there is to do.
                agent.tick();
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => break,
                Some(request) = requests.recv() => agent.answer(request),
                Some(event) = broker_events.next() => agent.on_broker_event(event).await,
                Some(event) = words.recv() => agent.on_word_event(&event),
                Some(notice) = machine_notices.recv() => agent.on_machine_event(notice),
                frame = agent.link.receive() => {
                    let Some(frame) = frame else {
                        error!("the broker inside the agent has ended: no guest can be heard any more");
                        break;
                    };
                    agent.arriving.push_back(frame);
                    // Who sent it logged in before, and that has to be known first.
                    while let Some(Some(event)) = broker_events.next().now_or_never() {
                        agent.on_broker_event(event).await;
                    }
                    agent.line_up();
                }
                Some(worked) = agent.work.next() => match worked {
                    Worked::Done(then, spent) => then(&mut agent, spent),
                    Worked::GoesOn(work) => agent.move_elsewhere(work),
                },
                () = sleep_until(due) => {}
            }
        }
        agent.broker.shutdown(FAREWELL).await;
    }

    fn resume(&mut self, known: BTreeSet<String>, under_way: Vec<Active>) {
        let now = Now::read();
        for guest in known {
            self.roster.add_known(&guest, now);
        }
        for active in under_way {
            self.roster.add_known(&active.command.guest, now);
            // A former process may have sent it.
            let is_queued = active.command.state == CommandState::Queued;
            self.track(active, is_queued);
        }
    }

    /// Does something beside the loop, and goes on here with what comes of it.
    fn background<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
        then: impl FnOnce(&mut Self, T) + Send + 'static,
    ) {
        self.work.push(
            async move {
                let result = work.await;
                let then: Then = Box::new(move |agent, _| then(agent, result));
                then
            }
            .boxed(),
        );
    }

    fn next_deadline(&self) -> Option<Instant> {
        let commands = self.due.first().map(|(due, _)| moment(*due, Now::read()));
        let dues = [
            self.roster.next_tick(),
            self.asks.next_deadline(),
            self.events.next_tick(),
            self.turns.next_wake(),
            commands,
        ];
        dues.into_iter().flatten().min()
    }

    fn tick(&mut self) {
        let now = Now::read();
        self.turns.wake(now.mono);
        self.hear_next();
        self.events.tick(now);
        for change in self.roster.tick(now) {
            self.on_change(change);
        }
        self.expire_asks(now.mono);
        while self.due.first().is_some_and(|(due, _)| *due <= now.utc) {
            if let Some((_, id)) = self.due.pop_first() {
                self.on_deadline(&id, now);
            }
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Select { target, reply } => answer(reply, self.select(&target)),
            Request::Run { wanted, reply } => self.start_run(*wanted, reply),
            Request::Ask { guest, said, timeout, reply } => self.ask_for_caller(guest, said, timeout, reply),
            Request::Say { word, to, args, reply } => self.say(word, to, args, reply),
            Request::Active { id, reply } => answer(reply, self.active(&id)),
            Request::Report(report) => self.take_report(report),
            Request::Withdraw { id, reply } => self.withdraw(&id, reply),
            Request::Joined { sender, ip, facts, reply } => {
                self.joined(&sender, &ip, facts);
                answer(reply, ());
            }
            Request::Alive { sender, reply } => {
                let change = self.roster.alive(&sender, Now::read());
                change.into_iter().for_each(|change| self.on_change(change));
                answer(reply, ());
            }
            Request::Left { sender, reason, reply } => {
                let change = self.roster.left(&sender, &reason, Now::read());
                change.into_iter().for_each(|change| self.on_change(change));
                answer(reply, ());
            }
            Request::SetCredential { guest, token_sha256, reply } => {
                self.set_credential(guest, token_sha256, reply);
            }
            Request::Expect { guest, reply } => {
                self.roster.add_known(&guest, Now::read());
                answer(reply, ());
            }
            Request::Guest { name, reply } => answer(reply, self.guest(name)),
            Request::NoteEvent { kind, about, text, reply } => {
                self.events.note(kind, about, text, Now::read());
                answer(reply, ());
            }
            Request::Roster { reply } => answer(reply, self.view()),
            Request::Events { since, limit, reply } => {
                // The receiver first: an event between the two would be missed the other way round.
                let newest = self.events.newest();
                answer(reply, (self.events.since(since, limit), newest));
            }
        }
    }

    fn on_word_event(&mut self, event: &LexiconEvent) {
        info!(word = event.word(), "{event}");
        self.events.note(event.kind(), About::default(), event.to_string(), Now::read());
    }

    fn on_machine_event(&mut self, notice: Notice) {
        let Notice { kind, machine, text, data } = notice;
        let about = About { vm: machine, data, ..About::default() };
        self.events.note(kind, about, text, Now::read());
    }

    // ---- commands under way

    fn track(&mut self, active: Active, may_be_there: bool) {
        let id = active.command.id.clone();
        self.commands_of.entry(active.command.guest.clone()).or_default().insert(id.clone());
        self.due.extend(active.command.due().map(|due| (due, id.clone())));
        if !active.is_ready() {
            self.make_digests(&id);
        }
        let tracked = Tracked {
            active,
            changed: watch::Sender::new(()),
            heard: None,
            may_be_there,
            is_taken: false,
            writing: None,
            reports: Vec::new(),
        };
        self.commands.insert(id, tracked);
    }

    fn untrack(&mut self, id: &str) -> Option<Tracked> {
        let it = self.commands.remove(id)?;
        let command = &it.active.command;
        for moment in [command.expires, command.deadline].into_iter().flatten() {
            self.due.remove(&(moment, id.to_owned()));
        }
        if let Some(ids) = self.commands_of.get_mut(&command.guest) {
            ids.remove(id);
            if ids.is_empty() {
                self.commands_of.remove(&command.guest);
            }
        }
        Some(it)
    }

    fn active(&self, id: &str) -> Option<(Command, watch::Receiver<()>)> {
        self.commands.get(id).map(|it| (it.active.command.clone(), it.changed.subscribe()))
    }

    /// The commands of a guest that are not over.
    fn commands_of(&self, guest: &str) -> impl Iterator<Item = &Tracked> {
        self.commands_of.get(guest).into_iter().flatten().filter_map(|id| self.commands.get(id))
    }

    fn note_command(&mut self, command: &Command) {
        let kind = match command.state {
            CommandState::Queued => "cmd.queued",
            CommandState::Running => "cmd.started",
            _ => "cmd.done",
        };
        let text = match &command.failure {
            Some(failure) => failure.message.clone(),
            None => command.state.as_str().to_owned(),
        };
        info!(cmd = command.id, guest = command.guest, "{kind}: {text}");
        self.events.note(kind, About::command(&command.id, &command.guest), text, Now::read());
    }

    /// Notes what went wrong for a guest: in the log, and for whoever asks why.
    fn fail_guest(&mut self, guest: &str, text: &str) {
        warn!(guest, "{text}");
        self.roster.note_failure(guest, text, Now::read());
    }
}

/// What tells the asks of this process from those of any other: eight digits by chance.
fn process_id() -> String {
    // Without chance, by the time: two processes of one host do not start at the same moment.
    let random = getrandom::u32().unwrap_or_else(|_| OffsetDateTime::now_utc().nanosecond());
    format!("{random:08x}")
}

/// Answers a request. Whoever asked may have gone: then the answer goes nowhere.
fn answer<T>(reply: Reply<T>, answer: T) {
    let _ = reply.send(answer);
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
