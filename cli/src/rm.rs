//! `vocable rm`: forgets commands that are over.

use super::reply::Members;
use super::reply::as_text;
use super::{CliError, Session, completion};
use clap_complete::ArgValueCompleter;
use serde_json::json;
use vocable_xmlrpc::Value;

/// Forget commands that are over, with all they have written
///
/// Old ones are forgotten without it: commands.keep and commands.keep_bytes of the configuration.
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
        let reply =
            session.agent.call("cmd.forget", vec![Value::from(id.as_str())]).map_err(|error| match error
                .code()
            {
                "busy" => error.hint(format!("vocable kill {id}")),
                _ => error,
            })?;
        forgotten.extend(reply.list().iter().filter_map(as_text).map(str::to_owned));
    }
    if session.terminal.is_json() {
        session.terminal.document(&json!({"forgotten": forgotten}))?;
    } else {
        forgotten.iter().try_for_each(|id| session.terminal.line(id))?;
    }
    Ok(0)
}
