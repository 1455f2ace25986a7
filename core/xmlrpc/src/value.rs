//! What a parameter or a result can be, and how Rust's own types become one.
//! Not here: how a value looks in XML ([`crate::write_call`]) or becomes a Rust type ([`crate::from_value`]).

use std::collections::BTreeMap;

use time::{OffsetDateTime, UtcDateTime};

/// The greatest whole number up to which a double is exact: 2^53.
pub(crate) const EXACT_DOUBLE: i64 = 1 << 53;

/// An XML-RPC value. There is no nil: an absent thing is an absent struct member.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `<array>`
    Array(Vec<Self>),
    /// `<base64>`: bytes, and the only way to send text with characters XML cannot carry.
    Base64(Vec<u8>),
    /// `<boolean>`
    Bool(bool),
    /// `<dateTime.iso8601>`. The format has no zone, we mean UTC. A fraction of a second is read but not written.
    DateTime(UtcDateTime),
    /// `<double>`, which is also how whole numbers beyond 32 bits travel (exact up to 2^53).
    Double(f64),
    /// `<int>` and its other names.
    Int(i32),
    /// `<string>`, or a `<value>` that names no type.
    String(String),
    /// `<struct>`, its members sorted by name.
    Struct(BTreeMap<String, Self>),
}

impl Value {
    /// A whole number: an [`Self::Int`] if 32 bits hold it, else the nearest [`Self::Double`].
    #[expect(clippy::cast_precision_loss, reason = "what XML-RPC has for it; exact up to 2^53")]
    pub fn integer(number: i64) -> Self {
        i32::try_from(number).map_or(Self::Double(number as f64), Self::Int)
    }

    /// The name of the value's type, as messages say it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Array(_) => "array",
            Self::Base64(_) => "base64",
            Self::Bool(_) => "boolean",
            Self::DateTime(_) => "dateTime",
            Self::Double(_) => "double",
            Self::Int(_) => "int",
            Self::String(_) => "string",
            Self::Struct(_) => "struct",
        }
    }

    /// About how many bytes it takes as XML, and of what order as a value in memory. Cheaper than writing it.
    pub fn weight(&self) -> usize {
        // The tags of a value and its type; those of a member; a number or a date.
        let (tags, member, number) = (32, 30, 12);
        tags + match self {
            Self::Array(items) => items.iter().map(Self::weight).sum(),
            Self::Base64(bytes) => bytes.len().div_ceil(3) * 4,
            Self::Bool(_) | Self::DateTime(_) | Self::Int(_) => number,
            // Written without an exponent.
            Self::Double(double) if double.abs() > 1e30 || double.abs() < 1e-10 => 10 * number,
            Self::Double(_) => number,
            Self::String(text) => {
                text.len() + 4 * text.bytes().filter(|byte| b"&<>\r".contains(byte)).count()
            }
            Self::Struct(members) => {
                members.iter().map(|(name, value)| member + name.len() + value.weight()).sum()
            }
        }
    }

    /// The member of that name, if this is a struct that has it.
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(members) => members.get(name),
            _ => None,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::integer(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::integer(value.into())
    }
}

impl From<u64> for Value {
    #[expect(clippy::cast_precision_loss, reason = "what XML-RPC has for it; exact up to 2^53")]
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::Double(value as f64), Self::integer)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<UtcDateTime> for Value {
    fn from(value: UtcDateTime) -> Self {
        Self::DateTime(value)
    }
}

impl From<OffsetDateTime> for Value {
    fn from(value: OffsetDateTime) -> Self {
        Self::DateTime(value.to_utc())
    }
}

impl From<Vec<Self>> for Value {
    fn from(value: Vec<Self>) -> Self {
        Self::Array(value)
    }
}

impl<K: Into<String>, const N: usize> From<[(K, Self); N]> for Value {
    fn from(members: [(K, Self); N]) -> Self {
        members.into_iter().collect()
    }
}

impl FromIterator<Self> for Value {
    fn from_iter<I: IntoIterator<Item = Self>>(items: I) -> Self {
        Self::Array(items.into_iter().collect())
    }
}

impl<K: Into<String>> FromIterator<(K, Self)> for Value {
    fn from_iter<I: IntoIterator<Item = (K, Self)>>(members: I) -> Self {
        Self::Struct(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_beyond_32_bits_are_doubles() {
        assert_eq!(Value::from(2_147_483_647_i64), Value::Int(i32::MAX));
        assert_eq!(Value::from(2_147_483_648_i64), Value::Double(2_147_483_648.0));
        assert_eq!(Value::from(u32::MAX), Value::Double(4_294_967_295.0));
        assert_eq!(Value::from(u64::MAX), Value::Double(18_446_744_073_709_551_615.0));
        assert_eq!(Value::from(7_u64), Value::Int(7));
    }

    #[test]
    fn members_are_found_by_name_and_only_in_structs() {
        let value = Value::from([("state", Value::from("running"))]);
        assert_eq!(value.member("state"), Some(&Value::from("running")));
        assert_eq!(value.member("exit"), None);
        assert_eq!(Value::Int(1).member("state"), None);
    }

    #[test]
    fn a_time_elsewhere_becomes_utc() {
        let there = time::macros::datetime!(2026-11-22 10:00 +1);
        assert_eq!(Value::from(there), Value::DateTime(time::macros::utc_datetime!(2026-11-22 9:00)));
    }
}
