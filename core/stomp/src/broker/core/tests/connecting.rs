//! Coming in and going out.

use super::bench::Bench;
use crate::broker::core::{Output, Refusal};
use crate::broker::{BrokerEvent, BrokerLimits, Ending, Principal};
use crate::codec::DecodeError;
use crate::frame::{Command, Version};
use std::time::Duration;

fn connected(headers: &str) -> String {
    let mut bench = Bench::new();
    let client = bench.open();
    bench.tell(client, &format!("CONNECT login:a passcode:a {headers}"));
    bench.received(client).remove(0)
}

#[test]
fn the_newest_common_version_is_agreed_and_without_the_header_it_is_1_0() {
    let server = concat!("server:vocable/", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        connected("accept-version:1.0,1.1,1.2,1.3"),
        format!("CONNECTED version:1.2 session:m-1 heart-beat:10000,10000 {server}")
    );
    assert!(connected("accept-version:1.1,1.0").contains(" version:1.1 "));
    assert_eq!(
        connected("x:y"),
        format!("CONNECTED version:1.0 session:m-1 {server}"),
        "1.0 has no heart-beats"
    );
}

#[test]
fn without_a_common_version_the_error_lists_ours() {
    let mut bench = Bench::new();
    let client = bench.open();
    let error = bench.refused(client, "CONNECT login:a passcode:a accept-version:2.0");
    assert_eq!(
        error,
        "ERROR message:unsupported version content-type:text/plain version:1.0,1.1,1.2 | no common version: \
         accept-version is \"2.0\", the broker speaks 1.0,1.1,1.2\n"
    );
}

#[test]
fn stomp_is_connect() {
    let mut bench = Bench::new();
    let client = bench.open();
    bench.tell(client, "STOMP accept-version:1.2 login:a passcode:a host:x");
    assert!(bench.received(client)[0].starts_with("CONNECTED version:1.2"));
}

#[test]
fn heart_beats_are_agreed_by_the_slower_side() {
    let mut bench = Bench::new();
    let client = bench.open();
    let connect = super::bench::frame("CONNECT accept-version:1.2 login:a passcode:a heart-beat:20000,1000");
    bench.core.frame(client, connect, bench.now).unwrap();
    let Some(Output::Accepted { version, heart_beats, .. }) = bench.core.output() else {
        panic!("acceptance comes before everything else")
    };
    assert_eq!(version, Version::V1_2);
    assert_eq!(heart_beats.send, Some(Duration::from_secs(10)));
    assert_eq!(heart_beats.expect, Some(Duration::from_secs(20)));
    let other = bench.open();
    assert!(
        bench
            .refused(other, "CONNECT accept-version:1.1 login:b passcode:b heart-beat:often")
            .contains("two numbers")
    );
}

#[test]
fn nothing_but_connect_may_come_first_and_only_once() {
    let mut bench = Bench::new();
    let client = bench.open();
    let error = bench.refused(client, "SEND destination:/queue/a receipt:1 | x");
    assert_eq!(error, "ERROR message:frame refused content-type:text/plain | SEND before CONNECT\n");
    let client = bench.client("a", "1.2");
    let error = bench.refused(client, "CONNECT login:a passcode:a receipt:7");
    assert!(error.contains("CONNECT on a connection that is logged in already"), "{error}");
    let client = bench.client("a", "1.2");
    assert!(
        bench.refused(client, "MESSAGE destination:/queue/a").contains("MESSAGE is a command of the server")
    );
}

#[test]
fn a_wrong_passcode_is_refused_and_told_in_the_log_only() {
    let mut bench = Bench::new();
    let client = bench.open();
    let error = bench.refused(client, "CONNECT login:g1 passcode:wrong");
    assert!(error.starts_with("ERROR message:login or passcode not accepted "), "{error}");
    assert!(error.ends_with("| login or passcode not accepted\n"), "{error}");
    let peer = Some("127.0.0.1:1000".parse().unwrap());
    let reason = "wrong passcode for login \"g1\"".to_owned();
    assert_eq!(bench.events, [BrokerEvent::Refused { login: Some("g1".to_owned()), peer, reason }]);
}

#[test]
fn the_owner_hears_who_came_with_which_headers_but_no_passcode_and_why_it_went() {
    let mut bench = Bench::new();
    let client = bench.open();
    bench.tell(client, "CONNECT login:g1 passcode:g1 agent:0.1");
    bench.close(client);
    let (login, peer) = ("g1".into(), Some("127.0.0.1:1000".parse().unwrap()));
    let headers = vec![("login".to_owned(), "g1".to_owned()), ("agent".to_owned(), "0.1".to_owned())];
    let version = Version::V1_0;
    assert_eq!(
        bench.events,
        [
            BrokerEvent::LoggedIn { connection: client, login, peer, version, headers },
            BrokerEvent::LoggedOut {
                connection: client,
                login: "g1".into(),
                peer,
                reason: Ending::ClosedByPeer
            },
        ]
    );
}

#[test]
fn a_second_connection_of_one_login_is_refused_and_the_first_stays() {
    let mut bench = Bench::new();
    let first = bench.client("g1", "1.2");
    let second = bench.open();
    bench.events.clear();
    let error = bench.refused(second, "CONNECT login:g1 passcode:g1 accept-version:1.2");
    assert!(error.starts_with("ERROR message:login in use "), "{error}");
    let peer = Some("127.0.0.1:1000".parse().unwrap());
    assert_eq!(bench.events, [BrokerEvent::Duplicate { login: "g1".into(), peer, holder: peer }]);
    bench.tell(first, "SEND destination:/queue/vocable.out.g1 | x");
    bench.close(first);
    bench.client("g1", "1.2");
}

#[test]
fn some_principals_may_come_several_times() {
    let mut bench = Bench::new();
    bench.client("tool", "1.2");
    bench.client("tool", "1.2");
    assert_eq!(bench.core.disconnect("tool", "enough"), 2);
}

#[test]
fn the_receipt_of_disconnect_comes_before_the_end() {
    let mut bench = Bench::new();
    let client = bench.client("a", "1.2");
    bench.tell(client, "DISCONNECT receipt:bye");
    assert_eq!(bench.received(client), ["RECEIPT receipt-id:bye"]);
    assert!(bench.closed.contains(&client));
    assert!(matches!(bench.events.last(), Some(BrokerEvent::LoggedOut { reason: Ending::Disconnected, .. })));
    bench.tell(client, "SEND destination:/queue/a receipt:late");
    assert_eq!(bench.received(client), [""; 0], "what comes after the end is ignored");
}

#[test]
fn an_error_names_the_receipt_and_no_receipt_follows_it() {
    let mut bench = Bench::new();
    let client = bench.client("g1", "1.2");
    let error = bench.refused(client, "SEND destination:/queue/vocable.out.g2 receipt:r1 | x");
    assert_eq!(
        error,
        "ERROR message:access denied content-type:text/plain receipt-id:r1 | g1 may not write \
         \"/queue/vocable.out.g2\"\n"
    );
}

#[test]
fn broken_bytes_are_answered_with_an_error() {
    let mut bench = Bench::new();
    let client = bench.client("a", "1.2");
    bench.core.malformed(client, &DecodeError::HeaderWithoutColon { header: 2 }, None);
    let error = bench.received(client).remove(0);
    assert_eq!(error, "ERROR message:malformed frame content-type:text/plain | header 2 has no colon\n");
    assert!(bench.closed.contains(&client));
}

#[test]
fn a_link_is_told_of_refusals_and_stays() {
    let mut bench = Bench::new();
    let host = bench.core.link(Principal::new("host"), bench.now).unwrap();
    assert!(matches!(bench.core.link(Principal::new("host"), bench.now), Err(Refusal::Duplicate(_))));
    assert!(matches!(bench.say(host, "SUBSCRIBE id:1 destination:/queue/x"), Err(Refusal::Denied { .. })));
    bench.tell(host, "SUBSCRIBE id:1 destination:/queue/vocable.out.> ack:client-individual");
    let guest = bench.client("g1", "1.2");
    bench.tell(guest, "SEND destination:/queue/vocable.out.g1 | hello");
    assert_eq!(bench.bodies(host), ["hello"]);
}

#[test]
fn the_owner_may_end_connections_and_everything() {
    let mut bench = Bench::new();
    let (one, two) = (bench.client("g1", "1.2"), bench.client("g2", "1.2"));
    assert_eq!(bench.core.disconnect("g1", "revoked"), 1);
    assert_eq!(
        bench.received(one),
        ["ERROR message:closed by host content-type:text/plain | closed by host: revoked\n"]
    );
    let pending = bench.open();
    bench.core.shutdown();
    for connection in [pending, two] {
        let error = bench.frames(connection).remove(0);
        assert_eq!((error.command, error.header("message")), (Command::Error, Some("shutting down")));
        assert!(bench.closed.contains(&connection));
    }
}

#[test]
fn connections_are_counted() {
    let mut bench = Bench::with(BrokerLimits { connections: 3, pending: 2, ..BrokerLimits::default() });
    bench.client("a", "1.2");
    let (oldest, _newer) = (bench.open(), bench.open());
    let peer = "127.0.0.1:2000".parse().unwrap();
    let refusal = bench.core.open(peer).unwrap_err();
    assert_eq!(refusal.to_string(), "too many connections: the limit is 3");
    bench.close(oldest);
    bench.open();
    assert_eq!(
        bench.events.len(),
        2,
        "one came in, one was refused; who came and went without a word is no news"
    );
}

#[test]
fn a_crowd_that_does_not_log_in_loses_its_oldest() {
    let mut bench = Bench::with(BrokerLimits { pending: 2, ..BrokerLimits::default() });
    let (oldest, newer, newest) = (bench.open(), bench.open(), bench.open());
    bench.settle();
    assert!(bench.closed.contains(&oldest));
    bench.tell(newer, "CONNECT login:a passcode:a");
    bench.core.login_overdue(newer, Duration::from_secs(10));
    bench.core.login_overdue(newest, Duration::from_secs(10));
    assert_eq!(bench.frames(newer).len(), 1, "whoever is in has no deadline");
    assert!(bench.received(newest)[0].ends_with("| no login within 10s\n"));
}
