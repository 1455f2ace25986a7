//! Rust's own types to values and back, by serde, with the tolerance that clients need: a whole number
//! where a double is expected, base64 for text, an absent member for None. Errors name the member and what came.

use std::fmt;

use crate::{Mismatch, excerpt};

mod de;
mod ser;

pub use de::from_value;
pub use ser::to_value;

/// The name of a newtype struct of a text in RFC 3339 that is a [`Value::DateTime`](crate::Value::DateTime).
pub const DATE_TIME: &str = "$vocable::DateTime";

/// Why a value is not of a type, or a type has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    /// Where, the innermost first.
    path: Vec<Step>,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Item(usize),
    Member(String),
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is of another type, or out of range.
    Mismatch(Mismatch),
    /// A member has to be given.
    Missing(&'static str),
    /// Anything else, in the words of the type itself.
    Other(String),
    /// There is no member of that name.
    Unknown {
        /// The name that came.
        name: String,
        /// The names there are.
        known: &'static [&'static str],
    },
}

impl ValueError {
    /// Takes the outermost member off the path: of a struct of parameters the parameter it is about.
    pub fn split_member(mut self) -> (Option<String>, Self) {
        match self.path.pop() {
            Some(Step::Member(name)) => (Some(name), self),
            other => {
                self.path.extend(other);
                (None, self)
            }
        }
    }

    /// What is wrong, wherever it is.
    pub const fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Whether it is about the value itself, and not about a part of it.
    pub const fn is_at_top(&self) -> bool {
        self.path.is_empty()
    }

    const fn new(problem: Problem) -> Self {
        Self { path: Vec::new(), problem }
    }

    fn within(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }
}

impl From<Mismatch> for ValueError {
    fn from(mismatch: Mismatch) -> Self {
        Self::new(Problem::Mismatch(mismatch))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(number) => write!(formatter, "item {number}"),
            Self::Member(name) => write!(formatter, "member {}", excerpt(name)),
        }
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Problem::Mismatch(mismatch) = &self.problem {
            let within = |mismatch: Mismatch, step: &Step| mismatch.within(&step.to_string());
            return self.path.iter().fold(mismatch.clone(), within).fmt(formatter);
        }
        for step in self.path.iter().rev() {
            write!(formatter, "{step}: ")?;
        }
        match &self.problem {
            Problem::Mismatch(mismatch) => mismatch.fmt(formatter),
            Problem::Missing(name) => write!(formatter, "member \"{name}\" is missing"),
            Problem::Other(text) => formatter.write_str(text),
            Problem::Unknown { name, known } => {
                write!(formatter, "unknown member {}; known: {}", excerpt(name), known.join(", "))
            }
        }
    }
}

impl std::error::Error for ValueError {}

impl ::serde::ser::Error for ValueError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(Problem::Other(text.to_string()))
    }
}

impl ::serde::de::Error for ValueError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(Problem::Other(text.to_string()))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(Problem::Missing(name))
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::new(Problem::Unknown { name: name.to_owned(), known })
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        let known = match known {
            [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => known.concat(),
        };
        Self::new(Problem::Other(format!("expected {known}, got {}", excerpt(name))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ::serde::{Deserialize, Serialize};
    use proptest::prelude::*;
    use time::macros::utc_datetime;

    use super::*;
    use crate::Value;

    #[derive(Debug, Default, Deserialize, PartialEq, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Size {
        rows: u16,
        columns: u16,
    }

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    #[serde(rename_all = "kebab-case")]
    enum Until {
        End,
        MoreOutput,
    }

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Run {
        target: String,
        args: Option<Vec<String>>,
        timeout_s: Option<f64>,
        env: Option<BTreeMap<String, String>>,
        tty: Option<Size>,
        until: Option<Until>,
        bytes: Option<u64>,
        rest: Option<Value>,
    }

    fn read(members: impl Into<Value>) -> Result<Run, String> {
        from_value(members.into()).map_err(|error: ValueError| {
            let (member, error) = error.split_member();
            format!("{}|{error}", member.unwrap_or_default())
        })
    }

    fn with(name: &str, value: impl Into<Value>) -> Result<Run, String> {
        read([("target", Value::from("vm1")), (name, value.into())])
    }

    #[test]
    fn members_are_read_with_tolerance() {
        assert_eq!(with("timeout_s", 5).unwrap().timeout_s, Some(5.0));
        assert_eq!(with("bytes", 5e9).unwrap().bytes, Some(5_000_000_000));
        assert_eq!(with("until", "more-output").unwrap().until, Some(Until::MoreOutput));
        let moment = Value::DateTime(utc_datetime!(2026-11-22 9:01:44));
        assert_eq!(with("rest", moment).unwrap().rest, Some(Value::from("2026-11-22T09:01:44Z")));
        assert_eq!(with("new", 1).unwrap().target, "vm1");
        assert_eq!(read([("target", Value::Base64(b"vm1".to_vec()))]).unwrap().target, "vm1");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let refused = |name, value: Value| with(name, value).unwrap_err();
        assert_eq!(refused("timeout_s", "5".into()), "timeout_s|expected a number, got string");
        assert_eq!(refused("args", "x".into()), "args|expected an array, got string");
        let args = Value::from(vec![Value::from("a"), Value::Int(1)]);
        assert_eq!(refused("args", args), "args|expected a string as item 2, got int");
        let env = Value::from([("A", Value::Int(1))]);
        assert_eq!(refused("env", env), "env|expected a string as member \"A\", got int");
        assert_eq!(refused("tty", Value::from([("rows", 1.into())])), "tty|member \"columns\" is missing");
        let size = Value::from([("rows", Value::Int(0)), ("columns", Value::Int(70_000))]);
        assert_eq!(
            refused("tty", size),
            "tty|expected a whole number from 0 to 65535 as member \"columns\", got 70000"
        );
        let size = Value::from([("rows", Value::Int(0)), ("colums", Value::Int(70))]);
        assert_eq!(refused("tty", size), "tty|unknown member \"colums\"; known: rows, columns");
        assert_eq!(refused("until", "x".into()), "until|expected end or more-output, got \"x\"");
        assert_eq!(read([("args", Value::from(Vec::new()))]).unwrap_err(), "|member \"target\" is missing");
        assert_eq!(from_value::<Run>(Value::Int(1)).unwrap_err().to_string(), "expected a struct, got int");
    }

    #[test]
    fn absent_things_are_absent_members_and_come_back() {
        let run = Run {
            target: "vm1".to_owned(),
            args: Some(Vec::new()),
            timeout_s: None,
            env: Some([("A".to_owned(), "ü".to_owned())].into()),
            tty: Some(Size { rows: 24, columns: 80 }),
            until: Some(Until::End),
            bytes: Some(5_000_000_000),
            rest: Some(Value::from(vec![Value::Base64(vec![0, 255]), Value::Bool(true)])),
        };
        let value = to_value(&run).unwrap();
        assert_eq!(value.member("timeout_s"), None);
        assert_eq!(value.member("bytes"), Some(&Value::Double(5e9)));
        assert_eq!(value.member("until"), Some(&Value::from("end")));
        assert_eq!(from_value::<Run>(value).unwrap(), run);
    }

    #[test]
    fn values_stay_as_they_are() {
        let value = Value::from([
            ("when", Value::DateTime(utc_datetime!(2026-11-22 9:01:44))),
            ("what", Value::from(vec![Value::Int(1), Value::Double(0.5), Value::Base64(vec![0])])),
        ]);
        assert_eq!(to_value(&value).unwrap(), value);
        assert_eq!(to_value(&[Some(1), None]).unwrap_err().to_string(), "item 2: there is no null");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::Int),
            any::<f64>().prop_filter("a number", |it| !it.is_nan()).prop_map(Value::Double),
            "\\PC{0,8}".prop_map(Value::from),
            prop::collection::vec(any::<u8>(), 0..8).prop_map(Value::Base64),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map("[a-z_]{1,9}", inner, 0..4).prop_map(Value::Struct),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_comes_back(value in any_value()) {
            let back: Value = from_value(value.clone()).unwrap();
            prop_assert_eq!(&back, &value);
            prop_assert_eq!(to_value(&back).unwrap(), value);
        }

        /// Whatever comes is read or refused with a short text, never a panic.
        #[test]
        fn anything_is_read_or_refused(name in "target|args|tty|env|until|bytes|x", value in any_value()) {
            if let Err(text) = with(&name, value) {
                prop_assert!(text.len() < 400, "{}", text);
            }
        }
    }
}
