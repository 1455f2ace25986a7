//! What `vocable vm` shows without changing anything: the machines, what they use, their screens.

use super::document;
use crate::output::{BAD, GOOD, WARN};
use crate::reply::Members;
use crate::table::{Cell, Column, Table};
use crate::{CliError, Session, completion, filter, human};
use clap_complete::ArgValueCompleter;
use std::path::PathBuf;
use vocable_api::clock::age;
use vocable_xmlrpc::{Value, to_json};

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

/// Take a picture of a machine's screen
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
    let reply = session.agent.call("vm.list", Vec::new())?;
    let names = reply.list().iter().filter_map(|vm| vm.text("name"));
    let wanted = filter::selected(args.target.as_deref(), names)
        .map_err(|error| if error.code() == "no-such-guest" { no_such_vm(args, &reply) } else { error })?;
    let is_wanted = |vm: &&Value| {
        vm.text("name").is_some_and(|name| wanted.contains(name))
            && args.state.as_deref().is_none_or(|state| vm.text("state") == Some(state))
            && (!args.ours || vm.truth("ours"))
    };
    let listed: Vec<Value> = reply.list().iter().filter(is_wanted).cloned().collect();
    if session.terminal.is_json() {
        document(session, "vms", &Value::from(listed))?;
    } else if session.terminal.is_quiet() {
        for name in listed.iter().filter_map(|vm| vm.text("name")) {
            session.terminal.line(name)?;
        }
    } else {
        print(session, &listed)?;
    }
    Ok(0)
}

fn no_such_vm(args: &ListArgs, reply: &Value) -> CliError {
    let target = args.target.as_deref().unwrap_or_default();
    let error = CliError::new("no-such-vm", format!("no machine is called \"{target}\""));
    match crate::hints::close(target, reply.list().iter().filter_map(|vm| vm.text("name"))) {
        Some(meant) => error.hint(format!("did you mean {meant}?")),
        None => error.hint("vocable vm list"),
    }
}

fn print(session: &mut Session<'_>, listed: &[Value]) -> Result<(), CliError> {
    let mut columns = ["name", "state", "guest", "since"].map(Column::text).to_vec();
    columns.extend(["cpus", "memory", "snapshots"].map(Column::number));
    columns.extend(["ours", "mac"].map(Column::text));
    let has_problems = listed.iter().any(|vm| vm.text("problem").is_some());
    columns.extend(has_problems.then(|| Column::prose("note")));
    let mut table = Table::new(columns);
    for vm in listed {
        let mut row = row(session, vm);
        row.extend(has_problems.then(|| Cell::from(vm.text("problem").unwrap_or_default())));
        table.row(row);
    }
    table.print(session.terminal)?;
    if listed.is_empty() {
        session.terminal.note("no machines")?;
    }
    Ok(())
}

fn row(session: &Session<'_>, vm: &Value) -> Vec<Cell> {
    let state = vm.text("state").unwrap_or("unknown");
    let style = match state {
        "running" => Some(GOOD),
        "aborted" | "stuck" => Some(BAD),
        "paused" | "starting" | "stopping" | "saving" | "restoring" => Some(WARN),
        _ => None,
    };
    let since = vm.moment("state_since").filter(|at| at.unix_timestamp() > 0);
    let since = since.map(|at| age(((session.now)().utc - at).try_into().unwrap_or_default()));
    let guest = match (vm.text("guest"), vm.truth("guest_online")) {
        (Some(_), true) => "alive",
        (Some(_), false) => "away",
        (None, _) => "-",
    };
    let number = |text: Option<String>| Cell::from(text.unwrap_or_else(|| "-".to_owned()));
    let some = |name| vm.count(name).filter(|count| *count > 0);
    vec![
        vm.text("name").unwrap_or_default().into(),
        style.map_or_else(|| Cell::from(state), |style| Cell::styled(state, style)),
        guest.into(),
        number(since),
        number(some("cpus").map(|cpus| cpus.to_string())),
        number(some("memory_mb").map(|memory| human::size(memory << 20))),
        number(vm.count("snapshots").map(|count| count.to_string())),
        if vm.truth("ours") { "yes" } else { "no" }.into(),
        vm.text("mac").unwrap_or("-").into(),
    ]
}

/// Tells where a screen is.
pub(super) fn console(session: &mut Session<'_>, args: &ConsoleArgs) -> Result<u8, CliError> {
    let options = Value::from([("on", Value::from(!args.look_only))]);
    let shown = session.agent.call("vm.console", vec![Value::from(args.vm.as_str()), options])?;
    if session.terminal.is_json() {
        session.terminal.document(&to_json(&shown))?;
        return Ok(0);
    }
    let (host, port) = (shown.text("host").unwrap_or_default(), shown.count("port").unwrap_or_default());
    let kind = shown.text("kind").unwrap_or("vnc").to_owned();
    session.terminal.line(&format!("{kind}://{host}:{port}"))?;
    if kind == "vnc" {
        session.terminal.hint(&format!("vncviewer {host}::{port}"))?;
    }
    Ok(0)
}

/// Takes a picture.
pub(super) fn screenshot(session: &mut Session<'_>, args: &ScreenshotArgs) -> Result<u8, CliError> {
    let reply = session.agent.call("vm.screenshot", vec![Value::from(args.vm.as_str())])?;
    let Value::Base64(picture) = reply else { return Err(CliError::bad_reply("vm.screenshot", "picture")) };
    if args.output.as_os_str() == "-" {
        session.terminal.bytes(&picture)?;
        return Ok(0);
    }
    std::fs::write(&args.output, &picture).map_err(|error| {
        CliError::new("cannot-write", format!("{} cannot be written", args.output.display()))
            .cause(human::io(&error))
    })?;
    if session.terminal.is_json() {
        session
            .terminal
            .document(&serde_json::json!({"vm": args.vm, "file": args.output, "bytes": picture.len()}))?;
    } else {
        let size = human::size(picture.len() as u64);
        session.terminal.say(&format!("{}: {size} in {}", args.vm, args.output.display()))?;
    }
    Ok(0)
}

/// Tells what a machine uses.
pub(super) fn usage(session: &mut Session<'_>, args: &UsageArgs) -> Result<u8, CliError> {
    let usage = session.agent.call("vm.usage", vec![Value::from(args.vm.as_str())])?;
    if session.terminal.is_json() {
        session.terminal.document(&to_json(&usage))?;
        return Ok(0);
    }
    let size = |name| usage.count(name).map(human::size);
    let rate = |name| usage.number(name).map(|rate| format!("{}/s", human::size(rate.max(0.0) as u64)));
    let told = [
        ("cpu", usage.number("cpu_pct").map(|pct| format!("{pct:.1}%"))),
        ("cpu time", usage.number("cpu_s").map(|cpu| format!("{cpu:.1} s"))),
        ("memory", size("rss_bytes")),
        ("disks", size("disk_bytes")),
        ("received", rate("net_rx_bytes_s")),
        ("sent", rate("net_tx_bytes_s")),
        ("process", usage.count("session_pid").map(|pid| pid.to_string())),
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
