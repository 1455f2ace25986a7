//! The guest agent of Vocable: it joins a host, and does what the host's words ask of it.
//!
//! In reading order:
//!
//! - `cli` (the program), `config` (every key), `run` (all of it put together);
//! - `identity` (who this guest is when nobody says);
//! - `agent` (the task that owns the state, and what the host has yet to hear of each command), `capabilities` (what words
//!   can ask of this agent);
//! - `files` (what the host may copy);
//! - `jobs` (commands, which outlive the agent) and `supervisor` (the process each of them has for itself), and what both
//!   know of one: `job`;
//! - `private` (files of our own), `timer`.

mod cli;
mod config;
mod run;

mod identity;

mod agent;
mod capabilities;

mod files;

mod job;
mod jobs;
mod supervisor;

mod private;
mod timer;

pub use cli::main;
