//! Output of commands as it comes: from what offset on it is asked for, and in which of the three forms it is printed.
//! Asking again from the last offset loses nothing, whatever was away in between.

use super::agent::LONG_POLL;
use super::ending::Ending;
use super::output::Terminal;
use super::prefix::Lines;
use super::retry::ask_again;
use super::{CliError, Session};
use clap::builder::styling::{AnsiColor, Color, Style};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};
use vocable_api::attach::Offsets;
use vocable_api::cmd::{ByteCount, Command, Poll, Until, Wait};
use vocable_api::{Part, Text};

/// Colours that are told apart on dark and light terminals.
const COLOURS: [AnsiColor; 10] = [
    AnsiColor::Cyan,
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::Blue,
    AnsiColor::Magenta,
    AnsiColor::BrightCyan,
    AnsiColor::BrightGreen,
    AnsiColor::BrightYellow,
    AnsiColor::BrightBlue,
    AnsiColor::BrightMagenta,
];

/// Which streams of a command are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    /// Its standard output.
    pub(super) out: bool,
    /// Its standard error.
    pub(super) err: bool,
}

/// How output is printed.
#[derive(Debug)]
enum Form {
    /// As it is.
    Raw,
    /// Whole lines after the name of their guest.
    Named(BTreeMap<(String, Part), Lines>),
    /// An object for each piece.
    Json,
}

/// Prints output of commands.
#[derive(Debug)]
pub(super) struct Printer {
    form: Form,
    streams: Streams,
}

impl Printer {
    /// As it is, standard output to standard output, standard error to standard error.
    pub(super) const fn raw(streams: Streams) -> Self {
        Self { form: Form::Raw, streams }
    }

    /// Whole lines, each after the name of its guest.
    pub(super) const fn named(streams: Streams) -> Self {
        Self { form: Form::Named(BTreeMap::new()), streams }
    }

    /// JSON, an object a line.
    pub(super) const fn json(streams: Streams) -> Self {
        Self { form: Form::Json, streams }
    }

    /// Prints what came of both streams.
    fn print(&mut self, terminal: &mut Terminal, command: &Command, now: Instant) -> io::Result<()> {
        let Streams { out, err } = self.streams;
        let parts = [
            (out, Part::Out, &command.out, command.out_offset),
            (err, Part::Err, &command.err, command.err_offset),
        ];
        for (is_wanted, part, text, next) in parts {
            let Some(text) = text.as_ref().filter(|text| is_wanted && !text.0.is_empty()) else { continue };
            let bytes = &text.0;
            match &mut self.form {
                Form::Raw => write(terminal, part, bytes)?,
                Form::Named(streams) => {
                    let lines = streams
                        .entry((command.cmd_id.clone(), part))
                        .or_insert_with(|| Lines::new(named(terminal, part, &command.guest)));
                    write(terminal, part, &lines.push(bytes, now))?;
                }
                Form::Json => terminal.reply(&OutputEvent {
                    event: "output",
                    cmd_id: &command.cmd_id,
                    guest: &command.guest,
                    stream: part,
                    offset: next.unwrap_or(0).saturating_sub(bytes.len() as u64),
                    data: text,
                })?,
            }
        }
        Ok(())
    }

    /// Prints the lines that have waited for their end long enough.
    fn flush(&mut self, terminal: &mut Terminal, is_due: impl Fn(&Lines) -> bool) -> io::Result<()> {
        let Form::Named(streams) = &mut self.form else { return Ok(()) };
        for ((_, part), lines) in streams.iter_mut().filter(|(_, lines)| is_due(lines)) {
            write(terminal, *part, &lines.flush())?;
        }
        Ok(())
    }

    /// All output of a command that was asked for is printed.
    fn finish(&mut self, terminal: &mut Terminal, command: &Command) -> io::Result<()> {
        match &mut self.form {
            Form::Raw => Ok(()),
            Form::Named(streams) => {
                for part in [Part::Out, Part::Err] {
                    if let Some(mut lines) = streams.remove(&(command.cmd_id.clone(), part)) {
                        write(terminal, part, &lines.flush())?;
                    }
                }
                Ok(())
            }
            Form::Json if !command.state.is_over() => Ok(()),
            Form::Json => terminal.reply(&Done::of(command.clone())),
        }
    }

    /// How long we may wait before a held line has to be printed.
    fn longest_wait(&self, now: Instant) -> Duration {
        let Form::Named(streams) = &self.form else { return LONG_POLL };
        let due = streams.values().filter_map(Lines::due).min();
        due.map_or(LONG_POLL, |due| due.saturating_duration_since(now).min(LONG_POLL))
    }
}

fn write(terminal: &mut Terminal, part: Part, bytes: &[u8]) -> io::Result<()> {
    match part {
        _ if bytes.is_empty() => Ok(()),
        Part::Out => terminal.bytes(bytes),
        Part::Err => terminal.error_bytes(bytes),
    }
}

fn named(terminal: &Terminal, part: Part, guest: &str) -> String {
    // FNV-1a: the same name has the same colour everywhere.
    let hash = guest.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let count = COLOURS.len() as u64;
    let colour = usize::try_from(hash % count).ok().and_then(|n| COLOURS.get(n)).copied();
    let style = Style::new().fg_color(colour.map(Color::Ansi));
    let name = match part {
        Part::Out => terminal.paint(style, guest),
        Part::Err => terminal.paint_error(style, guest),
    };
    format!("{name}: ")
}

/// A piece of output as a document.
#[derive(Serialize)]
struct OutputEvent<'a> {
    event: &'static str,
    cmd_id: &'a str,
    guest: &'a str,
    stream: Part,
    offset: u64,
    data: &'a Text,
}

/// The end of a command as a document: the command without its output, and whose the end was.
#[derive(Serialize)]
pub(super) struct Done {
    event: &'static str,
    by: &'static str,
    #[serde(flatten)]
    command: Command,
}

impl Done {
    pub(super) fn of(command: Command) -> Self {
        let by = if Ending::of(&command).is_its_own() { "command" } else { "vocable" };
        Self { event: "done", by, command: command.without_output() }
    }
}

/// Prints the output of a command, or of all commands of a run, until they are over if that is wanted, and returns the
/// last of each.
pub(super) fn follow(
    session: &mut Session<'_>,
    id: &str,
    to_the_end: bool,
    mut start: BTreeMap<String, Offsets>,
    printer: &mut Printer,
) -> Result<Vec<Command>, CliError> {
    let (mut over, mut paused) = (Vec::new(), BTreeSet::new());
    loop {
        let reply = ask(session, id, to_the_end, &start, printer)?;
        let now = (session.now)().mono;
        for command in reply.each() {
            printer.print(session.terminal, command, now)?;
            let id = command.cmd_id.clone();
            if let Some(why) = &command.paused
                && paused.insert(id.clone())
            {
                session.terminal.note(&format!("{id} is paused: {why}"))?;
            }
            if to_the_end && !command.state.is_over() || command.more == Some(true) {
                let (out, err) = (command.out_offset.unwrap_or(0), command.err_offset.unwrap_or(0));
                start.insert(id, Offsets { out, err });
            } else {
                start.remove(&id);
                printer.finish(session.terminal, command)?;
                over.push(command.clone().without_output());
            }
        }
        if start.is_empty() {
            over.sort_by(|one, other| one.guest.cmp(&other.guest));
            return Ok(over);
        }
        printer.flush(session.terminal, |lines| lines.due().is_some_and(|due| due <= now))?;
    }
}

/// Asks from the offsets on; without any for all commands from the beginning.
fn ask(
    session: &mut Session<'_>,
    id: &str,
    to_the_end: bool,
    start: &BTreeMap<String, Offsets>,
    printer: &Printer,
) -> Result<Command, CliError> {
    let each = |(id, from): (&String, &Offsets)| (id.clone(), vec![ByteCount(from.out), ByteCount(from.err)]);
    let offsets = (!start.is_empty()).then(|| start.iter().map(each).collect());
    let cmd_id = id.to_owned();
    if !to_the_end {
        return ask_again(session, &Poll { cmd_id, offsets, ..Poll::default() }, Duration::ZERO);
    }
    let wait = printer.longest_wait((session.now)().mono);
    let (timeout_s, until) = (wait.as_secs_f64(), Some(Until::Output));
    ask_again(session, &Wait { cmd_id, timeout_s, until, offsets, ..Wait::default() }, wait)
}
