//! `guest.*`: who is there, what is wrong with them, and their credentials.

use super::{Context, Method, json_value, members, unix};
use crate::credentials::{Token, digest};
use crate::request::RosterView;
use crate::roster::{Guest, Refusals, State};
use crate::target::is_guest_id;
use crate::why::{self, Facts};
use crate::{clock::Now, fault};
use vocable_xmlrpc::{Fault, Params, Value};

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "guest.list",
        signatures: &[&["array"]],
        help: "guest.list(): every guest the host knows: [{guest, state, since, reason, ip, agent_version, hello_time, \
               last_beacon_s, beats, missed, commands, peer}]. state is never, joined, alive, late, lost or left.",
        call: |context, params| Box::pin(list(context, params)),
    },
    Method {
        name: "guest.token",
        signatures: &[&["string", "string"]],
        help: "guest.token(guest): makes a credential for a guest, in place of the one it may have had, and gives it. \
               It is not kept here: only its digest is.",
        call: |context, params| Box::pin(token(context, params)),
    },
    Method {
        name: "guest.why",
        signatures: &[&["struct", "string"]],
        help: "guest.why(guest): what is known about a guest that does not answer: {subject, well, verdict, checks: \
               [{link, result, text}], do: [{command, text}]}.",
        call: |context, params| Box::pin(why(context, params)),
    },
];

async fn list(context: Context, params: Params) -> Result<Value, Fault> {
    params.finish()?;
    let RosterView { guests, commands, .. } = context.handle.roster().await?;
    let now = Now::read();
    let one = |(id, (guest, missed)): (&String, &(Guest, u32))| {
        guest_value(id, guest, *missed, commands.get(id).copied().unwrap_or(0), now)
    };
    Ok(guests.iter().map(one).collect())
}

fn guest_value(id: &str, guest: &Guest, missed: u32, commands: u32, now: Now) -> Value {
    let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
    let fact = |name: &str| guest.facts.get(name).cloned().map(json_value);
    let refused = |refusals: &Refusals| {
        let peer = refusals.peer.map(|peer| Value::from(peer.to_string()));
        members([
            ("count", Some(Value::from(refusals.count))),
            ("reason", Some(Value::from(refusals.reason.as_str()))),
            ("time", Some(Value::from(refusals.at))),
            ("peer", peer),
        ])
    };
    members([
        ("guest", Some(Value::from(id))),
        ("state", Some(Value::from(guest.state.as_str()))),
        ("since", Some(Value::from(guest.since))),
        ("since_unix", Some(unix(guest.since))),
        ("reason", text(&guest.reason)),
        ("ip", text(&guest.ip)),
        ("mac", fact("mac")),
        ("agent_version", fact("agent")),
        ("boot_id", fact("boot-id")),
        ("hello_time", guest.hello.map(Value::from)),
        ("last_beacon_s", guest.silent_for(now).map(|silent| Value::from(silent.as_secs_f64()))),
        ("beats", (guest.state != State::Never).then(|| Value::from(guest.beats))),
        ("missed", (guest.state != State::Never).then(|| Value::from(missed))),
        ("commands", Some(Value::from(commands))),
        ("peer", guest.connection.and_then(|it| it.peer).map(|peer| Value::from(peer.to_string()))),
        ("refused", guest.refusals.as_ref().map(refused)),
    ])
}

async fn token(context: Context, mut params: Params) -> Result<Value, Fault> {
    let guest: String = params.required("guest")?;
    if !is_guest_id(&guest) {
        return Err(params.invalid("a guest's id has 1 to 64 letters, digits, '.', '_' or '-'"));
    }
    params.finish()?;
    let made = Token::new("vg").map_err(|e| fault::Fault::new(fault::FaultKind::Internal, e.to_string()))?;
    context.handle.credential(&guest, digest(made.as_str())).await?;
    context.credentials.set(&guest, digest(made.as_str()));
    Ok(Value::from(made.as_str()))
}

async fn why(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("guest")?;
    params.finish()?;
    let view = context.handle.roster().await?;
    let verdict = why::judge(&Facts::gather(&id, &view), Now::read());
    Ok(verdict.into())
}
