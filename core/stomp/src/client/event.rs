//! What a client tells whoever started it, and what it is to subscribe to.

use crate::ack::AckMode;
use crate::client::{ClientError, ConnectionId};
use crate::codec::EncodeError;
use crate::frame::{Command, Frame, Version};
use std::time::Duration;

/// Something that happened on the connection.
#[derive(Clone, Debug)]
pub enum Event {
    /// The broker sent what makes no sense; the connection was closed.
    BadFrame {
        /// What was wrong.
        problem: String,
        /// How long until the next attempt.
        retry_in: Duration,
    },
    /// The broker accepted us; the subscriptions are on their way.
    Connected {
        /// What is spoken from now on.
        version: Version,
        /// Which broker it is, if it says so.
        server: Option<String>,
        /// The most bytes that the body of a frame may have, if the broker says so. It ends the connection of whoever
        /// sends more.
        max_frame: Option<usize>,
        /// All headers of `CONNECTED`.
        headers: Vec<(String, String)>,
    },
    /// There is no connection (any more).
    Disconnected {
        /// Why, in words.
        reason: String,
        /// How long until the next attempt.
        retry_in: Duration,
    },
    /// A message for one of the subscriptions.
    Message(Delivery),
    /// A frame that was queued cannot be written in the version that this broker speaks, and is given back.
    NotSent {
        /// What was to be sent.
        frame: Frame,
        /// Why it cannot be.
        error: EncodeError,
    },
    /// The broker answered `CONNECT` with `ERROR`: wrong credentials, most often.
    Refused {
        /// What it said, shortened.
        message: String,
        /// The whole answer.
        frame: Frame,
        /// How long until the next attempt.
        retry_in: Duration,
    },
}

impl Event {
    /// Bytes that it keeps in memory, more or less.
    pub(super) fn weight(&self) -> usize {
        let held = match self {
            Self::Message(delivery) => delivery.frame.weight(),
            Self::NotSent { frame, .. } | Self::Refused { frame, .. } => frame.weight(),
            Self::Connected { headers, .. } => headers.iter().map(|(n, v)| n.len() + v.len()).sum(),
            Self::BadFrame { problem: text, .. } | Self::Disconnected { reason: text, .. } => text.len(),
        };
        held + size_of::<Self>()
    }
}

/// A message and the connection on which it came, without which it cannot be acknowledged.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The `MESSAGE` frame.
    pub frame: Frame,
    pub(super) connection: ConnectionId,
    pub(super) version: Version,
    pub(super) ack: AckMode,
}

impl Delivery {
    /// `ACK` or `NACK` for the message, by the rules of the version in which it came: 1.2 names the message's `ack`
    /// header, 1.1 subscription and `message-id`, 1.0 `message-id` alone.
    pub(super) fn answer(&self, command: Command) -> Result<Frame, ClientError> {
        if self.version == Version::V1_0 && command == Command::Nack {
            return Err(ClientError::NotInVersion { command, version: self.version });
        }
        let names: &[(&'static str, &str)] = match self.version {
            Version::V1_0 => &[("message-id", "message-id")],
            Version::V1_1 => &[("subscription", "subscription"), ("message-id", "message-id")],
            Version::V1_2 => &[("ack", "id")],
        };
        let mut frame = Frame::new(command);
        for &(header, name) in names {
            let value = self.frame.header(header).filter(|_| self.ack != AckMode::Auto);
            frame = frame.with(name, value.ok_or(ClientError::NothingToAcknowledge { header })?);
        }
        Ok(frame)
    }
}

/// What a client wants to hear, on every connection again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscription {
    /// The name under which messages come; unique within the client.
    pub id: String,
    /// Where they come from.
    pub destination: String,
    /// How they are acknowledged.
    pub ack: AckMode,
    /// Further headers of `SUBSCRIBE`.
    pub headers: Vec<(String, String)>,
}

impl Subscription {
    /// A subscription without further headers.
    pub fn new(id: impl Into<String>, destination: impl Into<String>, ack: AckMode) -> Self {
        Self { id: id.into(), destination: destination.into(), ack, headers: Vec::new() }
    }

    pub(super) fn frame(&self) -> Frame {
        let mut frame = Frame::new(Command::Subscribe)
            .with("id", &*self.id)
            .with("destination", &*self.destination)
            .with("ack", self.ack.to_string());
        frame.headers.extend(self.headers.iter().cloned());
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(version: Version, ack: AckMode) -> Delivery {
        let frame =
            Frame::new(Command::Message).with("subscription", "s").with("message-id", "m").with("ack", "a");
        Delivery { frame, connection: 1, version, ack }
    }

    #[test]
    fn each_version_acknowledges_by_other_headers() {
        for (version, headers) in [
            (Version::V1_0, vec![("message-id", "m")]),
            (Version::V1_1, vec![("subscription", "s"), ("message-id", "m")]),
            (Version::V1_2, vec![("id", "a")]),
        ] {
            let frame = delivery(version, AckMode::Client).answer(Command::Ack).unwrap();
            let given: Vec<_> = frame.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!((frame.command, given), (Command::Ack, headers), "{version}");
        }
    }

    #[test]
    fn what_cannot_be_acknowledged_is_an_error() {
        let auto = delivery(Version::V1_2, AckMode::Auto).answer(Command::Ack);
        assert_eq!(auto, Err(ClientError::NothingToAcknowledge { header: "ack" }));
        let old = delivery(Version::V1_0, AckMode::Client).answer(Command::Nack);
        assert_eq!(old, Err(ClientError::NotInVersion { command: Command::Nack, version: Version::V1_0 }));
    }
}
