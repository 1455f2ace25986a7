//! The codec from outside: whatever is written can be read back, by us and by others; what others write we read;
//! and nothing that comes in hurts.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails at the line that matters"
)]

mod captured;
mod differential;
mod hostile;
mod python;
mod round_trips;
mod values;
