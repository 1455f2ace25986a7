//! A client that stays connected: one task holds the socket, everybody else a cheap [`Client`] to talk to it.
//!
//! ```text
//!              dial, CONNECT          CONNECTED
//! Waiting ─────────────────▶ Opening ───────────▶ Connected: subscriptions first, then what was queued
//!    ▲  back-off and jitter     │ ERROR: Refused     │ cut, silence, ERROR: Disconnected; nonsense: BadFrame
//!    └──────────────────────────┴────────────────────┘
//! ```
//! - What is queued survives a reconnection in its order, and is written once at most: a frame that was handed to
//!   the socket whole is its sender's business (see [`Client::send_receipted`]), one that was not is sent again.
//! - Both queues are bounded in bytes. A full outgoing queue makes [`Client::send`] wait and [`Client::try_send`]
//!   fail; a consumer that does not take its [`Event`]s stops the reading, so that messages wait in the socket and
//!   the broker sees a slow consumer, while heart-beats and outgoing frames go on.
//! - `RECEIPT` frames wait behind unread messages too: who stops taking events also stops learning of receipts.
//!
//! With [`Credentials::Proof`] the broker has to prove that it knows our secret before it is told or obeyed in anything:
//! whoever answers without that is [`Event::Refused`], and asked again later.
//!
//! It does not know what messages mean, and acknowledges none by itself.

mod config;
mod dial;
mod driver;
mod error;
mod event;
mod handshake;
mod inbox;
mod outbox;
mod receipts;
mod session;
#[cfg(test)]
mod tests;

pub use crate::ack::AckMode;
pub use crate::proof::Secret;
pub use config::{ClientConfig, Credentials, Reconnect};
pub use dial::Dial;
pub use error::ClientError;
pub use event::{Delivery, Event, Subscription};

use crate::codec::check;
use crate::frame::{Command, Frame, Version};
use dial::Tcp;
use driver::{Driver, State};
use outbox::{Outgoing, Request};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Which connection of a client something belongs to.
type ConnectionId = u64;

/// A handle to the task that holds the connection. Clones talk to the same task.
#[derive(Clone, Debug)]
pub struct Client {
    requests: mpsc::UnboundedSender<Request>,
    /// One permit for each byte that may be queued. Closed when the client is.
    room: Arc<Semaphore>,
    limit: usize,
    connection: watch::Receiver<Option<ConnectionId>>,
    stop: CancellationToken,
    receipts: Arc<AtomicU64>,
}

impl Client {
    /// Starts a client over TCP: it connects, subscribes, and goes on connecting again until [`Client::disconnect`].
    ///
    /// Must be called within a tokio runtime. Dropping the handle of the task ends it at once; dropping the receiver
    /// says that nobody is interested in events, not even in messages.
    pub fn start(
        config: ClientConfig,
        subscriptions: Vec<Subscription>,
    ) -> (Self, mpsc::Receiver<Event>, AbortOnDropHandle<()>) {
        let dial = Tcp { address: config.address.clone() };
        Self::start_over(dial, config, subscriptions)
    }

    /// The same over any stream of bytes: a virtual serial port, a socket of another kind.
    pub fn start_over(
        dial: impl Dial,
        config: ClientConfig,
        subscriptions: Vec<Subscription>,
    ) -> (Self, mpsc::Receiver<Event>, AbortOnDropHandle<()>) {
        // A frame takes its weight in permits at once, and they are counted in 32 bits there.
        let limit = config.outgoing_limit.min(u32::MAX as usize);
        let room = Arc::new(Semaphore::new(limit));
        let stop = CancellationToken::new();
        let (requests, queued) = mpsc::unbounded_channel();
        let (current, connection) = watch::channel(None);
        let (inbox, events) = inbox::channel(config.limits.body);
        let state = State::new(queued, inbox, subscriptions, current, Arc::clone(&room));
        let driver = Driver::new(dial, config, state);
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            stopped.run_until_cancelled_owned(driver.run()).await;
        });
        let client = Self { requests, room, limit, connection, stop, receipts: Arc::default() };
        (client, events, AbortOnDropHandle::new(task))
    }

    /// Queues the frame (`SEND`, or a step of a transaction), waiting for room in the queue.
    ///
    /// # Errors
    /// [`ClientError`] if it can never be sent. `Ok` says that it is queued; only a receipt says that it arrived.
    pub async fn send(&self, frame: Frame) -> Result<(), ClientError> {
        sendable(&frame)?;
        self.queue(Outgoing::Frame { frame, receipt: None, only_on: None }).await
    }

    /// Queues the frame if there is room.
    ///
    /// # Errors
    /// As [`Client::send`], and [`ClientError::QueueFull`].
    pub fn try_send(&self, frame: Frame) -> Result<(), ClientError> {
        sendable(&frame)?;
        let outgoing = Outgoing::Frame { frame, receipt: None, only_on: None };
        let room = Arc::clone(&self.room).try_acquire_many_owned(self.permits(&outgoing)?);
        self.request(
            outgoing,
            room.map_err(|error| match error {
                TryAcquireError::Closed => ClientError::Closed,
                TryAcquireError::NoPermits => ClientError::QueueFull { limit: self.limit },
            })?,
        )
    }

    /// Sends the frame and waits until the broker has confirmed it, all within that time. A `receipt` header that
    /// the frame has already is replaced. A frame that was not even begun in time is not sent at all.
    ///
    /// # Errors
    /// [`ClientError::Refused`], [`ClientError::Disconnected`] and [`ClientError::Deadline`] besides those of
    /// [`Client::send`].
    pub async fn send_receipted(&self, mut frame: Frame, within: Duration) -> Result<(), ClientError> {
        sendable(&frame)?;
        let id = format!("receipt-{}", self.receipts.fetch_add(1, Ordering::Relaxed));
        frame.headers.retain(|(name, _)| name != "receipt");
        frame = frame.with("receipt", &*id);
        let (reply, outcome) = oneshot::channel();
        let confirmed = async {
            self.queue(Outgoing::Frame { frame, receipt: Some((id, reply)), only_on: None }).await?;
            outcome.await.unwrap_or(Err(ClientError::Closed))
        };
        timeout(within, confirmed).await.unwrap_or(Err(ClientError::Deadline { within }))
    }

    /// Tells the broker that the message was dealt with, on the connection on which it came and on no other.
    ///
    /// # Errors
    /// [`ClientError::ConnectionGone`] and [`ClientError::NothingToAcknowledge`] besides those of [`Client::send`].
    pub async fn ack(&self, delivery: &Delivery) -> Result<(), ClientError> {
        self.answer(delivery, Command::Ack).await
    }

    /// Tells the broker that the message could not be dealt with.
    ///
    /// # Errors
    /// [`ClientError::NotInVersion`] with a 1.0 broker, besides those of [`Client::ack`].
    pub async fn nack(&self, delivery: &Delivery) -> Result<(), ClientError> {
        self.answer(delivery, Command::Nack).await
    }

    /// Subscribes, now and on every connection to come. A subscription of the same id is replaced.
    ///
    /// # Errors
    /// As [`Client::send`]. A broker that refuses ends the connection, see [`Event::Disconnected`].
    pub async fn subscribe(&self, subscription: Subscription) -> Result<(), ClientError> {
        check(&subscription.frame(), Version::V1_2)?;
        self.queue(Outgoing::Subscribe(subscription)).await
    }

    /// Ends the subscription of that id, if there is one. Messages that are on their way still come.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn unsubscribe(&self, id: impl Into<String>) -> Result<(), ClientError> {
        self.queue(Outgoing::Unsubscribe(id.into())).await
    }

    /// Sends what is queued, takes leave of the broker, waits until it has confirmed that it got everything, and ends
    /// the client, whatever came of it. From now on nothing can be queued; messages that come once the leave was sent
    /// are not delivered.
    ///
    /// # Errors
    /// [`ClientError::Disconnected`] or [`ClientError::Deadline`] if the broker has not confirmed: then it may lack
    /// some of it. Without a connection, and with nothing queued, there is nothing to confirm.
    pub async fn disconnect(&self, within: Duration) -> Result<(), ClientError> {
        self.room.close();
        let (reply, outcome) = oneshot::channel();
        let request = Request { outgoing: Outgoing::Disconnect(reply), room: None };
        self.requests.send(request).map_err(|_| ClientError::Closed)?;
        let left = timeout(within, outcome).await;
        self.stop.cancel();
        match left {
            Ok(outcome) => outcome.unwrap_or(Err(ClientError::Closed)),
            Err(_) => Err(ClientError::Deadline { within }),
        }
    }

    async fn answer(&self, delivery: &Delivery, command: Command) -> Result<(), ClientError> {
        let frame = delivery.answer(command)?;
        if *self.connection.borrow() != Some(delivery.connection) {
            return Err(ClientError::ConnectionGone);
        }
        self.queue(Outgoing::Frame { frame, receipt: None, only_on: Some(delivery.connection) }).await
    }

    /// Queues as soon as there is room.
    async fn queue(&self, outgoing: Outgoing) -> Result<(), ClientError> {
        let room = Arc::clone(&self.room).acquire_many_owned(self.permits(&outgoing)?).await;
        self.request(outgoing, room.map_err(|_| ClientError::Closed)?)
    }

    fn request(&self, outgoing: Outgoing, room: OwnedSemaphorePermit) -> Result<(), ClientError> {
        let request = Request { outgoing, room: Some(room) };
        self.requests.send(request).map_err(|_| ClientError::Closed)
    }

    /// How much of the queue it takes.
    fn permits(&self, outgoing: &Outgoing) -> Result<u32, ClientError> {
        let (weight, limit) = (outgoing.weight(), self.limit);
        let permits = u32::try_from(weight).ok().filter(|_| weight <= limit);
        permits.ok_or(ClientError::FrameTooLarge { weight, limit })
    }
}

/// Whether the frame is one that others than the client itself may send, and can be written at all.
fn sendable(frame: &Frame) -> Result<(), ClientError> {
    match frame.command {
        Command::Abort | Command::Begin | Command::Commit | Command::Send => {}
        command => return Err(ClientError::NotToBeSent { command }),
    }
    Ok(check(frame, Version::V1_2)?)
}
