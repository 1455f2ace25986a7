//! `vocable run`: a command on one guest, as if it were here, or on many, line by line.

mod feeder;
mod interactive;
mod interrupt;
mod program;
mod status;
pub(super) mod summary;

use super::duplex::{Prefix, prefix};
use super::ending::{Ending, exit_code_of_all};
use super::error::EXIT_VOCABLE_FAILED;
use super::follow::{Printer, Streams, Until, follow, reports};
use super::{CliError, Kind, Session, command, completion, filter, hints};
use clap_complete::ArgValueCompleter;
use interrupt::Interrupt;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use vocable_config::Span;
use vocable_xmlrpc::Value;

/// Run a command in guests
///
/// The command runs without a shell, and goes on whatever becomes of this connection. Of one guest its output comes
/// octet for octet and its exit code becomes ours; of several it comes in lines that begin with the guest's name.
/// Options may stand after TARGET too; everything after COMMAND is the command's own. Ctrl-C interrupts the command with
/// all its processes, a second one kills it, a third one waits no longer; Ctrl-\ leaves it running.
#[derive(clap::Args, Debug)]
pub(super) struct RunArgs {
    /// Whom: a guest, a glob, @group, or several of them separated by commas
    #[arg(add = ArgValueCompleter::new(completion::targets))]
    target: String,
    /// The program and its arguments; `--` before it if it begins with a dash
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Print the id and leave the command running
    #[arg(short, long)]
    detach: bool,
    /// End the command after this time: 10s, 5m, 1h30m
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
    /// Set a variable of its environment
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = program::variable)]
    env: Vec<(String, String)>,
    /// Directory it works in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Send it our standard input, as it comes
    #[arg(short = 'i', long = "stdin")]
    stdin: bool,
    /// Give it a terminal; with -i it is ours
    #[arg(short, long)]
    tty: bool,
    /// Whose rights it has, if the guest's agent may give them
    #[arg(short, long)]
    user: Option<String>,
    /// How far it stands back behind others, -20 to 19
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = clap::value_parser!(i32).range(-20..=19))]
    nice: Option<i32>,
    /// Resource limits: nofile=1024,as=1GiB
    #[arg(long, value_name = "NAME=VALUE,...")]
    limits: Option<String>,
    /// What its guest does with it when it loses the host, and we when we are hung up
    #[arg(long, value_name = "WHAT", value_parser = ["keep", "kill"])]
    on_disconnect: Option<String>,
    /// With -t: the key after which `d` leaves, `k` kills and `?` helps, or none
    #[arg(long, value_name = "KEY", default_value = "ctrl-]", value_parser = prefix)]
    detach_keys: Prefix,
    /// Not on these guests
    #[arg(long, value_name = "TARGET")]
    except: Option<String>,
    /// Of a glob or group only the guests that are there now
    #[arg(long)]
    alive: bool,
    /// Only on so many of the guests, by chance: 10, or 10%
    #[arg(long, value_name = "N")]
    limit: Option<String>,
    /// Wait for guests that are away, so long; without a time 1h
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "1h")]
    queue: Option<Span>,
    /// End it after this time wherever it is, and wait no longer
    #[arg(long, value_name = "TIME")]
    deadline: Option<Span>,
    /// Choose its id: a retry with the same id runs nothing twice
    #[arg(long)]
    id: Option<String>,
    /// Write how it ended to a file, as JSON
    #[arg(long, value_name = "FILE")]
    status: Option<PathBuf>,
    /// Tell what it used when it is over
    #[arg(long)]
    usage: bool,
    /// Run it with /bin/sh -c
    #[arg(long)]
    shell: bool,
    /// Print the lines of several guests without their names
    #[arg(short = 'N', long)]
    no_prefix: bool,
}

/// What came of it: the exit code and the last report of each command.
struct Ran {
    exit_code: u8,
    reports: Vec<Value>,
}

/// Runs a command.
pub(super) fn run(session: &mut Session<'_>, args: &RunArgs) -> Result<u8, CliError> {
    let ran = perform(session, args);
    if let Some(file) = &args.status {
        status::write(file, ran.as_ref().map(|ran| ran.reports.as_slice()))?;
    }
    Ok(ran?.exit_code)
}

fn perform(session: &mut Session<'_>, args: &RunArgs) -> Result<Ran, CliError> {
    interactive::check(session, args)?;
    let started = (session.now)().mono;
    let params = program::params(args)?;
    let reply = session.agent.call("cmd.run", params).map_err(|error| not_taken(session, args, error))?;
    let Value::String(id) = reply else { return Err(CliError::bad_reply("cmd.run", "id")) };
    if args.detach {
        if args.stdin {
            // Whoever leaves it is not there to feed it later.
            feeder::feed(session.agent, &id, std::io::stdin().lock(), session.pause)?;
        }
        return detached(session, &id);
    }
    if args.tty {
        let Some(Ran { reports, .. }) = interactive::held(session, args, &id)? else {
            return Ok(Ran { exit_code: 0, reports: Vec::new() });
        };
        let took = (session.now)().mono.saturating_duration_since(started);
        return told(session, args, &id, reports, took);
    }
    let _feeding = match session.process {
        Some(global) if args.stdin => Some(feeder::start(global, &id)?),
        _ => None,
    };
    let reports =
        if session.terminal.is_json() && filter::is_one(&args.target) && !session.terminal.is_verbose() {
            vec![collected(session, args, &id)?]
        } else {
            streamed(session, args, &id)?
        };
    let took = (session.now)().mono.saturating_duration_since(started);
    told(session, args, &id, reports, took)
}

fn watch(session: &Session<'_>, args: &RunArgs, id: &str) -> Result<Interrupt, CliError> {
    let kills = args.on_disconnect.as_deref() == Some("kill");
    Interrupt::watch(session, id, &args.target, args.status.as_deref(), kills)
}

/// Prints the output as it comes.
fn streamed(session: &mut Session<'_>, args: &RunArgs, id: &str) -> Result<Vec<Value>, CliError> {
    let streams = Streams { out: true, err: true };
    let mut printer = match (session.terminal.is_json(), args.no_prefix || filter::is_one(&args.target)) {
        (true, _) => Printer::json(streams),
        (false, true) => Printer::raw(streams),
        (false, false) => Printer::named(streams),
    };
    let interrupt = watch(session, args, id)?;
    let reports = follow(session, id, Until::End, BTreeMap::new(), &mut printer);
    drop(interrupt);
    reports.map_err(|error| goes_on(session, id, error))
}

/// The one document of a command on one guest: its report with all its output, once it is over.
fn collected(session: &mut Session<'_>, args: &RunArgs, id: &str) -> Result<Value, CliError> {
    let interrupt = watch(session, args, id)?;
    let whole = command::whole_report(session, id);
    drop(interrupt);
    let whole = whole.map_err(|error| goes_on(session, id, error))?;
    session.terminal.document(&vocable_xmlrpc::to_json(&whole))?;
    Ok(whole)
}

/// The agent refused the command, or we do not know whether it took it.
fn not_taken(session: &Session<'_>, args: &RunArgs, error: CliError) -> CliError {
    match (error.code(), &args.id) {
        ("connection-lost" | "timed-out", None) => {
            error.cause("the command may have been run").hint("vocable ps -a")
        }
        ("connection-lost" | "timed-out", Some(id)) => error
            .cause("the command may have been run")
            .hint(format!("again with --id {id}: nothing runs twice")),
        _ => hints::about_target(error, &args.target, session.agent),
    }
}

/// The agent took the command, and we do not hear it any more.
fn goes_on(session: &mut Session<'_>, id: &str, error: CliError) -> CliError {
    match error.class() {
        Kind::BrokenPipe => {
            // Nobody reads our output; perhaps somebody reads this.
            drop(interrupt::unread(session.terminal, id));
            error
        }
        _ => error.cause("the command goes on").hint(format!("vocable logs -f {id}")),
    }
}

fn detached(session: &mut Session<'_>, id: &str) -> Result<Ran, CliError> {
    let reply = session.agent.call("cmd.poll", vec![Value::from(id), command::no_output()])?;
    if session.terminal.is_json() {
        session.terminal.document(&command::without_output(&reply))?;
    } else {
        session.terminal.line(id)?;
    }
    let reports = reports(&reply).to_vec();
    let endings: Vec<_> = reports.iter().map(Ending::of).collect();
    let missing: Vec<_> = endings.iter().copied().filter(|ending| ending.was_not_taken()).collect();
    summary::not_taken(session.terminal, endings.len(), &missing)?;
    let exit_code = if missing.is_empty() { 0 } else { EXIT_VOCABLE_FAILED };
    Ok(Ran { exit_code, reports })
}

/// Tells how it ended, unless it ended well or as the command wanted.
fn told(
    session: &mut Session<'_>,
    args: &RunArgs,
    id: &str,
    reports: Vec<Value>,
    took: Duration,
) -> Result<Ran, CliError> {
    let endings: Vec<_> = reports.iter().map(Ending::of).collect();
    if args.usage {
        summary::usage(session.terminal, &endings)?;
    }
    let exit_code = match endings.as_slice() {
        [only] if filter::is_one(&args.target) => {
            summary::one(session.terminal, *only)?;
            only.exit_code()
        }
        all => {
            summary::several(session.terminal, id, all, took)?;
            exit_code_of_all(all.iter().copied())
        }
    };
    Ok(Ran { exit_code, reports })
}
