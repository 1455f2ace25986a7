//! `vocable words`: which words the agent has, what they may do, and how they fare.

use super::hints;
use super::output::{BAD, GOOD, WARN};
use super::reply::{Members, wrapped};
use super::table::{Cell, Column, Table};
use super::{CliError, Session, completion};
use clap_complete::ArgValueCompleter;
use std::collections::BTreeMap;
use vocable_xmlrpc::{Value, to_json};

/// Digits of a digest that are shown.
const DIGEST: usize = 8;

/// List the words of the host, or tell all about one
#[derive(clap::Args, Debug)]
pub(super) struct WordsArgs {
    /// A word: what it takes, answers and may do
    #[arg(add = ArgValueCompleter::new(completion::words))]
    word: Option<String>,
}

/// Lists words.
pub(super) fn words(session: &mut Session<'_>, args: &WordsArgs) -> Result<u8, CliError> {
    let reply = session.agent.call("word.list", Vec::new())?;
    let terminal = &mut *session.terminal;
    if let Some(name) = &args.word {
        let word = find(&reply, name).ok_or_else(|| no_such_word(&reply, name))?;
        if terminal.is_json() { terminal.document(&to_json(word))? } else { describe(session, word)? }
    } else if terminal.is_json() {
        terminal.document(&wrapped("words", &reply))?;
    } else if terminal.is_quiet() {
        reply.list().iter().filter_map(|word| word.text("word")).try_for_each(|word| terminal.line(word))?;
    } else {
        print(session, reply.list())?;
    }
    Ok(0)
}

/// The word of that name in a listing.
pub(super) fn find<'a>(reply: &'a Value, name: &str) -> Option<&'a Value> {
    reply.list().iter().find(|word| word.text("word") == Some(name))
}

fn no_such_word(reply: &Value, name: &str) -> CliError {
    let known: Vec<_> = reply.list().iter().filter_map(|word| word.text("word")).collect();
    let error = CliError::new("no-such-word", format!("the host has no word {name}"))
        .cause(format!("it has {}", known.join(" ")));
    match hints::close(name, known) {
        Some(meant) => error.hint(format!("did you mean {meant}?")),
        None => error.hint("vocable words"),
    }
}

fn print(session: &mut Session<'_>, words: &[Value]) -> Result<(), CliError> {
    let mut columns = ["word", "version", "digest"].map(Column::text).to_vec();
    columns.extend(["calls", "traps"].map(Column::number));
    columns.push(Column::prose("state"));
    let mut table = Table::new(columns);
    for word in words {
        let number = |name| word.count(name).unwrap_or(0).to_string();
        let digest: String = word.text("sha256").unwrap_or_default().chars().take(DIGEST).collect();
        table.row([
            word.text("word").unwrap_or_default().into(),
            word.text("version").unwrap_or_default().into(),
            digest.into(),
            number("calls").into(),
            number("traps").into(),
            state(word),
        ]);
    }
    table.print(session.terminal)?;
    if words.is_empty() {
        session.terminal.note("no words")?;
    }
    Ok(())
}

fn state(word: &Value) -> Cell {
    let reason = word.text("reason").map_or_else(String::new, |reason| format!(": {reason}"));
    match (word.text("state"), word.text("source")) {
        (Some("ready"), Some("built-in")) => Cell::styled("built in", GOOD),
        (Some("ready"), Some(file)) => Cell::styled(format!("ok, {file}"), GOOD),
        (Some(state @ "retrying"), _) => Cell::styled(format!("{state}{reason}"), WARN),
        (state, _) => Cell::styled(format!("{}{reason}", state.unwrap_or("unknown")), BAD),
    }
}

/// `Tells how full …   DF 1.2.0, sha256 77aa…`, then what it takes, answers and may do.
fn describe(session: &mut Session<'_>, word: &Value) -> Result<(), CliError> {
    let text = |name| word.text(name).unwrap_or_default();
    let digest: String = text("sha256").chars().take(DIGEST).collect();
    let terminal = &mut *session.terminal;
    terminal.line(text("summary"))?;
    terminal.line(&format!(
        "{} {}, contract {}, sha256 {digest}, {}",
        text("word"),
        text("version"),
        text("contract"),
        text("source")
    ))?;
    terminal.line("")?;
    for (name, schema) in properties(word.member("parameters")) {
        let kind = schema.text("type").unwrap_or("any").to_uppercase();
        let what = schema.text("description").unwrap_or_default();
        terminal.line(format!("  takes     {name}={kind}  {what}").trim_end())?;
    }
    if let Some(reply) = word.member("reply").filter(|reply| **reply != Value::Struct(BTreeMap::new())) {
        terminal.line(&format!("  answers   {}", to_json(reply)))?;
    }
    for list in ["binds", "imports", "grants"] {
        let told = word.texts(list).join(" ");
        terminal.line(&format!("  {list:<9} {}", if told.is_empty() { "nothing" } else { &told }))?;
    }
    let (calls, traps) = (word.count("calls").unwrap_or(0), word.count("traps").unwrap_or(0));
    terminal.line(&format!("  calls     {calls}, {traps} of them trapped"))?;
    Ok(())
}

/// The properties of an object's schema.
pub(super) fn properties(schema: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let properties = schema.and_then(|schema| schema.member("properties"));
    let members = match properties {
        Some(Value::Struct(members)) => Some(members),
        _ => None,
    };
    members.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
}
