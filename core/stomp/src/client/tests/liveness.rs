//! Time: heart-beats, silence, consumers that stall, waits between attempts. The clock is paused and only moves
//! when everybody waits.

use super::peer::{Broker, Peer, Pipes, Started, config, message, send, soon};
use crate::client::{ClientConfig, Event, Reconnect};
use crate::codec::Item;
use crate::frame::{Command, Version};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// A client that wants heart-beats every second, connected to a broker that says this of itself.
async fn connected(heart_beat: &str) -> (Pipes, Started, Peer<DuplexStream>) {
    let config = ClientConfig { heart_beat: SECOND, ..config("broker") };
    let (mut pipes, mut started) = Pipes::start(config, Vec::new());
    let mut peer = pipes.accept().await;
    peer.connect(Version::V1_2, heart_beat).await;
    started.connected().await;
    (pipes, started, peer)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_nothing_to_say_sends_heart_beats_in_time() {
    let (_pipes, _started, mut peer) = connected("0,2000").await;
    for _ in 0..5 {
        let before = Instant::now();
        assert_eq!(peer.item().await, Some(Item::HeartBeat));
        let passed = before.elapsed();
        assert!(passed <= 2 * SECOND && passed > SECOND, "{passed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_talks_needs_no_heart_beats() {
    let (_pipes, started, mut peer) = connected("0,2000").await;
    for _ in 0..5 {
        started.client.send(send("x")).await.unwrap();
        assert!(matches!(peer.item().await, Some(Item::Frame(_))));
        sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_broker_is_dead_after_twice_the_interval() {
    let (mut pipes, mut started, mut peer) = connected("3000,0").await;
    let before = Instant::now();
    let reason = started.disconnected().await;
    assert_eq!(reason, "nothing heard from the broker for 6s, it promised a heart-beat every 3s");
    let passed = before.elapsed();
    assert!(passed >= 6 * SECOND && passed < 7 * SECOND, "{passed:?}");
    peer.expect_end().await;
    pipes.accept().await;
}

#[tokio::test(start_paused = true)]
async fn any_byte_is_a_sign_of_life() {
    let (_pipes, mut started, mut peer) = connected("1000,0").await;
    for byte in b"\nMESSAGE\nmessage-id:1\n\nabc" {
        sleep(SECOND * 3 / 2).await;
        peer.raw(&[*byte]).await;
    }
    peer.raw(b"\0").await;
    assert_eq!(started.message().await, "abc");
}

#[tokio::test]
async fn a_machine_that_was_asleep_hears_first_what_waited() {
    let broker = Broker::bind().await;
    let interval = Duration::from_millis(20);
    let config = ClientConfig { heart_beat: interval, ..broker.config() };
    let mut started = Started::over_tcp(config, Vec::new());
    let mut peer = broker.accept().await;
    peer.connect(Version::V1_2, "20,0").await;
    started.connected().await;
    for number in 0..20 {
        peer.message("a", &number.to_string()).await;
        // Not a wait: the whole runtime, client and all, stands still.
        std::thread::sleep(interval * 3);
        assert_eq!(started.message().await, number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn without_heart_beats_silence_is_borne() {
    let (_pipes, mut started, mut peer) = connected("0,0").await;
    assert!(timeout(10_000 * SECOND, started.events.recv()).await.is_err());
    peer.message("a", "still here").await;
    assert_eq!(started.message().await, "still here");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_consumer_stops_the_reading_but_not_heart_beats_nor_sending() {
    let (_pipes, mut started, mut peer) = connected("1000,1000").await;
    let mut sent = 0;
    // Until nothing more fits into the events and the pipe.
    while timeout(SECOND / 100, peer.message("a", &sent.to_string())).await.is_ok() {
        sent += 1;
        assert!(sent < 10_000, "the client reads on and on");
    }
    for _ in 0..20 {
        assert_eq!(peer.item().await, Some(Item::HeartBeat), "nobody dies of a slow consumer");
    }
    started.client.send(send("meanwhile")).await.unwrap();
    assert_eq!(peer.expect_send().await, "meanwhile");
    for number in 0..sent {
        assert_eq!(started.message().await, number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_falls_silent_while_the_consumer_stalls_is_missed_afterwards() {
    let (_pipes, mut started, mut peer) = connected("1000,0").await;
    while timeout(SECOND / 100, peer.send(message("a", "x"))).await.is_ok() {}
    sleep(100 * SECOND).await;
    let resumed = Instant::now();
    let reason = loop {
        match started.event().await {
            Event::Message(_) => {}
            Event::Disconnected { reason, .. } => break reason,
            other => panic!("{other:?}"),
        }
    };
    assert!(reason.starts_with("nothing heard from the broker"), "{reason}");
    assert!(resumed.elapsed() >= 2 * SECOND && resumed.elapsed() < 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_answer_connect_is_given_up() {
    let config = ClientConfig { connect_timeout: 5 * SECOND, ..config("broker:61613") };
    let (mut pipes, mut started) = Pipes::start(config, Vec::new());
    let mut peer = pipes.accept().await;
    peer.raw(b"\n\n\n").await;
    assert_eq!(started.disconnected().await, "no answer to CONNECT from broker:61613 within 5s");
    peer.expect(Command::Connect).await;
    peer.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn waits_grow_until_a_connection_has_lasted() {
    let reconnect = Reconnect { first: SECOND, most: 10 * SECOND, jitter: 0.0 };
    let (mut pipes, mut started) = Pipes::start(ClientConfig { reconnect, ..config("broker") }, Vec::new());
    let mut waits = Vec::new();
    for lasts in [0, 0, 0, 9, 0, 10, 0] {
        let before = Instant::now();
        let mut peer = pipes.accept().await;
        waits.push(before.elapsed().as_secs());
        peer.connect(Version::V1_2, "0,0").await;
        started.connected().await;
        sleep(lasts * SECOND).await;
        drop(peer);
        started.disconnected().await;
    }
    assert_eq!(waits, [0, 1, 2, 4, 8, 10, 1]);
    soon(pipes.accept()).await;
}
