//! Builds the words, one package a folder, and writes the table of their components. It knows no word:
//! what has a manifest here is one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

use sha2::{Digest, Sha256};

mod nested;

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let workspace = here.parent().ok_or("the words are in no workspace")?;
    let watched = ["words", "wit", "Cargo.toml", "Cargo.lock"];
    watched.iter().for_each(|path| println!("cargo::rerun-if-changed={}", workspace.join(path).display()));

    let names = words(&here)?;
    let packages: Vec<_> = names.iter().map(|name| format!("word-{name}")).collect();
    match nested::build(workspace, &out, &packages) {
        Ok(built) => Ok(fs::write(out.join("built_in.rs"), table(&names, &built, &out)?)?),
        Err(reason) => {
            reason.lines().for_each(|line| println!("cargo::error={line}"));
            Ok(())
        }
    }
}

/// The folders that are packages, in the order of their names.
fn words(here: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(here)? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The source of the table. The components are copied first: another build may replace the originals
/// while this one goes on.
fn table(names: &[String], built: &Path, out: &Path) -> Result<String, Box<dyn Error>> {
    let mut source = "&[\n".to_owned();
    for name in names {
        let file = format!("{name}.wasm");
        fs::copy(built.join(format!("word_{}.wasm", name.replace('-', "_"))), out.join(&file))?;
        let sha256 = hex::encode(Sha256::digest(fs::read(out.join(&file))?));
        let component = format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\"))");
        writeln!(source, "    BuiltIn {{ name: {name:?}, sha256: {sha256:?}, component: {component} }},")?;
    }
    Ok(source + "]")
}
