//! What callers do to commands that run: signal and end them, see what they use, give them input. Each is one event
//! raised for the words bound to it, and the guest's answer to what they say.

use crate::agent::commands::{Command, State};
use crate::agent::handle::Handle;
use crate::agent::request::{OutgoingMessage, Request};
use crate::agent::say::{read_answer, word_fault};
use crate::agent::store::Filter;
use crate::shape::Bounds;
use base64::prelude::*;
use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use vocable_api::cmd::InputTaken;
use vocable_api::fault::{Fault, FaultKind};
use vocable_protocol::{Event, InputStatus, TerminalSize, Usage, header};
use vocable_runtime::Lexicon;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Commands that are measured together.
const MAX_MEASURED: u32 = 1000;
/// How long one attempt to feed a command lasts.
const FEEDING: Duration = Duration::from_secs(3600);
/// The pause before a guest that is offline is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes of input in one message.
const PIECE: usize = 256 * 1024;
/// Guests asked at the same time.
const ASKED_AT_ONCE: usize = 256;
/// How long to wait for the word that there is room for input before the guest is asked again: the word may be lost.
const NO_WORD: Duration = Duration::from_secs(2);

/// How long the end of a command may be on its way when its guest says that it is over.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Signal {
    pub(crate) number: i32,
    /// To end it: how long until what is left is killed, or else by the command's own grace.
    pub(crate) end: Option<Option<Duration>>,
}

impl Signal {
    /// What asks a program to end, in a way that it can hear.
    pub(crate) const TERM: i32 = 15;

    /// The facts of `signal-requested` for a command.
    pub(crate) fn facts(self, cmd_id: &str) -> Map<String, Value> {
        let mut facts = Map::from_iter([
            (header::CMD_ID.to_owned(), Value::from(cmd_id)),
            ("signal".to_owned(), self.number.into()),
        ]);
        if let Some(grace) = self.end {
            let millis = grace.map(|grace| u32::try_from(grace.as_millis()).unwrap_or(u32::MAX));
            facts.insert("grace".to_owned(), json!(millis));
        }
        facts
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Told<T> {
    pub(crate) command: Command,
    pub(crate) answer: Result<T, Fault>,
}

impl Handle {
    /// Signals or ends a command, or all commands of a run that are not over. Gives for each how many processes
    /// heard of it; for one that is over already none, which is no fault of its end being wanted.
    pub(crate) async fn signal(
        &self,
        lexicon: &Lexicon,
        id: &str,
        signal: Signal,
    ) -> Result<Vec<Told<u64>>, Fault> {
        let commands = self.find(id).await?.commands();
        let signalling = commands.into_iter().map(|command| async move {
            let answer = self.signal_one(lexicon, &command, signal).await;
            Told { command, answer }
        });
        Ok(stream::iter(signalling).buffered(ASKED_AT_ONCE).collect().await)
    }

    async fn signal_one(&self, lexicon: &Lexicon, command: &Command, signal: Signal) -> Result<u64, Fault> {
        let over = || match signal.end {
            Some(_) => Ok(0),
            None => Err(Fault::new(FaultKind::Finished, format!("{} is over", command.id))),
        };
        if command.state.is_over() {
            return over();
        }
        if signal.end.is_some()
            && self.request(|reply| Request::Withdraw { id: command.id.clone(), reply }).await?
        {
            return Ok(0);
        }
        if self.begun(&command.id, Instant::now() + ANSWER_TIMEOUT).await?.state.is_over() {
            return over();
        }
        match self
            .ask_bound_word(lexicon, &command.guest, Event::SignalRequested, signal.facts(&command.id))
            .await
        {
            Err(fault) if self.is_over_for(&command.id, &fault).await? => over(),
            answer => Ok(answer?["processes"].as_u64().unwrap_or(0)),
        }
    }

    /// Whether a guest has refused because the command is over: it knows of an end that is still on its way here.
    async fn is_over_for(&self, id: &str, fault: &Fault) -> Result<bool, Fault> {
        if fault.kind != FaultKind::WordInvalid {
            return Ok(false);
        }
        let now = self.watch(id, Instant::now() + ON_ITS_WAY, |command| command.state.is_over()).await?;
        Ok(now.state.is_over())
    }

    /// What a command, the commands of a run, or all that run use now: each guest is asked once for all of its.
    pub(crate) async fn usage(&self, lexicon: &Lexicon, id: Option<&str>) -> Result<Vec<Told<Usage>>, Fault> {
        let commands = match id {
            Some(id) => self.find(id).await?.commands(),
            None => self.list(Filter { limit: MAX_MEASURED, ..Filter::default() }).await?,
        };
        let mut by_guest: BTreeMap<String, Vec<Command>> = BTreeMap::new();
        for command in commands {
            by_guest.entry(command.guest.clone()).or_default().push(command);
        }
        let asking = by_guest.into_iter().map(|(guest, commands)| async move {
            let running = commands.iter().filter(|command| command.state == State::Running);
            let ids: Vec<_> = running.map(|command| command.id.as_str()).collect();
            let facts = Map::from_iter([("cmd-ids".to_owned(), json!(ids))]);
            let told = match ids.as_slice() {
                [] => Ok(Value::Null),
                _ => self.ask_bound_word(lexicon, &guest, Event::UsageRequested, facts).await,
            };
            commands.into_iter().map(|command| used(command, &told)).collect::<Vec<_>>()
        });
        let told: Vec<_> = stream::iter(asking).buffered(ASKED_AT_ONCE).collect().await;
        Ok(told.into_iter().flatten().collect())
    }

    /// Gives a command, or all commands of a run, input that belongs at `offset`. Waits while the command does not
    /// read, until the deadline; gives from where to go on, of a run for the one that is behind the others.
    pub(crate) async fn input(
        &self,
        lexicon: &Lexicon,
        id: &str,
        offset: u64,
        bytes: &[u8],
        end: bool,
        deadline: Instant,
    ) -> Result<InputTaken, Fault> {
        let commands = self.find(id).await?.commands();
        let giving = commands
            .into_iter()
            .map(|command| async move { self.give(lexicon, &command, offset, bytes, end, deadline).await });
        let taken: Vec<_> = stream::iter(giving).buffered(ASKED_AT_ONCE).collect().await;
        let nobody = InputTaken { offset: offset + bytes.len() as u64, over: true };
        taken.into_iter().try_fold(nobody, |so_far, taken| {
            let taken = taken?;
            Ok(match (so_far.over, taken.over) {
                // Who wants no more keeps nobody waiting.
                (true, _) => taken,
                (false, true) => so_far,
                (false, false) => InputTaken { offset: so_far.offset.min(taken.offset), over: false },
            })
        })
    }

    /// Sends a command input, however long it takes until it reads it and its guest is online.
    pub(crate) async fn feed(
        &self,
        lexicon: &Lexicon,
        id: &str,
        offset: u64,
        bytes: &[u8],
        end: bool,
    ) -> Result<InputTaken, Fault> {
        let until = offset + bytes.len() as u64;
        loop {
            match self.input(lexicon, id, offset, bytes, end, Instant::now() + FEEDING).await {
                // It was not read yet.
                Ok(InputTaken { offset: at, over: false }) if at >= offset && (at < until || end) => {}
                Err(fault) if fault.kind.transient() && fault.kind != FaultKind::Stopping => {
                    // The guest is offline; commands go on without it, and so do we, later.
                    self.watch(id, Instant::now() + PAUSE, |command| command.state.is_over()).await?;
                }
                taken => return taken,
            }
        }
    }

    async fn give(
        &self,
        lexicon: &Lexicon,
        command: &Command,
        offset: u64,
        bytes: &[u8],
        end: bool,
        deadline: Instant,
    ) -> Result<InputTaken, Fault> {
        let until = offset + bytes.len() as u64;
        let over = InputTaken { offset: until, over: true };
        let mut at = offset;
        loop {
            let now = self.begun(&command.id, deadline).await?;
            if now.state.is_over() {
                return Ok(over);
            }
            if now.state == State::Queued {
                return Ok(InputTaken { offset: at, over: false });
            }
            let from = usize::try_from(at - offset).unwrap_or(usize::MAX);
            let rest = bytes.get(from..).unwrap_or_default();
            let piece = rest.get(..PIECE.min(rest.len())).unwrap_or_default();
            let is_last = end && piece.len() == rest.len();
            let facts = json!({header::CMD_ID: command.id, "offset": at, "input": BASE64_STANDARD.encode(piece),
                "end": is_last});
            let facts = facts.as_object().cloned().unwrap_or_default();
            let answer =
                match self.ask_bound_word(lexicon, &command.guest, Event::InputRequested, facts).await {
                    Err(fault) if self.is_over_for(&command.id, &fault).await? => return Ok(over),
                    answer => answer?,
                };
            let InputStatus { offset: here, taken, end: ended } = serde_json::from_value(answer)
                .unwrap_or(InputStatus { offset: at, ..InputStatus::default() });
            if ended && (is_last || here <= at) {
                return Ok(InputTaken { offset: here.max(at), over: true });
            }
            if here < offset {
                // Something before this was never here: only the caller can say what.
                return Ok(InputTaken { offset: here, over: false });
            }
            let moved = here > at;
            at = here.min(until);
            if at == until && !end || Instant::now() >= deadline {
                return Ok(InputTaken { offset: at, over: false });
            }
            if !moved {
                let wait = deadline.min(Instant::now() + NO_WORD);
                let before = now.input_taken.max(taken);
                let room = |command: &Command| command.state.is_over() || command.input_taken > before;
                self.watch(&command.id, wait, room).await?;
            }
        }
    }

    /// Gives the terminal of a command, or of all commands of a run, another size.
    pub(crate) async fn resize(&self, lexicon: &Lexicon, id: &str, size: TerminalSize) -> Result<(), Fault> {
        let TerminalSize { rows, columns } = size;
        for command in self.find(id).await?.commands() {
            if self.begun(&command.id, Instant::now() + ANSWER_TIMEOUT).await?.state.is_over() {
                continue;
            }
            let facts = json!({header::CMD_ID: command.id, "rows": rows, "columns": columns});
            let facts = facts.as_object().cloned().unwrap_or_default();
            self.ask_bound_word(lexicon, &command.guest, Event::InputRequested, facts).await?;
        }
        Ok(())
    }

    /// The command once its guest has it, or as it is at the deadline. What reaches a guest beside the command itself
    /// may be heard before it.
    async fn begun(&self, id: &str, deadline: Instant) -> Result<Command, Fault> {
        self.watch(id, deadline, |command| command.state != State::Queued).await
    }

    /// Has the words bound to an event say it to a guest, and gives what that answers.
    async fn ask_bound_word(
        &self,
        lexicon: &Lexicon,
        guest: &str,
        event: Event,
        facts: Map<String, Value>,
    ) -> Result<Value, Fault> {
        let said = lexicon.raise(event.as_str(), Value::from(facts).to_string()).await.into_iter().next();
        let none = || Fault::new(FaultKind::NoSuchWord, format!("no word is bound to {event}"));
        let (word, message) = said.ok_or_else(none)?;
        let said = OutgoingMessage { word: word.clone(), message: message.map_err(word_fault)? };
        let answer = self.ask_guest(guest, said, ANSWER_TIMEOUT).await?;
        read_answer(guest, &word, answer, Bounds::SHOWN)
    }
}

fn used(command: Command, told: &Result<Value, Fault>) -> Told<Usage> {
    let not_running = |why: String| Err(Fault::new(FaultKind::Finished, why));
    let answer = match told {
        Err(fault) if command.state == State::Running => Err(fault.clone()),
        Ok(by_id) if command.state == State::Running => match by_id.get(&command.id) {
            Some(usage @ Value::Object(_)) => Usage::deserialize(usage).map_err(|error| {
                let text = format!("{}: no usage of {}: {error}", command.guest, command.id);
                Fault::new(FaultKind::WordFailed, text)
            }),
            Some(Value::String(why)) => not_running(why.clone()),
            _ => not_running(format!("{} says nothing of {}", command.guest, command.id)),
        },
        _ => not_running(format!("{} is {}", command.id, command.state.as_str())),
    };
    Told { command, answer }
}
