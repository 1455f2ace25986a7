//! What callers learn of commands: how far they are and what they have written, at once or when there is more.

use crate::agent::commands::{Command, State};
use crate::agent::handle::{Found, Handle};
use crate::agent::store::Run;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout_at};
use vocable_api::attach::Offsets;
use vocable_api::cmd::{Poll, Until};
use vocable_api::fault::{Fault, FaultKind};
use vocable_protocol::{Part, ReportedResults};

/// Bytes of output in one answer, over all its commands, if the caller wants many: more is asked for with the next
/// offset.
const MAX_OUTPUT: usize = 1 << 20;
/// The same if the caller does not say: xmlrpc-c takes no answer of more than 512 KiB, and base64 adds a third.
const DEFAULT_OUTPUT: usize = 1 << 18;

/// For what, and until when, a caller waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitUntil {
    pub(crate) until: Until,
    pub(crate) deadline: Instant,
}

/// A command and a piece of its output.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) command: Command,
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
    /// Where the output goes on.
    pub(crate) next: Offsets,
}

/// What is reported of an id.
#[derive(Debug)]
pub(crate) enum Reported {
    Command(Box<Report>),
    /// A request to several guests: all its commands, and reports of those that are wanted.
    Run(Run, Vec<Command>, Vec<Report>),
}

/// From where on output of a command is wanted.
fn start(wanted: &Poll, id: &str) -> Offsets {
    let each = wanted.offsets.as_ref().and_then(|each| each.get(id));
    let (out, err) = match each.map(Vec::as_slice) {
        None => (wanted.out_offset, wanted.err_offset),
        Some(pair) => (pair.first().copied(), pair.get(1).copied()),
    };
    Offsets { out: out.unwrap_or_default().0, err: err.unwrap_or_default().0 }
}

/// Whether a command of a run is to be reported.
fn is_wanted(wanted: &Poll, id: &str) -> bool {
    wanted.offsets.as_ref().is_none_or(|each| each.contains_key(id))
}

impl WaitUntil {
    fn is_over(self, command: &Command, from: Offsets) -> bool {
        let more = command.out_bytes > from.out || command.err_bytes > from.err;
        command.state.is_over() || self.until == Until::Output && more
    }
}

impl Handle {
    /// A command, or all commands of a run, with output; after waiting, if the caller wants to.
    pub(crate) async fn poll(&self, wanted: &Poll, wait: Option<WaitUntil>) -> Result<Reported, Fault> {
        let limit = wanted.max_output.map(|limit| usize::try_from(limit.0).unwrap_or(MAX_OUTPUT));
        let mut left = limit.map_or(DEFAULT_OUTPUT, |limit| limit.clamp(1, MAX_OUTPUT));
        match self.find(&wanted.cmd_id).await? {
            Found::Command(mut command) => {
                let from = start(wanted, &command.id);
                if let Some(wait) = wait {
                    let enough = |command: &Command| wait.is_over(command, from);
                    *command = self.watch(&command.id, wait.deadline, enough).await?;
                }
                let report = self.with_output(*command, from, &mut left).await?;
                Ok(Reported::Command(Box::new(report)))
            }
            Found::Run(run, mut commands) => {
                if let Some(wait) = wait {
                    self.wait_for_some(&mut commands, wanted, wait).await?;
                }
                let mut reports = Vec::new();
                for command in commands.iter().filter(|command| is_wanted(wanted, &command.id)) {
                    let from = start(wanted, &command.id);
                    reports.push(self.with_output(command.clone(), from, &mut left).await?);
                }
                Ok(Reported::Run(run, commands, reports))
            }
        }
    }

    /// Waits until one of the commands has news (with [`Until::Output`]) or all are over (with [`Until::End`]).
    async fn wait_for_some(
        &self,
        commands: &mut [Command],
        wanted: &Poll,
        wait: WaitUntil,
    ) -> Result<(), Fault> {
        let waited_for = commands.iter().filter(|command| is_wanted(wanted, &command.id)).map(|command| {
            let (id, from) = (command.id.clone(), start(wanted, &command.id));
            // Many are waited for together: none is kept.
            async move { self.watch(&id, wait.deadline, |it| wait.is_over(it, from)).await.map(drop) }
        });
        let mut waiting: FuturesUnordered<_> = waited_for.collect();
        while let Ok(Some(watched)) = timeout_at(wait.deadline, waiting.next()).await {
            watched?;
            if wait.until == Until::Output {
                break;
            }
        }
        drop(waiting);
        for command in commands.iter_mut().filter(|command| is_wanted(wanted, &command.id)) {
            *command = self.watch(&command.id, Instant::now(), |_| true).await?;
            command.shorten();
        }
        Ok(())
    }

    /// A command with output from there on, no more than is `left` of the answer.
    async fn with_output(&self, command: Command, from: Offsets, left: &mut usize) -> Result<Report, Fault> {
        let out = self.piece(&command, Part::Out, from.out, left).await?;
        let err = self.piece(&command, Part::Err, from.err, left).await?;
        let next = Offsets { out: from.out + out.len() as u64, err: from.err + err.len() as u64 };
        Ok(Report { command, out, err, next })
    }

    async fn piece(
        &self,
        command: &Command,
        part: Part,
        from: u64,
        left: &mut usize,
    ) -> Result<Vec<u8>, Fault> {
        let there = command.received(part).saturating_sub(from);
        let length = usize::try_from(there).unwrap_or(usize::MAX).min(*left);
        if length == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.output(&command.id, part, from, length).await?.bytes;
        if bytes.len() < length {
            // Written down, told, and not there any more: say so rather than give less.
            let text = format!("{}: {} bytes of {part} are gone", command.id, length - bytes.len());
            return Err(Fault::new(FaultKind::Internal, text));
        }
        *left -= length;
        Ok(bytes)
    }
}

/// Whether a command did what it was run for.
pub(crate) fn is_ok(command: &Command) -> bool {
    let is_ok =
        |results: &ReportedResults| results.finished == Some(true) && results.exit_code_or_signal == Some(0);
    command.state == State::Done && command.results.as_ref().is_some_and(is_ok)
}
