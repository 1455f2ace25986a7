//! The two streams a command writes.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// Which of a command's two output streams.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Display,
    EnumString,
    Eq,
    Hash,
    IntoStaticStr,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Part {
    /// Standard error.
    Err,
    /// Standard output.
    Out,
}

impl Part {
    /// `out` or `err`: on the wire, and as the name of a file.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
