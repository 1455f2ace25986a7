//! Building the programs, and words as components.

use crate::shell::{Run, print, root};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

const WORDS: &str = "wasm32-wasip2";
const STATIC: &str = "x86_64-unknown-linux-musl";

/// Adds the compilation targets that are missing.
pub(crate) fn targets() -> Result<()> {
    let installed = Run::new("rustup").args(["target", "list", "--installed"]).read()?;
    for target in [WORDS, STATIC] {
        if !installed.lines().any(|line| line == target) {
            Run::new("rustup").args(["target", "add", target]).go()?;
        }
    }
    Ok(())
}

/// Builds both agents.
pub(crate) fn programs() -> Result<()> {
    Run::cargo(["build", "--locked", "-p", "vocable", "-p", "vocable-guest"]).go()
}

/// Builds both agents as the tests build what they stand on: built alone they would share too little with the tests,
/// and WebAssembly would be compiled twice.
pub(crate) fn programs_and_tests() -> Result<()> {
    Run::cargo(["build", "--locked", "--workspace", "--bins", "--tests", "--examples"]).go()
}

/// A program that [`programs`] has built.
pub(crate) fn program(name: &str) -> PathBuf {
    root().join("target/debug").join(name)
}

/// Builds a word that is not built in, as its author would; gives its component.
pub(crate) fn component(package: &str) -> Result<PathBuf> {
    Run::cargo(["build", "--locked", "--profile", "word", "--target", WORDS, "-p", package]).go()?;
    Ok(root().join("target").join(WORDS).join("word").join(format!("{}.wasm", package.replace('-', "_"))))
}

/// Builds the word that is written in Python, unless it is newer than its source.
pub(crate) fn python_word(compiler: &Path) -> Result<()> {
    let (source, folder) =
        (root().join("plugins/run-cmd-python"), root().join("target/peers/run_cmd_python"));
    let component = folder.join("run_cmd.wasm");
    if is_newer(&component, &[&source.join("run_cmd.py"), &root().join("wit/word.wit"), compiler]) {
        return Ok(());
    }
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let build =
        Run::new(compiler).args(["-d", "wit", "-w", "full", "componentize", "run_cmd", "--stub-wasi"]);
    build.arg("-p").arg(source).arg("-o").arg(component).go()
}

fn is_newer(made: &Path, of: &[&Path]) -> bool {
    let time = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    time(made).is_some_and(|made| of.iter().all(|part| time(part).is_some_and(|part| part <= made)))
}

/// Builds the guest agent as one static binary; gives its path.
pub(crate) fn static_guest() -> Result<PathBuf> {
    targets()?;
    let build =
        Run::cargo(["build", "--locked", "--profile", "static", "--target", STATIC, "-p", "vocable-guest"]);
    build.env("CC_x86_64_unknown_linux_musl", "musl-gcc").go()?;
    let binary = root().join("target").join(STATIC).join("static/vocable-guest");
    let bytes = std::fs::metadata(&binary).with_context(|| binary.display().to_string())?.len();
    print(&format!("{}: {:.1} MB", binary.display(), bytes as f64 / 1e6));
    Ok(binary)
}

/// The names of the fuzz targets.
pub(crate) fn fuzz_targets() -> Result<Vec<String>> {
    let found = std::fs::read_dir(root().join("fuzz/fuzz_targets")).context("fuzz/fuzz_targets")?;
    let mut names = Vec::new();
    for entry in found {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}
