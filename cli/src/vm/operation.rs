//! One operation of the agent's, from its beginning to its end, with a bar for whoever watches.

use super::WaitArgs;
use crate::{CliError, Kind, Session, format, progress};
use std::time::Duration;
use vocable_api::fault::Failure;
use vocable_api::vm::{Action, GetOperation, Operate, Operation, Phase, State};

/// How long one question waits in the agent.
pub(super) const POLL: Duration = Duration::from_secs(10);
/// The same while a bar is shown, so that it moves.
const POLL_WITH_BAR: Duration = Duration::from_millis(500);

/// Begins an operation and waits for its end, as the options say. Returns it as it then stands.
pub(super) fn operate<M: Operate>(
    session: &Session<'_>,
    mut request: M,
    args: &WaitArgs,
) -> Result<Operation, CliError> {
    let bar = progress::Bar::new(session.terminal);
    let (timeout, wait) = request.limits();
    *timeout = args.timeout.map(|limit| limit.duration().into());
    *wait = Some(false);
    let mut op = session.agent.ask(&request).map_err(explained)?;
    while !args.no_wait && matches!(op.phase, Phase::Waiting | Phase::Running) {
        let what = format!("{}: {}", op.vm, <&str>::from(op.operation));
        let doing = op.doing.as_ref().map_or_else(|| what.clone(), |doing| format!("{what}: {doing}"));
        bar.show(op.percent.into(), &doing);
        let wait = if bar.is_shown() { POLL_WITH_BAR } else { POLL };
        let look = GetOperation { op_id: op.op_id.clone(), wait_s: Some(wait.as_secs_f64()) };
        op = session.agent.ask_waiting(&look, wait)?;
    }
    bar.clear();
    match op.error {
        Some(error) => Err(explained(failed(&error))),
        None => Ok(op),
    }
}

/// An error that is a part of an answer, as if it were the answer.
fn failed(error: &Failure) -> CliError {
    let told = CliError::new(&error.code, &error.message);
    if error.code == "timed-out" { told.kind(Kind::TimedOut) } else { told }
}

/// With what to do about it.
fn explained(error: CliError) -> CliError {
    match error.code() {
        "busy" => error.hint("vocable vm list"),
        "driver-not-loaded" => error.hint("modprobe vboxdrv vboxnetadp vboxnetflt   or   /sbin/vboxconfig"),
        "hw-virtualisation" => error.hint("switch it on in the firmware, or end the other hypervisor"),
        "hypervisor-missing" => error.hint("install VirtualBox, then restart the agent: vocable serve"),
        "no-such-vm" => error.hint("vocable vm list"),
        "no-such-snapshot" => error.hint("vocable vm snapshot list VM"),
        "not-ours" => error.hint("add --force, if you are sure"),
        _ => error,
    }
}

/// How long it took: `3.1 s`.
pub(super) fn took(op: &Operation) -> String {
    format::took(format::seconds(op.took_s.unwrap_or(0.0)))
}

/// Tells in a line what was done.
pub(super) fn print(session: &mut Session<'_>, op: &Operation) -> Result<(), CliError> {
    if session.terminal.is_json() {
        return Ok(session.terminal.reply(op)?);
    }
    if op.phase != Phase::Done {
        return Ok(session.terminal.line(&op.op_id)?);
    }
    let line = if op.changed == Some(true) {
        format!("{}: {} after {}", op.vm, outcome(op), took(op))
    } else {
        format!("{}: already {}", op.vm, on_or_off(op.state))
    };
    Ok(session.terminal.say(&line)?)
}

fn on_or_off(state: Option<State>) -> &'static str {
    match state {
        None => "gone",
        Some(State::PowerOff) => "off",
        Some(state) => state.as_str(),
    }
}

/// What became of the machine.
fn outcome(op: &Operation) -> String {
    let state = op.state.map_or("gone", State::as_str);
    match op.operation {
        Action::Register => format!("registered, {}", on_or_off(op.state)),
        Action::Destroy => "removed".to_owned(),
        Action::Reset => "reset".to_owned(),
        Action::Set => "changed".to_owned(),
        Action::SnapshotDelete => "snapshot deleted".to_owned(),
        Action::SnapshotRestore => format!("restored, {state}"),
        Action::SnapshotTake => format!("snapshot taken, {state}"),
        Action::PowerOff | Action::Shutdown => "off".to_owned(),
        _ => state.to_owned(),
    }
}
