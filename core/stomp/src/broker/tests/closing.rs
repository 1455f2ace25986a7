//! How connections end, and what is left of them.

use super::kit::{Client, broker, ending_of, event, soon};
use crate::broker::{BrokerConfig, BrokerEvent, BrokerLimits};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn what_a_cut_connection_had_not_acknowledged_is_redelivered() {
    let broker = broker(BrokerConfig::default()).await;
    let mut events = broker.events();
    let (mut host, mut guest) = (Client::login(&broker, "host").await, Client::login(&broker, "g1").await);
    guest.confirm("SUBSCRIBE id:1 destination:/queue/vocable.in.g1 ack:client-individual").await;
    host.confirm("SEND destination:/queue/vocable.in.g1 | command").await;
    assert_eq!(guest.message().await.header("redelivered"), None);
    drop(guest);
    assert_eq!(ending_of(&mut events, "g1").await, "connection closed by peer");
    let mut guest = Client::login(&broker, "g1").await;
    guest.say("SUBSCRIBE id:1 destination:/queue/vocable.in.g1 ack:client-individual").await;
    let again = guest.message().await;
    assert_eq!((again.header("redelivered"), &again.body[..]), (Some("true"), &b"command"[..]));
    guest.confirm(&format!("ACK id:{}", again.header("ack").unwrap())).await;
    assert_eq!(broker.queues().await.unwrap()[0].bytes, 0);
}

#[tokio::test]
async fn a_client_that_only_stops_sending_still_hears_the_answers() {
    let broker = broker(BrokerConfig::default()).await;
    let mut client = Client::login(&broker, "a").await;
    client.say("SEND destination:/queue/q receipt:1 | x").await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.hear().await, "RECEIPT receipt-id:1");
    client.hear_the_end().await;
}

#[tokio::test]
async fn an_end_in_the_middle_of_a_frame_is_told() {
    let broker = broker(BrokerConfig::default()).await;
    let mut events = broker.events();
    let mut client = Client::login(&broker, "a").await;
    client.write(b"SEND\ndestination:/queue/q\n\nhalf").await;
    drop(client);
    let reason = ending_of(&mut events, "a").await;
    assert_eq!(reason, "connection lost: the input ends in the middle of a frame");
    assert!(broker.queues().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_same_login_twice_is_refused_with_both_addresses() {
    let broker = broker(BrokerConfig::default()).await;
    let mut events = broker.events();
    let first = Client::login(&broker, "g1").await;
    let mut second = Client::open(&broker).await;
    let addresses = (first.stream.local_addr().ok(), second.stream.local_addr().ok());
    second.say("CONNECT accept-version:1.2 login:g1 passcode:g1").await;
    assert!(second.hear().await.starts_with("ERROR message:login in use"));
    second.hear_the_end().await;
    let told = event(&mut events, |event| match event {
        BrokerEvent::Duplicate { peer, holder, .. } => Some((holder, peer)),
        _ => None,
    });
    assert_eq!(told.await, addresses);
}

#[tokio::test]
async fn too_many_connections_are_turned_away() {
    let limits = BrokerLimits { connections: 1, ..BrokerLimits::default() };
    let broker = broker(BrokerConfig { limits, ..BrokerConfig::default() }).await;
    let mut events = broker.events();
    let _one = Client::login(&broker, "a").await;
    let mut other = Client::open(&broker).await;
    assert!(other.hear().await.contains("too many connections: the limit is 1"));
    other.hear_the_end().await;
    let told = event(&mut events, |event| match event {
        BrokerEvent::Refused { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(told.await, "too many connections: the limit is 1");
}

#[tokio::test]
async fn the_owner_can_end_a_connection() {
    let broker = broker(BrokerConfig::default()).await;
    let mut events = broker.events();
    let mut guest = Client::login(&broker, "g1").await;
    assert_eq!(broker.disconnect("g1", "credential revoked").await, Ok(1));
    assert!(guest.hear().await.ends_with("| closed by host: credential revoked\n"));
    guest.hear_the_end().await;
    assert_eq!(ending_of(&mut events, "g1").await, "closed by host: credential revoked");
    assert_eq!(broker.disconnect("g1", "again").await, Ok(0));
}

#[tokio::test]
async fn a_shutdown_takes_leave_of_everybody_and_waits_for_nobody_longer_than_it_may() {
    let config = BrokerConfig { linger: Duration::from_secs(60), ..BrokerConfig::default() };
    let broker = broker(config).await;
    let address = broker.local_addrs()[0];
    let (mut polite, _deaf) = (Client::login(&broker, "a").await, Client::login(&broker, "b").await);
    let stranger = Client::open(&broker).await;
    let reader = tokio::spawn(async move {
        let error = polite.hear().await;
        polite.hear_the_end().await;
        error
    });
    let begin = Instant::now();
    soon(broker.shutdown(Duration::from_millis(300))).await;
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(10), "{took:?}");
    assert!(soon(reader).await.unwrap().starts_with("ERROR message:shutting down"));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    drop(stranger);
}

#[tokio::test]
async fn a_shutdown_of_the_polite_is_quick() {
    let broker = broker(BrokerConfig::default()).await;
    let mut client = Client::login(&broker, "a").await;
    let reader = tokio::spawn(async move { client.hear().await });
    let begin = Instant::now();
    soon(broker.shutdown(Duration::from_secs(15))).await;
    assert!(begin.elapsed() < Duration::from_secs(5));
    soon(reader).await.unwrap();
}

#[tokio::test]
async fn whoever_does_not_listen_to_events_is_told_how_many_it_missed() {
    let broker = broker(BrokerConfig { events: 2, ..BrokerConfig::default() }).await;
    let mut events = broker.events();
    for _ in 0..3 {
        Client::login(&broker, "tool").await.confirm("DISCONNECT x:y").await;
    }
    assert!(matches!(soon(events.next()).await, Some(BrokerEvent::Missed { events: 4.. })));
    drop(broker);
    soon(async { while events.next().await.is_some() {} }).await;
}
