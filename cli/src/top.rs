//! `vocable top`: what running commands use now, from two looks at them.

use super::agent::{Connection, LONG_POLL};
use super::command::command_line;
use super::table::{Column, Table};
use super::{CliError, Session, completion, filter, format};
use clap_complete::ArgValueCompleter;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::iter;
use std::time::Duration;
use vocable_api::cmd::{GetUsage, Usages};
use vocable_config::Span;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(2);
/// Clears a terminal and begins in its first line.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

/// Show what running commands use, until Ctrl-C
///
/// Computing, storage and memory of each command with all its processes. The first look is over their whole life so
/// far, the next ones since the one before.
#[derive(clap::Args, Debug)]
pub(super) struct TopArgs {
    /// Only commands of these guests: names and globs, separated by commas
    #[arg(add = ArgValueCompleter::new(completion::targets))]
    target: Option<String>,
    /// Look once; always so where no person looks at the output, unless --interval is given
    #[arg(long)]
    once: bool,
    /// Time between two looks [default: 2s]
    #[arg(long, value_name = "TIME", conflicts_with = "once")]
    interval: Option<Span>,
    /// What comes first
    #[arg(long, value_name = "COLUMN", default_value = "cpu", value_parser = ["cpu", "rss", "read", "write", "procs", "guest"])]
    sort: String,
}

/// What was seen of one command.
#[derive(Clone, Debug)]
struct Seen {
    guest: String,
    id: String,
    line: String,
    cpu_pct: f64,
    rss: u64,
    read_s: Option<f64>,
    written_s: Option<f64>,
    processes: usize,
}

/// The totals of one look, by command.
type Totals = BTreeMap<String, Total>;

#[derive(Clone, Copy, Debug)]
struct Total {
    at: f64,
    cpu: f64,
    read: Option<f64>,
    written: Option<f64>,
}

/// Shows what commands use.
pub(super) fn top(session: &mut Session<'_>, args: &TopArgs) -> Result<u8, CliError> {
    let is_watched = session.process.is_some() && std::io::stdout().is_terminal();
    let once = args.once || !(is_watched || args.interval.is_some());
    let interval = args.interval.map_or(INTERVAL, Span::duration);
    let mut before = Totals::new();
    loop {
        let reply = session.agent.ask_waiting(&GetUsage::default(), LONG_POLL)?;
        let wanted = wanted(session.agent, args, &reply)?;
        let (mut seen, now) = measure(&reply, &before, |guest| wanted.contains(guest));
        sort(&mut seen, &args.sort);
        if session.terminal.is_json() {
            session.terminal.document(&document(&reply, &seen))?;
        } else {
            if is_watched && !once {
                session.terminal.bytes(CLEAR)?;
            }
            print(session, &reply, &seen, |guest| wanted.contains(guest))?;
        }
        if once {
            return Ok(0);
        }
        before = now;
        (session.pause)(interval);
    }
}

fn wanted(agent: &Connection, args: &TopArgs, reply: &Usages) -> Result<BTreeSet<String>, CliError> {
    let guests = reply.commands.iter().map(|command| command.guest.as_str());
    match filter::selected_guests(agent, args.target.as_deref(), guests) {
        // A guest on which nothing runs is no mistake.
        Err(error) if error.code() == "no-such-guest" => Ok(Default::default()),
        other => other,
    }
}

/// What there is to see of each command, since the look before or else since it was started; and its totals.
fn measure(reply: &Usages, before: &Totals, is_wanted: impl Fn(&str) -> bool) -> (Vec<Seen>, Totals) {
    let at = reply.time_unix.0;
    let mut seen = Vec::new();
    let mut totals = Totals::new();
    for command in reply.commands.iter().filter(|command| is_wanted(&command.guest)) {
        let Some(usage) = &command.usage else { continue };
        #[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
        let bytes = |count: Option<u64>| count.map(|count| count as f64);
        let (read, written) = (bytes(usage.read_bytes), bytes(usage.written_bytes));
        let total = Total { at, cpu: usage.cpu_s, read, written };
        let started = command.started_unix.map_or(at, |started| started.0);
        let since = before.get(&command.cmd_id).copied();
        let since = since.unwrap_or(Total { at: started, cpu: 0.0, read: Some(0.0), written: Some(0.0) });
        // A look that comes too soon after the other says nothing about the time between.
        let passed = (at - since.at).max(0.001);
        let rate = |now: Option<f64>, then: Option<f64>| Some((now? - then?).max(0.0) / passed);
        seen.push(Seen {
            guest: command.guest.clone(),
            id: command.cmd_id.clone(),
            line: command_line(iter::once(&command.cmd).chain(&command.args)),
            cpu_pct: 100.0 * (total.cpu - since.cpu).max(0.0) / passed,
            rss: usage.rss_bytes,
            read_s: rate(total.read, since.read),
            written_s: rate(total.written, since.written),
            processes: usage.processes,
        });
        totals.insert(command.cmd_id.clone(), total);
    }
    (seen, totals)
}

fn sort(seen: &mut [Seen], column: &str) {
    let most = |key: fn(&Seen) -> f64| move |one: &Seen, other: &Seen| key(other).total_cmp(&key(one));
    // The greatest first; what is equal stays in the order of guests and ids.
    seen.sort_by(|one, other| (&one.guest, &one.id).cmp(&(&other.guest, &other.id)));
    #[expect(clippy::cast_precision_loss, reason = "only compared")]
    match column {
        "cpu" => seen.sort_by(most(|it| it.cpu_pct)),
        "rss" => seen.sort_by(most(|it| it.rss as f64)),
        "read" => seen.sort_by(most(|it| it.read_s.unwrap_or(0.0))),
        "write" => seen.sort_by(most(|it| it.written_s.unwrap_or(0.0))),
        "procs" => seen.sort_by(most(|it| it.processes as f64)),
        _ => {}
    }
}

fn print(
    session: &mut Session<'_>,
    reply: &Usages,
    seen: &[Seen],
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(), CliError> {
    let mut columns = vec![Column::text("guest")];
    columns.extend(["cpu", "rss", "read/s", "write/s", "procs"].map(Column::number));
    columns.extend([Column::text("id"), Column::prose("command")]);
    let mut table = Table::new(columns);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and shown in short"
    )]
    let rate = |rate: Option<f64>| match rate {
        None => "?".to_owned(),
        Some(rate) if rate < 1.0 => "0".to_owned(),
        Some(rate) => format::size(rate as u64),
    };
    for it in seen {
        table.row([
            it.guest.as_str().into(),
            format!("{:.0}%", it.cpu_pct).into(),
            format::size(it.rss).into(),
            rate(it.read_s).into(),
            rate(it.written_s).into(),
            it.processes.to_string().into(),
            it.id.as_str().into(),
            it.line.as_str().into(),
        ]);
    }
    table.print(session.terminal)?;
    for command in reply.commands.iter().filter(|command| is_wanted(&command.guest)) {
        if let Some(error) = command.error.as_ref().filter(|error| error.code != "finished") {
            session.terminal.note(&format!("{}: {}", command.cmd_id, error.message))?;
        }
    }
    if seen.is_empty() {
        session.terminal.note("no commands run")?;
    }
    Ok(())
}

/// A line for programs: the guests, each with its sums and its commands.
fn document(reply: &Usages, seen: &[Seen]) -> serde_json::Value {
    let mut guests: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for it in seen {
        guests.entry(it.guest.as_str()).or_default().push(it);
    }
    let command = |it: &&Seen| {
        serde_json::json!({"cmd_id": it.id, "cpu_pct": rounded(it.cpu_pct), "rss_bytes": it.rss,
            "read_bytes_s": it.read_s.map(rounded), "written_bytes_s": it.written_s.map(rounded),
            "processes": it.processes, "command": it.line})
    };
    let guest = |(guest, all): (&str, Vec<&Seen>)| {
        let cpu = rounded(all.iter().map(|it| it.cpu_pct).sum());
        let rss: u64 = all.iter().map(|it| it.rss).sum();
        let commands: Vec<_> = all.iter().map(command).collect();
        serde_json::json!({"guest": guest, "cpu_pct": cpu, "rss_bytes": rss, "commands": commands})
    };
    let guests: Vec<_> = guests.into_iter().map(guest).collect();
    serde_json::json!({"time_unix": reply.time_unix, "guests": guests})
}

/// To a tenth: more is noise.
fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocable_api::UnixTime;
    use vocable_api::cmd::{Usage, UsedCommand};

    fn at(time: f64, cpu_s: f64, read: u64) -> Usages {
        let command = UsedCommand {
            cmd_id: "k.vm1".into(),
            guest: "vm1".into(),
            started_unix: Some(UnixTime(100.0)),
            usage: Some(Usage { cpu_s, read_bytes: Some(read), ..Usage::default() }),
            ..UsedCommand::default()
        };
        Usages { time_unix: UnixTime(time), commands: vec![command] }
    }

    #[test]
    fn the_first_look_is_over_the_whole_life_and_the_next_since_the_one_before() {
        let (first, totals) = measure(&at(110.0, 5.0, 100), &Totals::new(), |_| true);
        assert_eq!((first[0].cpu_pct, first[0].read_s, first[0].written_s), (50.0, Some(10.0), None));
        let (next, _) = measure(&at(112.0, 9.0, 104), &totals, |_| true);
        assert_eq!((next[0].cpu_pct, next[0].read_s), (200.0, Some(2.0)));
        assert!(measure(&at(112.0, 9.0, 104), &totals, |_| false).0.is_empty());
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_nonsense() {
        let (_, totals) = measure(&at(110.0, 5.0, 100), &Totals::new(), |_| true);
        let (next, _) = measure(&at(90.0, 4.0, 50), &totals, |_| true);
        assert_eq!((next[0].cpu_pct, next[0].read_s), (0.0, Some(0.0)));
    }
}
