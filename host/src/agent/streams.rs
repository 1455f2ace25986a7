//! Byte streams to guests through the bus, for when the host cannot reach them otherwise. They have destinations of their
//! own, beside the mailboxes: only that guest may read and write its own, and no word is ever asked about them.
//!
//! One task owns the streams of all guests and the link they travel through, which is not the agent's: a stream that
//! is slow holds up nobody's commands.

use futures_util::stream::{self, BoxStream, SelectAll, StreamExt};
use std::collections::HashMap;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use vocable_protocol::{Mailbox, excerpt, is_guest_id};
use vocable_stomp::broker::Link;
use vocable_stomp::{Command as Verb, Frame};
use vocable_streams::{Limits, Mux, OpenError, Packet, Stream};

const WAITING: usize = 64;

enum Request {
    Peer { guest: String, reply: oneshot::Sender<Option<Mux>> },
    Forget { guest: String },
}

/// The streams of all guests. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    requests: mpsc::Sender<Request>,
}

pub(crate) struct StreamsTask {
    requests: mpsc::Receiver<Request>,
    link: Link,
    peers: HashMap<String, Mux>,
    outgoing: SelectAll<BoxStream<'static, (String, Packet)>>,
}

impl Streams {
    /// Streams through a link that is subscribed to everything guests stream.
    pub(crate) fn new(link: Link) -> (Self, StreamsTask) {
        let (sender, requests) = mpsc::channel(WAITING);
        let task = StreamsTask { requests, link, peers: HashMap::new(), outgoing: SelectAll::new() };
        (Self { requests: sender }, task)
    }

    /// A stream to a service of a guest.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) async fn open(&self, guest: &str, service: &str) -> Result<Stream, OpenError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Peer { guest: guest.to_owned(), reply };
        self.requests.send(request).await.map_err(|_| OpenError::Closed)?;
        let mux = answer.await.ok().flatten().ok_or(OpenError::Closed)?;
        mux.open(service).await
    }

    /// A guest is gone, or has come again: whatever was streamed has lost its other end.
    pub(crate) fn forget(&self, guest: &str) {
        // If the task has no time for it, its streams end by their own time limits.
        if self.requests.try_send(Request::Forget { guest: guest.to_owned() }).is_err() {
            debug!(guest, "its streams were not ended at once");
        }
    }
}

impl StreamsTask {
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(request) = self.requests.recv() => self.answer(request),
                Some(frame) = self.link.receive() => self.arrived(&frame),
                Some((guest, packet)) = self.outgoing.next() => self.send(guest, &packet).await,
                else => return,
            }
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Peer { guest, reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.peer(guest));
            }
            Request::Forget { guest } => {
                if let Some(mux) = self.peers.remove(&guest) {
                    mux.clear();
                }
            }
        }
    }

    fn peer(&mut self, guest: String) -> Option<Mux> {
        if let Some(mux) = self.peers.get(&guest) {
            return Some(mux.clone());
        }
        let (mux, packets) = match Mux::new(Limits::default()) {
            Ok(new) => new,
            Err(error) => {
                warn!(guest, "no stream through the bus: {error}");
                return None;
            }
        };
        let name = guest.clone();
        let packets = stream::unfold((packets, name), |(mut packets, name)| async move {
            let packet = packets.recv().await?;
            Some(((name.clone(), packet), (packets, name)))
        });
        self.outgoing.push(packets.boxed());
        self.peers.insert(guest, mux.clone());
        Some(mux)
    }

    fn arrived(&self, frame: &Frame) {
        let from = frame.header("destination").unwrap_or_default();
        let Some(guest) = Mailbox::StreamsFromGuest.guest(from).filter(|guest| is_guest_id(guest)) else {
            return warn!("a stream without a guest: {}", excerpt(from));
        };
        // A guest that nobody has opened a stream to has nothing to say here.
        let Some(mux) = self.peers.get(guest) else { return };
        match Packet::decode(frame.body.clone()) {
            // Guests open no streams to the host: dropped, it ends.
            Ok(packet) => drop(mux.deliver(packet)),
            Err(error) => debug!(guest, "{error}"),
        }
    }

    async fn send(&mut self, guest: String, packet: &Packet) {
        let frame = Frame::new(Verb::Send)
            .with("destination", Mailbox::StreamsToGuest.of(&guest))
            .with_body(packet.encode());
        if let Err(error) = self.link.sender().send(frame).await {
            // What is missing would be noticed by the guest; there is no need to wait for that.
            warn!(guest, "its streams were ended: {error}");
            if let Some(mux) = self.peers.remove(&guest) {
                mux.clear();
            }
        }
    }
}
