//! Values that know their key and where they were written, and how two such trees merge.
//!
//! A node keeps its own path, so it still answers for its key after it was moved, inherited, or left behind
//! by a sibling that was dropped.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use toml::value::Datetime;

use crate::origin::Origin;

/// A value, its key and its places.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Dotted key, such as `broker.listen[1]`; empty for the whole tree.
    pub(crate) path: String,
    /// Where the key stands.
    pub(crate) key_origin: Origin,
    /// Where the value stands; of a table, its header.
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Array(Vec<Node>),
    Boolean(bool),
    Datetime(Datetime),
    Float(f64),
    Integer(i64),
    String(String),
    Table(BTreeMap<String, Node>),
}

impl Node {
    /// `leaf` at dotted `keys`, in the tables that lead to it.
    pub(crate) fn below(keys: &[String], leaf: Self) -> Self {
        keys.iter().enumerate().rev().fold(leaf, |child, (depth, key)| Self {
            path: dotted(keys.iter().take(depth)),
            key_origin: child.key_origin.clone(),
            origin: child.origin.clone(),
            value: Value::Table(BTreeMap::from([(key.clone(), child)])),
        })
    }

    /// Lays `over` on top: tables merge, everything else replaces.
    ///
    /// A table is where somebody first wrote it, so that adding a key elsewhere does not move it.
    pub(crate) fn merge(&mut self, over: Self) {
        self.path = over.path;
        match (&mut self.value, over.value) {
            (Value::Table(under), Value::Table(over)) if self.origin != Origin::Default => {
                return merge_tables(under, over);
            }
            (Value::Table(under), Value::Table(over)) => merge_tables(under, over),
            (value, over) => *value = over,
        }
        (self.key_origin, self.origin) = (over.key_origin, over.origin);
    }

    pub(crate) fn table(&self) -> Option<&BTreeMap<String, Self>> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(crate) fn table_mut(&mut self) -> Option<&mut BTreeMap<String, Self>> {
        match &mut self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(crate) fn find(&self, path: &str) -> Option<&Self> {
        Some(self.nearest(path)).filter(|node| node.path == path)
    }

    /// The node at `path`, or the last one on the way to it.
    pub(crate) fn nearest(&self, path: &str) -> &Self {
        match self.children().find(|child| child.leads_to(path)) {
            Some(child) => child.nearest(path),
            None => self,
        }
    }

    pub(crate) fn find_mut(&mut self, path: &str) -> Option<&mut Self> {
        if self.path == path {
            return Some(self);
        }
        let child = match &mut self.value {
            Value::Array(items) => items.iter_mut().find(|child| child.leads_to(path)),
            Value::Table(table) => table.values_mut().find(|child| child.leads_to(path)),
            _ => None,
        };
        child?.find_mut(path)
    }

    /// Removes the node at `path`, which must not be the root; siblings keep their paths.
    pub(crate) fn remove(&mut self, path: &str) {
        match &mut self.value {
            Value::Array(items) => {
                items.retain(|child| child.path != path);
                items.iter_mut().filter(|child| child.leads_to(path)).for_each(|child| child.remove(path));
            }
            Value::Table(table) => {
                table.retain(|_, child| child.path != path);
                table.values_mut().filter(|child| child.leads_to(path)).for_each(|child| child.remove(path));
            }
            _ => {}
        }
    }

    /// Every value that is not a table, in key order; arrays count as one.
    pub(crate) fn leaves(&self) -> Vec<&Self> {
        match &self.value {
            Value::Table(table) => table.values().flat_map(Self::leaves).collect(),
            _ => vec![self],
        }
    }

    fn children(&self) -> impl Iterator<Item = &Self> {
        let (items, table) = match &self.value {
            Value::Array(items) => (items.as_slice(), None),
            Value::Table(table) => (&[][..], Some(table)),
            _ => (&[][..], None),
        };
        items.iter().chain(table.into_iter().flat_map(BTreeMap::values))
    }

    fn leads_to(&self, path: &str) -> bool {
        path.strip_prefix(&self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

fn merge_tables(under: &mut BTreeMap<String, Node>, over: BTreeMap<String, Node>) {
    for (key, node) in over {
        match under.entry(key) {
            Entry::Occupied(mut entry) => entry.get_mut().merge(node),
            Entry::Vacant(entry) => {
                entry.insert(node);
            }
        }
    }
}

impl fmt::Display for Value {
    /// TOML text on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Array(items) => {
                f.write_str("[")?;
                write_list(f, items.iter(), |f, item| write!(f, "{}", item.value))?;
                f.write_str("]")
            }
            Self::Boolean(boolean) => write!(f, "{boolean}"),
            Self::Datetime(datetime) => write!(f, "{datetime}"),
            Self::Float(float) => write!(f, "{}", toml::Value::Float(*float)),
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::String(text) => write!(f, "{}", Quoted(text)),
            Self::Table(table) if table.is_empty() => f.write_str("{}"),
            Self::Table(table) => {
                f.write_str("{ ")?;
                write_list(f, table.iter(), |f, (key, node)| {
                    write!(f, "{} = {}", join("", key), node.value)
                })?;
                f.write_str(" }")
            }
        }
    }
}

fn write_list<T>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
    write: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    items.enumerate().try_for_each(|(index, item)| {
        f.write_str(if index > 0 { ", " } else { "" })?;
        write(f, item)
    })
}

/// A TOML basic string: on one line, control characters escaped.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => write!(f, "\\u{:04X}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// `a.b.c`.
pub(crate) fn dotted<'a>(keys: impl IntoIterator<Item = &'a String>) -> String {
    keys.into_iter().fold(String::new(), |path, key| join(&path, key))
}

/// `parent.key`, the key in quotes if TOML wants it so.
pub(crate) fn join(parent: &str, key: &str) -> String {
    let dot = if parent.is_empty() { "" } else { "." };
    if is_bare(key) { format!("{parent}{dot}{key}") } else { format!("{parent}{dot}{}", Quoted(key)) }
}

fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}
