//! Output of commands as it comes: from what offset on it is asked for, and in which of the three forms it is printed.
//! Asking again from the last offset loses nothing, whatever was away in between.

use super::agent::LONG_POLL;
use super::away::call_again;
use super::ending::{Ending, How};
use super::output::Terminal;
use super::prefix::Lines;
use super::reply::Members;
use super::{CliError, Session, command};
use clap::builder::styling::{AnsiColor, Color, Style};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};
use vocable_xmlrpc::{Value, to_json};

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
    /// Octet for octet.
    Raw,
    /// Whole lines after the name of their guest.
    Named(BTreeMap<(String, &'static str), Lines>),
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
    /// Octet for octet, standard output to standard output, standard error to standard error.
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

    /// Prints what a report has of both streams.
    fn print(&mut self, terminal: &mut Terminal, report: &Value, now: Instant) -> io::Result<()> {
        for (stream, next) in [("out", "out_offset"), ("err", "err_offset")] {
            let wanted = if stream == "out" { self.streams.out } else { self.streams.err };
            let octets = report.octets(stream);
            if !wanted || octets.is_empty() {
                continue;
            }
            match &mut self.form {
                Form::Raw => write(terminal, stream, octets)?,
                Form::Named(streams) => {
                    let guest = report.text("guest").unwrap_or_default();
                    let key = (report.text("cmd_id").unwrap_or_default().to_owned(), stream);
                    let lines =
                        streams.entry(key).or_insert_with(|| Lines::new(named(terminal, stream, guest)));
                    write(terminal, stream, &lines.push(octets, now))?;
                }
                Form::Json => {
                    let offset = report.count(next).unwrap_or(0).saturating_sub(octets.len() as u64);
                    terminal.document(&piece(report, stream, offset))?;
                }
            }
        }
        Ok(())
    }

    /// Prints the lines that have waited for their end long enough.
    fn flush(&mut self, terminal: &mut Terminal, is_due: impl Fn(&Lines) -> bool) -> io::Result<()> {
        let Form::Named(streams) = &mut self.form else { return Ok(()) };
        for ((_, stream), lines) in streams.iter_mut().filter(|(_, lines)| is_due(lines)) {
            write(terminal, stream, &lines.flush())?;
        }
        Ok(())
    }

    /// All output of a command that was asked for is printed.
    fn over(&mut self, terminal: &mut Terminal, report: &Value) -> io::Result<()> {
        match &mut self.form {
            Form::Raw => Ok(()),
            Form::Named(streams) => {
                for stream in ["out", "err"] {
                    let key = (report.text("cmd_id").unwrap_or_default().to_owned(), stream);
                    if let Some(mut lines) = streams.remove(&key) {
                        write(terminal, stream, &lines.flush())?;
                    }
                }
                Ok(())
            }
            Form::Json if Ending::of(report).how() == How::UnderWay => Ok(()),
            Form::Json => terminal.document(&done(report)),
        }
    }

    /// How long we may wait before a held line has to be printed.
    fn patience(&self, now: Instant) -> Duration {
        let Form::Named(streams) = &self.form else { return LONG_POLL };
        let due = streams.values().filter_map(Lines::due).min();
        due.map_or(LONG_POLL, |due| due.saturating_duration_since(now).min(LONG_POLL))
    }
}

fn write(terminal: &mut Terminal, stream: &str, octets: &[u8]) -> io::Result<()> {
    match stream {
        _ if octets.is_empty() => Ok(()),
        "out" => terminal.bytes(octets),
        _ => terminal.error_bytes(octets),
    }
}

fn named(terminal: &Terminal, stream: &str, guest: &str) -> String {
    // FNV-1a: the same name has the same colour everywhere.
    let hash = guest.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    });
    let count = COLOURS.len() as u64;
    let colour = usize::try_from(hash % count).ok().and_then(|n| COLOURS.get(n)).copied();
    let style = Style::new().fg_color(colour.map(Color::Ansi));
    let name =
        if stream == "out" { terminal.paint(style, guest) } else { terminal.paint_error(style, guest) };
    format!("{name}: ")
}

fn piece(report: &Value, stream: &str, offset: u64) -> Json {
    json!({
        "event": "output",
        "cmd_id": report.text("cmd_id"),
        "guest": report.text("guest"),
        "stream": stream,
        "offset": offset,
        "data": report.member(stream).map(to_json),
    })
}

/// The end of a command as an object: its report without the output, and whose the end was.
pub(super) fn done(report: &Value) -> Json {
    let by = if Ending::of(report).is_its_own() { "command" } else { "vocable" };
    let mut all = Map::from_iter([("event".to_owned(), Json::from("done")), ("by".to_owned(), by.into())]);
    if let Json::Object(members) = command::without_output(report) {
        all.extend(members);
    }
    all.into()
}

/// Until when output is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Until {
    /// All of it, until the commands are over.
    End,
    /// What is there.
    Now,
}

/// Prints the output of a command, or of all commands of a run, and gives the last report of each.
pub(super) fn follow(
    session: &mut Session<'_>,
    id: &str,
    until: Until,
    mut start: BTreeMap<String, (u64, u64)>,
    printer: &mut Printer,
) -> Result<Vec<Value>, CliError> {
    let (mut over, mut paused) = (Vec::new(), BTreeSet::new());
    loop {
        let reply = ask(session, id, until, &start, printer)?;
        let now = (session.now)().mono;
        for report in reports(&reply) {
            printer.print(session.terminal, report, now)?;
            let id = report.text("cmd_id").unwrap_or_default().to_owned();
            if let Some(why) = report.text("paused")
                && paused.insert(id.clone())
            {
                session.terminal.note(&format!("{id} is paused: {why}"))?;
            }
            let at = (report.count("out_offset").unwrap_or(0), report.count("err_offset").unwrap_or(0));
            let is_under_way = until == Until::End && Ending::of(report).how() == How::UnderWay;
            if is_under_way || report.truth("more") {
                start.insert(id, at);
            } else {
                start.remove(&id);
                printer.over(session.terminal, report)?;
                over.push(command::stripped(report));
            }
        }
        if start.is_empty() {
            over.sort_by(|one, other| Ending::of(one).guest().cmp(Ending::of(other).guest()));
            return Ok(over);
        }
        printer.flush(session.terminal, |lines| lines.due().is_some_and(|due| due <= now))?;
    }
}

/// Asks from the offsets on; without any for all commands from the beginning.
fn ask(
    session: &mut Session<'_>,
    id: &str,
    until: Until,
    start: &BTreeMap<String, (u64, u64)>,
    printer: &Printer,
) -> Result<Value, CliError> {
    let offsets = (!start.is_empty()).then(|| ("offsets", offsets(start)));
    match until {
        Until::Now => {
            let options = offsets.into_iter().collect();
            call_again(session, "cmd.poll", &[Value::from(id), options], Duration::ZERO)
        }
        Until::End => {
            let wait = printer.patience((session.now)().mono);
            let options = offsets.into_iter().chain([("until", Value::from("output"))]).collect();
            let params = [Value::from(id), Value::from(wait.as_secs_f64()), options];
            call_again(session, "cmd.wait", &params, wait)
        }
    }
}

fn offsets(start: &BTreeMap<String, (u64, u64)>) -> Value {
    start
        .iter()
        .map(|(id, (out, err))| (id.clone(), Value::from(vec![Value::from(*out), Value::from(*err)])))
        .collect()
}

/// The reports of a reply: of a run those of its commands, else the reply itself.
pub(super) fn reports(reply: &Value) -> &[Value] {
    if is_run(reply) { reply.items("commands") } else { std::slice::from_ref(reply) }
}

/// Whether a reply is of a request to several guests.
pub(super) fn is_run(reply: &Value) -> bool {
    reply.member("commands").is_some()
}
