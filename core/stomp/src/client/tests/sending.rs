//! What is queued, what is confirmed, and what becomes of it when the connection breaks.

use super::header;
use super::peer::{Broker, Pipes, config, send, soon};
use crate::client::{ClientConfig, ClientError};
use crate::frame::{Command, Frame, Version};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

fn receipt_for(frame: &Frame) -> Frame {
    Frame::new(Command::Receipt).with("receipt-id", header(frame, "receipt"))
}

#[tokio::test]
async fn what_is_queued_while_there_is_no_connection_is_sent_in_its_order() {
    let broker = Broker::bind().await;
    let mut started = broker.start(Vec::new());
    for body in ["1", "2", "3"] {
        started.client.send(send(body)).await.unwrap();
    }
    let mut refusing = broker.accept().await;
    refusing.expect(Command::Connect).await;
    drop(refusing);
    started.disconnected().await;
    let mut peer = broker.connected(Version::V1_2).await;
    for body in ["1", "2", "3"] {
        assert_eq!(peer.expect_send().await, body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_was_cut_off_is_sent_again_and_one_that_was_written_is_not() {
    let (mut pipes, mut started) = Pipes::start(config("broker"), Vec::new());
    let mut peer = pipes.accept().await;
    peer.connect(Version::V1_2, "0,0").await;
    started.connected().await;
    started.client.send(send("small")).await.unwrap();
    assert_eq!(peer.expect_send().await, "small");
    // More than the pipe holds.
    let large = "x".repeat(20_000);
    started.client.send(send(&large)).await.unwrap();
    started.client.send(send("last")).await.unwrap();
    peer.message("a", "reads nothing but this").await;
    started.message().await;
    drop(peer);
    started.disconnected().await;
    let mut peer = pipes.accept().await;
    peer.connect(Version::V1_2, "0,0").await;
    assert_eq!(peer.expect_send().await, large);
    assert_eq!(peer.expect_send().await, "last");
}

#[tokio::test]
async fn a_receipt_confirms() {
    let broker = Broker::bind().await;
    let mut started = broker.start(Vec::new());
    let mut peer = broker.connected(Version::V1_2).await;
    started.connected().await;
    let broker_side = async {
        let first = peer.expect(Command::Send).await;
        let second = peer.expect(Command::Send).await;
        assert_ne!(header(&first, "receipt"), header(&second, "receipt"));
        peer.send(Frame::new(Command::Receipt).with("receipt-id", "of somebody else")).await;
        peer.send(receipt_for(&second)).await;
        peer.send(receipt_for(&first)).await;
    };
    let (first, second, ()) = tokio::join!(
        started.client.send_receipted(send("1"), LONG),
        started.client.send_receipted(send("2").with("receipt", "mine"), LONG),
        broker_side
    );
    assert_eq!((first, second), (Ok(()), Ok(())));
}

#[tokio::test]
async fn an_error_that_names_the_frame_refuses_it_and_all_others_are_lost() {
    let broker = Broker::bind().await;
    let mut started = broker.start(Vec::new());
    let mut peer = broker.connected(Version::V1_2).await;
    started.connected().await;
    let broker_side = async {
        let first = peer.expect(Command::Send).await;
        peer.expect(Command::Send).await;
        let error = Frame::new(Command::Error).with("message", "not yours");
        peer.send(error.with("receipt-id", header(&first, "receipt"))).await;
    };
    let (first, second, ()) = tokio::join!(
        started.client.send_receipted(send("1"), LONG),
        started.client.send_receipted(send("2"), LONG),
        broker_side
    );
    assert_eq!(first, Err(ClientError::Refused { message: "not yours".to_owned() }));
    let reason = "the broker ended the connection: not yours".to_owned();
    assert_eq!(second, Err(ClientError::Disconnected { reason }));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_never_confirms_is_waited_for_as_long_as_was_said() {
    let (mut pipes, mut started) = Pipes::start(config("broker"), Vec::new());
    let mut peer = pipes.accept().await;
    peer.connect(Version::V1_2, "0,0").await;
    started.connected().await;
    let deadline = Err(ClientError::Deadline { within: LONG });
    assert_eq!(started.client.send_receipted(send("1"), LONG).await, deadline);
    assert_eq!(peer.expect_send().await, "1");
    drop(peer);
    started.disconnected().await;
    let mut connecting = pipes.accept().await;
    let within = Duration::from_secs(1);
    let not_sent = started.client.send_receipted(send("2"), within).await;
    assert_eq!(not_sent, Err(ClientError::Deadline { within }));
    started.client.send(send("3")).await.unwrap();
    connecting.connect(Version::V1_2, "0,0").await;
    assert_eq!(connecting.expect_send().await, "3", "what nobody waits for any more is not sent");
}

#[tokio::test]
async fn the_queue_is_bounded_in_bytes() {
    let broker = Broker::bind().await;
    let config = ClientConfig { outgoing_limit: 10_000, ..broker.config() };
    let (client, _events, _task) = crate::client::Client::start(config, Vec::new());
    let connecting = broker.accept().await;
    let large = || send(&"x".repeat(4000));
    assert_eq!((client.try_send(large()), client.try_send(large())), (Ok(()), Ok(())));
    assert_eq!(client.try_send(large()), Err(ClientError::QueueFull { limit: 10_000 }));
    let too_large = client.send(send(&"x".repeat(10_000))).await;
    assert!(matches!(too_large, Err(ClientError::FrameTooLarge { limit: 10_000, .. })), "{too_large:?}");

    let broker_side = async {
        let mut peer = connecting;
        peer.connect(Version::V1_2, "0,0").await;
        for _ in 0..3 {
            peer.expect_send().await;
        }
    };
    let (waited, ()) = tokio::join!(soon(client.send(large())), broker_side);
    assert_eq!(waited, Ok(()));
}

#[tokio::test]
async fn only_frames_that_a_client_may_send_are_queued() {
    let broker = Broker::bind().await;
    let started = broker.start(Vec::new());
    let connect = started.client.send(Frame::new(Command::Connect)).await;
    assert_eq!(connect, Err(ClientError::NotToBeSent { command: Command::Connect }));
    let unwritable = started.client.try_send(send("x").with("", "no name")).unwrap_err();
    assert_eq!(unwritable.to_string(), "header 2 of SEND has no name");
}

#[tokio::test]
async fn large_frames_go_both_ways() {
    let broker = Broker::bind().await;
    let mut started = broker.start(Vec::new());
    let mut peer = broker.connected(Version::V1_2).await;
    started.connected().await;
    let large = "0123456789abcdef".repeat(1 << 19);
    started.client.send(send(&large)).await.unwrap();
    assert_eq!(peer.expect_send().await, large);
    let ((), heard) = tokio::join!(peer.message("a", &large), started.message());
    assert_eq!(heard, large);
}

#[tokio::test(start_paused = true)]
async fn leaving_without_a_connection_takes_no_longer_than_it_must() {
    let (mut pipes, started) = Pipes::start(config("broker"), Vec::new());
    let _connecting = pipes.accept().await;
    assert_eq!(started.client.disconnect(LONG).await, Ok(()), "there was nothing to send");

    let (mut pipes, started) = Pipes::start(config("broker"), Vec::new());
    let _connecting = pipes.accept().await;
    started.client.send(send("1")).await.unwrap();
    let within = Duration::from_secs(1);
    assert_eq!(started.client.disconnect(within).await, Err(ClientError::Deadline { within }));
    soon(started.task).await.unwrap();
}
