//! `guest.*`: who is there, what is wrong with them, and their credentials.

use super::{Context, Entry, answer_within, json_value, method};
use crate::agent::request::{Request, RosterView};
use crate::agent::roster::{self, State};
use crate::credentials::Token;
use crate::machines::Machine;
use crate::why::{self, Facts};
use vocable_api::Method as _;
use vocable_api::clock::Now;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::guest::{Get, Guest, List, MakeToken, Ping, Pong, Refused, Select, Verdict, Why};
use vocable_api::proof::digest;
use vocable_api::target::{Target, is_guest_id};
use vocable_protocol::HOST;
use vocable_xmlrpc::{Value, excerpt};

/// How long a guest has to answer a ping, unless the caller says otherwise, seconds.
const PING_TIMEOUT_S: f64 = 10.0;

pub(super) fn methods() -> Vec<Entry> {
    vec![method(get), method(list), method(ping), method(select), method(token), method(why)]
}

async fn list(context: Context, _: List) -> Result<Vec<Guest>, Fault> {
    let view = context.handle.roster().await?;
    let (runs_machines, now) = (context.machines.about().runs_machines, Now::read());
    let mut all: Vec<_> =
        view.guests.iter().map(|(id, known)| guest(id, known, &view, runs_machines, now)).collect();
    if runs_machines {
        all.extend(super::vm::without_agents(&view).map(without_agent));
        all.sort_by(|one, other| one.guest.cmp(&other.guest));
    }
    Ok(all)
}

async fn get(context: Context, request: Get) -> Result<Guest, Fault> {
    let view = context.handle.roster().await?;
    let unknown =
        || Fault::new(FaultKind::NoSuchGuest, format!("no guest is called {}", excerpt(&request.guest)));
    let known = view.guests.get(&request.guest).ok_or_else(unknown)?;
    Ok(guest(&request.guest, known, &view, context.machines.about().runs_machines, Now::read()))
}

/// A machine that runs, and nobody has ever joined from it.
fn without_agent(machine: &Machine) -> Guest {
    Guest {
        guest: machine.name.clone(),
        state: State::Never,
        since: machine.since.into(),
        since_unix: machine.since.into(),
        reason: Some("VM runs, no agent has joined from it".to_owned()),
        mac: machine.cards.first().map(|card| card.mac.clone()),
        vm: Some(machine.name.clone()),
        vm_state: Some(machine.state.as_str().to_owned()),
        ..Guest::default()
    }
}

fn guest(
    id: &str,
    (guest, missed): &(roster::Guest, u32),
    view: &RosterView,
    runs_machines: bool,
    now: Now,
) -> Guest {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let fact = |name: &str| match guest.facts.get(name).cloned().map(json_value) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let machine = super::vm::machine_of(id, view).filter(|_| runs_machines);
    let has_joined = guest.state != State::Never;
    Guest {
        guest: id.to_owned(),
        state: guest.state,
        since: guest.since.into(),
        since_unix: guest.since.into(),
        reason: text(&guest.reason),
        ip: text(&guest.ip),
        mac: fact("mac"),
        agent_version: fact("agent"),
        boot_id: fact("boot-id"),
        hello_time: guest.hello.map(Into::into),
        last_beacon_s: guest.silent_for(now).map(|silent| silent.as_secs_f64()),
        beats: has_joined.then_some(guest.beats),
        missed: has_joined.then_some(*missed),
        commands: view.commands.get(id).copied().unwrap_or(0),
        peer: guest.connection.and_then(|it| it.peer).map(|peer| peer.to_string()),
        vm: machine.map(|(name, _)| name.to_owned()),
        vm_state: machine.map(|(_, state)| state.to_owned()),
        refused: guest.refusals.as_ref().map(|refusals| Refused {
            count: refusals.count,
            reason: refusals.reason.clone(),
            time: refusals.at.into(),
            peer: refusals.peer.map(|peer| peer.to_string()),
        }),
    }
}

async fn ping(context: Context, request: Ping) -> Result<Pong, Fault> {
    let Ping { guest, timeout_s } = request;
    let timeout = answer_within(&context, timeout_s.unwrap_or(PING_TIMEOUT_S));
    let took = context.handle.ping(&guest, timeout).await?;
    Ok(Pong { guest, rtt_ms: took.as_secs_f64() * 1000.0 })
}

async fn select(context: Context, request: Select) -> Result<Vec<String>, Fault> {
    let target = Target::parse(&request.target)?;
    let selected = context.handle.request(|reply| Request::Select { target, reply }).await??;
    Ok(selected.into_iter().map(|selected| selected.guest).collect())
}

async fn token(context: Context, request: MakeToken) -> Result<String, Fault> {
    let MakeToken { guest } = request;
    let problem = match is_guest_id(&guest) {
        false => Some("a guest's id has 1 to 64 letters, digits, '.', '_' or '-'"),
        true if guest == HOST => Some("host is the host agent's own name on the bus, and no guest's"),
        true => None,
    };
    if let Some(problem) = problem {
        return Err(Fault::new(FaultKind::InvalidParameter, format!("{}: {problem}", MakeToken::NAME)));
    }
    let made = Token::new("vg").map_err(|error| Fault::new(FaultKind::Internal, error.to_string()))?;
    context.handle.credential(&guest, digest(made.as_str())).await?;
    context.credentials.set(&guest, digest(made.as_str()));
    Ok(made.as_str().to_owned())
}

async fn why(context: Context, request: Why) -> Result<Verdict, Fault> {
    let view = context.handle.roster().await?;
    let facts = Facts::gather(&request.guest, &view, &context.machines.about());
    let facts = facts.with_files(context.files.way(&request.guest).await);
    Ok(why::judge(&facts, Now::read()))
}
