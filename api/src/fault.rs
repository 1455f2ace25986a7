//! Every way a request can fail, with the slug and the number it has everywhere: on the terminal, over XML-RPC, in the
//! log. Whether it is worth trying again is a property of the number.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// A request that was not granted. Displayed as `slug: sentence`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// What kind of failure.
    pub kind: FaultKind,
    /// One sentence for a person: lower case, no full stop.
    pub message: String,
}

/// The kinds of failure, by the number that each has over XML-RPC: the interoperability codes where one fits, else our
/// own families (1xx no such thing, 2xx state, 3xx limits, 4xx hypervisor, 5xx words).
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq, VariantArray)]
#[strum(serialize_all = "kebab-case")]
#[repr(i32)]
pub enum FaultKind {
    /// No such method.
    NoSuchMethod = -32601,
    /// Wrong type, missing member, a value out of range.
    InvalidParameter = -32602,
    /// Our own programming or a broken installation.
    Internal = -32603,
    /// The caller may not.
    NotAllowed = 100,
    /// No virtual machine is called so.
    NoSuchVm = 101,
    /// Nobody is called so.
    NoSuchGuest = 102,
    /// The guest is known, and not there.
    GuestOffline = 103,
    /// No command has that id.
    NoSuchCommand = 104,
    /// No such word here, or the guest answered that it ain't one.
    NoSuchWord = 105,
    /// No file or folder is called so.
    NoSuchPath = 106,
    /// No snapshot is called so.
    NoSuchSnapshot = 107,
    /// No job has that id.
    NoSuchJob = 108,
    /// No transfer has that id.
    NoSuchTransfer = 109,
    /// It is not in a state for that.
    WrongState = 200,
    /// Somebody is at it already.
    Busy = 201,
    /// The name or id exists with another meaning.
    AlreadyExists = 202,
    /// It is over: too late for that.
    Finished = 203,
    /// What arrived is not what was sent.
    DigestMismatch = 204,
    /// A file or folder did not let it be done.
    FileFailed = 205,
    /// A path outside of what may be touched, or one that the system does not let us touch.
    NotPermitted = 206,
    /// Several machines have that address.
    DuplicateMac = 207,
    /// It was not made by us, so it is not ours to remove.
    NotOurs = 208,
    /// Longer, deeper or fuller than allowed.
    TooBig = 300,
    /// Too much of something.
    TooMany = 301,
    /// Time ran out.
    TimedOut = 302,
    /// A disk is full: the one that keeps commands, or the one a file goes to.
    NoSpace = 303,
    /// The agent is stopping.
    Stopping = 305,
    /// There is no hypervisor to ask.
    HypervisorMissing = 400,
    /// The processor's virtualisation is off, or in use by another hypervisor.
    #[strum(serialize = "hw-virtualisation")]
    Virtualisation = 401,
    /// The hypervisor's kernel module is not there.
    DriverNotLoaded = 402,
    /// The hypervisor refused or failed; its own words are in the text.
    Hypervisor = 403,
    /// The word refused: what it was told makes no sense.
    WordInvalid = 500,
    /// The word trapped, computed too long or is quarantined.
    WordTrapped = 501,
    /// The word refused: it was tried and went wrong.
    WordFailed = 502,
    /// The word refused, or may not: not granted, not of that agent.
    WordDenied = 503,
}

impl FaultKind {
    /// All kinds, by number.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The name it has in texts, JSON and logs.
    pub fn slug(self) -> &'static str {
        self.into()
    }

    /// Its number.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub const fn transient(self) -> bool {
        matches!(
            self,
            Self::Busy | Self::GuestOffline | Self::NoSpace | Self::Stopping | Self::TimedOut | Self::TooMany
        )
    }

    /// The kind that has this number.
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
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
    fn kinds_have_the_slugs_and_numbers_that_callers_know() {
        for (kind, slug, code) in [
            (FaultKind::InvalidParameter, "invalid-parameter", -32602),
            (FaultKind::NoSuchVm, "no-such-vm", 101),
            (FaultKind::Virtualisation, "hw-virtualisation", 401),
        ] {
            assert_eq!((kind.slug(), kind.code(), FaultKind::from_code(code)), (slug, code, Some(kind)));
        }
        assert_eq!(FaultKind::from_code(7), None);
    }
}
