//! A thousand guests.

use super::kit::{Client, soon};
use crate::broker::core::tests::bench::frame;
use crate::broker::{AccessRules, AckMode, Action, Broker, BrokerConfig, Principal, Secret};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const GUESTS: usize = 1_000;

async fn crowded_broker() -> Broker {
    let names = (0..GUESTS).map(|number| format!("guest-{number}"));
    let rules = names.fold(AccessRules::default(), |rules, name| {
        rules.with_login(Principal::new(&name), Secret::of(&name))
    });
    let rules = rules.allow("host", Action::Write, "/queue/vocable.in.>").unwrap();
    let rules = rules.allow("host", Action::Read, "/queue/vocable.out.>").unwrap();
    let rules = rules.allow("*", Action::Read, "/queue/vocable.in.{login}").unwrap();
    let rules = rules.allow("*", Action::Write, "/queue/vocable.out.{login}").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Broker::start(BrokerConfig::default(), Arc::new(rules), vec![listener]).unwrap()
}

#[tokio::test]
async fn a_thousand_guests_come_at_once_and_each_gets_its_own_command() {
    let broker = Arc::new(crowded_broker().await);
    let mut host = broker.link(Principal::new("host")).await.unwrap();
    host.sender().subscribe("out", "/queue/vocable.out.>", AckMode::ClientIndividual).await.unwrap();
    let mut guests = JoinSet::new();
    for number in 0..GUESTS {
        let broker = broker.clone();
        guests.spawn(async move {
            let mut guest = Client::login(&broker, &format!("guest-{number}")).await;
            guest.say(&format!("SUBSCRIBE id:1 destination:/queue/vocable.in.guest-{number}")).await;
            let command = guest.message().await;
            guest.say(&format!("SEND destination:/queue/vocable.out.guest-{number} | done")).await;
            assert_eq!(command.body, number.to_string());
            guest
        });
    }
    for number in 0..GUESTS {
        let command = format!("SEND destination:/queue/vocable.in.guest-{number} | {number}");
        host.sender().send(frame(&command)).await.unwrap();
    }
    let mut answered = HashSet::new();
    while answered.len() < GUESTS {
        let answer = soon(host.receive()).await.unwrap();
        assert!(answered.insert(answer.header("from").unwrap().to_owned()), "{answer:?}");
        host.sender().ack(&answer).await.unwrap();
    }
    let guests = soon(guests.join_all()).await;
    assert_eq!(broker.connections().await.unwrap().len(), GUESTS + 1);
    drop(guests);
}
