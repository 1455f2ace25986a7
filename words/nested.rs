//! Cargo inside Cargo: builds packages of this workspace as components. Shared, as a file, by the build
//! script that embeds the built-in words and by tests that need a word of their own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of every word.
const TARGET: &str = "wasm32-wasip2";

/// What the outer Cargo says about its own build, and must not rub off on the inner one.
const OUTER: [&str; 9] = [
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
];

/// Builds the packages, and gives the folder with the components: `word-run-cmd` becomes
/// `word_run_cmd.wasm`.
///
/// `workspace` is the folder of the root manifest, `out` any folder inside the target directory of the
/// outer build. The inner one has `words/` there, not `out`: that of a build script differs between
/// `build` and `clippy`, and everything would be built twice.
pub(crate) fn build(workspace: &Path, out: &Path, packages: &[String]) -> Result<PathBuf, String> {
    require_target()?;
    let target_dir = target_dir(out).unwrap_or_else(|| workspace.join("target")).join("words");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace).args(["build", "--locked", "--profile", "word", "--target", TARGET]);
    cargo.arg("--target-dir").arg(&target_dir);
    cargo.args(packages.iter().flat_map(|package| ["--package", package]));
    OUTER.iter().for_each(|name| {
        cargo.env_remove(name);
    });
    let output = cargo.output().map_err(|e| format!("cargo does not start: {e}"))?;
    if output.status.success() {
        Ok(target_dir.join(TARGET).join("word"))
    } else {
        Err(format!("cannot build {}:\n{}", packages.join(", "), String::from_utf8_lossy(&output.stderr)))
    }
}

/// The target directory of the outer build: the nearest folder above that Cargo has marked as one. With
/// `--target` there is one more inside it, of that target only.
fn target_dir(out: &Path) -> Option<PathBuf> {
    let is_marked = |folder: &&Path| folder.join("CACHEDIR.TAG").exists();
    let nearest = out.ancestors().find(is_marked)?;
    nearest.ancestors().take_while(is_marked).last().map(Path::to_owned)
}

fn require_target() -> Result<(), String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    let output = output.map_err(|e| format!("rustc does not start: {e}"))?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && libraries.is_dir() {
        Ok(())
    } else {
        Err(format!("the words are WebAssembly, and the target is missing: rustup target add {TARGET}"))
    }
}
