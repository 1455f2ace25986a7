//! What the host's clock shows at least, as far as the host's messages tell.
//!
//! A message says what the host's clock showed when it was said, and may have waited for hours since. So each gives a
//! time that the host's clock has passed by now, and the latest of these counts. The guest's own clock is needed for
//! what has passed since only: the time since boot, which nobody sets.
//!
//! Pure. Times are milliseconds: the host's since 1970, its own since boot.

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HostClock {
    /// By how much the host's clock is ahead of our own time, at least.
    ahead: Option<i64>,
}

impl HostClock {
    /// A message that says `host` has come at `own`.
    pub(super) fn observed(&mut self, own: i64, host: i64) {
        let ahead = host.saturating_sub(own);
        self.ahead = Some(self.ahead.map_or(ahead, |known| known.max(ahead)));
    }

    /// The answer to what was asked at `asked` has come at `own`, and says `host`. So the host's clock showed no more
    /// than that when it was asked, whatever was known: it may have been set back since.
    pub(super) fn answered(&mut self, asked: i64, own: i64, host: i64) {
        let most = host.saturating_sub(asked);
        self.ahead = self.ahead.filter(|known| *known <= most);
        self.observed(own, host);
    }

    /// What the host's clock shows at least, when our own shows that.
    pub(super) fn at_least(&self, own: i64) -> Option<i64> {
        self.ahead.map(|ahead| own.saturating_add(ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_latest_time_counts_however_long_others_have_waited() {
        let mut clock = HostClock::default();
        assert_eq!(clock.at_least(5), None);
        clock.observed(100, 1_000);
        clock.observed(200, 400);
        assert_eq!(clock.at_least(250), Some(1_150));
        clock.observed(260, 2_000);
        assert_eq!(clock.at_least(260), Some(2_000));
    }

    #[test]
    fn a_clock_that_was_set_back_is_believed_when_it_is_asked() {
        let mut clock = HostClock::default();
        clock.observed(0, 1_000_000);
        clock.observed(10, 5_000);
        assert_eq!(clock.at_least(10), Some(1_000_010), "that message may just be old");
        clock.answered(20, 30, 6_000);
        assert_eq!(clock.at_least(30), Some(6_000));
    }

    proptest! {
        /// A host's clock that runs evenly is never ahead of itself, and is known within the time of a question.
        #[test]
        fn it_is_never_later_than_the_hosts_clock(
            start in 0_i64..1 << 42,
            steps in prop::collection::vec((0_i64..100_000, 0_i64..1_000_000, any::<bool>()), 1..50),
        ) {
            let (mut own, mut clock) = (0, HostClock::default());
            let host = |own: i64| start + own;
            for (passes, waited, is_answer) in steps {
                own += passes;
                if is_answer {
                    let asked = own;
                    let said = host(own + waited / 2);
                    own += waited;
                    clock.answered(asked, own, said);
                    prop_assert!(host(own) - clock.at_least(own).unwrap() <= waited);
                } else {
                    clock.observed(own, host(own - waited.min(own)));
                }
                prop_assert!(clock.at_least(own).is_some_and(|time| time <= host(own)));
            }
        }

        #[test]
        fn wild_times_are_survived(times in prop::collection::vec((any::<i64>(), any::<i64>(), any::<i64>()), 0..20)) {
            let mut clock = HostClock::default();
            for (asked, own, host) in times {
                clock.observed(own, host);
                clock.answered(asked, own, host);
                clock.at_least(own);
            }
        }
    }
}
