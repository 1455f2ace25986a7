//! From bytes to a [`Call`] or a [`Response`]: the grammar of XML-RPC over the tokens of [`events`].
//! Not here: what characters and markup are allowed ([`encoding`], [`events`]), how a number or a date is
//! written ([`scalar`]).
//!
//! Decisions the specification leaves open, each after what real clients do:
//! - Two members of one name: the last one holds, as in every client that keeps structs in a map.
//! - A nil (`<nil/>`, `<ex:nil/>`) member is an absent member. Anywhere else there is nothing to leave out, and
//!   a nil is refused as an invalid parameter.
//! - `<array/>` without `<data>` is an empty array.
//! - Attributes are read over; `ex:` in front of a type is the Apache dialect and ignored.

use std::{borrow::Cow, collections::BTreeMap};

use events::{Element, Events, Token};

use crate::{Call, Fault, Response, Value};

pub(crate) mod encoding;
mod error;
mod events;
pub(crate) mod scalar;

pub use error::ParseError;

/// The longest method name we read, bytes.
const METHOD_NAME: usize = 255;

/// What a document may cost. It is refused as soon as it goes beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of the document, bytes.
    pub max_bytes: usize,
    /// How deep arrays and structs nest: 1 is an array of scalars.
    pub max_depth: usize,
    /// Values in the document, counting arrays, structs and what is in them.
    pub max_values: usize,
}

impl Limits {
    /// How deep everybody reads who asks for nothing else.
    pub(crate) const DEPTH: usize = 64;
}

impl Default for Limits {
    /// 16 MiB, 64 levels, 250,000 values (which bounds the memory of the emptiest values to some 100 MB).
    fn default() -> Self {
        Self { max_bytes: 16 * 1024 * 1024, max_depth: Self::DEPTH, max_values: 250_000 }
    }
}

/// Reads a `<methodCall>`.
///
/// # Errors
/// [`ParseError`], which says as a [`Fault`] what is wrong and where.
pub fn parse_call(document: &[u8], limits: &Limits) -> Result<Call, ParseError> {
    let text = encoding::decode(document, limits)?;
    Parser::new(&text, *limits).call()
}

/// Reads a `<methodResponse>`: its one value, or its fault.
///
/// # Errors
/// [`ParseError`], also for a fault that has no code or text.
pub fn parse_response(document: &[u8], limits: &Limits) -> Result<Response, ParseError> {
    let text = encoding::decode(document, limits)?;
    Parser::new(&text, *limits).response()
}

struct Parser<'a> {
    events: Events<'a>,
    limits: Limits,
    values: usize,
}

impl<'a> Parser<'a> {
    fn new(document: &'a str, limits: Limits) -> Self {
        Self { events: Events::new(document), limits, values: 0 }
    }

    fn call(mut self) -> Result<Call, ParseError> {
        self.root(Element::MethodCall)?;
        self.open(Element::MethodName)?;
        let method = self.method_name()?;
        let params = match self.child()? {
            None => Vec::new(),
            Some(Element::Params) => {
                let params = self.params()?;
                self.close()?;
                params
            }
            Some(other) => return Err(self.unexpected(other, "<params>")),
        };
        self.end()?;
        Ok(Call { method, params })
    }

    fn response(mut self) -> Result<Response, ParseError> {
        self.root(Element::MethodResponse)?;
        let response = match self.child()? {
            Some(Element::Params) => Ok(self.result()?),
            Some(Element::Fault) => Err(self.fault()?),
            Some(other) => return Err(self.unexpected(other, "<params> or <fault>")),
            None => return Err(self.invalid("a response without <params> or <fault>")),
        };
        self.close()?;
        self.end()?;
        Ok(response)
    }

    fn method_name(&mut self) -> Result<String, ParseError> {
        let text = self.text("<methodName>")?;
        let name = scalar::trimmed(&text);
        if name.is_empty() {
            return Err(self.invalid("the method's name is empty"));
        }
        if name.len() > METHOD_NAME {
            return Err(ParseError::Limit { what: "bytes in the method's name", limit: METHOD_NAME });
        }
        Ok(name.to_owned())
    }

    fn result(&mut self) -> Result<Value, ParseError> {
        let [value] = <[Value; 1]>::try_from(self.params()?).map_err(|values| {
            self.invalid(&format!("a response has one value, this one {}", values.len()))
        })?;
        Ok(value)
    }

    fn fault(&mut self) -> Result<Fault, ParseError> {
        self.open(Element::Value)?;
        let fault = self.value(0)?;
        self.close()?;
        let member = |name| fault.as_ref().and_then(|fault| fault.member(name));
        match (member("faultCode"), member("faultString")) {
            (Some(Value::Int(code)), Some(Value::String(text))) => Ok(Fault::new(*code, text)),
            _ => Err(self.invalid("a fault without an int faultCode and a string faultString")),
        }
    }

    /// The children of `<params>`, to its end tag.
    fn params(&mut self) -> Result<Vec<Value>, ParseError> {
        let mut params = Vec::new();
        while let Some(child) = self.child()? {
            if child != Element::Param {
                return Err(self.unexpected(child, "<param>"));
            }
            self.open(Element::Value)?;
            params.push(self.value(0)?.ok_or(ParseError::Nil)?);
            self.close()?;
        }
        Ok(params)
    }

    /// What follows `<value>`, to its end tag. None is a nil.
    fn value(&mut self, depth: usize) -> Result<Option<Value>, ParseError> {
        self.count_value()?;
        let mut untyped = Cow::Borrowed("");
        let element = loop {
            match self.events.next()? {
                Token::Close => return Ok(Some(Value::String(untyped.into_owned()))),
                Token::End => return Err(self.truncated()),
                Token::Open(element) => break element,
                Token::Text(text) => append(&mut untyped, text),
            }
        };
        if !scalar::is_blank(&untyped) {
            return Err(self.invalid("text beside an element in <value>"));
        }
        let value = self.typed(element, depth)?;
        self.close()?;
        Ok(value)
    }

    fn count_value(&mut self) -> Result<(), ParseError> {
        self.values += 1;
        if self.values > self.limits.max_values {
            return Err(ParseError::Limit { what: "values", limit: self.limits.max_values });
        }
        Ok(())
    }

    /// What follows the start tag of a type, to its end tag.
    fn typed(&mut self, element: Element, depth: usize) -> Result<Option<Value>, ParseError> {
        let value = match element {
            Element::Array => Value::Array(self.array(self.deeper(depth)?)?),
            Element::Base64 => Value::Base64(self.scalar("base64", scalar::base64)?),
            Element::Boolean => Value::Bool(self.scalar("boolean", scalar::boolean)?),
            Element::DateTime => Value::DateTime(self.scalar("dateTime", scalar::date_time)?),
            Element::Double => Value::Double(self.scalar("double", scalar::double)?),
            Element::Int => self.scalar("int", scalar::int)?,
            Element::Nil => {
                self.close()?;
                return Ok(None);
            }
            Element::String => Value::String(self.text("<string>")?.into_owned()),
            Element::Struct => Value::Struct(self.members(self.deeper(depth)?)?),
            other => return Err(self.unexpected(other, "a type")),
        };
        Ok(Some(value))
    }

    const fn deeper(&self, depth: usize) -> Result<usize, ParseError> {
        if depth < self.limits.max_depth {
            Ok(depth + 1)
        } else {
            Err(ParseError::Limit { what: "levels of arrays and structs", limit: self.limits.max_depth })
        }
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value>, ParseError> {
        let mut items = Vec::new();
        match self.child()? {
            None => return Ok(items),
            Some(Element::Data) => {}
            Some(other) => return Err(self.unexpected(other, "<data>")),
        }
        while let Some(child) = self.child()? {
            if child != Element::Value {
                return Err(self.unexpected(child, "<value>"));
            }
            items.push(self.value(depth)?.ok_or(ParseError::Nil)?);
        }
        self.close()?;
        Ok(items)
    }

    fn members(&mut self, depth: usize) -> Result<BTreeMap<String, Value>, ParseError> {
        let mut members = BTreeMap::new();
        while let Some(child) = self.child()? {
            if child != Element::Member {
                return Err(self.unexpected(child, "<member>"));
            }
            self.open(Element::Name)?;
            let name = self.text("<name>")?.into_owned();
            self.open(Element::Value)?;
            match self.value(depth)? {
                Some(value) => members.insert(name, value),
                None => members.remove(&name),
            };
            self.close()?;
        }
        Ok(members)
    }

    fn scalar<T>(
        &mut self,
        kind: &'static str,
        read: fn(&str) -> Result<T, String>,
    ) -> Result<T, ParseError> {
        let text = self.text(kind)?;
        read(&text).map_err(|problem| self.invalid(&format!("{kind}: {problem}")))
    }

    /// Characters only, to the end tag.
    fn text(&mut self, of: &str) -> Result<Cow<'a, str>, ParseError> {
        let mut text = Cow::Borrowed("");
        loop {
            match self.events.next()? {
                Token::Close => return Ok(text),
                Token::End => return Err(self.truncated()),
                Token::Open(element) => return Err(self.unexpected(element, &format!("the text of {of}"))),
                Token::Text(more) => append(&mut text, more),
            }
        }
    }

    /// The start tag of the next child, or None at the end tag of the parent.
    fn child(&mut self) -> Result<Option<Element>, ParseError> {
        loop {
            match self.events.next()? {
                Token::Close => return Ok(None),
                Token::End => return Err(self.truncated()),
                Token::Open(element) => return Ok(Some(element)),
                Token::Text(text) if scalar::is_blank(&text) => {}
                Token::Text(_) => return Err(self.invalid("text between elements")),
            }
        }
    }

    /// The first start tag. Text in front of it makes the document no XML.
    fn root(&mut self, wanted: Element) -> Result<(), ParseError> {
        loop {
            match self.events.next()? {
                Token::Open(element) if element == wanted => return Ok(()),
                Token::Open(element) => return Err(self.unexpected(element, wanted.tag())),
                Token::Text(text) if scalar::is_blank(&text) => {}
                Token::Close | Token::Text(_) => {
                    return Err(self.malformed("text in front of the document's element"));
                }
                Token::End => return Err(self.truncated()),
            }
        }
    }

    fn open(&mut self, wanted: Element) -> Result<(), ParseError> {
        match self.child()? {
            Some(element) if element == wanted => Ok(()),
            Some(element) => Err(self.unexpected(element, wanted.tag())),
            None => Err(self.invalid(&format!("{} is missing", wanted.tag()))),
        }
    }

    fn close(&mut self) -> Result<(), ParseError> {
        match self.child()? {
            None => Ok(()),
            Some(element) => Err(self.unexpected(element, "the parent's end tag")),
        }
    }

    fn end(&mut self) -> Result<(), ParseError> {
        loop {
            match self.events.next()? {
                Token::End => return Ok(()),
                Token::Text(text) if scalar::is_blank(&text) => {}
                Token::Close | Token::Open(_) | Token::Text(_) => {
                    return Err(self.malformed("something follows the end of the document"));
                }
            }
        }
    }

    fn unexpected(&self, found: Element, wanted: &str) -> ParseError {
        self.invalid(&format!("found {} where {wanted} belongs", found.tag()))
    }

    fn invalid(&self, problem: &str) -> ParseError {
        ParseError::NotXmlRpc { problem: problem.to_owned(), offset: self.events.offset() }
    }

    fn malformed(&self, problem: &str) -> ParseError {
        ParseError::Malformed { problem: problem.to_owned(), offset: self.events.offset() }
    }

    fn truncated(&self) -> ParseError {
        self.malformed("the document ends too early")
    }
}

/// Joins the pieces that comments, references and CDATA cut a text into.
fn append<'a>(text: &mut Cow<'a, str>, more: Cow<'a, str>) {
    if text.is_empty() {
        *text = more;
    } else {
        text.to_mut().push_str(&more);
    }
}

#[cfg(test)]
mod tests;
