//! The tokens of a document: the elements XML-RPC has and the text between them, references resolved and line
//! ends made `\n`. Comments and processing instructions are read over; a DOCTYPE, an entity beyond the five of
//! XML, or an element XML-RPC does not have ends the reading. Not here: what may stand where.

use std::borrow::Cow;

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_xml_entity,
    events::{BytesRef, BytesStart, Event},
};

use super::{ParseError, encoding};
use crate::excerpt;

/// More attributes than this no client sends, and telling duplicates costs the square of them.
const ATTRIBUTES: usize = 16;

/// An element of XML-RPC, all names of a type folded into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Array,
    Base64,
    Boolean,
    Data,
    DateTime,
    Double,
    Fault,
    Int,
    Member,
    MethodCall,
    MethodName,
    MethodResponse,
    Name,
    Nil,
    Param,
    Params,
    String,
    Struct,
    Value,
}

impl Element {
    fn named(name: &str) -> Option<Self> {
        let element = match name.strip_prefix("ex:").unwrap_or(name) {
            "array" => Self::Array,
            "base64" => Self::Base64,
            "boolean" => Self::Boolean,
            "data" => Self::Data,
            "dateTime.iso8601" | "dateTime" => Self::DateTime,
            "double" | "float" => Self::Double,
            "fault" => Self::Fault,
            "int" | "i4" | "i1" | "i2" | "i8" => Self::Int,
            "member" => Self::Member,
            "methodCall" => Self::MethodCall,
            "methodName" => Self::MethodName,
            "methodResponse" => Self::MethodResponse,
            "name" => Self::Name,
            "nil" => Self::Nil,
            "param" => Self::Param,
            "params" => Self::Params,
            "string" => Self::String,
            "struct" => Self::Struct,
            "value" => Self::Value,
            _ => return None,
        };
        Some(element)
    }

    /// The element as a message shows it.
    pub(super) const fn tag(self) -> &'static str {
        match self {
            Self::Array => "<array>",
            Self::Base64 => "<base64>",
            Self::Boolean => "<boolean>",
            Self::Data => "<data>",
            Self::DateTime => "<dateTime.iso8601>",
            Self::Double => "<double>",
            Self::Fault => "<fault>",
            Self::Int => "<int>",
            Self::Member => "<member>",
            Self::MethodCall => "<methodCall>",
            Self::MethodName => "<methodName>",
            Self::MethodResponse => "<methodResponse>",
            Self::Name => "<name>",
            Self::Nil => "<nil>",
            Self::Param => "<param>",
            Self::Params => "<params>",
            Self::String => "<string>",
            Self::Struct => "<struct>",
            Self::Value => "<value>",
        }
    }
}

/// A piece of the document. A [`Self::Close`] always belongs to the innermost open element.
#[derive(Debug)]
pub(super) enum Token<'a> {
    Close,
    End,
    Open(Element),
    Text(Cow<'a, str>),
}

pub(super) struct Events<'a> {
    reader: Reader<&'a [u8]>,
}

impl<'a> Events<'a> {
    pub(super) fn new(document: &'a str) -> Self {
        let mut reader = Reader::from_str(document);
        reader.config_mut().enable_all_checks(true);
        reader.config_mut().expand_empty_elements = true;
        Self { reader }
    }

    /// How much of the document has been read, bytes.
    pub(super) const fn offset(&self) -> u64 {
        self.reader.buffer_position()
    }

    /// The next token; [`Token::End`] again and again once the document is over.
    pub(super) fn next(&mut self) -> Result<Token<'a>, ParseError> {
        loop {
            let start = self.offset();
            let event = self.reader.read_event().map_err(|error| self.malformed(&error))?;
            return Ok(match event {
                Event::CData(text) => Token::Text(text.xml10_content()),
                Event::Comment(_) | Event::PI(_) => continue,
                Event::Decl(_) if start == 0 => continue,
                Event::Decl(_) => return Err(at(start, "an XML declaration that is not at the start")),
                Event::DocType(_) => return Err(at(start, "a DOCTYPE, which is not accepted,")),
                Event::Empty(tag) | Event::Start(tag) => Token::Open(element(&tag, start)?),
                Event::End(_) => Token::Close,
                Event::Eof => Token::End,
                Event::GeneralRef(reference) => Token::Text(resolved(&reference, start)?),
                Event::Text(text) => Token::Text(text.xml10_content()),
            });
        }
    }

    /// The parser's own words, which may repeat the document.
    fn malformed(&self, error: &quick_xml::Error) -> ParseError {
        at(self.reader.error_position(), &excerpt(&error.to_string()))
    }
}

fn at(offset: u64, problem: &str) -> ParseError {
    ParseError::Malformed { problem: problem.to_owned(), offset }
}

fn element(tag: &BytesStart<'_>, offset: u64) -> Result<Element, ParseError> {
    check_attributes(tag, offset)?;
    let name = tag.name().into_inner();
    Element::named(name).ok_or_else(|| ParseError::NotXmlRpc {
        problem: format!("the element {}, which XML-RPC does not have,", excerpt(name)),
        offset,
    })
}

/// Attributes mean nothing to us, but must be XML.
fn check_attributes(tag: &BytesStart<'_>, offset: u64) -> Result<(), ParseError> {
    for (number, attribute) in tag.attributes().enumerate() {
        if number == ATTRIBUTES {
            return Err(ParseError::Limit { what: "attributes of an element", limit: ATTRIBUTES });
        }
        let attribute = attribute.map_err(|error| at(offset, &excerpt(&error.to_string())))?;
        attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| at(offset, &excerpt(&error.to_string())))?;
    }
    Ok(())
}

/// The character or one of the five entities that `&…;` stands for.
fn resolved(reference: &BytesRef<'_>, offset: u64) -> Result<Cow<'static, str>, ParseError> {
    if let Some(text) = resolve_xml_entity(reference) {
        return Ok(Cow::Borrowed(text));
    }
    let unknown = || at(offset, &format!("the reference {}, which XML does not have,", excerpt(reference)));
    match reference.resolve_char_ref() {
        Ok(Some(character)) if encoding::is_xml(character) => Ok(Cow::Owned(character.to_string())),
        Ok(Some(character)) => Err(encoding::bad_character(character, offset)),
        Ok(None) | Err(_) => Err(unknown()),
    }
}
