//! What callers learn of commands: how far they are and what they have written, at once or when there is more.

use crate::agent::commands::{Command, State};
use crate::agent::handle::{Found, Handle};
use crate::agent::store::Run;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use tokio::time::{Instant, timeout_at};
use vocable_api::cmd::Until;
use vocable_api::fault::{Fault, FaultKind};
use vocable_protocol::Part;

/// From where on a caller wants output.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OutputOffsets {
    /// Of standard output.
    pub(crate) out: u64,
    /// Of standard error.
    pub(crate) err: u64,
}

/// What a caller wants of a command or run.
#[derive(Debug)]
pub(crate) struct WantedOutput {
    /// From where on output is wanted, of those that `of_each` does not name.
    pub(crate) from: OutputOffsets,
    /// Of a run: only these commands, each from there on.
    pub(crate) of_each: Option<BTreeMap<String, OutputOffsets>>,
    /// Bytes of output, all commands together.
    pub(crate) limit: usize,
}

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
    pub(crate) next: OutputOffsets,
}

/// What is reported of an id.
#[derive(Debug)]
pub(crate) enum Reported {
    /// One command.
    Command(Box<Report>),
    /// A request to several guests: all its commands, and reports of those that are wanted.
    Run(Run, Vec<Command>, Vec<Report>),
}

impl WantedOutput {
    fn from(&self, id: &str) -> OutputOffsets {
        self.of_each.as_ref().and_then(|each| each.get(id)).copied().unwrap_or(self.from)
    }

    fn includes(&self, id: &str) -> bool {
        self.of_each.as_ref().is_none_or(|each| each.contains_key(id))
    }
}

impl WaitUntil {
    fn is_over(self, command: &Command, from: OutputOffsets) -> bool {
        let more = command.out_bytes > from.out || command.err_bytes > from.err;
        command.state.is_over() || self.until == Until::Output && more
    }
}

impl Report {
    /// Whether there is more output already.
    pub(crate) const fn has_more(&self) -> bool {
        self.command.out_bytes > self.next.out || self.command.err_bytes > self.next.err
    }
}

impl Handle {
    /// A command, or all commands of a run, with output; after waiting, if the caller wants to.
    pub(crate) async fn report(
        &self,
        id: &str,
        wanted: &WantedOutput,
        wait: Option<WaitUntil>,
    ) -> Result<Reported, Fault> {
        let mut left = wanted.limit;
        match self.find(id).await? {
            Found::Command(mut command) => {
                let from = wanted.from(&command.id);
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
                for command in commands.iter().filter(|command| wanted.includes(&command.id)) {
                    let from = wanted.from(&command.id);
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
        wanted: &WantedOutput,
        wait: WaitUntil,
    ) -> Result<(), Fault> {
        let is_wanted = |command: &&Command| wanted.includes(&command.id);
        let mut waiting: FuturesUnordered<_> = commands
            .iter()
            .filter(is_wanted)
            .map(|command| {
                let (id, from) = (command.id.clone(), wanted.from(&command.id));
                async move {
                    // Many are waited for together: none is kept.
                    self.watch(&id, wait.deadline, |command| wait.is_over(command, from)).await.map(drop)
                }
            })
            .collect();
        while let Ok(Some(watched)) = timeout_at(wait.deadline, waiting.next()).await {
            watched?;
            if wait.until == Until::Output {
                break;
            }
        }
        drop(waiting);
        for command in commands.iter_mut().filter(|command| wanted.includes(&command.id)) {
            *command = self.watch(&command.id, Instant::now(), |_| true).await?;
            command.shorten();
        }
        Ok(())
    }

    /// A command with output from there on, no more than is `left` of the answer.
    async fn with_output(
        &self,
        command: Command,
        from: OutputOffsets,
        left: &mut usize,
    ) -> Result<Report, Fault> {
        let out = self.piece(&command, Part::Out, from.out, left).await?;
        let err = self.piece(&command, Part::Err, from.err, left).await?;
        let next = OutputOffsets { out: from.out + out.len() as u64, err: from.err + err.len() as u64 };
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
        let bytes = self.output(&command.id, part, from, length).await?.octets;
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
    let told = |name: &str| command.results.as_ref().and_then(|results| results.get(name));
    command.state == State::Done
        && told("finished").and_then(serde_json::Value::as_bool) == Some(true)
        && told("exitCodeOrSignal").and_then(serde_json::Value::as_i64) == Some(0)
}
