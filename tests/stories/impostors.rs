//! Whoever listens where an agent is expected: it learns no secret, and nobody does what it says.

use base64::prelude::*;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vocable_tests::host::Host;
use vocable_tests::impostor::Impostor;
use vocable_tests::proxy::Proxy;
use vocable_tests::stomp::frame;

/// As long as a digest, and the digest of nothing that is known here.
const ZEROS: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

fn anywhere() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Neither as it is nor as Basic authentication writes it.
fn is_not_known_to(impostor: &Impostor, token: &str) {
    let told = String::from_utf8_lossy(&impostor.received()).into_owned();
    let basic = BASE64_STANDARD.encode(format!("agent:{token}"));
    for secret in [token, &basic, basic.trim_end_matches('=')] {
        assert!(!impostor.knows(secret), "it was told {secret}: {told}");
    }
}

#[test]
fn who_takes_the_port_of_a_dead_agent_is_told_no_token() {
    let host = Host::start();
    let (api, token) = (host.api(), host.token().trim().to_owned());
    assert_eq!(host.types(&["guests"]).code, Some(0));
    host.is_killed();
    let file = host.folder().join("file");
    fs::write(&file, "content").unwrap();
    let empty = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 0\r\n\r\n";
    let refusal = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
    let moved = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /RPC2\r\nContent-Length: 0\r\n\r\n";
    for answer in [empty, refusal, moved] {
        let stranger = Impostor::at(api, b"\r\n\r\n", move |_| answer.into());
        for line in [
            ["guests"].as_slice(),
            &["run", "vm1", "--", "true"],
            &["ps", "-a"],
            &["why", "vm1"],
            &["cp", file.to_str().unwrap(), "vm1:/inbox/"],
            &["ls", "vm1:/inbox"],
            &["run", "-i", "vm1", "--", "cat"],
        ] {
            let typed = host.types(line);
            assert!(!matches!(typed.code, Some(0) | None), "{line:?}: {typed:?}");
            assert!(typed.err.contains("error["), "{line:?}: {typed:?}");
        }
        is_not_known_to(&stranger, &token);
    }
}

/// A broker that lets everybody in and has everybody run something.
fn broker(
    connected: &'static [(&'static str, &'static str)],
    order: Vec<u8>,
) -> (Impostor, Arc<AtomicUsize>) {
    let subscribed = Arc::new(AtomicUsize::new(0));
    let counter = subscribed.clone();
    let impostor = Impostor::at(anywhere(), b"\0", move |piece| {
        let text = String::from_utf8_lossy(piece).trim_start().to_owned();
        if text.starts_with("CONNECT") || text.starts_with("STOMP") {
            return frame("CONNECTED", connected, b"");
        }
        let id = text.lines().find_map(|line| line.strip_prefix("id:"));
        let place = text.lines().find_map(|line| line.strip_prefix("destination:"));
        match (text.starts_with("SUBSCRIBE"), id, place) {
            (true, Some(id), Some(place)) => {
                counter.fetch_add(1, Ordering::Relaxed);
                let headers = [
                    ("subscription", id),
                    ("destination", place),
                    ("message-id", "m1"),
                    ("ack", "m1"),
                    ("asked", "a1"),
                    ("cmd-id", "c1.vm1"),
                    ("cmd", "sh"),
                ];
                frame("MESSAGE", &headers, &order)
            }
            _ => Vec::new(),
        }
    });
    (impostor, subscribed)
}

#[test]
fn a_broker_that_is_not_the_hosts_is_told_no_credential_and_not_obeyed() {
    let host = Host::start();
    let marker = host.folder().join("marker");
    let order = format!("RUN_CMD {{\"args\":[\"-c\",\"touch {}\"]}}", marker.display());
    let answers: [&'static [(&'static str, &'static str)]; 4] = [
        &[("version", "1.2"), ("heart-beat", "0,0")],
        &[],
        &[("version", "1.2"), ("vocable-nonce", ZEROS), ("vocable-proof", ZEROS)],
        &[("version", "1.2"), ("vocable-proof", "")],
    ];
    for connected in answers {
        let (impostor, _) = broker(connected, order.clone().into_bytes());
        let plan = host.guest("vm1").through(impostor.address());
        let token = plan.token();
        let vm1 = plan.starts();
        // It has come, heard what there was to hear, and gone again, more than once.
        impostor.was_visited(3);
        is_not_known_to(&impostor, &token);
        assert!(!marker.exists(), "a stranger was obeyed: {connected:?}");
        vm1.process().logs(&["trying again"]);
        assert!(!vm1.process().logged().contains(&token));
    }
}

#[test]
fn a_broker_that_wants_the_credential_in_clear_does_not_get_it() {
    let host = Host::start();
    let errors: [&'static [u8]; 2] = [b"a passcode is needed", b"unknown header vocable-nonce"];
    for text in errors {
        let impostor =
            Impostor::at(anywhere(), b"\0", move |_| frame("ERROR", &[("message", "login refused")], text));
        let plan = host.guest("vm1").through(impostor.address());
        let token = plan.token();
        let _vm1 = plan.starts();
        impostor.was_visited(3);
        is_not_known_to(&impostor, &token);
    }
}

#[test]
fn a_guest_that_meets_a_stranger_first_joins_its_host_when_that_is_back() {
    let host = Host::start();
    let impostor = Impostor::at(anywhere(), b"\0", |_| frame("CONNECTED", &[("version", "1.2")], b""));
    let proxy = Proxy::to(impostor.address());
    let _vm1 = host.guest("vm1").through(proxy.address()).starts();
    impostor.was_visited(2);
    proxy.leads_to(host.broker());
    drop(impostor);
    host.awaits("guest.joined", "vm1");
    assert_eq!(host.runs("vm1", &["echo", "home"]).well().text(), "home\n");
}
