//! Other people's programs that the tests talk to: independent STOMP clients, a real broker, XML-RPC clients of many
//! languages, Chirp's own programs, a C library for static binaries, a compiler of words in another language.

use crate::shell::{Run, print, root};
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

/// Python's packages, each in an environment of its own, so that nothing of the machine is touched: where, a program by
/// which to tell that it is there, the package, what it is.
const ENVIRONMENTS: [(&str, &str, &str, &str); 3] = [
    (PYTHON, "bin/componentize-py", "componentize-py==0.25.1", "a compiler of words in Python"),
    ("target/peers/chirp", "bin/condor_htchirp", "htchirp==3.0", "a Chirp client in Python"),
    (
        "target/peers/schemathesis",
        "bin/schemathesis",
        "schemathesis==4.32.5",
        "a critic of OpenAPI documents",
    ),
];

/// Where the compiler of words is.
const PYTHON: &str = "target/peers/python";

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
    for (folder, program, package, what) in ENVIRONMENTS {
        let environment = root().join(folder);
        if !environment.join(program).exists() {
            print(&format!("{what}:"));
            Run::new("python3").args(["-m", "venv"]).arg(&environment).go()?;
            Run::new(environment.join("bin/pip")).args(["install", "-q", package]).go()?;
        }
    }
    let node = root().join(NODE);
    if !node.join("node_modules/xmlrpc").exists() {
        print("an XML-RPC client in JavaScript:");
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
