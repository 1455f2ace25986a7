//! `run -t`: the command with a terminal, which with `-i` is ours.

use super::{RunArgs, goes_on, watch};
use crate::terminal_session::{AttachResult, Plan, Terminated, attach_to, print_left, size};
use crate::{CliError, Session, filter};
use vocable_api::attach::Offsets;
use vocable_api::cmd::{Command, TerminalSize};

/// The size of a terminal that does not say.
const DEFAULT_SIZE: TerminalSize = TerminalSize { rows: 24, columns: 80 };

/// What cannot be.
pub(super) fn check(session: &Session<'_>, args: &RunArgs) -> Result<(), CliError> {
    if !args.tty {
        return Ok(());
    }
    if !filter::is_one(&args.target) {
        return Err(CliError::usage("a terminal (-t) is for one guest, not several; nothing was run"));
    }
    if session.terminal.is_json() {
        return Err(CliError::usage("what a terminal (-t) shows is no JSON; nothing was run"));
    }
    Ok(())
}

/// The terminal it gets, if it gets one.
pub(super) fn terminal(args: &RunArgs) -> Option<TerminalSize> {
    args.tty.then(|| size().unwrap_or(DEFAULT_SIZE))
}

/// The variables a terminal's program looks for, unless they are given.
pub(super) fn environment(args: &RunArgs) -> Option<(String, String)> {
    let is_given = args.env.iter().any(|(name, _)| name == "TERM");
    let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
    (args.tty && !is_given).then(|| ("TERM".to_owned(), term))
}

/// Attaches to the command until it is over; none if we leave it.
pub(super) fn attached(
    session: &mut Session<'_>,
    args: &RunArgs,
    id: &str,
) -> Result<Option<Command>, CliError> {
    let plan = Plan {
        id,
        input: args.stdin,
        prefix: args.detach_keys,
        from: Offsets::default(),
        when_terminated: args.stdin.then_some(Terminated::Cancel),
    };
    // Where the terminal is ours, Ctrl-C is a key like others.
    let interrupt = if args.stdin { None } else { Some(watch(session, args, id)?) };
    let result = attach_to(session, &plan);
    drop(interrupt);
    match result.map_err(|error| goes_on(session, id, error))? {
        AttachResult::Over(command) => Ok(Some(*command)),
        AttachResult::Left => {
            print_left(session, id, &args.target)?;
            Ok(None)
        }
    }
}
