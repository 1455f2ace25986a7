//! `cmd.*`: programs on guests: run, watched, fed, signalled and forgotten.

use crate::checked::TimeLimit;
use crate::method::methods;
use crate::types::XMLRPC_TYPE;
use crate::{Any, AnyStruct, Bytes, DateTime, Text, UnixTime};
use nix::sys::signal::Signal as Number;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use strum::{Display, EnumString, IntoStaticStr, VariantNames};
use vocable_protocol::{EndState, OptionName, Program, STREAMED};
use vocable_xmlrpc::{Value, from_value};

pub use vocable_protocol::{Failure, OnDisconnect, Resources, TerminalSize, Usage};

/// Runs a program on guests, without a shell. The same `id` with the same request is the same command: a retry runs
/// nothing twice.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Run {
    /// A guest, a glob, @group or a comma list of them
    pub target: String,
    /// The program
    pub cmd: String,
    /// Its arguments
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment variables
    pub env: Option<BTreeMap<String, String>>,
    /// Working directory
    pub path: Option<String>,
    /// All of its standard input [default: nothing]
    pub stdin: Option<Bytes>,
    /// Its standard input comes by cmd.input
    pub stream_stdin: Option<bool>,
    /// It gets a terminal of that size; its input comes by cmd.input
    pub tty: Option<TerminalSize>,
    /// Seconds after which it is ended
    pub timeout_s: Option<f64>,
    /// Seconds between TERM and KILL
    pub grace_s: Option<f64>,
    /// Run as this user, if the guest's agent may
    pub user: Option<String>,
    /// Scheduling priority (niceness), -20 to 19, as far as the guest's agent may
    pub nice: Option<i32>,
    /// Resource limits: nofile=1024,as=1GiB
    pub limits: Option<String>,
    /// What its guest does when it loses the host: keep or kill
    pub on_disconnect: Option<OnDisconnect>,
    /// Not these guests: a target
    pub except: Option<String>,
    /// Only guests that are online now
    pub alive: Option<bool>,
    /// Only so many of the guests, chosen at random: 10, or 10%
    pub limit: Option<GuestLimit>,
    /// Seconds it waits for guests that are offline [default: not at all]
    pub queue_s: Option<TimeLimit>,
    /// Seconds after which it is ended wherever it is, or given up
    pub deadline_s: Option<TimeLimit>,
    /// The caller's own id
    pub id: Option<String>,
}

impl Run {
    /// What its guests are asked to run.
    pub fn program(&mut self) -> Program {
        let mut program = Program {
            cmd: std::mem::take(&mut self.cmd),
            args: std::mem::take(&mut self.args),
            env: self.env.take().unwrap_or_default(),
            path: self.path.take(),
            ..Program::default()
        };
        if let Some(Bytes(stdin)) = self.stdin.take() {
            program.set_stdin(&stdin);
        }
        let input = self.stream_stdin.unwrap_or(false).then(|| STREAMED.to_owned());
        let options = [
            (OptionName::Input, input),
            (OptionName::Tty, self.tty.map(|size| size.to_string())),
            (OptionName::Timeout, self.timeout_s.map(|seconds| seconds.to_string())),
            (OptionName::Grace, self.grace_s.map(|seconds| seconds.to_string())),
            (OptionName::User, self.user.take()),
            (OptionName::Nice, self.nice.map(|nice| nice.to_string())),
            (OptionName::Limits, self.limits.take()),
            (OptionName::OnDisconnect, self.on_disconnect.map(|what| what.to_string())),
        ];
        for (name, value) in options {
            value.into_iter().for_each(|value| program.set(name, value));
        }
        program
    }
}

/// Lists commands, newest first, without their output.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct List {
    /// Only those of this guest
    pub guest: Option<String>,
    /// Only those in this state
    pub state: Option<State>,
    /// Also those that are over
    pub all: Option<bool>,
    /// Only those asked for since then, in seconds since 1970
    pub since_unix: Option<UnixTime>,
    /// Maximum number of commands, 1000 at most [default: 1000]
    pub limit: Option<i32>,
    /// Only those after this one: the id of the last one of the page before
    pub after: Option<String>,
}

/// Returns the state of a command, with its output: `more` says that there is more already than fits in one answer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Poll {
    /// The id, or a beginning that no other has
    pub cmd_id: String,
    /// Return standard output from here on [default: 0]
    pub out_offset: Option<ByteCount>,
    /// Return standard error from here on [default: 0]
    pub err_offset: Option<ByteCount>,
    /// Of a request to several guests: the commands to report, each with its [out_offset, err_offset]
    pub offsets: Option<BTreeMap<String, Vec<ByteCount>>>,
    /// Bytes of output in this answer, 1 MiB at most [default: 256 KiB]
    pub max_output: Option<ByteCount>,
}

/// Waits until a command is over, and returns what cmd.poll does. Ask again while state is queued or running.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Wait {
    /// The id, or a beginning that no other has
    pub cmd_id: String,
    /// Seconds to wait at most; more than 20 are 20
    pub timeout_s: f64,
    /// What to wait for: end, or output: until there is more than at the offsets [default: end]
    pub until: Option<Until>,
    /// Return standard output from here on [default: 0]
    pub out_offset: Option<ByteCount>,
    /// Return standard error from here on [default: 0]
    pub err_offset: Option<ByteCount>,
    /// Of a request to several guests: the commands to report, each with its [out_offset, err_offset]
    pub offsets: Option<BTreeMap<String, Vec<ByteCount>>>,
    /// Bytes of output in this answer, 1 MiB at most [default: 256 KiB]
    pub max_output: Option<ByteCount>,
}

/// What a waiting caller waits for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Until {
    #[default]
    End,
    Output,
}

/// Forgets a command that is over, or a request whose commands all are, with all output. Its id can be used again.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Forget {
    /// The id, or a beginning that no other has
    pub cmd_id: String,
}

/// Ends a command: the signal to all of its processes, and KILL to what is left after the grace. It answers at once;
/// cmd.wait waits for the end. A command that no guest has taken yet never runs; one that is over stays as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Cancel {
    /// A command, or a request: all of its commands
    pub cmd_id: String,
    /// Its name or number [default: TERM]
    pub signal: Option<Signal>,
    /// Seconds from there to KILL [default: the command's own]
    pub grace_s: Option<f64>,
}

/// Sends one signal to all processes of a command.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct SendSignal {
    /// A command, or a request: all of its commands
    pub cmd_id: String,
    /// Its name or number: INT, 10
    pub signal: Signal,
}

/// Returns what running commands use now, with all their processes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct GetUsage {
    /// A command, or a request [default: all that run]
    pub cmd_id: Option<String>,
}

/// Sends standard input to a command that was run with `stream_stdin` or `tty`. The same input sent twice arrives once.
/// While the command does not read, it waits; then the answer says to go on before the end of the data.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Input {
    /// A command, or a request: all of its commands
    pub cmd_id: String,
    /// Where the data belongs: so many bytes came before
    pub offset: u64,
    /// The input
    pub data: Bytes,
    /// Whether that is all of it
    pub close: Option<bool>,
    /// Seconds to wait at most; more than 20 are 20 [default: 20]
    pub timeout_s: Option<f64>,
}

/// How far the input is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct InputTaken {
    /// Where to go on
    pub offset: u64,
    /// Whether the command wants no more
    pub over: bool,
}

/// Sets the size of the terminal of a command that was run with `tty`.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Resize {
    /// A command, or a request: all of its commands
    pub cmd_id: String,
    /// Lines, 1 to 65535
    #[serde(deserialize_with = "vocable_protocol::terminal_side")]
    pub rows: u16,
    /// Characters of a line, 1 to 65535
    #[serde(deserialize_with = "vocable_protocol::terminal_side")]
    pub columns: u16,
}

/// A command. Of a request to several guests there are only its id and state, and `commands`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Command {
    /// Its id
    pub cmd_id: String,
    /// The guest that runs it
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub guest: String,
    /// queued, running, done, timeout, cancelled, lost or failed
    pub state: State,
    /// The program
    pub cmd: Option<String>,
    /// Its arguments
    pub args: Option<Vec<String>>,
    /// Its working directory
    pub path: Option<String>,
    /// When it was asked for
    pub created: DateTime,
    /// The same in seconds since 1970
    pub created_unix: UnixTime,
    /// When it was started
    pub started: Option<DateTime>,
    /// The same in seconds since 1970
    pub started_unix: Option<UnixTime>,
    /// Until when its guest may take it, in seconds since 1970
    pub expires_unix: Option<UnixTime>,
    /// When it is ended wherever it is, in seconds since 1970
    pub deadline_unix: Option<UnixTime>,
    /// When it was over
    pub ended: Option<DateTime>,
    /// The same in seconds since 1970
    pub ended_unix: Option<UnixTime>,
    /// Bytes of standard output that are here
    pub out_bytes: Option<u64>,
    /// Bytes of standard error that are here
    pub err_bytes: Option<u64>,
    /// Why it was not run
    pub error: Option<Failure>,
    /// Whether it ended by itself, not by a signal
    pub finished: Option<bool>,
    /// Its exit code, or the signal
    #[serde(rename = "exitCodeOrSignal")]
    pub exit_code_or_signal: Option<i64>,
    /// What getrusage says
    pub resources: Option<Any>,
    /// How much output was dropped
    pub left_out: Option<LeftOut>,
    /// SHA-256 of all standard output, hexadecimal
    pub out_sha256: Option<String>,
    /// SHA-256 of all standard error, hexadecimal
    pub err_sha256: Option<String>,
    /// Why no more of its output is taken now: its guest holds it up
    pub paused: Option<String>,
    /// Whether only the beginning of its program or arguments is shown: cmd.poll of that one command shows all
    pub shortened: Option<bool>,
    /// Standard output from out_offset on; not in lists
    pub out: Option<Text>,
    /// Standard error from err_offset on; not in lists
    pub err: Option<Text>,
    /// Where to go on
    pub out_offset: Option<u64>,
    /// Where to go on
    pub err_offset: Option<u64>,
    /// Whether there is more output already
    pub more: Option<bool>,
    /// Of a request to several guests: its target
    pub target: Option<String>,
    /// Of a request to several guests: how many there are of each
    pub summary: Option<Summary>,
    /// Of a request to several guests: each one's command
    #[schemars(with = "Option<Vec<AnyStruct>>")]
    pub commands: Option<Vec<Self>>,
}

impl Command {
    /// What getrusage said, as far as it makes sense.
    pub fn rusage(&self) -> Option<Resources> {
        from_value(self.resources.clone()?.0).ok()
    }

    /// Of a request to several guests the commands, else the one itself.
    pub fn each(&self) -> &[Self] {
        self.commands.as_deref().unwrap_or(std::slice::from_ref(self))
    }

    /// Whether it is a request to several guests.
    pub const fn is_run(&self) -> bool {
        self.commands.is_some()
    }

    /// Without output, and what belongs to reading it.
    #[must_use]
    pub fn without_output(mut self) -> Self {
        (self.out, self.err, self.out_offset, self.err_offset, self.more) = (None, None, None, None, None);
        self.commands = self.commands.map(|all| all.into_iter().map(Self::without_output).collect());
        self
    }
}

/// How far a command is.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Display,
    EnumString,
    Eq,
    IntoStaticStr,
    JsonSchema,
    PartialEq,
    Serialize,
    VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum State {
    /// Somebody ended it
    Cancelled,
    /// It ended by itself or by a signal of its own
    Done,
    /// It never ran
    Failed,
    /// What became of it is not known
    Lost,
    /// Not yet taken by the guest
    #[default]
    Queued,
    /// The guest has started it
    Running,
    /// Its time ran out
    Timeout,
}

impl State {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether nothing more will happen.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl From<EndState> for State {
    fn from(state: EndState) -> Self {
        match state {
            EndState::Cancelled => Self::Cancelled,
            EndState::Done => Self::Done,
            EndState::Failed => Self::Failed,
            EndState::Lost => Self::Lost,
            EndState::Timeout => Self::Timeout,
        }
    }
}

/// Output that was dropped.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default)]
pub struct LeftOut {
    /// Bytes of standard output
    pub out: u64,
    /// Bytes of standard error
    pub err: u64,
    /// Why
    pub reason: Option<String>,
}

/// How many commands of a request there are of each.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Summary {
    /// Ended with exit code 0
    pub ok: u64,
    /// Ended in another way
    pub failed: u64,
    /// Of which nothing is known
    pub lost: u64,
    /// Not over
    pub running: u64,
}

/// What came of a signal.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Signalled {
    /// Each command
    pub commands: Vec<SignalledCommand>,
}

/// What came of a signal to one command.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct SignalledCommand {
    /// Its id
    pub cmd_id: String,
    /// Its guest
    pub guest: String,
    /// Number of processes that got it
    pub signalled: Option<u64>,
    /// Why none did
    pub error: Option<Failure>,
}

/// What commands use.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Usages {
    /// When, in seconds since 1970
    pub time_unix: UnixTime,
    /// Each command
    pub commands: Vec<UsedCommand>,
}

/// What one command uses.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct UsedCommand {
    /// Its id
    pub cmd_id: String,
    /// Its guest
    pub guest: String,
    /// The program
    pub cmd: String,
    /// Its arguments
    pub args: Vec<String>,
    /// When it was started, in seconds since 1970
    pub started_unix: Option<UnixTime>,
    /// What it uses
    pub usage: Option<Usage>,
    /// Why that is not known
    pub error: Option<Failure>,
}

methods! {
    Cancel => "cmd.cancel"(cmd_id) -> Signalled: "", changes;
    Forget => "cmd.forget"(cmd_id) -> Vec<String>: "the commands that were forgotten", changes;
    GetUsage => "cmd.usage"(cmd_id) -> Usages: "", reads;
    Input => "cmd.input"(cmd_id, offset, data) -> InputTaken: "", changes;
    List => "cmd.list"() -> Vec<Command>: "", reads;
    Poll => "cmd.poll"(cmd_id) -> Command: "what cmd.list returns of it, and its output", reads;
    Resize => "cmd.resize"(cmd_id, rows, columns) -> bool: "true", changes;
    Run => "cmd.run"(target, cmd, args) -> String: "the id to ask about", changes;
    SendSignal => "cmd.signal"(cmd_id, signal) -> Signalled: "", changes;
    Wait => "cmd.wait"(cmd_id, timeout_s) -> Command: "what cmd.list returns of it, and its output", reads;
}

/// A number of bytes, or where they begin; below 0 it is 0.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, JsonSchema, Serialize)]
#[serde(transparent)]
#[schemars(inline)]
pub struct ByteCount(#[schemars(with = "i64")] pub u64);

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Exact up to 8 PiB.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what a u64 holds"
        )]
        f64::deserialize(deserializer).map(|number| Self(number.max(0.0) as u64))
    }
}

/// A part of the guests a target selects: `10` of them, or `10%`, rounded up.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, PartialEq)]
#[schemars(with = "String", inline)]
pub enum GuestLimit {
    /// So many.
    Guests(usize),
    /// So much of a hundred.
    Percent(usize),
}

impl FromStr for GuestLimit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // None of them makes no sense.
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number > 0);
        let limit = match text.strip_suffix('%') {
            Some(percent) => number(percent).filter(|percent| *percent <= 100).map(Self::Percent),
            None => number(text).map(Self::Guests),
        };
        limit.ok_or("expected a number of guests or 1% to 100%")
    }
}

impl fmt::Display for GuestLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guests(number) => write!(formatter, "{number}"),
            Self::Percent(number) => write!(formatter, "{number}%"),
        }
    }
}

impl<'de> Deserialize<'de> for GuestLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for GuestLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A signal: 1 to 31, `TERM`, `SIGTERM` or `15`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Signal(Number);

impl Signal {
    /// What a terminal sends that is gone.
    pub const HUP: Self = Self(Number::SIGHUP);
    /// What Ctrl-C means.
    pub const INT: Self = Self(Number::SIGINT);
    /// What no program can ignore.
    pub const KILL: Self = Self(Number::SIGKILL);
    /// What asks a program to end, in a way that it can catch.
    pub const TERM: Self = Self(Number::SIGTERM);

    /// Its number.
    pub const fn number(self) -> i32 {
        self.0 as i32
    }
}

/// Without `SIG`.
impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.as_str();
        formatter.pad(name.strip_prefix("SIG").unwrap_or(name))
    }
}

/// What is no signal.
const NO_SIGNAL: &str = "expected the name or number of a signal: TERM, INT, 9";

impl TryFrom<i32> for Signal {
    type Error = &'static str;

    fn try_from(number: i32) -> Result<Self, Self::Error> {
        Number::try_from(number).map(Self).map_err(|_| NO_SIGNAL)
    }
}

impl FromStr for Signal {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if let Ok(number) = name.parse::<i32>() {
            return Self::try_from(number);
        }
        let name = name.to_ascii_uppercase();
        let full = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
        full.parse().map(Self).map_err(|_| NO_SIGNAL)
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let signal = match Value::deserialize(deserializer)? {
            Value::Int(number) => Self::try_from(number),
            Value::String(name) => name.parse(),
            _ => Err(NO_SIGNAL),
        };
        signal.map_err(de::Error::custom)
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Signal {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Signal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "integer"}], XMLRPC_TYPE: "string or int"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocable_xmlrpc::to_value;

    #[test]
    fn signals_have_names_and_numbers() {
        let number = |value: Value| from_value::<Signal>(value).map(Signal::number);
        let numbers = ["TERM", "SIGINT", "kill", "9"].map(|name| number(Value::from(name)));
        assert_eq!(numbers, [Ok(15), Ok(2), Ok(9), Ok(9)]);
        assert_eq!(number(Value::Int(10)), Ok(10));
        for wrong in [Value::from("PLEASE"), Value::Int(0), Value::Int(99), Value::from(1.5), Value::from("")]
        {
            assert!(number(wrong.clone()).is_err(), "{wrong:?}");
        }
        assert_eq!(to_value(&Signal::KILL).unwrap(), Value::from("KILL"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let limit = |text: &str| text.parse::<GuestLimit>();
        assert_eq!((limit("10"), limit("10%")), (Ok(GuestLimit::Guests(10)), Ok(GuestLimit::Percent(10))));
        for wrong in ["0", "0%", "101%", "-1", "", "x"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
        assert_eq!(from_value::<ByteCount>(Value::Int(-1)).unwrap(), ByteCount(0));
        let size = |rows: i32| Value::from([("rows", Value::Int(rows)), ("columns", Value::Int(80))]);
        assert_eq!(from_value::<TerminalSize>(size(24)).unwrap().to_string(), "24x80");
        let refused = from_value::<TerminalSize>(size(0)).unwrap_err();
        assert_eq!(refused.to_string(), "member \"rows\": expected 1 to 65535, got 0");
    }

    #[test]
    fn options_are_written_as_guests_read_them() {
        let mut run = Run {
            target: "vm1".into(),
            cmd: "ls".into(),
            stdin: Some(Bytes(vec![0, 255])),
            timeout_s: Some(1.5),
            nice: Some(-5),
            on_disconnect: Some(OnDisconnect::Kill),
            ..Run::default()
        };
        let options = run.program().options;
        let written: Vec<_> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(written, ["nice=-5", "on-disconnect=kill", "stdin=AP8=", "timeout=1.5"]);
    }
}
