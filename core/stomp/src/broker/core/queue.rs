//! One queue: its messages in order, and its consumers in turn. Knows neither connections nor credit.

use super::message::Held;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crate::broker::event::ConnectionId;

/// One subscription of one connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct SubscriptionKey {
    pub(super) connection: ConnectionId,
    /// Counted on that connection.
    pub(super) subscription: u64,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Messages that wait, by their sequence: what comes back finds its old place.
    ready: BTreeMap<u64, Held>,
    /// Messages that were given out.
    given: usize,
    /// Bytes of both.
    bytes: usize,
    /// Whoever is first is next.
    consumers: VecDeque<SubscriptionKey>,
    /// Consumers that name this queue and no set of queues: those for whom it has to exist while it is empty.
    exact_consumers: usize,
    /// Publishers that are not read from until there is room.
    pub(super) paused: Vec<ConnectionId>,
}

impl Queue {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn given(&self) -> usize {
        self.given
    }

    pub(super) fn consumers(&self) -> impl ExactSizeIterator<Item = SubscriptionKey> + '_ {
        self.consumers.iter().copied()
    }

    /// Whether nobody would miss it.
    pub(super) fn is_unused(&self) -> bool {
        self.bytes == 0 && self.ready.is_empty() && self.given == 0 && self.exact_consumers == 0
    }

    pub(super) fn push(&mut self, held: Held) {
        self.bytes += held.weight();
        self.ready.insert(held.message.sequence, held);
    }

    /// Gives out the message that waited longest.
    pub(super) fn take(&mut self) -> Option<Held> {
        let (_, held) = self.ready.pop_first()?;
        self.given += 1;
        Some(held)
    }

    /// Takes back a message that was given out.
    pub(super) fn put_back(&mut self, held: Held) {
        self.given -= 1;
        self.ready
            .insert(held.message.sequence, Held { deliveries: held.deliveries.saturating_add(1), ..held });
    }

    /// Forgets a message that was given out and dealt with.
    pub(super) fn settle(&mut self, held: &Held) {
        self.given -= 1;
        self.bytes -= held.weight();
    }

    /// Takes the first message that waits, is from `sender` and has that header out of it.
    pub(super) fn withdraw(&mut self, sender: &str, (name, value): (&str, &str)) -> Option<Held> {
        let is_meant = |held: &Held| {
            let headers = &held.message.publication.headers;
            let header = headers.iter().find(|(header, _)| header == name);
            &*held.message.from == sender && header.is_some_and(|(_, has)| has == value)
        };
        let sequence = self.ready.iter().find(|(_, held)| is_meant(held)).map(|(sequence, _)| *sequence)?;
        let held = self.ready.remove(&sequence)?;
        self.bytes -= held.weight();
        Some(held)
    }

    /// Drops what has waited too long; tells how many messages of how many bytes.
    pub(super) fn expire(&mut self, now: Instant) -> (usize, usize) {
        let (mut messages, mut bytes) = (0, 0);
        while let Some(first) = self.ready.first_entry() {
            if first.get().message.expires.is_none_or(|expires| expires > now) {
                break;
            }
            messages += 1;
            bytes += first.remove().weight();
        }
        self.bytes -= bytes;
        (messages, bytes)
    }

    pub(super) fn add_consumer(&mut self, key: SubscriptionKey, is_exact: bool) {
        self.consumers.push_back(key);
        self.exact_consumers += usize::from(is_exact);
    }

    pub(super) fn remove_consumer(&mut self, key: SubscriptionKey, is_exact: bool) {
        self.consumers.retain(|consumer| *consumer != key);
        self.exact_consumers -= usize::from(is_exact);
    }

    /// The next consumer in turn that can take a message; its turn is then over.
    pub(super) fn next_consumer(
        &mut self,
        can_take: impl Fn(SubscriptionKey) -> bool,
    ) -> Option<SubscriptionKey> {
        let at = self.consumers.iter().position(|key| can_take(*key))?;
        let key = self.consumers.remove(at)?;
        self.consumers.push_back(key);
        Some(key)
    }
}
