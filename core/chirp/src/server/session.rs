//! One connection: lines in, answers out, bodies and files through.
//!
//! ```text
//!          ┌──────────── read more ◀───────────────┐
//!          ▼                                       │
//!  lines read so far ─▶ jobs ─▶ one visit to ─▶ answers sent
//!                               a thread for   └─ a body is to be received, or a file sent: that first
//!                               disks
//! ```

use super::dispatch::{Body, Job, Refused, Then, finish};
use super::files::Files;
use super::login::Subject;
use super::sink::Sink;
use super::verbs::stat_at_once;
use super::{Error, Shared};
use crate::proto::{Malformed, Request};
use crate::stream::{Input, Output, blocking, within};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinHandle;

/// Bodies up to here are read before their request is done; larger ones while it is.
const INLINE: u64 = 64 * 1024;
/// Requests done in one visit, and bytes of bodies that come with them.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 1024 * 1024;
/// How much of a body is written at once.
const PIECE: usize = 256 * 1024;

struct Session {
    shared: Arc<Shared>,
    input: Input,
    output: Output,
    /// Away while a thread works with it.
    files: Option<Box<Files>>,
    out: BytesMut,
    condor: bool,
    /// A request whose body hasn't arrived, and how long that is.
    waiting: Option<(Result<Request, Refused>, usize)>,
    /// Said by the client: nothing more comes.
    over: bool,
}

/// Tells the threads that nobody waits for their work any more.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(super) async fn run(
    shared: &Arc<Shared>,
    input: Input,
    output: Output,
    subject: Subject,
) -> Result<(), Error> {
    let gone = Gone(Arc::new(AtomicBool::new(false)));
    let condor = subject.condor;
    let files = Some(Box::new(Files::new(shared.clone(), subject, gone.0.clone())));
    let shared = shared.clone();
    let mut session =
        Session { shared, input, output, files, out: BytesMut::new(), condor, waiting: None, over: false };
    session.serve().await
}

impl Session {
    async fn serve(&mut self) -> Result<(), Error> {
        let mut jobs = VecDeque::new();
        loop {
            self.gather(&mut jobs);
            while !jobs.is_empty() {
                let then = self.work(&mut jobs).await?;
                if let Some(then) = then
                    && self.then(then).await?
                {
                    return Ok(());
                }
            }
            self.flush().await?;
            if self.over {
                return Ok(());
            }
            // A request may have been left, when the batch was full.
            if self.input.buffered() > 0 && self.gather(&mut jobs) {
                continue;
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Error> {
        let limits = &self.shared.limits;
        // In the midst of a line or a body the peer is not idle, but stalled.
        let limit = if self.input.buffered() > 0 { limits.stall } else { limits.idle };
        match within(limit, self.input.fill()).await {
            Ok(0) => self.over = true,
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Error::Idle(limit)),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Takes what has been read apart into jobs, until a body or the batch's end. Whether there is anything to do.
    fn gather(&mut self, jobs: &mut VecDeque<Job>) -> bool {
        let mut taken = 0;
        while jobs.len() < BATCH && taken < BATCH_BYTES {
            let (request, len) = match self.waiting.take() {
                Some(waiting) => waiting,
                None => match self.request() {
                    None => break,
                    Some((request, len)) if len > INLINE => {
                        jobs.push_back(Job { request, body: Body::Coming(len) });
                        break;
                    }
                    Some((request, len)) => (request, usize::try_from(len).unwrap_or_default()),
                },
            };
            let Some(bytes) = self.input.take(len) else {
                self.waiting = Some((request, len));
                break;
            };
            taken += len;
            let stops = matches!(&request, Ok(Request::Putfile { .. } | Request::Putstream { .. }));
            jobs.push_back(Job { request, body: Body::Here(bytes) });
            if stops {
                break;
            }
        }
        !jobs.is_empty()
    }

    /// The next request that has been read, and how many bytes belong to it.
    fn request(&mut self) -> Option<(Result<Request, Refused>, u64)> {
        loop {
            let line = match self.input.line(self.shared.limits.line) {
                Ok(None) => return None,
                Ok(Some(line)) => line,
                Err(_) => return Some((Err(Refused::TooLong), 0)),
            };
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.first() == Some(&4) {
                self.over = true;
                return None;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            return Some(match Request::parse(line, self.condor) {
                Ok(request) => {
                    let len = request.body().unwrap_or(0);
                    (Ok(request), len)
                }
                Err(malformed @ Malformed::WithBody(len)) => (Err(Refused::Malformed(malformed)), len),
                Err(malformed) => (Err(Refused::Malformed(malformed)), 0),
            });
        }
    }

    /// One visit to a thread that may wait for a disk.
    async fn work(&mut self, jobs: &mut VecDeque<Job>) -> Result<Option<Then>, Error> {
        let mut files = self.take_files()?;
        while let Some(Job { request: Ok(request), .. }) = jobs.front()
            && stat_at_once(&files, request, &mut self.out)
        {
            jobs.pop_front();
        }
        if jobs.is_empty() {
            self.files = Some(files);
            return Ok(None);
        }
        let mut work = std::mem::take(jobs);
        let mut out = std::mem::take(&mut self.out);
        let (files, left, out, then) = blocking(move || {
            let then = files.run(&mut work, &mut out);
            Ok((files, work, out, then))
        })
        .await?;
        (self.files, *jobs, self.out) = (Some(files), left, out);
        Ok(then)
    }

    fn take_files(&mut self) -> io::Result<Box<Files>> {
        self.files.take().ok_or_else(|| io::Error::other("the session's files are away"))
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.output.write(&self.out, self.shared.limits.stall).await?;
            self.out.clear();
        }
        Ok(())
    }

    /// Whether the connection is over after it.
    async fn then(&mut self, then: Then) -> Result<bool, Error> {
        self.flush().await?;
        match then {
            Then::Close(None) => Ok(true),
            Then::Close(Some(why)) => Err(Error::Lost(why)),
            Then::Receive { sink, len } => self.receive(sink, len).await.map(|()| len.is_none()),
            Then::Send { file, offset, len, hashed, close } => {
                let stall = self.shared.limits.stall;
                if hashed {
                    let digest = self.output.hashed(file, offset, len, stall, |_| ()).await?;
                    self.output.write(&digest, stall).await?;
                } else {
                    self.output.file(file, offset, len, stall, |_| ()).await?;
                }
                if close {
                    self.output.close().await?;
                }
                Ok(close)
            }
        }
    }

    /// Reads the next piece while the one before it is written.
    async fn receive(&mut self, sink: Sink, len: Option<u64>) -> Result<(), Error> {
        let mut left = len.unwrap_or(u64::MAX);
        let mut away: Option<JoinHandle<_>> = None;
        let mut home = Some((sink, Vec::new()));
        let mut piece = Vec::with_capacity(usize::try_from(left).unwrap_or(PIECE).min(PIECE));
        while left > 0 {
            let ended = self.piece(&mut piece, left).await?;
            left -= piece.len() as u64;
            let (mut sink, mut spare) = match away.take() {
                Some(work) => work.await.map_err(io::Error::other)?,
                None => home.take().ok_or_else(|| io::Error::other("a sink is away"))?,
            };
            spare.clear();
            let full = std::mem::replace(&mut piece, spare);
            piece.reserve(usize::try_from(left).unwrap_or(PIECE).min(PIECE));
            away = Some(tokio::task::spawn_blocking(move || {
                sink.write(&full);
                (sink, full)
            }));
            if ended && len.is_some() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if ended {
                break;
            }
        }
        let sink = match away {
            Some(work) => work.await.map_err(io::Error::other)?.0,
            None => home.ok_or_else(|| io::Error::other("a sink is away"))?.0,
        };
        self.received(sink).await
    }

    async fn received(&mut self, sink: Sink) -> Result<(), Error> {
        let mut files = self.take_files()?;
        let mut out = std::mem::take(&mut self.out);
        let (files, out) = blocking(move || {
            let _ = finish(sink, &mut files, &mut out); // a sink never asks for more
            Ok((files, out))
        })
        .await?;
        (self.files, self.out) = (Some(files), out);
        Ok(())
    }

    /// Fills a piece. Whether the client has closed.
    async fn piece(&mut self, piece: &mut Vec<u8>, left: u64) -> Result<bool, Error> {
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        while piece.len() < most {
            let room = most - piece.len();
            let read = within(self.shared.limits.stall, self.input.read(piece, room)).await?;
            if read == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
