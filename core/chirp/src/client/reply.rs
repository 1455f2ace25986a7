//! Answers, read with suspicion: each has a shape that was asked for, and a limit.

use super::{Config, Error};
use crate::proto::Code;
use crate::stream::Input;
use bytes::BytesMut;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// The shape of an answer that is no refusal.
#[derive(Debug)]
pub(super) enum Expect {
    /// The result and nothing else.
    Number,
    /// So many lines.
    Lines(usize),
    /// As many lines as the result says.
    Counted,
    /// Lines up to an empty one.
    Listing,
    /// As many bytes as the result says; `head`: a line before them; `tail`: so many bytes after them.
    Bytes { max: u64, head: bool, tail: usize },
    /// The same, as they come.
    Stream { to: mpsc::Sender<Piece>, head: bool, tail: usize },
    /// Two results: the body may be sent, and it has arrived.
    Twice,
}

/// Of a body that is handed out as it comes.
#[derive(Debug)]
pub(super) enum Piece {
    /// How long it is, and the line before it.
    Head(u64, BytesMut),
    Bytes(Vec<u8>),
}

#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) result: u64,
    pub(super) lines: Vec<BytesMut>,
    pub(super) bytes: Vec<u8>,
    pub(super) tail: Vec<u8>,
}

/// How much of a body is read at once.
pub(super) const PIECE: usize = 256 * 1024;

pub(super) struct Reader<'a> {
    pub(super) input: &'a mut Input,
    pub(super) config: &'a Config,
    /// Grows when something is sent: then silence is no wonder.
    pub(super) sent: &'a AtomicU64,
    pub(super) what: &'a str,
    pub(super) timeout: Duration,
}

impl Reader<'_> {
    /// The result; a refusal is the inner error.
    pub(super) async fn result(&mut self) -> Result<Result<u64, Code>, Error> {
        let line = self.line().await?;
        let number = std::str::from_utf8(&line).ok().and_then(|line| line.trim().parse::<i64>().ok());
        let number = number.ok_or_else(|| self.bad_reply("it does not begin with a number"))?;
        Ok(u64::try_from(number).map_err(|_| Code::from_number(number)))
    }

    pub(super) async fn rest(&mut self, result: u64, expect: Expect) -> Result<Reply, Error> {
        let mut reply = Reply { result, ..Reply::default() };
        match expect {
            Expect::Number | Expect::Twice => {}
            Expect::Lines(count) => self.lines(count, &mut reply).await?,
            Expect::Counted => {
                let count = usize::try_from(result).ok().filter(|count| *count <= self.config.entries);
                let count = count.ok_or_else(|| self.limit(self.config.entries as u64, "entries"))?;
                self.lines(count, &mut reply).await?;
            }
            Expect::Listing => self.listing(&mut reply).await?,
            Expect::Bytes { max, head, tail } => {
                if result > max {
                    return Err(self.limit(max, "bytes"));
                }
                self.lines(usize::from(head), &mut reply).await?;
                self.bytes(result, &mut reply.bytes).await?;
                self.bytes(tail as u64, &mut reply.tail).await?;
            }
            Expect::Stream { to, head, tail } => {
                self.lines(usize::from(head), &mut reply).await?;
                let line = reply.lines.pop().unwrap_or_default();
                self.stream(result, line, &to).await?;
                self.bytes(tail as u64, &mut reply.tail).await?;
            }
        }
        Ok(reply)
    }

    async fn lines(&mut self, count: usize, reply: &mut Reply) -> Result<(), Error> {
        let mut room = self.config.listing;
        for _ in 0..count {
            let line = self.line().await?;
            room = room
                .checked_sub(line.len())
                .ok_or_else(|| self.limit(self.config.listing as u64, "bytes"))?;
            reply.lines.push(line);
        }
        Ok(())
    }

    async fn listing(&mut self, reply: &mut Reply) -> Result<(), Error> {
        let mut room = self.config.listing;
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(());
            }
            room = room
                .checked_sub(line.len())
                .ok_or_else(|| self.limit(self.config.listing as u64, "bytes"))?;
            // A name and its stat are two lines.
            if reply.lines.len() >= 2 * self.config.entries {
                return Err(self.limit(self.config.entries as u64, "entries"));
            }
            reply.lines.push(line);
        }
    }

    async fn bytes(&mut self, len: u64, into: &mut Vec<u8>) -> Result<(), Error> {
        let len = usize::try_from(len).map_err(|_| self.limit(u64::MAX, "bytes"))?;
        while into.len() < len {
            // Not all at once: what was announced may never come.
            let most = (len - into.len()).min(PIECE);
            into.reserve(most);
            self.some(into, most).await?;
        }
        Ok(())
    }

    async fn stream(&mut self, len: u64, head: BytesMut, to: &mpsc::Sender<Piece>) -> Result<(), Error> {
        let gone = || Error::Closed { why: "a file that was being read is not wanted any more".into() };
        to.send(Piece::Head(len, head)).await.map_err(|_| gone())?;
        let mut left = len;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let mut piece = Vec::with_capacity(most);
            while piece.len() < most {
                let room = most - piece.len();
                self.some(&mut piece, room).await?;
            }
            left -= piece.len() as u64;
            to.send(Piece::Bytes(piece)).await.map_err(|_| gone())?;
        }
        Ok(())
    }

    pub(super) async fn line(&mut self) -> Result<BytesMut, Error> {
        loop {
            match self.input.line(self.config.line) {
                Ok(Some(line)) => return Ok(line),
                Ok(None) if self.input.is_skipping() => {
                    return Err(self.limit(self.config.line as u64, "bytes in a line"));
                }
                Ok(None) => {}
                Err(_) => return Err(self.limit(self.config.line as u64, "bytes in a line")),
            }
            self.some(&mut Vec::new(), 0).await?;
        }
    }

    /// Something more, into the input's own buffer or past it, within the time that is left to the peer.
    async fn some(&mut self, into: &mut Vec<u8>, most: usize) -> Result<(), Error> {
        loop {
            let before = self.sent.load(Ordering::Relaxed);
            let read =
                async { if most == 0 { self.input.fill().await } else { self.input.read(into, most).await } };
            match tokio::time::timeout(self.timeout, read).await {
                Ok(Ok(0)) => return Err(Error::Broke(io::ErrorKind::UnexpectedEof.into())),
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => return Err(Error::Broke(error)),
                Err(_) if self.sent.load(Ordering::Relaxed) != before => {}
                Err(_) => return Err(Error::Silent { what: self.what.into(), after: self.timeout }),
            }
        }
    }

    fn bad_reply(&self, why: &'static str) -> Error {
        Error::BadReply { what: self.what.into(), why }
    }

    fn limit(&self, limit: u64, unit: &'static str) -> Error {
        Error::Limit { what: format!("the answer to {}", self.what), limit, unit }
    }
}
