//! VirtualBox: our types to its ones and back, its events to happenings, its errors to ours with its own words.

use super::{
    About, Answer, Blueprint, Card, Console, Forward, Happening, Hypervisor, HypervisorError, ImageUse,
    Machine, Network, NetworkWish, Nic, Progress, Settings, Snapshot, State, Step, Usage, canonical_mac,
};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use vocable_vbox as vbox;

mod network;

/// Where our tag is noted on a machine.
const TAG: &str = "vocable/tag";
/// How often VirtualBox samples what a machine uses, once somebody has asked.
const SAMPLES: Duration = Duration::from_secs(2);
/// Ports the screens of machines may be shown on.
const SCREENS: &str = "5900-5999";

/// The driver.
pub(crate) struct VirtualBox {
    vbox: vbox::VirtualBox,
    version: vbox::Version,
    host_only: String,
}

impl VirtualBox {
    /// Opens the VirtualBox of this machine.
    ///
    /// # Errors
    /// It is not installed, differs from what this program knows, or does not answer.
    pub(crate) async fn open(
        home: &Path,
        host_only: &str,
        patience: Duration,
    ) -> Result<Self, HypervisorError> {
        let folder = Some(home.to_owned()).filter(|home| !home.as_os_str().is_empty());
        let missing = |error: vbox::Error| HypervisorError::Missing(error.to_string());
        let vbox =
            vbox::VirtualBox::open(vbox::Settings { folder, timeout: patience }).await.map_err(missing)?;
        let version = vbox.version().await.map_err(missing)?;
        Ok(Self { vbox, version, host_only: host_only.to_owned() })
    }

    /// An error of something done to the machine of that id.
    fn said(&self, what: impl Into<String>, id: &str, error: vbox::Error) -> HypervisorError {
        if error.is_not_found() {
            return HypervisorError::NoMachine(id.to_owned());
        }
        self.failed(what, error)
    }

    /// An error, where something else may be missing than a machine.
    fn failed(&self, what: impl Into<String>, error: vbox::Error) -> HypervisorError {
        let what = what.into();
        match error {
            vbox::Error::Call { code, text, .. } => {
                let code = code.to_string();
                HypervisorError::Native { what, text: one_line(&text), code: Some(code) }
            }
            vbox::Error::Deadline { after, .. } => HypervisorError::TimedOut { what, after },
            vbox::Error::Invalid { .. } => HypervisorError::Invalid(format!("{what}: {error}")),
            vbox::Error::Gone { .. } | vbox::Error::Closed => {
                HypervisorError::Gone { driver: self.about().name, reason: error.to_string() }
            }
            other => HypervisorError::Native { what, text: one_line(&other.to_string()), code: None },
        }
    }

    async fn look(&self, id: &str) -> Result<vbox::Machine, HypervisorError> {
        self.vbox.machine(id).await.map_err(|error| self.said("it cannot be read", id, error))
    }

    async fn make(&self, blueprint: Blueprint, progress: Progress) -> Result<Machine, HypervisorError> {
        let name = blueprint.name.clone();
        let failed = |error| self.failed(format!("{name} cannot be created"), error);
        let extra = BTreeMap::from([(TAG.to_owned(), blueprint.tag.clone())]);
        let made = match &blueprint.image {
            Some(image) if image.is_appliance() => {
                if blueprint.seed.is_some() || blueprint.engine.is_some() {
                    let text =
                        "seed and engine: an appliance brings its own; import it without, then change it";
                    return Err(HypervisorError::Invalid(text.to_owned()));
                }
                let import =
                    vbox::Import { file: image.path.clone(), name: Some(name.clone()), folder: None, extra };
                self.vbox.import(import, reporter(&progress)).await.map_err(failed)?
            }
            _ => {
                let new = self.new_machine(blueprint.clone(), extra).await?;
                self.vbox.create(new, reporter(&progress)).await.map_err(failed)?
            }
        };
        Ok(machine(made))
    }

    async fn new_machine(
        &self,
        blueprint: Blueprint,
        extra: BTreeMap<String, String>,
    ) -> Result<vbox::NewMachine, HypervisorError> {
        let mut new = vbox::NewMachine::new(blueprint.name.clone());
        let attachment = self.attachment(&blueprint.nic).await;
        if !blueprint.forwards.is_empty() && !matches!(attachment, vbox::Attachment::Nat { .. }) {
            let text = "port_forwards: only with nic nat; a host-only network reaches the guest directly";
            return Err(HypervisorError::Invalid(text.to_owned()));
        }
        new.adapters = vec![vbox::NewAdapter {
            attachment,
            mac: None,
            kind: vbox::AdapterKind::default(),
            forwards: blueprint.forwards.into_iter().map(forward).collect(),
        }];
        new.disk = blueprint.image.map(|image| match image.how {
            ImageUse::Copy => vbox::Disk::Copy(image.path),
            ImageUse::Linked => vbox::Disk::Clone(image.path),
            ImageUse::Own => vbox::Disk::Attach(image.path),
        });
        new.iso = blueprint.seed;
        new.cpus = blueprint.cpus.unwrap_or(1);
        new.memory_mib = blueprint.memory_mb.unwrap_or(1024);
        new.os_type = blueprint.os_type.unwrap_or_else(|| "Linux_64".to_owned());
        new.engine = blueprint.engine.as_deref().map(engine).transpose()?;
        new.extra = extra;
        Ok(new)
    }

    /// What a new card is connected to: the host-only network if it is there, else NAT, through which the guest finds
    /// what listens on this host's loopback address at its gateway.
    async fn attachment(&self, nic: &Nic) -> vbox::Attachment {
        let nat = vbox::Attachment::Nat { localhost_reachable: true };
        match nic {
            Nic::Nat => nat,
            Nic::HostOnly(interface) => vbox::Attachment::HostOnly(interface.clone()),
            Nic::Auto => {
                let there = self.vbox.host_only_interfaces().await.unwrap_or_default();
                match there.iter().find(|it| it.name == self.host_only && it.up) {
                    Some(interface) => vbox::Attachment::HostOnly(interface.name.clone()),
                    None => nat,
                }
            }
        }
    }

    async fn step(&self, id: &str, step: Step, progress: &Progress) -> Result<(), HypervisorError> {
        let (vbox, tell) = (&self.vbox, || reporter(progress));
        let (what, done) = match step {
            Step::Start => ("started", vbox.start(id, tell()).await),
            Step::Pause => ("paused", vbox.pause(id).await),
            Step::Resume => ("resumed", vbox.resume(id).await),
            Step::Reset => ("reset", vbox.reset(id).await),
            Step::PressPowerButton => ("told to shut down", vbox.power_button(id).await),
            Step::PowerOff => ("powered off", vbox.power_off(id, tell()).await),
            Step::Save => ("saved", vbox.save(id, tell()).await),
            Step::TakeSnapshot { name, description } => {
                ("remembered", vbox.take_snapshot(id, &name, &description, tell()).await.map(drop))
            }
            Step::RestoreSnapshot(name) => ("restored", vbox.restore_snapshot(id, &name, tell()).await),
            Step::DeleteSnapshot(name) => ("relieved of it", vbox.delete_snapshot(id, &name, tell()).await),
            Step::Destroy { keep_disks: true } => ("unregistered", vbox.unregister(id).await),
            Step::Destroy { keep_disks: false } => ("removed", vbox.destroy(id, tell()).await),
            Step::Set(settings) => ("changed", self.set(id, settings).await),
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => {
                let name = vbox.machine(id).await.map_or_else(|_| id.to_owned(), |machine| machine.name);
                Err(self.said(format!("{name} cannot be {what}"), id, error))
            }
        }
    }

    async fn set(&self, id: &str, settings: Settings) -> Result<(), vbox::Error> {
        if let Some(percent) = settings.cpu_cap_pct {
            self.vbox.set_cpu_cap(id, percent).await?;
        }
        if let Some(connected) = settings.network {
            for adapter in self.vbox.machine(id).await?.adapters {
                self.vbox.set_cable(id, adapter.slot, connected).await?;
            }
        }
        if let Some(enabled) = settings.console {
            let display = vbox::DisplaySettings {
                enabled,
                address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                ports: Some(SCREENS.to_owned()),
                password: None,
            };
            self.vbox.set_display(id, display).await?;
        }
        if settings.new_mac {
            self.vbox.set_mac(id, 0, None).await?;
        }
        for name in settings.drop_forwards {
            self.vbox.remove_forward(id, 0, &name).await?;
        }
        for added in settings.add_forwards {
            self.vbox.add_forward(id, 0, forward(added)).await?;
        }
        Ok(())
    }

    async fn measure(&self, id: &str) -> Result<Usage, HypervisorError> {
        let machine = self.look(id).await?;
        let failed = |error| self.said(format!("{} cannot be measured", machine.name), id, error);
        let mut metrics = self.vbox.metrics(id).await.map_err(failed)?;
        if metrics.is_empty() {
            self.vbox.watch_metrics(id, SAMPLES).await.map_err(failed)?;
            metrics = self.vbox.metrics(id).await.map_err(failed)?;
        }
        let value = |name: &str| metrics.iter().find(|metric| metric.name == name);
        let octets = |name: &str| value(name).map(|metric| metric.value * scale(&metric.unit));
        let sum = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(0.0) + other.unwrap_or(0.0)),
        };
        let load = |name: &str| value(name).map(|metric| metric.value);
        let process = machine.pid.and_then(of_process);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "octets of this machine")]
        let whole = |octets: f64| octets.max(0.0) as u64;
        Ok(Usage {
            cpu_s: process.map(|(cpu, _)| cpu),
            cpu_pct: sum(load("CPU/Load/User"), load("CPU/Load/Kernel")),
            rss_bytes: process.map(|(_, rss)| rss).or_else(|| octets("RAM/Usage/Used").map(whole)),
            disk_bytes: octets("Disk/Usage/Used").map(whole),
            net_rx_bytes_s: octets("Net/Rate/Rx"),
            net_tx_bytes_s: octets("Net/Rate/Tx"),
            pid: machine.pid,
        })
    }
}

impl Hypervisor for VirtualBox {
    fn about(&self) -> About {
        About { driver: "virtualbox", name: format!("VirtualBox {}", self.version.text), runs_machines: true }
    }

    fn machines(&self) -> Answer<'_, Vec<Machine>> {
        Box::pin(async move {
            let all = self.vbox.machines().await;
            let all = all.map_err(|error| self.failed("the machines cannot be listed", error))?;
            Ok(all.into_iter().map(machine).collect())
        })
    }

    fn machine<'a>(&'a self, id: &'a str) -> Answer<'a, Machine> {
        Box::pin(async move { self.look(id).await.map(machine) })
    }

    fn watch(&self, tell: mpsc::Sender<Happening>) -> BoxFuture<'static, ()> {
        let mut events = self.vbox.events();
        Box::pin(async move {
            loop {
                let happening = match events.recv().await {
                    Ok(event) => happening(event),
                    Err(RecvError::Lagged(_)) => Some(Happening::Again),
                    Err(RecvError::Closed) => return,
                };
                if let Some(happening) = happening
                    && tell.send(happening).await.is_err()
                {
                    return;
                }
            }
        })
    }

    fn register<'a>(&'a self, file: &'a Path) -> Answer<'a, Machine> {
        Box::pin(async move {
            let failed = |error| self.failed(format!("{} cannot be registered", file.display()), error);
            self.vbox.register(file).await.map(machine).map_err(failed)
        })
    }

    fn create(&self, blueprint: Blueprint, progress: Progress) -> Answer<'_, Machine> {
        Box::pin(self.make(blueprint, progress))
    }

    fn perform<'a>(&'a self, id: &'a str, step: Step, progress: Progress) -> Answer<'a, ()> {
        Box::pin(async move { self.step(id, step, &progress).await })
    }

    fn snapshots<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<Snapshot>> {
        Box::pin(async move {
            let all = self.vbox.snapshots(id).await;
            let all = all.map_err(|error| self.said("its snapshots cannot be listed", id, error))?;
            Ok(all.into_iter().map(snapshot).collect())
        })
    }

    fn usage<'a>(&'a self, id: &'a str) -> Answer<'a, Usage> {
        Box::pin(self.measure(id))
    }

    fn console<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Console>> {
        Box::pin(async move {
            let display = self.look(id).await?.display;
            let Some(port) = display.active_port.filter(|_| display.enabled) else { return Ok(None) };
            let host = display.address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
            // What Oracle ships speaks RDP, what everybody else ships speaks VNC; the built-in default is the latter.
            Ok(Some(Console { kind: "vnc".to_owned(), host, port }))
        })
    }

    fn screenshot<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<u8>> {
        Box::pin(async move {
            let picture = self.vbox.screenshot(id).await;
            picture.map_err(|error| self.said("its screen cannot be pictured", id, error))
        })
    }

    fn network(&self, wish: NetworkWish, progress: Progress) -> Answer<'_, Network> {
        Box::pin(async move { Ok(network::set_up(&self.vbox, &self.host_only, wish, &progress).await) })
    }
}

fn reporter(progress: &Progress) -> vbox::Reporter {
    let progress = progress.clone();
    vbox::Reporter::new(move |told| progress.tell(told.percent, told.doing))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn moment(at: SystemTime) -> OffsetDateTime {
    at.into()
}

fn state(state: vbox::State) -> State {
    use vbox::State as S;
    match state {
        S::Aborted => State::Aborted,
        S::Saved | S::AbortedSaved => State::Saved,
        S::Paused => State::Paused,
        S::Stuck => State::Stuck,
        S::Starting => State::Starting,
        S::Stopping => State::Stopping,
        S::Saving => State::Saving,
        S::Restoring => State::Restoring,
        // Whatever else it does then, it has a process, or it has none.
        other if other.is_online() => State::Running,
        _ => State::PowerOff,
    }
}

fn machine(of: vbox::Machine) -> Machine {
    Machine {
        id: of.id,
        name: of.name,
        state: state(of.state),
        since: moment(of.since),
        cards: of.adapters.into_iter().map(card).collect(),
        cpus: of.cpus,
        memory_mb: of.memory_mib,
        cpu_cap_pct: of.cpu_cap,
        os_type: of.os_type,
        snapshots: of.snapshots,
        pid: of.pid,
        tag: of.extra.get(TAG).cloned(),
        problem: of.inaccessible.map(|text| one_line(&text)),
    }
}

fn card(adapter: vbox::Adapter) -> Card {
    let attached = match adapter.attachment {
        vbox::Attachment::None => "nothing".to_owned(),
        vbox::Attachment::Nat { .. } => "nat".to_owned(),
        vbox::Attachment::HostOnly(interface) => format!("host-only {interface}"),
        vbox::Attachment::Bridged(interface) => format!("bridged {interface}"),
        vbox::Attachment::Internal(network) => format!("internal {network}"),
        vbox::Attachment::NatNetwork(network) => format!("nat-network {network}"),
        other => format!("{other:?}"),
    };
    Card {
        slot: adapter.slot,
        mac: canonical_mac(&adapter.mac).unwrap_or(adapter.mac),
        attached,
        cable: adapter.cable,
        forwards: adapter.forwards.into_iter().map(forward_of).collect(),
    }
}

fn forward_of(of: vbox::Forward) -> Forward {
    let udp = matches!(of.protocol, vbox::Protocol::Udp);
    Forward { name: of.name, udp, address: of.host, host: of.host_port, guest: of.guest_port }
}

fn forward(of: Forward) -> vbox::Forward {
    vbox::Forward {
        name: of.name,
        protocol: if of.udp { vbox::Protocol::Udp } else { vbox::Protocol::Tcp },
        host: of.address,
        host_port: of.host,
        guest: None,
        guest_port: of.guest,
    }
}

fn snapshot(of: vbox::Snapshot) -> Snapshot {
    Snapshot {
        id: of.id,
        name: of.name,
        description: of.description,
        taken: moment(of.taken),
        live: of.online,
        parent: of.parent,
        current: of.current,
    }
}

fn engine(name: &str) -> Result<vbox::Engine, HypervisorError> {
    Ok(match name {
        "default" => vbox::Engine::Default,
        "hwvirt" => vbox::Engine::Hardware,
        "native-api" => vbox::Engine::Native,
        "interpreter" => vbox::Engine::Interpreter,
        "recompiler" => vbox::Engine::Recompiler,
        _ => {
            let known = "default, hwvirt, native-api, interpreter or recompiler";
            return Err(HypervisorError::Invalid(format!("engine: expected {known}")));
        }
    })
}

/// What an event means for what is known of machines; some mean nothing.
fn happening(event: vbox::Event) -> Option<Happening> {
    match event {
        vbox::Event::Available(true) => Some(Happening::Again),
        vbox::Event::Available(false) => Some(Happening::Gone("its service VBoxSVC has ended".to_owned())),
        vbox::Event::GuestProperty { .. } => None,
        vbox::Event::Changed { id }
        | vbox::Event::Registered { id, .. }
        | vbox::Event::Session { id }
        | vbox::Event::Snapshot { id, .. }
        | vbox::Event::State { id, .. } => Some(Happening::Machine(id)),
        _ => Some(Happening::Again),
    }
}

/// What a unit of VirtualBox's metrics is in octets.
fn scale(unit: &str) -> f64 {
    match unit.trim_end_matches("/s") {
        "kB" | "KB" => 1024.0,
        "MB" => 1024.0 * 1024.0,
        _ => 1.0,
    }
}

/// Processor time (seconds) and memory (octets) of a process, as the kernel tells.
fn of_process(pid: u32) -> Option<(f64, u64)> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // The name of the program may have spaces and parentheses of its own: the fields begin after the last one.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok());
    // USER_HZ is 100 on every Linux there is.
    let cpu = (ticks(11)? + ticks(12)?) / 100.0;
    let pages: u64 =
        std::fs::read_to_string(folder.join("statm")).ok()?.split_whitespace().nth(1)?.parse().ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    Some((cpu, pages * u64::try_from(page).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_passes_on_a_machine_that_runs_is_running() {
        assert_eq!(state(vbox::State::LiveSnapshotting), State::Running);
        assert_eq!(state(vbox::State::AbortedSaved), State::Saved);
        assert_eq!(state(vbox::State::PoweredOff), State::PowerOff);
    }

    #[test]
    fn a_process_is_measured_by_the_kernel() {
        let (cpu, rss) = of_process(std::process::id()).unwrap();
        assert!(cpu >= 0.0 && rss > 100_000, "{cpu} {rss}");
        assert_eq!(of_process(u32::MAX), None);
    }

    #[test]
    fn machines_are_read_again_when_the_service_is_back() {
        assert_eq!(happening(vbox::Event::Available(true)), Some(Happening::Again));
        let gone = Happening::Gone("its service VBoxSVC has ended".to_owned());
        assert_eq!(happening(vbox::Event::Available(false)), Some(gone));
        let changed = happening(vbox::Event::Session { id: "x".into() });
        assert_eq!(changed, Some(Happening::Machine("x".into())));
    }
}
