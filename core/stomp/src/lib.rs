//! STOMP 1.0, 1.1 and 1.2: what both agents talk over.
//!
//! - [`frame`]: commands, headers, bodies; [`ack`]: how messages are acknowledged.
//! - [`codec`]: frames to bytes and back, without I/O.
//! - [`heartbeat`]: what is agreed, when one is due, when the peer is dead.
//! - `proof`: how the two ends of a login prove to each other that they know its secret.
//! - [`client`]: a client that stays connected.
//! - [`broker`]: the embedded broker.

pub mod ack;
pub mod broker;
pub mod client;
pub mod codec;
pub mod frame;
pub mod heartbeat;
mod proof;

pub use ack::AckMode;
pub use frame::{Command, DELIVERIES, Frame, Version};

/// The tests that are fuzz targets as well call this crate by its name.
#[cfg(test)]
extern crate self as vocable_stomp;
