//! `vocable vm snapshot`: the present of a machine, remembered and gone back to.

use super::operation::{self, Watch, operate};
use super::{Consent, Patience, document};
use crate::confirm::{Question, confirm};
use crate::reply::Members;
use crate::table::{Column, Table};
use crate::{CliError, Session, completion};
use clap_complete::ArgValueCompleter;
use std::collections::BTreeMap;
use vocable_api::clock::age;
use vocable_xmlrpc::Value;

/// Take, list, restore and delete snapshots of a machine
#[derive(Debug, clap::Subcommand)]
pub(crate) enum SnapshotVerb {
    Take(TakeArgs),
    #[command(visible_alias = "ls")]
    List(OfArgs),
    /// Go back to a snapshot: what has changed since is lost
    Restore(OneArgs),
    /// Delete a snapshot; the machine itself stays as it is
    #[command(visible_alias = "rm")]
    Delete(OneArgs),
}

/// Remember the present of a machine, its memory too if it runs
#[derive(clap::Args, Debug)]
pub(crate) struct TakeArgs {
    /// Name, id or MAC address of the machine
    #[arg(add = ArgValueCompleter::new(completion::machines))]
    vm: String,
    /// Name of the snapshot
    name: String,
    /// What to write about it
    #[arg(short, long, value_name = "TEXT")]
    description: Option<String>,
    /// In place of one of that name
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    patience: Patience,
}

/// List the snapshots of a machine
#[derive(clap::Args, Debug)]
pub(crate) struct OfArgs {
    /// Name, id or MAC address of the machine
    #[arg(add = ArgValueCompleter::new(completion::machines))]
    vm: String,
}

/// Go back to a snapshot, or delete one
#[derive(clap::Args, Debug)]
pub(crate) struct OneArgs {
    /// Name, id or MAC address of the machine
    #[arg(add = ArgValueCompleter::new(completion::machines))]
    vm: String,
    /// Name of the snapshot
    name: String,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    patience: Patience,
}

/// Does what the verb says.
pub(super) fn snapshot(session: &mut Session<'_>, verb: &SnapshotVerb) -> Result<u8, CliError> {
    match verb {
        SnapshotVerb::Take(args) => take(session, args),
        SnapshotVerb::List(args) => list(session, args),
        SnapshotVerb::Restore(args) => restore(session, args),
        SnapshotVerb::Delete(args) => delete(session, args),
    }
}

fn take(session: &mut Session<'_>, args: &TakeArgs) -> Result<u8, CliError> {
    let mut watch = Watch::new(session, &args.patience);
    let params = vec![Value::from(args.vm.as_str()), Value::from(args.name.as_str())];
    let mut options = BTreeMap::from([("replace".to_owned(), Value::from(args.replace))]);
    options.extend(args.description.as_deref().map(|text| ("description".to_owned(), Value::from(text))));
    let op = operate(session, "vm.snapshot.take", params, options, &mut watch)?;
    if session.terminal.is_json() || op.text("phase") != Some("done") {
        operation::told(session, &op)?;
    } else {
        let state = op.text("state").unwrap_or_default();
        session.terminal.line(&format!(
            "{}  {}  taken in {}, {state}",
            args.name,
            args.vm,
            operation::took(&op)
        ))?;
    }
    Ok(0)
}

fn list(session: &mut Session<'_>, args: &OfArgs) -> Result<u8, CliError> {
    let reply = session.agent.call("vm.snapshot.list", vec![Value::from(args.vm.as_str())])?;
    if session.terminal.is_json() {
        document(session, "snapshots", &reply)?;
        return Ok(0);
    }
    if session.terminal.is_quiet() {
        for name in reply.list().iter().filter_map(|it| it.text("name")) {
            session.terminal.line(name)?;
        }
        return Ok(0);
    }
    let mut table = Table::new([
        Column::text("name"),
        Column::text("age"),
        Column::text("machine"),
        Column::text("current"),
        Column::prose("description"),
    ]);
    for it in reply.list() {
        let taken =
            it.moment("taken").map(|at| age(((session.now)().utc - at).try_into().unwrap_or_default()));
        table.row([
            it.text("name").unwrap_or_default().into(),
            taken.unwrap_or_else(|| "-".to_owned()).into(),
            if it.truth("live") { "running" } else { "off" }.into(),
            if it.truth("current") { "yes" } else { "" }.into(),
            it.text("description").unwrap_or_default().into(),
        ]);
    }
    table.print(session.terminal)?;
    if reply.list().is_empty() {
        session.terminal.note("no snapshots")?;
    }
    Ok(0)
}

fn restore(session: &mut Session<'_>, args: &OneArgs) -> Result<u8, CliError> {
    let taken = taken(session, args)?;
    let commands = running_commands(session, &args.vm);
    let ended = match commands {
        0 => String::new(),
        1 => "; 1 running command ends".to_owned(),
        n => format!("; {n} running commands end"),
    };
    let question = Question {
        ask: format!("Restore {} to \"{}\"? Changes since {taken} are lost{ended}.", args.vm, args.name),
        doing: format!("restoring {}", args.vm),
    };
    if !confirm(session, &args.consent, &question)? {
        return Ok(0);
    }
    one(session, args, "vm.snapshot.restore")
}

fn delete(session: &mut Session<'_>, args: &OneArgs) -> Result<u8, CliError> {
    let taken = taken(session, args)?;
    let question = Question {
        ask: format!(
            "Delete the snapshot \"{}\" of {}, taken {taken}? The machine itself stays as it is.",
            args.name, args.vm
        ),
        doing: format!("deleting a snapshot of {}", args.vm),
    };
    if !confirm(session, &args.consent, &question)? {
        return Ok(0);
    }
    one(session, args, "vm.snapshot.delete")
}

fn one(session: &mut Session<'_>, args: &OneArgs, method: &str) -> Result<u8, CliError> {
    let mut watch = Watch::new(session, &args.patience);
    let params = vec![Value::from(args.vm.as_str()), Value::from(args.name.as_str())];
    let op = operate(session, method, params, BTreeMap::new(), &mut watch)?;
    operation::told(session, &op)?;
    Ok(0)
}

/// When the snapshot was taken, as people read it: what would be lost since then.
fn taken(session: &Session<'_>, args: &OneArgs) -> Result<String, CliError> {
    let all = session.agent.call("vm.snapshot.list", vec![Value::from(args.vm.as_str())])?;
    let found =
        all.list().iter().find(|it| it.text("name") == Some(&args.name) || it.text("id") == Some(&args.name));
    let Some(found) = found else {
        let names: Vec<_> = all.list().iter().filter_map(|it| it.text("name")).collect();
        let error = CliError::new("no-such-snapshot", format!("{} has no snapshot {}", args.vm, args.name));
        return Err(match crate::hints::close(&args.name, names) {
            Some(meant) => error.hint(format!("did you mean {meant}?")),
            None => error.hint(format!("vocable vm snapshot list {}", args.vm)),
        });
    };
    let now = (session.now)().utc;
    Ok(found.moment("taken").map_or_else(
        || "then".to_owned(),
        |at| {
            let local = at.to_offset(session.offset);
            let ago = age((now - at).try_into().unwrap_or_default());
            format!("{:02}:{:02} ({ago})", local.hour(), local.minute())
        },
    ))
}

/// How many commands the guest in that machine runs; 0 if nobody knows, which is not worth a failure.
fn running_commands(session: &Session<'_>, vm: &str) -> u64 {
    let guests = session.agent.call("guest.list", Vec::new()).unwrap_or_else(|_| Vec::new().into());
    let inside = guests.list().iter().find(|it| it.text("vm") == Some(vm));
    inside.and_then(|guest| guest.count("commands")).unwrap_or(0)
}
