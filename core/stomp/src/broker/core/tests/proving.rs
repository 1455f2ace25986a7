//! Logging in by a proof, from the broker's side; and failed logins, which are told late.

use super::bench::Bench;
use crate::broker::core::Output;
use crate::broker::{BrokerEvent, ConnectionId, Ending};
use crate::codec::DecodeError;
use crate::frame::{Command, Frame};
use crate::proof::{Challenge, Secret, Side, from_hex};
use std::time::Duration;

const NONCE: [u8; 32] = [3; 32];

fn connect(login: &str) -> Frame {
    Frame::new(Command::Connect).with("accept-version", "1.2").with("login", login)
}

fn question(login: &str) -> Frame {
    connect(login).with("vocable-nonce", hex::encode(NONCE))
}

/// Asks for a challenge; the broker's nonce and its proof.
fn challenged(bench: &mut Bench, client: ConnectionId, login: &str) -> ([u8; 32], [u8; 32]) {
    bench.send(client, question(login)).unwrap();
    let frame = bench.frames(client).remove(0);
    assert_eq!((frame.command, frame.header("receipt-id")), (Command::Receipt, Some("vocable-challenge")));
    let bytes = |name| from_hex(frame.header(name).unwrap()).unwrap();
    (bytes("vocable-nonce"), bytes("vocable-proof"))
}

fn answer(login: &str, passcode: &str, broker: &[u8; 32]) -> Frame {
    let about = Challenge { login, client: &NONCE, broker };
    connect(login).with("vocable-proof", hex::encode(Secret::of(passcode).proof(Side::Client, about)))
}

/// The `ERROR` that a frame is answered with.
fn refused(bench: &mut Bench, client: ConnectionId, frame: Frame) -> String {
    bench.send(client, frame).unwrap_err();
    assert!(bench.closed.contains(&client));
    bench.received(client).remove(0)
}

#[test]
fn the_broker_proves_itself_first_and_the_right_proof_opens() {
    let mut bench = Bench::new();
    let client = bench.open();
    let (nonce, proof) = challenged(&mut bench, client, "g1");
    let about = Challenge { login: "g1", client: &NONCE, broker: &nonce };
    assert!(Secret::of("g1").is_proved(Side::Broker, about, &proof));
    bench.send(client, answer("g1", "g1", &nonce)).unwrap();
    assert!(bench.received(client).remove(0).starts_with("CONNECTED version:1.2"));
    bench.tell(client, "SEND destination:/queue/vocable.out.g1 | x");
    let other = bench.open();
    assert_ne!(challenged(&mut bench, other, "g2").0, nonce, "no nonce comes twice");
}

#[test]
fn the_shell_is_told_to_read_one_frame_more() {
    let mut bench = Bench::new();
    let client = bench.open();
    bench.core.frame(client, question("g1"), bench.now).unwrap();
    assert!(matches!(bench.core.output(), Some(Output::Send { .. })));
    assert_eq!(bench.core.output(), Some(Output::Challenged { connection: client }));
}

#[test]
fn a_wrong_proof_is_refused_as_a_wrong_passcode_is() {
    for (login, passcode, reason) in
        [("g1", "wrong", "wrong proof for login \"g1\""), ("nobody", "nobody", "unknown login \"nobody\"")]
    {
        let mut bench = Bench::new();
        let client = bench.open();
        let (nonce, _) = challenged(&mut bench, client, login);
        let error = refused(&mut bench, client, answer(login, passcode, &nonce));
        assert!(error.starts_with("ERROR message:login or passcode not accepted "), "{error}");
        let peer = Some("127.0.0.1:1000".parse().unwrap());
        let told = BrokerEvent::Refused { login: Some(login.to_owned()), peer, reason: reason.to_owned() };
        assert_eq!(bench.events, [told]);
    }
}

#[test]
fn a_login_that_nobody_has_is_challenged_like_any_other_and_always_the_same_way() {
    let mut bench = Bench::new();
    let client = bench.open();
    let (nonce, proof) = challenged(&mut bench, client, "nobody");
    let about = Challenge { login: "nobody", client: &NONCE, broker: &nonce };
    for guess in [Secret::of("nobody"), Secret::of(""), Secret::IMPOSSIBLE] {
        assert!(!guess.is_proved(Side::Broker, about, &proof));
    }
}

#[test]
fn what_is_not_as_it_has_to_be_is_refused_with_a_sentence() {
    let digits = "0".repeat(64);
    let with = |name: &str, value: &str| connect("g1").with(name, value);
    let nonce = "vocable-nonce has to be 64 hexadecimal digits";
    let proof = "vocable-proof has to be 64 hexadecimal digits";
    for (frame, said) in [
        (with("vocable-nonce", ""), nonce),
        (with("vocable-nonce", &digits[1..]), nonce),
        (with("vocable-nonce", &format!("{digits}0")), nonce),
        (with("vocable-nonce", &"é".repeat(32)), nonce),
        (with("vocable-nonce", &"+1".repeat(32)), nonce),
        (with("vocable-proof", &digits), "vocable-proof before the challenge that vocable-nonce asks for"),
        (with("vocable-proof", &digits).with("passcode", "g1"), "vocable-proof before the challenge"),
        (
            Frame::new(Command::Connect).with("vocable-nonce", &*digits),
            "CONNECT without the header \"login\"",
        ),
    ] {
        let mut bench = Bench::new();
        let client = bench.open();
        let error = refused(&mut bench, client, frame.clone());
        assert!(error.contains(said), "{frame:?}: {error}");
    }
    for (second, said) in [
        (question("g1"), "the challenge is answered without vocable-proof"),
        (connect("g1").with("passcode", "g1"), "the challenge is answered without vocable-proof"),
        (with("vocable-proof", "x"), proof),
        (connect("g2").with("vocable-proof", &*digits), "answered by another login than it was asked for by"),
        (Frame::new(Command::Send).with("destination", "/queue/q"), "SEND before CONNECT"),
    ] {
        let mut bench = Bench::new();
        let client = bench.open();
        challenged(&mut bench, client, "g1");
        let error = refused(&mut bench, client, second.clone());
        assert!(error.contains(said), "{second:?}: {error}");
    }
}

#[test]
fn a_proof_is_good_for_its_own_connection_only() {
    let mut bench = Bench::new();
    let (one, other) = (bench.open(), bench.open());
    let (nonce, _) = challenged(&mut bench, one, "g1");
    challenged(&mut bench, other, "g1");
    bench.send(one, answer("g1", "g1", &nonce)).unwrap();
    let error = refused(&mut bench, other, answer("g1", "g1", &nonce));
    assert!(error.starts_with("ERROR message:login or passcode not accepted "), "{error}");
}

#[test]
fn who_hangs_up_after_the_challenge_is_news() {
    let mut bench = Bench::new();
    for (login, reason) in [
        (
            "g1",
            "hung up after the challenge: its credential is another one, or it goes by somebody else's name",
        ),
        ("nobody", "hung up after the challenge: nothing is known here that it could prove to know"),
    ] {
        let client = bench.open();
        challenged(&mut bench, client, login);
        bench.close(client);
        let (login, peer) = (Some(login.to_owned()), Some("127.0.0.1:1000".parse().unwrap()));
        assert_eq!(bench.events.pop(), Some(BrokerEvent::Refused { login, peer, reason: reason.to_owned() }));
    }
    let client = bench.open();
    challenged(&mut bench, client, "g1");
    bench.core.login_overdue(client, Duration::from_secs(10));
    bench.settle();
    let Some(BrokerEvent::Refused { login, reason, .. }) = bench.events.pop() else { panic!("no event") };
    assert_eq!((login.as_deref(), &*reason), (Some("g1"), "no login within 10s"));
}

fn fail(bench: &mut Bench) -> ConnectionId {
    let client = bench.open();
    bench.say(client, "CONNECT login:g1 passcode:wrong").unwrap_err();
    client
}

#[test]
fn after_some_failed_logins_of_an_address_the_next_are_told_late_and_the_right_one_is_not() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        let client = fail(&mut bench);
        assert!(bench.closed.contains(&client), "told at once");
    }
    assert_eq!(bench.core.due(), None);
    let (fourth, fifth) = (fail(&mut bench), fail(&mut bench));
    assert_eq!(bench.received(fourth), [""; 0]);
    assert_eq!(bench.events.len(), 5, "the owner hears of it at once");
    assert_eq!(bench.core.due(), Some(bench.now + Duration::from_millis(250)));
    let honest = bench.client("g1", "1.2");
    bench.tell(honest, "SEND destination:/queue/vocable.out.g1 | x");
    bench.now += Duration::from_millis(250);
    bench.core.wake(bench.now);
    assert!(bench.received(fourth)[0].starts_with("ERROR message:login or passcode not accepted"));
    assert!(bench.closed.contains(&fourth) && !bench.closed.contains(&fifth));
    // Whoever has gone meanwhile is told nothing.
    bench.close(fifth);
    assert_eq!(bench.core.due(), None);
    let (sixth, seventh) = (fail(&mut bench), fail(&mut bench));
    bench.core.shutdown();
    bench.settle();
    assert!(bench.closed.contains(&sixth) && bench.closed.contains(&seventh));
}

#[test]
fn no_more_than_so_many_wait_to_be_told() {
    let mut bench = Bench::new();
    let failed: Vec<ConnectionId> = (0..400).map(|_| fail(&mut bench)).collect();
    let waiting = failed.iter().filter(|client| !bench.closed.contains(client)).count();
    assert_eq!(waiting, 256);
    bench.client("g1", "1.2");
}

#[test]
fn what_a_stranger_sends_first_is_told_by_its_command_and_a_client_by_its_receipt() {
    let mut bench = Bench::new();
    let begun = Frame::new(Command::Send).with("receipt", "r1");
    let error = DecodeError::BodyTooLong { command: Command::Send, limit: 0 };
    let stranger = bench.open();
    bench.core.malformed(stranger, &error, Some(&begun));
    let told = bench.received(stranger).remove(0);
    assert_eq!(told, "ERROR message:frame refused content-type:text/plain | SEND before CONNECT\n");
    let client = bench.client("a", "1.2");
    bench.core.malformed(client, &error, Some(&begun));
    let told = bench.received(client).remove(0);
    assert!(
        told.starts_with("ERROR message:malformed frame content-type:text/plain receipt-id:r1 |"),
        "{told}"
    );
    assert!(matches!(bench.events.last(), Some(BrokerEvent::LoggedOut { reason: Ending::Protocol(_), .. })));
}
