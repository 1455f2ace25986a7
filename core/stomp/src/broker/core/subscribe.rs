//! `SUBSCRIBE` and `UNSUBSCRIBE`, and the question who may.

use super::credit::Credit;
use super::queue::SubscriptionKey;
use super::session::{Backlog, Subscription};
use super::{Core, Refusal, required};
use crate::ack::AckMode;
use crate::broker::access::{Access, Action, Principal};
use crate::broker::destination::{Kind, Pattern};
use crate::broker::event::{BrokerEvent, ConnectionId};
use crate::frame::{Frame, Version};
use std::collections::BTreeMap;

impl Core {
    pub(super) fn subscribe(&mut self, from: ConnectionId, frame: &Frame) -> Result<(), Refusal> {
        let subscription = self.requested(from, frame)?;
        let pattern = subscription.pattern.clone();
        self.check_access(from, Action::Read, &pattern.to_string(), |access, who| match pattern.exact() {
            Some(destination) => access.may(who, Action::Read, &destination),
            None => access.may_read_all(who, &pattern),
        })?;
        let queue = pattern.exact().filter(|exact| exact.kind() == Kind::Queue);
        self.check_queues(usize::from(queue.is_some_and(|queue| !self.queues.contains_key(&queue))))?;
        let Some(session) = self.sessions.get_mut(&from) else { return Ok(()) };
        let number = session.number();
        session.subscriptions.insert(number, subscription);
        self.attach(SubscriptionKey { connection: from, subscription: number }, &pattern);
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, from: ConnectionId, frame: &Frame) -> Result<(), Refusal> {
        let Some(session) = self.sessions.get_mut(&from) else { return Ok(()) };
        let (id, _) = name_of(frame, session.version)?;
        let number = session.subscription(id).ok_or_else(|| unknown(id))?;
        if let Some(subscription) = session.subscriptions.remove(&number) {
            self.release(SubscriptionKey { connection: from, subscription: number }, &subscription);
            self.give_back(subscription, false);
        }
        Ok(())
    }

    /// The subscription that a frame asks for, if it may be made as far as the connection is concerned.
    fn requested(&self, from: ConnectionId, frame: &Frame) -> Result<Subscription, Refusal> {
        let pattern = Pattern::parse(required(frame, "destination")?)?;
        let session = self.sessions.get(&from);
        let (id, is_named) = name_of(frame, session.map_or(Version::V1_2, |session| session.version))?;
        if session.is_some_and(|session| session.subscription(id).is_some()) {
            return Err(Refusal::Exists { what: "subscription", name: id.to_owned() });
        }
        let limit = self.limits.subscriptions;
        if session.is_some_and(|session| session.subscriptions.len() >= limit) {
            return Err(Refusal::TooMany { what: "subscriptions", limit });
        }
        let ack = ack_mode(frame.header("ack"))?;
        Ok(Subscription {
            id: id.to_owned(),
            is_named,
            credit: Credit::new(&self.limits, ack, pattern.is_wild()),
            pattern,
            ack,
            deliveries: BTreeMap::new(),
            backlog: Backlog::default(),
        })
    }

    /// Routes to a new subscription.
    fn attach(&mut self, key: SubscriptionKey, pattern: &Pattern) {
        match (pattern.exact(), pattern.kind()) {
            (Some(topic), Kind::Topic) => self.topics.entry(topic).or_default().push(key),
            (Some(queue), Kind::Queue) => {
                self.queue(&queue).add_consumer(key, true);
                self.work.queues.push_back(queue);
            }
            (None, kind) => {
                self.wild.push((pattern.clone(), key));
                if kind == Kind::Queue {
                    self.attach_to_all(key, pattern);
                }
            }
        }
    }

    /// Routes from all queues of a set that exist. They all wait for the subscription: none comes before its turn.
    fn attach_to_all(&mut self, key: SubscriptionKey, pattern: &Pattern) {
        let session = self.sessions.get_mut(&key.connection);
        let Some(subscription) = session.and_then(|session| session.subscriptions.get_mut(&key.subscription))
        else {
            return;
        };
        for (name, queue) in self.queues.iter_mut().filter(|(name, _)| pattern.matches(name)) {
            queue.add_consumer(key, false);
            if queue.ready() > 0 {
                subscription.backlog.push(name);
            }
        }
        self.work.consumers.push(key.connection);
    }

    /// Asks the gatekeeper; a no is an event.
    pub(super) fn check_access(
        &mut self,
        from: ConnectionId,
        action: Action,
        destination: &str,
        question: impl FnOnce(&dyn Access, &Principal) -> bool,
    ) -> Result<(), Refusal> {
        let Some(session) = self.sessions.get(&from) else { return Ok(()) };
        if question(&*self.access, &session.principal) {
            return Ok(());
        }
        let login = session.principal.login.clone();
        self.event(BrokerEvent::Denied { login: login.clone(), action, destination: destination.to_owned() });
        Err(Refusal::Denied { login: login.to_string(), action, destination: destination.to_owned() })
    }
}

/// What a subscription is called, and whether by an `id`. Only 1.0 allows none: then by the destination.
fn name_of(frame: &Frame, version: Version) -> Result<(&str, bool), Refusal> {
    match frame.header("id") {
        Some(id) => Ok((id, true)),
        None if version == Version::V1_0 => Ok((required(frame, "destination")?, false)),
        None => Err(Refusal::Missing { command: frame.command, header: "id" }),
    }
}

fn ack_mode(ack: Option<&str>) -> Result<AckMode, Refusal> {
    match ack {
        None => Ok(AckMode::Auto),
        Some(name) => name.parse().map_err(|_| Refusal::AckMode(name.to_owned())),
    }
}

fn unknown(id: &str) -> Refusal {
    Refusal::Unknown { what: "subscription", name: id.to_owned() }
}
