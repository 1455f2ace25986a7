//! `vocable vm`: the machines guests are in. Each verb is one operation of the agent's: begun, watched to its end with a
//! bar, and told in a line. What loses something asks first.

use super::confirm::{Consent, Question, confirm};
use super::{CliError, Session, completion, format};
use clap_complete::ArgValueCompleter;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use vocable_api::agent::Events;
use vocable_api::checked::HostPath;
use vocable_api::vm::{
    Get, Operate, Operation, Pause, PowerOff, Reset, Resume, Save, Shutdown, Start, State,
};

mod list;
mod make;
mod network;
mod operation;
mod snapshot;

use operation::operate;

/// Manage the machines guests are in: list, create, start, stop, snapshots, consoles
#[derive(Debug, clap::Subcommand)]
pub(super) enum VmVerb {
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    Create(make::CreateArgs),
    Register(make::RegisterArgs),
    #[command(alias = "boot")]
    Start(StartArgs),
    #[command(visible_alias = "shutdown")]
    Stop(StopArgs),
    /// Power machines off: what was not written is lost
    #[command(alias = "power-off")]
    Poweroff(AskingArgs),
    /// Pause machines: they keep their memory and do nothing
    Pause(WhichArgs),
    /// Resume machines that were paused
    #[command(visible_alias = "unpause")]
    Resume(WhichArgs),
    /// Save the memory of machines to disk and switch them off; start goes on from there
    #[command(visible_alias = "savestate")]
    Save(WhichArgs),
    /// Press the reset button of machines: what was not written is lost
    Reset(AskingArgs),
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotVerb),
    Console(list::ConsoleArgs),
    Screenshot(list::ScreenshotArgs),
    Usage(list::UsageArgs),
    Set(make::SetArgs),
    Net(network::NetArgs),
    Gc(make::GcArgs),
    #[command(visible_alias = "rm")]
    Destroy(make::DestroyArgs),
}

/// What every verb that takes time has.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct WaitArgs {
    /// Give up after this time, such as 90s or 5m; as configured without it
    #[arg(long, value_name = "TIME")]
    timeout: Option<vocable_config::Span>,
    /// Do not wait: print the id of the operation
    #[arg(long)]
    no_wait: bool,
}

/// Machines by name, id or MAC address
#[derive(clap::Args, Clone, Debug)]
pub(super) struct WhichArgs {
    /// Names, ids or MAC addresses of machines
    #[arg(value_name = "VM", required = true, add = ArgValueCompleter::new(completion::machines))]
    vms: Vec<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Start machines, or resume saved ones
///
/// A machine is started when its guest agent is there; --no-agent does not wait for that.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct StartArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Do not wait for the guest agent
    #[arg(long)]
    no_agent: bool,
}

/// Shut machines down; one that does not in time is powered off
#[derive(clap::Args, Clone, Debug)]
pub(super) struct StopArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Time the guest may take, such as 90s
    #[arg(long, value_name = "TIME")]
    grace: Option<vocable_config::Span>,
    /// Power off at once
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    consent: Consent,
}

/// Something that loses what was not written
#[derive(clap::Args, Clone, Debug)]
pub(super) struct AskingArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    consent: Consent,
}

/// Does what the verb says.
pub(super) fn vm(session: &mut Session<'_>, verb: &VmVerb) -> Result<u8, CliError> {
    match verb {
        VmVerb::List(args) => list::list(session, args),
        VmVerb::Create(args) => make::create(session, args),
        VmVerb::Register(args) => make::register(session, args),
        VmVerb::Start(args) => start(session, args),
        VmVerb::Stop(args) => stop(session, args),
        VmVerb::Poweroff(args) => power_off(session, args),
        VmVerb::Pause(args) => each(session, args, |vm| Pause { vm, timeout_s: None, wait: None }),
        VmVerb::Resume(args) => each(session, args, |vm| Resume { vm, timeout_s: None, wait: None }),
        VmVerb::Save(args) => each(session, args, |vm| Save { vm, timeout_s: None, wait: None }),
        VmVerb::Reset(args) => asking(session, args, |vm| Reset { vm, timeout_s: None, wait: None }, "Reset"),
        VmVerb::Snapshot(verb) => snapshot::snapshot(session, verb),
        VmVerb::Console(args) => list::console(session, args),
        VmVerb::Screenshot(args) => list::screenshot(session, args),
        VmVerb::Usage(args) => list::usage(session, args),
        VmVerb::Set(args) => make::set(session, args),
        VmVerb::Net(args) => network::net(session, args),
        VmVerb::Gc(args) => make::gc(session, args),
        VmVerb::Destroy(args) => make::destroy(session, args),
    }
}

/// One operation on each machine; the first failure ends it, and what was done before is told.
fn each<M: Operate>(
    session: &mut Session<'_>,
    args: &WhichArgs,
    request: impl Fn(String) -> M,
) -> Result<u8, CliError> {
    for vm in &args.vms {
        let op = operate(session, request(vm.clone()), &args.wait)?;
        operation::print(session, &op)?;
    }
    Ok(0)
}

fn power_off(session: &mut Session<'_>, args: &AskingArgs) -> Result<u8, CliError> {
    asking(session, args, |vm| PowerOff { vm, timeout_s: None, wait: None }, "Cut the power of")
}

fn asking<M: Operate>(
    session: &mut Session<'_>,
    args: &AskingArgs,
    request: impl Fn(String) -> M,
    what: &str,
) -> Result<u8, CliError> {
    let vms = args.which.vms.join(", ");
    let question = Question {
        ask: format!("{what} {vms}? What the guest has not written is lost."),
        doing: format!("{} of {vms}", M::NAME.trim_start_matches("vm.")),
    };
    if !confirm(session, &args.consent, &question)? {
        return Ok(0);
    }
    each(session, &args.which, request)
}

fn stop(session: &mut Session<'_>, args: &StopArgs) -> Result<u8, CliError> {
    if args.force {
        let asked = AskingArgs { which: args.which.clone(), consent: args.consent.clone() };
        return power_off(session, &asked);
    }
    if args.consent.dry_run {
        session.terminal.say(&format!("would shut down {}", args.which.vms.join(", ")))?;
        return Ok(0);
    }
    let grace_s = args.grace.map(|grace| grace.duration().into());
    each(session, &args.which, |vm| Shutdown { vm, grace_s, timeout_s: None, wait: None })
}

fn start(session: &mut Session<'_>, args: &StartArgs) -> Result<u8, CliError> {
    let WhichArgs { vms, wait } = &args.which;
    for vm in vms {
        let op = operate(session, Start { vm: vm.clone(), timeout_s: None, wait: None }, wait)?;
        if args.no_agent || wait.no_wait || session.terminal.is_json() {
            operation::print(session, &op)?;
        } else {
            wait_for_agent(session, vm, &op, wait)?;
        }
    }
    Ok(0)
}

/// How long the guest agent may take to be there, if nobody says otherwise: a whole boot.
const BOOT: Duration = Duration::from_secs(300);

/// Waits for the guest agent: that is when a machine can be used.
fn wait_for_agent(
    session: &mut Session<'_>,
    vm: &str,
    op: &Operation,
    wait: &WaitArgs,
) -> Result<(), CliError> {
    let (name, running) = (&op.vm, operation::took(op));
    let began = (session.now)();
    let limit = wait.timeout.map_or(BOOT, vocable_config::Span::duration);
    let spinner = super::progress::Spinner::new(session.terminal);
    let mut since = 0_u64;
    loop {
        let machine = session.agent.ask(&Get { vm: vm.to_owned() })?;
        let waited = (session.now)().mono.saturating_duration_since(began.mono);
        if machine.guest_online {
            drop(spinner);
            let line = if op.changed == Some(true) {
                format!("{name}: running after {running}, agent alive after {}", format::took(waited))
            } else {
                format!("{name}: already running, agent alive")
            };
            return Ok(session.terminal.say(&line)?);
        }
        if machine.state != State::Running {
            let text = format!("{name} is {} again; no agent has joined", machine.state.as_str());
            return Err(CliError::new("wrong-state", text).hint(format!("vocable why {name}")));
        }
        if waited >= limit {
            let text =
                format!("{name} is running, and no agent has joined from it in {}", format::took(waited));
            let error = CliError::new("timed-out", text).kind(super::Kind::TimedOut);
            return Err(error.hint(format!("vocable why {name}")));
        }
        spinner.say(began.mono, (session.now)().mono, format!("{name}: running, waiting for its agent"));
        // Any event is a reason to look again.
        let timeout_s = operation::POLL.min(limit - waited).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "numbers of events are exact in a double")]
        let events = Events { since: since as f64, timeout_s, ..Events::default() };
        since = session.agent.ask_waiting(&events, operation::POLL)?.next;
    }
}

/// A document on standard output, of whatever it is about.
fn document<T: Serialize>(session: &mut Session<'_>, name: &str, value: &T) -> Result<(), CliError> {
    Ok(session.terminal.reply(&BTreeMap::from([(name, value)]))?)
}

/// A path as the agent needs it, which does not know this working directory.
fn absolute(path: &Path) -> Result<HostPath, CliError> {
    let absolute = std::path::absolute(path).map_err(|error| {
        CliError::bad_argument(format!("{} is no path", path.display())).cause(format::io(&error))
    })?;
    absolute.to_string_lossy().into_owned().try_into().map_err(CliError::bad_argument)
}
