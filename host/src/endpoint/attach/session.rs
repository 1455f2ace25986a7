//! One attachment, from its first frame to its last. Nothing in its loop waits for the caller alone: what is to be sent
//! is in a short queue, what is being done is polled beside it.

use super::seats::Seat;
use super::{Attach, STREAMED, TERMINAL};
use crate::agent::commands::{Command, State};
use crate::agent::control::{Signal, Taken};
use crate::agent::handle::Handle;
use crate::endpoint::rpc::report;
use axum::extract::ws::{Message, WebSocket};
use bytes::{Bytes, BytesMut};
use futures_util::future::{BoxFuture, FutureExt as _, OptionFuture, ready};
use futures_util::stream::SplitStream;
use futures_util::{SinkExt as _, StreamExt as _};
use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, timeout};
use vocable_api::Part;
use vocable_api::attach::{FRAME, News, Offsets, Size, WINDOW, Wish, output_frame};
use vocable_api::fault::{Fault, FaultKind};
use vocable_xmlrpc::to_json;

/// How often a caller is asked whether it is still there.
const BEAT: Duration = Duration::from_secs(20);

/// After so long without a sign of life a caller is lost.
const SILENCE: Duration = Duration::from_secs(60);

/// How long the last frames may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// No input is so long: asking for it tells how long it is.
const BEYOND: u64 = 1 << 52;

/// How long to wait before a guest that is away is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// What a program hears whose terminal is gone.
const SIGHUP: i32 = 1;

/// How long the end of a command is waited for before it is looked for again.
const LOOK: Duration = Duration::from_secs(3600);

/// How it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// It said that it leaves, or heard the last of it.
    Orderly,
    /// The link broke, or it was silent for too long.
    Lost,
}

/// Something to be told.
enum Piece {
    Output(Part, Bytes),
    Over(Box<Command>),
}

/// Something that was done with the command.
enum Fed {
    Input(Taken),
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
    size: Option<Size>,
}

/// Holds the conversation; afterwards hangs up a terminal that was left alone.
pub(super) async fn hold(attach: &Attach, command: Command, from: Offsets, writes: bool, socket: WebSocket) {
    let has = |option| command.program.options.contains_key(option);
    let has_terminal = has(TERMINAL);
    let takes_input = has_terminal || has(STREAMED);
    let writes = writes && takes_input;
    let seat = attach.seats.take(&command.id);
    let (id, guest) = (command.id.clone(), command.guest.clone());
    tracing::debug!(cmd = id, guest, "attached");
    let attached = News::Attached {
        cmd_id: id.clone(),
        guest: guest.clone(),
        tty: has_terminal,
        input: takes_input,
        busy: seat.is_written(),
        from,
    };
    let end = converse(attach, &command.id, from, writes.then_some(&seat), attached, socket).await;
    tracing::debug!(cmd = id, guest, ?end, "attachment ended");
    let Some(empty) = seat.leave().filter(|_| has_terminal && end == End::Lost) else { return };
    tokio::select! {
        () = empty.until_taken() => {}
        () = attach.shutdown.cancelled() => {}
        () = sleep(attach.hangup_after) => {
            tracing::info!(cmd = id, guest, "hung up: nobody is attached to its terminal any more");
            let hang_up = Signal { number: SIGHUP, end: None };
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
    seat: Option<&Seat>,
    attached: News,
    socket: WebSocket,
) -> End {
    let (mut sink, stream) = socket.split();
    let (outbox, mut messages) = mpsc::channel(1);
    let mut writing = pin!(async move {
        while let Some(message) = messages.recv().await {
            if !matches!(timeout(SILENCE, sink.send(message)).await, Ok(Ok(()))) {
                return;
            }
        }
        // It may be gone already.
        let _ = timeout(FAREWELL, sink.close()).await;
    });
    let talk = Talk {
        attach,
        id,
        stream,
        queue: VecDeque::new(),
        sent: from,
        seen: from,
        err_first: false,
        input: Input::default(),
        heard: Instant::now(),
    };
    let mut talking = pin!(talk.goes_on(attached, seat, outbox));
    tokio::select! {
        end = &mut talking => {
            // What is said last is sent, and the other end given a moment to hang up first.
            let _ = timeout(FAREWELL, writing).await;
            end
        }
        () = &mut writing => End::Lost,
    }
}

/// The state of a conversation.
struct Talk<'a> {
    attach: &'a Attach,
    id: &'a str,
    stream: SplitStream<WebSocket>,
    /// To be sent, in this order.
    queue: VecDeque<Message>,
    sent: Offsets,
    seen: Offsets,
    /// Which stream has its turn.
    err_first: bool,
    input: Input,
    heard: Instant,
}

impl Talk<'_> {
    async fn goes_on(mut self, attached: News, seat: Option<&Seat>, outbox: mpsc::Sender<Message>) -> End {
        let was_busy = matches!(attached, News::Attached { busy: true, .. });
        self.tell(&attached);
        let handle = &self.attach.handle;
        let mut beat = interval(BEAT);
        let mut pen: OptionFuture<_> = seat.map(|seat| Box::pin(seat.pen())).into();
        let mut held = None;
        let mut offset: OptionFuture<BoxFuture<'_, Result<Taken, Fault>>> = None.into();
        let mut may_write = false;
        let mut feeding: OptionFuture<BoxFuture<'_, Result<Fed, Fault>>> = None.into();
        let mut next: OptionFuture<BoxFuture<'_, Result<Piece, Fault>>> = None.into();
        let (mut is_fed, mut is_next, mut last) = (true, true, false);
        loop {
            if is_next && !last {
                next = Some(self.next(handle).boxed()).into();
                is_next = false;
            }
            if is_fed && let Some(step) = self.input.step(self.attach, self.id) {
                feeding = Some(step).into();
                is_fed = false;
            }
            let room = self.queue.is_empty() && self.sent.since(self.seen) < WINDOW;
            tokio::select! {
                () = self.attach.shutdown.cancelled(), if !last => {
                    self.fails(&Fault::new(FaultKind::Stopping, "the host agent is stopping"), &mut last);
                }
                permit = outbox.reserve(), if !self.queue.is_empty() => {
                    let Ok(permit) = permit else { return End::Lost };
                    if let Some(message) = self.queue.pop_front() {
                        permit.send(message);
                    }
                }
                message = self.stream.next() => match self.hear(message, may_write) {
                    Ok(None) => {}
                    Ok(Some(end)) => return if last { End::Orderly } else { end },
                    Err(fault) => self.fails(&fault, &mut last),
                },
                Some(piece) = &mut next, if room && !last => {
                    is_next = true;
                    next = None.into();
                    match piece {
                        Ok(Piece::Output(part, octets)) => self.show(part, &octets),
                        Ok(Piece::Over(command)) => {
                            last = true;
                            self.tell(&News::Over { report: to_json(&report(&command)) });
                        }
                        Err(fault) => self.fails(&fault, &mut last),
                    }
                }
                Some(permit) = &mut pen, if held.is_none() => {
                    pen = None.into();
                    held = permit;
                    if was_busy {
                        self.tell(&News::Granted);
                    }
                    offset = Some(give(self.attach, self.id, BEYOND, Bytes::new(), false).boxed()).into();
                }
                Some(begun) = &mut offset => {
                    offset = None.into();
                    match begun {
                        Ok(taken) => {
                            may_write = true;
                            let input = self.input.begins(taken);
                            self.tell(&News::Writes { input });
                        }
                        Err(fault) => self.fails(&fault, &mut last),
                    }
                }
                Some(fed) = &mut feeding, if !is_fed => {
                    is_fed = true;
                    feeding = None.into();
                    match fed {
                        Ok(Fed::Size) => {}
                        Ok(Fed::Input(taken)) => match self.input.taken(taken) {
                            Ok(input) => self.tell(&News::Taken { input }),
                            Err(fault) => self.fails(&fault, &mut last),
                        },
                        Err(fault) => self.fails(&fault, &mut last),
                    }
                }
                _ = beat.tick() => {
                    if self.heard.elapsed() > SILENCE {
                        return End::Lost;
                    }
                    self.queue.push_back(Message::Ping(Bytes::new()));
                }
                () = std::future::ready(()), if last && self.queue.is_empty() => return End::Orderly,
            }
        }
    }

    fn tell(&mut self, news: &News) {
        match serde_json::to_string(news) {
            Ok(text) => self.queue.push_back(Message::Text(text.into())),
            Err(error) => tracing::error!(cmd = self.id, %error, "news cannot be told"),
        }
    }

    /// Tells why it cannot go on, unless the last was said already.
    fn fails(&mut self, fault: &Fault, last: &mut bool) {
        if std::mem::replace(last, true) {
            return;
        }
        let (code, number) = (fault.kind.slug().to_owned(), fault.kind.code());
        self.tell(&News::Failed { code, fault: number, message: fault.message.clone() });
    }

    fn show(&mut self, part: Part, octets: &[u8]) {
        *self.sent.of(part) += octets.len() as u64;
        self.err_first = part == Part::Out;
        self.queue.push_back(Message::Binary(output_frame(part, octets).into()));
    }

    /// What there is to show next; waits for it.
    fn next(&self, handle: &Handle) -> impl Future<Output = Result<Piece, Fault>> + use<> {
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
                    let octets = handle.output(&id, part, at, there.min(FRAME - 1)).await?.octets;
                    if octets.is_empty() {
                        let text = format!("{id}: {} from octet {at} on is gone", part.as_str());
                        return Err(Fault::new(FaultKind::Internal, text));
                    }
                    return Ok(Piece::Output(part, octets.into()));
                }
                if command.state.is_over() {
                    return Ok(Piece::Over(Box::new(command)));
                }
            }
        }
    }

    /// Takes a frame; gives how it ends if that was the last.
    fn hear(
        &mut self,
        message: Option<Result<Message, axum::Error>>,
        may_write: bool,
    ) -> Result<Option<End>, Fault> {
        self.heard = Instant::now();
        let invalid = |text: &str| Fault::new(FaultKind::InvalidParameter, text);
        match message {
            None | Some(Err(_) | Ok(Message::Close(_))) => return Ok(Some(End::Lost)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(octets))) => {
                if !may_write {
                    return Err(invalid("input, and somebody else writes, or nobody asked to"));
                }
                self.input.add(&octets)?;
            }
            Some(Ok(Message::Text(text))) => {
                let wish = serde_json::from_str(&text).map_err(|error| {
                    Fault::new(FaultKind::InvalidParameter, format!("a frame that is no wish: {error}"))
                })?;
                match wish {
                    Wish::Leave => return Ok(Some(End::Orderly)),
                    Wish::Seen { out, err } => {
                        let seen = Offsets { out, err };
                        if seen.out > self.sent.out || seen.err > self.sent.err {
                            return Err(invalid("output was seen that was never sent"));
                        }
                        self.seen = seen;
                    }
                    Wish::End | Wish::Resize(_) if !may_write => {}
                    Wish::End => self.input.ended = true,
                    Wish::Resize(size) => self.input.size = Some(size),
                }
            }
        }
        Ok(None)
    }
}

impl Input {
    /// It begins after what its guest has; gives where that is.
    fn begins(&mut self, taken: Taken) -> u64 {
        self.is_over = taken.over;
        self.offset = if taken.over { 0 } else { taken.offset };
        self.offset
    }

    /// The guest has it up to there.
    fn taken(&mut self, taken: Taken) -> Result<u64, Fault> {
        self.is_over |= taken.over;
        if taken.offset < self.offset && !taken.over {
            let text = format!("the guest has the input up to octet {} only; the rest is gone", taken.offset);
            return Err(Fault::new(FaultKind::Internal, text));
        }
        Ok(self.offset)
    }

    fn add(&mut self, octets: &[u8]) -> Result<(), Fault> {
        if self.ended || (self.waiting.len() + octets.len()) as u64 > WINDOW {
            let text = "more input than was taken, or input after its end";
            return Err(Fault::new(FaultKind::InvalidParameter, text));
        }
        self.waiting.extend_from_slice(octets);
        Ok(())
    }

    /// The next thing to be done with the command, if there is one.
    fn step<'a>(&mut self, attach: &'a Attach, id: &'a str) -> Option<BoxFuture<'a, Result<Fed, Fault>>> {
        let Attach { handle, lexicon, .. } = attach;
        if let Some(Size { rows, columns }) = self.size.take() {
            let resized = async move { handle.resize(lexicon, id, rows, columns).await };
            return Some(resized.map(|done| done.map(|()| Fed::Size)).boxed());
        }
        let octets = self.waiting.split_to(self.waiting.len().min(FRAME)).freeze();
        let ends = self.ended && self.waiting.is_empty() && !self.is_over;
        if octets.is_empty() && !ends {
            return None;
        }
        let offset = self.offset;
        self.offset += octets.len() as u64;
        if self.is_over {
            // Nobody reads it any more, as when a pipe's reader is gone; who types is not to wait.
            return Some(ready(Ok(Fed::Input(Taken { offset: self.offset, over: true }))).boxed());
        }
        self.is_over |= ends;
        Some(give(attach, id, offset, octets, ends).map(|taken| taken.map(Fed::Input)).boxed())
    }
}

/// Gives a command input, however long it takes until it reads it, and its guest is there.
async fn give(attach: &Attach, id: &str, offset: u64, octets: Bytes, end: bool) -> Result<Taken, Fault> {
    let Attach { handle, lexicon, .. } = attach;
    let until = offset + octets.len() as u64;
    let mut at = offset;
    loop {
        handle.watch(id, Instant::now() + LOOK, |command| command.state != State::Queued).await?;
        let rest =
            octets.slice(usize::try_from(at - offset).map_or(octets.len(), |done| done.min(octets.len()))..);
        match handle.input(lexicon, id, at, &rest, end, Instant::now() + BEAT).await {
            Ok(taken) if taken.over || taken.offset < at || taken.offset >= until && !end => {
                return Ok(taken);
            }
            Ok(taken) => at = taken.offset.min(until),
            Err(fault) if fault.kind.transient() && fault.kind != FaultKind::Stopping => {
                // The guest is away; commands go on without it, and so do we, later.
                handle.watch(id, Instant::now() + PAUSE, |command| command.state.is_over()).await?;
            }
            Err(fault) => return Err(fault),
        }
    }
}
