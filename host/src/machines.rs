//! Machines that something runs for us: what a driver has to be able to do, and what the rest of the host knows of it.
//!
//! In reading order: the trait and its types here, [`error`]; [`policy`] (what an operation means in a state: pure),
//! [`cards`] (which guest is in which machine: pure); [`request`] and [`engine`] (the task that owns what is known of the
//! machines and serialises what is done to them) and [`service`] (the handle everybody has). The drivers: [`none`],
//! [`virtualbox`].
//! Not here: how callers ask (`crate::endpoint`) and what guests say of themselves (`crate::agent`).

pub(crate) mod cards;
pub(crate) mod engine;
pub(crate) mod error;
pub(crate) mod none;
pub(crate) mod policy;
pub(crate) mod request;
pub(crate) mod service;
pub(crate) mod virtualbox;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub(crate) use error::HypervisorError;
pub(crate) use vocable_api::vm::{
    Card, Console, Create, Forward, Network, SetUpNetwork, Settings, Snapshot, State, Usage,
};

use crate::config::Driver;
use crate::start_error::StartError;
use futures_util::future::BoxFuture;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::sync::mpsc;

/// What a driver returns, later.
pub(crate) type DriverFuture<'a, T> = BoxFuture<'a, Result<T, HypervisorError>>;

/// A hypervisor, as the host needs it. Machines are named by their ids here; names are the engine's business.
///
/// A driver only does what it is told, in whatever state the machine is: what is allowed when, one thing at a time and
/// until when is decided by the engine. A future that is dropped means that nobody waits any more: the driver ends what
/// it can.
pub(crate) trait Hypervisor: Send + Sync + 'static {
    /// What it is.
    fn about(&self) -> About;

    /// All machines it knows.
    fn machines(&self) -> DriverFuture<'_, Vec<Machine>>;

    /// One machine.
    fn machine<'a>(&'a self, id: &'a str) -> DriverFuture<'a, Machine>;

    /// Tells what happens to machines from now on, for as long as the future is polled and somebody listens. What it
    /// waits for is there before it is first polled: nothing that happens after the call is missed.
    fn watch(&self, events: mpsc::Sender<DriverEvent>) -> BoxFuture<'static, ()>;

    /// Takes a machine in that exists as a settings file.
    fn register<'a>(&'a self, file: &'a Path) -> DriverFuture<'a, Machine>;

    /// Makes a machine.
    fn create(&self, wanted: Create, progress: Progress) -> DriverFuture<'_, Machine>;

    /// Does one thing to a machine.
    fn perform<'a>(&'a self, id: &'a str, step: Step, progress: Progress) -> DriverFuture<'a, ()>;

    /// The snapshots of a machine, parents before children.
    fn snapshots<'a>(&'a self, id: &'a str) -> DriverFuture<'a, Vec<Snapshot>>;

    /// What a machine uses.
    fn usage<'a>(&'a self, id: &'a str) -> DriverFuture<'a, Usage>;

    /// Where its screen is shown, if it is.
    fn console<'a>(&'a self, id: &'a str) -> DriverFuture<'a, Option<Console>>;

    /// Its screen, as PNG.
    fn screenshot<'a>(&'a self, id: &'a str) -> DriverFuture<'a, Vec<u8>>;

    /// Finds or creates the network that only guests and host are on, with its DHCP server.
    fn network(&self, wanted: SetUpNetwork, progress: Progress) -> DriverFuture<'_, Network>;
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
pub(crate) enum DriverEvent {
    /// It does not answer any more; the reason.
    Gone(String),
    /// Something about a machine has changed, or it is new, or gone.
    Machine(String),
    /// It answers again, or some events were missed: ask for everything.
    Resync,
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
        let (home, host_only) = (&config.virtualbox.home, &config.virtualbox.host_only);
        match virtualbox::VirtualBox::open(home, host_only, config.operation_timeout.duration()).await {
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
    Ok(Arc::new(none::PlainMachines::open(guests, state)?))
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
