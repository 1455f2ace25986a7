//! Reports of commands: asked for whole, or without their output.

use super::agent::LONG_POLL;
use super::away::call_again;
use super::ending::{Ending, How};
use super::reply::Members;
use super::{CliError, Session, human};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use vocable_xmlrpc::{Value, to_json};

/// An offset no output reaches: the greatest whole number a double holds exactly.
const BEYOND: f64 = 9_007_199_254_740_992.0;
/// The members of a report that are output or belong to reading it.
const OUTPUT: [&str; 5] = ["out", "err", "out_offset", "err_offset", "more"];
/// The most output of one command that is put into one document.
const MOST_COLLECTED: usize = 64 * 1024 * 1024;

/// The options of `cmd.poll` and `cmd.wait` of who wants no output.
pub(super) fn no_output() -> Value {
    [("out_offset", Value::from(BEYOND)), ("err_offset", Value::from(BEYOND))].into()
}

/// A report as JSON, or the reports of a run, without output.
pub(super) fn without_output(reply: &Value) -> Json {
    to_json(&stripped(reply))
}

/// A report, or the reports of a run, without output.
pub(super) fn stripped(reply: &Value) -> Value {
    let Value::Struct(members) = reply else { return reply.clone() };
    let kept = members.iter().filter(|(name, _)| !OUTPUT.contains(&name.as_str()));
    let stripped = |(name, value): (&String, &Value)| match value {
        Value::Array(reports) if name == "commands" => (name.clone(), reports.iter().map(stripped).collect()),
        other => (name.clone(), other.clone()),
    };
    kept.map(stripped).collect()
}

/// The report of one command that is over, with all its output.
pub(super) fn whole_report(session: &mut Session<'_>, id: &str) -> Result<Value, CliError> {
    let mut last = wait_for_end(session, id)?;
    let (mut out, mut err) = (last.octets("out").to_vec(), last.octets("err").to_vec());
    while last.truth("more") {
        if out.len().saturating_add(err.len()) > MOST_COLLECTED {
            let most = human::size(MOST_COLLECTED as u64);
            let text = format!("{id} wrote more than {most}, too much for one document");
            return Err(CliError::new("too-many", text).hint(format!("vocable logs --json {id}")));
        }
        let at = |name| last.count(name).map(Value::from);
        let offsets = [("out_offset", at("out_offset")), ("err_offset", at("err_offset"))];
        let options = offsets.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        last = session.agent.call("cmd.poll", vec![Value::from(id), options])?;
        out.extend_from_slice(last.octets("out"));
        err.extend_from_slice(last.octets("err"));
    }
    Ok(with_output(last, out, err))
}

fn wait_for_end(session: &mut Session<'_>, id: &str) -> Result<Value, CliError> {
    loop {
        let params = [Value::from(id), Value::from(LONG_POLL.as_secs_f64())];
        let report = call_again(session, "cmd.wait", &params, LONG_POLL)?;
        if Ending::of(&report).how() != How::UnderWay {
            return Ok(report);
        }
    }
}

fn with_output(report: Value, out: Vec<u8>, err: Vec<u8>) -> Value {
    let text = |octets: Vec<u8>| {
        String::from_utf8(octets).map_or_else(|binary| Value::Base64(binary.into_bytes()), Value::String)
    };
    let mut members = match report {
        Value::Struct(members) => members,
        _ => BTreeMap::new(),
    };
    members.extend([("out".to_owned(), text(out)), ("err".to_owned(), text(err))]);
    Value::Struct(members)
}
