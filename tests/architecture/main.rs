//! ARCHITECTURE.md against the sources: the folders of its tree, the arrows between the crates, and no circle of imports
//! between the modules of a crate.
//!
//! [`workspace`]: the crates, and what each is made of. [`document`]: what ARCHITECTURE.md says of them. [`imports`]:
//! which module of a crate names which other. [`graph`]: circles.
#![cfg(test)]

mod document;
mod graph;
mod imports;
mod workspace;

use document::Document;
use graph::Graph;
use std::collections::BTreeSet;
use workspace::Workspace;

#[test]
fn no_crate_has_a_circle_of_imports_between_its_modules() {
    let mut problems = Vec::new();
    for member in &Workspace::read().members {
        let mut graph = Graph::default();
        for import in imports::of(&member.folder) {
            graph.add(&import.from, &import.to, import.place);
        }
        problems.extend(graph.circles().into_iter().map(|circle| format!("{}: {circle}", member.name)));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_crates_depend_on_each_other_as_the_document_says() {
    let (workspace, document) = (Workspace::read(), Document::read());
    let mut problems = Vec::new();
    for member in &workspace.members {
        let allowed = document.allowed(&member.name);
        let used: BTreeSet<_> = member.dependencies.iter().cloned().collect();
        for name in used.difference(&allowed) {
            problems
                .push(format!("{0}/Cargo.toml: {0} → {name} is no arrow of ARCHITECTURE.md", member.name));
        }
        for name in allowed.difference(&used) {
            problems.push(format!("ARCHITECTURE.md: {} → {name} is no dependency any more", member.name));
        }
    }
    let graph = workspace.graph();
    for (from, to) in &document.forbidden {
        for name in [from, to] {
            if workspace.member(name).is_none() {
                problems.push(format!("ARCHITECTURE.md: {from} ↛ {to}: {name} is no crate"));
            }
        }
        if let Some(path) = graph.path(from, to) {
            problems.push(format!("{from} ↛ {to} in ARCHITECTURE.md, but {path}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_tree_of_the_document_is_the_tree() {
    let (workspace, document) = (Workspace::read(), Document::read());
    let is_below = |folder: &str, of: &str| folder == of || folder.starts_with(&format!("{of}/"));
    let mut problems = Vec::new();
    for folder in &document.tree {
        if !workspace::root().join(folder).is_dir() {
            problems.push(format!("{folder} is in the tree of ARCHITECTURE.md and does not exist"));
        }
    }
    let members = workspace.members.iter().map(|member| member.name.clone());
    for folder in members.chain(workspace::top_folders()) {
        let is_named = document.tree.iter().any(|it| is_below(&folder, it) || is_below(it, &folder));
        if !is_named {
            problems.push(format!("{folder} is missing from the tree of ARCHITECTURE.md"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
