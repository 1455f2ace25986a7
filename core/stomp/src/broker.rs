//! The embedded broker: queues, topics and transactions for STOMP 1.0, 1.1 and 1.2, in memory.
//!
//! - [`destination`]: names of queues and topics, and patterns over them.
//! - [`access`]: who may come in and do what, as questions; [`rules`]: an answer made of data.
//! - [`limits`]: how much of everything; [`config`]: how it behaves on its sockets.
//! - [`event`]: what the broker tells its owner.
//! - [`core`]: its state and rules, without I/O or clock.
//! - `connection`: one socket; `server`: the task that owns the core.
//! - [`link`]: connections inside the process.
//! - [`handle`]: the broker as its owner sees it.

pub mod access;
pub mod config;
mod connection;
pub mod core;
pub mod destination;
pub mod event;
pub mod handle;
pub mod limits;
pub mod link;
mod meter;
pub mod rules;
mod server;
#[cfg(test)]
mod tests;

pub use self::core::Withdrawn;
pub use crate::ack::AckMode;
pub use crate::proof::Secret;
pub use access::{Access, Action, Denial, Principal};
pub use config::BrokerConfig;
pub use destination::{Destination, DestinationError, Kind, Pattern};
pub use event::{BrokerEvent, ConnectionId, ConnectionInfo, Ending, QueueInfo};
pub use handle::{Broker, BrokerStopped, Events};
pub use limits::BrokerLimits;
pub use link::{Link, LinkError, LinkSender};
pub use rules::AccessRules;
