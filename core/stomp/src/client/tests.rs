//! A client against brokers that do what they should not, and what they should.

mod embedded;
mod liveness;
mod peer;
mod proving;
mod sending;

use super::{AckMode, ClientError, Credentials, Event, Subscription};
use crate::codec::Limits;
use crate::frame::{Command, Frame, Version};
use peer::{Broker, Started, message, send, soon};
use std::time::Duration;

fn subscription(id: &str, ack: AckMode) -> Subscription {
    Subscription::new(id, format!("/{id}"), ack)
}

fn header<'a>(frame: &'a Frame, name: &str) -> &'a str {
    frame.header(name).unwrap_or_default()
}

#[tokio::test]
async fn it_connects_subscribes_and_hears_messages() {
    let broker = Broker::bind().await;
    let mut config = broker.config();
    config.login = Some("g1".to_owned());
    config.credentials = Credentials::Passcode("secret".to_owned());
    config.heart_beat = Duration::from_secs(7);
    let mut started = Started::over_tcp(config, vec![subscription("a", AckMode::Client)]);
    let mut peer = broker.accept().await;
    let connect = peer.connect(Version::V1_2, "0,0").await;
    for (name, value) in [
        ("accept-version", "1.0,1.1,1.2"),
        ("host", "127.0.0.1"),
        ("login", "g1"),
        ("passcode", "secret"),
        ("heart-beat", "7000,7000"),
    ] {
        assert_eq!(header(&connect, name), value);
    }
    let event = started.event().await;
    let Event::Connected { version, server, .. } = event else { panic!("{event:?}") };
    assert_eq!((version, server.as_deref()), (Version::V1_2, Some("script/1")));
    let subscribe = peer.expect(Command::Subscribe).await;
    assert_eq!(["id", "destination", "ack"].map(|name| header(&subscribe, name)), ["a", "/a", "client"]);
    peer.message("a", "hello").await;
    assert_eq!(started.message().await, "hello");
}

#[tokio::test]
async fn a_message_is_acknowledged_on_its_own_connection_and_on_no_other() {
    let broker = Broker::bind().await;
    let mut started = broker.start(vec![subscription("a", AckMode::ClientIndividual)]);
    let mut peer = broker.connected(Version::V1_2).await;
    started.connected().await;
    peer.expect(Command::Subscribe).await;
    peer.message("a", "1").await;
    let Event::Message(delivery) = started.event().await else { panic!("no message") };
    started.client.ack(&delivery).await.unwrap();
    assert_eq!(header(&peer.expect(Command::Ack).await, "id"), "ack-1");
    started.client.nack(&delivery).await.unwrap();
    assert_eq!(header(&peer.expect(Command::Nack).await, "id"), "ack-1");
    drop(peer);
    started.disconnected().await;
    assert_eq!(started.client.ack(&delivery).await, Err(ClientError::ConnectionGone));
    let _peer = broker.connected(Version::V1_2).await;
    started.connected().await;
    assert_eq!(started.client.ack(&delivery).await, Err(ClientError::ConnectionGone));
}

#[tokio::test]
async fn every_connection_begins_with_the_subscriptions_as_they_are_then() {
    let broker = Broker::bind().await;
    let mut started = broker.start(vec![subscription("a", AckMode::Auto), subscription("b", AckMode::Auto)]);
    let mut peer = broker.connected(Version::V1_1).await;
    started.connected().await;
    assert_eq!(header(&peer.expect(Command::Subscribe).await, "id"), "a");
    assert_eq!(header(&peer.expect(Command::Subscribe).await, "id"), "b");
    started.client.subscribe(subscription("c", AckMode::Auto)).await.unwrap();
    assert_eq!(header(&peer.expect(Command::Subscribe).await, "id"), "c");
    started.client.unsubscribe("a").await.unwrap();
    assert_eq!(header(&peer.expect(Command::Unsubscribe).await, "id"), "a");
    started.client.subscribe(subscription("b", AckMode::Client)).await.unwrap();
    assert_eq!(header(&peer.expect(Command::Unsubscribe).await, "id"), "b");
    assert_eq!(header(&peer.expect(Command::Subscribe).await, "ack"), "client");
    drop(peer);
    started.disconnected().await;
    started.client.subscribe(subscription("d", AckMode::Auto)).await.unwrap();
    let mut peer = broker.connected(Version::V1_1).await;
    started.connected().await;
    for id in ["c", "b", "d"] {
        assert_eq!(header(&peer.expect(Command::Subscribe).await, "id"), id);
    }
}

#[tokio::test]
async fn a_broker_that_refuses_is_asked_again() {
    let broker = Broker::bind().await;
    let mut started = broker.start(Vec::new());
    let mut peer = broker.accept().await;
    peer.expect(Command::Connect).await;
    peer.send(Frame::new(Command::Error).with("message", "bad passcode").with_body("go away")).await;
    match started.event().await {
        Event::Refused { message, frame, .. } => {
            assert_eq!((message.as_str(), &frame.body[..]), ("bad passcode", &b"go away"[..]));
        }
        other => panic!("{other:?}"),
    }
    peer.expect_end().await;
    let _peer = broker.connected(Version::V1_2).await;
    started.connected().await;
}

#[tokio::test]
async fn the_words_of_an_error_are_the_reason() {
    let broker = Broker::bind().await;
    let mut started = broker.start(Vec::new());
    let mut peer = broker.connected(Version::V1_2).await;
    started.connected().await;
    peer.send(Frame::new(Command::Error).with("message", "too slow")).await;
    assert_eq!(started.disconnected().await, "the broker ended the connection: too slow");
}

#[tokio::test]
async fn a_connection_that_is_cut_says_where() {
    let broker = Broker::bind().await;
    let mut started = broker.start(Vec::new());
    for (bytes, reason) in [
        (&b""[..], "the broker closed the connection"),
        (b"MESSAGE\nsubscription:a\n\nhalf a bo", "the broker closed the connection within a frame"),
        (b"MESS", "the broker closed the connection within a frame"),
    ] {
        let mut peer = broker.connected(Version::V1_2).await;
        started.connected().await;
        peer.raw(bytes).await;
        drop(peer);
        assert_eq!(started.disconnected().await, reason);
    }
    let mut peer = broker.accept().await;
    peer.expect(Command::Connect).await;
    drop(peer);
    let reason = "the broker closed the connection without an answer to CONNECT";
    assert_eq!(started.disconnected().await, reason);
}

#[tokio::test]
async fn nonsense_ends_the_connection_and_is_told() {
    let broker = Broker::bind().await;
    let mut config = broker.config();
    config.limits = Limits { body: 1000, ..Limits::default() };
    let mut started = Started::over_tcp(config, Vec::new());
    for (bytes, problem) in [
        (&b"HELLO\n\n\0"[..], "the broker sent what is no frame: \"HELLO\" is no STOMP command"),
        (
            b"MESSAGE\na:\\t\n\n\0",
            "the broker sent what is no frame: header 1 contains an escape sequence that STOMP 1.2 does not define",
        ),
        (
            b"MESSAGE\ncontent-length:1001\n\n",
            "the broker sent what is no frame: the body of MESSAGE is longer than the limit of 1000 bytes",
        ),
        (b"SEND\n\n\0", "the broker sent SEND where no broker sends it"),
        (b"CONNECTED\n\n\0", "the broker sent CONNECTED where no broker sends it"),
        (b"RECEIPT\n\n\0", "the broker sent a RECEIPT without receipt-id"),
    ] {
        let mut peer = broker.connected(Version::V1_2).await;
        started.connected().await;
        peer.raw(bytes).await;
        match started.event().await {
            Event::BadFrame { problem: told, .. } => assert_eq!(told, problem),
            other => panic!("{other:?}"),
        }
        peer.expect_end().await;
    }
}

#[tokio::test]
async fn a_lenient_client_bears_with_what_a_strict_one_does_not() {
    let broker = Broker::bind().await;
    let config = super::ClientConfig { lenient: true, ..broker.config() };
    let mut started = Started::over_tcp(config, Vec::new());
    let mut peer = broker.connected(Version::V1_1).await;
    started.connected().await;
    peer.raw(b"MESSAGE\r\nmessage-id:C:\\temp\r\n\r\nhello\0").await;
    let Event::Message(delivery) = started.event().await else { panic!("no message") };
    assert_eq!(delivery.frame.header("message-id"), Some("C:\\temp"));
}

#[tokio::test]
async fn frames_that_trickle_in_or_come_at_once_are_all_heard() {
    let broker = Broker::bind().await;
    let mut started = broker.start(Vec::new());
    let mut peer = broker.accept().await;
    peer.expect(Command::Connect).await;
    let together = b"CONNECTED\nversion:1.2\n\n\0\n\nMESSAGE\nmessage-id:1\n\none\0\r\nMESSAGE\ncontent-length:3\n\ntwo\0";
    peer.raw(together).await;
    started.connected().await;
    assert_eq!([started.message().await, started.message().await], ["one", "two"]);
    for byte in b"\nMESSAGE\r\nsubscription:a\r\n\r\nthree\0" {
        peer.raw(&[*byte]).await;
    }
    assert_eq!(started.message().await, "three");
}

#[tokio::test]
async fn a_1_0_broker_is_spoken_to_in_1_0() {
    let broker = Broker::bind().await;
    let mut started = broker.start(vec![subscription("a", AckMode::Client)]);
    let mut peer = broker.connected(Version::V1_0).await;
    let event = started.event().await;
    assert!(matches!(event, Event::Connected { version: Version::V1_0, .. }), "{event:?}");
    peer.expect(Command::Subscribe).await;
    let old = Frame::new(Command::Message).with("destination", "/a").with("message-id", "m\\n1");
    peer.send(old).await;
    let Event::Message(delivery) = started.event().await else { panic!("no message") };
    started.client.ack(&delivery).await.unwrap();
    assert_eq!(header(&peer.expect(Command::Ack).await, "message-id"), "m\\n1");
    let nack = started.client.nack(&delivery).await;
    assert_eq!(nack, Err(ClientError::NotInVersion { command: Command::Nack, version: Version::V1_0 }));

    started.client.send(send("x").with("note", "two\nlines")).await.unwrap();
    started.client.send(send("y").with("note", "one:line")).await.unwrap();
    match started.event().await {
        Event::NotSent { frame, error } => {
            assert_eq!(&frame.body[..], b"x");
            assert_eq!(
                error.to_string(),
                "header 2 of SEND contains '\\n', which cannot be written in STOMP 1.0"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(header(&peer.expect(Command::Send).await, "note"), "one:line");
}

#[tokio::test]
async fn it_leaves_in_good_order() {
    let broker = Broker::bind().await;
    let mut started = broker.start(Vec::new());
    let mut peer = broker.connected(Version::V1_2).await;
    started.connected().await;
    for body in ["1", "2", "3"] {
        started.client.send(send(body)).await.unwrap();
    }
    let broker_side = async {
        for body in ["1", "2", "3"] {
            assert_eq!(peer.expect_send().await, body);
        }
        let disconnect = peer.expect(Command::Disconnect).await;
        peer.send(message("a", "late")).await;
        peer.send(Frame::new(Command::Receipt).with("receipt-id", header(&disconnect, "receipt"))).await;
        peer.expect_end().await;
    };
    let (left, ()) = tokio::join!(started.client.disconnect(Duration::from_secs(60)), broker_side);
    assert_eq!(left, Ok(()));
    assert_eq!(started.client.send(send("4")).await, Err(ClientError::Closed));
    assert!(soon(started.events.recv()).await.is_none(), "nothing is told after the leave");
    soon(started.task).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_closes_before_it_confirmed_the_leave_is_told_of() {
    let broker = Broker::bind().await;
    let mut started = broker.start(Vec::new());
    let mut peer = broker.connected(Version::V1_2).await;
    started.connected().await;
    let broker_side = async {
        peer.expect(Command::Disconnect).await;
        drop(peer);
    };
    let (left, ()) = tokio::join!(started.client.disconnect(Duration::from_secs(60)), broker_side);
    let reason = "the broker closed the connection".to_owned();
    assert_eq!(left, Err(ClientError::Disconnected { reason }));
}

#[tokio::test]
async fn dropping_the_task_ends_everything_at_once() {
    let broker = Broker::bind().await;
    let mut started = broker.start(Vec::new());
    let mut peer = broker.connected(Version::V1_2).await;
    started.connected().await;
    drop(started.task);
    peer.expect_end().await;
    assert!(soon(started.events.recv()).await.is_none());
    assert_eq!(started.client.send(send("1")).await, Err(ClientError::Closed));
    assert_eq!(started.client.disconnect(Duration::from_secs(60)).await, Err(ClientError::Closed));
}
