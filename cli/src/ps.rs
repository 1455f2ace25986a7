//! `vocable ps`: commands, those under way or all.

use super::command::command_line;
use super::output::{BAD, GOOD, WARN};
use super::table::{Cell, Column, Table};
use super::{CliError, Session, completion, ending::Ending, filter, format};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap_complete::ArgValueCompleter;
use serde::Serialize;
use std::collections::BTreeMap;
use vocable_api::UnixTime;
use vocable_api::clock::age;
use vocable_api::cmd::{Command, GetUsage, List, State, Usage};
use vocable_config::Span;

/// List commands: those under way, or all
#[derive(clap::Args, Debug)]
pub(super) struct PsArgs {
    /// Only commands of these guests: names and globs, separated by commas
    #[arg(add = ArgValueCompleter::new(completion::guests))]
    target: Option<String>,
    /// Those that are over too
    #[arg(short, long)]
    all: bool,
    /// Only commands in this state
    #[arg(
        long,
        value_name = "STATE",
        value_parser = PossibleValuesParser::new(["queued", "running", "done", "timeout", "cancelled", "lost", "failed"])
            .try_map(|name| name.parse::<State>()),
    )]
    state: Option<State>,
    /// Only commands asked for in the time up to now: 10m, 2h, 3d
    #[arg(long, value_name = "TIME")]
    since: Option<Span>,
    /// At most so many, the newest [default: 1000]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1000))]
    limit: Option<i32>,
}

/// A command, and what it uses.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    command: Command,
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Commands {
    commands: Vec<Listed>,
}

/// Lists commands.
pub(super) fn ps(session: &mut Session<'_>, args: &PsArgs) -> Result<u8, CliError> {
    let all = session.agent.ask(&request(session, args))?;
    let guests = all.iter().map(|command| command.guest.as_str());
    // A guest without commands is no mistake: only the grammar of the target is checked.
    let wanted = match filter::selected_guests(session.agent, args.target.as_deref(), guests) {
        Err(error) if error.code() == "no-such-guest" => Default::default(),
        other => other?,
    };
    let all = all.into_iter().filter(|command| wanted.contains(&command.guest));
    let mut listed: Vec<_> = all.map(|command| Listed { command, usage: None }).collect();
    if session.terminal.is_quiet() && !session.terminal.is_json() {
        listed.iter().try_for_each(|it| session.terminal.line(&it.command.cmd_id))?;
        return Ok(0);
    }
    if !session.terminal.is_quiet() {
        add_usage(session, &mut listed);
    }
    if session.terminal.is_json() {
        session.terminal.reply(&Commands { commands: listed })?;
    } else {
        print(session, args, &listed)?;
    }
    Ok(0)
}

/// What those that run use now. That this is not known does not keep them from being listed.
fn add_usage(session: &Session<'_>, listed: &mut [Listed]) {
    if listed.iter().all(|it| it.command.state != State::Running) {
        return;
    }
    let Ok(reply) = session.agent.ask(&GetUsage::default()) else { return };
    let used = reply.commands.into_iter().filter_map(|used| Some((used.cmd_id, used.usage?)));
    let mut by_id: BTreeMap<_, _> = used.collect();
    for it in listed {
        it.usage = by_id.remove(&it.command.cmd_id);
    }
}

fn request(session: &Session<'_>, args: &PsArgs) -> List {
    let since = |time: Span| {
        let moment = (session.now)().utc.checked_sub(time.duration().try_into().unwrap_or_default());
        moment.map_or_else(UnixTime::default, UnixTime::from)
    };
    List {
        all: Some(args.all || args.state.is_some_and(State::is_over)),
        guest: args.target.clone().filter(|target| filter::is_one(target)),
        state: args.state,
        since_unix: args.since.map(since),
        limit: args.limit,
        after: None,
    }
}

fn print(session: &mut Session<'_>, args: &PsArgs, listed: &[Listed]) -> Result<(), CliError> {
    let mut columns = ["id", "guest", "state", "age"].map(Column::text).to_vec();
    columns.extend(["cpu", "rss"].map(Column::number));
    columns.extend([Column::text("exit"), Column::prose("command")]);
    let mut table = Table::new(columns);
    for it in listed {
        table.row(row(session, it));
    }
    table.print(session.terminal)?;
    // A note for each would hide the list.
    let mut paused = listed.iter().filter_map(|it| Some((&it.command.cmd_id, it.command.paused.as_ref()?)));
    if let Some((id, why)) = paused.next() {
        session.terminal.note(&format!("{id} is paused: {why}"))?;
    }
    if listed.is_empty() {
        let all = args.all || args.state.is_some();
        session.terminal.note(if all {
            "no commands"
        } else {
            "no commands under way; vocable ps -a lists all"
        })?;
    }
    Ok(())
}

fn row(session: &Session<'_>, Listed { command, usage }: &Listed) -> Vec<Cell> {
    let (state, style) = match (&command.paused, command.state) {
        (Some(_), _) => ("paused", WARN),
        (None, state @ (State::Running | State::Done)) => (state.as_str(), GOOD),
        (None, state @ State::Queued) => (state.as_str(), WARN),
        (None, state) => (state.as_str(), BAD),
    };
    let age = command.created_unix.moment().map(|created| {
        let since = (session.now)().utc - created;
        age(since.try_into().unwrap_or_default())
    });
    let used = command.rusage();
    let cpu = used.map(|used| used.ru_utime + used.ru_stime);
    let cpu = cpu.or_else(|| usage.as_ref().map(|usage| usage.cpu_s));
    let most = used.and_then(|used| u64::try_from(used.ru_maxrss).ok()).map(|kib| kib.saturating_mul(1024));
    let rss = most.or_else(|| usage.as_ref().map(|usage| usage.rss_bytes)).map(format::size);
    vec![
        command.cmd_id.as_str().into(),
        command.guest.as_str().into(),
        Cell::styled(state, style),
        age.unwrap_or_default().into(),
        cpu.map(|cpu| format::took(format::seconds(cpu)).replace(' ', "")).unwrap_or_default().into(),
        rss.unwrap_or_default().into(),
        Ending::of(command).exit_column().into(),
        command_line(command.cmd.iter().chain(command.args.iter().flatten())).into(),
    ]
}
