//! `--status FILE`: how it ended, for scripts that must not mistake our failures for the command's.

use crate::ending::Ending;
use crate::follow::done;
use crate::{CliError, human};
use serde_json::{Value as Json, json};
use std::path::Path;
use vocable_xmlrpc::Value;

/// Writes the file: the end of the command, the ends of all, or the failure that kept it from running.
pub(super) fn write(file: &Path, ran: Result<&[Value], &CliError>) -> Result<(), CliError> {
    write_document(file, &document(ran))
}

/// Writes that we were told to stop, and the command was not.
pub(super) fn write_interrupted(file: &Path, id: &str) -> Result<(), CliError> {
    let error = CliError::new("interrupted", format!("told to stop; {id} goes on"));
    write_document(file, &document(Err(&error)))
}

fn document(ran: Result<&[Value], &CliError>) -> Json {
    match ran {
        Err(error) => json!({"by": "vocable", "error": error.to_json()}),
        Ok([only]) => done(only),
        Ok(all) => {
            let by =
                if all.iter().all(|report| Ending::of(report).is_its_own()) { "command" } else { "vocable" };
            json!({"by": by, "commands": all.iter().map(done).collect::<Vec<_>>()})
        }
    }
}

fn write_document(file: &Path, document: &Json) -> Result<(), CliError> {
    std::fs::write(file, format!("{document}\n")).map_err(|error| {
        CliError::new("cannot-write", format!("the status cannot be written to {}", file.display()))
            .cause(human::io(&error))
    })
}
