//! How a command ended: the document that the guest keeps and tells, and what a host makes of one.

use crate::lenient::lenient;
use crate::part::Part;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use strum::IntoStaticStr;

/// The end of a command, as its guest writes it down. `out_bytes` and `out_sha256` are of what was kept of the output;
/// what the program wrote beyond that is counted in [`left_out`](Self::left_out).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Results {
    /// Why it ended.
    pub state: EndState,
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
    /// Bytes of standard output that were kept.
    pub out_bytes: u64,
    /// Bytes of standard error that were kept.
    pub err_bytes: u64,
    /// SHA-256 of the standard output that was kept, in hexadecimal. Absent only of a command that is lost after the
    /// beginning of its output was freed: then nobody knows it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_sha256: Option<String>,
    /// The same of standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub err_sha256: Option<String>,
    /// What went wrong on the agent's side of the program, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// What the program wrote and could not be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
}

impl Results {
    /// Of a program that was not even tried.
    pub fn not_started(failure: Failure, when: f64) -> Self {
        Self {
            state: EndState::Failed,
            finished: true,
            exit_code_or_signal: Some(failure.exit_code()),
            resources: Some(Resources::default()),
            started: when,
            ended: when,
            out_bytes: 0,
            err_bytes: 0,
            out_sha256: Some(sha256_hex(b"")),
            err_sha256: Some(sha256_hex(b"")),
            error: Some(failure),
            left_out: None,
        }
    }

    /// The same of a program that turned out not to have been started after all.
    #[must_use]
    pub fn but_not_started(self, failure: Failure) -> Self {
        Self {
            state: EndState::Failed,
            finished: true,
            exit_code_or_signal: Some(failure.exit_code()),
            error: Some(failure),
            ..self
        }
    }
}

/// SHA-256, in hexadecimal.
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Why a command ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, IntoStaticStr, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum EndState {
    /// Somebody asked for its end, or its spool was full and the guest's configuration says `kill`.
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure: those of guests are not-found, spool-full and so on
    pub code: String,
    /// A sentence
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    /// Whether it is of that kind.
    pub fn is(&self, code: FailureCode) -> bool {
        self.code == code.as_str()
    }

    /// The exit code a shell would give for a program that failed to start like this.
    fn exit_code(&self) -> i32 {
        if self.is(FailureCode::NotFound) { 127 } else { 126 }
    }
}

/// What can go wrong at a guest.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq)]
#[strum(serialize_all = "kebab-case")]
pub enum FailureCode {
    /// The kernel takes no such arguments or environment (too long, for instance).
    BadArgument,
    /// The guest was restarted while the command ran.
    GuestRestarted,
    /// The working directory is missing or closed to the user.
    NoDirectory,
    /// The script is there, the interpreter it names is not.
    NoInterpreter,
    /// The file is there, but is no program this user may execute.
    NotExecutable,
    /// There is no such program.
    NotFound,
    /// Some process of the command outlived SIGKILL (it hangs in the kernel, or belongs to somebody else).
    NotKilled,
    /// The system could not start the program just then (no process, no memory, a limit refused).
    NotStarted,
    /// Nobody could tell how the program ended.
    NoStatus,
    /// The spool was full and the configuration says `kill`.
    SpoolFull,
    /// The process watching over the command disappeared.
    SupervisorGone,
}

impl FailureCode {
    /// As it goes over the bus.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl From<FailureCode> for String {
    fn from(code: FailureCode) -> Self {
        code.as_str().to_owned()
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

/// The sixteen fields of `getrusage(2)`, for the command alone: its process and all descendants that have been waited
/// for. `ru_maxrss` is the largest of them, and never less than the supervisor's own few MiB (a process begins as a copy
/// of the one that starts it).
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
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

/// The end of a command as a host takes it from whatever a guest says. What is missing or of the wrong type is `None`;
/// what only people look at is passed on as it is, and so is what nobody foresaw.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ReportedResults {
    /// Why it ended.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub state: Option<EndState>,
    /// Whether the program ended by itself, not by a signal.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub finished: Option<bool>,
    /// Its exit code if it finished, otherwise the signal's number.
    #[serde(
        rename = "exitCodeOrSignal",
        deserialize_with = "lenient",
        skip_serializing_if = "Option::is_none"
    )]
    pub exit_code_or_signal: Option<i64>,
    /// [`Resources`], and whatever else it says of what the command used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Value>,
    /// Bytes of standard output that there should be.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub out_bytes: Option<u64>,
    /// Bytes of standard error that there should be.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub err_bytes: Option<u64>,
    /// SHA-256 of the standard output, in hexadecimal.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub out_sha256: Option<String>,
    /// SHA-256 of the standard error, in hexadecimal.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub err_sha256: Option<String>,
    /// What went wrong.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// [`LeftOut`], as it says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<Value>,
    /// Everything else.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl ReportedResults {
    /// The members that a host looks at; all others it only passes on.
    pub const RELIED_ON: [&str; 8] = [
        "finished",
        "exitCodeOrSignal",
        "state",
        "error",
        Self::OUTPUT[0],
        Self::OUTPUT[1],
        Self::OUTPUT[2],
        Self::OUTPUT[3],
    ];
    /// The members that say how much output there was, and which.
    pub const OUTPUT: [&str; 4] = ["out_bytes", "err_bytes", "out_sha256", "err_sha256"];

    /// Of what a guest says.
    pub fn of(told: Map<String, Value>) -> Self {
        // Every member is lenient.
        Self::deserialize(Value::Object(told)).unwrap_or_default()
    }

    /// As it is written down and passed on.
    pub fn into_members(self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        }
    }

    /// How many bytes there should be of a stream, and their digest.
    pub fn output(&self, part: Part) -> (Option<u64>, Option<&str>) {
        match part {
            Part::Err => (self.err_bytes, self.err_sha256.as_deref()),
            Part::Out => (self.out_bytes, self.out_sha256.as_deref()),
        }
    }

    /// What getrusage said, as far as it makes sense.
    pub fn rusage(&self) -> Option<Resources> {
        Resources::deserialize(self.resources.as_ref()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn results() -> Results {
        Results {
            state: EndState::Done,
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
        }
    }

    #[test]
    fn the_document_has_the_members_of_the_protocol() {
        let results = results();
        let json = serde_json::to_value(&results).unwrap();
        let members: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "ended",
            "err_bytes",
            "err_sha256",
            "exitCodeOrSignal",
            "finished",
            "out_bytes",
            "out_sha256",
            "resources",
            "started",
            "state",
        ];
        assert_eq!(members, expected);
        assert_eq!(json["resources"].as_object().unwrap().len(), 16);
        assert_eq!(serde_json::from_value::<Results>(json).unwrap(), results);
    }

    #[test]
    fn a_host_reads_what_a_guest_writes_and_passes_on_the_rest() {
        let failed = results().but_not_started(Failure::new(FailureCode::NotFound, "no program \"x\""));
        let mut json = serde_json::to_value(&failed).unwrap();
        json["novel"] = json!([1]);
        let told = ReportedResults::of(json.as_object().unwrap().clone());
        assert_eq!((told.state, told.exit_code_or_signal), (Some(EndState::Failed), Some(127)));
        assert!(told.error.as_ref().unwrap().is(FailureCode::NotFound));
        assert_eq!(told.rusage(), failed.resources);
        assert_eq!(told.output(Part::Out), (Some(5), Some("00")));
        assert_eq!(Value::from(told.into_members()), json);
    }

    #[test]
    fn odd_members_spoil_no_others() {
        let told = json!({"finished": true, "exitCodeOrSignal": null, "state": "dreaming", "out_bytes": -1,
            "resources": {"ru_utime": "much"}, "error": {"code": 7}, "left_out": []});
        let results = ReportedResults::of(told.as_object().unwrap().clone());
        assert_eq!(results.finished, Some(true));
        assert_eq!((results.exit_code_or_signal, results.state, results.out_bytes), (None, None, None));
        assert_eq!((results.rusage(), &results.error), (None, &None));
        assert_eq!(results.resources, Some(json!({"ru_utime": "much"})));
    }

    #[test]
    fn kinds_of_failure_read_as_slugs() {
        assert_eq!(FailureCode::NotFound.as_str(), "not-found");
        assert_eq!(Failure::new(FailureCode::SpoolFull, "").code, "spool-full");
        assert_eq!(serde_json::to_value(EndState::Cancelled).unwrap(), "cancelled");
        let of = |code| Results::not_started(Failure::new(code, ""), 0.0).exit_code_or_signal;
        assert_eq!((of(FailureCode::NotFound), of(FailureCode::NoDirectory)), (Some(127), Some(126)));
    }
}
