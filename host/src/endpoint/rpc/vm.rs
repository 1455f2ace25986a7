//! `vm.*`: the machines guests are in. Everything that changes one is an operation: it is begun, waited for as long as
//! a call may wait, and asked about by its id after that. A machine is meant by its name, its id or its address.

use super::{Context, Gives, Kind, Method, Param, deadline, members, optional, options, required, unix};
use crate::agent::request::RosterView;
use crate::machines::cards::Place;
use crate::machines::policy::Operation;
use crate::machines::service::{Op, Phase};
use crate::machines::{HypervisorError, Machine};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout_at;
use vocable_xmlrpc::{Fault, Options, Params, Value, excerpt};

mod look;
mod make;
mod values;

use values::OP;

/// How long a guest may take to shut down, unless the caller says otherwise.
const GRACE: Duration = Duration::from_secs(60);
/// The longest an operation may take, whatever the caller says.
const LONGEST: Duration = Duration::from_hours(24);

const WHICH: Param = required("vm", Kind::String, "its name, id or MAC address");
const TIMEOUT: Param = optional("timeout_s", Kind::Double, "seconds it may take [default: as configured]");
const WAIT: Param = optional(
    "wait",
    Kind::Bool,
    "wait for the end, as long as a call may wait: then ask vm.op [default: true]",
);
const LIFE: Param = options(&[TIMEOUT, WAIT]);

/// An operation without anything to say about it.
macro_rules! life {
    ($name:literal, $help:literal, $operation:expr) => {
        Method {
            name: $name,
            help: $help,
            params: &[WHICH, LIFE],
            gives: Gives::one(OP),
            changes: true,
            call: |context, params| Box::pin(life(context, params, |_| Ok($operation))),
        }
    };
}

pub(super) const METHODS: &[Method] = &[
    look::LIST,
    look::GET,
    make::CREATE,
    make::REGISTER,
    make::DESTROY,
    life!(
        "vm.start",
        "Switches a machine on, or lets a saved one go on. One that runs is as wanted.",
        Operation::Start
    ),
    life!("vm.pause", "Holds a machine. One that is held is as wanted.", Operation::Pause),
    life!("vm.resume", "Lets a machine go on that was held.", Operation::Resume),
    life!(
        "vm.save",
        "Writes a machine's state to disk and switches it off; vm.start goes on from there.",
        Operation::Save
    ),
    life!(
        "vm.reset",
        "Presses a machine's reset button: the guest has no time to write anything.",
        Operation::Reset
    ),
    life!(
        "vm.poweroff",
        "Cuts a machine's power: the guest has no time to write anything.",
        Operation::PowerOff
    ),
    Method {
        name: "vm.shutdown",
        help: "Presses a machine's power button. A guest that has not shut down in time loses its power.",
        params: &[
            WHICH,
            options(&[
                optional("grace_s", Kind::Double, "seconds the guest may take [default: 60]"),
                TIMEOUT,
                WAIT,
            ]),
        ],
        gives: Gives::one(OP),
        changes: true,
        call: |context, params| {
            Box::pin(life(context, params, |options| {
                let grace = seconds(options, "grace_s")?.unwrap_or(GRACE);
                Ok(Operation::Shutdown { grace })
            }))
        },
    },
    Method {
        name: "vm.snapshot.take",
        help: "Remembers the present of a machine, its memory too if it runs.",
        params: &[
            WHICH,
            required("name", Kind::String, "of the snapshot"),
            options(&[
                optional("description", Kind::String, "what to write about it"),
                optional("replace", Kind::Bool, "in place of one of that name [default: false]"),
                TIMEOUT,
                WAIT,
            ]),
        ],
        gives: Gives::one(OP),
        changes: true,
        call: |context, params| {
            Box::pin(named(context, params, |name, options| {
                Ok(Operation::TakeSnapshot {
                    name,
                    description: options.take("description")?.unwrap_or_default(),
                    replace: options.take("replace")?.unwrap_or(false),
                })
            }))
        },
    },
    look::SNAPSHOTS,
    Method {
        name: "vm.snapshot.restore",
        help: "Goes back to a snapshot; what came after it is lost. A machine that runs is switched off for it and on \
               again afterwards.",
        params: &[WHICH, required("name", Kind::String, "of the snapshot, or its id"), LIFE],
        gives: Gives::one(OP),
        changes: true,
        call: |context, params| {
            Box::pin(named(context, params, |name, _| Ok(Operation::RestoreSnapshot(name))))
        },
    },
    Method {
        name: "vm.snapshot.delete",
        help: "Removes a snapshot; the machine stays as it is.",
        params: &[WHICH, required("name", Kind::String, "of the snapshot, or its id"), LIFE],
        gives: Gives::one(OP),
        changes: true,
        call: |context, params| {
            Box::pin(named(context, params, |name, _| Ok(Operation::DeleteSnapshot(name))))
        },
    },
    look::OPERATION,
    look::WAIT_FOR,
    look::USAGE,
    make::SET,
    look::CONSOLE,
    look::SCREENSHOT,
    make::COLLECT,
    make::NET,
];

/// An operation on the machine that is the first parameter.
async fn life(
    context: Context,
    mut params: Params,
    make: impl FnOnce(&mut Options) -> Result<Operation, Fault> + Send,
) -> Result<Value, Fault> {
    let which: String = params.required("vm")?;
    let mut options = params.options()?;
    let operation = make(&mut options)?;
    operate(context, which, operation, options).await
}

/// An operation that also has a name as its second parameter.
async fn named(
    context: Context,
    mut params: Params,
    make: impl FnOnce(String, &mut Options) -> Result<Operation, Fault> + Send,
) -> Result<Value, Fault> {
    let which: String = params.required("vm")?;
    let name: String = params.required("name")?;
    let fits = (1..=128).contains(&name.chars().count()) && !name.chars().any(|c| c.is_control() || c == '/');
    if !fits {
        return Err(
            params.invalid("a snapshot's name has 1 to 128 characters, none of them / or control characters")
        );
    }
    let mut options = params.options()?;
    let operation = make(name, &mut options)?;
    operate(context, which, operation, options).await
}

async fn operate(
    context: Context,
    which: String,
    operation: Operation,
    mut options: Options,
) -> Result<Value, Fault> {
    let limit = seconds(&mut options, "timeout_s")?;
    let wait = options.take("wait")?.unwrap_or(true);
    options.finish()?;
    let op = context.machines.begin(&which, operation, limit).await.map_err(fault)?;
    told(&context, op, wait).await
}

/// How an operation stands, after waiting for its end as long as a call may. If it failed by then, that is the answer.
async fn told(context: &Context, mut op: watch::Receiver<Op>, wait: bool) -> Result<Value, Fault> {
    if wait {
        let until = deadline(context, f64::MAX);
        // Time that is up is no failure: the operation goes on, and the answer says so.
        drop(timeout_at(until, op.wait_for(Op::is_over)).await);
    }
    let op = op.borrow().clone();
    match op.phase {
        Phase::Failed(error) => Err(fault(error)),
        _ => Ok(values::op(&op)),
    }
}

fn fault(error: HypervisorError) -> Fault {
    vocable_api::fault::Fault::from(error).into()
}

/// A number of seconds among the options: more than nothing, and not for ever.
fn seconds(options: &mut Options, name: &'static str) -> Result<Option<Duration>, Fault> {
    let Some(seconds) = options.take::<f64>(name)? else { return Ok(None) };
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(Some(time.min(LONGEST))),
        _ => Err(options.invalid(&format!("option \"{name}\": expected more than 0 seconds"))),
    }
}

/// A file of this machine: by its whole path, since nobody knows what a relative one is relative to.
fn file(path: String, problem: impl Fn(&str) -> Fault) -> Result<std::path::PathBuf, Fault> {
    let path = std::path::PathBuf::from(path);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(problem(&format!(
        "expected a path from / on, of a file on the host, got {}",
        excerpt(&path.to_string_lossy())
    )))
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
