//! Supervisors are started here.  One is always ready before there is a job for it, so that a command does not wait for
//! a process to be made, its executable to be loaded and a cgroup to be entered.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::PoisonError;

use tokio::process::{Child, Command};

use super::context::JobContext;
use crate::job::assignment::{GROUPS, SPARE, send};

/// A supervisor without a job.  It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Spare {
    process: Child,
    line: UnixStream,
}

#[cfg(test)]
impl Spare {
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }
}

impl JobContext {
    /// Gives a job to a supervisor; `stdio` is what it reads, writes and logs to.
    pub(super) fn supervise(&self, folder: &Path, stdio: [File; 3]) -> io::Result<Child> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        // One that somebody killed is not missed.
        if let Some(Spare { process, line }) = spare
            && send(&line, folder, &stdio).is_ok()
        {
            return Ok(process);
        }
        let [control, events, log] = stdio;
        let mut command = self.supervisor(folder);
        command.stdin(Stdio::from(control)).stdout(Stdio::from(events)).stderr(Stdio::from(log)).spawn()
    }

    /// Starts a supervisor for the next job, unless there is one.
    pub(super) fn prepare_spare(&self) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.is_none() {
            match self.start_spare() {
                Ok(started) => *spare = Some(started),
                Err(error) => tracing::debug!(%error, "there is no supervisor in advance"),
            }
        }
    }

    fn start_spare(&self) -> io::Result<Spare> {
        let (line, theirs) = UnixStream::pair()?;
        let mut command = self.supervisor(SPARE.as_ref());
        if let Some(cgroups) = &self.cgroups {
            command.env(GROUPS, cgroups.path_prefix());
        }
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Spare { process: command.spawn()?, line })
    }

    fn supervisor(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.config.supervisor);
        command.args(&self.config.supervisor_args).arg(folder).env_clear().current_dir("/");
        command
    }
}
