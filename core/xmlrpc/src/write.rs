//! From a [`Call`] or a [`Response`] to XML, in the form the oldest clients read: an XML declaration, every value
//! with its type, no self-closing tags, doubles without an exponent, no `<i8>` and no `<nil/>`.
//!
//! A string with a character XML cannot carry (control characters, U+FFFE, U+FFFF) is sent as the base64 of its
//! UTF-8: the typed readers of [`crate::Params`] take either for a string.

use std::fmt::{Display, Write as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use time::{UtcDateTime, format_description::BorrowedFormatItem, macros::format_description};

use crate::{Call, Fault, Response, Value, excerpt, parse::encoding::is_xml_text};

const DECLARATION: &str = "<?xml version=\"1.0\"?>\n";

const DATE_TIME: &[BorrowedFormatItem<'_>] =
    format_description!(version = 2, "[year][month][day]T[hour]:[minute]:[second]");

/// A value that XML-RPC has no form for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// XML-RPC dates have four digits for the year.
    #[error("the year {0} does not fit a dateTime")]
    Date(i32),
    /// The name of a member or method has a character XML cannot carry.
    #[error("the name {0} has a character XML cannot carry")]
    Name(String),
    /// NaN or an infinity.
    #[error("the double {0} is not a finite number")]
    NotFinite(String),
    /// Any of these, in the member of that name.
    #[error("member {name}: {source}")]
    Member {
        /// The member's name, quoted.
        name: String,
        /// What is wrong with its value.
        source: Box<Self>,
    },
}

/// Writes a `<methodCall>`.
///
/// # Errors
/// [`WriteError`] for a value or name that XML-RPC cannot carry.
pub fn write_call(call: &Call) -> Result<Vec<u8>, WriteError> {
    let mut xml = String::from(DECLARATION);
    xml.push_str("<methodCall><methodName>");
    push_name(&mut xml, &call.method)?;
    xml.push_str("</methodName><params>");
    for value in &call.params {
        push_param(&mut xml, value)?;
    }
    xml.push_str("</params></methodCall>\n");
    Ok(xml.into_bytes())
}

/// Writes a `<methodResponse>`.
///
/// # Errors
/// [`WriteError`] for a value that XML-RPC cannot carry; answer with a fault ([`write_fault`]) then.
pub fn write_response(response: &Response) -> Result<Vec<u8>, WriteError> {
    let value = match response {
        Ok(value) => value,
        Err(fault) => return Ok(write_fault(fault)),
    };
    let mut xml = String::from(DECLARATION);
    xml.push_str("<methodResponse><params>");
    push_param(&mut xml, value)?;
    xml.push_str("</params></methodResponse>\n");
    Ok(xml.into_bytes())
}

/// Writes a `<methodResponse>` that is a fault. Unlike a value, a fault can always be written.
pub fn write_fault(fault: &Fault) -> Vec<u8> {
    let mut xml = String::from(DECLARATION);
    xml.push_str("<methodResponse><fault><value><struct><member><name>faultCode</name><value>");
    push_element(&mut xml, "int", fault.code());
    xml.push_str("</value></member><member><name>faultString</name><value>");
    push_string(&mut xml, fault.text());
    xml.push_str("</value></member></struct></value></fault></methodResponse>\n");
    xml.into_bytes()
}

fn push_param(xml: &mut String, value: &Value) -> Result<(), WriteError> {
    xml.push_str("<param>");
    push_value(xml, value)?;
    xml.push_str("</param>");
    Ok(())
}

fn push_value(xml: &mut String, value: &Value) -> Result<(), WriteError> {
    xml.push_str("<value>");
    match value {
        Value::Array(items) => push_array(xml, items)?,
        Value::Base64(bytes) => push_base64(xml, bytes),
        Value::Bool(truth) => push_element(xml, "boolean", i32::from(*truth)),
        Value::DateTime(time) => push_date_time(xml, *time)?,
        Value::Double(number) => push_double(xml, *number)?,
        Value::Int(number) => push_element(xml, "int", number),
        Value::String(text) => push_string(xml, text),
        Value::Struct(members) => push_struct(xml, members)?,
    }
    xml.push_str("</value>");
    Ok(())
}

fn push_array(xml: &mut String, items: &[Value]) -> Result<(), WriteError> {
    xml.push_str("<array><data>");
    for item in items {
        push_value(xml, item)?;
    }
    xml.push_str("</data></array>");
    Ok(())
}

fn push_struct<'a>(
    xml: &mut String,
    members: impl IntoIterator<Item = (&'a String, &'a Value)>,
) -> Result<(), WriteError> {
    xml.push_str("<struct>");
    for (name, value) in members {
        xml.push_str("<member><name>");
        push_name(xml, name)?;
        xml.push_str("</name>");
        push_value(xml, value)
            .map_err(|error| WriteError::Member { name: excerpt(name), source: Box::new(error) })?;
        xml.push_str("</member>");
    }
    xml.push_str("</struct>");
    Ok(())
}

fn push_base64(xml: &mut String, bytes: &[u8]) {
    xml.push_str("<base64>");
    BASE64_STANDARD.encode_string(bytes, xml);
    xml.push_str("</base64>");
}

fn push_date_time(xml: &mut String, time: UtcDateTime) -> Result<(), WriteError> {
    let year = WriteError::Date(time.year());
    if !(0..=9999).contains(&time.year()) {
        return Err(year);
    }
    push_element(xml, "dateTime.iso8601", time.format(DATE_TIME).map_err(|_| year)?);
    Ok(())
}

/// Rust writes the shortest digits that read back as the same number, never with an exponent.
fn push_double(xml: &mut String, number: f64) -> Result<(), WriteError> {
    if !number.is_finite() {
        return Err(WriteError::NotFinite(number.to_string()));
    }
    let mut digits = number.to_string();
    if !digits.contains('.') {
        digits.push_str(".0");
    }
    push_element(xml, "double", digits);
    Ok(())
}

fn push_string(xml: &mut String, text: &str) {
    if !is_xml_text(text) {
        return push_base64(xml, text.as_bytes());
    }
    xml.push_str("<string>");
    push_escaped(xml, text);
    xml.push_str("</string>");
}

fn push_name(xml: &mut String, name: &str) -> Result<(), WriteError> {
    if !is_xml_text(name) {
        return Err(WriteError::Name(excerpt(name)));
    }
    push_escaped(xml, name);
    Ok(())
}

/// Writing to a string cannot fail.
fn push_element(xml: &mut String, name: &str, content: impl Display) {
    let _ = write!(xml, "<{name}>{content}</{name}>");
}

/// A bare CR would be read back as a line feed.
fn push_escaped(xml: &mut String, text: &str) {
    let mut rest = text;
    while let Some(position) = rest.find(['&', '<', '>', '\r']) {
        let (plain, special) = rest.split_at(position);
        xml.push_str(plain);
        xml.push_str(match special.as_bytes().first() {
            Some(b'&') => "&amp;",
            Some(b'<') => "&lt;",
            Some(b'>') => "&gt;",
            _ => "&#13;",
        });
        rest = special.get(1..).unwrap_or_default();
    }
    xml.push_str(rest);
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use time::macros::utc_datetime;

    use super::*;

    fn written(value: impl Into<Value>) -> String {
        let mut xml = String::new();
        push_value(&mut xml, &value.into()).unwrap();
        xml.strip_prefix("<value>").and_then(|xml| xml.strip_suffix("</value>")).unwrap().to_owned()
    }

    fn refused(value: impl Into<Value>) -> String {
        write_response(&Ok(value.into())).unwrap_err().to_string()
    }

    #[test]
    fn a_call_is_written_in_full() {
        let params = vec![Value::from("vm1"), Value::from([("wait", Value::Bool(true))])];
        let call = Call { method: "vm.start".to_owned(), params };
        assert_eq!(
            String::from_utf8(write_call(&call).unwrap()).unwrap(),
            "<?xml version=\"1.0\"?>\n<methodCall><methodName>vm.start</methodName><params>\
             <param><value><string>vm1</string></value></param>\
             <param><value><struct><member><name>wait</name><value><boolean>1</boolean></value></member>\
             </struct></value></param></params></methodCall>\n"
        );
    }

    #[test]
    fn a_fault_is_written_in_full() {
        let fault = Fault::new(103, "guest-offline: vm1 & co");
        assert_eq!(
            String::from_utf8(write_response(&Err(fault)).unwrap()).unwrap(),
            "<?xml version=\"1.0\"?>\n<methodResponse><fault><value><struct>\
             <member><name>faultCode</name><value><int>103</int></value></member>\
             <member><name>faultString</name><value><string>guest-offline: vm1 &amp; co</string></value></member>\
             </struct></value></fault></methodResponse>\n"
        );
    }

    #[test]
    fn no_value_is_self_closing_or_untyped() {
        assert_eq!(written(""), "<string></string>");
        assert_eq!(written(vec![]), "<array><data></data></array>");
        assert_eq!(written(Value::Base64(Vec::new())), "<base64></base64>");
        assert_eq!(written(Value::Struct([].into())), "<struct></struct>");
        assert_eq!(
            written([("", Value::Int(-1))]),
            "<struct><member><name></name><value><int>-1</int></value></member></struct>"
        );
    }

    #[test]
    fn doubles_have_a_point_and_no_exponent() {
        assert_eq!(written(1.0), "<double>1.0</double>");
        assert_eq!(written(-0.0), "<double>-0.0</double>");
        assert_eq!(written(PI), "<double>3.141592653589793</double>");
        assert_eq!(written(1e22), "<double>10000000000000000000000.0</double>");
        assert_eq!(written(1e-7), "<double>0.0000001</double>");
        assert!(!written(f64::MAX).contains('e'.to_ascii_uppercase()));
        assert_eq!(written(5_000_000_000_i64), "<double>5000000000.0</double>");
    }

    #[test]
    fn what_is_no_number_is_refused_with_its_place() {
        assert_eq!(refused(f64::NAN), "the double NaN is not a finite number");
        let nested = Value::from([("usage", Value::from([("cpu_s", Value::Double(f64::INFINITY))]))]);
        assert_eq!(
            refused(nested),
            "member \"usage\": member \"cpu_s\": the double inf is not a finite number"
        );
    }

    #[test]
    fn text_is_escaped_and_keeps_its_line_ends() {
        assert_eq!(written("a<b>&\"c\"\r\n\td"), "<string>a&lt;b&gt;&amp;\"c\"&#13;\n\td</string>");
        assert_eq!(written("]]>"), "<string>]]&gt;</string>");
    }

    #[test]
    fn text_that_xml_cannot_carry_is_base64() {
        assert_eq!(written("a\u{1}"), "<base64>YQE=</base64>");
        assert_eq!(written("\u{0}"), "<base64>AA==</base64>");
        assert_eq!(written("\u{fffe}"), "<base64>77++</base64>");
        assert_eq!(
            refused([("a\u{1}", Value::Int(1))]),
            "the name \"a\\u{1}\" has a character XML cannot carry"
        );
    }

    #[test]
    fn dates_are_the_form_of_the_specification() {
        let moment = utc_datetime!(2026-11-22 9:01:44.5);
        assert_eq!(written(moment), "<dateTime.iso8601>20261122T09:01:44</dateTime.iso8601>");
        assert_eq!(refused(utc_datetime!(-1-01-01 0:00)), "the year -1 does not fit a dateTime");
    }
}
