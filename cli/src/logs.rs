//! `vocable logs`: what a command has written, from the beginning or the end, and what it goes on to write.

use super::ending::{Ending, How};
use super::follow::{Printer, Streams, Until, follow, is_run, reports};
use super::reply::Members;
use super::{CliError, Session, command, completion};
use clap_complete::ArgValueCompleter;
use std::collections::BTreeMap;
use vocable_xmlrpc::Value;

/// How much of the end of a stream is looked at first for its last lines, octets.
const FIRST_LOOK: u64 = 64 * 1024;
/// How much of it is looked at at most.
const LAST_LOOK: u64 = 64 * 1024 * 1024;

/// Print what commands have written, live or past
///
/// Of one command octet for octet, standard error on standard error; of several in lines that begin with the guest's
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
    /// From this octet of standard output on
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

/// Prints the output of a command or run; gives whether it is all there is.
fn logs_of(session: &mut Session<'_>, args: &LogsArgs, id: &str) -> Result<bool, CliError> {
    let reply = session.agent.call("cmd.poll", vec![Value::from(id), command::no_output()])?;
    let id = reply.text("cmd_id").unwrap_or(id).to_owned();
    let streams = Streams { out: !args.stderr, err: !args.stdout };
    let mut printer = match () {
        () if session.terminal.is_json() => Printer::json(streams),
        () if is_run(&reply) || args.ids.len() > 1 => Printer::named(streams),
        () => Printer::raw(streams),
    };
    let start = match args.lines {
        Some(lines) => last_lines(session, reports(&reply), lines)?,
        None => args.offset.map_or_else(BTreeMap::new, |offset| {
            let ids = reports(&reply).iter().filter_map(|report| report.text("cmd_id"));
            ids.map(|id| (id.to_owned(), (offset, 0))).collect()
        }),
    };
    let until = if args.follow { Until::End } else { Until::Now };
    let reports = follow(session, &id, until, start, &mut printer)?;
    tell(session, &reports)
}

/// Says what was dropped and what never ran; gives whether nothing was dropped.
fn tell(session: &mut Session<'_>, reports: &[Value]) -> Result<bool, CliError> {
    let mut is_whole = true;
    for ending in reports.iter().map(Ending::of) {
        if let Some(text) = ending.left_out() {
            session.terminal.warning("output-dropped", &format!("{}: {text}", ending.id()))?;
            is_whole = false;
        }
        if !ending.is_its_own() && ending.left_out().is_none() && ending.how() != How::UnderWay {
            session.terminal.note(&format!("{}: {}", ending.id(), ending.brief()))?;
        }
    }
    Ok(is_whole)
}

/// From where on the last lines of each command are.
fn last_lines(
    session: &Session<'_>,
    reports: &[Value],
    lines: usize,
) -> Result<BTreeMap<String, (u64, u64)>, CliError> {
    let mut start = BTreeMap::new();
    for report in reports {
        let id = report.text("cmd_id").unwrap_or_default();
        let of = |stream, total| last_lines_of(session, id, stream, report.count(total).unwrap_or(0), lines);
        start.insert(id.to_owned(), (of("out", "out_bytes")?, of("err", "err_bytes")?));
    }
    Ok(start)
}

fn last_lines_of(
    session: &Session<'_>,
    id: &str,
    stream: &'static str,
    total: u64,
    lines: usize,
) -> Result<u64, CliError> {
    let mut look = FIRST_LOOK;
    loop {
        let from = total.saturating_sub(look);
        let octets = read(session, id, stream, from, total)?;
        match start_of_last_lines(&octets, lines) {
            Some(start) => return Ok(from + start as u64),
            None if from == 0 || look >= LAST_LOOK => return Ok(from),
            None => look *= 4,
        }
    }
}

/// A stretch of a stream; more than one answer holds is asked for in pieces.
fn read(
    session: &Session<'_>,
    id: &str,
    stream: &'static str,
    from: u64,
    to: u64,
) -> Result<Vec<u8>, CliError> {
    let at = if stream == "out" { "out_offset" } else { "err_offset" };
    let mut octets = Vec::new();
    while from + (octets.len() as u64) < to {
        let mut options = command::no_output();
        if let Value::Struct(options) = &mut options {
            options.insert(at.to_owned(), Value::from(from + octets.len() as u64));
        }
        let reply = session.agent.call("cmd.poll", vec![Value::from(id), options])?;
        let piece = reply.octets(stream);
        if piece.is_empty() {
            return Err(CliError::bad_reply("cmd.poll", "output, though it told of some"));
        }
        octets.extend_from_slice(piece);
    }
    Ok(octets)
}

/// Where the last lines begin, if so many are there. An end without a line end is a line.
fn start_of_last_lines(octets: &[u8], lines: usize) -> Option<usize> {
    let body = octets.strip_suffix(b"\n").unwrap_or(octets);
    match lines.checked_sub(1) {
        None => Some(octets.len()),
        Some(skipped) => {
            let ends = body.iter().enumerate().rev().filter(|(_, octet)| **octet == b'\n');
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
