//! The API of the host agent.

pub mod agent;
pub mod cmd;
pub mod file;
pub mod guest;
pub mod job;
pub mod legacy;
pub mod system;
pub mod vm;
pub mod word;

pub mod attach;
pub mod checked;
pub mod clock;
pub mod description;
pub mod fault;
pub mod method;
pub mod proof;
pub mod target;

#[cfg(feature = "client")]
pub mod client;

mod fields;
mod types;

pub use method::Method;
pub use types::{Any, AnyStruct, Bytes, DateTime, Text, UnixTime};
pub use vocable_protocol::Part;
