//! What the broker shows of itself when asked.

use super::Core;
use crate::broker::event::{ConnectionInfo, QueueInfo};

impl Core {
    /// Who is logged in. `last_byte` is not known here.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let info = |(connection, session): (&_, &super::Session)| ConnectionInfo {
            connection: *connection,
            login: session.principal.login.clone(),
            peer: session.peer,
            since: session.since,
            last_byte: None,
            version: session.version,
            outgoing_bytes: session.outgoing.waiting(),
            unacknowledged: session.unacknowledged(),
            subscriptions: session.subscriptions.values().map(|held| held.pattern.to_string()).collect(),
            paused: session.paused.is_some(),
            frames_in: session.frames_in,
            frames_out: session.frames_out,
        };
        self.sessions.iter().map(info).collect()
    }

    /// The queues there are, by name.
    pub fn queues(&self) -> Vec<QueueInfo> {
        let info = |(destination, queue): (&super::Destination, &super::Queue)| QueueInfo {
            destination: destination.clone(),
            ready: queue.ready(),
            unacknowledged: queue.given(),
            bytes: queue.bytes(),
            consumers: queue.consumers().len(),
        };
        let mut queues: Vec<QueueInfo> = self.queues.iter().map(info).collect();
        queues.sort_by(|one, other| one.destination.cmp(&other.destination));
        queues
    }

    /// Bytes that all queues hold.
    pub const fn stored_bytes(&self) -> usize {
        self.stored
    }
}
