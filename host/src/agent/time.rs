//! The host's time as guests are told it, and until when a message holds.
//!
//! Every message says when it was sent (`host-time`), and one that is of no use later says until when it holds
//! (`valid-until`), both in milliseconds since 1970 by this clock. A guest judges by the difference between the two clocks
//! that it has seen on its connection, not by its own time of day; so the host's must not jump.

use std::time::Instant;
use time::OffsetDateTime;
use vocable_api::clock::Now;

/// The time of day when the agent started, and the clock that never jumps from then on.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostTime {
    started: Now,
}

impl HostTime {
    pub(super) const fn new(started: Now) -> Self {
        Self { started }
    }

    /// Milliseconds since 1970.
    pub(super) fn at(self, moment: Instant) -> u64 {
        let begun = u64::try_from(self.started.utc.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        let later = moment.saturating_duration_since(self.started.mono).as_millis();
        begun.saturating_add(u64::try_from(later).unwrap_or(u64::MAX))
    }
}

/// A time of day on the clock that never jumps, as seen from now.
pub(super) fn moment(of: OffsetDateTime, now: Now) -> Instant {
    let left = std::time::Duration::try_from(of - now.utc).unwrap_or_default();
    now.mono.checked_add(left).unwrap_or(now.mono)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_time_guests_are_told_goes_on_when_the_time_of_day_jumps() {
        let started =
            Now { utc: OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_000), mono: Instant::now() };
        let time = HostTime::new(started);
        assert_eq!(time.at(started.mono), 1_000_000);
        let jumped =
            Now { utc: started.utc - Duration::from_secs(500), ..started.after(Duration::from_secs(2)) };
        assert_eq!(time.at(jumped.mono), 1_002_000);
        assert_eq!(moment(jumped.utc + Duration::from_secs(3), jumped), jumped.mono + Duration::from_secs(3));
        assert_eq!(moment(jumped.utc - Duration::from_secs(3), jumped), jumped.mono);
    }
}
