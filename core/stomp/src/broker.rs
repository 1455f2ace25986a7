//! The embedded broker.
//!
//! - [`destination`]: names of queues and topics, and patterns over them.
//! - [`access`]: who may come in and do what, as questions; [`rules`]: an answer made of data.
//! - [`limits`]: how much of everything.
//! - [`event`]: what the broker tells its owner.
//! - [`core`]: its state and rules, without I/O or clock.

pub mod access;
pub mod core;
pub mod destination;
pub mod event;
pub mod limits;
pub mod rules;

pub use access::{Access, Action, Denial, Principal};
pub use destination::{Destination, DestinationError, Kind, Pattern};
pub use event::{BrokerEvent, ConnectionId, ConnectionInfo, Ending, QueueInfo};
pub use limits::BrokerLimits;
pub use rules::{AccessRules, Secret};
