//! Giving messages out, and what becomes of them: settled, returned, expired.

use super::message::{Address, Held, Message};
use super::queue::{Queue, SubscriptionKey};
use super::session::{Paused, Session, Subscription, Unwritten};
use super::{Core, Output, Refusal};
use crate::ack::AckMode;
use crate::broker::destination::Destination;
use crate::broker::event::{BrokerEvent, ConnectionId, Ending};
use crate::frame::{Frame, Version};
use std::sync::Arc;
use std::time::Instant;

impl Core {
    /// Gives the first message of a queue to the next consumer that can take it, and comes back for the others when
    /// the other queues with news have had their turn.
    pub(super) fn dispatch(&mut self, destination: &Destination) {
        self.resume_publishers(destination);
        let Some(queue) = self.queues.get_mut(destination).filter(|queue| queue.ready() > 0) else { return };
        let (sessions, limits) = (&self.sessions, &self.limits);
        let can_take = |key: SubscriptionKey| {
            sessions
                .get(&key.connection)
                .is_some_and(|session| session.can_take(key.subscription, destination, limits))
        };
        match queue.next_consumer(can_take) {
            Some(key) => {
                self.give(destination, key);
                self.work.queues.push_back(destination.clone());
            }
            None => self.remember_backlog(destination),
        }
    }

    /// Reads again from those whom a queue made wait, if it has room.
    fn resume_publishers(&mut self, destination: &Destination) {
        let low_water = self.limits.low_water();
        let Some(queue) = self.queues.get_mut(destination).filter(|queue| queue.bytes() <= low_water) else {
            return;
        };
        for connection in queue.paused.drain(..) {
            if let Some(session) = self.sessions.get_mut(&connection) {
                session.paused = None;
            }
            self.outputs.push_back(Output::Resume { connection });
        }
    }

    /// Nobody can take a message of this queue now: it waits behind the others that wait for the same consumers.
    fn remember_backlog(&mut self, destination: &Destination) {
        let Some(queue) = self.queues.get(destination) else { return };
        for key in queue.consumers() {
            let Some(session) = self.sessions.get_mut(&key.connection) else { continue };
            let has_room = session.has_room(&self.limits);
            let Some(subscription) = session.subscriptions.get_mut(&key.subscription) else { continue };
            if !subscription.credit.is_left_for(destination) {
                // It is looked at again when one of its messages is settled.
                continue;
            }
            subscription.backlog.push(destination);
            if has_room && subscription.credit.is_left() {
                self.work.consumers.push(key.connection);
            }
        }
    }

    /// Gives a connection that may have got room or credit what waits for it: one message of one queue of one
    /// subscription after the other.
    pub(super) fn refill(&mut self, connection: ConnectionId) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let mut waiting = session.in_turn();
        while !waiting.is_empty() {
            waiting.retain(|subscription| {
                self.serve(SubscriptionKey { connection, subscription: *subscription })
            });
        }
    }

    /// Gives a subscription one message of the queue that has waited longest for it; whether there was one.
    fn serve(&mut self, key: SubscriptionKey) -> bool {
        let Some(queue) = self.next_in_backlog(key) else { return false };
        self.give(&queue, key);
        let is_ready = self.queues.get(&queue).is_some_and(|queue| queue.ready() > 0);
        let Some(session) = self.sessions.get_mut(&key.connection) else { return false };
        session.served = key.subscription;
        if let Some(subscription) = session.subscriptions.get_mut(&key.subscription)
            && is_ready
            && subscription.credit.is_left_for(&queue)
        {
            subscription.backlog.push(&queue);
        }
        true
    }

    fn next_in_backlog(&mut self, key: SubscriptionKey) -> Option<Destination> {
        let session = self.sessions.get_mut(&key.connection)?;
        if !session.has_room(&self.limits) {
            return None;
        }
        let Subscription { credit, backlog, .. } = session.subscriptions.get_mut(&key.subscription)?;
        if !credit.is_left() {
            return None;
        }
        while let Some(queue) = backlog.pop() {
            let is_ready = self.queues.get(&queue).is_some_and(|queue| queue.ready() > 0);
            if is_ready && credit.is_left_for(&queue) {
                return Some(queue);
            }
        }
        None
    }

    /// Gives the first message of a queue to one of its consumers.
    fn give(&mut self, destination: &Destination, key: SubscriptionKey) {
        let Some(held) = self.queues.get_mut(destination).and_then(Queue::take) else { return };
        let Some(session) = self.sessions.get_mut(&key.connection) else { return self.return_delivery(held) };
        let delivery = session.number();
        let acknowledged_by = format!("{}-{delivery}", key.subscription);
        let frame = frame_for(session, key.subscription, &held, acknowledged_by, &self.instance);
        let Some(subscription) = session.subscriptions.get_mut(&key.subscription) else {
            return self.return_delivery(held);
        };
        let is_auto = subscription.ack == AckMode::Auto;
        subscription.give(delivery, held);
        let watched = is_auto.then_some(Unwritten::Queue { subscription: key.subscription, delivery });
        self.enqueue(key.connection, frame, watched);
    }

    /// Gives a message of a topic to one subscriber.
    pub(super) fn give_copy(&mut self, message: &Arc<Message>, key: SubscriptionKey) {
        let Some(session) = self.sessions.get_mut(&key.connection) else { return };
        let held = Held { message: message.clone(), deliveries: 0 };
        let acknowledged_by = format!("{}-t{}", key.subscription, message.sequence);
        let frame = frame_for(session, key.subscription, &held, acknowledged_by, &self.instance);
        let weight = frame.weight();
        self.enqueue(key.connection, frame, Some(Unwritten::Topic(weight)));
    }

    /// Hands a frame over to be written. A connection that has too much waiting already has to go.
    pub(super) fn enqueue(&mut self, connection: ConnectionId, frame: Frame, watched: Option<Unwritten>) {
        let most = self.limits.outgoing_most(self.max_body.unwrap_or_default());
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let waiting = session.outgoing.waiting();
        let is_too_much = match watched {
            Some(Unwritten::Topic(_)) => waiting >= most,
            _ => session.outgoing.waiting_besides_topics() >= self.limits.outgoing_bytes,
        };
        session.outgoing.enqueue(frame.weight(), watched);
        if is_too_much {
            self.work.doomed.push((connection, Ending::SlowConsumer(waiting)));
            return;
        }
        session.frames_out += 1;
        self.outputs.push_back(Output::Send { connection, frame });
    }

    /// What was written needs no acknowledgement if the subscription is of mode `auto`.
    pub(super) fn note_written(&mut self, connection: ConnectionId, total: u64) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let mut settled = Vec::new();
        for unwritten in session.outgoing.write(total) {
            if let Unwritten::Queue { subscription, delivery } = unwritten {
                let subscription = session.subscriptions.get_mut(&subscription);
                settled.extend(subscription.and_then(|subscription| subscription.take_back(delivery)));
            }
        }
        settled.iter().for_each(|held| self.settle_delivery(held));
        self.work.consumers.push(connection);
        self.note_progress(connection);
        self.resume_publishers_if_drained(connection);
    }

    /// A message was dealt with.
    pub(super) fn settle_delivery(&mut self, held: &Held) {
        let destination = &held.message.publication.destination;
        if let Some(queue) = self.queues.get_mut(destination) {
            queue.settle(held);
            self.stored -= held.weight();
            self.work.queues.push_back(destination.clone());
            self.work.sweep = true;
        }
    }

    /// A message was not dealt with: back to its place, for the next consumer.
    pub(super) fn return_delivery(&mut self, held: Held) {
        let destination = held.message.publication.destination.clone();
        if let Some(queue) = self.queues.get_mut(&destination) {
            queue.put_back(held);
            self.work.queues.push_back(destination);
        }
    }

    /// Drops messages that waited too long.
    pub(super) fn expire(&mut self, now: Instant) {
        let mut expired = Vec::new();
        for (destination, queue) in &mut self.queues {
            let (messages, bytes) = queue.expire(now);
            if messages > 0 {
                expired.push(BrokerEvent::Expired { destination: destination.clone(), messages, bytes });
                self.stored -= bytes;
                self.work.queues.push_back(destination.clone());
            }
        }
        expired.into_iter().for_each(|event| self.event(event));
    }

    /// Closes publishers whose queue has not had room for too long.
    pub(super) fn close_stalled_publishers(&mut self, now: Instant) {
        let after = self.limits.stall_timeout;
        let overdue = self.sessions.iter().filter_map(|(connection, session)| {
            let Some(Paused::Queue(queue, since)) = &session.paused else { return None };
            (now.duration_since(*since) >= after).then(|| (*connection, queue.clone()))
        });
        for (connection, destination) in overdue.collect::<Vec<_>>() {
            self.refuse(connection, &Refusal::FullForTooLong { destination, after }, None);
        }
    }

    /// Drops queues that are empty and that nobody in particular subscribes to.
    pub(super) fn remove_unused_queues(&mut self) {
        self.queues.retain(|_, queue| !queue.is_unused());
        self.work.sweep = false;
        let queues = &self.queues;
        let subscriptions = self.sessions.values_mut().flat_map(|session| session.subscriptions.values_mut());
        subscriptions.for_each(|subscription| {
            subscription.backlog.shrink(queues.len(), |queue| queues.contains_key(queue));
        });
    }
}

fn frame_for(
    session: &Session,
    subscription: u64,
    held: &Held,
    acknowledged_by: String,
    instance: &str,
) -> Frame {
    let subscription = session.subscriptions.get(&subscription);
    let is_acknowledged = subscription.is_some_and(|subscription| subscription.ack != AckMode::Auto);
    let has_ack = is_acknowledged && session.version == Version::V1_2;
    held.message.frame(Address {
        version: session.version,
        instance,
        subscription: subscription
            .filter(|subscription| subscription.is_named)
            .map(|subscription| &*subscription.id),
        ack: has_ack.then_some(acknowledged_by),
        deliveries: held.deliveries,
    })
}
