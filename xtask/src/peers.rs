//! Other people's programs that the tests talk to: independent STOMP clients, a real broker, a C library for static
//! binaries, a compiler of words in another language.

use crate::shell::{Run, root, say};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Debian's packages, and a program or file by which to tell that each is there.
const PACKAGES: [(&str, &str); 5] = [
    ("libnet-stomp-perl", "/usr/share/perl5/Net/Stomp.pm"),
    ("musl-tools", "/usr/bin/musl-gcc"),
    ("rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server"),
    ("python3-venv", "/usr/share/doc/python3-venv"),
    ("ruby-stomp", "/usr/lib/ruby/vendor_ruby/stomp.rb"),
];

/// An environment of Python's own, so that nothing of the machine is touched.
const PYTHON: &str = "target/peers/python";

/// Installs what is missing.
pub(crate) fn install() -> Result<()> {
    let missing: Vec<_> =
        PACKAGES.iter().filter(|(_, sign)| !have(sign)).map(|(package, _)| *package).collect();
    if !missing.is_empty() {
        Run::new("apt-get").args(["update", "-q"]).go()?;
        let install =
            Run::new("apt-get").args(["install", "-q", "-y", "--no-install-recommends"]).args(missing);
        install.env("DEBIAN_FRONTEND", "noninteractive").go()?;
    }
    if !python_words().exists() {
        say("a compiler of words in Python:");
        let venv = root().join(PYTHON);
        Run::new("python3").args(["-m", "venv"]).arg(&venv).go()?;
        Run::new(venv.join("bin/pip")).args(["install", "-q", "componentize-py==0.25.1"]).go()?;
    }
    Ok(())
}

/// Where the compiler of words in Python is, if it is installed.
pub(crate) fn python_words() -> PathBuf {
    root().join(PYTHON).join("bin/componentize-py")
}

/// Whether a file is there, or a program of that name somewhere in PATH.
pub(crate) fn have(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    name.starts_with('/') && Path::new(name).exists()
        || std::env::split_paths(&path).any(|folder| folder.join(name).exists())
}
