//! `vocable kill`: ends commands, or sends them one signal.

use super::away::call_again;
use super::confirm::{Consent, Question, confirm};
use super::ending::{Ending, How};
use super::reply::Members;
use super::{CliError, Session, command, completion, filter, human};
use clap_complete::ArgValueCompleter;
use serde_json::{Map, Value as Json, json};
use std::time::{Duration, Instant};
use vocable_config::Span;
use vocable_xmlrpc::{Value, to_json};

/// The grace of commands that were run without one.
const USUAL_GRACE: Duration = Duration::from_secs(10);
/// Commands in one list, at most.
const PAGE: usize = 1000;
/// How long killing takes at most, after the grace, and the word of it.
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
    signal: Option<String>,
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
    let mut told = Vec::new();
    for id in &ids {
        let reply = session.agent.call(method(args), params(args, id))?;
        told.extend_from_slice(reply.items("commands"));
    }
    let mut documents = Vec::new();
    let mut is_done = true;
    for signalled in &told {
        let ended = match args.signal {
            Some(_) => None,
            None => Some(end_of(session, args, signalled, began)?),
        };
        is_done &= tell(session, args, signalled, ended.as_ref(), began)?;
        documents.push(document(signalled, ended.as_ref()));
    }
    if session.terminal.is_json() {
        session.terminal.document(&json!({"commands": documents}))?;
    }
    Ok(u8::from(!is_done))
}

/// The commands under way that a target selects, once somebody has said that he means it.
fn all_of(session: &mut Session<'_>, args: &KillArgs, target: &str) -> Result<Vec<String>, CliError> {
    let listed = under_way(session)?;
    let guests = listed.iter().filter_map(|command| command.text("guest"));
    let wanted = match filter::selected_guests(session.agent, Some(target), guests) {
        // A guest on which nothing runs is no mistake.
        Err(error) if error.code() == "no-such-guest" => Default::default(),
        other => other?,
    };
    let is_wanted = |command: &&Value| command.text("guest").is_some_and(|guest| wanted.contains(guest));
    let ids: Vec<_> = listed
        .iter()
        .filter(is_wanted)
        .filter_map(|command| command.text("cmd_id").map(str::to_owned))
        .collect();
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
fn under_way(session: &Session<'_>) -> Result<Vec<Value>, CliError> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let last = all.last().and_then(|last| last.text("cmd_id")).map(str::to_owned);
        let options: Value = last.iter().map(|id| ("after", Value::from(id.as_str()))).collect();
        let page = session.agent.call("cmd.list", vec![options])?;
        let is_last = page.list().len() < PAGE;
        all.extend_from_slice(page.list());
        if is_last {
            return Ok(all);
        }
    }
}

fn method(args: &KillArgs) -> &'static str {
    if args.signal.is_some() { "cmd.signal" } else { "cmd.cancel" }
}

fn params(args: &KillArgs, id: &str) -> Vec<Value> {
    let id = Value::from(id);
    match (&args.signal, args.grace) {
        (Some(signal), _) => vec![id, Value::from(signal.as_str())],
        (None, Some(grace)) => {
            vec![id, Value::from([("grace_s", Value::from(grace.duration().as_secs_f64()))])]
        }
        (None, None) => vec![id],
    }
}

/// The report of a command at its end, or as it is when killing it should long have helped.
fn end_of(
    session: &mut Session<'_>,
    args: &KillArgs,
    signalled: &Value,
    began: Instant,
) -> Result<Value, CliError> {
    let id = signalled.text("cmd_id").unwrap_or_default().to_owned();
    let patience = args.grace.map_or(USUAL_GRACE, Span::duration) + AFTER_KILL;
    loop {
        let passed = (session.now)().mono.saturating_duration_since(began);
        let wait = match signalled.member("error") {
            // Nobody has told it to end.
            Some(_) => Duration::ZERO,
            None => patience.saturating_sub(passed).min(super::agent::LONG_POLL),
        };
        let params = [Value::from(id.as_str()), Value::from(wait.as_secs_f64()), command::no_output()];
        let report = call_again(session, "cmd.wait", &params, wait)?;
        if Ending::of(&report).how() != How::UnderWay || wait.is_zero() {
            return Ok(command::stripped(&report));
        }
    }
}

/// Says what was done, and what came of it; gives whether that is what was wanted.
fn tell(
    session: &mut Session<'_>,
    args: &KillArgs,
    signalled: &Value,
    ended: Option<&Value>,
    began: Instant,
) -> Result<bool, CliError> {
    let id = signalled.text("cmd_id").unwrap_or_default();
    let ending = ended.map(Ending::of);
    let is_over = ending.is_none_or(|ending| ending.how() != How::UnderWay);
    if let Some(error) = signalled.member("error").filter(|_| args.signal.is_some() || !is_over) {
        let code = error.text("code").unwrap_or("failed");
        let text = format!("{id}: {}", error.text("message").unwrap_or("nobody says why"));
        session.terminal.error(&CliError::new(code, text).hint(format!("vocable wait {id}")))?;
        return Ok(false);
    }
    let line = line(args, signalled, ending, (session.now)().mono.saturating_duration_since(began));
    if !session.terminal.is_json() && !session.terminal.is_quiet() {
        session.terminal.line(&line)?;
    }
    if !is_over {
        let error = CliError::new("not-killed", format!("{id} is still there"));
        session.terminal.error(&error.hint(format!("vocable wait {id}")))?;
    }
    Ok(is_over)
}

/// `k7mq2x.vm1: TERM sent to 9 processes, ended after 0.4 s by SIGTERM`
fn line(args: &KillArgs, signalled: &Value, ending: Option<Ending<'_>>, took: Duration) -> String {
    let id = signalled.text("cmd_id").unwrap_or_default();
    let signal = args.signal.as_deref().unwrap_or("TERM");
    let signal = signal.to_ascii_uppercase();
    let signal = signal.strip_prefix("SIG").unwrap_or(&signal);
    let processes = match signalled.count("signalled").unwrap_or(0) {
        1 => "1 process".to_owned(),
        several => format!("{several} processes"),
    };
    let Some(ending) = ending else { return format!("{id}: {signal} sent to {processes}") };
    if ending.how() == How::UnderWay {
        return format!("{id}: {signal} sent to {processes}, not over after {}", human::took(took));
    }
    let by = match ending.how() {
        How::Exited(code) => format!("with exit code {code}"),
        How::Signalled(_) => format!("by {}", ending.brief()),
        _ => format!("({})", ending.brief()),
    };
    if signalled.count("signalled").unwrap_or(0) == 0 {
        return format!("{id}: nothing was left to end, it ended {by}");
    }
    format!("{id}: {signal} sent to {processes}, ended after {} {by}", human::took(took))
}

/// What was done, and what came of it, of its report only what says so.
fn document(signalled: &Value, ended: Option<&Value>) -> Json {
    let mut all = Map::new();
    if let Some(report) = ended {
        let told = ["state", "finished", "exitCodeOrSignal", "error"];
        let told = told.into_iter().filter_map(|name| Some((name.to_owned(), to_json(report.member(name)?))));
        all.extend(told);
        all.insert("ended".to_owned(), (Ending::of(report).how() != How::UnderWay).into());
    }
    if let Json::Object(members) = to_json(signalled) {
        all.extend(members);
    }
    all.into()
}
