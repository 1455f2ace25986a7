//! Machines that something runs for us: what a driver has to be able to do, and what the rest of the host knows of it.
//!
//! In reading order: the trait and its types here, [`error`]; [`policy`] (what an operation means in a state: pure),
//! [`cards`] (which guest is in which machine: pure); [`engine`] (the task that owns what is known of the machines and
//! serialises what is done to them) and [`machines`] (the handle everybody has). The drivers: [`none`], [`virtualbox`].
//! Not here: how callers ask (`crate::endpoint`) and what guests say of themselves (`crate::agent`).

pub(crate) mod cards;
pub(crate) mod engine;
pub(crate) mod error;
pub(crate) mod none;
pub(crate) mod policy;
pub(crate) mod service;
pub(crate) mod virtualbox;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub(crate) use error::HypervisorError;

use crate::config::Driver;
use crate::start_error::StartError;
use futures_util::future::BoxFuture;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::sync::mpsc;

/// What a driver answers, later.
pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, HypervisorError>>;

/// A hypervisor, as the host needs it. Machines are named by their ids here; names are the engine's business.
///
/// A driver only does what it is told, in whatever state the machine is: what is allowed when, one thing at a time and
/// until when is decided by the engine. A future that is dropped means that nobody waits any more: the driver ends what
/// it can.
pub(crate) trait Hypervisor: Send + Sync + 'static {
    /// What it is.
    fn about(&self) -> About;

    /// All machines it knows.
    fn machines(&self) -> Answer<'_, Vec<Machine>>;

    /// One machine.
    fn machine<'a>(&'a self, id: &'a str) -> Answer<'a, Machine>;

    /// Tells what happens to machines from now on, for as long as the future is polled and somebody listens. What it
    /// waits for is there before it is first polled: nothing that happens after the call is missed.
    fn watch(&self, tell: mpsc::Sender<Happening>) -> BoxFuture<'static, ()>;

    /// Takes a machine in that exists as a settings file.
    fn register<'a>(&'a self, file: &'a Path) -> Answer<'a, Machine>;

    /// Makes a machine.
    fn create(&self, blueprint: Blueprint, progress: Progress) -> Answer<'_, Machine>;

    /// Does one thing to a machine.
    fn perform<'a>(&'a self, id: &'a str, step: Step, progress: Progress) -> Answer<'a, ()>;

    /// The snapshots of a machine, parents before children.
    fn snapshots<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<Snapshot>>;

    /// What a machine uses.
    fn usage<'a>(&'a self, id: &'a str) -> Answer<'a, Usage>;

    /// Where its screen is shown, if it is.
    fn console<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Console>>;

    /// Its screen, as PNG.
    fn screenshot<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<u8>>;

    /// Finds or creates the network that only guests and host are on, with its DHCP server.
    fn network(&self, wish: NetworkWish, progress: Progress) -> Answer<'_, Network>;
}

/// What a driver is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct About {
    /// `virtualbox`, `none`: as in the configuration.
    pub(crate) driver: &'static str,
    /// As people call it, with its version: `VirtualBox 7.2.22`.
    pub(crate) name: String,
    /// Whether the machines it lists are run by it. If not, they are guests under another name.
    pub(crate) runs_machines: bool,
}

/// What a machine is doing.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum State {
    /// It ended without being told to.
    Aborted,
    /// Nothing shows that it runs: a plain machine whose agent is not there.
    Absent,
    /// It is held.
    Paused,
    /// It is off.
    PowerOff,
    /// Its state is being read from disk.
    Restoring,
    /// It runs.
    Running,
    /// Its state is on disk.
    Saved,
    /// Its state is being written to disk.
    Saving,
    /// It is being switched on.
    Starting,
    /// It is being switched off.
    Stopping,
    /// It hangs in the hypervisor.
    Stuck,
}

impl State {
    /// The name it has everywhere.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::Absent => "absent",
            Self::Paused => "paused",
            Self::PowerOff => "poweroff",
            Self::Restoring => "restoring",
            Self::Running => "running",
            Self::Saved => "saved",
            Self::Saving => "saving",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Stuck => "stuck",
        }
    }

    /// All states.
    pub(crate) const ALL: [Self; 11] = [
        Self::Aborted,
        Self::Absent,
        Self::Paused,
        Self::PowerOff,
        Self::Restoring,
        Self::Running,
        Self::Saved,
        Self::Saving,
        Self::Starting,
        Self::Stopping,
        Self::Stuck,
    ];

    /// The state of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether it becomes another one by itself, soon.
    pub(crate) const fn passes(self) -> bool {
        matches!(self, Self::Restoring | Self::Saving | Self::Starting | Self::Stopping)
    }

    /// Whether a process of the hypervisor belongs to it.
    pub(crate) const fn is_on(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Stuck) || self.passes()
    }
}

/// A machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Machine {
    /// The hypervisor's id of it.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// What it is doing.
    pub(crate) state: State,
    /// Since when.
    pub(crate) since: OffsetDateTime,
    /// Its network cards.
    pub(crate) cards: Vec<Card>,
    /// Virtual processors.
    pub(crate) cpus: u32,
    /// Memory, MiB.
    pub(crate) memory_mb: u32,
    /// Of the processors, so many per cent at most; 100 = no limit.
    pub(crate) cpu_cap_pct: u32,
    /// What the hypervisor thinks runs in it.
    pub(crate) os_type: String,
    /// How many snapshots it has.
    pub(crate) snapshots: u32,
    /// The process that runs it.
    pub(crate) pid: Option<u32>,
    /// Whose it is: only machines with our tag are ever collected.
    pub(crate) tag: Option<String>,
    /// Why it can't be used, in the hypervisor's words.
    pub(crate) problem: Option<String>,
}

impl Machine {
    /// A machine of that id and name that is off and has nothing.
    pub(crate) fn new(id: impl Into<String>, name: impl Into<String>, now: OffsetDateTime) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            state: State::PowerOff,
            since: now,
            cards: Vec::new(),
            cpus: 0,
            memory_mb: 0,
            cpu_cap_pct: 100,
            os_type: String::new(),
            snapshots: 0,
            pid: None,
            tag: None,
            problem: None,
        }
    }
}

/// A network card of a machine.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Card {
    /// Which one, from 0.
    pub(crate) slot: u32,
    /// In canonical form: `08:00:27:0A:0B:0C`.
    pub(crate) mac: String,
    /// What it is connected to, in words: `nat`, `host-only vboxnet0`.
    pub(crate) attached: String,
    /// Whether the cable is in.
    pub(crate) cable: bool,
    /// Ports of the host that lead into the machine through it.
    pub(crate) forwards: Vec<Forward>,
}

/// A port of the host that leads into a machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Forward {
    /// Its name.
    pub(crate) name: String,
    /// UDP instead of TCP.
    pub(crate) udp: bool,
    /// On this address of the host.
    pub(crate) address: Option<Ipv4Addr>,
    /// The port of the host.
    pub(crate) host: u16,
    /// The port of the guest.
    pub(crate) guest: u16,
}

/// A snapshot of a machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Snapshot {
    /// The hypervisor's id of it.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// What somebody wrote about it.
    pub(crate) description: String,
    /// When it was taken.
    pub(crate) taken: OffsetDateTime,
    /// Whether the machine was on.
    pub(crate) live: bool,
    /// The id of the one it stands on.
    pub(crate) parent: Option<String>,
    /// Whether the machine's present stands on it.
    pub(crate) current: bool,
}

/// What a machine uses; what a driver cannot tell is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Processor time its process has used, seconds.
    pub(crate) cpu_s: Option<f64>,
    /// Of all processors, per cent.
    pub(crate) cpu_pct: Option<f64>,
    /// Memory of its process, octets.
    pub(crate) rss_bytes: Option<u64>,
    /// Its disks take so much, octets.
    pub(crate) disk_bytes: Option<u64>,
    /// Received, octets a second.
    pub(crate) net_rx_bytes_s: Option<f64>,
    /// Sent, octets a second.
    pub(crate) net_tx_bytes_s: Option<f64>,
    /// The process that runs it.
    pub(crate) pid: Option<u32>,
}

/// Where a screen is shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Console {
    /// `vnc`, `rdp`.
    pub(crate) kind: String,
    /// The address.
    pub(crate) host: IpAddr,
    /// The port.
    pub(crate) port: u16,
}

/// Where a new machine's disk comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Image {
    /// The file: VDI or VMDK; OVA or OVF for a whole appliance.
    pub(crate) path: PathBuf,
    /// What becomes of it.
    pub(crate) how: ImageUse,
}

impl Image {
    /// Whether it is an appliance: disks, cards and settings in one file.
    pub(crate) fn is_appliance(&self) -> bool {
        let extension = self.path.extension().and_then(|it| it.to_str()).unwrap_or_default();
        extension.eq_ignore_ascii_case("ova") || extension.eq_ignore_ascii_case("ovf")
    }
}

/// What becomes of an image.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum ImageUse {
    /// The machine writes into a copy.
    Copy,
    /// The machine writes into a disk of its own that holds what differs; the image stays as it is.
    #[default]
    Linked,
    /// The machine writes into the image itself.
    Own,
}

/// What the first card of a new machine is connected to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Nic {
    /// The host-only network if there is one, else NAT.
    #[default]
    Auto,
    /// The network of that interface of the host.
    HostOnly(String),
    /// Through the host, which it reaches at the gateway.
    Nat,
}

/// A machine to be made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Blueprint {
    /// Its name.
    pub(crate) name: String,
    /// Its disk, or all of it.
    pub(crate) image: Option<Image>,
    /// A disc to be put in: the seed of the guest agent.
    pub(crate) seed: Option<PathBuf>,
    /// Virtual processors; the driver's usual number without.
    pub(crate) cpus: Option<u32>,
    /// Memory, MiB; the driver's usual size without.
    pub(crate) memory_mb: Option<u32>,
    /// What will run in it, in the hypervisor's words.
    pub(crate) os_type: Option<String>,
    /// Its network.
    pub(crate) nic: Nic,
    /// Ports of the host that lead into it; NAT only.
    pub(crate) forwards: Vec<Forward>,
    /// What executes it, in the hypervisor's words, where it has a choice.
    pub(crate) engine: Option<String>,
    /// Whose it is.
    pub(crate) tag: String,
}

/// What can be changed about a machine. Absent things stay as they are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Settings {
    /// Of the processors, so many per cent at most.
    pub(crate) cpu_cap_pct: Option<u32>,
    /// The cables of all cards in or out.
    pub(crate) network: Option<bool>,
    /// Show its screen on a port of the loopback address, or no more.
    pub(crate) console: Option<bool>,
    /// Give its first card a new address.
    pub(crate) new_mac: bool,
    /// Ports to be added, on the first card.
    pub(crate) add_forwards: Vec<Forward>,
    /// Ports to be taken away, by name.
    pub(crate) drop_forwards: Vec<String>,
}

impl Settings {
    /// Whether nothing is to be changed.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One thing a driver does to a machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Remove a snapshot; what stands on it stays.
    DeleteSnapshot(String),
    /// Remove the machine, with its disks unless they are to be kept.
    Destroy {
        /// Keep the files.
        keep_disks: bool,
    },
    /// Hold it.
    Pause,
    /// Cut its power.
    PowerOff,
    /// Press its power button: what comes of it is the guest's business.
    PressPowerButton,
    /// Press its reset button.
    Reset,
    /// Let it go on.
    Resume,
    /// Go back to a snapshot.
    RestoreSnapshot(String),
    /// Write its state to disk and switch it off.
    Save,
    /// Change settings.
    Set(Settings),
    /// Switch it on, without a window.
    Start,
    /// Remember the present.
    TakeSnapshot {
        /// Its name.
        name: String,
        /// What to write about it.
        description: String,
    },
}

/// Something that happened in the hypervisor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Happening {
    /// It answers again, or some happenings were missed: ask for everything.
    Again,
    /// Something about a machine has changed, or it is new, or gone.
    Machine(String),
    /// It does not answer any more; the reason.
    Gone(String),
}

/// The network to be set up.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct NetworkWish {
    /// Only look: create and change nothing.
    pub(crate) look_only: bool,
    /// The interface; the configured one without.
    pub(crate) interface: Option<String>,
}

/// How it stands with the network.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Network {
    /// `host-only` or `nat`.
    pub(crate) kind: &'static str,
    /// The interface of the host.
    pub(crate) interface: Option<String>,
    /// The host's address, as guests see it.
    pub(crate) address: Option<Ipv4Addr>,
    /// The network mask.
    pub(crate) mask: Option<Ipv4Addr>,
    /// Addresses that guests are given: first and last.
    pub(crate) leases: Option<(Ipv4Addr, Ipv4Addr)>,
    /// Whether anything had to be done.
    pub(crate) changed: bool,
    /// What is missing, exactly, one sentence each, with what to do.
    pub(crate) missing: Vec<String>,
}

/// Where a driver tells how far it is.
#[derive(Clone)]
pub(crate) struct Progress(Option<Arc<dyn Fn(u8, String) + Send + Sync>>);

impl Progress {
    /// Nobody is told.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// That function is told: per cent, and what is being done.
    pub(crate) fn new(told: impl Fn(u8, String) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    /// Tells: per cent, and what is being done, in the hypervisor's words.
    pub(crate) fn tell(&self, percent: u8, doing: impl Into<String>) {
        if let Some(told) = &self.0 {
            told(percent.min(100), doing.into());
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress" } else { "Progress::none" })
    }
}

/// The driver that the configuration asks for. `auto` takes what is installed, and none if nothing is or it cannot be
/// used; a driver that was named has to be there.
pub(crate) async fn open(
    config: &crate::config::Hypervisor,
    guests: Arc<dyn none::Guests>,
    state: &Path,
) -> Result<Arc<dyn Hypervisor>, StartError> {
    if config.driver != Driver::None {
        let patience = config.operation_timeout.duration();
        let (home, host_only) = (&config.virtualbox.home, &config.virtualbox.host_only);
        match virtualbox::VirtualBox::open(home, host_only, patience).await {
            Ok(driver) => return Ok(Arc::new(driver)),
            Err(error) if config.driver == Driver::VirtualBox => {
                return Err(StartError::new(
                    "hypervisor-missing",
                    "VirtualBox is not usable on this machine",
                )
                .cause(error.to_string())
                .hint("serve --hypervisor none: words, commands and files work without it"));
            }
            Err(error) => tracing::info!("no hypervisor: {error}"),
        }
    }
    let none = none::NoHypervisor::open(guests, state);
    let none = none.map_err(|error| {
        StartError::new("state", format!("{} cannot be used", state.join("machines.json").display()))
            .cause(error.to_string())
    })?;
    Ok(Arc::new(none))
}

/// A MAC address in its canonical form, `08:00:27:0A:0B:0C`, however it is written.
pub(crate) fn canonical_mac(text: &str) -> Option<String> {
    if !text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '-')) {
        return None;
    }
    let digits: Vec<char> =
        text.chars().filter(char::is_ascii_hexdigit).map(|c| c.to_ascii_uppercase()).collect();
    if digits.len() != 12 || digits.iter().all(|c| *c == '0') {
        return None;
    }
    let pairs: Vec<String> = digits.chunks(2).map(|pair| pair.iter().collect()).collect();
    Some(pairs.join(":"))
}
