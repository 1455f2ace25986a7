//! Going out: refusals, ends of connections, and what becomes of what they held.

use super::refusal::error_frame;
use super::session::{Session, Subscription};
use super::{Challenged, Core, Output, Pending, Refusal};
use crate::ack::AckMode;
use crate::broker::core::queue::SubscriptionKey;
use crate::broker::destination::{Destination, Kind};
use crate::broker::event::{BrokerEvent, ConnectionId, Ending};
use std::time::{Duration, Instant};

/// So many failed logins wait to be told late. If there are more, the first of them is told at once.
const LATE: usize = 256;

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

    /// Refuses somebody who is not in. After some failed logins from its address it is told late, so that guessing takes
    /// its time; whoever has the right credential is let in at once all the same.
    pub(super) fn refuse_login(&mut self, connection: ConnectionId, refusal: &Refusal, now: Instant) {
        let peer = self.pending.get(&connection).and_then(|pending| pending.peer);
        let delay = match (refusal, peer) {
            (Refusal::Access(_), Some(peer)) => self.failures.note(peer.ip(), now),
            _ => Duration::ZERO,
        };
        let due = now.checked_add(delay).filter(|_| !delay.is_zero());
        let Some(due) = due else { return self.refuse(connection, refusal, None) };
        // An event has told of it already.
        self.pending.remove(&connection);
        if self.delayed.len() >= LATE {
            self.send_first_delayed();
        }
        self.delayed.insert((due, connection), refusal.frame(None));
    }

    /// Tells the first of those who are to be told late; whether there was one.
    pub(super) fn send_first_delayed(&mut self) -> bool {
        let Some(((_, connection), frame)) = self.delayed.pop_first() else { return false };
        self.outputs.push_back(Output::Send { connection, frame });
        self.outputs.push_back(Output::Close { connection });
        true
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
    pub fn login_overdue(&mut self, connection: ConnectionId, after: Duration) {
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
            self.end_pending(pending, &ending);
        }
        if let Some(session) = self.sessions.remove(&connection) {
            self.end_session(connection, session, ending);
        }
    }

    fn end_pending(&mut self, pending: Pending, ending: &Ending) {
        let Pending { peer, challenge } = pending;
        let reason = match (ending, &challenge) {
            // Somebody who looked whether the port is open is nobody's news.
            (Ending::ClosedByPeer | Ending::Lost(_), None) => return,
            (Ending::ClosedByPeer | Ending::Lost(_), Some(Challenged { login, .. })) => {
                self.access.describe_hang_up(login)
            }
            _ => ending.to_string(),
        };
        let login = challenge.map(|challenge| challenge.login);
        self.event(BrokerEvent::Refused { login, peer, reason });
    }

    fn end_session(&mut self, connection: ConnectionId, session: Session, reason: Ending) {
        let Session { principal, peer, subscriptions, outgoing, paused, .. } = session;
        let login = principal.login;
        if self.logins.get(&login) == Some(&connection) {
            self.logins.remove(&login);
        }
        self.forget_pause(connection, paused);
        self.resume_publishers_of(connection);
        // After an orderly end everything that was handed over is written before the connection closes.
        let is_orderly = reason == Ending::Disconnected;
        for (number, subscription) in subscriptions {
            self.release(SubscriptionKey { connection, subscription: number }, &subscription);
            self.give_back(subscription, is_orderly);
        }
        let messages = outgoing.unwritten_of_topics();
        if messages > 0 && !is_orderly {
            self.event(BrokerEvent::Dropped { login: login.clone(), peer, messages });
        }
        self.event(BrokerEvent::LoggedOut { connection, login, peer, reason });
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

    fn leave_topic(&mut self, key: SubscriptionKey, topic: &Destination) {
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
