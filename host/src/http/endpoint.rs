//! One request: what it must look like, and what is answered. Faults are XML-RPC with status 200; any other status
//! is for requests that never were a call, and comes with a line of plain text.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, ORIGIN, WWW_AUTHENTICATE},
    },
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio_util::sync::CancellationToken;
use vocable_xmlrpc::{
    Call, Fault, Limits, Params, Value, code, excerpt, parse_call, write_fault, write_response,
};

use super::{
    HttpConfig, Methods, auth,
    body::{Bodies, BodyError},
    system,
};

/// What a person sees who opens the address in a browser.
const GREETING: &str =
    "Vocable host agent. XML-RPC: POST to /RPC2 with the token as password; start with system.listMethods.\n";

/// Documents longer than this are not parsed on the threads that serve connections, bytes.
const LONG: usize = 64 * 1024;

/// How long a call may go on once the endpoint is told to stop.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The fault number of a server that is stopping; waiting helps.
const STOPPING: i32 = 305;

/// The fault number of too much at a time; waiting helps.
const TOO_MANY: i32 = 301;

/// What all requests share.
struct Endpoint<M> {
    methods: M,
    config: HttpConfig,
    bodies: Bodies,
    shutdown: CancellationToken,
}

/// The routes of the endpoint.
pub(super) fn router(methods: impl Methods, config: HttpConfig, shutdown: CancellationToken) -> Router {
    let bodies = Bodies::new(config.clone());
    let endpoint = Arc::new(Endpoint { methods, config, bodies, shutdown });
    Router::new()
        .route("/", get(|| async { GREETING }).post(answer))
        .route("/RPC2", get(|| async { GREETING }).post(answer))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(|| async { plain(StatusCode::NOT_FOUND, "nothing here; XML-RPC is at /RPC2") })
        .layer(from_fn(refuse_web_pages))
        .with_state(endpoint)
}

/// Browsers name the page that sends a request, programs have none. No page has business here: what it could do
/// with a token that the browser remembers, its visitor never asked for.
async fn refuse_web_pages(request: Request, next: Next) -> Response {
    if request.headers().contains_key(ORIGIN) {
        return plain(StatusCode::FORBIDDEN, "requests of web pages (Origin) are refused");
    }
    next.run(request).await
}

async fn answer<M: Methods>(State(endpoint): State<Arc<Endpoint<M>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if let Some(refusal) = refuse(&head.headers, &endpoint.config.token) {
        return refusal;
    }
    let held = match endpoint.bodies.read(&head.headers, body).await {
        Ok(held) => held,
        Err(error) => return unread(&error, endpoint.config.max_request),
    };
    let document = respond(&endpoint, held.bytes).await;
    drop(held.share);
    xml(document)
}

/// What is wrong with the head of a request, if anything.
fn refuse(headers: &HeaderMap, token: &str) -> Option<Response> {
    if !auth::authorised(headers, token) {
        tracing::debug!("refused a request without the token");
        let mut response = plain(
            StatusCode::UNAUTHORIZED,
            "not authorised; send the token as password of Basic authentication, or as Bearer",
        );
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"vocable\""));
        return Some(response);
    }
    let unsupported = |problem| Some(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem));
    if !is_xml(headers) {
        return unsupported("the content type must be text/xml or application/xml");
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return unsupported("compressed requests are not supported");
    }
    None
}

fn is_xml(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    ["text/xml", "application/xml"].iter().any(|known| media_type.eq_ignore_ascii_case(known))
}

fn unread(error: &BodyError, limit: usize) -> Response {
    let fault = |number, text: String| xml(write_fault(&Fault::new(number, text)));
    let mut response = match error {
        BodyError::Broken => plain(StatusCode::BAD_REQUEST, "the request's body is broken"),
        BodyError::Busy => fault(TOO_MANY, "too-many: too many large requests at a time".to_owned()),
        BodyError::Slow => plain(StatusCode::REQUEST_TIMEOUT, "the request's body took too long"),
        BodyError::TooLong { .. } => fault(
            code::TOO_BIG,
            format!("too-big: the request is longer than {limit} bytes (api.max_request)"),
        ),
    };
    if !matches!(error, BodyError::TooLong { rest: false }) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// From a document to a document.
async fn respond<M: Methods>(endpoint: &Endpoint<M>, document: Bytes) -> Vec<u8> {
    let response = match parse(document, endpoint.config.max_request).await {
        Ok(call) => carry_out(endpoint, call).await,
        Err(fault) => Err(fault),
    };
    write_response(&response).unwrap_or_else(|error| {
        tracing::error!(%error, "a result cannot be sent");
        write_fault(&Fault::new(
            code::INTERNAL_ERROR,
            format!("internal: the result cannot be sent: {error}"),
        ))
    })
}

/// A long document is parsed aside, so that it does not hold up the other connections of the thread.
async fn parse(document: Bytes, max_bytes: usize) -> Result<Call, Fault> {
    let limits = Limits { max_bytes, ..Limits::default() };
    if document.len() <= LONG {
        return parse_call(&document, &limits).map_err(|error| error.fault());
    }
    let parsed = tokio::task::spawn_blocking(move || parse_call(&document, &limits)).await;
    let stopping = |_| Fault::new(STOPPING, "stopping: the host agent is stopping");
    parsed.map_err(stopping)?.map_err(|error| error.fault())
}

async fn carry_out<M: Methods>(endpoint: &Endpoint<M>, call: Call) -> Result<Value, Fault> {
    let Call { method, params } = call;
    let params = Params::new(method.clone(), params);
    let name = excerpt(&method);
    let response = tokio::select! {
        biased;
        response = system::call(&endpoint.methods, method, params) => response,
        () = last_words(&endpoint.shutdown) => {
            Err(Fault::new(STOPPING, "stopping: the host agent is stopping and did not wait for the end of this call"))
        }
    };
    tracing::debug!(method = name, fault = response.as_ref().err().map(Fault::text), "call");
    response
}

async fn last_words(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(LAST_WORDS).await;
}

fn xml(document: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "text/xml; charset=utf-8")], document).into_response()
}

fn plain(status: StatusCode, line: &str) -> Response {
    (status, format!("{line}\n")).into_response()
}
