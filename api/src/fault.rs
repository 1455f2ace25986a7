//! Every way a request can fail, with the slug and the number it has everywhere: on the terminal, over XML-RPC, in the
//! log. Whether it is worth trying again is a property of the number.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request that was not granted. Displayed as `slug: sentence`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// What kind of failure.
    pub kind: FaultKind,
    /// One sentence for a person: lower case, no full stop.
    pub message: String,
}

/// The kinds of failure: slug, number, whether trying again later may help.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FaultKind {
    /// The name or id exists with another meaning.
    AlreadyExists,
    /// Somebody is at it already.
    Busy,
    /// The hypervisor's kernel module is not there.
    DriverNotLoaded,
    /// Several machines have that address.
    DuplicateMac,
    /// It is over: too late for that.
    Finished,
    /// The hypervisor refused or failed; its own words are in the text.
    Hypervisor,
    /// There is no hypervisor to ask.
    HypervisorMissing,
    /// Our own programming or a broken installation.
    Internal,
    /// Wrong type, missing member, a value out of range.
    InvalidParameter,
    /// The guest is known, and not there.
    GuestOffline,
    /// The caller may not.
    NotAllowed,
    /// It will work one day: the engine that does it is not there.
    NotYet,
    /// No job has that id.
    NoSuchJob,
    /// No file or folder is called so.
    NoSuchPath,
    /// No snapshot is called so.
    NoSuchSnapshot,
    /// No transfer has that id.
    NoSuchTransfer,
    /// No virtual machine is called so.
    NoSuchVm,
    /// No such method.
    NoSuchMethod,
    /// Nobody is called so.
    NoSuchGuest,
    /// No command has that id.
    NoSuchCommand,
    /// No such word here, or the guest answered that it ain't one.
    NoSuchWord,
    /// It was not made by us, so it is not ours to remove.
    NotOurs,
    /// A path outside of what may be touched, or one that the system does not let us touch.
    NotPermitted,
    /// What arrived is not what was sent.
    DigestMismatch,
    /// A file or folder did not let it be done.
    FileFailed,
    /// A disk is full: the one that keeps commands, or the one a file goes to.
    NoSpace,
    /// Longer, deeper or fuller than allowed.
    TooBig,
    /// Too much of something.
    TooMany,
    /// Time ran out.
    TimedOut,
    /// The processor's virtualisation is off, or in use by another hypervisor.
    Virtualisation,
    /// The word refused: what it was told makes no sense.
    WordInvalid,
    /// The word refused: it was tried and went wrong.
    WordFailed,
    /// The word trapped, computed too long or is quarantined.
    WordTrapped,
    /// The word refused, or may not: not granted, not of that agent.
    WordDenied,
    /// It is not in a state for that.
    WrongState,
    /// The agent is stopping.
    Stopping,
}

impl FaultKind {
    /// All kinds, for the list of faults.
    pub const ALL: [Self; 36] = [
        Self::AlreadyExists,
        Self::Busy,
        Self::DriverNotLoaded,
        Self::DuplicateMac,
        Self::NotOurs,
        Self::Virtualisation,
        Self::Finished,
        Self::Hypervisor,
        Self::HypervisorMissing,
        Self::NotAllowed,
        Self::NotYet,
        Self::NoSuchJob,
        Self::NoSuchPath,
        Self::NoSuchSnapshot,
        Self::NoSuchTransfer,
        Self::NoSuchVm,
        Self::TooBig,
        Self::WrongState,
        Self::Internal,
        Self::InvalidParameter,
        Self::GuestOffline,
        Self::NoSuchMethod,
        Self::NoSuchGuest,
        Self::NoSuchCommand,
        Self::NoSuchWord,
        Self::NotPermitted,
        Self::DigestMismatch,
        Self::FileFailed,
        Self::NoSpace,
        Self::TooMany,
        Self::TimedOut,
        Self::WordInvalid,
        Self::WordFailed,
        Self::WordTrapped,
        Self::WordDenied,
        Self::Stopping,
    ];

    /// The name it has in texts, JSON and logs.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::AlreadyExists => "already-exists",
            Self::Busy => "busy",
            Self::DriverNotLoaded => "driver-not-loaded",
            Self::DuplicateMac => "duplicate-mac",
            Self::NotOurs => "not-ours",
            Self::Virtualisation => "hw-virtualisation",
            Self::Finished => "finished",
            Self::Hypervisor => "hypervisor",
            Self::HypervisorMissing => "hypervisor-missing",
            Self::NotAllowed => "not-allowed",
            Self::NotYet => "not-yet",
            Self::NoSuchJob => "no-such-job",
            Self::NoSuchPath => "no-such-path",
            Self::NoSuchSnapshot => "no-such-snapshot",
            Self::NoSuchTransfer => "no-such-transfer",
            Self::NoSuchVm => "no-such-vm",
            Self::TooBig => "too-big",
            Self::WrongState => "wrong-state",
            Self::Internal => "internal",
            Self::InvalidParameter => "invalid-parameter",
            Self::GuestOffline => "guest-offline",
            Self::NoSuchMethod => "no-such-method",
            Self::NoSuchGuest => "no-such-guest",
            Self::NoSuchCommand => "no-such-command",
            Self::NoSuchWord => "no-such-word",
            Self::NotPermitted => "not-permitted",
            Self::DigestMismatch => "digest-mismatch",
            Self::FileFailed => "file-failed",
            Self::NoSpace => "no-space",
            Self::TooMany => "too-many",
            Self::TimedOut => "timed-out",
            Self::WordInvalid => "word-invalid",
            Self::WordFailed => "word-failed",
            Self::WordTrapped => "word-trapped",
            Self::WordDenied => "word-denied",
            Self::Stopping => "stopping",
        }
    }

    /// The number it has over XML-RPC: the interoperability codes where one fits, else our own families
    /// (1xx no such thing, 2xx state, 3xx limits, 4xx hypervisor, 5xx words).
    pub const fn code(self) -> i32 {
        match self {
            Self::InvalidParameter => -32602,
            Self::NoSuchMethod => -32601,
            Self::Internal => -32603,
            Self::NotAllowed => 100,
            Self::NoSuchVm => 101,
            Self::NoSuchGuest => 102,
            Self::GuestOffline => 103,
            Self::NoSuchCommand => 104,
            Self::NoSuchWord => 105,
            Self::NoSuchPath => 106,
            Self::NoSuchSnapshot => 107,
            Self::NoSuchJob => 108,
            Self::NoSuchTransfer => 109,
            Self::WrongState => 200,
            Self::Busy => 201,
            Self::AlreadyExists => 202,
            Self::Finished => 203,
            Self::DuplicateMac => 207,
            Self::NotOurs => 208,
            Self::DigestMismatch => 204,
            Self::FileFailed => 205,
            Self::NotPermitted => 206,
            Self::TooBig => 300,
            Self::TooMany => 301,
            Self::TimedOut => 302,
            Self::NoSpace => 303,
            Self::Stopping => 305,
            Self::NotYet => 306,
            Self::HypervisorMissing => 400,
            Self::Virtualisation => 401,
            Self::DriverNotLoaded => 402,
            Self::Hypervisor => 403,
            Self::WordInvalid => 500,
            Self::WordTrapped => 501,
            Self::WordFailed => 502,
            Self::WordDenied => 503,
        }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub const fn transient(self) -> bool {
        matches!(
            self,
            Self::Busy | Self::GuestOffline | Self::NoSpace | Self::Stopping | Self::TimedOut | Self::TooMany
        )
    }

    /// The kind that has this number over XML-RPC.
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

impl Fault {
    /// A fault of that kind.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// That a method cannot take its parameters.
    pub fn invalid(method: &str, problem: &str) -> Self {
        Self::new(FaultKind::InvalidParameter, format!("{method}: {problem}"))
    }

    /// That there is no such method.
    pub fn no_such_method(name: &str) -> Self {
        Self::new(FaultKind::NoSuchMethod, format!("there is no method {}", vocable_xmlrpc::excerpt(name)))
    }
}

/// A fault as a part of a reply.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Failure {
    /// The kind of failure
    pub code: String,
    /// Its number
    pub fault: i32,
    /// A sentence
    pub message: String,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { code: fault.kind.slug().to_owned(), fault: fault.kind.code(), message: fault.message }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind.slug(), self.message)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for vocable_xmlrpc::Fault {
    fn from(fault: Fault) -> Self {
        Self::new(fault.kind.code(), fault.to_string())
    }
}

impl From<vocable_xmlrpc::Fault> for Fault {
    fn from(fault: vocable_xmlrpc::Fault) -> Self {
        let kind = FaultKind::from_code(fault.code()).unwrap_or(FaultKind::Internal);
        Self::new(kind, fault.message())
    }
}

impl From<crate::target::TargetError> for Fault {
    fn from(error: crate::target::TargetError) -> Self {
        use crate::target::TargetError as E;
        let kind = match error {
            E::NoGuest(_) | E::Nobody(_) => FaultKind::NoSuchGuest,
            E::Empty | E::Glob(..) | E::NoGroup(_) | E::Circle(_) | E::TooMuch(_) => {
                FaultKind::InvalidParameter
            }
        };
        Self::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::FaultKind;

    #[test]
    fn every_kind_has_a_slug_and_a_number_of_its_own() {
        for (n, one) in FaultKind::ALL.into_iter().enumerate() {
            for other in FaultKind::ALL.into_iter().skip(n + 1) {
                assert_ne!(one.slug(), other.slug());
                assert_ne!(one.code(), other.code());
            }
        }
    }
}
