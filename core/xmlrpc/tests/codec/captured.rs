//! Requests as real clients wrote them: one call with the same nine parameters from each.

use std::collections::BTreeMap;

use time::{UtcDateTime, macros::utc_datetime};
use vocable_xmlrpc::{Fault, Limits, Params, Value, parse_call};

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
fn nine_parameters(values: Vec<Value>) -> Result<(), Fault> {
    let mut params = Params::new("sample.all", values);
    assert_eq!(params.required::<i32>("count")?, 2);
    assert!((params.required::<f64>("ratio")? - 2.5).abs() < f64::EPSILON);
    assert!(params.required::<bool>("flag")?);
    assert_eq!(params.required::<String>("text")?, "a<b & ü");
    assert_eq!(params.required::<String>("empty")?, "");
    assert_eq!(params.required::<UtcDateTime>("time")?, utc_datetime!(2026-11-22 9:01:44));
    assert_eq!(params.required::<Vec<u8>>("bytes")?, [0, 1, 2, 255]);
    assert_eq!(params.required::<Vec<String>>("list")?, ["x"]);
    let mut options = params.options()?;
    let env = options.take::<BTreeMap<String, String>>("env")?;
    assert_eq!(env, Some(BTreeMap::from([("SEED".to_owned(), "7".to_owned())])));
    options.finish()
}

/// As PHP sends a method without options.
#[test]
fn an_empty_php_array_is_no_options() {
    let document =
        b"<methodCall>\n<methodName>vm.start</methodName>\n<params>\n <param>\n  <value>\n   <array>\n\
                     <data/>\n   </array>\n  </value>\n </param>\n</params>\n</methodCall>\n";
    let call = parse_call(document, &Limits::default()).unwrap();
    let mut options = Params::new("vm.start", call.params).options().unwrap();
    assert_eq!(options.take::<bool>("wait"), Ok(None));
    assert_eq!(options.finish(), Ok(()));
}

/// As JavaScript sends a time in milliseconds.
#[test]
fn a_javascript_integer_beyond_32_bits_is_kept() {
    let document =
        b"<?xml version=\"1.0\" encoding=\"utf8\"?><methodCall><methodName>m</methodName><params><param>\
                     <value><int>1784000000000</int></value></param></params></methodCall>";
    let call = parse_call(document, &Limits::default()).unwrap();
    assert_eq!(Params::new("m", call.params).required::<i64>("since"), Ok(1_784_000_000_000));
}
