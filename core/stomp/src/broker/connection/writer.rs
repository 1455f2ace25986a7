//! The writing half: frames to bytes, and heart-beats when there are none.

use super::Outbound;
use crate::broker::event::ConnectionId;
use crate::broker::meter::Meter;
use crate::broker::server::Input;
use crate::codec::encode;
use crate::frame::{Frame, Version};
use crate::heartbeat::{Agreed, HeartBeats};
use bytes::BytesMut;
use futures_util::future::OptionFuture;
use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::WriteHalf;
use tokio::sync::mpsc;
use tokio::time::{self, Instant};

/// Bytes from which on a batch of frames is written before more are added to it.
const BATCH: usize = 64 << 10;

pub(super) struct Writer<'a> {
    stream: WriteHalf<'a>,
    outbound: mpsc::UnboundedReceiver<Outbound>,
    meter: &'a Meter,
    report_after: u64,
    /// The version of the frames; until it is agreed upon there are only those that look the same in all.
    version: Version,
    beats: HeartBeats,
    batch: Batch,
}

/// Frames that are written at once.
#[derive(Default)]
struct Batch {
    bytes: BytesMut,
    weight: usize,
    is_last: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        stream: WriteHalf<'a>,
        outbound: mpsc::UnboundedReceiver<Outbound>,
        meter: &'a Meter,
        report_after: u64,
    ) -> Self {
        Self {
            stream,
            outbound,
            meter,
            report_after,
            version: Version::V1_0,
            beats: HeartBeats::new(Agreed::default(), Instant::now().into_std()),
            batch: Batch::default(),
        }
    }

    /// Writes until it is told to close, then closes the sending side.
    pub(super) async fn run(
        &mut self,
        connection: ConnectionId,
        inputs: &mpsc::Sender<Input>,
    ) -> io::Result<()> {
        while !self.batch.is_last {
            tokio::select! {
                outbound = self.outbound.recv() => {
                    self.collect(outbound)?;
                    self.write(connection, inputs).await?;
                }
                Some(()) = OptionFuture::from(self.beats.due().map(|due| time::sleep_until(due.into()))) => self.beat().await?,
            }
        }
        self.stream.shutdown().await
    }

    /// Takes what is there, up to the size of a batch.
    fn collect(&mut self, first: Option<Outbound>) -> io::Result<()> {
        self.add(first.unwrap_or(Outbound::Close))?;
        while self.batch.bytes.len() < BATCH && !self.batch.is_last {
            let Ok(outbound) = self.outbound.try_recv() else { break };
            self.add(outbound)?;
        }
        Ok(())
    }

    fn add(&mut self, outbound: Outbound) -> io::Result<()> {
        match outbound {
            Outbound::Accepted(version, agreed) => {
                self.version = version;
                self.beats = HeartBeats::new(agreed, Instant::now().into_std());
            }
            Outbound::Close => self.batch.is_last = true,
            Outbound::Frame(frame) => self.add_frame(&frame)?,
        }
        Ok(())
    }

    fn add_frame(&mut self, frame: &Frame) -> io::Result<()> {
        // The core makes only frames that can be written; headers of a principal that cannot be end this connection alone.
        encode(frame, self.version, &mut self.batch.bytes).map_err(io::Error::other)?;
        self.batch.weight += frame.weight();
        Ok(())
    }

    async fn write(&mut self, connection: ConnectionId, inputs: &mpsc::Sender<Input>) -> io::Result<()> {
        if self.batch.bytes.is_empty() {
            return Ok(());
        }
        // Taken out, so that an idle connection keeps no buffer.
        let bytes = std::mem::take(&mut self.batch.bytes);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match self.stream.write(rest).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => rest = rest.get(written..).unwrap_or_default(),
            }
            self.meter.note_write();
        }
        self.beats.sent(Instant::now().into_std());
        let weight = std::mem::take(&mut self.batch.weight);
        if self.meter.write(weight, self.report_after) {
            self.meter.report();
            // If the server is gone, everything ends.
            let _ = inputs.send(Input::Written(connection)).await;
        }
        Ok(())
    }

    async fn beat(&mut self) -> io::Result<()> {
        self.stream.write_all(b"\n").await?;
        self.beats.sent(Instant::now().into_std());
        Ok(())
    }
}
