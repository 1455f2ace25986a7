//! `vocable events`: everything that happens, as it happens, by number so that nothing is missed unnoticed.

use super::agent::LONG_POLL;
use super::{CliError, Session};
use serde_json::json;
use std::time::Duration;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime, Time};
use vocable_api::agent::{Event, EventPage, Events};
use vocable_config::Span;
use vocable_pattern::{PatternError, Patterns};
use vocable_xmlrpc::excerpt;

/// A number no event has: what comes next is told at once.
const BEYOND: f64 = 9_007_199_254_740_992.0;

/// Print events as they happen
///
/// Events are numbered: `--since '#4811'` goes on where an earlier run stopped, and says if some are gone.
#[derive(clap::Args, Debug)]
pub(super) struct EventsArgs {
    /// Show events since: 10m, 14:00, 2026-11-22T08:00Z, or an event's number as '#4811' [default: now]
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only events of these kinds; globs separated by commas: 'guest.*,cmd.done'
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<String>,
    /// Exit after the events so far
    #[arg(long)]
    no_follow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Since {
    Now,
    Number(f64),
    Moment(OffsetDateTime),
}

pub(super) fn events(session: &mut Session<'_>, args: &EventsArgs) -> Result<u8, CliError> {
    let kinds = kinds(&args.kind)?;
    let since = args.since.as_deref().map_or(Ok(Since::Now), |text| parse_since(session, text))?;
    let (mut next, from) = match since {
        Since::Now if args.no_follow => (0.0, None),
        Since::Now => (number(ask(session, BEYOND, Duration::ZERO)?.next), None),
        Since::Number(number) => (number, None),
        Since::Moment(moment) => (0.0, Some(moment)),
    };
    let (mut dropped, mut seen) = (false, false);
    loop {
        let wait = if args.no_follow { Duration::ZERO } else { LONG_POLL };
        let reply = ask(session, next, wait)?;
        // Who asked by number, or was here before, learns what is gone.
        if next > 0.0 {
            dropped |= tell_gap(session, &reply)?;
        }
        next = number(reply.next);
        let is_empty = reply.events.is_empty();
        for event in reply.events.into_iter().filter(|event| is_wanted(event, kinds.as_ref(), from)) {
            seen = true;
            print(session, &event)?;
        }
        if args.no_follow && is_empty {
            if !seen {
                session.terminal.note("no events")?;
            }
            return Ok(u8::from(dropped));
        }
    }
}

fn ask(session: &Session<'_>, since: f64, wait: Duration) -> Result<EventPage, CliError> {
    let request = Events { since, timeout_s: wait.as_secs_f64(), ..Events::default() };
    session.agent.ask_waiting(&request, wait)
}

/// The number of an event as it is asked for.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
const fn number(seq: u64) -> f64 {
    seq as f64
}

fn kinds(globs: &[String]) -> Result<Option<Patterns>, CliError> {
    if globs.is_empty() {
        return Ok(None);
    }
    let bad = |error: PatternError| CliError::bad_argument("--kind is no glob").cause(error.to_string());
    Patterns::new(globs).map(Some).map_err(bad)
}

fn is_wanted(event: &Event, kinds: Option<&Patterns>, from: Option<OffsetDateTime>) -> bool {
    let kind = &event.kind;
    kinds.is_none_or(|kinds| kinds.fit(kind))
        && from.is_none_or(|from| event.time_unix.moment() >= Some(from))
}

/// Says that events are gone, if some are.
fn tell_gap(session: &mut Session<'_>, reply: &EventPage) -> Result<bool, CliError> {
    let dropped = reply.dropped;
    if dropped > 0 && session.terminal.is_json() {
        session.terminal.document(&json!({"kind": "dropped", "dropped": dropped}))?;
    } else if dropped > 0 {
        session
            .terminal
            .warning("dropped", &format!("dropped {dropped} events: the agent keeps only the last ones"))?;
    }
    Ok(dropped > 0)
}

/// `2026-11-22T09:01:54.118+01:00  #4812  guest.lost   vm2   no heart-beat for 20 s`
fn print(session: &mut Session<'_>, event: &Event) -> Result<(), CliError> {
    if session.terminal.is_json() {
        return Ok(session.terminal.reply(event)?);
    }
    let time =
        event.time_unix.moment().map_or_else(String::new, |time| stamp(time.to_offset(session.offset)));
    let number = format!("#{}", event.seq);
    let about = event.cmd_id.as_ref().or(event.guest.as_ref()).map_or("-", String::as_str);
    let line = format!("{time}  {number:<5}  {:<12}  {about:<10}  {}", event.kind, event.text);
    Ok(session.terminal.line(line.trim_end())?)
}

/// RFC 3339 with milliseconds and the offset.
fn stamp(time: OffsetDateTime) -> String {
    let form = format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3][offset_hour sign:mandatory]:[offset_minute]"
    );
    time.format(form).unwrap_or_default()
}

fn parse_since(session: &Session<'_>, text: &str) -> Result<Since, CliError> {
    let now = (session.now)().utc.to_offset(session.offset);
    since(text, now).ok_or_else(|| {
        CliError::bad_argument(format!(
            "--since {}: expected 10m, 14:00, 2026-11-22T08:00Z or '#4811'",
            excerpt(text)
        ))
    })
}

/// A number, a length of time before now, a time of today, or a moment; times without an offset are local.
fn since(text: &str, now: OffsetDateTime) -> Option<Since> {
    if let Some(number) = text.strip_prefix('#') {
        let number: u32 = number.parse().ok()?;
        return Some(Since::Number(number.into()));
    }
    if let Ok(span) = text.parse::<Span>() {
        return Some(Since::Moment(now.checked_sub(span.duration().try_into().ok()?)?));
    }
    let clock = format_description!("[hour]:[minute]");
    if let Ok(time) = Time::parse(text, clock) {
        let today = now.replace_time(time);
        // 23:00 said at nine in the morning was yesterday.
        return Some(Since::Moment(if today > now { today - time::Duration::DAY } else { today }));
    }
    let minutes = format_description!("[year]-[month]-[day]T[hour]:[minute]");
    let local = text.strip_suffix('Z').unwrap_or(text);
    if let Ok(moment) = PrimitiveDateTime::parse(local, minutes) {
        let offset = if local == text { now.offset() } else { time::UtcOffset::UTC };
        return Some(Since::Moment(moment.assume_offset(offset)));
    }
    OffsetDateTime::parse(text, &Rfc3339).ok().map(Since::Moment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn since_is_a_number_an_age_or_a_time() {
        let now = datetime!(2026-11-22 09:06:04 +1);
        let at = |moment| Some(Since::Moment(moment));
        assert_eq!(since("#4811", now), Some(Since::Number(4811.0)));
        assert_eq!(since("10m", now), at(datetime!(2026-11-22 08:56:04 +1)));
        assert_eq!(since("08:00", now), at(datetime!(2026-11-22 08:00 +1)));
        assert_eq!(since("14:00", now), at(datetime!(2026-11-21 14:00 +1)));
        assert_eq!(since("2026-11-22T08:00Z", now), at(datetime!(2026-11-22 08:00 UTC)));
        assert_eq!(since("2026-11-22T08:00", now), at(datetime!(2026-11-22 08:00 +1)));
        assert_eq!(since("2026-11-22T08:00:01.5+02:00", now), at(datetime!(2026-11-22 08:00:01.5 +2)));
        for bad in ["", "#", "#x", "yesterday", "10", "25:00"] {
            assert_eq!(since(bad, now), None, "{bad}");
        }
    }
}
