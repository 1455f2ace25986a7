//! What guests report of their commands: output, how much of the input was read, the end. A report is taken in steps,
//! each of which is on the disk before the next one, and is answered when all of it is:
//!
//! ```text
//!  report ─▶ whose command? ─▶ output: where does it belong? ─▶ disk ─▶ the end: is all here? ─▶ disk ─▶ closed
//!              │ not under way: look it up; given up: it goes on        │ no room, or too much: held up
//! ```

use super::{Agent, Tracked, answer};
use crate::agent::commands::{Active, BookError, Command, Digests};
use crate::agent::events::About;
use crate::agent::request::Reply;
use crate::agent::store::{Space, Store, StoreError};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use tracing::{error, warn};
use vocable_api::clock::Now;
use vocable_api::fault::Fault;
use vocable_protocol::{Part, ReportedResults, excerpt};

/// How long a guest's message waits for what is being made ready before the guest is told to come again.
const SOON: Duration = Duration::from_millis(500);
/// The pause before what could not be read is read again.
const READ_AGAIN: Duration = Duration::from_secs(10);

pub(crate) struct Report {
    sender: String,
    id: String,
    output: VecDeque<Piece>,
    news: News,
    reply: Reply<Result<(), TakeError>>,
    has_waited: bool,
    is_looked_up: bool,
}

pub(crate) enum News {
    Ended(Box<ReportedResults>),
    /// It has read its input up to there.
    InputTaken(u64),
    None,
}

/// A piece of output, and which space may be used for it.
pub(crate) struct Piece {
    pub(crate) part: Part,
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
    pub(crate) space: Space,
}

/// What of a command is being written down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Writing {
    End,
    Output,
}

/// Why something a guest says of a command is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unheard {
    /// The host has never asked for such a command, or it is long over.
    #[error("the host knows no command {0}")]
    Unknown(String),
    #[error("command {id} is not of {sender}")]
    NotYours { id: String, sender: String },
    /// The books say otherwise.
    #[error(transparent)]
    Books(#[from] BookError),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    /// It was not asked for, or the books say otherwise.
    #[error(transparent)]
    Unheard(#[from] Unheard),
    /// It could not be written down; the guest keeps it and tries again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is here already as much as may be, or there is no room; the guest keeps it and tries again.
    #[error("no-space: {id} is held up: {why}")]
    Held { id: String, why: String },
    /// The agent is stopping; the guest tries again.
    #[error(transparent)]
    Agent(#[from] Fault),
    #[error("{0} is neither text nor {{\"b64\": base64}}")]
    Inline(&'static str),
}

/// A command that is not under way, as the store knows it.
enum Known {
    /// It was given up without its guest: it can go on.
    GivenUp(Box<Active>),
    /// Its end is written down: it is only told once more.
    Settled,
    /// It is none of this guest.
    Unknown,
}

impl Report {
    pub(crate) const fn new(
        sender: String,
        id: String,
        output: VecDeque<Piece>,
        news: News,
        reply: Reply<Result<(), TakeError>>,
    ) -> Self {
        Self { sender, id, output, news, reply, has_waited: false, is_looked_up: false }
    }

    fn answer(self, taken: Result<(), TakeError>) {
        answer(self.reply, taken);
    }

    pub(super) fn refuse(self, error: impl Into<Unheard>) {
        self.answer(Err(TakeError::Unheard(error.into())));
    }

    /// Whether it has to wait for the digests of what is here.
    fn needs_digests(&self) -> bool {
        !self.output.is_empty() || matches!(self.news, News::Ended(_))
    }
}

impl Agent {
    /// Takes a report, or what is left of it.
    pub(super) fn take_report(&mut self, mut report: Report) {
        let it = match self.owned_by(&report.sender, &report.id) {
            Ok(it) => it,
            Err(Unheard::Unknown(_)) if !report.is_looked_up => return self.look_up(report),
            Err(error) => return report.refuse(error),
        };
        if it.writing.is_some() {
            // Whoever sent that did not wait for it, nor for what waits here.
            it.reports.retain(|waiting| !waiting.reply.is_closed());
            return it.reports.push(report);
        }
        if !it.active.is_ready() && report.needs_digests() && !report.has_waited {
            return self.wait_for_digests(report);
        }
        match report.output.pop_front() {
            Some(piece) => self.take_output(report, piece),
            None => match std::mem::replace(&mut report.news, News::None) {
                News::Ended(results) => self.take_end(report, *results),
                News::InputTaken(offset) => {
                    it.active.command.input_taken = it.active.command.input_taken.max(offset);
                    it.heard = Some(Now::read().mono);
                    it.changed.send_replace(());
                    report.answer(Ok(()));
                }
                News::None => report.answer(Ok(())),
            },
        }
    }

    fn owned_by(&mut self, sender: &str, id: &str) -> Result<&mut Tracked, Unheard> {
        let it = self.commands.get_mut(id).ok_or_else(|| Unheard::Unknown(excerpt(id)))?;
        if it.active.command.guest != sender {
            return Err(Unheard::NotYours { id: id.to_owned(), sender: sender.to_owned() });
        }
        Ok(it)
    }

    /// The command is not under way: it is over, was given up, or was never asked for.
    fn look_up(&self, mut report: Report) {
        report.is_looked_up = true;
        let (store, sender, id) = (self.store.clone(), report.sender.clone(), report.id.clone());
        self.background(async move { known(&store, &sender, id).await }, |agent, known| match known {
            Ok(Known::Settled) => report.answer(Ok(())),
            Ok(Known::Unknown) => agent.take_report(report),
            Ok(Known::GivenUp(active)) => {
                if !agent.commands.contains_key(&report.id) {
                    agent.revive(*active);
                }
                agent.take_report(report);
            }
            Err(error) => report.answer(Err(error.into())),
        });
    }

    /// Waits a moment for a command to be ready, so that its guest does not have to come again for a small one.
    fn wait_for_digests(&mut self, mut report: Report) {
        report.has_waited = true;
        let id = report.id.clone();
        if let Some(it) = self.commands.get_mut(&id) {
            it.reports.push(report);
        }
        self.background(tokio::time::sleep(SOON), move |agent, ()| agent.resume_reports(&id));
    }

    fn resume_reports(&mut self, id: &str) {
        let Some(it) = self.commands.get_mut(id).filter(|it| it.writing.is_none()) else { return };
        for report in std::mem::take(&mut it.reports) {
            self.take_report(report);
        }
    }

    /// Makes the digests of what is on disk of a command, however long that takes; until then it is not ready.
    pub(super) fn make_digests(&self, id: &str) {
        let (store, of, id) = (self.store.clone(), id.to_owned(), id.to_owned());
        self.background(async move { digests(&store, &of).await }, move |agent, digests| {
            if let (Some(it), Some(digests)) = (agent.commands.get_mut(&id), digests) {
                it.active.ready(digests);
                it.changed.send_replace(());
                agent.resume_reports(&id);
            }
        });
    }

    fn take_output(&mut self, report: Report, piece: Piece) {
        let Some(it) = self.commands.get_mut(&report.id) else { return };
        let Piece { part, offset, bytes, space } = piece;
        let append = match it.active.place(part, offset, bytes.len()) {
            Ok(Some(append)) => append,
            // All of it is here already.
            Ok(None) => return self.take_report(report),
            Err(error) => return report.refuse(error),
        };
        if space == Space::Usual && append.counted >= self.output_limit.bytes() {
            let why = format!(
                "the output limit of {} is reached; vocable kill {} ends it, commands.output_limit is the limit",
                self.output_limit, report.id
            );
            return self.hold_up(report, why);
        }
        it.writing = Some(Writing::Output);
        let bytes = bytes.slice(append.skip.min(bytes.len())..);
        let (store, id, written) = (self.store.clone(), report.id.clone(), bytes.clone());
        let appending = async move { store.append(id, part, append.at, written, space).await };
        self.background(appending, move |agent, appended| {
            if let Some(it) = agent.commands.get_mut(&report.id) {
                it.writing = None;
                // It may have been given up and taken up again meanwhile: then this was found on the disk.
                if appended.is_ok() && it.active.is_ready() && it.active.command.received(part) == append.at {
                    // What writes has been started, even if the guest's word for it was lost.
                    let now = Now::read();
                    it.active.started(now.utc);
                    it.heard = Some(now.mono);
                    it.active.received(part, &bytes);
                    it.changed.send_replace(());
                }
            }
            let id = report.id.clone();
            match appended {
                Ok(false) => agent.take_report(report),
                Ok(true) => agent.mark(report, part),
                Err(error @ StoreError::NoRoom { .. }) => agent.hold_up(report, error.to_string()),
                Err(error) => report.answer(Err(error.into())),
            }
            agent.resume_reports(&id);
        });
    }

    /// Writes down how far the digest of a stream is, all of which is on the disk.
    fn mark(&mut self, report: Report, part: Part) {
        let digests = self.commands.get(&report.id).and_then(|it| it.active.digests());
        let Some(progress) = digests.map(|digests| digests.of(part).clone()) else {
            return self.take_report(report);
        };
        let (store, id) = (self.store.clone(), report.id.clone());
        self.background(async move { store.mark(id, part, progress).await }, |agent, marked| match marked {
            Ok(()) => agent.take_report(report),
            Err(error) => report.answer(Err(error.into())),
        });
    }

    /// No more of a command's output is taken for now; whoever looks is told why.
    fn hold_up(&mut self, report: Report, why: String) {
        let id = report.id.clone();
        if let Some(it) = self.commands.get_mut(&id) {
            let guest = it.active.command.guest.clone();
            if it.active.command.paused.replace(why.clone()).is_none() {
                warn!(cmd = id, guest, "paused: {why}");
                it.changed.send_replace(());
                self.events.note("cmd.paused", About::command(&id, &guest), why.clone(), Now::read());
            }
        }
        report.answer(Err(TakeError::Held { id, why }));
    }

    fn take_end(&mut self, report: Report, results: ReportedResults) {
        let Some(it) = self.commands.get_mut(&report.id) else { return };
        let mut ended = it.active.clone();
        if let Err(error) = ended.finished(results, Now::read().utc) {
            return report.refuse(error);
        }
        it.writing = Some(Writing::End);
        let (store, command) = (self.store.clone(), ended.command);
        let writing = async move {
            let written = store.update(command.clone()).await;
            (command, written)
        };
        self.background(writing, |agent, (command, written)| {
            if let Some(it) = agent.commands.get_mut(&report.id) {
                it.writing = None;
            }
            if written.is_ok() {
                agent.close(&command);
            }
            agent.resume_reports(&command.id);
            report.answer(written.map_err(TakeError::from));
        });
    }

    fn close(&mut self, command: &Command) {
        self.note_command(command);
        // Dropping it wakes whoever waits; the store has the rest.
        if let Some(it) = self.untrack(&command.id) {
            it.reports.into_iter().for_each(|report| self.take_report(report));
        }
    }
}

async fn known(store: &Store, sender: &str, id: String) -> Result<Known, StoreError> {
    let command = store.command(id.clone()).await?;
    let Some(command) = command.filter(|it| it.guest == sender && it.state.is_over()) else {
        return Ok(Known::Unknown);
    };
    if !command.is_given_up() {
        return Ok(Known::Settled);
    }
    Ok(store.resumed(id).await?.map_or(Known::Unknown, |active| Known::GivenUp(Box::new(active))))
}

async fn digests(store: &Store, id: &str) -> Option<Digests> {
    loop {
        match store.prepared(id.to_owned()).await {
            Ok(digests) => return Some(digests),
            Err(StoreError::Closed) => return None,
            Err(error) => error!(cmd = id, "its output cannot be read; trying again: {error}"),
        }
        tokio::time::sleep(READ_AGAIN).await;
    }
}
