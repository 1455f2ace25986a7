//! What this process has asked of its host, and what the answer will be about.
//!
//! Ids begin with a number that another process does not have: the answers to a process that was killed wait in the
//! guest's mailbox, and must not be taken for answers to the next one. Pure.

use super::reports::Report;
use std::collections::BTreeMap;

/// PendingAsks under way. More than there can be reports on their way, since a report that is told again is asked again and
/// either answer counts. The oldest go when there are more.
const MAX_PENDING: usize = 256;

/// What an answer is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Ask {
    Time,
    Report(Report),
}

/// What to make of an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Match {
    /// It is the answer to this.
    Pending(Ask),
    /// This process asked, and does not wait for it any more: it has asked again since, or connected again.
    Late,
    /// This process never asked that.
    Unknown,
}

#[derive(Debug)]
pub(super) struct PendingAsks {
    process: u32,
    next: u64,
    pending: BTreeMap<u64, Ask>,
    unasked: u64,
}

impl PendingAsks {
    /// Of a process with that number.
    pub(super) const fn new(process: u32) -> Self {
        Self { process, next: 0, pending: BTreeMap::new(), unasked: 0 }
    }

    /// Remembers what is asked; gives the id to ask it under.
    pub(super) fn add(&mut self, ask: Ask) -> String {
        self.next += 1;
        self.pending.insert(self.next, ask);
        while self.pending.len() > MAX_PENDING {
            self.pending.pop_first();
        }
        format!("{:08x}-{:x}", self.process, self.next)
    }

    /// What was asked under that id; it is answered at most once.
    pub(super) fn resolve(&mut self, id: &str) -> Match {
        match self.number(id) {
            Some(number) => self.pending.remove(&number).map_or(Match::Late, Match::Pending),
            None => {
                self.unasked += 1;
                Match::Unknown
            }
        }
    }

    /// Waits no longer for the answer to that.
    pub(super) fn withdraw(&mut self, id: &str) {
        self.number(id).map(|number| self.pending.remove(&number));
    }

    /// Waits no longer for any answer: the connection is another one.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    /// How many answers came that nobody had asked for.
    pub(super) const fn unasked(&self) -> u64 {
        self.unasked
    }

    /// The number of an ask of this process.
    fn number(&self, id: &str) -> Option<u64> {
        let (process, number) = id.split_once('-')?;
        let number = u64::from_str_radix(number, 16).ok()?;
        // Written back, so that no other writing of the same number counts.
        let is_ours = process == format!("{:08x}", self.process) && id == format!("{process}-{number:x}");
        (is_ours && (1..=self.next).contains(&number)).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end(job: &str) -> Ask {
        Ask::Report(Report::End { job: job.into(), inline: true })
    }

    #[test]
    fn an_answer_to_a_process_that_was_killed_is_none_to_the_next() {
        let mut killed = PendingAsks::new(7);
        let stale = killed.add(end("a"));
        let mut next = PendingAsks::new(8);
        let ours = next.add(end("b"));
        assert_eq!(next.resolve(&stale), Match::Unknown);
        // What a process of an older version asked.
        assert_eq!(next.resolve("1"), Match::Unknown);
        assert_eq!(next.unasked(), 2);
        assert_eq!(next.resolve(&ours), Match::Pending(end("b")));
        assert_eq!((next.resolve(&ours), next.unasked()), (Match::Late, 2));
    }

    #[test]
    fn asks_that_are_never_answered_do_not_pile_up() {
        let mut asks = PendingAsks::new(1);
        let first = asks.add(Ask::Time);
        let last = (0..10 * MAX_PENDING).map(|n| asks.add(end(&n.to_string()))).last().unwrap();
        assert_eq!(asks.pending.len(), MAX_PENDING);
        assert_eq!(asks.resolve(&first), Match::Late);
        assert!(matches!(asks.resolve(&last), Match::Pending(_)));
        asks.clear();
        assert!(asks.pending.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_but_the_id_itself_matches(id in "[0-9a-f]{0,9}-?\\+?[0-9a-fA-F]{0,17}") {
            let mut asks = PendingAsks::new(0xabc);
            let ours = asks.add(Ask::Time);
            let expected = if id == ours { Match::Pending(Ask::Time) } else { Match::Unknown };
            prop_assert_eq!(asks.resolve(&id), expected);
        }
    }
}
