//! Reads the layers and lays them over each other. The only module that opens files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::origin::Origin;
use crate::parse::{self, Lines};
use crate::problem::{Problem, Severity};
use crate::sources::{Application, FileSource, Setting, Sources};
use crate::suggestion::closest;
use crate::tree::{Node, Value, dotted};
use crate::wording;

/// Bytes of a configuration file; the longest by hand has some thousands.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Tables a variable or flag may name on the way to its key.
const MAX_DEPTH: usize = 16;

/// All layers in one tree, and the defaults alone.
pub(crate) struct Layers {
    pub(crate) defaults: Node,
    pub(crate) merged: Node,
}

pub(crate) fn merged(app: &Application, sources: &Sources, problems: &mut Vec<Problem>) -> Layers {
    let defaults = defaults(app, sources, problems);
    let mut merged = defaults.clone();
    for source in &sources.files {
        for (path, may_be_missing) in files(source, problems) {
            read_file(&path, may_be_missing, problems).into_iter().for_each(|file| merged.merge(file));
        }
    }
    for (variable, text) in &sources.environment {
        lay_variable(&mut merged, app, (variable, text), &defaults, problems);
    }
    for Setting { flag, key, value } in &sources.flags {
        set(&mut merged, key, value, &Origin::Flag { flag: flag.clone() }, problems);
    }
    Layers { defaults, merged }
}

fn defaults(app: &Application, sources: &Sources, problems: &mut Vec<Problem>) -> Node {
    let empty = Node {
        path: String::new(),
        key_origin: Origin::Default,
        origin: Origin::Default,
        value: Value::Table(BTreeMap::new()),
    };
    let mut defaults = parse::document(app.default, &|_| Origin::Default, problems).unwrap_or(empty);
    for (key, value) in &sources.computed {
        set(&mut defaults, key, value, &Origin::Default, problems);
    }
    defaults
}

/// Paths a source stands for, and whether they may be missing.
fn files(source: &FileSource, problems: &mut Vec<Problem>) -> Vec<(PathBuf, bool)> {
    match source {
        FileSource::Folder(folder) => match toml_files(folder) {
            Ok(paths) => paths.into_iter().map(|path| (path, true)).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                problems.push(unreadable(folder, &error.to_string()));
                Vec::new()
            }
        },
        FileSource::Optional(path) => vec![(path.clone(), true)],
        FileSource::Required(path) => vec![(path.clone(), false)],
    }
}

fn toml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = folder.read_dir()?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    Ok(paths)
}

fn read_file(path: &Path, may_be_missing: bool, problems: &mut Vec<Problem>) -> Option<Node> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) if may_be_missing && error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            problems.push(unreadable(path, &error.to_string()));
            return None;
        }
    };
    let (lines, path) = (Lines::of(&text), Arc::<Path>::from(path));
    let locate = |offset| Origin::File { path: path.clone(), position: Some(lines.position(offset)) };
    parse::document(&text, &locate, problems)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("it has more than {} KiB", MAX_FILE_BYTES / 1024)));
    }
    Ok(text)
}

fn unreadable(path: &Path, cause: &str) -> Problem {
    let origin = Origin::File { path: path.into(), position: None };
    Problem::error(origin, "", format!("cannot be read: {cause}"))
}

fn lay_variable(
    tree: &mut Node,
    app: &Application,
    (variable, text): (&str, &str),
    defaults: &Node,
    problems: &mut Vec<Problem>,
) {
    let Some(name) = variable.strip_prefix(app.env_prefix) else { return };
    if app.other_variables.contains(&variable) {
        return;
    }
    let origin = Origin::Environment { variable: variable.to_owned() };
    match keys_of_variable(name, app, tree) {
        Some(keys) => lay(tree, &keys, text, &origin, problems),
        None => problems.push(no_key(app, variable, defaults)),
    }
}

fn set(tree: &mut Node, key: &str, text: &str, origin: &Origin, problems: &mut Vec<Problem>) {
    let keys: Vec<_> = key.split('.').map(str::to_owned).collect();
    if is_key(&keys) {
        lay(tree, &keys, text, origin, problems);
    } else {
        let message = format!("not a key: {}", wording::shorten(&dotted(&keys)));
        problems.push(Problem::error(origin.clone(), "", message));
    }
}

fn lay(tree: &mut Node, keys: &[String], text: &str, origin: &Origin, problems: &mut Vec<Problem>) {
    if let Some(leaf) = parse::value(&dotted(keys), text, origin, problems) {
        tree.merge(Node::below(keys, leaf));
    }
}

fn is_key<T: AsRef<str>>(parts: &[T]) -> bool {
    parts.len() <= MAX_DEPTH && parts.iter().all(|part| !part.as_ref().is_empty())
}

/// Dotted key of `BROKER__LISTEN`. A key that is not in the tree yet is taken in lower case, the name of a
/// named table as it stands; `None` if the way leads through a value.
fn keys_of_variable(name: &str, app: &Application, tree: &Node) -> Option<Vec<String>> {
    let parts: Vec<_> = name.split("__").collect();
    if !is_key(&parts) {
        return None;
    }
    let mut table = Some(tree);
    let mut keys: Vec<String> = Vec::new();
    for part in parts {
        if table.is_some_and(|node| node.table().is_none()) {
            return None;
        }
        let mut children = table.and_then(Node::table).into_iter().flatten();
        let child = children.find(|(key, _)| variable_part(key) == part);
        let is_name = app.named_tables.iter().any(|named| named.parent == dotted(&keys));
        keys.push(match child {
            Some((key, _)) => key.clone(),
            None if is_name => part.to_owned(),
            None => part.to_lowercase(),
        });
        table = child.map(|(_, node)| node);
    }
    Some(keys)
}

fn variable_part(key: &str) -> String {
    key.to_uppercase().replace(['-', '.'], "_")
}

/// The warning about a variable that means nothing.
pub(crate) fn no_key(app: &Application, variable: &str, defaults: &Node) -> Problem {
    // Without the prefix, which would make everything look alike.
    let plain = |variable: &str| variable.strip_prefix(app.env_prefix).unwrap_or(variable).to_owned();
    let others = app.other_variables.iter().map(|variable| plain(variable));
    let keys = defaults.leaves().into_iter().map(|leaf| variable_part(&leaf.path.replace('.', "__")));
    let names: Vec<_> = keys.chain(others).collect();
    let meant = closest(&plain(variable), names.iter().map(String::as_str));
    Problem {
        origin: Origin::Environment { variable: variable.to_owned() },
        severity: Severity::Warning,
        key: String::new(),
        message: "names no key".to_owned(),
        hint: meant.first().map(|name| format!("did you mean {}{name}?", app.env_prefix)),
    }
}
