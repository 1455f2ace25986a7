//! A hypervisor that exists in memory only, for the tests of the engine: it can be told to be slow, to fail, to have
//! guests that do not listen, and it watches that nobody does two things to one machine at once.

use super::{
    About, Card, Console, Create, DriverEvent, DriverFuture, Hypervisor, HypervisorError, Machine, Network,
    Progress, SetUpNetwork, Snapshot, State, Step, Usage,
};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::mpsc;

#[derive(Default)]
pub(super) struct Inside {
    pub(super) machines: BTreeMap<String, Machine>,
    snapshots: BTreeMap<String, Vec<Snapshot>>,
    /// What was done, to which machine.
    pub(super) done: Vec<String>,
    busy: BTreeMap<String, u32>,
    /// Most steps at once on one machine: more than one is a mistake of the engine.
    pub(super) most_at_once: u32,
    /// Every step takes so long.
    pub(super) slow: Duration,
    /// These steps fail.
    pub(super) fails: Vec<Step>,
    /// Guests shut down when their power button is pressed.
    pub(super) listens: bool,
    /// It does not answer.
    pub(super) gone: Option<String>,
    tell: Option<mpsc::Sender<DriverEvent>>,
    next: u32,
}

#[derive(Clone, Default)]
pub(super) struct Fake(pub(super) Arc<Mutex<Inside>>);

impl Fake {
    /// With machines of those names and states; their ids are `id-` and the name.
    pub(super) fn with(machines: &[(&str, State)]) -> Self {
        let fake = Self::default();
        for (n, (name, state)) in machines.iter().enumerate() {
            let mut machine = Machine::new(format!("id-{name}"), *name, OffsetDateTime::UNIX_EPOCH);
            machine.state = *state;
            machine.cards = vec![Card { mac: format!("08:00:27:00:00:{n:02X}"), ..Card::default() }];
            fake.inside().machines.insert(machine.id.clone(), machine);
        }
        fake
    }

    pub(super) fn inside(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }

    /// Changes a machine behind the engine's back, and tells of it.
    pub(super) fn changes(&self, id: &str, change: impl FnOnce(&mut Machine)) {
        let mut inside = self.inside();
        if let Some(machine) = inside.machines.get_mut(id) {
            change(machine);
        }
        inside.tells(DriverEvent::Machine(id.to_owned()));
    }

    pub(super) fn tells(&self, event: DriverEvent) {
        self.inside().tells(event);
    }

    fn answers<T>(
        &self,
        look: impl FnOnce(&Inside) -> Result<T, HypervisorError>,
    ) -> Result<T, HypervisorError> {
        let inside = self.inside();
        match &inside.gone {
            Some(reason) => {
                Err(HypervisorError::Gone { driver: "the fake".to_owned(), reason: reason.clone() })
            }
            None => look(&inside),
        }
    }
}

impl Inside {
    fn tells(&self, event: DriverEvent) {
        if let Some(tell) = &self.tell {
            tell.try_send(event).unwrap();
        }
    }

    fn apply(&mut self, id: &str, step: &Step) -> Result<(), HypervisorError> {
        if self.fails.contains(step) {
            let text = "the fake says no".to_owned();
            return Err(HypervisorError::Native {
                what: format!("{step:?} of {id}"),
                text,
                code: Some("E_FAKE 1".into()),
            });
        }
        let listens = self.listens;
        let Some(machine) = self.machines.get_mut(id) else {
            return Err(HypervisorError::NoMachine(id.to_owned()));
        };
        let snapshots = self.snapshots.entry(id.to_owned()).or_default();
        match step {
            Step::Start | Step::Resume | Step::Reset => machine.state = State::Running,
            Step::Pause => machine.state = State::Paused,
            Step::Save => machine.state = State::Saved,
            Step::PowerOff => machine.state = State::PowerOff,
            Step::PressPowerButton if listens => machine.state = State::PowerOff,
            Step::PressPowerButton => {}
            Step::Set(settings) => {
                machine.cpu_cap_pct = settings.cpu_cap_pct.map_or(machine.cpu_cap_pct, u32::from);
            }
            Step::TakeSnapshot { name, description } => {
                self.next += 1;
                machine.snapshots += 1;
                snapshots.push(Snapshot {
                    id: format!("s{}", self.next),
                    name: name.clone(),
                    description: description.clone(),
                    live: machine.state == State::Running,
                    current: true,
                    ..Snapshot::default()
                });
            }
            Step::RestoreSnapshot(_) => machine.state = State::Saved,
            Step::DeleteSnapshot(which) => {
                snapshots.retain(|it| it.id != *which && it.name != *which);
                machine.snapshots = u32::try_from(snapshots.len()).unwrap();
            }
            Step::Destroy { .. } => drop(self.machines.remove(id)),
        }
        self.tells(DriverEvent::Machine(id.to_owned()));
        Ok(())
    }
}

/// A step that is being done; dropped with the future, as when the engine gives up.
struct Doing {
    fake: Fake,
    id: String,
}

impl Doing {
    fn begin(fake: &Fake, id: &str) -> Self {
        let mut inside = fake.inside();
        let busy = inside.busy.entry(id.to_owned()).or_default();
        *busy += 1;
        let now = *busy;
        inside.most_at_once = inside.most_at_once.max(now);
        Self { fake: fake.clone(), id: id.to_owned() }
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        if let Some(busy) = self.fake.inside().busy.get_mut(&self.id) {
            *busy -= 1;
        }
    }
}

impl Hypervisor for Fake {
    fn about(&self) -> About {
        About { driver: "fake", name: "the fake".to_owned(), runs_machines: true }
    }

    fn machines(&self) -> DriverFuture<'_, Vec<Machine>> {
        Box::pin(async { self.answers(|inside| Ok(inside.machines.values().cloned().collect())) })
    }

    fn machine<'a>(&'a self, id: &'a str) -> DriverFuture<'a, Machine> {
        let found = self.answers(|inside| {
            inside.machines.get(id).cloned().ok_or_else(|| HypervisorError::NoMachine(id.to_owned()))
        });
        Box::pin(async { found })
    }

    fn watch(&self, tell: mpsc::Sender<DriverEvent>) -> BoxFuture<'static, ()> {
        self.inside().tell = Some(tell);
        Box::pin(async {})
    }

    fn register<'a>(&'a self, file: &'a Path) -> DriverFuture<'a, Machine> {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        self.create(Create::new(name.try_into().unwrap()), Progress::none())
    }

    fn create(&self, wanted: Create, progress: Progress) -> DriverFuture<'_, Machine> {
        Box::pin(async move {
            let slow = self.inside().slow;
            progress.tell(50, "copying");
            tokio::time::sleep(slow).await;
            let name = String::from(wanted.name);
            let mut machine = Machine::new(format!("id-{name}"), name, OffsetDateTime::UNIX_EPOCH);
            machine.tag = wanted.tag;
            self.inside().machines.insert(machine.id.clone(), machine.clone());
            Ok(machine)
        })
    }

    fn perform<'a>(&'a self, id: &'a str, step: Step, progress: Progress) -> DriverFuture<'a, ()> {
        Box::pin(async move {
            let doing = Doing::begin(self, id);
            let slow = self.inside().slow;
            progress.tell(10, format!("{step:?}"));
            tokio::time::sleep(slow).await;
            self.inside().done.push(format!("{id} {step:?}"));
            let applied = self.inside().apply(id, &step);
            drop(doing);
            applied
        })
    }

    fn snapshots<'a>(&'a self, id: &'a str) -> DriverFuture<'a, Vec<Snapshot>> {
        let all = self.inside().snapshots.get(id).cloned().unwrap_or_default();
        Box::pin(async { Ok(all) })
    }

    fn usage<'a>(&'a self, _: &'a str) -> DriverFuture<'a, Usage> {
        Box::pin(async { Ok(Usage::default()) })
    }

    fn console<'a>(&'a self, _: &'a str) -> DriverFuture<'a, Option<Console>> {
        Box::pin(async { Ok(None) })
    }

    fn screenshot<'a>(&'a self, _: &'a str) -> DriverFuture<'a, Vec<u8>> {
        Box::pin(async { Ok(b"\x89PNG".to_vec()) })
    }

    fn network(&self, _: SetUpNetwork, _: Progress) -> DriverFuture<'_, Network> {
        Box::pin(async { Ok(Network::default()) })
    }
}
