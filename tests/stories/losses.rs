//! Agents that die without a word: whatever was under way comes to its true end.

use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use vocable_tests::TIMEOUT;
use vocable_tests::gate::Gate;
use vocable_tests::host::Host;
use vocable_tests::isolation::{fill_up, mount_small, own_mounts, resize};
use vocable_tests::proxy::Proxy;
use vocable_tests::stomp::Stomp;

#[test]
fn a_killed_guest_is_lost_with_the_reason_and_its_command_ends_truly_when_it_is_back() {
    let host = Host::start();
    let mut vm1 = host.guest("vm1").joins();
    let gate = Gate::new(host.folder(), "gate");
    let script = format!("seq 1 1000; {}; seq 1001 2000; echo err >&2; exit 7", gate.wait());
    let command = host.starts("vm1", &["sh", "-c", &script]);
    command.prints("1000\n");

    vm1.is_killed();
    let lost = host.awaits("guest.lost", "vm1");
    assert!(!lost["text"].as_str().unwrap().is_empty(), "{lost:#}");
    assert!(host.why("vm1").starts_with("vm1 was lost "), "{}", host.why("vm1"));
    let refused = host.call("cmd.run", json!(["vm1", "true"])).unwrap_err();
    assert!(refused.starts_with("guest-offline: "), "{refused}");
    gate.open();

    vm1.starts_again();
    host.awaits("guest.joined", "vm1");
    let ran = command.ends();
    assert_eq!((ran.state(), ran.ending()), ("done", (true, 7)), "{:#}", ran.report);
    let lines: String = (1..=2000).map(|n| format!("{n}\n")).collect();
    assert_eq!((ran.text(), ran.errors()), (lines.as_str(), "err\n"));
    assert_eq!(host.why("vm1"), "vm1 is well");
}

#[test]
fn a_command_that_ends_while_its_guest_agent_is_dead_is_told_afterwards() {
    let host = Host::start();
    let mut vm1 = host.guest("vm1").joins();
    let (gate, done) = (Gate::new(host.folder(), "gate"), Gate::new(host.folder(), "done"));
    let script = format!("{}; echo late; {}; kill -KILL $$", gate.wait(), done.knock());
    let command = host.starts("vm1", &["sh", "-c", &script]);
    host.awaits("cmd.started", "vm1");
    vm1.is_killed();
    gate.open();
    done.knocked();
    vm1.starts_again();
    let ran = command.ends();
    assert_eq!((ran.text(), ran.ending()), ("late\n", (false, 9)), "{:#}", ran.report);
}

#[test]
fn a_killed_host_finds_its_commands_again() {
    let mut host = Host::start();
    let proxy = Proxy::to(host.broker());
    let _vm1 = host.guest("vm1").through(proxy.address()).joins();
    let (gate, done) = (Gate::new(host.folder(), "gate"), Gate::new(host.folder(), "done"));
    let counter = host.folder().join("counter");
    let script = format!(
        "echo ran >> {}; echo before; {}; echo after; {}",
        counter.display(),
        gate.wait(),
        done.knock()
    );
    let id = {
        let command = host.starts("vm1", &["sh", "-c", &script]);
        command.prints("before\n");
        command.id.clone()
    };
    host.is_killed();
    // It ends while there is no host at all.
    gate.open();
    done.knocked();
    host.starts_again();
    proxy.leads_to(host.broker());
    let ran = host.command(&id).ends().well();
    assert_eq!(ran.text(), "before\nafter\n");
    assert_eq!(std::fs::read_to_string(counter).unwrap(), "ran\n");
}

#[test]
fn a_host_killed_in_the_middle_of_much_output_gets_all_of_it_once() {
    const LINES: u64 = 2_000_000;
    let mut host = Host::start();
    let proxy = Proxy::to(host.broker());
    let _vm1 = host.guest("vm1").through(proxy.address()).joins();
    let last = LINES.to_string();
    let id = {
        let command = host.starts("vm1", &["seq", &last]);
        command.has_written(1 << 20);
        command.id.clone()
    };
    for _ in 0..2 {
        host.is_killed();
        host.starts_again();
        proxy.leads_to(host.broker());
        host.awaits("guest.joined", "vm1");
    }
    let ran = host.command(&id).ends().well();
    let expected: String = (1..=LINES).map(|n| format!("{n}\n")).collect();
    // Not by assert_eq: nobody wants to read 14 MB.
    assert_eq!(ran.out.len(), expected.len());
    assert!(ran.out == expected.as_bytes(), "the output is not what was written");
}

/// Answers to a process that is gone wait in the mailbox of the next one: none of them is an answer to what that asks.
#[test]
fn an_answer_to_a_dead_agent_makes_the_next_one_forget_nothing() {
    const LINES: u64 = 1000;
    const ASKS: u64 = 60;
    if !own_mounts() {
        return;
    }
    let mut host = Host::with(&["commands.keep_free = \"0B\""]);
    host.stops();
    let state = host.folder().join("host");
    mount_small(&state, "64m");
    host.starts_again();
    let proxy = Proxy::to(host.broker());
    let plan = host.guest("vm1").through(proxy.address());
    let token = plan.token();
    let mut vm1 = plan.joins();
    let (gate, done) = (Gate::new(host.folder(), "gate"), Gate::new(host.folder(), "done"));
    let script = format!("{}; seq {LINES}; {}; exit 5", gate.wait(), done.knock());
    let command = host.starts("vm1", &["sh", "-c", &script]);
    host.awaits("cmd.started", "vm1");
    vm1.is_killed();
    host.awaits("guest.lost", "vm1");
    gate.open();
    done.knocked();

    // What an agent asks that dies before it has read the answers, which then are in its mailbox.
    let mut dead = Stomp::log_in(host.broker(), "vm1", &token);
    let mailbox = [("id", "1"), ("destination", "/queue/vocable.in.vm1"), ("ack", "client-individual")];
    dead.sends("SUBSCRIBE", &mailbox, b"");
    for ask in 1..=ASKS {
        dead.says("vm1", "?", &[("asked", &format!("{ask:x}"))], "");
    }
    let last = format!("{ASKS:x}");
    while dead.receives().unwrap().header("in-reply-to") != Some(last.clone()) {}
    drop(dead);
    host.awaits("guest.lost", "vm1");

    // The host can take nothing now. The next agent has told what it has to tell before it hears those answers.
    fill_up(&state);
    proxy.delays(Duration::from_millis(200));
    vm1.starts_again();
    host.awaits("guest.joined", "vm1");
    for _ in 0..3 {
        host.call("guest.ping", json!(["vm1"])).unwrap();
    }
    assert!(
        host.command(&command.id).polled_quietly()["state"] == "running",
        "it was taken: {:#}",
        command.polled()
    );
    resize(&state, "256m");
    proxy.delays(Duration::ZERO);
    vm1.is_killed();
    vm1.starts_again();
    let ran = command.ends();
    assert_eq!(ran.state(), "done", "{:#}", ran.report);
    assert_eq!((ran.ending(), ran.text().lines().count() as u64), ((true, 5), LINES));
}

#[test]
fn both_agents_may_die_and_the_command_still_ends_once() {
    let mut host = Host::start();
    let proxy = Proxy::to(host.broker());
    let mut vm1 = host.guest("vm1").through(proxy.address()).joins();
    let gate = Gate::new(host.folder(), "gate");
    let script = format!("echo one; {}; echo two", gate.wait());
    let id = {
        let command = host.starts("vm1", &["sh", "-c", &script]);
        command.prints("one\n");
        command.id.clone()
    };
    host.is_killed();
    vm1.is_killed();
    gate.open();
    host.starts_again();
    proxy.leads_to(host.broker());
    vm1.starts_again();
    assert_eq!(host.command(&id).ends().well().text(), "one\ntwo\n");
}

#[test]
fn a_guest_without_its_host_ends_the_commands_that_were_to_end_with_it_and_no_other() {
    let mut host = Host::start();
    let proxy = Proxy::to(host.broker());
    let _vm1 = host.guest("vm1").through(proxy.address()).with("jobs.kill_after = \"100ms\"").joins();
    let (gate, told) = (Gate::new(host.folder(), "gate"), Gate::new(host.folder(), "told"));
    let started = |script: &str, options| {
        let command = host.starts_with("vm1", &["sh", "-c", script], options);
        command.prints("ready\n");
        command.id.clone()
    };
    let trap = format!("trap '{}; echo ended; exit 3' TERM; echo ready; sleep 1000 & wait", told.knock());
    let kill = started(&trap, json!({"on_disconnect": "kill"}));
    let keep = started(&format!("echo ready; {}; echo kept", gate.wait()), json!({"on_disconnect": "keep"}));
    host.is_killed();
    // Nobody is there to ask for it.
    told.knocked();
    gate.open();

    host.starts_again();
    proxy.leads_to(host.broker());
    let ran = host.command(&kill).ends();
    assert_eq!((ran.state(), ran.ending()), ("cancelled", (true, 3)), "{:#}", ran.report);
    assert_eq!(ran.text(), "ready\nended\n");
    assert_eq!(host.command(&keep).ends().well().text(), "ready\nkept\n");
}

#[test]
fn a_guest_that_is_started_without_its_host_ends_them_too() {
    let mut host = Host::start();
    let proxy = Proxy::to(host.broker());
    let mut vm1 = host.guest("vm1").through(proxy.address()).with("jobs.kill_after = \"100ms\"").joins();
    let told = Gate::new(host.folder(), "told");
    let script = format!("trap '{}; exit 3' TERM; echo ready; sleep 1000 & wait", told.knock());
    let id = {
        let command = host.starts_with("vm1", &["sh", "-c", &script], json!({"on_disconnect": "kill"}));
        command.prints("ready\n");
        command.id.clone()
    };
    vm1.is_killed();
    host.is_killed();
    vm1.starts_again();
    told.knocked();
    host.starts_again();
    proxy.leads_to(host.broker());
    assert_eq!(host.command(&id).ends().state(), "cancelled");
}

#[test]
fn a_guest_that_comes_back_without_its_state_leaves_no_command_running() {
    let host = Host::start();
    let mut vm1 = host.guest("vm1").joins();
    let gate = Gate::new(host.folder(), "gate");
    let kept = host.starts("vm1", &["sh", "-c", &format!("echo before; {}; echo after", gate.wait())]);
    kept.prints("before\n");
    vm1.is_killed();
    vm1.starts_again();
    host.awaits("guest.joined", "vm1");
    gate.open();
    assert_eq!(kept.ends().well().text(), "before\nafter\n");

    let gone = host.starts("vm1", &["sh", "-c", &format!("echo before; {}", gate.wait())]);
    gone.prints("before\n");
    vm1.loses_power();
    std::fs::remove_dir_all(host.folder().join("vm1/jobs")).unwrap();
    vm1.starts_again();
    let ran = gone.ends();
    assert_eq!((ran.state(), ran.text()), ("lost", "before\n"), "{:#}", ran.report);
    assert_eq!(ran.report["error"]["code"], "guest-reset", "{:#}", ran.report);
    assert_eq!(host.runs("vm1", &["echo", "well"]).well().text(), "well\n");
}

#[test]
fn a_command_that_its_host_has_forgotten_goes_on_to_its_end_and_is_forgotten_by_its_guest() {
    let mut host = Host::start();
    let proxy = Proxy::to(host.broker());
    let settings = ["jobs.spool_limit = \"64KiB\"", "jobs.keep = \"0s\""];
    let plan = host.guest("vm1").through(proxy.address());
    let _vm1 = settings.iter().fold(plan, |plan, setting| plan.with(setting)).joins();
    let (state, backup) = (host.folder().join("host"), host.folder().join("backup"));
    host.is_killed();
    copied(&state, &backup);
    host.starts_again();
    proxy.leads_to(host.broker());
    host.awaits("guest.joined", "vm1");

    let (gate, told) = (Gate::new(host.folder(), "gate"), Gate::new(host.folder(), "told"));
    let script = format!("echo ready; {}; seq 1 200000; {}", gate.wait(), told.knock());
    let id = {
        let command = host.starts("vm1", &["sh", "-c", &script]);
        command.prints("ready\n");
        command.id.clone()
    };
    // The host is taken back to a time before it.
    host.is_killed();
    copied(&backup, &state);
    host.starts_again();
    proxy.leads_to(host.broker());
    host.awaits("guest.joined", "vm1");
    gate.open();
    // It writes far more than its spool may hold, and nobody takes it.
    told.knocked();
    let folder = host.folder().join("vm1/jobs").join(&id);
    let deadline = Instant::now() + TIMEOUT;
    while folder.exists() {
        assert!(Instant::now() < deadline, "{} is still there", folder.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Makes a folder a copy of another one.
fn copied(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let done = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(done.success());
}
