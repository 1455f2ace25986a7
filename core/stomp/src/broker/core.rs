//! The broker's state and rules, without I/O or clock: frames in, [`Output`]s out.
//!
//! ```text
//!            CONNECT                        DISCONNECT, refusal, slow, closed
//! open ─▶ pending ─▶ CONNECTED ─▶ session ────────────────────────────────────▶ gone
//!          │ ▲  │ refusal, deadline              its unacknowledged messages go back
//! nonce:   ▼ │  ▼                                to the places they had in their queues
//! challenged    gone (after some failed logins of its address: late)
//! ```
//! Whoever holds the sockets calls one method per happening and then takes the [`Output`]s one by one until there
//! are none. Connections that the core has ended are unknown to it at once: what still comes from them is ignored,
//! and no output but their `Close` is left to be carried out.

mod acknowledge;
mod backpressure;
mod connect;
mod credit;
mod deliver;
mod failures;
mod leave;
mod message;
mod publish;
mod queue;
mod refusal;
mod report;
mod session;
mod subscribe;
#[cfg(test)]
pub(super) mod tests;
mod transaction;
mod withdraw;

pub use refusal::Refusal;
pub use withdraw::Withdrawn;

use super::access::Access;
use super::destination::{Destination, Pattern};
use super::event::{BrokerEvent, ConnectionId, Ending};
use super::limits::BrokerLimits;
use crate::codec::DecodeError;
use crate::frame::{Command, Frame, Version};
use crate::heartbeat::{Agreed, HeartBeat};
use backpressure::Slow;
use failures::Failures;
use queue::{Queue, SubscriptionKey};
use session::Session;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub enum Output {
    /// The connection is logged in: from the next frame on it is read by that version.
    Accepted { connection: ConnectionId, version: Version, heart_beats: Agreed },
    /// The connection was asked for a proof: one more frame is to be read from it, as one before the login.
    Challenged { connection: ConnectionId },
    /// Write what was handed over so far, then close. Nothing else follows for this connection.
    Close { connection: ConnectionId },
    /// Tell the owner.
    Event(BrokerEvent),
    /// Stop reading from it.
    Pause { connection: ConnectionId },
    /// Go on reading from it.
    Resume { connection: ConnectionId },
    /// Write a frame, in the version of that connection (or any, before it has one).
    Send { connection: ConnectionId, frame: Frame },
}

/// The broker without its sockets.
pub struct Core {
    limits: BrokerLimits,
    /// Bytes of the largest body that a client may send, as far as the codec is concerned.
    max_body: Option<usize>,
    heart_beat: HeartBeat,
    access: Arc<dyn Access>,
    /// Tells the messages of this run from those of any other.
    instance: String,
    /// What nonces are made of: nobody else knows it.
    key: [u8; 32],
    connections: u64,
    messages: u64,
    pending: BTreeMap<ConnectionId, Pending>,
    sessions: BTreeMap<ConnectionId, Session>,
    /// The connections of principals that may have only one.
    logins: HashMap<Arc<str>, ConnectionId>,
    /// Addresses from which logins failed.
    failures: Failures,
    /// Answers to failed logins that are told late, by when.
    delayed: BTreeMap<(Instant, ConnectionId), Frame>,
    /// Subscribers of topics for whom publishers wait.
    slow: BTreeMap<ConnectionId, Slow>,
    queues: HashMap<Destination, Queue>,
    /// Bytes in all queues.
    stored: usize,
    topics: HashMap<Destination, Vec<SubscriptionKey>>,
    /// Subscriptions to sets of queues or topics.
    wild: Vec<(Pattern, SubscriptionKey)>,
    outputs: VecDeque<Output>,
    work: Work,
}

/// A connection that has not logged in yet.
#[derive(Debug)]
struct Pending {
    peer: Option<SocketAddr>,
    challenge: Option<Challenged>,
}

/// What a connection was asked to prove.
#[derive(Debug)]
struct Challenged {
    login: String,
    client_nonce: [u8; 32],
    nonce: [u8; 32],
}

/// What one change brings about, done before the next input is taken.
#[derive(Debug, Default)]
struct Work {
    /// Queues with news: more messages, fewer bytes, other consumers. Each is served one message at a time.
    queues: VecDeque<Destination>,
    /// Connections that may have got room or credit.
    consumers: Vec<ConnectionId>,
    /// Connections that have to go.
    doomed: Vec<(ConnectionId, Ending)>,
    /// Whether queues may have become forgettable since the last tick.
    sweep: bool,
}

impl Core {
    /// An empty broker. `instance` should differ from run to run; it begins every `message-id`. `key` has to be random:
    /// what the broker asks clients to prove their secrets with is made of it.
    pub fn new(
        limits: BrokerLimits,
        heart_beat: HeartBeat,
        access: Arc<dyn Access>,
        instance: &str,
        key: [u8; 32],
    ) -> Self {
        Self {
            limits,
            max_body: None,
            heart_beat,
            access,
            instance: instance.to_owned(),
            key,
            connections: 0,
            messages: 0,
            pending: BTreeMap::new(),
            sessions: BTreeMap::new(),
            logins: HashMap::new(),
            failures: Failures::default(),
            delayed: BTreeMap::new(),
            slow: BTreeMap::new(),
            queues: HashMap::new(),
            stored: 0,
            topics: HashMap::new(),
            wild: Vec::new(),
            outputs: VecDeque::new(),
            work: Work::default(),
        }
    }

    /// Tells clients how large a body may be: what the codec in front of it accepts, or less if no queue would.
    #[must_use]
    pub const fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// The next thing to do outside.
    pub fn output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Asks another gatekeeper from now on. Whoever is in stays in and keeps its subscriptions.
    pub fn set_access(&mut self, access: Arc<dyn Access>) {
        self.access = access;
    }

    /// A frame came.
    ///
    /// # Errors
    /// [`Refusal`]. Over a socket the client has then been told, and its connection is ended; a link stays.
    pub fn frame(&mut self, from: ConnectionId, frame: Frame, now: Instant) -> Result<(), Refusal> {
        let result = if self.pending.contains_key(&from) {
            self.connect(from, &frame, now).inspect_err(|refusal| self.refuse_login(from, refusal, now))
        } else {
            self.execute_and_confirm(from, frame, now)
        };
        self.settle();
        result
    }

    /// Bytes came that are no frame. `begun` is what was read of it before it went wrong.
    pub fn malformed(&mut self, from: ConnectionId, error: &DecodeError, begun: Option<&Frame>) {
        let is_first = self.pending.contains_key(&from);
        let stranger = begun.map(|frame| frame.command).filter(|command| is_first && !opens(*command));
        let refusal = stranger.map_or_else(|| Refusal::Malformed(error.to_string()), Refusal::NotLoggedIn);
        let receipt = begun.filter(|_| !is_first).and_then(|frame| frame.header("receipt"));
        self.refuse(from, &refusal, receipt.map(str::to_owned));
        self.settle();
    }

    /// `total` bytes, counted as [`Frame::weight`] counts them, were written since the connection began.
    pub fn written(&mut self, to: ConnectionId, total: u64) {
        self.note_written(to, total);
        self.settle();
    }

    /// Some bytes were written, though not yet a whole frame: the peer reads.
    pub fn progressed(&mut self, to: ConnectionId) {
        self.note_progress(to);
    }

    /// The connection ended by itself. If the core had ended it before, nothing happens.
    pub fn closed(&mut self, connection: ConnectionId, ending: Ending) {
        self.delayed.retain(|(_, late), _| *late != connection);
        self.end(connection, ending);
        self.settle();
    }

    /// Ends all connections of a login; tells how many there were.
    pub fn disconnect(&mut self, login: &str, reason: &str) -> usize {
        let theirs = self.sessions.iter().filter(|(_, session)| &*session.principal.login == login);
        let theirs: Vec<ConnectionId> = theirs.map(|(connection, _)| *connection).collect();
        for connection in &theirs {
            self.expel(*connection, "closed by host", Ending::Host(reason.to_owned()));
        }
        self.settle();
        theirs.len()
    }

    /// Ends all connections.
    pub fn shutdown(&mut self) {
        let all: Vec<ConnectionId> = self.pending.keys().chain(self.sessions.keys()).copied().collect();
        for connection in all {
            self.expel(connection, "shutting down", Ending::Shutdown);
        }
        while self.send_first_delayed() {}
    }

    /// When [`wake`](Self::wake) is to be called.
    pub fn due(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|((due, _), _)| *due)
    }

    /// The time that [`due`](Self::due) told has come.
    pub fn wake(&mut self, now: Instant) {
        while self.due().is_some_and(|due| due <= now) {
            self.send_first_delayed();
        }
    }

    /// Whether [`tick`](Self::tick) has anything to look after.
    pub fn wants_tick(&self) -> bool {
        self.stored > 0 || self.work.sweep || !self.slow.is_empty()
    }

    /// Time passes: to be called about once a second while it is wanted.
    pub fn tick(&mut self, now: Instant) {
        self.expire(now);
        self.close_stalled_publishers(now);
        self.close_stalled_subscribers(now);
        self.remove_unused_queues();
        self.settle();
    }

    /// Does what a frame asks for and confirms it, or refuses it and does not.
    fn execute_and_confirm(&mut self, from: ConnectionId, frame: Frame, now: Instant) -> Result<(), Refusal> {
        let Some(session) = self.sessions.get_mut(&from) else { return Ok(()) };
        session.frames_in += 1;
        let is_link = session.is_link;
        let is_last = frame.command == Command::Disconnect;
        let receipt = frame.header("receipt").map(str::to_owned);
        if let Err(refusal) = self.execute(from, frame, now) {
            if !is_link {
                self.refuse(from, &refusal, receipt);
            }
            return Err(refusal);
        }
        if let Some(receipt) = receipt {
            self.enqueue(from, Frame::new(Command::Receipt).with("receipt-id", receipt), None);
        }
        if is_last {
            self.outputs.push_back(Output::Close { connection: from });
            self.end(from, Ending::Disconnected);
        }
        Ok(())
    }

    fn execute(&mut self, from: ConnectionId, frame: Frame, now: Instant) -> Result<(), Refusal> {
        match frame.command {
            Command::Abort => self.abort(from, &frame),
            Command::Ack | Command::Nack => self.acknowledge(from, &frame, now),
            Command::Begin => self.begin(from, &frame),
            Command::Commit => self.commit(from, &frame, now),
            Command::Connect | Command::Stomp => Err(Refusal::AlreadyConnected(frame.command)),
            Command::Disconnect => Ok(()),
            Command::Send => self.send(from, frame, now),
            Command::Subscribe => self.subscribe(from, &frame),
            Command::Unsubscribe => self.unsubscribe(from, &frame),
            Command::Connected | Command::Error | Command::Message | Command::Receipt => {
                Err(Refusal::NotForServer(frame.command))
            }
        }
    }

    /// Carries the consequences of a change through.
    fn settle(&mut self) {
        loop {
            if let Some(queue) = self.work.queues.pop_front() {
                self.dispatch(&queue);
            } else if let Some(consumer) = self.work.consumers.pop() {
                self.refill(consumer);
            } else if let Some((connection, ending)) = self.work.doomed.pop() {
                self.expel(connection, "slow consumer", ending);
            } else {
                return;
            }
        }
    }

    fn event(&mut self, event: BrokerEvent) {
        self.outputs.push_back(Output::Event(event));
    }
}

/// Whether a connection may begin with it.
const fn opens(command: Command) -> bool {
    matches!(command, Command::Connect | Command::Stomp)
}

/// The value of a header that has to be there.
fn required<'a>(frame: &'a Frame, header: &'static str) -> Result<&'a str, Refusal> {
    frame.header(header).ok_or(Refusal::Missing { command: frame.command, header })
}
