//! The task of one stream: from the pipe to packets, and from what has arrived to the pipe.

use crate::packet::{Kind, Packet};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split};
use tokio::sync::{Semaphore, mpsc};

/// What comes for a stream.
#[derive(Debug)]
pub(crate) enum Arrived {
    Data(Bytes),
    End,
}

pub(crate) struct Pump {
    pub(crate) id: u64,
    pub(crate) out: mpsc::Sender<Packet>,
    pub(crate) piece: usize,
    pub(crate) window: u32,
    /// Bytes that may be sent.
    pub(crate) credit: Arc<Semaphore>,
}

/// Why a stream ended before its time.
type Ended = Result<(), &'static str>;

impl Pump {
    /// Runs until both directions are closed. `consumed` is called with how much the reader has taken, before the peer
    /// is allowed as much again.
    pub(crate) async fn run(
        self,
        pipe: DuplexStream,
        arrived: mpsc::UnboundedReceiver<Arrived>,
        consumed: impl Fn(u32),
    ) -> Ended {
        let (from_pipe, to_pipe) = split(pipe);
        tokio::try_join!(self.send(from_pipe), self.receive(to_pipe, arrived, consumed))?;
        Ok(())
    }

    async fn send(&self, mut pipe: ReadHalf<DuplexStream>) -> Ended {
        let mut offset = 0;
        loop {
            // Credit first, so that nothing is held here that cannot be sent.
            let first = self.credit.acquire().await.map_err(|_| "closed")?;
            let more = self.credit.available_permits().min(self.piece.saturating_sub(1));
            let mut buffer = BytesMut::with_capacity(more + 1);
            let length = match (&mut pipe).take(more as u64 + 1).read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return self.packet(Kind::Close).await,
                Ok(length) => length,
            };
            first.forget();
            self.credit.forget_permits(length - 1);
            self.packet(Kind::Data { offset, bytes: buffer.freeze() }).await?;
            offset += length as u64;
        }
    }

    async fn receive(
        &self,
        mut pipe: WriteHalf<DuplexStream>,
        mut arrived: mpsc::UnboundedReceiver<Arrived>,
        consumed: impl Fn(u32),
    ) -> Ended {
        let mut taken = 0_u32;
        while let Some(Arrived::Data(bytes)) = arrived.recv().await {
            pipe.write_all(&bytes).await.map_err(|_| "the reader went away")?;
            // What arrived fitted into the window, which is counted in 32 bits.
            taken += u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            // Not for every packet: a quarter of the window is soon enough to keep the sender busy.
            if taken >= self.window / 4 {
                consumed(taken);
                self.packet(Kind::Credit(taken)).await?;
                taken = 0;
            }
        }
        // A reader that is gone needs no end.
        let _ = pipe.shutdown().await;
        Ok(())
    }

    async fn packet(&self, kind: Kind) -> Ended {
        self.out.send(Packet { stream: self.id, kind }).await.map_err(|_| "the bus is closed")
    }
}
