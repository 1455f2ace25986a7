//! Client and server together, each alone against somebody hostile, and both with the real programs.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

#[cfg(test)]
mod both;
#[cfg(test)]
mod setup;
