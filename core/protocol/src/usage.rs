//! What a guest answers about a command that runs.

use serde::{Deserialize, Serialize};

/// What all processes of a command use together, now. Computing time includes processes that have ended and were
/// waited for.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Usage {
    /// Seconds of computing, processes that have ended included
    pub cpu_s: f64,
    /// Of them in user mode
    pub user_s: f64,
    /// Of them in the kernel
    pub system_s: f64,
    /// Bytes in memory; the process table counts what is shared for each process, a cgroup once
    pub rss_bytes: u64,
    /// Bytes read from storage, where the kernel counts them
    pub read_bytes: Option<u64>,
    /// Bytes written to storage, where the kernel counts them
    pub written_bytes: Option<u64>,
    /// Number of processes
    pub processes: usize,
    /// Where the figures are from: cgroup or proc
    pub source: UsageSource,
}

/// Where the figures are from.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageSource {
    /// The command's cgroup: exact for computing time and processes, and for memory and storage where these
    /// controllers are switched on; otherwise these two are those of the process table
    Cgroup,
    /// The process table: exact for computing time, a moment's picture for the rest
    #[default]
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
