//! Publishers to topics wait for subscribers that have much to read. Whoever reads at all is waited for; who reads
//! nothing is cut off, and the publishers go on.

use super::session::Paused;
use super::{Core, Output};
use crate::broker::event::{ConnectionId, Ending};
use std::time::Instant;

/// A subscriber for whom publishers wait.
#[derive(Debug)]
pub(super) struct Slow {
    /// Since when nothing has been written to it, as far as is known.
    stuck_since: Instant,
    /// Whether something was written since the last look at the clock.
    has_progressed: bool,
    /// Who is not read from until it has read more.
    publishers: Vec<ConnectionId>,
}

impl Core {
    /// Leaves the publisher unread if that subscriber has much to read. A link is always read from.
    pub(super) fn pause_publisher_for(
        &mut self,
        subscriber: ConnectionId,
        publisher: ConnectionId,
        now: Instant,
    ) {
        let has_room = self.sessions.get(&subscriber).is_none_or(|session| session.has_room(&self.limits));
        let Some(session) = self.sessions.get_mut(&publisher) else { return };
        if has_room || session.is_link || session.paused.is_some() {
            return;
        }
        session.paused = Some(Paused::Subscriber(subscriber));
        let slow = || Slow { stuck_since: now, has_progressed: false, publishers: Vec::new() };
        self.slow.entry(subscriber).or_insert_with(slow).publishers.push(publisher);
        self.outputs.push_back(Output::Pause { connection: publisher });
    }

    pub(super) fn note_progress(&mut self, subscriber: ConnectionId) {
        if let Some(slow) = self.slow.get_mut(&subscriber) {
            slow.has_progressed = true;
        }
    }

    pub(super) fn resume_publishers_if_drained(&mut self, subscriber: ConnectionId) {
        let low_water = self.limits.outgoing_low_water();
        let session = self.sessions.get(&subscriber);
        if session.is_some_and(|session| session.outgoing.waiting() <= low_water) {
            self.resume_publishers_of(subscriber);
        }
    }

    /// Nobody waits for that subscriber any more.
    pub(super) fn resume_publishers_of(&mut self, subscriber: ConnectionId) {
        let Some(slow) = self.slow.remove(&subscriber) else { return };
        for connection in slow.publishers {
            if let Some(session) = self.sessions.get_mut(&connection) {
                session.paused = None;
                self.outputs.push_back(Output::Resume { connection });
            }
        }
    }

    /// A publisher is gone: nobody has to remember that it waits.
    pub(super) fn forget_pause(&mut self, publisher: ConnectionId, paused: Option<Paused>) {
        match paused {
            None => {}
            Some(Paused::Queue(queue, _)) => {
                if let Some(queue) = self.queues.get_mut(&queue) {
                    queue.paused.retain(|waiting| *waiting != publisher);
                }
            }
            Some(Paused::Subscriber(subscriber)) => {
                let Some(slow) = self.slow.get_mut(&subscriber) else { return };
                slow.publishers.retain(|waiting| *waiting != publisher);
                if slow.publishers.is_empty() {
                    self.slow.remove(&subscriber);
                }
            }
        }
    }

    /// Closes subscribers for whom others wait and to whom nothing could be written for too long.
    pub(super) fn close_stalled_subscribers(&mut self, now: Instant) {
        let timeout = self.limits.stall_timeout;
        let mut stuck = Vec::new();
        for (subscriber, slow) in &mut self.slow {
            if std::mem::take(&mut slow.has_progressed) {
                slow.stuck_since = now;
            } else if now.duration_since(slow.stuck_since) >= timeout {
                stuck.push(*subscriber);
            }
        }
        for subscriber in stuck {
            let waiting = self.sessions.get(&subscriber).map_or(0, |session| session.outgoing.waiting());
            self.expel(subscriber, "slow consumer", Ending::SlowConsumer(waiting));
        }
    }
}
