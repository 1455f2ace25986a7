//! `vm.*`: the machines guests are in. Everything that changes one is an operation: it is begun, waited for as long as
//! a call may wait, and asked about by its id after that. A machine is named by its name, its id or its MAC address.

use crate::checked::{HostPath, MachineName, Percent, SnapshotName, TimeLimit};
use crate::fault::Failure;
use crate::method::methods;
use crate::{Bytes, DateTime, Method, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use strum::{IntoStaticStr, VariantArray};

/// A method that begins an operation.
pub trait Operate: Method<Reply = Operation> {
    /// The time limit, and whether to wait for the end.
    fn limits(&mut self) -> (&mut Option<TimeLimit>, &mut Option<bool>);
}

/// Makes methods that begin an operation: all of them have a time limit, and wait for the end unless told otherwise.
macro_rules! operations {
    ($(
        $(#[$help:meta])*
        $type:ident => $name:literal($($place:ident),*) { $($(#[$doc:meta])* $field:ident: $of:ty,)* }
    )*) => {$(
        $(#[$help])*
        #[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
        pub struct $type {
            $($(#[$doc])* pub $field: $of,)*
            /// Seconds it may take, 24 hours at most [default: hypervisor.operation_timeout, 20 times that where disks
            /// are read or written]
            pub timeout_s: Option<TimeLimit>,
            /// Wait for its end as long as a call may wait; after that ask vm.op [default: true]
            pub wait: Option<bool>,
        }

        methods! { $type => $name($($place),*) -> Operation: "", changes; }

        impl Operate for $type {
            fn limits(&mut self) -> (&mut Option<TimeLimit>, &mut Option<bool>) {
                (&mut self.timeout_s, &mut self.wait)
            }
        }
    )*};
}

operations! {
    /// Creates a machine from a disk image or an appliance. Without a hypervisor (driver none) a plain machine is
    /// registered: a name for a guest that will join under it.
    Create => "vm.create"(name) {
        /// Its name: 1 to 64 letters, digits, '.', '_' or '-'
        name: MachineName,
        /// Disk image (VDI or VMDK), or OVA of a whole appliance: a path on the host
        image: Option<HostPath>,
        /// What becomes of the image: linked, copy or own [default: linked]
        image_use: Option<ImageUse>,
        /// A disc to be inserted, as vocable guest-image makes it: a path on the host
        seed: Option<HostPath>,
        /// Virtual processors [default: 1]
        cpus: Option<u32>,
        /// Memory, MiB [default: 1024]
        memory_mb: Option<u32>,
        /// Guest operating system, in the hypervisor's words [default: Linux_64]
        os_type: Option<String>,
        /// Network: auto (host-only if there is such a network), nat, or the name of a host-only interface
        /// [default: auto]
        nic: Option<Nic>,
        /// Ports of the host to forward into it, 64 at most; nat only
        port_forwards: Option<Vec<NewForward>>,
        /// CPU limit, per cent of its processors [default: 100]
        cpu_cap_pct: Option<Percent>,
        /// Execution engine, where the hypervisor has a choice
        engine: Option<String>,
        /// Owner tag [default: hypervisor.tag]
        tag: Option<String>,
    }

    /// Deletes a machine and its disks. One without our tag, or one that runs, only by force.
    Destroy => "vm.destroy"(vm) {
        /// Its name, id or MAC address
        vm: String,
        /// Keep its files [default: false]
        keep_disks: Option<bool>,
        /// Even if it runs or is not ours [default: false]
        force: Option<bool>,
    }

    /// Pauses a machine. One that is paused stays as it is.
    Pause => "vm.pause"(vm) {
        /// Its name, id or MAC address
        vm: String,
    }

    /// Powers a machine off: the guest has no time to write anything.
    PowerOff => "vm.poweroff"(vm) {
        /// Its name, id or MAC address
        vm: String,
    }

    /// Registers a machine that exists as a settings file. It does not become ours: its tag stays as it is.
    Register => "vm.register"(path) {
        /// The settings file: a path on the host
        path: HostPath,
    }

    /// Presses a machine's reset button: the guest has no time to write anything.
    Reset => "vm.reset"(vm) {
        /// Its name, id or MAC address
        vm: String,
    }

    /// Resumes a machine that was paused.
    Resume => "vm.resume"(vm) {
        /// Its name, id or MAC address
        vm: String,
    }

    /// Saves a machine's state to disk and switches it off; vm.start goes on from there.
    Save => "vm.save"(vm) {
        /// Its name, id or MAC address
        vm: String,
    }

    /// Changes a machine; what is left out stays as it is.
    Set => "vm.set"(vm, settings) {
        /// Its name, id or MAC address
        vm: String,
        /// What to change
        settings: Settings,
    }

    /// Presses a machine's power button. A guest that has not shut down in time is powered off.
    Shutdown => "vm.shutdown"(vm) {
        /// Its name, id or MAC address
        vm: String,
        /// Seconds the guest may take [default: 60]
        grace_s: Option<TimeLimit>,
    }

    /// Deletes a snapshot; the machine stays as it is.
    DeleteSnapshot => "vm.snapshot.delete"(vm, name) {
        /// Its name, id or MAC address
        vm: String,
        /// Name of the snapshot, or its id
        name: SnapshotName,
    }

    /// Restores a snapshot; what came after it is lost. A machine that runs is powered off for it and started again
    /// afterwards.
    RestoreSnapshot => "vm.snapshot.restore"(vm, name) {
        /// Its name, id or MAC address
        vm: String,
        /// Name of the snapshot, or its id
        name: SnapshotName,
    }

    /// Takes a snapshot of a machine, with its memory if it runs.
    TakeSnapshot => "vm.snapshot.take"(vm, name) {
        /// Its name, id or MAC address
        vm: String,
        /// Name of the snapshot: 1 to 128 characters
        name: SnapshotName,
        /// Description of the snapshot
        description: Option<String>,
        /// Replace the snapshot of that name [default: false]
        replace: Option<bool>,
    }

    /// Starts a machine, or resumes it from its saved state. One that runs stays as it is.
    Start => "vm.start"(vm) {
        /// Its name, id or MAC address
        vm: String,
    }
}

impl Create {
    /// A machine of that name that is as usual otherwise.
    pub const fn new(name: MachineName) -> Self {
        Self {
            name,
            image: None,
            image_use: None,
            seed: None,
            cpus: None,
            memory_mb: None,
            os_type: None,
            nic: None,
            port_forwards: None,
            cpu_cap_pct: None,
            engine: None,
            tag: None,
            timeout_s: None,
            wait: None,
        }
    }
}

/// What becomes of an image.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageUse {
    /// The machine writes into a copy
    Copy,
    /// The machine writes into a disk of its own that holds what differs; the image stays as it is
    #[default]
    Linked,
    /// The machine writes into the image itself
    Own,
}

/// What the first card of a new machine is connected to.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(from = "String", into = "String")]
pub enum Nic {
    /// The host-only network if there is one, else NAT.
    #[default]
    Auto,
    /// The network of that interface of the host.
    HostOnly(String),
    /// Through the host, which it reaches at the gateway.
    Nat,
}

impl From<String> for Nic {
    fn from(text: String) -> Self {
        match text.as_str() {
            "auto" => Self::Auto,
            "nat" => Self::Nat,
            _ => Self::HostOnly(text),
        }
    }
}

impl From<Nic> for String {
    fn from(nic: Nic) -> Self {
        match nic {
            Nic::Auto => "auto".to_owned(),
            Nic::HostOnly(interface) => interface,
            Nic::Nat => "nat".to_owned(),
        }
    }
}

/// What can be changed about a machine.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// CPU limit, per cent of its processors: 1 to 100
    pub cpu_cap_pct: Option<Percent>,
    /// Whether the cables of all its cards are connected
    pub network: Option<bool>,
    /// Whether its screen is shown on a port of the loopback address
    pub console: Option<bool>,
    /// new: a new MAC address for its first card; the machine has to be off
    pub mac: Option<NewMac>,
    /// Ports of the host to forward into it, 64 at most; nat only
    pub add_forwards: Option<Vec<NewForward>>,
    /// Names of ports to forward no more
    pub drop_forwards: Option<Vec<String>>,
}

impl Settings {
    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        let Self { cpu_cap_pct, network, console, mac, add_forwards, drop_forwards } = self;
        cpu_cap_pct.is_none()
            && network.is_none()
            && console.is_none()
            && mac.is_none()
            && add_forwards.as_ref().is_none_or(Vec::is_empty)
            && drop_forwards.as_ref().is_none_or(Vec::is_empty)
    }
}

/// A new MAC address: which one is the hypervisor's choice.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NewMac {
    /// One that no other machine has
    New,
}

/// A port of the host to forward into a machine.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewForward {
    /// Its name [default: tcp-2222, for instance]
    pub name: Option<String>,
    /// Protocol: tcp or udp [default: tcp]
    pub proto: Option<Protocol>,
    /// Address of the host [default: 127.0.0.1]
    pub address: Option<Ipv4Addr>,
    /// Port of the host
    pub host: u16,
    /// Port of the machine
    pub guest: u16,
}

/// A port of the host that is forwarded into a machine.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Forward {
    /// Its name
    pub name: String,
    /// Protocol: tcp or udp
    pub proto: Protocol,
    /// Address of the host; any without
    pub address: Option<Ipv4Addr>,
    /// Port of the host
    pub host: u16,
    /// Port of the machine
    pub guest: u16,
}

impl From<NewForward> for Forward {
    fn from(new: NewForward) -> Self {
        let NewForward { name, proto, address, host, guest } = new;
        let proto = proto.unwrap_or_default();
        Self {
            name: name.unwrap_or_else(|| format!("{}-{host}", <&str>::from(proto))),
            proto,
            address: Some(address.unwrap_or(Ipv4Addr::LOCALHOST)),
            host,
            guest,
        }
    }
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, IntoStaticStr, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Protocol {
    /// TCP
    #[default]
    Tcp,
    /// UDP
    Udp,
}

/// How an operation stands.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Operation {
    /// Its id, for vm.op
    pub op_id: String,
    /// What is done: start, snapshot.take and so on
    pub operation: Action,
    /// The machine
    pub vm: String,
    /// The hypervisor's id of the machine
    pub uuid: Option<String>,
    /// What the machine is doing
    pub state: Option<State>,
    /// waiting (for other operations), running, done or failed
    pub phase: Phase,
    /// Once it is done: whether anything had to be done
    pub changed: Option<bool>,
    /// Progress, per cent
    pub percent: u8,
    /// What is being done, in the hypervisor's words
    pub doing: Option<String>,
    /// Why it failed
    pub error: Option<Failure>,
    /// When it was asked for, in seconds since 1970
    pub asked_unix: UnixTime,
    /// Once it is over: seconds from asking to the end
    pub took_s: Option<f64>,
}

/// What is done to a machine.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, IntoStaticStr, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of the methods")]
pub enum Action {
    Create,
    Destroy,
    Gc,
    Pause,
    PowerOff,
    Register,
    Reset,
    Resume,
    Save,
    Set,
    Shutdown,
    #[serde(rename = "snapshot.delete")]
    #[strum(serialize = "snapshot.delete")]
    SnapshotDelete,
    #[serde(rename = "snapshot.restore")]
    #[strum(serialize = "snapshot.restore")]
    SnapshotRestore,
    #[serde(rename = "snapshot.take")]
    #[strum(serialize = "snapshot.take")]
    SnapshotTake,
    #[default]
    Start,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Something else is done to the machine first
    #[default]
    Waiting,
    /// It is being done
    Running,
    /// It is done
    Done,
    /// It was not done
    Failed,
}

/// What a machine is doing.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Eq,
    IntoStaticStr,
    JsonSchema,
    PartialEq,
    Serialize,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum State {
    /// It ended without being told to
    Aborted,
    /// Nothing shows that it runs: a plain machine whose agent is not there
    Absent,
    /// It is paused
    Paused,
    /// It is off
    #[default]
    PowerOff,
    /// There is no such machine any more; of vm.wait only
    Removed,
    /// Its state is being read from disk
    Restoring,
    /// It runs
    Running,
    /// Its state is on disk
    Saved,
    /// Its state is being written to disk
    Saving,
    /// It is being switched on
    Starting,
    /// It is being switched off
    Stopping,
    /// It hangs in the hypervisor
    Stuck,
}

impl State {
    /// All of them.
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// Its name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether it becomes another one by itself, soon.
    pub const fn is_transitional(self) -> bool {
        matches!(self, Self::Restoring | Self::Saving | Self::Starting | Self::Stopping)
    }

    /// Whether a process of the hypervisor belongs to it.
    pub const fn is_on(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Stuck) || self.is_transitional()
    }
}

/// Lists the machines the hypervisor knows. Without a hypervisor (driver none) these are the guests the host knows and
/// the machines that were registered with vm.create: one whose agent is there runs, the others are absent.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct List {}

/// Returns one machine.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Get {
    /// Its name, id or MAC address
    pub vm: String,
}

/// A machine, and the guest in it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Machine {
    /// Its name
    pub name: String,
    /// The hypervisor's id of it
    pub uuid: String,
    /// absent, poweroff, starting, running, paused, saving, saved, restoring, stopping, aborted or stuck
    pub state: State,
    /// When it came into this state
    pub state_since: DateTime,
    /// The same in seconds since 1970
    pub state_since_unix: UnixTime,
    /// MAC address of its first card
    pub mac: Option<String>,
    /// Its network cards
    pub cards: Vec<Card>,
    /// Its IP address, as its guest agent sees it
    pub ip: Option<String>,
    /// The guest that is in it
    pub guest: Option<String>,
    /// Whether that guest is online
    pub guest_online: bool,
    /// Seconds since that guest was heard last
    pub last_beacon_s: Option<f64>,
    /// Virtual processors
    pub cpus: u32,
    /// CPU limit, per cent of its processors
    pub cpu_cap_pct: u32,
    /// Memory, MiB
    pub memory_mb: u32,
    /// Guest operating system, in the hypervisor's words
    pub os_type: String,
    /// Number of snapshots
    pub snapshots: u32,
    /// Process id of the machine
    pub session_pid: Option<u32>,
    /// Owner tag
    pub owner_tag: Option<String>,
    /// Whether that is our tag
    pub ours: bool,
    /// Why it cannot be used, in the hypervisor's words
    pub problem: Option<String>,
}

/// A network card of a machine.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Card {
    /// Its number, from 0
    pub slot: u32,
    /// MAC address, such as 08:00:27:0A:0B:0C
    pub mac: String,
    /// What it is connected to: nat, host-only vboxnet0 ...
    pub attached: String,
    /// Whether the cable is connected
    pub cable: bool,
    /// Ports of the host that are forwarded into the machine
    pub forwards: Vec<Forward>,
}

/// Lists a machine's snapshots, parents before children.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct ListSnapshots {
    /// Its name, id or MAC address
    pub vm: String,
}

/// A snapshot of a machine.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Snapshot {
    /// Its name
    pub name: String,
    /// The hypervisor's id of it
    pub id: String,
    /// Its description
    pub description: String,
    /// When it was taken
    pub taken: DateTime,
    /// The same in seconds since 1970
    pub taken_unix: UnixTime,
    /// Whether the machine was on
    pub live: bool,
    /// The id of its parent
    pub parent: Option<String>,
    /// Whether it is the parent of the machine's present state
    pub current: bool,
}

/// Returns how an operation stands. Those that are over are remembered for a while.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct GetOperation {
    /// The id of the operation
    pub op_id: String,
    /// Seconds to wait for its end at most [default: 0]
    pub wait_s: Option<f64>,
}

/// Waits until a machine is in one of the states, or time is up.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Wait {
    /// Its name, id or MAC address
    pub vm: String,
    /// The states to wait for, at least one: running, poweroff ... or removed
    pub states: Vec<State>,
    /// Seconds to wait at most; more than a call may wait are that
    pub timeout_s: f64,
}

/// What came of waiting.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Waited {
    /// Whether it is in one of the states
    pub reached: bool,
    /// What it is doing; removed if it is gone
    pub state: State,
}

/// Returns what a machine uses, seen from outside. What cannot be known is absent.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct GetUsage {
    /// Its name, id or MAC address
    pub vm: String,
}

/// What a machine uses.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Usage {
    /// Processor time of its process, seconds
    pub cpu_s: Option<f64>,
    /// CPU usage, per cent of all processors
    pub cpu_pct: Option<f64>,
    /// Resident memory of its process, bytes
    pub rss_bytes: Option<u64>,
    /// Size of its disks on the host, bytes
    pub disk_bytes: Option<u64>,
    /// Network receive rate, bytes a second
    pub net_rx_bytes_s: Option<f64>,
    /// Network send rate, bytes a second
    pub net_tx_bytes_s: Option<f64>,
    /// Process id of the machine
    pub session_pid: Option<u32>,
}

/// Returns where a machine's screen is shown, for a VNC or RDP viewer; switches that on if it is off.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct GetConsole {
    /// Its name, id or MAC address
    pub vm: String,
    /// Switch it on [default: true]
    pub on: Option<bool>,
}

/// Where a screen is shown.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Console {
    /// The address
    pub host: String,
    /// The port
    pub port: u16,
    /// Protocol: vnc or rdp
    pub kind: String,
}

/// Takes a screenshot of a machine.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Screenshot {
    /// Its name, id or MAC address
    pub vm: String,
}

/// Deletes the machines that are left over: those with the tag that are switched off and keep no state. What has no
/// tag, or another one, is never deleted.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct CollectGarbage {
    /// Owner tag [default: hypervisor.tag]
    pub tag: Option<String>,
    /// Only list them [default: false]
    pub dry_run: Option<bool>,
}

/// A machine that was left over.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Leftover {
    /// The machine
    pub name: String,
    /// The hypervisor's id of it
    pub uuid: String,
    /// What it was doing
    pub state: State,
    /// Whether it was deleted
    pub removed: bool,
    /// Why it was not
    pub error: Option<Failure>,
}

/// Finds or creates the network that only host and guests are on, with its DHCP server, or names exactly what is
/// missing. Then NAT is left, where guests find the host at their gateway.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct SetUpNetwork {
    /// Interface of the host [default: hypervisor.virtualbox.host_only]
    pub interface: Option<String>,
    /// Create and change nothing [default: false]
    pub look_only: Option<bool>,
}

/// The network of host and guests.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Network {
    /// host-only or nat
    pub kind: NetworkKind,
    /// Interface of the host
    pub interface: Option<String>,
    /// Address of the host, as guests see it
    pub address: Option<Ipv4Addr>,
    /// Network mask
    pub mask: Option<Ipv4Addr>,
    /// Addresses that guests are given: first and last
    pub leases: Option<Vec<Ipv4Addr>>,
    /// Whether anything had to be done
    pub changed: bool,
    /// What is missing for host-only, and what to do about it
    pub missing: Vec<String>,
}

/// A kind of network.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkKind {
    /// Only host and guests are on it
    HostOnly,
    /// Guests reach the host, and all that it reaches, at their gateway
    #[default]
    Nat,
}

methods! {
    List => "vm.list"() -> Vec<Machine>: "", reads;
    Get => "vm.get"(vm) -> Machine: "", reads;
    ListSnapshots => "vm.snapshot.list"(vm) -> Vec<Snapshot>: "", reads;
    GetOperation => "vm.op"(op_id) -> Operation: "", reads;
    Wait => "vm.wait"(vm, states, timeout_s) -> Waited: "", reads;
    GetUsage => "vm.usage"(vm) -> Usage: "", reads;
    GetConsole => "vm.console"(vm) -> Console: "", changes;
    Screenshot => "vm.screenshot"(vm) -> Bytes: "the picture, PNG", reads;
    CollectGarbage => "vm.gc"() -> Vec<Leftover>: "", changes;
    SetUpNetwork => "vm.net"() -> Network: "", changes;
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocable_xmlrpc::{Params, Value};

    fn refusal<M: Method + std::fmt::Debug>(values: impl Into<Value>) -> String {
        let values = vec!["vm1".into(), values.into()];
        crate::method::read::<M>(Params::from(values)).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_with_a_machine_to_be_is_named_with_its_place() {
        let forward = |name, value: Value| {
            let forward = Value::from([("host", Value::Int(2222)), ("guest", Value::Int(22)), (name, value)]);
            refusal::<Set>([("add_forwards", Value::from(vec![forward]))])
        };
        insta::assert_snapshot!([
            refusal::<Create>([("image", "disk.vdi".into())]),
            refusal::<Create>([("image_use", "mine".into())]),
            refusal::<Create>([("cpu_cap_pct", Value::Int(101))]),
            refusal::<Start>([("timeout_s", Value::Int(0))]),
            refusal::<Set>([("mac", "08:00:27:00:00:01".into())]),
            refusal::<Set>([("memory_mb", Value::Int(5))]),
            refusal::<TakeSnapshot>("a/b"),
            refusal::<Wait>(vec![Value::from("asleep")]),
            forward("proto", "icmp".into()),
            forward("address", "nowhere".into()),
            forward("host", Value::Int(70_000)),
            forward("guset", Value::Int(22)),
        ].join("\n"), @r#"
        invalid-parameter: vm.create: option "image": expected a path from / on, of a file on the host, got "disk.vdi"
        invalid-parameter: vm.create: option "image_use": expected copy, linked or own, got "mine"
        invalid-parameter: vm.create: option "cpu_cap_pct": expected 1 to 100
        invalid-parameter: vm.start: option "timeout_s": expected a number of seconds above 0
        invalid-parameter: vm.set: parameter 2 "settings": member "mac": expected new, got "08:00:27:00:00:01"
        invalid-parameter: vm.set: parameter 2 "settings": unknown member "memory_mb"; known: cpu_cap_pct, network, console, mac, add_forwards, drop_forwards
        invalid-parameter: vm.snapshot.take: parameter 2 "name": expected 1 to 128 characters, none of them / or control characters, got "a/b"
        invalid-parameter: vm.wait: parameter 2 "states": item 1: expected aborted, absent, paused, poweroff, removed, restoring, running, saved, saving, starting, stopping or stuck, got "asleep"
        invalid-parameter: vm.set: parameter 2 "settings": member "add_forwards": item 1: member "proto": expected tcp or udp, got "icmp"
        invalid-parameter: vm.set: parameter 2 "settings": member "add_forwards": item 1: member "address": invalid IPv4 address syntax
        invalid-parameter: vm.set: parameter 2 "settings": expected a whole number from 0 to 65535 as member "host" as item 1 as member "add_forwards", got 70000
        invalid-parameter: vm.set: parameter 2 "settings": member "add_forwards": item 1: unknown member "guset"; known: name, proto, address, host, guest
        "#);
    }

    #[test]
    fn a_forward_is_of_tcp_on_the_loopback_address_unless_somebody_says_otherwise() {
        let forward = Forward::from(NewForward { host: 2222, guest: 22, ..NewForward::default() });
        assert_eq!((forward.name.as_str(), forward.address), ("tcp-2222", Some(Ipv4Addr::LOCALHOST)));
    }
}
