//! Whom a request is for: names, globs, `@groups`, or a comma list of them.
//!
//! Parsing and matching only; who exists is told by the caller. The same grammar serves the command line, XML-RPC and
//! the configuration's `[groups]`.

use std::collections::{BTreeMap, BTreeSet};
use vocable_pattern::Patterns;
use vocable_protocol::excerpt;
pub use vocable_protocol::is_guest_id;

/// Longest target, bytes: ten thousand names fit.
const MAX_TARGET: usize = 1024 * 1024;
/// Globs in one target.
const MAX_GLOBS: usize = 64;

/// Why a target names nobody.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TargetError {
    /// Nothing between two commas, or nothing at all.
    #[error("empty target; name a guest, a glob such as '*', or a @group")]
    Empty,
    /// A glob that cannot be compiled.
    #[error("{0} is no valid glob: {1}")]
    Glob(String, String),
    /// Longer or richer than is taken.
    #[error("the target has {0}")]
    TooMuch(String),
    /// A group that the configuration does not have.
    #[error("no group is called {0}; groups are set in [groups] of the configuration")]
    NoGroup(String),
    /// A group that contains itself, directly or by way of others.
    #[error("group \"@{0}\" contains itself")]
    Circle(String),
    /// A name that no guest has.
    #[error("no guest is called {0}")]
    NoGuest(String),
    /// Everything was understood, and nobody fits.
    #[error("no guest matches {0}")]
    Nobody(String),
}

/// A parsed target.
#[derive(Clone, Debug)]
pub struct Target {
    text: String,
    items: Vec<Item>,
}

#[derive(Clone, Debug)]
enum Item {
    Name(String),
    Glob(Patterns),
    Group(String),
}

impl Target {
    /// Parses `ITEM{,ITEM}` where an item is a name, a glob or `@group`.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.len() > MAX_TARGET {
            return Err(TargetError::TooMuch(format!("{} bytes of {MAX_TARGET} at most", text.len())));
        }
        let globs = text.split(',').filter(|item| is_glob(item)).count();
        if globs > MAX_GLOBS {
            return Err(TargetError::TooMuch(format!("{globs} globs of {MAX_GLOBS} at most")));
        }
        let items = text.split(',').map(|item| Item::parse(item.trim())).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), items })
    }

    /// The one name this target consists of: such a request is about one guest, and answered in the singular.
    pub fn single(&self) -> Option<&str> {
        match self.items.as_slice() {
            [Item::Name(name)] => Some(name),
            _ => None,
        }
    }

    /// The guests among `known` it selects, sorted. A name nobody has is an error, and so is selecting nobody.
    pub fn resolve(
        &self,
        known: &BTreeSet<String>,
        groups: &BTreeMap<String, Vec<String>>,
    ) -> Result<Vec<String>, TargetError> {
        let mut selected = BTreeSet::new();
        self.collect(known, groups, &mut Walk::default(), &mut selected)?;
        if selected.is_empty() {
            return Err(TargetError::Nobody(excerpt(&self.text)));
        }
        Ok(selected.into_iter().collect())
    }

    fn collect(
        &self,
        known: &BTreeSet<String>,
        groups: &BTreeMap<String, Vec<String>>,
        walk: &mut Walk,
        selected: &mut BTreeSet<String>,
    ) -> Result<(), TargetError> {
        for item in &self.items {
            match item {
                Item::Name(name) if known.contains(name) => {
                    selected.insert(name.clone());
                }
                Item::Name(name) => return Err(TargetError::NoGuest(excerpt(name))),
                Item::Glob(glob) => selected.extend(known.iter().filter(|id| glob.fit(id)).cloned()),
                Item::Group(group) => {
                    if walk.inside.contains(group) {
                        return Err(TargetError::Circle(group.clone()));
                    }
                    if !walk.seen.insert(group.clone()) {
                        continue;
                    }
                    let members = groups
                        .get(group)
                        .ok_or_else(|| TargetError::NoGroup(excerpt(&format!("@{group}"))))?;
                    walk.inside.push(group.clone());
                    for member in members {
                        Self::parse(member)?.collect(known, groups, walk, selected)?;
                    }
                    walk.inside.pop();
                }
            }
        }
        Ok(())
    }
}

/// The groups on the way, and those that need no second look: groups of groups of groups would take for ever.
#[derive(Default)]
struct Walk {
    inside: Vec<String>,
    seen: BTreeSet<String>,
}

/// Whether an item is one, and no name.
fn is_glob(item: &str) -> bool {
    item.contains(['*', '?', '[', '{'])
}

impl Item {
    fn parse(text: &str) -> Result<Self, TargetError> {
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        if let Some(group) = text.strip_prefix('@') {
            return Ok(Self::Group(group.to_owned()));
        }
        if is_glob(text) {
            let glob = Patterns::new(&[text]);
            return glob.map(Self::Glob).map_err(|error| TargetError::Glob(excerpt(text), error.problem()));
        }
        Ok(Self::Name(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(target: &str) -> Result<Vec<String>, TargetError> {
        let known = ["vm1", "vm2", "pi-04"].map(String::from).into();
        let groups = BTreeMap::from([
            ("lab".to_owned(), vec!["vm1".to_owned(), "pi-*".to_owned()]),
            ("all".to_owned(), vec!["@lab".to_owned(), "vm2".to_owned()]),
            ("loop".to_owned(), vec!["@loop".to_owned()]),
        ]);
        Target::parse(target)?.resolve(&known, &groups)
    }

    #[test]
    fn names_globs_groups_and_lists_select_guests() {
        assert_eq!(resolve("vm1").unwrap(), ["vm1"]);
        assert_eq!(resolve("vm*").unwrap(), ["vm1", "vm2"]);
        assert_eq!(resolve("*").unwrap(), ["pi-04", "vm1", "vm2"]);
        assert_eq!(resolve("@lab").unwrap(), ["pi-04", "vm1"]);
        assert_eq!(resolve("@all, vm1").unwrap(), ["pi-04", "vm1", "vm2"]);
    }

    #[test]
    fn what_selects_nobody_is_an_error_that_names_it() {
        assert_eq!(resolve("vm9").unwrap_err().to_string(), "no guest is called \"vm9\"");
        assert_eq!(resolve("x*").unwrap_err().to_string(), "no guest matches \"x*\"");
        assert_eq!(resolve("@loop").unwrap_err(), TargetError::Circle("loop".into()));
        assert!(matches!(resolve("@nope"), Err(TargetError::NoGroup(_))));
        assert!(matches!(resolve("vm1,"), Err(TargetError::Empty)));
        assert!(matches!(resolve("["), Err(TargetError::Glob(..))));
    }

    #[test]
    fn a_target_is_no_longer_or_richer_than_anybody_needs() {
        let nested = format!("{}a{}", "{".repeat(260), "}".repeat(260));
        let error = resolve(&nested).unwrap_err().to_string();
        assert!(error.ends_with("is no valid glob: braces nest deeper than 8"), "{error}");
        let error = resolve(&["vm*"; 65].join(",")).unwrap_err().to_string();
        assert_eq!(error, "the target has 65 globs of 64 at most");
        let error = resolve(&"x".repeat(MAX_TARGET + 1)).unwrap_err().to_string();
        assert_eq!(error, "the target has 1048577 bytes of 1048576 at most");
        assert_eq!(resolve(&["vm1"; 10_000].join(",")).unwrap(), ["vm1"]);
    }

    #[test]
    fn groups_of_groups_are_looked_at_once() {
        let mut groups = BTreeMap::from([("g0".to_owned(), vec!["vm1".to_owned()])]);
        for n in 1..60 {
            groups.insert(format!("g{n}"), vec![format!("@g{}", n - 1); 2]);
        }
        let known = BTreeSet::from(["vm1".to_owned()]);
        assert_eq!(Target::parse("@g59").unwrap().resolve(&known, &groups).unwrap(), ["vm1"]);
    }

    #[test]
    fn only_a_single_name_is_single() {
        assert_eq!(Target::parse("vm1").unwrap().single(), Some("vm1"));
        assert_eq!(Target::parse("vm1,vm2").unwrap().single(), None);
        assert_eq!(Target::parse("vm*").unwrap().single(), None);
    }
}
