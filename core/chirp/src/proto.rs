//! The protocol without I/O: what is said in lines, both ways.
//!
//! A request is one line, `verb argument…`, some followed by a body; an answer is a signed decimal in a line, negative
//! for a failure, some followed by lines or bytes. Written from the protocol's public description and from what the
//! real programs were seen to say. Knows no socket, no file system and no clock.

mod code;
mod entry;
pub mod escape;
mod flags;
mod name;
mod request;
mod stat;
mod words;

pub use code::Code;
pub use entry::{Entry, Kind, Meta};
pub use flags::Flags;
pub use name::{BadName, Name};
pub use request::{Malformed, Request, Strides};
pub use stat::{Stat, Statfs};

/// The port the real server listens on.
pub const PORT: u16 = 9094;
/// At most this many bytes are read or written by one `pread` or `pwrite`: so the real server has it.
pub const CHUNK: u64 = 16 * 1024 * 1024;
/// What `vhello` answers: the version of our own requests, which all begin with `v`.
pub const EXTENSIONS: i64 = 1;
