//! Ours beside Python's `xmlrpc.client`: each reads what the other writes, and means the same by it.

use std::{
    env,
    io::{ErrorKind, Write as _},
    process::{Command, Stdio},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};
use serde_json::{Value as Json, json};
use vocable_xmlrpc::{Limits, Value, parse_call, write_response};

use crate::values::any_value;

/// How many documents go each way.
const DOCUMENTS: usize = 300;

#[test]
fn python_reads_what_we_write() {
    let mut runner = TestRunner::deterministic();
    let values: Vec<Value> =
        (0..DOCUMENTS).map(|_| any_value().new_tree(&mut runner).expect("a value").current()).collect();
    let documents = values.iter().map(|value| write_response(&Ok(value.clone())).expect("writable"));
    let requests = documents.map(|document| json!({"read": String::from_utf8(document).expect("UTF-8")}));
    let Some(answers) = python(requests) else { return };
    for (value, answer) in values.iter().zip(answers) {
        assert_eq!(described(value), answer);
    }
}

#[test]
fn we_read_what_python_writes() {
    let Some(answers) = python((0..DOCUMENTS).map(|seed| json!({"seed": seed}))) else { return };
    for answer in answers {
        let document = answer["document"].as_str().expect("a document");
        let call = parse_call(document.as_bytes(), &Limits::default()).expect(document);
        assert_eq!(call.params.iter().map(described).collect::<Vec<_>>(), [answer["described"].clone()]);
    }
}

/// What the script of this name answers to each request. None, and a word about it, where there is no Python;
/// a machine that runs all tests for good has one.
fn python(requests: impl Iterator<Item = Json>) -> Option<Vec<Json>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/codec/python.py");
    let mut command = Command::new("python3");
    let spawned = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut process = match spawned {
        Err(error) if error.kind() == ErrorKind::NotFound && env::var_os("CI").is_none() => {
            println!("skipped: python3 not found");
            return None;
        }
        spawned => spawned.expect("python3"),
    };
    let mut stdin = process.stdin.take().expect("piped");
    let lines: String = requests.map(|request| format!("{request}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = process.wait_with_output().expect("output");
    writer.join().expect("no panic").expect("written");
    assert!(output.status.success(), "{}", output.status);
    let answers: Vec<Json> = output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    assert_eq!(answers.len(), DOCUMENTS);
    Some(answers)
}

/// The same description as the script's.
fn described(value: &Value) -> Json {
    match value {
        Value::Array(items) => json!({"array": items.iter().map(described).collect::<Vec<_>>()}),
        Value::Base64(bytes) => json!({"base64": BASE64_STANDARD.encode(bytes)}),
        Value::Bool(truth) => json!({"boolean": truth}),
        Value::DateTime(time) => json!({"dateTime": time.unix_timestamp()}),
        Value::Double(number) => json!({"double": hex(*number)}),
        Value::Int(number) => json!({"int": number}),
        Value::String(text) => json!({"string": text}),
        Value::Struct(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), described(value)));
            json!({"struct": members.collect::<serde_json::Map<_, _>>()})
        }
    }
}

/// The bits of a double as Python's `float.hex` shows them.
fn hex(number: f64) -> String {
    let bits = number.to_bits();
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let fraction = bits & ((1 << 52) - 1);
    match (bits >> 52) & 0x7ff {
        0 if fraction == 0 => format!("{sign}0x0.0p+0"),
        0 => format!("{sign}0x0.{fraction:013x}p-1022"),
        exponent => format!("{sign}0x1.{fraction:013x}p{:+}", exponent as i64 - 1023),
    }
}
