//! A disc that puts the guest agent into a machine, read by another's program, installed from by the scripts on it, in
//! mounts of the story's own, so that nothing of this machine is touched.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use vocable_tests::host::{Host, Typed};
use vocable_tests::isolation::{mount_small, own_mounts};
use vocable_tests::{files, peers};

const SERVICE: &str = "/etc/init.d/vocable-guest";
const LOG: &str = "/var/log/vocable-guest.log";

/// Types the command line that makes a disc for `vm1`.
fn makes(host: &Host, more: &[&str]) -> Typed {
    let (disc, broker) = (host.folder().join("vm1.iso"), host.broker().to_string());
    let agent = files::program("vocable-guest");
    let mut line = vec!["guest-image", "--name", "vm1", "--broker", &broker, "-o", disc.to_str().unwrap()];
    line.extend(["--guest-agent", agent.to_str().unwrap()]);
    line.extend(more);
    host.types(&line)
}

/// What another's program finds on the disc.
fn unpacked(host: &Host) -> PathBuf {
    let (disc, folder) = (host.folder().join("vm1.iso"), host.folder().join("disc"));
    let _ = fs::remove_dir_all(&folder); // of the time before
    let mut xorriso = Command::new("xorriso");
    xorriso.args(["-osirrox", "on", "-indev"]).arg(disc).args(["-extract", "/"]).arg(&folder);
    done(&mut xorriso);
    folder
}

fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode()
        & 0o777
}

#[test]
fn a_disc_can_be_read_by_others_and_says_what_it_is() {
    if !peers::there("xorriso", "xorriso") {
        return;
    }
    let host = Host::start();
    // The agent of this build needs libraries.
    let refused = makes(&host, &[]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("is not static") && refused.err.contains("--dynamic"), "{refused:?}");
    let listed = makes(&host, &["--dynamic", "--dry-run"]);
    assert!(listed.text().contains("vocable/token") && !host.folder().join("vm1.iso").exists(), "{listed:?}");
    let made = makes(&host, &["--dynamic", "--json"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(made.json()["static"], Value::Bool(false));
    assert!(makes(&host, &["--dynamic"]).err.contains("--force"));
    let disc = host.folder().join("vm1.iso");
    assert_eq!(mode(&disc), 0o600, "there is a secret on it");
    let told = done(Command::new("xorriso").arg("-indev").arg(&disc).arg("-pvd_info"));
    let told = [told.stdout, told.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(told.lines().any(|line| line.starts_with("Volume Id") && line.ends_with("cidata")), "{told}");
    let folder = unpacked(&host);
    for (path, wanted) in [
        ("user-data", 0o644),
        ("meta-data", 0o644),
        ("prolog.sh", 0o644),
        ("vocable", 0o700),
        ("vocable/install.sh", 0o755),
        ("vocable/vocable-guest", 0o755),
        ("vocable/token", 0o600),
    ] {
        assert_eq!(mode(&folder.join(path)), wanted, "{path}");
    }
    let agent = fs::read(files::program("vocable-guest")).unwrap();
    assert!(fs::read(folder.join("vocable/vocable-guest")).unwrap() == agent, "the agent is another one");
}

#[test]
fn another_root_gets_a_unit_that_systemd_takes() {
    if !peers::there("xorriso", "xorriso") || !peers::there("systemd", "systemd-analyze") || !own_mounts() {
        return;
    }
    let host = Host::start();
    assert_eq!(makes(&host, &["--dynamic"]).code, Some(0));
    let (disc, root) = (unpacked(&host), host.folder().join("root"));
    fs::create_dir_all(root.join("lib/systemd")).unwrap();
    fs::write(root.join("lib/systemd/systemd"), "").unwrap();
    done(Command::new("sh").arg(disc.join("vocable/install.sh")).arg(&root));
    assert_eq!(mode(&root.join("etc/vocable/token")), 0o600);
    let wanted = root.join("etc/systemd/system/multi-user.target.wants/vocable-guest.service");
    let unit = fs::canonicalize(wanted).unwrap();
    assert_eq!(unit, root.join("etc/systemd/system/vocable-guest.service"));
    // What it starts has to be there.
    mount_small(Path::new("/usr/local/bin"), "256m");
    fs::copy(root.join("usr/local/bin/vocable-guest"), "/usr/local/bin/vocable-guest").unwrap();
    let verified = done(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit));
    let complaints = String::from_utf8_lossy(&verified.stderr).into_owned();
    let complaints: Vec<_> = complaints.lines().filter(|line| line.contains("vocable-guest")).collect();
    // Versions before 254 do without it.
    let unknown =
        |line: &&str| line.ends_with("Unknown key 'DelegateSubgroup' in section [Service], ignoring.");
    assert!(complaints.iter().all(unknown), "{complaints:?}");
}

/// As the contextualisation of CernVM does it: the file is sourced in the folder that the disc was copied to.
fn boot_with(disc: &Path) {
    let booted = done(Command::new("sh").args(["-ec", ". ./prolog.sh start"]).current_dir(disc));
    eprintln!("{}", String::from_utf8_lossy(&booted.stderr));
}

fn service(verb: &str) -> Output {
    Command::new(SERVICE).arg(verb).output().unwrap()
}

/// The agent as installed in mounts of the story's own. It ends with the story.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the log of the installed agent\n{}", fs::read_to_string(LOG).unwrap_or_default());
        }
        // It may not have come so far that there is one.
        let _ = Command::new(SERVICE).arg("stop").output();
    }
}

/// An empty machine around this thread, of those folders that installing changes, whose init is that of System V.
fn empty_machine() {
    mount_small(Path::new("/usr/local/bin"), "256m");
    for folder in ["/etc", "/run", "/var/cache", "/var/lib", "/var/log"] {
        mount_small(Path::new(folder), "64m");
    }
    fs::write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write("/etc/group", "root:x:0:\n").unwrap();
    for folder in ["/etc/init.d", "/etc/rc2.d", "/etc/rc3.d"] {
        fs::create_dir(folder).unwrap();
    }
}

/// The process of the agent that the service keeps.
fn agent() -> String {
    let keeper = fs::read_to_string("/run/vocable-guest.pid").unwrap();
    let keeper = keeper.trim();
    let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    children.split_whitespace().next().unwrap_or_else(|| panic!("no agent")).to_owned()
}

#[test]
fn a_machine_that_boots_with_the_disc_joins_and_stays() {
    if !peers::there("xorriso", "xorriso") || !own_mounts() {
        return;
    }
    let host = Host::start();
    assert_eq!(makes(&host, &["--dynamic"]).code, Some(0));
    let disc = unpacked(&host);
    empty_machine();
    let installed = Installed;
    boot_with(&disc);
    assert!(!disc.join("vocable").exists(), "the credential lies where the disc was copied to");
    host.awaits("guest.joined", "vm1");
    let ran = host.runs("vm1", &["sh", "-c", "stat -c '%a %U' /etc/vocable/token; echo /etc/rc?.d/*"]).well();
    assert_eq!(ran.text(), "600 root\n/etc/rc2.d/S90vocable-guest /etc/rc3.d/S90vocable-guest\n");

    // Whatever ends the agent, it is started again.
    done(Command::new("kill").args(["-9", &agent()]));
    host.awaits("guest.lost", "vm1");
    host.awaits("guest.joined", "vm1");

    // Booted with the same disc nothing changes; with a new credential it is the new one that counts.
    let before = agent();
    boot_with(&unpacked(&host));
    assert_eq!(agent(), before);
    assert_eq!(makes(&host, &["--dynamic", "--force"]).code, Some(0));
    boot_with(&unpacked(&host));
    assert_ne!(agent(), before, "it has the old credential");
    host.awaits("guest.joined", "vm1");
    host.runs("vm1", &["true"]).well();

    assert_eq!(service("status").status.code(), Some(0));
    service("stop");
    host.awaits("guest.left", "vm1");
    assert_eq!(service("status").status.code(), Some(3));
    drop(installed);
}
