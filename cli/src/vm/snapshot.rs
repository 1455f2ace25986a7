//! `vocable vm snapshot`.

use super::operation::{self, operate};
use super::{Consent, WaitArgs, document};
use crate::confirm::{Question, confirm};
use crate::table::{Column, Table};
use crate::{CliError, Session, completion};
use clap_complete::ArgValueCompleter;
use vocable_api::clock::age;
use vocable_api::guest;
use vocable_api::vm::{
    DeleteSnapshot, ListSnapshots, Operate, Phase, RestoreSnapshot, Snapshot, State, TakeSnapshot,
};

/// Take, list, restore and delete snapshots of a machine
#[derive(Debug, clap::Subcommand)]
pub(crate) enum SnapshotVerb {
    Take(TakeArgs),
    #[command(visible_alias = "ls")]
    List(OfArgs),
    /// Restore a snapshot: what has changed since is lost
    Restore(OneArgs),
    /// Delete a snapshot; the machine itself stays as it is
    #[command(visible_alias = "rm")]
    Delete(OneArgs),
}

/// Take a snapshot of a machine, with its memory if it runs
#[derive(clap::Args, Debug)]
pub(crate) struct TakeArgs {
    /// Name, id or MAC address of the machine
    #[arg(add = ArgValueCompleter::new(completion::machines))]
    vm: String,
    /// Name of the snapshot
    name: String,
    /// Description of the snapshot
    #[arg(short, long, value_name = "TEXT")]
    description: Option<String>,
    /// Replace the snapshot of that name
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// List the snapshots of a machine
#[derive(clap::Args, Debug)]
pub(crate) struct OfArgs {
    /// Name, id or MAC address of the machine
    #[arg(add = ArgValueCompleter::new(completion::machines))]
    vm: String,
}

/// Restore a snapshot, or delete one
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
    wait: WaitArgs,
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
    let request = TakeSnapshot {
        vm: args.vm.clone(),
        name: args.name.clone().try_into().map_err(CliError::bad_argument)?,
        description: args.description.clone(),
        replace: Some(args.replace),
        timeout_s: None,
        wait: None,
    };
    let op = operate(session, request, &args.wait)?;
    if session.terminal.is_json() || op.phase != Phase::Done {
        operation::print(session, &op)?;
    } else {
        let (took, state) = (operation::took(&op), op.state.map_or("", State::as_str));
        session.terminal.line(&format!("{}  {}  taken in {took}, {state}", args.name, args.vm))?;
    }
    Ok(0)
}

fn snapshots(session: &Session<'_>, vm: &str) -> Result<Vec<Snapshot>, CliError> {
    session.agent.ask(&ListSnapshots { vm: vm.to_owned() })
}

fn list(session: &mut Session<'_>, args: &OfArgs) -> Result<u8, CliError> {
    let all = snapshots(session, &args.vm)?;
    if session.terminal.is_json() {
        document(session, "snapshots", &all)?;
        return Ok(0);
    }
    if session.terminal.is_quiet() {
        for snapshot in &all {
            session.terminal.line(&snapshot.name)?;
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
    for it in &all {
        let taken = it.taken_unix.moment();
        let taken = taken.map(|at| age(((session.now)().utc - at).try_into().unwrap_or_default()));
        table.row([
            it.name.as_str().into(),
            taken.unwrap_or_else(|| "-".to_owned()).into(),
            if it.live { "running" } else { "off" }.into(),
            if it.current { "yes" } else { "" }.into(),
            it.description.as_str().into(),
        ]);
    }
    table.print(session.terminal)?;
    if all.is_empty() {
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
    let (vm, name) = (args.vm.clone(), args.name.clone().try_into().map_err(CliError::bad_argument)?);
    perform(session, RestoreSnapshot { vm, name, timeout_s: None, wait: None }, &args.wait)
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
    let (vm, name) = (args.vm.clone(), args.name.clone().try_into().map_err(CliError::bad_argument)?);
    perform(session, DeleteSnapshot { vm, name, timeout_s: None, wait: None }, &args.wait)
}

fn perform(session: &mut Session<'_>, request: impl Operate, wait: &WaitArgs) -> Result<u8, CliError> {
    let op = operate(session, request, wait)?;
    operation::print(session, &op)?;
    Ok(0)
}

/// When the snapshot was taken, as people read it: what would be lost since then.
fn taken(session: &Session<'_>, args: &OneArgs) -> Result<String, CliError> {
    let all = snapshots(session, &args.vm)?;
    let Some(found) = all.iter().find(|it| it.name == args.name || it.id == args.name) else {
        let error = CliError::new("no-such-snapshot", format!("{} has no snapshot {}", args.vm, args.name));
        return Err(match crate::hints::close(&args.name, all.iter().map(|it| it.name.as_str())) {
            Some(meant) => error.hint(format!("did you mean {meant}?")),
            None => error.hint(format!("vocable vm snapshot list {}", args.vm)),
        });
    };
    let now = (session.now)().utc;
    Ok(found.taken_unix.moment().map_or_else(
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
    let guests = session.agent.ask(&guest::List {}).unwrap_or_default();
    guests.iter().find(|it| it.vm.as_deref() == Some(vm)).map_or(0, |guest| guest.commands.into())
}
