//! What can be wrong with bytes that should be a frame, and with a frame that should be bytes.
//!
//! No header is echoed: it may be a passcode. Headers are told apart by their number, the first being 1.

use crate::frame::{Command, Version};

/// Why bytes are not a frame. The connection they came on cannot be read any further.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// STOMP 1.1 and 1.2, "Body": only `SEND`, `MESSAGE` and `ERROR` may have one.
    #[error("{command} has a body, which only SEND, MESSAGE and ERROR may have")]
    BodyNotAllowed {
        /// The frame's command.
        command: Command,
    },
    /// The body is longer than [`Limits::body`](super::Limits::body).
    #[error("the body of {command} is longer than the limit of {limit} bytes")]
    BodyTooLong {
        /// The frame's command.
        command: Command,
        /// The limit, in bytes.
        limit: usize,
    },
    /// STOMP 1.2, "Augmented BNF": no CR within a header, except before the LF.
    #[error("header {header} contains a carriage return, which STOMP 1.2 writes as \\r")]
    CarriageReturn {
        /// Its number.
        header: usize,
    },
    /// `content-length` is not a decimal number of bytes.
    #[error("the content-length of {command} is not a number of bytes")]
    ContentLengthInvalid {
        /// The frame's command.
        command: Command,
    },
    /// No NUL where `content-length` says that the body ends.
    #[error("no NUL follows the {length} bytes that the content-length of {command} announces")]
    ContentLengthWrong {
        /// The frame's command.
        command: Command,
        /// The bytes announced.
        length: usize,
    },
    /// The input ended within a frame.
    #[error("the input ends in the middle of a frame")]
    EndsInFrame,
    /// A line among the headers begins with its colon.
    #[error("header {header} has no name before its colon")]
    HeaderWithoutName {
        /// Its number.
        header: usize,
    },
    /// A line among the headers has no colon.
    #[error("header {header} has no colon")]
    HeaderWithoutColon {
        /// Its number.
        header: usize,
    },
    /// The line is longer than [`Limits::line`](super::Limits::line).
    #[error("header {header} is longer than the limit of {limit} bytes a line")]
    LineTooLong {
        /// Its number.
        header: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Headers are text in UTF-8 (STOMP 1.1 and 1.2, "Value Encoding").
    #[error("header {header} is not UTF-8")]
    NotUtf8 {
        /// Its number.
        header: usize,
    },
    /// A NUL before the blank line that ends the headers.
    #[error("NUL in header {header}: the blank line that ends the headers is missing")]
    NulInHeader {
        /// Its number.
        header: usize,
    },
    /// There are more headers than [`Limits::headers`](super::Limits::headers).
    #[error("{command} has more headers than the limit of {limit}")]
    TooManyHeaders {
        /// The frame's command.
        command: Command,
        /// The limit.
        limit: usize,
    },
    /// STOMP 1.2, "Value Encoding": undefined escape sequences are fatal.
    #[error("header {header} contains an escape sequence that STOMP {version} does not define")]
    UndefinedEscape {
        /// Its number.
        header: usize,
        /// The version by which it was read.
        version: Version,
    },
    /// The first line of a frame names no command. Commands are upper case.
    #[error("\"{found}\" is no STOMP command")]
    UnknownCommand {
        /// What stands there, cut to a few characters.
        found: String,
    },
}

/// Why a frame cannot be sent as it is. Nothing was written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EncodeError {
    /// STOMP 1.1 and 1.2, "Body": only `SEND`, `MESSAGE` and `ERROR` may have one.
    #[error("{command} cannot have a body, only SEND, MESSAGE and ERROR can")]
    BodyNotAllowed {
        /// The frame's command.
        command: Command,
    },
    /// The frame has no such command in that version.
    #[error("STOMP {version} has no {command}")]
    CommandNotInVersion {
        /// The frame's command.
        command: Command,
        /// The version of the connection.
        version: Version,
    },
    /// The frame brings a `content-length` that is not the length of its body.
    #[error("the content-length of {command} is not the {length} bytes of its body (leave it out)")]
    ContentLengthWrong {
        /// The frame's command.
        command: Command,
        /// The bytes that the body has.
        length: usize,
    },
    /// A header has no name.
    #[error("header {header} of {command} has no name")]
    HeaderWithoutName {
        /// Its number.
        header: usize,
        /// The frame's command.
        command: Command,
    },
    /// A name or value has a character that this version has no way to write.
    #[error(
        "header {header} of {command} contains {character:?}, which cannot be written in STOMP {version}"
    )]
    Inexpressible {
        /// Its number.
        header: usize,
        /// The frame's command.
        command: Command,
        /// LF, CR, NUL, or a colon in a name.
        character: char,
        /// The version of the connection.
        version: Version,
    },
}
