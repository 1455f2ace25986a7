//! VirtualBox: our types to its ones and back, its events to ours, its errors to ours with its own words.

use super::{
    About, Card, Console, Create, DriverEvent, DriverFuture, Forward, Hypervisor, HypervisorError, Machine,
    Network, Progress, SetUpNetwork, Settings, Snapshot, State, Step, Usage, canonical_mac,
};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use vocable_api::vm::{ImageUse, NewForward, Nic, Protocol};
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
        timeout: Duration,
    ) -> Result<Self, HypervisorError> {
        let folder = Some(home.to_owned()).filter(|home| !home.as_os_str().is_empty());
        let missing = |error: vbox::Error| HypervisorError::Missing(error.to_string());
        let vbox = vbox::VirtualBox::open(vbox::Settings { folder, timeout }).await.map_err(missing)?;
        let version = vbox.version().await.map_err(missing)?;
        Ok(Self { vbox, version, host_only: host_only.to_owned() })
    }

    /// An error of something done to the machine of that id.
    fn explain(&self, what: impl Into<String>, id: &str, error: vbox::Error) -> HypervisorError {
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

    async fn machine(&self, id: &str) -> Result<vbox::Machine, HypervisorError> {
        self.vbox.machine(id).await.map_err(|error| self.explain("it cannot be read", id, error))
    }

    async fn make(&self, wanted: Create, progress: Progress) -> Result<Machine, HypervisorError> {
        let name = wanted.name.as_str().to_owned();
        let failed = |error| self.failed(format!("{name} cannot be created"), error);
        let tag = wanted.tag.clone().map(|tag| (TAG.to_owned(), tag));
        let (extra, cap) = (tag.into_iter().collect::<BTreeMap<_, _>>(), wanted.cpu_cap_pct);
        let image = wanted.image.as_ref().map(|image| PathBuf::from(image.as_str()));
        let made = match image {
            Some(file) if is_appliance(&file) => {
                if wanted.seed.is_some() || wanted.engine.is_some() {
                    let text =
                        "seed and engine: an appliance brings its own; import it without, then change it";
                    return Err(HypervisorError::Invalid(text.to_owned()));
                }
                let import = vbox::Import { file, name: Some(name.clone()), folder: None, extra };
                self.vbox.import(import, reporter(&progress)).await.map_err(failed)?
            }
            image => {
                let new = self.new_machine(wanted, image, extra).await?;
                self.vbox.create(new, reporter(&progress)).await.map_err(failed)?
            }
        };
        let Some(cap) = cap else { return Ok(machine(made)) };
        self.vbox.set_cpu_cap(&made.id, cap.into()).await.map_err(failed)?;
        self.machine(&made.id).await.map(machine)
    }

    async fn new_machine(
        &self,
        wanted: Create,
        image: Option<PathBuf>,
        extra: BTreeMap<String, String>,
    ) -> Result<vbox::NewMachine, HypervisorError> {
        let mut new = vbox::NewMachine::new(wanted.name);
        let attachment = self.attachment(&wanted.nic.unwrap_or_default()).await;
        let forwards = wanted.port_forwards.unwrap_or_default();
        if !forwards.is_empty() && !matches!(attachment, vbox::Attachment::Nat { .. }) {
            let text = "port_forwards: only with nic nat; a host-only network reaches the guest directly";
            return Err(HypervisorError::Invalid(text.to_owned()));
        }
        new.adapters = vec![vbox::NewAdapter {
            attachment,
            mac: None,
            kind: vbox::AdapterKind::default(),
            forwards: forwards.into_iter().map(forward).collect(),
        }];
        new.disk = image.map(|image| match wanted.image_use.unwrap_or_default() {
            ImageUse::Copy => vbox::Disk::Copy(image),
            ImageUse::Linked => vbox::Disk::Clone(image),
            ImageUse::Own => vbox::Disk::Attach(image),
        });
        new.iso = wanted.seed.map(|seed| PathBuf::from(String::from(seed)));
        new.cpus = wanted.cpus.unwrap_or(1);
        new.memory_mib = wanted.memory_mb.unwrap_or(1024);
        new.os_type = wanted.os_type.unwrap_or_else(|| "Linux_64".to_owned());
        new.engine = wanted.engine.as_deref().map(engine).transpose()?;
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
            Step::Start => ("be started", vbox.start(id, tell()).await),
            Step::Pause => ("be paused", vbox.pause(id).await),
            Step::Resume => ("be resumed", vbox.resume(id).await),
            Step::Reset => ("be reset", vbox.reset(id).await),
            Step::PressPowerButton => ("be shut down", vbox.power_button(id).await),
            Step::PowerOff => ("be powered off", vbox.power_off(id, tell()).await),
            Step::Save => ("be saved", vbox.save(id, tell()).await),
            Step::TakeSnapshot { name, description } => {
                ("take a snapshot", vbox.take_snapshot(id, &name, &description, tell()).await.map(drop))
            }
            Step::RestoreSnapshot(name) => ("be restored", vbox.restore_snapshot(id, &name, tell()).await),
            Step::DeleteSnapshot(name) => {
                ("delete a snapshot", vbox.delete_snapshot(id, &name, tell()).await)
            }
            Step::Destroy { keep_disks: true } => ("be unregistered", vbox.unregister(id).await),
            Step::Destroy { keep_disks: false } => ("be removed", vbox.destroy(id, tell()).await),
            Step::Set(settings) => ("be changed", self.set(id, settings).await),
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => {
                let name = vbox.machine(id).await.map_or_else(|_| id.to_owned(), |machine| machine.name);
                Err(self.explain(format!("{name} cannot {what}"), id, error))
            }
        }
    }

    async fn set(&self, id: &str, settings: Settings) -> Result<(), vbox::Error> {
        if let Some(percent) = settings.cpu_cap_pct {
            self.vbox.set_cpu_cap(id, percent.into()).await?;
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
        if settings.mac.is_some() {
            self.vbox.set_mac(id, 0, None).await?;
        }
        for name in settings.drop_forwards.into_iter().flatten() {
            self.vbox.remove_forward(id, 0, &name).await?;
        }
        for added in settings.add_forwards.into_iter().flatten() {
            self.vbox.add_forward(id, 0, forward(added)).await?;
        }
        Ok(())
    }

    async fn measure(&self, id: &str) -> Result<Usage, HypervisorError> {
        let machine = self.machine(id).await?;
        let failed = |error| self.explain(format!("{} cannot be measured", machine.name), id, error);
        let mut metrics = self.vbox.metrics(id).await.map_err(failed)?;
        if metrics.is_empty() {
            self.vbox.watch_metrics(id, SAMPLES).await.map_err(failed)?;
            metrics = self.vbox.metrics(id).await.map_err(failed)?;
        }
        let value = |name: &str| metrics.iter().find(|metric| metric.name == name);
        let bytes = |name: &str| value(name).map(|metric| metric.value * scale(&metric.unit));
        let sum = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(0.0) + other.unwrap_or(0.0)),
        };
        let load = |name: &str| value(name).map(|metric| metric.value);
        let process = machine.pid.and_then(of_process);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of this machine")]
        let whole = |bytes: f64| bytes.max(0.0) as u64;
        Ok(Usage {
            cpu_s: process.map(|(cpu, _)| cpu),
            cpu_pct: sum(load("CPU/Load/User"), load("CPU/Load/Kernel")),
            rss_bytes: process.map(|(_, rss)| rss).or_else(|| bytes("RAM/Usage/Used").map(whole)),
            disk_bytes: bytes("Disk/Usage/Used").map(whole),
            net_rx_bytes_s: bytes("Net/Rate/Rx"),
            net_tx_bytes_s: bytes("Net/Rate/Tx"),
            session_pid: machine.pid,
        })
    }
}

impl Hypervisor for VirtualBox {
    fn about(&self) -> About {
        About { driver: "virtualbox", name: format!("VirtualBox {}", self.version.text), runs_machines: true }
    }

    fn machines(&self) -> DriverFuture<'_, Vec<Machine>> {
        Box::pin(async move {
            let all = self.vbox.machines().await;
            let all = all.map_err(|error| self.failed("the machines cannot be listed", error))?;
            Ok(all.into_iter().map(machine).collect())
        })
    }

    fn machine<'a>(&'a self, id: &'a str) -> DriverFuture<'a, Machine> {
        Box::pin(async move { self.machine(id).await.map(machine) })
    }

    fn watch(&self, events: mpsc::Sender<DriverEvent>) -> BoxFuture<'static, ()> {
        let mut received = self.vbox.events();
        Box::pin(async move {
            loop {
                let event = match received.recv().await {
                    Ok(event) => driver_event(event),
                    Err(RecvError::Lagged(_)) => Some(DriverEvent::Resync),
                    Err(RecvError::Closed) => return,
                };
                if let Some(event) = event
                    && events.send(event).await.is_err()
                {
                    return;
                }
            }
        })
    }

    fn register<'a>(&'a self, file: &'a Path) -> DriverFuture<'a, Machine> {
        Box::pin(async move {
            let failed = |error| self.failed(format!("{} cannot be registered", file.display()), error);
            self.vbox.register(file).await.map(machine).map_err(failed)
        })
    }

    fn create(&self, wanted: Create, progress: Progress) -> DriverFuture<'_, Machine> {
        Box::pin(self.make(wanted, progress))
    }

    fn perform<'a>(&'a self, id: &'a str, step: Step, progress: Progress) -> DriverFuture<'a, ()> {
        Box::pin(async move { self.step(id, step, &progress).await })
    }

    fn snapshots<'a>(&'a self, id: &'a str) -> DriverFuture<'a, Vec<Snapshot>> {
        Box::pin(async move {
            let all = self.vbox.snapshots(id).await;
            let all = all.map_err(|error| self.explain("its snapshots cannot be listed", id, error))?;
            Ok(all.into_iter().map(snapshot).collect())
        })
    }

    fn usage<'a>(&'a self, id: &'a str) -> DriverFuture<'a, Usage> {
        Box::pin(self.measure(id))
    }

    fn console<'a>(&'a self, id: &'a str) -> DriverFuture<'a, Option<Console>> {
        Box::pin(async move {
            let display = self.machine(id).await?.display;
            let Some(port) = display.active_port.filter(|_| display.enabled) else { return Ok(None) };
            let host = display.address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_string();
            // What Oracle ships speaks RDP, what everybody else ships speaks VNC; the built-in default is the latter.
            Ok(Some(Console { kind: "vnc".to_owned(), host, port }))
        })
    }

    fn screenshot<'a>(&'a self, id: &'a str) -> DriverFuture<'a, Vec<u8>> {
        Box::pin(async move {
            let picture = self.vbox.screenshot(id).await;
            picture.map_err(|error| self.explain("it cannot take a screenshot", id, error))
        })
    }

    fn network(&self, wanted: SetUpNetwork, progress: Progress) -> DriverFuture<'_, Network> {
        Box::pin(async move { Ok(network::set_up(&self.vbox, &self.host_only, wanted, &progress).await) })
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
    let proto = if matches!(of.protocol, vbox::Protocol::Udp) { Protocol::Udp } else { Protocol::Tcp };
    Forward { name: of.name, proto, address: of.host, host: of.host_port, guest: of.guest_port }
}

fn forward(new: NewForward) -> vbox::Forward {
    let Forward { name, proto, address, host, guest } = new.into();
    vbox::Forward {
        name,
        protocol: if proto == Protocol::Udp { vbox::Protocol::Udp } else { vbox::Protocol::Tcp },
        host: address,
        host_port: host,
        guest: None,
        guest_port: guest,
    }
}

fn snapshot(of: vbox::Snapshot) -> Snapshot {
    let taken = moment(of.taken);
    Snapshot {
        id: of.id,
        name: of.name,
        description: of.description,
        taken: taken.into(),
        taken_unix: taken.into(),
        live: of.online,
        parent: of.parent,
        current: of.current,
    }
}

/// Whether an image is an appliance: disks, cards and settings in one file.
fn is_appliance(image: &Path) -> bool {
    let extension = image.extension().and_then(|it| it.to_str()).unwrap_or_default();
    extension.eq_ignore_ascii_case("ova") || extension.eq_ignore_ascii_case("ovf")
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
fn driver_event(event: vbox::Event) -> Option<DriverEvent> {
    match event {
        vbox::Event::Available(true) => Some(DriverEvent::Resync),
        vbox::Event::Available(false) => Some(DriverEvent::Gone("its service VBoxSVC has ended".to_owned())),
        vbox::Event::GuestProperty { .. } => None,
        vbox::Event::Changed { id }
        | vbox::Event::Registered { id, .. }
        | vbox::Event::Session { id }
        | vbox::Event::Snapshot { id, .. }
        | vbox::Event::State { id, .. } => Some(DriverEvent::Machine(id)),
        _ => Some(DriverEvent::Resync),
    }
}

/// What a unit of VirtualBox's metrics is in bytes.
fn scale(unit: &str) -> f64 {
    match unit.trim_end_matches("/s") {
        "kB" | "KB" => 1024.0,
        "MB" => 1024.0 * 1024.0,
        _ => 1.0,
    }
}

/// Processor time (seconds) and memory (bytes) of a process, as the kernel tells.
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
        assert_eq!(driver_event(vbox::Event::Available(true)), Some(DriverEvent::Resync));
        let gone = DriverEvent::Gone("its service VBoxSVC has ended".to_owned());
        assert_eq!(driver_event(vbox::Event::Available(false)), Some(gone));
        let changed = driver_event(vbox::Event::Session { id: "x".into() });
        assert_eq!(changed, Some(DriverEvent::Machine("x".into())));
    }
}
