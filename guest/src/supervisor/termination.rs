//! When and how a job is made to end: pure, the clock is a parameter.
//!
//! ```text
//! running ──timeout, cancel, spool full──▶ terminating ──grace──▶ killing ──timeout──▶ given up
//!            (SIGTERM to the tree)                    (SIGKILL, again and again)
//! ```

use std::time::{Duration, Instant};

/// How long processes may outlive SIGKILL before they are reported as what cannot be killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a job is made to end.  The first cause counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    Cancelled,
    SpoolFull,
    TimedOut,
}

/// What has to be done to the tree now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    GiveUp,
    Kill,
    Terminate,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Running { until: Option<Instant> },
    Terminating { kill_at: Instant },
    Killing { give_up_at: Instant },
    GivenUp,
}

/// The way of one job to its end.
#[derive(Debug)]
pub(super) struct Termination {
    phase: Phase,
    grace: Duration,
    cause: Option<Cause>,
}

impl Termination {
    /// A job that begins now.
    pub(super) fn new(now: Instant, timeout: Option<Duration>, grace: Duration) -> Self {
        Self { phase: Phase::Running { until: timeout.map(|timeout| now + timeout) }, grace, cause: None }
    }

    /// Asks for the end.  A second request can shorten the grace, nothing else.
    pub(super) fn ask(&mut self, cause: Cause, grace: Option<Duration>, now: Instant) -> Option<Step> {
        let kill_at = now + grace.unwrap_or(self.grace);
        match &mut self.phase {
            Phase::Running { .. } => {
                self.phase = Phase::Terminating { kill_at };
                self.cause = Some(cause);
                Some(Step::Terminate)
            }
            Phase::Terminating { kill_at: sooner } => {
                *sooner = kill_at.min(*sooner);
                None
            }
            Phase::Killing { .. } | Phase::GivenUp => None,
        }
    }

    /// What is due at this time.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Step> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        match self.phase {
            Phase::Running { .. } => self.ask(Cause::TimedOut, None, now),
            Phase::Terminating { .. } => {
                self.phase = Phase::Killing { give_up_at: now + KILL_TIMEOUT };
                Some(Step::Kill)
            }
            Phase::Killing { .. } => {
                self.phase = Phase::GivenUp;
                Some(Step::GiveUp)
            }
            Phase::GivenUp => None,
        }
    }

    /// When `tick` has something to do next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running { until } => until,
            Phase::Terminating { kill_at } => Some(kill_at),
            Phase::Killing { give_up_at } => Some(give_up_at),
            Phase::GivenUp => None,
        }
    }

    pub(super) fn cause(&self) -> Option<Cause> {
        self.cause
    }

    /// Whether whatever turns up in the tree is to be killed.
    pub(super) fn is_killing(&self) -> bool {
        matches!(self.phase, Phase::Killing { .. })
    }

    pub(super) fn has_given_up(&self) -> bool {
        matches!(self.phase, Phase::GivenUp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_timeout_terminates_then_kills_then_gives_up() {
        let start = Instant::now();
        let mut termination = Termination::new(start, Some(5 * SECOND), 2 * SECOND);
        assert_eq!(termination.tick(start + 4 * SECOND), None);
        assert_eq!(termination.tick(start + 5 * SECOND), Some(Step::Terminate));
        assert_eq!(termination.tick(start + 6 * SECOND), None);
        assert_eq!(termination.tick(start + 7 * SECOND), Some(Step::Kill));
        assert!(termination.is_killing());
        assert_eq!(termination.tick(start + 7 * SECOND + KILL_TIMEOUT), Some(Step::GiveUp));
        assert!(termination.has_given_up() && termination.deadline().is_none());
        assert_eq!(termination.cause(), Some(Cause::TimedOut));
    }

    #[test]
    fn the_first_cause_counts_and_a_second_request_can_only_hurry() {
        let start = Instant::now();
        let mut termination = Termination::new(start, Some(9 * SECOND), 5 * SECOND);
        assert_eq!(termination.ask(Cause::Cancelled, None, start), Some(Step::Terminate));
        assert_eq!(termination.ask(Cause::SpoolFull, Some(8 * SECOND), start), None);
        assert_eq!(termination.deadline(), Some(start + 5 * SECOND));
        assert_eq!(termination.ask(Cause::Cancelled, Some(SECOND), start), None);
        assert_eq!(termination.deadline(), Some(start + SECOND));
        assert_eq!(termination.cause(), Some(Cause::Cancelled));
    }

    #[test]
    fn without_a_timeout_nothing_ever_happens_by_itself() {
        let start = Instant::now();
        let mut termination = Termination::new(start, None, SECOND);
        assert_eq!(termination.deadline(), None);
        assert_eq!(termination.tick(start + 1000 * SECOND), None);
    }
}
