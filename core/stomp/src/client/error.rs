//! Why something that was asked of a client did not happen.

use crate::codec::EncodeError;
use crate::frame::{Command, Version};
use std::time::Duration;

/// Why a request to a [`Client`](super::Client) failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum ClientError {
    /// The client was disconnected or dropped.
    #[error("the client has ended")]
    Closed,
    /// The message came on a connection that is gone; whether it comes again is up to the broker.
    #[error("the connection on which the message came is gone")]
    ConnectionGone,
    /// It took too long. Whether the broker got the frame is not known.
    #[error("no answer from the broker within {within:?}")]
    Deadline { within: Duration },
    /// The connection was lost before the broker had confirmed. Whether it got the frame is not known.
    #[error("the connection was lost before the broker confirmed: {reason}")]
    Disconnected { reason: String },
    /// The frame cannot be written, in no version or not in the one that was agreed upon.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The frame would not even fit into the empty queue.
    #[error("the frame weighs {weight} bytes, more than the limit of {limit} that may wait to be sent")]
    FrameTooLarge { weight: usize, limit: usize },
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
    NotToBeSent { command: Command },
    /// There is no such frame in that version.
    #[error("STOMP {version}, which the broker speaks, has no {command}")]
    NotInVersion { command: Command, version: Version },
    /// As much waits to be sent as may.
    #[error("more than {limit} bytes wait to be sent")]
    QueueFull { limit: usize },
    /// The broker answered the frame with `ERROR`.
    #[error("the broker refused: {message}")]
    Refused { message: String },
}
