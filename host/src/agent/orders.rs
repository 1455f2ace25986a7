//! Commands on their way to their guests: said, taken back while nobody has them, ended, and given up.

use super::{Agent, Tracked, answer};
use crate::agent::asks::{Pending, Purpose};
use crate::agent::commands::{Active, BookError, Command, Failure, State};
use crate::agent::control::Signal;
use crate::agent::reports::Writing;
use crate::agent::request::{Answer, OutgoingMessage, Reply};
use crate::agent::time::moment;
use crate::panics::caught;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tracing::{info, warn};
use vocable_api::clock::Now;
use vocable_api::fault::{Fault, FaultKind};
use vocable_protocol::{Event, Mailbox, header};
use vocable_runtime::{Message, WordError, wrap};
use vocable_stomp::broker::{Destination, LinkError, Withdrawn};

/// Codes of commands that nobody wants any more, though they may still run.
const UNWANTED: [&str; 2] = ["cancelled", "expired"];

/// Why an order is taken back out of a mailbox.
pub(super) enum TakeBack {
    /// Its guest is gone; it is said again when that is back.
    Away,
    Cancelled(Reply<bool>),
    Expired,
}

impl Agent {
    /// Takes commands that are written down to their guests.
    pub(super) fn begin(&mut self, commands: Vec<Command>) {
        for command in commands {
            self.note_command(&command);
            if !command.state.is_over() {
                // What waits for a guest that is away is said when that is back.
                if self.away(&command.guest).is_none() {
                    self.compose(&command);
                }
                self.track(Active::new(command), false);
            }
        }
    }

    /// Has the words that are bound to it say that something is to be run.
    fn compose(&self, command: &Command) {
        let program = &command.program;
        let facts = json!({header::CMD_ID: command.id, "cmd": program.cmd, "args": program.args,
            "env": program.env, "path": program.path, "options": program.options});
        let (lexicon, id, guest) = (self.lexicon.clone(), command.id.clone(), command.guest.clone());
        let said = async move {
            let event = Event::RunRequested;
            let said = caught(&guest, lexicon.raise(event.as_str(), facts.to_string())).await;
            let failed = |fault: Fault| Failure::new(fault.kind.slug(), fault.message);
            said.map_err(failed).and_then(|said| first_said(event, said))
        };
        self.background(said, |agent, said| agent.composed(id, said));
    }

    fn composed(&mut self, id: String, said: Result<OutgoingMessage, Failure>) {
        let Some(it) = self.commands.get(&id) else { return };
        let command = &it.active.command;
        let (guest, due) = (command.guest.clone(), command.due());
        match said {
            // It was lost meanwhile, or has the order by now: what is missing is said when it is back.
            Ok(_) if self.away(&guest).is_some() || self.asks.carrier(&id).is_some() => {}
            Ok(said) => {
                let until = due.map(|due| moment(due, Now::read()));
                let purpose = Purpose::Command(id);
                self.ask(Pending { guest, deadline: None, purpose }, said, until);
            }
            Err(failure) => self.close_as(&id, State::Failed, failure),
        }
    }

    /// What a guest has not taken yet is sent again when it is back: the mailbox may have been lost with the broker.
    pub(super) fn resend(&self, guest: &str) {
        let missing =
            |command: &&Command| command.state == State::Queued && self.asks.carrier(&command.id).is_none();
        self.commands_of(guest)
            .map(|it| &it.active.command)
            .filter(missing)
            .for_each(|command| self.compose(command));
    }

    /// The guest has said whether it takes a command.
    pub(super) fn taken(&mut self, guest: &str, id: &str, answer: Answer) {
        let Some(it) = self.commands.get_mut(id) else {
            if answer.is_ok() {
                // It was given up while it was on its way.
                self.request_stop(id, guest, Some(Duration::ZERO));
            }
            return;
        };
        match answer {
            // It was said to it twice.
            Ok(_) if it.is_taken => {}
            Ok(_) => {
                let now = Now::read();
                it.active.started(now.utc);
                (it.heard, it.is_taken) = (Some(now.mono), true);
                it.changed.send_replace(());
                let command = it.active.command.clone();
                self.note_command(&command);
                self.write_down(command);
            }
            // So was a former order; the one that is on its way counts.
            Err(_) if it.is_taken || self.asks.carrier(id).is_some() => {}
            Err(refused) => {
                let code = if refused.kind == "unknown-word" { "no-such-word" } else { &refused.kind };
                let message = format!("{guest} refused it: {}", refused.text);
                self.close_as(id, State::Failed, Failure::new(code, message));
            }
        }
    }

    /// A command that was given up goes on: its true end is still to be told.
    pub(super) fn revive(&mut self, mut active: Active) {
        let command = &mut active.command;
        info!(cmd = command.id, guest = command.guest, "it was given up, and goes on");
        let was_unwanted = command.failure.as_ref().is_some_and(|failure| UNWANTED.contains(&&*failure.code));
        (command.state, command.ended, command.failure) = (State::Running, None, None);
        command.deadline = None;
        let (id, guest) = (command.id.clone(), command.guest.clone());
        self.track(active, true);
        if was_unwanted {
            // Somebody was told that it may still run: it is not to go on.
            self.request_stop(&id, &guest, Some(Duration::ZERO));
        }
    }

    /// A guest that comes back names the commands it has yet to tell of, unless they are too many. One that it had taken
    /// and does not name is gone: with its state, or because it was taken back to a time before it.
    ///
    /// What it had told the end of and was acknowledged is not looked for here any more: it was closed before the
    /// acknowledgement. What it has not taken yet is in no list. And a list from before something was heard of a command
    /// says nothing about it, in whatever order the two have come: only what was last heard of before this connection
    /// is looked for.
    pub(super) fn mark_missing_lost(&mut self, guest: &str, named: Option<Value>) {
        let Some(Ok(named)) = named.map(serde_json::from_value::<BTreeSet<String>>) else { return };
        let since = self.roster.get(guest).and_then(|guest| guest.connection).map(|it| it.at);
        let Some(since) = since else { return };
        let missing = |it: &&Tracked| {
            let command = &it.active.command;
            command.state == State::Running
                && !named.contains(&command.id)
                && it.heard.is_none_or(|heard| heard < since)
        };
        let missing: Vec<_> =
            self.commands_of(guest).filter(missing).map(|it| it.active.command.id.clone()).collect();
        for id in missing {
            let message = format!(
                "{guest} came back without it: its state was lost, or it was taken back to an earlier snapshot"
            );
            self.close_as(&id, State::Lost, Failure::new("guest-reset", message));
        }
    }

    /// A command waits no longer for its guest, or is to be over by now.
    pub(super) fn on_deadline(&mut self, id: &str, now: Now) {
        let Some(it) = self.commands.get_mut(id) else { return };
        let command = &mut it.active.command;
        let guest = command.guest.clone();
        if command.due().is_some_and(|due| due > now.utc) {
            // What was due has been done: it was taken in time.
            self.due.extend(command.due().map(|due| (due, id.to_owned())));
        } else if command.state == State::Queued {
            // If there is an order in the mailbox, its end comes with what becomes of that.
            if self.take_back(id, TakeBack::Expired).is_some() {
                self.expire(id);
            }
        } else if command.deadline.take().is_some() {
            // Of a guest that is away this waits in the mailbox; the caller waits no longer.
            self.request_stop(id, &guest, None);
            if self.away(&guest).is_some() {
                let text =
                    format!("{guest} does not answer at the deadline; what became of {id} is not known");
                self.close_as(id, State::Lost, Failure::new("guest-lost", text));
            }
        }
    }

    /// Has the words that are bound to it say that a command is to end; without a grace, by its own.
    fn request_stop(&mut self, id: &str, guest: &str, grace: Option<Duration>) {
        if let Some(it) = self.commands.get_mut(id) {
            it.active.command.ending = true;
        }
        let facts = Signal { number: Signal::TERM, end: Some(grace) }.facts(id);
        let (lexicon, id, guest) = (self.lexicon.clone(), id.to_owned(), guest.to_owned());
        let event = Event::SignalRequested;
        let said = async move { lexicon.raise(event.as_str(), Value::Object(facts).to_string()).await };
        self.background(said, move |agent, said| match first_said(event, said) {
            Ok(said) => agent.send(&guest, &said.word, wrap(&said.word, said.message).to(&guest)),
            Err(failure) => warn!(cmd = id, guest, "not ended: {}", failure.message),
        });
    }

    /// Gives up a command that its guest does not have, and never will.
    pub(super) fn withdraw(&mut self, id: &str, reply: Reply<bool>) {
        if let Some(it) = self.commands.get_mut(id) {
            it.active.command.ending = true;
        }
        let waits = |it: &Tracked| it.active.command.state == State::Queued;
        if !self.commands.get(id).is_some_and(waits) {
            return answer(reply, false);
        }
        if let Some(TakeBack::Cancelled(reply)) = self.take_back(id, TakeBack::Cancelled(reply)) {
            self.cancel(id);
            answer(reply, true);
        }
    }

    /// Has the order for a command taken back out of its guest's mailbox; what comes of it is told later. Gives back why
    /// if there is no order there.
    fn take_back(&self, id: &str, why: TakeBack) -> Option<TakeBack> {
        let Some(it) = self.commands.get(id) else { return Some(why) };
        let Some(ask) = self.asks.carrier(id).map(str::to_owned) else { return Some(why) };
        let mailbox = Destination::parse(&Mailbox::ToGuest.of(&it.active.command.guest));
        let Ok(mailbox) = mailbox else { return Some(why) };
        let (sender, id) = (self.link.sender().clone(), id.to_owned());
        let withdrawing = async move {
            let withdrawn = sender.withdraw(&mailbox, header::ASKED, &ask).await;
            (ask, withdrawn)
        };
        self.background(withdrawing, move |agent, (ask, withdrawn)| {
            agent.taken_back(&id, &ask, withdrawn, why);
        });
        None
    }

    /// An order was taken out of its guest's mailbox, or was not there any more: then its guest has it.
    fn taken_back(&mut self, id: &str, ask: &str, withdrawn: Result<Withdrawn, LinkError>, why: TakeBack) {
        let was_on_its_way = self.asks.carrier(id) == Some(ask);
        let was_delivered = match withdrawn {
            Ok(Withdrawn::Removed { was_delivered }) => Some(was_delivered),
            Ok(Withdrawn::NotThere) | Err(_) => None,
        };
        match was_delivered {
            Some(false) => drop(self.asks.remove(ask)),
            // Its guest may have taken it before it came back, and may still say so.
            Some(true) => self.asks.detach(ask),
            None => {}
        }
        let is_back = was_delivered.is_some() || !was_on_its_way;
        // It may have been taken meanwhile, and may even be over.
        let Some(it) = self.commands.get_mut(id) else {
            if let TakeBack::Cancelled(reply) = why {
                answer(reply, false);
            }
            return;
        };
        let is_queued = it.active.command.state == State::Queued;
        it.may_be_there |= was_on_its_way && was_delivered != Some(false);
        let guest = it.active.command.guest.clone();
        match why {
            TakeBack::Cancelled(reply) if is_queued && is_back => {
                self.cancel(id);
                answer(reply, true);
            }
            // The guest is asked to end it.
            TakeBack::Cancelled(reply) => answer(reply, false),
            TakeBack::Expired if is_queued => self.expire(id),
            // It came back while the order was taken out.
            TakeBack::Away if is_back && self.away(&guest).is_none() => self.resend(&guest),
            TakeBack::Away | TakeBack::Expired => {}
        }
    }

    /// What waits in the mailbox of a guest that is gone is taken back, so that nothing is begun later that nobody wants
    /// then; what is still wanted is said again when it is back.
    pub(super) fn take_all_back(&self, guest: &str) {
        for it in self.commands_of(guest).filter(|it| it.active.command.state == State::Queued) {
            self.take_back(&it.active.command.id, TakeBack::Away);
        }
    }

    /// Messages for a guest were not fetched in time: which ones is not known, so none counts as on its way.
    pub(super) fn forget_orders(&mut self, guest: &str) {
        let ids: Vec<_> = self.commands_of(guest).map(|it| it.active.command.id.clone()).collect();
        for id in ids {
            let Some(ask) = self.asks.carrier(&id).map(str::to_owned) else { continue };
            self.asks.detach(&ask);
            if let Some(it) = self.commands.get_mut(&id) {
                it.may_be_there = true;
            }
        }
    }

    fn cancel(&mut self, id: &str) {
        let Some(it) = self.commands.get(id) else { return };
        let (state, what) = match it.may_be_there {
            false => (State::Cancelled, "it was cancelled before its guest had it; nothing was run"),
            true => (
                State::Lost,
                "it was cancelled, and its guest may have had it by then: it may still run; if it tells of it, it is ended",
            ),
        };
        self.close_as(id, state, Failure::new("cancelled", what));
    }

    /// A command that waited was not taken in time.
    fn expire(&mut self, id: &str) {
        let Some(it) = self.commands.get(id) else { return };
        let guest = &it.active.command.guest;
        let (state, message) = match it.may_be_there {
            false => (State::Failed, format!("{guest} did not take it in time; nothing was run")),
            true => (
                State::Lost,
                format!(
                    "{guest} did not say in time that it has taken it: it may still run; if it tells of it, it is ended"
                ),
            ),
        };
        self.close_as(id, state, Failure::new("expired", message));
    }

    /// A command is over without its guest.
    pub(super) fn close_as(&mut self, id: &str, state: State, failure: Failure) {
        if self.commands.get(id).is_some_and(|it| it.writing == Some(Writing::End)) {
            // Its true end is known.
            return;
        }
        let Some(mut it) = self.untrack(id) else { return };
        let now = Now::read();
        warn!(cmd = id, guest = it.active.command.guest, "given up: {}", failure.message);
        self.roster.failed(&it.active.command.guest, &failure.message, now);
        it.active.failed(state, failure, now.utc);
        self.note_command(&it.active.command);
        for report in it.reports.drain(..) {
            report.refuse(BookError::Preparing { id: id.to_owned() });
        }
        let (store, active, changed) = (self.store.clone(), it.active, it.changed);
        let (id, guest) = (id.to_owned(), active.command.guest.clone());
        self.background(async move { store.give_up(active).await }, move |_, written| {
            if let Err(error) = written {
                tracing::error!(cmd = id, guest, "not written down: {error}");
            }
            // Only now: whoever waits looks into the store next.
            drop(changed);
        });
    }

    /// Writes down what has become of a command. What cannot be written is in the log: the guest still has it, or
    /// nothing is lost that could not be found out again.
    fn write_down(&self, command: Command) {
        let (id, guest) = (command.id.clone(), command.guest.clone());
        let store = self.store.clone();
        self.background(async move { store.update(command).await }, move |_, written| {
            if let Err(error) = written {
                tracing::error!(cmd = id, guest, "not written down: {error}");
            }
        });
    }
}

/// The message that the first of the words bound to an event has made of it.
fn first_said(
    event: Event,
    said: Vec<(String, Result<Message, WordError>)>,
) -> Result<OutgoingMessage, Failure> {
    match said.into_iter().next() {
        None => Err(Failure::new(FaultKind::NoSuchWord.slug(), format!("no word is bound to {event}"))),
        Some((word, Ok(message))) => Ok(OutgoingMessage { word, message }),
        Some((_, Err(error))) => Err(Failure::new(error.slug(), error.to_string())),
    }
}
