//! Asks that wait for their answers: who was asked, by when, and who wants to know.
//!
//! An answer counts only if it comes from the guest that was asked, and is to an ask of this process: the ids begin with a
//! part of its own, because answers to another one may still be on their way. Pure: that part and the clock are arguments.

use crate::agent::request::{Answer, Reply};
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;
use vocable_api::fault::Fault;

#[derive(Debug)]
pub(crate) enum Purpose {
    Caller(Reply<Result<Answer, Fault>>),
    /// The books: whether the guest has taken the command.
    Command(String),
}

/// One ask.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) guest: String,
    /// When to give up; never for commands, which wait in the guest's mailbox.
    pub(crate) deadline: Option<Instant>,
    pub(crate) purpose: Purpose,
}

#[derive(Debug)]
pub(crate) struct Asks {
    /// What the ids of this process begin with.
    process: String,
    next: u64,
    pending: HashMap<String, Pending>,
    deadlines: BTreeSet<(Instant, String)>,
    by_guest: HashMap<String, BTreeSet<String>>,
    /// The id of the ask that carries a command.
    by_command: HashMap<String, String>,
}

impl Asks {
    /// None yet. `process` is to differ from that of every other process that ever asked these guests.
    pub(crate) fn new(process: &str) -> Self {
        Self {
            process: process.to_owned(),
            next: 0,
            pending: HashMap::new(),
            deadlines: BTreeSet::new(),
            by_guest: HashMap::new(),
            by_command: HashMap::new(),
        }
    }

    /// Remembers an ask, before its message is sent. Gives its id.
    pub(crate) fn add(&mut self, pending: Pending) -> String {
        self.next += 1;
        let id = format!("{}-{:x}", self.process, self.next);
        self.deadlines.extend(pending.deadline.map(|deadline| (deadline, id.clone())));
        self.by_guest.entry(pending.guest.clone()).or_default().insert(id.clone());
        if let Purpose::Command(command) = &pending.purpose {
            self.by_command.insert(command.clone(), id.clone());
        }
        self.pending.insert(id.clone(), pending);
        id
    }

    /// The ask of that id, if it was this guest that was asked.
    pub(crate) fn answered(&mut self, id: &str, by: &str) -> Option<Pending> {
        if self.pending.get(id)?.guest != by {
            return None;
        }
        self.remove(id)
    }

    /// Forgets an ask: its message was not sent, or is not on its way any more.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Pending> {
        let ask = self.pending.remove(id)?;
        if let Some(deadline) = ask.deadline {
            self.deadlines.remove(&(deadline, id.to_owned()));
        }
        if let Some(theirs) = self.by_guest.get_mut(&ask.guest) {
            theirs.remove(id);
            if theirs.is_empty() {
                self.by_guest.remove(&ask.guest);
            }
        }
        if let Purpose::Command(command) = &ask.purpose
            && self.by_command.get(command).is_some_and(|carrier| carrier == id)
        {
            self.by_command.remove(command);
        }
        Some(ask)
    }

    /// The message of an ask for a command is not on its way any more, and its guest may have had it: its answer still
    /// counts.
    pub(crate) fn detach(&mut self, id: &str) {
        if let Some(Pending { purpose: Purpose::Command(command), .. }) = self.pending.get(id)
            && self.by_command.get(command).is_some_and(|carrier| carrier == id)
        {
            self.by_command.remove(command);
        }
    }

    pub(crate) fn expired(&mut self, now: Instant) -> Vec<Pending> {
        let mut expired = Vec::new();
        while self.deadlines.first().is_some_and(|(deadline, _)| *deadline <= now) {
            let ended = self.deadlines.pop_first().and_then(|(_, id)| self.remove(&id));
            expired.extend(ended);
        }
        expired
    }

    /// Those of a guest that is gone and for which somebody waits; what waits in its mailbox stays.
    pub(crate) fn abandoned(&mut self, guest: &str) -> Vec<Pending> {
        let theirs: Vec<_> = self.by_guest.get(guest).into_iter().flatten().cloned().collect();
        let is_caller = |asks: &Self, id: &String| {
            asks.pending.get(id).is_some_and(|ask| matches!(ask.purpose, Purpose::Caller(_)))
        };
        theirs.into_iter().filter_map(|id| is_caller(self, &id).then(|| self.remove(&id)).flatten()).collect()
    }

    /// The id of the ask by which a command is on its way to its guest.
    pub(crate) fn carrier(&self, command: &str) -> Option<&str> {
        self.by_command.get(command).map(String::as_str)
    }

    /// When [`Self::expired`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const COMMAND: &str = "k7mq2x.vm1";

    fn command(guest: &str, deadline: Option<Instant>) -> Pending {
        Pending { guest: guest.into(), deadline, purpose: Purpose::Command(COMMAND.into()) }
    }

    fn caller(guest: &str, deadline: Option<Instant>) -> Pending {
        let (reply, _answer) = tokio::sync::oneshot::channel();
        Pending { guest: guest.into(), deadline, purpose: Purpose::Caller(reply) }
    }

    #[test]
    fn only_the_guest_that_was_asked_can_answer() {
        let mut asks = Asks::new("a");
        let id = asks.add(command("vm1", None));
        assert!(asks.answered(&id, "vm2").is_none());
        assert_eq!(asks.carrier(COMMAND), Some(id.as_str()));
        assert!(asks.answered(&id, "vm1").is_some());
        assert!(asks.answered(&id, "vm1").is_none());
        assert_eq!(asks.carrier(COMMAND), None);
    }

    /// A guest that was away answers what a former host agent has asked: that is no answer to what this one asks.
    #[test]
    fn an_answer_to_a_former_process_is_none_to_this_one() {
        let (mut former, mut now) = (Asks::new("3f9a01cc"), Asks::new("80b2e4d1"));
        for _ in 0..100 {
            let (theirs, ours) = (former.add(command("vm1", None)), now.add(command("vm1", None)));
            assert_ne!(theirs, ours);
            assert!(now.answered(&theirs, "vm1").is_none());
        }
    }

    #[test]
    fn an_order_that_is_not_on_its_way_any_more_can_still_be_answered() {
        let mut asks = Asks::new("a");
        let first = asks.add(command("vm1", None));
        asks.detach(&first);
        assert_eq!(asks.carrier(COMMAND), None);
        let second = asks.add(command("vm1", None));
        assert!(asks.answered(&first, "vm1").is_some());
        assert_eq!(asks.carrier(COMMAND), Some(second.as_str()));
    }

    #[test]
    fn asks_expire_and_are_abandoned_but_commands_wait() {
        let now = Instant::now();
        let mut asks = Asks::new("a");
        asks.add(command("vm1", None));
        asks.add(caller("vm1", Some(now + Duration::from_secs(1))));
        assert_eq!(asks.next_deadline(), Some(now + Duration::from_secs(1)));
        assert!(asks.expired(now).is_empty());
        assert_eq!(asks.expired(now + Duration::from_secs(1)).len(), 1);
        asks.add(caller("vm1", None));
        asks.add(caller("vm2", None));
        assert_eq!(asks.abandoned("vm1").len(), 1);
        assert!(asks.carrier(COMMAND).is_some());
    }

    proptest! {
        /// Whatever is asked, answered, expires and is abandoned: each ask comes out once, and nothing is kept of it.
        #[test]
        fn each_ask_is_over_once(steps in prop::collection::vec((0u8..5, 0u8..4, 0u64..9), 0..200)) {
            let (start, mut asks) = (Instant::now(), Asks::new("a"));
            let (mut ids, mut asked, mut over) = (Vec::new(), 0, 0);
            for (step, guest, number) in steps {
                let guest = format!("vm{guest}");
                let at = start + Duration::from_secs(number);
                match step {
                    0 => ids.push((asks.add(command(&guest, None)), guest)),
                    1 => ids.push((asks.add(caller(&guest, Some(at))), guest)),
                    2 => over += asks.expired(at).len(),
                    3 => over += asks.abandoned(&guest).len(),
                    _ => over += ids.get(number as usize).map_or(0, |(id, guest)| {
                        usize::from(asks.answered(id, guest).is_some())
                    }),
                }
                asked += usize::from(step < 2);
                prop_assert_eq!(asks.pending.len(), asked - over);
            }
            over += asks.expired(start + Duration::from_secs(99)).len();
            for (id, guest) in &ids {
                over += usize::from(asks.answered(id, guest).is_some());
            }
            prop_assert_eq!(over, asked);
            prop_assert!(asks.deadlines.is_empty() && asks.by_guest.is_empty() && asks.by_command.is_empty());
        }
    }
}
