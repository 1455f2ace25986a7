//! The books of commands: what was asked of whom, how far it is, what came of it.
//!
//! ```text
//!  queued ──(the guest has started it)──▶ running ──▶ done | timeout | cancelled | lost | failed
//!     └──────────────(refused, or nobody there)──────────────────────────────────▶ failed
//! ```
//!
//! Pure: it decides what an event does to a command, and says what has to be written down; [`crate::agent::store`] writes.
//! Telling twice changes nothing, and everything a guest says of a command is checked against what was asked of it.

use std::sync::Arc;
use time::OffsetDateTime;
use vocable_protocol::{Part, ReportedResults};

mod active;
mod brief;

pub(crate) use active::{Active, BookError, Digests, Progress};
pub(crate) use vocable_api::cmd::State;
pub(crate) use vocable_protocol::{Failure, Program};

/// One command on one guest, as it is written down.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Command {
    pub(crate) id: String,
    /// The request it is part of.
    pub(crate) run: String,
    pub(crate) guest: String,
    /// What was asked; shared, since a request to many guests may be large.
    pub(crate) program: Arc<Program>,
    pub(crate) state: State,
    pub(crate) created: OffsetDateTime,
    /// Until when its guest may take it; after that it is not run.
    pub(crate) expires: Option<OffsetDateTime>,
    /// When it is ended, wherever it is.
    pub(crate) deadline: Option<OffsetDateTime>,
    pub(crate) started: Option<OffsetDateTime>,
    pub(crate) ended: Option<OffsetDateTime>,
    /// Bytes of standard output received and written down.
    pub(crate) out_bytes: u64,
    /// The same of standard error.
    pub(crate) err_bytes: u64,
    /// Bytes of streamed input it is known to have read; not written down.
    pub(crate) input_taken: u64,
    /// Why no more of its output is taken now, if so; not written down.
    pub(crate) paused: Option<String>,
    /// Whether somebody wants it to end: then what it has written is taken beyond a limit. Not written down.
    pub(crate) ending: bool,
    /// What the guest told at the end, but for the output.
    pub(crate) results: Option<ReportedResults>,
    pub(crate) failure: Option<Failure>,
}

impl Command {
    pub(crate) fn new(run: &str, guest: &str, program: impl Into<Arc<Program>>, now: OffsetDateTime) -> Self {
        Self {
            id: format!("{run}.{guest}"),
            run: run.to_owned(),
            guest: guest.to_owned(),
            program: program.into(),
            state: State::Queued,
            created: now,
            expires: None,
            deadline: None,
            started: None,
            ended: None,
            out_bytes: 0,
            err_bytes: 0,
            input_taken: 0,
            paused: None,
            ending: false,
            results: None,
            failure: None,
        }
    }

    /// When something has to be done about it without anybody asking.
    pub(crate) fn due(&self) -> Option<OffsetDateTime> {
        let expires = self.expires.filter(|_| self.state == State::Queued);
        [expires, self.deadline].into_iter().flatten().filter(|_| !self.state.is_over()).min()
    }

    /// Whether the host gave it up without having heard of its end: then the true end still counts.
    pub(crate) fn is_given_up(&self) -> bool {
        self.state == State::Lost && self.results.is_none()
    }

    /// Leaves what lists show of it: they hold many, and a program or results may be large.
    pub(crate) fn shorten(&mut self) {
        if let Some(program) = brief::program(&self.program) {
            self.program = Arc::new(program);
        }
        if let Some(results) = self.results.as_mut()
            && let Some(shown) = brief::results(results)
        {
            *results = shown;
        }
        if let Some(failure) = &mut self.failure {
            *failure = brief::failure(failure);
        }
    }

    pub(crate) const fn received(&self, part: Part) -> u64 {
        match part {
            Part::Err => self.err_bytes,
            Part::Out => self.out_bytes,
        }
    }

    const fn received_mut(&mut self, part: Part) -> &mut u64 {
        match part {
            Part::Err => &mut self.err_bytes,
            Part::Out => &mut self.out_bytes,
        }
    }
}
