//! What a session runs over, and what both ends do with it: lines, bodies, files sent without being copied.

use bytes::{Buf, BytesMut};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

/// Anything that bytes go through both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What a session runs over. Files are sent by the kernel alone over the first two.
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// Anything else, such as a tunnel.
    Other(Box<dyn Duplex>),
}

impl Stream {
    /// Any other transport.
    pub fn other(duplex: impl Duplex + 'static) -> Self {
        Self::Other(Box::new(duplex))
    }

    /// Reading and writing apart, so that neither waits for the other.
    pub(crate) fn split(self) -> (Input, Output) {
        let (source, sink) = match self {
            Self::Tcp(stream) => {
                let _ = stream.set_nodelay(true); // it is slower without
                let (read, write) = stream.into_split();
                (Source::Tcp(read), Sink::Tcp(write))
            }
            Self::Unix(stream) => {
                let (read, write) = stream.into_split();
                (Source::Unix(read), Sink::Unix(write))
            }
            Self::Other(duplex) => {
                let (read, write) = tokio::io::split(duplex);
                (Source::Other(read), Sink::Other(write))
            }
        };
        (Input { source, buffer: BytesMut::new(), skipping: false }, Output { sink, raw: None })
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl From<tokio::io::DuplexStream> for Stream {
    fn from(stream: tokio::io::DuplexStream) -> Self {
        Self::other(stream)
    }
}

enum Source {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
    Other(tokio::io::ReadHalf<Box<dyn Duplex>>),
}

impl AsyncRead for Source {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_read(cx, buf),
            Self::Unix(half) => Pin::new(half).poll_read(cx, buf),
            Self::Other(half) => Pin::new(half).poll_read(cx, buf),
        }
    }
}

/// A line was longer than allowed. All of it is gone.
#[derive(Debug)]
pub(crate) struct TooLong;

/// The reading half, with what has been read and not been used.
pub(crate) struct Input {
    source: Source,
    buffer: BytesMut,
    skipping: bool,
}

/// How much is read at once where lines are expected.
const READ: usize = 32 * 1024;

impl Input {
    /// A line that has been read already, without its line feed; `None`: [`Input::fill`] first.
    pub(crate) fn line(&mut self, longest: usize) -> Result<Option<BytesMut>, TooLong> {
        let Some(end) = memchr::memchr(b'\n', &self.buffer) else {
            if self.buffer.len() > longest {
                self.skipping = true;
                self.buffer.clear();
            }
            return Ok(None);
        };
        let mut line = self.buffer.split_to(end + 1);
        if std::mem::take(&mut self.skipping) || end > longest {
            return Err(TooLong);
        }
        line.truncate(end);
        Ok(Some(line))
    }

    /// Reads something. No bytes: the peer has closed.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ);
        self.source.read_buf(&mut self.buffer).await
    }

    /// Whether the line that is being read is too long already.
    pub(crate) fn is_skipping(&self) -> bool {
        self.skipping
    }

    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// So many bytes, if they have been read already.
    pub(crate) fn take(&mut self, len: usize) -> Option<BytesMut> {
        (self.buffer.len() >= len).then(|| self.buffer.split_to(len))
    }

    /// Something of a body, straight into the buffer where nothing was read ahead: at most `most` bytes.
    pub(crate) async fn read(&mut self, into: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        if self.buffer.is_empty() {
            return (&mut self.source).take(most as u64).read_buf(into).await;
        }
        let len = most.min(self.buffer.len());
        into.extend_from_slice(self.buffer.get(..len).unwrap_or_default());
        self.buffer.advance(len);
        Ok(len)
    }
}

enum Sink {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
    Other(tokio::io::WriteHalf<Box<dyn Duplex>>),
}

pub(crate) struct Output {
    sink: Sink,
    /// The same socket once more, for the thread that sends files.
    raw: Option<Arc<OwnedFd>>,
}

/// How much of a file is sent, or read, at once.
const SEND: usize = 4 * 1024 * 1024;
const COPY: usize = 256 * 1024;

impl Output {
    /// Writes everything; `stall` is how long the peer may take none of it.
    pub(crate) async fn write(&mut self, mut bytes: &[u8], stall: Duration) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match &mut self.sink {
                Sink::Tcp(half) => within(stall, half.write(bytes)).await?,
                Sink::Unix(half) => within(stall, half.write(bytes)).await?,
                Sink::Other(half) => within(stall, half.write(bytes)).await?,
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(written..).unwrap_or_default();
        }
        match &mut self.sink {
            Sink::Other(half) => within(stall, half.flush()).await,
            _ => Ok(()),
        }
    }

    /// Tells the peer that nothing more comes.
    pub(crate) async fn close(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Tcp(half) => half.shutdown().await,
            Sink::Unix(half) => half.shutdown().await,
            Sink::Other(half) => half.shutdown().await,
        }
    }

    /// Sends a part of a file. `sent` is told of every piece.
    /// Fails also if the file is shorter than that: what was promised can't be sent any more.
    pub(crate) async fn file(
        &mut self,
        file: Arc<File>,
        mut offset: u64,
        len: u64,
        stall: Duration,
        mut sent: impl FnMut(u64),
    ) -> io::Result<()> {
        let end = offset.saturating_add(len);
        let raw = self.raw()?;
        let mut buffer = Vec::new();
        while offset < end {
            let before = offset;
            if let Some(raw) = &raw {
                let (socket, file) = (raw.clone(), file.clone());
                let most = usize::try_from(end - offset).unwrap_or(SEND).min(SEND);
                let result = blocking(move || {
                    let mut at = offset;
                    rustix::fs::sendfile(&*socket, &*file, Some(&mut at), most).map_err(io::Error::from)
                });
                match result.await {
                    Ok(0) => return Err(shrunk()),
                    Ok(sent) => offset += sent as u64,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.writable(raw, stall).await?;
                    }
                    Err(error) => return Err(error),
                }
            } else {
                let most = usize::try_from(end - offset).unwrap_or(COPY).min(COPY);
                buffer = read_at(file.clone(), offset, buffer, most).await?;
                if buffer.is_empty() {
                    return Err(shrunk());
                }
                self.write(&buffer, stall).await?;
                offset += buffer.len() as u64;
            }
            sent(offset - before);
        }
        Ok(())
    }

    /// Sends a part of a file and gives its SHA-256: the next piece is read and digested while one is sent.
    pub(crate) async fn hashed(
        &mut self,
        file: Arc<File>,
        offset: u64,
        len: u64,
        stall: Duration,
        mut sent: impl FnMut(u64),
    ) -> io::Result<[u8; 32]> {
        let end = offset.saturating_add(len);
        let read = |at: u64, buffer: Vec<u8>, digest: Sha256| {
            let (file, most) =
                (file.clone(), usize::try_from(end.saturating_sub(at)).unwrap_or(COPY).min(COPY));
            // On its way at once, not when it is waited for.
            tokio::task::spawn_blocking(move || digested(&file, at, most, buffer, digest))
        };
        let (mut at, mut spare) = (offset, Vec::new());
        let mut next = read(at, Vec::new(), Sha256::new());
        loop {
            let (piece, digest) = next.await.map_err(io::Error::other)??;
            if piece.is_empty() {
                return if at == end { Ok(digest.finalize().into()) } else { Err(shrunk()) };
            }
            at += piece.len() as u64;
            next = read(at, spare, digest);
            self.write(&piece, stall).await?;
            sent(piece.len() as u64);
            spare = piece;
        }
    }

    /// The socket's descriptor once more: tokio's own can't be borrowed by another thread.
    fn raw(&mut self) -> io::Result<Option<Arc<OwnedFd>>> {
        if self.raw.is_none() {
            let fd = match &self.sink {
                Sink::Tcp(half) => half.as_ref().as_fd(),
                Sink::Unix(half) => half.as_ref().as_fd(),
                Sink::Other(_) => return Ok(None),
            };
            self.raw = Some(Arc::new(fd.try_clone_to_owned()?));
        }
        Ok(self.raw.clone())
    }

    /// Waits until the socket takes something. Asked of the socket itself within `try_io`: only so does tokio forget
    /// that it once was writable, and notice when it is again.
    async fn writable(&mut self, raw: &OwnedFd, stall: Duration) -> io::Result<()> {
        let ask = || {
            let mut fds = [rustix::event::PollFd::new(raw, rustix::event::PollFlags::OUT)];
            match rustix::event::poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })) {
                Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
                Ok(_) => Ok(()),
                Err(error) => Err(error.into()),
            }
        };
        let ready = async {
            loop {
                let asked = match &mut self.sink {
                    Sink::Tcp(half) => {
                        half.writable().await?;
                        half.as_ref().try_io(Interest::WRITABLE, ask)
                    }
                    Sink::Unix(half) => {
                        half.writable().await?;
                        half.as_ref().try_io(Interest::WRITABLE, ask)
                    }
                    Sink::Other(_) => return Ok(()),
                };
                match asked {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    other => return other,
                }
            }
        };
        within(stall, ready).await
    }
}

/// Reads a piece of a file into a buffer that is handed back: at most `most` bytes, fewer at its end.
async fn read_at(file: Arc<File>, offset: u64, mut buffer: Vec<u8>, most: usize) -> io::Result<Vec<u8>> {
    blocking(move || {
        fill(&file, offset, most, &mut buffer)?;
        Ok(buffer)
    })
    .await
}

/// The same at once, with the digest of what was before taken further.
fn digested(
    file: &File,
    offset: u64,
    most: usize,
    mut buffer: Vec<u8>,
    mut digest: Sha256,
) -> io::Result<(Vec<u8>, Sha256)> {
    fill(file, offset, most, &mut buffer)?;
    digest.update(&buffer);
    Ok((buffer, digest))
}

/// Reads at most `most` bytes from there into the buffer, fewer at the end of the file.
pub(crate) fn fill(file: &File, offset: u64, most: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.resize(most, 0);
    let mut read = 0;
    while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(read);
    Ok(())
}

/// On a thread that may wait for a disk.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// No longer than that.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

fn shrunk() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was sent")
}
