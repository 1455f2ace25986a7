//! The host agent of Vocable: [`serve`] puts all of it together from its [`config`].
//!
//! - `agent`: the task that owns the state, what it owns (roster, commands, events, store), and how others ask it
//! - `machines`: the hypervisors guests are in
//! - `files`: files of guests, over Chirp
//! - `endpoint`: HTTP, the methods of the API, attachments; they parse, ask, and answer
//! - `audit` (who changed what), `credentials` (who may log in at the broker), `panics`, `shape` (bounds of JSON that
//!   others made)

mod audit;
pub mod config;
mod credentials;
mod panics;
mod shape;

mod agent;
mod files;
mod machines;

mod endpoint;

pub mod serve;
mod start_error;

pub use config::Admit;
pub use start_error::StartError;
