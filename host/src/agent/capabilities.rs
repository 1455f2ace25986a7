//! What the host can do for its words: the roster and the books of commands, in which a word acts only for the guest
//! being listened to, and saying other words.

use crate::agent::commands::BookError;
use crate::agent::handle::{Handle, TakeError, Unheard};
use crate::agent::request::Request;
use crate::shape::{self, Bounds};
use async_trait::async_trait;
use serde_json::{Map, Value, json};
use vocable_api::Part;
use vocable_api::clock::Now;
use vocable_api::fault::Fault;
use vocable_protocol::{Facts, HOST, excerpt};
use vocable_runtime::capabilities::{Commands, Roster, Speech, Store};
use vocable_runtime::{Caller, Capabilities, MemoryStore, Refusal, Role};

/// Bytes of facts that are kept of a guest.
const MAX_FACTS: usize = 16 << 10;
/// Bytes of an address or a reason.
const MAX_TEXT: usize = 1024;

/// The host, as its words see it.
pub(crate) struct HostCapabilities {
    handle: Handle,
    store: MemoryStore,
}

impl HostCapabilities {
    /// What can be done with what is at the other end of the handle.
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, store: MemoryStore::default() }
    }
}

/// The guest being listened to; roster and books are closed to a word that only speaks.
fn guest<'a>(caller: Caller<'a>, interface: &str) -> Result<&'a str, Refusal> {
    caller.sender.ok_or_else(|| Refusal::Denied(format!("{interface}: only while listening to a guest")))
}

/// The guest being listened to, if it speaks of itself.
fn itself<'a>(caller: Caller<'a>, id: &str) -> Result<&'a str, Refusal> {
    let sender = guest(caller, "roster")?;
    if sender == id {
        return Ok(sender);
    }
    Err(Refusal::Denied(format!("roster: {} is not {sender}", excerpt(id))))
}

/// Reads what a guest told, within bounds: what is too much of it is replaced by a marker, since a guest that is refused
/// for ever could never tell its end.
fn object(text: &str, what: &str) -> Result<Map<String, Value>, Refusal> {
    match shape::parse(text, Bounds::TOLD) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Refusal::Invalid(format!("{what}: expected a JSON object"))),
        Err(error) => Err(Refusal::Invalid(format!("{what}: {error}"))),
    }
}

/// What a guest tells of itself when it joins, no more than is kept of it. The commands it names are not kept.
fn facts_of(mut told: Map<String, Value>) -> Map<String, Value> {
    let jobs = told.remove(Facts::JOBS);
    let mut facts = shape::fit(told, MAX_FACTS, &[]);
    facts.extend(jobs.map(|jobs| (Facts::JOBS.to_owned(), jobs)));
    facts
}

fn failed(fault: Fault) -> Refusal {
    Refusal::Failed(fault.to_string())
}

/// What the guest should do about it: try again later, or never.
fn not_taken(error: TakeError) -> Refusal {
    match error {
        TakeError::Unheard(
            Unheard::Unknown(_) | Unheard::NotYours { .. } | Unheard::Books(BookError::Malformed { .. }),
        )
        | TakeError::Inline(_) => Refusal::Invalid(error.to_string()),
        TakeError::Unheard(Unheard::Books(_))
        | TakeError::Held { .. }
        | TakeError::Store(_)
        | TakeError::Agent(_) => Refusal::Failed(error.to_string()),
    }
}

impl Capabilities for HostCapabilities {
    fn role(&self) -> Role {
        Role::Host
    }

    fn id(&self) -> String {
        HOST.to_owned()
    }

    fn ip(&self) -> String {
        // Guests know where they found the broker; the host may have many addresses.
        String::new()
    }

    fn commands(&self) -> Option<&dyn Commands> {
        Some(self)
    }

    fn roster(&self) -> Option<&dyn Roster> {
        Some(self)
    }

    fn speech(&self) -> Option<&dyn Speech> {
        Some(self)
    }

    fn store(&self) -> Option<&dyn Store> {
        Some(&self.store)
    }
}

#[async_trait]
impl Speech for HostCapabilities {
    async fn say(&self, _: Caller<'_>, word: String, to: String, args: String) -> Result<String, Refusal> {
        let say = |reply| Request::Say { word, to, args, reply };
        self.handle.request(say).await.and_then(|said| said).map_err(failed)
    }
}

#[async_trait]
impl Roster for HostCapabilities {
    async fn joined(&self, caller: Caller<'_>, id: String, ip: String, facts: String) -> Result<(), Refusal> {
        let sender = itself(caller, &id)?.to_owned();
        let facts = facts_of(object(&facts, "facts")?);
        let ip = shape::shortened(&ip, MAX_TEXT);
        self.handle.request(|reply| Request::Joined { sender, ip, facts, reply }).await.map_err(failed)
    }

    async fn alive(&self, caller: Caller<'_>, id: String) -> Result<(), Refusal> {
        let sender = itself(caller, &id)?.to_owned();
        self.handle.request(|reply| Request::Alive { sender, reply }).await.map_err(failed)
    }

    async fn left(&self, caller: Caller<'_>, id: String, reason: String) -> Result<(), Refusal> {
        let sender = itself(caller, &id)?.to_owned();
        let reason = shape::shortened(&reason, MAX_TEXT);
        self.handle.request(|reply| Request::Left { sender, reason, reply }).await.map_err(failed)
    }

    async fn look_up(&self, _: Caller<'_>, id: String) -> Result<String, Refusal> {
        let view = self.handle.roster().await.map_err(failed)?;
        let (guest, missed) = view
            .guests
            .get(&id)
            .ok_or_else(|| Refusal::Invalid(format!("roster: no guest is called {}", excerpt(&id))))?;
        let silent = guest.silent_for(Now::read()).map(|silent| silent.as_secs_f64());
        Ok(json!({"id": id, "state": guest.state.as_str(), "ip": guest.ip, "facts": guest.facts,
            "beats": guest.beats, "missed": missed, "silent_s": silent})
        .to_string())
    }
}

#[async_trait]
impl Commands for HostCapabilities {
    async fn output(
        &self,
        caller: Caller<'_>,
        cmd_id: String,
        part: String,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Result<(), Refusal> {
        let sender = guest(caller, "commands")?;
        let unknown =
            |_| Refusal::Invalid(format!("commands: part {} is neither out nor err", excerpt(&part)));
        let part: Part = part.parse().map_err(unknown)?;
        self.handle.take_output(sender, &cmd_id, part, offset, bytes.into()).await.map_err(not_taken)
    }

    async fn finished(&self, caller: Caller<'_>, cmd_id: String, results: String) -> Result<(), Refusal> {
        let sender = guest(caller, "commands")?;
        let results = object(&results, "results")?;
        self.handle.take_results(sender, &cmd_id, results).await.map_err(not_taken)
    }

    async fn input_taken(&self, caller: Caller<'_>, cmd_id: String, offset: u64) -> Result<(), Refusal> {
        let sender = guest(caller, "commands")?;
        self.handle.take_input(sender, &cmd_id, offset).await.map_err(not_taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_facts_are_marked_and_the_rest_is_kept() {
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        let told = format!(
            "{{\"agent\": \"0.1.0\", \"deep\": {deep}, \"a\\u0001\": 1, \"mac\": \"{}\", \"jobs\": [\"a.vm1\"]}}",
            "x".repeat(100_000)
        );
        let facts = facts_of(object(&told, "facts").unwrap());
        assert_eq!(facts["agent"], "0.1.0");
        assert_eq!(facts["jobs"], json!(["a.vm1"]));
        assert_eq!(facts["a\\u{1}"], 1);
        assert!(facts["mac"]["omitted"].is_string() && facts["deep"].to_string().contains("nested deeper"));
    }

    #[test]
    fn results_that_are_odd_are_results_all_the_same() {
        let deep = format!("{}1{}", "{\"x\":".repeat(100), "}".repeat(100));
        let told = format!("{{\"finished\": true, \"exitCodeOrSignal\": 0, \"resources\": {deep}}}");
        let results = object(&told, "results").unwrap();
        assert_eq!(results["exitCodeOrSignal"], 0);
        assert!(matches!(object("[1]", "results"), Err(Refusal::Invalid(_))));
        assert!(matches!(object("{", "results"), Err(Refusal::Invalid(_))));
    }
}
