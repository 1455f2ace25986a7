//! Every way a request can fail, with the slug and the number it has everywhere: on the terminal, over XML-RPC, in the
//! log. Whether it is worth trying again is a property of the number.

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
    /// Our own programming or a broken installation.
    Internal,
    /// Wrong type, missing member, a value out of range.
    InvalidParameter,
    /// The guest is known, and not there.
    GuestOffline,
    /// No such method.
    NoSuchMethod,
    /// Nobody is called so.
    NoSuchGuest,
    /// No command has that id.
    NoSuchCommand,
    /// No such word here, or the guest answered that it ain't one.
    NoSuchWord,
    /// The disk that keeps commands is full.
    NoSpace,
    /// Too much of something.
    TooMany,
    /// Time ran out.
    TimedOut,
    /// The word refused: what it was told makes no sense.
    WordInvalid,
    /// The word refused: it was tried and went wrong.
    WordFailed,
    /// The word trapped, computed too long or is quarantined.
    WordTrapped,
    /// The word refused, or may not: not granted, not of that agent.
    WordDenied,
    /// The agent is stopping.
    Stopping,
}

impl FaultKind {
    /// All kinds, for the list of faults.
    pub const ALL: [Self; 16] = [
        Self::AlreadyExists,
        Self::Internal,
        Self::InvalidParameter,
        Self::GuestOffline,
        Self::NoSuchMethod,
        Self::NoSuchGuest,
        Self::NoSuchCommand,
        Self::NoSuchWord,
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
            Self::Internal => "internal",
            Self::InvalidParameter => "invalid-parameter",
            Self::GuestOffline => "guest-offline",
            Self::NoSuchMethod => "no-such-method",
            Self::NoSuchGuest => "no-such-guest",
            Self::NoSuchCommand => "no-such-command",
            Self::NoSuchWord => "no-such-word",
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
    /// (1xx no such thing, 2xx state, 3xx limits, 5xx words).
    pub const fn code(self) -> i32 {
        match self {
            Self::InvalidParameter => -32602,
            Self::NoSuchMethod => -32601,
            Self::Internal => -32603,
            Self::NoSuchGuest => 102,
            Self::GuestOffline => 103,
            Self::NoSuchCommand => 104,
            Self::NoSuchWord => 105,
            Self::AlreadyExists => 202,
            Self::TooMany => 301,
            Self::TimedOut => 302,
            Self::NoSpace => 303,
            Self::Stopping => 305,
            Self::WordInvalid => 500,
            Self::WordTrapped => 501,
            Self::WordFailed => 502,
            Self::WordDenied => 503,
        }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub const fn transient(self) -> bool {
        matches!(self, Self::GuestOffline | Self::NoSpace | Self::Stopping | Self::TimedOut | Self::TooMany)
    }
}

impl Fault {
    /// A fault of that kind.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind.slug(), self.message)
    }
}

impl std::error::Error for Fault {}

impl From<crate::target::TargetError> for Fault {
    fn from(error: crate::target::TargetError) -> Self {
        use crate::target::TargetError as E;
        let kind = match error {
            E::NoGuest(_) | E::Nobody(_) => FaultKind::NoSuchGuest,
            E::Empty | E::Glob(..) | E::NoGroup(_) | E::Circle(_) => FaultKind::InvalidParameter,
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
