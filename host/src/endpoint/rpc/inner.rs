//! Methods calling methods: by name and with named parameters, as a JSON caller does. So the names of 2010 and the jobs
//! need to know nothing of the engines behind `vm.*` and `file.*`, and one that is not there is told as such.

use super::{Context, METHODS};
use std::time::Duration;
use vocable_api::fault::{Fault as HostFault, FaultKind};
use vocable_xmlrpc::{Fault, Value};

/// The longest a single wait for a transfer or a command lasts before asking again, seconds.
const ASK_AGAIN_S: f64 = 20.0;

/// Calls a method with named parameters; those that are None are left out.
pub(super) async fn call<const N: usize>(
    context: &Context,
    name: &str,
    members: [(&str, Option<Value>); N],
) -> Result<Value, Fault> {
    let found = METHODS.get(name).ok_or_else(|| {
        HostFault::new(
            FaultKind::NotYet,
            format!("this agent has no {name}: the engine behind it is not there"),
        )
    })?;
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let params = found.info.named(members)?;
    (found.call)(context.clone(), params).await
}

/// A text parameter.
pub(super) fn text(value: &str) -> Option<Value> {
    Some(Value::from(value))
}

/// A text member of a struct; empty if it is not there.
pub(super) fn member<'a>(value: &'a Value, name: &str) -> &'a str {
    match value.member(name) {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

/// A number among the members of a struct.
pub(super) fn number(value: &Value, name: &str) -> Option<f64> {
    match value.member(name) {
        Some(Value::Int(number)) => Some((*number).into()),
        Some(Value::Double(number)) => Some(*number),
        _ => None,
    }
}

/// The items of an array.
pub(super) fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// Waits until a transfer is over; a fault if it failed.
pub(super) async fn transferred(context: &Context, id: &Value) -> Result<(), Fault> {
    loop {
        let wait = Some(Value::from(ASK_AGAIN_S));
        let told =
            call(context, "file.transfer", [("transfer_id", Some(id.clone())), ("timeout_s", wait)]).await?;
        match member(&told, "state") {
            "done" => return Ok(()),
            "failed" | "cancelled" => return Err(failure(&told).into()),
            // A method that does not wait must not be asked in a circle.
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Why a transfer failed: of the kind the transfer itself tells.
fn failure(told: &Value) -> HostFault {
    let error = |name| told.member("error").map_or("", |error| member(error, name));
    let kind = FaultKind::ALL.iter().copied().find(|kind| kind.slug() == error("code"));
    let why = if error("message").is_empty() { member(told, "state") } else { error("message") };
    HostFault::new(kind.unwrap_or(FaultKind::Internal), format!("the transfer failed: {why}"))
}

/// The guest in a machine: the one of its name, or the one the hypervisor's cards lead to.
pub(super) async fn guest_of(context: &Context, vm: &str) -> Result<String, Fault> {
    if context.handle.roster().await?.guests.contains_key(vm) {
        return Ok(vm.to_owned());
    }
    match call(context, "vm.get", [("vm", text(vm))]).await {
        Ok(told) if !member(&told, "guest").is_empty() => Ok(member(&told, "guest").to_owned()),
        Ok(_) => {
            let why = format!("{vm} does not answer: no guest agent has joined from it");
            Err(HostFault::new(FaultKind::GuestOffline, why).into())
        }
        Err(fault) if fault.code() == FaultKind::NotYet.code() => {
            Err(HostFault::new(FaultKind::NoSuchGuest, format!("no guest is called {vm:?}")).into())
        }
        Err(fault) => Err(fault),
    }
}
