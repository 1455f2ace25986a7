//! Other people's programs that the tests talk to: independent STOMP clients, a real broker, XML-RPC clients of many
//! languages, Chirp's own programs, a C library for static binaries, a compiler of words in another language.

use crate::shell::{Run, root, say};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Debian's packages, and a program or file by which to tell that each is there.
const PACKAGES: [(&str, &str); 25] = [
    ("coop-computing-tools", "/usr/bin/chirp_server"),
    ("faketime", "faketime"),
    ("iproute2", "ip"),
    ("libnet-stomp-perl", "/usr/share/perl5/Net/Stomp.pm"),
    ("curl", "/usr/bin/curl"),
    ("librpc-xml-perl", "/usr/share/perl5/RPC/XML.pm"),
    ("libxmlrpc-core-c3-dev", "/usr/bin/xmlrpc"),
    ("libxmlrpc-lite-perl", "/usr/share/perl5/XMLRPC/Lite.pm"),
    ("musl-tools", "/usr/bin/musl-gcc"),
    ("nodejs", "node"),
    ("netcat-openbsd", "/usr/bin/nc.openbsd"),
    ("npm", "npm"),
    ("php-cli", "php"),
    ("php-xmlrpc", "/usr/share/doc/php-xmlrpc"),
    ("rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server"),
    ("rsync", "rsync"),
    ("openssh-server", "/usr/sbin/sshd"),
    ("python3-venv", "/usr/share/doc/python3-venv"),
    ("ruby", "ruby"),
    ("ruby-stomp", "/usr/lib/ruby/vendor_ruby/stomp.rb"),
    ("ruby-xmlrpc", "/usr/lib/ruby/vendor_ruby/xmlrpc/client.rb"),
    ("xmlrpc-api-utils", "/usr/bin/xml-rpc-api2txt"),
    ("socat", "socat"),
    ("systemd", "systemd-analyze"),
    ("xorriso", "xorriso"),
];

/// An environment of Python's own, so that nothing of the machine is touched.
const PYTHON: &str = "target/peers/python";

/// Another, for a Chirp client.
const CHIRP: &str = "target/peers/chirp";

/// Where npm installs, for the same reason.
const NODE: &str = "target/peers";

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
    let chirp = root().join(CHIRP);
    if !chirp.join("bin/condor_htchirp").exists() {
        say("a Chirp client in Python:");
        Run::new("python3").args(["-m", "venv"]).arg(&chirp).go()?;
        Run::new(chirp.join("bin/pip")).args(["install", "-q", "htchirp==3.0"]).go()?;
    }
    let node = root().join(NODE);
    if !node.join("node_modules/xmlrpc").exists() {
        say("an XML-RPC client in JavaScript:");
        std::fs::create_dir_all(&node)?;
        Run::new("npm").args(["install", "--silent", "--prefix"]).arg(node).arg("xmlrpc@1.3.2").go()?;
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
