//! No hypervisor: the machines are guests of ours, on hardware or in something that others run.
//!
//! Every guest the host knows is a machine here, and so is every name that was registered, so that programs which think
//! in machines (list, create, start, ask for the state) find what they can have: a machine whose agent is there runs,
//! one whose agent is not is absent. Nothing here can switch one on, hold it or remember its state, and that is what is
//! answered; starting one that runs is fine. What is registered is kept in a file.

use super::{
    About, Answer, Blueprint, Console, Happening, Hypervisor, HypervisorError, Machine, Network, NetworkWish,
    Progress, Snapshot, State, Step, Usage, canonical_mac,
};
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use vocable_protocol::{excerpt, is_guest_id};

/// Most machines that can be registered.
const MOST: usize = 10_000;

/// Who knows the guests: every machine is one.
pub(crate) trait Guests: Send + Sync + 'static {
    /// All guests; or why nobody knows.
    fn all(&self) -> BoxFuture<'_, Result<Vec<PlainGuest>, String>>;

    /// There will be a guest of that id.
    fn expect(&self, id: String) -> BoxFuture<'_, Result<(), String>>;

    /// Waits until something has happened to guests since that event; gives the event to go on from. `None` once
    /// nothing more will.
    fn changed(&self, since: u64) -> BoxFuture<'_, Option<u64>>;
}

/// A guest, as far as it is a machine.
#[derive(Clone, Debug)]
pub(crate) struct PlainGuest {
    pub(crate) id: String,
    /// When its agent came or went.
    pub(crate) since: OffsetDateTime,
    pub(crate) is_there: bool,
    /// The address of its card, as it says.
    pub(crate) mac: Option<String>,
}

/// The driver `none`.
pub(crate) struct NoHypervisor {
    guests: Arc<dyn Guests>,
    file: PathBuf,
    // A lock and not a task: held for a look or a write of a small file, never across an await.
    registered: Mutex<BTreeMap<String, String>>,
}

impl NoHypervisor {
    /// The driver; what was registered before is in `machines.json` of the state folder.
    pub(crate) fn open(guests: Arc<dyn Guests>, state: &Path) -> std::io::Result<Self> {
        let file = state.join("machines.json");
        let registered = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { guests, file, registered: Mutex::new(registered) })
    }

    fn registered(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, change: impl FnOnce(&mut BTreeMap<String, String>)) -> Result<(), HypervisorError> {
        let mut registered = self.registered();
        let mut changed = registered.clone();
        change(&mut changed);
        let written = serde_json::to_vec_pretty(&changed).map_err(std::io::Error::from).and_then(|text| {
            let folder = self.file.parent().unwrap_or(Path::new("."));
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&text)?;
            file.as_file().sync_all()?;
            file.persist(&self.file).map_err(std::io::Error::from)
        });
        written.map_err(|error| HypervisorError::Native {
            what: format!("{} cannot be written", self.file.display()),
            text: error.to_string(),
            code: None,
        })?;
        *registered = changed;
        Ok(())
    }

    async fn all(&self) -> Result<Vec<Machine>, HypervisorError> {
        let guests = self.guests.all().await.map_err(gone)?;
        let guests: BTreeMap<_, _> = guests.into_iter().map(|guest| (guest.id.clone(), guest)).collect();
        let registered = self.registered().clone();
        let names: BTreeSet<_> = guests.keys().chain(registered.keys()).cloned().collect();
        let of = |name: String| machine(&name, registered.get(&name), guests.get(&name));
        Ok(names.into_iter().map(of).collect())
    }

    fn cannot(&self, id: &str, what: &str) -> HypervisorError {
        HypervisorError::Missing(format!(
            "{id} is a plain machine, and this host has no hypervisor (driver none): it cannot be {what}"
        ))
    }
}

fn gone(reason: String) -> HypervisorError {
    HypervisorError::Gone { driver: "the host agent".to_owned(), reason }
}

fn machine(name: &str, tag: Option<&String>, guest: Option<&PlainGuest>) -> Machine {
    let mut machine = Machine::new(name, name, OffsetDateTime::UNIX_EPOCH);
    machine.state = State::Absent;
    machine.tag = tag.cloned();
    let Some(guest) = guest else { return machine };
    machine.since = guest.since;
    if guest.is_there {
        machine.state = State::Running;
    }
    let mac = guest.mac.as_deref().and_then(canonical_mac);
    machine.cards = mac
        .map(|mac| super::Card {
            slot: 0,
            mac,
            attached: "its own".to_owned(),
            cable: true,
            forwards: Vec::new(),
        })
        .into_iter()
        .collect();
    machine
}

impl Hypervisor for NoHypervisor {
    fn about(&self) -> About {
        About { driver: "none", name: "no hypervisor".to_owned(), runs_machines: false }
    }

    fn machines(&self) -> Answer<'_, Vec<Machine>> {
        Box::pin(self.all())
    }

    fn machine<'a>(&'a self, id: &'a str) -> Answer<'a, Machine> {
        Box::pin(async move {
            let all = self.all().await?;
            let found = all.into_iter().find(|machine| machine.id == id);
            found.ok_or_else(|| HypervisorError::NoMachine(excerpt(id)))
        })
    }

    /// What happens to guests happens to machines.
    fn watch(&self, tell: mpsc::Sender<Happening>) -> BoxFuture<'static, ()> {
        let guests = Arc::clone(&self.guests);
        Box::pin(async move {
            let mut since = 0;
            // Until nobody listens any more, or the agent stops answering.
            while let Some(next) = guests.changed(since).await {
                since = next;
                if tell.send(Happening::Again).await.is_err() {
                    return;
                }
            }
        })
    }

    fn register<'a>(&'a self, file: &'a Path) -> Answer<'a, Machine> {
        Box::pin(async move { Err(self.cannot(&file.to_string_lossy(), "registered from a settings file")) })
    }

    /// A plain machine needs nothing but a name, which is the id its guest agent will have.
    fn create(&self, blueprint: Blueprint, _: Progress) -> Answer<'_, Machine> {
        Box::pin(async move {
            let name = blueprint.name;
            if !is_guest_id(&name) {
                let text = "a machine's name has 1 to 64 letters, digits, '.', '_' or '-'";
                return Err(HypervisorError::Invalid(text.to_owned()));
            }
            if self.registered().len() >= MOST {
                return Err(HypervisorError::Invalid(format!("there are {MOST} machines already")));
            }
            self.keep(|registered| drop(registered.insert(name.clone(), blueprint.tag)))?;
            self.guests.expect(name.clone()).await.map_err(gone)?;
            self.machine(&name).await
        })
    }

    fn perform<'a>(&'a self, id: &'a str, step: Step, _: Progress) -> Answer<'a, ()> {
        Box::pin(async move {
            let what = match step {
                Step::Destroy { .. } => return self.keep(|registered| drop(registered.remove(id))),
                Step::Start => {
                    return Err(HypervisorError::Missing(format!(
                        "{id} is a plain machine, and its agent is not there: switch it on and start vocable-guest on \
                         it (this host has no hypervisor: driver none)"
                    )));
                }
                Step::DeleteSnapshot(_) | Step::RestoreSnapshot(_) | Step::TakeSnapshot { .. } => {
                    "remembered in snapshots"
                }
                Step::Pause | Step::Resume => "paused",
                Step::PowerOff => "switched off",
                Step::PressPowerButton => "shut down from here",
                Step::Reset => "reset",
                Step::Save => "saved",
                Step::Set(_) => "changed",
            };
            Err(self.cannot(id, what))
        })
    }

    fn snapshots<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<Snapshot>> {
        Box::pin(async move { Err(self.cannot(id, "remembered in snapshots")) })
    }

    fn usage<'a>(&'a self, id: &'a str) -> Answer<'a, Usage> {
        Box::pin(async move { Err(self.cannot(id, "measured from outside")) })
    }

    fn console<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Console>> {
        Box::pin(async move { Err(self.cannot(id, "shown")) })
    }

    fn screenshot<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<u8>> {
        Box::pin(async move { Err(self.cannot(id, "pictured")) })
    }

    fn network(&self, _: NetworkWish, _: Progress) -> Answer<'_, Network> {
        let text = "this host has no hypervisor (driver none), so there is no network of its to set up; plain machines \
                    reach the broker over the network they are on: see broker.listen";
        Box::pin(async move { Err(HypervisorError::Missing(text.to_owned())) })
    }
}
