//! `GET /events`: what happens as server-sent events, as it happens.
//!
//! The id of an event is `AGENT-NUMBER`: when the agent was started, in milliseconds since 1970, and the event's number.
//! Who comes back with the last one it has seen (`Last-Event-ID`, as browsers' `EventSource` and other clients do by
//! themselves, or `?since=`) goes on without a gap; if some events are gone, or the agent was started anew, the first
//! event is of the kind `gap`.

use super::Context;
use super::agent::event;
use crate::agent::events::{Since, Wanted};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{self, Stream, StreamExt};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vocable_api::agent::Gap;
use vocable_api::fault::{Fault, FaultKind};
use vocable_xmlrpc::{Value, to_json, to_value};

/// Events fetched at a time.
const AT_ONCE: usize = 256;
/// How often silence is broken by a comment, so that nobody in between takes the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The header with the id of the last event a client has seen.
const LAST_EVENT_ID: &str = "last-event-id";

/// The route, for the endpoint. Streams end with `stop`.
pub(crate) fn router(context: Context, stop: CancellationToken) -> Router {
    Router::new().route("/events", get(events)).with_state((context, stop))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventQuery {
    /// Number or id of the first event wanted.
    since: Option<String>,
    /// Globs of kinds, separated by commas.
    kinds: Option<String>,
    guest: Option<String>,
}

async fn events(
    State((context, stop)): State<(Context, CancellationToken)>,
    query: Result<Query<EventQuery>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(error) => return refused(&format!("expected since, kinds or guest: {}", error.body_text())),
    };
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let agent = agent_id(&context);
    let Some(from) = beginning(last, query.since.as_deref(), agent) else {
        return refused("since: expected the number or the id of an event");
    };
    let kinds: Vec<_> = query.kinds.iter().flat_map(|kinds| kinds.split(',')).map(str::to_owned).collect();
    let wanted = match Wanted::of(query.guest, &kinds) {
        Ok(wanted) => wanted,
        Err(error) => return refused(&format!("kinds: {error}")),
    };
    let stream = follow(context, wanted, from, agent).take_until(stop.cancelled_owned());
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

fn refused(problem: &str) -> Response {
    let fault = Fault::new(FaultKind::InvalidParameter, format!("/events: {problem}"));
    let error = serde_json::json!({"error": {"code": fault.kind.slug(), "fault": fault.kind.code(),
        "message": fault.message, "transient": false}});
    (StatusCode::BAD_REQUEST, [(CONTENT_TYPE, "application/json")], format!("{error}\n")).into_response()
}

/// What tells this run of the agent from others.
fn agent_id(context: &Context) -> u64 {
    u64::try_from(context.about.started.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// With this event. A gap before it is told if the client has been here before.
    Number {
        number: u64,
        again: bool,
    },
    /// With the first one of this agent: the client knows another.
    OtherAgent,
    Now,
}

fn beginning(last: Option<&str>, since: Option<&str>, agent: u64) -> Option<Start> {
    let id = |text: &str| {
        let (of, number) = text.split_once('-')?;
        Some((of.parse::<u64>().ok()?, number.parse::<u64>().ok()?))
    };
    // An id names what was seen, a bare number what is wanted first.
    match (last.or(since).map(str::trim), last.is_some()) {
        (None, _) => Some(Start::Now),
        (Some(text), _) if text.contains('-') => {
            let (of, number) = id(text)?;
            let number = number.saturating_add(1);
            Some(if of == agent { Start::Number { number, again: true } } else { Start::OtherAgent })
        }
        (Some(text), seen) => {
            let number: u64 = text.parse().ok()?;
            Some(Start::Number { number: number.saturating_add(seen.into()), again: number > 0 })
        }
    }
}

struct Following {
    context: Context,
    wanted: Wanted,
    agent: u64,
    next: u64,
    /// Whether the client is to be told of events that are gone.
    tells_gaps: bool,
    waiting: VecDeque<SseEvent>,
}

fn follow(
    context: Context,
    wanted: Wanted,
    from: Start,
    agent: u64,
) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    let begin = async move {
        let (next, tells_gaps) = match from {
            Start::Number { number, again } => (number, again),
            Start::OtherAgent => (0, true),
            Start::Now => (newest(&context).await, true),
        };
        let mut following = Following { context, wanted, agent, next, tells_gaps, waiting: VecDeque::new() };
        if from == Start::Now {
            // Whoever loses the connection before the first event can go on from here.
            let id = format!("{agent}-{}", following.next.saturating_sub(1));
            following.waiting.push_back(SseEvent::default().id(id));
        }
        if from == Start::OtherAgent {
            let text = "the agent was started anew; what happened before is not kept";
            following.waiting.push_back(gap(text, None));
            following.tells_gaps = false;
        }
        following
    };
    stream::once(begin).flat_map(|following| stream::unfold(following, Following::step))
}

async fn newest(context: &Context) -> u64 {
    let found = context.handle.events(u64::MAX, 1, &Wanted::default(), Instant::now()).await;
    found.map_or(0, |found| found.next)
}

impl Following {
    async fn step(mut self) -> Option<(Result<SseEvent, Infallible>, Self)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some((Ok(event), self));
            }
            let deadline = Instant::now() + KEEP_ALIVE;
            let found = self.context.handle.events(self.next, AT_ONCE, &self.wanted, deadline).await;
            // The agent is stopping: so does the stream.
            let Since { events, next, dropped } = found.ok()?;
            if dropped > 0 && self.tells_gaps {
                let gap = gap(&format!("{dropped} events are no longer kept"), Some(dropped));
                self.waiting.push_back(gap);
            }
            self.tells_gaps = true;
            for it in events {
                let id = format!("{}-{}", self.agent, it.seq);
                self.waiting.push_back(sse_event(&event(it)).id(id));
            }
            self.next = next;
        }
    }
}

fn gap(text: &str, dropped: Option<u64>) -> SseEvent {
    sse_event(&Gap { kind: Gap::KIND.to_owned(), text: text.to_owned(), dropped })
}

fn sse_event(message: &impl Serialize) -> SseEvent {
    // All of a message has a value.
    let value = to_value(message).unwrap_or_else(|error| Value::from(error.to_string()));
    SseEvent::default().data(to_json(&value).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_say_where_they_were() {
        let number = |number, again| Some(Start::Number { number, again });
        assert_eq!(beginning(None, None, 7), Some(Start::Now));
        assert_eq!(beginning(None, Some("0"), 7), number(0, false));
        assert_eq!(beginning(None, Some("12"), 7), number(12, true));
        assert_eq!(beginning(Some("7-12"), None, 7), number(13, true));
        assert_eq!(beginning(None, Some("7-12"), 7), number(13, true));
        assert_eq!(beginning(Some("7-12"), Some("0"), 7), number(13, true), "what was seen counts");
        assert_eq!(beginning(Some("12"), None, 7), number(13, true));
        assert_eq!(beginning(Some("6-12"), None, 7), Some(Start::OtherAgent));
        for bad in ["", "x", "7-", "-3", "7-x", "1.5"] {
            assert_eq!(beginning(None, Some(bad), 7), None, "{bad}");
        }
    }
}
