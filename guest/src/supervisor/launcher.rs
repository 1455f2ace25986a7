//! The second stage of a start, only for commands with limits, niceness, a terminal or a user of their own:
//! a process that takes all that upon itself and then becomes the program.  The supervisor keeps
//! its own rights and limits, without which it could not watch over the program.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::sys::resource::{RLIM_INFINITY, Resource, rlim_t, setrlimit};
use nix::unistd::{Gid, Uid, initgroups, setgid, setsid, setuid};
use rustix::process::{ioctl_tiocsctty, setpriority_process};

use crate::job::folder::{Folder, read_json};
use crate::job::launch::Launch;
use crate::job::record::{Record, User};
use crate::private;
use vocable_protocol::{Failure, FailureCode, Limit, LimitedResource};

/// No reason is nearly as long, but for one that names a path; that is cut off by nothing, only not reserved.
const ROOM_FOR_REASON: usize = 1024;

/// Set for the second stage, whose environment is otherwise empty.
const STAGE: &str = "VOCABLE_SUPERVISOR_STAGE";

/// Whether this process is the second stage.
pub(super) fn is_this() -> bool {
    std::env::var_os(STAGE).is_some()
}

/// This executable again, as the second stage for the same job.
pub(super) fn command(folder: &Folder) -> Command {
    let mut command = Command::new("/proc/self/exe");
    // The last argument is the folder; of a spare supervisor it says that there is none yet.
    let before = std::env::args_os().len().saturating_sub(1);
    command
        .args(std::env::args_os().take(before).skip(1))
        .arg(folder.path())
        .env_clear()
        .env(STAGE, "launch");
    command
}

/// Becomes the program; returns only if that fails, having left the reason in the folder.
pub(super) fn launch(folder: &Folder) -> io::Result<ExitCode> {
    let record: Record = read_json(&folder.record())?;
    // Opened while there still is the right to, and the room is taken beforehand: a reason that a full disk does not take
    // would make this the program's own end.
    let report = private::new_file(&folder.start_failure())?;
    report.write_all_at(&[b' '; ROOM_FOR_REASON], 0)?;
    let failure = become_program(&record);
    let json = serde_json::to_vec(&failure)?;
    report.write_all_at(&json, 0)?;
    report.set_len(json.len() as u64)?;
    Ok(ExitCode::FAILURE)
}

/// Why the launcher of a record that needs one could not become the program, if it could not.
pub(super) fn failure(folder: &Folder, record: &Record) -> Option<Failure> {
    if !record.needs_launcher() {
        return None;
    }
    let report = fs::read(folder.start_failure()).unwrap_or_default();
    if report.len() == ROOM_FOR_REASON && report.iter().all(|byte| *byte == b' ') {
        return None;
    }
    let unknown = || {
        Failure::new(FailureCode::NotStarted, "the command could not be started, and the reason not be kept")
    };
    Some(serde_json::from_slice(&report).unwrap_or_else(|_| unknown()))
}

fn become_program(record: &Record) -> Failure {
    let prepared = take_terminal(record)
        .and_then(|()| set_limits(record))
        .and_then(|()| record.user.as_ref().map_or(Ok(()), become_user));
    if let Err(reason) = prepared {
        return Failure::new(FailureCode::NotStarted, format!("the command cannot be started: {reason}"));
    }
    let launch = Launch::of(record);
    match launch.command() {
        Ok(mut command) => launch.failure(&command.exec()),
        Err(failure) => failure,
    }
}

/// Makes standard input the terminal of a session of the program's own, so that keys reach it as signals.
fn take_terminal(record: &Record) -> Result<(), String> {
    if record.tty.is_none() {
        return Ok(());
    }
    setsid().map_err(|cause| format!("there is no session for its terminal: {cause}"))?;
    ioctl_tiocsctty(io::stdin()).map_err(|cause| format!("it gets no terminal: {cause}"))
}

fn set_limits(record: &Record) -> Result<(), String> {
    if let Some(nice) = record.nice {
        setpriority_process(None, nice).map_err(|cause| format!("niceness {nice} cannot be set: {cause}"))?;
    }
    record.limits.iter().try_for_each(set_limit)
}

/// Sets a limit for the calling process and all that will descend from it.
fn set_limit(limit: &Limit) -> Result<(), String> {
    let resource = match limit.name {
        LimitedResource::As => Resource::RLIMIT_AS,
        LimitedResource::Core => Resource::RLIMIT_CORE,
        LimitedResource::Cpu => Resource::RLIMIT_CPU,
        LimitedResource::Data => Resource::RLIMIT_DATA,
        LimitedResource::Fsize => Resource::RLIMIT_FSIZE,
        LimitedResource::Memlock => Resource::RLIMIT_MEMLOCK,
        LimitedResource::Nofile => Resource::RLIMIT_NOFILE,
        LimitedResource::Nproc => Resource::RLIMIT_NPROC,
        LimitedResource::Rss => Resource::RLIMIT_RSS,
        LimitedResource::Stack => Resource::RLIMIT_STACK,
    };
    let value = limit.value.map_or(RLIM_INFINITY, rlim_t::from);
    setrlimit(resource, value, value).map_err(|cause| format!("limit {} cannot be set: {cause}", limit.name))
}

fn become_user(user: &User) -> Result<(), String> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    if uid == Uid::effective() {
        return Ok(());
    }
    let name = CString::new(user.name.as_str()).map_err(|cause| cause.to_string())?;
    initgroups(&name, gid)
        .and_then(|()| setgid(gid))
        .and_then(|()| setuid(uid))
        .map_err(|cause| format!("the agent cannot become user {}: {cause}", user.name))
}
