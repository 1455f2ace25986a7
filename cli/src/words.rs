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

/// What the word says of itself, what it takes and answers, what it may do.
fn describe(session: &mut Session<'_>, word: &Value) -> Result<(), CliError> {
    let text = |name| word.text(name).unwrap_or_default();
    let digest: String = text("sha256").chars().take(DIGEST).collect();
    let of = format!("contract {}, sha256 {digest}, {}", text("contract"), text("source"));
    session.terminal.line(text("summary"))?;
    session.terminal.line(&format!("{} {}, {of}", text("word"), text("version")))?;
    takes(session, word)?;
    let reply = word.member("reply").filter(|reply| **reply != Value::Struct(BTreeMap::new()));
    let (calls, traps) = (word.count("calls").unwrap_or(0), word.count("traps").unwrap_or(0));
    let facts = [
        ("answers", reply.map_or_else(|| "nothing".to_owned(), |reply| to_json(reply).to_string())),
        ("binds", listed(&word.texts("binds"))),
        ("imports", imports(&word.texts("imports"))),
        ("grants", listed(&word.texts("grants"))),
        ("calls", format!("{calls}, {traps} of them trapped")),
    ];
    session.terminal.line("")?;
    Ok(facts.iter().try_for_each(|(name, told)| session.terminal.line(&format!("  {name:<7}  {told}")))?)
}

/// `  path=STRING  only the file system that holds this`
fn takes(session: &mut Session<'_>, word: &Value) -> Result<(), CliError> {
    let one = |(name, schema): (&str, &Value)| {
        let kind = schema.text("type").unwrap_or("any").to_uppercase();
        (format!("{name}={kind}"), schema.text("description").unwrap_or_default().to_owned())
    };
    let all: Vec<_> = properties(word.member("parameters")).map(one).collect();
    let width = all.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    if !all.is_empty() {
        session.terminal.line("")?;
    }
    Ok(all
        .iter()
        .try_for_each(|(name, what)| session.terminal.line(format!("  {name:width$}  {what}").trim_end()))?)
}

/// Interfaces of the contract by their short names; those of WASI, which language tools add, as a count.
fn imports(all: &[&str]) -> String {
    let (wasi, ours): (Vec<_>, Vec<_>) = all.iter().copied().partition(|import| import.starts_with("wasi:"));
    let short =
        |import: &str| import.rsplit('/').next().and_then(|name| name.split('@').next()).map(str::to_owned);
    let ours: Vec<_> = ours.into_iter().filter_map(short).collect();
    let wasi = match wasi.len() {
        0 => String::new(),
        count => format!(" (and {count} of WASI)"),
    };
    format!("{}{wasi}", listed(&ours))
}

fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
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
