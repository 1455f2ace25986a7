//! `vocable df`: how much space guests have where files may be copied to.

use super::table::{Column, Table};
use super::{CliError, Session, completion, format, hints};
use clap_complete::ArgValueCompleter;
use serde_json::json;
use vocable_api::file::{Df, Disk};
use vocable_xmlrpc::{to_json, to_value};

/// Show disk space in the folders of guests
#[derive(clap::Args, Debug)]
pub(super) struct DfArgs {
    /// Guests: names, globs and @groups, separated by commas
    #[arg(add = ArgValueCompleter::new(completion::targets))]
    target: String,
}

/// Shows it.
pub(super) fn df(session: &mut Session<'_>, args: &DfArgs) -> Result<u8, CliError> {
    let guests = super::cp::guests(session, &args.target)?;
    let (mut disks, mut documents, mut failed) = (Vec::new(), Vec::new(), 0);
    for guest in &guests {
        match session.agent.ask(&Df { guest: guest.clone() }) {
            Ok(found) => disks.extend(found.into_iter().map(|disk| (guest.clone(), disk))),
            Err(error) => {
                let error = hints::about_target(error, guest, session.agent).guest(guest.as_str());
                if guests.len() == 1 {
                    return Err(error);
                }
                session.terminal.error(&error)?;
                documents.push(json!({"guest": guest, "error": error.to_json()}));
                failed = 1;
            }
        }
    }
    if session.terminal.is_json() {
        documents.extend(disks.iter().map(|(guest, disk)| of_guest(guest, disk)));
        session.terminal.document(&json!({"disks": documents}))?;
        return Ok(failed);
    }
    let mut columns = vec![Column::text("guest"), Column::prose("path")];
    columns.extend(["size", "used", "free"].map(Column::number));
    let mut table = Table::new(columns);
    for (guest, Disk { path, size, free, .. }) in disks {
        let [size, used, free] = [size, size.saturating_sub(free), free].map(format::size);
        table.row(vec![guest.into(), path.into(), size.into(), used.into(), free.into()]);
    }
    table.print(session.terminal)?;
    Ok(failed)
}

/// A reply about a guest as a document that names it.
pub(super) fn of_guest(guest: &str, reply: &impl serde::Serialize) -> serde_json::Value {
    let mut document = to_value(reply).as_ref().map(to_json).unwrap_or_default();
    if let Some(members) = document.as_object_mut() {
        members.insert("guest".to_owned(), json!(guest));
    }
    document
}
