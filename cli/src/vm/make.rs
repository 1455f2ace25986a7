//! New machines, changed ones, removed ones.

use super::operation::{self, operate};
use super::{Consent, WaitArgs, absolute, document};
use crate::confirm::{Question, confirm};
use crate::{CliError, Session, completion};
use clap_complete::ArgValueCompleter;
use std::path::PathBuf;
use std::time::Duration;
use vocable_api::checked::Percent;
use vocable_api::vm::{
    CollectGarbage, Create, Destroy, Get, ImageUse, Leftover, NewForward, NewMac, Phase, Register, Set,
    Settings,
};
use vocable_config::Size;

/// How long all leftovers may take to be removed.
const COLLECTING: Duration = Duration::from_secs(600);

/// Create a machine from a disk image or an appliance
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
    /// Insert this disc, as vocable guest-image makes it
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
    /// Forward a port of this machine into it, HOST:GUEST; nat only
    #[arg(long, value_name = "HOST:GUEST")]
    forward: Vec<String>,
    /// CPU limit, per cent of its processors
    #[arg(long, value_name = "PERCENT")]
    cpu_cap: Option<u32>,
    /// Guest operating system, in the hypervisor's words, such as Debian_64
    #[arg(long, value_name = "TYPE")]
    os_type: Option<String>,
    /// Execution engine, where the hypervisor has a choice
    #[arg(long, value_name = "ENGINE", hide = true)]
    engine: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Register a machine that exists as a settings file
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
    /// CPU limit, per cent of its processors
    #[arg(long, value_name = "PERCENT")]
    cpu_cap: Option<u32>,
    /// Connect or disconnect the cables of all its cards
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    network: Option<String>,
    /// Show its screen on a port of this machine, or no more
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    console: Option<String>,
    /// new: a new address for its first card
    #[arg(long, value_name = "new", value_parser = ["new"])]
    mac: Option<String>,
    /// Forward a port of this machine into it, HOST:GUEST; nat only
    #[arg(long, value_name = "HOST:GUEST")]
    forward: Vec<String>,
    /// Remove this port forward, by its name
    #[arg(long, value_name = "NAME")]
    no_forward: Vec<String>,
    #[command(flatten)]
    wait: WaitArgs,
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
    wait: WaitArgs,
}

/// Makes a machine.
pub(super) fn create(session: &mut Session<'_>, args: &CreateArgs) -> Result<u8, CliError> {
    let image_use = match args.image_use.as_str() {
        "copy" => ImageUse::Copy,
        "own" => ImageUse::Own,
        _ => ImageUse::Linked,
    };
    let name = args.name.clone().try_into().map_err(CliError::bad_argument)?;
    let request = Create {
        image: args.from.as_deref().map(absolute).transpose()?,
        image_use: args.from.is_some().then_some(image_use),
        seed: args.seed.as_deref().map(absolute).transpose()?,
        cpus: args.cpus,
        memory_mb: args.memory.map(|size| u32::try_from(size.bytes() >> 20).unwrap_or(u32::MAX)),
        nic: Some(args.nic.clone().into()),
        port_forwards: forwards(&args.forward)?,
        cpu_cap_pct: args.cpu_cap.map(percent).transpose()?,
        os_type: args.os_type.clone(),
        engine: args.engine.clone(),
        ..Create::new(name)
    };
    let op = operate(session, request, &args.wait)?;
    if session.terminal.is_json() || op.phase != Phase::Done {
        operation::print(session, &op)?;
        return Ok(0);
    }
    let made = session.agent.ask(&Get { vm: args.name.clone() })?;
    let card = made.cards.first();
    let card = card.map_or_else(String::new, |card| format!(", {}, {}", card.attached, card.mac));
    session.terminal.say(&format!("{} created in {}{card}", args.name, operation::took(&op)))?;
    Ok(0)
}

fn percent(number: u32) -> Result<Percent, CliError> {
    number.try_into().map_err(|problem| CliError::bad_argument(format!("--cpu-cap {number}: {problem}")))
}

fn forwards(given: &[String]) -> Result<Option<Vec<NewForward>>, CliError> {
    let forward = |text: &String| {
        let ports =
            text.split_once(':').and_then(|(host, guest)| Some((host.parse().ok()?, guest.parse().ok()?)));
        let (host, guest) = ports
            .ok_or_else(|| CliError::bad_argument(format!("{text}: expected two ports, such as 8080:80")))?;
        Ok(NewForward { host, guest, ..NewForward::default() })
    };
    given.iter().map(forward).collect::<Result<Vec<_>, CliError>>().map(some)
}

fn some<T>(all: Vec<T>) -> Option<Vec<T>> {
    Some(all).filter(|all| !all.is_empty())
}

/// Takes a machine in.
pub(super) fn register(session: &mut Session<'_>, args: &RegisterArgs) -> Result<u8, CliError> {
    let request = Register { path: absolute(&args.file)?, timeout_s: None, wait: None };
    let op = operate(session, request, &WaitArgs::default())?;
    operation::print(session, &op)?;
    Ok(0)
}

/// Changes a machine.
pub(super) fn set(session: &mut Session<'_>, args: &SetArgs) -> Result<u8, CliError> {
    let is_on = |text: &Option<String>| text.as_deref().map(|text| text == "on");
    let settings = Settings {
        cpu_cap_pct: args.cpu_cap.map(percent).transpose()?,
        network: is_on(&args.network),
        console: is_on(&args.console),
        mac: args.mac.is_some().then_some(NewMac::New),
        add_forwards: forwards(&args.forward)?,
        drop_forwards: some(args.no_forward.clone()),
    };
    if settings.is_empty() {
        return Err(CliError::usage("nothing to change").hint("vocable vm set --help"));
    }
    let op =
        operate(session, Set { vm: args.vm.clone(), settings, timeout_s: None, wait: None }, &args.wait)?;
    operation::print(session, &op)?;
    Ok(0)
}

/// Removes what is left over.
pub(super) fn gc(session: &mut Session<'_>, args: &GcArgs) -> Result<u8, CliError> {
    let request = |dry_run| CollectGarbage { tag: args.tag.clone(), dry_run: Some(dry_run) };
    let left = session.agent.ask(&request(true))?;
    if left.is_empty() || args.consent.dry_run {
        return print(session, &left, "would be removed");
    }
    let names = left.iter().map(|vm| vm.name.as_str()).collect::<Vec<_>>().join(", ");
    let question =
        Question { ask: format!("Remove {names} with all disks?"), doing: format!("removing {names}") };
    if !confirm(session, &args.consent, &question)? {
        return Ok(0);
    }
    let removed = session.agent.ask_within(&request(false), COLLECTING)?;
    print(session, &removed, "removed")
}

fn print(session: &mut Session<'_>, collected: &Vec<Leftover>, what: &str) -> Result<u8, CliError> {
    let exit_code = u8::from(collected.iter().any(|vm| vm.error.is_some()));
    if session.terminal.is_json() {
        document(session, "leftovers", collected)?;
        return Ok(exit_code);
    }
    for Leftover { name, error, .. } in collected {
        match error {
            Some(error) => {
                session.terminal.warning(&error.code, &format!("{name} stays: {}", error.message))?;
            }
            None => session.terminal.line(&format!("{name}  {what}"))?,
        }
    }
    if collected.is_empty() {
        session.terminal.note("nothing is left over")?;
    }
    Ok(exit_code)
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
    let (keep_disks, force) = (Some(args.keep_disks), Some(args.force));
    for vm in args.vms.iter().cloned() {
        let op =
            operate(session, Destroy { vm, keep_disks, force, timeout_s: None, wait: None }, &args.wait)?;
        operation::print(session, &op)?;
    }
    Ok(0)
}
