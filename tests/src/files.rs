//! Where the programs and words under test are. They are built before: `cargo xtask test` does all of it.

use std::path::{Path, PathBuf};

/// A program that was built beside this test.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/stories-…
    let built = test.parent().and_then(Path::parent).unwrap().join(name);
    existing(built)
}

/// The component of a word that is not built in.
pub fn word(package: &str) -> PathBuf {
    existing(target().join(format!("wasm32-wasip2/word/{}.wasm", package.replace('-', "_"))))
}

/// Compiled words, for all stories and all runs.
pub fn cache() -> PathBuf {
    target().join("tests-cache")
}

/// Copies a component to where an agent may be looking, as `cp` does.
pub fn drop_into(folder: &Path, component: &Path, name: &str) -> PathBuf {
    let to = folder.join(name);
    std::fs::copy(component, &to).unwrap();
    to
}

/// Where `cargo xtask test` builds, and where it installs what comes from no package of the system.
pub(crate) fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().to_owned()
}

fn existing(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: build everything with `cargo xtask test`", path.display());
    path
}
