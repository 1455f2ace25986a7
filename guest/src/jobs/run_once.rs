//! Programs that are read to their end while somebody waits: what a word runs to find something
//! out.  No folder, no supervisor: such a program does not outlive its caller.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use super::blocking;
use super::context::JobContext;
use super::error::JobError;
use super::program::CheckedProgram;
use crate::job::launch::Launch;
use vocable_protocol::{OptionName, Program, excerpt};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a program left that was read to its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Output {
    pub(crate) finished: bool,
    /// Its exit code if it finished, otherwise the signal's number.
    pub(crate) exit_code_or_signal: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
}

/// See [`Jobs::run_once`](super::Jobs::run_once).
pub(super) async fn run(
    context: Arc<JobContext>,
    program: Program,
    max_output: usize,
) -> Result<Output, JobError> {
    let CheckedProgram { program, options, .. } = CheckedProgram::new(program)?;
    let allowed = [OptionName::Stdin, OptionName::Timeout].map(OptionName::as_str);
    if let Some(name) = program.options.keys().find(|name| !allowed.contains(&name.as_str())) {
        return Err(JobError::invalid(format!("option {}", excerpt(name)), "is for commands that are jobs"));
    }
    let cmd = program.cmd.clone();
    let timeout = options.timeout.unwrap_or(DEFAULT_TIMEOUT);
    let with_stdin = options.stdin.is_some();
    let (mut child, mut group) = blocking(move || spawn(&context, &program, with_stdin)).await?;
    let read = read_to_end(&mut child, &mut group, options.stdin.unwrap_or_default(), max_output);
    match tokio::time::timeout(timeout, read).await {
        Ok(Ok((status, out, err))) => Ok(Output {
            finished: status.code().is_some(),
            exit_code_or_signal: status.code().or(status.signal()).unwrap_or_default(),
            out,
            err,
        }),
        Ok(Err(Stop::Failed(source))) => Err(JobError::Io { doing: "read from", path: cmd.into(), source }),
        Ok(Err(Stop::TooMuch)) => Err(JobError::TooMuchOutput { cmd: excerpt(&cmd), limit: max_output }),
        Err(_) => Err(JobError::TimedOut { cmd: excerpt(&cmd), after: timeout }),
    }
}

/// The process group of a program, killed when this is dropped, whatever happens.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    /// Once: a group that is gone may be a stranger's the next time.
    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Why a program is not read to its end.
enum Stop {
    Failed(io::Error),
    TooMuch,
}

fn spawn(context: &JobContext, program: &Program, with_stdin: bool) -> Result<(Child, Group), JobError> {
    let env = context.environment(context.look_up(None)?.as_ref(), program);
    let directory = context.directory(program);
    let launch = Launch { cmd: &program.cmd, args: &program.args, env: &env, directory: &directory };
    let mut command = Command::from(launch.command()?);
    command
        .process_group(0)
        .stdin(if with_stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let child = command.spawn().map_err(|cause| launch.failure(&cause))?;
    let group = Group::of(&child);
    Ok((child, group))
}

/// Reads both streams until they end.  When the program has ended, what is left of its group is
/// killed, so that they do end; a daemon that left the group and keeps them open runs into the
/// timeout.
async fn read_to_end(
    child: &mut Child,
    group: &mut Group,
    stdin: Vec<u8>,
    max_output: usize,
) -> Result<(ExitStatus, Vec<u8>, Vec<u8>), Stop> {
    let (input, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let room = AtomicUsize::new(max_output);
    let ended = async {
        let status = child.wait().await.map_err(Stop::Failed)?;
        group.kill();
        Ok(status)
    };
    let (status, (), out, err) =
        tokio::try_join!(ended, feed(input, &stdin), take(out, &room), take(err, &room))?;
    Ok((status, out, err))
}

async fn feed(input: Option<ChildStdin>, bytes: &[u8]) -> Result<(), Stop> {
    if let Some(mut input) = input {
        // A program need not read what it is given.
        let _ = input.write_all(bytes).await;
    }
    Ok(())
}

async fn take(stream: Option<impl AsyncRead + Unpin>, room: &AtomicUsize) -> Result<Vec<u8>, Stop> {
    let mut taken = Vec::new();
    let Some(mut stream) = stream else { return Ok(taken) };
    let mut block = vec![0; 16 * 1024];
    loop {
        let length = stream.read(&mut block).await.map_err(Stop::Failed)?;
        if length == 0 {
            return Ok(taken);
        }
        let fits = room.try_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(length));
        fits.map_err(|_| Stop::TooMuch)?;
        taken.extend_from_slice(block.get(..length).unwrap_or_default());
    }
}
