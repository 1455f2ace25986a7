//! Answers of guests as people read them: a table where all have one flat shape, else a line of JSON each.

use crate::format;
use crate::output::Terminal;
use crate::table::{Cell, Column, Table};
use crate::words::schema;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::io;
use vocable_api::word::{Answer, Word};
use vocable_xmlrpc::to_json;

/// An answer that can stand in a table: its guest and its members.
type Row<'a> = (&'a str, Map<String, Json>);

/// Prints the answers of those that answered.
pub(super) fn print(
    terminal: &mut Terminal,
    answers: &[Answer],
    word: Option<&Word>,
    forced: bool,
) -> io::Result<()> {
    let answered: Vec<_> = answers.iter().filter(|answer| answer.ok).collect();
    let rows: Option<Vec<_>> = answered.iter().map(|answer| rows_of(answer, forced)).collect();
    let rows: Vec<_> = rows.unwrap_or_default().into_iter().flatten().collect();
    if !rows.is_empty() {
        return table(&rows, word).print(terminal);
    }
    for Answer { guest, answer, .. } in answered {
        let told = answer.as_ref().map_or_else(|| "ok".to_owned(), |answer| to_json(&answer.0).to_string());
        terminal.line(&format!("{guest}: {told}"))?;
    }
    Ok(())
}

/// The rows of one answer, if it is an object or an array of objects; flat ones unless a table is forced.
fn rows_of(answer: &Answer, forced: bool) -> Option<Vec<Row<'_>>> {
    let guest = answer.guest.as_str();
    let objects = match to_json(&answer.answer.as_ref()?.0) {
        Json::Array(items) => items,
        other => vec![other],
    };
    let row = |object| match object {
        Json::Object(members) if forced || members.values().all(is_scalar) => Some((guest, members)),
        other if forced => Some((guest, Map::from_iter([("answer".to_owned(), other)]))),
        _ => None,
    };
    objects.into_iter().map(row).collect()
}

fn is_scalar(value: &Json) -> bool {
    !matches!(value, Json::Array(_) | Json::Object(_))
}

/// Texts stand before numbers; members have no order of their own.
fn table(rows: &[Row<'_>], word: Option<&Word>) -> Table {
    let reply = word.map_or(Json::Null, |word| schema(&word.reply));
    let mut kinds: BTreeMap<&str, bool> = BTreeMap::new();
    for (name, value) in rows.iter().flat_map(|(_, members)| members) {
        let is_number = value.is_number() || value.is_null();
        kinds.entry(name).and_modify(|all| *all &= is_number).or_insert(is_number);
    }
    let mut names: Vec<_> = kinds.into_iter().collect();
    names.sort_by_key(|(name, is_number)| (*is_number, *name));
    let column = |(name, is_number): &(&str, bool)| {
        if *is_number { Column::number(name) } else { Column::prose(name) }
    };
    let columns: Vec<_> = [Column::text("guest")].into_iter().chain(names.iter().map(column)).collect();
    let mut table = Table::new(columns);
    for (guest, members) in rows {
        let cell = |(name, _): &(&str, bool)| Cell::from(shown(members.get(*name), is_bytes(&reply, name)));
        table.row([Cell::from(*guest)].into_iter().chain(names.iter().map(cell)).collect::<Vec<_>>());
    }
    table
}

/// Whether the word says that this member of its answer, or of each item of it, counts bytes.
fn is_bytes(reply: &Json, name: &str) -> bool {
    [reply, &reply["items"]].iter().any(|schema| schema["properties"][name]["format"] == "bytes")
}

fn shown(value: Option<&Json>, is_bytes: bool) -> String {
    match value {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.escape_debug().to_string(),
        Some(number) if is_bytes => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of bytes")]
            let bytes = number.as_f64().map(|bytes| bytes.max(0.0) as u64);
            bytes.map_or_else(|| number.to_string(), format::size)
        }
        Some(other) => other.to_string(),
    }
}
