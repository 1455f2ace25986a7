//! A hundred commands with up to 2 MB of output each, while every process that takes part in them is killed at random
//! (host and broker, guest agent, supervisors) and the disks of both ends are full now and then. Each command is told
//! once, and truly.
//!
//! What happens follows from a seed, but for the moments. `cargo xtask chaos SECONDS` goes on with new ones.

use hex::encode as hex;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};
use vocable_api::client::ClientError;
use vocable_tests::TIMEOUT;
use vocable_tests::command::Ran;
use vocable_tests::guest::Guest;
use vocable_tests::host::{Endpoint, Host};
use vocable_tests::isolation::{fill_up, mount_small, own_mounts, resize, unmount};
use vocable_tests::proxy::Proxy;
use vocable_tests::random::Random;
use vocable_tests::seconds;

const COMMANDS: usize = 100;
/// Commands that are asked for while one thing goes wrong.
const AT_A_TIME: usize = 4;
/// `seq` of so many is 2 MB.
const MOST_LINES: u64 = 300_000;
/// What each disk has when it is not full.
const DISK: &str = "1g";
/// Why a command may be refused for now.
const NOT_NOW: [&str; 3] = ["guest-offline", "no-space", "too-many"];

#[test]
fn a_hundred_commands_end_truly_in_chaos() {
    chaos(1);
}

#[test]
fn a_hundred_commands_end_truly_in_another_chaos() {
    chaos(20_261_130);
}

#[test]
fn a_hundred_commands_end_truly_in_a_third_chaos() {
    chaos(0x0dd_c0de);
}

#[test]
#[ignore = "takes as long as one likes: cargo xtask chaos SECONDS"]
fn commands_end_truly_for_as_long_as_one_likes() {
    let end = Instant::now() + seconds();
    while Instant::now() < end {
        let seed = Random::new_seed();
        // A thread of its own has mounts of its own.
        std::thread::scope(|scope| scope.spawn(|| chaos(seed)).join()).unwrap();
    }
}

/// What goes wrong in a round.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Disaster {
    GuestAgentKilled,
    HostKilled,
    SupervisorsKilled,
    HostDiskFull,
    GuestDiskFull,
}

use Disaster::{GuestAgentKilled, GuestDiskFull, HostDiskFull, HostKilled, SupervisorsKilled};

/// What a command does, and what must come of it.
struct Plan {
    lines: u64,
    errors: String,
    /// By itself and with which code, or by which signal.
    ending: (bool, i64),
    script: String,
}

impl Plan {
    fn new(n: usize, folder: &Path, random: &mut Random) -> Self {
        let most = [1, 10, 2000, MOST_LINES, MOST_LINES][n % 5];
        let lines = random.below(most);
        let ending = if n.is_multiple_of(11) { (false, 15) } else { (true, (n % 7) as i64) };
        let end = if ending.0 { format!("exit {}", ending.1) } else { "kill -TERM $$".to_owned() };
        // Some take their time, so that they are there when something goes wrong.
        let wait = if n.is_multiple_of(3) { format!("sleep 0.{}; ", n % 10) } else { String::new() };
        let mark = folder.join(format!("ran-{n}"));
        let script = format!(
            "echo ran >> {}; seq {}; {wait}seq {} {lines}; echo {n} >&2; {end}",
            mark.display(),
            lines / 2,
            lines / 2 + 1
        );
        Self { lines, errors: format!("{n}\n"), ending, script }
    }

    fn out(&self) -> String {
        (1..=self.lines).fold(String::new(), |mut all, n| {
            writeln!(all, "{n}").unwrap();
            all
        })
    }
}

/// Where the host is, which changes whenever it is killed.
struct Whereabouts {
    endpoint: Mutex<Endpoint>,
    changed: Condvar,
}

impl Whereabouts {
    fn moved(&self, to: Endpoint) {
        *self.endpoint.lock().unwrap() = to;
        self.changed.notify_all();
    }

    /// Asks for a command until it is taken. The id makes that one command, however often it is asked for.
    fn ask_for(&self, n: usize, plan: &Plan) {
        let request = json!(["vm1", "sh", ["-c", plan.script], {"id": format!("c{n}")}]);
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let endpoint = self.endpoint.lock().unwrap().clone();
            match endpoint.call("cmd.run", &request) {
                Ok(id) => return assert_eq!(id, format!("c{n}.vm1")),
                Err(ClientError::Fault(fault)) if !NOT_NOW.contains(&fault.slug().unwrap_or_default()) => {
                    panic!("{}", fault.text())
                }
                // Nobody there just now, or no room.
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            let endpoint = self.endpoint.lock().unwrap();
            drop(self.changed.wait_timeout(endpoint, Duration::from_millis(20)).unwrap());
        }
    }
}

/// The two agents, and what can happen to them.
struct Bed {
    host: Host,
    vm1: Guest,
    proxy: Proxy,
    /// Commands whose supervisors were killed.
    orphaned: BTreeSet<String>,
    /// Folders that are disks of their own, if that is possible here.
    disks: Vec<PathBuf>,
}

impl Bed {
    fn new() -> Self {
        let mut host = Host::with(&["commands.keep_free = \"0B\""]);
        let mut disks = Vec::new();
        if own_mounts() {
            disks = vec![host.folder().join("host"), host.folder().join("vm1")];
            host.stops();
            disks.iter().for_each(|disk| mount_small(disk, DISK));
            host.starts_again();
        }
        let proxy = Proxy::to(host.broker());
        let vm1 = host.guest("vm1").through(proxy.address()).joins();
        Self { host, vm1, proxy, orphaned: BTreeSet::new(), disks }
    }
}

fn happens(disaster: Disaster, bed: &mut Bed, there: &Whereabouts, random: &mut Random) {
    let Bed { host, vm1, proxy, orphaned, disks } = bed;
    match disaster {
        GuestAgentKilled => restarts(vm1, random),
        HostKilled => {
            host.is_killed();
            random.pause(Duration::from_millis(50));
            host.starts_again();
            proxy.leads_to(host.broker());
            there.moved(host.endpoint());
        }
        SupervisorsKilled => orphaned.extend(kill_supervisors(vm1, random)),
        HostDiskFull => {
            fill_up(&disks[0]);
            random.pause(Duration::from_millis(500));
            // What it was told, and what it has been told of that, is of no use to the next one.
            restarts(vm1, random);
            random.pause(Duration::from_millis(500));
            resize(&disks[0], DISK);
        }
        GuestDiskFull => {
            fill_up(&disks[1]);
            random.pause(Duration::from_millis(700));
            resize(&disks[1], DISK);
        }
    }
}

fn restarts(guest: &mut Guest, random: &mut Random) {
    guest.is_killed();
    random.pause(Duration::from_millis(50));
    guest.starts_again();
}

/// Kills a few supervisors of those that are there, and says of which commands.
fn kill_supervisors(guest: &Guest, random: &mut Random) -> Vec<String> {
    let all = guest.supervisors();
    let chosen: Vec<_> = all.into_iter().filter(|_| random.below(3) == 0).take(3).collect();
    for (pid, _) in &chosen {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    chosen.into_iter().map(|(_, command)| command).collect()
}

fn chaos(seed: u64) {
    eprintln!("chaos {seed}: VOCABLE_SEED={seed} cargo xtask chaos 1 has it again");
    let (begun, mut random) = (Instant::now(), Random::of(seed));
    let mut bed = Bed::new();
    let folder = bed.host.folder().to_owned();
    let plans: Vec<_> = (0..COMMANDS).map(|n| Plan::new(n, &folder, &mut random)).collect();
    let all = [GuestAgentKilled, HostKilled, HostDiskFull, SupervisorsKilled, GuestDiskFull];
    let possible: Vec<_> = all.into_iter().filter(|it| !it.is_of_a_disk() || !bed.disks.is_empty()).collect();
    let mut times = BTreeMap::<_, u32>::new();
    let there = Whereabouts { endpoint: Mutex::new(bed.host.endpoint()), changed: Condvar::new() };
    let first = random.below(possible.len() as u64) as usize;
    for (round, some) in plans.chunks(AT_A_TIME).enumerate() {
        std::thread::scope(|scope| {
            let there = &there;
            scope.spawn(move || {
                for (n, plan) in some.iter().enumerate() {
                    there.ask_for(round * AT_A_TIME + n, plan);
                }
            });
            random.pause(Duration::from_millis(300));
            // Each in turn, so that everything happens often; only the moment is a matter of chance.
            let disaster = possible[(first + round) % possible.len()];
            happens(disaster, &mut bed, there, &mut random);
            *times.entry(disaster).or_default() += 1;
        });
    }
    let Bed { mut host, mut vm1, proxy, orphaned, disks } = bed;
    let asked = begun.elapsed();
    let judge = |n: usize| {
        let _if_not = Witness { guest: &vm1, command: format!("c{n}.vm1") };
        let begun = Instant::now();
        let state = judged(&host, n, &plans[n], &orphaned);
        if begun.elapsed() > Duration::from_secs(5) {
            eprintln!("c{n} came {:.1?} later\n{}", begun.elapsed(), vm1.knows_of(&format!("c{n}.vm1")));
        }
        state
    };
    let reports: Vec<_> = (0..COMMANDS).map(judge).collect();
    let told = |state: &str| reports.iter().filter(|told| **told == state).count();
    eprintln!(
        "chaos {seed}: {times:?}, {} supervisors killed; {} done, {} lost, {} failed; {asked:.1?} asked, {:.1?} in all",
        orphaned.len(),
        told("done"),
        told("lost"),
        told("failed"),
        begun.elapsed()
    );

    // And so it stays.
    vm1.is_killed();
    host.is_killed();
    host.starts_again();
    proxy.leads_to(host.broker());
    vm1.starts_again();
    host.awaits("guest.joined", "vm1");
    for (n, report) in reports.iter().enumerate() {
        assert_eq!(&host.command(&format!("c{n}.vm1")).polled_quietly()["state"], report, "c{n}");
    }
    assert!((0..COMMANDS).all(|n| times_run(&folder, n) <= 1), "something ran once more at last");
    drop(vm1);
    host.stops();
    disks.iter().for_each(|disk| unmount(disk));
}

/// Tells what its guest knows of a command, if it did not end truly.
struct Witness<'a> {
    guest: &'a Guest,
    command: String,
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- what {} knows of it\n{}----", self.guest.id, self.guest.knows_of(&self.command));
        }
    }
}

impl Disaster {
    const fn is_of_a_disk(self) -> bool {
        matches!(self, HostDiskFull | GuestDiskFull)
    }
}

fn times_run(folder: &Path, n: usize) -> usize {
    std::fs::read_to_string(folder.join(format!("ran-{n}"))).unwrap_or_default().lines().count()
}

/// Waits for the end of a command and compares it with what is true; gives its state.
fn judged(host: &Host, n: usize, plan: &Plan, orphaned: &BTreeSet<String>) -> Value {
    let id = format!("c{n}.vm1");
    let ran = host.command(&id).ends();
    let times = times_run(host.folder(), n);
    let out = plan.out();
    let mut report = ran.report.clone();
    report["out"] = format!("{:.80}", report["out"]).into();
    let told = format!("c{n}: {} of {} bytes, ran {times} times, {report:#}", ran.out.len(), out.len());
    // Of what was never started nobody has made one.
    if ran.state() != "failed" {
        check_digests(&ran, &told);
    }
    match ran.state() {
        "done" => {
            assert_eq!((ran.ending(), times), (plan.ending, 1), "{told}");
            assert!(ran.out == out.as_bytes() && ran.errors() == plan.errors, "{told}");
        }
        // Of a command whose supervisor was killed nobody can know the end; what was heard of it is true.
        "lost" => {
            assert!(orphaned.contains(&id), "{told}");
            assert_eq!(ran.report["error"]["code"], "supervisor-gone", "{told}");
            assert!(times <= 1 && out.as_bytes().starts_with(&ran.out), "{told}");
        }
        // Its supervisor was killed before it could start anything, or its guest had no room for it. Either is told.
        "failed" => {
            let why = ran.report["error"]["message"].as_str().unwrap_or_default();
            assert!(why.contains("nothing was run") || why.contains("No space left"), "{told}");
            assert_eq!((times, ran.out.len()), (0, 0), "{told}");
        }
        _ => panic!("{told}"),
    }
    ran.report["state"].clone()
}

fn check_digests(ran: &Ran, told: &str) {
    for (name, bytes) in [("out_sha256", &ran.out), ("err_sha256", &ran.err)] {
        let digest = hex(Sha256::digest(bytes));
        // What the host had already is not at the guest any more, and its digest went with the supervisor.
        let is_gone = ran.state() == "lost" && ran.report[name].is_null();
        assert!(is_gone || ran.report[name] == digest, "{name}: {told}");
    }
}
