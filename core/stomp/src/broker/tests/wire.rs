//! However frames are cut, and whoever may not see them.

use super::kit::{Client, broker, bytes_of, ending_of, event, soon};
use crate::broker::core::tests::bench::frame;
use crate::broker::{Broker, BrokerConfig, BrokerEvent};
use crate::codec::Limits;
use crate::frame::Frame;
use tokio::io::AsyncWriteExt;

/// A whole conversation, with a NUL and a line end in the body.
fn conversation() -> Vec<u8> {
    let connect = frame("CONNECT accept-version:1.2 host:x");
    let subscribe = frame("SUBSCRIBE id:1 destination:/queue/q ack:client");
    let send =
        frame("SEND destination:/queue/q receipt:r").with("k", "a:b\n").with_body(b"x\0\n\xff".to_vec());
    [connect, subscribe, send].iter().flat_map(|frame| bytes_of(frame).to_vec()).collect()
}

async fn check_answers(client: &mut Client) {
    assert!(client.hear().await.starts_with("CONNECTED version:1.2"));
    assert_eq!(client.hear().await, "RECEIPT receipt-id:r");
    let message = client.message().await;
    assert_eq!((message.header("k"), &message.body[..]), (Some("a:b\n"), &b"x\0\n\xff"[..]));
    let ack = message.header("ack").unwrap();
    client.confirm(&format!("ACK id:{ack}")).await;
    client.confirm("DISCONNECT x:y").await;
    client.hear_the_end().await;
}

#[tokio::test]
async fn frames_may_be_cut_anywhere() {
    let broker = broker(BrokerConfig::default()).await;
    let bytes = conversation();
    for cut in 1..bytes.len() {
        let mut client = Client::open(&broker).await;
        client.write(&bytes[..cut]).await;
        // The first part is read before the second is written, as far as one can tell from here.
        broker.connections().await.unwrap();
        client.write(&bytes[cut..]).await;
        check_answers(&mut client).await;
    }
}

#[tokio::test]
async fn frames_may_trickle_in_byte_by_byte_or_come_all_at_once() {
    let broker = broker(BrokerConfig::default()).await;
    let mut client = Client::open(&broker).await;
    for byte in conversation() {
        client.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    check_answers(&mut client).await;
    let mut client = Client::open(&broker).await;
    client.write(&conversation()).await;
    check_answers(&mut client).await;
}

#[tokio::test]
async fn old_versions_are_spoken_as_they_were() {
    let broker = broker(BrokerConfig::default()).await;
    let mut client = Client::open(&broker).await;
    let script = "CONNECT\n\n\0SUBSCRIBE\ndestination:/queue/q\n\n\0\n\nSEND\ndestination:/queue/q\npath:C:\\new\n\nhello\0";
    client.write(script.as_bytes()).await;
    assert!(client.hear().await.starts_with("CONNECTED version:1.0 "));
    // The client of the test reads 1.2, where the backslash would have to be doubled.
    let mut raw = vec![0; 4096];
    let mut text = String::new();
    while !text.ends_with("hello\0") {
        let read = soon(tokio::io::AsyncReadExt::read(&mut client.stream, &mut raw)).await.unwrap();
        text.push_str(std::str::from_utf8(&raw[..read]).unwrap());
    }
    assert!(text.contains("\npath:C:\\new\n"), "{text:?}");
    assert!(!text.contains("subscription"), "{text:?}");
}

#[tokio::test]
async fn large_bodies_pass_unharmed() {
    let broker = broker(BrokerConfig::default()).await;
    let (mut one, mut other) = (Client::login(&broker, "a").await, Client::login(&broker, "b").await);
    other.confirm("SUBSCRIBE id:1 destination:/queue/q").await;
    let body: Vec<u8> = (0..12_000_000_u32).map(|number| (number % 251) as u8).collect();
    let sender = tokio::spawn(async move {
        one.send(&frame("SEND destination:/queue/q receipt:1").with_body(body.clone())).await;
        assert_eq!(one.hear().await, "RECEIPT receipt-id:1");
        body
    });
    let received = other.message().await;
    assert!(received.body == soon(sender).await.unwrap(), "12 MB are the same 12 MB");
}

async fn refused(broker: &Broker, line: &str) -> String {
    let mut guest = Client::login(broker, "g1").await;
    guest.say(line).await;
    let error = guest.hear().await;
    guest.hear_the_end().await;
    error
}

#[tokio::test]
async fn a_guest_sees_and_writes_its_own_queues_only() {
    let broker = broker(BrokerConfig::default()).await;
    for line in [
        "SUBSCRIBE id:1 destination:/queue/vocable.in.g2",
        "SUBSCRIBE id:1 destination:/queue/vocable.in.*",
        "SUBSCRIBE id:1 destination:/queue/vocable.out.>",
        "SEND destination:/queue/vocable.out.g2 | x",
        "SEND destination:/queue/vocable.in.g2 | x",
    ] {
        let error = refused(&broker, line).await;
        assert!(error.starts_with("ERROR message:access denied"), "{line}: {error}");
    }
    assert!(broker.queues().await.unwrap().is_empty(), "nothing was left behind");
}

#[tokio::test]
async fn nonsense_is_answered_and_the_answer_can_be_read() {
    let broker = broker(BrokerConfig::default()).await;
    for nonsense in ["GET / HTTP/1.1\r\n\r\n", "CONNECT\nno colon\n\n\0", "connect\n\n\0", "CONNECT\nx:\u{0}"]
    {
        let mut client = Client::open(&broker).await;
        client.write(nonsense.as_bytes()).await;
        let error = client.hear().await;
        assert!(error.starts_with("ERROR message:malformed frame"), "{nonsense:?}: {error}");
        client.hear_the_end().await;
    }
}

#[tokio::test]
async fn an_error_is_read_even_by_a_client_that_goes_on_talking() {
    let broker = broker(BrokerConfig::default()).await;
    let mut events = broker.events();
    let mut client = Client::login(&broker, "a").await;
    client.say("ACK id:nonsense").await;
    for _ in 0..64 {
        // The broker reads and forgets it; closing the socket instead would reset the connection.
        if client.stream.write_all(&[b'x'; 16 << 10]).await.is_err() {
            break;
        }
    }
    assert!(client.hear().await.starts_with("ERROR message:frame refused"));
    let reason = ending_of(&mut events, "a").await;
    assert_eq!(reason, "protocol error: no unacknowledged message \"nonsense\" on this connection");
}

#[tokio::test]
async fn strangers_cannot_make_the_broker_keep_much() {
    let broker = broker(BrokerConfig::default()).await;
    let long = "x".repeat(2_000);
    let many: String = (0..40).map(|number| format!(" h{number}:x")).collect();
    for connect in [
        format!("CONNECT login:{long}"),
        format!("CONNECT{many}"),
        "SEND destination:/queue/q | body".to_owned(),
    ] {
        let mut client = Client::open(&broker).await;
        client.say(&connect).await;
        assert!(client.hear().await.starts_with("ERROR "), "{connect:.60}");
    }
    let mut guest = Client::login(&broker, "a").await;
    let wide =
        Frame::new(crate::Command::Send).with("destination", "/queue/q").with("x", long).with_body("body");
    guest.send(&wide.with("receipt", "r")).await;
    assert_eq!(guest.hear().await, "RECEIPT receipt-id:r");
}

#[tokio::test]
async fn a_client_that_sends_before_it_connects_is_told_so() {
    let broker = broker(BrokerConfig::default()).await;
    let long = "x".repeat(2_000);
    for send in
        ["SEND destination:/queue/q | body".to_owned(), format!("SEND destination:/queue/q x:{long} | body")]
    {
        let mut client = Client::open(&broker).await;
        client.say(&send).await;
        let error = client.hear().await;
        assert!(error.ends_with("| SEND before CONNECT\n"), "{error}");
        client.hear_the_end().await;
    }
}

#[tokio::test]
async fn the_error_for_a_frame_that_went_wrong_behind_its_receipt_names_it() {
    let limits = Limits { body: 100, ..Limits::default() };
    let broker = broker(BrokerConfig { frames: limits, ..BrokerConfig::default() }).await;
    for (rest, has_receipt) in [
        ("receipt:r1\ncontent-length:101\n\n".to_owned(), true),
        ("receipt:r1\ncontent-length:many\n\n".to_owned(), true),
        ("receipt:r1\ncontent-length:1\n\nxx\0".to_owned(), true),
        (format!("receipt:r1\n\n{}", "x".repeat(101)), true),
        ("receipt:r1\nx:\\t\n\n\0".to_owned(), true),
        ("receipt:r1\nno colon\n\n\0".to_owned(), true),
        ("x:\\t\nreceipt:r1\n\n\0".to_owned(), false),
    ] {
        let mut client = Client::login(&broker, "a").await;
        client.write(format!("SEND\ndestination:/queue/q\n{rest}").as_bytes()).await;
        let error = client.frame().await;
        assert_eq!(error.header("message"), Some("malformed frame"), "{rest:?}");
        assert_eq!(error.header("receipt-id"), has_receipt.then_some("r1"), "{rest:?}");
        client.hear_the_end().await;
    }
}

#[tokio::test]
async fn a_client_may_be_asked_for_a_proof_and_hangs_up() {
    let broker = broker(BrokerConfig::default()).await;
    let mut events = broker.events();
    let mut client = Client::open(&broker).await;
    client.say(&format!("CONNECT accept-version:1.2 login:g1 vocable-nonce:{}", "0".repeat(64))).await;
    assert!(client.hear().await.starts_with("RECEIPT receipt-id:vocable-challenge vocable-nonce:"));
    drop(client);
    let told = event(&mut events, |event| match event {
        BrokerEvent::Refused { login, reason, .. } => Some((login, reason)),
        _ => None,
    });
    let (login, reason) = told.await;
    assert_eq!(login.as_deref(), Some("g1"));
    assert!(reason.starts_with("hung up after the challenge"), "{reason}");
}

#[tokio::test]
async fn many_failed_logins_are_told_late_and_the_right_one_at_once() {
    let broker = broker(BrokerConfig::default()).await;
    let mut guessing = Vec::new();
    for _ in 0..6 {
        let mut client = Client::open(&broker).await;
        client.say("CONNECT accept-version:1.2 login:g1 passcode:guessed").await;
        guessing.push(client);
    }
    Client::login(&broker, "g1").await.confirm("SEND destination:/queue/vocable.out.g1 | x").await;
    for client in &mut guessing {
        assert!(client.hear().await.starts_with("ERROR message:login or passcode not accepted"));
        client.hear_the_end().await;
    }
}
