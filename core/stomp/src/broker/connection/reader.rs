//! The reading half: bytes to frames to the server.

use super::Gate;
use crate::broker::config::BrokerConfig;
use crate::broker::event::{ConnectionId, Ending};
use crate::broker::meter::Meter;
use crate::broker::server::Input;
use crate::codec::{Decoder, Item};
use crate::frame::{Frame, Version};
use crate::heartbeat::{Agreed, HeartBeats};
use bytes::BytesMut;
use futures_util::future::OptionFuture;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::tcp::ReadHalf;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{self, Instant};

/// Bytes for which there is room before anything is read. There is none while nothing comes.
const CHUNK: usize = 8 << 10;

pub(super) struct Reader<'a> {
    connection: ConnectionId,
    config: &'a BrokerConfig,
    stream: ReadHalf<'a>,
    inputs: mpsc::Sender<Input>,
    gate: watch::Receiver<Gate>,
    meter: Arc<Meter>,
    decoder: Decoder,
    buffer: BytesMut,
    /// Bytes that may wait for the server.
    window: Arc<Semaphore>,
    stage: Stage,
    /// How far the login has come, while there is none.
    login: Gate,
}

/// Until when something has to come.
enum Stage {
    Login(Instant),
    /// The server closes the connection, or has been told why it should: what comes is discarded.
    Over,
    Open(HeartBeats),
}

/// What there is to do next.
enum Next {
    Deadline,
    GateChanged,
    Readable(io::Result<()>),
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        connection: ConnectionId,
        config: &'a BrokerConfig,
        stream: ReadHalf<'a>,
        inputs: mpsc::Sender<Input>,
        gate: watch::Receiver<Gate>,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            connection,
            config,
            stream,
            inputs,
            gate,
            meter,
            decoder: Decoder::new(BrokerConfig::BEFORE_LOGIN, config.dialect()),
            buffer: BytesMut::new(),
            window: Arc::new(Semaphore::new(config.window() as usize)),
            stage: Stage::Login(Instant::now() + config.login_deadline),
            login: Gate::Login,
        }
    }

    /// Reads until the peer ends it, one way or another.
    pub(super) async fn run(&mut self) -> Ending {
        loop {
            if let Err(ending) = self.wait_while_paused().await {
                return ending;
            }
            let next = tokio::select! {
                ready = self.stream.readable() => Next::Readable(ready),
                Some(()) = OptionFuture::from(self.deadline().map(time::sleep_until)) => Next::Deadline,
                changed = self.gate.changed(), if !matches!(self.stage, Stage::Over) => match changed {
                    Ok(()) => Next::GateChanged,
                    Err(_) => return Ending::Shutdown,
                },
            };
            let result = match next {
                Next::Deadline => self.overdue().await,
                Next::GateChanged => {
                    self.stop_if_closing();
                    Ok(())
                }
                Next::Readable(ready) => self.read_ready(ready).await,
            };
            if let Err(ending) = result {
                return ending;
            }
        }
    }

    /// From now on, what comes is discarded.
    fn stop_if_closing(&mut self) {
        if *self.gate.borrow() == Gate::Closing {
            self.stage = Stage::Over;
        }
    }

    /// When the peer has to have been heard of.
    fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Login(deadline) => Some(*deadline),
            Stage::Over => None,
            Stage::Open(beats) => beats.dead().map(Instant::from_std),
        }
    }

    async fn overdue(&mut self) -> Result<(), Ending> {
        match &self.stage {
            Stage::Login(_) => {
                self.stage = Stage::Over;
                self.send(Input::LoginOverdue(self.connection)).await
            }
            Stage::Over => Ok(()),
            Stage::Open(beats) => Err(Ending::Silent(beats.agreed().expect.unwrap_or(Duration::ZERO) * 2)),
        }
    }

    /// Reads what there is without waiting, and passes on what frames are in it.
    async fn read_ready(&mut self, ready: io::Result<()>) -> Result<(), Ending> {
        match ready.and_then(|()| self.fill()) {
            Ok(0) => Err(self.end_of_input()),
            Ok(_) => {
                self.note_received();
                self.pass_frames_on().await
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.buffer.is_empty() {
                    // An idle connection keeps no buffer.
                    self.buffer = BytesMut::new();
                }
                Ok(())
            }
            Err(error) => Err(Ending::Lost(error.to_string())),
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        self.decoder.make_room(&mut self.buffer, CHUNK);
        self.stream.try_read_buf(&mut self.buffer)
    }

    fn end_of_input(&self) -> Ending {
        match self.decoder.finish(&self.buffer) {
            Ok(()) => Ending::ClosedByPeer,
            Err(error) => Ending::Lost(error.to_string()),
        }
    }

    /// Notes that the peer is alive.
    fn note_received(&mut self) {
        let now = Instant::now().into_std();
        self.meter.receive(now);
        if let Stage::Open(beats) = &mut self.stage {
            beats.received(now);
        }
    }

    async fn pass_frames_on(&mut self) -> Result<(), Ending> {
        loop {
            self.stop_if_closing();
            if matches!(self.stage, Stage::Over) {
                self.buffer.clear();
                return Ok(());
            }
            match self.decoder.decode(&mut self.buffer) {
                Ok(Some(Item::Frame(frame))) => self.pass_on(frame).await?,
                Ok(Some(Item::HeartBeat)) => {}
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.stage = Stage::Over;
                    let begun = self.decoder.broken().cloned();
                    self.send(Input::Malformed(self.connection, error, begun)).await?;
                }
            }
        }
    }

    /// Passes a frame on, as soon as the server has dealt with enough of those before.
    async fn pass_on(&mut self, frame: Frame) -> Result<(), Ending> {
        let weight = u32::try_from(frame.weight()).unwrap_or(u32::MAX).clamp(1, self.config.window());
        let permit = self.window.clone().acquire_many_owned(weight).await.map_err(|_| Ending::Shutdown)?;
        self.send(Input::Frame(self.connection, frame, permit)).await?;
        if let Stage::Login(_) = self.stage {
            self.wait_for_login().await?;
        }
        self.wait_while_paused().await
    }

    /// After `CONNECT` nothing can be read before the version is known, or before the client was asked for a proof.
    async fn wait_for_login(&mut self) -> Result<(), Ending> {
        let was = self.login;
        let gate = self.gate.wait_for(|gate| *gate != was).await.map(|gate| *gate);
        match gate.map_err(|_| Ending::Shutdown)? {
            Gate::Open(version, agreed) | Gate::Paused(version, agreed) => self.log_in(version, agreed),
            Gate::Challenged => self.login = Gate::Challenged,
            Gate::Closing | Gate::Login => self.stage = Stage::Over,
        }
        Ok(())
    }

    fn log_in(&mut self, version: Version, agreed: Agreed) {
        self.decoder.set_version(version);
        self.decoder.set_limits(self.config.frames);
        self.stage = Stage::Open(HeartBeats::new(agreed, Instant::now().into_std()));
    }

    async fn wait_while_paused(&mut self) -> Result<(), Ending> {
        if matches!(*self.gate.borrow_and_update(), Gate::Paused(..)) {
            let resumed = self.gate.wait_for(|gate| !matches!(gate, Gate::Paused(..))).await.map(drop);
            resumed.map_err(|_| Ending::Shutdown)?;
            self.note_received();
        }
        Ok(())
    }

    async fn send(&mut self, input: Input) -> Result<(), Ending> {
        self.inputs.send(input).await.map_err(|_| Ending::Shutdown)?;
        // While the server had no time, nobody listened.
        self.note_received();
        Ok(())
    }
}
