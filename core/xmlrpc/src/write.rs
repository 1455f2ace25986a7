//! From a [`Call`] or a [`Response`] to XML, in the form the oldest clients read: an XML declaration, every value
//! with its type, no self-closing tags, doubles without an exponent, no `<i8>` and no `<nil/>`.
//!
//! A string with a character XML cannot carry (control characters, U+FFFE, U+FFFF) is sent as the base64 of its
//! UTF-8: [`crate::from_value`] takes either for a string.
//!
//! An answer ([`write_answer`]) is always written: what XML-RPC has no form for, or nests deeper than readers go, has
//! `{"omitted": reason}` in its place, and the rest arrives.

use std::fmt::{Display, Write as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use time::{UtcDateTime, format_description::BorrowedFormatItem, macros::format_description};

use crate::{
    Call, Fault, Limits, Response, Value, code, excerpt,
    parse::encoding::{is_xml, is_xml_text},
};

const DECLARATION: &str = "<?xml version=\"1.0\"?>\n";

const DATE_TIME: &[BorrowedFormatItem<'_>] =
    format_description!(version = 2, "[year][month][day]T[hour]:[minute]:[second]");

/// The name of the member that stands for what could not be written.
pub(crate) const OMITTED: &str = "omitted";

/// How deep arrays and structs of an answer nest: one less than readers go, so that what stands for the rest fits.
pub(crate) const LEVELS: usize = Limits::DEPTH - 1;

/// A value that XML-RPC has no form for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// XML-RPC dates have four digits for the year.
    #[error("the year {0} does not fit a dateTime")]
    Date(i32),
    /// Arrays and structs nest deeper than readers go.
    #[error("it nests deeper than {0} levels")]
    Deep(usize),
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
    let mut writer = Writer::new(false);
    writer.xml.push_str("<methodCall><methodName>");
    writer.name(&call.method)?;
    writer.xml.push_str("</methodName><params>");
    for value in &call.params {
        writer.param(value)?;
    }
    writer.xml.push_str("</params></methodCall>\n");
    Ok(writer.xml.into_bytes())
}

/// Writes a `<methodResponse>`.
///
/// # Errors
/// [`WriteError`] for a value that XML-RPC cannot carry; answer with a fault ([`write_fault`]) then.
pub fn write_response(response: &Response) -> Result<Vec<u8>, WriteError> {
    match response {
        Ok(value) => result(Writer::new(false), value),
        Err(fault) => Ok(write_fault(fault)),
    }
}

/// Writes a `<methodResponse>`, whatever is in it: one odd value, such as a guest may have sent, has
/// `{"omitted": reason}` in its place, and characters of a member's name that XML cannot carry are escaped.
pub fn write_answer(response: &Response) -> Vec<u8> {
    let value = match response {
        Ok(value) => value,
        Err(fault) => return write_fault(fault),
    };
    let mut writer = Writer::new(true);
    writer.xml.reserve(value.weight());
    // Whatever cannot be written is left out, so that this is only for the compiler.
    result(writer, value)
        .unwrap_or_else(|error| write_fault(&Fault::new(code::INTERNAL_ERROR, error.to_string())))
}

fn result(mut writer: Writer, value: &Value) -> Result<Vec<u8>, WriteError> {
    writer.xml.push_str("<methodResponse><params>");
    writer.param(value)?;
    writer.xml.push_str("</params></methodResponse>\n");
    Ok(writer.xml.into_bytes())
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

/// A document that is being written.
struct Writer {
    xml: String,
    /// Whether what cannot be written is left out, and said to be.
    lenient: bool,
}

impl Writer {
    fn new(lenient: bool) -> Self {
        Self { xml: String::from(DECLARATION), lenient }
    }

    fn param(&mut self, value: &Value) -> Result<(), WriteError> {
        self.xml.push_str("<param>");
        self.value(value, 0)?;
        self.xml.push_str("</param>");
        Ok(())
    }

    /// A value inside of `depth` arrays and structs.
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), WriteError> {
        let start = self.xml.len();
        self.xml.push_str("<value>");
        match self.content(value, depth) {
            Err(error) if self.lenient => {
                self.xml.truncate(start);
                self.omitted(&error);
                return Ok(());
            }
            written => written?,
        }
        self.xml.push_str("</value>");
        Ok(())
    }

    fn content(&mut self, value: &Value, depth: usize) -> Result<(), WriteError> {
        let is_nest = matches!(value, Value::Array(_) | Value::Struct(_));
        if self.lenient && is_nest && depth >= LEVELS {
            return Err(WriteError::Deep(LEVELS));
        }
        match value {
            Value::Array(items) => self.array(items, depth + 1)?,
            Value::Base64(bytes) => push_base64(&mut self.xml, bytes),
            Value::Bool(truth) => push_element(&mut self.xml, "boolean", i32::from(*truth)),
            Value::DateTime(time) => push_date_time(&mut self.xml, *time)?,
            Value::Double(number) => push_double(&mut self.xml, *number)?,
            Value::Int(number) => push_element(&mut self.xml, "int", number),
            Value::String(text) => push_string(&mut self.xml, text),
            Value::Struct(members) => self.members(members, depth + 1)?,
        }
        Ok(())
    }

    fn omitted(&mut self, error: &WriteError) {
        self.xml.push_str("<value><struct><member><name>");
        self.xml.push_str(OMITTED);
        self.xml.push_str("</name><value>");
        push_string(&mut self.xml, &error.to_string());
        self.xml.push_str("</value></member></struct></value>");
    }

    fn array(&mut self, items: &[Value], depth: usize) -> Result<(), WriteError> {
        self.xml.push_str("<array><data>");
        for item in items {
            self.value(item, depth)?;
        }
        self.xml.push_str("</data></array>");
        Ok(())
    }

    fn members<'a>(
        &mut self,
        members: impl IntoIterator<Item = (&'a String, &'a Value)>,
        depth: usize,
    ) -> Result<(), WriteError> {
        self.xml.push_str("<struct>");
        for (name, value) in members {
            self.xml.push_str("<member><name>");
            self.name(name)?;
            self.xml.push_str("</name>");
            self.value(value, depth)
                .map_err(|error| WriteError::Member { name: excerpt(name), source: Box::new(error) })?;
            self.xml.push_str("</member>");
        }
        self.xml.push_str("</struct>");
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), WriteError> {
        if is_xml_text(name) {
            push_escaped(&mut self.xml, name);
        } else if self.lenient {
            push_escaped(&mut self.xml, &without_strangers(name));
        } else {
            return Err(WriteError::Name(excerpt(name)));
        }
        Ok(())
    }
}

/// The text with `\u{1}` for a character that XML does not have.
fn without_strangers(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_xml(character) {
            shown.push(character);
        } else {
            shown.extend(character.escape_unicode());
        }
    }
    shown
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

    use crate::parse_response;

    use time::macros::utc_datetime;

    use super::*;

    fn written(value: impl Into<Value>) -> String {
        let mut writer = Writer { xml: String::new(), lenient: false };
        writer.value(&value.into(), 0).unwrap();
        writer.xml.strip_prefix("<value>").and_then(|xml| xml.strip_suffix("</value>")).unwrap().to_owned()
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

    fn answered(value: Value) -> Value {
        parse_response(&write_answer(&Ok(value)), &Limits::default()).unwrap().unwrap()
    }

    fn omitted(reason: &str) -> Value {
        Value::from([("omitted", Value::from(reason))])
    }

    #[test]
    fn one_odd_value_does_not_cost_an_answer_the_others() {
        let odd = Value::from([
            ("bad\u{1}name", Value::Int(1)),
            ("cpu_s", Value::Double(f64::NAN)),
            ("when", Value::from(utc_datetime!(-1-01-01 0:00))),
        ]);
        let shown = Value::from([
            ("bad\\u{1}name", Value::Int(1)),
            ("cpu_s", omitted("the double NaN is not a finite number")),
            ("when", omitted("the year -1 does not fit a dateTime")),
        ]);
        let list = Value::from(vec![Value::Int(1), odd, Value::Int(2)]);
        assert_eq!(answered(list), Value::from(vec![Value::Int(1), shown, Value::Int(2)]));
    }

    #[test]
    fn what_nests_deeper_than_readers_go_is_left_out_where_it_does() {
        let nested = |levels| (0..levels).fold(Value::Int(7), |value, _| Value::from(vec![value]));
        assert_eq!(answered(nested(LEVELS)), nested(LEVELS));
        let mut expected = omitted("it nests deeper than 63 levels");
        for _ in 0..LEVELS {
            expected = Value::from(vec![expected]);
        }
        assert_eq!(answered(nested(LEVELS + 1)), expected);
        assert_eq!(answered(nested(120)), expected);
    }

    #[test]
    fn dates_are_the_form_of_the_specification() {
        let moment = utc_datetime!(2026-11-22 9:01:44.5);
        assert_eq!(written(moment), "<dateTime.iso8601>20261122T09:01:44</dateTime.iso8601>");
        assert_eq!(refused(utc_datetime!(-1-01-01 0:00)), "the year -1 does not fit a dateTime");
    }
}
