//! Fast publishers and slow consumers: who waits, who goes, and that nothing is lost.

use super::kit::{Client, broker, bytes_of, ending_of, event, soon};
use crate::broker::{AckMode, BrokerConfig, BrokerEvent, BrokerLimits, Principal};
use crate::frame::{Command, Frame};
use crate::heartbeat::HeartBeat;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn large(destination: &str, number: usize) -> Frame {
    let frame = Frame::new(Command::Send).with("destination", destination).with("number", number.to_string());
    frame.with_body(vec![b'x'; 64 << 10])
}

fn number(frame: &Frame) -> usize {
    frame.header("number").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_slow_consumer_of_a_topic_is_cut_off_and_nobody_else_notices() {
    let limits = BrokerLimits { outgoing_bytes: 256 << 10, ..BrokerLimits::default() };
    let broker = broker(BrokerConfig { limits, ..BrokerConfig::default() }).await;
    let mut events = broker.events();
    let (mut fast, mut slow) = (Client::login(&broker, "a").await, Client::login(&broker, "b").await);
    fast.confirm("SUBSCRIBE id:1 destination:/topic/x").await;
    slow.confirm("SUBSCRIBE id:1 destination:/topic/x").await;
    let publisher = broker.link(Principal::new("c")).await.unwrap();
    let publish = async {
        // Far more than the system's socket buffers hold; the fast one reads each before the next is sent.
        for count in 0..1_000 {
            publisher.sender().send(large("/topic/x", count)).await.unwrap();
            assert_eq!(number(&fast.message().await), count);
        }
    };
    soon(publish).await;
    let dropped = event(&mut events, |event| match event {
        BrokerEvent::Dropped { messages, .. } => Some(messages),
        _ => None,
    });
    assert!(dropped.await > 0);
    let reason = ending_of(&mut events, "b").await;
    assert!(reason.starts_with("slow consumer: "), "{reason}");
}

#[tokio::test]
async fn a_slow_consumer_of_a_queue_loses_nothing() {
    let limits = BrokerLimits { outgoing_bytes: 256 << 10, queue_bytes: 64 << 20, ..BrokerLimits::default() };
    let broker = broker(BrokerConfig { limits, ..BrokerConfig::default() }).await;
    for ack in ["auto", "client-individual"] {
        let mut slow = Client::login(&broker, "tool").await;
        slow.confirm(&format!("SUBSCRIBE id:1 destination:/queue/q ack:{ack}")).await;
        let publisher = broker.link(Principal::new("c")).await.unwrap();
        for count in 0..400 {
            publisher.sender().send(large("/queue/q", count)).await.unwrap();
        }
        let info = broker.connections().await.unwrap();
        assert!(info.iter().all(|info| info.outgoing_bytes < 512 << 10), "{info:?}");
        for count in 0..400 {
            let message = slow.message().await;
            assert_eq!((number(&message), message.header("redelivered")), (count, None));
            if let Some(ack) = message.header("ack") {
                slow.say(&format!("ACK id:{ack}")).await;
            }
        }
    }
}

#[tokio::test]
async fn a_publisher_faster_than_the_consumer_is_read_slower_and_still_beaten_to() {
    let limits = BrokerLimits { queue_bytes: 1 << 20, ..BrokerLimits::default() };
    let heart_beat = HeartBeat::every(Duration::from_millis(300));
    let broker = broker(BrokerConfig { limits, heart_beat, ..BrokerConfig::default() }).await;
    let publisher = Client::login_with(&broker, "a", "heart-beat:300,300").await;
    let mut consumer = broker.link(Principal::new("b")).await.unwrap();
    let (mut read, mut write) = publisher.stream.into_split();
    // Thirty times as much as fits into the queue. The publisher is stuck in the middle of a write most of the time,
    // so that it is neither heard of nor able to beat.
    let sending = tokio::spawn(async move {
        for count in 0..500 {
            write.write_all(&bytes_of(&large("/queue/q", count))).await.unwrap();
        }
        write
    });
    // Longer than a peer may be silent: as long as nobody listens to it, that is not held against it.
    let mut beats = [0; 6];
    soon(read.read_exact(&mut beats)).await.unwrap();
    assert_eq!(beats, [b'\n'; 6]);
    assert!(!sending.is_finished());
    assert!(broker.connections().await.unwrap().iter().any(|info| info.paused));
    consumer.sender().subscribe("1", "/queue/q", AckMode::Auto).await.unwrap();
    for count in 0..500 {
        assert_eq!(number(&soon(consumer.receive()).await.unwrap()), count);
    }
    soon(sending).await.unwrap();
}

#[tokio::test]
async fn a_subscriber_that_reads_all_the_time_gets_all_of_a_burst() {
    let broker = broker(BrokerConfig::default()).await;
    let (mut publisher, mut subscriber) =
        (Client::login(&broker, "a").await, Client::login(&broker, "b").await);
    subscriber.confirm("SUBSCRIBE id:1 destination:/topic/x").await;
    // Forty times as much as may wait for it.
    let sending = tokio::spawn(async move {
        for count in 0..3_000 {
            publisher.send(&large("/topic/x", count)).await;
        }
        publisher
    });
    for count in 0..3_000 {
        assert_eq!(number(&subscriber.message().await), count);
    }
    soon(sending).await.unwrap();
}

#[tokio::test]
async fn a_subscriber_that_reads_nothing_holds_a_publisher_up_for_so_long_and_no_longer() {
    let limits = BrokerLimits {
        outgoing_bytes: 256 << 10,
        stall_timeout: Duration::from_millis(1_500),
        ..BrokerLimits::default()
    };
    let broker = broker(BrokerConfig { limits, ..BrokerConfig::default() }).await;
    let mut events = broker.events();
    let (mut publisher, mut stuck) = (Client::login(&broker, "a").await, Client::login(&broker, "b").await);
    stuck.confirm("SUBSCRIBE id:1 destination:/topic/x").await;
    let sending = tokio::spawn(async move {
        for count in 0..1_000 {
            publisher.send(&large("/topic/x", count)).await;
        }
        publisher.confirm("SEND destination:/queue/q | done").await;
    });
    let reason = ending_of(&mut events, "b").await;
    assert!(reason.starts_with("slow consumer: "), "{reason}");
    soon(sending).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_one_guest_is_not_heard_before_a_word_of_another() {
    for (ack, most) in [(AckMode::ClientIndividual, 17), (AckMode::Auto, 1_000)] {
        let broker = broker(BrokerConfig::default()).await;
        let mut host = broker.link(Principal::new("host")).await.unwrap();
        host.sender().subscribe("out", "/queue/vocable.out.>", ack).await.unwrap();
        let (mut flooder, mut other) =
            (Client::login(&broker, "g1").await, Client::login(&broker, "g2").await);
        for _ in 0..3_000 {
            let flood = Frame::new(Command::Send).with("destination", "/queue/vocable.out.g1");
            flooder.send(&flood.with_body(vec![b'x'; 1 << 10])).await;
        }
        flooder.confirm("SEND destination:/queue/vocable.out.g1 | last").await;
        other.confirm("SEND destination:/queue/vocable.out.g2 | one word").await;
        let mut heard = 0;
        loop {
            let message = soon(host.receive()).await.unwrap();
            heard += 1;
            if message.header("from") == Some("g2") {
                break;
            }
            assert!(heard < most, "{ack:?}: {heard} messages of the flood came first");
        }
    }
}

#[tokio::test]
async fn a_set_of_queues_is_read_through_to_its_end_by_a_link_that_is_slow_to_tell_what_it_has_read() {
    let broker = broker(BrokerConfig::default()).await;
    let mut link = broker.link(Principal::new("b")).await.unwrap();
    link.sender().subscribe("all", "/queue/*", AckMode::Auto).await.unwrap();
    let mut publisher = Client::login(&broker, "a").await;
    let sending = tokio::spawn(async move {
        for count in 0..1_000 {
            publisher.send(&large("/queue/q", count)).await;
        }
        publisher
    });
    for count in 0..1_000 {
        assert_eq!(number(&soon(link.receive()).await.unwrap()), count);
    }
    soon(sending).await.unwrap();
}
