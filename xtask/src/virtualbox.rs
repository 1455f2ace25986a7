//! A real VirtualBox for the tests, in a root of its own under `target/peers/virtualbox`: see `tests/virtualbox`.

use crate::shell::{Run, root, say};
use anyhow::Result;
use std::path::PathBuf;

/// Makes the root, if it is not there. VirtualBox that cannot be had is no failure of this: the reason is noted where
/// the tests find it, and told in a line of its own.
pub(crate) fn install() -> Result<()> {
    let noted = folder().join("unavailable");
    if folder().join("root/usr/lib/virtualbox/VBoxXPCOMC.so").exists() {
        return Ok(());
    }
    std::fs::create_dir_all(folder())?;
    let launcher = folder().join("launcher");
    let compile = Run::new("rustc").args(["--edition", "2024", "-O", "-o"]).arg(&launcher);
    compile.arg(tests().join("launcher.rs")).go()?;
    let made = Run::new("sh").arg(tests().join("root.sh")).arg(folder()).arg(&launcher).go();
    if let Err(error) = made {
        say(&format!("skipped: the tests with a real VirtualBox: it cannot be had: {error:#}"));
        return Ok(std::fs::write(noted, format!("{error:#}"))?);
    }
    match std::fs::remove_file(noted) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn folder() -> PathBuf {
    root().join("target/peers/virtualbox")
}

fn tests() -> PathBuf {
    root().join("tests/virtualbox")
}
