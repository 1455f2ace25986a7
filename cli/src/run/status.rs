//! `--status FILE`: how it ended, for scripts that must not mistake our failures for the command's.

use crate::ending::Ending;
use crate::follow::Done;
use crate::{CliError, format};
use serde_json::{Value as Json, json};
use std::io;
use std::path::Path;
use vocable_api::cmd::Command;
use vocable_xmlrpc::{to_json, to_value};

/// Writes the file: the end of the command, the ends of all, or the failure that kept it from running.
pub(super) fn write(file: &Path, ran: Result<&[Command], &CliError>) -> Result<(), CliError> {
    write_document(file, document(ran))
}

/// Writes that we were told to stop, and the command was not.
pub(super) fn write_interrupted(file: &Path, id: &str) -> Result<(), CliError> {
    let error = CliError::new("interrupted", format!("told to stop; {id} goes on"));
    write_document(file, document(Err(&error)))
}

fn document(ran: Result<&[Command], &CliError>) -> io::Result<Json> {
    match ran {
        Err(error) => Ok(json!({"by": "vocable", "error": error.to_json()})),
        Ok([only]) => done(only),
        Ok(all) => {
            let is_theirs = all.iter().all(|command| Ending::of(command).is_its_own());
            let by = if is_theirs { "command" } else { "vocable" };
            let commands = all.iter().map(done).collect::<io::Result<Vec<_>>>()?;
            Ok(json!({"by": by, "commands": commands}))
        }
    }
}

fn done(command: &Command) -> io::Result<Json> {
    to_value(&Done::of(command.clone())).map(|value| to_json(&value)).map_err(io::Error::other)
}

fn write_document(file: &Path, document: io::Result<Json>) -> Result<(), CliError> {
    let written = document.and_then(|document| std::fs::write(file, format!("{document}\n")));
    written.map_err(|error| {
        CliError::new("cannot-write", format!("the status cannot be written to {}", file.display()))
            .cause(format::io(&error))
    })
}
