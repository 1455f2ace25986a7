//! What can go wrong with a job on the agent's side.  How a *program* failed to start is no error
//! of the agent: it is a [`Failure`] inside the job's results.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vocable_protocol::{Failure, OptionError, Part, excerpt};

use crate::job::command_id::InvalidId;

/// Why the agent refused or could not do what was asked of its jobs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    #[error("the jobs of this agent are closed")]
    Closed,
    #[error("command {cmd_id} is already known with another program; nothing was run")]
    Differs { cmd_id: String },
    #[error("command {cmd_id}: {part} before byte {from} is with the host, and no longer here")]
    Freed { cmd_id: String, part: Part, from: u64 },
    #[error("the jobs in {} belong to another agent that is running", dir.display())]
    InUse { dir: PathBuf },
    #[error("{what}: {reason}")]
    Invalid { what: String, reason: String },
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("command {cmd_id} has not ended")]
    NotEnded { cmd_id: String },
    #[error("command {cmd_id} is not running")]
    NotRunning { cmd_id: String },
    #[error(transparent)]
    NotStarted(#[from] Failure),
    #[error(
        "the disk is too slow: {leaving} commands that are over have yet to be removed from it; nothing was run"
    )]
    SlowDisk { leaving: usize },
    #[error("{cmd} was killed: it did not end within {after:?} (option \"timeout\")")]
    TimedOut { cmd: String, after: Duration },
    #[error("the host has yet to hear of {limit} commands, the most there can be; nothing was run")]
    TooManyKnown { limit: usize },
    #[error("{limit} commands are running already (jobs.max_running); nothing was run")]
    TooManyRunning { limit: usize },
    #[error("{cmd} was killed: it wrote more than {limit} bytes")]
    TooMuchOutput { cmd: String, limit: usize },
    #[error("no command {cmd_id} is known here")]
    Unknown { cmd_id: String },
}

impl JobError {
    pub(super) fn invalid(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), reason: reason.into() }
    }

    /// For `map_err`: puts the verb and the object to what the system said.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}

impl From<OptionError> for JobError {
    fn from(error: OptionError) -> Self {
        Self::invalid(format!("option {}", excerpt(&error.option)), error.reason)
    }
}

impl From<InvalidId> for JobError {
    fn from(InvalidId(reason): InvalidId) -> Self {
        Self::invalid("cmd-id", reason)
    }
}
