//! One connection that is logged in: its subscriptions, its transactions, and what is on its way to it.

use super::credit::Credit;
use super::message::Held;
use super::transaction::Transactions;
use crate::ack::AckMode;
use crate::broker::access::Principal;
use crate::broker::destination::{Destination, Pattern};
use crate::broker::event::ConnectionId;
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
    /// Why this connection is not read from, if it is not.
    pub(super) paused: Option<Paused>,
    /// The numbers of the next subscription and the next delivery.
    pub(super) next_number: u64,
    /// The subscription that was last given something it had waited for.
    pub(super) served: u64,
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
            served: 0,
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

    /// Whether messages of queues may be given to it now, as far as they have to be written.
    pub(super) fn has_room(&self, limits: &BrokerLimits) -> bool {
        self.outgoing.waiting() < limits.outgoing_room()
    }

    /// Whether a message of that queue may be given to that subscription at once. Not while other queues wait for it:
    /// then it is their turn first.
    pub(super) fn can_take(&self, subscription: u64, queue: &Destination, limits: &BrokerLimits) -> bool {
        self.has_room(limits)
            && self.subscriptions.get(&subscription).is_some_and(|subscription| {
                subscription.backlog.is_empty()
                    && subscription.credit.is_left()
                    && subscription.credit.is_left_for(queue)
            })
    }

    /// The subscriptions in the order in which they are to be served: the one that was served last comes last.
    pub(super) fn in_turn(&self) -> Vec<u64> {
        let (served, next) =
            (self.subscriptions.range(..=self.served), self.subscriptions.range(self.served + 1..));
        next.chain(served).map(|(number, _)| *number).collect()
    }

    pub(super) fn unacknowledged(&self) -> usize {
        self.subscriptions.values().map(|subscription| subscription.deliveries.len()).sum()
    }
}

/// For whom a publisher has to wait.
#[derive(Debug)]
pub(super) enum Paused {
    /// The queue is too full, and has been since then.
    Queue(Destination, Instant),
    /// That subscriber of a topic has too much to read.
    Subscriber(ConnectionId),
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
    pub(super) credit: Credit,
    pub(super) backlog: Backlog,
}

impl Subscription {
    pub(super) fn give(&mut self, delivery: u64, held: Held) {
        self.credit.spend(held.queue(), held.weight());
        self.deliveries.insert(delivery, held);
    }

    pub(super) fn take_back(&mut self, delivery: u64) -> Option<Held> {
        let held = self.deliveries.remove(&delivery)?;
        self.credit.restore(held.queue(), held.weight());
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

/// Queues that have messages for a subscription which had no credit for them. Served in turn, one message each. A queue
/// that has used up its own part of the credit is not among them: it comes back when one of its messages is settled.
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

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Keeps only those queues, if there are more than so many.
    pub(super) fn shrink(&mut self, most: usize, is_kept: impl Fn(&Destination) -> bool) {
        if self.turns.len() > most {
            self.turns.retain(&is_kept);
            self.members.retain(is_kept);
        }
    }
}

/// What was handed to the connection, counted in bytes of [`Frame::weight`](crate::Frame::weight).
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    enqueued: u64,
    written: u64,
    /// Bytes of messages of topics among what was not written.
    of_topics: usize,
    /// What is settled, or lost, depending on whether it is written.
    unwritten: VecDeque<(u64, Unwritten)>,
}

/// A message that nobody acknowledges.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unwritten {
    Queue {
        subscription: u64,
        delivery: u64,
    },
    /// So many bytes that the connection did not ask for one by one.
    Topic(usize),
}

impl Outgoing {
    /// Bytes that were handed over and, as far as is known, not written.
    pub(super) fn waiting(&self) -> usize {
        usize::try_from(self.enqueued - self.written).unwrap_or(usize::MAX)
    }

    /// The same without messages of topics.
    pub(super) fn waiting_besides_topics(&self) -> usize {
        self.waiting().saturating_sub(self.of_topics)
    }

    pub(super) fn enqueue(&mut self, weight: usize, watched: Option<Unwritten>) {
        self.enqueued += weight as u64;
        if let Some(Unwritten::Topic(bytes)) = watched {
            self.of_topics += bytes;
        }
        self.unwritten.extend(watched.map(|watched| (self.enqueued, watched)));
    }

    /// `total` bytes were written since the beginning; what is settled thereby.
    pub(super) fn write(&mut self, total: u64) -> Vec<Unwritten> {
        self.written = total.clamp(self.written, self.enqueued);
        let done = self.unwritten.partition_point(|(end, _)| *end <= self.written);
        let done: Vec<Unwritten> = self.unwritten.drain(..done).map(|(_, what)| what).collect();
        for what in &done {
            if let Unwritten::Topic(bytes) = what {
                self.of_topics -= bytes;
            }
        }
        done
    }

    /// Messages of topics that were not written.
    pub(super) fn unwritten_of_topics(&self) -> usize {
        self.unwritten.iter().filter(|(_, what)| matches!(what, Unwritten::Topic(_))).count()
    }
}
