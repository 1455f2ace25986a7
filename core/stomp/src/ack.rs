//! How messages of a subscription are acknowledged: the header `ack` of `SUBSCRIBE`, the same for client and broker.

use std::fmt;

/// How messages of a subscription are acknowledged (1.2, "SUBSCRIBE ack Header").
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum AckMode {
    /// Not at all: sent is delivered.
    #[default]
    Auto,
    /// One acknowledges all before it.
    Client,
    /// Each for itself. Since 1.1; what a 1.0 broker makes of it is its own affair.
    ClientIndividual,
}

impl AckMode {
    /// As written in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Client => "client",
            Self::ClientIndividual => "client-individual",
        }
    }

    /// The mode of that name, if STOMP has one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Auto, Self::Client, Self::ClientIndividual].into_iter().find(|mode| mode.as_str() == name)
    }
}

impl fmt::Display for AckMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
