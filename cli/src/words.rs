//! `vocable words`: which words the agent has, what they may do, and how they fare.

use super::hints;
use super::output::{BAD, GOOD, WARN};
use super::table::{Cell, Column, Table};
use super::{CliError, Session, completion};
use clap_complete::ArgValueCompleter;
use serde_json::Value as Json;
use vocable_api::Any;
use vocable_api::word::{List, State, Word};
use vocable_xmlrpc::to_json;

/// Digits of a digest that are shown.
const DIGEST: usize = 8;

/// List words of the host, or show one
#[derive(clap::Args, Debug)]
pub(super) struct WordsArgs {
    /// A word: what it takes, answers and may do
    #[arg(add = ArgValueCompleter::new(completion::words))]
    word: Option<String>,
}

pub(super) fn words(session: &mut Session<'_>, args: &WordsArgs) -> Result<u8, CliError> {
    let listed = session.agent.ask(&List {})?;
    let terminal = &mut *session.terminal;
    if let Some(name) = &args.word {
        let word = find(&listed, name).ok_or_else(|| no_such_word(&listed, name))?;
        if terminal.is_json() { terminal.reply(word)? } else { describe(session, word)? }
    } else if terminal.is_json() {
        terminal.list("words", &listed)?;
    } else if terminal.is_quiet() {
        listed.iter().try_for_each(|word| terminal.line(&word.word))?;
    } else {
        print(session, &listed)?;
    }
    Ok(0)
}

/// The word of that name in a listing.
pub(super) fn find<'a>(listed: &'a [Word], name: &str) -> Option<&'a Word> {
    listed.iter().find(|word| word.word == name)
}

fn no_such_word(listed: &[Word], name: &str) -> CliError {
    let known: Vec<_> = listed.iter().map(|word| word.word.as_str()).collect();
    let error = CliError::new("no-such-word", format!("the host has no word {name}"))
        .cause(format!("it has {}", known.join(" ")));
    match hints::close(name, known) {
        Some(meant) => error.hint(format!("did you mean {meant}?")),
        None => error.hint("vocable words"),
    }
}

fn print(session: &mut Session<'_>, words: &[Word]) -> Result<(), CliError> {
    let mut columns = ["word", "version", "digest"].map(Column::text).to_vec();
    columns.extend(["calls", "traps"].map(Column::number));
    columns.push(Column::prose("state"));
    let mut table = Table::new(columns);
    for word in words {
        table.row([
            word.word.as_str().into(),
            word.version.as_str().into(),
            digest(word).into(),
            word.calls.to_string().into(),
            word.traps.to_string().into(),
            state(word),
        ]);
    }
    table.print(session.terminal)?;
    if words.is_empty() {
        session.terminal.note("no words")?;
    }
    Ok(())
}

fn digest(word: &Word) -> &str {
    word.sha256.get(..DIGEST).unwrap_or(&word.sha256)
}

fn state(word: &Word) -> Cell {
    let reason = word.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    match (word.state, word.source.as_str()) {
        (State::Ready, "built-in") => Cell::styled("built in", GOOD),
        (State::Ready, file) => Cell::styled(format!("ok, {file}"), GOOD),
        (State::Retrying, _) => Cell::styled(format!("retrying{reason}"), WARN),
        (State::Quarantined, _) => Cell::styled(format!("quarantined{reason}"), BAD),
    }
}

/// What the word says of itself, what it takes and answers, what it may do.
fn describe(session: &mut Session<'_>, word: &Word) -> Result<(), CliError> {
    let of = format!("contract {}, sha256 {}, {}", word.contract, digest(word), word.source);
    session.terminal.line(&word.summary)?;
    session.terminal.line(&format!("{} {}, {of}", word.word, word.version))?;
    takes(session, word)?;
    let reply =
        if word.reply == Any::default() { "nothing".to_owned() } else { schema(&word.reply).to_string() };
    let facts = [
        ("answers", reply),
        ("binds", listed(&word.binds)),
        ("imports", imports(&word.imports)),
        ("grants", listed(&word.grants)),
        ("calls", format!("{}, {} of them trapped", word.calls, word.traps)),
    ];
    session.terminal.line("")?;
    Ok(facts.iter().try_for_each(|(name, told)| session.terminal.line(&format!("  {name:<7}  {told}")))?)
}

/// `  path=STRING  only the file system that holds this`
fn takes(session: &mut Session<'_>, word: &Word) -> Result<(), CliError> {
    let schema = schema(&word.parameters);
    let text = |schema: &Json, name, otherwise: &str| schema[name].as_str().unwrap_or(otherwise).to_owned();
    let one = |(name, schema): (&String, &Json)| {
        (format!("{name}={}", text(schema, "type", "any").to_uppercase()), text(schema, "description", ""))
    };
    let all: Vec<_> = schema["properties"].as_object().into_iter().flatten().map(one).collect();
    let width = all.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    if !all.is_empty() {
        session.terminal.line("")?;
    }
    Ok(all
        .iter()
        .try_for_each(|(name, what)| session.terminal.line(format!("  {name:width$}  {what}").trim_end()))?)
}

pub(super) fn schema(schema: &Any) -> Json {
    to_json(&schema.0)
}

/// Interfaces of the contract by their short names; those of WASI, which language tools add, as a count.
fn imports(all: &[String]) -> String {
    let (wasi, ours): (Vec<_>, Vec<_>) = all.iter().partition(|import| import.starts_with("wasi:"));
    let short = |import: &String| Some(import.rsplit('/').next()?.split('@').next()?.to_owned());
    let ours: Vec<_> = ours.into_iter().filter_map(short).collect();
    let wasi = match wasi.len() {
        0 => String::new(),
        count => format!(" (and {count} of WASI)"),
    };
    format!("{}{wasi}", listed(&ours))
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
}
