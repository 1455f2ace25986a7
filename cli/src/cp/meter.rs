//! How far a copy is: a bar on a terminal, nothing elsewhere. Shared by all threads that copy.

use super::super::output::Terminal;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::time::{Duration, Instant};
use vocable_copy::Progress;
use vocable_copy::plan::Plan;

/// What is over sooner needs no bar.
const AFTER: Duration = Duration::from_millis(500);
/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

/// The bar of one command line.
pub(super) struct Meter {
    bar: ProgressBar,
    started: Instant,
}

impl Meter {
    /// A bar that is not shown yet, and never where nobody looks.
    pub(super) fn new(terminal: &Terminal) -> Self {
        let target = if terminal.shows_progress() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template(
            "{bar:30} {bytes} of {total_bytes}  {binary_bytes_per_sec}  {left} left",
        );
        if let Ok(style) = style {
            let left = |state: &ProgressState, out: &mut dyn Write| {
                // A bar that cannot be drawn is no reason to stop.
                let _ = write!(out, "{}", vocable_api::clock::age(state.eta()));
            };
            bar.set_style(style.with_key("left", left));
        }
        Self { bar, started: Instant::now() }
    }
}

impl Progress for Meter {
    fn planned(&self, plan: &Plan) {
        self.bar.inc_length(plan.bytes);
    }

    fn advanced(&self, bytes: u64, _: u64) {
        self.bar.inc(bytes);
        if self.started.elapsed() >= AFTER && !self.bar.is_hidden() {
            self.bar.enable_steady_tick(TICK);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
