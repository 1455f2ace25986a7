//! The task that owns a connection: one half of it sends what it is given, the other hands out the answers.
//!
//! A body that needs the server's consent (`putfile`) holds up what comes after it; all else goes out as it comes.

use super::reply::{Expect, Reader, Reply};
use super::{Config, Error};
use crate::proto::Code;
use crate::stream::{Input, Output};
use bytes::{BufMut, Bytes, BytesMut};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

#[derive(Debug)]
pub(super) struct Job {
    /// Without its end.
    pub(super) line: String,
    pub(super) payload: Payload,
    pub(super) expect: Expect,
    pub(super) timeout: Duration,
    pub(super) reply: oneshot::Sender<Result<Reply, Error>>,
}

/// What is sent after the line.
#[derive(Debug)]
pub(super) enum Payload {
    Nothing,
    Bytes(Bytes),
    File {
        file: Arc<File>,
        offset: u64,
        len: u64,
        sent: Option<Arc<AtomicU64>>,
    },
    /// A whole file of that length, and its digest.
    Digested {
        file: Arc<File>,
        len: u64,
    },
    /// So many bytes, as they come.
    Pieces {
        from: mpsc::Receiver<Vec<u8>>,
        len: u64,
    },
}

/// A call that has been sent.
struct Flight {
    what: String,
    expect: Expect,
    timeout: Duration,
    reply: oneshot::Sender<Result<Reply, Error>>,
    consent: Option<oneshot::Sender<bool>>,
    _place: OwnedSemaphorePermit,
}

/// So much is collected before it is sent.
const COLLECT: usize = 128 * 1024;

pub(super) async fn run(
    mut input: Input,
    mut output: Output,
    mut jobs: mpsc::Receiver<Job>,
    config: Config,
    why: Arc<OnceLock<String>>,
) {
    let sent = AtomicU64::new(0);
    let (flights, mut waiting) = mpsc::unbounded_channel();
    let writer = async {
        let mut writer =
            Writer { output: &mut output, sent: &sent, config: &config, flights, out: BytesMut::new() };
        let ended = writer.run(&mut jobs).await.map_err(Error::Broke);
        // As the reader does it, before those who wait are told by the end of their channels.
        ended.inspect_err(|error| drop(why.set(error.to_string())))
    };
    let reader = read(&mut input, &mut waiting, &config, &sent, &why);
    // When there are no more calls, the reader still waits for the answers to the last.
    let _ = tokio::try_join!(writer, reader); // whoever still waits finds the reason
    // A call that was being queued just now would stay in the queue as long as there is a client, and be waited for.
    jobs.close();
    while jobs.recv().await.is_some() {}
}

async fn read(
    input: &mut Input,
    waiting: &mut mpsc::UnboundedReceiver<Flight>,
    config: &Config,
    sent: &AtomicU64,
    why: &OnceLock<String>,
) -> Result<(), Error> {
    while let Some(Flight { what, expect, timeout, reply, consent, _place }) = waiting.recv().await {
        let mut reader = Reader { input, config, sent, what: &what, timeout };
        let answer = answer(&mut reader, expect, consent).await;
        let lost = answer.as_ref().err().map(ToString::to_string);
        let answer =
            answer.and_then(|answer| answer.map_err(|code| Error::Refused { what: what.clone(), code }));
        if let Some(lost) = &lost {
            let _ = why.set(lost.clone());
        }
        let _ = reply.send(answer); // who asked may be gone
        if let Some(lost) = lost {
            return Err(Error::Closed { why: lost });
        }
    }
    Ok(())
}

async fn answer(
    reader: &mut Reader<'_>,
    expect: Expect,
    consent: Option<oneshot::Sender<bool>>,
) -> Result<Result<Reply, Code>, Error> {
    let mut result = reader.result().await?;
    if let Some(consent) = consent {
        let _ = consent.send(result.is_ok()); // the writer is there, or the connection is over
        if result.is_ok() {
            result = reader.result().await?;
        }
    }
    match result {
        Ok(result) => reader.rest(result, expect).await.map(Ok),
        Err(code) => Ok(Err(code)),
    }
}

struct Writer<'a> {
    output: &'a mut Output,
    sent: &'a AtomicU64,
    config: &'a Config,
    flights: mpsc::UnboundedSender<Flight>,
    out: BytesMut,
}

impl Writer<'_> {
    async fn run(&mut self, jobs: &mut mpsc::Receiver<Job>) -> io::Result<()> {
        let places = Arc::new(Semaphore::new(self.config.in_flight));
        while let Some(first) = jobs.recv().await {
            let mut next = Some(first);
            while let Some(job) = next {
                let place = match places.clone().try_acquire_owned() {
                    Ok(place) => place,
                    Err(_) => {
                        self.flush().await?;
                        places.clone().acquire_owned().await.map_err(io::Error::other)?
                    }
                };
                // Given up before it was sent: never mind.
                if !job.reply.is_closed() {
                    self.send(job, place).await?;
                }
                next = jobs.try_recv().ok();
            }
            self.flush().await?;
        }
        Ok(())
    }

    async fn send(&mut self, job: Job, place: OwnedSemaphorePermit) -> io::Result<()> {
        let Job { line, payload, expect, timeout, reply } = job;
        self.out.put_slice(line.as_bytes());
        self.out.put_u8(b'\n');
        let (consent, asked) = match expect {
            Expect::Twice => {
                let (consent, asked) = oneshot::channel();
                (Some(consent), Some(asked))
            }
            _ => (None, None),
        };
        let flight = Flight { what: line, expect, timeout, reply, consent, _place: place };
        // If the reader is gone, so will this be at the next write.
        let _ = self.flights.send(flight);
        if let Some(asked) = asked {
            self.flush().await?;
            if !asked.await.unwrap_or(false) {
                return Ok(());
            }
        }
        self.payload(payload).await
    }

    async fn payload(&mut self, payload: Payload) -> io::Result<()> {
        match payload {
            Payload::Nothing => {}
            Payload::Bytes(bytes) if bytes.len() <= COLLECT => self.out.put_slice(&bytes),
            Payload::Bytes(bytes) => {
                self.flush().await?;
                for piece in bytes.chunks(COLLECT) {
                    self.write(piece).await?;
                }
            }
            Payload::File { file, offset, len, sent } => {
                self.flush().await?;
                let progress = |bytes| {
                    self.sent.fetch_add(bytes, Ordering::Relaxed);
                    if let Some(sent) = &sent {
                        sent.fetch_add(bytes, Ordering::Relaxed);
                    }
                };
                self.output.file(file, offset, len, self.config.silence, progress).await?;
            }
            Payload::Digested { file, len } => {
                self.flush().await?;
                let progress = |bytes| {
                    self.sent.fetch_add(bytes, Ordering::Relaxed);
                };
                let digest = self.output.hashed(file, 0, len, self.config.silence, progress).await?;
                self.out.put_slice(&digest);
            }
            Payload::Pieces { mut from, len } => {
                self.flush().await?;
                let mut left = len;
                while left > 0 {
                    // Without all of it the next request would be taken for its rest.
                    let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "a body ended too early");
                    let piece = from.recv().await.ok_or_else(ended)?;
                    let most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.write(piece.get(..most).unwrap_or_default()).await?;
                    left -= most as u64;
                }
            }
        }
        if self.out.len() > COLLECT { self.flush().await } else { Ok(()) }
    }

    async fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.output.write(piece, self.config.silence).await?;
        self.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.output.write(&self.out, self.config.silence).await?;
            self.sent.fetch_add(1, Ordering::Relaxed);
            self.out.clear();
        }
        Ok(())
    }
}
