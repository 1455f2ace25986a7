//! One connection on a socket: a task that reads and writes at the same time.
//!
//! ```text
//!        bytes            frames, one window at most          frames, bounded by the core
//! socket ─────▶ Reader ─────────────────────────▶ server ─────────────────────────────────▶ Writer ─▶ socket
//!                 ▲  Gate: login, open, paused, closing │
//!                 └──────────────────────────────────────┘
//! ```
//! Neither half waits for the other: heart-beats go out while the broker is too busy to take what comes in, and
//! what comes in is read while the peer does not read. At the end what was handed over is written, the sending side
//! is closed, and what the peer still sends is discarded until it closes as well, so that it can read why; all of
//! that for as long as the configuration says, and then the socket is closed.

mod reader;
mod writer;

use super::config::BrokerConfig;
use super::event::{ConnectionId, Ending};
use super::meter::Meter;
use super::server::Input;
use crate::frame::{Frame, Version};
use crate::heartbeat::Agreed;
use reader::Reader;
use socket2::{SockRef, TcpKeepalive};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time;
use writer::Writer;

/// What a reader may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Gate {
    /// Read one frame more, and wait for what that leads to.
    Challenged,
    /// Discard what comes.
    Closing,
    /// Read one frame, and wait for what it leads to.
    Login,
    /// Read frames of this version.
    Open(Version, Agreed),
    /// Read nothing for now.
    Paused(Version, Agreed),
}

impl Gate {
    /// Pauses or resumes; a connection that is closing stays so.
    pub(super) const fn set_paused(&mut self, is_paused: bool) {
        *self = match *self {
            Self::Open(version, agreed) | Self::Paused(version, agreed) if is_paused => {
                Self::Paused(version, agreed)
            }
            Self::Open(version, agreed) | Self::Paused(version, agreed) => Self::Open(version, agreed),
            other => other,
        };
    }
}

/// What a writer is to do.
pub(super) enum Outbound {
    /// From the next frame on, write that version, and heart-beats.
    Accepted(Version, Agreed),
    /// Write nothing more.
    Close,
    Frame(Frame),
}

/// What a connection's task is given.
pub(super) struct Socket {
    pub(super) connection: ConnectionId,
    pub(super) config: Arc<BrokerConfig>,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) outbound: mpsc::UnboundedReceiver<Outbound>,
    pub(super) gate: watch::Receiver<Gate>,
    pub(super) meter: Arc<Meter>,
}

impl Socket {
    /// Serves until both directions have ended, or the time to linger is over.
    pub(super) async fn serve(self, mut stream: TcpStream) {
        let Self { connection, config, inputs, outbound, gate, meter } = self;
        set_options(&stream, config.keep_alive);
        let (read_half, write_half) = stream.split();
        let mut closing = gate.clone();
        let mut reader = Reader::new(connection, &config, read_half, inputs.clone(), gate, meter.clone());
        let mut writer = Writer::new(write_half, outbound, &meter, config.report_after());
        let reading = async {
            let ending = reader.run().await;
            // If the server is gone, everything ends.
            let _ = inputs.send(Input::Closed(connection, ending)).await;
        };
        let writing = async {
            if let Err(error) = writer.run(connection, &inputs).await {
                let _ = inputs.send(Input::Closed(connection, Ending::Lost(error.to_string()))).await;
            }
        };
        let linger = async {
            // An error means that the server is gone: then there is nothing to wait for.
            if closing.wait_for(|gate| *gate == Gate::Closing).await.is_ok() {
                time::sleep(config.linger).await;
            }
        };
        tokio::select! {
            _ = async { tokio::join!(reading, writing) } => {}
            () = linger => {}
        }
    }
}

/// Asks the system for what makes a connection quicker, and its loss noticed. It works without either.
fn set_options(stream: &TcpStream, keep_alive: Duration) {
    let keep_alive = TcpKeepalive::new().with_time(keep_alive).with_interval(keep_alive / 6);
    let options = stream.set_nodelay(true).and(SockRef::from(stream).set_tcp_keepalive(&keep_alive));
    if let Err(error) = options {
        tracing::debug!(%error, "options of a connection cannot be set");
    }
}
