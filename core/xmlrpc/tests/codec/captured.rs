//! Requests as real clients wrote them: one call with the same nine parameters from each.

use std::collections::BTreeMap;

use time::macros::utc_datetime;
use vocable_xmlrpc::{Limits, Value, ValueError, from_value, parse_call};

/// The client and what it sent.
const CLIENTS: &[(&str, &[u8])] = &[
    ("Python 3.11 xmlrpc.client", include_bytes!("../clients/python.xml")),
    ("Perl RPC::XML 0.82", include_bytes!("../clients/rpc_xml.xml")),
    ("Perl XMLRPC::Lite 0.717", include_bytes!("../clients/xmlrpc_lite.xml")),
    ("Perl Frontier 0.07b4", include_bytes!("../clients/frontier.xml")),
    ("PHP 8.2 xmlrpc", include_bytes!("../clients/php.xml")),
    ("Ruby 3.1 xmlrpc 0.3.2", include_bytes!("../clients/ruby.xml")),
    ("node xmlrpc 1.3.2", include_bytes!("../clients/node.xml")),
    ("xmlrpc-c 1.33.14", include_bytes!("../clients/xmlrpc_c.xml")),
];

#[test]
fn every_client_is_understood() {
    for (client, document) in CLIENTS {
        let call =
            parse_call(document, &Limits::default()).unwrap_or_else(|error| panic!("{client}: {error}"));
        assert_eq!(call.method, "sample.all", "{client}");
        nine_parameters(call.params).unwrap_or_else(|fault| panic!("{client}: {fault}"));
    }
}

/// What they all meant. XMLRPC::Lite sends text that is not ASCII as base64.
fn nine_parameters(mut values: Vec<Value>) -> Result<(), ValueError> {
    assert_eq!(values.remove(5), Value::DateTime(utc_datetime!(2026-11-22 9:01:44)));
    let (count, ratio, flag, text, empty): (i32, f64, bool, String, String) =
        from_value(values.drain(..5).collect())?;
    assert_eq!((count, flag, text.as_str(), empty.as_str()), (2, true, "a<b & ü", ""));
    assert!((ratio - 2.5).abs() < f64::EPSILON);
    assert_eq!(values.remove(0), Value::Base64(vec![0, 1, 2, 255]));
    let (list, options): (Vec<String>, BTreeMap<String, BTreeMap<String, String>>) =
        from_value(values.into_iter().collect())?;
    assert_eq!(list, ["x"]);
    let env = BTreeMap::from([("SEED".to_owned(), "7".to_owned())]);
    assert_eq!(options, BTreeMap::from([("env".to_owned(), env)]));
    Ok(())
}

/// As PHP sends a method without options: that this is an empty struct is for who reads options to know.
#[test]
fn an_empty_php_array_is_an_array() {
    let document =
        b"<methodCall>\n<methodName>vm.start</methodName>\n<params>\n <param>\n  <value>\n   <array>\n\
                     <data/>\n   </array>\n  </value>\n </param>\n</params>\n</methodCall>\n";
    let call = parse_call(document, &Limits::default()).unwrap();
    assert_eq!(call.params, [Value::Array(Vec::new())]);
}

/// As JavaScript sends a time in milliseconds.
#[test]
fn a_javascript_integer_beyond_32_bits_is_kept() {
    let document =
        b"<?xml version=\"1.0\" encoding=\"utf8\"?><methodCall><methodName>m</methodName><params><param>\
                     <value><int>1784000000000</int></value></param></params></methodCall>";
    let call = parse_call(document, &Limits::default()).unwrap();
    assert_eq!(from_value::<(i64,)>(call.params.into_iter().collect()), Ok((1_784_000_000_000,)));
}
