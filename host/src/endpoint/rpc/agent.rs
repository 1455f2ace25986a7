//! `agent.*`: the agent itself, and what happens.

use super::{Context, Entry, deadline, json_struct, method, samples};
use crate::agent::events::{self, Wanted};
use vocable_api::agent::{
    Event, EventPage, Events, GetStatus, GetVersion, Shutdown, Status, Stopping, Version,
};
use vocable_api::fault::Fault;
use vocable_api::method::invalid;

/// Events in one answer, unless the caller wants fewer.
const MAX_EVENTS: u32 = 1000;

pub(super) fn methods() -> Vec<Entry> {
    vec![method(get_events), method(shutdown), method(status), method(version)]
}

async fn get_events(context: Context, request: Events) -> Result<EventPage, Fault> {
    let wanted = Wanted::of(request.guest, &request.kinds.unwrap_or_default())
        .map_err(|error| invalid::<Events>("kinds", &error.to_string()))?;
    let limit = request.limit.and_then(|n| u32::try_from(n).ok()).unwrap_or(MAX_EVENTS);
    // Event numbers are exact in a double; what is below zero or no number means all.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what a u64 holds"
    )]
    let since = request.since.max(0.0) as u64;
    let limit = limit.clamp(1, MAX_EVENTS) as usize;
    let until = deadline(&context, request.timeout_s);
    let found = context.handle.events(since, limit, &wanted, until).await?;
    let events = found.events.into_iter().map(event).collect();
    Ok(EventPage { next: found.next, dropped: found.dropped, events })
}

/// An event as callers see it.
pub(super) fn event(event: events::Event) -> Event {
    Event {
        seq: event.seq,
        time: event.time.into(),
        time_unix: event.time.into(),
        kind: event.kind,
        guest: event.guest,
        cmd_id: event.cmd_id,
        vm: event.vm,
        text: event.text,
        data: (!event.data.is_empty()).then(|| json_struct(event.data)),
    }
}

async fn shutdown(context: Context, _: Shutdown) -> Result<Stopping, Fault> {
    context.quit.cancel();
    Ok(Stopping { stopping: true })
}

async fn status(context: Context, _: GetStatus) -> Result<Status, Fault> {
    let view = context.handle.roster().await?;
    let guests = || view.guests.values().map(|(guest, _)| guest);
    let count = |number: usize| number as u64;
    Ok(Status {
        uptime_s: samples::uptime(&context),
        guests: count(guests().count()),
        guests_online: count(guests().filter(|guest| guest.state.is_there()).count()),
        broker_connections: count(guests().filter(|guest| guest.connection.is_some()).count()),
        commands_running: view.commands.values().copied().map(u64::from).sum(),
        words: count(context.lexicon.words().len()),
        rss_bytes: samples::resident_bytes(),
    })
}

async fn version(context: Context, _: GetVersion) -> Result<Version, Fault> {
    let about = &context.about;
    Ok(Version {
        name: "vocable".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        words_api: vocable_runtime::CONTRACT.to_owned(),
        broker: about.broker.clone(),
        started: about.started.into(),
        started_unix: about.started.into(),
    })
}
