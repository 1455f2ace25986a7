//! One attachment, from its first frame to its last. Nothing in its loop waits for the caller alone: what is to be sent
//! is in a short queue, what is being done is polled beside it.

use super::Attach;
use super::slots::Slot;
use crate::agent::commands::Command;
use crate::agent::control::Signal;
use crate::agent::handle::Handle;
use crate::endpoint::rpc::shown_command;
use axum::extract::ws::{Message, WebSocket};
use bytes::{Bytes, BytesMut};
use futures_util::future::{BoxFuture, FutureExt as _, OptionFuture, TryFutureExt as _, ready};
use futures_util::stream::SplitStream;
use futures_util::{SinkExt as _, StreamExt as _};
use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, timeout};
use vocable_api::Part;
use vocable_api::attach::{ClientMessage, FRAME, Offsets, ServerMessage, WINDOW, output_frame};
use vocable_api::cmd::{self, InputTaken, TerminalSize};
use vocable_api::fault::{Fault, FaultKind};
use vocable_protocol::OptionName;

/// How often a caller is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// After so long without a frame a caller is lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the last frames may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// No input is so long: asking for it tells how long it is.
const BEYOND: u64 = 1 << 52;

/// How long the end of a command is waited for before it is looked for again.
const LOOK: Duration = Duration::from_secs(3600);

/// How an attachment ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum AttachResult {
    /// The caller left, or got the last message.
    Orderly,
    /// The connection broke, or was silent for too long.
    Lost,
}

/// What comes next of a command.
enum Next {
    Output(Part, Bytes),
    Over(Box<Command>),
}

/// What was passed on to the command.
enum Fed {
    Input(InputTaken),
    Size,
}

/// What is typed, until the guest has it.
#[derive(Default)]
struct Input {
    /// Where `waiting` begins.
    offset: u64,
    waiting: BytesMut,
    ended: bool,
    /// The end was passed on.
    is_over: bool,
    size: Option<TerminalSize>,
}

/// Serves an attachment to its end; afterwards hangs up a terminal to which nobody is attached.
pub(super) async fn attach(
    attach: &Attach,
    command: Command,
    from: Offsets,
    writes: bool,
    socket: WebSocket,
) {
    let has_terminal = command.program.option(OptionName::Tty).is_some();
    let takes_input = has_terminal || command.program.option(OptionName::Input).is_some();
    let writes = writes && takes_input;
    let slot = attach.attachments.take(&command.id);
    let (id, guest) = (command.id.clone(), command.guest.clone());
    tracing::debug!(cmd = id, guest, "attached");
    let attached = ServerMessage::Attached {
        cmd_id: id.clone(),
        guest: guest.clone(),
        tty: has_terminal,
        input: takes_input,
        busy: slot.is_written(),
        from,
    };
    let end = converse(attach, &command.id, from, writes.then_some(&slot), attached, socket).await;
    tracing::debug!(cmd = id, guest, ?end, "attachment ended");
    let Some(empty) = slot.leave().filter(|_| has_terminal && end == AttachResult::Lost) else { return };
    tokio::select! {
        () = empty.until_taken() => {}
        () = attach.shutdown.cancelled() => {}
        () = sleep(attach.hangup_after) => {
            tracing::info!(cmd = id, guest, "hung up: nobody is attached to its terminal any more");
            let hang_up = Signal { number: cmd::Signal::HUP.number(), end: None };
            if let Err(fault) = attach.handle.signal(&attach.lexicon, &id, hang_up).await {
                tracing::debug!(cmd = id, guest, "not hung up: {fault}");
            }
        }
    }
}

async fn converse(
    attach: &Attach,
    id: &str,
    from: Offsets,
    slot: Option<&Slot>,
    attached: ServerMessage,
    socket: WebSocket,
) -> AttachResult {
    let (mut sink, stream) = socket.split();
    let (outbox, mut messages) = mpsc::channel(1);
    let mut writing = pin!(async move {
        while let Some(message) = messages.recv().await {
            if !matches!(timeout(IDLE_TIMEOUT, sink.send(message)).await, Ok(Ok(()))) {
                return;
            }
        }
        // It may be gone already.
        let _ = timeout(CLOSE_TIMEOUT, sink.close()).await;
    });
    let conversation = Conversation {
        attach,
        id,
        stream,
        queue: VecDeque::new(),
        sent: from,
        acknowledged: from,
        err_first: false,
        input: Input::default(),
        last_frame: Instant::now(),
        is_over: false,
    };
    let mut conversing = pin!(conversation.run(attached, slot, outbox));
    tokio::select! {
        end = &mut conversing => {
            // The last message is sent, and the other end given a moment to hang up first.
            let _ = timeout(CLOSE_TIMEOUT, writing).await;
            end
        }
        () = &mut writing => AttachResult::Lost,
    }
}

/// The state of a conversation.
struct Conversation<'a> {
    attach: &'a Attach,
    id: &'a str,
    stream: SplitStream<WebSocket>,
    /// To be sent, in this order.
    queue: VecDeque<Message>,
    sent: Offsets,
    /// What the caller is done with.
    acknowledged: Offsets,
    /// Which stream has its turn.
    err_first: bool,
    input: Input,
    last_frame: Instant,
    /// The last message is in the queue.
    is_over: bool,
}

impl Conversation<'_> {
    async fn run(
        mut self,
        attached: ServerMessage,
        slot: Option<&Slot>,
        outbox: mpsc::Sender<Message>,
    ) -> AttachResult {
        let was_busy = matches!(attached, ServerMessage::Attached { busy: true, .. });
        self.send(&attached);
        let handle = &self.attach.handle;
        let mut ping = interval(PING_INTERVAL);
        let mut waiting: OptionFuture<_> = slot.map(|slot| Box::pin(slot.write_lock())).into();
        let mut write_lock = None;
        let mut start: OptionFuture<BoxFuture<'_, Result<InputTaken, Fault>>> = None.into();
        let mut may_write = false;
        let mut feeding: OptionFuture<BoxFuture<'_, Result<Fed, Fault>>> = None.into();
        let mut next: OptionFuture<BoxFuture<'_, Result<Next, Fault>>> = None.into();
        let (mut is_fed, mut is_next) = (true, true);
        loop {
            if is_next && !self.is_over {
                next = Some(self.next(handle).boxed()).into();
                is_next = false;
            }
            if is_fed && let Some(step) = self.input.step(self.attach, self.id) {
                feeding = Some(step).into();
                is_fed = false;
            }
            let room = self.queue.is_empty() && self.sent.since(self.acknowledged) < WINDOW;
            tokio::select! {
                () = self.attach.shutdown.cancelled(), if !self.is_over => {
                    self.fail(&Fault::new(FaultKind::Stopping, "the host agent is stopping"));
                }
                permit = outbox.reserve(), if !self.queue.is_empty() => {
                    let Ok(permit) = permit else { return AttachResult::Lost };
                    if let Some(message) = self.queue.pop_front() {
                        permit.send(message);
                    }
                }
                frame = self.stream.next() => match self.receive(frame, may_write) {
                    Ok(None) => {}
                    Ok(Some(end)) => return if self.is_over { AttachResult::Orderly } else { end },
                    Err(fault) => self.fail(&fault),
                },
                Some(found) = &mut next, if room && !self.is_over => {
                    is_next = true;
                    next = None.into();
                    match found {
                        Ok(Next::Output(part, bytes)) => self.send_output(part, &bytes),
                        Ok(Next::Over(command)) => {
                            self.is_over = true;
                            self.send(&ServerMessage::Over { report: Box::new(shown_command(*command)) });
                        }
                        Err(fault) => self.fail(&fault),
                    }
                }
                Some(permit) = &mut waiting, if write_lock.is_none() => {
                    waiting = None.into();
                    write_lock = permit;
                    if was_busy {
                        self.send(&ServerMessage::Granted);
                    }
                    let Attach { handle, lexicon, .. } = self.attach;
                    start = Some(handle.feed(lexicon, self.id, BEYOND, &[], false).boxed()).into();
                }
                Some(begun) = &mut start => {
                    start = None.into();
                    match begun {
                        Ok(taken) => {
                            may_write = true;
                            let input = self.input.start(taken);
                            self.send(&ServerMessage::Writes { input });
                        }
                        Err(fault) => self.fail(&fault),
                    }
                }
                Some(fed) = &mut feeding, if !is_fed => {
                    is_fed = true;
                    feeding = None.into();
                    match fed {
                        Ok(Fed::Size) => {}
                        Ok(Fed::Input(taken)) => match self.input.taken(taken) {
                            Ok(input) => self.send(&ServerMessage::Taken { input }),
                            Err(fault) => self.fail(&fault),
                        },
                        Err(fault) => self.fail(&fault),
                    }
                }
                _ = ping.tick() => {
                    if self.last_frame.elapsed() > IDLE_TIMEOUT {
                        return AttachResult::Lost;
                    }
                    self.queue.push_back(Message::Ping(Bytes::new()));
                }
                () = std::future::ready(()), if self.is_over && self.queue.is_empty() => return AttachResult::Orderly,
            }
        }
    }

    fn send(&mut self, message: &ServerMessage) {
        match serde_json::to_string(message) {
            Ok(text) => self.queue.push_back(Message::Text(text.into())),
            Err(error) => tracing::error!(cmd = self.id, %error, "a message cannot be written"),
        }
    }

    /// Says why it cannot go on, unless the last message was sent already.
    fn fail(&mut self, fault: &Fault) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let (code, number) = (fault.kind.slug().to_owned(), fault.kind.code());
        self.send(&ServerMessage::Failed { code, fault: number, message: fault.message.clone() });
    }

    fn send_output(&mut self, part: Part, bytes: &[u8]) {
        *self.sent.of(part) += bytes.len() as u64;
        self.err_first = part == Part::Out;
        self.queue.push_back(Message::Binary(output_frame(part, bytes).into()));
    }

    /// What there is to send next; waits for it.
    fn next(&self, handle: &Handle) -> impl Future<Output = Result<Next, Fault>> + use<> {
        let (handle, id, mut from) = (handle.clone(), self.id.to_owned(), self.sent);
        let parts = if self.err_first { [Part::Err, Part::Out] } else { [Part::Out, Part::Err] };
        async move {
            loop {
                let more = |command: &Command| command.out_bytes > from.out || command.err_bytes > from.err;
                let enough = |command: &Command| more(command) || command.state.is_over();
                let command = handle.watch(&id, Instant::now() + LOOK, enough).await?;
                for part in parts {
                    let at = *from.of(part);
                    let there = usize::try_from(command.received(part).saturating_sub(at)).unwrap_or(FRAME);
                    if there == 0 {
                        continue;
                    }
                    let bytes = handle.output(&id, part, at, there.min(FRAME - 1)).await?.bytes;
                    if bytes.is_empty() {
                        let text = format!("{id}: {part} from byte {at} on is gone");
                        return Err(Fault::new(FaultKind::Internal, text));
                    }
                    return Ok(Next::Output(part, bytes.into()));
                }
                if command.state.is_over() {
                    return Ok(Next::Over(Box::new(command)));
                }
            }
        }
    }

    /// Takes a frame; returns how the attachment ends if that was the last.
    fn receive(
        &mut self,
        frame: Option<Result<Message, axum::Error>>,
        may_write: bool,
    ) -> Result<Option<AttachResult>, Fault> {
        self.last_frame = Instant::now();
        let invalid = |text: &str| Fault::new(FaultKind::InvalidParameter, text);
        match frame {
            None | Some(Err(_) | Ok(Message::Close(_))) => return Ok(Some(AttachResult::Lost)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(bytes))) => {
                if !may_write {
                    return Err(invalid("input, and somebody else writes, or nobody asked to"));
                }
                self.input.add(&bytes)?;
            }
            Some(Ok(Message::Text(text))) => {
                let message = serde_json::from_str(&text)
                    .map_err(|error| invalid(&format!("a frame that is no request: {error}")))?;
                match message {
                    ClientMessage::Leave => return Ok(Some(AttachResult::Orderly)),
                    ClientMessage::Seen { out, err } => {
                        if out > self.sent.out || err > self.sent.err {
                            return Err(invalid("output was seen that was never sent"));
                        }
                        self.acknowledged = Offsets { out, err };
                    }
                    ClientMessage::End | ClientMessage::Resize(_) if !may_write => {}
                    ClientMessage::End => self.input.ended = true,
                    ClientMessage::Resize(size) => self.input.size = Some(size),
                }
            }
        }
        Ok(None)
    }
}

impl Input {
    /// It begins after what its guest has; returns where that is.
    fn start(&mut self, taken: InputTaken) -> u64 {
        self.is_over = taken.over;
        self.offset = if taken.over { 0 } else { taken.offset };
        self.offset
    }

    /// The guest has it up to there.
    fn taken(&mut self, taken: InputTaken) -> Result<u64, Fault> {
        self.is_over |= taken.over;
        if taken.offset < self.offset && !taken.over {
            let text = format!("the guest has the input up to byte {} only; the rest is gone", taken.offset);
            return Err(Fault::new(FaultKind::Internal, text));
        }
        Ok(self.offset)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.ended || (self.waiting.len() + bytes.len()) as u64 > WINDOW {
            let text = "more input than was taken, or input after its end";
            return Err(Fault::new(FaultKind::InvalidParameter, text));
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// The next thing to be done with the command, if there is one.
    fn step<'a>(&mut self, attach: &'a Attach, id: &'a str) -> Option<BoxFuture<'a, Result<Fed, Fault>>> {
        let Attach { handle, lexicon, .. } = attach;
        if let Some(size) = self.size.take() {
            return Some(handle.resize(lexicon, id, size).map_ok(|()| Fed::Size).boxed());
        }
        let bytes = self.waiting.split_to(self.waiting.len().min(FRAME)).freeze();
        let ends = self.ended && self.waiting.is_empty() && !self.is_over;
        if bytes.is_empty() && !ends {
            return None;
        }
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        if self.is_over {
            // Nobody reads it any more, as when a pipe's reader is gone; who types is not to wait.
            return Some(ready(Ok(Fed::Input(InputTaken { offset: self.offset, over: true }))).boxed());
        }
        self.is_over |= ends;
        let fed = async move { handle.feed(lexicon, id, offset, &bytes, ends).await.map(Fed::Input) };
        Some(fed.boxed())
    }
}
