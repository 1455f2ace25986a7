//! One command as it lies on the disk and runs: what the agent and the supervisor of a job both know of it. Neither is
//! known here.

pub(crate) mod assignment;
pub(crate) mod cgroup;
pub(crate) mod command_id;
pub(crate) mod folder;
pub(crate) mod launch;
pub(crate) mod lines;
pub(crate) mod processes;
pub(crate) mod record;

/// Output up to this size travels with the end of its job, so a spool keeps as much in any case.
pub(crate) const INLINE: u64 = 64 * 1024;
/// Bytes of streamed input that may wait for the program to read them.
pub(crate) const INPUT_WINDOW: u64 = 1 << 20;
