//! What the program brings beside this crate: the agent that it can start, and where that one's configuration is.

use crate::{CliError, Global, ServeArgs};
use std::path::PathBuf;
use std::sync::OnceLock;
use vocable_config::{Loaded, NoHome};

/// The agent of this program, as far as the command line has to do with it.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The configuration file with all defaults.
    pub default_config: &'static str,
    /// Reads the configuration: the file given, or the usual ones.
    pub load_config: fn(Option<PathBuf>) -> Result<Loaded<Settings>, NoHome>,
    /// Runs the agent until it is told to stop.
    pub serve: fn(&Global, ServeArgs) -> Result<(), CliError>,
}

/// Completions and signal handlers find the agent too, and nobody hands them anything.
static CURRENT: OnceLock<Program> = OnceLock::new();

impl Program {
    /// Makes it the one of this process, if there is none yet.
    pub(crate) fn set(self) {
        // The first stays.
        let _ = CURRENT.set(self);
    }

    /// The one of this process.
    pub(crate) fn current() -> Result<Self, CliError> {
        CURRENT.get().copied().ok_or_else(|| CliError::new("internal", "this process has no agent program"))
    }
}

/// What of the configuration says where the agent answers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The state folder of the agent.
    pub state: PathBuf,
    /// The path of its socket, `api.socket`; empty is none.
    pub socket: String,
    /// The address to call, `client.agent`; empty for what is found.
    pub agent: String,
    /// The file with the certificate it is known by, `client.certificate`; empty for the one in the state folder.
    pub certificate: String,
}
