//! `vocable rm`: forgets commands that are over.

use super::{CliError, Session, completion};
use clap_complete::ArgValueCompleter;
use serde_json::json;
use vocable_api::cmd::Forget;

/// Remove commands that are over, with all their output
///
/// Old ones are removed without it: commands.keep and commands.keep_bytes of the configuration.
#[derive(clap::Args, Debug)]
pub(super) struct RmArgs {
    /// Commands, or the beginnings of their ids; of a run all its commands
    #[arg(required = true, value_name = "ID", add = ArgValueCompleter::new(completion::commands))]
    ids: Vec<String>,
}

/// Forgets commands, and prints which.
pub(super) fn rm(session: &mut Session<'_>, args: &RmArgs) -> Result<u8, CliError> {
    let mut forgotten = Vec::new();
    for id in &args.ids {
        let ids = session.agent.ask(&Forget { cmd_id: id.clone() }).map_err(|error| match error.code() {
            "busy" => error.hint(format!("vocable kill {id}")),
            _ => error,
        })?;
        forgotten.extend(ids);
    }
    if session.terminal.is_json() {
        session.terminal.document(&json!({"forgotten": forgotten}))?;
    } else {
        forgotten.iter().try_for_each(|id| session.terminal.line(id))?;
    }
    Ok(0)
}
