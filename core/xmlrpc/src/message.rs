//! What is said about values: a call, its response, and the fault a response may be.
//! Not here: XML, and the meaning of any method.

use std::fmt;

use crate::Value;

/// The fault numbers of the interoperability list (<http://xmlrpc-epi.sourceforge.net/specs/rfc.fault_codes.php>),
/// and the one of ours this crate needs itself.
pub mod code {
    /// The document is no well-formed XML.
    pub const PARSE_ERROR: i32 = -32700;
    /// The document says it is in an encoding we do not read.
    pub const UNSUPPORTED_ENCODING: i32 = -32701;
    /// A character that the encoding or XML does not have.
    pub const INVALID_CHARACTER: i32 = -32702;
    /// Well-formed XML, but no XML-RPC.
    pub const INVALID_XML_RPC: i32 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// The method does not take these parameters.
    pub const INVALID_PARAMETERS: i32 = -32602;
    /// The server failed at its own work.
    pub const INTERNAL_ERROR: i32 = -32603;
    /// The application failed, and nothing more precise fits.
    pub const APPLICATION_ERROR: i32 = -32500;
    /// The system below failed: the hypervisor, the operating system.
    pub const SYSTEM_ERROR: i32 = -32400;
    /// The transport failed.
    pub const TRANSPORT_ERROR: i32 = -32300;
    /// Ours, not of the list: the document is longer, deeper or fuller than [`crate::Limits`] allow.
    pub const TOO_BIG: i32 = 300;
}

/// The most characters a fault's text has.
const FAULT_TEXT: usize = 500;

/// A method and its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The method's name, without the white space around it.
    pub method: String,
    /// The parameters, by position.
    pub params: Vec<Value>,
}

/// What a call is answered with.
pub type Response = Result<Value, Fault>;

/// A failed call: a number and a line of text, `slug: sentence` where it is one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    code: i32,
    text: String,
}

impl Fault {
    /// A fault whose text is made one line of at most 500 characters: control characters become spaces, and a
    /// longer text ends in `…`.
    pub fn new(code: i32, text: impl AsRef<str>) -> Self {
        let line = |c: char| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { ' ' } else { c };
        let mut characters = text.as_ref().trim().chars().map(line);
        let mut text: String = characters.by_ref().take(FAULT_TEXT).collect();
        if characters.next().is_some() {
            text.pop();
            text.push('…');
        }
        Self { code, text }
    }

    /// The number: see [`code`] for the ones everybody knows.
    pub const fn code(&self) -> i32 {
        self.code
    }

    /// The whole text, one line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The part of the text before its first colon, if that is a slug: lower case letters, digits and dashes.
    pub fn slug(&self) -> Option<&str> {
        let (slug, _) = self.text.split_once(':')?;
        let slug_like = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        (slug.starts_with(|c: char| c.is_ascii_lowercase()) && slug.chars().all(slug_like)).then_some(slug)
    }

    /// The text without its slug.
    pub fn message(&self) -> &str {
        let slug = self.slug().map_or(0, |slug| slug.len() + 1);
        self.text.get(slug..).unwrap_or_default().trim_start()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_one_line_of_bounded_length() {
        assert_eq!(Fault::new(1, "a\r\nb\tc\u{0}").text(), "a  b c ");
        let long = Fault::new(1, "ü".repeat(100_000));
        assert_eq!(long.text().chars().count(), 500);
        assert!(long.text().ends_with("ü…"));
        assert_eq!(Fault::new(1, "x".repeat(500)).text(), "x".repeat(500));
    }

    #[test]
    fn a_slug_is_told_from_a_sentence() {
        let fault = Fault::new(103, "guest-offline: vm2 does not answer: lost");
        assert_eq!(fault.slug(), Some("guest-offline"));
        assert_eq!(fault.message(), "vm2 does not answer: lost");
        for text in ["Unknown method: x", "no colon", ": empty", "-x: dash", "two words: x", ""] {
            assert_eq!(Fault::new(1, text).slug(), None, "{text}");
            assert_eq!(Fault::new(1, text).message(), text);
        }
    }
}
