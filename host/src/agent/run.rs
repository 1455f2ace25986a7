//! How a request to run something becomes commands: which guests it means, and until when.

use super::{Agent, answer};
use crate::agent::commands::{Command, Failure, Program, State};
use crate::agent::request::{Reply, Selected};
use crate::agent::store::{Run, Store, StoreError};
use serde::{Serialize, Serializer};
use serde_json::json;
use std::sync::Arc;
use time::OffsetDateTime;
use vocable_api::clock::Now;
use vocable_api::cmd::GuestLimit;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::target::Target;
use vocable_protocol::{excerpt, sha256_hex};

const MAX_RUN_ID: usize = 40;
/// The longest request that is kept as it was asked; of a longer one the digest tells whether another is the same.
const LONGEST_REQUEST: usize = 1024;

#[derive(Clone, Debug)]
pub(crate) struct RunRequest {
    pub(crate) target: String,
    pub(crate) program: Program,
    /// The caller's own id: the same id with the same request is the same run.
    pub(crate) id: Option<String>,
    pub(crate) terms: Terms,
}

/// Which of the guests that a target selects, and until when. What is not said is left out of what tells requests
/// apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Terms {
    /// Not these: a target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) except: Option<String>,
    /// Only those that are there now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) alive: bool,
    /// At most so many of them, by chance.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "limit_as_kept")]
    pub(crate) limit: Option<GuestLimit>,
    /// It waits so long, seconds, for guests that are away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queue_s: Option<f64>,
    /// After so long, seconds, it is ended wherever it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline_s: Option<f64>,
}

/// How many of so many guests that is.
const fn limited(limit: GuestLimit, all: usize) -> usize {
    match limit {
        GuestLimit::Guests(number) => number,
        GuestLimit::Percent(percent) => (all * percent).div_ceil(100),
    }
}

/// As it is written down to recognise the same request.
fn limit_as_kept<S: Serializer>(limit: &Option<GuestLimit>, serializer: S) -> Result<S::Ok, S::Error> {
    let kept = limit.map(|limit| match limit {
        GuestLimit::Guests(number) => ("guests", number),
        GuestLimit::Percent(percent) => ("percent", percent),
    });
    serializer.collect_map(kept)
}

struct Plan {
    run: Run,
    commands: Vec<Command>,
}

/// What was written down: the id to ask about, and the commands that are to be begun.
struct Added {
    id: String,
    commands: Vec<Command>,
}

impl Agent {
    /// Writes a run down and has it taken to its guests. Answers with the id to ask about: of the one command if the
    /// target was one guest by name, else of the run.
    pub(super) fn start_run(&self, wanted: RunRequest, reply: Reply<Result<String, Fault>>) {
        let target = match Target::parse(&wanted.target) {
            Ok(target) => target,
            Err(error) => return answer(reply, Err(error.into())),
        };
        if let Err(fault) = wanted.id.as_deref().map_or(Ok(()), check_run_id) {
            return answer(reply, Err(fault));
        }
        let request = as_asked(&wanted);
        let plan = self.plan(&wanted, &target, &request);
        let (store, id) = (self.store.clone(), wanted.id);
        self.background(async move { add(&store, id, &request, plan).await }, |agent, added| {
            let id = added.map(|Added { id, commands }| {
                agent.begin(commands);
                id
            });
            answer(reply, id);
        });
    }

    fn plan(&self, wanted: &RunRequest, target: &Target, request: &str) -> Result<Plan, Fault> {
        let single = target.single().is_some();
        let selected = self.apply_terms(self.select(target)?, &wanted.terms)?;
        let mut name = wanted.target.clone();
        if single && let [Selected { guest, away }] = selected.as_slice() {
            if let Some(why) = away.as_ref().filter(|_| wanted.terms.queue_s.is_none()) {
                let text = format!("{guest} does not answer; nothing was run: {why}");
                return Err(Fault::new(FaultKind::GuestOffline, text));
            }
            // It may have been meant by the name of its machine; its commands go by its id.
            name.clone_from(guest);
        }
        let id = wanted.id.clone().map_or_else(new_run_id, Ok)?;
        let (program, now) = (Arc::new(wanted.program.clone()), Now::read().utc);
        let planned = |selected| planned(&id, selected, &wanted.terms, &program, now);
        let commands = selected.into_iter().map(planned).collect();
        let run = Run { id, target: name, single, request: request.to_owned(), created: now };
        Ok(Plan { run, commands })
    }

    /// Those of the selected guests that are meant.
    fn apply_terms(&self, mut selected: Vec<Selected>, terms: &Terms) -> Result<Vec<Selected>, Fault> {
        if let Some(except) = &terms.except {
            let left_out = self.select(&Target::parse(except)?)?;
            selected.retain(|it| left_out.iter().all(|other| other.guest != it.guest));
        }
        if terms.alive {
            selected.retain(|it| it.away.is_none());
        }
        if let Some(limit) = terms.limit {
            let most = limited(limit, selected.len());
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
}

/// Writes down what was planned, unless the caller's own id is known: then that run is the answer, if it is the same.
async fn add(
    store: &Store,
    id: Option<String>,
    request: &str,
    plan: Result<Plan, Fault>,
) -> Result<Added, Fault> {
    if let Some(id) = id
        && let Some(known) = store.run(id).await?
    {
        return the_same(known, request);
    }
    let Plan { run, commands } = plan?;
    let run_id = run.id.clone();
    let id = match commands.as_slice() {
        [only] if run.single => only.id.clone(),
        _ => run.id.clone(),
    };
    match store.add(run, commands.clone()).await {
        Ok(()) => Ok(Added { id, commands }),
        Err(error @ StoreError::NoRoom { .. }) => {
            Err(Fault::new(FaultKind::NoSpace, format!("nothing was run: {error}")))
        }
        // The same request twice at the same time: the first one counts.
        Err(error) => match store.run(run_id).await? {
            Some(known) => the_same(known, request),
            None => Err(error.into()),
        },
    }
}

fn the_same(known: Run, request: &str) -> Result<Added, Fault> {
    if comparable(known.request) != request {
        let text = format!("\"{}\" is the id of another command; nothing was run", known.id);
        return Err(Fault::new(FaultKind::AlreadyExists, text));
    }
    let id = if known.single { format!("{}.{}", known.id, known.target) } else { known.id };
    Ok(Added { id, commands: Vec::new() })
}

/// All of a request, to recognise the same one.
fn as_asked(wanted: &RunRequest) -> String {
    let mut request = json!({"target": wanted.target, "program": wanted.program});
    if wanted.terms != Terms::default() {
        request["terms"] = json!(wanted.terms);
    }
    comparable(request.to_string())
}

/// A request as it is kept: itself, or its digest if it is long.
fn comparable(request: String) -> String {
    if request.len() <= LONGEST_REQUEST {
        return request;
    }
    format!("sha256:{}", sha256_hex(&request))
}

/// A command as it is written down first; of a guest that is away it has failed already, unless it may wait.
fn planned(
    run: &str,
    selected: Selected,
    terms: &Terms,
    program: &Arc<Program>,
    now: OffsetDateTime,
) -> Command {
    let mut command = Command::new(run, &selected.guest, Arc::clone(program), now);
    let after = |seconds: f64| now.checked_add(time::Duration::saturating_seconds_f64(seconds));
    command.expires = terms.queue_s.and_then(after);
    command.deadline = terms.deadline_s.and_then(after);
    if let Some(why) = selected.away.filter(|_| terms.queue_s.is_none()) {
        let message = format!("{} does not answer; nothing was run: {why}", selected.guest);
        command.failure = Some(Failure::new(FaultKind::GuestOffline.slug(), message));
        (command.state, command.ended) = (State::Failed, Some(now));
    }
    command
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
        .filter_map(|byte| SIGNS.get(usize::from(byte % 32)))
        .map(|sign| char::from(*sign))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_requests_are_told_apart_by_their_digests() {
        assert_eq!(comparable("{}".into()), "{}");
        let long = "x".repeat(2000);
        let kept = comparable(long.clone());
        assert_eq!(kept.len(), 7 + 64);
        assert_eq!(comparable(kept.clone()), kept, "it is kept like that");
        assert_ne!(comparable(long + "y"), kept);
    }
}
