//! `vocable wait`: until commands are over.

use super::agent::LONG_POLL;
use super::ending::{Ending, exit_code_of_all};
use super::follow::Done;
use super::format;
use super::progress::Spinner;
use super::{CliError, Kind, Session, command, completion};
use clap_complete::ArgValueCompleter;
use std::time::{Duration, Instant};
use vocable_api::agent::{EventPage, Events};
use vocable_api::cmd::Command;
use vocable_config::Span;

/// Wait until commands are over
///
/// Prints how each of them ended; of one command its exit code becomes ours.
#[derive(clap::Args, Debug)]
pub(super) struct WaitArgs {
    /// Commands, or the beginnings of their ids
    #[arg(required = true, value_name = "ID", add = ArgValueCompleter::new(completion::commands))]
    ids: Vec<String>,
    /// Wait no longer than this: 10s, 5m, 1h30m. The commands go on
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
    /// Only until one of them is over
    #[arg(long)]
    any: bool,
}

/// Until when to wait.
struct WaitLimit {
    started: Instant,
    limit: Option<Duration>,
}

/// Waits for commands.
pub(super) fn wait(session: &mut Session<'_>, args: &WaitArgs) -> Result<u8, CliError> {
    let limit = WaitLimit { started: (session.now)().mono, limit: args.timeout.map(Span::duration) };
    if args.any {
        let over = first_over(session, args, &limit)?;
        print(session, std::slice::from_ref(&over))?;
        return Ok(Ending::of(&over).exit_code());
    }
    let mut over = Vec::new();
    let mut is_one = args.ids.len() == 1;
    for id in &args.ids {
        let ended = wait_for_end(session, id, &limit)?;
        is_one &= !ended.is_run();
        print(session, ended.each())?;
        over.extend_from_slice(ended.each());
    }
    match over.as_slice() {
        [only] if is_one => {
            let ending = Ending::of(only);
            ending.error().map_or(Ok(()), |error| session.terminal.error(&error))?;
            Ok(ending.exit_code())
        }
        all => Ok(exit_code_of_all(all.iter().map(Ending::of))),
    }
}

fn wait_for_end(session: &mut Session<'_>, id: &str, limit: &WaitLimit) -> Result<Command, CliError> {
    let spinner = Spinner::new(session.terminal);
    loop {
        let now = (session.now)().mono;
        spinner.say(limit.started, now, format!("{id} is not over"));
        let wait = limit.left(now, id)?;
        let command = command::wait(session, id, wait)?;
        if command.each().iter().all(|command| command.state.is_over()) {
            return Ok(command);
        }
    }
}

/// The first of the commands that is over: whenever something happens to a command, they are looked at again.
fn first_over(session: &mut Session<'_>, args: &WaitArgs, limit: &WaitLimit) -> Result<Command, CliError> {
    /// A number no event has: what comes next is told at once.
    const BEYOND: f64 = 9_007_199_254_740_992.0;
    let spinner = Spinner::new(session.terminal);
    let mut next = events(session, BEYOND, Duration::ZERO)?.next;
    loop {
        for id in &args.ids {
            let found = command::poll(session, id)?;
            if let Some(over) = found.each().iter().find(|command| command.state.is_over()) {
                return Ok(over.clone());
            }
        }
        loop {
            let now = (session.now)().mono;
            spinner.say(limit.started, now, format!("none of {} is over", args.ids.join(" ")));
            let wait = limit.left(now, &args.ids.join(" "))?;
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
            let page = events(session, next as f64, wait)?;
            next = page.next;
            if page.events.iter().any(|event| event.cmd_id.is_some()) {
                break;
            }
        }
    }
}

fn events(session: &Session<'_>, since: f64, wait: Duration) -> Result<EventPage, CliError> {
    session.agent.ask_waiting(&Events { since, timeout_s: wait.as_secs_f64(), ..Events::default() }, wait)
}

impl WaitLimit {
    /// How long the next call may wait; an error if time is up.
    fn left(&self, now: Instant, ids: &str) -> Result<Duration, CliError> {
        let Some(limit) = self.limit else { return Ok(LONG_POLL) };
        let left = limit.saturating_sub(now.saturating_duration_since(self.started));
        if left.is_zero() {
            let text = format!("{ids} is not over after {}; it goes on", Span::new(limit));
            return Err(CliError::new("timed-out", text)
                .kind(Kind::TimedOut)
                .hint(format!("vocable logs -f {ids}")));
        }
        Ok(left.min(LONG_POLL))
    }
}

/// A line for each command: `k7mq2x.vm1  exit 2   12m8s`.
fn print(session: &mut Session<'_>, commands: &[Command]) -> Result<(), CliError> {
    for command in commands {
        let ending = Ending::of(command);
        if session.terminal.is_json() {
            session.terminal.reply(&Done::of(command.clone()))?;
        } else if session.terminal.is_quiet() {
            session.terminal.line(&ending.exit_code().to_string())?;
        } else {
            let took = ending.took().map(format::took).unwrap_or_default();
            session.terminal.line(format!("{}  {}   {took}", ending.id(), ending.brief()).trim_end())?;
        }
    }
    Ok(())
}
