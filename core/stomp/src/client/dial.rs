//! How a connection comes about: TCP, or whatever else carries bytes both ways.

use std::future::Future;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Makes a new stream of bytes to the broker for each attempt.
pub trait Dial: Send + Sync + 'static {
    /// What it makes.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// One attempt. It is dropped when it takes longer than the client is configured to wait.
    fn dial(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

pub(super) struct Tcp {
    pub(super) address: String,
}

impl Dial for Tcp {
    type Stream = TcpStream;

    async fn dial(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(&self.address).await?;
        // Frames are written whole; waiting for more would only delay the last one.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
