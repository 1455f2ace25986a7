//! What people are told about a value that does not fit: their words, not serde's.

use crate::reader::{Fault, FaultKind, Names};
use crate::suggestion::{did_you_mean, one_of};
use crate::tree::{Node, Value};

/// Characters of somebody's input that are repeated to them.
const MAX_ECHO: usize = 80;

/// Names listed after "expected".
const MAX_EXPECTED: usize = 8;

/// Message and hint for a fault at `node`. `default` is the value the key would have otherwise.
pub(crate) fn fault(fault: &Fault, node: &Node, default: Option<&Node>) -> (String, Option<String>) {
    let (message, hint) = match &fault.kind {
        FaultKind::Custom(message) => custom(message, node, default),
        FaultKind::Missing(field) => (format!("missing key {field}"), None),
        FaultKind::Type(expected) => {
            (format!("expected {}", plain(expected)), fitting(expected, &node.value))
        }
        FaultKind::Variant(names) => variant(names, node),
    };
    (format!("{}: {message}", subject(node)), hint)
}

/// A node as messages speak of it: `key = value`, or `[table]`.
pub(crate) fn subject(node: &Node) -> String {
    match &node.value {
        Value::Table(_) if node.path.is_empty() => "the whole configuration".to_owned(),
        Value::Table(_) if node.path.ends_with(']') => shorten(&node.path),
        Value::Table(_) => format!("[{}]", shorten(&node.path)),
        value => format!("{} = {}", shorten(&node.path), shorten(&value.to_string())),
    }
}

pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_ECHO) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A type's own message may end in a suggestion. For a number without a unit, the default has a better one.
fn custom(message: &str, node: &Node, default: Option<&Node>) -> (String, Option<String>) {
    let Some((problem, _)) = message.split_once("; did you mean ") else { return (message.to_owned(), None) };
    let own = message.get(problem.len() + 2..).map(str::to_owned);
    let with_unit = || match (&node.value, &default?.value) {
        (Value::Integer(number), Value::String(default)) => {
            let unit = default.trim_start_matches(|c: char| c.is_ascii_digit());
            let is_quantity = unit.len() < default.len() && unit.chars().all(char::is_alphabetic);
            one_of(is_quantity.then(|| format!("\"{number}{unit}\"")).as_deref())
        }
        _ => None,
    };
    (problem.to_owned(), with_unit().or(own))
}

fn variant(names: Names, node: &Node) -> (String, Option<String>) {
    let expected = match names.split_last() {
        Some((last, rest)) if !rest.is_empty() && names.len() <= MAX_EXPECTED => {
            format!("expected {} or {last}", rest.join(", "))
        }
        Some((only, [])) => format!("expected {only}"),
        _ => "no such choice".to_owned(),
    };
    match &node.value {
        Value::String(text) => (expected, did_you_mean(text, names.iter().copied())),
        _ => (expected, None),
    }
}

/// serde's name of a type, said plainly.
fn plain(expected: &str) -> &str {
    match expected {
        "a boolean" => "true or false",
        "a map" => "a table",
        "a sequence" => "a list",
        "a string" | "path string" => "text in quotes",
        "f32" | "f64" => "a number",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, not negative",
        "u8" => "a whole number from 0 to 255",
        other => other,
    }
}

/// The same value as it would fit: in a list, with quotes, without.
fn fitting(expected: &str, value: &Value) -> Option<String> {
    let suggestion = match (expected, value) {
        ("a sequence", Value::Boolean(_) | Value::Float(_) | Value::Integer(_) | Value::String(_)) => {
            format!("[{value}]")
        }
        ("a string" | "path string", Value::Boolean(_) | Value::Float(_) | Value::Integer(_)) => {
            format!("\"{value}\"")
        }
        ("a boolean", Value::String(text)) if text.parse::<bool>().is_ok() => text.clone(),
        ("f32" | "f64", Value::String(text)) if text.parse::<f64>().is_ok() => text.clone(),
        (_, Value::String(text)) if plain(expected).contains("whole") && text.parse::<i64>().is_ok() => {
            text.clone()
        }
        _ => return None,
    };
    one_of([shorten(&suggestion).as_str()])
}
