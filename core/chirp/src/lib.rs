//! Chirp, the file protocol of the Cooperative Computing Tools: how files go to a guest and come back.
//!
//! - [`proto`]: requests, answers, escapes and stat lines, without I/O
//! - [`Stream`]: what a session runs over: TCP, a Unix socket, or anything that reads and writes
//! - [`Secret`], [`TicketKey`], [`Ticket`]: what one logs in with
//! - [`server`]: serves directories, and nothing outside them, to whoever logs in
//! - [`client`]: one connection, to whose other end everything hostile is to be expected
//!
//! The real programs can be either end. Between two of ours, requests of our own make a round trip of what takes the
//! protocol several, and carry digests and times of full precision. Nothing here dials out but on the caller's behalf,
//! and nothing is encrypted: see ARCHITECTURE.md.

pub mod proto;

mod secret;
mod stream;
mod ticket;

pub mod client;
pub mod server;

pub use secret::{BadSecret, Secret};
pub use stream::{Duplex, Stream};
pub use ticket::{BadKey, Ticket, TicketKey};

/// Somebody else's bytes, fit for a message: at most 200 of them, quoted, control characters escaped.
pub fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..200).unwrap_or(bytes));
    if bytes.len() > 200 { format!("{text:?}…") } else { format!("{text:?}") }
}
