//! What a guest answers about a command that runs.

use serde::{Deserialize, Serialize};

/// What all processes of a command use together, now. Computing time includes processes that have ended and were
/// waited for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Usage {
    /// Seconds of computing, `user_s` and `system_s` together.
    pub cpu_s: f64,
    /// Seconds of computing in user mode.
    pub user_s: f64,
    /// Seconds of computing in the kernel.
    pub system_s: f64,
    /// Bytes in memory; what processes share is counted for each of them by the process table, once by a cgroup.
    pub rss_bytes: u64,
    /// Bytes read from storage by processes that live, and the children they waited for (by all, in a cgroup); `None`
    /// where the kernel keeps no such books.
    pub read_bytes: Option<u64>,
    /// Bytes written to storage, counted in the same way.
    pub written_bytes: Option<u64>,
    /// How many processes there are.
    pub processes: usize,
    /// Where the figures are from.
    pub source: UsageSource,
}

/// Who keeps the books.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageSource {
    /// The command's cgroup: exact for computing time and processes, and for memory and storage where these
    /// controllers are switched on; otherwise these two are those of the process table.
    Cgroup,
    /// The process table: exact for computing time, a moment's picture for the rest.
    Proc,
}

/// How it stands with the streamed input of a command.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct InputStatus {
    /// Up to here it has come; the next piece belongs here.
    pub offset: u64,
    /// Up to here the program has read it.
    #[serde(default)]
    pub taken: u64,
    /// Whether no more will come.
    #[serde(default)]
    pub end: bool,
}
