//! How others ask the agent: callers through the endpoint, and words for the guests they listen to. What is only read
//! of commands comes from the store, so that the task has no part in it.

use crate::agent::commands::Command;
use crate::agent::events::{Since, Wanted};
use crate::agent::reports::{News, Piece, Report};
use crate::agent::request::{Reply, Request, RosterView, Selected};
use crate::agent::store::{Cursor, Filter, OutputChunk, Run, Space, Store, StoreError};
use crate::shape;
use base64::prelude::*;
use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::VecDeque;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use vocable_api::clock::Now;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::target::Target;
use vocable_config::Size;
use vocable_protocol::{HOST, Part, ReportedResults, excerpt, header, is_guest_id};

pub(crate) use crate::agent::reports::{ReportError, ReportRejected};
pub(crate) use crate::agent::run::{RunOptions, RunRequest, new_run_id};
pub(crate) use crate::agent::say::GuestReply;

/// A run or a command, whichever the caller's id names.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Command(Box<Command>),
    Run(Run, Vec<Command>),
}

impl Found {
    pub(crate) fn commands(self) -> Vec<Command> {
        match self {
            Self::Command(command) => vec![*command],
            Self::Run(_, commands) => commands,
        }
    }
}

/// Cheap to clone; everything goes to the one task that owns the state.
#[derive(Clone)]
pub(crate) struct Handle {
    requests: mpsc::Sender<Request>,
    store: Store,
    /// Bytes of results that are taken of a command.
    results_limit: Size,
}

impl Handle {
    /// A handle of the agent at the other end of the channel.
    pub(crate) const fn new(requests: mpsc::Sender<Request>, store: Store, results_limit: Size) -> Self {
        Self { requests, store, results_limit }
    }

    pub(crate) async fn request<T>(&self, make: impl FnOnce(Reply<T>) -> Request) -> Result<T, Fault> {
        let stopping = || Fault::new(FaultKind::Stopping, "the host agent is stopping");
        let (reply, answer) = oneshot::channel();
        self.requests.send(make(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }

    pub(super) async fn select(&self, target: Target) -> Result<Vec<Selected>, Fault> {
        self.request(|reply| Request::Select { target, reply }).await?
    }

    /// Writes a run down and has it taken to its guests. Gives the id to ask about: of the one command if the target
    /// was one guest by name, else of the run.
    pub(crate) async fn run(&self, wanted: RunRequest) -> Result<String, Fault> {
        self.request(|reply| Request::Run { wanted: Box::new(wanted), reply }).await?
    }

    /// Forgets a command that is over, or a run and all its commands if all are. Gives which.
    pub(crate) async fn forget(&self, id: &str) -> Result<Vec<String>, Fault> {
        let commands = self.find(id).await?.commands();
        if let Some(under_way) = commands.iter().find(|command| !command.state.is_over()) {
            let text = format!("{} is {}; nothing was forgotten", under_way.id, under_way.state.as_str());
            return Err(Fault::new(FaultKind::Busy, text));
        }
        Ok(self.store.forget(commands.into_iter().map(|command| command.id).collect()).await?)
    }

    /// Forgets what is older than that, and the oldest of what is too much.
    pub(crate) async fn retire(&self, keep: Duration, most_bytes: u64) -> Result<Vec<String>, Fault> {
        let before = Now::read().utc.checked_sub(keep.try_into().unwrap_or(time::Duration::MAX));
        Ok(self.store.retire(before.unwrap_or(OffsetDateTime::UNIX_EPOCH), keep, most_bytes).await?)
    }

    /// Removes what is left of commands that nobody knows any more.
    pub(crate) async fn sweep(&self) -> Result<(), Fault> {
        Ok(self.store.sweep().await?)
    }

    /// The run or command of that id, or of the one that begins so.
    pub(crate) async fn find(&self, id: &str) -> Result<Found, Fault> {
        if let Some(found) = self.find_by_id(id).await? {
            return Ok(found);
        }
        let id = self.find_by_prefix(id).await?.ok_or_else(|| no_command(id))?;
        self.find_by_id(&id).await?.ok_or_else(|| no_command(&id))
    }

    async fn find_by_id(&self, id: &str) -> Result<Option<Found>, Fault> {
        if let Some((command, _)) = self.active(id).await? {
            return Ok(Some(Found::Command(Box::new(command))));
        }
        if let Some(command) = self.store.command(id.to_owned()).await? {
            return Ok(Some(Found::Command(Box::new(command))));
        }
        let Some(run) = self.store.run(id.to_owned()).await? else { return Ok(None) };
        let mut commands = self.store.commands_of(run.id.clone()).await?;
        for command in &mut commands {
            self.refresh(command).await?;
        }
        Ok(Some(Found::Run(run, commands)))
    }

    /// The one id that begins so; of a run and its only command, the command.
    async fn find_by_prefix(&self, prefix: &str) -> Result<Option<String>, Fault> {
        let found =
            if prefix.is_empty() { Vec::new() } else { self.store.ids_like(prefix.to_owned()).await? };
        match found.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            [run, rest @ ..] if rest.iter().all(|id| id.starts_with(&format!("{run}."))) => {
                Ok(Some(match rest {
                    [command] => command.clone(),
                    _ => run.clone(),
                }))
            }
            [one, .., other] => Err(Fault::new(
                FaultKind::InvalidParameter,
                format!("{} is the beginning of several ids, {one} and {other} among them", excerpt(prefix)),
            )),
        }
    }

    async fn active(&self, id: &str) -> Result<Option<(Command, watch::Receiver<()>)>, Fault> {
        self.request(|reply| Request::Active { id: id.to_owned(), reply }).await
    }

    /// Waits until `enough` holds of a command, it is over, or time is up; gives the command as it then is.
    pub(crate) async fn watch(
        &self,
        id: &str,
        deadline: Instant,
        enough: impl Fn(&Command) -> bool,
    ) -> Result<Command, Fault> {
        loop {
            let Some((command, mut changed)) = self.active(id).await? else {
                return self.store.command(id.to_owned()).await?.ok_or_else(|| no_command(id));
            };
            if enough(&command) {
                return Ok(command);
            }
            match timeout_at(deadline, changed.changed()).await {
                // Over or changed: look again.
                Ok(_) => {}
                Err(_) => return Ok(command),
            }
        }
    }

    pub(crate) async fn output(
        &self,
        id: &str,
        part: Part,
        offset: u64,
        most: usize,
    ) -> Result<OutputChunk, Fault> {
        Ok(self.store.read(id.to_owned(), part, offset, most).await?)
    }

    /// Commands as lists show them, newest first; those under way as they are now.
    pub(crate) async fn list(&self, filter: Filter) -> Result<Vec<Command>, Fault> {
        let mut commands = self.store.list(filter).await?;
        for command in &mut commands {
            // One that was given up may go on.
            if !command.state.is_over() || command.is_given_up() {
                self.refresh(command).await?;
            }
        }
        Ok(commands)
    }

    /// Puts a command of a list as it is now in its place, if it is under way.
    async fn refresh(&self, command: &mut Command) -> Result<(), Fault> {
        if let Some((mut newer, _)) = self.active(&command.id).await? {
            newer.shorten();
            *command = newer;
        }
        Ok(())
    }

    /// The place in the list of commands behind that one.
    pub(crate) async fn behind(&self, id: &str) -> Result<Cursor, Fault> {
        Ok(Cursor::behind(&self.store.command(id.to_owned()).await?.ok_or_else(|| no_command(id))?))
    }

    pub(crate) async fn roster(&self) -> Result<RosterView, Fault> {
        self.request(|reply| Request::Roster { reply }).await
    }

    /// Makes a credential for a guest, in place of the one it may have had. The token is not kept, only its digest.
    ///
    /// # Errors
    /// For the name of the host itself, beside those of the store.
    pub(crate) async fn credential(&self, guest: &str, token_sha256: [u8; 32]) -> Result<(), Fault> {
        check_guest_name(guest)?;
        let guest = guest.to_owned();
        Ok(self.request(|reply| Request::SetCredential { guest, token_sha256, reply }).await??)
    }

    /// Events from a number on; waits for the first one that is wanted until the deadline.
    pub(crate) async fn events(
        &self,
        since: u64,
        limit: usize,
        wanted: &Wanted,
        deadline: Instant,
    ) -> Result<Since, Fault> {
        let (mut from, mut dropped) = (since, 0);
        loop {
            let (mut found, mut newest) =
                self.request(|reply| Request::Events { since: from, limit, reply }).await?;
            dropped += std::mem::take(&mut found.dropped);
            let seen = found.events.len();
            found.events.retain(|event| wanted.matches(event));
            if found.events.is_empty() && seen > 0 {
                // Others happened; there may be more than were asked for at a time.
                from = found.next;
                continue;
            }
            if !found.events.is_empty() || timeout_at(deadline, newest.changed()).await.is_err() {
                return Ok(Since { dropped, ..found });
            }
            from = found.next;
        }
    }

    /// A piece of a command's output, from the guest that runs it.
    pub(crate) async fn take_output(
        &self,
        sender: &str,
        id: &str,
        part: Part,
        offset: u64,
        bytes: Bytes,
    ) -> Result<(), ReportError> {
        let piece = Piece { part, offset, bytes, space: Space::Usual };
        self.report(sender, id, VecDeque::from([piece]), News::None).await
    }

    /// The command has read so much of its input, says the guest that runs it.
    pub(crate) async fn take_input(&self, sender: &str, id: &str, offset: u64) -> Result<(), ReportError> {
        self.report(sender, id, VecDeque::new(), News::InputTaken(offset)).await
    }

    /// The end of a command, from the guest that ran it. Small output comes with it.
    pub(crate) async fn take_results(
        &self,
        sender: &str,
        id: &str,
        mut results: Map<String, Value>,
    ) -> Result<(), ReportError> {
        let mut output = VecDeque::new();
        for part in [Part::Out, Part::Err] {
            if let Some(inline) = results.remove(part.as_str()) {
                let bytes = inline_bytes(&inline).ok_or(ReportError::Inline(part.as_str()))?;
                // Without it the end could not be told, and it is no more than one message holds.
                output.push_back(Piece { part, offset: 0, bytes, space: Space::Reserve });
            }
        }
        results.remove(header::CMD_ID);
        let limit = usize::try_from(self.results_limit.bytes()).unwrap_or(usize::MAX);
        let results = ReportedResults::of(shape::fit(results, limit, &ReportedResults::RELIED_ON));
        self.report(sender, id, output, News::Ended(Box::new(results))).await
    }

    async fn report(
        &self,
        sender: &str,
        id: &str,
        output: VecDeque<Piece>,
        news: News,
    ) -> Result<(), ReportError> {
        let (sender, id) = (sender.to_owned(), id.to_owned());
        self.request(|reply| Request::Report(Report::new(sender, id, output, news, reply))).await?
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let kind = if error.is_full() { FaultKind::NoSpace } else { FaultKind::Internal };
        Self::new(kind, error.to_string())
    }
}

fn no_command(id: &str) -> Fault {
    Fault::new(FaultKind::NoSuchCommand, format!("no command is called {}", excerpt(id)))
}

/// Output as it stands in results: text, or base64 where it is no text.
fn inline_bytes(inline: &Value) -> Option<Bytes> {
    match inline {
        Value::String(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
        Value::Object(object) => BASE64_STANDARD.decode(object.get("b64")?.as_str()?).ok().map(Bytes::from),
        _ => None,
    }
}

/// Under the host's own name nobody else may log in.
fn check_guest_name(guest: &str) -> Result<(), Fault> {
    let text = if guest.eq_ignore_ascii_case(HOST) {
        format!("{} is the name of the host itself", excerpt(guest))
    } else if !is_guest_id(guest) {
        format!("{}: a guest's id has 1 to 64 letters, digits, '.', '_' or '-'", excerpt(guest))
    } else {
        return Ok(());
    };
    Err(Fault::new(FaultKind::InvalidParameter, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_gets_the_name_of_the_host() {
        for bad in ["host", "Host", "", ".", "a b", "-x"] {
            let refused = check_guest_name(bad).unwrap_err();
            assert_eq!(refused.kind.slug(), "invalid-parameter", "{bad}");
        }
        assert_eq!(
            check_guest_name("host").unwrap_err().to_string(),
            "invalid-parameter: \"host\" is the name of the host itself"
        );
        assert!(check_guest_name("hostess").is_ok());
    }
}
