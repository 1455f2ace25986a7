//! Guests that are away, and time that is up: commands that wait, expire, end at a deadline, and are forgotten.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::path::Path;
use vocable_tests::guest::GuestPlan;
use vocable_tests::host::{Host, Typed};
use vocable_tests::isolation::false_clock;

/// The host knows them; their agents have never been there.
fn expects(host: &Host, guests: &[&str]) {
    for guest in guests {
        host.call("guest.token", json!([guest])).unwrap();
    }
}

fn typed(host: &Host, line: &[&str]) -> Typed {
    let typed = host.types(line);
    assert_eq!(typed.code, Some(0), "{line:?}: {typed:?}");
    typed
}

fn ids(host: &Host) -> Vec<String> {
    let all = host.call("cmd.list", json!([{"all": true}])).unwrap();
    all.as_array().unwrap().iter().map(|command| command["cmd_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_command_waits_for_its_guest_where_it_may() {
    let host = Host::start();
    let plan = host.guest("vm1");
    let refused = host.types(&["run", "vm1", "--", "true"]);
    assert!(refused.code == Some(125) && refused.err.contains("guest-offline"), "{refused:?}");
    let line = ["run", "-d", "--queue=1m", "--id", "waits", "vm1", "--", "echo", "here"];
    assert_eq!(typed(&host, &line).text(), "waits.vm1\n");
    let command = host.command("waits.vm1");
    assert_eq!(command.polled()["state"], "queued");
    // The same once more is the same.
    assert_eq!(typed(&host, &line).text(), "waits.vm1\n");
    let _vm1 = plan.joins();
    assert_eq!(command.ends().well().text(), "here\n");
}

#[test]
fn what_waits_survives_the_host_and_what_waits_too_long_is_not_run() {
    let mut host = Host::start();
    expects(&host, &["vm1"]);
    let mark = host.folder().join("mark");
    let touch = ["touch", mark.to_str().unwrap()];
    let run = |host: &Host, queue: f64| {
        let id = host.call("cmd.run", json!(["vm1", touch[0], [touch[1]], {"queue_s": queue}])).unwrap();
        id.as_str().unwrap().to_owned()
    };
    let expires = run(&host, 0.2);
    let failed = host.command(&expires).ends();
    assert_eq!(
        (failed.state(), &failed.report["error"]["code"]),
        ("failed", &json!("expired")),
        "{failed:?}"
    );
    let waits = run(&host, 60.0);
    let also_expires = run(&host, 1.0);
    host.stops();
    host.starts_again();
    assert_eq!(host.command(&also_expires).ends().report["error"]["code"], "expired");
    assert!(!mark.exists());
    let _vm1 = host.guest("vm1").joins();
    host.command(&waits).ends().well();
    assert!(mark.exists());
}

/// A program that leaves a mark is not run, though its guest has the order: it was taken back in time.
fn is_not_run_too_late(host: &Host, plan: GuestPlan<'_>) {
    let mark = host.folder().join("mark");
    let mut vm1 = plan.joins();
    let touch = ["touch", mark.to_str().unwrap()];
    let before = host.starts_with("vm1", &["true"], json!({"queue_s": 30.0}));
    before.ends().well();
    assert!(before.listed()["expires_unix"].is_number(), "{:#}", before.listed());

    // The agent stands still, and does not know it; the order is in its connection.
    vm1.process().signal(Signal::SIGSTOP);
    let late = host.starts_with("vm1", &touch, json!({"queue_s": 0.5}));
    expired(&late.ends().report, &mark);
    vm1.process().signal(Signal::SIGCONT);
    runs_what_is_in_time(host);
    expired(&late.polled(), &mark);

    // The same, and then it is gone: the order is in its mailbox.
    vm1.process().signal(Signal::SIGSTOP);
    let later = host.starts_with("vm1", &touch, json!({"queue_s": 0.5}));
    vm1.is_killed();
    host.awaits("guest.lost", "vm1");
    expired(&later.ends().report, &mark);
    vm1.starts_again();
    host.awaits("guest.joined", "vm1");
    runs_what_is_in_time(host);
    expired(&later.polled(), &mark);
}

/// Whoever cannot know yet that it was not run says that.
fn expired(report: &Value, mark: &Path) {
    assert_eq!(report["error"]["code"], "expired", "{report:#}");
    let told = report["error"]["message"].as_str().unwrap();
    let may_run = told.contains("may still run");
    assert!(may_run || (report["state"] == "failed" && told.contains("nothing was run")), "{report:#}");
    assert!(!mark.exists(), "it was run: {report:#}");
}

/// What was before it in the mailbox has been heard, and had time to be started.
fn runs_what_is_in_time(host: &Host) {
    for n in 0..5 {
        let command = host.starts_with("vm1", &["echo", &n.to_string()], json!({"queue_s": 30.0}));
        assert_eq!(command.ends().well().text(), format!("{n}\n"));
    }
}

#[test]
fn what_has_expired_is_not_run_by_a_guest_that_wakes_up() {
    let host = Host::start();
    let plan = host.guest("vm1");
    is_not_run_too_late(&host, plan);
}

#[test]
fn what_has_expired_is_not_run_whatever_the_guests_clock_says() {
    let Some(library) = false_clock() else { return };
    for clock in ["-400d", "+400d"] {
        let host = Host::start();
        let plan = host.guest("vm1").with_env("LD_PRELOAD", library.to_str().unwrap());
        let plan = plan.with_env("FAKETIME", clock).with_env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        is_not_run_too_late(&host, plan.with_env("DONT_FAKE_MONOTONIC", "1"));
    }
}

#[test]
fn what_is_said_of_a_command_whose_guest_was_lost_before_it_took_it_is_true() {
    let host = Host::start();
    let mut vm1 = host.guest("vm1").joins();
    let mark = host.folder().join("mark");
    let script = format!("echo ran >> {}", mark.display());
    let cancelled = host.folder().join("cancelled");
    let touch = ["touch", cancelled.to_str().unwrap()];
    vm1.process().signal(Signal::SIGSTOP);
    let command = host.starts("vm1", &["sh", "-c", &script]);
    let withdrawn = host.starts("vm1", &touch);
    vm1.is_killed();
    host.awaits("guest.lost", "vm1");
    host.call("cmd.cancel", json!([withdrawn.id])).unwrap();
    let before = command.polled();
    let says_nothing_ran =
        |report: &Value| report["error"]["message"].to_string().contains("nothing was run");
    let promised = says_nothing_ran(&before);
    vm1.starts_again();
    host.awaits("guest.joined", "vm1");
    let ran = command.ends();
    host.runs("vm1", &["true"]).well();
    let times = std::fs::read_to_string(&mark).unwrap_or_default().lines().count();
    match ran.state() {
        "done" => assert!(times == 1 && !promised, "{before:#} {:#}", ran.report),
        _ => assert!(times == 0 || !says_nothing_ran(&ran.report), "{:#}", ran.report),
    }
    let told = withdrawn.ends().report;
    assert!(!(says_nothing_ran(&told) && cancelled.exists()), "{told:#}");
}

#[test]
fn at_the_deadline_it_is_ended_wherever_it_is() {
    let host = Host::start();
    let (_vm1, mut vm2) = (host.guest("vm1").joins(), host.guest("vm2").joins());
    let run = host.starts_with("vm*", &["sh", "-c", "echo ready; exec sleep 600"], json!({"deadline_s": 3}));
    for guest in ["vm1", "vm2"] {
        host.command(&format!("{}.{guest}", run.id)).prints("ready\n");
    }
    vm2.is_killed();
    host.awaits("guest.lost", "vm2");
    let (here, away) = (host.command(&format!("{}.vm1", run.id)), host.command(&format!("{}.vm2", run.id)));
    let ended = here.ends();
    assert_eq!((ended.state(), ended.ending()), ("cancelled", (false, 15)), "{ended:?}");
    assert!(here.listed()["deadline_unix"].is_number(), "{:#}", here.listed());
    let unknown = away.ends();
    assert_eq!(
        (unknown.state(), &unknown.report["error"]["code"]),
        ("lost", &json!("guest-lost")),
        "{unknown:?}"
    );
    // When the guest is back it hears of it, and the true end is told after all.
    host.awaits("cmd.done", "vm2");
    vm2.starts_again();
    host.awaits("cmd.done", "vm2");
    let known = away.polled();
    assert_eq!((&known["state"], &known["exitCodeOrSignal"]), (&json!("cancelled"), &json!(15)), "{known:#}");
}

#[test]
fn some_of_the_guests_are_chosen() {
    let host = Host::start();
    let _guests = host.guests(["vm1", "vm2", "vm3"]);
    expects(&host, &["vm4"]);
    let on = |options: Value| {
        let id = host.call("cmd.run", json!(["vm*", "true", [], options])).unwrap();
        let report = host.command(id.as_str().unwrap()).polled();
        let commands = report["commands"].as_array().unwrap().clone();
        commands.into_iter().map(|command| command["guest"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(on(json!({"except": "vm2,vm4"})), ["vm1", "vm3"]);
    assert_eq!(on(json!({"alive": true})), ["vm1", "vm2", "vm3"]);
    assert_eq!(on(json!({"limit": "50%"})).len(), 2);
    assert_eq!(on(json!({"limit": "1", "except": "vm4"})).len(), 1);
    let nobody = host.types(&["run", "vm*", "--except", "*", "--", "true"]);
    assert!(nobody.code == Some(125) && nobody.err.contains("no guest is left"), "{nobody:?}");
    let nonsense = host.types(&["run", "vm*", "--limit", "110%", "--", "true"]);
    assert!(nonsense.code == Some(125) && nonsense.err.contains("limit"), "{nonsense:?}");
}

#[test]
fn commands_are_forgotten_when_one_says_so() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let runs = host.starts("vm1", &["sh", "-c", "echo ready; exec sleep 600"]);
    runs.prints("ready\n");
    let busy = host.types(&["rm", &runs.id]);
    assert!(
        busy.code == Some(1) && busy.err.contains(&format!("hint: vocable kill {}", runs.id)),
        "{busy:?}"
    );
    let over = host.runs("vm1", &["echo", "much"]).well().report["cmd_id"].as_str().unwrap().to_owned();
    assert_eq!(typed(&host, &["rm", &over]).text(), format!("{over}\n"));
    assert_eq!(ids(&host), [runs.id.as_str()]);
    let gone = host.types(&["logs", &over]);
    assert!(gone.code == Some(1) && gone.err.contains("no-such-command"), "{gone:?}");
    typed(&host, &["kill", "--yes", "--all", "vm1"]);
}

#[test]
fn commands_that_are_old_are_forgotten() {
    let host = Host::with(&["commands.keep = \"1s\""]);
    let _vm1 = host.guest("vm1").joins();
    let runs = host.starts("vm1", &["sh", "-c", "echo ready; exec sleep 600"]);
    runs.prints("ready\n");
    let old = host.runs("vm1", &["true"]).report["cmd_id"].as_str().unwrap().to_owned();
    host.process().logs(&["forgot", &old]);
    assert_eq!(ids(&host), [runs.id.as_str()]);
}
