//! What is told on standard error when commands are over.

use crate::ending::{Ending, How};
use crate::format;
use crate::group::{Cause, folded, print};
use crate::output::Terminal;
use std::io;
use std::time::Duration;

/// Of one guest: nothing, unless the reason of the end is ours or something was lost.
pub(crate) fn one(terminal: &mut Terminal, ending: Ending<'_>) -> io::Result<()> {
    if let Some(error) = ending.error() {
        return terminal.error(&error);
    }
    match ending.left_out() {
        Some(text) => terminal.warning("output-dropped", &text),
        None => Ok(()),
    }
}

/// `4 guests: 3 ok, 1 failed in 1.2 s`, then a line for each kind of failure.
pub(crate) fn several(
    terminal: &mut Terminal,
    run: &str,
    endings: &[Ending<'_>],
    took: Duration,
) -> io::Result<()> {
    for ending in endings {
        if let Some(text) = ending.left_out() {
            terminal.warning("output-dropped", &format!("{}: {text}", ending.guest()))?;
        }
    }
    let took = format::took(took);
    match endings {
        [only] => {
            let brief = if only.is_ok() { "ok".to_owned() } else { only.brief() };
            terminal.say(&format!("{}: {brief} in {took}", only.guest()))
        }
        all => {
            terminal.say(&format!("{} guests: {} in {took}", all.len(), counts(all)))?;
            let (missed, failed): (Vec<_>, Vec<_>) =
                all.iter().filter(|ending| !ending.is_ok()).partition(|ending| ending.was_not_taken());
            let logs = |guests: &[String]| match guests {
                [only] => format!("vocable logs {run}.{only}"),
                _ => format!("vocable logs {run}"),
            };
            print(terminal, &causes(&failed), logs)?;
            print(terminal, &causes(&missed), why)?;
            warn_the_quiet(terminal, missed.len(), all.len())
        }
    }
}

fn causes(endings: &[&Ending<'_>]) -> Vec<Cause> {
    folded(endings.iter().map(|ending| (ending.guest(), ending.brief())))
}

/// The question to ask about guests that did not run it.
fn why(guests: &[String]) -> String {
    /// More are asked about by asking about all that are not well.
    const MOST: usize = 4;
    if guests.len() > MOST { "vocable why".to_owned() } else { format!("vocable why {}", guests.join(" ")) }
}

/// Fewer guests than were asked for are said even to those who want no talk.
fn warn_the_quiet(terminal: &mut Terminal, missed: usize, all: usize) -> io::Result<()> {
    if missed == 0 || !(terminal.is_quiet() || terminal.is_json()) {
        return Ok(());
    }
    terminal.warning("not-run", &format!("{missed} of {all} guests did not run it, or are lost"))
}

fn counts(endings: &[Ending<'_>]) -> String {
    let count = |which: fn(&Ending<'_>) -> bool| endings.iter().filter(|ending| which(ending)).count();
    let lost = |ending: &Ending<'_>| ending.how() == How::Lost;
    let all = [
        (count(|ending| ending.is_ok()), "ok"),
        (count(|ending| !ending.is_ok() && !matches!(ending.how(), How::Lost | How::NotRun)), "failed"),
        (count(|ending| ending.how() == How::NotRun), "not run"),
        (endings.iter().filter(|ending| lost(ending)).count(), "lost"),
    ];
    all.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect::<Vec<_>>().join(", ")
}

/// What each command used: `vm1: exit 0 in 41.3 s   cpu …`.
pub(crate) fn usage(terminal: &mut Terminal, endings: &[Ending<'_>]) -> io::Result<()> {
    for ending in endings {
        let took = ending.took().map_or_else(String::new, |took| format!(" in {}", format::took(took)));
        let used = ending.usage().unwrap_or_else(|| "nobody knows what it used".to_owned());
        terminal.say(&format!("{}: {}{took}   {used}", ending.guest(), ending.brief()))?;
    }
    Ok(())
}

/// Of a command left running: who has not got it.
pub(crate) fn not_taken(terminal: &mut Terminal, all: usize, missing: &[Ending<'_>]) -> io::Result<()> {
    match missing {
        [] => Ok(()),
        [only] if all == 1 => only.error().map_or(Ok(()), |error| terminal.error(&error)),
        some => {
            terminal.warning("not-run", &format!("{} of {all} guests do not run it", some.len()))?;
            print(terminal, &causes(&some.iter().collect::<Vec<_>>()), why)
        }
    }
}
