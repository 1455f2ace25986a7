//! `ACK` and `NACK`: which delivery they mean, by version, and what becomes of it.
//!
//! Messages of topics and of `auto` subscriptions are not held for anybody: to acknowledge them does nothing.

use super::message::sequence_of;
use super::session::{Session, Subscription};
use super::transaction::{Settlement, Step};
use super::{Core, Refusal, required};
use crate::ack::AckMode;
use crate::broker::destination::Kind;
use crate::broker::event::ConnectionId;
use crate::frame::{Command, Frame, Version};
use std::time::Instant;

impl Core {
    pub(super) fn acknowledge(
        &mut self,
        from: ConnectionId,
        frame: &Frame,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Some(session) = self.sessions.get(&from) else { return Ok(()) };
        let (command, version) = (frame.command, session.version);
        if command == Command::Nack && version == Version::V1_0 {
            return Err(Refusal::NotInVersion { command, version });
        }
        let found = match version {
            Version::V1_0 => by_message(session, &self.instance, frame, frame.header("subscription")),
            Version::V1_1 => {
                by_message(session, &self.instance, frame, Some(required(frame, "subscription")?))
            }
            Version::V1_2 => by_ack(session, required(frame, "id")?),
        };
        let Some((subscription, delivery)) = found? else { return Ok(()) };
        let settlement = Settlement { subscription, delivery, is_accepted: command == Command::Ack };
        self.now_or_at_commit(from, frame.header("transaction"), Step::Settle(settlement), now)
    }

    /// Whether the message is still held for its subscription.
    pub(super) fn check_settlement(&self, from: ConnectionId, settlement: Settlement) -> Result<(), Refusal> {
        let session = self.sessions.get(&from);
        let subscription = session.and_then(|session| session.subscriptions.get(&settlement.subscription));
        match subscription.is_some_and(|held| held.deliveries.contains_key(&settlement.delivery)) {
            true => Ok(()),
            false => Err(unknown(&format!("{}-{}", settlement.subscription, settlement.delivery))),
        }
    }

    pub(super) fn settle_or_return(&mut self, from: ConnectionId, settlement: Settlement) {
        let Some(session) = self.sessions.get_mut(&from) else { return };
        let Some(subscription) = session.subscriptions.get_mut(&settlement.subscription) else { return };
        let covered = subscription.covered_by(settlement.delivery);
        let held: Vec<_> =
            covered.into_iter().filter_map(|delivery| subscription.take_back(delivery)).collect();
        for held in held {
            match settlement.is_accepted {
                true => self.settle_delivery(&held),
                false => self.return_delivery(held),
            }
        }
        self.work.consumers.push(from);
    }
}

/// A subscription and a delivery to it; nothing if the message is not held for anybody.
type Found = Result<Option<(u64, u64)>, Refusal>;

/// 1.2: by the `ack` header of the message, which came back as `id`.
fn by_ack(session: &Session, id: &str) -> Found {
    let (number, delivery) = id.split_once('-').ok_or_else(|| unknown(id))?;
    let number: u64 = number.parse().map_err(|_| unknown(id))?;
    let subscription = session.subscriptions.get(&number).ok_or_else(|| unknown(id))?;
    if is_not_held(subscription) {
        return Ok(None);
    }
    let delivery: u64 = delivery.parse().map_err(|_| unknown(id))?;
    match subscription.deliveries.contains_key(&delivery) {
        true => Ok(Some((number, delivery))),
        false => Err(unknown(id)),
    }
}

/// 1.1: by the subscription and the `message-id`. 1.0: the subscription may be missing.
fn by_message(session: &Session, instance: &str, frame: &Frame, id: Option<&str>) -> Found {
    let message_id = required(frame, "message-id")?;
    let sequence = sequence_of(instance, message_id).ok_or_else(|| unknown(message_id))?;
    let mut is_pointless = false;
    for (number, subscription) in &session.subscriptions {
        if id.is_some_and(|id| id != subscription.id) {
            continue;
        }
        let mut deliveries = subscription.deliveries.iter();
        if is_not_held(subscription) {
            is_pointless = true;
        } else if let Some((delivery, _)) = deliveries.find(|(_, held)| held.message.sequence == sequence) {
            return Ok(Some((*number, *delivery)));
        }
    }
    if is_pointless { Ok(None) } else { Err(unknown(message_id)) }
}

fn is_not_held(subscription: &Subscription) -> bool {
    subscription.ack == AckMode::Auto || subscription.pattern.kind() == Kind::Topic
}

fn unknown(message: &str) -> Refusal {
    Refusal::Unknown { what: "unacknowledged message", name: message.to_owned() }
}
