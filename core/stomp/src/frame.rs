//! What STOMP carries: a command, headers in the order they were sent, and a body.
//!
//! Frames know nothing of bytes on the wire (see [`crate::codec`]), of versions or of connections.

use bytes::Bytes;
use std::fmt;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// Every command of STOMP 1.0, 1.1 and 1.2. They are written in upper case, and only so.
#[derive(Clone, Copy, Debug, Display, EnumString, Eq, Hash, IntoStaticStr, PartialEq, VariantArray)]
#[strum(serialize_all = "UPPERCASE")]
pub enum Command {
    /// Client: end of a transaction that is to be forgotten.
    Abort,
    /// Client: a message was dealt with.
    Ack,
    /// Client: start of a transaction.
    Begin,
    /// Client: end of a transaction that is to take effect.
    Commit,
    /// Client: first frame of a connection.
    Connect,
    /// Server: the answer to `CONNECT`.
    Connected,
    /// Client: last frame of a connection.
    Disconnect,
    /// Server: something went wrong, and the connection ends.
    Error,
    /// Server: a message for a subscription.
    Message,
    /// Client: a message could not be dealt with. Not in 1.0.
    Nack,
    /// Server: a frame with a `receipt` header was processed.
    Receipt,
    /// Client: a message for a destination.
    Send,
    /// Client: the same as `CONNECT`, since 1.1.
    Stomp,
    /// Client: wants the messages of a destination.
    Subscribe,
    /// Client: wants them no longer.
    Unsubscribe,
}

impl Command {
    /// Whether it may carry a body (1.1 and 1.2, "Body"): in the others it is an error.
    pub const fn may_have_body(self) -> bool {
        matches!(self, Self::Error | Self::Message | Self::Send)
    }

    /// Whether it is of the opening, when no version has been agreed upon yet: it looks the same in all of them,
    /// without any escaping (1.1 and 1.2, "Value Encoding").
    pub const fn precedes_version(self) -> bool {
        matches!(self, Self::Connect | Self::Connected | Self::Stomp)
    }

    /// The command of that name, if STOMP has one.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        str::from_utf8(name).ok()?.parse().ok()
    }
}

/// The header of `MESSAGE` that counts how often the message was given out before. Absent if it was not.
pub const DELIVERIES: &str = "vocable-deliveries";

/// The header of `CONNECTED` by which our broker says how many bytes the body of a frame may have.
pub(crate) const MAX_FRAME: &str = "vocable-max-frame";

/// One frame, its headers unescaped. `Debug` hides the passcode and shortens the body.
#[derive(Clone, Eq, PartialEq)]
pub struct Frame {
    /// What it asks for or tells.
    pub command: Command,
    /// Names and values in the order they came. Of repeated names the first counts (1.2, "Repeated Header Entries").
    pub headers: Vec<(String, String)>,
    /// Any bytes; cheap to clone, so that one message can go to many subscribers. How many they are is known, so
    /// that a frame needs no `content-length` among its headers: the codec adds and removes it.
    pub body: Bytes,
}

impl Frame {
    /// A frame without headers or body.
    pub const fn new(command: Command) -> Self {
        Self { command, headers: Vec::new(), body: Bytes::new() }
    }

    /// Adds a header after those already there.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// How often our broker had given this message of a queue to somebody before, as far as it says. It counts what it
    /// sent, not what was read: a consumer that fails over one message makes all count that were on their way to it.
    pub fn earlier_deliveries(&self) -> u32 {
        self.header(DELIVERIES).and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// Bytes that the frame keeps in memory, for budgets: headers and body with a little for each header's own bookkeeping.
    pub fn weight(&self) -> usize {
        const PER_HEADER: usize = 2 * size_of::<String>();
        let headers: usize = self.headers.iter().map(|(n, v)| n.len() + v.len() + PER_HEADER).sum();
        headers + self.body.len()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 80;
        let shown = |(name, value): &(String, String)| match name.as_str() {
            "passcode" => format!("{name}:…"),
            _ => format!("{name}:{value}"),
        };
        let headers: Vec<String> = self.headers.iter().map(shown).collect();
        let start = self.body.slice(..self.body.len().min(SHOWN));
        f.debug_struct("Frame")
            .field("command", &self.command)
            .field("headers", &headers)
            .field("body", &start)
            .field("bytes", &self.body.len())
            .finish()
    }
}

/// The versions of the protocol, oldest first.
#[derive(
    Clone, Copy, Debug, Display, EnumString, Eq, Hash, IntoStaticStr, Ord, PartialEq, PartialOrd, VariantArray,
)]
#[strum(parse_err_ty = UnknownVersion, parse_err_fn = unknown_version)]
pub enum Version {
    /// 1.0: no escaping, no heart-beats, no `NACK`.
    #[strum(serialize = "1.0")]
    V1_0,
    /// 1.1: escapes `\n`, `\c`, `\\`.
    #[strum(serialize = "1.1")]
    V1_1,
    /// 1.2: escapes `\r` as well, allows CRLF line ends, acknowledges by the `ack` header.
    #[strum(serialize = "1.2")]
    V1_2,
}

impl Version {
    /// What `accept-version` says of a peer that speaks all of them.
    pub const ACCEPTED: &'static str = "1.0,1.1,1.2";

    /// The newest version that the peer's `accept-version` names and we speak, if there is any. A peer that sends
    /// no such header speaks 1.0 (1.2, "Protocol Negotiation").
    pub fn newest_of(accept_version: Option<&str>) -> Option<Self> {
        let named = accept_version.unwrap_or(Self::V1_0.into());
        named.split(',').filter_map(|name| name.trim().parse().ok()).max()
    }
}

/// The name of a version that is not one of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a version of STOMP that we speak: {}", Version::ACCEPTED)]
pub struct UnknownVersion;

fn unknown_version(_: &str) -> UnknownVersion {
    UnknownVersion
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_wins() {
        for (accept_version, newest) in [
            (None, Some(Version::V1_0)),
            (Some("1.0"), Some(Version::V1_0)),
            (Some("1.1,1.0"), Some(Version::V1_1)),
            (Some("1.0, 1.2 ,2.0"), Some(Version::V1_2)),
            (Some("2.0,1.10"), None),
            (Some(""), None),
        ] {
            assert_eq!(Version::newest_of(accept_version), newest, "{accept_version:?}");
        }
        assert_eq!(Version::newest_of(Some(Version::ACCEPTED)), Some(Version::V1_2));
    }

    #[test]
    fn every_command_is_found_by_its_name_and_by_no_other() {
        for &command in Command::VARIANTS {
            assert_eq!(Command::from_name(command.to_string().as_bytes()), Some(command));
            assert_eq!(Command::from_name(command.to_string().to_lowercase().as_bytes()), None);
        }
    }

    #[test]
    fn the_first_of_repeated_headers_counts() {
        let frame = Frame::new(Command::Message).with("a", "first").with("a", "second");
        assert_eq!(frame.header("a"), Some("first"));
        assert_eq!(frame.header("b"), None);
    }

    #[test]
    fn earlier_deliveries_are_those_that_the_broker_counted() {
        let message = Frame::new(Command::Message);
        assert_eq!(message.earlier_deliveries(), 0);
        assert_eq!(message.clone().with(DELIVERIES, "3").earlier_deliveries(), 3);
        assert_eq!(message.with(DELIVERIES, "-1").earlier_deliveries(), 0);
    }

    #[test]
    fn what_is_logged_has_no_passcode_and_little_body() {
        let frame = Frame::new(Command::Connect).with("login", "g1").with("passcode", "secret");
        let text = format!("{:?}", frame.with_body(vec![b'x'; 1000]));
        assert!(text.contains("login:g1") && !text.contains("secret"), "{text}");
        assert!(text.len() < 300 && text.contains("1000"), "{text}");
    }
}
