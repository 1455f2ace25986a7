//! Everything the agent can be asked: by the endpoint for its callers, and by words for the guests they listen to.
//!
//! One enum, so that this file is the agent's interface. Whoever sends a request gets its answer through `reply`.

use crate::agent::commands::Command;
use crate::agent::events::{About, Since};
use crate::agent::reports::Report;
use crate::agent::roster::{Guest, Refusals};
use crate::agent::run::RunRequest;
use crate::agent::store::StoreError;
use crate::machines::cards::Place;
use crate::machines::request::View;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::target::Target;
use vocable_runtime::{AskError, Message};

pub(crate) type Reply<T> = oneshot::Sender<T>;

/// What a guest answered to an ask: JSON, or nothing.
pub(crate) type Answer = Result<Option<String>, AskError>;

/// How it stands with everybody.
#[derive(Clone, Debug)]
pub(crate) struct RosterView {
    /// The guests by id, with the number of beacons each has missed.
    pub(crate) guests: BTreeMap<String, (Guest, u32)>,
    pub(crate) strangers: BTreeMap<String, Refusals>,
    /// Names for which logins were refused and which are forgotten, because they were too many.
    pub(crate) forgotten_strangers: u64,
    /// How often guests say that they are alive.
    pub(crate) beacon: Duration,
    /// Commands that are not over, by guest.
    pub(crate) commands: BTreeMap<String, u32>,
    /// Of guests whose output is held up: one such command, and why.
    pub(crate) paused: BTreeMap<String, String>,
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

#[derive(Clone, Debug)]
pub(crate) struct Selected {
    pub(crate) guest: String,
    /// Why it can't be reached now, if it can't.
    pub(crate) away: Option<String>,
}

/// What a word has said, not addressed yet.
#[derive(Clone, Debug)]
pub(crate) struct OutgoingMessage {
    pub(crate) word: String,
    pub(crate) message: Message,
}

/// One thing the agent is asked. Names in the order of a command's life, then the rest.
pub(crate) enum Request {
    /// The guests a target selects, or why there are none.
    Select {
        target: Target,
        reply: Reply<Result<Vec<Selected>, Fault>>,
    },
    /// Run something. The answer is the id to ask about.
    Run {
        wanted: Box<RunRequest>,
        reply: Reply<Result<String, Fault>>,
    },
    /// A message that expects an answer. A guest that is lost meanwhile is given up before the time is up.
    Ask {
        guest: String,
        said: OutgoingMessage,
        timeout: Duration,
        reply: Reply<Result<Answer, Fault>>,
    },
    /// Say a word, with arguments in JSON, and wait for no answer. The reply is the id of the message.
    Say {
        word: String,
        to: String,
        args: String,
        reply: Reply<Result<String, Fault>>,
    },
    /// The command, if it is under way, and what tells that something about it has changed.
    Active {
        id: String,
        reply: Reply<Option<(Command, watch::Receiver<()>)>>,
    },
    Report(Report),
    /// The command is not wanted any more. Whether that was all: it had not been sent to its guest, and never will be.
    Withdraw {
        id: String,
        reply: Reply<bool>,
    },
    /// A guest said that it is here, at which address as it sees it, and what else it told.
    Joined {
        sender: String,
        ip: String,
        facts: Map<String, Value>,
        reply: Reply<()>,
    },
    Alive {
        sender: String,
        reply: Reply<()>,
    },
    /// A guest said that it is leaving, and why.
    Left {
        sender: String,
        reason: String,
        reply: Reply<()>,
    },
    /// A guest has a new credential.
    SetCredential {
        guest: String,
        token_sha256: [u8; 32],
        reply: Reply<Result<(), StoreError>>,
    },
    /// The host will know this guest from now on.
    Expect {
        guest: String,
        reply: Reply<()>,
    },
    /// A guest by its id or the name of the machine that it is in: its id, and what is known of it.
    Guest {
        name: String,
        reply: Reply<Option<(String, Guest)>>,
    },
    /// Something has happened that the agent's task did not do itself.
    NoteEvent {
        kind: &'static str,
        about: About,
        text: String,
        reply: Reply<()>,
    },
    Roster {
        reply: Reply<RosterView>,
    },
    /// At most so many events from that number on, and what tells that there are more.
    Events {
        since: u64,
        limit: usize,
        reply: Reply<(Since, watch::Receiver<u64>)>,
    },
}
