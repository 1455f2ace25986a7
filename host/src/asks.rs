//! Asks that wait for their answers: who was asked, by when, and who wants to know.
//!
//! An answer counts only if it comes from the guest that was asked. Pure: ids and the clock are arguments.

use crate::fault::Fault;
use crate::request::{Answer, Reply};
use std::collections::BTreeMap;
use std::time::Instant;

/// Who wants to know the answer.
#[derive(Debug)]
pub enum Purpose {
    /// Somebody who waits for it.
    Caller(Reply<Result<Answer, Fault>>),
    /// The books: whether the guest has taken the command.
    Command(String),
}

/// One ask.
#[derive(Debug)]
pub struct Pending {
    /// Who was asked.
    pub guest: String,
    /// When to give up; never for commands, which wait in the guest's mailbox.
    pub deadline: Option<Instant>,
    /// Who wants to know.
    pub purpose: Purpose,
}

/// All asks under way.
#[derive(Debug, Default)]
pub struct Asks {
    pending: BTreeMap<String, Pending>,
}

impl Asks {
    /// Remembers an ask, before its message is sent.
    pub fn add(&mut self, id: String, pending: Pending) {
        self.pending.insert(id, pending);
    }

    /// The ask of that id, if it was this guest that was asked.
    pub fn answered(&mut self, id: &str, by: &str) -> Option<Pending> {
        let asked = self.pending.get(id)?;
        if asked.guest != by {
            return None;
        }
        self.pending.remove(id)
    }

    /// Those whose time has run out.
    pub fn expired(&mut self, now: Instant) -> Vec<Pending> {
        let expired = |_: &String, ask: &mut Pending| ask.deadline.is_some_and(|deadline| deadline <= now);
        self.pending.extract_if(.., expired).map(|(_, ask)| ask).collect()
    }

    /// Those of a guest that is gone and for which somebody waits; what waits in its mailbox stays.
    pub fn abandoned(&mut self, guest: &str) -> Vec<Pending> {
        let theirs =
            |_: &String, ask: &mut Pending| ask.guest == guest && matches!(ask.purpose, Purpose::Caller(_));
        self.pending.extract_if(.., theirs).map(|(_, ask)| ask).collect()
    }

    /// Whether a command is on its way to its guest.
    pub fn carries(&self, command: &str) -> bool {
        self.pending.values().any(|ask| matches!(&ask.purpose, Purpose::Command(id) if id == command))
    }

    /// When [`Self::expired`] has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.pending.values().filter_map(|ask| ask.deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn command(guest: &str, deadline: Option<Instant>) -> Pending {
        Pending { guest: guest.into(), deadline, purpose: Purpose::Command("k7mq2x.vm1".into()) }
    }

    #[test]
    fn only_the_guest_that_was_asked_can_answer() {
        let mut asks = Asks::default();
        asks.add("1".into(), command("vm1", None));
        assert!(asks.answered("1", "vm2").is_none());
        assert!(asks.carries("k7mq2x.vm1"));
        assert!(asks.answered("1", "vm1").is_some());
        assert!(asks.answered("1", "vm1").is_none());
    }

    #[test]
    fn asks_expire_and_are_abandoned_but_commands_wait() {
        let now = Instant::now();
        let mut asks = Asks::default();
        asks.add("1".into(), command("vm1", None));
        asks.add("2".into(), command("vm1", Some(now + Duration::from_secs(1))));
        assert_eq!(asks.next_deadline(), Some(now + Duration::from_secs(1)));
        assert!(asks.expired(now).is_empty());
        assert_eq!(asks.expired(now + Duration::from_secs(1)).len(), 1);
        let (reply, _answer) = tokio::sync::oneshot::channel();
        asks.add(
            "3".into(),
            Pending { guest: "vm1".into(), deadline: None, purpose: Purpose::Caller(reply) },
        );
        assert_eq!(asks.abandoned("vm1").len(), 1);
        assert!(asks.carries("k7mq2x.vm1"));
    }
}
