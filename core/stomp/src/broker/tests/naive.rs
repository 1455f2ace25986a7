//! Other people's clients: they work, and what is wrong with them hurts nobody but themselves.

use super::kit::{Client, broker, ending_of, soon};
use crate::broker::{Broker, BrokerConfig, BrokerEvent};
use crate::heartbeat::HeartBeat;
use futures_util::StreamExt;
use std::time::Duration;
use stomp_rs::client as naive;
use stomp_rs::protocol::frame as naive_frame;
use tokio::sync::mpsc;

fn address(broker: &Broker) -> String {
    broker.local_addrs()[0].to_string()
}

#[tokio::test]
async fn stomp_rs_subscribes_and_sends() {
    let broker = broker(BrokerConfig::default()).await;
    let client = soon(naive::Client::connect(naive::ClientBuilder::new(address(&broker)))).await.unwrap();
    let (sender, mut received) = mpsc::channel(16);
    let subscribe = naive_frame::Subscribe::new_with_random_id("/queue/q");
    soon(client.subscribe(subscribe, sender)).await.unwrap();
    for number in 0..20 {
        // It cannot read several frames that come at once.
        soon(client.send(naive_frame::Send::new("/queue/q").body(format!("{number}")))).await.unwrap();
        let message = soon(received.recv()).await.unwrap();
        assert_eq!(message.body, format!("{number}"));
        assert_eq!(message.headers.get("from").map(String::as_str), Some("tool"));
    }
}

#[tokio::test]
async fn stomp_rs_promises_heart_beats_it_does_not_send_and_is_found_out() {
    let heart_beat = HeartBeat::every(Duration::from_millis(200));
    let broker = broker(BrokerConfig { heart_beat, ..BrokerConfig::default() }).await;
    let mut events = broker.events();
    let builder = naive::ClientBuilder::new(address(&broker)).heartbeat(200, 200);
    let client = soon(naive::Client::connect(builder)).await.unwrap();
    assert_eq!(ending_of(&mut events, "tool").await, "no heart-beat for 400ms");
    drop(client);
}

#[tokio::test]
async fn stomp_rs_chokes_on_what_others_say_and_the_others_do_not() {
    let broker = broker(BrokerConfig::default()).await;
    let client = soon(naive::Client::connect(naive::ClientBuilder::new(address(&broker)))).await.unwrap();
    let (sender, _received) = mpsc::channel(16);
    let subscribe = naive_frame::Subscribe::new_with_random_id("/topic/x");
    soon(client.subscribe(subscribe, sender)).await.unwrap();
    let mut other = Client::login(&broker, "a").await;
    other.confirm("SUBSCRIBE id:1 destination:/topic/x").await;
    for body in [&b"not \xff\xfe UTF-8"[..], b"with \0 NUL", b"plain"] {
        let send = crate::broker::core::tests::bench::frame("SEND destination:/topic/x raw:http://h:80/p");
        other.send(&send.with_body(body.to_vec())).await;
        assert_eq!(other.message().await.body, body);
    }
}

#[tokio::test]
async fn iridium_logs_in_subscribes_acknowledges_and_leaves() {
    let broker = broker(BrokerConfig::default()).await;
    let mut events = broker.events();
    let address = address(&broker);
    let connect = iridium_stomp::Connection::connect(&address, "a", "a", "10000,10000");
    let client = soon(connect).await.unwrap();
    let mut messages =
        soon(client.subscribe("/queue/q", iridium_stomp::AckMode::ClientIndividual)).await.unwrap();
    for number in 0..50 {
        soon(client.send("/queue/q", format!("{number}"))).await.unwrap();
    }
    for number in 0..50 {
        let message = soon(messages.next()).await.unwrap();
        assert_eq!(message.body, format!("{number}").as_bytes());
        soon(messages.ack_frame(&message)).await.unwrap();
    }
    soon(messages.unsubscribe()).await.unwrap();
    soon(client.close()).await.unwrap();
    assert_eq!(ending_of(&mut events, "a").await, "said DISCONNECT");
    assert!(broker.queues().await.unwrap().iter().all(|queue| queue.bytes == 0));
}

#[tokio::test]
async fn iridium_with_a_wrong_passcode_is_refused() {
    let broker = broker(BrokerConfig::default()).await;
    let mut events = broker.events();
    let address = address(&broker);
    let connect = iridium_stomp::Connection::connect(&address, "a", "wrong", "0,0");
    assert!(soon(connect).await.is_err());
    let Some(BrokerEvent::Refused { reason, .. }) = soon(events.next()).await else { panic!("not refused") };
    assert_eq!(reason, "wrong passcode for login \"a\"");
}
