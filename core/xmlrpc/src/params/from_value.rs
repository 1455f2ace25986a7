//! From a value to a Rust type, with the tolerance XML-RPC clients need: a whole number where a double is
//! expected (Python sends `1` for `1.0`), base64 for text and text for bytes, a text for a time.

use std::{collections::BTreeMap, fmt};

use time::UtcDateTime;

use crate::{Value, excerpt, parse::scalar, value::EXACT_DOUBLE};

/// A type a parameter can have.
pub(crate) trait FromValue: Sized {
    /// Takes the value apart.
    ///
    /// # Errors
    /// [`Mismatch`] if the value is of another type or out of range.
    fn from_value(value: Value) -> Result<Self, Mismatch>;
}

/// What was expected and what came, to be read after the parameter's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    expected: String,
    got: String,
}

impl Mismatch {
    /// `expected`, with its article, where a value of another type came.
    pub fn of(expected: impl Into<String>, got: &Value) -> Self {
        Self { expected: expected.into(), got: got.kind().to_owned() }
    }

    pub(crate) fn within(self, part: &str) -> Self {
        Self { expected: format!("{} as {part}", self.expected), got: self.got }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "expected {}, got {}", self.expected, self.got)
    }
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        Ok(value)
    }
}

impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Bool(truth) => Ok(truth),
            other => Err(Mismatch::of("a boolean", &other)),
        }
    }
}

impl FromValue for f64 {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Double(number) => Ok(number),
            Value::Int(number) => Ok(number.into()),
            other => Err(Mismatch::of("a number", &other)),
        }
    }
}

/// Whole numbers beyond 32 bits come as doubles; a fraction is refused, and so is what a double cannot hold exactly.
impl FromValue for i64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "whole and within 2^53")]
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Int(number) => Ok(number.into()),
            Value::Double(number) if number.fract() == 0.0 && number.abs() <= EXACT_DOUBLE as f64 => {
                Ok(number as Self)
            }
            Value::Double(number) => {
                Err(Mismatch { expected: "a whole number up to 2^53".to_owned(), got: format!("{number:?}") })
            }
            other => Err(Mismatch::of("an int", &other)),
        }
    }
}

impl FromValue for i32 {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        within(value, Self::MIN.into(), Self::MAX.into())
    }
}

impl FromValue for u16 {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        within(value, 0, Self::MAX.into())
    }
}

impl FromValue for u32 {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        within(value, 0, Self::MAX.into())
    }
}

impl FromValue for u64 {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        within(value, 0, EXACT_DOUBLE)
    }
}

fn within<T: TryFrom<i64>>(value: Value, min: i64, max: i64) -> Result<T, Mismatch> {
    let number = i64::from_value(value)?;
    let out_of_range =
        || Mismatch { expected: format!("a whole number from {min} to {max}"), got: number.to_string() };
    T::try_from(number).map_err(|_| out_of_range())
}

/// Text, or base64 that is UTF-8: so comes text with characters XML cannot carry.
impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::String(text) => Ok(text),
            Value::Base64(bytes) => Self::from_utf8(bytes).map_err(|_| Mismatch {
                expected: "a string".to_owned(),
                got: "base64 that is no UTF-8".to_owned(),
            }),
            other => Err(Mismatch::of("a string", &other)),
        }
    }
}

/// Bytes, or the UTF-8 of a text.
impl FromValue for Vec<u8> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Base64(bytes) => Ok(bytes),
            Value::String(text) => Ok(text.into_bytes()),
            other => Err(Mismatch::of("base64", &other)),
        }
    }
}

/// A time, or a text that is one (as JSON has it).
impl FromValue for UtcDateTime {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let text = match value {
            Value::DateTime(time) => return Ok(time),
            Value::String(text) => text,
            other => return Err(Mismatch::of("a dateTime", &other)),
        };
        scalar::date_time(&text).map_err(|problem| Mismatch {
            expected: "a dateTime".to_owned(),
            got: format!("a string: {problem}"),
        })
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let items = match value {
            Value::Array(items) => items,
            other => return Err(Mismatch::of("an array", &other)),
        };
        let numbered = items.into_iter().zip(1_usize..);
        numbered
            .map(|(item, number)| {
                T::from_value(item).map_err(|error| error.within(&format!("item {number}")))
            })
            .collect()
    }
}

impl<T: FromValue> FromValue for BTreeMap<String, T> {
    fn from_value(value: Value) -> Result<Self, Mismatch> {
        let members = match value {
            Value::Struct(members) => members,
            other => return Err(Mismatch::of("a struct", &other)),
        };
        members
            .into_iter()
            .map(|(name, member)| match T::from_value(member) {
                Ok(member) => Ok((name, member)),
                Err(error) => Err(error.within(&format!("member {}", excerpt(&name)))),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::utc_datetime;

    use super::*;

    fn refused<T: FromValue + fmt::Debug>(value: impl Into<Value>) -> String {
        T::from_value(value.into()).unwrap_err().to_string()
    }

    #[test]
    fn whole_numbers_are_doubles_where_doubles_are_expected() {
        assert_eq!(f64::from_value(Value::Int(20)), Ok(20.0));
        assert_eq!(refused::<f64>("20"), "expected a number, got string");
    }

    #[test]
    fn doubles_are_whole_numbers_if_they_are_whole() {
        assert_eq!(i64::from_value(Value::Double(5e9)), Ok(5_000_000_000));
        assert_eq!(u64::from_value(Value::Double(9_007_199_254_740_992.0)), Ok(1 << 53));
        assert_eq!(refused::<i64>(1.5), "expected a whole number up to 2^53, got 1.5");
        assert_eq!(refused::<i64>(1e300), "expected a whole number up to 2^53, got 1e300");
        assert_eq!(refused::<i64>(f64::NAN), "expected a whole number up to 2^53, got NaN");
    }

    #[test]
    fn ranges_are_named() {
        assert_eq!(refused::<u16>(-1), "expected a whole number from 0 to 65535, got -1");
        assert_eq!(
            refused::<i32>(5e9),
            "expected a whole number from -2147483648 to 2147483647, got 5000000000"
        );
        assert_eq!(refused::<u64>(-1), "expected a whole number from 0 to 9007199254740992, got -1");
        assert_eq!(u32::from_value(Value::Int(7)), Ok(7));
    }

    #[test]
    fn text_and_bytes_stand_for_each_other() {
        assert_eq!(String::from_value(Value::Base64(b"a\x01".to_vec())), Ok("a\u{1}".to_owned()));
        assert_eq!(
            refused::<String>(Value::Base64(vec![0xff])),
            "expected a string, got base64 that is no UTF-8"
        );
        assert_eq!(Vec::<u8>::from_value(Value::from("ü")), Ok("ü".as_bytes().to_vec()));
        assert_eq!(refused::<Vec<u8>>(1), "expected base64, got int");
    }

    #[test]
    fn a_time_may_be_a_text() {
        let moment = utc_datetime!(2026-11-22 9:01:44);
        assert_eq!(UtcDateTime::from_value(Value::DateTime(moment)), Ok(moment));
        assert_eq!(UtcDateTime::from_value(Value::from("2026-11-22T10:01:44+01:00")), Ok(moment));
        assert!(
            refused::<UtcDateTime>("soon").starts_with("expected a dateTime, got a string: \"soon\" is not")
        );
    }

    #[test]
    fn items_are_counted() {
        let mixed = Value::from(vec![Value::from("a"), Value::Int(1)]);
        assert_eq!(refused::<Vec<String>>(mixed.clone()), "expected a string as item 2, got int");
        assert_eq!(Vec::<Value>::from_value(mixed).map(|items| items.len()), Ok(2));
        assert_eq!(refused::<Vec<String>>("a"), "expected an array, got string");
    }

    #[test]
    fn structs_of_one_type_are_maps() {
        let env = Value::from([("SEED", Value::from("7"))]);
        assert_eq!(BTreeMap::from_value(env), Ok(BTreeMap::from([("SEED".to_owned(), "7".to_owned())])));
        assert_eq!(
            refused::<BTreeMap<String, bool>>([("a", Value::Int(1))]),
            "expected a boolean as member \"a\", got int"
        );
        assert_eq!(refused::<BTreeMap<String, Value>>(true), "expected a struct, got boolean");
    }
}
