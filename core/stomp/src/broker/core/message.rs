//! A message inside the broker, and the `MESSAGE` frame a subscriber gets of it.

use crate::broker::destination::Destination;
use crate::frame::{Command, DELIVERIES, Frame, Version};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;

/// Headers that the broker sets or obeys: whatever a client sends by these names goes no further.
const RESERVED: [&str; 11] = [
    "ack",
    "content-length",
    "destination",
    "from",
    "message-id",
    "omitted-headers",
    "receipt",
    "redelivered",
    "subscription",
    "transaction",
    DELIVERIES,
];

/// What a `SEND` asks to be published.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) destination: Destination,
    /// The sender's own headers, in their order.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// Bytes that it is counted as.
    pub(super) weight: usize,
}

impl Publication {
    pub(super) fn new(destination: Destination, mut frame: Frame) -> Self {
        frame.headers.retain(|(name, _)| !RESERVED.contains(&name.as_str()));
        let weight = frame.weight() + size_of::<Message>();
        Self { destination, headers: frame.headers, body: frame.body, weight }
    }
}

/// A message on its way. It is the same for all who get it.
#[derive(Debug)]
pub(super) struct Message {
    /// Its place in the order of everything published.
    pub(super) sequence: u64,
    /// Who sent it.
    pub(super) from: Arc<str>,
    /// When it is of no more use, if ever.
    pub(super) expires: Option<Instant>,
    pub(super) publication: Publication,
}

/// What of a `MESSAGE` frame differs from subscriber to subscriber.
pub(super) struct Address<'a> {
    pub(super) version: Version,
    /// The broker's own name, the first half of every `message-id`.
    pub(super) instance: &'a str,
    /// The subscription's id; absent where 1.0 allows it.
    pub(super) subscription: Option<&'a str>,
    /// What 1.2 acknowledges by, if the subscription acknowledges.
    pub(super) ack: Option<String>,
    /// How often it was given to somebody before.
    pub(super) deliveries: u32,
}

impl Message {
    /// The frame for one subscriber.
    pub(super) fn frame(&self, address: Address<'_>) -> Frame {
        let Publication { destination, headers, body, .. } = &self.publication;
        let mut frame = Frame {
            command: Command::Message,
            headers: Vec::with_capacity(headers.len() + 7),
            body: body.clone(),
        };
        let mut add = |name: &str, value: String| frame.headers.push((name.to_owned(), value));
        if let Some(subscription) = address.subscription {
            add("subscription", subscription.to_owned());
        }
        add("message-id", message_id(address.instance, self.sequence));
        add("destination", destination.to_string());
        if let Some(ack) = address.ack {
            add("ack", ack);
        }
        add("from", self.from.to_string());
        if address.deliveries > 0 {
            add("redelivered", "true".to_owned());
            add(DELIVERIES, address.deliveries.to_string());
        }
        let (fit, unfit): (Vec<_>, Vec<_>) =
            headers.iter().partition(|header| is_expressible(header, address.version));
        if !unfit.is_empty() {
            add("omitted-headers", unfit.len().to_string());
        }
        frame.headers.extend(fit.into_iter().cloned());
        frame
    }
}

/// Whether that version can write a header. Older ones have no escapes for everything a newer sender may use; what
/// they cannot write is left out, and `omitted-headers` says how many were.
fn is_expressible((name, value): &(String, String), version: Version) -> bool {
    match version {
        Version::V1_0 => !name.contains([':', '\n', '\r']) && !value.contains(['\n', '\r']),
        Version::V1_1 => !name.contains('\r') && !value.contains('\r'),
        Version::V1_2 => true,
    }
}

/// The text of a `message-id`: unique among everything any run of the broker sends.
fn message_id(instance: &str, sequence: u64) -> String {
    format!("{instance}-{sequence}")
}

/// The sequence number in a `message-id` of this broker.
pub(super) fn sequence_of(instance: &str, message_id: &str) -> Option<u64> {
    message_id.strip_prefix(instance)?.strip_prefix('-')?.parse().ok()
}

/// A message in a queue, or given out of one.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) message: Arc<Message>,
    /// How often it was given out before: somebody may have had it.
    pub(super) deliveries: u32,
}

impl Held {
    pub(super) fn weight(&self) -> usize {
        self.message.publication.weight
    }

    pub(super) fn queue(&self) -> &Destination {
        &self.message.publication.destination
    }
}
