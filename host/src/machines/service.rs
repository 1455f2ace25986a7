//! The handle of the machines that everybody has: what is known of them is read without asking anybody, what is to be
//! done to them is asked of the task that owns them.

use super::policy::{Operation, leftovers};
use super::request::{Begun, MachineRequest, Op, View, What, over};
use super::{About, Hypervisor, HypervisorError, Machine, Progress};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use vocable_api::vm::{Console, Create, Network, SetUpNetwork, Settings, Snapshot, State, Usage};

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
    pub(super) requests: mpsc::Sender<MachineRequest>,
    pub(super) view: watch::Receiver<Arc<View>>,
    pub(super) tag: Arc<str>,
    /// How long a question may take that changes nothing.
    pub(super) timeout: Duration,
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
        let read = timeout(self.timeout, view.wait_for(|view| view.is_read || view.problem.is_some())).await;
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
        self.read().await?.find(which).cloned()
    }

    /// Asks for an operation; it may have to wait for others. Gives how it stands, and how it goes on.
    pub(crate) async fn begin(&self, which: &str, operation: Operation, limit: Option<Duration>) -> Begun {
        let (machine, what) = (self.find(which).await?.id, What::Operation(operation));
        self.ask(|reply| MachineRequest::Begin { machine, what, limit, reply }).await?
    }

    /// Asks for a new machine; it is ours unless it says otherwise.
    pub(crate) async fn create(&self, wanted: Create, limit: Option<Duration>) -> Begun {
        self.read().await?;
        let wanted =
            Box::new(Create { tag: Some(wanted.tag.unwrap_or_else(|| self.tag.to_string())), ..wanted });
        self.ask(|reply| MachineRequest::Create { wanted, limit, reply }).await?
    }

    /// Takes in a machine that exists as a settings file.
    pub(crate) async fn register(&self, file: PathBuf, limit: Option<Duration>) -> Begun {
        self.read().await?;
        self.ask(|reply| MachineRequest::Register { file, limit, reply }).await?
    }

    /// How an operation stands.
    pub(crate) async fn op(&self, id: &str) -> Result<Option<watch::Receiver<Op>>, HypervisorError> {
        self.ask(|reply| MachineRequest::Look { id: id.to_owned(), reply }).await
    }

    async fn ask<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<T>) -> MachineRequest,
    ) -> Result<T, HypervisorError> {
        let (reply, answer) = oneshot::channel();
        let stopping = || self.gone("the host agent is stopping");
        self.requests.send(make(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }

    /// Waits until a machine is in one of those states, or time is up. Gives the state it then is in.
    pub(crate) async fn wait(
        &self,
        which: &str,
        states: &[State],
        deadline: Instant,
    ) -> Result<State, HypervisorError> {
        let id = self.find(which).await?.id;
        let state = |view: &View| view.machines.get(&id).map_or(State::Removed, |machine| machine.state);
        let is_gone_or_there =
            |view: &Arc<View>| state(view) == State::Removed || states.contains(&state(view));
        // Time that is up and a host that stops are answered the same way: with what is known.
        drop(timeout_at(deadline, self.view.clone().wait_for(is_gone_or_there)).await);
        Ok(state(&self.view()))
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

    /// Where its screen is shown; that is switched on if it is off and wanted so.
    pub(crate) async fn console(&self, which: &str, on: bool) -> Result<Console, HypervisorError> {
        let machine = self.find(which).await?;
        let look = || self.in_time("its screen", self.driver.console(&machine.id));
        let mut shown = look().await?;
        if shown.is_none() && on {
            let settings = Settings { console: Some(true), ..Settings::default() };
            over(self.begin(which, Operation::Set(settings), None).await?).await.result()?;
            shown = look().await?;
        }
        shown.ok_or(HypervisorError::NotShown(machine.name))
    }

    /// Its screen, as PNG.
    pub(crate) async fn screenshot(&self, which: &str) -> Result<Vec<u8>, HypervisorError> {
        let machine = self.find(which).await?;
        if machine.state != State::Running && machine.state != State::Paused {
            return Err(HypervisorError::WrongState {
                machine: machine.name,
                state: machine.state,
                wanted: "take a screenshot",
                advice: "start it first",
            });
        }
        self.in_time("a screenshot", self.driver.screenshot(&machine.id)).await
    }

    /// Finds or sets up the network of host and guests.
    pub(crate) async fn network(&self, wanted: SetUpNetwork) -> Result<Network, HypervisorError> {
        self.in_time("the network", self.driver.network(wanted, Progress::none())).await
    }

    async fn in_time<T>(
        &self,
        what: &str,
        answer: impl Future<Output = Result<T, HypervisorError>> + Send,
    ) -> Result<T, HypervisorError> {
        let late = || HypervisorError::TimedOut { what: what.to_owned(), after: self.timeout };
        timeout(self.timeout, answer).await.map_err(|_| late())?
    }

    /// Removes the machines that are left over: those with the tag that are off. Or only says which those are.
    pub(crate) async fn collect(&self, tag: &str, dry_run: bool) -> Result<Vec<Collected>, HypervisorError> {
        let view = self.read().await?;
        let mut collected = Vec::new();
        let mut leftovers = leftovers(view.machines.values(), tag);
        leftovers.sort_by(|one, other| one.name.cmp(&other.name));
        for machine in leftovers {
            let removed = if dry_run { Ok(false) } else { self.remove_leftover(machine, tag).await };
            collected.push(Collected { machine: machine.clone(), removed });
        }
        Ok(collected)
    }

    async fn remove_leftover(&self, machine: &Machine, tag: &str) -> Result<bool, HypervisorError> {
        let (machine, what) = (machine.id.clone(), What::Collect(tag.to_owned()));
        // Judged again when its turn comes: somebody may have started it since.
        let begun = self.ask(|reply| MachineRequest::Begin { machine, what, limit: None, reply }).await??;
        over(begun).await.result()?;
        Ok(true)
    }
}
