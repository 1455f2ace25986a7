//! Guests come, are there, and go.

use nix::sys::signal::Signal;
use serde_json::json;
use vocable_tests::host::Host;

#[test]
fn a_guest_says_hello_is_alive_and_says_bye_when_it_is_told_to_stop() {
    let host = Host::start();
    let vm1 = host.guest("vm1").joins();
    assert_eq!(host.awaits("guest.alive", "vm1")["guest"], "vm1");
    // That it is alive is told with its HELLO already.
    host.beats_again("vm1", 0);
    let about = host.about("vm1");
    assert_eq!((&about["state"], &about["ip"]), (&json!("alive"), &json!("127.0.0.1")));
    assert!(about["beats"].as_u64().unwrap() >= 1 && about["agent_version"].is_string(), "{about:#}");
    assert_eq!(host.why("vm1"), "vm1 is well");

    assert!(vm1.stops(Signal::SIGTERM).success());
    let left = host.awaits("guest.left", "vm1");
    assert_eq!(left["text"], "the guest agent was stopped");
    assert_eq!(host.about("vm1")["state"], "left");
    assert!(host.why("vm1").starts_with("vm1 left "), "{}", host.why("vm1"));
}

#[test]
fn an_interrupted_guest_says_bye_too_and_can_come_back() {
    let host = Host::start();
    let mut vm1 = host.guest("vm1").joins();
    assert!(vm1.stops(Signal::SIGINT).success());
    host.awaits("guest.left", "vm1");
    vm1.starts_again();
    host.awaits("guest.joined", "vm1");
    assert_eq!(host.runs("vm1", &["echo", "again"]).well().text(), "again\n");
}

#[test]
fn everybody_who_is_known_is_listed() {
    let host = Host::start();
    let _guests = host.guests(["vm1", "vm2"]);
    host.call("guest.token", json!(["expected"])).unwrap();
    let listed = host.types(&["guests", "--json"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let state = |guest: &serde_json::Value| (guest["guest"].clone(), guest["state"] == "never");
    let states: Vec<_> = listed.json()["guests"].as_array().unwrap().iter().map(state).collect();
    assert_eq!(states, [(json!("expected"), true), (json!("vm1"), false), (json!("vm2"), false)]);
}

#[test]
fn a_guest_that_is_frozen_is_late_then_lost_and_alive_when_it_thaws() {
    // Longer than the story: only the silence of the agent itself shall be noticed.
    let host = Host::with(&["roster.late_after = 3", "roster.lost_after = 8", "broker.heartbeat = \"60s\""]);
    let vm1 = host.guest("vm1").with("heartbeat = \"60s\"").joins();
    host.awaits("guest.alive", "vm1");
    vm1.process().signal(Signal::SIGSTOP);
    assert!(host.awaits("guest.late", "vm1")["text"].as_str().unwrap().starts_with("no beacon for "));
    host.awaits("guest.lost", "vm1");
    assert!(host.why("vm1").contains("no beacon for "), "{}", host.why("vm1"));
    vm1.process().signal(Signal::SIGCONT);
    assert!(host.awaits("guest.alive", "heard again after ")["guest"] == "vm1");
}
