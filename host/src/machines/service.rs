//! The handle of the machines that everybody has: what is known of them is read without asking anybody, what is to be
//! done to them is asked of the task that owns them.

use super::cards::Duplicates;
use super::engine::Wish;
use super::policy::Operation;
use super::{
    About, Blueprint, Console, Hypervisor, HypervisorError, Machine, Network, NetworkWish, Progress,
    Snapshot, State, Usage, canonical_mac, cards,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

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
    /// What is done: `start`, `snapshot.take`, `create` …
    pub(crate) operation: &'static str,
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
}

/// What becomes of a machine's leftovers.
#[derive(Clone, Debug)]
pub(crate) struct Collected {
    /// Which machine.
    pub(crate) machine: Machine,
    /// Whether it was removed; not so if it was only asked what would be.
    pub(crate) removed: Result<bool, HypervisorError>,
}

/// Where one task owns the machines. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Machines {
    pub(super) driver: Arc<dyn Hypervisor>,
    pub(super) wishes: mpsc::Sender<Wish>,
    pub(super) view: watch::Receiver<Arc<View>>,
    pub(super) tag: Arc<str>,
    /// How long a question may take that changes nothing.
    pub(super) patience: Duration,
}

impl Machines {
    /// What the hypervisor is.
    pub(crate) fn about(&self) -> About {
        self.driver.about()
    }

    /// The tag of machines that are ours, unless the caller has a tag of its own.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// What is known now.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// What is known, once everything has been read; an error if the hypervisor does not answer.
    pub(crate) async fn read(&self) -> Result<Arc<View>, HypervisorError> {
        let mut view = self.view.clone();
        let read = timeout(self.patience, view.wait_for(|view| view.is_read || view.problem.is_some())).await;
        let found = match read {
            Ok(Ok(found)) => found.clone(),
            Ok(Err(_)) => return Err(self.gone("the host agent is stopping")),
            Err(_) => return Err(self.gone("the machines have not been read in time")),
        };
        match &found.problem {
            Some(problem) => Err(self.gone(problem)),
            None => Ok(found),
        }
    }

    fn gone(&self, reason: &str) -> HypervisorError {
        HypervisorError::Gone { driver: self.about().name, reason: reason.to_owned() }
    }

    /// The machine of that name, id or address.
    pub(crate) async fn find(&self, which: &str) -> Result<Machine, HypervisorError> {
        found(&*self.read().await?, which).cloned()
    }

    /// Asks for an operation; it may have to wait for others. Gives how it stands, and how it goes on.
    pub(crate) async fn begin(
        &self,
        which: &str,
        operation: Operation,
        limit: Option<Duration>,
    ) -> Result<watch::Receiver<Op>, HypervisorError> {
        let machine = self.find(which).await?.id;
        self.ask(|reply| Wish::Begin { machine, operation, limit, reply }).await?
    }

    /// Asks for a new machine.
    pub(crate) async fn create(
        &self,
        blueprint: Blueprint,
        limit: Option<Duration>,
    ) -> Result<watch::Receiver<Op>, HypervisorError> {
        self.read().await?;
        self.ask(|reply| Wish::Create { blueprint: Box::new(blueprint), limit, reply }).await?
    }

    /// Takes in a machine that exists as a settings file.
    pub(crate) async fn register(&self, file: PathBuf) -> Result<watch::Receiver<Op>, HypervisorError> {
        self.read().await?;
        self.ask(|reply| Wish::Register { file, reply }).await?
    }

    /// How an operation stands.
    pub(crate) async fn op(&self, id: &str) -> Result<Option<watch::Receiver<Op>>, HypervisorError> {
        self.ask(|reply| Wish::Look { id: id.to_owned(), reply }).await
    }

    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Wish) -> Result<T, HypervisorError> {
        let (reply, answer) = oneshot::channel();
        let stopping = || self.gone("the host agent is stopping");
        self.wishes.send(make(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }

    /// Waits until a machine is in one of those states, or time is up. Gives it as it then is; absent once it is gone.
    pub(crate) async fn wait(
        &self,
        which: &str,
        states: &[State],
        deadline: Instant,
    ) -> Result<Option<Machine>, HypervisorError> {
        let id = self.find(which).await?.id;
        let mut view = self.view.clone();
        let there =
            |view: &Arc<View>| view.machines.get(&id).is_none_or(|machine| states.contains(&machine.state));
        // Time that is up and a host that stops are answered the same way: with what is known.
        drop(timeout_at(deadline, view.wait_for(there)).await);
        let now = self.view();
        Ok(now.machines.get(&id).cloned())
    }

    /// The snapshots of a machine.
    pub(crate) async fn snapshots(&self, which: &str) -> Result<Vec<Snapshot>, HypervisorError> {
        let machine = self.find(which).await?;
        self.in_time("its snapshots", self.driver.snapshots(&machine.id)).await
    }

    /// What a machine uses.
    pub(crate) async fn usage(&self, which: &str) -> Result<Usage, HypervisorError> {
        let machine = self.find(which).await?;
        self.in_time("its usage", self.driver.usage(&machine.id)).await
    }

    /// Where its screen is shown, if it is.
    pub(crate) async fn console(&self, which: &str) -> Result<Option<Console>, HypervisorError> {
        let machine = self.find(which).await?;
        self.in_time("its screen", self.driver.console(&machine.id)).await
    }

    /// Its screen, as PNG.
    pub(crate) async fn screenshot(&self, which: &str) -> Result<Vec<u8>, HypervisorError> {
        let machine = self.find(which).await?;
        if machine.state != State::Running && machine.state != State::Paused {
            return Err(HypervisorError::WrongState {
                machine: machine.name,
                state: machine.state,
                wanted: "pictured",
                advice: "start it first",
            });
        }
        self.in_time("a picture of its screen", self.driver.screenshot(&machine.id)).await
    }

    /// Finds or sets up the network of host and guests.
    pub(crate) async fn network(&self, wish: NetworkWish) -> Result<Network, HypervisorError> {
        self.in_time("the network", self.driver.network(wish, Progress::none())).await
    }

    async fn in_time<T>(
        &self,
        what: &str,
        answer: impl Future<Output = Result<T, HypervisorError>> + Send,
    ) -> Result<T, HypervisorError> {
        let late = || HypervisorError::TimedOut { what: what.to_owned(), after: self.patience };
        timeout(self.patience, answer).await.map_err(|_| late())?
    }

    /// Removes the machines that are left over: those with the tag that are off. Or only says which those are.
    pub(crate) async fn collect(&self, tag: &str, dry_run: bool) -> Result<Vec<Collected>, HypervisorError> {
        let view = self.read().await?;
        let mut collected = Vec::new();
        let mut leftovers: Vec<_> =
            super::policy::leftovers(view.machines.values(), tag).into_iter().collect();
        leftovers.sort_by(|one, other| one.name.cmp(&other.name));
        for machine in leftovers {
            let removed = if dry_run { Ok(false) } else { self.remove_leftover(machine, tag).await };
            collected.push(Collected { machine: machine.clone(), removed });
        }
        Ok(collected)
    }

    async fn remove_leftover(&self, machine: &Machine, tag: &str) -> Result<bool, HypervisorError> {
        let (id, tag) = (machine.id.clone(), tag.to_owned());
        // Judged again when its turn comes: somebody may have started it since.
        let op = self.ask(|reply| Wish::Collect { machine: id, tag, reply }).await??;
        match over(op).await.phase {
            Phase::Failed(error) => Err(error),
            _ => Ok(true),
        }
    }
}

/// Waits until an operation is over.
pub(crate) async fn over(mut op: watch::Receiver<Op>) -> Op {
    // The sender lives as long as the operation; if it ends with the host, the last word is all there is.
    drop(op.wait_for(Op::is_over).await);
    op.borrow().clone()
}

/// The machine of that name, id or address. An address that several have names none of them.
pub(super) fn found<'a>(view: &'a View, which: &str) -> Result<&'a Machine, HypervisorError> {
    if let Some(machine) = view.machines.get(which) {
        return Ok(machine);
    }
    let named: Vec<_> = view.machines.values().filter(|machine| machine.name == which).collect();
    match (named.as_slice(), canonical_mac(which)) {
        ([one], _) => Ok(one),
        ([], Some(mac)) => match view.duplicates.get(&mac) {
            Some(names) => Err(HypervisorError::DuplicateMac { mac, machines: names.clone() }),
            None => {
                let has = |machine: &&Machine| machine.cards.iter().any(|card| card.mac == mac);
                view.machines.values().find(has).ok_or_else(|| HypervisorError::NoMachine(shown(which)))
            }
        },
        ([], None) => Err(HypervisorError::NoMachine(shown(which))),
        _ => {
            Err(HypervisorError::Invalid(format!("several machines are called {}: use the id", shown(which))))
        }
    }
}

fn shown(which: &str) -> String {
    vocable_xmlrpc::excerpt(which)
}

impl View {
    pub(super) fn new(machines: BTreeMap<String, Machine>) -> Self {
        let duplicates = cards::duplicates(machines.values());
        Self { machines, duplicates, problem: None, is_read: true }
    }
}
