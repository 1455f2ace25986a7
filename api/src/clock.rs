//! One moment, on both clocks: the one that never jumps for deadlines, the one people read for reports.
//!
//! Everything that decides by time takes a [`Now`] as an argument; only the agent's task reads the clocks.

use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// A moment.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For deadlines and intervals.
    pub mono: Instant,
    /// For people; UTC.
    pub utc: OffsetDateTime,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Self {
        Self { mono: Instant::now(), utc: OffsetDateTime::now_utc() }
    }

    /// This moment, later.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self { mono: self.mono + by, utc: self.utc + by }
    }
}

/// An age as people read it: `12s`, `4m10s`, `2h`, `3d`.
pub fn age(of: Duration) -> String {
    match of.as_secs() {
        s @ 0..=59 => format!("{s}s"),
        s @ 60..=599 if s % 60 != 0 => format!("{}m{}s", s / 60, s % 60),
        s @ 60..=3599 => format!("{}m", s / 60),
        s @ 3600..=86_399 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let told = [0, 59, 60, 250, 600, 7_200, 260_000].map(|s| age(Duration::from_secs(s)));
        assert_eq!(told, ["0s", "59s", "1m", "4m10s", "10m", "2h", "3d"]);
    }
}
