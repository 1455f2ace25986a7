//! What is wrong with a guest: a verdict that names one cause, the evidence link by link, and what to do.
//!
//! Pure: facts in, verdict out, the clock as an argument. The links are checked in the order of the chain a command
//! takes; the first that is broken is the cause. A new support case is a new row in the tests.

use crate::agent::request::RosterView;
use crate::agent::roster::{Guest, Refusals, State};
use crate::files::Way;
use crate::machines::cards::Place;
use crate::machines::{About, Machine, State as VmState};
use std::time::Duration;
use vocable_api::clock::{Now, age};
use vocable_api::guest::{Advice, Check, Link, Outcome, Verdict};

#[derive(Clone, Debug)]
pub(crate) struct Facts {
    id: String,
    guest: Option<(Guest, u32)>,
    refusals: Option<Refusals>,
    /// Whether names are forgotten under which logins were refused.
    forgotten_names: bool,
    beacon: Duration,
    commands: u32,
    paused: Option<String>,
    files: Option<Way>,
    /// Where it is, if there is a hypervisor that could know.
    place: Option<Place>,
    machine: Option<Machine>,
}

impl Facts {
    pub(crate) fn gather(subject: &str, view: &RosterView, hypervisor: &About) -> Self {
        let named = view.machines.machines.values().find(|machine| machine.name == subject);
        // Who is asked about by the name of a machine is the guest in it, whatever id that has.
        let inside = named.and_then(|machine| {
            view.places
                .iter()
                .find(|(_, place)| **place == Place::In(machine.id.clone()))
                .map(|(id, _)| id.as_str())
        });
        let id = if view.guests.contains_key(subject) { subject } else { inside.unwrap_or(subject) };
        let guest = view.guests.get(id).cloned();
        let place = view.places.get(id).cloned().filter(|_| hypervisor.runs_machines);
        let machine = match &place {
            Some(Place::In(machine) | Place::Contested(machine)) => view.machines.machines.get(machine),
            _ => named.filter(|_| hypervisor.runs_machines),
        };
        let refusals = guest.as_ref().and_then(|(guest, _)| guest.refusals.clone());
        Self {
            id: id.to_owned(),
            refusals: refusals.or_else(|| view.strangers.get(id).cloned()),
            forgotten_names: view.forgotten_strangers > 0,
            guest,
            beacon: view.beacon,
            commands: view.commands.get(id).copied().unwrap_or(0),
            paused: view.paused.get(id).cloned(),
            files: None,
            machine: machine.cloned(),
            place,
        }
    }

    #[must_use]
    pub(crate) fn with_files(self, way: Option<Way>) -> Self {
        Self { files: way, ..self }
    }
}

pub(crate) fn judge(facts: &Facts, now: Now) -> Verdict {
    let of_machine = [vm(facts, now), card(facts)].into_iter().flatten();
    let mut checks: Vec<Check> = of_machine.collect();
    checks.extend([
        session(facts, now),
        identity(facts, now),
        agent(facts, now),
        words(facts, now),
        commands(facts),
    ]);
    checks.extend(files(facts));
    let cause = checks.iter().find(|check| check.result == Outcome::Bad).map(|check| check.link);
    let (verdict, advice) = sentence(facts, now);
    let well = cause.is_none() && facts.guest.as_ref().is_some_and(|(guest, _)| guest.state.is_there());
    Verdict { subject: facts.id.clone(), well, verdict, cause, checks, advice }
}

fn ago(at: time::OffsetDateTime, now: Now) -> String {
    format!("{} ago", time_since(at, now))
}

fn time_since(at: time::OffsetDateTime, now: Now) -> String {
    age((now.utc - at).unsigned_abs())
}

/// A machine's state as it is said, not as it is written.
fn in_words(state: VmState) -> &'static str {
    if state == VmState::PowerOff { "off" } else { state.as_str() }
}

/// What the hypervisor says of the machine; nothing where there is none to ask.
fn vm(facts: &Facts, now: Now) -> Option<Check> {
    let machine = facts.machine.as_ref()?;
    let text = match &machine.problem {
        Some(problem) => format!("{} cannot be used: {problem}", machine.name),
        None => format!(
            "{} has been {} for {}",
            machine.name,
            in_words(machine.state),
            time_since(machine.since, now)
        ),
    };
    let outcome = if machine.state == VmState::Running { Outcome::Ok } else { Outcome::Bad };
    Some(Check { link: Link::Vm, result: outcome, text })
}

/// Which machine's network card the guest's address is of.
fn card(facts: &Facts) -> Option<Check> {
    let (outcome, text) = match (facts.place.as_ref(), &facts.machine) {
        (Some(Place::Duplicate(names)), _) => (
            Outcome::Bad,
            format!(
                "its address is that of several machines, {}: it is taken for none of them",
                names.join(" and ")
            ),
        ),
        (Some(Place::Elsewhere(_)), Some(machine)) => (
            Outcome::Bad,
            format!("it goes by the name of {}, and its address is another machine's", machine.name),
        ),
        (Some(Place::Contested(_)), Some(machine)) => {
            (Outcome::Bad, format!("another guest says to be in {} too", machine.name))
        }
        (_, Some(machine)) => match machine.cards.as_slice() {
            [] => (Outcome::Bad, format!("{} has no network card", machine.name)),
            cards if cards.iter().all(|card| !card.cable) => {
                (Outcome::Bad, format!("the cable of {} is out", machine.name))
            }
            [card, ..] => (Outcome::Ok, format!("{} is {}, on {}", card.mac, machine.name, card.attached)),
        },
        _ => return None,
    };
    Some(Check { link: Link::Card, result: outcome, text })
}

fn session(facts: &Facts, now: Now) -> Check {
    let (outcome, text) = match facts.guest.as_ref().map(|(guest, _)| (guest, guest.connection)) {
        Some((_, Some(connection))) => {
            let peer = connection.peer.map_or_else(String::new, |peer| format!(" from {peer}"));
            (Outcome::Ok, format!("connected{peer} for {}", time_since(connection.since, now)))
        }
        Some((guest, None)) if guest.state == State::Lost => {
            (Outcome::Bad, format!("no connection; ended {}: {}", ago(guest.since, now), guest.reason))
        }
        Some((guest, None)) if guest.state == State::Left => {
            (Outcome::Bad, format!("no connection; it left {}", ago(guest.since, now)))
        }
        _ => (Outcome::Bad, "no connection has ever been let in under this name".to_owned()),
    };
    Check { link: Link::Session, result: outcome, text }
}

fn identity(facts: &Facts, now: Now) -> Check {
    let refused = |Refusals { count, reason, at, peer }: &Refusals| {
        let peer = peer.map_or_else(String::new, |peer| format!(" from {peer}"));
        let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
        format!("login refused {times}, last {}{peer}: {reason}", ago(*at, now))
    };
    let is_here = facts.guest.as_ref().is_some_and(|(guest, _)| guest.connection.is_some());
    let (outcome, text) = match &facts.refusals {
        // Whoever was refused is somebody else: this one is in.
        Some(refusals) if is_here => {
            (Outcome::Ok, format!("logged in under its own name; of others: {}", refused(refusals)))
        }
        Some(refusals) if facts.keeps_it_out(refusals) => (Outcome::Bad, refused(refusals)),
        Some(refusals) => (Outcome::Unknown, refused(refusals)),
        None if facts.guest.as_ref().is_some_and(|(guest, _)| guest.hello.is_some()) => {
            (Outcome::Ok, "logged in under its own name".to_owned())
        }
        None if facts.guest.is_none() && facts.forgotten_names => (Outcome::Unknown, FORGOTTEN.to_owned()),
        None => (Outcome::Unknown, "nobody has tried to log in under this name".to_owned()),
    };
    Check { link: Link::Identity, result: outcome, text }
}

/// Of too many names something is forgotten.
const FORGOTTEN: &str =
    "no refused login under this name is remembered; there were too many names to remember them all";

impl Facts {
    /// Whether refused logins are why it is not there: those since it was there last, and from where it was.
    fn keeps_it_out(&self, refusals: &Refusals) -> bool {
        let Some((guest, _)) = &self.guest else { return true };
        match (guest.state, guest.last_peer) {
            _ if guest.connection.is_some() || guest.state.is_there() => false,
            (State::Lost | State::Left, Some(was)) => {
                refusals.at >= guest.since && refusals.peer.is_some_and(|peer| peer.ip() == was)
            }
            _ => true,
        }
    }
}

fn agent(facts: &Facts, now: Now) -> Check {
    let Some((guest, missed)) = facts.guest.as_ref().filter(|(guest, _)| guest.hello.is_some()) else {
        return Check { link: Link::Agent, result: Outcome::Unknown, text: "has never joined".to_owned() };
    };
    let sign = guest.last_sign.map_or_else(|| "never".to_owned(), |at| ago(at, now));
    let every = age(guest.beacon().unwrap_or(facts.beacon));
    let text = format!(
        "version {}, last sign of life {sign}, {} beacons heard, {missed} missed (one every {every})",
        vocable_protocol::Facts::of(&guest.facts).agent.as_deref().unwrap_or("unknown"),
        guest.beats
    );
    let outcome = if guest.state.is_there() && *missed == 0 { Outcome::Ok } else { Outcome::Bad };
    Check { link: Link::Agent, result: outcome, text }
}

fn words(facts: &Facts, now: Now) -> Check {
    let last_error = facts.guest.as_ref().and_then(|(guest, _)| guest.last_error.as_ref());
    let (outcome, mut text) = match last_error {
        Some((at, error)) => (Outcome::Unknown, format!("last error {}: {error}", ago(*at, now))),
        None => (Outcome::Ok, "no word has failed for it".to_owned()),
    };
    let guest = facts.guest.as_ref().map(|(guest, _)| guest);
    match guest.map_or(0, |guest| guest.stray_answers) {
        0 => {}
        1 => text.push_str("; 1 answer that nobody waited for"),
        n => text.push_str(&format!("; {n} answers that nobody waited for")),
    }
    let at_the_guest = guest.and_then(|guest| vocable_protocol::Facts::of(&guest.facts).unasked_answers);
    if let Some(count) = at_the_guest.filter(|count| *count > 0) {
        text.push_str(&format!("; {count} answers of the host that the guest had not asked for"));
    }
    match guest.map_or(0, |guest| guest.unheard) {
        0 => {}
        n => text.push_str(&format!("; {n} messages refused because too many of them waited")),
    }
    Check { link: Link::Words, result: outcome, text }
}

fn commands(facts: &Facts) -> Check {
    let text = match facts.commands {
        0 => "none under way".to_owned(),
        1 => "1 is under way".to_owned(),
        n => format!("{n} are under way"),
    };
    let text = match &facts.paused {
        Some(paused) => format!("{text}; {paused}"),
        None => text,
    };
    Check { link: Link::Commands, result: Outcome::Ok, text }
}

/// Which way its files take: either is well, and one may be slow. Of one that has just failed nobody knows what it is now.
fn files(facts: &Facts) -> Option<Check> {
    let Way { text, works } = facts.files.clone()?;
    Some(Check { link: Link::Files, result: if works { Outcome::Ok } else { Outcome::Unknown }, text })
}

fn sentence(facts: &Facts, now: Now) -> (String, Vec<Advice>) {
    let id = &facts.id;
    let advise = |command: String, text: &str| Advice { command, text: text.to_owned() };
    let token = || advise(format!("vocable token new {id}"), "then put it into its /etc/vocable/token");
    if let Some(refusals) = facts.refusals.as_ref().filter(|refusals| facts.keeps_it_out(refusals)) {
        return (format!("{id} is not let in: {}", refusals.reason), vec![token()]);
    }
    if let Some(told) = of_machine(facts, now) {
        return told;
    }
    let Some((guest, missed)) = &facts.guest else {
        let nobody = match facts.forgotten_names {
            false => format!("no guest is called \"{id}\", and nobody has tried to log in under that name"),
            true => format!(
                "no guest is called \"{id}\"; whether somebody has tried to log in under that name is not known: too many names were tried"
            ),
        };
        return (nobody, vec![advise("vocable guests".to_owned(), "shows who is there"), token()]);
    };
    let since = ago(guest.since, now);
    let restart =
        || advise(format!("vocable-guest on {id}"), "see whether it runs there, and what its log says");
    match guest.state {
        State::Never => {
            (format!("{id} has never joined: nothing has connected under its name"), vec![restart()])
        }
        State::Left => (format!("{id} left {since}: {}", guest.reason), vec![restart()]),
        State::Lost => (format!("{id} was lost {since}: {}", guest.reason), vec![restart()]),
        State::Late => {
            (format!("{id} is late: {}, {missed} beacons missed, and still connected", guest.reason), vec![])
        }
        State::Joined | State::Alive if facts.refusals.is_some() => {
            (format!("{id} is well, and somebody else tries to log in under its name"), vec![])
        }
        State::Joined | State::Alive => (format!("{id} is well"), vec![]),
    }
}

/// What the machine explains, if it does: a guest cannot be there if its machine is not.
fn of_machine(facts: &Facts, now: Now) -> Option<(String, Vec<Advice>)> {
    let id = &facts.id;
    let advise = |command: String, text: &str| Advice { command, text: text.to_owned() };
    let is_there = facts.guest.as_ref().is_some_and(|(guest, _)| guest.state.is_there());
    if let Some(Place::Duplicate(names)) = &facts.place {
        let last = names.last().map_or(id.as_str(), String::as_str);
        return Some((
            format!(
                "several machines have the address of {id}, {}: nobody knows in which it is",
                names.join(" and ")
            ),
            vec![advise(
                format!("vocable vm set {last} --mac new"),
                "gives one of them an address of its own",
            )],
        ));
    }
    let machine = facts.machine.as_ref()?;
    let time = time_since(machine.since, now);
    if let Some(Place::Elsewhere(_)) = &facts.place {
        return Some((
            format!(
                "{id} runs in another machine than its own: that one was probably cloned with its credential"
            ),
            vec![advise(format!("vocable token new {id}"), "then put it into that machine only")],
        ));
    }
    if is_there {
        return None;
    }
    let start = || advise(format!("vocable vm start {}", machine.name), "switches it on");
    let console =
        || advise(format!("vocable vm console {}", machine.name), "see whether vocable-guest runs in there");
    Some(match machine.state {
        VmState::Running if facts.guest.as_ref().is_none_or(|(guest, _)| guest.state == State::Never) => (
            format!(
                "{id} has never joined: its VM has been running for {time}, and no agent has connected from it"
            ),
            vec![
                console(),
                advise(format!("vocable guest-image --name {id}"), "puts the agent into an image"),
            ],
        ),
        VmState::Running => return None,
        VmState::Paused => (
            format!("{id} is held: its VM has been paused for {time}"),
            vec![advise(format!("vocable vm resume {}", machine.name), "lets it go on")],
        ),
        VmState::Stuck => (
            format!("{id} hangs: its VM has been stuck in the hypervisor for {time}"),
            vec![advise(
                format!("vocable vm reset {}", machine.name),
                "restarts it; what it did not write is lost",
            )],
        ),
        state if state.is_transitional() => {
            (format!("{id} is on its way: its VM has been {} for {time}", in_words(state)), vec![])
        }
        state => {
            (format!("{id} is not there: its VM has been {} for {time}", in_words(state)), vec![start()])
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::roster::{Roster, Timeouts};
    use std::collections::BTreeMap;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    const TIMEOUTS: Timeouts = Timeouts { beacon: Duration::from_secs(10), late_after: 1, lost_after: 3 };

    fn view(roster: &Roster, now: Now) -> RosterView {
        let with_missed = |(id, it): (&String, &Guest)| (id.clone(), (it.clone(), roster.missed(it, now)));
        RosterView {
            guests: roster.guests().iter().map(with_missed).collect(),
            strangers: roster.strangers().clone(),
            forgotten_strangers: roster.forgotten(),
            beacon: TIMEOUTS.beacon,
            commands: BTreeMap::new(),
            paused: BTreeMap::new(),
            machines: std::sync::Arc::default(),
            places: BTreeMap::new(),
        }
    }

    fn verdict(tell: impl FnOnce(&mut Roster, Now)) -> Verdict {
        let (mut roster, now) = (Roster::new(TIMEOUTS), Now::read());
        tell(&mut roster, now);
        let now = now.after(Duration::from_secs(30));
        judge(&Facts::gather("vm1", &view(&roster, now), &About::default()), now)
    }

    const HERE: Option<SocketAddr> = Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 4242));
    const ELSEWHERE: Option<SocketAddr> = Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)), 4242));

    #[test]
    fn a_name_that_may_have_been_forgotten_is_not_called_untried() {
        let told = verdict(|roster, now| {
            (0..500).for_each(|n| roster.refused(&format!("x{n}"), HERE, "no credential", now));
        });
        assert!(told.verdict.ends_with("is not known: too many names were tried"), "{}", told.verdict);
    }

    #[test]
    fn answers_that_nobody_waited_for_are_told_and_a_way_that_failed_is_not_called_good() {
        let (mut roster, now) = (Roster::new(TIMEOUTS), Now::read());
        roster.connected("vm1", HERE, now);
        roster.joined("vm1", "", serde_json::Map::new(), now);
        roster.count_stray_answer("vm1");
        let way = Way { text: "failed 2s ago: no answer".to_owned(), works: false };
        let told =
            judge(&Facts::gather("vm1", &view(&roster, now), &About::default()).with_files(Some(way)), now);
        let check = |link: Link| told.checks.iter().find(|check| check.link == link).cloned().unwrap();
        assert!(check(Link::Words).text.ends_with("; 1 answer that nobody waited for"));
        assert_eq!(check(Link::Files).result, Outcome::Unknown);
        assert_eq!(check(Link::Files).text, "failed 2s ago: no answer");
    }

    /// One row a support case: what happened, the verdict, the broken link.
    #[test]
    fn each_case_has_its_verdict() {
        type Case = (fn(&mut Roster, Now), &'static str, Option<Link>);
        let joined: fn(&mut Roster, Now) = |roster, now| {
            roster.connected("vm1", None, now);
            roster.joined("vm1", "10.0.0.1", serde_json::Map::new(), now.after(Duration::from_secs(25)));
        };
        let cases: [Case; 9] = [
            (joined, "vm1 is well", None),
            (
                |_, _| {},
                "no guest is called \"vm1\", and nobody has tried to log in under that name",
                Some(Link::Session),
            ),
            (
                |roster, now| roster.add_known("vm1", now),
                "vm1 has never joined: nothing has connected under its name",
                Some(Link::Session),
            ),
            (
                |roster, now| roster.refused("vm1", None, "the credential is not that of vm1", now),
                "vm1 is not let in: the credential is not that of vm1",
                Some(Link::Session),
            ),
            (
                |roster, now| {
                    roster.connected("vm1", HERE, now);
                    roster.joined("vm1", "", serde_json::Map::new(), now);
                    roster.disconnected("vm1", "connection reset", now);
                },
                "vm1 was lost 30s ago: connection reset",
                Some(Link::Session),
            ),
            // Strangers say what they like: it is still lost, or well.
            (
                |roster, now| {
                    roster.connected("vm1", HERE, now);
                    roster.joined("vm1", "", serde_json::Map::new(), now);
                    roster.disconnected("vm1", "connection reset", now);
                    roster.refused("vm1", ELSEWHERE, "the credential is not that of vm1", now);
                },
                "vm1 was lost 30s ago: connection reset",
                Some(Link::Session),
            ),
            (
                |roster, now| {
                    roster.connected("vm1", HERE, now);
                    roster.joined("vm1", "", serde_json::Map::new(), now.after(Duration::from_secs(25)));
                    roster.refused("vm1", ELSEWHERE, "the credential is not that of vm1", now);
                },
                "vm1 is well, and somebody else tries to log in under its name",
                None,
            ),
            // From where it was: it is the guest itself.
            (
                |roster, now| {
                    roster.connected("vm1", HERE, now);
                    roster.joined("vm1", "", serde_json::Map::new(), now);
                    roster.disconnected("vm1", "connection reset", now);
                    roster.refused("vm1", HERE, "the credential is not that of vm1", now);
                },
                "vm1 is not let in: the credential is not that of vm1",
                Some(Link::Session),
            ),
            (
                |roster, now| {
                    roster.connected("vm1", HERE, now);
                    roster.joined("vm1", "", serde_json::Map::new(), now);
                    roster.left("vm1", "the guest agent was stopped", now);
                    roster.disconnected("vm1", "closed by peer", now);
                },
                "vm1 left 30s ago: the guest agent was stopped",
                Some(Link::Session),
            ),
        ];
        for (tell, sentence, cause) in cases {
            let found = verdict(tell);
            assert_eq!(found.verdict, sentence);
            assert_eq!(found.cause, cause, "{sentence}");
            assert_eq!(found.well, cause.is_none(), "{sentence}");
        }
    }

    fn machine(name: &str, state: VmState, mac: &str, now: Now) -> Machine {
        let mut machine = Machine::new(format!("id-{name}"), name, now.utc);
        let card = crate::machines::Card { mac: mac.to_owned(), cable: true, ..Default::default() };
        (machine.state, machine.cards) = (state, vec![card]);
        machine
    }

    /// The verdict about vm1, where there are machines, and guests who say which address they have.
    fn in_machines(machines: &[(&str, VmState, &str)], joined: &[(&str, &str)]) -> Verdict {
        let now = Now::read();
        let mut roster = Roster::new(TIMEOUTS);
        for (guest, mac) in joined {
            let facts = serde_json::Map::from_iter([("mac".to_owned(), (*mac).into())]);
            roster.connected(guest, None, now);
            roster.joined(guest, "10.0.0.1", facts, now);
        }
        let all: BTreeMap<_, _> = machines
            .iter()
            .map(|(name, state, mac)| (format!("id-{name}"), machine(name, *state, mac, now)))
            .collect();
        let claims: Vec<_> = joined
            .iter()
            .map(|(guest, mac)| crate::machines::cards::Claim {
                guest: (*guest).to_owned(),
                mac: Some((*mac).to_owned()),
            })
            .collect();
        let places = crate::machines::cards::places(&all, &claims);
        let view = RosterView {
            guests: roster.guests().iter().map(|(id, it)| (id.clone(), (it.clone(), 0))).collect(),
            strangers: BTreeMap::new(),
            forgotten_strangers: 0,
            beacon: Duration::from_secs(10),
            commands: BTreeMap::new(),
            paused: BTreeMap::new(),
            machines: std::sync::Arc::new(crate::machines::request::View {
                machines: all,
                ..Default::default()
            }),
            places,
        };
        let hypervisor = About { driver: "fake", name: "the fake".into(), runs_machines: true };
        judge(&Facts::gather("vm1", &view, &hypervisor), now.after(Duration::from_secs(5)))
    }

    /// One row a support case in which the machine explains it.
    #[test]
    fn the_machine_explains_what_it_can() {
        const MAC: &str = "08:00:27:00:00:01";
        const OTHER: &str = "08:00:27:00:00:02";
        let vm1 = |state| ("vm1", state, MAC);
        type Case<'a> = (&'a [(&'a str, VmState, &'a str)], &'a [(&'a str, &'a str)], &'a str, Option<Link>);
        let cases: [Case<'_>; 7] = [
            (&[vm1(VmState::Running)], &[("vm1", MAC)], "vm1 is well", None),
            (&[vm1(VmState::Running)], &[("red", MAC)], "red is well", None),
            (&[vm1(VmState::PowerOff)], &[], "vm1 is not there: its VM has been off for 5s", Some(Link::Vm)),
            (&[vm1(VmState::Paused)], &[], "vm1 is held: its VM has been paused for 5s", Some(Link::Vm)),
            (
                &[vm1(VmState::Running)],
                &[],
                "vm1 has never joined: its VM has been running for 5s, and no agent has connected from it",
                Some(Link::Session),
            ),
            (
                &[vm1(VmState::Running), ("copy", VmState::Running, MAC)],
                &[("vm1", MAC)],
                "several machines have the address of vm1, copy and vm1: nobody knows in which it is",
                Some(Link::Card),
            ),
            (
                &[vm1(VmState::Running), ("vm2", VmState::Running, OTHER)],
                &[("vm1", OTHER)],
                "vm1 runs in another machine than its own: that one was probably cloned with its credential",
                Some(Link::Card),
            ),
        ];
        for (machines, joined, sentence, cause) in cases {
            let found = in_machines(machines, joined);
            assert_eq!(found.verdict, sentence);
            assert_eq!(found.cause, cause, "{sentence}");
            assert_eq!(found.well, cause.is_none(), "{sentence}");
        }
    }
}
