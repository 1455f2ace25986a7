//! The host agent of Vocable: [`serve`] puts all of it together from its [`config`].
//!
//! - `agent`: the task that owns the state, what it owns (roster, commands, events, store), and how others ask it
//! - `machines`: the hypervisors guests are in
//! - `files`: files of guests, over Chirp
//! - `jobs`: computations in machines, made of all these
//! - `why`: what is wrong with a guest, as far as all of these know
//! - `endpoint`: HTTP, the methods of the API, attachments; they parse, ask, and answer
//! - `audit` (who changed what), `credentials` (who may log in at the broker), `panics`, `shape` (bounds of JSON that
//!   others made), `words` (installed over the API)

mod audit;
pub mod config;
mod credentials;
mod panics;
mod shape;
mod words;

mod agent;
mod files;
mod machines;

mod jobs;
mod why;

mod endpoint;

pub mod serve;
mod start_error;

pub use config::Admit;
pub use start_error::StartError;
