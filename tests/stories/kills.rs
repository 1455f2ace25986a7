//! Five hundred commands while every process that takes part in them is killed at random: host, broker (which is in the
//! host), guest agent, supervisors. Each command ends once, with the true result.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};
use vocable::client::ClientError;
use vocable::commands::hex;
use vocable_tests::PATIENCE;
use vocable_tests::command::Ran;
use vocable_tests::guest::Guest;
use vocable_tests::host::{Endpoint, Host};
use vocable_tests::proxy::Proxy;
use vocable_tests::random::Random;

const COMMANDS: usize = 500;
/// Commands that are asked for while one process is killed.
const AT_A_TIME: usize = 10;

/// What a command does, and what must come of it.
struct Plan {
    lines: u64,
    errors: String,
    /// By itself and with which code, or by which signal.
    ending: (bool, i64),
    script: String,
}

impl Plan {
    fn new(n: usize, folder: &Path) -> Self {
        let lines = [0, 3, 200, 20_000][n % 4];
        let ending = if n.is_multiple_of(11) { (false, 15) } else { (true, (n % 7) as i64) };
        let end = if ending.0 { format!("exit {}", ending.1) } else { "kill -TERM $$".to_owned() };
        // Some take their time, so that they are there when something is killed.
        let wait = if n.is_multiple_of(3) { format!("sleep 0.{}; ", n % 5) } else { String::new() };
        let mark = folder.join(format!("ran-{n}"));
        let script = format!("echo ran >> {}; seq {lines}; {wait}echo {n} >&2; {end}", mark.display());
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
        let deadline = Instant::now() + PATIENCE;
        loop {
            let endpoint = self.endpoint.lock().unwrap().clone();
            match endpoint.call("cmd.run", &request) {
                Ok(id) => return assert_eq!(id, format!("c{n}.vm1")),
                Err(ClientError::Fault(fault)) if fault.slug() != Some("guest-offline") => {
                    panic!("{}", fault.text())
                }
                // Nobody there just now.
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            let endpoint = self.endpoint.lock().unwrap();
            drop(self.changed.wait_timeout(endpoint, Duration::from_millis(20)).unwrap());
        }
    }
}

#[test]
fn five_hundred_commands_end_truly_whatever_is_killed() {
    let mut random = Random::announced();
    let mut host = Host::start();
    let proxy = Proxy::to(host.broker());
    let mut vm1 = host.guest("vm1").through(proxy.address()).joins();
    let plans: Vec<_> = (0..COMMANDS).map(|n| Plan::new(n, host.folder())).collect();
    let there = Whereabouts { endpoint: Mutex::new(host.endpoint()), changed: Condvar::new() };
    let mut orphaned = BTreeSet::new();
    let mut kills = [0; 3];
    for (round, some) in plans.chunks(AT_A_TIME).enumerate() {
        std::thread::scope(|scope| {
            let there = &there;
            scope.spawn(move || {
                for (n, plan) in some.iter().enumerate() {
                    there.ask_for(round * AT_A_TIME + n, plan);
                }
            });
            random.pause(Duration::from_millis(300));
            // Each in turn, so that everything is killed often; only the moment is a matter of chance.
            let victim = round % kills.len();
            match victim {
                0 => {
                    vm1.is_killed();
                    random.pause(Duration::from_millis(50));
                    vm1.starts_again();
                }
                1 => {
                    host.is_killed();
                    random.pause(Duration::from_millis(50));
                    host.starts_again();
                    proxy.leads_to(host.broker());
                    there.moved(host.endpoint());
                }
                _ => orphaned.extend(kill_supervisors(&vm1, &mut random)),
            }
            kills[victim] += 1;
        });
    }
    eprintln!("killed: guest agent {}, host {}, supervisors of {}", kills[0], kills[1], orphaned.len());
    let reports: Vec<_> = (0..COMMANDS).map(|n| judged(&host, n, &plans[n], &orphaned)).collect();

    // And so it stays.
    vm1.is_killed();
    host.is_killed();
    host.starts_again();
    proxy.leads_to(host.broker());
    vm1.starts_again();
    host.hears("guest.joined", "vm1");
    for (n, report) in reports.iter().enumerate() {
        assert_eq!(&host.command(&format!("c{n}.vm1")).polled_quietly()["state"], report, "c{n}");
    }
    let ran = |n: usize| std::fs::read_to_string(host.folder().join(format!("ran-{n}"))).unwrap_or_default();
    assert!((0..COMMANDS).all(|n| ran(n).lines().count() <= 1), "something ran once more at last");
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

/// Waits for the end of a command and compares it with what is true; gives its state.
fn judged(host: &Host, n: usize, plan: &Plan, orphaned: &BTreeSet<String>) -> Value {
    let id = format!("c{n}.vm1");
    let ran = host.command(&id).ends();
    let times = std::fs::read_to_string(host.folder().join(format!("ran-{n}"))).unwrap_or_default();
    let times = times.lines().count();
    let told = format!(
        "c{n}: {} of {} octets, ran {times} times, {:#}",
        ran.out.len(),
        plan.out().len(),
        ran.report
    );
    check_digests(&ran, &told);
    match ran.state() {
        "done" => {
            assert_eq!((ran.ending(), times), (plan.ending, 1), "{told}");
            assert!(ran.out == plan.out().as_bytes() && ran.errors() == plan.errors, "{told}");
        }
        // Of a command whose supervisor was killed nobody can know the end; what was heard of it is true.
        "lost" => {
            assert!(orphaned.contains(&id), "{told}");
            assert_eq!(ran.report["error"]["code"], "supervisor-gone", "{told}");
            assert!(times <= 1 && plan.out().as_bytes().starts_with(&ran.out), "{told}");
        }
        // Killed before it could start anything.
        "failed" => {
            assert!(orphaned.contains(&id), "{told}");
            assert_eq!((times, ran.out.len()), (0, 0), "{told}");
        }
        _ => panic!("{told}"),
    }
    ran.report["state"].clone()
}

fn check_digests(ran: &Ran, told: &str) {
    for (name, octets) in [("out_sha256", &ran.out), ("err_sha256", &ran.err)] {
        let digest = hex(&Sha256::digest(octets));
        assert_eq!(ran.report[name], digest, "{told}");
    }
}
