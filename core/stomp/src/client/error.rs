//! Why something that was asked of a client did not happen.

use crate::codec::EncodeError;
use crate::frame::{Command, Version};
use std::time::Duration;

/// Why a request to a [`Client`](super::Client) failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// The client was disconnected or dropped.
    #[error("the client has ended")]
    Closed,
    /// The message came on a connection that is gone; whether it comes again is up to the broker.
    #[error("the connection on which the message came is gone")]
    ConnectionGone,
    /// It took too long. Whether the broker got the frame is not known.
    #[error("no answer from the broker within {within:?}")]
    Deadline {
        /// The time that was given.
        within: Duration,
    },
    /// The connection was lost before the broker had confirmed. Whether it got the frame is not known.
    #[error("the connection was lost before the broker confirmed: {reason}")]
    Disconnected {
        /// Why, in words.
        reason: String,
    },
    /// The frame cannot be written, in no version or not in the one that was agreed upon.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The frame would not even fit into the empty queue.
    #[error("the frame weighs {weight} bytes, more than the limit of {limit} that may wait to be sent")]
    FrameTooLarge {
        /// What it weighs, in bytes.
        weight: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The message is one of a subscription with [`AckMode::Auto`](super::AckMode::Auto), or the broker gave nothing
    /// to acknowledge it by.
    #[error(
        "the message cannot be acknowledged: its subscription does not ask for it or it lacks the {header} header"
    )]
    NothingToAcknowledge {
        /// The header that names what to acknowledge.
        header: &'static str,
    },
    /// Only the client itself sends that, or only a broker does.
    #[error("{command} cannot be sent like this: only SEND, BEGIN, COMMIT and ABORT can")]
    NotToBeSent {
        /// The frame's command.
        command: Command,
    },
    /// There is no such frame in that version.
    #[error("STOMP {version}, which the broker speaks, has no {command}")]
    NotInVersion {
        /// The frame's command.
        command: Command,
        /// The negotiated version.
        version: Version,
    },
    /// As much waits to be sent as may.
    #[error("more than {limit} bytes wait to be sent")]
    QueueFull {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The broker answered the frame with `ERROR`.
    #[error("the broker refused: {message}")]
    Refused {
        /// What it said, shortened.
        message: String,
    },
}
