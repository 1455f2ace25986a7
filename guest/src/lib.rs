//! The guest agent of Vocable: it joins a host, and does what the host's words ask of it.
//!
//! In reading order: [`config`] (every key), [`identity`] (who this guest is when nobody says), [`agent`] (the task that
//! owns the state), [`reports`] (what the host has yet to hear of each command), [`powers`] (what words can ask of this
//! agent), [`files`] (what the host may copy), [`jobs`] (commands, which outlive the agent) and [`supervisor`] (the process each of them has for itself),
//! [`run`] (all of it put together).

pub mod config;
pub mod identity;

pub mod agent;
pub mod reports;

pub mod powers;

pub mod files;
pub mod jobs;
pub mod supervisor;

pub mod run;
