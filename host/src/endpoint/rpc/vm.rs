//! `vm.*`: the machines guests are in.

use super::{Context, Entry, deadline, method};
use crate::agent::request::RosterView;
use crate::machines::cards::Place;
use crate::machines::policy::Operation;
use crate::machines::request::{Op, Phase};
use crate::machines::service::Collected;
use crate::machines::{Machine, Snapshot, Usage};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout_at;
use vocable_api::checked::TimeLimit;
use vocable_api::clock::Now;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::method::invalid;
use vocable_api::vm::{
    CollectGarbage, Console, Create, DeleteSnapshot, Destroy, Get, GetConsole, GetOperation, GetUsage,
    Leftover, List, ListSnapshots, Network, NewForward, Operate, Pause, PowerOff, Register, Reset,
    RestoreSnapshot, Resume, Save, Screenshot, Set, SetUpNetwork, Shutdown, Start, TakeSnapshot, Wait,
    Waited,
};
use vocable_api::{Bytes, Method, vm};
use vocable_xmlrpc::excerpt;

/// How long a guest may take to shut down, unless the caller says otherwise.
const GRACE: Duration = Duration::from_secs(60);
/// Ports that are forwarded into one machine by one call.
const MAX_FORWARDS: usize = 64;

pub(super) fn methods() -> Vec<Entry> {
    vec![
        method(list),
        method(get),
        method(create),
        method(register),
        operation(|Destroy { vm, keep_disks, force, .. }| {
            let (keep_disks, force) = (keep_disks.unwrap_or(false), force.unwrap_or(false));
            (vm, Operation::Destroy { keep_disks, force })
        }),
        operation(|Start { vm, .. }| (vm, Operation::Start)),
        operation(|Pause { vm, .. }| (vm, Operation::Pause)),
        operation(|Resume { vm, .. }| (vm, Operation::Resume)),
        operation(|Save { vm, .. }| (vm, Operation::Save)),
        operation(|Reset { vm, .. }| (vm, Operation::Reset)),
        operation(|PowerOff { vm, .. }| (vm, Operation::PowerOff)),
        operation(|Shutdown { vm, grace_s, .. }| {
            (vm, Operation::Shutdown { grace: grace_s.map_or(GRACE, TimeLimit::duration) })
        }),
        operation(|TakeSnapshot { vm, name, description, replace, .. }| {
            let (description, replace) = (description.unwrap_or_default(), replace.unwrap_or(false));
            (vm, Operation::TakeSnapshot { name: name.into(), description, replace })
        }),
        operation(|RestoreSnapshot { vm, name, .. }| (vm, Operation::RestoreSnapshot(name.into()))),
        operation(|DeleteSnapshot { vm, name, .. }| (vm, Operation::DeleteSnapshot(name.into()))),
        method(set),
        method(snapshots),
        method(get_operation),
        method(wait),
        method(usage),
        method(console),
        method(screenshot),
        method(collect),
        method(network),
    ]
}

/// A method that is an operation on a machine.
fn operation<M: Operate>(take: fn(M) -> (String, Operation)) -> Entry {
    method(move |context: Context, request: M| operate(context, request, take))
}

async fn operate<M: Operate>(
    context: Context,
    mut request: M,
    take: fn(M) -> (String, Operation),
) -> Result<vm::Operation, Fault> {
    let (limit, wait) = limits(&mut request);
    let (which, operation) = take(request);
    finish(&context, context.machines.begin(&which, operation, limit).await?, wait).await
}

fn limits(request: &mut impl Operate) -> (Option<Duration>, bool) {
    let (limit, wait) = request.limits();
    (limit.map(TimeLimit::duration), wait.unwrap_or(true))
}

/// An operation on a machine that is waited for as long as a call may wait.
pub(super) async fn perform(
    context: &Context,
    which: &str,
    operation: Operation,
) -> Result<vm::Operation, Fault> {
    finish(context, context.machines.begin(which, operation, None).await?, true).await
}

/// How an operation stands, after waiting for its end as long as a call may. If it failed by then, that is the answer.
pub(super) async fn finish(
    context: &Context,
    mut op: watch::Receiver<Op>,
    wait: bool,
) -> Result<vm::Operation, Fault> {
    if wait {
        let until = deadline(context, f64::MAX);
        // Time that is up is no failure: the operation goes on, and the answer says so.
        drop(timeout_at(until, op.wait_for(Op::is_over)).await);
    }
    let op = op.borrow().clone();
    match op.phase {
        Phase::Failed(error) => Err(error.into()),
        _ => Ok(report(op)),
    }
}

async fn create(context: Context, mut request: Create) -> Result<vm::Operation, Fault> {
    for (name, number) in [("cpus", request.cpus), ("memory_mb", request.memory_mb)] {
        if number == Some(0) {
            return Err(invalid::<Create>(name, "expected more than 0"));
        }
    }
    bounded::<Create>("port_forwards", request.port_forwards.as_deref())?;
    let (limit, wait) = limits(&mut request);
    finish(&context, context.machines.create(request, limit).await?, wait).await
}

async fn register(context: Context, mut request: Register) -> Result<vm::Operation, Fault> {
    let (limit, wait) = limits(&mut request);
    let file = PathBuf::from(String::from(request.path));
    finish(&context, context.machines.register(file, limit).await?, wait).await
}

async fn set(context: Context, request: Set) -> Result<vm::Operation, Fault> {
    bounded::<Set>("settings", request.settings.add_forwards.as_deref())?;
    operate(context, request, |Set { vm, settings, .. }| (vm, Operation::Set(settings))).await
}

fn bounded<M: Method>(name: &str, forwards: Option<&[NewForward]>) -> Result<(), Fault> {
    if forwards.is_none_or(|forwards| forwards.len() <= MAX_FORWARDS) {
        return Ok(());
    }
    Err(invalid::<M>(name, &format!("expected at most {MAX_FORWARDS} ports")))
}

async fn list(context: Context, _: List) -> Result<Vec<vm::Machine>, Fault> {
    let view = context.machines.read().await?;
    let (roster, now) = (context.handle.roster().await?, Now::read());
    let mut all: Vec<_> = view.machines.values().collect();
    all.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
    Ok(all.into_iter().map(|machine| describe(machine, &roster, context.machines.tag(), now)).collect())
}

async fn get(context: Context, request: Get) -> Result<vm::Machine, Fault> {
    let machine = context.machines.find(&request.vm).await?;
    Ok(describe(&machine, &context.handle.roster().await?, context.machines.tag(), Now::read()))
}

async fn snapshots(context: Context, request: ListSnapshots) -> Result<Vec<Snapshot>, Fault> {
    Ok(context.machines.snapshots(&request.vm).await?)
}

async fn get_operation(context: Context, request: GetOperation) -> Result<vm::Operation, Fault> {
    let unknown = || {
        let text = format!("no operation is called {}, or it was over long ago", excerpt(&request.op_id));
        Fault::new(FaultKind::InvalidParameter, text)
    };
    let mut op = context.machines.op(&request.op_id).await?.ok_or_else(unknown)?;
    // Time that is up is no failure: the answer says how it stands.
    let until = deadline(&context, request.wait_s.unwrap_or(0.0));
    drop(timeout_at(until, op.wait_for(Op::is_over)).await);
    let op = op.borrow().clone();
    Ok(report(op))
}

async fn wait(context: Context, request: Wait) -> Result<Waited, Fault> {
    let Wait { vm, states, timeout_s } = request;
    if states.is_empty() {
        return Err(invalid::<Wait>("states", "expected at least one"));
    }
    let state = context.machines.wait(&vm, &states, deadline(&context, timeout_s)).await?;
    Ok(Waited { reached: states.contains(&state), state })
}

async fn usage(context: Context, request: GetUsage) -> Result<Usage, Fault> {
    Ok(context.machines.usage(&request.vm).await?)
}

async fn console(context: Context, request: GetConsole) -> Result<Console, Fault> {
    Ok(context.machines.console(&request.vm, request.on.unwrap_or(true)).await?)
}

async fn screenshot(context: Context, request: Screenshot) -> Result<Bytes, Fault> {
    Ok(Bytes(context.machines.screenshot(&request.vm).await?))
}

async fn collect(context: Context, request: CollectGarbage) -> Result<Vec<Leftover>, Fault> {
    let tag = request.tag.unwrap_or_else(|| context.machines.tag().to_owned());
    let collected = context.machines.collect(&tag, request.dry_run.unwrap_or(false)).await?;
    let leftover = |Collected { machine, removed }: Collected| {
        let (removed, error) = match removed {
            Ok(removed) => (removed, None),
            Err(error) => (false, Some(Fault::from(error).into())),
        };
        Leftover { name: machine.name, uuid: machine.id, state: machine.state, removed, error }
    };
    Ok(collected.into_iter().map(leftover).collect())
}

async fn network(context: Context, request: SetUpNetwork) -> Result<Network, Fault> {
    Ok(context.machines.network(request).await?)
}

/// A machine as callers see it, with the guest in it.
fn describe(machine: &Machine, roster: &RosterView, tag: &str, now: Now) -> vm::Machine {
    let inside = Place::In(machine.id.clone());
    let id = roster.places.iter().find(|(_, place)| **place == inside).map(|(guest, _)| guest);
    let guest = id.and_then(|id| roster.guests.get(id)).map(|(guest, _)| guest);
    vm::Machine {
        name: machine.name.clone(),
        uuid: machine.id.clone(),
        state: machine.state,
        state_since: machine.since.into(),
        state_since_unix: machine.since.into(),
        mac: machine.cards.first().map(|card| card.mac.clone()),
        cards: machine.cards.clone(),
        ip: guest.map(|guest| guest.ip.clone()).filter(|ip| !ip.is_empty()),
        guest: id.cloned(),
        guest_online: guest.is_some_and(|guest| guest.state.is_there()),
        last_beacon_s: guest.and_then(|guest| guest.silent_for(now)).map(|silent| silent.as_secs_f64()),
        cpus: machine.cpus,
        cpu_cap_pct: machine.cpu_cap_pct,
        memory_mb: machine.memory_mb,
        os_type: machine.os_type.clone(),
        snapshots: machine.snapshots,
        session_pid: machine.pid,
        owner_tag: machine.tag.clone(),
        ours: machine.tag.as_deref() == Some(tag),
        problem: machine.problem.clone(),
    }
}

/// An operation as callers see it.
fn report(op: Op) -> vm::Operation {
    let (phase, changed, error) = match op.phase {
        Phase::Waiting => (vm::Phase::Waiting, None, None),
        Phase::Running => (vm::Phase::Running, None, None),
        Phase::Done { changed } => (vm::Phase::Done, Some(changed), None),
        Phase::Failed(error) => (vm::Phase::Failed, None, Some(Fault::from(error).into())),
    };
    vm::Operation {
        op_id: op.id,
        operation: op.action,
        vm: op.machine,
        uuid: op.machine_id,
        state: op.state,
        phase,
        changed,
        percent: op.percent,
        doing: Some(op.doing).filter(|doing| !doing.is_empty()),
        error,
        asked_unix: op.asked.into(),
        took_s: op.ended.map(|ended| (ended - op.asked).as_seconds_f64().max(0.0)),
    }
}

/// The machine a guest is in: its name and its state.
pub(super) fn machine_of<'a>(guest: &str, roster: &'a RosterView) -> Option<(&'a str, &'static str)> {
    let Some(Place::In(id)) = roster.places.get(guest) else { return None };
    roster.machines.machines.get(id).map(|machine| (machine.name.as_str(), machine.state.as_str()))
}

/// The machines that run, from which no guest of ours has joined.
pub(super) fn without_agents(roster: &RosterView) -> impl Iterator<Item = &Machine> {
    let has_guest = |machine: &Machine| {
        roster.places.values().any(|place| *place == Place::In(machine.id.clone()))
            || roster.guests.contains_key(&machine.name)
    };
    roster.machines.machines.values().filter(move |machine| machine.state.is_on() && !has_guest(machine))
}
