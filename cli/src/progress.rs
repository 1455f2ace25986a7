//! A line that moves while somebody waits: on a terminal only, and gone when there is something to say.

use super::output::Terminal;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// What is over sooner needs no line.
const AFTER: Duration = Duration::from_millis(500);
/// How often the line moves.
const TICK: Duration = Duration::from_millis(100);

/// A line that says what is waited for.
pub(super) struct Spinner(ProgressBar);

impl Spinner {
    /// A line that is not shown yet, and never where nobody looks.
    pub(super) fn new(terminal: &Terminal) -> Self {
        let target = if terminal.shows_progress() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Says what is waited for, once it has taken long enough to wonder.
    pub(super) fn say(&self, started: Instant, now: Instant, text: String) {
        if now.saturating_duration_since(started) >= AFTER && !self.0.is_hidden() {
            self.0.set_message(text);
            self.0.enable_steady_tick(TICK);
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A bar that shows how far something is; like the line, only where somebody looks and after a while.
pub(super) struct Bar {
    bar: ProgressBar,
    started: Instant,
}

impl Bar {
    /// A bar that is not shown yet.
    pub(super) fn new(terminal: &Terminal) -> Self {
        let target = if terminal.shows_progress() {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(100), target);
        let template = "{msg}  {bar:24}  {percent:>3}%  {elapsed}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            let signs = if terminal.is_utf8() { "━╸ " } else { "=> " };
            bar.set_style(style.progress_chars(signs));
        }
        Self { bar, started: Instant::now() }
    }

    /// Whether anybody can see it.
    pub(super) fn is_shown(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// Shows how far it is, once it has taken long enough to wonder.
    pub(super) fn show(&self, percent: u64, doing: &str) {
        if self.started.elapsed() >= AFTER && self.is_shown() {
            self.bar.set_message(doing.to_owned());
            self.bar.set_position(percent);
        }
    }

    /// Takes it away, for something to be said.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}
