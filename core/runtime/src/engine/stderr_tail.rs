//! What a word writes to its standard error: the text of a panic, mostly. The end of it is kept, for the
//! message about the crash; a word that writes a lot is not stopped for that.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// More than this is not repeated in a message.
const MAX_BYTES: usize = 2_000;

/// A stream that keeps the last bytes written to it. Clones are the same stream.
#[derive(Clone, Debug)]
pub(crate) struct StderrTail {
    bytes: Arc<Mutex<VecDeque<u8>>>,
    limit: usize,
}

impl StderrTail {
    /// Keeps as many bytes as the word may log, and no more than a message repeats.
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Arc::default(), limit: limit.min(MAX_BYTES) }
    }

    /// What was written last, on one line.
    pub(crate) fn text(&self) -> String {
        let bytes = Vec::from(self.lock().clone());
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(without_thread).filter(|line| !line.is_empty() && !is_advice(line));
        lines.collect::<Vec<_>>().join(" ")
    }

    fn keep(&self, written: &[u8]) {
        let mut bytes = self.lock();
        bytes.extend(&written[written.len().saturating_sub(self.limit)..]);
        let excess = bytes.len().saturating_sub(self.limit);
        bytes.drain(..excess);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A word has but one thread, and Rust doesn't know its name.
fn without_thread(line: &str) -> &str {
    let line = line.trim();
    line.strip_prefix("thread '").and_then(|rest| Some(&rest[rest.find("panicked at ")?..])).unwrap_or(line)
}

/// Rust's advice is for those who can run the word by hand.
fn is_advice(line: &str) -> bool {
    line.starts_with("note: run with `RUST_BACKTRACE=")
}

#[wasmtime_wasi::async_trait]
impl Pollable for StderrTail {
    async fn ready(&mut self) {}
}

impl OutputStream for StderrTail {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.keep(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

impl StdoutStream for StderrTail {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl IsTerminal for StderrTail {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl AsyncWrite for StderrTail {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.keep(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept() {
        let words = StderrTail::new(8);
        words.keep(b"in the beginning");
        words.keep(b" the end");
        words.keep(b"!");
        assert_eq!(words.text(), "the end!");
    }

    #[test]
    fn a_panic_becomes_one_line() {
        let words = StderrTail::new(1000);
        words.keep(b"\nthread '<unnamed>' panicked at src/lib.rs:1:2:\nto order\nnote: run with `RUST_BACKTRACE=1` environment\n");
        assert_eq!(words.text(), "panicked at src/lib.rs:1:2: to order");
    }
}
