//! `vocable kill`: ends commands, or sends them one signal.

use super::confirm::{Consent, Question, confirm};
use super::ending::{Ending, How};
use super::{CliError, Session, command, completion, filter, format};
use clap_complete::ArgValueCompleter;
use serde::Serialize;
use std::time::{Duration, Instant};
use vocable_api::cmd::{Cancel, Command, Failure, List, SendSignal, Signal, SignalledCommand, State};
use vocable_config::Span;

/// The grace of commands that were run without one.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// Commands in one list, at most.
const PAGE: usize = 1000;
/// How long killing takes at most, after the grace, until that is known here.
const AFTER_KILL: Duration = Duration::from_secs(35);

/// End commands, with all their processes
///
/// They get TERM, and KILL if they are still there after the grace. Exits with 1 if one of them is still there then.
#[derive(clap::Args, Debug)]
pub(super) struct KillArgs {
    /// Commands, or the beginnings of their ids
    #[arg(
        required_unless_present = "all",
        value_name = "ID",
        add = ArgValueCompleter::new(completion::commands),
    )]
    ids: Vec<String>,
    /// Send only this signal, once, and don't wait: INT, HUP, 10
    #[arg(short, long, value_name = "SIGNAL", conflicts_with = "grace")]
    signal: Option<Signal>,
    /// Time between TERM and KILL [default: the command's own, usually 10s]
    #[arg(long, value_name = "TIME")]
    grace: Option<Span>,
    /// All commands under way on these guests
    #[arg(
        long,
        value_name = "TARGET",
        conflicts_with = "ids",
        add = ArgValueCompleter::new(completion::targets),
    )]
    all: Option<String>,
    /// Don't ask before ending all
    #[arg(short, long)]
    yes: bool,
}

/// Ends or signals commands.
pub(super) fn kill(session: &mut Session<'_>, args: &KillArgs) -> Result<u8, CliError> {
    let ids = match &args.all {
        None => args.ids.clone(),
        Some(target) => all_of(session, args, target)?,
    };
    let began = (session.now)().mono;
    let mut signalled = Vec::new();
    for id in &ids {
        signalled.extend(send(session, args, id)?);
    }
    let mut outcomes = Vec::new();
    let mut is_done = true;
    for signalled in signalled {
        let command = match args.signal {
            Some(_) => None,
            None => Some(wait_for_end(session, args, &signalled, began)?),
        };
        is_done &= print(session, args, &signalled, command.as_ref(), began)?;
        let error = signalled.error.or_else(|| command.as_ref()?.error.clone());
        outcomes.push(Outcome {
            signalled: SignalledCommand { error, ..signalled },
            ended: command.as_ref().map(|command| command.state.is_over()),
            state: command.as_ref().map(|command| command.state),
            finished: command.as_ref().and_then(|command| command.finished),
            exit_code_or_signal: command.and_then(|command| command.exit_code_or_signal),
        });
    }
    if session.terminal.is_json() {
        session.terminal.reply(&Outcomes { commands: outcomes })?;
    }
    Ok(u8::from(!is_done))
}

/// The commands under way that a target selects, once somebody has said that he means it.
fn all_of(session: &mut Session<'_>, args: &KillArgs, target: &str) -> Result<Vec<String>, CliError> {
    let listed = under_way(session)?;
    let guests = listed.iter().map(|command| command.guest.as_str());
    let wanted = match filter::selected_guests(session.agent, Some(target), guests) {
        // A guest on which nothing runs is no mistake.
        Err(error) if error.code() == "no-such-guest" => Default::default(),
        other => other?,
    };
    let listed = listed.into_iter().filter(|command| wanted.contains(&command.guest));
    let ids: Vec<_> = listed.map(|command| command.cmd_id).collect();
    if ids.is_empty() {
        session.terminal.note(&format!("no commands under way on {target}"))?;
        return Ok(ids);
    }
    let what = match ids.as_slice() {
        [only] => only.clone(),
        all => format!("{} commands on {target}", all.len()),
    };
    let consent = Consent { yes: args.yes, dry_run: false };
    let question = Question { ask: format!("End {what}?"), doing: format!("ending {what}") };
    Ok(if confirm(session, &consent, &question)? { ids } else { Vec::new() })
}

/// All commands under way, page by page.
fn under_way(session: &Session<'_>) -> Result<Vec<Command>, CliError> {
    let mut all: Vec<Command> = Vec::new();
    loop {
        let after = all.last().map(|last| last.cmd_id.clone());
        let page = session.agent.ask(&List { after, ..List::default() })?;
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

fn send(session: &Session<'_>, args: &KillArgs, id: &str) -> Result<Vec<SignalledCommand>, CliError> {
    let cmd_id = id.to_owned();
    let reply = match args.signal {
        Some(signal) => session.agent.ask(&SendSignal { cmd_id, signal })?,
        None => {
            let grace_s = args.grace.map(|grace| grace.duration().as_secs_f64());
            session.agent.ask(&Cancel { cmd_id, grace_s, ..Cancel::default() })?
        }
    };
    Ok(reply.commands)
}

/// A command at its end, or as it is when killing it should long have helped.
fn wait_for_end(
    session: &mut Session<'_>,
    args: &KillArgs,
    signalled: &SignalledCommand,
    began: Instant,
) -> Result<Command, CliError> {
    let limit = args.grace.map_or(DEFAULT_GRACE, Span::duration) + AFTER_KILL;
    loop {
        let passed = (session.now)().mono.saturating_duration_since(began);
        let wait = match signalled.error {
            // Nobody has told it to end.
            Some(_) => Duration::ZERO,
            None => limit.saturating_sub(passed).min(super::agent::LONG_POLL),
        };
        let command = command::wait(session, &signalled.cmd_id, wait)?;
        if command.state.is_over() || wait.is_zero() {
            return Ok(command);
        }
    }
}

/// Says what was done, and what came of it; returns whether that is what was wanted.
fn print(
    session: &mut Session<'_>,
    args: &KillArgs,
    signalled: &SignalledCommand,
    command: Option<&Command>,
    began: Instant,
) -> Result<bool, CliError> {
    let id = &signalled.cmd_id;
    let is_over = command.is_none_or(|command| command.state.is_over());
    if let Some(Failure { code, message }) =
        signalled.error.as_ref().filter(|_| args.signal.is_some() || !is_over)
    {
        let error = CliError::new(code.as_str(), format!("{id}: {message}"));
        session.terminal.error(&error.hint(format!("vocable wait {id}")))?;
        return Ok(false);
    }
    if !session.terminal.is_json() && !session.terminal.is_quiet() {
        let took = (session.now)().mono.saturating_duration_since(began);
        session.terminal.line(&line(args, signalled, command, took))?;
    }
    if !is_over {
        let error = CliError::new("not-killed", format!("{id} is still there"));
        session.terminal.error(&error.hint(format!("vocable wait {id}")))?;
    }
    Ok(is_over)
}

/// `k7mq2x.vm1: TERM sent to 9 processes, ended after 0.4 s by SIGTERM`
fn line(args: &KillArgs, signalled: &SignalledCommand, command: Option<&Command>, took: Duration) -> String {
    let id = &signalled.cmd_id;
    let signal = args.signal.unwrap_or(Signal::TERM);
    let count = signalled.signalled.unwrap_or(0);
    let processes = if count == 1 { "1 process".to_owned() } else { format!("{count} processes") };
    let Some(ending) = command.map(Ending::of) else { return format!("{id}: {signal} sent to {processes}") };
    let by = match ending.how() {
        How::UnderWay => {
            return format!("{id}: {signal} sent to {processes}, not over after {}", format::took(took));
        }
        How::Exited(code) => format!("with exit code {code}"),
        How::Signalled(_) => format!("by {}", ending.brief()),
        _ => format!("({})", ending.brief()),
    };
    if count == 0 {
        return format!("{id}: nothing was left to end, it ended {by}");
    }
    format!("{id}: {signal} sent to {processes}, ended after {} {by}", format::took(took))
}

#[derive(Serialize)]
struct Outcomes {
    commands: Vec<Outcome>,
}

/// What was done, and what came of it.
#[derive(Serialize)]
struct Outcome {
    #[serde(flatten)]
    signalled: SignalledCommand,
    ended: Option<bool>,
    state: Option<State>,
    finished: Option<bool>,
    #[serde(rename = "exitCodeOrSignal")]
    exit_code_or_signal: Option<i64>,
}
