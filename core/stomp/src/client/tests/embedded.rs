//! The client against our own broker: the two must agree about everything.

use super::peer::{Started, config, send};
use crate::broker::{AccessRules, Action, Broker, BrokerConfig, Principal, Secret};
use crate::client::{AckMode, ClientConfig, ClientError, Credentials, Event, Subscription};
use crate::frame::{Command, Frame};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

const LONG: Duration = Duration::from_secs(60);

async fn broker(at: &str) -> Broker {
    let rules = ["host", "g1"].into_iter().fold(AccessRules::default(), |rules, login| {
        rules.with_login(Principal::new(login), Secret::of(login))
    });
    let rules = rules.allow("host", Action::Write, "/queue/in.>").unwrap();
    let rules = rules.allow("g1", Action::Read, "/queue/in.{login}").unwrap();
    let listener = TcpListener::bind(at).await.unwrap();
    Broker::start(BrokerConfig::default(), Arc::new(rules), vec![listener]).unwrap()
}

fn start(at: SocketAddr, login: &str, passcode: &str, subscriptions: Vec<Subscription>) -> Started {
    let config = ClientConfig {
        login: Some(login.to_owned()),
        credentials: Credentials::Passcode(passcode.to_owned()),
        heart_beat: Duration::from_secs(10),
        ..config(at.to_string())
    };
    Started::over_tcp(config, subscriptions)
}

fn command(body: &str) -> Frame {
    Frame::new(Command::Send)
        .with("destination", "/queue/in.g1")
        .with("note", "a:b\\c\r\nd")
        .with_body(body.to_owned())
}

fn mailbox() -> Vec<Subscription> {
    vec![Subscription::new("in", "/queue/in.g1", AckMode::ClientIndividual)]
}

#[tokio::test]
async fn a_command_waits_for_its_guest_and_comes_again_until_it_is_acknowledged() {
    let broker = broker("127.0.0.1:0").await;
    let at = broker.local_addrs()[0];
    let mut host = start(at, "host", "host", Vec::new());
    host.connected().await;
    host.client.send_receipted(command("RUN"), LONG).await.unwrap();

    let mut guest = start(at, "g1", "g1", mailbox());
    guest.connected().await;
    let Event::Message(delivery) = guest.event().await else { panic!("no message") };
    assert_eq!(delivery.frame.header("note"), Some("a:b\\c\r\nd"));
    assert_eq!(guest.client.disconnect(LONG).await, Ok(()));

    let mut guest = start(at, "g1", "g1", mailbox());
    guest.connected().await;
    let Event::Message(delivery) = guest.event().await else { panic!("it did not come again") };
    guest.client.ack(&delivery).await.unwrap();
    assert_eq!(guest.client.disconnect(LONG).await, Ok(()));

    host.client.send_receipted(command("NEXT"), LONG).await.unwrap();
    let mut guest = start(at, "g1", "g1", mailbox());
    guest.connected().await;
    assert_eq!(guest.message().await, "NEXT", "RUN was acknowledged");
}

#[tokio::test]
async fn a_broker_that_is_started_again_gets_its_clients_back_with_all_they_had_to_say() {
    let first = broker("127.0.0.1:0").await;
    let at = first.local_addrs()[0];
    let (mut host, mut guest) = (start(at, "host", "host", Vec::new()), start(at, "g1", "g1", mailbox()));
    host.connected().await;
    guest.connected().await;
    first.shutdown(Duration::from_secs(10)).await;
    host.disconnected().await;
    host.client.send(command("1")).await.unwrap();
    host.client.send(command("2")).await.unwrap();

    let _second = broker(&at.to_string()).await;
    let mut heard = Vec::new();
    while heard.len() < 2 {
        match guest.event().await {
            Event::Message(delivery) => heard.push(delivery.frame.body),
            Event::Connected { .. } | Event::Disconnected { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, ["1", "2"]);
}

#[tokio::test]
async fn a_wrong_passcode_and_a_forbidden_destination_are_refused_in_words() {
    let broker = broker("127.0.0.1:0").await;
    let at = broker.local_addrs()[0];
    let mut stranger = start(at, "g1", "guessed", Vec::new());
    let event = stranger.event().await;
    assert!(matches!(&event, Event::Refused { message, .. } if !message.is_empty()), "{event:?}");

    let mut guest = start(at, "g1", "g1", Vec::new());
    guest.connected().await;
    let refused = guest.client.send_receipted(send("x"), LONG).await;
    assert!(matches!(refused, Err(ClientError::Refused { .. })), "{refused:?}");
}
