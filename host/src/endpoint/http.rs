//! The HTTP endpoint of the API, XML-RPC and JSON: who may connect, what a request must look like, how long it may take.
//! It knows no method but the `system.*` ones every XML-RPC server has; the others are behind [`Methods`].
//! Not here: XML (`vocable-xmlrpc`), and what methods do.
//!
//! ```text
//! connection ─ limits ─▶ Origin? 403 ─ token? 401 ─▶ route ─ media type? 415 ─▶ body ─▶ dispatch ─▶ system.* | Methods
//!                                                     ├─ /api/openapi.json, /metrics, /healthz (without token)
//!                                                     └─ routes of others ([`HttpConfig::extra`])
//! ```
//!
//! Everything a client can make grow is bounded: connections, headers, bodies (each and together), the time to send
//! a request or take its reply. A call is not: how long it waits is the method's own matter, and it is dropped when
//! the client goes away.

use std::{borrow::Cow, fmt, time::Duration};

use crate::audit::Audit;
use axum::Router;
use futures_util::future::BoxFuture;
use vocable_api::description::MethodInfo;
use vocable_api::fault::Fault;
use vocable_xmlrpc::{Params, Value};

mod auth;
mod body;
mod dispatch;
mod endpoint;
pub(crate) mod files;
mod json;
mod listener;
mod metrics;
mod places;
mod server;
mod system;
mod tls;
mod xmlrpc;

pub(crate) use listener::{Listener, Peer, unix};
pub(crate) use metrics::Sample;
pub(crate) use server::serve;
#[cfg(test)]
pub(crate) use system::SYSTEM;
pub(crate) use tls::{Identity, TlsError};

/// The methods that can be called. They may come and go while the endpoint serves them.
pub(crate) trait Methods: Send + Sync + 'static {
    /// Carries the call out. An unknown method is [`Fault::no_such_method`].
    fn call(&self, method: String, params: Params) -> BoxFuture<'_, Result<Value, Fault>>;

    /// Whether whatever is behind the methods still works.
    fn is_well(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { true })
    }

    /// How it stands with whatever is behind the methods, in numbers.
    fn samples(&self) -> BoxFuture<'_, Vec<Sample>> {
        Box::pin(async { Vec::new() })
    }

    fn list(&self) -> Vec<MethodInfo>;

    fn describe(&self, name: &str) -> Option<Cow<'static, MethodInfo>> {
        self.list().into_iter().find(|method| method.name == name).map(Cow::Owned)
    }
}

#[derive(Clone)]
pub(crate) struct HttpConfig {
    /// What a client has to know: the password of Basic authentication, or a Bearer token.
    pub(crate) token: String,
    /// The longest request body, bytes. All bodies together may take four times as much.
    pub(crate) max_request: usize,
    /// How long a client may take for the head of a request, for its body, and to take the reply; and how long a
    /// connection may be idle between requests.
    pub(crate) read_timeout: Duration,
    /// Connections at a time. More take the place of idle ones, or wait while all are busy.
    pub(crate) max_connections: usize,
    /// Where calls that change something are written down.
    pub(crate) audit: Audit,
    /// Routes beside those of calls, for callers with the token only. Each request brings its
    /// [`Caller`](crate::audit::Caller) and the [`Audit`] as extensions.
    pub(crate) extra: Router,
    /// Connections of one caller (an address, or a user of this machine) at a time; more take the place of its idle
    /// ones, or are closed.
    pub(crate) max_connections_per_caller: usize,
    /// Requests a second of one caller, and at once after a pause; 0 is no limit.
    pub(crate) max_rate: u32,
    /// What the answer of one request may take, of all calls in it together, bytes as XML.
    pub(crate) max_answer: usize,
}

impl HttpConfig {
    /// The usual limits: 16 MiB, 30 s, 256 connections, as many of one caller, no limit of their rate, answers of 64 MiB.
    pub(crate) fn new(token: impl Into<String>) -> Self {
        Self {
            token: token.into(),
            max_request: 16 * 1024 * 1024,
            read_timeout: Duration::from_secs(30),
            max_connections: 256,
            audit: Audit::none(),
            extra: Router::new(),
            max_connections_per_caller: 256,
            max_rate: 0,
            max_answer: 64 * 1024 * 1024,
        }
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpConfig")
            .field("max_request", &self.max_request)
            .field("read_timeout", &self.read_timeout)
            .field("max_connections", &self.max_connections)
            .field("max_connections_per_caller", &self.max_connections_per_caller)
            .field("max_rate", &self.max_rate)
            .field("max_answer", &self.max_answer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
