//! Numbers of bytes with their unit: `"64MiB"`, `"1GB"`, `"64 KiB"`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::quantity;
use crate::wording::shorten;

/// Units and their bytes, the largest first.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// A number of bytes, written as a whole number and a unit of either family: `64KiB` is 65536, `64kB` 64000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// Why a text is no [`Size`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not one number and one unit.
    #[error("not a size, such as \"64MiB\" or \"1GB\"")]
    Malformed,
    /// A bare number; the field is a size it might have been.
    #[error("a size needs a unit; did you mean \"{0}\"?")]
    NoUnit(String),
    /// More than 2^64 bytes.
    #[error("a size is less than 2^64 bytes")]
    TooLarge,
    /// A unit that is none or could be of both families; the other field is a size it might have been.
    #[error("no unit of size is called \"{unit}\"; did you mean \"{meant}\"?")]
    UnknownUnit {
        /// As it was written.
        unit: String,
        /// A size with a unit.
        meant: String,
    },
}

impl Size {
    /// A size of that many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// What a bare number most likely counts: bytes if it is a round number of them, else MiB.
    fn guess(number: u64) -> String {
        let bytes = Self(number);
        if number >= 1024 && number.is_multiple_of(1024) { bytes.to_string() } else { format!("{number}MiB") }
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let parts = quantity::split(text).ok_or(SizeError::Malformed)?;
        let [(number, unit)] = parts.as_slice() else { return Err(SizeError::Malformed) };
        if unit.is_empty() {
            return Err(SizeError::NoUnit(Self::guess(*number)));
        }
        match UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
            Some((_, bytes)) => number.checked_mul(*bytes).map(Self).ok_or(SizeError::TooLarge),
            None => Err(SizeError::UnknownUnit { unit: shorten(unit), meant: meant(*number, unit) }),
        }
    }
}

/// `64M` was probably `64MiB`.
fn meant(number: u64, unit: &str) -> String {
    let initial = unit.get(..1).unwrap_or_default();
    let unit = UNITS.iter().map(|(name, _)| *name).find(|name| {
        name.contains('i') && name.get(..1).is_some_and(|first| first.eq_ignore_ascii_case(initial))
    });
    format!("{number}{}", unit.unwrap_or("MiB"))
}

impl fmt::Display for Size {
    /// In the unit that makes the smallest whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().filter(|(_, bytes)| self.0.is_multiple_of(*bytes));
        match whole.min_by_key(|(_, bytes)| self.0 / bytes) {
            Some((unit, bytes)) if self.0 > 0 => write!(f, "{}{unit}", self.0 / bytes),
            _ => write!(f, "{}B", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        quantity::deserialize(deserializer, "a size such as \"64MiB\" or \"1GB\"")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str) -> Result<u64, String> {
        text.parse().map(Size::bytes).map_err(|error: SizeError| error.to_string())
    }

    #[test]
    fn both_families_of_units_are_read() {
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("1GB"), Ok(1_000_000_000));
        assert_eq!(bytes("64 KiB"), Ok(65_536));
        assert_eq!(bytes("64 kb"), Ok(64_000));
        assert_eq!(bytes("0B"), Ok(0));
    }

    #[test]
    fn what_is_no_size_says_what_might_be_meant() {
        let error = |text| bytes(text).unwrap_err();
        assert_eq!(error("64"), "a size needs a unit; did you mean \"64MiB\"?");
        assert_eq!(error("1048576"), "a size needs a unit; did you mean \"1MiB\"?");
        assert_eq!(error("2G"), "no unit of size is called \"G\"; did you mean \"2GiB\"?");
        assert_eq!(error("1GiB512MiB"), "not a size, such as \"64MiB\" or \"1GB\"");
        assert_eq!(error("16777216TiB"), "a size is less than 2^64 bytes");
    }

    proptest! {
        #[test]
        fn display_reads_back(bytes: u64) {
            let size = Size::new(bytes);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn round_sizes_read_back(number in 0_u64..2000, unit in 0..UNITS.len()) {
            let size = Size::new(number * UNITS[unit].1);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = text.parse::<Size>().map_err(|error| error.to_string());
        }
    }
}
