//! What an agent can do for its words: a trait for each interface of `word.wit`, of which an agent has some and lacks
//! others. The runtime passes a call on when the word was granted it; whether the call makes sense is the agent's to
//! judge. JSON is text.

use async_trait::async_trait;

use crate::contract::{Output, Program, Refusal, Role};

/// On whose behalf something is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caller<'a> {
    /// The word that asks.
    pub word: &'a str,
    /// Who sent the message it is listening to, as the broker vouches for it; none while saying.
    pub sender: Option<&'a str>,
}

/// How loud a word logs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Level {
    /// For the author of the word.
    Debug,
    /// What an operator wants to know on a good day.
    Info,
    /// Odd, but the word goes on.
    Warn,
    /// The word cannot do what it is for.
    Error,
}

/// An agent, as its words see it. What it lacks is denied to every word, as not of this agent.
pub trait Capabilities: Send + Sync + 'static {
    /// Which end this is.
    fn role(&self) -> Role;

    /// The name of this agent on the bus.
    fn id(&self) -> String;

    /// The address of this agent, as far as it knows.
    fn ip(&self) -> String;

    /// A line for the log. Unless told otherwise it goes to `tracing`.
    fn log(&self, caller: Caller<'_>, level: Level, text: &str) {
        let (word, guest) = (caller.word, caller.sender);
        match level {
            Level::Debug => tracing::debug!(word, guest, "{text}"),
            Level::Info => tracing::info!(word, guest, "{text}"),
            Level::Warn => tracing::warn!(word, guest, "{text}"),
            Level::Error => tracing::error!(word, guest, "{text}"),
        }
    }

    /// The books of commands, on a host.
    fn commands(&self) -> Option<&dyn Commands> {
        None
    }

    /// Commands that outlive the message, on a guest.
    fn jobs(&self) -> Option<&dyn Jobs> {
        None
    }

    /// Programs that are run to their end.
    fn process(&self) -> Option<&dyn Process> {
        None
    }

    /// The guests, on a host.
    fn roster(&self) -> Option<&dyn Roster> {
        None
    }

    /// Saying other words.
    fn speech(&self) -> Option<&dyn Speech> {
        None
    }

    /// A place to keep things; see [`MemoryStore`](crate::MemoryStore).
    fn store(&self) -> Option<&dyn Store> {
        None
    }
}

/// The interfaces that an agent has, by their short names. Only these and `files`, which the runtime has for every agent,
/// need a grant, and only these are ever called.
pub(crate) fn interfaces(agent: &dyn Capabilities) -> Vec<&'static str> {
    let all = [
        ("commands", agent.commands().is_some()),
        ("jobs", agent.jobs().is_some()),
        ("process", agent.process().is_some()),
        ("roster", agent.roster().is_some()),
        ("speech", agent.speech().is_some()),
        ("store", agent.store().is_some()),
    ];
    all.into_iter().filter_map(|(interface, is_there)| is_there.then_some(interface)).collect()
}

/// The refusal of what an agent does not have.
pub(crate) fn not_of_this_agent(interface: &str) -> Refusal {
    Refusal::Denied(format!("{interface}: not of this agent"))
}

/// What words remember.
#[async_trait]
pub trait Store: Send + Sync {
    /// What the word has under a key.
    async fn get(&self, caller: Caller<'_>, key: String) -> Result<Option<String>, Refusal>;

    /// Puts a value under a key.
    async fn set(&self, caller: Caller<'_>, key: String, value: String) -> Result<(), Refusal>;

    /// Removes what the word has under a key.
    async fn remove(&self, caller: Caller<'_>, key: String) -> Result<(), Refusal>;
}

/// Saying other words.
#[async_trait]
pub trait Speech: Send + Sync {
    /// Says `word` to the agent `to`; gives the id of the message.
    async fn say(
        &self,
        caller: Caller<'_>,
        word: String,
        to: String,
        args: String,
    ) -> Result<String, Refusal>;
}

/// Programs that are run to their end.
#[async_trait]
pub trait Process: Send + Sync {
    /// Runs a program to its end.
    async fn run(&self, caller: Caller<'_>, program: Program) -> Result<Output, Refusal>;
}

/// Commands that outlive the message.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Starts a command.
    async fn start(&self, caller: Caller<'_>, cmd_id: String, program: Program) -> Result<(), Refusal>;

    /// Sends a signal to a command.
    async fn signal(&self, caller: Caller<'_>, cmd_id: String, number: i32) -> Result<(), Refusal>;

    /// What a command has used so far: the JSON of an object.
    async fn usage(&self, caller: Caller<'_>, cmd_id: String) -> Result<String, Refusal>;

    /// What a command has written to `part` from `offset` on, `max` bytes at most.
    async fn read(
        &self,
        caller: Caller<'_>,
        cmd_id: String,
        part: String,
        offset: u64,
        max: u32,
    ) -> Result<Vec<u8>, Refusal>;

    /// Ends a command; gives the number of processes there were.
    async fn cancel(
        &self,
        caller: Caller<'_>,
        cmd_id: String,
        number: i32,
        grace_ms: Option<u32>,
    ) -> Result<u32, Refusal>;

    /// Standard input of a command from `offset` on; gives the JSON of an object.
    async fn input(
        &self,
        caller: Caller<'_>,
        cmd_id: String,
        offset: u64,
        bytes: Vec<u8>,
        end: bool,
    ) -> Result<String, Refusal>;

    /// The new size of a command's terminal.
    async fn resize(
        &self,
        caller: Caller<'_>,
        cmd_id: String,
        rows: u16,
        columns: u16,
    ) -> Result<(), Refusal>;
}

/// The guests.
#[async_trait]
pub trait Roster: Send + Sync {
    /// A guest is on the bus; `facts` is the JSON of an object.
    async fn joined(&self, caller: Caller<'_>, id: String, ip: String, facts: String) -> Result<(), Refusal>;

    /// A guest is alive.
    async fn alive(&self, caller: Caller<'_>, id: String) -> Result<(), Refusal>;

    /// A guest is going.
    async fn left(&self, caller: Caller<'_>, id: String, reason: String) -> Result<(), Refusal>;

    /// What is known of a guest: the JSON of an object.
    async fn look_up(&self, caller: Caller<'_>, id: String) -> Result<String, Refusal>;
}

/// The books of commands.
#[async_trait]
pub trait Commands: Send + Sync {
    /// A piece of what a command has written.
    async fn output(
        &self,
        caller: Caller<'_>,
        cmd_id: String,
        part: String,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Result<(), Refusal>;

    /// A command is over; `results` is the JSON of an object.
    async fn finished(&self, caller: Caller<'_>, cmd_id: String, results: String) -> Result<(), Refusal>;

    /// A command has read its standard input up to `offset`.
    async fn input_taken(&self, caller: Caller<'_>, cmd_id: String, offset: u64) -> Result<(), Refusal>;
}
