//! 1 GiB of standard output from a program on a guest to a file on the host, over the real programs: bytes a second and
//! the most memory each process took, beside `ssh` and plain `socat` doing the same in the same run.
//!
//! Needs the agents in the same profile: `cargo build --release -p vocable -p vocable-guest` first, and the packages
//! openssh-server and socat. Prints a table, ends by itself.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its table, and one that cannot start has nothing to measure"
)]

use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use vocable_tests::host::Host;

const BYTES: u64 = 1 << 30;
/// How often memory is looked at of what is not there any more at the end.
const LOOK: Duration = Duration::from_millis(50);

fn main() {
    println!("{:<10}{:>8}{:>10}  most memory, MB", "", "s", "MB/s");
    let folder = tempfile::tempdir().unwrap();
    socat(folder.path());
    ssh(folder.path());
    vocable();
}

fn source() -> String {
    format!("head -c {BYTES} /dev/zero")
}

fn vocable() {
    let host = Host::start();
    let guest = host.guest("bench").joins();
    // Words are compiled and connections made before anything is measured.
    host.runs("bench", &["true"]).well();
    let mut memory = Memory::default();
    let start = Instant::now();
    let command = host.starts("bench", &["sh", "-c", &source()]);
    let far = json!({"out_offset": 1e15, "err_offset": 1e15});
    loop {
        let report = host.call("cmd.wait", json!([command.id, LOOK.as_secs_f64(), far])).unwrap();
        for (pid, _) in guest.supervisors() {
            memory.look("supervisor", pid);
        }
        if report["state"] == "done" {
            assert_eq!(report["out_bytes"], BYTES);
            break;
        }
        assert_eq!(report["state"], "running", "{report:#}");
    }
    let took = start.elapsed();
    memory.look("host agent", host.process().pid());
    memory.look("guest agent", guest.process().pid());
    show("vocable", took, &memory);
}

fn socat(folder: &Path) {
    let port = free_port();
    let file = folder.join("socat");
    let start = Instant::now();
    let mut to = Command::new("socat")
        .args(["-u", &format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr")])
        .arg(format!("OPEN:{},creat,trunc", file.display()))
        .spawn()
        .expect("socat");
    let mut from = Command::new("socat")
        .args(["-u", &format!("EXEC:{}", source()), &format!("TCP:127.0.0.1:{port},retry=100,interval=0.05")])
        .spawn()
        .expect("socat");
    let mut memory = Memory::default();
    let pids = [("sender", from.id().cast_signed()), ("receiver", to.id().cast_signed())];
    until_ended(&mut to, || pids.iter().for_each(|(name, pid)| memory.look(name, *pid)));
    show("socat", start.elapsed(), &memory);
    from.wait().unwrap();
    done(&file);
}

fn ssh(folder: &Path) {
    let port = free_port().to_string();
    let at = |name: &str| folder.join(name).display().to_string();
    for key in ["host", "user"] {
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]).status();
        assert!(made.expect("ssh-keygen").success());
    }
    // Where sshd separates its privileges; only root needs it.
    let _ = fs::create_dir("/run/sshd");
    let keys = format!("AuthorizedKeysFile={}", at("user.pub"));
    let mut server = Command::new("/usr/sbin/sshd")
        .args(["-D", "-p", &port, "-h", &at("host"), "-f", "/dev/null"])
        .args(["-o", "ListenAddress=127.0.0.1", "-o", &keys, "-o", "StrictModes=no", "-o", "PidFile=none"])
        .args(["-o", "UsePAM=no"])
        .stderr(Stdio::null())
        .spawn()
        .expect("sshd");
    let ssh = |what: &str, file: &str| {
        let mut command = Command::new("ssh");
        command.args(["-p", &port, "-i", &at("user"), "-F", "/dev/null"]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no"]);
        command.args(["-o", "LogLevel=ERROR", "127.0.0.1", what]);
        command.stdin(Stdio::null()).stdout(File::create(file).unwrap()).stderr(Stdio::null());
        command
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ssh("true", "/dev/null").status().expect("ssh").success() {
        assert!(Instant::now() < deadline, "sshd does not answer");
        std::thread::sleep(LOOK);
    }
    let mut memory = Memory::default();
    let start = Instant::now();
    let mut client = ssh(&source(), &at("ssh")).spawn().unwrap();
    let (client_pid, server_pid) = (client.id().cast_signed(), server.id().cast_signed());
    until_ended(&mut client, || {
        memory.look("client", client_pid);
        children(server_pid).into_iter().for_each(|pid| memory.look("server", pid));
    });
    show("ssh", start.elapsed(), &memory);
    done(&folder.join("ssh"));
    server.kill().unwrap();
    server.wait().unwrap();
}

fn until_ended(child: &mut Child, mut meanwhile: impl FnMut()) {
    while child.try_wait().unwrap().is_none() {
        meanwhile();
        std::thread::sleep(LOOK / 5);
    }
}

fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn done(file: &Path) {
    assert_eq!(fs::metadata(file).unwrap().len(), BYTES);
    fs::remove_file(file).unwrap();
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// The most memory processes ever had, by name; of several with one name, that of the largest.
#[derive(Default)]
struct Memory(BTreeMap<&'static str, u64>);

impl Memory {
    fn look(&mut self, name: &'static str, pid: i32) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        let kib = line.trim().trim_end_matches(" kB").parse().unwrap_or(0_u64);
        let most = self.0.entry(name).or_default();
        *most = kib.max(*most);
    }
}

fn show(name: &str, took: Duration, memory: &Memory) {
    let rate = BYTES as f64 / 1e6 / took.as_secs_f64();
    let each = memory.0.iter().map(|(name, kib)| format!("{name} {:.1}", *kib as f64 * 1024.0 / 1e6));
    let each: Vec<_> = each.collect();
    println!("{name:<10}{:>8.2}{rate:>10.0}  {}", took.as_secs_f64(), each.join(", "));
}
