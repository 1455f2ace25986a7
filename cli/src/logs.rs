//! `vocable logs`: what a command has written, from the beginning or the end, and what it goes on to write.

use super::ending::Ending;
use super::follow::{Printer, Streams, follow};
use super::{CliError, Session, command, completion};
use clap_complete::ArgValueCompleter;
use std::collections::BTreeMap;
use vocable_api::Part;
use vocable_api::attach::Offsets;
use vocable_api::cmd::{ByteCount, Command, Poll};

/// How much of the end of a stream is read first for its last lines, bytes.
const FIRST_LOOK: u64 = 64 * 1024;
/// How much of it is read at most.
const LAST_LOOK: u64 = 64 * 1024 * 1024;

/// Print what commands have written, live or past
///
/// Of one command as it is, standard error on standard error; of several in lines that begin with the guest's
/// name. Nothing is lost when the guest is away in between.
#[derive(clap::Args, Debug)]
pub(super) struct LogsArgs {
    /// Commands, or the beginnings of their ids
    #[arg(required = true, value_name = "ID", add = ArgValueCompleter::new(completion::commands))]
    ids: Vec<String>,
    /// Go on until the command is over
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines, of each stream
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// From this byte of standard output on
    #[arg(long, value_name = "N", conflicts_with = "lines")]
    offset: Option<u64>,
    /// Only standard output
    #[arg(long, conflicts_with = "stderr")]
    stdout: bool,
    /// Only standard error
    #[arg(long)]
    stderr: bool,
}

/// Prints output.
pub(super) fn logs(session: &mut Session<'_>, args: &LogsArgs) -> Result<u8, CliError> {
    if args.follow && args.ids.len() > 1 {
        let error = CliError::usage("only one ID can be followed; the id of a run follows all its guests");
        return Err(error.hint("vocable logs --help"));
    }
    let mut is_whole = true;
    for id in &args.ids {
        is_whole &= logs_of(session, args, id)?;
    }
    Ok(u8::from(!is_whole))
}

/// Prints the output of a command or run; returns whether it is all there is.
fn logs_of(session: &mut Session<'_>, args: &LogsArgs, id: &str) -> Result<bool, CliError> {
    let found = command::poll(session, id)?;
    let streams = Streams { out: !args.stderr, err: !args.stdout };
    let mut printer = match () {
        () if session.terminal.is_json() => Printer::json(streams),
        () if found.is_run() || args.ids.len() > 1 => Printer::named(streams),
        () => Printer::raw(streams),
    };
    let start = match args.lines {
        Some(lines) => last_lines(session, found.each(), lines)?,
        None => args.offset.map_or_else(BTreeMap::new, |out| {
            found.each().iter().map(|command| (command.cmd_id.clone(), Offsets { out, err: 0 })).collect()
        }),
    };
    let commands = follow(session, &found.cmd_id, args.follow, start, &mut printer)?;
    warn(session, &commands)
}

/// Says what was dropped and what never ran; returns whether nothing was dropped.
fn warn(session: &mut Session<'_>, commands: &[Command]) -> Result<bool, CliError> {
    let mut is_whole = true;
    for (command, ending) in commands.iter().map(|command| (command, Ending::of(command))) {
        if let Some(text) = ending.left_out() {
            session.terminal.warning("output-dropped", &format!("{}: {text}", ending.id()))?;
            is_whole = false;
        }
        if !ending.is_its_own() && ending.left_out().is_none() && command.state.is_over() {
            session.terminal.note(&format!("{}: {}", ending.id(), ending.brief()))?;
        }
    }
    Ok(is_whole)
}

/// From where on the last lines of each command are.
fn last_lines(
    session: &Session<'_>,
    commands: &[Command],
    lines: usize,
) -> Result<BTreeMap<String, Offsets>, CliError> {
    let mut start = BTreeMap::new();
    for command in commands {
        let of = |part, total: Option<u64>| {
            last_lines_of(session, &command.cmd_id, part, total.unwrap_or(0), lines)
        };
        let (out, err) = (of(Part::Out, command.out_bytes)?, of(Part::Err, command.err_bytes)?);
        start.insert(command.cmd_id.clone(), Offsets { out, err });
    }
    Ok(start)
}

fn last_lines_of(
    session: &Session<'_>,
    id: &str,
    part: Part,
    total: u64,
    lines: usize,
) -> Result<u64, CliError> {
    let mut look = FIRST_LOOK;
    loop {
        let from = total.saturating_sub(look);
        let bytes = read(session, id, part, from, total)?;
        match start_of_last_lines(&bytes, lines) {
            Some(start) => return Ok(from + start as u64),
            None if from == 0 || look >= LAST_LOOK => return Ok(from),
            None => look *= 4,
        }
    }
}

/// A part of a stream; more than one answer holds is asked for in pieces.
fn read(session: &Session<'_>, id: &str, part: Part, from: u64, to: u64) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    while from + (bytes.len() as u64) < to {
        let at = Some(ByteCount(from + bytes.len() as u64));
        let request = command::without_output(id);
        let piece = match part {
            Part::Out => session.agent.ask(&Poll { out_offset: at, ..request })?.out,
            Part::Err => session.agent.ask(&Poll { err_offset: at, ..request })?.err,
        };
        match piece {
            Some(piece) if !piece.0.is_empty() => bytes.extend_from_slice(&piece.0),
            _ => return Err(CliError::bad_reply("cmd.poll", "output, though it has some")),
        }
    }
    Ok(bytes)
}

/// Where the last lines begin, if so many are there. An end without a line end is a line.
fn start_of_last_lines(bytes: &[u8], lines: usize) -> Option<usize> {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    match lines.checked_sub(1) {
        None => Some(bytes.len()),
        Some(skipped) => {
            let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
            ends.map(|(at, _)| at + 1).nth(skipped)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_counted_from_the_end() {
        let text = b"one\ntwo\nthree\n";
        assert_eq!(start_of_last_lines(text, 0), Some(14));
        assert_eq!(start_of_last_lines(text, 1), Some(8));
        assert_eq!(start_of_last_lines(text, 2), Some(4));
        assert_eq!(start_of_last_lines(text, 3), None, "perhaps there is more before it");
        assert_eq!(start_of_last_lines(b"one\ntwo", 1), Some(4));
        assert_eq!(start_of_last_lines(b"", 1), None);
    }
}
