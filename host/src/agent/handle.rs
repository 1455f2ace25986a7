//! What callers and words do with the agent: each operation is a few requests to its task, with the disk and the words
//! in between, so that the task itself never waits for either.

use crate::agent::commands::{Active, BookError, Command, Digests, Failure, Program, State};
use crate::agent::events::{Since, Wanted};
use crate::agent::request::{Answer, Reply, Request, RosterView, Said, Selected, Unheard};
use crate::agent::store::{Cursor, Filter, Run, Space, Store, StoreError, Stretch};
use crate::shape::{self, Bounds};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tracing::error;
use vocable_api::Part;
use vocable_api::clock::Now;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::target::{Target, is_guest_id};
use vocable_config::Size;
use vocable_protocol::{HOST, ReportedResults};
use vocable_runtime::{AskError, Lexicon, Message, PING, Refusal, WordError};
use vocable_xmlrpc::excerpt;

/// What a caller wants run.
#[derive(Clone, Debug)]
pub(crate) struct RunRequest {
    /// Whom.
    pub(crate) target: String,
    /// What.
    pub(crate) program: Program,
    /// The caller's own id: the same id with the same request is the same run.
    pub(crate) id: Option<String>,
    /// Which of the guests, and until when.
    pub(crate) terms: Terms,
}

/// Which of the guests that a target selects, and until when. What is not said is left out of what tells requests
/// apart.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Terms {
    /// Not these: a target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) except: Option<String>,
    /// Only those that are there now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) alive: bool,
    /// At most so many of them, by chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<Share>,
    /// It waits so long, seconds, for guests that are away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queue_s: Option<f64>,
    /// After so long, seconds, it is ended wherever it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline_s: Option<f64>,
}

impl Terms {
    fn is_default(&self) -> bool {
        let Self { except, alive, limit, queue_s, deadline_s } = self;
        except.is_none() && !alive && limit.is_none() && queue_s.is_none() && deadline_s.is_none()
    }
}

/// A part of the guests: a number of them, or a percentage.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Share {
    /// So many.
    Guests(usize),
    /// So much of a hundred, rounded up.
    Percent(usize),
}

impl Share {
    /// Reads `10` or `10%`; nothing of anybody makes no sense.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number > 0);
        match text.strip_suffix('%') {
            Some(percent) => number(percent).filter(|percent| *percent <= 100).map(Self::Percent),
            None => number(text).map(Self::Guests),
        }
    }

    /// How many that is.
    const fn of(self, all: usize) -> usize {
        match self {
            Self::Guests(number) => number,
            Self::Percent(percent) => (all * percent).div_ceil(100),
        }
    }
}

/// A run or a command, whichever the caller's id names.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// One command.
    Command(Box<Command>),
    /// A request to several guests.
    Run(Run, Vec<Command>),
}

/// What came of asking one guest.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Whom.
    pub(crate) guest: String,
    /// What it answered: JSON, `null` where the word answers with nothing.
    pub(crate) answer: Result<Value, Fault>,
}

/// Longest id a caller may choose.
const MAX_RUN_ID: usize = 40;
/// Guests asked at the same time, so that a word that answers a megabyte each stays bounded.
const ASKED_AT_ONCE: usize = 256;

/// The longest request that is kept as it was asked; of a longer one the digest tells whether another is the same.
const LONGEST_REQUEST: usize = 1024;
/// How long a guest's message waits for what is being made ready before the guest is told to come again.
const SOON: Duration = Duration::from_millis(500);
/// The pause before what could not be read is read again.
const READ_AGAIN: Duration = Duration::from_secs(10);
/// Bytes of all answers of one ask, and values in them: XML-RPC readers take 16 MiB and 250,000.
const ANSWERS: usize = 8 << 20;
const VALUES: usize = 100_000;

/// How much is taken of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TakeLimits {
    /// Bytes of output, both streams together.
    pub(crate) output: Size,
    /// Bytes of results.
    pub(crate) results: Size,
}

/// Cheap to clone; everything goes to the one task that owns the state.
#[derive(Clone)]
pub(crate) struct Handle {
    requests: mpsc::Sender<Request>,
    store: Store,
    limits: TakeLimits,
}

impl Handle {
    /// A handle of the agent at the other end of the channel.
    pub(crate) const fn new(requests: mpsc::Sender<Request>, store: Store, limits: TakeLimits) -> Self {
        Self { requests, store, limits }
    }

    /// Sends a request and awaits its answer.
    pub(crate) async fn request<T>(&self, make: impl FnOnce(Reply<T>) -> Request) -> Result<T, Fault> {
        let stopping = || Fault::new(FaultKind::Stopping, "the host agent is stopping");
        let (reply, answer) = oneshot::channel();
        self.requests.send(make(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }

    /// Writes a run down and has it taken to its guests. Gives the id to ask about: of the one command if the target
    /// was one guest by name, else of the run.
    pub(crate) async fn run(&self, wanted: RunRequest) -> Result<String, Fault> {
        let target = Target::parse(&wanted.target)?;
        let single = target.single().is_some();
        let request = as_asked(&wanted);
        if let Some(id) = &wanted.id {
            check_run_id(id)?;
            if let Some(known) = self.store.run(id.clone()).await? {
                return the_same(known, &request);
            }
        }
        let selected = self.request(|reply| Request::Select { target, reply }).await??;
        let selected = self.chosen(selected, &wanted.terms).await?;
        if let [Selected { guest, away: Some(why) }] = selected.as_slice()
            && single
            && wanted.terms.queue_s.is_none()
        {
            return Err(Fault::new(
                FaultKind::GuestOffline,
                format!("{guest} does not answer; nothing was run: {why}"),
            ));
        }
        let id = wanted.id.clone().map_or_else(new_run_id, Ok)?;
        let program = Arc::new(wanted.program.clone());
        let now = Now::read().utc;
        // One guest may have been meant by the name of its machine; its commands go by its id.
        let target = match selected.as_slice() {
            [Selected { guest, .. }] if single => guest.clone(),
            _ => wanted.target.clone(),
        };
        let run = Run { id: id.clone(), target, single, request: request.clone(), created: now };
        let commands = selected
            .into_iter()
            .map(|selected| planned(&id, selected, &wanted, &program, now))
            .collect::<Vec<_>>();
        let answer = answer_id(&run, &commands);
        if let Err(error) = self.store.add(run, commands.clone()).await {
            if matches!(error, StoreError::NoRoom { .. }) {
                let text = format!("nothing was run: {error}");
                return Err(Fault::new(FaultKind::NoSpace, text));
            }
            // The same request twice at the same time: the first one counts.
            return match self.store.run(id).await? {
                Some(known) => the_same(known, &request),
                None => Err(error.into()),
            };
        }
        for command in commands.iter().filter(|command| command.state.is_over()) {
            self.store.update(command.clone()).await?;
        }
        self.request(|reply| Request::Begin { commands, reply }).await?;
        Ok(answer)
    }

    /// Those of the selected guests that are meant.
    async fn chosen(&self, mut selected: Vec<Selected>, terms: &Terms) -> Result<Vec<Selected>, Fault> {
        if let Some(except) = &terms.except {
            let target = Target::parse(except)?;
            let left_out = self.request(|reply| Request::Select { target, reply }).await??;
            selected.retain(|it| left_out.iter().all(|other| other.guest != it.guest));
        }
        if terms.alive {
            selected.retain(|it| it.away.is_none());
        }
        if let Some(share) = terms.limit {
            let most = share.of(selected.len());
            while selected.len() > most {
                let by_chance = random_below(selected.len())?;
                selected.swap_remove(by_chance);
            }
            selected.sort_by(|one, other| one.guest.cmp(&other.guest));
        }
        if selected.is_empty() {
            let text = "no guest is left of those the target selects; nothing was run";
            return Err(Fault::new(FaultKind::NoSuchGuest, text));
        }
        Ok(selected)
    }

    /// Forgets a command that is over, or a run and all its commands if all are. Gives which.
    pub(crate) async fn forget(&self, id: &str) -> Result<Vec<String>, Fault> {
        let commands = match self.find(id).await? {
            Found::Command(command) => vec![*command],
            Found::Run(_, commands) => commands,
        };
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
        let unknown =
            || Fault::new(FaultKind::NoSuchCommand, format!("no command is called {}", excerpt(id)));
        let id = match self.exact(id).await? {
            Some(found) => return Ok(found),
            None => self.unique(id).await?.ok_or_else(unknown)?,
        };
        self.exact(&id).await?.ok_or_else(unknown)
    }

    async fn exact(&self, id: &str) -> Result<Option<Found>, Fault> {
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
    async fn unique(&self, prefix: &str) -> Result<Option<String>, Fault> {
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
                let stored = self.store.command(id.to_owned()).await?;
                return stored.ok_or_else(|| {
                    Fault::new(FaultKind::NoSuchCommand, format!("no command is called {}", excerpt(id)))
                });
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

    /// Output of a command.
    pub(crate) async fn output(
        &self,
        id: &str,
        part: Part,
        offset: u64,
        most: usize,
    ) -> Result<Stretch, Fault> {
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

    /// Tells of a command of a list how it is now, if it is under way.
    async fn refresh(&self, command: &mut Command) -> Result<(), Fault> {
        if let Some((mut newer, _)) = self.active(&command.id).await? {
            newer.shorten();
            *command = newer;
        }
        Ok(())
    }

    /// The place in the list of commands behind that one.
    pub(crate) async fn behind(&self, id: &str) -> Result<Cursor, Fault> {
        let unknown =
            || Fault::new(FaultKind::NoSuchCommand, format!("no command is called {}", excerpt(id)));
        Ok(Cursor::behind(&self.store.command(id.to_owned()).await?.ok_or_else(unknown)?))
    }

    /// Everybody.
    pub(crate) async fn roster(&self) -> Result<RosterView, Fault> {
        self.request(|reply| Request::Roster { reply }).await
    }

    /// Makes a credential for a guest, in place of the one it may have had. The token is not kept, only its digest.
    ///
    /// # Errors
    /// For the name of the host itself, beside those of the store.
    pub(crate) async fn credential(&self, guest: &str, token_sha256: [u8; 32]) -> Result<(), Fault> {
        check_guest_name(guest)?;
        self.store.set_credential(guest.to_owned(), token_sha256).await?;
        self.request(|reply| Request::Expect { guest: guest.to_owned(), reply }).await
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
            from = found.next.max(from.min(found.next));
        }
    }

    /// Hails a guest: how long its agent takes to answer, whatever words it has.
    pub(crate) async fn ping(&self, guest: &str, timeout: Duration) -> Result<Duration, Fault> {
        let target = Target::parse(guest)?;
        let selected = self.request(|reply| Request::Select { target, reply }).await??;
        let [Selected { guest, away }] = selected.as_slice() else {
            return Err(Fault::new(FaultKind::InvalidParameter, "one guest at a time can be pinged"));
        };
        if let Some(why) = away {
            return Err(Fault::new(FaultKind::GuestOffline, format!("{guest} does not answer: {why}")));
        }
        let said = Said { word: PING.to_owned(), message: Message { headers: Vec::new(), body: Vec::new() } };
        let begun = Instant::now();
        let ask = |reply| Request::Ask { guest: guest.clone(), said, timeout, reply };
        // That it answers is the answer, even of an agent that does not know what this is.
        drop(self.request(ask).await??);
        Ok(begun.elapsed())
    }

    /// Says a word to guests and collects their answers, each as soon as it is there, all by the deadline.
    pub(crate) async fn ask(
        &self,
        lexicon: &Lexicon,
        target: &str,
        word: &str,
        args: &Value,
        timeout: Duration,
    ) -> Result<Vec<Asked>, Fault> {
        use futures_util::StreamExt;
        let target = Target::parse(target)?;
        let selected = self.request(|reply| Request::Select { target, reply }).await??;
        let message = phrase(lexicon, word, args).await?;
        let said = Said { word: word.to_owned(), message };
        let share = AnswerShare::of(selected.len());
        let asking =
            selected.into_iter().map(|selected| self.ask_one(selected, said.clone(), timeout, share));
        let mut answers: Vec<_> =
            futures_util::stream::iter(asking).buffer_unordered(ASKED_AT_ONCE).collect().await;
        answers.sort_by(|one, other| one.guest.cmp(&other.guest));
        Ok(answers)
    }

    /// Has a word of the host said to guests, and waits for no answer.
    pub(crate) async fn utter(
        &self,
        target: &str,
        word: &str,
        args: &Value,
    ) -> Result<Vec<(String, Result<(), Fault>)>, Fault> {
        let target = Target::parse(target)?;
        let selected = self.request(|reply| Request::Select { target, reply }).await??;
        let mut said = Vec::new();
        for Selected { guest: to, .. } in selected {
            let (word, args, guest) = (word.to_owned(), args.to_string(), to.clone());
            let result = self.request(|reply| Request::Say { word, to, args, reply }).await?;
            said.push((guest, result.map(drop)));
        }
        Ok(said)
    }

    async fn ask_one(&self, selected: Selected, said: Said, timeout: Duration, share: AnswerShare) -> Asked {
        let (Selected { guest, away }, word) = (selected, said.word.clone());
        let answer = match away {
            Some(why) => Err(Fault::new(FaultKind::GuestOffline, format!("{guest} does not answer: {why}"))),
            None => {
                let ask = |reply| Request::Ask { guest: guest.clone(), said, timeout, reply };
                self.request(ask)
                    .await
                    .and_then(|asked| asked)
                    .and_then(|answer| share.understood(&guest, &word, answer))
            }
        };
        Asked { guest, answer }
    }

    /// A piece of a command's output, from the guest that runs it.
    pub(crate) async fn take_output(
        &self,
        sender: &str,
        id: &str,
        part: Part,
        offset: u64,
        octets: Bytes,
    ) -> Result<(), TakeError> {
        self.take(sender, id, Piece { part, offset, octets, space: Space::Usual }).await
    }

    async fn take(&self, sender: &str, id: &str, piece: Piece) -> Result<(), TakeError> {
        let Piece { part, offset, octets, space } = piece;
        let len = octets.len();
        let place = || {
            let (sender, id) = (sender.to_owned(), id.to_owned());
            self.request(move |reply| Request::Place { sender, id, part, offset, len, reply })
        };
        let Some(Some(append)) = self.of_its_command(sender, id, place).await? else { return Ok(()) };
        if space == Space::Usual && append.counted >= self.limits.output.bytes() {
            let why = format!(
                "the output limit of {} is reached; vocable kill {id} ends it, commands.output_limit is the limit",
                self.limits.output
            );
            return Err(self.pause(id, why).await?);
        }
        let octets = octets.slice(append.skip.min(octets.len())..);
        let appended = self.store.append(id.to_owned(), part, append.at, octets.clone(), space).await;
        if let Err(error @ StoreError::NoRoom { .. }) = &appended {
            return Err(self.pause(id, error.to_string()).await?);
        }
        let mark = appended?;
        self.request(|reply| Request::Placed { id: id.to_owned(), part, octets, reply }).await?;
        if mark {
            self.mark(id, part).await?;
        }
        Ok(())
    }

    /// Tells whoever looks why a command is held up.
    async fn pause(&self, id: &str, why: String) -> Result<TakeError, TakeError> {
        let error = TakeError::Held { id: id.to_owned(), why: why.clone() };
        self.request(|reply| Request::Paused { id: id.to_owned(), why, reply }).await?;
        Ok(error)
    }

    /// Writes down how far the digest of a stream is, all of which is on the disk.
    async fn mark(&self, id: &str, part: Part) -> Result<(), TakeError> {
        let digests = self.request(|reply| Request::Digests { id: id.to_owned(), reply }).await?;
        if let Some(digests) = digests {
            self.store.mark(id.to_owned(), part, digests.of(part).clone()).await?;
        }
        Ok(())
    }

    /// Waits a moment for a command to be ready, so that its guest does not have to come again for a small one.
    async fn ready_soon(&self, id: &str) -> Result<(), TakeError> {
        if let Some((_, mut changed)) = self.active(id).await? {
            // Ready, or not yet: the books say which.
            let _ = timeout_at(Instant::now() + SOON, changed.changed()).await;
        }
        Ok(())
    }

    /// The end of a command, from the guest that ran it. Small output comes with it.
    pub(crate) async fn take_results(
        &self,
        sender: &str,
        id: &str,
        mut results: Map<String, Value>,
    ) -> Result<(), TakeError> {
        for part in [Part::Out, Part::Err] {
            if let Some(inline) = results.remove(part.as_str()) {
                let octets = octets_of(&inline).ok_or(TakeError::Inline(part.as_str()))?;
                // Without it the end could not be told, and it is no more than one message holds.
                self.take(sender, id, Piece { part, offset: 0, octets, space: Space::Reserve }).await?;
            }
        }
        results.remove("cmd-id");
        let limit = usize::try_from(self.limits.results.bytes()).unwrap_or(usize::MAX);
        let results = shape::fit(results, limit, &ReportedResults::RELIED_ON);
        let finish = || {
            let (sender, id, results) = (sender.to_owned(), id.to_owned(), results.clone());
            self.request(move |reply| Request::Finish { sender, id, results, reply })
        };
        let Some(command) = self.of_its_command(sender, id, finish).await? else { return Ok(()) };
        let command = *command;
        self.store.update(command.clone()).await?;
        self.request(|reply| Request::Finished { command: Box::new(command), reply }).await?;
        Ok(())
    }
}

/// A piece of output, and which space may be used for it.
struct Piece {
    part: Part,
    offset: u64,
    octets: Bytes,
    space: Space,
}

impl Handle {
    /// Asks the agent about a command of which its guest tells something: again if it had been given up, and is taken up
    /// now, or was not ready yet. Nothing for one whose end is written down.
    async fn of_its_command<T, F>(
        &self,
        sender: &str,
        id: &str,
        ask: impl Fn() -> F,
    ) -> Result<Option<T>, TakeError>
    where
        F: Future<Output = Result<Result<T, Unheard>, Fault>>,
    {
        let mut answer = ask().await?;
        if matches!(answer, Err(Unheard::Unknown(_))) {
            if self.is_settled(sender, id).await? {
                return Ok(None);
            }
            if self.is_revived(sender, id).await? {
                answer = ask().await?;
            }
        }
        if matches!(answer, Err(Unheard::Books(BookError::Preparing { .. }))) {
            self.ready_soon(id).await?;
            answer = ask().await?;
        }
        Ok(Some(answer?))
    }

    /// Whether it is a command of this guest whose end is written down: then it is only told once more.
    async fn is_settled(&self, sender: &str, id: &str) -> Result<bool, StoreError> {
        let known = self.store.command(id.to_owned()).await?;
        let is_settled = |it: &Command| it.guest == sender && it.state.is_over() && !it.is_given_up();
        Ok(known.as_ref().is_some_and(is_settled))
    }

    /// Takes up again a command of this guest that was given up; gives whether there was one. It may not be ready yet.
    async fn is_revived(&self, sender: &str, id: &str) -> Result<bool, TakeError> {
        let known = self.store.command(id.to_owned()).await?;
        if !known.is_some_and(|command| command.guest == sender && command.is_given_up()) {
            return Ok(false);
        }
        let Some(active) = self.store.resumed(id.to_owned()).await? else { return Ok(false) };
        self.request(|reply| Request::Revive { active: Box::new(active), reply }).await?;
        Ok(true)
    }

    /// The digests of what is on disk of a command that is not ready; however long that takes.
    pub(crate) async fn prepared(&self, id: &str) -> Option<Digests> {
        loop {
            match self.store.prepared(id.to_owned()).await {
                Ok(digests) => return Some(digests),
                Err(StoreError::Closed) => return None,
                Err(error) => error!(cmd = id, "its output cannot be read; trying again: {error}"),
            }
            tokio::time::sleep(READ_AGAIN).await;
        }
    }

    /// Writes down what has become of a command. What cannot be written is in the log: the guest still has it, or
    /// nothing is lost that could not be found out again.
    pub(crate) async fn write_down(&self, command: Command) {
        let (id, guest) = (command.id.clone(), command.guest.clone());
        if let Err(error) = self.store.update(command).await {
            error!(cmd = id, guest, "not written down: {error}");
        }
    }

    /// Writes down that a command was given up, so that it can be taken up again.
    pub(crate) async fn write_down_given_up(&self, active: Active) {
        let (id, guest) = (active.command.id.clone(), active.command.guest.clone());
        if let Err(error) = self.store.give_up(active).await {
            error!(cmd = id, guest, "not written down: {error}");
        }
    }
}

/// Why what a guest says of a command was not taken.
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
    Held {
        /// The command.
        id: String,
        /// Why, and what can be done.
        why: String,
    },
    /// The agent is stopping; the guest tries again.
    #[error(transparent)]
    Agent(#[from] Fault),
    /// Output that is neither text nor base64.
    #[error("{0} is neither text nor {{\"b64\": base64}}")]
    Inline(&'static str),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let kind = if error.is_full() { FaultKind::NoSpace } else { FaultKind::Internal };
        Self::new(kind, error.to_string())
    }
}

/// What a word's failure is to callers.
pub(crate) fn word_fault(error: WordError) -> Fault {
    let kind = match &error {
        WordError::Unknown { .. } => FaultKind::NoSuchWord,
        WordError::Refused { refusal: Refusal::Denied(_), .. } => FaultKind::WordDenied,
        WordError::Refused { refusal: Refusal::Invalid(_), .. } => FaultKind::WordInvalid,
        WordError::Refused { refusal: Refusal::Failed(_), .. } => FaultKind::WordFailed,
        WordError::TooLarge { .. } | WordError::Unfit { .. } => FaultKind::WordInvalid,
        _ => FaultKind::WordTrapped,
    };
    Fault::new(kind, error.to_string())
}

/// The message of a word: as the word itself says it, or, of a word not installed here, its arguments as they are. So
/// somebody who mistypes a word hears from the guests which ones they know.
async fn phrase(lexicon: &Lexicon, word: &str, args: &Value) -> Result<Message, Fault> {
    match lexicon.say(word, args.to_string()).await {
        Err(WordError::Unknown { .. }) if vocable_runtime::is_word_name(word) => {
            let said = Message { headers: Vec::new(), body: args.to_string().into_bytes() };
            lexicon.require_sendable(word, &said).map_err(word_fault)?;
            Ok(said)
        }
        said => said.map_err(word_fault),
    }
}

/// How much each guest's answer may be, so that those of all fit into one.
#[derive(Clone, Copy, Debug)]
struct AnswerShare {
    guests: usize,
    bytes: usize,
    bounds: Bounds,
}

impl AnswerShare {
    fn of(guests: usize) -> Self {
        let guests = guests.max(1);
        let bounds = Bounds { values: (VALUES / guests).max(100), ..Bounds::SHOWN };
        Self { guests, bytes: ANSWERS / guests, bounds }
    }

    fn understood(self, guest: &str, word: &str, answer: Answer) -> Result<Value, Fault> {
        match &answer {
            Ok(Some(text)) if text.len() > self.bytes => Err(Fault::new(
                FaultKind::TooBig,
                format!(
                    "{word} on {guest}: the answer has {} bytes, more than fits with those of {} guests; ask fewer",
                    text.len(),
                    self.guests
                ),
            )),
            _ => read_answer(guest, word, answer, self.bounds),
        }
    }
}

/// What one guest has answered.
pub(crate) fn understood(guest: &str, word: &str, answer: Answer) -> Result<Value, Fault> {
    read_answer(guest, word, answer, Bounds::SHOWN)
}

fn read_answer(guest: &str, word: &str, answer: Answer, bounds: Bounds) -> Result<Value, Fault> {
    let of_guest = |kind, text: String| Fault::new(kind, format!("{word} on {guest}: {text}"));
    match answer {
        Ok(None) => Ok(Value::Null),
        Ok(Some(text)) => shape::parse(&text, bounds)
            .map_err(|e| of_guest(FaultKind::WordFailed, format!("the answer is no JSON: {e}"))),
        Err(AskError { kind, text }) => Err(match kind.as_str() {
            "unknown-word" => {
                Fault::new(FaultKind::NoSuchWord, format!("{guest} knows no word {word}: {text}"))
            }
            "denied" => of_guest(FaultKind::WordDenied, text),
            "invalid" => of_guest(FaultKind::WordInvalid, text),
            "failed" | "not-json" | "too-large" => of_guest(FaultKind::WordFailed, text),
            _ => of_guest(FaultKind::WordTrapped, text),
        }),
    }
}

/// Output as it stands in results: text, or base64 where it is no text.
fn octets_of(inline: &Value) -> Option<Bytes> {
    use base64::prelude::*;
    match inline {
        Value::String(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
        Value::Object(object) => BASE64_STANDARD.decode(object.get("b64")?.as_str()?).ok().map(Bytes::from),
        _ => None,
    }
}

/// All of a request, to recognise the same one.
fn as_asked(wanted: &RunRequest) -> String {
    let mut request = json!({"target": wanted.target, "program": wanted.program});
    if !wanted.terms.is_default() {
        request["terms"] = json!(wanted.terms);
    }
    comparable(request.to_string())
}

/// A request as it is kept: itself, or its digest if it is long.
fn comparable(request: String) -> String {
    if request.len() <= LONGEST_REQUEST {
        return request;
    }
    format!("sha256:{}", vocable_protocol::sha256_hex(&request))
}

/// A command as it is written down first; of a guest that is away it has failed already, unless it may wait.
fn planned(
    run: &str,
    selected: Selected,
    wanted: &RunRequest,
    program: &Arc<Program>,
    now: OffsetDateTime,
) -> Command {
    let mut command = Command::new(run, &selected.guest, Arc::clone(program), now);
    let after = |seconds: f64| now.checked_add(time::Duration::saturating_seconds_f64(seconds));
    command.expires = wanted.terms.queue_s.and_then(after);
    command.deadline = wanted.terms.deadline_s.and_then(after);
    if let Some(why) = selected.away.filter(|_| wanted.terms.queue_s.is_none()) {
        let message = format!("{} does not answer; nothing was run: {why}", selected.guest);
        command.failure = Some(Failure { code: FaultKind::GuestOffline.slug().into(), message });
        (command.state, command.ended) = (State::Failed, Some(now));
    }
    command
}

fn answer_id(run: &Run, commands: &[Command]) -> String {
    match commands {
        [only] if run.single => only.id.clone(),
        _ => run.id.clone(),
    }
}

fn the_same(known: Run, request: &str) -> Result<String, Fault> {
    if comparable(known.request) != request {
        let text = format!("\"{}\" is the id of another command; nothing was run", known.id);
        return Err(Fault::new(FaultKind::AlreadyExists, text));
    }
    Ok(if known.single { format!("{}.{}", known.id, known.target) } else { known.id })
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

fn check_run_id(id: &str) -> Result<(), Fault> {
    let fits = (1..=MAX_RUN_ID).contains(&id.len())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if fits {
        return Ok(());
    }
    let text = format!("id {}: at most {MAX_RUN_ID} letters, digits, - and _", excerpt(id));
    Err(Fault::new(FaultKind::InvalidParameter, text))
}

/// A number below another, by chance.
fn random_below(most: usize) -> Result<usize, Fault> {
    let random = getrandom::u64().map_err(no_random)?;
    Ok(usize::try_from(random % (most.max(1) as u64)).unwrap_or(0))
}

fn no_random(error: getrandom::Error) -> Fault {
    Fault::new(FaultKind::Internal, format!("no random numbers: {error}"))
}

/// Six letters and digits that are not mistaken for each other.
pub(crate) fn new_run_id() -> Result<String, Fault> {
    const SIGNS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(no_random)?;
    Ok(random
        .iter()
        .filter_map(|octet| SIGNS.get(usize::from(octet % 32)))
        .map(|sign| char::from(*sign))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handle of an agent that places every piece behind so many bytes, and gives what it was told of pauses.
    fn handle(folder: &std::path::Path, counted: u64) -> (Handle, mpsc::UnboundedReceiver<String>) {
        let (requests, mut asked) = mpsc::channel(8);
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(request) = asked.recv().await {
                match request {
                    Request::Place { reply, .. } => {
                        let append = crate::agent::commands::Append { at: counted, skip: 0, counted };
                        let _ = reply.send(Ok(Some(append)));
                    }
                    Request::Placed { reply, .. } => drop(reply.send(())),
                    Request::Paused { why, reply, .. } => {
                        tell.send(why).unwrap();
                        let _ = reply.send(());
                    }
                    _ => {}
                }
            }
        });
        let store = Store::open(folder, 0).unwrap();
        let limits = TakeLimits { output: "5B".parse().unwrap(), results: "64KiB".parse().unwrap() };
        (Handle::new(requests, store, limits), told)
    }

    #[tokio::test]
    async fn output_beyond_the_limit_is_held_up_and_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let (below, _) = handle(folder.path(), 4);
        below.take_output("vm1", "a.vm1", Part::Out, 4, "xyz".into()).await.unwrap();
        drop(below);
        let (handle, mut told) = handle(folder.path(), 5);
        let refused = handle.take_output("vm1", "a.vm1", Part::Out, 5, "x".into()).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "no-space: a.vm1 is held up: the output limit of 5B is reached; vocable kill a.vm1 ends it, \
             commands.output_limit is the limit"
        );
        assert!(told.recv().await.unwrap().starts_with("the output limit of 5B"));
        // What comes with the end is taken: else that could not be told.
        let piece = Piece { part: Part::Out, offset: 5, octets: "x".into(), space: Space::Reserve };
        handle.take("vm1", "a.vm1", piece).await.unwrap();
    }

    #[tokio::test]
    async fn a_guest_comes_again_while_what_it_was_given_up_with_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (requests, mut asked) = mpsc::channel(8);
        let store = Store::open(folder.path(), 0).unwrap();
        let limits = TakeLimits { output: "1GiB".parse().unwrap(), results: "64KiB".parse().unwrap() };
        let handle = Handle::new(requests, store.clone(), limits);
        let mut command = Command::new("a", "vm1", Program::default(), OffsetDateTime::UNIX_EPOCH);
        let created = OffsetDateTime::UNIX_EPOCH;
        let run = Run { id: "a".into(), target: "vm1".into(), single: true, request: "{}".into(), created };
        store.add(run, vec![command.clone()]).await.unwrap();
        store.append("a.vm1".into(), Part::Out, 0, "hello".into(), Space::Usual).await.unwrap();
        (command.state, command.ended) = (State::Lost, Some(OffsetDateTime::UNIX_EPOCH));
        store.update(command).await.unwrap();
        // An agent whose digests are never made.
        let agent = tokio::spawn(async move {
            let mut tracked: Option<Box<Active>> = None;
            let (_changes, changed) = watch::channel(());
            while let Some(request) = asked.recv().await {
                match request {
                    Request::Place { reply, id, part, offset, len, .. } => {
                        let place = match &tracked {
                            None => Err(Unheard::Unknown(id)),
                            Some(it) => it.place(part, offset, len).map_err(Unheard::from),
                        };
                        let _ = reply.send(place);
                    }
                    Request::Revive { active, reply } => {
                        assert!(!active.is_ready(), "it is not read in the call");
                        tracked = Some(active);
                        let _ = reply.send(());
                    }
                    Request::Active { reply, .. } => {
                        let told = tracked.as_ref().map(|it| (it.command.clone(), changed.clone()));
                        let _ = reply.send(told);
                    }
                    _ => panic!("nobody asks for more"),
                }
            }
        });
        let busy = handle.take_output("vm1", "a.vm1", Part::Out, 5, " world".into()).await.unwrap_err();
        assert_eq!(busy.to_string(), "a.vm1: busy reading what is here of its output; tell it again");
        drop(handle);
        agent.await.unwrap();
    }

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

    #[test]
    fn long_requests_are_told_apart_by_their_digests() {
        assert_eq!(comparable("{}".into()), "{}");
        let long = "x".repeat(2000);
        let kept = comparable(long.clone());
        assert_eq!(kept.len(), 7 + 64);
        assert_eq!(comparable(kept.clone()), kept, "it is kept like that");
        assert_ne!(comparable(long + "y"), kept);
    }

    #[test]
    fn an_odd_answer_is_shown_as_far_as_it_goes() {
        let deep = format!("{{\"a\": {}1{}, \"b\\u0001\": 2}}", "[".repeat(500), "]".repeat(500));
        let answer = AnswerShare::of(1).understood("vm1", "ODD", Ok(Some(deep))).unwrap();
        assert_eq!(answer["b\\u{1}"], 2);
        assert!(answer["a"].to_string().contains("nested deeper than 32"));
        let large = Value::from("x".repeat(1 << 20)).to_string();
        assert!(AnswerShare::of(2).understood("vm1", "ODD", Ok(Some(large.clone()))).is_ok());
        let refused = AnswerShare::of(100).understood("vm1", "ODD", Ok(Some(large))).unwrap_err();
        assert_eq!(refused.kind.slug(), "too-big");
    }
}
