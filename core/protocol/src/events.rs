//! What happens at an agent that words can be bound to.

use strum::{IntoStaticStr, VariantNames};

/// An event. Words name it in their description; its facts are the arguments of what they say.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Event {
    /// Guest: it is time for a sign of life.
    Beacon,
    /// Guest: it has reached its host.
    Connected,
    /// Host: a command is to get standard input, its end, or another size of its terminal.
    InputRequested,
    /// Guest: a command is over.
    JobEnded,
    /// Guest: a command has read of its standard input.
    JobInput,
    /// Guest: a command has written something.
    JobOutput,
    /// Guest: it is about to disconnect.
    Leaving,
    /// Host: a program is to be run.
    RunRequested,
    /// Host: a command is to get a signal, or to be ended.
    SignalRequested,
    /// Either: a message of a word that is not known has come.
    UnknownWord,
    /// Host: somebody wants to know what commands use.
    UsageRequested,
}

impl Event {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
