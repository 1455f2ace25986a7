//! A machine as it is, and what belongs to it.

use super::{Adapter, State};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

/// A registered machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its UUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: State,
    /// Since when.
    pub since: SystemTime,
    /// Why VirtualBox cannot read its settings, if it cannot. Then most of the rest is empty.
    pub inaccessible: Option<String>,
    /// The process that runs it.
    pub pid: Option<u32>,
    /// Virtual processors.
    pub cpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// How much of a host's processor each of its own may use, in percent.
    pub cpu_cap: u32,
    /// The kind of guest, such as `Linux_64`.
    pub os_type: String,
    /// The file with its settings.
    pub settings_file: PathBuf,
    /// How many snapshots it has.
    pub snapshots: u32,
    /// The name of the snapshot that its present state is based on.
    pub snapshot: Option<String>,
    /// Its network adapters, those that are enabled.
    pub adapters: Vec<Adapter>,
    /// Its remote display.
    pub display: Display,
    /// What programs have noted on it, by key.
    pub extra: BTreeMap<String, String>,
}

/// The remote display of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Display {
    /// Whether there is one when the machine runs.
    pub enabled: bool,
    /// The addresses that it listens on; empty: all.
    pub address: String,
    /// The ports that it may choose from, such as `3389` or `5000-5010`.
    pub ports: String,
    /// The port that it listens on, while the machine runs.
    pub active_port: Option<u16>,
}

/// What a remote display shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisplaySettings {
    /// Whether there shall be one.
    pub enabled: bool,
    /// The address that it shall listen on. `None`: as it is.
    pub address: Option<IpAddr>,
    /// The ports that it may choose from. `None`: as they are.
    pub ports: Option<String>,
    /// The password for VNC. `None`: as it is.
    pub password: Option<String>,
}

/// A snapshot of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its UUID.
    pub id: String,
    /// Its name; several may have the same.
    pub name: String,
    /// What somebody wrote about it.
    pub description: String,
    /// When it was taken.
    pub taken: SystemTime,
    /// Whether the machine was running.
    pub online: bool,
    /// The snapshot it is based on, by id.
    pub parent: Option<String>,
    /// Whether the machine's present state is based on it.
    pub current: bool,
}

/// A figure that VirtualBox measures.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name, such as `CPU/Load/User`, with `:avg`, `:min` or `:max` for those over all samples.
    pub name: String,
    /// Its unit, such as `%` or `kB`.
    pub unit: String,
    /// The last sample.
    pub value: f64,
}
