//! The crates of the workspace as their manifests describe them. A crate is called by its folder: `core/stomp`.

use crate::graph::Graph;
use std::path::{Path, PathBuf};
use toml::Table;

pub(crate) struct Workspace {
    pub(crate) members: Vec<Member>,
}

pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// Those of the workspace, for its product; what only its tests need does not count.
    pub(crate) dependencies: Vec<String>,
}

impl Workspace {
    pub(crate) fn read() -> Self {
        let manifest = manifest(root());
        let folders = manifest["workspace"]["members"].as_array().unwrap();
        let names: Vec<_> = folders.iter().map(|folder| folder.as_str().unwrap().to_owned()).collect();
        let members: Vec<_> =
            names.iter().map(|name| (name.clone(), self::manifest(&root().join(name)))).collect();
        let package = |manifest: &Table| manifest["package"]["name"].as_str().unwrap().to_owned();
        let packages: Vec<_> =
            members.iter().map(|(name, manifest)| (package(manifest), name.clone())).collect();
        let dependencies = |manifest: &Table| {
            let tables = ["dependencies", "build-dependencies"].map(|it| manifest.get(it));
            let named = |name: &str| tables.iter().flatten().any(|table| table.get(name).is_some());
            packages.iter().filter(|(package, _)| named(package)).map(|(_, name)| name.clone()).collect()
        };
        let member = |(name, manifest): &(String, Table)| Member {
            name: name.clone(),
            folder: root().join(name),
            dependencies: dependencies(manifest),
        };
        Self { members: members.iter().map(member).collect() }
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    pub(crate) fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        for member in &self.members {
            for name in &member.dependencies {
                graph.add(&member.name, name, format!("{}/Cargo.toml", member.name));
            }
        }
        graph
    }
}

fn manifest(folder: &Path) -> Table {
    std::fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap()
}

/// The folders of the root, but for what git does not know.
pub(crate) fn top_folders() -> Vec<String> {
    let entries = std::fs::read_dir(root()).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let names = folders.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name != "target" && !name.starts_with('.')).collect()
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
