//! The names that the prototype of 2010 had, with their shapes, so that a wrapper written for it works. Each is a few
//! calls of today's methods; new programs use those.

use super::inner::{call, guest_of, items, member, text, transferred};
use super::{Context, Gives, Kind, METHODS as ALL, Method, Param, optional, required};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::time::Duration;
use vocable_api::fault::{Fault as HostFault, FaultKind};
use vocable_xmlrpc::{Fault, Params, Value};

mod commands;

pub(crate) use commands::Fetched;

const VM: Param = required("vm", Kind::String, "the machine's name");
const LOCAL: Param = required("local", Kind::String, "a path on the host, below files.roots");
const REMOTE: Param = required("remote", Kind::String, "a path on the guest");
const TRUE: Gives = Gives::value(Kind::Bool, "true");
const NAMES: Gives = Gives::value(Kind::Array(&Kind::String), "names, sorted");

/// A name of 2010.
macro_rules! alias {
    ($name:literal, $help:literal, [$($param:expr),*], $gives:expr, $changes:literal, $call:path) => {
        Method {
            name: $name,
            help: $help,
            params: &[$($param),*],
            gives: $gives,
            changes: $changes,
            call: |context, params| Box::pin($call(context, params)),
        }
    };
}

/// A name of 2010 for something done to a machine.
macro_rules! life {
    ($name:literal, $today:literal) => {
        Method {
            name: $name,
            help: concat!("The name that ", $today, " had in 2010."),
            params: &[VM],
            gives: TRUE,
            changes: true,
            call: |context, params| change(context, params, $today),
        }
    };
}

pub(super) const METHODS: &[Method] = &[
    alias!(
        "cpFileFromVM",
        "Fetches a file from a guest. The name that file.pull had in 2010; waits for the end.",
        [VM, REMOTE, LOCAL],
        TRUE,
        true,
        fetch
    ),
    alias!(
        "cpFileToVM",
        "Brings a file to a guest. The name that file.push had in 2010; waits for the end.",
        [VM, LOCAL, REMOTE],
        TRUE,
        true,
        bring
    ),
    alias!(
        "createVM",
        "Makes a machine. The name that vm.create had in 2010.",
        [
            required("name", Kind::String, "its name"),
            optional("hdd", Kind::String, "its disk: VDI or VMDK, a path on the host; empty: none")
        ],
        TRUE,
        true,
        create
    ),
    alias!(
        "getIdsToNamesMapping",
        "Tells the machine of each address.",
        [],
        Gives::value(Kind::Map(&Kind::String), "names by MAC address"),
        false,
        ids_to_names
    ),
    alias!(
        "getNamesToIdsMapping",
        "Tells the address of each machine.",
        [],
        Gives::value(Kind::Map(&Kind::String), "MAC addresses by name"),
        false,
        names_to_ids
    ),
    alias!(
        "getPerformanceData",
        "Tells what a machine uses. The name that vm.usage had in 2010.",
        [VM],
        Gives::value(Kind::Struct(&[]), "what vm.usage gives"),
        false,
        usage
    ),
    alias!(
        "getState",
        "Tells what a machine is doing.",
        [VM],
        Gives::value(Kind::String, "running, poweroff, saved and so on"),
        false,
        state
    ),
    alias!(
        "help",
        "Tells what all methods do.",
        [],
        Gives::value(Kind::String, "a text for people"),
        false,
        help
    ),
    alias!("listAvailableVMs", "Lists all machines.", [], NAMES, false, available),
    alias!(
        "listRegisteredVMs",
        "Lists the guests that are there, by the names of their machines.",
        [],
        NAMES,
        false,
        registered
    ),
    alias!("listRunningVMs", "Lists the machines that run.", [], NAMES, false, running),
    alias!(
        "ping",
        "Tells whether a guest answers within some seconds.",
        [VM, optional("timeout", Kind::Double, "seconds; more than 20 are 20 [default: 5]")],
        Gives::value(Kind::Bool, "whether it does"),
        false,
        ping
    ),
    alias!("restoreSnapshot", "Puts a machine back to its newest snapshot.", [VM], TRUE, true, restore),
    alias!(
        "saveSnapshot",
        "Takes a snapshot. The name that vm.snapshot.take had in 2010.",
        [
            VM,
            required("name", Kind::String, "of the snapshot"),
            optional("desc", Kind::String, "what to write about it")
        ],
        TRUE,
        true,
        snapshot
    ),
    commands::DETAILS,
    commands::FINISHED,
    commands::RESULTS,
    commands::RUN,
    life!("pause", "vm.pause"),
    life!("powerOff", "vm.poweroff"),
    life!("saveState", "vm.save"),
    life!("start", "vm.start"),
    life!("unpause", "vm.resume"),
];

fn done(_: Value) -> Value {
    Value::from(true)
}

fn change(
    context: Context,
    mut params: Params,
    today: &'static str,
) -> BoxFuture<'static, Result<Value, Fault>> {
    Box::pin(async move {
        let vm: String = params.required("vm")?;
        params.finish()?;
        call(&context, today, [("vm", text(&vm))]).await.map(done)
    })
}

async fn create(context: Context, mut params: Params) -> Result<Value, Fault> {
    let name: String = params.required("name")?;
    let hdd: Option<String> = params.optional("hdd")?;
    params.finish()?;
    let image = hdd.filter(|hdd| !hdd.is_empty()).map(Value::from);
    call(&context, "vm.create", [("name", text(&name)), ("image", image)]).await.map(done)
}

async fn snapshot(context: Context, mut params: Params) -> Result<Value, Fault> {
    let vm: String = params.required("vm")?;
    let name: String = params.required("name")?;
    let desc: Option<String> = params.optional("desc")?;
    params.finish()?;
    let members = [("vm", text(&vm)), ("name", text(&name)), ("description", desc.map(Value::from))];
    call(&context, "vm.snapshot.take", members).await.map(done)
}

async fn restore(context: Context, mut params: Params) -> Result<Value, Fault> {
    let vm: String = params.required("vm")?;
    params.finish()?;
    let known = items(call(&context, "vm.snapshot.list", [("vm", text(&vm))]).await?);
    let newest = known.iter().max_by_key(|snapshot| match snapshot.member("taken") {
        Some(Value::DateTime(time)) => Some(*time),
        _ => None,
    });
    let name = newest
        .map(|snapshot| member(snapshot, "name").to_owned())
        .ok_or_else(|| HostFault::new(FaultKind::NoSuchSnapshot, format!("{vm} has no snapshot")))?;
    call(&context, "vm.snapshot.restore", [("vm", text(&vm)), ("name", text(&name))]).await.map(done)
}

async fn usage(context: Context, mut params: Params) -> Result<Value, Fault> {
    let vm: String = params.required("vm")?;
    params.finish()?;
    call(&context, "vm.usage", [("vm", text(&vm))]).await
}

async fn state(context: Context, mut params: Params) -> Result<Value, Fault> {
    let vm: String = params.required("vm")?;
    params.finish()?;
    let told = call(&context, "vm.get", [("vm", text(&vm))]).await?;
    Ok(Value::from(member(&told, "state")))
}

async fn machines(context: &Context, params: Params) -> Result<Vec<Value>, Fault> {
    params.finish()?;
    call(context, "vm.list", []).await.map(items)
}

fn names<'a>(machines: impl Iterator<Item = &'a Value>) -> Value {
    let mut names: Vec<_> = machines.map(|machine| member(machine, "name")).collect();
    names.sort_unstable();
    names.into_iter().map(Value::from).collect()
}

async fn available(context: Context, params: Params) -> Result<Value, Fault> {
    Ok(names(machines(&context, params).await?.iter()))
}

async fn running(context: Context, params: Params) -> Result<Value, Fault> {
    let machines = machines(&context, params).await?;
    Ok(names(machines.iter().filter(|machine| member(machine, "state") == "running")))
}

async fn registered(context: Context, params: Params) -> Result<Value, Fault> {
    params.finish()?;
    let roster = context.handle.roster().await?;
    let there = roster.guests.iter().filter(|(_, (guest, _))| guest.state.is_there());
    let name = |id| super::vm::machine_of(id, &roster).map_or(id, |(machine, _)| machine);
    let mut names: Vec<&str> = there.map(|(id, _)| name(id.as_str())).collect();
    names.sort_unstable();
    Ok(names.into_iter().map(Value::from).collect())
}

/// Each machine's name and address; those without a card have none.
async fn mapping(context: &Context, params: Params) -> Result<BTreeMap<String, String>, Fault> {
    let pair = |machine: &Value| (member(machine, "name").to_owned(), member(machine, "mac").to_owned());
    Ok(machines(context, params).await?.iter().map(pair).filter(|(_, mac)| !mac.is_empty()).collect())
}

async fn names_to_ids(context: Context, params: Params) -> Result<Value, Fault> {
    let mapping = mapping(&context, params).await?;
    Ok(mapping.into_iter().map(|(name, mac)| (name, Value::from(mac))).collect())
}

async fn ids_to_names(context: Context, params: Params) -> Result<Value, Fault> {
    let mapping = mapping(&context, params).await?;
    Ok(mapping.into_iter().map(|(name, mac)| (mac, Value::from(name))).collect())
}

async fn ping(context: Context, mut params: Params) -> Result<Value, Fault> {
    let vm: String = params.required("vm")?;
    let seconds: f64 = params.optional("timeout")?.unwrap_or(5.0);
    params.finish()?;
    let timeout = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(context.longest_wait);
    let hail = async {
        let guest = guest_of(&context, &vm).await?;
        Ok::<_, Fault>(context.handle.ping(&guest, timeout.min(context.longest_wait)).await?)
    };
    match hail.await {
        Ok(_) => Ok(Value::from(true)),
        // One that is not there (yet) is what is asked about, and no mistake.
        Err(fault) => {
            let absent =
                [FaultKind::GuestOffline, FaultKind::NoSuchGuest, FaultKind::NoSuchVm, FaultKind::TimedOut];
            let absent = absent.iter().any(|kind| kind.code() == fault.code());
            if absent { Ok(Value::from(false)) } else { Err(fault) }
        }
    }
}

async fn bring(context: Context, mut params: Params) -> Result<Value, Fault> {
    let vm: String = params.required("vm")?;
    let (local, remote): (String, String) = (params.required("local")?, params.required("remote")?);
    params.finish()?;
    copy(&context, "file.push", &vm, &local, &remote).await
}

async fn fetch(context: Context, mut params: Params) -> Result<Value, Fault> {
    let vm: String = params.required("vm")?;
    let (remote, local): (String, String) = (params.required("remote")?, params.required("local")?);
    params.finish()?;
    copy(&context, "file.pull", &vm, &local, &remote).await
}

async fn copy(context: &Context, today: &str, vm: &str, local: &str, remote: &str) -> Result<Value, Fault> {
    let guest = guest_of(context, vm).await?;
    let members = [("guest", text(&guest)), ("local_path", text(local)), ("remote_path", text(remote))];
    let id = call(context, today, members).await?;
    transferred(context, &id).await?;
    Ok(Value::from(true))
}

async fn help(_: Context, params: Params) -> Result<Value, Fault> {
    params.finish()?;
    let mut all: Vec<_> = ALL.values().map(|method| method.info.text()).collect();
    all.sort_unstable();
    Ok(Value::from(all.join("\n\n")))
}
