//! The record of a job, `job.json`: what was asked for, in a form that leaves no questions.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use vocable_protocol::{Limit, OnDisconnect, TerminalSize};

use super::processes::Identity;

/// Everything a supervisor needs to know: it has neither agent nor configuration to ask.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Record {
    pub(crate) cmd_id: String,
    /// Of the program as it was asked for, to tell a retry from another program.
    pub(crate) program_sha256: String,
    /// The run of the machine in which the job was recorded.
    pub(crate) boot_id: String,
    /// In seconds since 1970.
    pub(crate) recorded: f64,
    pub(crate) cmd: String,
    pub(crate) args: Vec<String>,
    /// The whole environment.
    pub(crate) env: Vec<(String, String)>,
    /// Absolute.
    pub(crate) directory: PathBuf,
    /// None: the agent's.
    pub(crate) user: Option<User>,
    pub(crate) nice: Option<i32>,
    pub(crate) limits: Vec<Limit>,
    /// Whether there is a file with all of standard input.
    pub(crate) stdin: bool,
    /// Whether there is a file that standard input is streamed through.
    #[serde(default)]
    pub(crate) input: bool,
    /// The size of its terminal when it begins, if it has one.
    #[serde(default)]
    pub(crate) tty: Option<TerminalSize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) on_disconnect: OnDisconnect,
    /// Bytes, both streams together.
    pub(crate) spool_limit: u64,
    pub(crate) when_spool_full: WhenSpoolFull,
}

impl Record {
    /// Rights, niceness, limits and terminal are set by a second stage that then becomes the program.
    /// Without any, the supervisor starts the program directly, which is quicker.
    pub(crate) fn needs_launcher(&self) -> bool {
        self.user.is_some() || self.nice.is_some() || !self.limits.is_empty() || self.tty.is_some()
    }
}

/// What happens to a command that has written more than its spool may hold.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WhenSpoolFull {
    /// What it writes beyond is left out, and its results say how much.
    Drop,
    /// It is ended, and its results say so.
    Kill,
    /// It blocks in its next write until the host has taken some of it, the disk has room again, or it is ended.
    Pause,
}

/// Who supervises a job: the document `supervisor.json`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Supervisor {
    #[serde(flatten)]
    pub(crate) process: Identity,
    /// The cgroup that the command was born in, if it has one of its own.
    #[serde(default)]
    pub(crate) group: Option<PathBuf>,
}

/// Whose rights a command has.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Now, in seconds since 1970, to the microsecond: such numbers survive being written as decimals.
pub(crate) fn unix_time() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as f64 / 1e6
}
