//! Numbers with units, as durations and sizes have them: how they are split, and how serde reads them.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Visitor};

/// Splits `1h30m` into `(1, "h")` and `(30, "m")`; spaces may stand between all parts. `None` if it is not
/// numbers and units in turn, or a number does not fit. The last unit may be empty.
pub(crate) fn split(text: &str) -> Option<Vec<(u64, &str)>> {
    let mut rest = text.trim();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (digits, after) = split_while(rest, |c| c.is_ascii_digit())?;
        let (unit, after) = split_while(after.trim_start(), char::is_alphabetic)?;
        if unit.is_empty() && !after.is_empty() {
            return None;
        }
        parts.push((digits.parse().ok()?, unit));
        rest = after.trim_start();
    }
    (!parts.is_empty()).then_some(parts)
}

fn split_while(text: &str, wanted: fn(char) -> bool) -> Option<(&str, &str)> {
    text.split_at_checked(text.find(|c| !wanted(c)).unwrap_or(text.len()))
}

/// Reads text as a `T`, and a bare number as the text it would be, so that `T` can ask for its unit.
pub(crate) fn deserialize<'de, T, D>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(TextVisitor { expected, read: PhantomData })
}

struct TextVisitor<T> {
    expected: &'static str,
    read: PhantomData<T>,
}

impl<T: FromStr<Err: Display>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}
