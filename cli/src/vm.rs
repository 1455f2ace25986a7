//! `vocable vm`: the machines guests are in. Each verb is one operation of the agent's: begun, watched to its end with a
//! bar, and told in a line. What loses something asks first.

use super::confirm::{Consent, Question, confirm};
use super::reply::Members;
use super::{CliError, Session, completion, human};
use clap_complete::ArgValueCompleter;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use vocable_xmlrpc::{Value, to_json};

mod list;
mod make;
mod network;
mod operation;
mod snapshot;

use operation::{Watch, operate};

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
    /// Cut the power of machines: what was not written is lost
    #[command(alias = "power-off")]
    Poweroff(AskingArgs),
    /// Hold machines: they keep their memory and do nothing
    Pause(WhichArgs),
    /// Let machines go on that were paused
    #[command(visible_alias = "unpause")]
    Resume(WhichArgs),
    /// Write the memory of machines to disk and switch them off; start goes on from there
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
pub(super) struct Patience {
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
    patience: Patience,
}

/// Switch machines on, or let saved ones go on
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

/// Shut machines down; what does not listen in time loses its power
#[derive(clap::Args, Clone, Debug)]
pub(super) struct StopArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Time the guest may take, such as 90s
    #[arg(long, value_name = "TIME")]
    grace: Option<vocable_config::Span>,
    /// Cut the power at once
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
        VmVerb::Poweroff(args) => asking(session, args, "vm.poweroff", "Cut the power of"),
        VmVerb::Pause(args) => each(session, args, "vm.pause"),
        VmVerb::Resume(args) => each(session, args, "vm.resume"),
        VmVerb::Save(args) => each(session, args, "vm.save"),
        VmVerb::Reset(args) => asking(session, args, "vm.reset", "Reset"),
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
fn each(session: &mut Session<'_>, args: &WhichArgs, method: &str) -> Result<u8, CliError> {
    for vm in &args.vms {
        let mut watch = Watch::new(session, &args.patience);
        let op = operate(session, method, vec![Value::from(vm.as_str())], BTreeMap::new(), &mut watch)?;
        operation::told(session, &op)?;
    }
    Ok(0)
}

fn asking(session: &mut Session<'_>, args: &AskingArgs, method: &str, what: &str) -> Result<u8, CliError> {
    let question = Question {
        ask: format!("{what} {}? What the guest has not written is lost.", args.which.vms.join(", ")),
        doing: format!("{} of {}", method.trim_start_matches("vm."), args.which.vms.join(", ")),
    };
    if !confirm(session, &args.consent, &question)? {
        return Ok(0);
    }
    each(session, &args.which, method)
}

fn stop(session: &mut Session<'_>, args: &StopArgs) -> Result<u8, CliError> {
    if args.force {
        let asked = AskingArgs { which: args.which.clone(), consent: args.consent.clone() };
        return asking(session, &asked, "vm.poweroff", "Cut the power of");
    }
    if args.consent.dry_run {
        session.terminal.say(&format!("would shut down {}", args.which.vms.join(", ")))?;
        return Ok(0);
    }
    for vm in &args.which.vms {
        let mut watch = Watch::new(session, &args.which.patience);
        let grace = args.grace.as_ref().map(|grace| Value::from(grace.duration().as_secs_f64()));
        let options = grace.map(|grace| ("grace_s".to_owned(), grace)).into_iter().collect();
        let op = operate(session, "vm.shutdown", vec![Value::from(vm.as_str())], options, &mut watch)?;
        operation::told(session, &op)?;
    }
    Ok(0)
}

fn start(session: &mut Session<'_>, args: &StartArgs) -> Result<u8, CliError> {
    for vm in &args.which.vms {
        let mut watch = Watch::new(session, &args.which.patience);
        let op = operate(session, "vm.start", vec![Value::from(vm.as_str())], BTreeMap::new(), &mut watch)?;
        if args.no_agent || args.which.patience.no_wait || session.terminal.is_json() {
            operation::told(session, &op)?;
            continue;
        }
        with_agent(session, vm, &op, &args.which.patience)?;
    }
    Ok(0)
}

/// How long the guest agent may take to be there, if nobody says otherwise: a whole boot.
const BOOT: Duration = Duration::from_secs(300);

/// Waits for the guest agent: that is when a machine can be used.
fn with_agent(session: &mut Session<'_>, vm: &str, op: &Value, patience: &Patience) -> Result<(), CliError> {
    let (name, running) = (op.text("vm").unwrap_or(vm).to_owned(), operation::took(op));
    let began = (session.now)();
    let limit = patience.timeout.map_or(BOOT, vocable_config::Span::duration);
    let spinner = super::progress::Spinner::new(session.terminal);
    let mut since = 0_u64;
    loop {
        let machine = session.agent.call("vm.get", vec![Value::from(vm)])?;
        let waited = (session.now)().mono.saturating_duration_since(began.mono);
        if machine.truth("guest_online") {
            drop(spinner);
            let line = if op.truth("changed") {
                format!("{name}: running after {running}, agent alive after {}", human::took(waited))
            } else {
                format!("{name}: already running, agent alive")
            };
            return Ok(session.terminal.say(&line)?);
        }
        if machine.text("state") != Some("running") {
            let state = machine.text("state").unwrap_or("gone").to_owned();
            return Err(CliError::new(
                "wrong-state",
                format!("{name} is {state} again; no agent has joined"),
            )
            .hint(format!("vocable why {name}")));
        }
        if waited >= limit {
            return Err(CliError::new(
                "timed-out",
                format!("{name} is running, and no agent has joined from it in {}", human::took(waited)),
            )
            .kind(super::Kind::TimedOut)
            .hint(format!("vocable why {name}")));
        }
        spinner.say(began.mono, (session.now)().mono, format!("{name}: running, waiting for its agent"));
        // Any event is a reason to look again.
        let wait = Value::from(operation::POLL.min(limit - waited).as_secs_f64());
        let news =
            session.agent.call_waiting("agent.events", vec![Value::from(since), wait], operation::POLL)?;
        since = news.count("next").unwrap_or(since);
    }
}

/// A document on standard output, of whatever it is about.
fn document(session: &mut Session<'_>, name: &str, value: &Value) -> Result<(), CliError> {
    let json = serde_json::Map::from_iter([(name.to_owned(), to_json(value))]);
    Ok(session.terminal.document(&json.into())?)
}

/// A path as the agent needs it, which does not know this working directory.
fn absolute(path: &PathBuf) -> Result<String, CliError> {
    let absolute = std::path::absolute(path).map_err(|error| {
        CliError::bad_argument(format!("{} is no path", path.display())).cause(human::io(&error))
    })?;
    Ok(absolute.to_string_lossy().into_owned())
}
