//! From bytes to text: length, byte order mark, declared encoding, and the characters XML has.
//! Not here: markup. An encoding the HTTP header names is not looked at: the document's own declaration holds.

use std::borrow::Cow;

use quick_xml::events::{BytesDecl, BytesStart};

use super::{Limits, ParseError};
use crate::excerpt;

/// How far into a document we look for the end of its XML declaration, bytes.
const DECLARATION: usize = 256;

/// The document as text, without its byte order mark and white space in front (PHP scripts send some).
pub(super) fn decode<'a>(document: &'a [u8], limits: &Limits) -> Result<Cow<'a, str>, ParseError> {
    if document.len() > limits.max_bytes {
        return Err(ParseError::Limit { what: "bytes", limit: limits.max_bytes });
    }
    refuse_wide(document)?;
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document).trim_ascii_start();
    if let Some(first) = document.first()
        && *first != b'<'
    {
        let problem = "no XML: the document does not begin with a tag,".to_owned();
        return Err(ParseError::Malformed { problem, offset: 0 });
    }
    let text = match declared(document).map(|name| name.to_ascii_lowercase()).as_deref() {
        None | Some("utf-8" | "utf8" | "us-ascii" | "ascii") => Cow::Borrowed(utf8(document)?),
        Some("iso-8859-1" | "latin1" | "latin-1") => {
            Cow::Owned(document.iter().map(|&byte| char::from(byte)).collect())
        }
        Some(other) => return Err(ParseError::UnsupportedEncoding { encoding: excerpt(other) }),
    };
    match stranger(&text) {
        None => Ok(text),
        Some((offset, character)) => Err(bad_character(character, offset as u64)),
    }
}

/// A character that is not one of [`is_xml`], and where. Looking at bytes is several times as fast.
fn stranger(text: &str) -> Option<(usize, char)> {
    let control = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
    let offset =
        text.bytes().position(control).or_else(|| text.find("\u{fffe}")).or_else(|| text.find("\u{ffff}"))?;
    Some((offset, text.get(offset..)?.chars().next()?))
}

/// Whether XML can carry the text.
pub(crate) fn is_xml_text(text: &str) -> bool {
    stranger(text).is_none()
}

/// UTF-16 and UTF-32 show in the first bytes, before any declaration could be read.
fn refuse_wide(document: &[u8]) -> Result<(), ParseError> {
    match document {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'<', 0, ..] | [0, ..] => {
            Err(ParseError::UnsupportedEncoding { encoding: "UTF-16 or UTF-32".to_owned() })
        }
        _ => Ok(()),
    }
}

/// The encoding named in the XML declaration, if there is one that can be read.
fn declared(document: &[u8]) -> Option<String> {
    let head = document.strip_prefix(b"<?xml")?;
    let head = head.get(..DECLARATION).unwrap_or(head);
    let end = head.windows(2).position(|pair| pair == b"?>")?;
    let attributes = str::from_utf8(head.get(..end)?).ok()?;
    let declaration = BytesDecl::from_start(BytesStart::from_content(attributes, 0));
    Some(declaration.encoding()?.ok()?.into_owned())
}

fn utf8(document: &[u8]) -> Result<&str, ParseError> {
    str::from_utf8(document).map_err(|error| ParseError::BadCharacter {
        problem: "bytes that are no UTF-8, the encoding of the document,".to_owned(),
        offset: error.valid_up_to() as u64,
    })
}

/// The characters of XML 1.0, section 2.2.
pub(crate) const fn is_xml(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        _ => character >= ' ',
    }
}

/// The refusal of a character that is not one of [`is_xml`].
pub(super) fn bad_character(character: char, offset: u64) -> ParseError {
    let problem = format!("U+{:04X}, which XML cannot carry (send base64),", u32::from(character));
    ParseError::BadCharacter { problem, offset }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code;

    fn decoded(document: &[u8]) -> String {
        decode(document, &Limits::default()).unwrap().into_owned()
    }

    fn refused(document: &[u8]) -> (i32, String) {
        let error = decode(document, &Limits::default()).unwrap_err();
        (error.code(), error.to_string())
    }

    #[test]
    fn utf8_is_the_default_with_or_without_a_mark() {
        assert_eq!(decoded("<a>ü€𝄞</a>".as_bytes()), "<a>ü€𝄞</a>");
        assert_eq!(decoded(b"\xef\xbb\xbf\n<a/>"), "<a/>");
        assert_eq!(decoded(b"<?xml version='1.0' encoding='US-ASCII'?><a/>").len(), 45);
    }

    #[test]
    fn iso_8859_1_is_read_where_it_is_declared() {
        assert!(
            decoded(b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xfc\x80</a>")
                .ends_with("<a>ü\u{80}</a>")
        );
    }

    #[test]
    fn other_encodings_are_refused_by_name() {
        let (number, text) = refused(b"<?xml version='1.0' encoding='EBCDIC-CP-BE'?><a/>");
        assert_eq!(number, code::UNSUPPORTED_ENCODING);
        assert_eq!(text, "encoding \"ebcdic-cp-be\" is not supported; send UTF-8 or ISO-8859-1");
        let wide: Vec<u8> = "\u{feff}<a/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(refused(&wide).0, code::UNSUPPORTED_ENCODING);
        assert_eq!(refused(b"\0<\0a").0, code::UNSUPPORTED_ENCODING);
        assert_eq!(refused(b"<\0a\0").0, code::UNSUPPORTED_ENCODING);
    }

    #[test]
    fn what_is_no_character_is_refused_with_its_place() {
        let (number, text) = refused(b"<a>\xff</a>");
        assert_eq!(number, code::INVALID_CHARACTER);
        assert_eq!(text, "bytes that are no UTF-8, the encoding of the document, at byte 3");
        assert_eq!(refused(b"<a>\x01</a>").1, "U+0001, which XML cannot carry (send base64), at byte 3");
        assert_eq!(refused("<a>\u{ffff}</a>".as_bytes()).0, code::INVALID_CHARACTER);
        assert_eq!(refused(b"<a/>\0").0, code::INVALID_CHARACTER);
    }

    #[test]
    fn what_is_no_markup_at_all_is_no_xml_whatever_its_characters() {
        for document in [b"hello".as_slice(), b"{\"method\": 1}", &[0xa5; 100], b"\x01", b"\xef\xbb\xbf x"] {
            let (number, text) = refused(document);
            assert_eq!(number, code::PARSE_ERROR, "{text}");
        }
    }

    #[test]
    fn a_document_is_no_longer_than_allowed() {
        let limits = Limits { max_bytes: 4, ..Limits::default() };
        assert!(decode(b"<a/>", &limits).is_ok());
        assert_eq!(decode(b"<ab/>", &limits).unwrap_err().to_string(), "more than 4 bytes");
    }

    #[test]
    fn a_declaration_that_cannot_be_read_leaves_utf8() {
        for document in ["<?xml", "<?xml encoding", "<?xml encoding=?><a/>", "<?xml?>", ""] {
            assert_eq!(decoded(document.as_bytes()), document);
        }
    }
}
