//! The crate against a real VirtualBox, in a root of its own (see `root`): everything that can be done without
//! VirtualBox's kernel module. What needs a running machine is told in the stories of the whole project.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests: what goes wrong is a failed test"
)]

mod root;

mod bed;

mod processes;

mod disks;
mod events;
mod leaks;
mod machines;
mod networks;
mod restarts;
mod running;
mod settings;
mod snapshots;
mod versions;
