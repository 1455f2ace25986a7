//! Taking a message back out of its queue: what its sender no longer wants delivered.

use super::Core;
use super::queue::Queue;
use crate::broker::destination::Destination;
use crate::broker::event::ConnectionId;

/// What became of a message that was to be taken back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Withdrawn {
    /// It is out of the queue; whether somebody may have had it before.
    Removed {
        /// It was given out and came back: a consumer may have seen it.
        was_delivered: bool,
    },
    /// It does not wait there: it is with a consumer now, or was dealt with, or expired, or was never sent.
    NotThere,
}

impl Core {
    /// Takes the first message that waits in a queue with that header back, if `by` has sent it.
    pub fn withdraw(
        &mut self,
        by: ConnectionId,
        destination: &Destination,
        header: (&str, &str),
    ) -> Withdrawn {
        let sender = self.sessions.get(&by).map(|session| session.principal.login.clone());
        let (Some(sender), Some(queue)) = (sender, self.queues.get_mut(destination)) else {
            return Withdrawn::NotThere;
        };
        let Some(held) = Queue::withdraw(queue, &sender, header) else { return Withdrawn::NotThere };
        self.stored -= held.weight();
        self.work.queues.push_back(destination.clone());
        self.work.sweep = true;
        self.settle();
        Withdrawn::Removed { was_delivered: held.deliveries > 0 }
    }
}
