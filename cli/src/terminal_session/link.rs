//! The frames of one connection. A task of its own writes them, so that neither direction can block the other; what
//! waits for it is bounded by the windows of the protocol.

use futures_util::stream::SplitStream;
use futures_util::{SinkExt as _, StreamExt as _};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use vocable_api::attach::{ClientMessage, ServerMessage};
use vocable_api::client::Attachment;

/// How long the last frame may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// After so long without any frame, not even a ping, the agent is lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What came.
pub(super) enum Frame {
    Message(ServerMessage),
    Output(Vec<u8>),
    /// Nothing of ours; nobody has to look at it.
    Other,
}

/// A connection. When it is dropped, it is cut.
pub(super) struct Link {
    stream: SplitStream<Attachment>,
    outbox: Option<mpsc::UnboundedSender<Message>>,
    writer: JoinHandle<()>,
    last_frame: Instant,
}

impl Link {
    pub(super) fn new(socket: Attachment) -> Self {
        let (mut sink, stream) = socket.split();
        let (outbox, mut messages) = mpsc::unbounded_channel();
        let writer = tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                // That it is broken shows in the other direction.
                if sink.send(message).await.is_err() {
                    return;
                }
            }
            let _ = sink.close().await;
        });
        Self { stream, outbox: Some(outbox), writer, last_frame: Instant::now() }
    }

    /// To be sent.
    pub(super) fn push(&mut self, message: &ClientMessage) {
        // Two numbers and a name always can be written.
        if let Ok(text) = serde_json::to_string(message) {
            self.send(Message::Text(text.into()));
        }
    }

    /// Input to be sent.
    pub(super) fn push_input(&mut self, bytes: Vec<u8>) {
        self.send(Message::Binary(bytes.into()));
    }

    fn send(&self, message: Message) {
        // Without a writer the connection is broken, which shows in the other direction.
        let _ = self.outbox.as_ref().map(|outbox| outbox.send(message));
    }

    /// What comes next; nothing if the connection is over.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        let frame = match timeout_at(self.last_frame + IDLE_TIMEOUT, self.stream.next()).await.ok()??.ok()? {
            Message::Binary(bytes) => Frame::Output(bytes.into()),
            Message::Text(text) => Frame::Message(serde_json::from_str(&text).ok()?),
            Message::Close(_) => return None,
            _ => Frame::Other,
        };
        self.last_frame = Instant::now();
        Some(frame)
    }

    /// Sends all that waits, and hangs up.
    pub(super) async fn close(mut self) {
        drop(self.outbox.take());
        let _ = timeout(CLOSE_TIMEOUT, &mut self.writer).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.writer.abort();
    }
}
