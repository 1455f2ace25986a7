//! STOMP 1.0, 1.1 and 1.2: what both agents talk over.
//!
//! - [`frame`]: commands, headers, bodies.

pub mod frame;

pub use frame::{Command, Frame, Version};
