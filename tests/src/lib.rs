//! The test bed of the stories: the real programs as processes, in a temporary folder and on loopback.
//!
//! In reading order: [`process`] (a program that runs, what it says, and its end); [`host`] (a host agent: its
//! endpoint, its events, its command line); [`replies`] (what it replies against what it declares); [`command`] (what is run, and what came of it); [`guest`] (a guest agent);
//! [`gate`] (lets a command go on when the story says so); [`proxy`] (a network between the two that can be cut);
//! [`isolation`] (mounts and networks of the story's own); [`random`] (chance that can be had again); [`stomp`] and
//! [`http`] (clients with bad manners); [`raw_guest`] (a guest without an agent, which means harm); [`impostor`] (whoever
//! listens where somebody else is expected); [`terminal`] (a person at a terminal); [`files`] (where programs and words
//! are found); [`peers`] (other people's programs).
//!
//! Nothing waits by sleeping: everything awaits an event, for [`TIMEOUT`] at most. Everything ends with the story:
//! agents, supervisors and commands are killed when their bed is dropped, and their logs are shown if it failed.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test bed: what goes wrong is a failed test, told at the line that matters"
)]

pub mod process;

pub mod host;

pub mod replies;

pub mod command;

pub mod guest;

pub mod gate;

pub mod proxy;

pub mod isolation;

pub mod random;

pub mod stomp;

pub mod http;

pub mod raw_guest;

pub mod impostor;

pub mod terminal;

pub mod files;

pub mod peers;

use std::time::Duration;

/// How long anything may take on a busy machine before the story has failed.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a story goes on that may go on for as long as one likes: `VOCABLE_SECONDS`.
pub fn seconds() -> Duration {
    let seconds = std::env::var("VOCABLE_SECONDS").map_or(60.0, |seconds| seconds.parse().unwrap());
    Duration::from_secs_f64(seconds)
}
