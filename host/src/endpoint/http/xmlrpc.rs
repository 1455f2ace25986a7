//! XML-RPC over HTTP. Faults come with status 200; any other status is for requests that never were a call, and comes
//! with a line of plain text.

use std::sync::Arc;

use axum::{
    Extension,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use tokio::task::JoinError;
use vocable_xmlrpc::{Call, Fault, Limits, parse_call, write_answer, write_fault};

use super::{
    Methods,
    body::BodyError,
    endpoint::{Endpoint, is_compressed, plain},
};
use crate::{audit::Caller, panics};
use vocable_api::fault::{self, FaultKind};

/// Documents longer than this are not parsed on the threads that serve connections, bytes.
const LONG: usize = 64 * 1024;

pub(super) async fn answer<M: Methods>(
    State(endpoint): State<Arc<Endpoint<M>>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    if !is_xml(&head.headers) {
        return plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the content type must be text/xml or application/xml",
        );
    }
    if is_compressed(&head.headers) {
        return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "compressed requests are not supported");
    }
    let held = match endpoint.bodies.read(&head.headers, body).await {
        Ok(held) => held,
        Err(error) => return unread(&error, endpoint.config.max_request),
    };
    let document = respond(&endpoint, &caller, held.bytes).await;
    drop(held.share);
    xml(document)
}

fn is_xml(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    ["text/xml", "application/xml"].iter().any(|known| media_type.eq_ignore_ascii_case(known))
}

fn unread(error: &BodyError, limit: usize) -> Response {
    let response = match error {
        BodyError::Broken => plain(StatusCode::BAD_REQUEST, "the request's body is broken"),
        BodyError::Slow => plain(StatusCode::REQUEST_TIMEOUT, "the request's body took too long"),
        BodyError::Busy | BodyError::TooLong { .. } => xml(write_fault(&error.fault(limit).into())),
    };
    error.close_if_unread(response)
}

async fn respond<M: Methods>(endpoint: &Endpoint<M>, caller: &Caller, document: Bytes) -> Vec<u8> {
    let response = match parse(document, endpoint.config.max_request).await {
        Ok(call) => {
            let result = endpoint.until_stopped(endpoint.dispatcher.positional(caller, call)).await;
            result.map_err(Fault::from)
        }
        Err(fault) => Err(fault),
    };
    write_answer(&response)
}

/// A long document is parsed aside, so that it does not hold up the other connections of the thread.
async fn parse(document: Bytes, max_bytes: usize) -> Result<Call, Fault> {
    let limits = Limits { max_bytes, ..Limits::default() };
    if document.len() <= LONG {
        return parse_call(&document, &limits).map_err(|error| error.fault());
    }
    let parsed = tokio::task::spawn_blocking(move || parse_call(&document, &limits)).await;
    let failed = |error: JoinError| match error.try_into_panic() {
        Ok(panic) => panics::fault("reading the request", &*panic),
        Err(_) => fault::Fault::new(FaultKind::Stopping, "the host agent is stopping"),
    };
    parsed.map_err(|error| Fault::from(failed(error)))?.map_err(|error| error.fault())
}

fn xml(document: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "text/xml; charset=utf-8")], document).into_response()
}
