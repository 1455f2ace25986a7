//! Processes within the root.

use std::fs;
use std::process::Command;

/// The processes of that name.
pub(crate) fn named(name: &str) -> Vec<u32> {
    let all =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_it =
        |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name);
    all.filter(is_it).collect()
}

/// VirtualBox's service, of which there is one.
pub(crate) fn service() -> u32 {
    let found = named("VBoxSVC");
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

/// Sends a signal.
pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("/usr/bin/busybox").args(["kill", name, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// The memory that a process has, in KiB.
pub(crate) fn memory(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
