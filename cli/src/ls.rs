//! `vocable ls`: what is in the folders of guests.

use super::reply::Members;
use super::table::{Column, Table};
use super::{CliError, Session, completion, hints, human};
use clap_complete::ArgValueCompleter;
use serde_json::json;
use vocable_api::clock::age;
use vocable_xmlrpc::{Value, to_json};

/// The deepest that is listed: a guest could tell of folders without end.
const DEEPEST: usize = 64;

/// The most that is listed in one go: each is kept until all are there.
const MOST: usize = 100_000;

/// List a folder of a guest
#[derive(clap::Args, Debug)]
pub(super) struct LsArgs {
    /// What to list; GUEST:/ shows the folders that the guest offers
    #[arg(required = true, value_name = "GUEST:PATH", add = ArgValueCompleter::new(completion::guests))]
    places: Vec<String>,
    /// Modes, sizes and times too; the usual on a terminal
    #[arg(short, long)]
    long: bool,
    /// Also names that begin with a dot
    #[arg(short, long)]
    all: bool,
    /// Also what is in the folders
    #[arg(short = 'R', long)]
    recursive: bool,
}

/// Lists.
pub(super) fn ls(session: &mut Session<'_>, args: &LsArgs) -> Result<u8, CliError> {
    let mut documents = Vec::new();
    let several = args.places.len() > 1;
    for place in &args.places {
        let Some((guest, path)) = place.split_once(':').filter(|(guest, _)| !guest.is_empty()) else {
            return Err(
                CliError::usage(format!("{place} names no guest")).hint(format!("vocable ls GUEST:{place}"))
            );
        };
        let mut found = Vec::new();
        collect(session, args, guest, path, "", 0, &mut found)?;
        if session.terminal.is_json() {
            documents.extend(found.iter().map(|(_, entry)| {
                let mut document = to_json(entry);
                if let Some(members) = document.as_object_mut() {
                    members.insert("guest".to_owned(), json!(guest));
                }
                document
            }));
        } else {
            if several {
                session.terminal.line(&format!("{place}:"))?;
            }
            print(session, args, &found)?;
        }
    }
    if session.terminal.is_json() {
        session.terminal.document(&json!({"entries": documents}))?;
    }
    Ok(0)
}

/// What a folder has, with the path of each below the first.
fn collect(
    session: &Session<'_>,
    args: &LsArgs,
    guest: &str,
    path: &str,
    above: &str,
    depth: usize,
    found: &mut Vec<(String, Value)>,
) -> Result<(), CliError> {
    let call = |method: &str, path: &str| {
        let answer = session.agent.call(method, vec![Value::from(guest), Value::from(path)]);
        answer.map_err(|error| hints::about_target(error, guest, session.agent))
    };
    let entries = match call("file.list", path) {
        // One file is listed by itself.
        Err(error) if depth == 0 && error.code() == "file-failed" => {
            vec![call("file.stat", path)?]
        }
        listed => listed?.list().to_vec(),
    };
    for entry in entries {
        let name = entry.text("name").unwrap_or_default().to_owned();
        if !args.all && name.starts_with('.') {
            continue;
        }
        if found.len() >= MOST {
            let what =
                format!("{guest}:{path} and what is around it have more than {MOST} files and folders");
            return Err(CliError::new("too-many", what).hint("list a folder further down"));
        }
        let below = format!("{above}{name}");
        let is_folder = entry.text("type") == Some("dir");
        found.push((below.clone(), entry));
        if args.recursive && is_folder && depth < DEEPEST {
            let inner = format!("{}/{name}", path.trim_end_matches('/'));
            collect(session, args, guest, &inner, &format!("{below}/"), depth + 1, found)?;
        }
    }
    Ok(())
}

fn print(session: &mut Session<'_>, args: &LsArgs, found: &[(String, Value)]) -> Result<(), CliError> {
    let long = args.long || session.terminal.width().is_some();
    if !long || session.terminal.is_quiet() {
        return Ok(found.iter().try_for_each(|(name, _)| session.terminal.line(name))?);
    }
    let columns =
        vec![Column::text("mode"), Column::number("size"), Column::text("age"), Column::prose("name")];
    let mut table = Table::new(columns);
    let now = (session.now)().utc;
    for (name, entry) in found {
        let size = entry.count("size").map_or_else(|| "-".to_owned(), human::size);
        let changed = entry.moment("mtime").map(|at| age((now - at).try_into().unwrap_or_default()));
        let shown = match entry.text("target") {
            Some(target) => format!("{name} -> {target}"),
            None if entry.text("type") == Some("dir") => format!("{name}/"),
            None => name.clone(),
        };
        table.row(vec![mode(entry).into(), size.into(), changed.unwrap_or_default().into(), shown.into()]);
    }
    Ok(table.print(session.terminal)?)
}

/// `-rw-r--r--`
fn mode(entry: &Value) -> String {
    let kind = match entry.text("type") {
        Some("dir") => 'd',
        Some("file") => '-',
        Some("link") => 'l',
        _ => '?',
    };
    let mode = entry.count("mode").unwrap_or_default();
    let letters = "rwxrwxrwx".chars().enumerate();
    let bits = letters.map(|(n, letter)| if mode >> (8 - n) & 1 == 1 { letter } else { '-' });
    let mut text: Vec<char> = std::iter::once(kind).chain(bits).collect();
    for (bit, at, set, unset) in [(11, 3, 's', 'S'), (10, 6, 's', 'S'), (9, 9, 't', 'T')] {
        if mode >> bit & 1 == 1
            && let Some(letter) = text.get_mut(at)
        {
            *letter = if *letter == 'x' { set } else { unset };
        }
    }
    text.into_iter().collect()
}
