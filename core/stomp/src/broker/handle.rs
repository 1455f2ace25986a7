//! The broker as its owner sees it: start it, ask it, end it.

use super::access::{Access, Principal};
use super::config::BrokerConfig;
use super::core::Core;
use super::event::{BrokerEvent, ConnectionInfo, QueueInfo};
use super::link::{Link, LinkError};
use super::server::{Request, Server};
use crate::proof::{self};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// Requests that wait for the broker's attention.
const REQUESTS: usize = 64;

/// A running broker. Dropping it cuts all connections off; [`shutdown`](Self::shutdown) takes leave of them.
#[derive(Debug)]
pub struct Broker {
    requests: mpsc::Sender<Request>,
    events: broadcast::Sender<BrokerEvent>,
    local_addrs: Vec<SocketAddr>,
    /// Held for its end: the task stops when this is dropped.
    _server: AbortOnDropHandle<()>,
}

/// The broker is not running any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the broker has been shut down")]
pub struct BrokerStopped;

impl Broker {
    /// Starts to serve on `listeners`, of which there may be none. Has to be called within a tokio runtime.
    ///
    /// # Errors
    /// If a listener does not know its address, or the system has no random numbers.
    pub fn start(
        config: BrokerConfig,
        access: Arc<dyn Access>,
        listeners: Vec<TcpListener>,
    ) -> io::Result<Self> {
        let local_addrs = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        let mut instance = [0; 4];
        getrandom::fill(&mut instance).map_err(io::Error::other)?;
        let key = proof::random().map_err(io::Error::other)?;
        let core = Core::new(config.limits.clone(), config.heart_beat, access, &hex::encode(instance), key)
            .with_max_body(config.frames.body);
        let (requests, requested) = mpsc::channel(REQUESTS);
        let (events, _) = broadcast::channel(config.events.max(1));
        let server = Server::new(core, config, requested, events.clone());
        let server = AbortOnDropHandle::new(tokio::spawn(server.run(listeners)));
        Ok(Self { requests, events, local_addrs, _server: server })
    }

    /// Where it listens, in the order of the listeners.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        Events { events: self.events.subscribe() }
    }

    /// Opens a connection inside the process, logged in as `principal`.
    ///
    /// # Errors
    /// [`LinkError::Refused`] if the principal is connected already and may not be twice, or if there are too many
    /// connections; [`LinkError::Closed`] after the shutdown.
    pub async fn link(&self, principal: Principal) -> Result<Link, LinkError> {
        let link = self.ask(|reply| Request::Link(principal, reply)).await;
        Ok(link.map_err(|BrokerStopped| LinkError::Closed)??)
    }

    /// Who is logged in.
    ///
    /// # Errors
    /// [`BrokerStopped`].
    pub async fn connections(&self) -> Result<Vec<ConnectionInfo>, BrokerStopped> {
        self.ask(Request::Connections).await
    }

    /// Which queues there are, by name.
    ///
    /// # Errors
    /// [`BrokerStopped`].
    pub async fn queues(&self) -> Result<Vec<QueueInfo>, BrokerStopped> {
        self.ask(Request::Queues).await
    }

    /// Ends all connections of a login, telling them `reason`; tells how many there were. They may come back: it is
    /// the gatekeeper who keeps them out.
    ///
    /// # Errors
    /// [`BrokerStopped`].
    pub async fn disconnect(&self, login: &str, reason: &str) -> Result<usize, BrokerStopped> {
        self.ask(|reply| Request::Disconnect(login.to_owned(), reason.to_owned(), reply)).await
    }

    /// Asks another gatekeeper from now on. Whoever is in stays in and keeps its subscriptions; what it asks for
    /// from now on is decided by the new one.
    ///
    /// # Errors
    /// [`BrokerStopped`].
    pub async fn set_access(&self, access: Arc<dyn Access>) -> Result<(), BrokerStopped> {
        self.ask(|reply| Request::Access(access, reply)).await
    }

    /// Tells everybody that the broker shuts down, waits until they have read it and closed their ends, and cuts off
    /// whoever has not when `deadline` is over. Messages in queues are lost: nothing is kept on disk.
    pub async fn shutdown(self, deadline: Duration) {
        // If it has stopped already, so much the better.
        let _ = self.ask(|reply| Request::Shutdown(deadline, reply)).await;
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, BrokerStopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| BrokerStopped)?;
        answer.await.map_err(|_| BrokerStopped)
    }
}

/// What happens, for one listener.
#[derive(Debug)]
pub struct Events {
    events: broadcast::Receiver<BrokerEvent>,
}

impl Events {
    /// The next event; [`BrokerEvent::Missed`] in the place of those that came while too many were waiting. `None`
    /// after the broker's end. Nothing is lost if this is not waited for to its end.
    pub async fn next(&mut self) -> Option<BrokerEvent> {
        match self.events.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(events)) => Some(BrokerEvent::Missed { events }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
