//! Impostors, and guests that misbehave: refused, told, and nobody else is the worse for it.

use serde_json::{Value, json};
use vocable_tests::gate::Gate;
use vocable_tests::host::Host;
use vocable_tests::stomp::Stomp;

fn a_token(host: &Host, guest: &str) -> String {
    host.call("guest.token", json!([guest])).unwrap().as_str().unwrap().to_owned()
}

/// Everything the host knows of a guest that somebody else could want to change.
fn standing(host: &Host, guest: &str) -> Value {
    let about = host.about(guest);
    json!([about["ip"], about["hello_time"], about["agent_version"], about["boot_id"], about["peer"]])
}

#[test]
fn a_guest_without_the_right_token_is_not_let_in() {
    let host = Host::start();
    let vm1 = host.guest("vm1");
    let token = vm1.token();
    let _vm1 = vm1.joins();
    let others = a_token(&host, "vm2");
    for (shown, why) in [
        (Some("vg_wrong"), "the credential is not that of vm1"),
        (Some(others.as_str()), "the credential is not that of vm1"),
        (Some(""), "the credential is not that of vm1"),
        (None, "vm1 has a credential, and none was given"),
    ] {
        let mut impostor = Stomp::dial(host.broker());
        let answer = impostor.connects("vm1", shown).unwrap();
        assert_eq!(answer.verb, "ERROR", "{shown:?}: {answer:?}");
        let told = format!("{answer:?}");
        assert!(!told.contains(why) && !told.contains(&token), "it learns too much: {told}");
        assert!(impostor.receives().is_none(), "the connection stays open");
        let event = host.awaits("guest.refused", "vm1");
        assert!(event["text"].as_str().unwrap().contains(why), "{event:#}");
    }
    assert!(host.why("vm1").contains("somebody else tries to log in"), "{}", host.why("vm1"));
    let mut stranger = Stomp::dial(host.broker());
    assert_eq!(stranger.connects("vm9", Some(&token)).unwrap().verb, "ERROR");
    host.awaits("guest.refused", "vm9");
    assert!(host.why("vm9").contains("no credential was made for vm9"), "{}", host.why("vm9"));
    assert_eq!(Stomp::dial(host.broker()).connects("host", Some(&token)).unwrap().verb, "ERROR");
    assert_eq!(host.runs("vm1", &["echo", "fine"]).well().text(), "fine\n");
}

#[test]
fn the_true_agent_with_a_wrong_token_says_so_and_goes_on_trying() {
    let host = Host::start();
    let plan = host.guest("vm1").shows(Some("vg_wrong"));
    let vm1 = plan.starts();
    host.awaits("guest.refused", "vm1");
    vm1.process().logs(&["refused", "trying again"]);
    host.awaits("guest.refused", "vm1");
    assert!(host.why("vm1").contains("vm1 is not let in"), "{}", host.why("vm1"));
    assert_eq!(host.about("vm1")["state"], "never");
}

#[test]
fn a_guest_may_not_read_or_write_for_another() {
    let host = Host::start();
    let _vm2 = host.guest("vm2").joins();
    let before = standing(&host, "vm2");
    let token = a_token(&host, "vm1");
    let forbidden: [(&str, &[(&str, &str)]); 6] = [
        ("SUBSCRIBE", &[("id", "1"), ("destination", "/queue/vocable.in.vm2")]),
        ("SUBSCRIBE", &[("id", "1"), ("destination", "/queue/vocable.in.>")]),
        ("SUBSCRIBE", &[("id", "1"), ("destination", "/queue/>")]),
        ("SEND", &[("destination", "/queue/vocable.out.vm2"), ("id", "vm2"), ("ip", "6.6.6.6")]),
        ("SEND", &[("destination", "/queue/vocable.in.vm2"), ("cmd-id", "x"), ("cmd", "true")]),
        ("SEND", &[("destination", "/topic/everybody")]),
    ];
    for (verb, headers) in forbidden {
        let mut vm1 = Stomp::log_in(host.broker(), "vm1", &token);
        vm1.sends(verb, headers, if verb == "SEND" { b"HELLO" } else { b"" });
        let refusal = vm1.is_refused();
        assert!(!refusal.is_empty(), "{verb} {headers:?} was not refused");
        assert_eq!(host.awaits("guest.denied", "vm1")["guest"], "vm1");
    }
    assert_eq!(standing(&host, "vm2"), before);
    assert_eq!(host.runs("vm2", &["echo", "fine"]).well().text(), "fine\n");
}

#[test]
fn what_a_guest_says_of_another_is_not_believed() {
    let host = Host::start();
    let _vm2 = host.guest("vm2").joins();
    let before = standing(&host, "vm2");
    let gate = Gate::new(host.folder(), "gate");
    let script = format!("echo true story; {}", gate.wait());
    let command = host.starts("vm2", &["sh", "-c", &script]);
    command.prints("true story\n");

    let mut vm1 = Stomp::log_in(host.broker(), "vm1", &a_token(&host, "vm1"));
    vm1.says("vm1", "HELLO", &[("id", "vm2"), ("ip", "6.6.6.6"), ("sender", "vm2"), ("from", "vm2")], "");
    vm1.says("vm1", "BEAT", &[("id", "vm2"), ("ip", "6.6.6.6")], "");
    vm1.says("vm1", "BYE", &[("id", "vm2"), ("ip", "6.6.6.6"), ("reason", "ha")], "");
    let forged =
        json!({"cmd-id": command.id, "finished": true, "exitCodeOrSignal": 0, "state": "done", "out": "lie"});
    vm1.says("vm1", "CMD_RESULTS", &[("cmd-id", &command.id)], &forged.to_string());
    let piece = [("cmd-id", command.id.as_str()), ("part", "out"), ("offset", "11")];
    vm1.says("vm1", "CMD_RESULTS", &piece, "lie");
    // Heard in their order: when this one has been, all have.
    vm1.says("vm1", "HELLO", &[("id", "vm1"), ("ip", "127.0.0.1")], "{}");
    host.awaits("guest.joined", "vm1");

    assert_eq!(command.polled()["state"], "running");
    assert_eq!(host.about("vm2")["state"], "alive");
    assert_eq!(standing(&host, "vm2"), before);
    gate.open();
    assert_eq!(command.ends().well().text(), "true story\n");
}

#[test]
fn of_two_guests_with_one_name_the_first_goes_on() {
    let host = Host::start();
    let plan = host.guest("vm1");
    let token = plan.token();
    let _vm1 = plan.joins();
    let before = standing(&host, "vm1");
    let clone = host.guest("vm1").elsewhere().shows(Some(&token));
    // Making the plan of the clone has made a new token, as an operator would for a machine set up anew.
    let clone = clone.shows(Some(&a_token(&host, "vm1"))).starts();
    let event = host.awaits("guest.duplicate", "vm1");
    assert!(event["text"].as_str().unwrap().contains("a second guest calls itself vm1"), "{event:#}");
    clone.process().logs(&["refused"]);
    assert_eq!(standing(&host, "vm1"), before);
    assert_eq!(host.runs("vm1", &["echo", "first"]).well().text(), "first\n");
    assert!(host.why("vm1").contains("somebody else"), "{}", host.why("vm1"));
}

#[test]
fn garbage_and_bombs_end_their_own_connection_only() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let token = a_token(&host, "vm6");
    let long = "x".repeat(100_000);
    let many = "h:v\n".repeat(100_000);
    let huge = vec![b'x'; 2 << 20];
    let bombs: [Vec<u8>; 6] = [
        b"\xff\xfe\x00garbage\n\n\0".to_vec(),
        b"SEND\ndestination".repeat(1000),
        format!("SEND\ndestination:{long}\n\n\0").into_bytes(),
        format!("SEND\n{many}\n\0").into_bytes(),
        [b"SEND\ndestination:/queue/vocable.out.vm6\n\n".as_slice(), &huge, b"\0"].concat(),
        b"SEND\ndestination:/queue/vocable.out.vm6\ncontent-length:99999999999999999999\n\n".to_vec(),
    ];
    for bomb in bombs {
        let mut vm6 = Stomp::log_in(host.broker(), "vm6", &token);
        vm6.sends_bytes(&bomb);
        // It ends: whether the reason still gets through depends on how much was unread.
        vm6.is_refused();
    }
    assert_eq!(host.runs("vm1", &["echo", "fine"]).well().text(), "fine\n");
}

#[test]
fn words_out_of_place_are_answered_or_ignored_and_stop_nobody() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let mut vm6 = Stomp::log_in(host.broker(), "vm6", &a_token(&host, "vm6"));
    vm6.sends("SUBSCRIBE", &[("id", "1"), ("destination", "/queue/vocable.in.vm6")], b"");
    let marker = host.folder().join("marker");
    let args = json!([marker]).to_string();
    // A guest commands nobody.
    vm6.says("vm6", "RUN_CMD", &[("asked", "a1"), ("cmd-id", "c1"), ("cmd", "touch"), ("args", &args)], "");
    let answer = vm6.receives().unwrap();
    assert!(answer.headers.contains(&"refusal:denied".to_owned()), "{answer:?}");
    // Nobody knows it: the answer names the words that are known.
    vm6.says("vm6", "NOSUCH", &[], "");
    let answer = String::from_utf8(vm6.receives().unwrap().body).unwrap();
    assert!(answer.starts_with("AINT") && answer.contains("HELLO"), "{answer}");
    for body in ["hello", "Hello there", "", "\u{0}", "HELLO\u{7f}", "ÄH", "{\"a\": 1}"] {
        vm6.sends("SEND", &[("destination", "/queue/vocable.out.vm6")], body.as_bytes());
    }
    for _ in 0..2000 {
        vm6.says("vm6", "BEAT", &[("id", "vm6"), ("ip", "127.0.0.1")], "");
    }
    assert_eq!(host.runs("vm1", &["echo", "fine"]).well().text(), "fine\n");
    vm6.says("vm6", "HELLO", &[("id", "vm6"), ("ip", "127.0.0.1")], "{}");
    host.awaits("guest.joined", "vm6");
    assert!(!marker.exists(), "a guest has had something run");
}
