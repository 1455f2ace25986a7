//! `vocable why`: what is wrong with guests, the evidence, and what to do. The agent judges; here it is laid out.

use super::guests::is_well;
use super::output::{BAD, GOOD, WARN};
use super::{CliError, Session, completion, filter};
use clap_complete::ArgValueCompleter;
use vocable_api::guest::{Advice, Check, List, Outcome, Verdict, Why};

/// Diagnose guests that do not answer
///
/// Exits with 1 if something is wrong.
#[derive(clap::Args, Debug)]
pub(super) struct WhyArgs {
    /// Names and globs [default: all guests that are not well]
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(completion::guests))]
    targets: Vec<String>,
    /// Show the checks of guests that are well, too
    #[arg(short, long)]
    all: bool,
}

pub(super) fn why(session: &mut Session<'_>, args: &WhyArgs) -> Result<u8, CliError> {
    let subjects = subjects(session, args)?;
    let mut all_well = true;
    for (n, guest) in subjects.into_iter().enumerate() {
        let verdict = session.agent.ask(&Why { guest })?;
        all_well &= verdict.well;
        if session.terminal.is_json() {
            session.terminal.reply(&verdict)?;
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
    let listed = session.agent.ask(&List {})?;
    if !args.targets.is_empty() {
        let names = listed.iter().map(|guest| guest.guest.as_str());
        let selected = filter::selected_guests(session.agent, Some(&args.targets.join(",")), names)?;
        return Ok(selected.into_iter().collect());
    }
    let unwell: Vec<_> =
        listed.iter().filter(|guest| !is_well(guest)).map(|guest| guest.guest.clone()).collect();
    if unwell.is_empty() {
        let told = match listed.as_slice() {
            [] => "no guests".to_owned(),
            [guest] => format!("{} is well", guest.guest),
            all => format!("{} guests, all of them well", all.len()),
        };
        session.terminal.say(&told)?;
    }
    Ok(unwell)
}

fn print(session: &mut Session<'_>, args: &WhyArgs, verdict: &Verdict) -> Result<(), CliError> {
    session.terminal.line(&verdict.verdict)?;
    if !verdict.well || args.all {
        checks(session, &verdict.checks)?;
    }
    advice(session, &verdict.advice)
}

fn checks(session: &mut Session<'_>, checks: &[Check]) -> Result<(), CliError> {
    let width = checks.iter().map(|check| check.link.as_str().len()).max().unwrap_or_default();
    session.terminal.line("")?;
    for Check { link, result, text } in checks {
        let mark = mark(session, *result);
        session.terminal.line(&format!("  {mark} {:width$}  {text}", link.as_str()))?;
    }
    Ok(())
}

fn mark(session: &Session<'_>, result: Outcome) -> String {
    let (sign, ascii, style) = match result {
        Outcome::Ok => ("✓", "ok", GOOD),
        Outcome::Bad => ("✗", "NO", BAD),
        Outcome::Unknown => ("?", "? ", WARN),
    };
    session.terminal.paint(style, if session.terminal.is_utf8() { sign } else { ascii })
}

fn advice(session: &mut Session<'_>, advice: &[Advice]) -> Result<(), CliError> {
    if advice.is_empty() {
        return Ok(());
    }
    let width = advice.iter().map(|item| item.command.chars().count()).max().unwrap_or_default();
    session.terminal.line("")?;
    session.terminal.line("do")?;
    for Advice { command, text } in advice {
        session.terminal.line(format!("  {command:width$}   {text}").trim_end())?;
    }
    Ok(())
}
