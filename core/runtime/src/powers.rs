//! What an agent can do for its words. The runtime passes a call on when the word was granted it; whether
//! the call makes sense is the agent's to judge.

use std::future::Future;
use std::pin::Pin;

use crate::contract::{Output, Program, Refusal, Role};

/// What a function of the contract gives: a value or a refusal, soon.
pub type Soon<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

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

/// What an agent can do for its words: the functions of `word.wit`, named `interface_function`. JSON is
/// text. What an agent leaves out is denied to every word, as not of this agent.
pub trait Powers: Send + Sync + 'static {
    /// Which end this is.
    fn role(&self) -> Role;

    /// The name of this agent on the bus.
    fn id(&self) -> String;

    /// The address of this agent, as far as it knows.
    fn ip(&self) -> String;

    /// The interfaces that this agent has, by their short names: `process`, `jobs` … Only these and `files`, which the
    /// runtime has for every agent, need a grant, and only these are ever called.
    fn interfaces(&self) -> &'static [&'static str];

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

    /// See [`Shelves`](crate::Shelves) for a place to keep things.
    fn store_get<'a>(&'a self, caller: Caller<'a>, key: String) -> Soon<'a, Option<String>> {
        let _ = (caller, key);
        absent("store")
    }

    /// Remembers a value.
    fn store_set<'a>(&'a self, caller: Caller<'a>, key: String, value: String) -> Soon<'a, ()> {
        let _ = (caller, key, value);
        absent("store")
    }

    /// Forgets a value.
    fn store_remove<'a>(&'a self, caller: Caller<'a>, key: String) -> Soon<'a, ()> {
        let _ = (caller, key);
        absent("store")
    }

    /// Says `word` to the agent `to`; gives the id of the message.
    fn speech_say<'a>(
        &'a self,
        caller: Caller<'a>,
        word: String,
        to: String,
        args: String,
    ) -> Soon<'a, String> {
        let _ = (caller, word, to, args);
        absent("speech")
    }

    /// Runs a program to its end.
    fn process_run<'a>(&'a self, caller: Caller<'a>, program: Program) -> Soon<'a, Output> {
        let _ = (caller, program);
        absent("process")
    }

    /// Starts a command.
    fn jobs_start<'a>(&'a self, caller: Caller<'a>, cmd_id: String, program: Program) -> Soon<'a, ()> {
        let _ = (caller, cmd_id, program);
        absent("jobs")
    }

    /// Sends a signal to a command.
    fn jobs_signal<'a>(&'a self, caller: Caller<'a>, cmd_id: String, number: i32) -> Soon<'a, ()> {
        let _ = (caller, cmd_id, number);
        absent("jobs")
    }

    /// What a command has used so far: the JSON of an object.
    fn jobs_usage<'a>(&'a self, caller: Caller<'a>, cmd_id: String) -> Soon<'a, String> {
        let _ = (caller, cmd_id);
        absent("jobs")
    }

    /// What a command has written to `part` from `offset` on, `max` bytes at most.
    fn jobs_read<'a>(
        &'a self,
        caller: Caller<'a>,
        cmd_id: String,
        part: String,
        offset: u64,
        max: u32,
    ) -> Soon<'a, Vec<u8>> {
        let _ = (caller, cmd_id, part, offset, max);
        absent("jobs")
    }

    /// Ends a command; gives the number of processes there were.
    fn jobs_cancel<'a>(
        &'a self,
        caller: Caller<'a>,
        cmd_id: String,
        number: i32,
        grace_ms: Option<u32>,
    ) -> Soon<'a, u32> {
        let _ = (caller, cmd_id, number, grace_ms);
        absent("jobs")
    }

    /// Standard input of a command from `offset` on; gives the JSON of an object.
    fn jobs_input<'a>(
        &'a self,
        caller: Caller<'a>,
        cmd_id: String,
        offset: u64,
        bytes: Vec<u8>,
        end: bool,
    ) -> Soon<'a, String> {
        let _ = (caller, cmd_id, offset, bytes, end);
        absent("jobs")
    }

    /// The new size of a command's terminal.
    fn jobs_resize<'a>(
        &'a self,
        caller: Caller<'a>,
        cmd_id: String,
        rows: u16,
        columns: u16,
    ) -> Soon<'a, ()> {
        let _ = (caller, cmd_id, rows, columns);
        absent("jobs")
    }

    /// A guest is on the bus; `facts` is the JSON of an object.
    fn roster_joined<'a>(
        &'a self,
        caller: Caller<'a>,
        id: String,
        ip: String,
        facts: String,
    ) -> Soon<'a, ()> {
        let _ = (caller, id, ip, facts);
        absent("roster")
    }

    /// A guest is alive.
    fn roster_alive<'a>(&'a self, caller: Caller<'a>, id: String) -> Soon<'a, ()> {
        let _ = (caller, id);
        absent("roster")
    }

    /// A guest is going.
    fn roster_left<'a>(&'a self, caller: Caller<'a>, id: String, reason: String) -> Soon<'a, ()> {
        let _ = (caller, id, reason);
        absent("roster")
    }

    /// What is known of a guest: the JSON of an object.
    fn roster_look_up<'a>(&'a self, caller: Caller<'a>, id: String) -> Soon<'a, String> {
        let _ = (caller, id);
        absent("roster")
    }

    /// A piece of what a command has written.
    fn commands_output<'a>(
        &'a self,
        caller: Caller<'a>,
        cmd_id: String,
        part: String,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Soon<'a, ()> {
        let _ = (caller, cmd_id, part, offset, bytes);
        absent("commands")
    }

    /// A command is over; `results` is the JSON of an object.
    fn commands_finished<'a>(&'a self, caller: Caller<'a>, cmd_id: String, results: String) -> Soon<'a, ()> {
        let _ = (caller, cmd_id, results);
        absent("commands")
    }

    /// A command has read its standard input up to `offset`.
    fn commands_input_taken<'a>(&'a self, caller: Caller<'a>, cmd_id: String, offset: u64) -> Soon<'a, ()> {
        let _ = (caller, cmd_id, offset);
        absent("commands")
    }
}

/// The refusal of what an agent does not have.
pub(crate) fn not_here(interface: &str) -> Refusal {
    Refusal::Denied(format!("{interface}: not of this agent"))
}

fn absent<'a, T: Send + 'a>(interface: &'static str) -> Soon<'a, T> {
    Box::pin(async move { Err(not_here(interface)) })
}
