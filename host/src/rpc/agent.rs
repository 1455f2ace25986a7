//! `agent.*`: the agent itself, and what happens.

use super::{Context, Method, deadline, json_value, members, unix};
use crate::events::Event;
use futures_util::future::BoxFuture;
use vocable_xmlrpc::{Fault, Params, Value};

/// Events in one answer, unless the caller wants fewer.
const MOST_EVENTS: u32 = 1000;

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "agent.events",
        signatures: &[&["struct", "int", "double"], &["struct", "int", "double", "struct"]],
        help: "agent.events(since, timeout_s, {limit}): what has happened, from number `since` on (0: all that is \
               kept). Waits for the first event at most timeout_s seconds. {next, dropped, events: [{seq, time, kind, \
               guest, cmd_id, text}]}; ask for `next` next time.",
        call: |context, params| Box::pin(events(context, params)),
    },
    Method {
        name: "agent.version",
        signatures: &[&["struct"]],
        help: "agent.version(): {name, version, words_api, broker, started}.",
        call: version,
    },
];

async fn events(context: Context, mut params: Params) -> Result<Value, Fault> {
    let since: f64 = params.required("since")?;
    let timeout: f64 = params.required("timeout_s")?;
    let mut options = params.options()?;
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
    let found = context.handle.events(since, limit, deadline(&context, timeout)).await?;
    Ok(Value::from([
        ("next", Value::from(found.next)),
        ("dropped", Value::from(found.dropped)),
        ("events", found.events.into_iter().map(event).collect()),
    ]))
}

fn event(event: Event) -> Value {
    let data = (!event.data.is_empty()).then(|| json_value(event.data.into()));
    members([
        ("seq", Some(Value::from(event.seq))),
        ("time", Some(Value::from(event.time))),
        ("time_unix", Some(unix(event.time))),
        ("kind", Some(Value::from(event.kind))),
        ("guest", event.guest.map(Value::from)),
        ("cmd_id", event.cmd_id.map(Value::from)),
        ("text", Some(Value::from(event.text))),
        ("data", data),
    ])
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
