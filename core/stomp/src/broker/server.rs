//! The task that owns the broker's [`Core`]: it takes what happens on the sockets and in the process one by one,
//! and passes on what the core makes of it. It never waits for a socket.

use super::access::{Access, Principal};
use super::config::BrokerConfig;
use super::connection::{self, Gate, Outbound};
use super::core::{Core, Output, Refusal, Withdrawn};
use super::destination::Destination;
use super::event::{BrokerEvent, ConnectionId, ConnectionInfo, Ending, QueueInfo};
use super::link::{Link, LinkSender};
use super::meter::Meter;
use crate::codec::DecodeError;
use crate::frame::{Frame, Version};
use bytes::BytesMut;
use futures_util::future::OptionFuture;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

/// Happenings that wait for the broker. Whoever has more to tell waits, and is meanwhile not read from.
const INPUTS: usize = 256;

/// Happenings after which others get a turn, however many there are.
const INPUTS_AT_ONCE: usize = 64;

/// How often the core is told that time passes, while it wants to know.
const TICK: Duration = Duration::from_secs(1);

/// How long no connection is accepted after the system could not accept one, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) enum Input {
    Accepted(TcpStream, SocketAddr),
    Closed(ConnectionId, Ending),
    /// The permit is given back when the frame has been dealt with.
    Frame(ConnectionId, Frame, OwnedSemaphorePermit),
    FromLink(ConnectionId, Frame, oneshot::Sender<Result<(), Refusal>>),
    LoginOverdue(ConnectionId),
    /// What was wrong, and with which frame, as far as it was read.
    Malformed(ConnectionId, DecodeError, Option<Frame>),
    Withdraw(ConnectionId, Destination, (String, String), oneshot::Sender<Withdrawn>),
    /// Much was written: its meter is worth a look.
    Written(ConnectionId),
}

/// What the owner of the broker asks for.
pub(super) enum Request {
    Access(Arc<dyn Access>, oneshot::Sender<()>),
    Connections(oneshot::Sender<Vec<ConnectionInfo>>),
    Disconnect(String, String, oneshot::Sender<usize>),
    Link(Principal, oneshot::Sender<Result<Link, Refusal>>),
    Queues(oneshot::Sender<Vec<QueueInfo>>),
    Shutdown(Duration, oneshot::Sender<()>),
}

/// The owner's end of a connection.
struct Remote {
    outbound: mpsc::UnboundedSender<Outbound>,
    gate: watch::Sender<Gate>,
    meter: Arc<Meter>,
    /// What of the meter the core knows.
    written: u64,
    writes: u64,
}

pub(super) struct Server {
    core: Core,
    config: Arc<BrokerConfig>,
    remotes: HashMap<ConnectionId, Remote>,
    /// Those of them that are inside the process.
    links: Vec<ConnectionId>,
    inputs: mpsc::Receiver<Input>,
    /// For those who are to send inputs.
    sender: mpsc::Sender<Input>,
    /// Links that were dropped. Unbounded, because it is said only once in a link's life, and cannot wait.
    closed_links: mpsc::UnboundedReceiver<ConnectionId>,
    link_closed: mpsc::UnboundedSender<ConnectionId>,
    requests: mpsc::Receiver<Request>,
    events: broadcast::Sender<BrokerEvent>,
    acceptors: JoinSet<()>,
    connections: JoinSet<()>,
}

impl Server {
    pub(super) fn new(
        core: Core,
        config: BrokerConfig,
        requests: mpsc::Receiver<Request>,
        events: broadcast::Sender<BrokerEvent>,
    ) -> Self {
        let (sender, inputs) = mpsc::channel(INPUTS);
        let (link_closed, closed_links) = mpsc::unbounded_channel();
        Self {
            core,
            config: Arc::new(config),
            remotes: HashMap::new(),
            links: Vec::new(),
            inputs,
            sender,
            closed_links,
            link_closed,
            requests,
            events,
            acceptors: JoinSet::new(),
            connections: JoinSet::new(),
        }
    }

    /// Serves until it is told to shut down, or until nobody is left who could tell.
    pub(super) async fn run(mut self, listeners: Vec<TcpListener>) {
        for listener in listeners {
            self.acceptors.spawn(accept(listener, self.sender.clone()));
        }
        let mut ticks = time::interval(TICK);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(Request::Shutdown(deadline, done)) => {
                        self.shutdown(deadline).await;
                        // Whoever asked may have stopped waiting.
                        let _ = done.send(());
                        return;
                    }
                    Some(request) => self.answer(request),
                    None => return,
                },
                Some(input) = self.inputs.recv() => self.take_batch(input),
                Some(link) = self.closed_links.recv() => self.take(Input::Closed(link, Ending::ClosedByPeer)),
                Some(ended) = self.connections.join_next() => log_panic(&ended),
                _ = ticks.tick(), if self.core.wants_tick() => self.tick(),
                Some(()) = OptionFuture::from(self.core.due().map(|due| time::sleep_until(due.into()))) => {
                    self.core.wake(Instant::now().into_std());
                    self.apply_outputs();
                }
            }
        }
    }

    fn take_batch(&mut self, first: Input) {
        self.take(first);
        for _ in 1..INPUTS_AT_ONCE {
            let Ok(input) = self.inputs.try_recv() else { break };
            self.take(input);
        }
        self.read_meters_of_links();
    }

    /// A link that finds too many inputs waiting does not add to them: what it has read is found out here.
    fn read_meters_of_links(&mut self) {
        let links = std::mem::take(&mut self.links);
        links.iter().for_each(|link| self.read_meter(*link));
        self.links = links;
        self.apply_outputs();
    }

    fn take(&mut self, input: Input) {
        let now = Instant::now().into_std();
        match input {
            Input::Accepted(stream, peer) => self.open(stream, peer),
            Input::Closed(connection, ending) => {
                self.read_meter(connection);
                self.core.closed(connection, ending);
                self.apply_outputs();
                self.close(connection);
            }
            Input::Frame(connection, frame, permit) => {
                self.read_meter(connection);
                // The client has been told what is wrong with it, if anything.
                let _ = self.core.frame(connection, frame, now);
                drop(permit);
            }
            // If the link is closed, the reply is dropped unsaid, and that says it.
            Input::FromLink(connection, frame, reply) if self.remotes.contains_key(&connection) => {
                self.read_meter(connection);
                // Whoever sent it may have stopped waiting.
                let _ = reply.send(self.core.frame(connection, frame, now));
            }
            Input::FromLink(..) => {}
            Input::LoginOverdue(connection) => {
                self.core.login_overdue(connection, self.config.login_deadline);
            }
            Input::Malformed(connection, error, begun) => {
                self.core.malformed(connection, &error, begun.as_ref());
            }
            Input::Withdraw(connection, destination, (name, value), reply) => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(self.core.withdraw(connection, &destination, (&name, &value)));
            }
            Input::Written(connection) => self.read_meter(connection),
        }
        self.apply_outputs();
    }

    fn tick(&mut self) {
        let all: Vec<ConnectionId> = self.remotes.keys().copied().collect();
        for connection in all {
            self.read_meter(connection);
            self.check_progress(connection);
        }
        self.core.tick(Instant::now().into_std());
        self.apply_outputs();
    }

    /// Tells the core what has been written meanwhile.
    fn read_meter(&mut self, connection: ConnectionId) {
        let Some(remote) = self.remotes.get_mut(&connection) else { return };
        let written = remote.meter.written();
        if written != remote.written {
            remote.written = written;
            self.core.written(connection, written);
        }
    }

    fn check_progress(&mut self, connection: ConnectionId) {
        let Some(remote) = self.remotes.get_mut(&connection) else { return };
        let writes = remote.meter.writes();
        if writes != remote.writes {
            remote.writes = writes;
            self.core.progressed(connection);
        }
    }

    fn answer(&mut self, request: Request) {
        // In all of these whoever asked may have stopped waiting.
        match request {
            Request::Access(access, reply) => {
                self.core.set_access(access);
                let _ = reply.send(());
            }
            Request::Connections(reply) => {
                let _ = reply.send(self.connection_infos());
            }
            Request::Disconnect(login, reason, reply) => {
                let _ = reply.send(self.core.disconnect(&login, &reason));
            }
            Request::Link(principal, reply) => {
                let _ = reply.send(self.link(principal));
            }
            Request::Queues(reply) => {
                let _ = reply.send(self.core.queues());
            }
            // Taken by the loop.
            Request::Shutdown(..) => {}
        }
        self.apply_outputs();
    }

    fn connection_infos(&self) -> Vec<ConnectionInfo> {
        let mut infos = self.core.connections();
        for info in &mut infos {
            let remote = self.remotes.get(&info.connection).filter(|_| info.peer.is_some());
            info.last_byte = remote.and_then(|remote| remote.meter.last_byte());
        }
        infos
    }

    fn open(&mut self, stream: TcpStream, peer: SocketAddr) {
        // Those who linger are not in the core any more, but their sockets are there.
        if self.connections.len() >= self.config.limits.connections + self.config.limits.pending {
            return tracing::warn!(
                ?peer,
                sockets = self.connections.len(),
                "too many sockets, connection refused"
            );
        }
        match self.core.open(peer) {
            Ok(connection) => {
                let (outbound, gate, meter) = self.remote(connection);
                let socket = connection::Socket {
                    connection,
                    config: self.config.clone(),
                    inputs: self.sender.clone(),
                    outbound,
                    gate,
                    meter,
                };
                self.connections.spawn(socket.serve(stream));
            }
            Err(refusal) => reject(&stream, &refusal),
        }
    }

    fn link(&mut self, principal: Principal) -> Result<Link, Refusal> {
        let connection = self.core.link(principal, Instant::now().into_std())?;
        let (outbound, _, meter) = self.remote(connection);
        self.links.push(connection);
        let sender = LinkSender::new(connection, self.sender.clone());
        Ok(Link::new(sender, self.link_closed.clone(), outbound, meter, self.config.report_after()))
    }

    /// The other end of what the owner keeps of a connection.
    fn remote(
        &mut self,
        connection: ConnectionId,
    ) -> (mpsc::UnboundedReceiver<Outbound>, watch::Receiver<Gate>, Arc<Meter>) {
        // Unbounded in number, because the core bounds it in bytes.
        let (outbound, outgoing) = mpsc::unbounded_channel();
        let (gate, gated) = watch::channel(Gate::Login);
        let meter = Arc::new(Meter::new(Instant::now().into_std()));
        self.remotes
            .insert(connection, Remote { outbound, gate, meter: meter.clone(), written: 0, writes: 0 });
        (outgoing, gated, meter)
    }

    fn apply_outputs(&mut self) {
        while let Some(output) = self.core.output() {
            match output {
                Output::Accepted { connection, version, heart_beats } => {
                    self.set_gate(connection, Gate::Open(version, heart_beats));
                    self.pass_on(connection, Outbound::Accepted(version, heart_beats));
                }
                Output::Challenged { connection } => self.set_gate(connection, Gate::Challenged),
                Output::Close { connection } => self.close(connection),
                Output::Event(event) => self.publish(event),
                Output::Pause { connection } => self.set_paused(connection, true),
                Output::Resume { connection } => self.set_paused(connection, false),
                Output::Send { connection, frame } => self.pass_on(connection, Outbound::Frame(frame)),
            }
        }
    }

    fn pass_on(&self, connection: ConnectionId, outbound: Outbound) {
        if let Some(remote) = self.remotes.get(&connection) {
            // If nobody receives it, the connection is ending, and says so itself.
            let _ = remote.outbound.send(outbound);
        }
    }

    fn set_gate(&self, connection: ConnectionId, gate: Gate) {
        if let Some(remote) = self.remotes.get(&connection) {
            remote.gate.send_replace(gate);
        }
    }

    fn set_paused(&self, connection: ConnectionId, is_paused: bool) {
        if let Some(remote) = self.remotes.get(&connection) {
            remote.gate.send_modify(|gate| gate.set_paused(is_paused));
        }
    }

    /// Lets a connection write what it has, and end.
    fn close(&mut self, connection: ConnectionId) {
        self.links.retain(|link| *link != connection);
        if let Some(remote) = self.remotes.remove(&connection) {
            remote.gate.send_replace(Gate::Closing);
            let _ = remote.outbound.send(Outbound::Close);
        }
    }

    fn publish(&self, event: BrokerEvent) {
        event.log();
        // Nobody has to listen.
        let _ = self.events.send(event);
    }

    /// Tells everybody, and waits until they are gone, but no longer than `deadline`.
    async fn shutdown(&mut self, deadline: Duration) {
        self.acceptors.shutdown().await;
        self.core.shutdown();
        self.apply_outputs();
        self.inputs.close();
        let all_gone = async { while self.connections.join_next().await.is_some() {} };
        // Whoever is late is cut off.
        let _ = time::timeout(deadline, all_gone).await;
        self.connections.shutdown().await;
    }
}

async fn accept(listener: TcpListener, inputs: mpsc::Sender<Input>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if inputs.send(Input::Accepted(stream, peer)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection, trying again");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Says why, as far as that is possible without waiting.
fn reject(stream: &TcpStream, refusal: &Refusal) {
    let mut bytes = BytesMut::new();
    if crate::codec::encode(&refusal.frame(None), Version::V1_0, &mut bytes).is_ok() {
        let _ = stream.try_write(&bytes);
    }
}

fn log_panic(ended: &Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
