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
    /// The task that owns the jobs has ended.
    #[error("the jobs of this agent are closed")]
    Closed,
    /// The id is taken: a retry has to repeat the program exactly.
    #[error("command {cmd_id} is already known with another program; nothing was run")]
    Differs {
        /// The id both programs were given.
        cmd_id: String,
    },
    /// What is asked for was freed to make room for more: the host has it.
    #[error("command {cmd_id}: {part} before byte {from} is with the host, and no longer here")]
    Freed {
        /// The command.
        cmd_id: String,
        /// `out` or `err`.
        part: Part,
        /// What is still here begins there.
        from: u64,
    },
    /// Another agent works in the same folder.
    #[error("the jobs in {} belong to another agent that is running", dir.display())]
    InUse {
        /// The folder of the jobs.
        dir: PathBuf,
    },
    /// A parameter that can never be right; `what` names it.
    #[error("{what}: {reason}")]
    Invalid {
        /// The parameter or option, by the name its user knows it by.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system or the kernel refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The verb that failed.
        doing: &'static str,
        /// Its object.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Results cannot be acknowledged before there are any.
    #[error("command {cmd_id} has not ended")]
    NotEnded {
        /// The command that goes on.
        cmd_id: String,
    },
    /// There is nothing left to signal, cancel or measure.
    #[error("command {cmd_id} is not running")]
    NotRunning {
        /// The command that ended, or has not begun.
        cmd_id: String,
    },
    /// A program run for a word could not be started.
    #[error(transparent)]
    NotStarted(#[from] Failure),
    /// Commands that are to be forgotten cannot be removed as fast as new ones come.
    #[error(
        "the disk is too slow: {leaving} commands that are over have yet to be removed from it; nothing was run"
    )]
    SlowDisk {
        /// How many wait for their removal.
        leaving: usize,
    },
    /// A program run for a word took too long and was killed.
    #[error("{cmd} was killed: it did not end within {after:?} (option \"timeout\")")]
    TimedOut {
        /// The program.
        cmd: String,
        /// The time it was given.
        after: Duration,
    },
    /// Nothing more is remembered until the host has taken results.
    #[error("the host has yet to hear of {limit} commands, the most there can be; nothing was run")]
    TooManyKnown {
        /// How many commands are remembered at most.
        limit: usize,
    },
    /// The guest is as busy as it may be.
    #[error("{limit} commands are running already (jobs.max_running); nothing was run")]
    TooManyRunning {
        /// The configured limit.
        limit: usize,
    },
    /// A program run for a word wrote more than the word can take: an error, never a cut.
    #[error("{cmd} was killed: it wrote more than {limit} bytes")]
    TooMuchOutput {
        /// The program.
        cmd: String,
        /// The limit in bytes, for both streams together.
        limit: usize,
    },
    /// No such command was ever started here, or it was forgotten after its acknowledgement.
    #[error("no command {cmd_id} is known here")]
    Unknown {
        /// The id asked for.
        cmd_id: String,
    },
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
