//! `GET /attach/<cmd_id>`: a WebSocket for what calls cannot carry: output of a command as it comes, its standard input
//! as it is typed, and the size of its terminal.
//!
//! ```text
//! caller ═ frames ═▶ conversation ─┬─ watch, output ─▶ Handle
//!                                  └─ input, resize ─▶ Handle ─▶ words ─▶ guest
//! ```
//!
//! Several may watch a command, one writes, the next one when that goes. Query: `out` and `err` (offsets to go on from)
//! and `input=1` (who wants to write). An attachment holds nothing that would be lost with it: output is on disk, and each
//! end tells the other what it is done with, so a caller that comes again goes on where it was.
//!
//! A command that has a terminal is hung up (SIGHUP, as when a modem lost its line) if all who were attached have been
//! lost and nobody has come for a while; who says that it leaves is not lost.

use crate::agent::commands::Command;
use crate::agent::handle::{Found, Handle};
use crate::audit::{Audit, Caller};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::json;
use slots::Attachments;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use vocable_api::attach::{FRAME, Offsets};
use vocable_api::fault::{Fault, FaultKind};
use vocable_runtime::Lexicon;
use vocable_xmlrpc::excerpt;

mod conversation;
mod slots;

/// Attachments at a time; each holds a window of output and one of input at most.
const MAX_ATTACHED: usize = 256;

/// What all attachments share.
struct Attach {
    handle: Handle,
    lexicon: Lexicon,
    hangup_after: Duration,
    places: Arc<Semaphore>,
    attachments: Attachments,
    shutdown: CancellationToken,
}

/// Where to go on, and what for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    #[serde(default)]
    out: u64,
    #[serde(default)]
    err: u64,
    #[serde(default)]
    input: u8,
}

/// The route. Whoever comes here has shown the token already. Attachments end when `shutdown` is cancelled; a command with
/// a terminal is hung up `hangup_after` after everybody who was attached was lost.
pub(crate) fn router(
    handle: Handle,
    lexicon: Lexicon,
    hangup_after: Duration,
    shutdown: CancellationToken,
) -> Router {
    let places = Arc::new(Semaphore::new(MAX_ATTACHED));
    let attachments = Attachments::default();
    let attach = Attach { handle, lexicon, hangup_after, places, attachments, shutdown };
    Router::new().route("/attach/{cmd_id}", get(answer)).with_state(Arc::new(attach))
}

async fn answer(
    State(attach): State<Arc<Attach>>,
    Extension(caller): Extension<Caller>,
    Extension(audit): Extension<Audit>,
    Path(id): Path<String>,
    Query(start): Query<Start>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let command = match attach.command(&id).await {
        Ok(command) => command,
        Err(fault) => return refusal(&fault),
    };
    let Ok(place) = attach.places.clone().try_acquire_owned() else {
        return refusal(&Fault::new(
            FaultKind::TooMany,
            format!("{MAX_ATTACHED} callers are attached already"),
        ));
    };
    let writes = start.input != 0;
    // Who only watches changes nothing.
    let line = writes.then(|| audit.begin(&caller, "attach", [("cmd_id", command.id.as_str())]));
    let upgrade = upgrade.max_message_size(FRAME).max_frame_size(FRAME);
    upgrade.on_upgrade(move |socket| async move {
        let from = Offsets { out: start.out, err: start.err };
        conversation::attach(&attach, command, from, writes, socket).await;
        drop(place);
        if let Some(line) = line {
            line.end("ok").await;
        }
    })
}

impl Attach {
    async fn command(&self, id: &str) -> Result<Command, Fault> {
        match self.handle.find(id).await? {
            Found::Command(command) => Ok(*command),
            Found::Run(run, _) => {
                let text = format!("{} is on several guests: attach to one of them", excerpt(&run.id));
                Err(Fault::new(FaultKind::InvalidParameter, text))
            }
        }
    }
}

/// Before there is a WebSocket.
fn refusal(fault: &Fault) -> Response {
    let status = match fault.kind {
        FaultKind::NoSuchCommand => StatusCode::NOT_FOUND,
        FaultKind::InvalidParameter => StatusCode::BAD_REQUEST,
        kind if kind.transient() => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let error = json!({"code": fault.kind.slug(), "fault": fault.kind.code(), "message": fault.message});
    (status, [(CONTENT_TYPE, "application/json")], format!("{}\n", json!({"error": error}))).into_response()
}
