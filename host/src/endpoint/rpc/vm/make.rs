//! New machines, changed ones, removed ones, and the network they are on.

use super::values::{self, FORWARD, NETWORK, OP};
use super::{
    Context, Gives, Kind, Method, Options, Params, TIMEOUT, WAIT, WHICH, fault, file, members, operate,
    optional, options, required, seconds, told,
};
use crate::machines::policy::Operation;
use crate::machines::service::Collected;
use crate::machines::{Blueprint, Forward, Image, ImageUse, NetworkWish, Nic, Settings};
use std::collections::BTreeMap;
use vocable_xmlrpc::{Fault, Value, excerpt, invalid_parameter};

pub(super) const CREATE: Method = Method {
    name: "vm.create",
    help: "Makes a machine from a disk image or an appliance. Without a hypervisor (driver none) a plain machine is \
           registered: a name for a guest that will join under it.",
    params: &[
        required("name", Kind::String, "its name: 1 to 64 letters, digits, '.', '_' or '-'"),
        options(&[
            optional("image", Kind::String, "VDI or VMDK, or OVA for a whole appliance: a path on the host"),
            optional(
                "image_use",
                Kind::String,
                "linked (the image stays as it is), copy or own [default: linked]",
            ),
            optional(
                "seed",
                Kind::String,
                "a disc to be put in, as vocable guest-image makes it: a path on the host",
            ),
            optional("cpus", Kind::Int, "virtual processors [default: 1]"),
            optional("memory_mb", Kind::Int, "memory, MiB [default: 1024]"),
            optional(
                "os_type",
                Kind::String,
                "what will run in it, in the hypervisor's words [default: Linux_64]",
            ),
            optional(
                "nic",
                Kind::String,
                "auto (host-only if there is such a network), nat, or the name of an interface [default: auto]",
            ),
            optional(
                "port_forwards",
                Kind::Structs(FORWARD),
                "ports of the host that lead into it; nat only",
            ),
            optional("cpu_cap_pct", Kind::Int, "of its processors, so many per cent at most [default: 100]"),
            optional("engine", Kind::String, "what executes it, where the hypervisor has a choice"),
            optional("tag", Kind::String, "whose it is [default: hypervisor.tag]"),
            TIMEOUT,
            WAIT,
        ]),
    ],
    gives: Gives::one(OP),
    changes: true,
    call: |context, params| Box::pin(create(context, params)),
};

pub(super) const REGISTER: Method = Method {
    name: "vm.register",
    help: "Takes in a machine that exists as a settings file. It does not become ours: its tag stays as it is.",
    params: &[required("path", Kind::String, "the file: a path on the host"), options(&[WAIT])],
    gives: Gives::one(OP),
    changes: true,
    call: |context, params| Box::pin(register(context, params)),
};

pub(super) const DESTROY: Method = Method {
    name: "vm.destroy",
    help: "Removes a machine and its disks. One without our tag, or one that runs, only by force.",
    params: &[
        WHICH,
        options(&[
            optional("keep_disks", Kind::Bool, "leave its files where they are [default: false]"),
            optional("force", Kind::Bool, "even if it runs or is not ours [default: false]"),
            TIMEOUT,
            WAIT,
        ]),
    ],
    gives: Gives::one(OP),
    changes: true,
    call: |context, params| Box::pin(destroy(context, params)),
};

pub(super) const SET: Method = Method {
    name: "vm.set",
    help: "Changes a machine; what is left out stays as it is.",
    params: &[
        WHICH,
        required(
            "settings",
            Kind::Struct(&[
                optional("cpu_cap_pct", Kind::Int, "of its processors, so many per cent at most: 1 to 100"),
                optional("network", Kind::Bool, "the cables of all its cards in or out"),
                optional(
                    "console",
                    Kind::Bool,
                    "show its screen on a port of the loopback address, or no more",
                ),
                optional(
                    "mac",
                    Kind::String,
                    "new: a new address for its first card; the machine has to be off",
                ),
                optional(
                    "add_forwards",
                    Kind::Structs(FORWARD),
                    "ports of the host that lead into it; nat only",
                ),
                optional(
                    "drop_forwards",
                    Kind::Array(&Kind::String),
                    "names of ports that lead into it no more",
                ),
            ]),
            "what to change",
        ),
        options(&[TIMEOUT, WAIT]),
    ],
    gives: Gives::one(OP),
    changes: true,
    call: |context, params| Box::pin(set(context, params)),
};

pub(super) const COLLECT: Method = Method {
    name: "vm.gc",
    help: "Removes the machines that are left over: those with the tag that are switched off and keep no state. What \
           has no tag, or another one, is never removed.",
    params: &[options(&[
        optional("tag", Kind::String, "whose [default: hypervisor.tag]"),
        optional("dry_run", Kind::Bool, "remove nothing, only list [default: false]"),
    ])],
    gives: Gives::list(&[
        required("name", Kind::String, "the machine"),
        required("uuid", Kind::String, "the hypervisor's id of it"),
        required("state", Kind::String, "what it was doing"),
        required("removed", Kind::Bool, "whether it is gone"),
        optional("error", Kind::Struct(&[]), "why it is not"),
    ]),
    changes: true,
    call: |context, params| Box::pin(collect(context, params)),
};

pub(super) const NET: Method = Method {
    name: "vm.net",
    help: "Finds or creates the network that only host and guests are on, with its DHCP server, or tells exactly what \
           is missing. Then NAT is left, where guests find the host at their gateway.",
    params: &[options(&[
        optional("interface", Kind::String, "of the host [default: hypervisor.virtualbox.host_only]"),
        optional("look_only", Kind::Bool, "create and change nothing [default: false]"),
    ])],
    gives: Gives::one(NETWORK),
    changes: true,
    call: |context, params| Box::pin(network(context, params)),
};

/// Most ports of one machine.
const MOST_FORWARDS: usize = 64;

async fn create(context: Context, mut params: Params) -> Result<Value, Fault> {
    let name: String = params.required("name")?;
    if !vocable_api::target::is_guest_id(&name) {
        return Err(params.invalid("a machine's name has 1 to 64 letters, digits, '.', '_' or '-'"));
    }
    let mut options = params.options()?;
    let (blueprint, cap) = blueprint(&context, name.clone(), &mut options)?;
    let (limit, wait) = (seconds(&mut options, "timeout_s")?, options.take("wait")?.unwrap_or(true));
    options.finish()?;
    let op = context.machines.create(blueprint, limit).await.map_err(fault)?;
    let made = told(&context, op, wait).await?;
    if let Some(cap) = cap {
        let settings = Settings { cpu_cap_pct: Some(cap), ..Settings::default() };
        let op = context.machines.begin(&name, Operation::Set(settings), None).await.map_err(fault)?;
        told(&context, op, true).await?;
    }
    Ok(made)
}

fn blueprint(
    context: &Context,
    name: String,
    options: &mut Options,
) -> Result<(Blueprint, Option<u32>), Fault> {
    let path = |options: &mut Options, name: &'static str| {
        let path: Option<String> = options.take(name)?;
        path.map(|path| file(path, |problem| options.invalid(&format!("option \"{name}\": {problem}"))))
            .transpose()
    };
    let (image, seed) = (path(options, "image")?, path(options, "seed")?);
    let how = match options.take::<String>("image_use")?.as_deref() {
        None | Some("linked") => ImageUse::Linked,
        Some("copy") => ImageUse::Copy,
        Some("own") => ImageUse::Own,
        Some(_) => return Err(options.invalid("option \"image_use\": expected linked, copy or own")),
    };
    let nic = match options.take::<String>("nic")?.as_deref() {
        None | Some("auto") => Nic::Auto,
        Some("nat") => Nic::Nat,
        Some(interface) => Nic::HostOnly(interface.to_owned()),
    };
    let cap = percent(options, "cpu_cap_pct")?;
    let (cpus, memory_mb) = (options.take("cpus")?, options.take("memory_mb")?);
    if cpus == Some(0) || memory_mb == Some(0) {
        return Err(options.invalid("cpus and memory_mb: expected more than 0"));
    }
    let blueprint = Blueprint {
        name,
        image: image.map(|path| Image { path, how }),
        seed,
        cpus,
        memory_mb,
        os_type: options.take("os_type")?,
        nic,
        forwards: forwards(options, "port_forwards")?,
        engine: options.take("engine")?,
        tag: options.take("tag")?.unwrap_or_else(|| context.machines.tag().to_owned()),
    };
    Ok((blueprint, cap))
}

fn percent(options: &mut Options, name: &'static str) -> Result<Option<u32>, Fault> {
    match options.take::<u32>(name)? {
        Some(percent) if !(1..=100).contains(&percent) => {
            Err(options.invalid(&format!("option \"{name}\": expected 1 to 100")))
        }
        percent => Ok(percent),
    }
}

fn forwards(options: &mut Options, name: &'static str) -> Result<Vec<Forward>, Fault> {
    let given: Vec<BTreeMap<String, Value>> = options.take(name)?.unwrap_or_default();
    if given.len() > MOST_FORWARDS {
        return Err(options.invalid(&format!("option \"{name}\": expected at most {MOST_FORWARDS}")));
    }
    given.into_iter().map(|members| forward(Options::new("forward", members))).collect()
}

fn forward(mut options: Options) -> Result<Forward, Fault> {
    let missing = |what: &str| invalid_parameter("forward", &format!("\"{what}\" is missing"));
    let host: u16 = options.take("host")?.ok_or_else(|| missing("host"))?;
    let guest: u16 = options.take("guest")?.ok_or_else(|| missing("guest"))?;
    let udp = match options.take::<String>("proto")?.as_deref() {
        None | Some("tcp") => false,
        Some("udp") => true,
        Some(_) => return Err(options.invalid("option \"proto\": expected tcp or udp")),
    };
    let address = match options.take::<String>("address")? {
        None => std::net::Ipv4Addr::LOCALHOST,
        Some(text) => text.parse().map_err(|_| {
            options.invalid(&format!("option \"address\": {} is no IPv4 address", excerpt(&text)))
        })?,
    };
    let name = options.take("name")?.unwrap_or_else(|| format!("{}-{host}", if udp { "udp" } else { "tcp" }));
    options.finish()?;
    Ok(Forward { name, udp, address: Some(address), host, guest })
}

async fn register(context: Context, mut params: Params) -> Result<Value, Fault> {
    let path: String = params.required("path")?;
    let path = file(path, |problem| params.invalid(&format!("parameter 1 \"path\": {problem}")))?;
    let mut options = params.options()?;
    let wait = options.take("wait")?.unwrap_or(true);
    options.finish()?;
    let op = context.machines.register(path).await.map_err(fault)?;
    told(&context, op, wait).await
}

async fn destroy(context: Context, mut params: Params) -> Result<Value, Fault> {
    let which: String = params.required("vm")?;
    let mut options = params.options()?;
    let keep_disks = options.take("keep_disks")?.unwrap_or(false);
    let force = options.take("force")?.unwrap_or(false);
    operate(context, which, Operation::Destroy { keep_disks, force }, options).await
}

async fn set(context: Context, mut params: Params) -> Result<Value, Fault> {
    let which: String = params.required("vm")?;
    let members: BTreeMap<String, Value> = params.required("settings")?;
    let mut wanted = Options::new("vm.set", members);
    let new_mac = match wanted.take::<String>("mac")?.as_deref() {
        None => false,
        Some("new") => true,
        Some(_) => {
            return Err(
                wanted.invalid("option \"mac\": expected new: addresses are the hypervisor's to make")
            );
        }
    };
    let settings = Settings {
        cpu_cap_pct: percent(&mut wanted, "cpu_cap_pct")?,
        network: wanted.take("network")?,
        console: wanted.take("console")?,
        new_mac,
        add_forwards: forwards(&mut wanted, "add_forwards")?,
        drop_forwards: wanted.take("drop_forwards")?.unwrap_or_default(),
    };
    wanted.finish()?;
    operate(context, which, Operation::Set(settings), params.options()?).await
}

async fn collect(context: Context, params: Params) -> Result<Value, Fault> {
    let mut options = params.options()?;
    let tag = options.take("tag")?.unwrap_or_else(|| context.machines.tag().to_owned());
    let dry_run = options.take("dry_run")?.unwrap_or(false);
    options.finish()?;
    let one = |Collected { machine, removed }: Collected| {
        let error = removed.clone().err().map(|error| values::error(&error.into()));
        members([
            ("name", Some(Value::from(machine.name))),
            ("uuid", Some(Value::from(machine.id))),
            ("state", Some(Value::from(machine.state.as_str()))),
            ("removed", Some(Value::from(removed.unwrap_or(false)))),
            ("error", error),
        ])
    };
    let collected = context.machines.collect(&tag, dry_run).await.map_err(fault)?;
    Ok(collected.into_iter().map(one).collect())
}

async fn network(context: Context, params: Params) -> Result<Value, Fault> {
    let mut options = params.options()?;
    let wish = NetworkWish {
        interface: options.take("interface")?,
        look_only: options.take("look_only")?.unwrap_or(false),
    };
    options.finish()?;
    Ok(values::network(&context.machines.network(wish).await.map_err(fault)?))
}
