//! What is asked of the task that owns the machines, what it makes known, and how an operation stands. No synchronisation
//! of its own.

use super::cards::{self, Duplicates};
use super::policy::Operation;
use super::{HypervisorError, Machine, State, canonical_mac};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::{oneshot, watch};
use vocable_api::vm::{Action, Create};
use vocable_xmlrpc::excerpt;

/// An operation, as it goes on; or why it is not begun.
pub(super) type Begun = Result<watch::Receiver<Op>, HypervisorError>;

/// What is asked of the task.
pub(super) enum MachineRequest {
    /// Do something to the machine of that id.
    Begin { machine: String, what: What, limit: Option<Duration>, reply: oneshot::Sender<Begun> },
    /// Make a machine.
    Create { wanted: Box<Create>, limit: Option<Duration>, reply: oneshot::Sender<Begun> },
    /// How the operation of that id stands, if it is known.
    Look { id: String, reply: oneshot::Sender<Option<watch::Receiver<Op>>> },
    /// Take in the machine that file describes.
    Register { file: PathBuf, limit: Option<Duration>, reply: oneshot::Sender<Begun> },
}

/// What is done when it is an operation's turn.
#[derive(Clone)]
pub(super) enum What {
    Operation(Operation),
    /// Remove the machine if it still is left over, by that tag.
    Collect(String),
}

impl What {
    pub(super) const fn action(&self) -> Action {
        match self {
            Self::Operation(operation) => operation.action(),
            Self::Collect(_) => Action::Gc,
        }
    }
}

/// What is known of the machines.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// The machines by id.
    pub(crate) machines: BTreeMap<String, Machine>,
    /// Addresses that several of them have.
    pub(crate) duplicates: Duplicates,
    /// Why the hypervisor does not answer, if it does not.
    pub(crate) problem: Option<String>,
    /// Whether the machines have been read once.
    pub(crate) is_read: bool,
}

impl View {
    pub(super) fn new(machines: BTreeMap<String, Machine>) -> Self {
        let duplicates = cards::duplicates(machines.values());
        Self { machines, duplicates, problem: None, is_read: true }
    }

    /// The machine of that name, id or address. An address that several have names none of them.
    pub(crate) fn find(&self, which: &str) -> Result<&Machine, HypervisorError> {
        if let Some(machine) = self.machines.get(which) {
            return Ok(machine);
        }
        let named: Vec<_> = self.machines.values().filter(|machine| machine.name == which).collect();
        match (named.as_slice(), canonical_mac(which)) {
            ([one], _) => Ok(one),
            ([], Some(mac)) => match self.duplicates.get(&mac) {
                Some(names) => Err(HypervisorError::DuplicateMac { mac, machines: names.clone() }),
                None => {
                    let has = |machine: &&Machine| machine.cards.iter().any(|card| card.mac == mac);
                    self.machines.values().find(has).ok_or_else(|| HypervisorError::NoMachine(excerpt(which)))
                }
            },
            ([], None) => Err(HypervisorError::NoMachine(excerpt(which))),
            _ => {
                let text = format!("several machines are called {}: use the id", excerpt(which));
                Err(HypervisorError::Invalid(text))
            }
        }
    }
}

/// How far an operation is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Something else is being done to the machine first.
    Waiting,
    /// It is being done.
    Running,
    /// Done; whether anything had to be done.
    Done {
        /// The machine was not yet as wanted.
        changed: bool,
    },
    /// Not done.
    Failed(HypervisorError),
}

/// An operation, as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    /// Its id.
    pub(crate) id: String,
    /// What is done.
    pub(crate) action: Action,
    /// The name of the machine.
    pub(crate) machine: String,
    /// The id of the machine, once there is one.
    pub(crate) machine_id: Option<String>,
    /// What the machine is doing, as last seen.
    pub(crate) state: Option<State>,
    /// How far it is.
    pub(crate) phase: Phase,
    /// The same in per cent, as the hypervisor says.
    pub(crate) percent: u8,
    /// What is being done, in the hypervisor's words.
    pub(crate) doing: String,
    /// When it was asked for.
    pub(crate) asked: OffsetDateTime,
    /// When it was over.
    pub(crate) ended: Option<OffsetDateTime>,
}

impl Op {
    /// Whether it is over.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done { .. } | Phase::Failed(_))
    }

    /// Whether anything had to be done, or why it was not.
    pub(crate) fn result(self) -> Result<bool, HypervisorError> {
        match self.phase {
            Phase::Failed(error) => Err(error),
            phase => Ok(phase == Phase::Done { changed: true }),
        }
    }
}

/// Waits until an operation is over.
pub(crate) async fn over(mut op: watch::Receiver<Op>) -> Op {
    // The sender lives as long as the operation; if it ends with the host, the last word is all there is.
    drop(op.wait_for(Op::is_over).await);
    op.borrow().clone()
}
