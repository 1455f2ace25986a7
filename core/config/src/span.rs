//! Lengths of time with their unit: `"10s"`, `"1h30m"`, `"250ms"`, `"7d"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::quantity;
use crate::wording::shorten;

/// Units and their nanoseconds, the longest first.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A length of time, written as whole numbers with units, the longest unit first.
///
/// Weeks, months and fractions are left out: a configuration reads better as `"90m"` than as `"1.5h"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

/// Why a text is no [`Span`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Neither numbers nor units, or in another order.
    #[error("not a duration, such as \"10s\" or \"1h30m\"")]
    Malformed,
    /// A bare number; the field is the number with the unit it might have.
    #[error("a duration needs a unit; did you mean \"{0}\"?")]
    NoUnit(String),
    /// More than 2^64 seconds.
    #[error("a duration is shorter than 2^64 seconds")]
    TooLong,
    /// A unit that is none.
    #[error("no unit of time is called \"{0}\"; units are d h m s ms us ns")]
    UnknownUnit(String),
}

impl Span {
    /// A span of that length.
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// Its length.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let mut total = 0_u128;
        let mut longest_allowed = u128::MAX;
        for (number, unit) in quantity::split(text).ok_or(SpanError::Malformed)? {
            if unit.is_empty() {
                return Err(SpanError::NoUnit(format!("{}s", shorten(text.trim()))));
            }
            let Some((_, nanoseconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
                return Err(SpanError::UnknownUnit(shorten(unit)));
            };
            if *nanoseconds >= longest_allowed {
                return Err(SpanError::Malformed);
            }
            longest_allowed = *nanoseconds;
            total += u128::from(number) * nanoseconds;
        }
        from_nanoseconds(total).map(Self).ok_or(SpanError::TooLong)
    }
}

fn from_nanoseconds(total: u128) -> Option<Duration> {
    let (seconds, nanoseconds) = (total / 1_000_000_000, total % 1_000_000_000);
    Some(Duration::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?))
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        let mut rest = self.0.as_nanos();
        for (unit, nanoseconds) in UNITS {
            if rest >= nanoseconds {
                write!(f, "{}{unit}", rest / nanoseconds)?;
                rest %= nanoseconds;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        quantity::deserialize(deserializer, "a duration such as \"10s\" or \"1h30m\"")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn milliseconds(text: &str) -> Result<u128, String> {
        text.parse()
            .map(|span: Span| span.duration().as_millis())
            .map_err(|error: SpanError| error.to_string())
    }

    #[test]
    fn units_add_up() {
        assert_eq!(milliseconds("10s"), Ok(10_000));
        assert_eq!(milliseconds("5m"), Ok(300_000));
        assert_eq!(milliseconds("1h30m"), Ok(5_400_000));
        assert_eq!(milliseconds("1 h 30 m"), Ok(5_400_000));
        assert_eq!(milliseconds("250ms"), Ok(250));
        assert_eq!(milliseconds("7d"), Ok(604_800_000));
        assert_eq!(milliseconds("0s"), Ok(0));
    }

    #[test]
    fn what_is_no_duration_says_why() {
        let error = |text| milliseconds(text).unwrap_err();
        assert_eq!(error("10"), "a duration needs a unit; did you mean \"10s\"?");
        assert_eq!(error("10sec"), "no unit of time is called \"sec\"; units are d h m s ms us ns");
        for text in ["", "s", "-1s", "1.5h", "30m1h", "1h1h", "1h30", "99999999999999999999s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!(error("18446744073709551615d"), "a duration is shorter than 2^64 seconds");
    }

    proptest! {
        #[test]
        fn display_reads_back(seconds: u64, nanoseconds in 0_u32..1_000_000_000) {
            let span = Span::new(Duration::new(seconds, nanoseconds));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = text.parse::<Span>().map_err(|error| error.to_string());
        }
    }
}
