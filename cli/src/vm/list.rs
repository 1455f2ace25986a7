//! What `vocable vm` shows without changing anything: the machines, what they use, their screens.

use super::document;
use crate::output::{BAD, GOOD, WARN};
use crate::table::{Cell, Column, Table};
use crate::{CliError, Session, completion, filter, format};
use clap_complete::ArgValueCompleter;
use std::path::PathBuf;
use vocable_api::clock::age;
use vocable_api::vm::{GetConsole, GetUsage, List, Machine, Screenshot, State};

/// List machines: what they do, who is in them, whose they are
#[derive(clap::Args, Debug)]
pub(crate) struct ListArgs {
    /// Names and globs, separated by commas; all without it
    #[arg(add = ArgValueCompleter::new(completion::machines))]
    target: Option<String>,
    /// Only machines in this state: running, poweroff, saved …
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Only those with our tag
    #[arg(long)]
    ours: bool,
}

/// Show where a machine's screen is, switching that on if it is off
#[derive(clap::Args, Debug)]
pub(crate) struct ConsoleArgs {
    /// Name, id or MAC address of the machine
    #[arg(add = ArgValueCompleter::new(completion::machines))]
    vm: String,
    /// Only look: switch nothing on
    #[arg(long)]
    look_only: bool,
}

/// Take a screenshot of a machine
#[derive(clap::Args, Debug)]
pub(crate) struct ScreenshotArgs {
    /// Name, id or MAC address of the machine
    #[arg(add = ArgValueCompleter::new(completion::machines))]
    vm: String,
    /// Write the PNG there; - for standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Show what a machine uses, seen from outside
#[derive(clap::Args, Debug)]
pub(crate) struct UsageArgs {
    /// Name, id or MAC address of the machine
    #[arg(add = ArgValueCompleter::new(completion::machines))]
    vm: String,
}

/// Lists machines.
pub(super) fn list(session: &mut Session<'_>, args: &ListArgs) -> Result<u8, CliError> {
    let mut listed = session.agent.ask(&List {})?;
    let wanted = filter::selected(args.target.as_deref(), listed.iter().map(|vm| vm.name.as_str()))
        .map_err(|error| if error.code() == "no-such-guest" { no_such_vm(args, &listed) } else { error })?;
    listed.retain(|vm| {
        wanted.contains(&vm.name)
            && args.state.as_deref().is_none_or(|state| vm.state.as_str() == state)
            && (!args.ours || vm.ours)
    });
    if session.terminal.is_json() {
        document(session, "vms", &listed)?;
    } else if session.terminal.is_quiet() {
        for vm in &listed {
            session.terminal.line(&vm.name)?;
        }
    } else {
        print(session, &listed)?;
    }
    Ok(0)
}

fn no_such_vm(args: &ListArgs, listed: &[Machine]) -> CliError {
    let target = args.target.as_deref().unwrap_or_default();
    let error = CliError::new("no-such-vm", format!("no machine is called \"{target}\""));
    match crate::hints::close(target, listed.iter().map(|vm| vm.name.as_str())) {
        Some(meant) => error.hint(format!("did you mean {meant}?")),
        None => error.hint("vocable vm list"),
    }
}

fn print(session: &mut Session<'_>, listed: &[Machine]) -> Result<(), CliError> {
    let mut columns = ["name", "state", "guest", "since"].map(Column::text).to_vec();
    columns.extend(["cpus", "memory", "snapshots"].map(Column::number));
    columns.extend(["ours", "mac"].map(Column::text));
    let has_problems = listed.iter().any(|vm| vm.problem.is_some());
    columns.extend(has_problems.then(|| Column::prose("note")));
    let mut table = Table::new(columns);
    for vm in listed {
        let mut row = row(session, vm);
        row.extend(has_problems.then(|| Cell::from(vm.problem.as_deref().unwrap_or_default())));
        table.row(row);
    }
    table.print(session.terminal)?;
    if listed.is_empty() {
        session.terminal.note("no machines")?;
    }
    Ok(())
}

fn row(session: &Session<'_>, vm: &Machine) -> Vec<Cell> {
    let style = match vm.state {
        State::Running => Some(GOOD),
        State::Aborted | State::Stuck => Some(BAD),
        State::Paused => Some(WARN),
        state if state.is_transitional() => Some(WARN),
        _ => None,
    };
    let since = vm.state_since_unix.moment().filter(|at| at.unix_timestamp() > 0);
    let since = since.map(|at| age(((session.now)().utc - at).try_into().unwrap_or_default()));
    let guest = match &vm.guest {
        Some(_) if vm.guest_online => "alive",
        Some(_) => "away",
        None => "-",
    };
    let or_dash = |text: Option<String>| Cell::from(text.unwrap_or_else(|| "-".to_owned()));
    let known = |number: u32| Some(number).filter(|number| *number > 0);
    let state = vm.state.as_str();
    vec![
        vm.name.as_str().into(),
        style.map_or_else(|| Cell::from(state), |style| Cell::styled(state, style)),
        guest.into(),
        or_dash(since),
        or_dash(known(vm.cpus).map(|cpus| cpus.to_string())),
        or_dash(known(vm.memory_mb).map(|memory| format::size(u64::from(memory) << 20))),
        vm.snapshots.to_string().into(),
        if vm.ours { "yes" } else { "no" }.into(),
        vm.mac.as_deref().unwrap_or("-").into(),
    ]
}

/// Tells where a screen is.
pub(super) fn console(session: &mut Session<'_>, args: &ConsoleArgs) -> Result<u8, CliError> {
    let console = session.agent.ask(&GetConsole { vm: args.vm.clone(), on: Some(!args.look_only) })?;
    if session.terminal.is_json() {
        session.terminal.reply(&console)?;
        return Ok(0);
    }
    let (kind, host, port) = (&console.kind, &console.host, console.port);
    session.terminal.line(&format!("{kind}://{host}:{port}"))?;
    if kind == "vnc" {
        session.terminal.hint(&format!("vncviewer {host}::{port}"))?;
    }
    Ok(0)
}

/// Takes a screenshot.
pub(super) fn screenshot(session: &mut Session<'_>, args: &ScreenshotArgs) -> Result<u8, CliError> {
    let picture = session.agent.ask(&Screenshot { vm: args.vm.clone() })?.0;
    if args.output.as_os_str() == "-" {
        session.terminal.bytes(&picture)?;
        return Ok(0);
    }
    std::fs::write(&args.output, &picture).map_err(|error| {
        CliError::new("cannot-write", format!("{} cannot be written", args.output.display()))
            .cause(format::io(&error))
    })?;
    if session.terminal.is_json() {
        session
            .terminal
            .document(&serde_json::json!({"vm": args.vm, "file": args.output, "bytes": picture.len()}))?;
    } else {
        let size = format::size(picture.len() as u64);
        session.terminal.say(&format!("{}: {size} in {}", args.vm, args.output.display()))?;
    }
    Ok(0)
}

/// Tells what a machine uses.
pub(super) fn usage(session: &mut Session<'_>, args: &UsageArgs) -> Result<u8, CliError> {
    let usage = session.agent.ask(&GetUsage { vm: args.vm.clone() })?;
    if session.terminal.is_json() {
        session.terminal.reply(&usage)?;
        return Ok(0);
    }
    let rate = |rate: f64| format!("{}/s", format::size(rate.max(0.0) as u64));
    let told = [
        ("cpu", usage.cpu_pct.map(|pct| format!("{pct:.1}%"))),
        ("cpu time", usage.cpu_s.map(|cpu| format!("{cpu:.1} s"))),
        ("memory", usage.rss_bytes.map(format::size)),
        ("disks", usage.disk_bytes.map(format::size)),
        ("received", usage.net_rx_bytes_s.map(rate)),
        ("sent", usage.net_tx_bytes_s.map(rate)),
        ("process", usage.session_pid.map(|pid| pid.to_string())),
    ];
    let known: Vec<_> = told.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    for (name, value) in &known {
        session.terminal.line(&format!("{name:<8}  {value}"))?;
    }
    if known.is_empty() {
        session.terminal.note(&format!("the hypervisor tells nothing of {}: does it run?", args.vm))?;
    }
    Ok(0)
}
