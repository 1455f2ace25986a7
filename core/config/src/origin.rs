//! Where a value or a problem comes from. Variants are ordered from the weakest layer to the strongest.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The layer, and the place in it, that a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "source", rename_all = "lowercase")]
pub enum Origin {
    /// The default file, or a default computed for this machine.
    Default,
    /// A file.
    File {
        /// Path as it was opened.
        #[serde(rename = "file", serialize_with = "lossy")]
        path: Arc<Path>,
        /// Place in the file; `None` speaks of the file as a whole.
        #[serde(flatten)]
        position: Option<Position>,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// The command line.
    Flag {
        /// The flag as it was typed.
        flag: String,
    },
}

/// A place in a file. Both numbers start at 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub col: usize,
}

impl fmt::Display for Origin {
    /// `/etc/vocable/vocable.toml:31`, `VOCABLE_ROSTER__BEACON`, `--hypervisor` or `default`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, position: None } => write!(f, "{}", path.display()),
            Self::File { path, position: Some(at) } => write!(f, "{}:{}", path.display(), at.line),
            Self::Environment { variable } => f.write_str(variable),
            Self::Flag { flag } => f.write_str(flag),
        }
    }
}

fn lossy<S: Serializer>(path: &Arc<Path>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}
