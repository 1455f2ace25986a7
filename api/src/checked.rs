//! Values that only some texts or numbers can be: what is wrong is refused when it is read, so that nobody has to check
//! again.

use crate::target::is_guest_id;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;
use vocable_xmlrpc::excerpt;

/// Makes a text that has to fit.
macro_rules! checked_text {
    ($(#[$help:meta])* $name:ident: $expected:literal, $fits:expr) => {
        $(#[$help])*
        #[derive(Clone, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(inline)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let fits: fn(&str) -> bool = $fits;
                if fits(&text) {
                    return Ok(Self(text));
                }
                Err(format!("expected {}, got {}", $expected, excerpt(&text)))
            }
        }

        impl From<$name> for String {
            fn from(checked: $name) -> Self {
                checked.0
            }
        }
    };
}

checked_text! {
    /// The path of a file on the host: a whole one, since nobody knows what a relative one is relative to.
    HostPath: "a path from / on, of a file on the host", |text| Path::new(text).is_absolute()
}

checked_text! {
    /// The name of a job.
    JobId: "1 to 40 letters, digits, '-' or '_'",
    |text| {
        (1..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    }
}

checked_text! {
    /// The name of a new machine.
    MachineName: "1 to 64 letters, digits, '.', '_' or '-'", is_guest_id
}

checked_text! {
    /// The name or id of a snapshot.
    SnapshotName: "1 to 128 characters, none of them / or control characters",
    |text| (1..=128).contains(&text.chars().count()) && !text.chars().any(|c| c.is_control() || c == '/')
}

/// A part of a machine's processors, per cent.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(try_from = "u32", into = "u32")]
#[schemars(inline)]
pub struct Percent(u32);

impl TryFrom<u32> for Percent {
    type Error = &'static str;

    fn try_from(percent: u32) -> Result<Self, &'static str> {
        if (1..=100).contains(&percent) { Ok(Self(percent)) } else { Err("expected 1 to 100") }
    }
}

impl From<Percent> for u32 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

/// How long something may take, seconds.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(inline)]
pub struct TimeLimit(f64);

impl TimeLimit {
    /// The same; more than there is, is as long as there is.
    pub fn duration(self) -> Duration {
        Duration::try_from_secs_f64(self.0).unwrap_or(Duration::MAX)
    }
}

impl From<Duration> for TimeLimit {
    fn from(limit: Duration) -> Self {
        Self(limit.as_secs_f64())
    }
}

impl From<TimeLimit> for f64 {
    fn from(limit: TimeLimit) -> Self {
        limit.0
    }
}

impl TryFrom<f64> for TimeLimit {
    type Error = &'static str;

    fn try_from(seconds: f64) -> Result<Self, &'static str> {
        let is_some = seconds.is_finite() && seconds > 0.0;
        if is_some { Ok(Self(seconds)) } else { Err("expected a number of seconds above 0") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocable_xmlrpc::{Value, from_value};

    fn refusal<T: std::fmt::Debug + serde::de::DeserializeOwned>(value: impl Into<Value>) -> String {
        from_value::<T>(value.into()).unwrap_err().to_string()
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        insta::assert_snapshot!([
            refusal::<HostPath>("disk.vdi"),
            refusal::<JobId>("a job"),
            refusal::<MachineName>(""),
            refusal::<SnapshotName>("a/b"),
            refusal::<Percent>(0),
            refusal::<TimeLimit>(0),
            refusal::<TimeLimit>(f64::INFINITY),
        ].join("\n"), @r#"
        expected a path from / on, of a file on the host, got "disk.vdi"
        expected 1 to 40 letters, digits, '-' or '_', got "a job"
        expected 1 to 64 letters, digits, '.', '_' or '-', got ""
        expected 1 to 128 characters, none of them / or control characters, got "a/b"
        expected 1 to 100
        expected a number of seconds above 0
        expected a number of seconds above 0
        "#);
        assert_eq!(from_value::<TimeLimit>(Value::Int(2)).unwrap().duration(), Duration::from_secs(2));
        assert_eq!(TimeLimit(1e300).duration(), Duration::MAX);
    }
}
