//! What the broker tells its owner: comings and goings, refusals, losses. And what it shows when asked.

use super::access::Action;
use super::destination::{Destination, excerpt};
use crate::frame::Version;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One connection, never used again after it is gone.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnectionId(pub(super) u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Something that happened. `peer` is absent for connections inside the process.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are what their names say")]
pub enum BrokerEvent {
    /// Somebody asked for what it may not have; its connection is closed.
    Denied { login: Arc<str>, action: Action, destination: String },
    /// Messages for topics were on their way to a connection when it ended. (Those of queues went back.)
    Dropped { login: Arc<str>, peer: Option<SocketAddr>, messages: usize },
    /// A second connection came with a login that is in use; it was refused and the first one stays.
    Duplicate {
        login: Arc<str>,
        /// Where the refused one came from.
        peer: Option<SocketAddr>,
        /// Where the one that stays came from.
        holder: Option<SocketAddr>,
    },
    /// Messages waited in a queue longer than they may, and are gone.
    Expired { destination: Destination, messages: usize, bytes: usize },
    /// A message was refused because its queue is full.
    Full { login: Arc<str>, destination: Destination },
    /// Somebody came in.
    LoggedIn {
        connection: ConnectionId,
        login: Arc<str>,
        peer: Option<SocketAddr>,
        version: Version,
        /// Headers of its `CONNECT`, without the passcode.
        headers: Vec<(String, String)>,
    },
    /// Somebody who was in is gone.
    LoggedOut { connection: ConnectionId, login: Arc<str>, peer: Option<SocketAddr>, reason: Ending },
    /// The receiver of events was too slow and missed some. Whatever it keeps book of has to be asked for anew.
    Missed { events: u64 },
    /// A connection ended before anybody was let in.
    Refused {
        /// The login it gave, if it came to that.
        login: Option<String>,
        peer: Option<SocketAddr>,
        /// Why, in words for the log.
        reason: String,
    },
}

impl BrokerEvent {
    /// Writes it into the log: what an operator has to look after as a warning.
    pub(super) fn log(&self) {
        match self {
            Self::Denied { login, action, destination } => {
                tracing::warn!(guest = %login, %action, ?destination, "access denied");
            }
            Self::Dropped { login, messages, .. } => {
                tracing::warn!(guest = %login, messages, "messages of topics dropped");
            }
            Self::Duplicate { login, peer, holder } => {
                tracing::warn!(guest = %login, ?peer, ?holder, "second connection with the same login refused");
            }
            Self::Expired { destination, messages, bytes } => {
                tracing::warn!(%destination, messages, bytes, "messages expired");
            }
            Self::Full { login, destination } => {
                tracing::warn!(guest = %login, %destination, "message refused, the queue is full");
            }
            Self::LoggedIn { login, peer, version, .. } => {
                tracing::info!(guest = %login, ?peer, %version, "logged in");
            }
            Self::LoggedOut { login, peer, reason, .. } => {
                tracing::info!(guest = %login, ?peer, %reason, "logged out");
            }
            // Of no interest to the log: it is about a receiver of events.
            Self::Missed { .. } => {}
            Self::Refused { login, peer, reason } => {
                let login = login.as_deref().map(excerpt);
                tracing::warn!(guest = login, ?peer, %reason, "connection refused");
            }
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ending {
    /// The client closed it without `DISCONNECT`.
    ClosedByPeer,
    /// The client said `DISCONNECT`.
    Disconnected,
    /// The broker's owner ended it, with the reason it gave.
    Host(String),
    /// The client did not log in in time.
    LoginDeadline(Duration),
    /// The system reported an error.
    Lost(String),
    /// The client broke the rules of STOMP.
    Protocol(String),
    /// The client asked for what it may not have, or for more than there is.
    Refused(String),
    /// The client promised heart-beats and was silent for so long.
    Silent(Duration),
    /// The broker shuts down.
    Shutdown,
    /// The client did not read what it was sent, and that many bytes waited for it.
    SlowConsumer(usize),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClosedByPeer => f.write_str("connection closed by peer"),
            Self::Disconnected => f.write_str("said DISCONNECT"),
            Self::Host(reason) => write!(f, "closed by host: {reason}"),
            Self::LoginDeadline(after) => write!(f, "no login within {after:?}"),
            Self::Lost(error) => write!(f, "connection lost: {error}"),
            Self::Protocol(error) => write!(f, "protocol error: {error}"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
            Self::Silent(time) => write!(f, "no heart-beat for {time:?}"),
            Self::Shutdown => f.write_str("the broker shuts down"),
            Self::SlowConsumer(waiting) => write!(f, "slow consumer: {waiting} bytes wait to be read by it"),
        }
    }
}

/// A connection, as of now.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Which one.
    pub connection: ConnectionId,
    /// Who.
    pub login: Arc<str>,
    /// Where it comes from; absent inside the process.
    pub peer: Option<SocketAddr>,
    /// Since when it is logged in.
    pub since: Instant,
    /// When it last sent anything, heart-beats included; absent inside the process.
    pub last_byte: Option<Instant>,
    /// The version agreed upon.
    pub version: Version,
    /// Bytes that wait to be written to it.
    pub outgoing_bytes: usize,
    /// Messages delivered to it that it has not acknowledged.
    pub unacknowledged: usize,
    /// What it subscribes to.
    pub subscriptions: Vec<String>,
    /// Whether it is not read from at the moment, because of a full queue.
    pub paused: bool,
    /// Frames it has sent.
    pub frames_in: u64,
    /// Frames it was sent.
    pub frames_out: u64,
}

/// A queue, as of now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QueueInfo {
    /// Its name.
    pub destination: Destination,
    /// Messages that wait for a consumer.
    pub ready: usize,
    /// Messages delivered and not acknowledged.
    pub unacknowledged: usize,
    /// Bytes of both.
    pub bytes: usize,
    /// Subscriptions that it goes to.
    pub consumers: usize,
}
