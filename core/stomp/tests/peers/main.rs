//! Real peers: independent clients against the embedded broker, the client against a real broker.
//!
//! In reading order: [`kit`] (what is installed, stall_timeout, other people's programs), [`ours`] (the broker they talk
//! to), [`perl`] and [`ruby`] (clients), [`rabbitmq`] (a broker). `cargo xtask test --peers` installs them; a test
//! without its peer says that it was skipped, and fails if `CI` is set. stomp-rs and iridium-stomp, which need no
//! installation, are with the broker's own tests.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

#[cfg(test)]
mod kit;
#[cfg(test)]
mod ours;
#[cfg(test)]
mod perl;
#[cfg(test)]
mod rabbitmq;
#[cfg(test)]
mod ruby;
