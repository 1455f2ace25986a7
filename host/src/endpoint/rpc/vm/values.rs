//! Machines, operations and what else there is about them, as callers see them.

use super::{Kind, Machine, Op, Param, Phase, members, optional, required, unix};
use crate::agent::request::RosterView;
use crate::machines::cards::Place;
use crate::machines::{Card, Forward, Network, Snapshot, Usage};
use vocable_api::fault::Fault;
use vocable_xmlrpc::Value;

/// What is told of a machine.
pub(super) const VM: &[Param] = &[
    required("name", Kind::String, "its name"),
    required("uuid", Kind::String, "the hypervisor's id of it"),
    required(
        "state",
        Kind::String,
        "absent, poweroff, starting, running, paused, saving, saved, restoring, stopping, aborted or stuck",
    ),
    required("state_since", Kind::DateTime, "when it came into this state"),
    required("state_since_unix", Kind::Double, "the same in seconds since 1970"),
    optional("mac", Kind::String, "the address of its first card"),
    required("cards", Kind::Structs(CARD), "its network cards"),
    optional("ip", Kind::String, "its address, as its guest agent sees it"),
    optional("guest", Kind::String, "the guest that is in it"),
    required("guest_online", Kind::Bool, "whether that guest can be asked"),
    optional("last_beacon_s", Kind::Double, "seconds since that guest was heard last"),
    required("cpus", Kind::Int, "virtual processors"),
    required("cpu_cap_pct", Kind::Int, "of them, so many per cent at most"),
    required("memory_mb", Kind::Int, "memory, MiB"),
    required("os_type", Kind::String, "what the hypervisor thinks runs in it"),
    required("snapshots", Kind::Int, "so many"),
    optional("session_pid", Kind::Int, "the process that runs it"),
    optional("owner_tag", Kind::String, "whose it is"),
    required("ours", Kind::Bool, "whether that is us"),
    optional("problem", Kind::String, "why it cannot be used, in the hypervisor's words"),
];

const CARD: &[Param] = &[
    required("slot", Kind::Int, "which one, from 0"),
    required("mac", Kind::String, "its address"),
    required("attached", Kind::String, "what it is connected to: nat, host-only vboxnet0 ..."),
    required("cable", Kind::Bool, "whether the cable is in"),
    required("forwards", Kind::Structs(FORWARD), "ports of the host that lead into the machine"),
];

/// A port of the host that leads into a machine.
pub(super) const FORWARD: &[Param] = &[
    optional("name", Kind::String, "its name"),
    optional("proto", Kind::String, "tcp or udp [default: tcp]"),
    optional("address", Kind::String, "on this address of the host [default: 127.0.0.1]"),
    required("host", Kind::Int, "port of the host"),
    required("guest", Kind::Int, "port of the guest"),
];

/// What is told of an operation.
pub(super) const OP: &[Param] = &[
    required("op_id", Kind::String, "to ask about with vm.op"),
    required("operation", Kind::String, "what is done: start, snapshot.take and so on"),
    required("vm", Kind::String, "the machine"),
    optional("uuid", Kind::String, "the hypervisor's id of it"),
    optional("state", Kind::String, "what the machine is doing"),
    required("phase", Kind::String, "waiting, running, done or failed"),
    optional("changed", Kind::Bool, "of what is done: whether anything had to be"),
    required("percent", Kind::Int, "how far it is"),
    optional("doing", Kind::String, "what is being done, in the hypervisor's words"),
    optional("error", Kind::Struct(ERROR), "why it failed"),
    required("asked_unix", Kind::Double, "when it was asked for, in seconds since 1970"),
    optional("took_s", Kind::Double, "of what is over: seconds from asking to the end"),
];

const ERROR: &[Param] = &[
    required("code", Kind::String, "what kind of failure"),
    required("fault", Kind::Int, "its number"),
    required("message", Kind::String, "a sentence"),
];

/// What is told of a snapshot.
pub(super) const SNAPSHOT: &[Param] = &[
    required("name", Kind::String, "its name"),
    required("id", Kind::String, "the hypervisor's id of it"),
    required("description", Kind::String, "what somebody wrote about it"),
    required("taken", Kind::DateTime, "when"),
    required("taken_unix", Kind::Double, "the same in seconds since 1970"),
    required("live", Kind::Bool, "whether the machine was on"),
    optional("parent", Kind::String, "the id of the one it stands on"),
    required("current", Kind::Bool, "whether the machine's present stands on it"),
];

/// What is told of a machine's usage.
pub(super) const USAGE: &[Param] = &[
    optional("cpu_s", Kind::Double, "processor time its process has used, seconds"),
    optional("cpu_pct", Kind::Double, "of all processors, per cent"),
    optional("rss_bytes", Kind::Int, "memory of its process"),
    optional("disk_bytes", Kind::Int, "its disks take so much"),
    optional("net_rx_bytes_s", Kind::Double, "received, octets a second"),
    optional("net_tx_bytes_s", Kind::Double, "sent, octets a second"),
    optional("session_pid", Kind::Int, "the process that runs it"),
];

/// What is told of the network.
pub(super) const NETWORK: &[Param] = &[
    required("kind", Kind::String, "host-only or nat"),
    optional("interface", Kind::String, "of the host"),
    optional("address", Kind::String, "the host's, as guests see it"),
    optional("mask", Kind::String, "of the network"),
    optional("leases", Kind::Array(&Kind::String), "addresses guests are given: first and last"),
    required("changed", Kind::Bool, "whether anything had to be done"),
    required("missing", Kind::Array(&Kind::String), "what is missing for host-only, and what to do about it"),
];

/// A machine, and the guest in it.
pub(super) fn vm(machine: &Machine, roster: &RosterView, tag: &str, now: vocable_api::clock::Now) -> Value {
    let inside = Place::In(machine.id.clone());
    let id = roster.places.iter().find(|(_, place)| **place == inside).map(|(guest, _)| guest.as_str());
    let guest = id.and_then(|id| roster.guests.get(id)).map(|(guest, _)| guest);
    let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    members([
        ("name", Some(Value::from(machine.name.as_str()))),
        ("uuid", Some(Value::from(machine.id.as_str()))),
        ("state", Some(Value::from(machine.state.as_str()))),
        ("state_since", Some(Value::from(machine.since))),
        ("state_since_unix", Some(unix(machine.since))),
        ("mac", machine.cards.first().map(|card| Value::from(card.mac.as_str()))),
        ("cards", Some(machine.cards.iter().map(card).collect())),
        ("ip", guest.and_then(|guest| text(&guest.ip))),
        ("guest", id.map(Value::from)),
        ("guest_online", Some(Value::from(guest.is_some_and(|guest| guest.state.is_there())))),
        ("last_beacon_s", guest.and_then(|it| it.silent_for(now)).map(|it| Value::from(it.as_secs_f64()))),
        ("cpus", Some(Value::from(machine.cpus))),
        ("cpu_cap_pct", Some(Value::from(machine.cpu_cap_pct))),
        ("memory_mb", Some(Value::from(machine.memory_mb))),
        ("os_type", Some(Value::from(machine.os_type.as_str()))),
        ("snapshots", Some(Value::from(machine.snapshots))),
        ("session_pid", machine.pid.map(Value::from)),
        ("owner_tag", machine.tag.as_deref().map(Value::from)),
        ("ours", Some(Value::from(machine.tag.as_deref() == Some(tag)))),
        ("problem", machine.problem.as_deref().map(Value::from)),
    ])
}

fn card(card: &Card) -> Value {
    Value::from([
        ("slot", Value::from(card.slot)),
        ("mac", Value::from(card.mac.as_str())),
        ("attached", Value::from(card.attached.as_str())),
        ("cable", Value::from(card.cable)),
        ("forwards", card.forwards.iter().map(forward).collect()),
    ])
}

fn forward(forward: &Forward) -> Value {
    members([
        ("name", Some(Value::from(forward.name.as_str()))),
        ("proto", Some(Value::from(if forward.udp { "udp" } else { "tcp" }))),
        ("address", forward.address.map(|address| Value::from(address.to_string()))),
        ("host", Some(Value::from(u32::from(forward.host)))),
        ("guest", Some(Value::from(u32::from(forward.guest)))),
    ])
}

/// An operation.
pub(super) fn op(op: &Op) -> Value {
    let (phase, changed, failed) = match &op.phase {
        Phase::Waiting => ("waiting", None, None),
        Phase::Running => ("running", None, None),
        Phase::Done { changed } => ("done", Some(*changed), None),
        Phase::Failed(failure) => ("failed", None, Some(error(&failure.clone().into()))),
    };
    members([
        ("op_id", Some(Value::from(op.id.as_str()))),
        ("operation", Some(Value::from(op.operation))),
        ("vm", Some(Value::from(op.machine.as_str()))),
        ("uuid", op.machine_id.as_deref().map(Value::from)),
        ("state", op.state.map(|state| Value::from(state.as_str()))),
        ("phase", Some(Value::from(phase))),
        ("changed", changed.map(Value::from)),
        ("percent", Some(Value::from(u32::from(op.percent)))),
        ("doing", (!op.doing.is_empty()).then(|| Value::from(op.doing.as_str()))),
        ("error", failed),
        ("asked_unix", Some(unix(op.asked))),
        ("took_s", op.ended.map(|ended| Value::from((ended - op.asked).as_seconds_f64().max(0.0)))),
    ])
}

/// A failure that is a part of an answer.
pub(super) fn error(fault: &Fault) -> Value {
    Value::from([
        ("code", Value::from(fault.kind.slug())),
        ("fault", Value::from(fault.kind.code())),
        ("message", Value::from(fault.message.as_str())),
    ])
}

/// A snapshot.
pub(super) fn snapshot(snapshot: &Snapshot) -> Value {
    members([
        ("name", Some(Value::from(snapshot.name.as_str()))),
        ("id", Some(Value::from(snapshot.id.as_str()))),
        ("description", Some(Value::from(snapshot.description.as_str()))),
        ("taken", Some(Value::from(snapshot.taken))),
        ("taken_unix", Some(unix(snapshot.taken))),
        ("live", Some(Value::from(snapshot.live))),
        ("parent", snapshot.parent.as_deref().map(Value::from)),
        ("current", Some(Value::from(snapshot.current))),
    ])
}

/// What a machine uses.
pub(super) fn usage(usage: &Usage) -> Value {
    members([
        ("cpu_s", usage.cpu_s.map(Value::from)),
        ("cpu_pct", usage.cpu_pct.map(Value::from)),
        ("rss_bytes", usage.rss_bytes.map(Value::from)),
        ("disk_bytes", usage.disk_bytes.map(Value::from)),
        ("net_rx_bytes_s", usage.net_rx_bytes_s.map(Value::from)),
        ("net_tx_bytes_s", usage.net_tx_bytes_s.map(Value::from)),
        ("session_pid", usage.pid.map(Value::from)),
    ])
}

/// How it stands with the network.
pub(super) fn network(network: &Network) -> Value {
    let texts = |all: &[String]| all.iter().map(|text| Value::from(text.as_str())).collect();
    members([
        ("kind", Some(Value::from(network.kind))),
        ("interface", network.interface.as_deref().map(Value::from)),
        ("address", network.address.map(|address| Value::from(address.to_string()))),
        ("mask", network.mask.map(|mask| Value::from(mask.to_string()))),
        ("leases", network.leases.map(|(first, last)| texts(&[first.to_string(), last.to_string()]))),
        ("changed", Some(Value::from(network.changed))),
        ("missing", Some(texts(&network.missing))),
    ])
}
