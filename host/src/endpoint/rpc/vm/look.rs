//! What can be asked about machines without changing any.

use super::values::{self, OP, SNAPSHOT, VM};
use super::{
    Context, Gives, Kind, Method, Params, WHICH, deadline, fault, members, optional, options, required,
};
use crate::machines::State;
use crate::machines::policy::Operation;
use crate::machines::service::Op;
use tokio::time::timeout_at;
use vocable_api::clock::Now;
use vocable_api::fault::{Fault as HostFault, FaultKind};
use vocable_xmlrpc::{Fault, Value, excerpt};

pub(super) const LIST: Method = Method {
    name: "vm.list",
    help: "Lists every machine the hypervisor knows. Without a hypervisor (driver none) these are the guests the host \
           knows and the machines that were registered with vm.create: one whose agent is there runs, the others are \
           absent.",
    params: &[],
    gives: Gives::list(VM),
    changes: false,
    call: |context, params| Box::pin(list(context, params)),
};

pub(super) const GET: Method = Method {
    name: "vm.get",
    help: "Tells about one machine.",
    params: &[WHICH],
    gives: Gives::one(VM),
    changes: false,
    call: |context, params| Box::pin(get(context, params)),
};

pub(super) const SNAPSHOTS: Method = Method {
    name: "vm.snapshot.list",
    help: "Lists a machine's snapshots, parents before children.",
    params: &[WHICH],
    gives: Gives::list(SNAPSHOT),
    changes: false,
    call: |context, params| Box::pin(snapshots(context, params)),
};

pub(super) const OPERATION: Method = Method {
    name: "vm.op",
    help: "Tells how an operation stands. Those that are over are remembered for a while.",
    params: &[
        required("op_id", Kind::String, "which"),
        options(&[optional(
            "wait_s",
            Kind::Double,
            "wait for its end, at most so many seconds [default: 0]",
        )]),
    ],
    gives: Gives::one(OP),
    changes: false,
    call: |context, params| Box::pin(operation(context, params)),
};

pub(super) const WAIT_FOR: Method = Method {
    name: "vm.wait",
    help: "Waits until a machine is in one of the states, or time is up.",
    params: &[
        WHICH,
        required("states", Kind::Array(&Kind::String), "running, poweroff ... or removed"),
        required("timeout_s", Kind::Double, "seconds; more than a call may wait are that"),
    ],
    gives: Gives::one(&[
        required("reached", Kind::Bool, "whether it is in one of them"),
        required("state", Kind::String, "what it is doing; removed if it is gone"),
    ]),
    changes: false,
    call: |context, params| Box::pin(wait(context, params)),
};

pub(super) const USAGE: Method = Method {
    name: "vm.usage",
    help: "Tells what a machine uses, seen from outside. What cannot be told is absent.",
    params: &[WHICH],
    gives: Gives::one(values::USAGE),
    changes: false,
    call: |context, params| Box::pin(usage(context, params)),
};

pub(super) const CONSOLE: Method = Method {
    name: "vm.console",
    help: "Tells where a machine's screen is shown, for a VNC or RDP viewer; switches that on if it is off.",
    params: &[WHICH, options(&[optional("on", Kind::Bool, "switch it on [default: true]")])],
    gives: Gives::one(&[
        required("host", Kind::String, "the address"),
        required("port", Kind::Int, "the port"),
        required("kind", Kind::String, "vnc or rdp"),
    ]),
    changes: true,
    call: |context, params| Box::pin(console(context, params)),
};

pub(super) const SCREENSHOT: Method = Method {
    name: "vm.screenshot",
    help: "Takes a picture of a machine's screen.",
    params: &[WHICH],
    gives: Gives::value(Kind::Bytes, "the picture, PNG"),
    changes: false,
    call: |context, params| Box::pin(screenshot(context, params)),
};

async fn list(context: Context, params: Params) -> Result<Value, Fault> {
    params.finish()?;
    let view = context.machines.read().await.map_err(fault)?;
    let (roster, now) = (context.handle.roster().await?, Now::read());
    let mut all: Vec<_> = view.machines.values().collect();
    all.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
    Ok(all.into_iter().map(|machine| values::vm(machine, &roster, context.machines.tag(), now)).collect())
}

async fn get(context: Context, mut params: Params) -> Result<Value, Fault> {
    let which: String = params.required("vm")?;
    params.finish()?;
    let machine = context.machines.find(&which).await.map_err(fault)?;
    let (roster, now) = (context.handle.roster().await?, Now::read());
    Ok(values::vm(&machine, &roster, context.machines.tag(), now))
}

async fn snapshots(context: Context, mut params: Params) -> Result<Value, Fault> {
    let which: String = params.required("vm")?;
    params.finish()?;
    let all = context.machines.snapshots(&which).await.map_err(fault)?;
    Ok(all.iter().map(values::snapshot).collect())
}

async fn operation(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("op_id")?;
    let mut options = params.options()?;
    let wait: f64 = options.take("wait_s")?.unwrap_or(0.0);
    options.finish()?;
    let unknown = || {
        let text = format!("no operation is called {}, or it was over long ago", excerpt(&id));
        Fault::from(HostFault::new(FaultKind::InvalidParameter, text))
    };
    let mut op = context.machines.op(&id).await.map_err(fault)?.ok_or_else(unknown)?;
    // Time that is up is no failure: the answer says how it stands.
    drop(timeout_at(deadline(&context, wait), op.wait_for(Op::is_over)).await);
    let op = op.borrow().clone();
    Ok(values::op(&op))
}

async fn wait(context: Context, mut params: Params) -> Result<Value, Fault> {
    let which: String = params.required("vm")?;
    let names: Vec<String> = params.required("states")?;
    let timeout: f64 = params.required("timeout_s")?;
    let wants_removed = names.iter().any(|name| name == "removed");
    let mut states = Vec::new();
    for name in names.iter().filter(|name| *name != "removed") {
        let unknown = || {
            let all: Vec<_> = State::ALL.into_iter().map(State::as_str).collect();
            params.invalid(&format!("state {}: expected one of {}", excerpt(name), all.join(", ")))
        };
        states.push(State::parse(name).ok_or_else(unknown)?);
    }
    if names.is_empty() {
        return Err(params.invalid("states: expected at least one"));
    }
    params.finish()?;
    let found = context.machines.wait(&which, &states, deadline(&context, timeout)).await.map_err(fault)?;
    let (reached, state) = match &found {
        Some(machine) => (states.contains(&machine.state), machine.state.as_str()),
        None => (wants_removed, "removed"),
    };
    Ok(Value::from([("reached", Value::from(reached)), ("state", Value::from(state))]))
}

async fn usage(context: Context, mut params: Params) -> Result<Value, Fault> {
    let which: String = params.required("vm")?;
    params.finish()?;
    Ok(values::usage(&context.machines.usage(&which).await.map_err(fault)?))
}

async fn console(context: Context, mut params: Params) -> Result<Value, Fault> {
    let which: String = params.required("vm")?;
    let mut options = params.options()?;
    let on = options.take("on")?.unwrap_or(true);
    options.finish()?;
    let mut shown = context.machines.console(&which).await.map_err(fault)?;
    if shown.is_none() && on {
        let settings = crate::machines::Settings { console: Some(true), ..Default::default() };
        let op = context.machines.begin(&which, Operation::Set(settings), None).await.map_err(fault)?;
        super::told(&context, op, true).await?;
        shown = context.machines.console(&which).await.map_err(fault)?;
    }
    let shown = shown.ok_or_else(|| {
        let text = format!("the screen of {} is not shown anywhere: the machine has to run", excerpt(&which));
        Fault::from(HostFault::new(FaultKind::WrongState, text))
    })?;
    Ok(members([
        ("host", Some(Value::from(shown.host.to_string()))),
        ("port", Some(Value::from(u32::from(shown.port)))),
        ("kind", Some(Value::from(shown.kind))),
    ]))
}

async fn screenshot(context: Context, mut params: Params) -> Result<Value, Fault> {
    let which: String = params.required("vm")?;
    params.finish()?;
    Ok(Value::Base64(context.machines.screenshot(&which).await.map_err(fault)?))
}
