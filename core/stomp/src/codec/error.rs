//! What can be wrong with bytes that should be a frame, and with a frame that should be bytes.
//!
//! No header is echoed: it may be a passcode. Headers are told apart by their number, the first being 1.

use crate::frame::{Command, Version};

/// Why bytes are not a frame. The connection they came on cannot be read any further.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum DecodeError {
    /// STOMP 1.1 and 1.2, "Body": only `SEND`, `MESSAGE` and `ERROR` may have one.
    #[error("{command} has a body, which only SEND, MESSAGE and ERROR may have")]
    BodyNotAllowed { command: Command },
    /// The body is longer than [`Limits::body`](super::Limits::body).
    #[error("the body of {command} is longer than the limit of {limit} bytes")]
    BodyTooLong { command: Command, limit: usize },
    /// STOMP 1.2, "Augmented BNF": no CR within a header, except before the LF.
    #[error("header {header} contains a carriage return, which STOMP 1.2 writes as \\r")]
    CarriageReturn { header: usize },
    /// `content-length` is not a decimal number of bytes.
    #[error("the content-length of {command} is not a number of bytes")]
    ContentLengthInvalid { command: Command },
    /// No NUL where `content-length` says that the body ends.
    #[error("no NUL follows the {length} bytes that the content-length of {command} announces")]
    ContentLengthWrong { command: Command, length: usize },
    /// The input ended within a frame.
    #[error("the input ends in the middle of a frame")]
    EndsInFrame,
    /// A line among the headers begins with its colon.
    #[error("header {header} has no name before its colon")]
    HeaderWithoutName { header: usize },
    /// A line among the headers has no colon.
    #[error("header {header} has no colon")]
    HeaderWithoutColon { header: usize },
    /// The line is longer than [`Limits::line`](super::Limits::line).
    #[error("header {header} is longer than the limit of {limit} bytes a line")]
    LineTooLong { header: usize, limit: usize },
    /// Headers are text in UTF-8 (STOMP 1.1 and 1.2, "Value Encoding").
    #[error("header {header} is not UTF-8")]
    NotUtf8 { header: usize },
    /// A NUL before the blank line that ends the headers.
    #[error("NUL in header {header}: the blank line that ends the headers is missing")]
    NulInHeader { header: usize },
    /// There are more headers than [`Limits::headers`](super::Limits::headers).
    #[error("{command} has more headers than the limit of {limit}")]
    TooManyHeaders { command: Command, limit: usize },
    /// STOMP 1.2, "Value Encoding": undefined escape sequences are fatal.
    #[error("header {header} contains an escape sequence that STOMP {version} does not define")]
    UndefinedEscape { header: usize, version: Version },
    /// The first line of a frame names no command. Commands are upper case.
    #[error("\"{found}\" is no STOMP command")]
    UnknownCommand {
        /// What stands there, cut to a few characters.
        found: String,
    },
}

/// Why a frame cannot be sent as it is. Nothing was written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum EncodeError {
    /// STOMP 1.1 and 1.2, "Body": only `SEND`, `MESSAGE` and `ERROR` may have one.
    #[error("{command} cannot have a body, only SEND, MESSAGE and ERROR can")]
    BodyNotAllowed { command: Command },
    /// The frame has no such command in that version.
    #[error("STOMP {version} has no {command}")]
    CommandNotInVersion { command: Command, version: Version },
    /// The frame brings a `content-length` that is not the length of its body.
    #[error("the content-length of {command} is not the {length} bytes of its body (leave it out)")]
    ContentLengthWrong { command: Command, length: usize },
    /// A header has no name.
    #[error("header {header} of {command} has no name")]
    HeaderWithoutName { header: usize, command: Command },
    /// A name or value has a character that this version has no way to write.
    #[error(
        "header {header} of {command} contains {character:?}, which cannot be written in STOMP {version}"
    )]
    Inexpressible {
        header: usize,
        command: Command,
        /// LF, CR, NUL, or a colon in a name.
        character: char,
        version: Version,
    },
}
