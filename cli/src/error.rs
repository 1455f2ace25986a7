//! A failure as it is told: `error[slug]: …` with its causes and what to do, or one line of JSON, and the exit code
//! that goes with it. Where it goes is [`super::output`]'s business.

use super::format;
use serde_json::{Map, Value as Json, json};
use std::io;
use vocable_api::client::ClientError;
use vocable_api::fault::FaultKind;
use vocable_xmlrpc::{Fault, ValueError};

const MOST_CAUSES: usize = 3;
const MOST_HINTS: usize = 2;

/// The exit code of `run` and `wait` when the reason is ours, as of `docker run` and `podman run`.
pub(super) const EXIT_VOCABLE_FAILED: u8 = 125;

/// Why a verb failed. Displayed in several lines, the way it stands on standard error.
#[derive(Clone, Debug)]
pub struct CliError(Box<Report>);

/// The classes of failures that scripts can tell by the exit code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Nobody reads our output any more: not worth a word, and no failure.
    BrokenPipe,
    /// It was tried and failed, or the answer is no.
    Failed,
    /// The host agent does not answer.
    NoAgent,
    /// The host agent does not let us.
    NotAllowed,
    /// Our time limit passed.
    TimedOut,
    /// Wrong usage.
    Usage,
}

#[derive(Clone, Debug)]
struct Report {
    kind: Kind,
    exit_code: u8,
    code: String,
    message: String,
    causes: Vec<String>,
    at: Option<String>,
    hints: Vec<String>,
    fault: Option<i32>,
    guest: Option<String>,
}

impl Kind {
    const fn exit_code(self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Failed => 1,
            Self::NoAgent => 3,
            Self::NotAllowed => 4,
            Self::TimedOut => 124,
            Self::Usage => 2,
        }
    }
}

impl CliError {
    /// A failure with its slug (lower case, dashes) and what failed, on whom: one line, no full stop.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Box::new(Report {
            kind: Kind::Failed,
            exit_code: Kind::Failed.exit_code(),
            code: code.into(),
            message: message.into(),
            causes: Vec::new(),
            at: None,
            hints: Vec::new(),
            fault: None,
            guest: None,
        }))
    }

    /// Wrong usage that clap cannot see.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", message).kind(Kind::Usage)
    }

    /// Something that will work one day.
    pub fn not_yet(message: impl Into<String>) -> Self {
        Self::new("not-yet", message).kind(Kind::Usage)
    }

    /// A value on the command line that cannot be right.
    pub fn bad_argument(message: impl Into<String>) -> Self {
        Self::new("bad-argument", message).kind(Kind::Usage)
    }

    /// What an agent of another version, or something else at its address, may send.
    pub fn bad_reply(method: &str, what: &str) -> Self {
        Self::new("bad-reply", format!("the agent's reply to {method} has no {what}"))
            .hint("vocable api agent.version")
    }

    /// The same, where it is not of the type it should be.
    pub fn unreadable_reply(method: &str, problem: &ValueError) -> Self {
        Self::new("bad-reply", format!("the agent's reply to {method} cannot be read"))
            .cause(problem.to_string())
            .hint("vocable api agent.version")
    }

    /// Of that class.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self.0.exit_code = kind.exit_code();
        self
    }

    /// With the one exit code that `run` and `wait` keep for all failures of ours.
    #[must_use]
    pub(super) fn with_run_exit_code(mut self) -> Self {
        // 124 is the number of a time limit there, too.
        if !matches!(self.0.kind, Kind::BrokenPipe | Kind::TimedOut) {
            self.0.exit_code = EXIT_VOCABLE_FAILED;
        }
        self
    }

    #[must_use]
    pub(super) fn reworded(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Why, in the words of whoever knows; the innermost last.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        if self.0.causes.len() < MOST_CAUSES {
            self.0.causes.push(cause.into());
        }
        self
    }

    /// The place: `file:line`, guest, word or command.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.0.at = Some(place.into());
        self
    }

    /// A command ready to paste, or one thing to do. At most two are told, the first ones.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if self.0.hints.len() < MOST_HINTS && !self.0.hints.contains(&hint) {
            self.0.hints.push(hint);
        }
        self
    }

    /// The guest it is about.
    #[must_use]
    pub fn guest(mut self, guest: impl Into<String>) -> Self {
        self.0.guest = Some(guest.into());
        self
    }

    /// The slug.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// What failed, on whom.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The exit code of the process.
    pub const fn exit_code(&self) -> u8 {
        self.0.exit_code
    }

    /// The class.
    pub const fn class(&self) -> Kind {
        self.0.kind
    }

    /// Whether the same thing may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        self.0.kind == Kind::NoAgent
            || FaultKind::ALL.iter().any(|kind| kind.slug() == self.0.code && kind.transient())
    }

    /// `{"code": …, "message": …, …}`, absent things left out.
    pub fn to_json(&self) -> Json {
        let Report { code, message, causes, at, hints, fault, guest, .. } = &*self.0;
        let list = |texts: &Vec<String>| (!texts.is_empty()).then(|| json!(texts));
        let all = [
            ("code", Some(json!(code))),
            ("fault", fault.map(Json::from)),
            ("message", Some(json!(message))),
            ("guest", guest.as_ref().map(|guest| json!(guest))),
            ("at", at.as_ref().map(|at| json!(at))),
            ("causes", list(causes)),
            ("hints", list(hints)),
            ("transient", Some(json!(self.is_transient()))),
        ];
        all.into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect::<Map<_, _>>()
            .into()
    }

    /// The lines under the first: label and text.
    pub(super) fn details(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Report { causes, at, hints, .. } = &*self.0;
        let causes = causes.iter().map(|text| ("cause", text.as_str()));
        let at = at.iter().map(|text| ("at", text.as_str()));
        causes.chain(at).chain(hints.iter().map(|text| ("hint", text.as_str())))
    }
}

impl From<Fault> for CliError {
    /// What the agent refused, in its own words. A text without a slug has the slug `failed`.
    fn from(fault: Fault) -> Self {
        let code = fault.slug().unwrap_or("failed");
        let mut error = Self::new(code, fault.message());
        error.0.fault = Some(fault.code());
        if code == FaultKind::InvalidParameter.slug() { error.kind(Kind::Usage) } else { error }
    }
}

impl From<ClientError> for CliError {
    /// A call without a result, with what to do about it.
    fn from(error: ClientError) -> Self {
        let told = Self::new(error.slug(), error.to_string());
        match error {
            ClientError::BadCall(_) | ClientError::BadParams(_) => told.kind(Kind::Usage),
            ClientError::BadReply { problem, address } => {
                Self::new("bad-reply", format!("{address} is not a Vocable host agent"))
                    .kind(Kind::NoAgent)
                    .cause(problem)
                    .hint("name the agent's address: --agent URL")
            }
            ClientError::Broken { source, .. } => told.kind(Kind::NoAgent).cause(format::io(&source)),
            ClientError::BadCertificate => {
                told.kind(Kind::Usage).hint("name the agent's api.crt: client.certificate")
            }
            ClientError::BadUrl(_) => told.kind(Kind::Usage).hint("--agent http://127.0.0.1:8700"),
            ClientError::Fault(fault) => general(fault.into()),
            ClientError::NotAuthorised { .. } => {
                told.kind(Kind::NotAllowed).hint("name the file with its token: --token-file FILE")
            }
            ClientError::Unproven { problem, .. } => told.kind(Kind::NoAgent).cause(problem).hint(
                "vocable serve, or name the agent and the file with its token: --agent URL --token-file FILE",
            ),
            ClientError::Untrusted { address, .. } if address.starts_with('/') => {
                told.kind(Kind::NoAgent).hint("name the agent's address: --agent URL")
            }
            ClientError::Untrusted { .. } => told
                .kind(Kind::NoAgent)
                .hint("name the agent's api.crt: client.certificate in the configuration"),
            ClientError::TimedOut { .. } => told.kind(Kind::NoAgent).hint("vocable api agent.version"),
            ClientError::Unreachable { source, .. } => {
                told.kind(Kind::NoAgent).cause(format::io(&source)).hint("vocable serve")
            }
        }
    }
}

/// Hints that need nothing but the slug.
fn general(error: CliError) -> CliError {
    match error.code() {
        "no-such-command" => error.hint("vocable ps -a"),
        "no-such-method" => error.hint("vocable api"),
        _ => error,
    }
}

impl From<io::Error> for CliError {
    /// Of writing to standard output or standard error.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new("broken-pipe", error.to_string()).kind(Kind::BrokenPipe),
            _ => Self::new("cannot-write", "the output could not be written").cause(format::io(&error)),
        }
    }
}

impl std::fmt::Display for CliError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error[{}]: {}", self.code(), self.message())?;
        self.details().try_for_each(|(label, text)| write!(f, "\n  {label}: {text}"))
    }
}

impl std::error::Error for CliError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_in_one_shape() {
        let error = CliError::new("guest-offline", "vm2 does not answer; nothing was run")
            .cause("lost since 09:01:54 (4m10s): no beacon")
            .at("vm2:/etc/vocable/guest.toml:10")
            .hint("vocable why vm2");
        insta::assert_snapshot!(error, @r#"
    error[guest-offline]: vm2 does not answer; nothing was run
      cause: lost since 09:01:54 (4m10s): no beacon
      at: vm2:/etc/vocable/guest.toml:10
      hint: vocable why vm2
    "#);
    }

    #[test]
    fn a_fault_keeps_its_slug_and_number_in_json() {
        let fault = Fault::new(103, "guest-offline: vm2 does not answer");
        let error = CliError::from(fault).guest("vm2").hint("vocable why vm2");
        insta::assert_snapshot!(error.to_json(), @r#"{"code":"guest-offline","fault":103,"guest":"vm2","hints":["vocable why vm2"],"message":"vm2 does not answer","transient":true}"#);
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn wrong_parameters_are_wrong_usage() {
        let error = CliError::from(Fault::new(-32602, "invalid-parameter: id: too long"));
        assert_eq!(error.class(), Kind::Usage);
        assert_eq!(CliError::from(Fault::new(-1, "Gone wrong")).code(), "failed");
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.exit_code(), 0);
    }
}
