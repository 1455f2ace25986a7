//! Byte streams inside messages: what two agents use when one cannot reach the other but over the bus.
//!
//! ```text
//!  AsyncRead + AsyncWrite ─▶ Mux ─▶ Packet ═ one message of the bus each ═▶ Packet ─▶ Mux ─▶ AsyncRead + AsyncWrite
//!                             ◀── credit: so many bytes more may be sent ───
//! ```
//! Each direction of a stream has a window: what was sent and not yet taken by the reader at the other end. So a stream
//! never has more than [`Limits::window`] on its way, in pieces of at most [`Limits::piece`], and whatever else the bus
//! carries is delayed by no more than that.
//!
//! It does not know what streams are for (the opener names a service), nor how packets travel: that they come in their
//! order or are missed is seen from their offsets. It authenticates nobody: the destination a packet came through does.

mod mux;
mod packet;
mod pump;

pub use mux::{Incoming, Limits, Mux, OpenError};
pub use packet::{Kind, MalformedPacket, Packet};
pub use tokio::io::DuplexStream as Stream;

#[cfg(test)]
mod tests;
