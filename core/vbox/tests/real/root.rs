//! A root with a real VirtualBox in it, made by `cargo xtask test --peers`: packages of Debian unpacked into a folder,
//! none of their scripts run, no kernel module, nothing of this machine touched.
//!
//! [`inside`] runs a test again as a process within that root, in namespaces of its own: with its home and `/tmp` in
//! memory, its own network (nothing but loopback), and its own processes, so that VirtualBox's service ends with the
//! test whatever happens. Where the root is missing a test says that it was skipped; in CI it fails.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the process within.
const INSIDE: &str = "VOCABLE_INSIDE_VIRTUALBOX_ROOT";

/// What the shell does before the test: `$1` is the root, `$2` the folder of the project, `$3` the test program's.
const ENTER: &str = r#"
set -e
root=$1; project=$2; programs=$3; shift 3
mount -t tmpfs tmpfs "$root/tmp"; mount -t tmpfs tmpfs "$root/root"
mount -t tmpfs tmpfs "$root/etc/vbox"; mount -t tmpfs tmpfs "$root/vm"
mount --rbind /dev "$root/dev"; mount -t proc proc "$root/proc"
mkdir -p "$root$project" "$root$programs"
mount --bind "$project" "$root$project"; mount --bind "$programs" "$root$programs"
PATH=/usr/bin:/bin:/usr/sbin:/usr/lib/virtualbox HOME=/root USER=root TMPDIR=/tmp VBOX_USER_HOME=/vm
export PATH HOME USER TMPDIR VBOX_USER_HOME
exec "$(command -v chroot || echo /usr/sbin/chroot)" "$root" /bin/sh -c 'ip link set lo up; cd "$0"; exec "$@"' "$project" "$@"
"#;

/// The folder of the root.
pub(crate) fn folder() -> PathBuf {
    project().join("target/peers/virtualbox/root")
}

fn project() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().find(|folder| folder.join("Cargo.lock").exists()).expect("a workspace").to_owned()
}

/// In CI only because VirtualBox itself could not be had, which `cargo xtask test --peers` noted.
fn skip(name: &str) {
    let unavailable = std::fs::read_to_string(folder().with_file_name("unavailable"));
    let in_ci = std::env::var_os("CI").is_some();
    assert!(!in_ci || unavailable.is_ok(), "{name}: no VirtualBox in {}", folder().display());
    let reason = unavailable.unwrap_or_else(|_| "cargo xtask test --peers installs it".to_owned());
    eprintln!("skipped: {name}: no VirtualBox: {reason}");
}

/// Runs the test within the root. `name` is the whole name of the test that calls it.
pub(crate) fn inside(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    if !folder().join("usr/lib/virtualbox/VBoxXPCOMC.so").exists() {
        return skip(name);
    }
    let program = std::env::current_exe().unwrap();
    let mut enter = Command::new("unshare");
    // Whoever is not root is root in a namespace of users.
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        enter.arg("-r");
    }
    enter.args(["-m", "-n", "-p", "-f", "--kill-child", "sh", "-c", ENTER, "enter"]);
    enter.arg(folder()).arg(project()).arg(program.parent().unwrap()).arg(&program);
    enter.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    // Snapshots are found without asking cargo, which is not in there.
    enter.env("INSTA_WORKSPACE_ROOT", project());
    let output = enter.env(INSIDE, "1").output().expect("unshare (package util-linux)");
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    eprintln!("{}\n{}", told[0], told[1]);
    assert!(output.status.success(), "{name} failed within the root: {}", output.status);
    // A test that is not there fails nothing.
    assert!(told[0].contains("1 passed"), "{name} was not run within the root");
}
