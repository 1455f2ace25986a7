//! Who is taken for alive, and for how long.

use super::kit::{Client, broker, ending_of, event, soon};
use crate::broker::{BrokerConfig, BrokerEvent};
use crate::heartbeat::HeartBeat;
use std::time::{Duration, Instant};
use tokio::time;

fn beating(interval: Duration) -> BrokerConfig {
    BrokerConfig { heart_beat: HeartBeat::every(interval), ..BrokerConfig::default() }
}

#[tokio::test]
async fn a_silent_peer_is_dead_after_twice_the_interval_and_was_beaten_to_until_then() {
    let broker = broker(beating(Duration::from_millis(200))).await;
    let mut events = broker.events();
    let begin = Instant::now();
    let mut client = Client::login_with(&broker, "a", "heart-beat:200,200").await;
    client.hear_about_its_end().await;
    assert_eq!(ending_of(&mut events, "a").await, "no heart-beat for 400ms");
    assert!(begin.elapsed() >= Duration::from_millis(400));
    assert!(client.beats >= 1, "{}", client.beats);
}

#[tokio::test]
async fn a_peer_that_beats_lives() {
    let broker = broker(beating(Duration::from_millis(500))).await;
    let mut client = Client::login_with(&broker, "a", "heart-beat:500,0").await;
    let mut beats = time::interval(Duration::from_millis(50));
    for _ in 0..40 {
        beats.tick().await;
        client.write(b"\n").await;
    }
    client.confirm("SEND destination:/queue/q | still here").await;
    assert_eq!(client.beats, 0, "it asked for none");
    let info = broker.connections().await.unwrap().remove(0);
    assert!(info.last_byte.unwrap() > info.since + Duration::from_secs(1));
}

#[tokio::test]
async fn without_an_agreement_nobody_is_taken_for_dead() {
    let broker = broker(beating(Duration::from_millis(50))).await;
    let mut client = Client::login(&broker, "a").await;
    time::timeout(Duration::from_millis(400), client.next()).await.expect_err("nothing comes");
    client.confirm("SEND destination:/queue/q | still here").await;
}

#[tokio::test]
async fn whoever_does_not_log_in_in_time_is_told_and_closed() {
    let config = BrokerConfig { login_deadline: Duration::from_millis(200), ..BrokerConfig::default() };
    let broker = broker(config).await;
    let mut events = broker.events();
    let mut logged_in = Client::login(&broker, "a").await;
    let (mut silent, mut slow) = (Client::open(&broker).await, Client::open(&broker).await);
    slow.write(b"CONNECT\nlogin:").await;
    for client in [&mut silent, &mut slow] {
        assert!(client.hear().await.ends_with("| no login within 200ms\n"));
        client.hear_the_end().await;
    }
    let told = event(&mut events, |event| match event {
        BrokerEvent::Refused { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(told.await, "no login within 200ms");
    logged_in.confirm("SEND destination:/queue/q | the others' deadline is not mine").await;
}

impl Client {
    async fn hear_about_its_end(&mut self) {
        while let Ok(Some(_)) = soon(self.next()).await {}
    }
}
