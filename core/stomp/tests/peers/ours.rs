//! The embedded broker, as the peers find it: one login, `g1`, which may do everything.

use super::kit::soon;
use std::sync::Arc;
use tokio::net::TcpListener;
use vocable_stomp::Version;
use vocable_stomp::broker::{
    AccessRules, Action, Broker, BrokerConfig, BrokerEvent, Events, Principal, Secret,
};

pub(super) const PASSCODE: &str = "s3cret";

pub(super) struct Ours {
    broker: Broker,
    events: Events,
}

impl Ours {
    pub(super) async fn start(config: BrokerConfig) -> Self {
        let mut access = AccessRules::default().with_login(Principal::new("g1"), Secret::of(PASSCODE));
        for action in [Action::Read, Action::Write] {
            access = access.allow("g1", action, "/queue/>").unwrap().allow("g1", action, "/topic/>").unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let broker = Broker::start(config, Arc::new(access), vec![listener]).unwrap();
        let events = broker.events();
        Self { broker, events }
    }

    pub(super) fn port(&self) -> String {
        self.broker.local_addrs()[0].port().to_string()
    }

    /// The next visit is one in that version and ends in good manners.
    pub(super) async fn was_visited_in(&mut self, wanted: Version) {
        match soon(self.events.next()).await.unwrap() {
            BrokerEvent::LoggedIn { version, .. } => assert_eq!(version, wanted),
            other => panic!("{other:?}"),
        }
        match soon(self.events.next()).await.unwrap() {
            BrokerEvent::LoggedOut { reason, .. } => assert_eq!(reason.to_string(), "said DISCONNECT"),
            other => panic!("{other:?}"),
        }
    }

    /// The next visitor is not let in.
    pub(super) async fn has_refused(&mut self) -> String {
        match soon(self.events.next()).await.unwrap() {
            BrokerEvent::Refused { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    /// Everything was acknowledged.
    pub(super) async fn is_empty(&self) {
        let queues = soon(self.broker.queues()).await.unwrap();
        assert!(queues.iter().all(|queue| queue.bytes == 0), "{queues:?}");
    }
}
