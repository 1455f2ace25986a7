//! Taking replies of the agent apart. What is missing or of another type is absent: replies grow, and agents are of
//! other versions.

use time::{OffsetDateTime, UtcDateTime, UtcOffset};
use vocable_xmlrpc::{Value, to_json};

/// Members of a reply by name and type.
pub(super) trait Members {
    /// A text.
    fn text(&self, name: &str) -> Option<&str>;
    /// A count that is not negative.
    fn count(&self, name: &str) -> Option<u64>;
    /// Any number.
    fn number(&self, name: &str) -> Option<f64>;
    /// A truth; absent is false.
    fn truth(&self, name: &str) -> bool;
    /// A moment: `NAME_unix` with its fraction if there, else `NAME`.
    fn moment(&self, name: &str) -> Option<OffsetDateTime>;
    /// The members of an array, none if it is not there.
    fn items(&self, name: &str) -> &[Value];
    /// The value itself as an array.
    fn list(&self) -> &[Value];
    /// Texts of an array.
    fn texts(&self, name: &str) -> Vec<&str>;
}

impl Members for Value {
    fn text(&self, name: &str) -> Option<&str> {
        self.member(name).and_then(as_text)
    }

    fn count(&self, name: &str) -> Option<u64> {
        // Whole numbers beyond 32 bits travel as doubles.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
        self.number(name).filter(|number| *number >= 0.0).map(|number| number as u64)
    }

    fn number(&self, name: &str) -> Option<f64> {
        match self.member(name)? {
            Self::Double(number) => Some(*number),
            Self::Int(number) => Some((*number).into()),
            _ => None,
        }
    }

    fn truth(&self, name: &str) -> bool {
        self.member(name) == Some(&Self::Bool(true))
    }

    fn moment(&self, name: &str) -> Option<OffsetDateTime> {
        if let Some(seconds) = self.number(&format!("{name}_unix")) {
            #[expect(clippy::cast_possible_truncation, reason = "times of this millennium")]
            let nanoseconds = (seconds * 1000.0).round() as i128 * 1_000_000;
            return OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok();
        }
        match self.member(name)? {
            Self::DateTime(time) => Some(UtcDateTime::to_offset(*time, UtcOffset::UTC)),
            _ => None,
        }
    }

    fn items(&self, name: &str) -> &[Value] {
        self.member(name).map_or(&[], Members::list)
    }

    fn list(&self) -> &[Value] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    fn texts(&self, name: &str) -> Vec<&str> {
        self.items(name).iter().filter_map(as_text).collect()
    }
}

/// The text that a value is.
pub(super) fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// A list as a document: the top is always an object, so that it can grow.
pub(super) fn wrapped(name: &str, list: &Value) -> serde_json::Value {
    serde_json::Map::from_iter([(name.to_owned(), to_json(list))]).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::{datetime, utc_datetime};

    #[test]
    fn members_are_taken_by_name_and_type() {
        let reply = Value::from([
            ("state", Value::from("done")),
            ("out_bytes", Value::from(5_000_000_000_u64)),
            ("out", Value::Base64(vec![0, 255])),
            ("finished", Value::from(true)),
            ("words", Value::from(vec![Value::from("DF"), Value::from(1)])),
        ]);
        assert_eq!(reply.text("state"), Some("done"));
        assert_eq!(reply.text("finished"), None);
        assert_eq!(reply.count("out_bytes"), Some(5_000_000_000));
        assert!(reply.truth("finished") && !reply.truth("more"));
        assert_eq!(reply.texts("words"), ["DF"]);
        assert_eq!(reply.items("state"), []);
    }

    #[test]
    fn moments_have_their_fraction_where_it_is_told() {
        let whole = Value::from([("time", Value::DateTime(utc_datetime!(2026-11-22 9:00:01)))]);
        assert_eq!(whole.moment("time"), Some(datetime!(2026-11-22 9:00:01 UTC)));
        let exact = Value::from([("time_unix", Value::from(1_795_338_001.25))]);
        assert_eq!(exact.moment("time"), Some(datetime!(2026-11-22 9:00:01.25 UTC)));
    }

    #[test]
    fn lists_are_wrapped() {
        let list = Value::from(vec![Value::from([("guest", Value::from("vm1"))])]);
        assert_eq!(wrapped("guests", &list).to_string(), r#"{"guests":[{"guest":"vm1"}]}"#);
    }
}
