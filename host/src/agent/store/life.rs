//! How long the agent has been running, all its processes together: a clock that never jumps, to tell the age of what
//! has ended whatever the other clock says.

use std::time::{Duration, Instant};

/// What ended before this process began is kept for so long of the agent's running time at least.
const AT_LEAST: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// Of all processes before, seconds.
    before: i64,
    since: Instant,
}

/// What is old by the running time, seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Old {
    pub(super) began: i64,
    /// What ended by then, and before this process, is old.
    pub(super) before: i64,
    /// What ended by then in this process is old.
    pub(super) since: i64,
}

impl Life {
    /// Goes on behind so many seconds.
    pub(super) const fn after(seconds: i64, now: Instant) -> Self {
        Self { before: seconds, since: now }
    }

    pub(super) fn seconds(self, now: Instant) -> i64 {
        let here = now.saturating_duration_since(self.since).as_secs();
        self.before.saturating_add(i64::try_from(here).unwrap_or(i64::MAX))
    }

    /// What is old if it is to be kept for so long.
    pub(super) fn old(self, keep: Duration, now: Instant) -> Old {
        let seconds = |it: Duration| i64::try_from(it.as_secs()).unwrap_or(i64::MAX);
        let ago = |it: Duration| self.seconds(now).saturating_sub(seconds(it));
        Old { began: self.before, before: ago(keep.min(AT_LEAST)), since: ago(keep) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_in_this_process_is_kept_as_long_as_wanted_and_the_rest_for_a_day() {
        let start = Instant::now();
        let life = Life::after(1000, start);
        let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86_400));
        assert_eq!(life.seconds(start + hour), 4600);
        let old = life.old(30 * day, start + hour);
        assert_eq!(old, Old { began: 1000, before: 4600 - 86_400, since: 4600 - 30 * 86_400 });
        let old = life.old(Duration::from_secs(600), start + hour);
        assert_eq!(old, Old { began: 1000, before: 4000, since: 4000 });
    }
}
