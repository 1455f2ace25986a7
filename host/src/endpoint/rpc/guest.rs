//! `guest.*`: who is there, what is wrong with them, and their credentials.

use super::{Context, Gives, Kind, Method, Param, deadline, json_value, members, optional, required, unix};
use crate::agent::request::{Request, RosterView};
use crate::agent::roster::{Guest, Refusals, State};
use crate::credentials::Token;
use crate::endpoint::why::{self, Facts};
use crate::machines::Machine;
use tokio::time::Instant;
use vocable_api::proof::digest;
use vocable_api::target::{Target, is_guest_id};
use vocable_api::{clock::Now, fault};
use vocable_protocol::HOST;
use vocable_xmlrpc::{Fault, Params, Value, excerpt};

/// How long a guest has to show that it is there, unless the caller says otherwise, seconds.
const PING_PATIENCE_S: f64 = 10.0;

/// What is told of a guest.
const GUEST: &[Param] = &[
    required("guest", Kind::String, "its id"),
    required("state", Kind::String, "never, joined, alive, late, lost or left"),
    required("since", Kind::DateTime, "when it came into this state"),
    required("since_unix", Kind::Double, "the same in seconds since 1970"),
    optional("reason", Kind::String, "why"),
    optional("ip", Kind::String, "its address, as it sees it"),
    optional("mac", Kind::String, "of its network card"),
    optional("agent_version", Kind::String, "of the guest agent"),
    optional("boot_id", Kind::String, "another one after each start of the machine"),
    optional("hello_time", Kind::DateTime, "when it said that it is there"),
    optional("last_beacon_s", Kind::Double, "seconds since it was heard last"),
    optional("beats", Kind::Int, "beacons heard since it joined"),
    optional("missed", Kind::Int, "beacons missed"),
    required("commands", Kind::Int, "its commands that are not over"),
    optional("peer", Kind::String, "from where it is connected"),
    optional("vm", Kind::String, "the machine it is in"),
    optional("vm_state", Kind::String, "what that machine is doing"),
    optional("refused", Kind::Struct(REFUSED), "logins under its name that were refused"),
];

const REFUSED: &[Param] = &[
    required("count", Kind::Int, "so many"),
    required("reason", Kind::String, "why the last one"),
    required("time", Kind::DateTime, "when the last one"),
    optional("peer", Kind::String, "from where the last one"),
];

const CHECK: &[Param] = &[
    required("link", Kind::String, "what was looked at"),
    required("result", Kind::String, "ok, bad, unknown or unreached"),
    required("text", Kind::String, "what was found"),
];

const ADVICE: &[Param] =
    &[required("command", Kind::String, "what to type"), required("text", Kind::String, "what for")];

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "guest.get",
        help: "Tells how it stands with one guest.",
        params: &[required("guest", Kind::String, "its id")],
        gives: Gives::one(GUEST),
        changes: false,
        call: |context, params| Box::pin(get(context, params)),
    },
    Method {
        name: "guest.list",
        help: "Lists every guest the host knows.",
        params: &[],
        gives: Gives::list(GUEST),
        changes: false,
        call: |context, params| Box::pin(list(context, params)),
    },
    Method {
        name: "guest.ping",
        help: "Asks a guest's agent for a sign of life.",
        params: &[
            required("guest", Kind::String, "its id"),
            optional("timeout_s", Kind::Double, "seconds to wait at most; more than 20 are 20 [default: 10]"),
        ],
        gives: Gives::one(&[
            required("guest", Kind::String, "its id"),
            required("rtt_ms", Kind::Double, "how long the answer took, milliseconds"),
        ]),
        changes: false,
        call: |context, params| Box::pin(ping(context, params)),
    },
    Method {
        name: "guest.select",
        help: "Lists the ids of the guests that a target selects.",
        params: &[required("target", Kind::String, "a guest, a glob, @group or a comma list of them")],
        gives: Gives::value(Kind::Array(&Kind::String), "the ids, in their order"),
        changes: false,
        call: |context, params| Box::pin(select(context, params)),
    },
    Method {
        name: "guest.token",
        help: "Makes a credential for a guest, in place of the one it may have had. It is not kept here: only its \
               digest is. The name of the host agent itself on the bus, host, is refused.",
        params: &[required("guest", Kind::String, "whose: 1 to 64 letters, digits, '.', '_' or '-'")],
        gives: Gives::value(Kind::String, "the credential"),
        changes: true,
        call: |context, params| Box::pin(token(context, params)),
    },
    Method {
        name: "guest.why",
        help: "Tells what is known about a guest that does not answer, and what to do.",
        params: &[required("guest", Kind::String, "its id, or the name of a machine")],
        gives: Gives::one(&[
            required("subject", Kind::String, "the guest"),
            required("well", Kind::Bool, "whether nothing is wrong with it"),
            required("verdict", Kind::String, "one sentence naming one cause"),
            required("checks", Kind::Structs(CHECK), "the evidence"),
            required("do", Kind::Structs(ADVICE), "what to do, most likely first"),
        ]),
        changes: false,
        call: |context, params| Box::pin(why(context, params)),
    },
];

async fn list(context: Context, params: Params) -> Result<Value, Fault> {
    params.finish()?;
    let view = context.handle.roster().await?;
    let RosterView { guests, commands, .. } = &view;
    let now = Now::read();
    let runs_machines = context.machines.about().runs_machines;
    let one = |(id, (guest, missed)): (&String, &(Guest, u32))| {
        let machine = super::vm::machine_of(id, &view).filter(|_| runs_machines);
        guest_value(id, guest, *missed, commands.get(id).copied().unwrap_or(0), machine, now)
    };
    let mut all: Vec<Value> = guests.iter().map(one).collect();
    if runs_machines {
        all.extend(super::vm::without_agents(&view).map(silent));
        all.sort_by_key(name_of);
    }
    Ok(all.into_iter().collect())
}

async fn get(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("guest")?;
    params.finish()?;
    let view = context.handle.roster().await?;
    let RosterView { guests, commands, .. } = &view;
    let machine = super::vm::machine_of(&id, &view).filter(|_| context.machines.about().runs_machines);
    let unknown =
        || fault::Fault::new(fault::FaultKind::NoSuchGuest, format!("no guest is called {}", excerpt(&id)));
    let (guest, missed) = guests.get(&id).ok_or_else(unknown)?;
    Ok(guest_value(&id, guest, *missed, commands.get(&id).copied().unwrap_or(0), machine, Now::read()))
}

async fn ping(context: Context, mut params: Params) -> Result<Value, Fault> {
    let guest: String = params.required("guest")?;
    let seconds = params.optional("timeout_s")?.unwrap_or(PING_PATIENCE_S);
    params.finish()?;
    let timeout = deadline(&context, seconds).saturating_duration_since(Instant::now());
    let took = context.handle.ping(&guest, timeout).await?;
    Ok(Value::from([("guest", Value::from(guest)), ("rtt_ms", Value::from(took.as_secs_f64() * 1000.0))]))
}

fn name_of(guest: &Value) -> Option<String> {
    match guest.member("guest") {
        Some(Value::String(name)) => Some(name.clone()),
        _ => None,
    }
}

/// A machine that runs, and nobody has ever joined from it.
fn silent(machine: &Machine) -> Value {
    members([
        ("guest", Some(Value::from(machine.name.as_str()))),
        ("state", Some(Value::from(State::Never.as_str()))),
        ("since", Some(Value::from(machine.since))),
        ("since_unix", Some(unix(machine.since))),
        ("reason", Some(Value::from("VM runs, no agent has joined from it"))),
        ("mac", machine.cards.first().map(|card| Value::from(card.mac.as_str()))),
        ("vm", Some(Value::from(machine.name.as_str()))),
        ("vm_state", Some(Value::from(machine.state.as_str()))),
        ("commands", Some(Value::from(0))),
    ])
}

fn guest_value(
    id: &str,
    guest: &Guest,
    missed: u32,
    commands: u32,
    machine: Option<(&str, &str)>,
    now: Now,
) -> Value {
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
        ("vm", machine.map(|(name, _)| Value::from(name))),
        ("vm_state", machine.map(|(_, state)| Value::from(state))),
        ("peer", guest.connection.and_then(|it| it.peer).map(|peer| Value::from(peer.to_string()))),
        ("refused", guest.refusals.as_ref().map(refused)),
    ])
}

async fn select(context: Context, mut params: Params) -> Result<Value, Fault> {
    let target: String = params.required("target")?;
    params.finish()?;
    let target = Target::parse(&target).map_err(fault::Fault::from)?;
    let selected = context.handle.request(|reply| Request::Select { target, reply }).await??;
    Ok(selected.into_iter().map(|selected| Value::from(selected.guest)).collect())
}

async fn token(context: Context, mut params: Params) -> Result<Value, Fault> {
    let guest: String = params.required("guest")?;
    if !is_guest_id(&guest) {
        return Err(params.invalid("a guest's id has 1 to 64 letters, digits, '.', '_' or '-'"));
    }
    if guest == HOST {
        return Err(params.invalid("host is the host agent's own name on the bus, and no guest's"));
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
    let facts = Facts::gather(&id, &view, &context.machines.about());
    let facts = facts.with_files(context.files.way(&id).await);
    let verdict = why::judge(&facts, Now::read());
    Ok(verdict.into())
}
