//! Other people's programs that the tests talk to: independent STOMP clients, a real broker, a C library for static
//! binaries, a compiler of words in another language.

use crate::shell::{Run, root, say};
use anyhow::Result;

/// Debian's packages, and a program or file by which to tell that each is there.
const PACKAGES: [(&str, &str); 4] = [
    ("libnet-stomp-perl", "/usr/share/perl5/Net/Stomp.pm"),
    ("musl-tools", "/usr/bin/musl-gcc"),
    ("rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server"),
    ("ruby-stomp", "/usr/bin/ruby"),
];

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
    let venv = root().join("target/peers/python");
    if !venv.join("bin/componentize-py").exists() {
        say("a compiler of words in Python:");
        Run::new("python3").args(["-m", "venv"]).arg(&venv).go()?;
        Run::new(venv.join("bin/pip")).args(["install", "-q", "componentize-py==0.25.1"]).go()?;
    }
    Ok(())
}

/// Whether a file is there, or a program of that name somewhere in PATH.
pub(crate) fn have(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    name.starts_with('/') && std::path::Path::new(name).exists()
        || std::env::split_paths(&path).any(|folder| folder.join(name).exists())
}
