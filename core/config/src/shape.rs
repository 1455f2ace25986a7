//! Named tables: `[words.SOAK]` starts as a copy of `[words.default]`, and all of them stand apart from the
//! parent's own keys when the agent's type reads them. See [`NamedTables`].

use std::collections::BTreeMap;

use crate::sources::NamedTables;
use crate::tree::{Node, Value};

/// The field that holds the named tables of a parent.
pub(crate) const NAMED_FIELD: &str = "*";

/// The tree as the agent's type expects it. Nodes keep the paths they were written with.
pub(crate) fn shaped(tree: &Node, defaults: &Node, named_tables: &[NamedTables]) -> Node {
    let mut tree = tree.clone();
    for named in named_tables {
        gather(&mut tree, defaults, named);
    }
    tree
}

fn gather(tree: &mut Node, defaults: &Node, named: &NamedTables) {
    let Some(parent) = tree.find_mut(named.parent) else { return };
    let (path, key_origin, origin) = (parent.path.clone(), parent.key_origin.clone(), parent.origin.clone());
    let Some(children) = parent.table_mut() else { return };
    let own_keys = defaults.find(named.parent).and_then(Node::table);
    let is_own = |key: &str| own_keys.and_then(|keys| keys.get(key)).is_some_and(|key| key.table().is_none());
    // A value under the field's own name is no key of the parent's either: let the type refuse it.
    let is_named = |key: &str, child: &Node| (child.table().is_some() && !is_own(key)) || key == NAMED_FIELD;
    let (tables, own): (BTreeMap<_, _>, _) =
        std::mem::take(children).into_iter().partition(|(key, child)| is_named(key, child));
    let template = tables.get(named.template).cloned();
    let inherit = |(name, table)| (name, inherit(template.as_ref(), table));
    let value = Value::Table(tables.into_iter().map(inherit).collect());
    *children = own;
    children.insert(NAMED_FIELD.to_owned(), Node { path, key_origin, origin, value });
}

fn inherit(template: Option<&Node>, table: Node) -> Node {
    let Some(template) = template else { return table };
    let mut full = template.clone();
    (full.key_origin, full.origin) = (table.key_origin.clone(), table.origin.clone());
    full.merge(table);
    full
}

/// `words.default.memory` for `words.SOAK.memory`.
pub(crate) fn template_path(path: &str, named_tables: &[NamedTables]) -> Option<String> {
    named_tables.iter().find_map(|NamedTables { parent, template }| {
        let (_name, key) = path.strip_prefix(parent)?.strip_prefix('.')?.split_once('.')?;
        Some(format!("{parent}.{template}.{key}"))
    })
}
