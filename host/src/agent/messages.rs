//! Messages: what is sent to guests, and what is heard of them.

use super::{Agent, Then, answer};
use crate::agent::asks::{Pending, Purpose};
use crate::agent::commands::{Failure, State};
use crate::agent::events::About;
use crate::agent::request::{Answer, OutgoingMessage, Reply};
use crate::agent::say::word_fault;
use crate::agent::turns::{Outcome, Turn};
use crate::agent::work::Metered;
use crate::panics::caught;
use futures_util::FutureExt;
use serde_json::Value;
use std::time::{Duration, Instant};
use tracing::{debug, warn};
use vocable_api::clock::Now;
use vocable_api::fault::{Fault, FaultKind};
use vocable_protocol::{Mailbox, excerpt, header, is_guest_id};
use vocable_runtime::{Envelope, PING, Received, wrap, wrap_raw};
use vocable_stomp::broker::LinkError;
use vocable_stomp::{Command as Verb, DELIVERIES, Frame};

/// Headers of the transport: how a message came is no business of the word that listens.
const TRANSPORT: [&str; 6] =
    ["ack", "destination", "redelivered", "subscription", "omitted-headers", DELIVERIES];
/// A message that was given out so often and never settled is not tried again.
const MAX_DELIVERIES: u32 = 5;
/// Bytes of what went wrong that are kept and logged: a guest may say much.
const LONGEST_ERROR: usize = 400;
/// What a kibibyte of a message has cost before it is heard, on its way through the broker.
const ON_ITS_WAY: Duration = Duration::from_micros(1);

impl Agent {
    pub(super) fn ask_for_caller(
        &mut self,
        guest: String,
        said: OutgoingMessage,
        timeout: Duration,
        reply: Reply<Result<Answer, Fault>>,
    ) {
        let deadline = Some(Instant::now() + timeout);
        self.ask(Pending { guest, deadline, purpose: Purpose::Caller(reply) }, said, deadline);
    }

    /// Asks a guest; after `until` it is not to act on it any more.
    pub(super) fn ask(&mut self, pending: Pending, said: OutgoingMessage, until: Option<Instant>) {
        let guest = pending.guest.clone();
        let ask = self.asks.add(pending);
        let message = wrap(&said.word, said.message).to(&guest).asked(&ask);
        match self.addressed(&guest, &said.word, message, until) {
            Ok(frame) => self.post(frame, move |agent, sent| {
                if let Err(error) = sent {
                    agent.not_asked(&ask, not_sent(&guest, &error));
                }
            }),
            Err(fault) => self.not_asked(&ask, fault),
        }
    }

    fn not_asked(&mut self, ask: &str, fault: Fault) {
        match self.asks.remove(ask).map(|ask| ask.purpose) {
            Some(Purpose::Caller(reply)) => answer(reply, Err(fault)),
            Some(Purpose::Command(command)) => {
                self.close_as(&command, State::Failed, Failure::new(fault.kind.slug(), fault.message));
            }
            None => {}
        }
    }

    pub(super) fn expire_asks(&mut self, now: Instant) {
        for ask in self.asks.expired(now) {
            give_up(ask, FaultKind::TimedOut, "no answer in time");
        }
    }

    pub(super) fn abandon_asks(&mut self, guest: &str, why: &str) {
        for ask in self.asks.abandoned(guest) {
            give_up(ask, FaultKind::GuestOffline, why);
        }
    }

    /// The frame of a message to a guest.
    fn addressed(
        &mut self,
        guest: &str,
        word: &str,
        message: Envelope,
        until: Option<Instant>,
    ) -> Result<Frame, Fault> {
        let (bytes, most) = (message.body.len(), self.max_frame);
        if bytes > most {
            let text =
                format!("a {word} for {guest} of {bytes} bytes; a guest takes {most} (broker.max_frame)");
            self.roster.failed(guest, &text, Now::read());
            return Err(Fault::new(FaultKind::TooBig, text));
        }
        // Before what the word has written, so that these count.
        let frame = Frame::new(Verb::Send)
            .with("destination", Mailbox::ToGuest.of(guest))
            .with(header::HOST_TIME, self.time.at(Instant::now()).to_string());
        let frame = match until {
            Some(until) => frame.with(header::VALID_UNTIL, self.time.at(until).to_string()),
            None => frame,
        };
        let frame = message.headers.into_iter().fold(frame, |frame, (name, value)| frame.with(&name, value));
        Ok(frame.with_body(message.body))
    }

    /// Hands a frame to the broker, and goes on with what that says.
    fn post(&self, frame: Frame, then: impl FnOnce(&mut Self, Result<(), LinkError>) + Send + 'static) {
        let sender = self.link.sender().clone();
        self.background(async move { sender.send(frame).await }, then);
    }

    /// Sends a message that nobody waits for.
    pub(super) fn send(&mut self, guest: &str, word: &str, message: Envelope) {
        let to = guest.to_owned();
        match self.addressed(guest, word, message, None) {
            Ok(frame) => self.post(frame, move |_, sent| {
                if let Err(error) = sent {
                    warn!(guest = to, "not sent: {error}");
                }
            }),
            Err(fault) => warn!(guest, "not sent: {fault}"),
        }
    }

    /// Has a word said because another one, or a caller, wants it said.
    pub(super) fn say(
        &mut self,
        word: String,
        to: String,
        args: String,
        reply: Reply<Result<String, Fault>>,
    ) {
        if self.roster.get(&to).is_none() {
            let text = format!("no guest is called {}", excerpt(&to));
            return answer(reply, Err(Fault::new(FaultKind::NoSuchGuest, text)));
        }
        let lexicon = self.lexicon.clone();
        let said = async move {
            let said = match caught(&to, lexicon.say(&word, args)).await {
                Ok(said) => said.map_err(word_fault),
                Err(fault) => Err(fault),
            };
            (word, to, said)
        };
        self.background(said, |agent, (word, to, said)| {
            // It is not asked, so nobody can ask about it by an id.
            let frame =
                said.and_then(|message| agent.addressed(&to, &word, wrap(&word, message).to(&to), None));
            match frame {
                Ok(frame) => agent.post(frame, move |_, sent| {
                    answer(reply, sent.map(|()| String::new()).map_err(|error| not_sent(&to, &error)));
                }),
                Err(fault) => answer(reply, Err(fault)),
            }
        });
    }

    pub(super) fn line_up(&mut self) {
        while let Some(frame) = self.arriving.pop_front() {
            self.arrived(frame);
        }
        self.hear_next();
    }

    /// A frame of a guest has arrived; those of one guest are heard one after the other.
    fn arrived(&mut self, frame: Frame) {
        let from = frame.header("destination").unwrap_or_default();
        let guest = Mailbox::FromGuest.guest(from).filter(|guest| is_guest_id(guest)).map(str::to_owned);
        let Some(guest) = guest else {
            warn!("a message without a guest: {}", excerpt(from));
            return self.acknowledge(None, frame);
        };
        let now = Now::read();
        let change = self.roster.sign_of_life(&guest, now);
        // What the message says comes next.
        change.into_iter().for_each(|change| self.on_change(change));
        let deliveries = frame.earlier_deliveries();
        if deliveries >= MAX_DELIVERIES {
            let text = format!("{} was given out {deliveries} times and never settled", word_of(&frame));
            self.fail_guest(&guest, &format!("refused: {text}"));
            return self.acknowledge(Some((&guest, "undeliverable", &text)), frame);
        }
        let bytes = frame.weight();
        if let Err(frame) = self.turns.offer(&guest, frame, bytes) {
            self.roster.not_heard(&guest);
            warn!(guest, "not heard: too many of its messages wait");
            let text = "too many of your messages wait; tell it again later";
            self.acknowledge(Some((&guest, "failed", text)), frame);
        }
    }

    pub(super) fn hear_next(&mut self) {
        while let Some(turn) = self.turns.next_turn() {
            self.hear(turn);
        }
    }

    fn hear(&self, Turn { guest, message: frame, length }: Turn<Frame>) {
        let interpreter = self.interpreter.clone();
        let envelope =
            Envelope { headers: frame.headers.clone(), body: frame.body.clone() }.without(&TRANSPORT);
        let whose = guest.clone();
        let hearing = async move {
            let heard = caught(&guest, interpreter.receive(envelope, &guest)).await;
            let heard = heard.unwrap_or_else(|fault| Received {
                word: word_of(&frame),
                reply: refusal(&frame, &guest, "failed", &fault.message),
                error: Some(fault.message),
                ..Received::default()
            });
            let then: Then = Box::new(move |agent, spent| agent.heard(&guest, frame, heard, spent));
            then
        };
        self.work.hear(whose, length, hearing.boxed());
    }

    /// Something computes for too long to be done on this thread.
    pub(super) fn move_elsewhere(&mut self, work: Metered<Then>) {
        if let Some(guest) = &work.guest {
            self.turns.is_long(guest);
        }
        self.work.elsewhere(work);
        self.hear_next();
    }

    /// A message was heard, which took so much time.
    fn heard(&mut self, guest: &str, frame: Frame, heard: Received, spent: Duration) {
        let waits = |name| frame.header(name).is_some();
        let is_asked = waits(header::ASKED) || waits(header::IN_REPLY_TO);
        let outcome = Outcome { is_asked, is_refused: heard.error.is_some() };
        let cost = spent + ON_ITS_WAY.saturating_mul(u32::try_from(frame.weight() >> 10).unwrap_or(u32::MAX));
        self.turns.rest(guest, cost, outcome, Instant::now());
        self.turns.done(guest, cost);
        self.settle(guest, frame, heard);
        if self.turns.is_idle(guest) {
            self.disconnect(guest);
        }
        self.hear_next();
    }

    /// Replies to a message that was heard, acknowledges it, and takes the answer that it may be.
    fn settle(&mut self, guest: &str, frame: Frame, heard: Received) {
        if let Some(error) = heard.error {
            let (error, now) = (shorten_error(error), Now::read());
            warn!(guest, word = heard.word, "{error}");
            self.roster.failed(guest, &error, now);
            self.events.note("word.failed", About::guest(guest), error, now);
        }
        if let Some(reply) = heard.reply {
            let asked = frame.header(header::ASKED).map(str::to_owned);
            self.reply(guest, &heard.word, reply, asked);
        }
        // The reply first: what is acknowledged has been answered.
        self.acknowledge(None, frame);
        let Some(reply) = heard.answer else { return };
        if let Err(refused) = reply.result.as_ref()
            && refused.kind == "too-large"
        {
            let text = shorten_error(format!("{} answered too much: {}", heard.word, refused.text));
            self.roster.failed(guest, &text, Now::read());
        }
        match self.asks.answered(&reply.to, guest).map(|ask| ask.purpose) {
            Some(Purpose::Caller(caller)) => answer(caller, Ok(reply.result)),
            Some(Purpose::Command(id)) => self.taken(guest, &id, reply.result),
            None => {
                self.roster.answered_nobody(guest);
                debug!(guest, "an answer that nobody waits for");
            }
        }
    }

    /// Sends what a word answers. What is longer than a guest takes is refused instead: it would cut the guest off.
    fn reply(&mut self, guest: &str, word: &str, reply: Envelope, asked: Option<String>) {
        let (bytes, most) = (reply.body.len(), self.max_frame);
        if bytes <= most {
            return self.send(guest, word, reply);
        }
        let text = format!("the answer of {word} has {bytes} bytes; a message has {most} at most");
        self.fail_guest(guest, &text);
        if let Some(asked) = asked {
            let refused = wrap_raw(PING, Value::from(text).to_string().into()).refusal("too-large");
            self.send(guest, PING, refused.in_reply_to(&asked).to(guest));
        }
    }

    /// A message was dealt with; a guest that asked is told why it was refused, if it was.
    fn acknowledge(&mut self, refused: Option<(&str, &str, &str)>, frame: Frame) {
        let reply = refused.and_then(|(guest, kind, why)| Some((guest, refusal(&frame, guest, kind, why)?)));
        if let Some((guest, reply)) = reply {
            self.send(guest, PING, reply);
        }
        let sender = self.link.sender().clone();
        self.background(async move { sender.ack(&frame).await }, |_, acknowledged| {
            if let Err(error) = acknowledged {
                // It comes again, and words hear some things twice anyway.
                warn!("not acknowledged: {error}");
            }
        });
    }
}

/// What a message begins with, as it can be shown.
fn word_of(frame: &Frame) -> String {
    let word = frame.body.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let word = String::from_utf8_lossy(word.get(..32).unwrap_or(word)).into_owned();
    if vocable_runtime::is_word_name(&word) { word } else { "a message".to_owned() }
}

/// The reply to a message that is not heard; none if it asks for none, or is an answer itself.
fn refusal(frame: &Frame, guest: &str, kind: &str, why: &str) -> Option<Envelope> {
    let asked = frame.header(header::ASKED).filter(|_| frame.header(header::IN_REPLY_TO).is_none())?;
    let reason = Value::from(why).to_string();
    Some(wrap_raw(PING, reason.into()).refusal(kind).in_reply_to(asked).to(guest))
}

fn not_sent(guest: &str, error: &LinkError) -> Fault {
    Fault::new(FaultKind::TooMany, format!("the mailbox of {guest}: {error}"))
}

fn give_up(ask: Pending, kind: FaultKind, why: &str) {
    if let Purpose::Caller(reply) = ask.purpose {
        answer(reply, Err(Fault::new(kind, format!("{}: {why}", ask.guest))));
    }
}

/// What went wrong, without what is too much of it.
pub(super) fn shorten_error(mut text: String) -> String {
    let bytes = text.len();
    if bytes > LONGEST_ERROR {
        let end = (0..=LONGEST_ERROR).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push_str(&format!("… ({bytes} bytes)"));
    }
    text
}
