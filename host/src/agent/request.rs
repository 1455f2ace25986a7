//! Everything the agent can be asked: by the endpoint for its callers, and by words for the guests they listen to.
//!
//! One enum, so that this file is the agent's interface. Whoever sends a request gets its answer through `reply`.

use crate::agent::commands::{Active, Append, BookError, Command, Digests};
use crate::agent::events::{About, Since};
use crate::agent::roster::{Guest, Refusals};
use crate::machines::cards::Place;
use crate::machines::request::View;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use vocable_api::Part;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::target::Target;
use vocable_runtime::{AskError, Message};

/// Where the answer goes.
pub(crate) type Reply<T> = oneshot::Sender<T>;

/// What a guest answered to an ask: JSON, or nothing.
pub(crate) type Answer = Result<Option<String>, AskError>;

/// How it stands with everybody.
#[derive(Clone, Debug)]
pub(crate) struct RosterView {
    /// The guests by id, with the number of beacons each has missed.
    pub(crate) guests: BTreeMap<String, (Guest, u32)>,
    /// Refused logins under names nobody has.
    pub(crate) strangers: BTreeMap<String, Refusals>,
    /// Names for which logins were refused and which are forgotten, because they were too many.
    pub(crate) forgotten_strangers: u64,
    /// How often guests say that they are alive.
    pub(crate) beacon: Duration,
    /// Commands that are not over, by guest.
    pub(crate) commands: BTreeMap<String, u32>,
    /// Of guests whose output is held up: one such command, and why.
    pub(crate) paused: BTreeMap<String, String>,
    /// The machines.
    pub(crate) machines: Arc<View>,
    /// Which guest is in which of them.
    pub(crate) places: BTreeMap<String, Place>,
}

impl RosterView {
    /// The guest in a machine: the one of its name, or the one its network cards lead to.
    pub(crate) fn guest_of(&self, which: &str) -> Result<&str, Fault> {
        if let Some((guest, _)) = self.guests.get_key_value(which) {
            return Ok(guest);
        }
        let inside = Place::In(self.machines.find(which)?.id.clone());
        let found = self.places.iter().find(|(_, place)| **place == inside).map(|(guest, _)| guest.as_str());
        found.ok_or_else(|| {
            let text = format!("{which} does not answer: no guest agent has joined from it");
            Fault::new(FaultKind::GuestOffline, text)
        })
    }
}

/// A guest that a target selects.
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    /// Its id.
    pub(crate) guest: String,
    /// Why it can't be reached now, if it can't.
    pub(crate) away: Option<String>,
}

/// What a word has said, not addressed yet.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// The word.
    pub(crate) word: String,
    /// What it said.
    pub(crate) message: Message,
}

/// One thing the agent is asked. Names in the order of a command's life, then the rest.
pub(crate) enum Request {
    /// The guests a target selects.
    Select {
        /// Whom.
        target: Target,
        /// The guests, or why there are none.
        reply: Reply<Result<Vec<Selected>, Fault>>,
    },
    /// Commands that are written down and have to be taken to their guests.
    Begin {
        /// The commands, all of one run.
        commands: Vec<Command>,
        /// Done.
        reply: Reply<()>,
    },
    /// A message that expects an answer.
    Ask {
        /// Whom.
        guest: String,
        /// What.
        said: Said,
        /// When to give up; a guest that is lost meanwhile is given up at once.
        timeout: Duration,
        /// What came back.
        reply: Reply<Result<Answer, Fault>>,
    },
    /// A word wants another word said.
    Say {
        /// The other word.
        word: String,
        /// Whom to.
        to: String,
        /// Its arguments, JSON.
        args: String,
        /// The id of the message.
        reply: Reply<Result<String, Fault>>,
    },
    /// The state of a command that is not over.
    Active {
        /// Its id.
        id: String,
        /// The command, if it is under way, and what tells that something about it has changed.
        reply: Reply<Option<(Command, watch::Receiver<()>)>>,
    },
    /// Where a piece of output belongs.
    Place {
        /// Who sent it.
        sender: String,
        /// Of which command.
        id: String,
        /// Of which stream.
        part: Part,
        /// From where on.
        offset: u64,
        /// How much.
        len: usize,
        /// Where; nowhere if it is all here already.
        reply: Reply<Result<Option<Append>, Unheard>>,
    },
    /// A piece of output is on disk.
    Placed {
        /// Of which command.
        id: String,
        /// Of which stream.
        part: Part,
        /// The octets.
        octets: bytes::Bytes,
        /// Done.
        reply: Reply<()>,
    },
    /// A piece of output was not taken: there is no room for it, or too much of it is here.
    Paused {
        /// Of which command.
        id: String,
        /// Why, and what can be done.
        why: String,
        /// Done.
        reply: Reply<()>,
    },
    /// How far the digests of a command's output are.
    Digests {
        /// Of which command.
        id: String,
        /// The digests; none if it is not under way, or they are being made.
        reply: Reply<Option<Digests>>,
    },
    /// The end of a command is told.
    Finish {
        /// Who told it.
        sender: String,
        /// Which.
        id: String,
        /// What came of it, without the output.
        results: Map<String, Value>,
        /// The command as it is to be written down.
        reply: Reply<Result<Box<Command>, Unheard>>,
    },
    /// The end of a command is on disk.
    Finished {
        /// The command as it was written down.
        command: Box<Command>,
        /// Done.
        reply: Reply<()>,
    },
    /// The command has read so much of its input.
    InputTaken {
        /// Who told it.
        sender: String,
        /// Which command.
        id: String,
        /// Up to where.
        offset: u64,
        /// Whether it was its command.
        reply: Reply<Result<(), Unheard>>,
    },
    /// A guest tells of a command that had been given up: it is under way again.
    Revive {
        /// As it stands on disk.
        active: Box<Active>,
        /// Done.
        reply: Reply<()>,
    },
    /// The command is not wanted any more.
    Withdraw {
        /// Which.
        id: String,
        /// Whether that was all: it had not been sent to its guest, and never will be.
        reply: Reply<bool>,
    },
    /// A guest said that it is here.
    Joined {
        /// Who said it.
        sender: String,
        /// Its address, as it sees it.
        ip: String,
        /// What else it told.
        facts: Map<String, Value>,
        /// Done.
        reply: Reply<()>,
    },
    /// A guest said that it is alive.
    Alive {
        /// Who said it.
        sender: String,
        /// Done.
        reply: Reply<()>,
    },
    /// A guest said that it is leaving.
    Left {
        /// Who said it.
        sender: String,
        /// Why.
        reason: String,
        /// Done.
        reply: Reply<()>,
    },
    /// The host will know this guest from now on: it has a credential.
    Expect {
        /// Its id.
        guest: String,
        /// Done.
        reply: Reply<()>,
    },
    /// One guest.
    Guest {
        /// Its id, or the name of the machine that it is in.
        name: String,
        /// Its id, and what is known of it.
        reply: Reply<Option<(String, Guest)>>,
    },
    /// Something has happened that the agent's task did not do itself.
    Note {
        /// What kind of event.
        kind: &'static str,
        /// Whom it is about.
        about: About,
        /// In words.
        text: String,
        /// Done.
        reply: Reply<()>,
    },
    /// Everybody.
    Roster {
        /// How it stands.
        reply: Reply<RosterView>,
    },
    /// What has happened.
    Events {
        /// From this number on.
        since: u64,
        /// At most so many.
        limit: usize,
        /// The events, and what tells that there are more.
        reply: Reply<(Since, watch::Receiver<u64>)>,
    },
}

/// Why something a guest says of a command is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unheard {
    /// The host has never asked for such a command, or it is long over.
    #[error("the host knows no command {0}")]
    Unknown(String),
    /// It was asked of somebody else.
    #[error("command {id} is not of {sender}")]
    NotYours {
        /// The command.
        id: String,
        /// Who spoke.
        sender: String,
    },
    /// The books say otherwise.
    #[error(transparent)]
    Books(#[from] BookError),
}
