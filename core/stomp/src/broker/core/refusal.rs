//! Why the broker does not do what a frame asks for, and the `ERROR` that says so.

use crate::broker::access::Action;
use crate::broker::destination::{Destination, DestinationError, excerpt};
use crate::broker::event::Ending;
use crate::frame::{Command, Frame, Version};
use crate::heartbeat::HeartBeatError;
use std::time::Duration;
use thiserror::Error;

/// Why a frame was refused. Over a socket it ends the connection, as STOMP demands.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Refusal {
    /// The gatekeeper said no. This is what the client is told; the log says more.
    #[error("{0}")]
    Access(String),
    /// `SUBSCRIBE` with an `ack` that STOMP does not know.
    #[error("ack mode {:?} is none of auto, client, client-individual", excerpt(.0))]
    AckMode(String),
    /// A second `CONNECT`.
    #[error("{0} on a connection that is logged in already")]
    AlreadyConnected(Command),
    /// The principal may not do that.
    #[error("{login} may not {action} {:?}", excerpt(.destination))]
    Denied { login: String, action: Action, destination: String },
    /// A destination that is none.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The login is in use by another connection.
    #[error("login {0:?} is in use by another connection, which stays; log out there first")]
    Duplicate(String),
    /// The name is taken on this connection.
    #[error("{what} {:?} exists already on this connection", excerpt(.name))]
    Exists {
        /// `subscription` or `transaction`.
        what: &'static str,
        name: String,
    },
    /// The message does not fit into the queue.
    #[error("{destination} is full: it holds {held} bytes, {more} more exceed the limit of {limit}")]
    Full { destination: Destination, held: usize, more: usize, limit: usize },
    /// The queue stayed full for as long as the broker is ready to wait.
    #[error("{destination} has been full for {after:?}: nobody reads it fast enough")]
    FullForTooLong { destination: Destination, after: Duration },
    /// A header without a name, or with a NUL, that no version can write.
    #[error("header {:?} cannot be written in any version of STOMP", excerpt(.0))]
    Header(String),
    /// A `heart-beat` that is not two numbers.
    #[error(transparent)]
    HeartBeat(#[from] HeartBeatError),
    /// Bytes that are no frame.
    #[error("{0}")]
    Malformed(String),
    /// A header that the command has to have.
    #[error("{command} without the header {header:?}")]
    Missing { command: Command, header: &'static str },
    /// A command that clients do not send.
    #[error("{0} is a command of the server")]
    NotForServer(Command),
    /// A command that the agreed version does not have.
    #[error("{command} is not in STOMP {version}")]
    NotInVersion { command: Command, version: Version },
    /// A frame before `CONNECT`.
    #[error("{0} before CONNECT")]
    NotLoggedIn(Command),
    /// Something that is not as the login by a proof demands it.
    #[error("{0}")]
    Proof(&'static str),
    /// A limit is reached.
    #[error("too many {what}: the limit is {limit}")]
    TooMany { what: &'static str, limit: usize },
    /// A name that nothing has on this connection.
    #[error("no {what} {:?} on this connection", excerpt(.name))]
    Unknown {
        /// `message`, `subscription` or `transaction`.
        what: &'static str,
        name: String,
    },
    /// No version in common.
    #[error("no common version: accept-version is {:?}, the broker speaks {}", excerpt(.0), Version::ACCEPTED)]
    Version(String),
}

impl Refusal {
    /// The short text of the `message` header. It has no character that any version would have to escape, since
    /// the version of the receiver may not be known.
    fn title(&self) -> &str {
        match self {
            // Many clients show nothing but the title.
            Self::Access(told) if !told.contains(['\n', '\r', ':', '\\', '\0']) => told,
            Self::Access(_) => "login refused",
            Self::Denied { .. } => "access denied",
            Self::Duplicate(_) => "login in use",
            Self::Full { .. } | Self::FullForTooLong { .. } => "queue full",
            Self::Malformed(_) => "malformed frame",
            Self::TooMany { .. } => "limit exceeded",
            Self::Version(_) => "unsupported version",
            _ => "frame refused",
        }
    }

    /// What it makes of the connection.
    pub(super) fn ending(&self) -> Ending {
        match self {
            Self::Access(_) | Self::Denied { .. } | Self::Duplicate(_) | Self::Full { .. } => {
                Ending::Refused(self.to_string())
            }
            Self::FullForTooLong { .. } | Self::TooMany { .. } => Ending::Refused(self.to_string()),
            _ => Ending::Protocol(self.to_string()),
        }
    }

    /// The `ERROR` frame; `receipt` is that of the frame it answers.
    pub(in crate::broker) fn frame(&self, receipt: Option<String>) -> Frame {
        let mut frame = error_frame(self.title(), &self.to_string());
        if let Self::Version(_) = self {
            frame = frame.with("version", Version::ACCEPTED);
        }
        match receipt {
            Some(receipt) => frame.with("receipt-id", receipt),
            None => frame,
        }
    }
}

/// An `ERROR` frame: a short title, and the whole story as its body.
pub(super) fn error_frame(title: &str, story: &str) -> Frame {
    let frame = Frame::new(Command::Error).with("message", title).with("content-type", "text/plain");
    frame.with_body(format!("{story}\n"))
}
