//! Whole files, from and to wherever they are on this side.

use super::calls::bad_reply;
use super::driver::Payload;
use super::reply::{Expect, PIECE, Piece, Reply};
use super::{Client, Error};
use crate::proto::Request;
use crate::stream::blocking;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// Pieces that wait between the connection and whoever takes or gives them.
const PIECES: usize = 4;

/// What is sent.
pub struct Body<'a> {
    len: u64,
    from: From<'a>,
}

enum From<'a> {
    Bytes(Bytes),
    File(Arc<File>, u64, Option<Arc<AtomicU64>>),
    Read(Box<dyn AsyncRead + Send + Unpin + 'a>),
}

impl std::convert::From<Bytes> for Body<'_> {
    fn from(bytes: Bytes) -> Self {
        Self { len: bytes.len() as u64, from: From::Bytes(bytes) }
    }
}

impl<'a> Body<'a> {
    /// A part of a file, sent by the kernel alone where the connection allows.
    pub fn file(file: File, offset: u64, len: u64) -> Self {
        Self { len, from: From::File(Arc::new(file), offset, None) }
    }

    /// The same, counting there what has been sent.
    pub fn counted(file: File, offset: u64, len: u64, sent: Arc<AtomicU64>) -> Self {
        Self { len, from: From::File(Arc::new(file), offset, Some(sent)) }
    }

    /// So many bytes, as they can be read. If there are fewer, the connection is closed.
    pub fn read(reader: impl AsyncRead + Send + Unpin + 'a, len: u64) -> Self {
        Self { len, from: From::Read(Box::new(reader)) }
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Client {
    /// A whole file, if it has no more bytes than that.
    /// Fails also if it is longer, which closes the connection.
    pub async fn getfile(&self, path: impl AsRef<[u8]>, limit: u64) -> Result<Bytes, Error> {
        let expect = Expect::Bytes { max: limit, head: false, tail: 0 };
        Ok(self.call(&Request::Getfile { path: path.as_ref().into() }, expect).await?.bytes.into())
    }

    /// A whole file, into a writer. How long it is.
    /// Fails also if the writer fails, which closes the connection.
    pub async fn getfile_into(
        &self,
        path: impl AsRef<[u8]>,
        writer: &mut (impl AsyncWrite + Send + Unpin),
    ) -> Result<u64, Error> {
        let request = Request::Getfile { path: path.as_ref().into() };
        let mut incoming = self.incoming(&request, false, 0).await?;
        while let Some(piece) = incoming.next().await {
            write(writer, &request, &piece).await?;
        }
        let len = incoming.end().await?.result;
        writer.flush().await.map_err(|source| local(&request, source))?;
        Ok(len)
    }

    /// A whole file, into a file of this side from its beginning on: written on threads that may wait for a disk,
    /// while more comes. How long it is.
    pub async fn fetch(&self, path: impl AsRef<[u8]>, file: File) -> Result<u64, Error> {
        let request = Request::Getfile { path: path.as_ref().into() };
        let mut incoming = self.incoming(&request, false, 0).await?;
        incoming.save(&request, file, ()).await?;
        Ok(incoming.end().await?.result)
    }

    /// Begins to receive a file.
    pub(super) async fn incoming(
        &self,
        request: &Request,
        head: bool,
        tail: usize,
    ) -> Result<Incoming, Error> {
        let (to, pieces) = mpsc::channel(PIECES);
        let expect = Expect::Stream { to, head, tail };
        let answer = self.begin(request, Payload::Nothing, expect, self.about.config.silence).await?;
        let mut incoming =
            Incoming { client: self.clone(), pieces, answer: Some(answer), len: 0, head: BytesMut::new() };
        // Without a head it was refused: the answer tells why.
        match incoming.pieces.recv().await {
            Some(Piece::Head(len, head)) => (incoming.len, incoming.head) = (len, head),
            Some(Piece::Bytes(_)) => return Err(bad_reply(request.to_string(), "it has no beginning")),
            None => {
                incoming.end().await?;
                return Err(bad_reply(request.to_string(), "it has no content"));
            }
        }
        Ok(incoming)
    }

    /// Sends a whole file; the server replaces an old one. `mode`: permissions.
    /// Fails also if it has not taken all of it.
    pub async fn putfile(&self, path: impl AsRef<[u8]>, mode: u32, body: Body<'_>) -> Result<u64, Error> {
        let len = body.len;
        let request = Request::Putfile { path: path.as_ref().into(), mode: 0o100_000 | mode & 0o7777, len };
        let reply = self.send(&request, body, Expect::Twice).await?;
        // The real server answers an empty file with two zeroes, as it does with any other length.
        if reply.result == len {
            Ok(len)
        } else {
            Err(bad_reply(request.to_string(), "not all of it was taken"))
        }
    }

    /// Sends a request with its body.
    pub(super) async fn send(
        &self,
        request: &Request,
        body: Body<'_>,
        expect: Expect,
    ) -> Result<Reply, Error> {
        let silence = self.about.config.silence;
        match body.from {
            From::Bytes(bytes) => self.call_with(request, Payload::Bytes(bytes), expect).await,
            From::File(file, offset, sent) => {
                self.call_with(request, Payload::File { file, offset, len: body.len, sent }, expect).await
            }
            From::Read(mut reader) => {
                let (to, from) = mpsc::channel(PIECES);
                let payload = Payload::Pieces { from, len: body.len };
                let mut answer = self.begin(request, payload, expect, silence).await?;
                tokio::select! {
                    answer = &mut answer => return answer.map_err(|_| self.closed())?,
                    fed = feed(&mut reader, body.len, to) => fed.map_err(|source| local(request, source))?,
                }
                answer.await.map_err(|_| self.closed())?
            }
        }
    }
}

/// What bytes go through on their way.
pub(super) trait Through: Send + 'static {
    fn through(&mut self, bytes: &[u8]);
}

impl Through for () {
    fn through(&mut self, _: &[u8]) {}
}

impl Through for Sha256 {
    fn through(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

/// A file on its way in.
pub(super) struct Incoming {
    client: Client,
    pieces: mpsc::Receiver<Piece>,
    answer: Option<tokio::sync::oneshot::Receiver<Result<Reply, Error>>>,
    /// How long it is to be.
    pub(super) len: u64,
    /// The line before it.
    pub(super) head: BytesMut,
}

impl Incoming {
    /// Some more of it, until there is no more or it is broken: [`Incoming::end`] tells which.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        match self.pieces.recv().await {
            Some(Piece::Bytes(bytes)) => Some(bytes),
            Some(Piece::Head(..)) | None => None,
        }
    }

    /// Writes all of it to a file, and through `digest`.
    pub(super) async fn save<D: Through>(
        &mut self,
        request: &Request,
        file: File,
        digest: D,
    ) -> Result<D, Error> {
        let (mut at, mut work) = (0, (file, digest));
        while let Some(piece) = self.next().await {
            let offset = at;
            at += piece.len() as u64;
            let written = blocking(move || {
                work.0.write_all_at(&piece, offset)?;
                work.1.through(&piece);
                Ok(work)
            });
            work = written.await.map_err(|source| local(request, source))?;
        }
        Ok(work.1)
    }

    pub(super) async fn end(&mut self) -> Result<Reply, Error> {
        let answer = self.answer.take().ok_or_else(|| self.client.closed())?;
        answer.await.map_err(|_| self.client.closed())?
    }
}

async fn feed(
    reader: &mut (dyn AsyncRead + Send + Unpin + '_),
    len: u64,
    to: mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let mut reader = reader.take(len);
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        while piece.len() < PIECE && reader.read_buf(&mut piece).await? > 0 {}
        // If nobody takes it, the answer says why.
        if piece.is_empty() || to.send(piece).await.is_err() {
            return Ok(());
        }
    }
}

pub(super) async fn write(
    writer: &mut (impl AsyncWrite + Send + Unpin),
    request: &Request,
    piece: &[u8],
) -> Result<(), Error> {
    writer.write_all(piece).await.map_err(|source| local(request, source))
}

pub(super) fn local(request: &Request, source: io::Error) -> Error {
    Error::Local { path: format!("this side of {request}"), source }
}
