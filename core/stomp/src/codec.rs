//! Frames to bytes and back, without I/O: [`Decoder`] takes bytes as they trickle in, [`encode`] gives them.
//!
//! - [`Decoder`]: tolerant of how the bytes were cut, of nothing else unless the [`Dialect`] is lenient.
//! - [`encode`]: strict; what the version cannot express is refused, never bent.
//!
//! `content-length` belongs to the wire, not to the frame: the decoder takes it off, the encoder puts it on.
//! This module knows which bytes are a frame, but not which frame is allowed when: that is for whoever holds
//! the connection.

mod decode;
mod encode;
mod error;
mod escape;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::{check, encode};
pub use error::{DecodeError, EncodeError};

use crate::frame::{Frame, Version};

/// What a decoder finds between two cuts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Item {
    /// A whole frame.
    Frame(Frame),
    /// Line ends between frames. A run of them counts once, so that a flood of them is cheap.
    HeartBeat,
}

/// How much of a frame is accepted before the peer is told off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of one header line as sent, without its line end. 8 KiB by default.
    pub line: usize,
    /// Headers of one frame. 100 by default.
    pub headers: usize,
    /// Bytes of one body. 16 MiB by default.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line: 8 << 10, headers: 100, body: 16 << 20 }
    }
}

/// How bytes are to be read: by which version, and how strictly.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Dialect {
    /// The negotiated version; `None` before `CONNECTED`. Until then CRLF line ends are accepted, and an escape
    /// that means nothing stays as it is (the `ERROR` that refuses a connection may be written in any version).
    pub version: Option<Version>,
    /// Bears with old peers: CRLF line ends in every version, undefined escapes kept as they are, bodies on
    /// frames that have none, a frame whose NUL follows its last header without a blank line, and, from peers
    /// that speak 1.0 only, spaces around header names and values (its specification shows `login: <username>`).
    pub lenient: bool,
}

impl Dialect {
    /// By the letter of that version.
    pub const fn strict(version: Version) -> Self {
        Self { version: Some(version), lenient: false }
    }

    /// Bearing with old peers; the version is yet to be negotiated.
    pub const fn lenient() -> Self {
        Self { version: None, lenient: true }
    }
}
