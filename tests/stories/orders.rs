//! Orders on their way: what is taken back, what comes too late, and what is said of it is true.

use serde_json::json;
use vocable_tests::host::Host;
use vocable_tests::stomp::{Received, Stomp};

const ME: [(&str, &str); 2] = [("id", "vm1"), ("ip", "127.0.0.1")];

/// A guest that says that it is there, and reads nothing yet.
fn raw_guest(host: &Host) -> (Stomp, String) {
    let token = host.call("guest.token", json!(["vm1"])).unwrap().as_str().unwrap().to_owned();
    let mut vm1 = Stomp::log_in(host.broker(), "vm1", &token);
    vm1.says("vm1", "HELLO", &ME, "");
    host.awaits("guest.joined", "vm1");
    (vm1, token)
}

fn subscribes(vm1: &mut Stomp) {
    let to = [("id", "1"), ("destination", "/queue/vocable.in.vm1"), ("ack", "client-individual")];
    vm1.sends("SUBSCRIBE", &to, b"");
}

fn header<'a>(frame: &'a Received, name: &str) -> Option<&'a str> {
    frame.headers.iter().find_map(|line| line.strip_prefix(&format!("{name}:")))
}

#[test]
fn a_command_whose_order_is_still_in_the_mailbox_is_cancelled_and_never_delivered() {
    let host = Host::start();
    let (mut vm1, _) = raw_guest(&host);
    let command = host.starts("vm1", &["touch", "mark"]);
    // The word has said it when the next one is there.
    host.call("cmd.cancel", json!([command.id])).unwrap();
    let cancelled = command.ends();
    assert_eq!(cancelled.state(), "cancelled", "{cancelled:?}");
    let message = cancelled.report["error"]["message"].as_str().unwrap();
    assert!(message.contains("nothing was run"), "{message}");
    let other = host.starts("vm1", &["true"]);
    subscribes(&mut vm1);
    let first = vm1.receives().unwrap();
    assert_eq!(header(&first, "cmd-id"), Some(other.id.as_str()), "{first:?}");
}

#[test]
fn what_a_guest_may_have_is_not_said_to_have_never_run_and_is_ended_when_it_tells_of_it() {
    let host = Host::start();
    let (mut vm1, _) = raw_guest(&host);
    subscribes(&mut vm1);
    let command = host.starts_with("vm1", &["sleep", "600"], json!({"queue_s": 1}));
    let order = vm1.receives().unwrap();
    assert_eq!(header(&order, "cmd-id"), Some(command.id.as_str()), "{order:?}");
    let time = |name: &str| header(&order, name).map(|text| text.parse::<u64>().unwrap());
    let (sent, until) = (time("host-time").unwrap(), time("valid-until").unwrap());
    assert!(until > sent && until <= sent + 1_000, "{order:?}");
    // It does not answer in time.
    let expired = command.ends();
    assert_eq!(
        (expired.state(), &expired.report["error"]["code"]),
        ("lost", &json!("expired")),
        "{expired:?}"
    );
    let message = expired.report["error"]["message"].as_str().unwrap();
    assert!(message.contains("may still run") && !message.contains("nothing was run"), "{message}");
    // It has started it after all, and is told to end it.
    vm1.says("vm1", "RUN_CMD", &[("in-reply-to", header(&order, "asked").unwrap())], "");
    let ended = vm1.receives().unwrap();
    assert!(ended.body.starts_with(b"SIGNAL_CMD"), "{ended:?}");
}

#[test]
fn the_orders_of_a_lost_guest_are_taken_back_and_said_again_when_it_is_back() {
    let host = Host::start();
    let (vm1, token) = raw_guest(&host);
    let command = host.starts_with("vm1", &["true"], json!({"queue_s": 60}));
    drop(vm1);
    host.awaits("guest.lost", "vm1");
    // Whoever reads the mailbox now finds nothing: it is said again when the guest is here, and not before.
    let mut vm1 = Stomp::log_in(host.broker(), "vm1", &token);
    subscribes(&mut vm1);
    vm1.sends("SEND", &[("destination", "/queue/vocable.out.vm1"), ("receipt", "r")], b"BEAT");
    assert_eq!(vm1.receives().unwrap().verb, "RECEIPT");
    vm1.says("vm1", "HELLO", &ME, "");
    let order = vm1.receives().unwrap();
    assert_eq!(header(&order, "cmd-id"), Some(command.id.as_str()), "{order:?}");
    assert_eq!(header(&order, "vocable-deliveries").or_else(|| header(&order, "redelivered")), None);
}

#[test]
fn an_answer_to_a_former_host_agent_takes_no_command_and_is_told() {
    let host = Host::start();
    let (mut vm1, _) = raw_guest(&host);
    subscribes(&mut vm1);
    let command = host.starts("vm1", &["true"]);
    let order = vm1.receives().unwrap();
    for ask in ["1", "2", "00000000-1"] {
        vm1.says("vm1", "RUN_CMD", &[("in-reply-to", ask)], "");
    }
    // Heard in their order.
    vm1.says("vm1", "RUN_CMD", &[("in-reply-to", header(&order, "asked").unwrap())], "");
    host.awaits("cmd.started", "vm1");
    assert_eq!(command.polled()["state"], "running");
    let why = host.types(&["why", "vm1", "--all"]);
    assert!(why.text().contains("3 answers that nobody waited for"), "{why:?}");
}

#[test]
fn a_guest_whose_connection_has_ended_is_not_called_alive_by_what_it_said_before() {
    let host = Host::start();
    let _vm2 = host.guest("vm2").joins();
    for _ in 0..5 {
        let (mut vm1, _) = raw_guest(&host);
        for _ in 0..200 {
            vm1.says("vm1", "BEAT", &ME, "");
        }
        drop(vm1);
        host.awaits("guest.lost", "vm1");
        // What it said is heard while another one is.
        assert_eq!(host.runs("vm2", &["echo", "fine"]).well().text(), "fine\n");
        assert_eq!(host.about("vm1")["state"], "lost");
    }
}

#[test]
fn no_guest_gets_the_name_of_the_host() {
    let host = Host::start();
    let refused = host.call("guest.token", json!(["host"])).unwrap_err();
    assert!(format!("{refused:?}").starts_with("\"invalid-parameter"), "{refused:?}");
    assert!(!host.types(&["guests"]).text().contains("host"));
}
