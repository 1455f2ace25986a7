//! `run -t`: the command with a terminal, which with `-i` is ours.

use super::{Ran, RunArgs, goes_on, watch};
use crate::duplex::{Held, Plan, Terminated, hold, size};
use crate::{CliError, Session, attach, filter};
use vocable_api::attach::Offsets;
use vocable_xmlrpc::Value;

/// What a terminal is that says nothing about itself.
const USUAL_SIZE: (i32, i32) = (24, 80);

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

/// The options of `cmd.run` for it.
pub(super) fn options(args: &RunArgs) -> Vec<(&'static str, Value)> {
    if !args.tty {
        return Vec::new();
    }
    let (rows, columns) = size().map_or(USUAL_SIZE, |size| (size.rows.into(), size.columns.into()));
    vec![("tty", Value::from([("rows", Value::Int(rows)), ("columns", Value::Int(columns))]))]
}

/// The variables a terminal's program looks for, unless they are given.
pub(super) fn environment(args: &RunArgs) -> Option<(String, String)> {
    let is_given = args.env.iter().any(|(name, _)| name == "TERM");
    let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
    (args.tty && !is_given).then(|| ("TERM".to_owned(), term))
}

/// Holds the command until it is over, or we leave it.
pub(super) fn held(session: &mut Session<'_>, args: &RunArgs, id: &str) -> Result<Option<Ran>, CliError> {
    let plan = Plan {
        id,
        input: args.stdin,
        prefix: args.detach_keys,
        from: Offsets::default(),
        when_terminated: args.stdin.then_some(Terminated::Cancel),
    };
    // Where the terminal is ours, Ctrl-C is a key like others.
    let interrupt = if args.stdin { None } else { Some(watch(session, args, id)?) };
    let held = hold(session, &plan);
    drop(interrupt);
    match held.map_err(|error| goes_on(session, id, error))? {
        Held::Over(report) => Ok(Some(Ran { exit_code: 0, reports: vec![report] })),
        Held::Left => {
            attach::left(session, id, &args.target)?;
            Ok(None)
        }
    }
}
