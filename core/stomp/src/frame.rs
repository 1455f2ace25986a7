//! What STOMP carries: a command, headers in the order they were sent, and a body.
//!
//! Frames know nothing of bytes on the wire (see [`crate::codec`]), of versions or of connections.

use bytes::Bytes;
use std::fmt;

/// Every command of STOMP 1.0, 1.1 and 1.2.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
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
    /// All of them, for tests and for whoever has to tell them apart by name.
    pub const ALL: [Self; 15] = [
        Self::Abort,
        Self::Ack,
        Self::Begin,
        Self::Commit,
        Self::Connect,
        Self::Connected,
        Self::Disconnect,
        Self::Error,
        Self::Message,
        Self::Nack,
        Self::Receipt,
        Self::Send,
        Self::Stomp,
        Self::Subscribe,
        Self::Unsubscribe,
    ];

    /// The command as it is written: upper case, and only so (commands are case-sensitive).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Abort => "ABORT",
            Self::Ack => "ACK",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Connect => "CONNECT",
            Self::Connected => "CONNECTED",
            Self::Disconnect => "DISCONNECT",
            Self::Error => "ERROR",
            Self::Message => "MESSAGE",
            Self::Nack => "NACK",
            Self::Receipt => "RECEIPT",
            Self::Send => "SEND",
            Self::Stomp => "STOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
        }
    }

    /// The command of that name, if STOMP has one.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.as_str().as_bytes() == name)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One frame, its headers unescaped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// What it asks for or tells.
    pub command: Command,
    /// Names and values in the order they came. Of repeated names the first counts (1.2, "Repeated Header Entries").
    pub headers: Vec<(String, String)>,
    /// Any octets; cheap to clone, so that one message can go to many subscribers.
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

    /// Octets that the frame keeps in memory, for budgets: headers and body with a little for each header's own bookkeeping.
    pub fn weight(&self) -> usize {
        const PER_HEADER: usize = 2 * size_of::<String>();
        let headers: usize = self.headers.iter().map(|(n, v)| n.len() + v.len() + PER_HEADER).sum();
        headers + self.body.len()
    }
}

/// The versions of the protocol, oldest first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Version {
    /// 1.0: no escaping, no heart-beats, no `NACK`.
    V1_0,
    /// 1.1: escapes `\n`, `\c`, `\\`.
    V1_1,
    /// 1.2: escapes `\r` as well, allows CRLF line ends, acknowledges by the `ack` header.
    V1_2,
}

impl Version {
    /// As written in `accept-version` and `version`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
