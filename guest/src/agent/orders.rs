//! Which of the host's orders are still to be carried out. An order may say until when; it may have waited in the
//! mailbox for longer than that, and then nothing is done.
//!
//! ```text
//! arrived ──without `valid-until`──────────────────────────────▶ heard
//!    └────▶ held until the host has told its time on this connection ─┬─ in time ──▶ heard
//!                                                                     └─ too late ─▶ expired
//! ```
//! What the host's clock shows is known from its messages ([`HostClock`]): the guest's own may be wrong. An order that
//! seems to be late is not refused before the host was asked what its clock shows now. How long orders are held, and
//! how many, is bounded; then what is known has to do.
//!
//! Pure: it asks nobody, and the time since boot in milliseconds is an argument.

use super::host_clock::HostClock;
use std::collections::VecDeque;

/// How long an order is held at most, in milliseconds.
const MAX_HOLD_MS: i64 = 5_000;
/// Orders that are held at most, and their bytes. Both are less than our broker gives out before it sees an
/// acknowledgement: the answer that these wait for comes the same way.
const MAX_HELD: usize = 128;
const MAX_HELD_BYTES: usize = 768 << 10;

/// An order, and what has to be known of it.
#[derive(Debug)]
struct Held<T> {
    order: T,
    valid_until: i64,
    bytes: usize,
    since: i64,
}

/// What is to become of an order.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Verdict<T> {
    /// It was valid until then, and the host's clock shows at least this.
    Expired {
        order: T,
        valid_until: i64,
        now: i64,
    },
    Accept(T),
}

#[derive(Debug)]
pub(super) struct Orders<T> {
    clock: HostClock,
    held: VecDeque<Held<T>>,
    bytes: usize,
    /// The id of the question, and when it was asked.
    asked: Option<(String, i64)>,
    /// When the last answer came on this connection.
    answered: Option<i64>,
}

impl<T> Default for Orders<T> {
    fn default() -> Self {
        Self { clock: HostClock::default(), held: VecDeque::new(), bytes: 0, asked: None, answered: None }
    }
}

impl<T> Orders<T> {
    /// The connection is another one, or there is none: what is held comes again.
    pub(super) fn connection_lost(&mut self) {
        self.held.clear();
        (self.bytes, self.asked, self.answered) = (0, None, None);
    }

    /// An order of so many bytes has come that is valid until then.
    pub(super) fn push(&mut self, order: T, valid_until: i64, bytes: usize, own: i64) {
        self.bytes += bytes;
        self.held.push_back(Held { order, valid_until, bytes, since: own });
    }

    /// A message of the host has come that says what its clock showed.
    pub(super) fn host_time(&mut self, own: i64, host: i64, in_reply_to: Option<&str>) {
        match self.asked.take_if(|(id, _)| in_reply_to == Some(&**id)) {
            Some((_, asked)) => {
                self.answered = Some(own);
                self.clock.answered(asked, own, host);
            }
            None => self.clock.observed(own, host),
        }
    }

    /// The question has an answer. One that did not say what the clock shows leaves what is known.
    pub(super) fn answered_without_time(&mut self, id: &str, own: i64) {
        if self.asked.take_if(|(asked, _)| asked == id).is_some() {
            self.answered = Some(own);
        }
    }

    /// Whether the host has to be asked what its clock shows.
    pub(super) fn has_to_ask(&self, own: i64) -> bool {
        !self.held.is_empty()
            && self.asked.as_ref().is_none_or(|(_, when)| own >= when.saturating_add(MAX_HOLD_MS))
    }

    /// The host was asked under that id.
    pub(super) fn ask(&mut self, id: String, own: i64) {
        self.asked = Some((id, own));
    }

    /// The oldest order that is held, if it is known what is to become of it.
    pub(super) fn next(&mut self, own: i64) -> Option<Verdict<T>> {
        let oldest = self.held.front()?;
        let now = self.clock.at_least(own).filter(|now| *now > oldest.valid_until);
        let is_proven = match now {
            // It may have come after the answer, and the host's clock may have been set back since.
            Some(_) => self.answered.is_some_and(|answered| answered >= oldest.since),
            None => self.answered.is_some(),
        };
        let has_waited = own >= oldest.since.saturating_add(MAX_HOLD_MS);
        let is_full = self.held.len() > MAX_HELD || self.bytes > MAX_HELD_BYTES;
        if !(is_proven || has_waited || is_full) {
            return None;
        }
        let Held { order, valid_until, bytes, .. } = self.held.pop_front()?;
        self.bytes -= bytes;
        Some(match now {
            Some(now) => Verdict::Expired { order, valid_until, now },
            None => Verdict::Accept(order),
        })
    }

    /// When [`Self::next`] has something to say without anything happening.
    pub(super) fn deadline(&self) -> Option<i64> {
        self.held.front().map(|oldest| oldest.since.saturating_add(MAX_HOLD_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Asks and is answered in the same moment.
    fn told(orders: &mut Orders<u32>, own: i64, host: i64) {
        orders.ask(format!("t{own}"), own);
        orders.host_time(own, host, Some(&format!("t{own}")));
    }

    #[test]
    fn an_order_waits_for_the_hosts_time_and_then_for_nothing() {
        let mut orders = Orders::default();
        orders.push(1, 1_000, 10, 0);
        orders.host_time(0, 900, None);
        assert_eq!(orders.next(0), None, "the message that says so may have waited, too");
        assert!(orders.has_to_ask(0));
        told(&mut orders, 5, 950);
        assert_eq!(orders.next(5), Some(Verdict::Accept(1)));
        orders.push(2, 2_000, 10, 100);
        assert_eq!(orders.next(100), Some(Verdict::Accept(2)), "the time is known by now");
        assert!(!orders.has_to_ask(100) && orders.deadline().is_none());
    }

    #[test]
    fn what_has_waited_too_long_in_the_mailbox_expires() {
        let mut orders = Orders::default();
        orders.push(1, 1_000, 10, 0);
        orders.host_time(0, 500, None);
        orders.push(2, 9_000, 10, 0);
        told(&mut orders, 3, 5_000);
        assert_eq!(orders.next(3), Some(Verdict::Expired { order: 1, valid_until: 1_000, now: 5_000 }));
        assert_eq!(orders.next(3), Some(Verdict::Accept(2)));
    }

    #[test]
    fn nothing_is_refused_because_the_hosts_clock_was_set_back() {
        let mut orders = Orders::default();
        told(&mut orders, 0, 1_000_000);
        // An order of a clock that shows 500 now.
        orders.push(1, 700, 10, 50);
        orders.host_time(50, 500, None);
        assert_eq!(orders.next(50), None);
        assert!(orders.has_to_ask(50));
        told(&mut orders, 51, 501);
        assert_eq!(orders.next(51), Some(Verdict::Accept(1)));
    }

    #[test]
    fn a_host_that_does_not_tell_its_time_holds_up_nothing_for_long() {
        let mut orders = Orders::default();
        orders.push(1, 1_000, 10, 0);
        assert_eq!((orders.next(0), orders.deadline()), (None, Some(MAX_HOLD_MS)));
        assert_eq!(orders.next(MAX_HOLD_MS), Some(Verdict::Accept(1)));
        orders.ask("t".into(), MAX_HOLD_MS);
        orders.push(2, 1_000, 10, MAX_HOLD_MS);
        orders.answered_without_time("t", MAX_HOLD_MS + 1);
        assert_eq!(orders.next(MAX_HOLD_MS + 1), Some(Verdict::Accept(2)));
    }

    #[test]
    fn another_connection_is_asked_again() {
        let mut orders = Orders::default();
        told(&mut orders, 0, 100);
        orders.push(1, 1_000, 10, 0);
        orders.connection_lost();
        assert_eq!(orders.next(0), None, "it comes again");
        orders.push(1, 1_000, 10, 5_000);
        assert_eq!(orders.next(5_000), None);
        assert!(orders.has_to_ask(5_000));
        told(&mut orders, 5_001, 9_000);
        assert!(matches!(orders.next(5_001), Some(Verdict::Expired { .. })));
    }

    #[test]
    fn more_than_the_broker_gives_out_is_never_held() {
        let mut orders = Orders::default();
        (0..=u32::try_from(MAX_HELD).unwrap()).for_each(|n| orders.push(n, 1_000, 1, 0));
        assert_eq!((orders.next(0), orders.next(0)), (Some(Verdict::Accept(0)), None));
        orders.push(999, 1_000, MAX_HELD_BYTES, 0);
        assert_eq!(std::iter::from_fn(|| orders.next(0)).count(), MAX_HELD);
        assert_eq!(orders.next(0), None, "the large one alone is within the bound");
    }

    proptest! {
        /// Every order is heard or refused in the end, in its order; none is heard that the host, asked after the order
        /// had come, would have called late, and none is refused that it would not.
        #[test]
        fn every_order_gets_its_due(
            steps in prop::collection::vec((0_i64..2_000, -3_000_i64..3_000, 0_i64..1_000), 1..40),
        ) {
            let host = |own: i64| 1 << 40 | own;
            let (mut own, mut orders, mut due) = (0, Orders::default(), Vec::new());
            for (n, (passes, valid_for, answered_after)) in steps.into_iter().enumerate() {
                own += passes;
                let valid_until = host(own) + valid_for;
                orders.push(n, valid_until, 1, own);
                due.push(valid_until);
                let asked = own;
                orders.ask("t".into(), own);
                own += answered_after;
                orders.host_time(own, host(asked), Some("t"));
                while let Some(verdict) = orders.next(own) {
                    match verdict {
                        Verdict::Accept(n) => prop_assert!(due[n] >= host(asked)),
                        Verdict::Expired { order, now, .. } => prop_assert!(due[order] < now && now <= host(own)),
                    }
                }
                prop_assert!(orders.held.is_empty() && orders.bytes == 0);
            }
        }
    }
}
