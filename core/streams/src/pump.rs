//! The task of one stream: from the pipe to packets, and from what has arrived to the pipe.

use crate::mux::{Arrived, Shared};
use crate::packet::{Kind, Packet};
use bytes::BytesMut;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split};
use tokio::sync::{Semaphore, mpsc};

/// What the task knows of its stream.
pub(crate) struct Pump {
    pub(crate) id: u64,
    pub(crate) out: mpsc::Sender<Packet>,
    pub(crate) piece: usize,
    pub(crate) window: u32,
}

/// Why a stream ended before its time.
type Ended = Result<(), &'static str>;

/// Runs until both directions are closed.
pub(crate) async fn run(
    shared: &Shared,
    pump: Pump,
    pipe: DuplexStream,
    arrived: mpsc::UnboundedReceiver<Arrived>,
    credit: Arc<Semaphore>,
) -> Ended {
    let (from_pipe, to_pipe) = split(pipe);
    tokio::try_join!(send(&pump, from_pipe, &credit), receive(shared, &pump, to_pipe, arrived))?;
    Ok(())
}

async fn send(pump: &Pump, mut pipe: ReadHalf<DuplexStream>, credit: &Semaphore) -> Ended {
    let mut offset = 0;
    loop {
        // Credit first, so that nothing is held here that cannot be sent.
        let first = credit.acquire().await.map_err(|_| "closed")?;
        let more = credit.available_permits().min(pump.piece.saturating_sub(1));
        let mut buffer = BytesMut::with_capacity(more + 1);
        let read = (&mut pipe).take(more as u64 + 1).read_buf(&mut buffer).await;
        let octets = match read {
            Ok(0) | Err(_) => {
                return pump.tell(Kind::Close).await;
            }
            Ok(octets) => octets,
        };
        first.forget();
        credit.forget_permits(octets - 1);
        pump.tell(Kind::Data { offset, octets: buffer.freeze() }).await?;
        offset += octets as u64;
    }
}

async fn receive(
    shared: &Shared,
    pump: &Pump,
    mut pipe: WriteHalf<DuplexStream>,
    mut arrived: mpsc::UnboundedReceiver<Arrived>,
) -> Ended {
    let mut taken = 0_u32;
    while let Some(Arrived::Octets(octets)) = arrived.recv().await {
        pipe.write_all(&octets).await.map_err(|_| "the reader went away")?;
        // What arrived fitted into the window, which is counted in 32 bits.
        taken += u32::try_from(octets.len()).unwrap_or(u32::MAX);
        // Not for every packet: a quarter of the window is soon enough to keep the sender busy.
        if taken >= pump.window / 4 {
            shared.taken(pump.id, taken);
            pump.tell(Kind::Credit(taken)).await?;
            taken = 0;
        }
    }
    // A reader that is gone needs no end.
    let _ = pipe.shutdown().await;
    Ok(())
}

impl Pump {
    async fn tell(&self, kind: Kind) -> Ended {
        self.out.send(Packet { stream: self.id, kind }).await.map_err(|_| "the bus is closed")
    }
}
