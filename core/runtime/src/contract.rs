//! `word.wit` as Rust: its types, and what wasmtime makes of its interfaces; which imports a component
//! may have. What the functions do is said elsewhere.

use std::fmt;

use strum::VariantNames;
use vocable_protocol::Event;

pub use bindings::vocable::word::about::Role;
pub use bindings::vocable::word::types::{Message, Output, Program, Refusal};

pub(crate) use bindings::vocable::word::types::Description;

/// The version of the contract that this runtime offers. Components written for another patch of the
/// same minor version load too, unless they use what is not there.
pub const CONTRACT: &str = "0.1.0";

/// Interfaces that every word has, wherever it runs.
pub const ALWAYS_GRANTED: [&str; 3] = ["about", "log", "store"];

/// Interfaces that have to be granted, and that the runtime has for every agent.
pub(crate) const RUNTIMES_OWN: [&str; 1] = ["files"];

/// Interfaces that can be granted.
pub(crate) const GRANTABLE: [&str; 6] = ["commands", "files", "jobs", "process", "roster", "speech"];

/// The events of this version of the contract. One that is not among them can be bound, and is warned of.
pub const EVENTS: &[&str] = Event::VARIANTS;

/// The package of the contract, as it begins the names of its interfaces.
pub(crate) const PACKAGE: &str = "vocable:word";

/// The interface that makes a component a word.
pub(crate) const WORD: &str = "vocable:word/word";

/// Interfaces that tools add to components without being asked. Here they reach nothing: no files are
/// open to them, no variables, no arguments, and what they write is kept for error messages.
pub(crate) const INERT: [&str; 5] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/"];

#[allow(
    missing_docs,
    unsafe_code,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::use_self,
    clippy::semicolon_if_nothing_returned,
    reason = "generated"
)]
pub(crate) mod bindings {
    //! Nothing here is written by hand.

    wasmtime::component::bindgen!({
        path: "../../wit/word.wit",
        world: "full",
        imports: { default: async },
        exports: { default: async },
        additional_derives: [Clone, PartialEq],
    });
}

/// One import of a component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Import<'a> {
    /// Of the contract; its short name: `process`.
    Contract(&'a str),
    /// Of WASI, and harmless here.
    Inert,
    /// Nothing that an agent gives to a word.
    Foreign,
}

impl<'a> Import<'a> {
    /// What kind an import of that full name is: `vocable:word/process@0.1.0`.
    pub(crate) fn of(name: &'a str) -> Self {
        if let Some(interface) = name.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('/')) {
            Self::Contract(interface.split('@').next().unwrap_or(interface))
        } else if INERT.iter().any(|prefix| name.starts_with(prefix)) {
            Self::Inert
        } else {
            Self::Foreign
        }
    }
}

impl Message {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl Refusal {
    /// Its kind, as it goes over the bus: `denied`, `invalid` or `failed`.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Invalid(_) => "invalid",
            Self::Failed(_) => "failed",
        }
    }

    /// The reason given.
    pub fn text(&self) -> &str {
        let (Self::Denied(text) | Self::Invalid(text) | Self::Failed(text)) = self;
        text
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Guest => "guest",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_told_apart_by_name() {
        assert_eq!(Import::of("vocable:word/process@0.1.0"), Import::Contract("process"));
        assert_eq!(Import::of("vocable:word/process"), Import::Contract("process"));
        assert_eq!(Import::of("wasi:cli/stderr@0.2.6"), Import::Inert);
        for foreign in
            ["wasi:sockets/tcp@0.2.6", "wasi:http/types@0.2.10", "vocable:wordy/process@0.1.0", "x"]
        {
            assert_eq!(Import::of(foreign), Import::Foreign, "{foreign}");
        }
    }
}
