//! The values in effect, and where each comes from.

use std::fmt;

use serde::Serialize;

use crate::origin::Origin;
use crate::shape;
use crate::sources::NamedTables;
use crate::tree::Node;

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Dotted key.
    pub key: String,
    /// TOML text on one line.
    pub value: String,
    /// Where the value was written.
    pub origin: Origin,
    /// The value it would have otherwise, as TOML text; of a named table's key, the template's.
    pub default: Option<String>,
}

impl Entry {
    /// Whether somebody set it, if only to its default.
    pub fn is_set(&self) -> bool {
        self.origin != Origin::Default
    }
}

pub(crate) fn entries(tree: &Node, defaults: &Node, named_tables: &[NamedTables]) -> Vec<Entry> {
    let of_default = |path: &str| {
        let template = || shape::template_path(path, named_tables).and_then(|path| defaults.find(&path));
        defaults.find(path).or_else(template).map(|node| node.value.to_string())
    };
    let entry = |leaf: &Node| Entry {
        key: leaf.path.clone(),
        value: leaf.value.to_string(),
        origin: leaf.origin.clone(),
        default: of_default(&leaf.path),
    };
    tree.leaves().into_iter().map(entry).collect()
}

/// Entries in columns: key, value, origin, and the default where it is another.
#[derive(Debug, Clone)]
pub struct Listing<'a>(pub Vec<&'a Entry>);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&Entry) -> &str| {
            self.0.iter().map(|entry| of(entry).chars().count()).max().unwrap_or_default()
        };
        let (keys, values) = (width(|entry| &entry.key), width(|entry| &entry.value));
        for Entry { key, value, origin, default } in self.0.iter().copied() {
            write!(f, "{key:<keys$}  {value:<values$}  {origin}")?;
            match default {
                Some(default) if default != value => writeln!(f, "   (default {default})")?,
                _ => writeln!(f)?,
            }
        }
        Ok(())
    }
}
