//! Connections inside the process.

use super::kit::{Client, broker, ending_of, soon};
use crate::broker::core::Refusal;
use crate::broker::core::tests::bench::{frame, line};
use crate::broker::{AccessRules, AckMode, BrokerConfig, BrokerStopped, LinkError, Principal, Secret};
use std::sync::Arc;

#[tokio::test]
async fn the_host_talks_to_its_guests() {
    let broker = broker(BrokerConfig::default()).await;
    let mut host = broker.link(Principal::new("host")).await.unwrap();
    host.sender().subscribe("out", "/queue/vocable.out.>", AckMode::ClientIndividual).await.unwrap();
    let mut guest = Client::login(&broker, "g1").await;
    guest.confirm("SUBSCRIBE id:in destination:/queue/vocable.in.g1").await;
    host.sender().send(frame("SEND destination:/queue/vocable.in.g1 cmd-id:7 | RUN_CMD")).await.unwrap();
    assert_eq!(guest.message().await.header("cmd-id"), Some("7"));
    guest.say("SEND destination:/queue/vocable.out.g1 from:host cmd-id:7 | CMD_RESULTS").await;
    let message = soon(host.receive()).await.unwrap();
    assert!(
        line(&message).ends_with(" destination:/queue/vocable.out.g1 ack:1-2 from:g1 cmd-id:7 | CMD_RESULTS")
    );
    host.sender().ack(&message).await.unwrap();
    assert!(matches!(host.sender().nack(&message).await, Err(LinkError::Refused(Refusal::Unknown { .. }))));
    assert!(broker.queues().await.unwrap().iter().all(|queue| queue.bytes == 0));
}

#[tokio::test]
async fn a_refusal_is_an_error_and_the_link_lives_on() {
    let broker = broker(BrokerConfig::default()).await;
    let mut events = broker.events();
    let mut host = broker.link(Principal::new("host")).await.unwrap();
    let denied = host.sender().send(frame("SEND destination:/queue/elsewhere | x")).await.unwrap_err();
    assert_eq!(denied.to_string(), "host may not write \"/queue/elsewhere\"");
    host.sender().subscribe("1", "/queue/vocable.out.*", AckMode::Auto).await.unwrap();
    host.sender().unsubscribe("1").await.unwrap();
    assert!(broker.link(Principal::new("host")).await.is_err(), "it is connected already");
    assert_eq!(broker.disconnect("host", "enough").await, Ok(1));
    let error = soon(host.receive()).await.unwrap();
    assert!(line(&error).starts_with("ERROR message:closed by host"));
    assert_eq!(soon(host.receive()).await, None);
    assert_eq!(host.sender().unsubscribe("1").await, Err(LinkError::Closed));
    assert_eq!(ending_of(&mut events, "host").await, "closed by host: enough");
}

#[tokio::test]
async fn a_link_that_is_dropped_gives_back_what_it_had_not_received_or_acknowledged() {
    let broker = broker(BrokerConfig::default()).await;
    let mut events = broker.events();
    let mut link = broker.link(Principal::new("a")).await.unwrap();
    link.sender().subscribe("auto", "/queue/auto", AckMode::Auto).await.unwrap();
    link.sender().subscribe("client", "/queue/client", AckMode::Client).await.unwrap();
    for body in ["1", "2"] {
        for queue in ["auto", "client"] {
            link.sender().send(frame(&format!("SEND destination:/queue/{queue} | {body}"))).await.unwrap();
        }
    }
    assert_eq!(soon(link.receive()).await.unwrap().header("subscription"), Some("auto"));
    assert_eq!(soon(link.receive()).await.unwrap().header("subscription"), Some("client"));
    let sender = link.sender().clone();
    drop(link);
    ending_of(&mut events, "a").await;
    assert_eq!(sender.send(frame("SEND destination:/queue/auto | late")).await, Err(LinkError::Closed));
    let ready: Vec<usize> = broker.queues().await.unwrap().iter().map(|queue| queue.ready).collect();
    assert_eq!(ready, [1, 2]);
}

#[tokio::test]
async fn the_gatekeeper_can_be_replaced() {
    let broker = broker(BrokerConfig::default()).await;
    let mut guest = Client::login(&broker, "g1").await;
    let other = AccessRules::default().with_login(Principal::new("new"), Secret::of("new"));
    broker.set_access(Arc::new(other)).await.unwrap();
    Client::login(&broker, "new").await;
    guest.say("SEND destination:/queue/vocable.out.g1 | x").await;
    assert!(guest.hear().await.starts_with("ERROR message:access denied"));
}

#[tokio::test]
async fn a_broker_that_has_ended_says_so() {
    let broker = broker(BrokerConfig::default()).await;
    let link = broker.link(Principal::new("a")).await.unwrap();
    let sender = link.sender().clone();
    broker.shutdown(std::time::Duration::from_secs(1)).await;
    assert_eq!(sender.unsubscribe("1").await, Err(LinkError::Closed));
    assert_eq!(BrokerStopped.to_string(), "the broker has been shut down");
}
