//! How messages of a subscription are acknowledged: the header `ack` of `SUBSCRIBE`, the same for client and broker.

use strum::{Display, EnumString};

/// How messages of a subscription are acknowledged (1.2, "SUBSCRIBE ack Header").
#[derive(Clone, Copy, Debug, Default, Display, EnumString, Eq, PartialEq)]
#[strum(serialize_all = "kebab-case")]
pub enum AckMode {
    /// Not at all: sent is delivered.
    #[default]
    Auto,
    /// One acknowledges all before it.
    Client,
    /// Each for itself. Since 1.1; what a 1.0 broker makes of it is its own affair.
    ClientIndividual,
}
