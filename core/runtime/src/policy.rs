//! What an operator allows a word: grants, limits, events. Plain data; reading it from a configuration is
//! for the agents.

use crate::folders::Folders;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the words of an agent may do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policies {
    /// For a word that is not named.
    pub default: Policy,
    /// By the name of the word, each complete: nothing is taken from `default`.
    pub words: BTreeMap<String, Policy>,
}

impl Policies {
    /// What holds for a word.
    pub fn of(&self, word: &str) -> &Policy {
        self.words.get(word).unwrap_or(&self.default)
    }
}

/// What one word may do.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The interfaces of the contract it may import, by their short names: `process`, `jobs` … The ones
    /// in [`ALWAYS_GRANTED`](crate::ALWAYS_GRANTED) need no grant, and what the agent does not have needs
    /// none either.
    pub grants: BTreeSet<String>,
    /// The folders whose files it may touch, if it was granted `files`.
    pub folders: Folders,
    /// What a call may use up.
    pub limits: Limits,
    /// Whether it is loaded at all, from wherever.
    pub enabled: bool,
    /// The events on which it is said; none means those it names itself.
    pub binds: Option<Vec<String>>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            grants: BTreeSet::new(),
            folders: Folders::new(),
            limits: Limits::default(),
            enabled: true,
            binds: None,
        }
    }
}

/// What a call may use up, and what happens to a word that keeps going wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Time on the processor.
    pub compute: Duration,
    /// Time it may let pass otherwise. What it waits for the agent, or for its turn on the processor, does not count: that
    /// is not its doing.
    pub wall: Duration,
    /// Time it may wait for the agent. Then what it waits for has failed, which is nobody's fault.
    pub wait: Duration,
    /// Bytes, over all memories of the component.
    pub memory: usize,
    /// Bytes of log in one call, and of what it writes to standard error.
    pub log: usize,
    /// Messages it may say in one call.
    pub messages: u32,
    /// Jobs it may start in one call.
    pub jobs: u32,
    /// How often a word that went wrong is tried again before it is put in quarantine.
    pub retries: u32,
    /// How long it rests after the first time; doubles with each.
    pub retry_after: Duration,
    /// How long the quarantine is.
    pub quarantine: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            compute: Duration::from_secs(1),
            wall: Duration::from_secs(10),
            wait: Duration::from_secs(30),
            memory: 64 << 20,
            log: 64 << 10,
            messages: 16,
            jobs: 16,
            retries: 3,
            retry_after: Duration::from_secs(1),
            quarantine: Duration::from_secs(600),
        }
    }
}
