//! The grammar as behaviour: what is accepted, what is refused, and in which words.

use time::macros::utc_datetime;

use super::*;
use crate::code;

/// A call of `m` with what stands between `<params>` and its end tag.
fn call(params: &str) -> String {
    format!(
        "<?xml version='1.0'?><methodCall><methodName>m</methodName><params>{params}</params></methodCall>"
    )
}

fn parsed(document: &str) -> Result<Call, ParseError> {
    parse_call(document.as_bytes(), &Limits::default())
}

/// The one parameter `<value>` + `inner` + `</value>`.
fn value(inner: &str) -> Value {
    let call = parsed(&call(&format!("<param><value>{inner}</value></param>"))).unwrap();
    <[Value; 1]>::try_from(call.params).map(|[value]| value).unwrap()
}

fn refused(document: &str) -> (i32, String) {
    let fault = parsed(document).unwrap_err().fault();
    (fault.code(), fault.text().to_owned())
}

/// The fault for the one parameter `<value>` + `inner` + `</value>`, without slug and place.
fn refused_value(inner: &str) -> (i32, String) {
    let (code, text) = refused(&call(&format!("<param><value>{inner}</value></param>")));
    let text = text.split_once(": ").map_or("", |(_, text)| text);
    (code, text.split(" at byte").next().unwrap_or_default().to_owned())
}

#[test]
fn a_call_may_have_no_parameters_in_three_ways() {
    for params in ["", "<params/>", "<params> </params>"] {
        let document =
            format!("<methodCall>\n<methodName> system.list \n</methodName>{params}\n</methodCall>\n");
        assert_eq!(parsed(&document), Ok(Call { method: "system.list".to_owned(), params: vec![] }));
    }
}

#[test]
fn every_name_of_the_whole_number_is_read() {
    for name in ["int", "i1", "i2", "i4", "i8", "ex:i1", "ex:i8"] {
        assert_eq!(value(&format!("<{name}>-5</{name}>")), Value::Int(-5), "{name}");
    }
    assert_eq!(value("<int> +5\n</int>"), Value::Int(5));
    assert_eq!(value("<i8>-2147483648</i8>"), Value::Int(i32::MIN));
}

#[test]
fn whole_numbers_beyond_32_bits_become_doubles() {
    assert_eq!(value("<i8>2147483648</i8>"), Value::Double(2_147_483_648.0));
    assert_eq!(value("<int>-1784000000000</int>"), Value::Double(-1_784_000_000_000.0));
    assert_eq!(value("<int>100000000000000000000</int>"), Value::Double(1e20));
    assert_eq!(value("<int>-1.5e+300</int>"), Value::Double(-1.5e300));
}

#[test]
fn numbers_that_are_none_are_refused() {
    for text in ["", "+", "1.5", "0x10", "1e3", "1e+3", "1e21", "٣", "--1", "1 2"] {
        let (number, message) = refused_value(&format!("<int>{text}</int>"));
        assert_eq!(
            (number, message),
            (code::INVALID_XML_RPC, format!("int: \"{text}\" is not a whole number"))
        );
    }
    assert_eq!(refused_value(&format!("<i4>{}</i4>", "9".repeat(400))).0, code::INVALID_XML_RPC);
    for text in ["nan", "inf", "-Infinity", "1e400"] {
        let (_, message) = refused_value(&format!("<double>{text}</double>"));
        assert_eq!(message, format!("double: \"{text}\" is not a finite number"));
    }
    assert_eq!(refused_value("<double>1,5</double>").1, "double: \"1,5\" is not a number");
}

#[test]
fn doubles_are_read_in_every_spelling() {
    for (text, number) in [(" 1.5 ", 1.5), ("+2", 2.0), (".5", 0.5), ("5.", 5.0), ("-1e-3", -0.001)] {
        assert_eq!(value(&format!("<double>{text}</double>")), Value::Double(number));
    }
    assert_eq!(value("<ex:float>0.25</ex:float>"), Value::Double(0.25));
}

#[test]
fn booleans_are_digits_or_words() {
    for (text, truth) in [("1", true), (" 0 ", false), ("true", true), ("False", false)] {
        assert_eq!(value(&format!("<boolean>{text}</boolean>")), Value::Bool(truth));
    }
    assert_eq!(refused_value("<boolean>yes</boolean>").1, "boolean: \"yes\" is neither 0 nor 1");
}

#[test]
fn white_space_in_strings_counts() {
    assert_eq!(value("<string> a\n\tb </string>"), Value::from(" a\n\tb "));
    assert_eq!(value("  typeless  "), Value::from("  typeless  "));
    assert_eq!(value(""), Value::from(""));
    assert_eq!(value("<string/>"), Value::from(""));
    assert_eq!(value(" <string>a</string>\n"), Value::from("a"));
}

#[test]
fn line_ends_are_normalised_unless_escaped() {
    assert_eq!(value("a\r\nb\rc&#13;\nd"), Value::from("a\nb\nc\r\nd"));
    assert_eq!(value("<![CDATA[a\r\nb]]>"), Value::from("a\nb"));
}

#[test]
fn references_cdata_and_comments_are_part_of_the_text() {
    assert_eq!(value("a&lt;b&gt;&amp;&quot;&apos;&#65;&#x1F600;"), Value::from("a<b>&\"'A😀"));
    assert_eq!(value("<string>a<![CDATA[<&>]]>b<!-- no -->c<?pi no?></string>"), Value::from("a<&>bc"));
    assert_eq!(value("<!-- x --><int><!-- y -->1<!-- z -->2</int>"), Value::Int(12));
}

#[test]
fn base64_may_be_wrapped_and_unpadded() {
    assert_eq!(value("<base64>\nAAEC\r\n  /w==\n</base64>"), Value::Base64(vec![0, 1, 2, 255]));
    assert_eq!(value("<base64>AAEC/w</base64>"), Value::Base64(vec![0, 1, 2, 255]));
    assert_eq!(value("<base64/>"), Value::Base64(vec![]));
    assert_eq!(refused_value("<base64>A!==</base64>").1, "base64: invalid symbol 33, offset 1");
}

#[test]
fn dates_are_utc_in_every_spelling() {
    let moment = utc_datetime!(2026-11-22 9:01:44);
    for text in [
        "20261122T09:01:44",
        " 2026-11-22T09:01:44 ",
        "20261122T09:01:44Z",
        "2026-11-22T09:01:44Z",
        "20261122T10:01:44+0100",
        "2026-11-22T04:01:44-05:00",
    ] {
        assert_eq!(
            value(&format!("<dateTime.iso8601>{text}</dateTime.iso8601>")),
            Value::DateTime(moment),
            "{text}"
        );
    }
    let fraction = "<dateTime.iso8601>2026-11-22T09:01:44.250Z</dateTime.iso8601>";
    assert_eq!(value(fraction), Value::DateTime(utc_datetime!(2026-11-22 9:01:44.25)));
}

#[test]
fn dates_that_are_none_are_refused() {
    for text in
        ["", "20261322T09:01:44", "00000000T00:00:00", "20261122", "20261122T25:01:44", "20261122T09:01:44x"]
    {
        let (number, message) = refused_value(&format!("<dateTime.iso8601>{text}</dateTime.iso8601>"));
        assert_eq!(number, code::INVALID_XML_RPC, "{text}");
        assert_eq!(message, format!("dateTime: \"{text}\" is not of the form 20261122T09:01:44"));
    }
}

#[test]
fn structs_take_empty_names_and_the_last_of_two() {
    let members = "<member><name></name><value>1</value></member>\
                   <member><name>a b</name><value><int>1</int></value></member>\
                   <member><name>a b</name><value><int>2</int></value></member>";
    let expected = Value::from([("", Value::from("1")), ("a b", Value::Int(2))]);
    assert_eq!(value(&format!("<struct>{members}</struct>")), expected);
    assert_eq!(value("<struct/>"), Value::Struct(BTreeMap::new()));
}

#[test]
fn a_nil_member_is_absent_and_any_other_nil_refused() {
    let present = "<member><name>a</name><value><int>1</int></value></member>";
    let absent = "<member><name>a</name><value><nil/></value></member>";
    assert_eq!(value(&format!("<struct>{absent}</struct>")), Value::Struct(BTreeMap::new()));
    assert_eq!(value(&format!("<struct>{present}{absent}</struct>")), Value::Struct(BTreeMap::new()));
    for inner in ["<nil/>", "<ex:nil></ex:nil>", "<array><data><value><nil/></value></data></array>"] {
        let (number, message) = refused_value(inner);
        assert_eq!(number, code::INVALID_PARAMETERS);
        assert_eq!(message, "nil is no value; leave the parameter or the struct member out");
    }
}

#[test]
fn arrays_may_lack_data() {
    assert_eq!(value("<array/>"), Value::Array(vec![]));
    assert_eq!(value("<array><data/></array>"), Value::Array(vec![]));
    let mixed = "<array> <data> <value>a</value> <value><int>1</int></value> </data> </array>";
    assert_eq!(value(mixed), Value::from(vec![Value::from("a"), Value::Int(1)]));
}

#[test]
fn attributes_are_read_over() {
    let document = "<methodCall xmlns:ex='http://ws.apache.org/xmlrpc/namespaces/extensions' a=\"&amp;\">\
                    <methodName>m</methodName></methodCall>";
    assert!(parsed(document).is_ok());
    assert_eq!(refused("<methodCall a=1>").0, code::PARSE_ERROR);
    assert_eq!(refused("<methodCall a='1' a='2'>").0, code::PARSE_ERROR);
    assert_eq!(refused("<methodCall a='&xxe;'>").0, code::PARSE_ERROR);
    let many: String = (0..100_000).map(|number| format!(" a{number}=''")).collect();
    assert_eq!(refused(&format!("<methodCall{many}>")).1, "too-big: more than 16 attributes of an element");
}

#[test]
fn a_doctype_and_entities_of_its_own_are_refused() {
    let laughs = "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]><methodCall><methodName>&b;</methodName></methodCall>";
    assert_eq!(
        refused(laughs),
        (code::PARSE_ERROR, "malformed-xml: a DOCTYPE, which is not accepted, at byte 0".to_owned())
    );
    assert_eq!(refused_value("&xxe;").1, "the reference \"xxe\", which XML does not have,");
    assert_eq!(refused_value("&#xD800;").0, code::PARSE_ERROR);
    assert_eq!(refused_value("&nbsp;").0, code::PARSE_ERROR);
    assert_eq!(refused_value("a & b").0, code::PARSE_ERROR);
    assert_eq!(
        refused_value("&#1;"),
        (code::INVALID_CHARACTER, "U+0001, which XML cannot carry (send base64),".to_owned())
    );
}

#[test]
fn mixed_content_is_refused() {
    for inner in
        ["text<int>1</int>", "<int>1</int>text", "<int>1</int><int>2</int>", "<array>x<data/></array>"]
    {
        assert_eq!(refused_value(inner).0, code::INVALID_XML_RPC, "{inner}");
    }
    assert_eq!(refused_value("x<int>1</int>").1, "text beside an element in <value>");
    assert_eq!(refused_value("<int>1<b/></int>").1, "the element \"b\", which XML-RPC does not have,");
}

#[test]
fn what_is_out_of_place_is_refused() {
    for document in [
        "<methodCall><params/><methodName>m</methodName></methodCall>",
        "<methodCall><methodName> </methodName></methodCall>",
        "<methodCall><methodName>m</methodName><params><value/></params></methodCall>",
        "<methodCall><methodName>m</methodName><params><param/></params></methodCall>",
        "<methodCall><methodName>m</methodName><params/><params/></methodCall>",
        "<methodCall/>",
        "<methodResponse/>",
        "<html><body>404</body></html>",
    ] {
        assert_eq!(refused(document).0, code::INVALID_XML_RPC, "{document}");
    }
    let swapped = "<struct><member><value/><name>a</name></member></struct>";
    assert_eq!(refused_value(swapped).1, "found <value> where <name> belongs");
}

#[test]
fn broken_xml_is_refused_as_such() {
    let whole = call("<param><value><int>1</int></value></param>");
    for end in 0..whole.len() {
        assert!(parsed(&whole[..end]).is_err(), "{}", &whole[..end]);
    }
    for document in ["", "   ", "hello", "{\"method\": 1}", "<!-- a -->hello", "<?a?>&amp;", "<![CDATA[a]]>"]
    {
        assert_eq!(refused(document).0, code::PARSE_ERROR, "{document}");
    }
    assert_eq!(refused("<methodCall></methodcall>").0, code::PARSE_ERROR);
    assert_eq!(refused(&format!("{whole}<x/>")).0, code::INVALID_XML_RPC);
    assert_eq!(refused(&format!("{whole}<methodCall/>")).0, code::PARSE_ERROR);
    assert_eq!(refused(&format!("{whole} junk")).0, code::PARSE_ERROR);
    assert!(parsed(&format!("{whole}\n<!-- fine -->\n<?fine?>\n")).is_ok());
    assert_eq!(refused("<methodCall><?xml version='1.0'?></methodCall>").0, code::PARSE_ERROR);
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| {
        format!("{}1{}", "<array><data><value>".repeat(levels), "</value></data></array>".repeat(levels))
    };
    assert!(matches!(value(&nested(64)), Value::Array(_)));
    let (number, message) = refused_value(&nested(65));
    assert_eq!((number, message.as_str()), (code::TOO_BIG, "more than 64 levels of arrays and structs"));
    assert_eq!(refused_value(&"<array><data><value>".repeat(100_000)).0, code::TOO_BIG);
}

#[test]
fn values_are_counted() {
    let limits = Limits { max_values: 3, ..Limits::default() };
    let three = call("<param><value><array><data><value/><value/></data></array></value></param>");
    let four = call("<param><value><array><data><value/><value/><value/></data></array></value></param>");
    assert!(parse_call(three.as_bytes(), &limits).is_ok());
    assert_eq!(parse_call(four.as_bytes(), &limits), Err(ParseError::Limit { what: "values", limit: 3 }));
}

#[test]
fn messages_never_repeat_a_document() {
    let long = "x".repeat(100_000);
    for document in [
        format!("<{long}>"),
        format!("<methodCall></{long}>"),
        format!("<methodCall>{long}"),
        format!("<methodCall><methodName>{long}</methodName></methodCall>"),
        call(&format!("<param><value><int>{long}</int></value></param>")),
        call(&format!("<param><value>&{long};</value></param>")),
        format!("<?xml encoding='{long}'?><methodCall/>"),
        format!("<methodCall {long}='&{long};'>"),
    ] {
        let (_, text) = refused(&document);
        assert!(!text.contains(&"x".repeat(81)), "{text}");
        assert!(text.chars().count() < 200, "{text}");
    }
}

#[test]
fn a_response_is_a_value_or_a_fault() {
    let response = |inner: &str| {
        let document = format!("<methodResponse>{inner}</methodResponse>");
        parse_response(document.as_bytes(), &Limits::default())
    };
    assert_eq!(response("<params><param><value>ok</value></param></params>"), Ok(Ok(Value::from("ok"))));
    let fault = "<fault><value><struct>\
                 <member><name>faultCode</name><value><int>4</int></value></member>\
                 <member><name>faultString</name><value>Too many\nparameters.</value></member>\
                 </struct></value></fault>";
    assert_eq!(response(fault), Ok(Err(Fault::new(4, "Too many parameters."))));
    for inner in [
        "",
        "<params/>",
        "<params><param><value/></param><param><value/></param></params>",
        "<fault/>",
        "<fault><value>no</value></fault>",
        "<fault><value><struct><member><name>faultCode</name><value>4</value></member></struct></value></fault>",
    ] {
        assert_eq!(response(inner).unwrap_err().code(), code::INVALID_XML_RPC, "{inner}");
    }
}
