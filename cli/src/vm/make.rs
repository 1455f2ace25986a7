//! New machines, changed ones, removed ones.

use super::operation::{self, Watch, operate};
use super::{Consent, Patience, absolute, document};
use crate::confirm::{Question, confirm};
use crate::reply::Members;
use crate::{CliError, Session, completion};
use clap_complete::ArgValueCompleter;
use std::collections::BTreeMap;
use std::path::PathBuf;
use vocable_config::Size;
use vocable_xmlrpc::Value;

/// Make a machine from a disk image or an appliance
#[derive(clap::Args, Debug)]
pub(crate) struct CreateArgs {
    /// Its name
    name: String,
    /// VDI or VMDK image, or OVA of a whole appliance
    #[arg(long, value_name = "IMAGE")]
    from: Option<PathBuf>,
    /// What becomes of the image: linked leaves it as it is, own lets the machine write into it
    #[arg(long, value_name = "USE", value_parser = ["linked", "copy", "own"], default_value = "linked")]
    image_use: String,
    /// Put this disc in, as vocable guest-image makes it
    #[arg(long, value_name = "ISO")]
    seed: Option<PathBuf>,
    /// Virtual processors
    #[arg(long, value_name = "N")]
    cpus: Option<u32>,
    /// Memory, such as 2GiB
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
    /// auto (host-only if there is such a network), nat, or the name of a host-only interface
    #[arg(long, value_name = "NETWORK", default_value = "auto")]
    nic: String,
    /// Lead a port of this machine into it, HOST:GUEST; nat only
    #[arg(long, value_name = "HOST:GUEST")]
    forward: Vec<String>,
    /// Of its processors, so many per cent at most
    #[arg(long, value_name = "PERCENT")]
    cpu_cap: Option<u32>,
    /// What will run in it, in the hypervisor's words, such as Debian_64
    #[arg(long, value_name = "TYPE")]
    os_type: Option<String>,
    /// What executes it, where the hypervisor has a choice
    #[arg(long, value_name = "ENGINE", hide = true)]
    engine: Option<String>,
    #[command(flatten)]
    patience: Patience,
}

/// Take in a machine that exists as a settings file
#[derive(clap::Args, Debug)]
pub(crate) struct RegisterArgs {
    /// The settings file
    file: PathBuf,
}

/// Change a machine; what is left out stays as it is
#[derive(clap::Args, Debug)]
pub(crate) struct SetArgs {
    /// Name, id or MAC address of the machine
    #[arg(add = ArgValueCompleter::new(completion::machines))]
    vm: String,
    /// Of its processors, so many per cent at most
    #[arg(long, value_name = "PERCENT")]
    cpu_cap: Option<u32>,
    /// The cables of all its cards in or out
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    network: Option<String>,
    /// Show its screen on a port of this machine, or no more
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    console: Option<String>,
    /// new: a new address for its first card
    #[arg(long, value_name = "new", value_parser = ["new"])]
    mac: Option<String>,
    /// Lead a port of this machine into it, HOST:GUEST; nat only
    #[arg(long, value_name = "HOST:GUEST")]
    forward: Vec<String>,
    /// Lead this port into it no more, by its name
    #[arg(long, value_name = "NAME")]
    no_forward: Vec<String>,
    #[command(flatten)]
    patience: Patience,
}

/// Remove machines that are left over: ours by their tag, off, and without a saved state
#[derive(clap::Args, Debug)]
pub(crate) struct GcArgs {
    /// Those of this tag, instead of hypervisor.tag
    #[arg(long)]
    tag: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

/// Remove machines with their disks
#[derive(clap::Args, Debug)]
pub(crate) struct DestroyArgs {
    /// Names, ids or MAC addresses of machines
    #[arg(value_name = "VM", required = true, add = ArgValueCompleter::new(completion::machines))]
    vms: Vec<String>,
    /// Leave its files where they are
    #[arg(long)]
    keep_disks: bool,
    /// Even if it runs or is not ours
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    patience: Patience,
}

/// Makes a machine.
pub(super) fn create(session: &mut Session<'_>, args: &CreateArgs) -> Result<u8, CliError> {
    let mut options = BTreeMap::new();
    let mut set = |name: &str, value: Option<Value>| {
        options.extend(value.map(|value| (name.to_owned(), value)));
    };
    set("image", args.from.as_ref().map(absolute).transpose()?.map(Value::from));
    set("image_use", args.from.is_some().then(|| Value::from(args.image_use.as_str())));
    set("seed", args.seed.as_ref().map(absolute).transpose()?.map(Value::from));
    set("cpus", args.cpus.map(Value::from));
    set("memory_mb", args.memory.map(|size| Value::from(size.bytes() >> 20)));
    set("nic", Some(Value::from(args.nic.as_str())));
    set("port_forwards", forwards(&args.forward)?);
    set("cpu_cap_pct", args.cpu_cap.map(Value::from));
    set("os_type", args.os_type.as_deref().map(Value::from));
    set("engine", args.engine.as_deref().map(Value::from));
    let mut watch = Watch::new(session, &args.patience);
    let op = operate(session, "vm.create", vec![Value::from(args.name.as_str())], options, &mut watch)?;
    if session.terminal.is_json() || op.text("phase") != Some("done") {
        operation::told(session, &op)?;
        return Ok(0);
    }
    let made = session.agent.call("vm.get", vec![Value::from(args.name.as_str())])?;
    let card = made.items("cards").first();
    let card = card.map_or_else(String::new, |card| {
        format!(", {}, {}", card.text("attached").unwrap_or_default(), card.text("mac").unwrap_or_default())
    });
    session.terminal.say(&format!("{} created in {}{card}", args.name, operation::took(&op)))?;
    Ok(0)
}

fn forwards(given: &[String]) -> Result<Option<Value>, CliError> {
    let one = |text: &String| {
        let ports = text
            .split_once(':')
            .and_then(|(host, guest)| Some((host.parse::<u16>().ok()?, guest.parse::<u16>().ok()?)));
        let (host, guest) = ports
            .ok_or_else(|| CliError::bad_argument(format!("{text}: expected two ports, such as 8080:80")))?;
        Ok(Value::from([("host", Value::from(u32::from(host))), ("guest", Value::from(u32::from(guest)))]))
    };
    let all: Vec<Value> = given.iter().map(one).collect::<Result<_, CliError>>()?;
    Ok((!all.is_empty()).then(|| Value::from(all)))
}

/// Takes a machine in.
pub(super) fn register(session: &mut Session<'_>, args: &RegisterArgs) -> Result<u8, CliError> {
    let mut watch = Watch::new(session, &Patience::default());
    // The agent takes no time limit for this.
    let op = operate(
        session,
        "vm.register",
        vec![Value::from(absolute(&args.file)?)],
        BTreeMap::new(),
        &mut watch,
    )?;
    operation::told(session, &op)?;
    Ok(0)
}

/// Changes a machine.
pub(super) fn set(session: &mut Session<'_>, args: &SetArgs) -> Result<u8, CliError> {
    let mut settings = BTreeMap::new();
    let mut set = |name: &str, value: Option<Value>| {
        settings.extend(value.map(|value| (name.to_owned(), value)));
    };
    let is_on = |text: &Option<String>| text.as_deref().map(|text| Value::from(text == "on"));
    set("cpu_cap_pct", args.cpu_cap.map(Value::from));
    set("network", is_on(&args.network));
    set("console", is_on(&args.console));
    set("mac", args.mac.as_deref().map(Value::from));
    set("add_forwards", forwards(&args.forward)?);
    let dropped: Vec<_> = args.no_forward.iter().map(|name| Value::from(name.as_str())).collect();
    set("drop_forwards", (!dropped.is_empty()).then(|| Value::from(dropped)));
    if settings.is_empty() {
        return Err(CliError::usage("nothing to change").hint("vocable vm set --help"));
    }
    let mut watch = Watch::new(session, &args.patience);
    let params = vec![Value::from(args.vm.as_str()), Value::Struct(settings)];
    let op = operate(session, "vm.set", params, BTreeMap::new(), &mut watch)?;
    operation::told(session, &op)?;
    Ok(0)
}

/// Removes what is left over.
pub(super) fn gc(session: &mut Session<'_>, args: &GcArgs) -> Result<u8, CliError> {
    let options = |dry_run: bool| {
        let tag = args.tag.as_deref().map(|tag| ("tag", Value::from(tag)));
        vec![[("dry_run", Value::from(dry_run))].into_iter().chain(tag).collect::<Value>()]
    };
    let left = session.agent.call("vm.gc", options(true))?;
    let names: Vec<_> = left.list().iter().filter_map(|vm| vm.text("name")).collect();
    if names.is_empty() || args.consent.dry_run {
        return shown(session, &left, "would be removed");
    }
    let question = Question {
        ask: format!("Remove {} with all disks?", names.join(", ")),
        doing: format!("removing {}", names.join(", ")),
    };
    if !confirm(session, &args.consent, &question)? {
        return Ok(0);
    }
    let wait = std::time::Duration::from_secs(600);
    let removed = session.agent.call_within("vm.gc", options(false), wait)?;
    shown(session, &removed, "removed")
}

fn shown(session: &mut Session<'_>, collected: &Value, what: &str) -> Result<u8, CliError> {
    let failed = collected.list().iter().filter(|vm| vm.member("error").is_some()).count();
    if session.terminal.is_json() {
        document(session, "leftovers", collected)?;
        return Ok(u8::from(failed > 0));
    }
    for vm in collected.list() {
        let name = vm.text("name").unwrap_or_default();
        match vm.member("error") {
            Some(error) => {
                let text = error.text("message").unwrap_or_default();
                session
                    .terminal
                    .warning(error.text("code").unwrap_or("failed"), &format!("{name} stays: {text}"))?;
            }
            None => session.terminal.line(&format!("{name}  {what}"))?,
        }
    }
    if collected.list().is_empty() {
        session.terminal.note("nothing is left over")?;
    }
    Ok(u8::from(failed > 0))
}

/// Removes machines.
pub(super) fn destroy(session: &mut Session<'_>, args: &DestroyArgs) -> Result<u8, CliError> {
    let names = args.vms.join(", ");
    let disks = if args.keep_disks { "Its files stay." } else { "Its disks and snapshots are lost." };
    let question =
        Question { ask: format!("Destroy {names}? {disks}"), doing: format!("destroying {names}") };
    if !confirm(session, &args.consent, &question)? {
        return Ok(0);
    }
    for vm in &args.vms {
        let mut watch = Watch::new(session, &args.patience);
        let options = BTreeMap::from([
            ("keep_disks".to_owned(), Value::from(args.keep_disks)),
            ("force".to_owned(), Value::from(args.force)),
        ]);
        let op = operate(session, "vm.destroy", vec![Value::from(vm.as_str())], options, &mut watch)?;
        operation::told(session, &op)?;
    }
    Ok(0)
}
