//! Who is there, under which names, and in which machines: what the broker and the guests say of it.

use super::messages::shorten_error;
use super::{Agent, answer};
use crate::agent::commands::Command;
use crate::agent::events::About;
use crate::agent::request::{Reply, RosterView, Selected};
use crate::agent::roster::{Change, Guest, State};
use crate::agent::store::StoreError;
use crate::machines::cards::{self, Claim, Place};
use crate::machines::service::View;
use futures_util::FutureExt;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use tracing::{info, warn};
use vocable_api::clock::Now;
use vocable_api::fault::Fault;
use vocable_api::target::Target;
use vocable_protocol::{Facts, HOST, Mailbox, excerpt};
use vocable_stomp::broker::BrokerEvent;

/// Characters of the name of somebody who was not let in.
const LONGEST_NAME: usize = 64;

impl Agent {
    pub(super) fn select(&self, target: &Target) -> Result<Vec<Selected>, Fault> {
        let names = self.names();
        let chosen = target.resolve(&names.keys().cloned().collect(), &self.groups)?;
        // A guest may be selected by its id and by the name of its machine: it is still one guest.
        let chosen: BTreeSet<String> = chosen.iter().filter_map(|name| names.get(name).cloned()).collect();
        Ok(chosen.into_iter().map(|guest| Selected { away: self.away(&guest), guest }).collect())
    }

    /// The guest of that id, or in the machine of that name, with its id.
    pub(super) fn guest(&self, name: String) -> Option<(String, Guest)> {
        if let Some(guest) = self.roster.get(&name) {
            return Some((name, guest.clone()));
        }
        let id = self.names().remove(&name)?;
        let guest = self.roster.get(&id)?.clone();
        Some((id, guest))
    }

    /// Why a guest can't be reached now, if it can't.
    pub(super) fn away(&self, id: &str) -> Option<String> {
        let guest = self.roster.get(id)?;
        if guest.state.is_there() {
            return None;
        }
        let reason = if guest.reason.is_empty() { String::new() } else { format!(": {}", guest.reason) };
        Some(format!("{}{reason}", guest.state.as_str()))
    }

    /// Every name somebody has, with the guest it means: ids, and names of machines that a guest is in.
    fn names(&self) -> BTreeMap<String, String> {
        let view = self.machines.view();
        let of_machines = self.places(&view).into_iter().filter_map(|(guest, place)| match place {
            Place::In(machine) => Some((view.machines.get(&machine)?.name.clone(), guest)),
            _ => None,
        });
        // An id is somebody's own: no machine takes it away.
        of_machines.chain(self.roster.guests().keys().map(|id| (id.clone(), id.clone()))).collect()
    }

    fn places(&self, view: &View) -> BTreeMap<String, Place> {
        if !self.machines.about().runs_machines {
            return cards::plain_places(self.roster.guests().keys());
        }
        let claim = |(id, guest): (&String, &Guest)| Claim {
            guest: id.clone(),
            mac: guest.facts.get("mac").and_then(Value::as_str).map(str::to_owned),
        };
        cards::places(&view.machines, &self.roster.guests().iter().map(claim).collect::<Vec<_>>())
    }

    /// Whether it is clear which machine a guest is in; if not, everybody is told, and nothing is guessed.
    fn check_placement(&mut self, guest: &str) {
        if !self.machines.about().runs_machines {
            return;
        }
        let view = self.machines.view();
        let name = |id: &String| view.machines.get(id).map_or_else(|| id.clone(), |it| it.name.clone());
        let (kind, text) = match self.places(&view).remove(guest) {
            Some(Place::Duplicate(names)) => (
                "guest.duplicate-mac",
                format!(
                    "its address is that of several machines, {}: it is taken for none",
                    names.join(" and ")
                ),
            ),
            Some(Place::Elsewhere(id)) => (
                "guest.elsewhere",
                format!("it goes by the name of {guest}, and its address is that of {}", name(&id)),
            ),
            Some(Place::Contested(id)) => {
                ("guest.duplicate-mac", format!("another guest says to be in {} too", name(&id)))
            }
            Some(Place::In(_) | Place::Nowhere) | None => return,
        };
        self.fail_guest(guest, &text);
        self.events.note(kind, About::guest(guest), text, Now::read());
    }

    pub(super) fn view(&self) -> RosterView {
        let machines = self.machines.view();
        let now = Now::read();
        let with_missed =
            |(id, guest): (&String, &Guest)| (id.clone(), (guest.clone(), self.roster.missed(guest, now)));
        let count = |(guest, ids): (&String, &BTreeSet<String>)| {
            (guest.clone(), u32::try_from(ids.len()).unwrap_or(u32::MAX))
        };
        let commands = self.commands_of.iter().map(count).collect();
        let paused = |command: &Command| {
            let why = command.paused.as_ref()?;
            Some((command.guest.clone(), format!("{} is held up: {why}", command.id)))
        };
        let paused = self.commands.values().filter_map(|it| paused(&it.active.command)).collect();
        RosterView {
            guests: self.roster.guests().iter().map(with_missed).collect(),
            strangers: self.roster.strangers().clone(),
            forgotten_strangers: self.roster.forgotten(),
            beacon: self.roster.timeouts().beacon,
            commands,
            paused,
            places: self.places(&machines),
            machines,
        }
    }

    /// Writes down the digest of a guest's credential; the guest is known from then on.
    pub(super) fn set_credential(
        &self,
        guest: String,
        token_sha256: [u8; 32],
        reply: Reply<Result<(), StoreError>>,
    ) {
        let (store, id) = (self.store.clone(), guest.clone());
        self.background(async move { store.set_credential(id, token_sha256).await }, move |agent, set| {
            if set.is_ok() {
                agent.roster.known(&guest, Now::read());
            }
            answer(reply, set);
        });
    }

    pub(super) fn joined(&mut self, guest: &str, ip: &str, mut facts: Map<String, Value>) {
        let now = Now::read();
        // Whatever was streamed to the guest that was there before has lost its other end.
        self.streams.forget(guest);
        let jobs = facts.remove(Facts::JOBS);
        let change = self.roster.joined(guest, ip, facts, now);
        change.into_iter().for_each(|change| self.on_change(change));
        self.check_placement(guest);
        self.mark_missing_lost(guest, jobs);
        if self.away(guest).is_none() {
            self.resend(guest);
        }
        // Saying that one is there again and again costs no less than other messages.
        self.turns.charge(guest, now.mono.elapsed());
    }

    pub(super) fn on_change(&mut self, change: Change) {
        let Change { guest, state, reason } = change;
        info!(guest, "guest {}{}{reason}", state.as_str(), if reason.is_empty() { "" } else { ": " });
        if !state.is_there() {
            self.streams.forget(&guest);
            self.abandon_asks(&guest, &format!("{}: {reason}", state.as_str()));
            self.take_all_back(&guest);
        } else if state == State::Alive {
            // What was taken back while it was silent.
            self.resend(&guest);
        }
        self.events.note(&format!("guest.{}", state.as_str()), About::guest(&guest), reason, Now::read());
    }

    pub(super) async fn on_broker_event(&mut self, event: BrokerEvent) {
        let now = Now::read();
        match event {
            // The host's own link is no guest.
            BrokerEvent::LoggedIn { login, .. } | BrokerEvent::LoggedOut { login, .. } if &*login == HOST => {
            }
            BrokerEvent::LoggedIn { login, peer, .. } => {
                self.disconnect(&login);
                self.roster.connected(&login, peer, now);
            }
            BrokerEvent::LoggedOut { login, reason, .. } => {
                // What it said before is heard first, such as that it leaves.
                while let Some(Some(frame)) = self.link.receive().now_or_never() {
                    self.arriving.push_back(frame);
                }
                self.line_up();
                self.endings.insert(login.to_string(), reason.to_string());
                if self.turns.is_idle(&login) {
                    self.disconnect(&login);
                }
            }
            BrokerEvent::Refused { login, peer, reason } => {
                let name = login.unwrap_or_default();
                let name: String = name.chars().take(LONGEST_NAME).collect();
                let reason = shorten_error(reason);
                warn!(guest = name, ?peer, "login refused: {reason}");
                self.roster.refused(&name, peer, &reason, now);
                match self.roster.get(&name) {
                    Some(_) => self.events.note("guest.refused", About::guest(&name), reason, now),
                    None => self.events.note_stranger("guest.refused", &name, reason, now),
                }
            }
            BrokerEvent::Duplicate { login, peer, holder } => {
                let from = |peer: Option<SocketAddr>| {
                    peer.map_or_else(|| "inside".to_owned(), |peer| peer.to_string())
                };
                let reason = format!(
                    "a second guest calls itself {login}: from {}, while the one from {} is there; the second was refused",
                    from(peer),
                    from(holder)
                );
                warn!(guest = &*login, "{reason}");
                self.roster.refused(&login, peer, &reason, now);
                self.events.note("guest.duplicate", About::guest(&login), reason, now);
            }
            BrokerEvent::Denied { login, action, destination } => {
                let text = format!("wanted to {action} {}, which it may not", excerpt(&destination));
                self.fail_guest(&login, &text);
                self.events.note("guest.denied", About::guest(&login), text, now);
            }
            BrokerEvent::Expired { destination, messages, .. } => {
                let guest = Mailbox::ToGuest.guest(destination.as_str()).unwrap_or_default();
                warn!(guest, "{messages} messages in {} were not fetched in time", destination.as_str());
                self.forget_orders(guest);
            }
            BrokerEvent::Full { login, destination } => {
                warn!(guest = &*login, "{} is full: a message was refused", destination.as_str());
            }
            BrokerEvent::Dropped { login, messages, .. } => {
                warn!(guest = &*login, "{messages} messages were dropped");
            }
            BrokerEvent::Missed { events } => {
                warn!("{events} events of the broker were missed: reading its connections");
                self.read_connections(now).await;
            }
        }
    }

    /// The connection of a guest has ended, if it has, and all that it said before is heard.
    pub(super) fn disconnect(&mut self, guest: &str) {
        if let Some(reason) = self.endings.remove(guest) {
            let change = self.roster.disconnected(guest, &reason, Now::read());
            change.into_iter().for_each(|change| self.on_change(change));
        }
    }

    /// Makes up for events that were missed.
    async fn read_connections(&mut self, now: Now) {
        let Ok(connections) = self.broker.connections().await else { return };
        let there: BTreeMap<_, _> = connections
            .iter()
            .filter(|it| &*it.login != HOST)
            .map(|it| (it.login.to_string(), it.peer))
            .collect();
        let connected = self.roster.guests().iter().filter(|(_, guest)| guest.connection.is_some());
        let gone: Vec<_> = connected.map(|(id, _)| id.clone()).filter(|id| !there.contains_key(id)).collect();
        for id in gone {
            let change = self.roster.disconnected(&id, "its connection ended", now);
            change.into_iter().for_each(|change| self.on_change(change));
        }
        for (id, peer) in there {
            let known = self.roster.get(&id).and_then(|guest| guest.connection);
            if known.is_none_or(|connection| connection.peer != peer) {
                self.roster.connected(&id, peer, now);
            }
        }
    }
}
