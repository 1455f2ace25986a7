//! The streams of one peer: which there are, what may come, and where it goes.

use crate::packet::{Kind, Packet};
use crate::pump::{Arrived, Pump};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::DuplexStream;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams at a time.
    pub streams: usize,
    /// Bytes of a stream that may be on their way in one direction.
    pub window: u32,
    /// The most bytes of one packet.
    pub piece: usize,
    /// Packets that may wait to be taken by the bus.
    pub packets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { streams: 8, window: 128 << 10, piece: 16 << 10, packets: 64 }
    }
}

/// Why there is no stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// The peer, or the bus, is gone.
    #[error("the bus is closed")]
    Closed,
    /// There are as many as there may be.
    #[error("too many streams at a time: the limit is {0}")]
    TooMany(usize),
}

/// A stream that the peer has opened.
#[derive(Debug)]
pub struct Incoming {
    /// For whom it is.
    pub service: String,
    /// The stream.
    pub stream: DuplexStream,
}

/// The streams of one peer. Clones are the same; the task of a stream ends with the stream, all with [`Mux::clear`].
#[derive(Clone, Debug)]
pub struct Mux(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    out: mpsc::Sender<Packet>,
    limits: Limits,
    next: AtomicU64,
    // A lock and not a task: nobody holds it for longer than a look-up.
    streams: Mutex<HashMap<u64, Entry>>,
}

/// What the mux keeps of a stream.
#[derive(Debug)]
struct Entry {
    inbox: mpsc::UnboundedSender<Arrived>,
    /// Bytes that may be sent.
    credit: Arc<Semaphore>,
    /// Bytes that the peer may send.
    room: u32,
    offset: u64,
    stop: CancellationToken,
}

impl Mux {
    /// The streams of a new peer, and the packets to be sent to it.
    ///
    /// # Errors
    /// If the system has no random numbers to begin the streams' numbers with.
    pub fn new(limits: Limits) -> Result<(Self, mpsc::Receiver<Packet>), getrandom::Error> {
        let (out, packets) = mpsc::channel(limits.packets);
        let mut first = [0; 8];
        getrandom::fill(&mut first)?;
        // Chance keeps apart the streams of two runs of an agent on a bus that outlived the first.
        let next = AtomicU64::new(u64::from_be_bytes(first) >> 1);
        Ok((Self(Arc::new(Shared { out, limits, next, streams: Mutex::default() })), packets))
    }

    /// Opens a stream to a service of the peer. It can be written to at once; whether anybody is there shows when
    /// something comes back.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(&self, service: &str) -> Result<DuplexStream, OpenError> {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let window = self.0.limits.window;
        let stream = self.0.start(id, 0).ok_or(OpenError::TooMany(self.0.limits.streams))?;
        let kind = Kind::Open { service: service.to_owned(), window };
        self.0.out.send(Packet { stream: id, kind }).await.map_err(|_| OpenError::Closed)?;
        Ok(stream)
    }

    /// Takes a packet of the peer. Gives the stream that it opens, if it does. A peer that breaks the rules loses
    /// the stream.
    pub fn deliver(&self, packet: Packet) -> Option<Incoming> {
        let Packet { stream: id, kind } = packet;
        match kind {
            Kind::Open { service, window } => return self.opened(id, service, window),
            Kind::Data { offset, bytes } => self.0.data(id, offset, bytes),
            Kind::Credit(bytes) => self.0.credit(id, bytes),
            Kind::Close => {
                let sent = self.0.streams().get(&id).map(|entry| entry.inbox.send(Arrived::End));
                if sent.is_none() {
                    self.0.refuse(id, "no such stream");
                }
            }
            Kind::Reset(_) => self.0.end(id),
        }
        None
    }

    fn opened(&self, id: u64, service: String, window: u32) -> Option<Incoming> {
        if self.0.streams().contains_key(&id) {
            self.0.end(id);
            self.0.refuse(id, "opened twice");
            return None;
        }
        let Some(stream) = self.0.start(id, window) else {
            self.0.refuse(id, "too many streams");
            return None;
        };
        // The opener may send from now on.
        if self.0.out.try_send(Packet { stream: id, kind: Kind::Credit(self.0.limits.window) }).is_err() {
            self.0.end(id);
            return None;
        }
        Some(Incoming { service, stream })
    }

    /// Ends all streams: the peer is gone, or has lost what was on its way.
    pub fn clear(&self) {
        for (_, entry) in self.0.streams().drain() {
            entry.stop.cancel();
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.streams().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new stream with its task, unless there are too many.
    fn start(self: &Arc<Self>, id: u64, credit: u32) -> Option<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(self.limits.piece);
        let (inbox, arrived) = mpsc::unbounded_channel();
        let credit = Arc::new(Semaphore::new(credit as usize));
        let stop = CancellationToken::new();
        let window = self.limits.window;
        let entry = Entry { inbox, credit: Arc::clone(&credit), room: window, offset: 0, stop: stop.clone() };
        {
            let mut streams = self.streams();
            if streams.len() >= self.limits.streams {
                return None;
            }
            streams.insert(id, entry);
        }
        let pump = Pump { id, out: self.out.clone(), piece: self.limits.piece, window, credit };
        let shared = Arc::clone(self);
        // Ends with the stream: when both of its ends are closed, at a reset, or when all are cleared.
        tokio::spawn(async move {
            let running = pump.run(ours, arrived, |bytes| shared.consumed(id, bytes));
            let ended = stop.run_until_cancelled(running).await;
            if let Some(Err(why)) = ended {
                shared.refuse(id, why);
            }
            shared.end(id);
        });
        Some(theirs)
    }

    fn data(&self, id: u64, offset: u64, bytes: Bytes) {
        let problem = {
            let mut streams = self.streams();
            match streams.get_mut(&id) {
                None => Some("no such stream"),
                Some(entry) if entry.offset != offset => Some("bytes are missing"),
                Some(entry) => {
                    match u32::try_from(bytes.len()).ok().and_then(|n| entry.room.checked_sub(n)) {
                        None => Some("more than the window allows"),
                        Some(room) => {
                            entry.room = room;
                            entry.offset += bytes.len() as u64;
                            // A stream whose task has ended takes nothing more, and needs nothing more.
                            let _ = entry.inbox.send(Arrived::Data(bytes));
                            None
                        }
                    }
                }
            }
        };
        if let Some(problem) = problem {
            self.end(id);
            self.refuse(id, problem);
        }
    }

    fn credit(&self, id: u64, bytes: u32) {
        let excessive = self.streams().get(&id).is_some_and(|entry| {
            let excessive = entry.credit.available_permits() + bytes as usize > Semaphore::MAX_PERMITS / 2;
            if !excessive {
                entry.credit.add_permits(bytes as usize);
            }
            excessive
        });
        if excessive {
            self.end(id);
            self.refuse(id, "more credit than anybody can use");
        }
    }

    /// The reader has taken so much: the peer may send as much again.
    fn consumed(&self, id: u64, bytes: u32) {
        if let Some(entry) = self.streams().get_mut(&id) {
            entry.room = entry.room.saturating_add(bytes);
        }
    }

    fn end(&self, id: u64) {
        if let Some(entry) = self.streams().remove(&id) {
            entry.stop.cancel();
        }
    }

    /// Says that a stream is over. Where the bus has no room the peer finds out by itself: it gets no credit.
    fn refuse(&self, id: u64, why: &str) {
        let _ = self.out.try_send(Packet { stream: id, kind: Kind::Reset(why.to_owned()) });
    }
}
