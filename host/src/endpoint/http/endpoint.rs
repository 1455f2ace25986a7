//! The routes, and what every request has to pass before it gets to one: web pages are refused, the token is wanted,
//! and what comes of it is counted.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{Path, Query, Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_TYPE, ORIGIN, WWW_AUTHENTICATE},
    },
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use tokio_util::sync::CancellationToken;
use vocable_xmlrpc::{Value, excerpt};

use super::{
    HttpConfig, Methods, Peer, auth,
    body::Bodies,
    dispatch::Dispatcher,
    json,
    metrics::{MEDIA_TYPE, Metrics},
    system, xmlrpc,
};
use crate::{audit::Caller, panics};
use vocable_api::{
    description::openapi,
    fault::{Fault, FaultKind},
    proof,
};

/// What a person sees who opens the address in a browser.
const GREETING: &str = "Vocable host agent. XML-RPC: POST to /RPC2 with the token as password; start with system.listMethods. JSON: POST \
     to /api/METHOD; start with /api/openapi.json.\n";

/// How long a call may go on once the endpoint is told to stop.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) struct Endpoint<M> {
    pub(super) dispatcher: Dispatcher<M>,
    pub(super) config: HttpConfig,
    pub(super) bodies: Bodies,
    shutdown: CancellationToken,
}

pub(super) fn router<M: Methods>(methods: M, config: HttpConfig, shutdown: CancellationToken) -> Router {
    let (extra, audit, metrics) = (config.extra.clone(), config.audit.clone(), Metrics::default());
    let bodies = Bodies::new(config.clone());
    let max_answer = config.max_answer;
    let dispatcher = Dispatcher { methods, audit: audit.clone(), metrics: metrics.clone(), max_answer };
    let endpoint = Arc::new(Endpoint { dispatcher, config, bodies, shutdown });
    let open = Router::new()
        .route("/", get(|| async { GREETING }))
        .route("/RPC2", get(|| async { GREETING }))
        .route("/healthz", get(health::<M>))
        .route("/proof", get(prove::<M>))
        .with_state(endpoint.clone());
    let guarded = Router::new()
        .route("/", post(xmlrpc::answer::<M>))
        .route("/RPC2", post(xmlrpc::answer::<M>))
        .route("/api/{method}", post(answer_json::<M>))
        .route("/api/openapi.json", get(describe::<M>))
        .route("/metrics", get(measure::<M>))
        .with_state(endpoint.clone())
        .merge(extra.layer(Extension(audit)))
        .route_layer(from_fn_with_state(endpoint, admit::<M>));
    open.merge(guarded)
        .fallback(|| async {
            plain(StatusCode::NOT_FOUND, "nothing here; XML-RPC is at /RPC2, JSON at /api/METHOD")
        })
        .layer(from_fn(refuse_web_pages))
        .layer(from_fn(survive))
        .layer(from_fn_with_state(metrics, count))
}

async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    metrics.answered(response.status().as_u16());
    response
}

/// A mistake of ours ends the request it happens in.
async fn survive(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    panics::caught(&excerpt(&path), next.run(request)).await.unwrap_or_else(|fault| {
        if path.starts_with("/api/") {
            json::refusal(StatusCode::INTERNAL_SERVER_ERROR, &fault)
        } else {
            plain(StatusCode::INTERNAL_SERVER_ERROR, &fault.to_string())
        }
    })
}

/// Browsers name the page that sends a request, programs have none. No page has business here: what it could do
/// with a token that the browser remembers, its visitor never asked for.
async fn refuse_web_pages(request: Request, next: Next) -> Response {
    if request.headers().contains_key(ORIGIN) {
        return plain(StatusCode::FORBIDDEN, "requests of web pages (Origin) are refused");
    }
    next.run(request).await
}

/// Lets callers with the token through, and notes who they are.
async fn admit<M: Methods>(
    State(endpoint): State<Arc<Endpoint<M>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(caller) = caller(&request, &endpoint.config.token) else {
        tracing::debug!("refused a request without the token");
        return unauthorised(request.uri().path());
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Who calls, if the request shows that it may, or the kernel vouches for it.
fn caller(request: &Request, token: &str) -> Option<Caller> {
    let peer = request.extensions().get::<Peer>();
    let of = |login: String| Caller { login, peer: peer.map(ToString::to_string).unwrap_or_default() };
    if let Some(user) = peer.and_then(|peer| peer.user()) {
        return Some(of(format!("uid {user}")));
    }
    auth::authorised(request.headers(), token).then(|| of("token".to_owned()))
}

fn unauthorised(path: &str) -> Response {
    let text = "not authorised; send the token as password of Basic authentication, or as Bearer";
    let mut response = if path.starts_with("/api/") {
        json::error(StatusCode::UNAUTHORIZED, "not-authorised", FaultKind::NotAllowed, text)
    } else {
        plain(StatusCode::UNAUTHORIZED, text)
    };
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"vocable\""));
    response
}

async fn answer_json<M: Methods>(
    State(endpoint): State<Arc<Endpoint<M>>>,
    Path(method): Path<String>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let held = match endpoint.bodies.read(&head.headers, body).await {
        Ok(held) => held,
        Err(error) => {
            let limit = endpoint.config.max_request;
            return error.close_if_unread(json::refusal(error.status(), &error.fault(limit)));
        }
    };
    if is_compressed(&head.headers) || !json::is_json(&head.headers, &held.bytes) {
        let text = "the content type must be application/json, not compressed";
        let fault = Fault::new(FaultKind::InvalidParameter, text);
        return json::refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, &fault);
    }
    let call = json::call(&endpoint.dispatcher, &caller, &method, held.bytes);
    let result = endpoint.until_stopped(call).await;
    drop(held.share);
    json::response(result)
}

async fn describe<M: Methods>(State(endpoint): State<Arc<Endpoint<M>>>) -> Response {
    let methods = system::all(&endpoint.dispatcher.methods);
    json::document(StatusCode::OK, &openapi::document(&methods))
}

async fn measure<M: Methods>(State(endpoint): State<Arc<Endpoint<M>>>) -> Response {
    let samples = endpoint.dispatcher.methods.samples().await;
    match endpoint.dispatcher.metrics.text(samples) {
        Ok(text) => ([(CONTENT_TYPE, MEDIA_TYPE)], text).into_response(),
        Err(error) => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("the metrics cannot be written: {error}"))
        }
    }
}

#[derive(serde::Deserialize)]
struct Asked {
    #[serde(default)]
    nonce: String,
}

/// Shows to a caller who knows the token that we do, too, before it sends it to us.
async fn prove<M: Methods>(
    State(endpoint): State<Arc<Endpoint<M>>>,
    Query(Asked { nonce }): Query<Asked>,
) -> Response {
    let proof = if proof::is_nonce(&nonce) { proof::of(&endpoint.config.token, &nonce) } else { None };
    match proof {
        Some(proof) => json::document(StatusCode::OK, &serde_json::json!({"proof": proof})),
        None => plain(StatusCode::BAD_REQUEST, "the nonce must be 64 hexadecimal digits"),
    }
}

async fn health<M: Methods>(State(endpoint): State<Arc<Endpoint<M>>>) -> Response {
    match endpoint.dispatcher.methods.is_well().await {
        true => plain(StatusCode::OK, "ok"),
        false => plain(StatusCode::SERVICE_UNAVAILABLE, "the agent does not answer"),
    }
}

impl<M: Methods> Endpoint<M> {
    /// The result of a call, or once the endpoint stops a fault instead of it.
    pub(super) async fn until_stopped(
        &self,
        call: impl Future<Output = Result<Value, Fault>>,
    ) -> Result<Value, Fault> {
        tokio::select! {
            biased;
            result = call => result,
            () = last_words(&self.shutdown) => {
                let text = "the host agent is stopping and did not wait for the end of this call";
                Err(Fault::new(FaultKind::Stopping, text))
            }
        }
    }
}

async fn last_words(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(LAST_WORDS).await;
}

/// Whether the body is packed in a way we do not unpack.
pub(super) fn is_compressed(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_ENCODING)
}

pub(super) fn plain(status: StatusCode, line: &str) -> Response {
    (status, format!("{line}\n")).into_response()
}
