//! Going out: refusals, ends of connections, and what becomes of what they held.

use super::refusal::error_frame;
use super::session::{AckMode, Subscription};
use super::{Core, Output, Refusal};
use crate::broker::core::queue::SubscriptionKey;
use crate::broker::destination::Kind;
use crate::broker::event::{BrokerEvent, ConnectionId, Ending};
use std::mem;

impl Core {
    /// Tells a client why, and ends its connection.
    pub(super) fn refuse(&mut self, connection: ConnectionId, refusal: &Refusal, receipt: Option<String>) {
        if !self.is_known(connection) {
            return;
        }
        self.outputs.push_back(Output::Send { connection, frame: refusal.frame(receipt) });
        self.outputs.push_back(Output::Close { connection });
        // Of these an event has told already.
        if matches!(refusal, Refusal::Access(_) | Refusal::Duplicate(_)) {
            self.pending.remove(&connection);
        }
        self.end(connection, refusal.ending());
    }

    /// Ends a connection that did nothing wrong, or nothing that a frame would have asked for.
    pub(super) fn expel(&mut self, connection: ConnectionId, title: &str, ending: Ending) {
        if self.is_known(connection) {
            let frame = error_frame(title, &ending.to_string());
            self.outputs.push_back(Output::Send { connection, frame });
            self.outputs.push_back(Output::Close { connection });
            self.end(connection, ending);
        }
    }

    /// The client did not log in in time.
    pub fn login_overdue(&mut self, connection: ConnectionId, after: std::time::Duration) {
        if self.pending.contains_key(&connection) {
            self.expel(connection, "login deadline", Ending::LoginDeadline(after));
        }
    }

    fn is_known(&self, connection: ConnectionId) -> bool {
        self.pending.contains_key(&connection) || self.sessions.contains_key(&connection)
    }

    /// Forgets a connection; its unacknowledged messages go back to their queues.
    pub(super) fn end(&mut self, connection: ConnectionId, ending: Ending) {
        if let Some(pending) = self.pending.remove(&connection) {
            // Somebody who looked whether the port is open is nobody's news.
            if !matches!(ending, Ending::ClosedByPeer | Ending::Lost(_)) {
                self.event(BrokerEvent::Refused {
                    login: None,
                    peer: pending.peer,
                    reason: ending.to_string(),
                });
            }
        }
        let Some(mut session) = self.sessions.remove(&connection) else { return };
        let (login, peer) = (session.principal.login.clone(), session.peer);
        if self.logins.get(&login) == Some(&connection) {
            self.logins.remove(&login);
        }
        if let Some(queue) = session.paused.take().and_then(|(queue, _)| self.queues.get_mut(&queue)) {
            queue.paused.retain(|publisher| *publisher != connection);
        }
        // After an orderly end everything that was handed over is written before the connection closes.
        let is_orderly = ending == Ending::Disconnected;
        for (number, subscription) in mem::take(&mut session.subscriptions) {
            let key = SubscriptionKey { connection, subscription: number };
            self.release(key, &subscription);
            self.give_back(subscription, is_orderly);
        }
        let messages = if is_orderly { 0 } else { session.outgoing.unwritten_of_topics() };
        if messages > 0 {
            self.event(BrokerEvent::Dropped { login: login.clone(), peer, messages });
        }
        self.event(BrokerEvent::LoggedOut { connection, login, peer, reason: ending });
    }

    /// Takes a subscription out of everything that routes to it.
    pub(super) fn release(&mut self, key: SubscriptionKey, subscription: &Subscription) {
        let exact = subscription.pattern.exact();
        match (&exact, subscription.pattern.kind()) {
            (Some(topic), Kind::Topic) => self.leave_topic(key, topic),
            (Some(queue), Kind::Queue) => {
                if let Some(queue) = self.queues.get_mut(queue) {
                    queue.remove_consumer(key, true);
                }
            }
            (None, kind) => {
                self.wild.retain(|(_, wild)| *wild != key);
                let pattern = &subscription.pattern;
                let queues =
                    self.queues.iter_mut().filter(|(name, _)| kind == Kind::Queue && pattern.matches(name));
                queues.for_each(|(_, queue)| queue.remove_consumer(key, false));
            }
        }
        self.work.sweep = true;
    }

    fn leave_topic(&mut self, key: SubscriptionKey, topic: &crate::broker::destination::Destination) {
        if let Some(subscribers) = self.topics.get_mut(topic) {
            subscribers.retain(|subscriber| *subscriber != key);
            if subscribers.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    /// Returns what a subscription has not acknowledged to the places it had in its queues.
    pub(super) fn give_back(&mut self, subscription: Subscription, is_orderly: bool) {
        let is_settled = is_orderly && subscription.ack == AckMode::Auto;
        for held in subscription.deliveries.into_values() {
            if is_settled {
                self.settle_delivery(&held);
            } else {
                self.return_delivery(held);
            }
        }
    }
}
