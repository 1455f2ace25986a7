//! `vocable run`: a command on one guest, as if it were here, or on many, line by line.

mod feeder;
mod interactive;
mod interrupt;
mod program;
mod status;

use super::ending::{Ending, exit_code_of_all};
use super::error::EXIT_VOCABLE_FAILED;
use super::follow::{Printer, Streams, follow};
use super::terminal_session::{Prefix, prefix};
use super::{CliError, Kind, Session, command, completion, filter, hints, summary};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap_complete::ArgValueCompleter;
use interrupt::Interrupt;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use vocable_api::cmd::{Command, GuestLimit, OnDisconnect};
use vocable_config::Span;

/// Run a command in guests
///
/// The command runs without a shell, and goes on whatever becomes of this connection. Of one guest its output comes
/// as it is and its exit code becomes ours; of several it comes in lines that begin with the guest's name.
/// Options may stand after TARGET too; everything after COMMAND is the command's own. Ctrl-C interrupts the command with
/// all its processes, a second one kills it, a third one waits no longer; Ctrl-\ leaves it running.
#[derive(clap::Args, Debug)]
pub(super) struct RunArgs {
    /// Target: a guest, a glob, @group, or several of them separated by commas
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
    /// Set an environment variable
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = program::variable)]
    env: Vec<(String, String)>,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Send it our standard input, as it comes
    #[arg(short = 'i', long = "stdin")]
    stdin: bool,
    /// Give it a terminal; with -i it is ours
    #[arg(short, long)]
    tty: bool,
    /// Run as this user, if the guest's agent may
    #[arg(short, long)]
    user: Option<String>,
    /// Scheduling priority (niceness), -20 to 19
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = clap::value_parser!(i32).range(-20..=19))]
    nice: Option<i32>,
    /// Resource limits: nofile=1024,as=1GiB
    #[arg(long, value_name = "NAME=VALUE,...")]
    limits: Option<String>,
    /// What becomes of it when its guest loses the host, or when we are hung up
    #[arg(long, value_name = "WHAT", value_parser = PossibleValuesParser::new(["keep", "kill"]).try_map(|what| what.parse::<OnDisconnect>()))]
    on_disconnect: Option<OnDisconnect>,
    /// With -t: the key after which `d` detaches, `k` kills and `?` helps, or none
    #[arg(long, value_name = "KEY", default_value = "ctrl-]", value_parser = prefix)]
    detach_keys: Prefix,
    /// Not on these guests
    #[arg(long, value_name = "TARGET")]
    except: Option<String>,
    /// Of a glob or group only the guests that are online now
    #[arg(long)]
    alive: bool,
    /// Only on so many of the guests, chosen at random: 10, or 10%
    #[arg(long, value_name = "N")]
    limit: Option<GuestLimit>,
    /// Wait for guests that are offline, so long; without a time 1h
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
    /// Print resource usage when it is over
    #[arg(long)]
    usage: bool,
    /// Run it with /bin/sh -c
    #[arg(long)]
    shell: bool,
    /// Print the lines of several guests without their names
    #[arg(short = 'N', long)]
    no_prefix: bool,
}

/// What came of it: the exit code, and each command at its end.
struct Ran {
    exit_code: u8,
    commands: Vec<Command>,
}

/// Runs a command.
pub(super) fn run(session: &mut Session<'_>, args: &RunArgs) -> Result<u8, CliError> {
    let ran = perform(session, args);
    if let Some(file) = &args.status {
        status::write(file, ran.as_ref().map(|ran| ran.commands.as_slice()))?;
    }
    Ok(ran?.exit_code)
}

fn perform(session: &mut Session<'_>, args: &RunArgs) -> Result<Ran, CliError> {
    interactive::check(session, args)?;
    let started = (session.now)().mono;
    let request = program::request(args)?;
    let id = session.agent.ask(&request).map_err(|error| not_taken(session, args, error))?;
    if args.detach {
        if args.stdin {
            // Whoever leaves it is not there to feed it later.
            feeder::feed(session.agent, &id, std::io::stdin().lock(), session.pause)?;
        }
        return detached(session, &id);
    }
    if args.tty {
        let Some(command) = interactive::attached(session, args, &id)? else {
            return Ok(Ran { exit_code: 0, commands: Vec::new() });
        };
        let took = (session.now)().mono.saturating_duration_since(started);
        return summarise(session, args, &id, vec![command], took);
    }
    let _feeding = match session.process {
        Some(global) if args.stdin => Some(feeder::start(global, &id)?),
        _ => None,
    };
    let commands =
        if session.terminal.is_json() && filter::is_one(&args.target) && !session.terminal.is_verbose() {
            vec![collected(session, args, &id)?]
        } else {
            streamed(session, args, &id)?
        };
    let took = (session.now)().mono.saturating_duration_since(started);
    summarise(session, args, &id, commands, took)
}

fn watch(session: &Session<'_>, args: &RunArgs, id: &str) -> Result<Interrupt, CliError> {
    let kills = args.on_disconnect == Some(OnDisconnect::Kill);
    Interrupt::watch(session, id, &args.target, args.status.as_deref(), kills)
}

/// Prints the output as it comes.
fn streamed(session: &mut Session<'_>, args: &RunArgs, id: &str) -> Result<Vec<Command>, CliError> {
    let streams = Streams { out: true, err: true };
    let mut printer = match (session.terminal.is_json(), args.no_prefix || filter::is_one(&args.target)) {
        (true, _) => Printer::json(streams),
        (false, true) => Printer::raw(streams),
        (false, false) => Printer::named(streams),
    };
    let interrupt = watch(session, args, id)?;
    let commands = follow(session, id, true, BTreeMap::new(), &mut printer);
    drop(interrupt);
    commands.map_err(|error| goes_on(session, id, error))
}

/// The one document of a command on one guest: the command with all its output, once it is over.
fn collected(session: &mut Session<'_>, args: &RunArgs, id: &str) -> Result<Command, CliError> {
    let interrupt = watch(session, args, id)?;
    let whole = command::wait_for_all(session, id);
    drop(interrupt);
    let whole = whole.map_err(|error| goes_on(session, id, error))?;
    session.terminal.reply(&whole)?;
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

/// The agent took the command, and cannot be reached any more.
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
    let found = command::poll(session, id)?.without_output();
    if session.terminal.is_json() {
        session.terminal.reply(&found)?;
    } else {
        session.terminal.line(id)?;
    }
    let commands = found.each().to_vec();
    let endings: Vec<_> = commands.iter().map(Ending::of).collect();
    let missing: Vec<_> = endings.iter().copied().filter(|ending| ending.was_not_taken()).collect();
    summary::not_taken(session.terminal, endings.len(), &missing)?;
    let exit_code = if missing.is_empty() { 0 } else { EXIT_VOCABLE_FAILED };
    Ok(Ran { exit_code, commands })
}

/// Says how it ended, unless it ended well or as the command wanted.
fn summarise(
    session: &mut Session<'_>,
    args: &RunArgs,
    id: &str,
    commands: Vec<Command>,
    took: Duration,
) -> Result<Ran, CliError> {
    let endings: Vec<_> = commands.iter().map(Ending::of).collect();
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
    Ok(Ran { exit_code, commands })
}
