//! The one task that owns the state: roster, commands under way, asks, events.
//!
//! It hears messages by calling words where their frames arrive. A word acts through requests to this same task, so
//! the calls run beside the loop, one at a time for each guest: a guest's messages take effect in their order, and no
//! guest waits for another's.

use crate::asks::{Asks, Pending, Purpose};
use crate::clock::Now;
use crate::commands::{Active, Command, Digests, Failure, State as CommandState};
use crate::control::Signal;
use crate::events::{About, EventLog};
use crate::fault::{Fault, FaultKind};
use crate::handle::Handle;
use crate::hypervisor::cards::{self, Claim, Place};
use crate::hypervisor::engine::Note;
use crate::hypervisor::machines::{Machines, View};
use crate::powers::HOST;
use crate::request::{Answer, Reply, Request, RosterView, Said, Selected, Unheard};
use crate::roster::{Change, Guest, Patience, Roster};
use crate::streams::Streams;
use crate::target::{Target, is_guest_id};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use vocable_runtime::{
    Envelope, Events as WordEvents, Heard, Interpreter, Lexicon, LexiconEvent, Message, WordError, wrap,
};
use vocable_stomp::broker::{Broker, BrokerEvent, Events as BrokerEvents, Link};
use vocable_stomp::{Command as Verb, Frame};
use vocable_xmlrpc::excerpt;

/// Where a guest's messages come from: `/queue/vocable.out.<id>`, which only that guest may write to.
pub const FROM_GUESTS: &str = "/queue/vocable.out.";
/// Where a guest's messages go to: `/queue/vocable.in.<id>`, which only that guest may read.
pub const TO_GUESTS: &str = "/queue/vocable.in.";

/// Headers of the transport: how a message came is no business of the word that listens.
const TRANSPORT: [&str; 5] = ["ack", "destination", "redelivered", "subscription", "omitted-headers"];
/// How long guests may take to hear that the broker shuts down.
const FAREWELL: Duration = Duration::from_secs(2);
/// Events that are kept for readers who come late.
const EVENTS_KEPT: usize = 10_000;

/// What the agent is made of.
pub struct Parts {
    /// When guests are late and lost.
    pub patience: Patience,
    /// Groups of guests, by name.
    pub groups: BTreeMap<String, Vec<String>>,
    /// The bus.
    pub broker: Broker,
    /// What happens there, from before the first guest came.
    pub broker_events: BrokerEvents,
    /// The host's own connection to it, subscribed to everything guests say.
    pub link: Link,
    /// The words.
    pub lexicon: Lexicon,
    /// What happens to the words.
    pub words: WordEvents,
    /// What everybody asks.
    pub requests: mpsc::Receiver<Request>,
    /// Streams of octets to guests.
    pub streams: Streams,
    /// For the work that is done beside the loop.
    pub handle: Handle,
    /// The machines guests are in.
    pub machines: Machines,
    /// What happens to them.
    pub machine_notes: mpsc::Receiver<Note>,
    /// Commands found under way in the store.
    pub under_way: Vec<Active>,
    /// Guests that have credentials.
    pub known: BTreeSet<String>,
}

/// A command under way, and who waits for news of it.
struct Tracked {
    active: Active,
    changed: watch::Sender<()>,
}

/// Work that was done beside the loop.
enum Done {
    /// A guest's message was heard.
    Heard { guest: String, frame: Frame, heard: Heard },
    /// The words bound to a wish to run something have said it, or none has.
    Phrased { command: String, said: Result<Said, Failure> },
    /// The words bound to an event have said it to a guest.
    Bidden { guest: String, said: Said },
    /// A word has been said because another one wanted it said.
    Uttered { to: String, said: Said, reply: Reply<Result<String, Fault>> },
    /// The digests of what is on disk of a command are made.
    Ready { command: String, digests: Option<Digests> },
    /// Something that needs no more attention.
    Nothing,
}

/// The state, and the loop around it.
pub struct Agent {
    roster: Roster,
    groups: BTreeMap<String, Vec<String>>,
    commands: HashMap<String, Tracked>,
    /// When something has to be done about commands without anybody asking.
    due: BTreeSet<(OffsetDateTime, String)>,
    asks: Asks,
    next_ask: u64,
    events: EventLog,
    broker: Broker,
    link: Link,
    machines: Machines,
    lexicon: Lexicon,
    interpreter: Interpreter,
    handle: Handle,
    streams: Streams,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Messages that wait while one of the same guest is being heard.
    waiting: HashMap<String, VecDeque<Frame>>,
}

impl Agent {
    /// Runs until cancelled. What is under way then stays in the store, and goes on after the next start.
    pub async fn run(parts: Parts, stop: CancellationToken) {
        let Parts { patience, groups, broker, broker_events: mut happening, link, lexicon, streams, .. } =
            parts;
        let Parts { mut words, mut requests, handle, known, under_way, .. } = parts;
        let Parts { machines, mut machine_notes, .. } = parts;
        let mut agent = Self {
            roster: Roster::new(patience),
            groups,
            commands: HashMap::new(),
            due: BTreeSet::new(),
            asks: Asks::default(),
            next_ask: 0,
            events: EventLog::new(EVENTS_KEPT),
            broker,
            link,
            interpreter: Interpreter::new(lexicon.clone()),
            lexicon,
            machines,
            handle,
            streams,
            work: FuturesUnordered::new(),
            waiting: HashMap::new(),
        };
        agent.resume(known, under_way);
        loop {
            let due = agent.next_deadline();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(request) = requests.recv() => agent.answer(request).await,
                Some(event) = happening.next() => agent.broker_said(event).await,
                Some(event) = words.recv() => agent.words_changed(&event),
                Some(note) = machine_notes.recv() => agent.machine_changed(note),
                Some(frame) = agent.link.receive() => agent.arrived(frame).await,
                Some(done) = agent.work.next() => agent.done(done).await,
                () = sleep_until(due) => agent.tick(),
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
            self.track(active);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let now = Now::read();
        let left =
            |(due, _): &(OffsetDateTime, String)| Duration::try_from(*due - now.utc).unwrap_or_default();
        let commands = self.due.first().map(|first| now.mono + left(first));
        [self.roster.next_tick(), self.asks.next_deadline(), commands].into_iter().flatten().min()
    }

    fn tick(&mut self) {
        let now = Now::read();
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
            let text = format!("{guest} did not take it in time; nothing was run");
            self.over(id, CommandState::Failed, failure("expired", text));
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

    async fn answer(&mut self, request: Request) {
        match request {
            Request::Select { target, reply } => tell(reply, self.select(&target)),
            Request::Begin { commands, reply } => {
                self.begin(commands);
                tell(reply, ());
            }
            Request::Ask { guest, said, timeout, reply } => {
                let deadline = Some(Instant::now() + timeout);
                let purpose = Purpose::Caller(reply);
                self.ask(Pending { guest, deadline, purpose }, said).await;
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
                    it.active.started(Now::read().utc);
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
            Request::Withdraw { id, reply } => tell(reply, self.withdraw(&id)),
            Request::Joined { sender, ip, mut facts, reply } => {
                // Whatever was streamed to the guest that was there before has lost its other end.
                self.streams.forget(&sender);
                let jobs = facts.remove("jobs");
                let change = self.roster.joined(&sender, &ip, facts, Now::read());
                self.changed(change);
                self.look_where(&sender);
                self.miss(&sender, jobs);
                self.resend(&sender);
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
        let mut commands = BTreeMap::new();
        for it in self.commands.values() {
            *commands.entry(it.active.command.guest.clone()).or_default() += 1;
        }
        RosterView {
            guests: self.roster.guests().iter().map(with_missed).collect(),
            strangers: self.roster.strangers().clone(),
            beacon: self.roster.patience().beacon,
            commands,
            places: self.places(&machines),
            machines,
        }
    }

    // ---- commands

    fn track(&mut self, active: Active) {
        let id = active.command.id.clone();
        self.due.extend(active.command.due().map(|due| (due, id.clone())));
        if !active.is_ready() {
            let (handle, command) = (self.handle.clone(), id.clone());
            self.work.push(Box::pin(async move {
                let digests = handle.prepared(&command).await;
                Done::Ready { command, digests }
            }));
        }
        self.commands.insert(id, Tracked { active, changed: watch::Sender::new(()) });
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
                self.track(Active::new(command));
            }
        }
    }

    /// Has the words that are bound to it say that something is to be run.
    fn phrase(&mut self, command: &Command) {
        let program = &command.program;
        let facts = json!({"cmd-id": command.id, "cmd": program.cmd, "args": program.args, "env": program.env,
            "path": program.path, "options": program.options});
        let (lexicon, id) = (self.lexicon.clone(), command.id.clone());
        self.work.push(Box::pin(async move {
            let said = said_once(lexicon.raise("run-requested", facts.to_string()).await);
            Done::Phrased { command: id, said }
        }));
    }

    /// A command that was given up goes on: its true end is still to be told.
    fn revive(&mut self, mut active: Active) {
        let command = &mut active.command;
        info!(cmd = command.id, guest = command.guest, "it was given up, and goes on");
        (command.state, command.ended, command.failure) = (CommandState::Running, None, None);
        command.deadline = None;
        self.track(active);
    }

    /// A guest that comes back names the commands it has yet to tell of, unless they are too many. One that it had taken
    /// and does not name is gone: with its state, or because it was taken back to a time before it.
    fn miss(&mut self, guest: &str, named: Option<Value>) {
        let Some(Ok(named)) = named.map(serde_json::from_value::<BTreeSet<String>>) else { return };
        let missing = |command: &&Command| {
            command.guest == guest && command.state == CommandState::Running && !named.contains(&command.id)
        };
        let missing: Vec<_> = self
            .commands
            .values()
            .map(|it| &it.active.command)
            .filter(missing)
            .map(|it| it.id.clone())
            .collect();
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
            command.guest == guest && command.state == CommandState::Queued && !self.asks.carries(&command.id)
        };
        let missing: Vec<_> =
            self.commands.values().map(|it| &it.active.command).filter(missing).cloned().collect();
        missing.iter().for_each(|command| self.phrase(command));
    }

    async fn phrased(&mut self, id: String, said: Result<Said, Failure>) {
        let Some(it) = self.commands.get(&id) else { return };
        let guest = it.active.command.guest.clone();
        match said {
            Ok(said) => {
                let purpose = Purpose::Command(id);
                self.ask(Pending { guest, deadline: None, purpose }, said).await;
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
            Ok(_) => {
                it.active.started(Now::read().utc);
                it.changed.send_replace(());
                let command = it.active.command.clone();
                self.note_command(&command);
                self.write_down(command);
            }
            Err(refused) => {
                let code = if refused.kind == "unknown-word" { "no-such-word" } else { &refused.kind };
                let guest = &it.active.command.guest;
                let message = format!("{guest} refused it: {}", refused.text);
                self.fail(id, Failure { code: code.to_owned(), message });
            }
        }
    }

    /// Gives up a command that has not been sent to its guest.
    fn withdraw(&mut self, id: &str) -> bool {
        if let Some(it) = self.commands.get_mut(id) {
            it.active.command.ending = true;
        }
        let waits = |it: &Tracked| it.active.command.state == CommandState::Queued;
        let is_here = self.commands.get(id).is_some_and(waits) && !self.asks.carries(id);
        if is_here {
            let message = "it was cancelled before its guest had it; nothing was run".to_owned();
            self.over(id, CommandState::Cancelled, Failure { code: "cancelled".to_owned(), message });
        }
        is_here
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

    async fn ask(&mut self, pending: Pending, said: Said) {
        self.next_ask += 1;
        let id = format!("{:x}", self.next_ask);
        let guest = pending.guest.clone();
        self.asks.add(id.clone(), pending);
        let message = wrap(&said.word, said.message).to(&guest).asked(&id);
        if let Err(fault) = self.send(&guest, message).await
            && let Some(ask) = self.asks.answered(&id, &guest)
        {
            match ask.purpose {
                Purpose::Caller(reply) => tell(reply, Err(fault)),
                Purpose::Command(command) => {
                    let failure = Failure { code: fault.kind.slug().into(), message: fault.message };
                    self.fail(&command, failure);
                }
            }
        }
    }

    async fn send(&mut self, guest: &str, message: Envelope) -> Result<(), Fault> {
        let frame = message
            .headers
            .into_iter()
            .fold(
                Frame::new(Verb::Send).with("destination", format!("{TO_GUESTS}{guest}")),
                |frame, (name, value)| frame.with(&name, value),
            )
            .with_body(message.body);
        let sent = self.link.sender().send(frame).await;
        sent.map_err(|error| Fault::new(FaultKind::TooMany, format!("the mailbox of {guest}: {error}")))
    }

    /// Has a word said because another one wants it said.
    fn say(&mut self, word: String, to: String, args: String, reply: Reply<Result<String, Fault>>) {
        if self.roster.get(&to).is_none() {
            let text = format!("no guest is called {}", excerpt(&to));
            return tell(reply, Err(Fault::new(FaultKind::NoSuchGuest, text)));
        }
        let lexicon = self.lexicon.clone();
        self.work.push(Box::pin(async move {
            match lexicon.say(&word, args).await {
                Ok(message) => Done::Uttered { to, said: Said { word, message }, reply },
                Err(error) => {
                    tell(reply, Err(error.into()));
                    Done::Nothing
                }
            }
        }));
    }

    /// A frame of a guest has arrived; those of one guest are heard one after the other.
    async fn arrived(&mut self, frame: Frame) {
        let guest =
            frame.header("destination").and_then(|to| to.strip_prefix(FROM_GUESTS)).map(str::to_owned);
        let Some(guest) = guest.filter(|guest| is_guest_id(guest)) else {
            warn!("a message from nobody: {:?}", frame.header("destination"));
            return self.acknowledge(&frame).await;
        };
        match self.waiting.get_mut(&guest) {
            Some(waiting) => waiting.push_back(frame),
            None => {
                self.waiting.insert(guest.clone(), VecDeque::new());
                self.hear(guest, frame);
            }
        }
    }

    fn hear(&mut self, guest: String, frame: Frame) {
        let change = self.roster.sign_of_life(&guest, Now::read());
        // What the message says comes next.
        change.into_iter().for_each(|change| self.changed(change));
        let interpreter = self.interpreter.clone();
        let envelope =
            Envelope { headers: frame.headers.clone(), body: frame.body.clone() }.without(&TRANSPORT);
        self.work.push(Box::pin(async move {
            let heard = interpreter.hear(envelope, &guest).await;
            Done::Heard { guest, frame, heard }
        }));
    }

    async fn done(&mut self, done: Done) {
        match done {
            Done::Nothing => {}
            Done::Ready { command, digests } => self.ready(&command, digests),
            Done::Uttered { to, said, reply } => {
                // It is not asked, so nobody can ask about it by an id.
                let message = wrap(&said.word, said.message).to(&to);
                let sent = self.send(&to, message).await.map(|()| String::new());
                tell(reply, sent);
            }
            Done::Bidden { guest, said } => {
                let message = wrap(&said.word, said.message).to(&guest);
                if let Err(fault) = self.send(&guest, message).await {
                    warn!(guest, "not sent: {fault}");
                }
            }
            Done::Phrased { command, said } => self.phrased(command, said).await,
            Done::Heard { guest, frame, heard } => {
                self.heard(&guest, heard).await;
                self.acknowledge(&frame).await;
                match self.waiting.get_mut(&guest).and_then(VecDeque::pop_front) {
                    Some(next) => self.hear(guest, next),
                    None => drop(self.waiting.remove(&guest)),
                }
            }
        }
    }

    async fn acknowledge(&mut self, frame: &Frame) {
        if let Err(error) = self.link.sender().ack(frame).await {
            // It comes again, and words hear some things twice anyway.
            warn!("not acknowledged: {error}");
        }
    }

    async fn heard(&mut self, guest: &str, heard: Heard) {
        if let Some(error) = heard.error {
            let now = Now::read();
            warn!(guest, word = heard.word, "{error}");
            self.roster.failed(guest, &error, now);
            self.events.note("word.failed", About::guest(guest), error, now);
        }
        if let Some(reply) = heard.reply
            && let Err(fault) = self.send(guest, reply).await
        {
            warn!(guest, "a reply was not sent: {fault}");
        }
        let Some(answer) = heard.answer else { return };
        match self.asks.answered(&answer.to, guest).map(|ask| ask.purpose) {
            Some(Purpose::Caller(reply)) => tell(reply, Ok(answer.result)),
            Some(Purpose::Command(id)) => self.taken(guest, &id, answer.result),
            None => debug!(guest, "an answer nobody waits for"),
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
        }
        self.events.note(&format!("guest.{}", state.as_str()), About::guest(&guest), reason, Now::read());
    }

    async fn broker_said(&mut self, event: BrokerEvent) {
        let now = Now::read();
        match event {
            // The host's own link is no guest.
            BrokerEvent::LoggedIn { login, .. } | BrokerEvent::LoggedOut { login, .. } if &*login == HOST => {
            }
            BrokerEvent::LoggedIn { login, peer, .. } => self.roster.connected(&login, peer, now),
            BrokerEvent::LoggedOut { login, reason, .. } => {
                let change = self.roster.disconnected(&login, &reason.to_string(), now);
                change.into_iter().for_each(|change| self.changed(change));
            }
            BrokerEvent::Refused { login, peer, reason } => {
                let name = login.unwrap_or_default();
                warn!(guest = name, ?peer, "login refused: {reason}");
                self.roster.refused(&name, peer, &reason, now);
                self.events.note("guest.refused", About::guest(&name), reason, now);
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
                warn!("{messages} messages in {} were not fetched in time", destination.as_str());
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
            self.roster.connected(&id, peer, now);
        }
    }

    fn words_changed(&mut self, event: &LexiconEvent) {
        info!(word = event.word(), "{event}");
        self.events.note(event.kind(), About::default(), event.to_string(), Now::read());
    }
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
