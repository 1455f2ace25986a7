//! A client that knows a secret, against those who do not and one who does.

use super::header;
use super::peer::{Broker, Peer, Started};
use crate::broker::{self, AccessRules, BrokerConfig, BrokerEvent, Principal};
use crate::client::{AckMode, ClientConfig, Credentials, Event, Subscription};
use crate::frame::{Command, Frame, Version};
use crate::proof::{Challenge, Secret, Side, from_hex};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

const PASSCODE: &str = "vg_the-credential";

fn config(at: &Broker) -> ClientConfig {
    let credentials = Credentials::Proof(Secret::of(PASSCODE));
    ClientConfig { login: Some("g1".to_owned()), credentials, ..at.config() }
}

fn start(config: ClientConfig) -> Started {
    Started::over_tcp(config, vec![Subscription::new("in", "/queue/in.g1", AckMode::ClientIndividual)])
}

/// The first `CONNECT`, which must not tell anything but who asks; and its nonce.
async fn asked(peer: &mut Peer<TcpStream>) -> [u8; 32] {
    let connect = peer.expect(Command::Connect).await;
    assert_eq!(["login", "accept-version"].map(|name| header(&connect, name)), ["g1", "1.0,1.1,1.2"]);
    let secret = Secret::of(PASSCODE).to_string();
    let told = format!("{:?}", connect.headers);
    assert!(!told.contains(PASSCODE) && !told.contains(&secret) && !told.contains("proof"), "{told}");
    from_hex(header(&connect, "vocable-nonce")).unwrap()
}

fn challenge(nonce: &str, proof: &str) -> Frame {
    Frame::new(Command::Receipt)
        .with("receipt-id", "vocable-challenge")
        .with("vocable-nonce", nonce)
        .with("vocable-proof", proof)
}

/// What a host that knows that passcode answers.
fn honest_challenge(client: &[u8; 32], passcode: &str, login: &str) -> Frame {
    let broker = [9; 32];
    let proof = Secret::of(passcode).proof(Side::Broker, Challenge { login, client, broker: &broker });
    challenge(&hex::encode(broker), &hex::encode(proof))
}

async fn refused(started: &mut Started) -> String {
    match started.event().await {
        Event::Refused { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whoever_has_not_proved_to_be_the_host_is_told_nothing_and_obeyed_in_nothing() {
    let broker = Broker::bind().await;
    let mut started = start(config(&broker));
    let connected = Frame::new(Command::Connected).with("version", "1.2");
    let order = super::message("in", "RUN_CMD");
    let mut replayed = [0; 32];
    for attempt in 0..10 {
        let mut peer = broker.accept().await;
        let nonce = asked(&mut peer).await;
        assert_ne!(nonce, replayed, "every attempt has another nonce");
        let (answer, said) = match attempt {
            0 => (connected.clone(), "it said CONNECTED without one"),
            1 => (Frame::new(Command::Receipt).with("receipt-id", "vocable-challenge"), "its proof is none"),
            2 => (challenge(&"0".repeat(64), &"0".repeat(64)), "its proof is wrong"),
            3 => (challenge(&"0".repeat(63), &"0".repeat(64)), "its proof is none"),
            4 => (challenge(&"é".repeat(32), &"+".repeat(64)), "its proof is none"),
            5 => (honest_challenge(&nonce, "another credential", "g1"), "its proof is wrong"),
            6 => (honest_challenge(&nonce, PASSCODE, "g2"), "its proof is wrong"),
            // What the host said to somebody once.
            7 => (honest_challenge(&replayed, PASSCODE, "g1"), "its proof is wrong"),
            // What the client itself would say.
            8 => {
                let asked = Challenge { login: "g1", client: &nonce, broker: &nonce };
                let proof = Secret::of(PASSCODE).proof(Side::Client, asked);
                (challenge(&hex::encode(nonce), &hex::encode(proof)), "its proof is wrong")
            }
            _ => (Frame::new(Command::Receipt).with("receipt-id", "1"), "it sent something else"),
        };
        replayed = nonce;
        peer.send(answer).await;
        peer.send(connected.clone()).await;
        peer.send(order.clone()).await;
        let told = refused(&mut started).await;
        let begin = format!(
            "who answers at {} has not proved to know the credential of g1: {said}; ",
            config(&broker).address
        );
        assert!(told.starts_with(&begin) && told.ends_with("vocable token new g1"), "{attempt}: {told}");
        // Neither a second CONNECT nor a SUBSCRIBE.
        peer.expect_end().await;
    }
    assert!(started.events.try_recv().is_err(), "nothing else was told");
}

#[tokio::test]
async fn an_error_of_a_stranger_is_told_as_such_and_a_broker_that_has_proved_itself_is_obeyed() {
    let broker = Broker::bind().await;
    let mut started = start(config(&broker));
    let mut peer = broker.accept().await;
    asked(&mut peer).await;
    peer.send(Frame::new(Command::Error).with("message", "login refused")).await;
    let told = refused(&mut started).await;
    let address = config(&broker).address;
    assert_eq!(
        told,
        format!("login refused (so says {address}, which has not proved to know the credential of g1)")
    );

    let mut peer = broker.accept().await;
    let nonce = asked(&mut peer).await;
    peer.send(honest_challenge(&nonce, PASSCODE, "g1")).await;
    let connect = peer.connect(Version::V1_2, "0,0").await;
    let about = Challenge { login: "g1", client: &nonce, broker: &[9; 32] };
    let proof = from_hex(header(&connect, "vocable-proof")).unwrap();
    assert!(Secret::of(PASSCODE).is_proved(Side::Client, about, &proof));
    assert_eq!([header(&connect, "login"), header(&connect, "passcode")], ["g1", ""]);
    started.connected().await;
    peer.expect(Command::Subscribe).await;
    peer.message("in", "RUN_CMD").await;
    assert_eq!(started.message().await, "RUN_CMD");
}

#[tokio::test]
async fn a_stranger_cannot_make_the_client_keep_much() {
    let broker = Broker::bind().await;
    let mut started = start(config(&broker));
    for bytes in [
        format!("ERROR\ncontent-length:{}\n\n", 1 << 20),
        format!("RECEIPT\nreceipt-id:{}\n\n\0", "x".repeat(2_000)),
    ] {
        let mut peer = broker.accept().await;
        asked(&mut peer).await;
        peer.raw(bytes.as_bytes()).await;
        let event = started.event().await;
        assert!(matches!(event, Event::BadFrame { .. }), "{event:?}");
        peer.expect_end().await;
    }
}

#[tokio::test]
async fn a_client_without_a_login_has_nothing_to_prove() {
    let broker = Broker::bind().await;
    let mut started = start(ClientConfig { login: None, ..config(&broker) });
    let mut peer = broker.accept().await;
    assert_eq!(started.disconnected().await, "a credential is of no use without a login");
    peer.expect_end().await;
}

async fn embedded(passcode: &str) -> broker::Broker {
    let rules = AccessRules::default().with_login(Principal::new("g1"), Secret::of(passcode));
    let rules = rules.allow("g1", broker::Action::Read, "/queue/in.{login}").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    broker::Broker::start(BrokerConfig::default(), Arc::new(rules), vec![listener]).unwrap()
}

fn start_at(broker: &broker::Broker, login: &str) -> Started {
    let credentials = Credentials::Proof(Secret::of(PASSCODE));
    start(ClientConfig {
        login: Some(login.to_owned()),
        credentials,
        ..super::peer::config(broker.local_addrs()[0].to_string())
    })
}

#[tokio::test]
async fn our_own_broker_and_client_prove_themselves_to_each_other_and_the_secret_is_never_told() {
    let broker = embedded(PASSCODE).await;
    let mut events = broker.events();
    let mut started = start_at(&broker, "g1");
    match started.event().await {
        Event::Connected { version, max_frame, .. } => {
            assert_eq!((version, max_frame), (Version::V1_2, Some(16 << 20)));
        }
        other => panic!("{other:?}"),
    }
    let Some(BrokerEvent::LoggedIn { login, headers, .. }) = events.next().await else { panic!("no login") };
    assert_eq!(&*login, "g1");
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["accept-version", "host", "heart-beat", "login"]);
}

#[tokio::test]
async fn with_another_credential_both_ends_say_what_is_wrong() {
    let broker = embedded("another").await;
    let mut events = broker.events();
    for (login, reason) in [
        (
            "g1",
            "hung up after the challenge: its credential is another one, or it goes by somebody else's name",
        ),
        ("g2", "hung up after the challenge: nothing is known here that it could prove to know"),
    ] {
        let mut started = start_at(&broker, login);
        let told = refused(&mut started).await;
        assert!(told.contains("its proof is wrong"), "{told}");
        let Some(BrokerEvent::Refused { login: told, reason: why, .. }) = events.next().await else {
            panic!("nothing was told")
        };
        assert_eq!((told.as_deref(), &*why), (Some(login), reason));
        drop(started);
        // It may have tried again meanwhile.
        broker.connections().await.unwrap();
        events = broker.events();
    }
}
