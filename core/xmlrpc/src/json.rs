//! The same values as JSON, the form of `--json` and of the command line's arguments.
//!
//! | XML-RPC | JSON |
//! |---|---|
//! | base64 | `{"b64": "…"}` |
//! | dateTime | a string, RFC 3339 in UTC |
//! | double beyond 32 bits, whole, up to 2^53 | a number without a fraction, as a small count has none |
//! | an absent member | an absent member |
//!
//! Back again, a string stays a string, even one that looks like a date: a method that takes a dateTime takes the
//! text too. An object whose only member is a string `b64` is bytes.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Number, Value as Json};
use time::{UtcDateTime, format_description::well_known::Rfc3339};

use crate::{
    Value, WriteError,
    value::EXACT_DOUBLE,
    write::{LEVELS, OMITTED},
};

/// The name of the member that holds bytes.
const BYTES: &str = "b64";

/// JSON that XML-RPC has no value for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// `{"b64": …}` whose text is not base64.
    #[error("\"b64\" is not base64: {0}")]
    Base64(String),
    /// A null that is no member of an object.
    #[error("null is no value; leave the member out")]
    Null,
    /// A number no double holds.
    #[error("the number {0} is too large")]
    Number(String),
}

/// The value as JSON. Always succeeds: a double that is no number, which no document holds, becomes null.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Base64(bytes) => {
            Map::from_iter([(BYTES.to_owned(), BASE64_STANDARD.encode(bytes).into())]).into()
        }
        Value::Bool(truth) => (*truth).into(),
        Value::DateTime(time) => rfc3339(*time).into(),
        Value::Double(number) => whole(*number).map_or_else(|| (*number).into(), Json::from),
        Value::Int(number) => (*number).into(),
        Value::String(text) => text.as_str().into(),
        Value::Struct(members) => {
            members.iter().map(|(name, value)| (name.clone(), to_json(value))).collect()
        }
    }
}

/// The value as the text of a JSON document, as [`to_json`] has it, but written at once: a long answer is not held a third
/// time. Arrays and structs that nest deeper than readers go have `{"omitted": reason}` in their place.
pub fn write_json(value: &Value) -> Vec<u8> {
    let mut text = Vec::with_capacity(128);
    push_json(&mut text, value, 0);
    text
}

fn push_json(text: &mut Vec<u8>, value: &Value, depth: usize) {
    match value {
        Value::Array(_) | Value::Struct(_) if depth >= LEVELS => {
            let reason = WriteError::Deep(LEVELS).to_string();
            push_leaf(text, &Map::from_iter([(OMITTED.to_owned(), reason.into())]).into());
        }
        Value::Array(items) => {
            text.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    text.push(b',');
                }
                push_json(text, item, depth + 1);
            }
            text.push(b']');
        }
        Value::Struct(members) => {
            text.push(b'{');
            for (n, (name, value)) in members.iter().enumerate() {
                if n > 0 {
                    text.push(b',');
                }
                push_text(text, name);
                text.push(b':');
                push_json(text, value, depth + 1);
            }
            text.push(b'}');
        }
        Value::String(string) => push_text(text, string),
        leaf => push_leaf(text, &to_json(leaf)),
    }
}

fn push_leaf(text: &mut Vec<u8>, leaf: &Json) {
    // Neither a vector nor a value with names that are text fails.
    let _ = serde_json::to_writer(text, leaf);
}

fn push_text(text: &mut Vec<u8>, string: &str) {
    let _ = serde_json::to_writer(text, string);
}

/// The count that a double stands for because 32 bits do not hold it.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "whole and within 2^53")]
fn whole(number: f64) -> Option<i64> {
    let count =
        number.fract() == 0.0 && number.abs() > i32::MAX.into() && number.abs() <= EXACT_DOUBLE as f64;
    count.then_some(number as i64)
}

/// RFC 3339 has no years beyond four digits; those are written as `time` shows them.
pub(crate) fn rfc3339(time: UtcDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_else(|_| time.to_string())
}

/// The value that JSON stands for; null members are left out, whole numbers beyond 32 bits become doubles.
///
/// # Errors
/// [`JsonError`] for a null elsewhere, base64 that is none, and numbers beyond doubles.
pub fn from_json(json: Json) -> Result<Value, JsonError> {
    Ok(match json {
        Json::Array(items) => Value::Array(items.into_iter().map(from_json).collect::<Result<_, _>>()?),
        Json::Bool(truth) => Value::Bool(truth),
        Json::Null => return Err(JsonError::Null),
        Json::Number(number) => from_number(&number)?,
        Json::Object(members) => from_object(members)?,
        Json::String(text) => Value::String(text),
    })
}

/// As [`from_json`], of JSON that others made and of which as much as possible is to be shown: a null that is no member
/// has `{"omitted": reason}` in its place, a number that no double holds is its digits, and what only looks like bytes is
/// the object that it is.
pub fn shown_json(json: Json) -> Value {
    match json {
        Json::Array(items) => items.into_iter().map(shown_json).collect(),
        Json::Bool(truth) => Value::Bool(truth),
        Json::Null => Value::from([(OMITTED, Value::from("null is no value"))]),
        Json::Number(number) => from_number(&number).unwrap_or_else(|_| Value::from(number.to_string())),
        Json::Object(members) => shown_object(members),
        Json::String(text) => Value::String(text),
    }
}

fn shown_object(members: Map<String, Json>) -> Value {
    if let (1, Some(Json::String(text))) = (members.len(), members.get(BYTES))
        && let Ok(bytes) = BASE64_STANDARD.decode(text)
    {
        return Value::Base64(bytes);
    }
    let present = members.into_iter().filter(|(_, json)| !json.is_null());
    Value::Struct(present.map(|(name, json)| (name, shown_json(json))).collect())
}

fn from_number(number: &Number) -> Result<Value, JsonError> {
    if let Some(whole) = number.as_i64() {
        return Ok(Value::integer(whole));
    }
    let double = number.as_f64().filter(|double| double.is_finite());
    double.map(Value::Double).ok_or_else(|| JsonError::Number(number.to_string()))
}

fn from_object(members: Map<String, Json>) -> Result<Value, JsonError> {
    if let (1, Some(Json::String(text))) = (members.len(), members.get(BYTES)) {
        let bytes = BASE64_STANDARD.decode(text).map_err(|error| JsonError::Base64(error.to_string()))?;
        return Ok(Value::Base64(bytes));
    }
    let present = members.into_iter().filter(|(_, json)| !json.is_null());
    let members = present.map(|(name, json)| Ok((name, from_json(json)?)));
    Ok(Value::Struct(members.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn every_type_has_its_form() {
        let value = Value::from([
            ("bytes", Value::Base64(vec![0, 255])),
            ("double", Value::Double(0.5)),
            ("int", Value::Int(-7)),
            ("list", Value::from(vec![Value::Bool(true), Value::from("ü")])),
            ("time", Value::DateTime(utc_datetime!(2026-11-22 9:01:44))),
        ]);
        let json = json!({
            "bytes": {"b64": "AP8="}, "double": 0.5, "int": -7, "list": [true, "ü"],
            "time": "2026-11-22T09:01:44Z",
        });
        assert_eq!(to_json(&value), json);
    }

    #[test]
    fn large_counts_are_whole_numbers_both_ways() {
        assert_eq!(to_json(&Value::from(5_000_000_000_i64)).to_string(), "5000000000");
        assert_eq!(from_json(json!(5_000_000_000_i64)), Ok(Value::Double(5e9)));
        assert_eq!(from_json(json!(u64::MAX)), Ok(Value::Double(18_446_744_073_709_551_615.0)));
        assert_eq!(to_json(&Value::Double(5.0)).to_string(), "5.0");
        assert_eq!(to_json(&Value::Double(1e300)).to_string(), "1e+300");
    }

    #[test]
    fn null_members_are_absent_and_other_nulls_refused() {
        assert_eq!(from_json(json!({"a": null, "b": 1})), Ok(Value::from([("b", Value::Int(1))])));
        assert_eq!(from_json(json!([null])), Err(JsonError::Null));
    }

    #[test]
    fn one_odd_value_does_not_hide_the_others() {
        let shown = shown_json(json!({"a": [1, null], "b": null, "c": {"b64": "!"}, "d": {"b64": "AA=="}}));
        let omitted = Value::from([("omitted", Value::from("null is no value"))]);
        let expected = Value::from([
            ("a", Value::from(vec![Value::Int(1), omitted])),
            ("c", Value::from([("b64", Value::from("!"))])),
            ("d", Value::Base64(vec![0])),
        ]);
        assert_eq!(shown, expected);
    }

    #[test]
    fn only_the_lone_member_b64_is_bytes() {
        assert_eq!(from_json(json!({"b64": "AA=="})), Ok(Value::Base64(vec![0])));
        let two = Value::from([("b64", Value::from("AA==")), ("x", Value::Int(1))]);
        assert_eq!(from_json(json!({"b64": "AA==", "x": 1})), Ok(two));
        assert!(matches!(from_json(json!({"b64": "!"})), Err(JsonError::Base64(_))));
    }

    #[test]
    fn a_string_that_looks_like_a_date_stays_a_string() {
        assert_eq!(from_json(json!("2026-11-22T09:01:44Z")), Ok(Value::from("2026-11-22T09:01:44Z")));
    }

    #[test]
    fn what_is_no_number_is_null() {
        assert_eq!(to_json(&Value::Double(f64::NAN)), Json::Null);
    }
}
