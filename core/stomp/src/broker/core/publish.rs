//! `SEND`, and the transactions that hold it back: `BEGIN`, `COMMIT`, `ABORT`.

use super::message::{Held, Message, Publication};
use super::queue::{Queue, SubscriptionKey};
use super::session::Paused;
use super::transaction::Step;
use super::{Core, Output, Refusal, required};
use crate::broker::access::Action;
use crate::broker::destination::{Destination, Kind};
use crate::broker::event::{BrokerEvent, ConnectionId};
use crate::frame::Frame;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

impl Core {
    pub(super) fn send(&mut self, from: ConnectionId, frame: Frame, now: Instant) -> Result<(), Refusal> {
        let destination = Destination::parse(required(&frame, "destination")?)?;
        self.check_access(from, Action::Write, destination.as_str(), |access, who| {
            access.may(who, Action::Write, &destination)
        })?;
        let transaction = frame.header("transaction").map(str::to_owned);
        let publication = Publication::new(destination, frame);
        self.check_headers(&publication)?;
        self.now_or_at_commit(from, transaction.as_deref(), Step::Publish(publication), now)
    }

    pub(super) fn begin(&mut self, from: ConnectionId, frame: &Frame) -> Result<(), Refusal> {
        let name = required(frame, "transaction")?;
        let Some(session) = self.sessions.get_mut(&from) else { return Ok(()) };
        session.transactions.begin(name, &self.limits)
    }

    pub(super) fn abort(&mut self, from: ConnectionId, frame: &Frame) -> Result<(), Refusal> {
        let name = required(frame, "transaction")?;
        let Some(session) = self.sessions.get_mut(&from) else { return Ok(()) };
        session.transactions.end(name).map(drop)
    }

    /// All steps take effect, or none does.
    pub(super) fn commit(&mut self, from: ConnectionId, frame: &Frame, now: Instant) -> Result<(), Refusal> {
        let name = required(frame, "transaction")?;
        let Some(session) = self.sessions.get_mut(&from) else { return Ok(()) };
        let steps = session.transactions.end(name)?;
        self.check(from, &steps)?;
        steps.into_iter().for_each(|step| self.carry_out(from, step, now));
        Ok(())
    }

    /// Carries a step out, or adds it to the transaction it belongs to.
    pub(super) fn now_or_at_commit(
        &mut self,
        from: ConnectionId,
        transaction: Option<&str>,
        step: Step,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Some(name) = transaction else {
            self.check(from, std::slice::from_ref(&step))?;
            self.carry_out(from, step, now);
            return Ok(());
        };
        let Some(session) = self.sessions.get_mut(&from) else { return Ok(()) };
        session.transactions.add(name, step, &self.limits)
    }

    /// Whether all of these steps can be carried out.
    fn check(&mut self, from: ConnectionId, steps: &[Step]) -> Result<(), Refusal> {
        let mut added: BTreeMap<&Destination, usize> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Publish(publication) if publication.destination.kind() == Kind::Queue => {
                    *added.entry(&publication.destination).or_default() += publication.weight;
                }
                Step::Publish(_) => {}
                Step::Settle(settlement) => self.check_settlement(from, *settlement)?,
            }
        }
        let total: usize = added.values().sum();
        for (queue, bytes) in &added {
            self.check_room(from, queue, *bytes, total)?;
        }
        let new = added.keys().filter(|queue| !self.queues.contains_key(queue)).count();
        self.check_queues(new)
    }

    fn carry_out(&mut self, from: ConnectionId, step: Step, now: Instant) {
        match step {
            Step::Publish(publication) => self.publish(from, publication, now),
            Step::Settle(settlement) => self.settle_or_return(from, settlement),
        }
    }

    fn publish(&mut self, publisher: ConnectionId, publication: Publication, now: Instant) {
        let Some(session) = self.sessions.get(&publisher) else { return };
        self.messages += 1;
        let message = Arc::new(Message {
            sequence: self.messages,
            from: session.principal.login.clone(),
            expires: self.limits.message_lifetime.and_then(|lifetime| now.checked_add(lifetime)),
            publication,
        });
        match message.publication.destination.kind() {
            Kind::Queue => self.store(publisher, message, now),
            Kind::Topic => self.fan_out(publisher, &message, now),
        }
    }

    fn fan_out(&mut self, publisher: ConnectionId, message: &Arc<Message>, now: Instant) {
        let topic = &message.publication.destination;
        let wild = self.wild.iter().filter(|(pattern, _)| pattern.matches(topic)).map(|(_, key)| *key);
        let exact = self.topics.get(topic).into_iter().flatten().copied();
        let subscribers: Vec<SubscriptionKey> = exact.chain(wild).collect();
        for key in subscribers {
            self.give_copy(message, key);
            self.pause_publisher_for(key.connection, publisher, now);
        }
    }

    fn store(&mut self, publisher: ConnectionId, message: Arc<Message>, now: Instant) {
        let destination = message.publication.destination.clone();
        let high_water = self.limits.high_water();
        self.stored += message.publication.weight;
        let queue = self.queue(&destination);
        queue.push(Held { message, deliveries: 0 });
        let is_high = queue.bytes() > high_water;
        self.work.queues.push_back(destination.clone());
        if is_high {
            self.pause(publisher, destination, now);
        }
    }

    /// Leaves a publisher unread until the queue has room again. A link is not: it is told when there is none.
    fn pause(&mut self, publisher: ConnectionId, destination: Destination, now: Instant) {
        let Some(session) = self.sessions.get_mut(&publisher) else { return };
        if session.is_link || session.paused.is_some() {
            return;
        }
        session.paused = Some(Paused::Queue(destination.clone(), now));
        self.queue(&destination).paused.push(publisher);
        self.outputs.push_back(Output::Pause { connection: publisher });
    }

    /// The queue of that name; made if there is none, and then known to those who subscribe to sets of queues.
    pub(super) fn queue(&mut self, destination: &Destination) -> &mut Queue {
        let wild = &self.wild;
        self.queues.entry(destination.clone()).or_insert_with(|| {
            let mut queue = Queue::default();
            let subscribers = wild.iter().filter(|(pattern, _)| pattern.matches(destination));
            subscribers.for_each(|(_, key)| queue.add_consumer(*key, false));
            queue
        })
    }

    fn check_room(
        &mut self,
        from: ConnectionId,
        destination: &Destination,
        more: usize,
        total: usize,
    ) -> Result<(), Refusal> {
        let held = self.queues.get(destination).map_or(0, Queue::bytes);
        let limit = self.limits.queue_bytes;
        if held + more > limit {
            self.report_full(from, destination);
            return Err(Refusal::Full { destination: destination.clone(), held, more, limit });
        }
        if self.stored + total > self.limits.total_bytes {
            self.report_full(from, destination);
            return Err(Refusal::TooMany { what: "bytes in all queues", limit: self.limits.total_bytes });
        }
        Ok(())
    }

    fn report_full(&mut self, from: ConnectionId, destination: &Destination) {
        if let Some(session) = self.sessions.get(&from) {
            let login = session.principal.login.clone();
            self.event(BrokerEvent::Full { login, destination: destination.clone() });
        }
    }

    /// Whether so many more queues may exist.
    pub(super) fn check_queues(&mut self, new: usize) -> Result<(), Refusal> {
        if self.queues.len() + new > self.limits.queues {
            self.remove_unused_queues();
        }
        if self.queues.len() + new > self.limits.queues && new > 0 {
            return Err(Refusal::TooMany { what: "queues", limit: self.limits.queues });
        }
        Ok(())
    }

    fn check_headers(&self, publication: &Publication) -> Result<(), Refusal> {
        if publication.headers.len() > self.limits.headers {
            return Err(Refusal::TooMany { what: "headers of a message", limit: self.limits.headers });
        }
        let limit = self.limits.header_line;
        let line = |(name, value): &(String, String)| escaped(name) + 1 + escaped(value);
        if publication.headers.iter().any(|header| line(header) > limit) {
            return Err(Refusal::TooMany { what: "bytes in a header", limit });
        }
        let unwritable = |(name, value): &&(String, String)| {
            name.is_empty() || name.contains('\0') || value.contains('\0')
        };
        match publication.headers.iter().find(unwritable) {
            Some((name, _)) => Err(Refusal::Header(name.clone())),
            None => Ok(()),
        }
    }
}

/// Bytes of a name or value as 1.2 writes it.
fn escaped(text: &str) -> usize {
    text.len() + text.bytes().filter(|byte| matches!(byte, b'\n' | b'\r' | b':' | b'\\')).count()
}
