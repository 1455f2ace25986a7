//! What can be done with a command while it runs: signal it, end it, measure it, give it input.
//!
//! Streamed input goes through a file in the job's folder.  Its length is how much has come, so that
//! the same piece told twice is written once, and neither the agent nor its death loses any.  The
//! supervisor copies from the file into the program, makes holes of what has been read, and tells how
//! far it is; input waits at the sender while the program has more than [`INPUT_WINDOW`] yet to read.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::error::JobError;
use super::{Jobs, blocking, require_known, usage};
use crate::job::INPUT_WINDOW;
use crate::job::command_id::CommandId;
use crate::job::folder::{Folder, open_fifo, read_json};
use crate::job::lines::Control;
use crate::job::processes::Snapshot;
use crate::job::record::Supervisor;
use crate::private;
use vocable_protocol::{InputStatus, TerminalSize, Usage};

impl Jobs {
    /// Sends one signal to every process of the command, and says to how many.
    pub(crate) async fn signal(&self, cmd_id: &str, signal: i32) -> Result<usize, JobError> {
        let signal = signal_of(signal)?;
        let (folder, cmd_id) = self.folder(cmd_id)?;
        blocking(move || {
            let (snapshot, supervisor) = require_running(&folder, &cmd_id)?;
            let processes = snapshot.descendants(supervisor.process.pid);
            Ok(processes.into_iter().filter(|process| process.signal(signal)).count())
        })
        .await
    }

    /// Ends the command: the signal to every process of it, after the grace (its own, if none is
    /// given) SIGKILL.  Gives how many processes there were.  This asks for the end;
    /// [`JobEvent::Ended`](super::JobEvent::Ended) tells of it.
    pub(crate) async fn cancel(
        &self,
        cmd_id: &str,
        signal: i32,
        grace: Option<Duration>,
    ) -> Result<usize, JobError> {
        let signal = signal_of(signal)?;
        let (folder, cmd_id) = self.folder(cmd_id)?;
        blocking(move || {
            let (snapshot, supervisor) = require_running(&folder, &cmd_id)?;
            // A supervisor that is older than this agent knows of no signal.
            let signal = Some(signal).filter(|signal| *signal != Signal::SIGTERM).map(|signal| signal as i32);
            send(&folder, &cmd_id, Control::Cancel { grace, signal })?;
            Ok(snapshot
                .descendants(supervisor.process.pid)
                .iter()
                .filter(|process| !process.is_zombie())
                .count())
        })
        .await
    }

    /// What the command uses now, all its processes together.
    pub(crate) async fn usage(&self, cmd_id: &str) -> Result<Usage, JobError> {
        let (folder, cmd_id) = self.folder(cmd_id)?;
        blocking(move || {
            let (snapshot, supervisor) = require_running(&folder, &cmd_id)?;
            Ok(usage::measure(&snapshot, &supervisor))
        })
        .await
    }

    /// Takes standard input that belongs at `offset`, and its `end`.  Of what is here already
    /// nothing is taken again; of what would leave a gap, or would make more wait than the program
    /// may be behind, nothing or a part: the answer says from where to go on.
    pub(crate) async fn input(
        &self,
        cmd_id: &str,
        offset: u64,
        bytes: Vec<u8>,
        end: bool,
    ) -> Result<InputStatus, JobError> {
        let (folder, cmd_id) = self.folder(cmd_id)?;
        let context = self.context.clone();
        blocking(move || {
            require_unfinished(&folder, &cmd_id)?;
            let taken = {
                let _one_at_a_time = context.input.lock();
                append(&folder, &cmd_id, offset, &bytes, end)?
            };
            send(&folder, &cmd_id, Control::Input)?;
            Ok(taken)
        })
        .await
    }

    /// Tells the command the new size of its terminal.
    pub(crate) async fn resize(&self, cmd_id: &str, rows: u16, columns: u16) -> Result<(), JobError> {
        if rows == 0 || columns == 0 {
            return Err(JobError::invalid("size", format!("{rows}x{columns} has no room for anything")));
        }
        let (folder, cmd_id) = self.folder(cmd_id)?;
        blocking(move || {
            require_unfinished(&folder, &cmd_id)?;
            send(&folder, &cmd_id, Control::Resize(TerminalSize { rows, columns }))
        })
        .await
    }
}

fn signal_of(signal: i32) -> Result<Signal, JobError> {
    Signal::try_from(signal)
        .map_err(|_| JobError::invalid("signal", format!("{signal} is no signal, there are 1 to 31")))
}

/// A job that has no results yet.
fn require_unfinished(folder: &Folder, cmd_id: &CommandId) -> Result<(), JobError> {
    require_known(folder, cmd_id)?;
    if folder.result().exists() {
        return Err(JobError::NotRunning { cmd_id: cmd_id.to_string() });
    }
    Ok(())
}

/// The process table with the supervisor of a running job in it.
fn require_running(folder: &Folder, cmd_id: &CommandId) -> Result<(Snapshot, Supervisor), JobError> {
    require_unfinished(folder, cmd_id)?;
    let not_running = || JobError::NotRunning { cmd_id: cmd_id.to_string() };
    let supervisor: Supervisor = read_json(&folder.supervisor()).map_err(|_| not_running())?;
    let snapshot = Snapshot::take().map_err(JobError::io("read", "/proc".as_ref()))?;
    if snapshot.find(supervisor.process).is_none() {
        return Err(not_running());
    }
    Ok((snapshot, supervisor))
}

fn send(folder: &Folder, cmd_id: &CommandId, what: Control) -> Result<(), JobError> {
    let not_running = |_| JobError::NotRunning { cmd_id: cmd_id.to_string() };
    let control = open_fifo(&folder.control(), false, true).map_err(not_running)?;
    match nix::unistd::write(&control, what.to_string().as_bytes()) {
        // A pipe full of lines that say so says it already.
        Err(Errno::EAGAIN) if what == Control::Input => Ok(()),
        Err(cause) => Err(JobError::io("write to", &folder.control())(cause.into())),
        Ok(_) => Ok(()),
    }
}

fn append(
    folder: &Folder,
    cmd_id: &CommandId,
    offset: u64,
    bytes: &[u8],
    end: bool,
) -> Result<InputStatus, JobError> {
    let path = folder.input();
    let file = OpenOptions::new().write(true).open(&path).map_err(|_| {
        JobError::invalid("input", format!("{cmd_id} was started without streamed input (option \"input\")"))
    })?;
    let have = file.metadata().map_err(JobError::io("look at", &path))?.len();
    let taken = taken(folder);
    let status = |offset, end| InputStatus { offset, taken, end };
    if folder.input_end().exists() {
        return Ok(status(have, true));
    }
    let Some(skipped) = have.checked_sub(offset) else { return Ok(status(have, false)) };
    let fresh = bytes.get(usize::try_from(skipped).unwrap_or(usize::MAX)..).unwrap_or_default();
    let room = usize::try_from((taken + INPUT_WINDOW).saturating_sub(have)).unwrap_or(usize::MAX);
    let now = fresh.get(..room.min(fresh.len())).unwrap_or_default();
    if let Err(cause) = file.write_all_at(now, have) {
        // The length is the truth, also of a disk that filled up in the middle.
        let _ = file.set_len(have);
        return Err(JobError::io("write to", &path)(cause));
    }
    let is_all = now.len() == fresh.len();
    if end && is_all {
        private::file(&folder.input_end(), true).map_err(JobError::io("write", &folder.input_end()))?;
    }
    Ok(status(have + now.len() as u64, end && is_all))
}

/// How much of its input the program has read; nothing, before anybody said.
fn taken(folder: &Folder) -> u64 {
    let told = fs::read_to_string(folder.input_taken()).ok();
    told.and_then(|told| told.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id() -> CommandId {
        "c".parse().unwrap()
    }

    #[test]
    fn input_beyond_what_the_program_may_be_behind_waits_at_the_sender() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        private::new_file(&folder.input()).unwrap();
        let much = vec![7; usize::try_from(INPUT_WINDOW).unwrap() + 5];
        let first = append(&folder, &id(), 0, &much, true).unwrap();
        assert_eq!(first, InputStatus { offset: INPUT_WINDOW, taken: 0, end: false });
        fs::write(folder.input_taken(), "3\n").unwrap();
        let more = append(&folder, &id(), 0, &much, true).unwrap();
        assert_eq!(more, InputStatus { offset: INPUT_WINDOW + 3, taken: 3, end: false });
        fs::write(folder.input_taken(), "99").unwrap();
        let all = append(&folder, &id(), INPUT_WINDOW, &much[..5], true).unwrap();
        assert_eq!(all, InputStatus { offset: INPUT_WINDOW + 5, taken: 99, end: true });
        let late = append(&folder, &id(), INPUT_WINDOW + 5, b"more", false).unwrap();
        assert_eq!(late.offset, INPUT_WINDOW + 5, "nothing comes after the end");
    }

    #[test]
    fn a_command_without_streamed_input_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let refused = append(&Folder::new(dir.path()), &id(), 0, b"x", false).unwrap_err();
        assert!(refused.to_string().contains("option \"input\""), "{refused}");
    }

    proptest! {
        #[test]
        fn pieces_told_in_any_order_and_twice_never_damage_the_input(
            pieces in prop::collection::vec((0_usize..40, 0_usize..20), 0..40)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let folder = Folder::new(dir.path());
            private::new_file(&folder.input()).unwrap();
            let all: Vec<u8> = (0..60).collect();
            let mut have = 0;
            for (from, length) in pieces {
                let piece = &all[from..(from + length).min(60)];
                let now = append(&folder, &id(), from as u64, piece, false).unwrap().offset;
                let expected = if from as u64 <= have { have.max((from + piece.len()) as u64) } else { have };
                prop_assert_eq!(now, expected);
                have = now;
            }
            let file = fs::read(folder.input()).unwrap();
            prop_assert!(all.starts_with(&file));
            prop_assert_eq!(file.len() as u64, have);
        }
    }
}
