//! A core with pretended connections: what they are sent is written at once, unless they stall.

use crate::broker::core::{Core, Output, Refusal};
use crate::broker::{
    AccessRules, Action, BrokerEvent, BrokerLimits, ConnectionId, Ending, Principal, Secret,
};
use crate::frame::{Command, Frame};
use crate::heartbeat::HeartBeat;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) struct Bench {
    pub(super) core: Core,
    pub(super) now: Instant,
    inboxes: BTreeMap<ConnectionId, Vec<Frame>>,
    written: BTreeMap<ConnectionId, u64>,
    stalled: BTreeSet<ConnectionId>,
    pub(super) closed: BTreeSet<ConnectionId>,
    pub(super) paused: BTreeSet<ConnectionId>,
    pub(super) events: Vec<BrokerEvent>,
}

/// Guests `g1` and `g2`, the `host` as in the product; `a`, `b` and `c` may do anything, `tool` come twice.
pub(in crate::broker) fn rules() -> AccessRules {
    let rules =
        ["g1", "g2", "host", "a", "b", "c"].into_iter().fold(AccessRules::default(), |rules, login| {
            rules.with_login(Principal::new(login), Secret::of(login))
        });
    let mut rules = rules.with_login(Principal::new("tool").many(), Secret::of("tool"));
    for (principal, action, destinations) in [
        ("host", Action::Write, "/queue/vocable.in.>"),
        ("host", Action::Read, "/queue/vocable.out.>"),
        ("g*", Action::Read, "/queue/vocable.in.{login}"),
        ("g*", Action::Write, "/queue/vocable.out.{login}"),
    ] {
        rules = rules.allow(principal, action, destinations).unwrap();
    }
    for principal in ["a", "b", "c"] {
        for action in [Action::Read, Action::Write] {
            rules = rules
                .allow(principal, action, "/queue/>")
                .unwrap()
                .allow(principal, action, "/topic/>")
                .unwrap();
        }
    }
    rules
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(BrokerLimits::default())
    }

    pub(super) fn with(limits: BrokerLimits) -> Self {
        let heart_beat = HeartBeat::every(Duration::from_secs(10));
        Self {
            core: Core::new(limits, heart_beat, Arc::new(rules()), "m", [7; 32]),
            now: Instant::now(),
            inboxes: BTreeMap::new(),
            written: BTreeMap::new(),
            stalled: BTreeSet::new(),
            closed: BTreeSet::new(),
            paused: BTreeSet::new(),
            events: Vec::new(),
        }
    }

    /// A connection that has said nothing yet.
    pub(super) fn open(&mut self) -> ConnectionId {
        self.core.open("127.0.0.1:1000".parse().unwrap()).unwrap()
    }

    /// A connection that is logged in, `CONNECTED` read.
    pub(super) fn client(&mut self, login: &str, version: &str) -> ConnectionId {
        let connection = self.open();
        let connect = format!("CONNECT accept-version:{version} login:{login} passcode:{login}");
        self.say(connection, &connect).unwrap();
        let received = self.received(connection);
        assert!(received.len() == 1 && received[0].starts_with("CONNECTED "), "{received:?}");
        connection
    }

    pub(super) fn say(&mut self, from: ConnectionId, line: &str) -> Result<(), Refusal> {
        self.send(from, frame(line))
    }

    /// Says something that has to be accepted.
    pub(super) fn tell(&mut self, from: ConnectionId, line: &str) {
        self.say(from, line).unwrap();
    }

    /// Says something that has to be refused; the `ERROR` that answers it.
    pub(super) fn refused(&mut self, from: ConnectionId, line: &str) -> String {
        self.say(from, line).unwrap_err();
        assert!(self.closed.contains(&from), "a refusal ends the connection");
        let mut received = self.received(from);
        assert_eq!(received.len(), 1, "{received:?}");
        received.remove(0)
    }

    pub(super) fn send(&mut self, from: ConnectionId, frame: Frame) -> Result<(), Refusal> {
        let result = self.core.frame(from, frame, self.now);
        self.settle();
        result
    }

    pub(super) fn close(&mut self, connection: ConnectionId) {
        self.core.closed(connection, Ending::ClosedByPeer);
        self.settle();
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.core.tick(self.now);
        self.settle();
    }

    /// From now on nothing is written to it.
    pub(super) fn stall(&mut self, connection: ConnectionId) {
        self.stalled.insert(connection);
    }

    /// Everything is written to it again.
    pub(super) fn flow(&mut self, connection: ConnectionId) {
        self.stalled.remove(&connection);
        let total = self.written.get(&connection).copied().unwrap_or_default();
        self.core.written(connection, total);
        self.settle();
    }

    /// What a connection was sent since it was last asked, as lines.
    pub(super) fn received(&mut self, connection: ConnectionId) -> Vec<String> {
        self.frames(connection).iter().map(line).collect()
    }

    pub(super) fn frames(&mut self, connection: ConnectionId) -> Vec<Frame> {
        self.settle();
        self.inboxes.remove(&connection).unwrap_or_default()
    }

    /// The bodies of the messages that a connection was sent since it was last asked.
    pub(super) fn bodies(&mut self, connection: ConnectionId) -> Vec<String> {
        let messages = self.frames(connection).into_iter().filter(|frame| frame.command == Command::Message);
        messages.map(|frame| String::from_utf8(frame.body.to_vec()).unwrap()).collect()
    }

    pub(super) fn settle(&mut self) {
        while let Some(output) = self.core.output() {
            match output {
                Output::Accepted { .. } | Output::Challenged { .. } => {}
                Output::Close { connection } => assert!(self.closed.insert(connection), "closed twice"),
                Output::Event(event) => self.events.push(event),
                Output::Pause { connection } => assert!(self.paused.insert(connection), "paused twice"),
                Output::Resume { connection } => {
                    self.paused.remove(&connection);
                }
                Output::Send { connection, frame } => {
                    assert!(!self.closed.contains(&connection), "sent to after its end");
                    let total = self.written.entry(connection).or_default();
                    *total += frame.weight() as u64;
                    self.inboxes.entry(connection).or_default().push(frame);
                    if !self.stalled.contains(&connection) {
                        self.core.written(connection, *total);
                    }
                }
            }
        }
    }
}

pub(in crate::broker) fn frame(line: &str) -> Frame {
    let (head, body) = line.split_once(" | ").unwrap_or((line, ""));
    let mut words = head.split(' ');
    let command = Command::from_name(words.next().unwrap().as_bytes()).unwrap();
    let headers = words.map(|word| word.split_once(':').unwrap());
    headers
        .fold(Frame::new(command), |frame, (name, value)| frame.with(name, value))
        .with_body(body.to_owned())
}

pub(in crate::broker) fn line(frame: &Frame) -> String {
    let headers = frame.headers.iter().map(|(name, value)| format!(" {name}:{value}"));
    let body = String::from_utf8_lossy(&frame.body);
    let body = if body.is_empty() { String::new() } else { format!(" | {body}") };
    format!("{}{}{body}", frame.command, headers.collect::<String>())
}
