//! Any bytes as a guest sends them: what the host makes of a message before a word sees it. What passes the bounds is JSON
//! that can be read, is no more than they allow, and can be shown; and whatever does not pass is told in a short line.
#![no_main]

#[allow(dead_code)]
#[path = "../../core/runtime/src/intake.rs"]
mod intake;
#[allow(dead_code)]
#[path = "../../core/runtime/src/json.rs"]
mod json;
#[path = "../../core/runtime/src/token.rs"]
mod token;

use bytes::BytesMut;
use json::{JsonBounds, JsonError, check_json};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use vocable_stomp::codec::{Decoder, Dialect, Item, Limits};
use vocable_stomp::{Frame, Version};

const LIMITS: Limits = Limits { line: 512, headers: 16, body: 4096 };
const BOUNDS: JsonBounds = JsonBounds { bytes: 4096, depth: 8, nodes: 200 };

fuzz_target!(|bytes: &[u8]| {
    hear_json(bytes);
    let mut decoder = Decoder::new(LIMITS, Dialect::strict(Version::V1_2));
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(item)) = decoder.decode(&mut buffer) {
        if let Item::Frame(frame) = item {
            hear(&frame);
        }
    }
});

/// What the interpreter does before it asks a word.
fn hear(frame: &Frame) {
    let (first, rest) = token::split(&frame.body);
    let shown = token::printable(first);
    assert!(shown.chars().count() <= 41 && !shown.chars().any(char::is_control), "{shown:?}");
    let is_word = str::from_utf8(first).is_ok_and(token::is_word_name);
    assert!(!is_word || shown.as_bytes() == first);
    let rest = &frame.body[rest..];
    hear_json(rest);
    assert!(intake::check(&frame.headers, rest, true, &BOUNDS).is_ok() || frame.headers.iter().any(is_odd));
    match intake::check(&frame.headers, rest, false, &BOUNDS) {
        Ok(()) => {
            let values = frame.headers.iter().map(|(_, value)| value.as_bytes());
            values.chain([rest]).filter_map(|text| serde_json::from_slice(text).ok()).for_each(within);
        }
        Err(unfit) => {
            assert!(unfit.to_string().len() < 1000 && ["invalid", "too-large"].contains(&unfit.slug()), "{unfit}");
        }
    }
}

/// Whether a header alone may be the reason for a refusal.
fn is_odd((name, value): &(String, String)) -> bool {
    name.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'))
        || matches!(value.trim_ascii_start().as_bytes().first(), Some(b'[' | b'{'))
}

/// A text is JSON to the scanner if and only if it is to what reads it.
fn hear_json(text: &[u8]) {
    let read = serde_json::from_slice::<Value>(text);
    match check_json(text, &BOUNDS) {
        Ok(nodes) => {
            assert!(nodes <= BOUNDS.nodes);
            within(read.expect("it passed as JSON"));
        }
        Err(JsonError::Syntax { .. }) => assert!(read.is_err(), "it did not pass as JSON"),
        Err(_) => {}
    }
}

/// Within the bounds, as what was read tells.
fn within(value: Value) {
    assert!(depth(&value) <= BOUNDS.depth && nodes(&value) <= BOUNDS.nodes, "{value}");
}

fn depth(value: &Value) -> u32 {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Values and names; of repeated names only one was kept.
fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum::<usize>(),
        Value::Object(members) => members.values().map(|member| 1 + nodes(member)).sum(),
        _ => 0,
    }
}
