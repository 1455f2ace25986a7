//! RUN_CMD `/bin/true` from RPC to RPC, over the real programs, beside plain fork+exec in the same run.
//!
//! Needs the agents in the same profile: `cargo build --release -p vocable -p vocable-guest` first. Prints a table, ends
//! by itself.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints its table, and one that cannot start has nothing to measure"
)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use vocable_tests::host::Host;

/// Commands of each kind.
const RUNS: usize = 500;

fn main() {
    let host = Host::start();
    let _guest = host.guest("bench").joins();
    let mut fork = Vec::new();
    let mut run = Vec::new();
    // In turn, so that a machine that changes its speed changes both.
    for _ in 0..RUNS {
        fork.push(timed(|| {
            let status = Command::new("/bin/true").stdin(Stdio::null()).status().expect("/bin/true");
            assert!(status.success());
        }));
        run.push(timed(|| {
            host.runs("bench", &["/bin/true"]);
        }));
    }
    println!("{:<24}{:>12}{:>12}{:>12}", "", "p50 µs", "p99 µs", "min µs");
    show("fork+exec /bin/true", &mut fork);
    show("RUN_CMD, RPC to RPC", &mut run);
}

fn timed(act: impl FnOnce()) -> Duration {
    let start = Instant::now();
    act();
    start.elapsed()
}

fn show(name: &str, times: &mut [Duration]) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_micros();
    println!("{name:<24}{:>12}{:>12}{:>12}", at(50), at(99), at(0));
}
