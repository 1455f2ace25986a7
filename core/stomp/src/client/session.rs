//! One connection from `CONNECTED` to its end: reads, writes and waits at once, and none of them holds up another.

use crate::client::driver::State;
use crate::client::event::{Delivery, Event, Subscription};
use crate::client::handshake::{Failure, Opened, broken, error_text};
use crate::client::outbox::{Outgoing, Request};
use crate::client::receipts::Reply;
use crate::client::{ClientError, ConnectionId};
use crate::codec::{Decoder, Item};
use crate::frame::{Command, Frame, Version};
use crate::heartbeat::HeartBeats;
use bytes::BytesMut;
use futures_util::future::OptionFuture;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::select;
use tokio::time::{Instant, sleep_until, timeout};

/// Bytes for which there is room before a read.
const READ: usize = 32 << 10;

/// The receipt of our last frame. Those of other frames are numbered.
const LAST_RECEIPT: &str = "disconnect";

struct Session<'a> {
    state: &'a mut State,
    id: ConnectionId,
    version: Version,
    decoder: Decoder,
    buffer: BytesMut,
    beats: HeartBeats,
    /// Whether something was written since the stream was flushed.
    unflushed: bool,
    /// Whether the broker has confirmed that we may go.
    is_confirmed: bool,
}

/// Speaks on the connection until we have left in good order, or it fails.
pub(super) async fn run<S>(state: &mut State, opened: Opened<S>, id: ConnectionId) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Opened { stream, decoder, buffer, version, agreed, .. } = opened;
    let (mut reader, mut writer) = split(stream);
    let beats = HeartBeats::new(agreed, now());
    let mut session =
        Session { state, id, version, decoder, buffer, beats, unflushed: false, is_confirmed: false };
    session.subscribe_again();
    loop {
        session.take_frames()?;
        if session.is_confirmed {
            return Ok(());
        }
        session.encode_queued();
        let wake = session.wake();
        let reads = session.reads();
        if reads {
            session.decoder.make_room(&mut session.buffer, READ);
        }
        select! {
            read = reader.read_buf(&mut session.buffer), if reads => session.on_read(read)?,
            sent = send(&mut writer, &mut session.state.outbox.bytes), if session.sends() => session.on_sent(sent)?,
            Some(request) = session.state.requests.recv() => session.state.outbox.queue(request),
            () = session.state.inbox.room(), if !reads => session.resume_reading(),
            Some(()) = OptionFuture::from(wake.map(|at| sleep_until(at.into()))) => {
                if session.is_broker_dead() {
                    // The clock may have gone on while we did not: what waits in the socket is heard first.
                    let read = timeout(Duration::ZERO, reader.read_buf(&mut session.buffer)).await;
                    session.on_read(read.map_err(|_| session.silence())?)?;
                }
                session.beat_if_due();
            }
        }
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// A step towards everything being sent.
#[derive(Clone, Copy, PartialEq)]
enum Sent {
    Flushed,
    Bytes(usize),
}

async fn send(writer: &mut (impl AsyncWriteExt + Unpin), bytes: &mut BytesMut) -> io::Result<Sent> {
    if bytes.is_empty() {
        return writer.flush().await.map(|()| Sent::Flushed);
    }
    writer.write_buf(bytes).await.map(Sent::Bytes)
}

impl Session<'_> {
    /// Whether there is something to be written or flushed.
    fn sends(&self) -> bool {
        self.unflushed || !self.state.outbox.bytes.is_empty()
    }

    /// Whether we take what the broker sends: not while the consumer of events has enough to do.
    fn reads(&self) -> bool {
        !self.state.inbox.is_stalled()
    }

    /// When to look at the clock: nothing has to be sent while something is being sent, and nobody is dead to whom
    /// we do not listen.
    fn wake(&self) -> Option<std::time::Instant> {
        let due = self.beats.due().filter(|_| !self.sends());
        let dead = self.beats.dead().filter(|_| self.reads());
        due.into_iter().chain(dead).min()
    }

    fn is_broker_dead(&self) -> bool {
        self.reads() && self.beats.is_dead(now())
    }

    fn silence(&self) -> Failure {
        let expected = self.beats.agreed().expect.unwrap_or_default();
        Failure::Broken(format!(
            "nothing heard from the broker for {:?}, it promised a heart-beat every {expected:?}",
            expected * 2
        ))
    }

    fn beat_if_due(&mut self) {
        if !self.sends() && self.beats.is_due(now()) {
            self.state.outbox.heart_beat();
        }
    }

    fn on_read(&mut self, read: io::Result<usize>) -> Result<(), Failure> {
        if read.map_err(|error| broken("the connection broke", &error))? == 0 {
            self.decoder.finish(&self.buffer)?;
            return Err(Failure::Broken("the broker closed the connection".to_owned()));
        }
        self.beats.received(now());
        Ok(())
    }

    fn on_sent(&mut self, sent: io::Result<Sent>) -> Result<(), Failure> {
        let sent = sent.map_err(|error| broken("the connection broke", &error))?;
        self.unflushed = sent != Sent::Flushed;
        self.beats.sent(now());
        let bytes = match sent {
            Sent::Flushed => return Ok(()),
            Sent::Bytes(0) => {
                return Err(Failure::Broken("the connection takes nothing any more".to_owned()));
            }
            Sent::Bytes(bytes) => bytes,
        };
        for (id, reply) in self.state.outbox.written(bytes) {
            self.state.receipts.insert(id, reply);
        }
        Ok(())
    }

    /// The consumer has taken something. What the broker said meanwhile waits in the socket.
    fn resume_reading(&mut self) {
        self.state.inbox.flush();
        self.beats.received(now());
    }

    fn take_frames(&mut self) -> Result<(), Failure> {
        while self.reads() && !self.is_confirmed {
            match self.decoder.decode(&mut self.buffer)? {
                Some(Item::Frame(frame)) => self.take(frame)?,
                Some(Item::HeartBeat) => {}
                None => break,
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: Frame) -> Result<(), Failure> {
        match frame.command {
            Command::Message => self.deliver(frame),
            Command::Receipt => self.confirm(&frame)?,
            Command::Error => return Err(self.refuse(&frame)),
            other => {
                return Err(Failure::BadFrame(format!("the broker sent {other} where no broker sends it")));
            }
        }
        Ok(())
    }

    fn deliver(&mut self, frame: Frame) {
        if self.state.leaving.is_some() {
            // Nobody is going to acknowledge it.
            return tracing::debug!("a message on the way out is not delivered");
        }
        let ack = self.subscription_of(&frame).map(|subscription| subscription.ack).unwrap_or_default();
        let delivery = Delivery { frame, connection: self.id, version: self.version, ack };
        self.state.inbox.push(Event::Message(delivery));
    }

    /// By its id, which some 1.0 brokers leave out, or else by its destination.
    fn subscription_of(&self, message: &Frame) -> Option<&Subscription> {
        let (id, destination) = (message.header("subscription"), message.header("destination"));
        self.state.subscriptions.iter().find(|subscription| match id {
            Some(id) => subscription.id == id,
            None => Some(&*subscription.destination) == destination,
        })
    }

    fn confirm(&mut self, frame: &Frame) -> Result<(), Failure> {
        let lacking = || Failure::BadFrame("the broker sent a RECEIPT without receipt-id".to_owned());
        let id = frame.header("receipt-id").ok_or_else(lacking)?;
        if id == LAST_RECEIPT && self.state.leaving.is_some() {
            self.is_confirmed = true;
        } else {
            self.state.receipts.settle(id, Ok(()));
        }
        Ok(())
    }

    /// `ERROR` ends the connection, and may say which frame it is about.
    fn refuse(&mut self, frame: &Frame) -> Failure {
        let message = error_text(frame);
        if let Some(id) = frame.header("receipt-id") {
            self.state.receipts.settle(id, Err(ClientError::Refused { message: message.clone() }));
        }
        Failure::Broken(format!("the broker ended the connection: {message}"))
    }

    fn subscribe_again(&mut self) {
        let frames: Vec<Frame> = self.state.subscriptions.iter().map(Subscription::frame).collect();
        frames.into_iter().for_each(|frame| self.encode_own(frame));
    }

    fn encode_queued(&mut self) {
        while self.state.leaving.is_none()
            && let Some(request) = self.state.outbox.next()
        {
            match request.outgoing {
                Outgoing::Frame { only_on: Some(id), .. } if id != self.id => {}
                Outgoing::Frame { .. } => {
                    if let Some(impossible) = self.encode_frame(request) {
                        return self.state.outbox.put_back(impossible);
                    }
                }
                Outgoing::Subscribe(subscription) => self.subscribe(subscription),
                Outgoing::Unsubscribe(id) => self.unsubscribe(&id),
                Outgoing::Disconnect(reply) => self.leave(reply),
            }
        }
    }

    /// Gives back a frame that cannot be written if nobody can be told at the moment.
    fn encode_frame(&mut self, request: Request) -> Option<Request> {
        let Outgoing::Frame { frame, .. } = &request.outgoing else { return None };
        let Err(error) = self.state.outbox.encode(frame, self.version) else {
            self.state.outbox.keep(request);
            return None;
        };
        if !self.reads() {
            return Some(request);
        }
        if let Outgoing::Frame { frame, receipt, .. } = request.outgoing {
            match receipt {
                Some((_, reply)) => drop(reply.send(Err(error.into()))),
                None => self.state.inbox.push(Event::NotSent { frame, error }),
            }
        }
        None
    }

    fn subscribe(&mut self, subscription: Subscription) {
        self.unsubscribe(&subscription.id);
        self.encode_own(subscription.frame());
        self.state.subscriptions.push(subscription);
    }

    fn unsubscribe(&mut self, id: &str) {
        let before = self.state.subscriptions.len();
        self.state.subscriptions.retain(|subscription| subscription.id != id);
        if self.state.subscriptions.len() < before {
            self.encode_own(Frame::new(Command::Unsubscribe).with("id", id));
        }
    }

    fn leave(&mut self, reply: Reply) {
        self.encode_own(Frame::new(Command::Disconnect).with("receipt", LAST_RECEIPT));
        self.state.leaving = Some(reply);
        self.state.inbox.discard();
    }

    fn encode_own(&mut self, frame: Frame) {
        if let Err(error) = self.state.outbox.encode(&frame, self.version) {
            self.state.inbox.push(Event::NotSent { frame, error });
        }
    }
}
