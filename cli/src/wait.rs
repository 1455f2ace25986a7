//! `vocable wait`: until commands are over.

use super::agent::LONG_POLL;
use super::away::call_again;
use super::ending::{Ending, How, exit_code_of_all};
use super::follow::{done, is_run, reports};
use super::human;
use super::progress::Spinner;
use super::reply::Members;
use super::{CliError, Kind, Session, command, completion};
use clap_complete::ArgValueCompleter;
use std::time::{Duration, Instant};
use vocable_config::Span;
use vocable_xmlrpc::Value;

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
struct Patience {
    started: Instant,
    limit: Option<Duration>,
}

/// Waits for commands.
pub(super) fn wait(session: &mut Session<'_>, args: &WaitArgs) -> Result<u8, CliError> {
    let patience = Patience { started: (session.now)().mono, limit: args.timeout.map(Span::duration) };
    if args.any {
        let over = first_over(session, args, &patience)?;
        tell(session, std::slice::from_ref(&over))?;
        return Ok(Ending::of(&over).exit_code());
    }
    let mut over = Vec::new();
    let mut is_one = args.ids.len() == 1;
    for id in &args.ids {
        let reply = until_over(session, id, &patience)?;
        is_one &= !is_run(&reply);
        tell(session, reports(&reply))?;
        over.extend_from_slice(reports(&reply));
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

fn until_over(session: &mut Session<'_>, id: &str, patience: &Patience) -> Result<Value, CliError> {
    let spinner = Spinner::new(session.terminal);
    loop {
        let now = (session.now)().mono;
        spinner.say(patience.started, now, format!("{id} is not over"));
        let wait = patience.left(now, id)?;
        let params = [Value::from(id), Value::from(wait.as_secs_f64()), command::no_output()];
        let reply = call_again(session, "cmd.wait", &params, wait)?;
        if reports(&reply).iter().all(|report| Ending::of(report).how() != How::UnderWay) {
            return Ok(reply);
        }
    }
}

/// The first of the commands that is over: whenever something happens to a command, they are looked at again.
fn first_over(session: &mut Session<'_>, args: &WaitArgs, patience: &Patience) -> Result<Value, CliError> {
    /// A number no event has: what comes next is told at once.
    const BEYOND: f64 = 9_007_199_254_740_992.0;
    let spinner = Spinner::new(session.terminal);
    let mut next = events(session, BEYOND, Duration::ZERO)?.number("next").unwrap_or_default();
    loop {
        for id in &args.ids {
            let reply =
                session.agent.call("cmd.poll", vec![Value::from(id.as_str()), command::no_output()])?;
            let over = reports(&reply).iter().find(|report| Ending::of(report).how() != How::UnderWay);
            if let Some(report) = over {
                return Ok(report.clone());
            }
        }
        loop {
            let now = (session.now)().mono;
            spinner.say(patience.started, now, format!("none of {} is over", args.ids.join(" ")));
            let wait = patience.left(now, &args.ids.join(" "))?;
            let heard = events(session, next, wait)?;
            next = heard.number("next").unwrap_or(next);
            if heard.items("events").iter().any(|event| event.member("cmd_id").is_some()) {
                break;
            }
        }
    }
}

fn events(session: &Session<'_>, since: f64, wait: Duration) -> Result<Value, CliError> {
    let params = vec![Value::from(since), Value::from(wait.as_secs_f64())];
    session.agent.call_waiting("agent.events", params, wait)
}

impl Patience {
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
fn tell(session: &mut Session<'_>, reports: &[Value]) -> Result<(), CliError> {
    for report in reports {
        let ending = Ending::of(report);
        if session.terminal.is_json() {
            session.terminal.document(&done(report))?;
        } else if session.terminal.is_quiet() {
            session.terminal.line(&ending.exit_code().to_string())?;
        } else {
            let took = ending.took().map(human::took).unwrap_or_default();
            session.terminal.line(format!("{}  {}   {took}", ending.id(), ending.brief()).trim_end())?;
        }
    }
    Ok(())
}
