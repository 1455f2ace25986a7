//! Other people's programs that stories need. `cargo xtask test --peers` installs them; where everything has to be
//! there, a missing one is a failure.

use crate::files;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Whether a package is there, of which `sign` is a file, or a program somewhere in PATH. Without it the test has to
/// end, having said so; with `CI` set it fails here.
pub fn there(package: &str, sign: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = if sign.starts_with('/') {
        Path::new(sign).exists()
    } else {
        std::env::split_paths(&path).any(|folder| folder.join(sign).exists())
    };
    if !there {
        let reason = format!("{package} is not installed; cargo xtask test --peers installs it");
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        // Not by println!, which the test harness keeps to itself.
        let mut shown = std::io::stdout();
        writeln!(shown, "skipped: {reason}").unwrap();
    }
    there
}

/// Where something is, or would be, that is installed from no package of the system: `node_modules`.
pub fn installed(what: &str) -> PathBuf {
    files::target().join("peers").join(what)
}
