//! How a job ended: the document the supervisor leaves behind and the host receives.
//! The member names are those of the protocol; nothing here does I/O.

use nix::sys::resource::Usage as Rusage;
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::program::hexadecimal;

/// The end of one job.  `out_bytes` and `out_sha256` describe exactly what can be read back from
/// the spool; what the program wrote beyond that is counted in [`left_out`](Self::left_out).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Results {
    /// Why it ended.
    pub state: State,
    /// Whether the program ended by itself, not by a signal.
    pub finished: bool,
    /// Its exit code if it finished, otherwise the signal's number; `null` if nobody knows.
    /// A program that could not be started has 127 (not found) or 126, as in a shell.
    #[serde(rename = "exitCodeOrSignal")]
    pub exit_code_or_signal: Option<i32>,
    /// What the command used; absent if nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// When the program was started, in seconds since 1970.
    pub started: f64,
    /// When it had ended, in seconds since 1970.
    pub ended: f64,
    /// Bytes of standard output in the spool.
    pub out_bytes: u64,
    /// Bytes of standard error in the spool.
    pub err_bytes: u64,
    /// SHA-256 of the spooled standard output, in hexadecimal.  Absent only of a job that is lost
    /// after the beginning of its output was freed: then nobody knows it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_sha256: Option<String>,
    /// The same of standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub err_sha256: Option<String>,
    /// What went wrong on our side of the program, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// What the program wrote and the spool could not take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
}

impl Results {
    /// Whether the host may have output that is not here any more: what was written just before a
    /// machine stopped may not have come to its disk.  How much there was, nobody knows then.
    pub(crate) fn may_lack_output(&self) -> bool {
        self.error.as_ref().is_some_and(|error| error.code == FailureCode::GuestRestarted)
    }

    /// Of a launcher that could not become the program.
    pub(crate) fn but_not_started(self, failure: Failure) -> Self {
        Self {
            state: State::Failed,
            finished: true,
            exit_code_or_signal: Some(failure.code.exit_code()),
            error: Some(failure),
            ..self
        }
    }

    /// Of a program that was not even tried.
    pub(crate) fn not_started(failure: Failure, when: f64) -> Self {
        let nothing = hexadecimal(&Sha256::digest(b""));
        Self {
            state: State::Failed,
            finished: true,
            exit_code_or_signal: Some(failure.code.exit_code()),
            resources: Some(Resources::default()),
            started: when,
            ended: when,
            out_bytes: 0,
            err_bytes: 0,
            out_sha256: Some(nothing.clone()),
            err_sha256: Some(nothing),
            error: Some(failure),
            left_out: None,
        }
    }
}

/// Why a job ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Somebody asked for its end, or its spool was full and the configuration says `kill`.
    Cancelled,
    /// The program ended, with whatever code or signal.
    Done,
    /// The program could not be started; nothing was run.
    Failed,
    /// Nobody saw the end: what became of the program is not known.
    Lost,
    /// It ran longer than it was allowed to.
    Timeout,
}

/// What went wrong, for programs (`code`) and for people (`message`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind.
    pub code: FailureCode,
    /// A sentence with the names and values, lower case, no full stop.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The kinds of [`Failure`]; `kebab-case` on the wire.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailureCode {
    /// The kernel takes no such arguments or environment (too long, for instance).
    BadArgument,
    /// The guest was restarted while the job ran.
    GuestRestarted,
    /// The working directory is missing or closed to the user.
    NoDirectory,
    /// The script is there, the interpreter it names is not.
    NoInterpreter,
    /// The file is there, but is no program this user may execute.
    NotExecutable,
    /// There is no such program.
    NotFound,
    /// Some process of the job outlived SIGKILL (it hangs in the kernel, or belongs to somebody else).
    NotKilled,
    /// The system could not start the program just then (no process, no memory, a limit refused).
    NotStarted,
    /// Nobody could tell how the program ended.
    NoStatus,
    /// The spool was full and the configuration says `kill`.
    SpoolFull,
    /// The process watching over the job disappeared.
    SupervisorGone,
}

impl FailureCode {
    /// The exit code a shell would give for a program that failed to start like this.
    pub(crate) const fn exit_code(self) -> i32 {
        match self {
            Self::NotFound => 127,
            _ => 126,
        }
    }
}

/// Output that was read from the program and not kept.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LeftOut {
    /// Bytes of standard output.
    pub out: u64,
    /// Bytes of standard error.
    pub err: u64,
    /// Why.
    pub reason: String,
}

/// The sixteen fields of `getrusage(2)`, for the command alone: its process and all descendants
/// that have been waited for.  `ru_maxrss` is the largest of them, and never less than the
/// supervisor's own few MiB (a process begins as a copy of the one that starts it).
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are those of getrusage(2)")]
pub struct Resources {
    /// Seconds of computing in user mode.
    pub ru_utime: f64,
    /// Seconds of computing in the kernel.
    pub ru_stime: f64,
    /// KiB.
    pub ru_maxrss: i64,
    pub ru_ixrss: i64,
    pub ru_idrss: i64,
    pub ru_isrss: i64,
    pub ru_minflt: i64,
    pub ru_majflt: i64,
    pub ru_nswap: i64,
    pub ru_inblock: i64,
    pub ru_oublock: i64,
    pub ru_msgsnd: i64,
    pub ru_msgrcv: i64,
    pub ru_nsignals: i64,
    pub ru_nvcsw: i64,
    pub ru_nivcsw: i64,
}

impl From<Rusage> for Resources {
    fn from(usage: Rusage) -> Self {
        Self {
            ru_utime: seconds(usage.user_time()),
            ru_stime: seconds(usage.system_time()),
            ru_maxrss: usage.max_rss(),
            ru_ixrss: usage.shared_integral(),
            ru_idrss: usage.unshared_data_integral(),
            ru_isrss: usage.unshared_stack_integral(),
            ru_minflt: usage.minor_page_faults(),
            ru_majflt: usage.major_page_faults(),
            ru_nswap: usage.full_swaps(),
            ru_inblock: usage.block_reads(),
            ru_oublock: usage.block_writes(),
            ru_msgsnd: usage.ipc_sends(),
            ru_msgrcv: usage.ipc_receives(),
            ru_nsignals: usage.signals(),
            ru_nvcsw: usage.voluntary_context_switches(),
            ru_nivcsw: usage.involuntary_context_switches(),
        }
    }
}

fn seconds(time: TimeVal) -> f64 {
    // One division, so that the number survives being written as a decimal.
    (time.tv_sec() * 1_000_000 + time.tv_usec()) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_members_of_the_protocol() {
        let results = Results {
            state: State::Done,
            finished: true,
            exit_code_or_signal: Some(3),
            resources: Some(Resources { ru_utime: 1.5, ..Resources::default() }),
            started: 10.0,
            ended: 12.5,
            out_bytes: 5,
            err_bytes: 0,
            out_sha256: Some("00".into()),
            err_sha256: Some("11".into()),
            error: None,
            left_out: None,
        };
        let json = serde_json::to_value(&results).unwrap();
        let members: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        for member in ["state", "finished", "exitCodeOrSignal", "resources", "out_sha256", "started"] {
            assert!(members.contains(&member), "{member} is missing from {members:?}");
        }
        assert!(!members.contains(&"error") && !members.contains(&"left_out"));
        assert_eq!(json["resources"].as_object().unwrap().len(), 16);
        assert_eq!(serde_json::from_value::<Results>(json).unwrap(), results);
    }

    #[test]
    fn after_a_restart_of_the_machine_nobody_knows_how_much_output_there_was() {
        let of = |code| Results::not_started(Failure::new(code, ""), 0.0).may_lack_output();
        assert!(of(FailureCode::GuestRestarted) && !of(FailureCode::NotStarted));
    }

    #[test]
    fn kinds_of_failure_read_as_slugs() {
        assert_eq!(serde_json::to_value(FailureCode::NotFound).unwrap(), "not-found");
        assert_eq!(serde_json::to_value(State::Cancelled).unwrap(), "cancelled");
    }
}
