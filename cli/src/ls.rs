//! `vocable ls`: what is in the folders of guests.

use super::table::{Column, Table};
use super::{CliError, Session, completion, format, hints};
use clap_complete::ArgValueCompleter;
use serde_json::json;
use vocable_api::clock::age;
use vocable_api::file::{Entry, EntryType, List, Stat};

/// The deepest that is listed: a guest could list folders without end.
const MAX_DEPTH: usize = 64;

/// The most that is listed in one go: each is kept until all are there.
const MAX_ENTRIES: usize = 100_000;

/// List a folder of a guest
#[derive(clap::Args, Debug)]
pub(super) struct LsArgs {
    /// Folders and files; GUEST:/ shows the folders that the guest offers
    #[arg(required = true, value_name = "GUEST:PATH", add = ArgValueCompleter::new(completion::guests))]
    places: Vec<String>,
    /// Long format: modes, sizes and times (default on a terminal)
    #[arg(short, long)]
    long: bool,
    /// Include names that begin with a dot
    #[arg(short, long)]
    all: bool,
    /// List folders with all that is in them
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
            documents.extend(found.iter().map(|(_, entry)| super::df::of_guest(guest, entry)));
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
    found: &mut Vec<(String, Entry)>,
) -> Result<(), CliError> {
    let failed = |error| hints::about_target(error, guest, session.agent);
    let listed = session.agent.ask(&List { guest: guest.to_owned(), path: path.to_owned() });
    let entries = match listed.map_err(failed) {
        // One file is listed by itself.
        Err(error) if depth == 0 && error.code() == "file-failed" => {
            let found = session.agent.ask(&Stat { guest: guest.to_owned(), path: path.to_owned() });
            vec![found.map_err(failed)?]
        }
        listed => listed?,
    };
    for entry in entries {
        let name = entry.name.clone();
        if !args.all && name.starts_with('.') {
            continue;
        }
        if found.len() >= MAX_ENTRIES {
            let what = format!(
                "{guest}:{path} and what is around it have more than {MAX_ENTRIES} files and folders"
            );
            return Err(CliError::new("too-many", what).hint("list a folder further down"));
        }
        let below = format!("{above}{name}");
        let is_folder = entry.kind == EntryType::Dir;
        found.push((below.clone(), entry));
        if args.recursive && is_folder && depth < MAX_DEPTH {
            let inner = format!("{}/{name}", path.trim_end_matches('/'));
            collect(session, args, guest, &inner, &format!("{below}/"), depth + 1, found)?;
        }
    }
    Ok(())
}

fn print(session: &mut Session<'_>, args: &LsArgs, found: &[(String, Entry)]) -> Result<(), CliError> {
    let long = args.long || session.terminal.width().is_some();
    if !long || session.terminal.is_quiet() {
        return Ok(found.iter().try_for_each(|(name, _)| session.terminal.line(name))?);
    }
    let columns =
        vec![Column::text("mode"), Column::number("size"), Column::text("age"), Column::prose("name")];
    let mut table = Table::new(columns);
    let now = (session.now)().utc;
    for (name, entry) in found {
        let size = entry.size.map_or_else(|| "-".to_owned(), format::size);
        let changed = entry.mtime_unix.moment().map(|at| age((now - at).try_into().unwrap_or_default()));
        let shown = match &entry.target {
            Some(target) => format!("{name} -> {target}"),
            None if entry.kind == EntryType::Dir => format!("{name}/"),
            None => name.clone(),
        };
        table.row(vec![mode(entry).into(), size.into(), changed.unwrap_or_default().into(), shown.into()]);
    }
    Ok(table.print(session.terminal)?)
}

/// `-rw-r--r--`
fn mode(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryType::Dir => 'd',
        EntryType::File => '-',
        EntryType::Link => 'l',
        EntryType::Other => '?',
    };
    let mode = entry.mode;
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
