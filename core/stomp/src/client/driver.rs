//! The task behind a client: one connection after the other, until it is asked to stop.

use crate::client::handshake::{self, Failure, Opened};
use crate::client::inbox::Inbox;
use crate::client::outbox::{Outbox, Request};
use crate::client::receipts::{Receipts, Reply};
use crate::client::{ClientConfig, ClientError, ConnectionId, Dial, Event, Subscription, session};
use crate::frame::MAX_FRAME;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::select;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep};

/// What outlives a connection. Owned by the driver, lent to each session.
pub(super) struct State {
    pub(super) requests: mpsc::UnboundedReceiver<Request>,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) receipts: Receipts,
    /// Who wants to know that we have left.
    pub(super) leaving: Option<Reply>,
    connection: watch::Sender<Option<ConnectionId>>,
    room: Arc<Semaphore>,
}

impl State {
    pub(super) fn new(
        requests: mpsc::UnboundedReceiver<Request>,
        inbox: Inbox,
        subscriptions: Vec<Subscription>,
        connection: watch::Sender<Option<ConnectionId>>,
        room: Arc<Semaphore>,
    ) -> Self {
        let (outbox, receipts) = (Outbox::default(), Receipts::default());
        Self { requests, outbox, inbox, subscriptions, receipts, leaving: None, connection, room }
    }

    /// Waits for something while requests go on being queued and events delivered; `None` if we were asked to leave
    /// and nothing is left to be sent.
    async fn serving_until<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        loop {
            if let Some(reply) = self.outbox.leave() {
                drop(reply.send(Ok(())));
                return None;
            }
            select! {
                done = &mut future => return Some(done),
                Some(request) = self.requests.recv() => self.outbox.queue(request),
                () = self.inbox.room(), if self.inbox.is_stalled() => self.inbox.flush(),
            }
        }
    }

    fn connected<S>(&mut self, id: ConnectionId, opened: &Opened<S>) {
        self.connection.send_replace(Some(id));
        let headers = opened.connected.headers.clone();
        let server = opened.connected.header("server").map(str::to_owned);
        let max_frame = opened.connected.header(MAX_FRAME).and_then(|bytes| bytes.parse().ok());
        self.inbox.push(Event::Connected { version: opened.version, server, max_frame, headers });
    }

    /// Nothing on this connection will be confirmed or acknowledged any more.
    fn connection_lost(&mut self, reason: &str) {
        self.connection.send_replace(None);
        self.outbox.connection_lost();
        self.receipts.fail_all(&ClientError::Disconnected { reason: reason.to_owned() });
    }

    /// Tells whoever asked to leave what came of it, if anybody did.
    fn finish_leaving(&mut self, outcome: Result<(), ClientError>) -> bool {
        let reply = self.leaving.take();
        // Whoever gave up waiting does not mind.
        reply.map(|reply| drop(reply.send(outcome))).is_some()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // Whoever waits for room would wait for ever.
        self.room.close();
    }
}

/// The task's own part of a client.
pub(super) struct Driver<D> {
    dial: D,
    config: ClientConfig,
    state: State,
    connections: ConnectionId,
}

/// How a connection ended that nobody had asked to end.
struct Lost {
    failure: Failure,
    /// How long we were connected.
    lasted: Duration,
}

impl<D: Dial> Driver<D> {
    pub(super) const fn new(dial: D, config: ClientConfig, state: State) -> Self {
        Self { dial, config, state, connections: 0 }
    }

    pub(super) async fn run(mut self) {
        let mut failures = 0;
        while let Some(Lost { failure, lasted }) = self.connection().await {
            let reason = failure.reason();
            self.state.connection_lost(&reason);
            if self.state.finish_leaving(Err(ClientError::Disconnected { reason: reason.clone() })) {
                return;
            }
            if lasted >= self.config.reconnect.most {
                failures = 0;
            }
            let retry_in = self.config.reconnect.wait(failures, chance());
            failures = failures.saturating_add(1);
            tracing::debug!(address = %self.config.address, reason, ?retry_in, "not connected");
            self.state.inbox.push(failure.event(retry_in));
            if self.state.serving_until(sleep(retry_in)).await.is_none() {
                return;
            }
        }
    }

    /// One connection, from the first attempt to its end. `None` when we left because we were asked to.
    async fn connection(&mut self) -> Option<Lost> {
        let opening = handshake::open(&self.dial, &self.config);
        let opened = match self.state.serving_until(opening).await? {
            Ok(opened) => opened,
            Err(failure) => return Some(Lost { failure, lasted: Duration::ZERO }),
        };
        let since = Instant::now();
        self.connections += 1;
        self.state.connected(self.connections, &opened);
        match session::run(&mut self.state, opened, self.connections).await {
            Ok(()) => {
                self.state.finish_leaving(Ok(()));
                None
            }
            Err(failure) => Some(Lost { failure, lasted: since.elapsed() }),
        }
    }
}

/// A number between 0 and 1. Without a source of randomness, the middle.
fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}
