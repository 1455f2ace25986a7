//! The one task that owns the state: roster, commands under way, asks, events.
//!
//! It hears messages by calling words where their frames arrive. A word acts through requests to this same task, so
//! the calls run beside the loop, one at a time for each guest: a guest's messages take effect in their order, and no
//! guest waits for another's. Whose message is next is for [`crate::agent::turns`] to say; what computes for long goes on
//! elsewhere ([`work`]). The loop itself never waits for a word, nor for the broker.

pub(crate) mod asks;
pub(crate) mod capabilities;
pub(crate) mod commands;
pub(crate) mod control;
pub(crate) mod events;
pub(crate) mod handle;
pub(crate) mod request;
pub(crate) mod retention;
pub(crate) mod roster;
pub(crate) mod store;
pub(crate) mod streams;
mod time;
mod turns;
mod work;

use self::time::{HostTime, moment};
use self::work::{Metered, Work, Worked};
use crate::agent::asks::{Asks, Pending, Purpose};
use crate::agent::commands::{Active, Command, Digests, Failure, State as CommandState};
use crate::agent::control::Signal;
use crate::agent::events::{About, EventLog};
use crate::agent::handle::Handle;
use crate::agent::request::{Answer, Reply, Request, RosterView, Said, Selected, Unheard};
use crate::agent::roster::{Change, Guest, Patience, Roster, State};
use crate::agent::streams::Streams;
use crate::agent::turns::{Outcome, Turn, TurnLimits, Turns};
use crate::machines::cards::{self, Claim, Place};
use crate::machines::engine::Note;
use crate::machines::service::{Machines, View};
use crate::panics::caught;
use ::time::OffsetDateTime;
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use vocable_api::clock::Now;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::target::{MAX_GUEST_ID, Target, is_guest_id};
use vocable_protocol::{HOST, Mailbox, header};
use vocable_runtime::{
    Envelope, Events as WordEvents, Interpreter, Lexicon, LexiconEvent, Message, PING, Received, WordError,
    wrap, wrap_raw,
};
use vocable_stomp::broker::{
    Broker, BrokerEvent, Destination, Events as BrokerEvents, Link, LinkError, Withdrawn,
};
use vocable_stomp::{Command as Verb, DELIVERIES, Frame};
use vocable_xmlrpc::excerpt;

/// Headers of the transport: how a message came is no business of the word that listens.
const TRANSPORT: [&str; 6] =
    ["ack", "destination", "redelivered", "subscription", "omitted-headers", DELIVERIES];
/// A message that was given out so often and never settled is not tried again.
const MAX_DELIVERIES: u32 = 5;
/// Bytes of what went wrong that are kept and logged: a guest may say much.
const LONGEST_ERROR: usize = 400;
/// What a kibibyte of a message has cost before it is heard, on its way through the broker.
const ON_ITS_WAY: Duration = Duration::from_micros(1);
/// How long guests may take to hear that the broker shuts down.
const FAREWELL: Duration = Duration::from_secs(2);
/// Events that are kept for readers who come late.
const EVENTS_KEPT: usize = 10_000;

/// What the agent is made of.
pub(crate) struct Parts {
    /// When guests are late and lost.
    pub(crate) patience: Patience,
    /// Groups of guests, by name.
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    /// The bus.
    pub(crate) broker: Broker,
    /// What happens there, from before the first guest came.
    pub(crate) broker_events: BrokerEvents,
    /// The host's own connection to it, subscribed to everything guests say.
    pub(crate) link: Link,
    /// The words.
    pub(crate) lexicon: Lexicon,
    /// What happens to the words.
    pub(crate) words: WordEvents,
    /// What everybody asks.
    pub(crate) requests: mpsc::Receiver<Request>,
    /// Streams of octets to guests.
    pub(crate) streams: Streams,
    /// For the work that is done beside the loop.
    pub(crate) handle: Handle,
    /// The machines guests are in.
    pub(crate) machines: Machines,
    /// What happens to them.
    pub(crate) machine_notes: mpsc::Receiver<Note>,
    /// Commands found under way in the store.
    pub(crate) under_way: Vec<Active>,
    /// Guests that have credentials.
    pub(crate) known: BTreeSet<String>,
    /// Bytes of a body that guests take.
    pub(crate) max_frame: usize,
}

/// A command under way, and who waits for news of it.
struct Tracked {
    active: Active,
    changed: watch::Sender<()>,
    /// When its guest last said something of it, if this process has heard that.
    heard: Option<Instant>,
    /// Its guest may have the order without having said so.
    may_be_there: bool,
    /// Its guest has said that it has taken it.
    is_taken: bool,
}

/// Why an order is taken back out of a mailbox.
enum TakeBack {
    /// Its guest is gone; it is said again when that is back.
    Away,
    /// Somebody cancels the command.
    Cancelled(Reply<bool>),
    /// It was not taken in time.
    Expired,
}

/// Work that was done beside the loop.
enum Done {
    /// A guest's message was heard.
    Heard { guest: String, frame: Frame, heard: Received },
    /// The words bound to a wish to run something have said it, or none has.
    Phrased { command: String, said: Result<Said, Failure> },
    /// The words bound to an event have said it to a guest.
    Bidden { guest: String, said: Said },
    /// A word has been said because another one wanted it said.
    Uttered { to: String, said: Said, reply: Reply<Result<String, Fault>> },
    /// The digests of what is on disk of a command are made.
    Ready { command: String, digests: Option<Digests> },
    /// The broker has a message that asks for an answer, or has refused it.
    Asked { ask: String, sent: Result<(), LinkError> },
    /// An order was to be taken back.
    TakenBack { command: String, ask: String, withdrawn: Result<Withdrawn, LinkError>, why: TakeBack },
    /// Something that needs no more attention.
    Nothing,
}

/// The state, and the loop around it.
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
    handle: Handle,
    streams: Streams,
    work: Work<Done>,
    /// Messages that wait for their turn.
    turns: Turns<Frame>,
    /// Messages that have arrived and are not lined up yet.
    arriving: VecDeque<Frame>,
    /// Guests whose connections have ended while messages of theirs still wait, and why.
    endings: HashMap<String, String>,
    time: HostTime,
    max_frame: usize,
}

impl Agent {
    /// Runs until cancelled. What is under way then stays in the store, and goes on after the next start.
    pub(crate) async fn run(parts: Parts, stop: CancellationToken) {
        let Parts { patience, groups, broker, broker_events: mut happening, link, lexicon, streams, .. } =
            parts;
        let Parts { mut words, mut requests, handle, known, under_way, .. } = parts;
        let Parts { machines, mut machine_notes, max_frame, .. } = parts;
        let mut agent = Self {
            roster: Roster::new(patience),
            groups,
            commands: HashMap::new(),
            commands_of: HashMap::new(),
            due: BTreeSet::new(),
            asks: Asks::new(&own_part()),
            events: EventLog::new(EVENTS_KEPT),
            broker,
            link,
            interpreter: Interpreter::new(lexicon.clone()),
            lexicon,
            machines,
            handle,
            streams,
            work: Work::new(stop.clone()),
            turns: Turns::new(TurnLimits::default()),
            arriving: VecDeque::new(),
            endings: HashMap::new(),
            time: HostTime::new(Now::read()),
            max_frame,
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
                Some(event) = happening.next() => agent.broker_said(event).await,
                Some(event) = words.recv() => agent.words_changed(&event),
                Some(note) = machine_notes.recv() => agent.machine_changed(note),
                frame = agent.link.receive() => {
                    let Some(frame) = frame else {
                        error!("the broker inside the agent has ended: nobody can be heard any more");
                        break;
                    };
                    agent.arriving.push_back(frame);
                    // Who sent it logged in before, and that has to be known first.
                    while let Some(Some(event)) = happening.next().now_or_never() {
                        agent.broker_said(event).await;
                    }
                    agent.line_up();
                }
                Some(worked) = agent.work.next() => agent.worked(worked),
                () = sleep_until(due) => {}
            }
        }
        agent.broker.shutdown(FAREWELL).await;
    }

    fn resume(&mut self, known: BTreeSet<String>, under_way: Vec<Active>) {
        let now = Now::read();
        for guest in known {
            self.roster.known(&guest, now);
        }
        for active in under_way {
            self.roster.known(&active.command.guest, now);
            // A former process may have sent it.
            let is_queued = active.command.state == CommandState::Queued;
            self.track(active, is_queued);
        }
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
            self.changed(change);
        }
        for ask in self.asks.expired(now.mono) {
            give_up(ask, FaultKind::TimedOut, "no answer in time");
        }
        while self.due.first().is_some_and(|(due, _)| *due <= now.utc) {
            if let Some((_, id)) = self.due.pop_first() {
                self.time_is_up(&id, now);
            }
        }
    }

    /// A command waits no longer for its guest, or is to be over by now.
    fn time_is_up(&mut self, id: &str, now: Now) {
        let Some(it) = self.commands.get_mut(id) else { return };
        let command = &mut it.active.command;
        let guest = command.guest.clone();
        let failure = |code: &str, message: String| Failure { code: code.to_owned(), message };
        if command.due().is_some_and(|due| due > now.utc) {
            // What was due has been done: it was taken in time.
            self.due.extend(command.due().map(|due| (due, id.to_owned())));
        } else if command.state == CommandState::Queued {
            // If there is an order in the mailbox, its end comes with what becomes of that.
            if self.take_back(id, TakeBack::Expired).is_some() {
                self.expired(id);
            }
        } else if command.deadline.take().is_some() {
            // Of a guest that is away this waits in the mailbox; the caller waits no longer.
            self.end(id.to_owned(), guest.clone(), None);
            if self.away(&guest).is_some() {
                let text =
                    format!("{guest} does not answer at the deadline; what became of {id} is not known");
                self.over(id, CommandState::Lost, failure("guest-lost", text));
            }
        }
    }

    /// Has the words that are bound to it say that a command is to end; without a grace, by its own.
    fn end(&mut self, id: String, guest: String, grace: Option<Duration>) {
        if let Some(it) = self.commands.get_mut(&id) {
            it.active.command.ending = true;
        }
        let facts = Signal { number: Signal::TERM, end: Some(grace) }.facts(&id);
        let lexicon = self.lexicon.clone();
        self.work.push(Box::pin(async move {
            match said_once(lexicon.raise("signal-requested", Value::Object(facts).to_string()).await) {
                Ok(said) => Done::Bidden { guest, said },
                Err(failure) => {
                    warn!(cmd = id, guest, "not ended: {}", failure.message);
                    Done::Nothing
                }
            }
        }));
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Select { target, reply } => tell(reply, self.select(&target)),
            Request::Begin { commands, reply } => {
                self.begin(commands);
                tell(reply, ());
            }
            Request::Ask { guest, said, timeout, reply } => {
                let deadline = Some(Instant::now() + timeout);
                let purpose = Purpose::Caller(reply);
                self.ask(Pending { guest, deadline, purpose }, said, deadline);
            }
            Request::Say { word, to, args, reply } => self.say(word, to, args, reply),
            Request::Active { id, reply } => tell(reply, self.active(&id)),
            Request::Place { sender, id, part, offset, len, reply } => {
                let place =
                    self.theirs(&sender, &id).and_then(|it| Ok(it.active.place(part, offset, len)?));
                tell(reply, place);
            }
            Request::Placed { id, part, octets, reply } => {
                if let Some(it) = self.commands.get_mut(&id) {
                    // What writes has been started, even if the guest's word for it was lost.
                    let now = Now::read();
                    it.active.started(now.utc);
                    it.heard = Some(now.mono);
                    it.active.received(part, &octets);
                    it.changed.send_replace(());
                }
                tell(reply, ());
            }
            Request::Paused { id, why, reply } => {
                self.pause(&id, why);
                tell(reply, ());
            }
            Request::Digests { id, reply } => {
                tell(reply, self.commands.get(&id).and_then(|it| it.active.digests().cloned()));
            }
            Request::Finish { sender, id, results, reply } => tell(reply, self.finish(&sender, &id, results)),
            Request::Finished { command, reply } => {
                self.finished(*command);
                tell(reply, ());
            }
            Request::InputTaken { sender, id, offset, reply } => {
                let theirs = self.theirs(&sender, &id).map(drop);
                if let (Ok(()), Some(it)) = (&theirs, self.commands.get_mut(&id)) {
                    it.active.command.input_taken = it.active.command.input_taken.max(offset);
                    it.heard = Some(Instant::now());
                    it.changed.send_replace(());
                }
                tell(reply, theirs);
            }
            Request::Revive { active, reply } => {
                if !self.commands.contains_key(&active.command.id) {
                    self.revive(*active);
                }
                tell(reply, ());
            }
            Request::Withdraw { id, reply } => self.withdraw(&id, reply),
            Request::Joined { sender, ip, mut facts, reply } => {
                let now = Now::read();
                // Whatever was streamed to the guest that was there before has lost its other end.
                self.streams.forget(&sender);
                let jobs = facts.remove("jobs");
                let change = self.roster.joined(&sender, &ip, facts, now);
                change.into_iter().for_each(|change| self.changed(change));
                self.look_where(&sender);
                self.miss(&sender, jobs);
                if self.away(&sender).is_none() {
                    self.resend(&sender);
                }
                // Saying that one is there again and again costs no less than other messages.
                self.turns.charge(&sender, now.mono.elapsed());
                tell(reply, ());
            }
            Request::Alive { sender, reply } => {
                let change = self.roster.alive(&sender, Now::read());
                change.into_iter().for_each(|change| self.changed(change));
                tell(reply, ());
            }
            Request::Left { sender, reason, reply } => {
                let change = self.roster.left(&sender, &reason, Now::read());
                change.into_iter().for_each(|change| self.changed(change));
                tell(reply, ());
            }
            Request::Expect { guest, reply } => {
                self.roster.known(&guest, Now::read());
                tell(reply, ());
            }
            Request::Guest { name, reply } => tell(reply, self.guest(name)),
            Request::Note { kind, about, text, reply } => {
                self.events.note(kind, about, text, Now::read());
                tell(reply, ());
            }
            Request::Roster { reply } => tell(reply, self.view()),
            Request::Events { since, limit, reply } => {
                // The receiver first: an event between the two would be missed the other way round.
                let newest = self.events.newest();
                tell(reply, (self.events.since(since, limit), newest));
            }
        }
    }

    fn select(&self, target: &Target) -> Result<Vec<Selected>, Fault> {
        let names = self.names();
        let chosen = target.resolve(&names.keys().cloned().collect(), &self.groups)?;
        // A guest may be selected by its id and by the name of its machine: it is still one guest.
        let chosen: BTreeSet<String> = chosen.iter().filter_map(|name| names.get(name).cloned()).collect();
        Ok(chosen.into_iter().map(|guest| Selected { away: self.away(&guest), guest }).collect())
    }

    /// The guest of that id, or in the machine of that name, with its id.
    fn guest(&self, name: String) -> Option<(String, Guest)> {
        if let Some(guest) = self.roster.get(&name) {
            return Some((name, guest.clone()));
        }
        let id = self.names().remove(&name)?;
        let guest = self.roster.get(&id)?.clone();
        Some((id, guest))
    }

    /// Why a guest can't be reached now, if it can't.
    fn away(&self, id: &str) -> Option<String> {
        let guest = self.roster.get(id)?;
        if guest.state.is_there() {
            return None;
        }
        let reason = if guest.reason.is_empty() { String::new() } else { format!(": {}", guest.reason) };
        Some(format!("{}{reason}", guest.state.as_str()))
    }

    /// Every name somebody has, with the guest it means: ids, and names of machines that a guest is in.
    fn names(&self) -> BTreeMap<String, String> {
        let view = self.machines.view();
        let of_machines = self.places(&view).into_iter().filter_map(|(guest, place)| match place {
            Place::In(machine) => Some((view.machines.get(&machine)?.name.clone(), guest)),
            _ => None,
        });
        // An id is somebody's own: no machine takes it away.
        of_machines.chain(self.roster.guests().keys().map(|id| (id.clone(), id.clone()))).collect()
    }

    fn places(&self, view: &View) -> BTreeMap<String, Place> {
        if !self.machines.about().runs_machines {
            return cards::plain_places(self.roster.guests().keys());
        }
        let claim = |(id, guest): (&String, &Guest)| Claim {
            guest: id.clone(),
            mac: guest.facts.get("mac").and_then(Value::as_str).map(str::to_owned),
        };
        cards::places(&view.machines, &self.roster.guests().iter().map(claim).collect::<Vec<_>>())
    }

    /// Whether it is clear which machine a guest is in; if not, everybody is told, and nothing is guessed.
    fn look_where(&mut self, guest: &str) {
        if !self.machines.about().runs_machines {
            return;
        }
        let view = self.machines.view();
        let name = |id: &String| view.machines.get(id).map_or_else(|| id.clone(), |it| it.name.clone());
        let (kind, text) = match self.places(&view).remove(guest) {
            Some(Place::Duplicate(names)) => (
                "guest.duplicate-mac",
                format!(
                    "its address is that of several machines, {}: it is taken for none",
                    names.join(" and ")
                ),
            ),
            Some(Place::Elsewhere(id)) => (
                "guest.elsewhere",
                format!("it goes by the name of {guest}, and its address is that of {}", name(&id)),
            ),
            Some(Place::Contested(id)) => {
                ("guest.duplicate-mac", format!("another guest says to be in {} too", name(&id)))
            }
            Some(Place::In(_) | Place::Nowhere) | None => return,
        };
        let now = Now::read();
        warn!(guest, "{text}");
        self.roster.failed(guest, &text, now);
        self.events.note(kind, About::guest(guest), text, now);
    }

    fn machine_changed(&mut self, note: Note) {
        let Note { kind, machine, text, data } = note;
        let about = About { vm: machine, data, ..About::default() };
        self.events.note(kind, about, text, Now::read());
    }

    fn view(&self) -> RosterView {
        let machines = self.machines.view();
        let now = Now::read();
        let with_missed =
            |(id, guest): (&String, &Guest)| (id.clone(), (guest.clone(), self.roster.missed(guest, now)));
        let count = |(guest, ids): (&String, &BTreeSet<String>)| {
            (guest.clone(), u32::try_from(ids.len()).unwrap_or(u32::MAX))
        };
        let commands = self.commands_of.iter().map(count).collect();
        let paused = |command: &Command| {
            let why = command.paused.as_ref()?;
            Some((command.guest.clone(), format!("{} is held up: {why}", command.id)))
        };
        let paused = self.commands.values().filter_map(|it| paused(&it.active.command)).collect();
        RosterView {
            guests: self.roster.guests().iter().map(with_missed).collect(),
            strangers: self.roster.strangers().clone(),
            forgotten_strangers: self.roster.forgotten(),
            beacon: self.roster.patience().beacon,
            commands,
            paused,
            places: self.places(&machines),
            machines,
        }
    }

    // ---- commands

    fn track(&mut self, active: Active, may_be_there: bool) {
        let id = active.command.id.clone();
        self.commands_of.entry(active.command.guest.clone()).or_default().insert(id.clone());
        self.due.extend(active.command.due().map(|due| (due, id.clone())));
        if !active.is_ready() {
            let (handle, command) = (self.handle.clone(), id.clone());
            self.work.push(Box::pin(async move {
                let digests = handle.prepared(&command).await;
                Done::Ready { command, digests }
            }));
        }
        let changed = watch::Sender::new(());
        self.commands.insert(id, Tracked { active, changed, heard: None, may_be_there, is_taken: false });
    }

    /// The digests of what is on disk of a command are made: more of it can be taken.
    fn ready(&mut self, id: &str, digests: Option<Digests>) {
        if let (Some(it), Some(digests)) = (self.commands.get_mut(id), digests) {
            it.active.ready(digests);
            it.changed.send_replace(());
        }
    }

    /// A command is held up, because no more of its output is taken.
    fn pause(&mut self, id: &str, why: String) {
        let Some(it) = self.commands.get_mut(id) else { return };
        let guest = it.active.command.guest.clone();
        if it.active.command.paused.replace(why.clone()).is_none() {
            warn!(cmd = id, guest, "paused: {why}");
            self.events.note("cmd.paused", About::command(id, &guest), why, Now::read());
            it.changed.send_replace(());
        }
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

    fn begin(&mut self, commands: Vec<Command>) {
        for command in commands {
            self.note_command(&command);
            if !command.state.is_over() {
                // What waits for a guest that is away is said when that is back.
                if self.away(&command.guest).is_none() {
                    self.phrase(&command);
                }
                self.track(Active::new(command), false);
            }
        }
    }

    /// Has the words that are bound to it say that something is to be run.
    fn phrase(&mut self, command: &Command) {
        let program = &command.program;
        let facts = json!({"cmd-id": command.id, "cmd": program.cmd, "args": program.args, "env": program.env,
            "path": program.path, "options": program.options});
        let (lexicon, id, guest) = (self.lexicon.clone(), command.id.clone(), command.guest.clone());
        self.work.push(Box::pin(async move {
            let said = caught(&guest, lexicon.raise("run-requested", facts.to_string())).await;
            let failed = |fault: Fault| Failure { code: fault.kind.slug().into(), message: fault.message };
            Done::Phrased { command: id, said: said.map_err(failed).and_then(said_once) }
        }));
    }

    /// A command that was given up goes on: its true end is still to be told.
    fn revive(&mut self, mut active: Active) {
        let command = &mut active.command;
        info!(cmd = command.id, guest = command.guest, "it was given up, and goes on");
        let was_unwanted = command.failure.as_ref().is_some_and(|failure| UNWANTED.contains(&&*failure.code));
        (command.state, command.ended, command.failure) = (CommandState::Running, None, None);
        command.deadline = None;
        let (id, guest) = (command.id.clone(), command.guest.clone());
        self.track(active, true);
        if was_unwanted {
            // Somebody was told that it may still run: it is not to go on.
            self.end(id, guest, Some(Duration::ZERO));
        }
    }

    /// The commands of a guest that are not over.
    fn of(&self, guest: &str) -> impl Iterator<Item = &Tracked> {
        self.commands_of.get(guest).into_iter().flatten().filter_map(|id| self.commands.get(id))
    }

    /// A guest that comes back names the commands it has yet to tell of, unless they are too many. One that it had taken
    /// and does not name is gone: with its state, or because it was taken back to a time before it.
    ///
    /// What it had told the end of and was acknowledged is not looked for here any more: it was closed before the
    /// acknowledgement. What it has not taken yet is in no list. And a list from before something was heard of a command
    /// says nothing about it, in whatever order the two have come: only what was last heard of before this connection
    /// is looked for.
    fn miss(&mut self, guest: &str, named: Option<Value>) {
        let Some(Ok(named)) = named.map(serde_json::from_value::<BTreeSet<String>>) else { return };
        let since = self.roster.get(guest).and_then(|guest| guest.connection).map(|it| it.at);
        let Some(since) = since else { return };
        let missing = |it: &&Tracked| {
            let command = &it.active.command;
            command.state == CommandState::Running
                && !named.contains(&command.id)
                && it.heard.is_none_or(|heard| heard < since)
        };
        let missing: Vec<_> = self.of(guest).filter(missing).map(|it| it.active.command.id.clone()).collect();
        for id in missing {
            let message = format!(
                "{guest} came back without it: its state was lost, or it was taken back to an earlier snapshot"
            );
            self.over(&id, CommandState::Lost, Failure { code: "guest-reset".to_owned(), message });
        }
    }

    /// What a guest has not taken yet is sent again when it is back: the mailbox may have been lost with the broker.
    fn resend(&mut self, guest: &str) {
        let missing = |command: &&Command| {
            command.state == CommandState::Queued && self.asks.carrier(&command.id).is_none()
        };
        let missing: Vec<_> = self.of(guest).map(|it| &it.active.command).filter(missing).cloned().collect();
        missing.iter().for_each(|command| self.phrase(command));
    }

    fn phrased(&mut self, id: String, said: Result<Said, Failure>) {
        let Some(it) = self.commands.get(&id) else { return };
        let command = &it.active.command;
        let (guest, due) = (command.guest.clone(), command.due());
        match said {
            // It was lost meanwhile, or has the order by now: what is missing is said when it is back.
            Ok(_) if self.away(&guest).is_some() || self.asks.carrier(&id).is_some() => {}
            Ok(said) => {
                let until = due.map(|due| moment(due, Now::read()));
                let purpose = Purpose::Command(id);
                self.ask(Pending { guest, deadline: None, purpose }, said, until);
            }
            Err(failure) => self.fail(&id, failure),
        }
    }

    /// The guest has said whether it takes a command.
    fn taken(&mut self, guest: &str, id: &str, answer: Answer) {
        let Some(it) = self.commands.get_mut(id) else {
            if answer.is_ok() {
                // It was given up while it was on its way.
                self.end(id.to_owned(), guest.to_owned(), Some(Duration::ZERO));
            }
            return;
        };
        match answer {
            // It was said to it twice.
            Ok(_) if it.is_taken => {}
            Ok(_) => {
                let now = Now::read();
                it.active.started(now.utc);
                (it.heard, it.is_taken) = (Some(now.mono), true);
                it.changed.send_replace(());
                let command = it.active.command.clone();
                self.note_command(&command);
                self.write_down(command);
            }
            // So was a former order; the one that is on its way counts.
            Err(_) if it.is_taken || self.asks.carrier(id).is_some() => {}
            Err(refused) => {
                let code = if refused.kind == "unknown-word" { "no-such-word" } else { &refused.kind };
                let guest = &it.active.command.guest;
                let message = format!("{guest} refused it: {}", refused.text);
                self.fail(id, Failure { code: code.to_owned(), message });
            }
        }
    }

    /// Gives up a command that its guest does not have, and never will.
    fn withdraw(&mut self, id: &str, reply: Reply<bool>) {
        if let Some(it) = self.commands.get_mut(id) {
            it.active.command.ending = true;
        }
        let waits = |it: &Tracked| it.active.command.state == CommandState::Queued;
        if !self.commands.get(id).is_some_and(waits) {
            return tell(reply, false);
        }
        if let Some(TakeBack::Cancelled(reply)) = self.take_back(id, TakeBack::Cancelled(reply)) {
            self.cancelled(id);
            tell(reply, true);
        }
    }

    /// Has the order for a command taken back out of its guest's mailbox; what comes of it is told later. Gives back why
    /// if there is no order there.
    fn take_back(&mut self, id: &str, why: TakeBack) -> Option<TakeBack> {
        let Some(guest) = self.commands.get(id).map(|it| it.active.command.guest.clone()) else {
            return Some(why);
        };
        let Some(ask) = self.asks.carrier(id).map(str::to_owned) else { return Some(why) };
        let Ok(mailbox) = Destination::parse(&Mailbox::ToGuest.of(&guest)) else { return Some(why) };
        let (sender, command) = (self.link.sender().clone(), id.to_owned());
        self.work.push(Box::pin(async move {
            let withdrawn = sender.withdraw(&mailbox, header::ASKED, &ask).await;
            Done::TakenBack { command, ask, withdrawn, why }
        }));
        None
    }

    /// An order was taken out of its guest's mailbox, or was not there any more: then its guest has it.
    fn taken_back(&mut self, id: &str, ask: &str, withdrawn: Result<Withdrawn, LinkError>, why: TakeBack) {
        let was_on_its_way = self.asks.carrier(id) == Some(ask);
        let was_delivered = match withdrawn {
            Ok(Withdrawn::Removed { was_delivered }) => Some(was_delivered),
            Ok(Withdrawn::NotThere) | Err(_) => None,
        };
        match was_delivered {
            Some(false) => drop(self.asks.remove(ask)),
            // Its guest may have taken it before it came back, and may still say so.
            Some(true) => self.asks.detach(ask),
            None => {}
        }
        let is_back = was_delivered.is_some() || !was_on_its_way;
        // It may have been taken meanwhile, and may even be over.
        let Some(it) = self.commands.get_mut(id) else {
            if let TakeBack::Cancelled(reply) = why {
                tell(reply, false);
            }
            return;
        };
        let is_queued = it.active.command.state == CommandState::Queued;
        it.may_be_there |= was_on_its_way && was_delivered != Some(false);
        let guest = it.active.command.guest.clone();
        match why {
            TakeBack::Cancelled(reply) if is_queued && is_back => {
                self.cancelled(id);
                tell(reply, true);
            }
            // The guest is asked to end it.
            TakeBack::Cancelled(reply) => tell(reply, false),
            TakeBack::Expired if is_queued => self.expired(id),
            // It came back while the order was taken out.
            TakeBack::Away if is_back && self.away(&guest).is_none() => self.resend(&guest),
            TakeBack::Away | TakeBack::Expired => {}
        }
    }

    /// What waits in the mailbox of a guest that is gone is taken back, so that nothing is begun later that nobody wants
    /// then; what is still wanted is said again when it is back.
    fn take_all_back(&mut self, guest: &str) {
        let is_queued = |it: &&Tracked| it.active.command.state == CommandState::Queued;
        let queued: Vec<_> =
            self.of(guest).filter(is_queued).map(|it| it.active.command.id.clone()).collect();
        for id in queued {
            self.take_back(&id, TakeBack::Away);
        }
    }

    /// A command that waited was cancelled.
    fn cancelled(&mut self, id: &str) {
        let Some(it) = self.commands.get(id) else { return };
        let (state, what) = match it.may_be_there {
            false => (CommandState::Cancelled, "it was cancelled before its guest had it; nothing was run"),
            true => (
                CommandState::Lost,
                "it was cancelled, and its guest may have had it by then: it may still run; if it tells of it, it is ended",
            ),
        };
        self.over(id, state, Failure { code: "cancelled".to_owned(), message: what.to_owned() });
    }

    /// A command that waited was not taken in time.
    fn expired(&mut self, id: &str) {
        let Some(it) = self.commands.get(id) else { return };
        let guest = &it.active.command.guest;
        let (state, message) = match it.may_be_there {
            false => (CommandState::Failed, format!("{guest} did not take it in time; nothing was run")),
            true => (
                CommandState::Lost,
                format!(
                    "{guest} did not say in time that it has taken it: it may still run; if it tells of it, it is ended"
                ),
            ),
        };
        self.over(id, state, Failure { code: "expired".to_owned(), message });
    }

    fn fail(&mut self, id: &str, failure: Failure) {
        self.over(id, CommandState::Failed, failure);
    }

    /// A command is over without its guest.
    fn over(&mut self, id: &str, state: CommandState, failure: Failure) {
        let Some(mut it) = self.untrack(id) else { return };
        let now = Now::read();
        warn!(cmd = id, guest = it.active.command.guest, "given up: {}", failure.message);
        self.roster.failed(&it.active.command.guest, &failure.message, now);
        it.active.failed(state, failure, now.utc);
        self.note_command(&it.active.command);
        let (handle, active, changed) = (self.handle.clone(), it.active, it.changed);
        self.work.push(Box::pin(async move {
            handle.write_down_given_up(active).await;
            // Only now: whoever waits looks into the store next.
            drop(changed);
            Done::Nothing
        }));
    }

    fn write_down(&mut self, command: Command) {
        let handle = self.handle.clone();
        self.work.push(Box::pin(async move {
            handle.write_down(command).await;
            Done::Nothing
        }));
    }

    fn active(&self, id: &str) -> Option<(Command, watch::Receiver<()>)> {
        self.commands.get(id).map(|it| (it.active.command.clone(), it.changed.subscribe()))
    }

    fn theirs(&self, sender: &str, id: &str) -> Result<&Tracked, Unheard> {
        let it = self.commands.get(id).ok_or_else(|| Unheard::Unknown(excerpt(id)))?;
        if it.active.command.guest != sender {
            return Err(Unheard::NotYours { id: id.to_owned(), sender: sender.to_owned() });
        }
        Ok(it)
    }

    fn finish(
        &self,
        sender: &str,
        id: &str,
        results: serde_json::Map<String, Value>,
    ) -> Result<Box<Command>, Unheard> {
        let mut ended = self.theirs(sender, id)?.active.clone();
        ended.finished(results, Now::read().utc)?;
        Ok(Box::new(ended.command))
    }

    fn finished(&mut self, command: Command) {
        self.note_command(&command);
        // Dropping it wakes whoever waits; the store has the rest.
        drop(self.untrack(&command.id));
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

    // ---- the bus

    /// Asks a guest; after `until` it is not to act on it any more.
    fn ask(&mut self, pending: Pending, said: Said, until: Option<Instant>) {
        let guest = pending.guest.clone();
        let ask = self.asks.add(pending);
        let message = wrap(&said.word, said.message).to(&guest).asked(&ask);
        match self.addressed(&guest, &said.word, message, until) {
            Ok(frame) => {
                let sender = self.link.sender().clone();
                self.work.push(Box::pin(async move {
                    let sent = sender.send(frame).await;
                    Done::Asked { ask, sent }
                }));
            }
            Err(fault) => self.not_asked(&ask, fault),
        }
    }

    /// An ask is not on its way.
    fn not_asked(&mut self, ask: &str, fault: Fault) {
        match self.asks.remove(ask).map(|ask| ask.purpose) {
            Some(Purpose::Caller(reply)) => tell(reply, Err(fault)),
            Some(Purpose::Command(command)) => {
                let failure = Failure { code: fault.kind.slug().into(), message: fault.message };
                self.fail(&command, failure);
            }
            None => {}
        }
    }

    /// The frame of a message to a guest.
    fn addressed(
        &mut self,
        guest: &str,
        word: &str,
        message: Envelope,
        until: Option<Instant>,
    ) -> Result<Frame, Fault> {
        let (bytes, most) = (message.body.len(), self.max_frame);
        if bytes > most {
            let text =
                format!("a {word} for {guest} of {bytes} bytes; a guest takes {most} (broker.max_frame)");
            self.roster.failed(guest, &text, Now::read());
            return Err(Fault::new(FaultKind::TooBig, text));
        }
        // Before what the word has written, so that these count.
        let frame = Frame::new(Verb::Send)
            .with("destination", Mailbox::ToGuest.of(guest))
            .with(header::HOST_TIME, self.time.at(Instant::now()).to_string());
        let frame = match until {
            Some(until) => frame.with(header::VALID_UNTIL, self.time.at(until).to_string()),
            None => frame,
        };
        let frame = message.headers.into_iter().fold(frame, |frame, (name, value)| frame.with(&name, value));
        Ok(frame.with_body(message.body))
    }

    /// Sends a message that nobody waits for.
    fn send(&mut self, guest: &str, word: &str, message: Envelope) {
        match self.addressed(guest, word, message, None) {
            Ok(frame) => {
                let (sender, guest) = (self.link.sender().clone(), guest.to_owned());
                self.work.push(Box::pin(async move {
                    if let Err(error) = sender.send(frame).await {
                        warn!(guest, "not sent: {error}");
                    }
                    Done::Nothing
                }));
            }
            Err(fault) => warn!(guest, "not sent: {fault}"),
        }
    }

    /// Has a word said because another one wants it said.
    fn say(&mut self, word: String, to: String, args: String, reply: Reply<Result<String, Fault>>) {
        if self.roster.get(&to).is_none() {
            let text = format!("no guest is called {}", excerpt(&to));
            return tell(reply, Err(Fault::new(FaultKind::NoSuchGuest, text)));
        }
        let lexicon = self.lexicon.clone();
        self.work.push(Box::pin(async move {
            let fault = match caught(&to, lexicon.say(&word, args)).await {
                Ok(Ok(message)) => return Done::Uttered { to, said: Said { word, message }, reply },
                Ok(Err(error)) => handle::word_fault(error),
                Err(fault) => fault,
            };
            tell(reply, Err(fault));
            Done::Nothing
        }));
    }

    /// Lines up what has arrived.
    fn line_up(&mut self) {
        while let Some(frame) = self.arriving.pop_front() {
            self.arrived(frame);
        }
        self.hear_next();
    }

    /// A frame of a guest has arrived; those of one guest are heard one after the other.
    fn arrived(&mut self, frame: Frame) {
        let guest =
            frame.header("destination").and_then(|to| Mailbox::FromGuest.guest(to)).map(str::to_owned);
        let Some(guest) = guest.filter(|guest| is_guest_id(guest)) else {
            warn!("a message from nobody: {}", excerpt(frame.header("destination").unwrap_or_default()));
            return self.acknowledge(None, frame);
        };
        let now = Now::read();
        let change = self.roster.sign_of_life(&guest, now);
        // What the message says comes next.
        change.into_iter().for_each(|change| self.changed(change));
        let deliveries = frame.earlier_deliveries();
        if deliveries >= MAX_DELIVERIES {
            let text = format!("{} was given out {deliveries} times and never settled", word_of(&frame));
            warn!(guest, "refused: {text}");
            self.roster.failed(&guest, &format!("refused: {text}"), now);
            return self.acknowledge(Some((&guest, "undeliverable", &text)), frame);
        }
        let bytes = frame.weight();
        if let Err(frame) = self.turns.offer(&guest, frame, bytes) {
            self.roster.not_heard(&guest);
            warn!(guest, "not heard: too many of its messages wait");
            let text = "too many of your messages wait; tell it again later";
            self.acknowledge(Some((&guest, "failed", text)), frame);
        }
    }

    fn hear_next(&mut self) {
        while let Some(turn) = self.turns.next_turn() {
            self.hear(turn);
        }
    }

    fn hear(&mut self, Turn { guest, message: frame, length }: Turn<Frame>) {
        let interpreter = self.interpreter.clone();
        let envelope =
            Envelope { headers: frame.headers.clone(), body: frame.body.clone() }.without(&TRANSPORT);
        let whose = guest.clone();
        let hearing = async move {
            let heard = caught(&guest, interpreter.receive(envelope, &guest)).await;
            let heard = heard.unwrap_or_else(|fault| Received {
                word: word_of(&frame),
                reply: refusal(&frame, &guest, "failed", &fault.message),
                error: Some(fault.message),
                ..Received::default()
            });
            Done::Heard { guest, frame, heard }
        };
        self.work.hear(whose, length, Box::pin(hearing));
    }

    fn worked(&mut self, worked: Worked<Done>) {
        match worked {
            Worked::Done(done, spent) => self.done(done, spent),
            Worked::GoesOn(work) => self.goes_on(work),
        }
    }

    /// Something computes for too long to be done here.
    fn goes_on(&mut self, work: Metered<Done>) {
        if let Some(guest) = &work.guest {
            self.turns.is_long(guest);
        }
        self.work.elsewhere(work);
        self.hear_next();
    }

    fn done(&mut self, done: Done, spent: Duration) {
        match done {
            Done::Nothing => {}
            Done::Ready { command, digests } => self.ready(&command, digests),
            Done::Uttered { to, said, reply } => {
                // It is not asked, so nobody can ask about it by an id.
                let message = wrap(&said.word, said.message).to(&to);
                match self.addressed(&to, &said.word, message, None) {
                    Ok(frame) => self.deliver(to, frame, reply),
                    Err(fault) => tell(reply, Err(fault)),
                }
            }
            Done::Bidden { guest, said } => {
                let message = wrap(&said.word, said.message).to(&guest);
                self.send(&guest, &said.word, message);
            }
            Done::Phrased { command, said } => self.phrased(command, said),
            Done::Asked { ask, sent: Err(error) } => {
                let to = self.asks.guest(&ask).unwrap_or_default().to_owned();
                self.not_asked(&ask, not_sent(&to, &error));
            }
            Done::Asked { .. } => {}
            Done::TakenBack { command, ask, withdrawn, why } => {
                self.taken_back(&command, &ask, withdrawn, why);
            }
            Done::Heard { guest, frame, heard } => {
                let waits = |name| frame.header(name).is_some();
                let is_asked = waits(header::ASKED) || waits(header::IN_REPLY_TO);
                let outcome = Outcome { is_asked, is_refused: heard.error.is_some() };
                let cost = spent
                    + ON_ITS_WAY.saturating_mul(u32::try_from(frame.weight() >> 10).unwrap_or(u32::MAX));
                self.turns.rest(&guest, cost, outcome, Instant::now());
                self.turns.done(&guest, cost);
                self.heard(&guest, frame, heard);
                if self.turns.is_idle(&guest) {
                    self.end_of(&guest);
                }
                self.hear_next();
            }
        }
    }

    /// Sends a message, and tells whoever wanted it said whether that was done.
    fn deliver(&mut self, to: String, frame: Frame, reply: Reply<Result<String, Fault>>) {
        let sender = self.link.sender().clone();
        self.work.push(Box::pin(async move {
            let sent = sender.send(frame).await;
            tell(reply, sent.map(|()| String::new()).map_err(|error| not_sent(&to, &error)));
            Done::Nothing
        }));
    }

    /// A message was dealt with; a guest that asked is told why it was refused, if it was.
    fn acknowledge(&mut self, refused: Option<(&str, &str, &str)>, frame: Frame) {
        let reply = refused.and_then(|(guest, kind, why)| Some((guest, refusal(&frame, guest, kind, why)?)));
        if let Some((guest, reply)) = reply {
            self.send(guest, PING, reply);
        }
        let sender = self.link.sender().clone();
        self.work.push(Box::pin(async move {
            if let Err(error) = sender.ack(&frame).await {
                // It comes again, and words hear some things twice anyway.
                warn!("not acknowledged: {error}");
            }
            Done::Nothing
        }));
    }

    fn heard(&mut self, guest: &str, frame: Frame, heard: Received) {
        if let Some(error) = heard.error {
            let (error, now) = (shortened(error), Now::read());
            warn!(guest, word = heard.word, "{error}");
            self.roster.failed(guest, &error, now);
            self.events.note("word.failed", About::guest(guest), error, now);
        }
        if let Some(reply) = heard.reply {
            let asked = frame.header(header::ASKED).map(str::to_owned);
            self.reply(guest, &heard.word, reply, asked);
        }
        // The reply first: what is acknowledged has been answered.
        self.acknowledge(None, frame);
        let Some(answer) = heard.answer else { return };
        if let Err(refused) = answer.result.as_ref()
            && refused.kind == "too-large"
        {
            let text = shortened(format!("{} answered too much: {}", heard.word, refused.text));
            self.roster.failed(guest, &text, Now::read());
        }
        match self.asks.answered(&answer.to, guest).map(|ask| ask.purpose) {
            Some(Purpose::Caller(reply)) => tell(reply, Ok(answer.result)),
            Some(Purpose::Command(id)) => self.taken(guest, &id, answer.result),
            None => {
                self.roster.answered_nobody(guest);
                debug!(guest, "an answer nobody waits for");
            }
        }
    }

    /// Sends what a word answers. What is longer than a guest takes is refused instead: it would cut the guest off.
    fn reply(&mut self, guest: &str, word: &str, reply: Envelope, asked: Option<String>) {
        let (bytes, most) = (reply.body.len(), self.max_frame);
        if bytes <= most {
            return self.send(guest, word, reply);
        }
        let text = format!("the answer of {word} has {bytes} bytes; a message has {most} at most");
        warn!(guest, word, "{text}");
        self.roster.failed(guest, &text, Now::read());
        if let Some(asked) = asked {
            let refused = wrap_raw(PING, Value::from(text).to_string().into()).refusal("too-large");
            self.send(guest, PING, refused.in_reply_to(&asked).to(guest));
        }
    }

    // ---- what happens elsewhere

    fn changed(&mut self, change: Change) {
        let Change { guest, state, reason } = change;
        info!(guest, "guest {}{}{reason}", state.as_str(), if reason.is_empty() { "" } else { ": " });
        if !state.is_there() {
            self.streams.forget(&guest);
            for ask in self.asks.abandoned(&guest) {
                give_up(ask, FaultKind::GuestOffline, &format!("{}: {reason}", state.as_str()));
            }
            self.take_all_back(&guest);
        } else if state == State::Alive {
            // What was taken back while it was silent.
            self.resend(&guest);
        }
        self.events.note(&format!("guest.{}", state.as_str()), About::guest(&guest), reason, Now::read());
    }

    async fn broker_said(&mut self, event: BrokerEvent) {
        let now = Now::read();
        match event {
            // The host's own link is no guest.
            BrokerEvent::LoggedIn { login, .. } | BrokerEvent::LoggedOut { login, .. } if &*login == HOST => {
            }
            BrokerEvent::LoggedIn { login, peer, .. } => {
                self.end_of(&login);
                self.roster.connected(&login, peer, now);
            }
            BrokerEvent::LoggedOut { login, reason, .. } => {
                // What it said before is heard first, such as that it leaves.
                while let Some(Some(frame)) = self.link.receive().now_or_never() {
                    self.arriving.push_back(frame);
                }
                self.line_up();
                self.endings.insert(login.to_string(), reason.to_string());
                if self.turns.is_idle(&login) {
                    self.end_of(&login);
                }
            }
            BrokerEvent::Refused { login, peer, reason } => {
                let name = login.unwrap_or_default();
                let name: String = name.chars().take(MAX_GUEST_ID).collect();
                let reason = shortened(reason);
                warn!(guest = name, ?peer, "login refused: {reason}");
                self.roster.refused(&name, peer, &reason, now);
                match self.roster.get(&name) {
                    Some(_) => self.events.note("guest.refused", About::guest(&name), reason, now),
                    None => self.events.note_stranger("guest.refused", &name, reason, now),
                }
            }
            BrokerEvent::Duplicate { login, peer, holder } => {
                let from = |peer: Option<SocketAddr>| {
                    peer.map_or_else(|| "inside".to_owned(), |peer| peer.to_string())
                };
                let reason = format!(
                    "a second guest calls itself {login}: from {}, while the one from {} is there; the second was refused",
                    from(peer),
                    from(holder)
                );
                warn!(guest = &*login, "{reason}");
                self.roster.refused(&login, peer, &reason, now);
                self.events.note("guest.duplicate", About::guest(&login), reason, now);
            }
            BrokerEvent::Denied { login, action, destination } => {
                let text = format!("wanted to {action} {}, which it may not", excerpt(&destination));
                warn!(guest = &*login, "{text}");
                self.roster.failed(&login, &text, now);
                self.events.note("guest.denied", About::guest(&login), text, now);
            }
            BrokerEvent::Expired { destination, messages, .. } => {
                let guest = Mailbox::ToGuest.guest(destination.as_str()).unwrap_or_default();
                warn!(guest, "{messages} messages in {} were not fetched in time", destination.as_str());
                self.forget_orders(guest);
            }
            BrokerEvent::Full { login, destination } => {
                warn!(guest = &*login, "{} is full: a message was refused", destination.as_str());
            }
            BrokerEvent::Dropped { login, messages, .. } => {
                warn!(guest = &*login, "{messages} messages were dropped");
            }
            BrokerEvent::Missed { events } => {
                warn!("{events} events of the broker were missed; asking it who is there");
                self.ask_who_is_there(now).await;
            }
        }
    }

    /// The connection of a guest has ended, if it has, and all that it said before is heard.
    fn end_of(&mut self, guest: &str) {
        if let Some(reason) = self.endings.remove(guest) {
            let change = self.roster.disconnected(guest, &reason, Now::read());
            change.into_iter().for_each(|change| self.changed(change));
        }
    }

    /// Messages for a guest were not fetched in time: which ones is not known, so none counts as on its way.
    fn forget_orders(&mut self, guest: &str) {
        let ids: Vec<_> = self.of(guest).map(|it| it.active.command.id.clone()).collect();
        for id in ids {
            let Some(ask) = self.asks.carrier(&id).map(str::to_owned) else { continue };
            self.asks.detach(&ask);
            if let Some(it) = self.commands.get_mut(&id) {
                it.may_be_there = true;
            }
        }
    }

    /// Makes up for events that were missed.
    async fn ask_who_is_there(&mut self, now: Now) {
        let Ok(connections) = self.broker.connections().await else { return };
        let there: BTreeMap<_, _> = connections
            .iter()
            .filter(|it| &*it.login != HOST)
            .map(|it| (it.login.to_string(), it.peer))
            .collect();
        let connected = self.roster.guests().iter().filter(|(_, guest)| guest.connection.is_some());
        let gone: Vec<_> = connected.map(|(id, _)| id.clone()).filter(|id| !there.contains_key(id)).collect();
        for id in gone {
            let change = self.roster.disconnected(&id, "its connection ended", now);
            change.into_iter().for_each(|change| self.changed(change));
        }
        for (id, peer) in there {
            let known = self.roster.get(&id).and_then(|guest| guest.connection);
            if known.is_none_or(|connection| connection.peer != peer) {
                self.roster.connected(&id, peer, now);
            }
        }
    }

    fn words_changed(&mut self, event: &LexiconEvent) {
        info!(word = event.word(), "{event}");
        self.events.note(event.kind(), About::default(), event.to_string(), Now::read());
    }
}

/// Codes of commands that nobody wants any more, though they may still run.
const UNWANTED: [&str; 2] = ["cancelled", "expired"];

/// What tells the asks of this process from those of any other: eight digits by chance.
fn own_part() -> String {
    // Without chance, by the time: two processes of one host do not start at the same moment.
    let random = getrandom::u32().unwrap_or_else(|_| OffsetDateTime::now_utc().nanosecond());
    format!("{random:08x}")
}

/// What a message begins with, as it can be shown.
fn word_of(frame: &Frame) -> String {
    let word = frame.body.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let word = String::from_utf8_lossy(word.get(..32).unwrap_or(word)).into_owned();
    if vocable_runtime::is_word_name(&word) { word } else { "a message".to_owned() }
}

/// The reply to a message that is not heard; none if it asks for none, or is an answer itself.
fn refusal(frame: &Frame, guest: &str, kind: &str, why: &str) -> Option<Envelope> {
    let asked = frame.header(header::ASKED).filter(|_| frame.header(header::IN_REPLY_TO).is_none())?;
    let reason = Value::from(why).to_string();
    Some(wrap_raw(PING, reason.into()).refusal(kind).in_reply_to(asked).to(guest))
}

fn not_sent(guest: &str, error: &LinkError) -> Fault {
    Fault::new(FaultKind::TooMany, format!("the mailbox of {guest}: {error}"))
}

/// What went wrong, without what is too much of it.
fn shortened(mut text: String) -> String {
    let bytes = text.len();
    if bytes > LONGEST_ERROR {
        let end = (0..=LONGEST_ERROR).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push_str(&format!("… ({bytes} bytes)"));
    }
    text
}

/// Answers a request. Whoever asked may have gone: then the answer goes nowhere.
fn tell<T>(reply: Reply<T>, answer: T) {
    let _ = reply.send(answer);
}

fn give_up(ask: Pending, kind: FaultKind, why: &str) {
    if let Purpose::Caller(reply) = ask.purpose {
        tell(reply, Err(Fault::new(kind, format!("{}: {why}", ask.guest))));
    }
}

/// The one message that the words bound to an event have made of it.
fn said_once(said: Vec<(String, Result<Message, WordError>)>) -> Result<Said, Failure> {
    let refused = |code: &str, message: String| Failure { code: code.to_owned(), message };
    match said.into_iter().next() {
        None => Err(refused("no-such-word", "no word is bound to run-requested".to_owned())),
        Some((word, Ok(message))) => Ok(Said { word, message }),
        Some((_, Err(error))) => Err(refused(error.slug(), error.to_string())),
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
