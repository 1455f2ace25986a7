//! `vocable why`: what is wrong with guests, the evidence, and what to do. The agent judges; here it is laid out.

use super::guests::is_well;
use super::output::{BAD, DIM, GOOD, WARN};
use super::reply::Members;
use super::{CliError, Session, completion, filter};
use clap_complete::ArgValueCompleter;
use vocable_xmlrpc::{Value, to_json};

/// Say what is wrong with guests, and what to do about it
///
/// Exits with 0 if nothing is wrong and with 1 if something is.
#[derive(clap::Args, Debug)]
pub(super) struct WhyArgs {
    /// Guests by name or glob; without any, all that are not well
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(completion::guests))]
    targets: Vec<String>,
    /// Show the evidence for what is well too
    #[arg(short, long)]
    all: bool,
}

/// Asks why.
pub(super) fn why(session: &mut Session<'_>, args: &WhyArgs) -> Result<u8, CliError> {
    let subjects = subjects(session, args)?;
    let mut all_well = true;
    for (n, subject) in subjects.iter().enumerate() {
        let verdict = session.agent.call("guest.why", vec![Value::from(subject.as_str())])?;
        all_well &= verdict.truth("well");
        if session.terminal.is_json() {
            session.terminal.document(&to_json(&verdict))?;
            continue;
        }
        if n > 0 {
            session.terminal.line("")?;
        }
        print(session, args, &verdict)?;
    }
    Ok(u8::from(!all_well))
}

/// Whom to ask about. A plain name is asked about even if nobody has it: that may be what is wrong.
fn subjects(session: &mut Session<'_>, args: &WhyArgs) -> Result<Vec<String>, CliError> {
    if !args.targets.is_empty() && args.targets.iter().all(|target| filter::is_one(target)) {
        return Ok(args.targets.clone());
    }
    let reply = session.agent.call("guest.list", Vec::new())?;
    let names = || reply.list().iter().filter_map(|guest| guest.text("guest"));
    if !args.targets.is_empty() {
        return Ok(filter::selected_guests(session.agent, Some(&args.targets.join(",")), names())?
            .into_iter()
            .collect());
    }
    let unwell = reply.list().iter().filter(|guest| !is_well(guest)).filter_map(|guest| guest.text("guest"));
    let unwell: Vec<_> = unwell.map(str::to_owned).collect();
    if unwell.is_empty() {
        let told = match reply.list() {
            [] => "no guests".to_owned(),
            [_] => format!("{} is well", names().next().unwrap_or_default()),
            all => format!("{} guests, all of them well", all.len()),
        };
        session.terminal.say(&told)?;
    }
    Ok(unwell)
}

fn print(session: &mut Session<'_>, args: &WhyArgs, verdict: &Value) -> Result<(), CliError> {
    session.terminal.line(verdict.text("verdict").unwrap_or("the agent gave no verdict"))?;
    if !verdict.truth("well") || args.all {
        checks(session, verdict.items("checks"))?;
    }
    advice(session, verdict.items("do"))
}

fn checks(session: &mut Session<'_>, checks: &[Value]) -> Result<(), CliError> {
    let link = |check: &Value| check.text("link").unwrap_or_default().to_owned();
    let width = checks.iter().map(|check| link(check).chars().count()).max().unwrap_or_default();
    session.terminal.line("")?;
    for check in checks {
        let mark = mark(session, check.text("result").unwrap_or_default());
        let text = check.text("text").unwrap_or_default();
        session.terminal.line(&format!("  {mark} {:width$}  {text}", link(check)))?;
    }
    Ok(())
}

fn mark(session: &Session<'_>, result: &str) -> String {
    let (sign, ascii, style) = match result {
        "ok" => ("✓", "ok", GOOD),
        "bad" => ("✗", "NO", BAD),
        "unknown" => ("?", "? ", WARN),
        _ => ("-", "- ", DIM),
    };
    session.terminal.paint(style, if session.terminal.is_utf8() { sign } else { ascii })
}

fn advice(session: &mut Session<'_>, advice: &[Value]) -> Result<(), CliError> {
    if advice.is_empty() {
        return Ok(());
    }
    let command = |item: &Value| item.text("command").unwrap_or_default().to_owned();
    let width = advice.iter().map(|item| command(item).chars().count()).max().unwrap_or_default();
    session.terminal.line("")?;
    session.terminal.line("do")?;
    for item in advice {
        let line = format!("  {:width$}   {}", command(item), item.text("text").unwrap_or_default());
        session.terminal.line(line.trim_end())?;
    }
    Ok(())
}
