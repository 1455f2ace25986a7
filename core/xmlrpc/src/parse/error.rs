//! Why a document was refused, with the number the interoperability list has for it.

use crate::{Fault, code};

/// A document that is no XML-RPC, or more of it than allowed. The messages repeat at most 80 characters of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A character that the encoding or XML does not have.
    #[error("{problem} at byte {offset}")]
    BadCharacter {
        /// What is there.
        problem: String,
        /// Where, counted in bytes from the start.
        offset: u64,
    },
    /// The document goes beyond [`crate::Limits`].
    #[error("more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How many of them are allowed.
        limit: usize,
    },
    /// The document is no well-formed XML, or uses what we refuse in principle: a DOCTYPE, entities of its own.
    #[error("{problem} at byte {offset}")]
    Malformed {
        /// What is wrong.
        problem: String,
        /// Where, counted in bytes of the UTF-8 text.
        offset: u64,
    },
    /// A nil where nothing can be left out.
    #[error("nil is no value; leave the parameter or the struct member out")]
    Nil,
    /// Well-formed XML that is no XML-RPC.
    #[error("{problem} at byte {offset}")]
    NotXmlRpc {
        /// What is wrong.
        problem: String,
        /// Where, counted in bytes of the UTF-8 text.
        offset: u64,
    },
    /// An encoding we do not read.
    #[error("encoding {encoding} is not supported; send UTF-8 or ISO-8859-1")]
    UnsupportedEncoding {
        /// Its name, quoted.
        encoding: String,
    },
}

impl ParseError {
    /// The fault number.
    pub const fn code(&self) -> i32 {
        match self {
            Self::BadCharacter { .. } => code::INVALID_CHARACTER,
            Self::Limit { .. } => code::TOO_BIG,
            Self::Malformed { .. } => code::PARSE_ERROR,
            Self::Nil => code::INVALID_PARAMETERS,
            Self::NotXmlRpc { .. } => code::INVALID_XML_RPC,
            Self::UnsupportedEncoding { .. } => code::UNSUPPORTED_ENCODING,
        }
    }

    /// The fault's name, as it stands before the colon.
    pub const fn slug(&self) -> &'static str {
        match self {
            Self::BadCharacter { .. } => "bad-character",
            Self::Limit { .. } => "too-big",
            Self::Malformed { .. } => "malformed-xml",
            Self::Nil => "invalid-parameter",
            Self::NotXmlRpc { .. } => "not-xml-rpc",
            Self::UnsupportedEncoding { .. } => "unsupported-encoding",
        }
    }

    /// What to answer: `slug: message` under the fault number.
    pub fn fault(&self) -> Fault {
        Fault::new(self.code(), format!("{}: {self}", self.slug()))
    }
}
