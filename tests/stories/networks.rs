//! A network that cuts, stalls and half-closes: everything is complete afterwards, and nothing has run twice.

use std::fmt::Write as _;
use vocable_tests::host::Host;
use vocable_tests::proxy::Proxy;

#[test]
fn a_connection_cut_in_the_middle_of_frames_loses_nothing() {
    const LINES: u64 = 300_000;
    let host = Host::start();
    let proxy = Proxy::to(host.broker());
    let _vm1 = host.guest("vm1").through(proxy.address()).joins();
    let counter = host.folder().join("counter");
    let script = format!("echo ran >> {}; seq {LINES}; seq 10 >&2", counter.display());
    // In the middle of the first piece, of the header of a frame, and of whatever comes then.
    let command = host.starts("vm1", &["sh", "-c", &script]);
    for (times, bytes) in [(1, 150_001), (2, 500), (3, 700_003)] {
        proxy.cuts_after(bytes);
        proxy.was_cut(times);
    }
    let ran = command.ends().well();
    let lines = |last: u64| {
        (1..=last).fold(String::new(), |mut all, n| {
            writeln!(all, "{n}").unwrap();
            all
        })
    };
    assert!(ran.text() == lines(LINES), "{} bytes, and not those that were written", ran.out.len());
    assert_eq!(ran.errors(), lines(10));
    assert_eq!(std::fs::read_to_string(counter).unwrap(), "ran\n");
}

#[test]
fn many_commands_survive_many_cuts_and_each_runs_once() {
    let host = Host::start();
    let proxy = Proxy::to(host.broker());
    let _vm1 = host.guest("vm1").through(proxy.address()).joins();
    let counter = host.folder().join("counter");
    let mut commands = Vec::new();
    for n in 0..12 {
        let script = format!("echo {n} >> {}; echo out {n}", counter.display());
        match host.call("cmd.run", serde_json::json!(["vm1", "sh", ["-c", script]])) {
            Ok(id) => commands.push((n, id.as_str().unwrap().to_owned())),
            // Known to be lost, and nothing was run.
            Err(text) => assert!(text.starts_with("guest-offline: "), "{text}"),
        }
        if n % 3 == 0 {
            proxy.cuts();
            host.awaits("guest.joined", "vm1");
        }
    }
    assert!(!commands.is_empty());
    let mut expected = Vec::new();
    for (n, id) in commands {
        assert_eq!(host.command(&id).ends().well().text(), format!("out {n}\n"));
        expected.push(n.to_string());
    }
    let ran = std::fs::read_to_string(counter).unwrap();
    let mut ran: Vec<_> = ran.lines().collect();
    ran.sort_by_key(|n| n.parse::<u32>().unwrap());
    assert_eq!(ran, expected);
}

#[test]
fn a_network_that_stands_still_is_noticed_by_the_heart_beat() {
    let host = Host::with(&["broker.heartbeat = \"500ms\""]);
    let proxy = Proxy::to(host.broker());
    let _vm1 = host.guest("vm1").through(proxy.address()).with("heartbeat = \"500ms\"").joins();
    let counter = host.folder().join("counter");
    let script = format!("echo ran >> {}; seq 200000", counter.display());
    proxy.stalls();
    let command = host.starts("vm1", &["sh", "-c", &script]);
    let lost = host.awaits("guest.lost", "vm1");
    assert!(lost["text"].as_str().unwrap().contains("heart"), "{lost:#}");
    // What was held up arrives late, on connections that both ends have given up.
    proxy.flows();
    host.awaits("guest.joined", "vm1");
    let ran = command.ends().well();
    assert!(ran.text().ends_with("\n200000\n") && ran.text().lines().count() == 200_000);
    assert_eq!(std::fs::read_to_string(counter).unwrap(), "ran\n");
}

#[test]
fn a_guest_whose_host_hangs_up_comes_back() {
    let host = Host::start();
    let proxy = Proxy::to(host.broker());
    let _vm1 = host.guest("vm1").through(proxy.address()).joins();
    proxy.half_closes();
    host.awaits("guest.joined", "vm1");
    assert_eq!(host.runs("vm1", &["echo", "back"]).well().text(), "back\n");
}
