//! All of it together: merge the layers, read the type, repair and read again, check, list.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use crate::entry::{self, Entry};
use crate::layers::{self, Layers};
use crate::origin::Origin;
use crate::problem::{Finding, Problem, Problems};
use crate::reader::{self, Fault, FaultKind, Unknown};
use crate::shape::{self, NAMED_FIELD};
use crate::sources::{Application, Sources};
use crate::suggestion::{did_you_mean, one_of};
use crate::tree::{Node, join};
use crate::wording;

/// Values that do not fit before loading gives up; each costs a reading of the whole tree.
const MAX_FAULTS: usize = 100;

/// What came of loading.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The configuration; `None` if there are errors.
    pub value: Option<T>,
    /// Everything that is wrong, warnings included.
    pub problems: Problems,
    /// Every key in effect, in key order.
    pub entries: Vec<Entry>,
}

/// Reads the sources as a `T`. All problems are found at once: a value that does not fit gives way to its
/// default so that the rest can be judged, also by `check`, which sees a `T` with such defaults in it.
pub fn load<T: DeserializeOwned>(
    app: &Application,
    sources: &Sources,
    check: impl FnOnce(&T) -> Vec<Finding>,
) -> Loaded<T> {
    let mut problems = Vec::new();
    let Layers { defaults, merged } = layers::merged(app, sources, &mut problems);
    let entries = entry::entries(&merged, &defaults, app.named_tables);
    let mut repair =
        Repair { app, defaults: &defaults, tree: merged.clone(), dropped: BTreeSet::new(), problems };
    let value = repair.read::<T>();
    let mut problems = repair.problems;
    let findings = value.as_ref().map(check).unwrap_or_default();
    problems.extend(findings.into_iter().map(|finding| placed(finding, &merged)));
    let problems = Problems::new(problems);
    Loaded { value: value.filter(|_| !problems.has_errors()), problems, entries }
}

struct Repair<'a> {
    app: &'a Application,
    defaults: &'a Node,
    tree: Node,
    /// Paths of values that did not fit and have no default.
    dropped: BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Repair<'_> {
    fn read<T: DeserializeOwned>(&mut self) -> Option<T> {
        for _ in 0..MAX_FAULTS {
            let shaped = shape::shaped(&self.tree, self.defaults, self.app.named_tables);
            let (result, unknown) = reader::read::<T>(&shaped);
            let fault = match result {
                Ok(value) => {
                    self.report_unknown(unknown);
                    return Some(value);
                }
                Err(fault) => fault,
            };
            self.report(&fault);
            if fault.path.is_empty() {
                return None;
            }
            self.replace(fault.path);
        }
        let last = self.problems.last().map_or(Origin::Default, |problem| problem.origin.clone());
        let message = format!("{MAX_FAULTS} values do not fit; the rest was not looked at");
        self.problems.push(Problem::error(last, "", message));
        None
    }

    fn report(&mut self, fault: &Fault) {
        // A key we dropped ourselves has been reported; that it is missing now is no news.
        if let FaultKind::Missing(field) = fault.kind
            && self.dropped.contains(&join(&fault.path, field))
        {
            return;
        }
        let node = self.tree.nearest(&fault.path);
        let (message, hint) = wording::fault(fault, node, self.default_of(&fault.path));
        let problem = Problem::error(node.origin.clone(), &node.path, message).hint(hint);
        self.problems.push(problem);
    }

    /// Puts the default at `path`, or nothing if there is none.
    fn replace(&mut self, path: String) {
        match (self.tree.find_mut(&path), self.defaults.find(&path)) {
            (Some(node), Some(default)) if node.origin != Origin::Default => *node = default.clone(),
            _ => {
                self.tree.remove(&path);
                self.dropped.insert(path);
            }
        }
    }

    fn default_of(&self, path: &str) -> Option<&Node> {
        let template = || shape::template_path(path, self.app.named_tables);
        self.defaults.find(path).or_else(|| self.defaults.find(&template()?))
    }

    fn report_unknown(&mut self, unknown: Vec<Unknown>) {
        let mut seen = BTreeSet::new();
        for key in unknown {
            // Named tables inherit the unknown keys of their template.
            if seen.insert(key.path.clone()) {
                let problems = self.unknown_problems(&key);
                self.problems.extend(problems);
            }
        }
    }

    /// A stray variable is a warning, it may be another program's; in a file or a flag it is an error.
    fn unknown_problems(&self, unknown: &Unknown) -> Vec<Problem> {
        let node = self.tree.nearest(&unknown.path);
        let origin = if node.table().is_some() { &node.origin } else { &node.key_origin };
        let variables = node.leaves().into_iter().filter_map(|leaf| match &leaf.origin {
            Origin::Environment { variable } => Some(layers::no_key(self.app, variable, self.defaults)),
            _ => None,
        });
        let written = !matches!(origin, Origin::Environment { .. });
        variables.chain(written.then(|| self.unknown_key(node, origin, unknown))).collect()
    }

    fn unknown_key(&self, node: &Node, origin: &Origin, unknown: &Unknown) -> Problem {
        let message = format!("unknown key {}", wording::shorten(&node.path));
        Problem::error(origin.clone(), &node.path, message).hint(self.meant(unknown))
    }

    /// A field beside the unknown one, or else a key of that name in another table.
    fn meant(&self, unknown: &Unknown) -> Option<String> {
        let name = last_key(&unknown.path);
        let fields = unknown.fields.iter().copied().filter(|field| *field != NAMED_FIELD);
        let elsewhere = || {
            let leaves = self.defaults.leaves().into_iter().map(|leaf| leaf.path.as_str());
            let same: Vec<_> = leaves.filter(|path| last_key(path) == name).collect();
            if same.len() <= 2 { one_of(same) } else { None }
        };
        did_you_mean(name, fields).or_else(elsewhere)
    }
}

fn last_key(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, key)| key)
}

/// A finding with the place and the value of its key. A key that nobody wrote, such as one inherited from a
/// template, is placed at the table it would be in.
fn placed(finding: Finding, tree: &Node) -> Problem {
    let Finding { severity, key, message, hint } = finding;
    let node = tree.nearest(&key);
    let subject = if node.path == key { wording::subject(node) } else { wording::shorten(&key) };
    Problem { origin: node.origin.clone(), severity, message: format!("{subject}: {message}"), key, hint }
}
