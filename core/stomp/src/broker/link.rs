//! Connections inside the process: frames without sockets, under the same rules as everybody's.

use super::connection::Outbound;
use super::core::{Refusal, Withdrawn};
use super::destination::Destination;
use super::event::ConnectionId;
use super::meter::Meter;
use super::server::Input;
use crate::ack::AckMode;
use crate::frame::{Command, Frame};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// A connection of the process that the broker runs in. It speaks 1.2. Dropping it logs out: what it has not
/// acknowledged goes back.
#[derive(Debug)]
pub struct Link {
    sender: LinkSender,
    link_closed: mpsc::UnboundedSender<ConnectionId>,
    outbound: mpsc::UnboundedReceiver<Outbound>,
    meter: Arc<Meter>,
    report_after: u64,
}

/// The sending side of a [`Link`], for as many tasks as there are.
#[derive(Clone, Debug)]
pub struct LinkSender {
    connection: ConnectionId,
    inputs: mpsc::Sender<Input>,
}

/// Why a link did not do what it was asked for.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum LinkError {
    /// The broker, or its owner, has ended this connection.
    #[error("the link to the broker is closed")]
    Closed,
    /// The message cannot be acknowledged: its subscription does so by itself.
    #[error("the message has no ack header to acknowledge it by")]
    NotAcknowledged,
    /// The broker refuses the frame. The link lives on.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Link {
    pub(super) const fn new(
        sender: LinkSender,
        link_closed: mpsc::UnboundedSender<ConnectionId>,
        outbound: mpsc::UnboundedReceiver<Outbound>,
        meter: Arc<Meter>,
        report_after: u64,
    ) -> Self {
        Self { sender, link_closed, outbound, meter, report_after }
    }

    /// The sending side; it can be cloned, and works as long as the link lives.
    pub const fn sender(&self) -> &LinkSender {
        &self.sender
    }

    /// The next frame: a `MESSAGE`, or the `RECEIPT` or `ERROR` that was asked for. `None` when the broker has ended
    /// the connection. Nothing is lost if this is not waited for to its end.
    pub async fn receive(&mut self) -> Option<Frame> {
        loop {
            match self.outbound.recv().await? {
                Outbound::Accepted(..) => {}
                Outbound::Close => self.outbound.close(),
                Outbound::Frame(frame) => {
                    self.count(&frame);
                    return Some(frame);
                }
            }
        }
    }

    fn count(&self, frame: &Frame) {
        if self.meter.write(frame.weight(), self.report_after) {
            let written = Input::Written(self.sender.connection);
            // A server that has more inputs than it can take looks at the meter by itself when it has taken some.
            if self.sender.inputs.try_send(written).is_ok() {
                self.meter.report();
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A broker that is gone need not know.
        let _ = self.link_closed.send(self.sender.connection);
    }
}

impl LinkSender {
    pub(super) const fn new(connection: ConnectionId, inputs: mpsc::Sender<Input>) -> Self {
        Self { connection, inputs }
    }

    /// Sends any frame, and waits until the broker has dealt with it.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn send(&self, frame: Frame) -> Result<(), LinkError> {
        let (reply, answer) = oneshot::channel();
        let input = Input::FromLink(self.connection, frame, reply);
        self.inputs.send(input).await.map_err(|_| LinkError::Closed)?;
        Ok(answer.await.map_err(|_| LinkError::Closed)??)
    }

    /// Subscribes to a destination, or to a pattern of them.
    ///
    /// # Errors
    /// [`LinkError`], such as for an id that is taken.
    pub async fn subscribe(&self, id: &str, destination: &str, ack: AckMode) -> Result<(), LinkError> {
        let frame = Frame::new(Command::Subscribe).with("id", id).with("destination", destination);
        self.send(frame.with("ack", ack.to_string())).await
    }

    /// Ends a subscription; what it has not acknowledged goes back.
    ///
    /// # Errors
    /// [`LinkError`], such as for an id that nothing has.
    pub async fn unsubscribe(&self, id: &str) -> Result<(), LinkError> {
        self.send(Frame::new(Command::Unsubscribe).with("id", id)).await
    }

    /// A message was dealt with.
    ///
    /// # Errors
    /// [`LinkError::NotAcknowledged`], or [`LinkError::Refused`] if it was acknowledged before.
    pub async fn ack(&self, message: &Frame) -> Result<(), LinkError> {
        self.settle(Command::Ack, message).await
    }

    /// A message cannot be dealt with here: somebody else shall try.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub async fn nack(&self, message: &Frame) -> Result<(), LinkError> {
        self.settle(Command::Nack, message).await
    }

    /// Takes back the first message that this login has sent to a queue with that header, if it still waits there.
    ///
    /// # Errors
    /// [`LinkError::Closed`].
    pub async fn withdraw(
        &self,
        destination: &Destination,
        header: &str,
        value: &str,
    ) -> Result<Withdrawn, LinkError> {
        let (reply, answer) = oneshot::channel();
        let header = (header.to_owned(), value.to_owned());
        let input = Input::Withdraw(self.connection, destination.clone(), header, reply);
        self.inputs.send(input).await.map_err(|_| LinkError::Closed)?;
        answer.await.map_err(|_| LinkError::Closed)
    }

    async fn settle(&self, command: Command, message: &Frame) -> Result<(), LinkError> {
        let id = message.header("ack").ok_or(LinkError::NotAcknowledged)?;
        self.send(Frame::new(command).with("id", id)).await
    }
}
