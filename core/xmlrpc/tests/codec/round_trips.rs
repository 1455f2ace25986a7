//! What is written reads back the same.

use proptest::prelude::*;
use vocable_xmlrpc::{
    Call, Fault, Limits, Value, from_json, parse_call, parse_response, shown_json, to_json, write_answer,
    write_call, write_fault, write_json, write_response,
};

use crate::values::{any_value, text};

proptest! {
    #[test]
    fn calls(method in "[A-Za-z0-9_.:/]{1,40}", params in proptest::collection::vec(any_value(), 0..4)) {
        let call = Call { method, params };
        prop_assert_eq!(parse_call(&write_call(&call).unwrap(), &Limits::default()), Ok(call));
    }

    #[test]
    fn results(value in any_value()) {
        let response = Ok(value);
        prop_assert_eq!(parse_response(&write_response(&response).unwrap(), &Limits::default()), Ok(response));
    }

    #[test]
    fn faults(code in any::<i32>(), text in any::<String>()) {
        let fault = Fault::new(code, text);
        prop_assert_eq!(parse_response(&write_fault(&fault), &Limits::default()), Ok(Err(fault)));
    }

    #[test]
    fn any_text_arrives_as_text_or_as_its_bytes(text in any::<String>(), control in "\\PC{0,3}[\\x00-\\x1f]\\PC{0,3}") {
        for text in [text, control] {
            let document = write_response(&Ok(Value::from(text.as_str()))).unwrap();
            match parse_response(&document, &Limits::default()).unwrap().unwrap() {
                Value::Base64(bytes) => prop_assert_eq!(bytes, text.into_bytes()),
                value => prop_assert_eq!(value, Value::String(text)),
            }
        }
    }

    /// What can be written is written the same way, and everything else does not keep it from being read.
    #[test]
    fn answers(value in any_value(), name in any::<String>(), number in any::<f64>(), levels in 0_usize..80) {
        let written = write_response(&Ok(value.clone())).unwrap();
        prop_assert_eq!(write_answer(&Ok(value.clone())), written.clone());
        let nested = (0..levels).fold(Value::Double(number), |inner, _| Value::from([(name.clone(), inner)]));
        let list = Value::from(vec![value.clone(), nested, Value::Int(7)]);
        let read = parse_response(&write_answer(&Ok(list)), &Limits::default()).unwrap().unwrap();
        let Value::Array(items) = read else { panic!("{read:?}") };
        prop_assert_eq!((&items[0], &items[2]), (&value, &Value::Int(7)));
        // An estimate of the right order.
        let (weight, length) = (value.weight(), written.len());
        prop_assert!(weight <= 4 * length && length <= 4 * weight + 400, "{weight} {length}");
    }

    #[test]
    fn json_is_written_as_it_is_made(value in any_value(), text in any::<String>()) {
        let value = Value::from([(text.clone(), value), ("text".to_owned(), Value::from(text))]);
        prop_assert_eq!(write_json(&value), to_json(&value).to_string().into_bytes());
    }

    #[test]
    fn json_but_for_times(value in any_value(), name in text()) {
        let value = without_times(value);
        let value = Value::from([(name, value), ("second".to_owned(), Value::Int(2))]);
        prop_assert_eq!(shown_json(to_json(&value)), value.clone());
        prop_assert_eq!(from_json(to_json(&value)), Ok(value));
    }
}

/// A time comes back from JSON as its text, and a lone member `b64` as bytes.
fn without_times(value: Value) -> Value {
    match value {
        Value::DateTime(time) => Value::from(time.to_string()),
        Value::Array(items) => items.into_iter().map(without_times).collect(),
        Value::Struct(members) => {
            members.into_iter().map(|(name, value)| (name, without_times(value))).collect()
        }
        other => other,
    }
}
