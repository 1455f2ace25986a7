//! Ours beside `dxr`, the other codec in Rust: what both read, both read the same.

use std::collections::BTreeMap;

use dxr::{MethodCall, MethodResponse};
use proptest::{collection, prelude::*, sample};
use vocable_xmlrpc::{Limits, Value, parse_call, parse_response, write_call, write_response};

use crate::values::any_value;

/// Contents of a value, many of which only one of the two accepts. Not among them is text of white space alone
/// without `<string>`: dxr drops it, Python and we keep it.
const CONTENTS: &[&str] = &[
    "",
    "text",
    " a\r\nb ",
    "a&lt;b&#13;&#x1F600;",
    "<string/>",
    "<string> x </string>",
    "<string>a<![CDATA[<&>]]>b</string>",
    "<int>5</int>",
    "<i4> +5 </i4>",
    "<i4>2147483648</i4>",
    "<i8>5</i8>",
    "<double>-2.5e3</double>",
    "<double>nan</double>",
    "<boolean>1</boolean>",
    "<boolean>true</boolean>",
    "<dateTime.iso8601>20261122T09:01:44</dateTime.iso8601>",
    "<dateTime.iso8601>2026-11-22T09:01:44Z</dateTime.iso8601>",
    "<base64>AAEC\n/w==</base64>",
    "<base64>A</base64>",
    "<nil/>",
    "<array/>",
    "<array><data/></array>",
    "<array><data><value>a</value> <value/></data></array>",
    "<struct/>",
    "<struct><member><name>a</name><value>1</value></member></struct>",
    "<struct><member><name>a</name><value>1</value></member><member><name>a</name><value>2</value></member></struct>",
    "<struct><member><name/><value/></member></struct>",
    "x<int>1</int>",
    "<int>1</int>x",
    "<!-- c --><int>1</int>",
];

proptest! {
    #[test]
    fn both_read_what_we_write(value in any_value()) {
        prop_assume!(both_have(&value));
        let document = String::from_utf8(write_response(&Ok(value.clone())).unwrap()).unwrap();
        let theirs = MethodResponse::from_xml(&document).map_err(|_| TestCaseError::fail(document))?;
        prop_assert_eq!(ours(&theirs.value), value);
    }

    #[test]
    fn both_read_what_they_write(value in any_value()) {
        let document = MethodResponse { value: theirs(&value) }.to_xml().unwrap();
        prop_assert_eq!(parse_response(document.as_bytes(), &Limits::default()), Ok(Ok(value)));
    }

    #[test]
    fn both_agree_where_both_accept(contents in collection::vec(sample::select(CONTENTS), 0..4)) {
        let params: String = contents.iter().map(|inner| format!("<param><value>{inner}</value></param>")).collect();
        let document = format!("<methodCall><methodName>m</methodName><params>{params}</params></methodCall>");
        let pair = (parse_call(document.as_bytes(), &Limits::default()), MethodCall::from_xml(&document));
        if let (Ok(call), Ok(other)) = pair {
            prop_assert_eq!(&call.method, &other.name);
            prop_assert_eq!(call.params, other.params.iter().map(ours).collect::<Vec<_>>());
        }
    }
}

#[test]
fn they_read_our_calls() {
    let call = vocable_xmlrpc::Call { method: "vm.start".to_owned(), params: vec![Value::from("vm1")] };
    let document = String::from_utf8(write_call(&call).unwrap()).unwrap();
    let theirs = MethodCall::from_xml(&document).unwrap();
    assert_eq!(theirs.name, "vm.start");
    assert_eq!(theirs.params, [dxr::Value::String("vm1".to_owned())]);
}

/// dxr knows no member name that is empty or blank.
fn both_have(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(both_have),
        Value::Struct(members) => {
            members.iter().all(|(name, value)| !name.trim().is_empty() && both_have(value))
        }
        _ => true,
    }
}

fn ours(value: &dxr::Value) -> Value {
    match value {
        dxr::Value::Array(items) => items.iter().map(ours).collect(),
        dxr::Value::Base64(bytes) => Value::Base64(bytes.clone()),
        dxr::Value::Boolean(truth) => Value::Bool(*truth),
        dxr::Value::DateTime(time) => {
            let document = format!(
                "<methodResponse><params><param><value><dateTime.iso8601>{time}</dateTime.iso8601>\
                                    </value></param></params></methodResponse>"
            );
            parse_response(document.as_bytes(), &Limits::default()).unwrap().unwrap()
        }
        dxr::Value::Double(number) => Value::Double(*number),
        dxr::Value::Integer(number) => Value::Int(*number),
        dxr::Value::String(text) => Value::String(text.clone()),
        dxr::Value::Struct(members) => {
            members.iter().map(|(name, value)| (name.as_str(), ours(value))).collect()
        }
        other => panic!("a type we do not ask for: {other:?}"),
    }
}

fn theirs(value: &Value) -> dxr::Value {
    match value {
        Value::Array(items) => dxr::Value::Array(items.iter().map(theirs).collect()),
        Value::Base64(bytes) => dxr::Value::Base64(bytes.clone()),
        Value::Bool(truth) => dxr::Value::Boolean(*truth),
        Value::DateTime(time) => {
            let (year, month, day) = time.to_calendar_date();
            let text = format!(
                "{year:04}{:02}{day:02}T{}",
                u8::from(month),
                time.time().to_string().replace(".0", "")
            );
            let padded = if text.len() == 16 { text.replacen('T', "T0", 1) } else { text };
            dxr::Value::DateTime(padded.parse().unwrap())
        }
        Value::Double(number) => dxr::Value::Double(*number),
        Value::Int(number) => dxr::Value::Integer(*number),
        Value::String(text) => dxr::Value::String(text.clone()),
        Value::Struct(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), theirs(value)));
            dxr::Value::Struct(members.collect::<BTreeMap<_, _>>())
        }
    }
}
