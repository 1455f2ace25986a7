//! The API of the host agent of Vocable.
//!
//! - [`agent`], [`cmd`], [`file`], [`guest`], [`job`], [`vm`], [`word`], [`system`] and the [`legacy`] names: the methods, one
//!   file a family. A method is the struct of its parameters: see [`Method`].
//! - `client` (feature `client`): calls, events, attachments and files over TCP, TLS or a Unix socket. `examples/run.rs` is a
//!   whole program.
//! - [`attach`]: what both ends of an attachment say; [`fault`]: every way a call fails; [`target`]: how guests are named;
//!   [`checked`]: values that refuse what they cannot be; [`clock`], [`proof`].
//! - [`description`]: methods as their readers see them: help, signatures, OpenAPI, `docs/api.md`.

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
