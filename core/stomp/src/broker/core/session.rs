//! One connection that is logged in: its subscriptions, its transactions, and what is on its way to it.

use super::message::Held;
use super::transaction::Transactions;
use crate::ack::AckMode;
use crate::broker::access::Principal;
use crate::broker::destination::{Destination, Pattern};
use crate::broker::limits::BrokerLimits;
use crate::frame::Version;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) principal: Principal,
    pub(super) peer: Option<SocketAddr>,
    pub(super) version: Version,
    pub(super) since: Instant,
    /// Whether it is inside the process: it is told of refusals and stays.
    pub(super) is_link: bool,
    pub(super) subscriptions: BTreeMap<u64, Subscription>,
    pub(super) transactions: Transactions,
    pub(super) outgoing: Outgoing,
    /// The queue that is too full for this connection to be read from, and since when it is.
    pub(super) paused: Option<(Destination, Instant)>,
    /// The numbers of the next subscription and the next delivery.
    pub(super) next_number: u64,
    pub(super) frames_in: u64,
    pub(super) frames_out: u64,
}

impl Session {
    pub(super) fn new(
        principal: Principal,
        peer: Option<SocketAddr>,
        version: Version,
        now: Instant,
    ) -> Self {
        Self {
            principal,
            peer,
            version,
            since: now,
            is_link: false,
            subscriptions: BTreeMap::new(),
            transactions: Transactions::default(),
            outgoing: Outgoing::default(),
            paused: None,
            next_number: 0,
            frames_in: 0,
            frames_out: 0,
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// The subscription of that id.
    pub(super) fn subscription(&self, id: &str) -> Option<u64> {
        self.subscriptions.iter().find(|(_, subscription)| subscription.id == id).map(|(number, _)| *number)
    }

    /// Whether a message of a queue may be given to that subscription now.
    pub(super) fn can_take(&self, subscription: u64, limits: &BrokerLimits) -> bool {
        let room = self.outgoing.waiting() < limits.outgoing_room();
        room && self
            .subscriptions
            .get(&subscription)
            .is_some_and(|subscription| subscription.has_credit(limits))
    }

    pub(super) fn unacknowledged(&self) -> usize {
        self.subscriptions.values().map(|subscription| subscription.deliveries.len()).sum()
    }
}

#[derive(Debug)]
pub(super) struct Subscription {
    /// As the client calls it: its `id`, or in 1.0 without an id the destination.
    pub(super) id: String,
    /// Whether the client gave an id.
    pub(super) is_named: bool,
    pub(super) pattern: Pattern,
    pub(super) ack: AckMode,
    /// Messages of queues that were given to it and not settled yet, in the order in which they were.
    pub(super) deliveries: BTreeMap<u64, Held>,
    pub(super) delivered_bytes: usize,
    pub(super) backlog: Backlog,
}

impl Subscription {
    /// In `auto` mode the connection's room alone decides: nothing but writing settles what was given.
    fn has_credit(&self, limits: &BrokerLimits) -> bool {
        self.ack == AckMode::Auto
            || (self.deliveries.len() < limits.prefetch_messages
                && self.delivered_bytes < limits.prefetch_bytes)
    }

    pub(super) fn give(&mut self, delivery: u64, held: Held) {
        self.delivered_bytes += held.weight();
        self.deliveries.insert(delivery, held);
    }

    pub(super) fn take_back(&mut self, delivery: u64) -> Option<Held> {
        let held = self.deliveries.remove(&delivery)?;
        self.delivered_bytes -= held.weight();
        Some(held)
    }

    /// What an acknowledgement of that delivery is for.
    pub(super) fn covered_by(&self, delivery: u64) -> Vec<u64> {
        match self.ack {
            AckMode::Client => self.deliveries.range(..=delivery).map(|(number, _)| *number).collect(),
            AckMode::Auto | AckMode::ClientIndividual => vec![delivery],
        }
    }
}

/// Queues that have messages for a subscription which had no credit for them. Served in turn.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    turns: VecDeque<Destination>,
    members: HashSet<Destination>,
}

impl Backlog {
    pub(super) fn push(&mut self, queue: &Destination) {
        if self.members.insert(queue.clone()) {
            self.turns.push_back(queue.clone());
        }
    }

    pub(super) fn pop(&mut self) -> Option<Destination> {
        let queue = self.turns.pop_front()?;
        self.members.remove(&queue);
        Some(queue)
    }
}

/// What was handed to the connection, counted in octets of [`Frame::weight`](crate::Frame::weight).
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    handed: u64,
    written: u64,
    /// What is settled, or lost, depending on whether it is written.
    unwritten: VecDeque<(u64, Unwritten)>,
}

/// A message that nobody acknowledges.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unwritten {
    Queue { subscription: u64, delivery: u64 },
    Topic,
}

impl Outgoing {
    /// Octets that were handed over and, as far as is known, not written.
    pub(super) fn waiting(&self) -> usize {
        usize::try_from(self.handed - self.written).unwrap_or(usize::MAX)
    }

    pub(super) fn hand(&mut self, weight: usize, watched: Option<Unwritten>) {
        self.handed += weight as u64;
        self.unwritten.extend(watched.map(|watched| (self.handed, watched)));
    }

    /// `total` octets were written since the beginning; what is settled thereby.
    pub(super) fn write(&mut self, total: u64) -> Vec<Unwritten> {
        self.written = total.clamp(self.written, self.handed);
        let done = self.unwritten.partition_point(|(end, _)| *end <= self.written);
        self.unwritten.drain(..done).map(|(_, what)| what).collect()
    }

    /// Messages of topics that were not written.
    pub(super) fn unwritten_of_topics(&self) -> usize {
        self.unwritten.iter().filter(|(_, what)| *what == Unwritten::Topic).count()
    }
}
