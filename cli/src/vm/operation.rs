//! One operation of the agent's, from its beginning to its end, with a bar for whoever watches.

use super::Patience;
use crate::reply::Members;
use crate::{CliError, Kind, Session, human, progress};
use std::collections::BTreeMap;
use std::time::Duration;
use vocable_xmlrpc::{Value, to_json};

/// How long one question waits in the agent.
pub(super) const POLL: Duration = Duration::from_secs(10);

/// Whether to wait, for how long, and where to show it.
pub(super) struct Watch {
    bar: progress::Bar,
    timeout: Option<Duration>,
    waits: bool,
}

impl Watch {
    /// As those options say.
    pub(super) fn new(session: &Session<'_>, patience: &Patience) -> Self {
        Self {
            bar: progress::Bar::new(session.terminal),
            timeout: patience.timeout.map(vocable_config::Span::duration),
            waits: !patience.no_wait,
        }
    }
}

/// Begins an operation and waits for its end. Gives it as it then stands.
pub(super) fn operate(
    session: &Session<'_>,
    method: &str,
    mut params: Vec<Value>,
    mut options: BTreeMap<String, Value>,
    watch: &mut Watch,
) -> Result<Value, CliError> {
    options.insert("wait".to_owned(), Value::from(false));
    options.extend(watch.timeout.map(|limit| ("timeout_s".to_owned(), Value::from(limit.as_secs_f64()))));
    params.push(Value::Struct(options));
    let mut op = session.agent.call(method, params).map_err(explained)?;
    let id = op.text("op_id").ok_or_else(|| CliError::bad_reply(method, "op_id"))?.to_owned();
    while watch.waits && matches!(op.text("phase"), Some("waiting" | "running")) {
        let doing = op.text("doing").map_or_else(|| what(&op), |doing| format!("{}: {doing}", what(&op)));
        watch.bar.show(op.count("percent").unwrap_or(0), &doing);
        // With a bar the answer comes sooner, so that the bar moves.
        let wait = if watch.bar.is_shown() { Duration::from_millis(500) } else { POLL };
        let wait_s = Value::from([("wait_s", Value::from(wait.as_secs_f64()))]);
        op = session.agent.call_waiting("vm.op", vec![Value::from(id.as_str()), wait_s], wait)?;
    }
    watch.bar.clear();
    match op.member("error") {
        Some(error) => Err(explained(failed(error))),
        None => Ok(op),
    }
}

/// `vm1: snapshot.take`
fn what(op: &Value) -> String {
    format!("{}: {}", op.text("vm").unwrap_or_default(), op.text("operation").unwrap_or_default())
}

/// An error that is a part of an answer, as if it were the answer.
fn failed(error: &Value) -> CliError {
    let code = error.text("code").unwrap_or("failed");
    let told = CliError::new(code, error.text("message").unwrap_or("it failed"));
    if code == "timed-out" { told.kind(Kind::TimedOut) } else { told }
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
pub(super) fn took(op: &Value) -> String {
    human::took(human::seconds(op.number("took_s").unwrap_or(0.0)))
}

/// Tells in a line what was done.
pub(super) fn told(session: &mut Session<'_>, op: &Value) -> Result<(), CliError> {
    if session.terminal.is_json() {
        return Ok(session.terminal.document(&to_json(op))?);
    }
    let vm = op.text("vm").unwrap_or_default();
    if op.text("phase") != Some("done") {
        return Ok(session.terminal.line(op.text("op_id").unwrap_or_default())?);
    }
    let state = op.text("state").unwrap_or("gone");
    let line = if op.truth("changed") {
        format!("{vm}: {} after {}", past(op.text("operation").unwrap_or_default(), state), took(op))
    } else {
        format!("{vm}: already {}", if state == "poweroff" { "off" } else { state })
    };
    Ok(session.terminal.say(&line)?)
}

/// What became of the machine.
fn past(operation: &str, state: &str) -> String {
    match operation {
        "register" => format!("registered, {}", if state == "poweroff" { "off" } else { state }),
        "destroy" => "removed".to_owned(),
        "reset" => "reset".to_owned(),
        "set" => "changed".to_owned(),
        "snapshot.delete" => "snapshot deleted".to_owned(),
        "snapshot.restore" => format!("restored, {state}"),
        "snapshot.take" => format!("snapshot taken, {state}"),
        "poweroff" | "shutdown" => "off".to_owned(),
        _ => state.to_owned(),
    }
}
