//! Any bytes: a refusal of one short line, or a call, a result or a fault that can be written and read again as the
//! same, in XML and through JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vocable_xmlrpc::{
    Call, Limits, ParseError, Value, from_json, parse_call, parse_response, to_json, write_call,
    write_response,
};

const LIMITS: Limits = Limits { max_bytes: 64 * 1024, max_depth: 8, max_values: 1000 };

fuzz_target!(|document: &[u8]| {
    match parse_call(document, &LIMITS) {
        Ok(call) => check_call(call),
        Err(error) => check_refusal(&error),
    }
    match parse_response(document, &LIMITS) {
        Ok(Ok(value)) => check_value(value),
        Ok(Err(fault)) => {
            let written = write_response(&Err(fault.clone())).expect("a fault can always be written");
            assert_eq!(parse_response(&written, &Limits::default()), Ok(Err(fault)));
        }
        Err(error) => check_refusal(&error),
    }
});

fn check_refusal(error: &ParseError) {
    let fault = error.fault();
    assert!(fault.slug().is_some() && fault.text().chars().count() <= 200, "{fault}");
}

fn check_call(call: Call) {
    let call = Call { params: call.params.into_iter().map(whole_seconds).collect(), ..call };
    if let Ok(written) = write_call(&call) {
        assert_eq!(parse_call(&written, &Limits::default()), Ok(call.clone()));
    }
    call.params.into_iter().for_each(check_value);
}

/// Only a year before 0 or after 9999, which a zone can make of a date, cannot be written.
fn check_value(value: Value) {
    let value = whole_seconds(value);
    match write_response(&Ok(value.clone())) {
        Ok(written) => assert_eq!(parse_response(&written, &Limits::default()), Ok(Ok(value.clone()))),
        Err(error) => assert!(error.to_string().contains("does not fit a dateTime"), "{error}"),
    }
    let json = to_json(&value);
    if let Ok(again) = from_json(json.clone()) {
        assert_eq!(to_json(&again), json);
    }
}

/// XML-RPC as we write it has no fractions of a second.
fn whole_seconds(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(whole_seconds).collect(),
        Value::DateTime(time) => Value::DateTime(time.truncate_to_second()),
        Value::Struct(members) => {
            members.into_iter().map(|(name, value)| (name, whole_seconds(value))).collect()
        }
        other => other,
    }
}
