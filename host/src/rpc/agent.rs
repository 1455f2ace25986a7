//! `agent.*`: the agent itself, and what happens.

use super::{
    Context, Gives, Kind, Method, Param, deadline, json_value, members, optional, options, required, samples,
    unix,
};
use crate::events::{Event, Wanted};
use futures_util::future::BoxFuture;
use vocable_xmlrpc::{Fault, Params, Value};

/// Events in one answer, unless the caller wants fewer.
const MOST_EVENTS: u32 = 1000;

/// What is told of an event.
const EVENT: &[Param] = &[
    required("seq", Kind::Int, "its number: counts up by one"),
    required("time", Kind::DateTime, "when"),
    required("time_unix", Kind::Double, "the same in seconds since 1970"),
    required("kind", Kind::String, "guest.joined, cmd.done, word.loaded ..."),
    optional("guest", Kind::String, "whom it is about"),
    optional("cmd_id", Kind::String, "which command it is about"),
    required("text", Kind::String, "in words"),
    optional("data", Kind::Struct(&[]), "further facts"),
];

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "agent.events",
        help: "Tells what has happened, oldest first. Waits for the first event if there is none yet. The agent keeps \
               the last 10,000.",
        params: &[
            required("since", Kind::Double, "the number of the first event wanted; 0: all that are kept"),
            required("timeout_s", Kind::Double, "seconds to wait at most; more than 20 are 20"),
            options(&[
                optional("guest", Kind::String, "only those about this guest"),
                optional("kinds", Kind::Array(&Kind::String), "only these kinds; globs: guest.*"),
                optional("limit", Kind::Int, "at most so many [default: 1000]"),
            ]),
        ],
        gives: Gives::one(&[
            required("next", Kind::Int, "what to ask for next"),
            required("dropped", Kind::Int, "so many in between are no longer kept"),
            required("events", Kind::Structs(EVENT), "the events"),
        ]),
        changes: false,
        call: |context, params| Box::pin(events(context, params)),
    },
    Method {
        name: "agent.shutdown",
        help: "Stops the host agent in an orderly way. Commands on guests go on, and are taken up at the next start.",
        params: &[],
        gives: Gives::one(&[required("stopping", Kind::Bool, "true")]),
        changes: true,
        call: shutdown,
    },
    Method {
        name: "agent.status",
        help: "Tells how it stands with the agent, in numbers.",
        params: &[],
        gives: Gives::one(&[
            required("uptime_s", Kind::Double, "seconds since the agent was started"),
            required("guests", Kind::Int, "guests the host knows"),
            required("guests_online", Kind::Int, "those that are there"),
            required("broker_connections", Kind::Int, "guests that are connected"),
            required("commands_running", Kind::Int, "commands that are not over"),
            required("words", Kind::Int, "words of the host"),
            optional("rss_bytes", Kind::Int, "memory of the agent"),
        ]),
        changes: false,
        call: |context, params| Box::pin(status(context, params)),
    },
    Method {
        name: "agent.version",
        help: "Tells who answers here.",
        params: &[],
        gives: Gives::one(&[
            required("name", Kind::String, "vocable"),
            required("version", Kind::String, "of the host agent"),
            required("words_api", Kind::String, "the contract that words are written against"),
            required("broker", Kind::Array(&Kind::String), "where guests connect"),
            required("started", Kind::DateTime, "when the agent started"),
            required("started_unix", Kind::Double, "the same in seconds since 1970"),
        ]),
        changes: false,
        call: version,
    },
];

async fn events(context: Context, mut params: Params) -> Result<Value, Fault> {
    let since: f64 = params.required("since")?;
    let timeout: f64 = params.required("timeout_s")?;
    let mut options = params.options()?;
    let kinds: Vec<String> = options.take("kinds")?.unwrap_or_default();
    let wanted = Wanted::of(options.take("guest")?, &kinds)
        .map_err(|error| options.invalid(&format!("option \"kinds\": {error}")))?;
    let limit = options.take::<i32>("limit")?.and_then(|n| u32::try_from(n).ok()).unwrap_or(MOST_EVENTS);
    options.finish()?;
    // Event numbers are exact in a double; what is below zero or no number means all.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what a u64 holds"
    )]
    let since = since.max(0.0) as u64;
    let limit = limit.clamp(1, MOST_EVENTS) as usize;
    let found = context.handle.events(since, limit, &wanted, deadline(&context, timeout)).await?;
    Ok(Value::from([
        ("next", Value::from(found.next)),
        ("dropped", Value::from(found.dropped)),
        ("events", found.events.into_iter().map(event).collect()),
    ]))
}

/// What is told of an event.
pub(super) fn event(event: Event) -> Value {
    let data = (!event.data.is_empty()).then(|| json_value(event.data.into()));
    members([
        ("seq", Some(Value::from(event.seq))),
        ("time", Some(Value::from(event.time))),
        ("time_unix", Some(unix(event.time))),
        ("kind", Some(Value::from(event.kind))),
        ("guest", event.guest.map(Value::from)),
        ("cmd_id", event.cmd_id.map(Value::from)),
        ("vm", event.vm.map(Value::from)),
        ("text", Some(Value::from(event.text))),
        ("data", data),
    ])
}

fn shutdown(context: Context, params: Params) -> BoxFuture<'static, Result<Value, Fault>> {
    Box::pin(async move {
        params.finish()?;
        context.quit.cancel();
        Ok(Value::from([("stopping", Value::from(true))]))
    })
}

async fn status(context: Context, params: Params) -> Result<Value, Fault> {
    params.finish()?;
    let view = context.handle.roster().await?;
    let guests = || view.guests.values().map(|(guest, _)| guest);
    let count = |number: usize| Some(Value::from(number as u64));
    Ok(members([
        ("uptime_s", Some(Value::from(samples::uptime(&context)))),
        ("guests", count(guests().count())),
        ("guests_online", count(guests().filter(|guest| guest.state.is_there()).count())),
        ("broker_connections", count(guests().filter(|guest| guest.connection.is_some()).count())),
        ("commands_running", Some(Value::from(view.commands.values().copied().map(u64::from).sum::<u64>()))),
        ("words", count(context.lexicon.words().len())),
        ("rss_bytes", samples::resident_octets().map(Value::from)),
    ]))
}

fn version(context: Context, params: Params) -> BoxFuture<'static, Result<Value, Fault>> {
    Box::pin(async move {
        params.finish()?;
        let about = &context.about;
        Ok(Value::from([
            ("name", Value::from("vocable")),
            ("version", Value::from(env!("CARGO_PKG_VERSION"))),
            ("words_api", Value::from(vocable_runtime::CONTRACT)),
            ("broker", about.broker.iter().map(|address| Value::from(address.as_str())).collect()),
            ("started", Value::from(about.started)),
            ("started_unix", unix(about.started)),
        ]))
    })
}
