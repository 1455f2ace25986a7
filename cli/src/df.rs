//! `vocable df`: how much space guests have where files may be copied to.

use super::reply::{Members, as_text};
use super::table::{Column, Table};
use super::{CliError, Session, completion, hints, human};
use clap_complete::ArgValueCompleter;
use serde_json::json;
use vocable_xmlrpc::{Value, to_json};

/// Show how much space there is where files go
#[derive(clap::Args, Debug)]
pub(super) struct DfArgs {
    /// Guests: names, globs and @groups, separated by commas
    #[arg(add = ArgValueCompleter::new(completion::targets))]
    target: String,
}

/// Shows it.
pub(super) fn df(session: &mut Session<'_>, args: &DfArgs) -> Result<u8, CliError> {
    let guests = if super::filter::is_one(&args.target) {
        vec![args.target.clone()]
    } else {
        let selected = session.agent.call("guest.select", vec![Value::from(args.target.as_str())]);
        let selected = selected.map_err(|error| hints::about_target(error, &args.target, session.agent))?;
        selected.list().iter().filter_map(as_text).map(str::to_owned).collect()
    };
    let (mut disks, mut documents, mut failed) = (Vec::new(), Vec::new(), 0);
    for guest in &guests {
        match session.agent.call("file.df", vec![Value::from(guest.as_str())]) {
            Ok(answer) => disks.extend(answer.list().iter().map(|disk| (guest.clone(), disk.clone()))),
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
        for (guest, disk) in &disks {
            let mut document = to_json(disk);
            if let Some(members) = document.as_object_mut() {
                members.insert("guest".to_owned(), json!(guest));
            }
            documents.push(document);
        }
        session.terminal.document(&json!({"disks": documents}))?;
        return Ok(failed);
    }
    let mut columns = vec![Column::text("guest"), Column::prose("path")];
    columns.extend(["size", "used", "free"].map(Column::number));
    let mut table = Table::new(columns);
    for (guest, disk) in disks {
        let size = disk.count("size").unwrap_or_default();
        let free = disk.count("free").unwrap_or_default();
        let [size, used, free] = [size, size.saturating_sub(free), free].map(human::size);
        let path = disk.text("path").unwrap_or_default().to_owned();
        table.row(vec![guest.into(), path.into(), size.into(), used.into(), free.into()]);
    }
    table.print(session.terminal)?;
    Ok(failed)
}
