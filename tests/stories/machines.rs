//! What machines do to their agents: full disks, reboots, clocks that jump, programs that are replaced.

use serde_json::json;
use std::path::Path;
use vocable_tests::files;
use vocable_tests::gate::Gate;
use vocable_tests::host::Host;
use vocable_tests::isolation::{false_clock, mount_small, own_mounts, resize, show_instead};
use vocable_tests::proxy::Proxy;

const LINES: usize = 600_000;

/// What `seq LINES` prints.
fn lines() -> String {
    (1..=LINES).map(|n| format!("{n}\n")).collect()
}

#[test]
fn a_guest_with_a_full_disk_holds_its_command_until_the_host_has_taken_some() {
    if !own_mounts() {
        return;
    }
    let host = Host::start();
    let state = host.folder().join("vm1");
    mount_small(&state, "2m");
    let proxy = Proxy::to(host.broker());
    let vm1 = host.guest("vm1").through(proxy.address()).joins();
    let counter = host.folder().join("counter");
    let script = format!("echo ran >> {}; seq {LINES}", counter.display());
    let command = host.starts("vm1", &["sh", "-c", &script]);
    host.awaits("cmd.started", "vm1");
    // Nothing gets through, so that the disk of two mebibytes has to take what it can of the four.
    proxy.stalls();
    vm1.process().logs(&["takes no more", &command.id]);
    proxy.flows();
    let ran = command.ends().well();
    assert!(ran.text() == lines(), "{} bytes, and not those that were written", ran.out.len());
    assert!(ran.report.get("left_out").is_none(), "{:#}", ran.report);
    assert_eq!(std::fs::read_to_string(counter).unwrap(), "ran\n");
}

#[test]
fn a_guest_whose_disk_takes_nothing_says_so_and_runs_nothing() {
    if !own_mounts() {
        return;
    }
    let host = Host::start();
    let state = host.folder().join("vm1");
    mount_small(&state, "1m");
    let _vm1 = host.guest("vm1").joins();
    let (ballast, mark) = (state.join("ballast"), host.folder().join("mark"));
    // It is cut off where the disk ends.
    std::fs::write(&ballast, vec![0; 2 << 20]).unwrap_err();
    let touch = ["touch", mark.to_str().unwrap()];
    let ran = host.runs("vm1", &touch);
    assert_eq!(ran.state(), "failed", "{:#}", ran.report);
    let message = ran.report["error"]["message"].as_str().unwrap();
    assert!(message.contains("No space left on device") && message.contains("vm1"), "{message}");
    assert!(!mark.exists());
    std::fs::remove_file(ballast).unwrap();
    host.runs("vm1", &touch).well();
    assert!(mark.exists());
}

#[test]
fn a_host_with_a_full_disk_takes_nothing_and_loses_nothing() {
    if !own_mounts() {
        return;
    }
    let mut host = Host::with(&["commands.keep_free = \"0B\""]);
    host.stops();
    let state = host.folder().join("host");
    mount_small(&state, "2m");
    host.starts_again();
    let proxy = Proxy::to(host.broker());
    let vm1 = host.guest("vm1").through(proxy.address()).joins();
    let command = host.starts("vm1", &["seq", &LINES.to_string()]);
    let told = vm1.process().logs(&["the host did not take it", &command.id]);
    assert!(told.contains("No space left on device"), "{told}");

    // Others hear of it when it is their turn; what was promised to them before is kept.
    let mut promised = Vec::new();
    let refused = loop {
        match host.call("cmd.run", json!(["vm1", "echo", ["kept"]])) {
            Ok(id) => promised.push(id.as_str().unwrap().to_owned()),
            Err(refused) => break refused,
        }
        assert!(promised.len() < 2000, "a full disk takes everything");
    };
    assert!(refused.starts_with("no-space: "), "{refused}");

    resize(&state, "64m");
    // Whoever comes back does not wait for the end of a pause.
    proxy.cuts();
    host.awaits("guest.joined", "vm1");
    let ran = command.ends().well();
    assert!(ran.text() == lines(), "{} bytes, and not those that were written", ran.out.len());
    for id in promised {
        assert_eq!(host.command(&id).ends().well().text(), "kept\n");
    }
    assert_eq!(host.runs("vm1", &["echo", "new"]).well().text(), "new\n");
}

#[test]
fn a_command_that_a_reboot_of_its_guest_ended_is_lost_with_that_reason() {
    if !own_mounts() {
        return;
    }
    let host = Host::start();
    boots(host.folder(), "6f1c2f3a-0000-4000-8000-000000000001");
    let mut vm1 = host.guest("vm1").joins();
    let gate = Gate::new(host.folder(), "gate");
    let command = host.starts("vm1", &["sh", "-c", &format!("echo one; {}; echo two", gate.wait())]);
    command.prints("one\n");

    vm1.loses_power();
    boots(host.folder(), "6f1c2f3a-0000-4000-8000-000000000002");
    vm1.starts_again();
    let ran = command.ends();
    assert_eq!((ran.state(), ran.text()), ("lost", "one\n"), "{:#}", ran.report);
    assert_eq!(ran.report["error"]["code"], "guest-restarted", "{:#}", ran.report);
    assert_eq!(host.runs("vm1", &["echo", "again"]).well().text(), "again\n");
}

/// From now on the kernel has this boot id.
fn boots(folder: &Path, id: &str) {
    let file = folder.join(id);
    std::fs::write(&file, format!("{id}\n")).unwrap();
    show_instead(&file, Path::new("/proc/sys/kernel/random/boot_id"));
}

#[test]
fn clocks_that_jump_lose_nobody_and_end_nothing() {
    let Some(library) = false_clock() else { return };
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    let jumps = |by: &str| {
        // Never half written.
        std::fs::write(folder.path().join("new"), by).unwrap();
        std::fs::rename(folder.path().join("new"), &clock).unwrap();
    };
    jumps("+0");
    let env = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    let host = Host::with_env(&env, &["broker.heartbeat = \"1s\""]);
    let plan = host.guest("vm1").with("heartbeat = \"1s\"");
    let mut vm1 = env.iter().fold(plan, |plan, (name, value)| plan.with_env(name, value)).joins();
    let gate = Gate::new(host.folder(), "gate");
    let script = format!("echo one; {}; echo two", gate.wait());
    let options = json!({"timeout_s": 600.0});
    let command = host.starts_with("vm1", &["sh", "-c", &script], options);
    command.prints("one\n");
    let year = || host.call("cmd.poll", json!([&command.id])).unwrap()["created_unix"].as_f64().unwrap();
    let created = year();

    for by in ["+400d", "-800d", "+3650d"] {
        jumps(by);
        let ran = host.runs("vm1", &["echo", by]).well();
        assert_eq!(ran.text(), format!("{by}\n"));
        let jumped = (ran.report["created_unix"].as_f64().unwrap() - created) / 86_400.0;
        let meant: f64 = by.trim_end_matches('d').parse().unwrap();
        assert!((jumped - meant).abs() < 1.0, "the clock did not jump: {jumped} days");
        // Whoever counts silence by that clock takes the guest for dead, or for alive for ever.
        let beats = host.about("vm1")["beats"].as_u64().unwrap();
        host.beats_again("vm1", beats);
        assert_eq!(host.why("vm1"), "vm1 is well");
    }
    vm1.is_killed();
    gate.open();
    vm1.starts_again();
    assert_eq!(command.ends().well().text(), "one\ntwo\n");
}

#[test]
fn a_command_goes_on_streaming_through_the_upgrade_of_its_agent() {
    let host = Host::start();
    let installed = host.folder().join("installed");
    std::fs::copy(files::program("vocable-guest"), &installed).unwrap();
    let mut vm1 = host.guest("vm1").from(&installed).joins();
    let gate = Gate::new(host.folder(), "gate");
    let script = format!("for n in 1 2 3 4; do echo before $n; {}; done; exit 4", gate.wait());
    let command = host.starts("vm1", &["sh", "-c", &script]);
    command.prints("before 1\n");

    // As a package manager does it: the new file takes the place of the old one, which runs on.
    let newer = host.folder().join("newer");
    let mut program = std::fs::read(&installed).unwrap();
    program.extend_from_slice(b"another version");
    std::fs::write(&newer, program).unwrap();
    std::fs::set_permissions(&newer, std::fs::metadata(&installed).unwrap().permissions()).unwrap();
    std::fs::rename(&newer, &installed).unwrap();
    gate.open();
    command.prints("before 2\n");
    let between = host.runs("vm1", &["echo", "the old one starts commands"]).well();
    assert_eq!(between.text(), "the old one starts commands\n");

    vm1.stops(nix::sys::signal::Signal::SIGTERM);
    vm1.starts_again();
    host.awaits("guest.joined", "vm1");
    gate.open();
    command.prints("before 3\n");
    assert_eq!(host.runs("vm1", &["echo", "so does the new one"]).well().text(), "so does the new one\n");
    gate.open();
    gate.open();
    let ran = command.ends();
    assert_eq!(ran.ending(), (true, 4), "{:#}", ran.report);
    assert_eq!(ran.text(), "before 1\nbefore 2\nbefore 3\nbefore 4\n");
}
