//! Client and server together, each alone against somebody hostile, and both with the real programs.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

#[cfg(test)]
mod both;
#[cfg(test)]
mod hostile_client;
#[cfg(test)]
mod hostile_server;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod login;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod setup;
