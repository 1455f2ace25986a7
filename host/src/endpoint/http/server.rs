//! Connections: accepted up to a number, each served by a task that ends with the endpoint.
//!
//! axum's own server has no time limit for the head of a request, no bound on connections and waits for the last of
//! them at the end; hence hyper's, one level below.

use std::{
    convert::Infallible,
    io,
    num::NonZeroU32,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    http::{Request, Response, StatusCode, header::RETRY_AFTER},
};
use bytes::Bytes;
use governor::{Quota, RateLimiter, clock::Clock as _, clock::DefaultClock, state::keyed::HashMapStateStore};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use crate::panics;

use super::{
    HttpConfig, Methods, endpoint,
    listener::{Accepted, Listener, Peer},
    places::{Busy, Place, Places},
};

/// How long connections may go on once the endpoint is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// How long to wait after a failed accept: the usual reason, no free file descriptor, does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The longest head of a request, bytes.
const HEAD: usize = 32 * 1024;

/// The most header fields of a request.
const HEADERS: usize = 64;

/// Callers whose rate is remembered, before those that have been quiet are forgotten.
const REMEMBERED: usize = 4096;

#[derive(Clone)]
struct Server {
    router: Router,
    places: Places,
    rates: Option<Arc<RateLimiter<Peer, HashMapStateStore<Peer>, DefaultClock>>>,
    patience: Duration,
    shutdown: CancellationToken,
}

/// Serves `methods` on the `listeners` until `shutdown` is cancelled, and returns at most two seconds after: calls
/// under way have one second to end before they are answered with a fault, then their connections end.
pub(crate) async fn serve(
    listeners: Vec<Listener>,
    methods: impl Methods,
    config: HttpConfig,
    shutdown: CancellationToken,
) {
    panics::watch();
    let rates = NonZeroU32::new(config.max_rate)
        .map(|rate| Arc::new(RateLimiter::hashmap(Quota::per_second(rate).allow_burst(rate))));
    let server = Server {
        places: Places::new(config.max_connections, config.max_connections_per_caller),
        rates,
        patience: config.read_timeout,
        router: endpoint::router(methods, config, shutdown.clone()),
        shutdown,
    };
    let mut serving = JoinSet::new();
    for listener in listeners {
        serving.spawn(server.clone().listen(listener));
    }
    while serving.join_next().await.is_some_and(log_panic) {}
}

impl Server {
    /// One listener, from the beginning to the end.
    async fn listen(self, listener: Listener) {
        let mut connections = JoinSet::new();
        let mut waiting = None;
        loop {
            let (accepted, peer, place) = tokio::select! {
                () = self.shutdown.cancelled() => break,
                Some(ended) = connections.join_next() => {
                    log_panic(ended);
                    continue;
                }
                next = self.next(&listener, &mut waiting) => next,
            };
            connections.spawn(self.clone().serve_connection(accepted, peer, place));
        }
        drop(listener);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(GRACE, all_ended).await.is_err() {
            tracing::warn!(connections = connections.len(), "closing connections whose calls have not ended");
        }
        connections.shutdown().await;
    }

    /// The next connection, once there is a place for it. Until then it is in `waiting`, where the next try finds it.
    async fn next(
        &self,
        listener: &Listener,
        waiting: &mut Option<(Accepted, Peer)>,
    ) -> (Accepted, Peer, Place) {
        loop {
            let peer = match waiting {
                Some((_, peer)) => *peer,
                None => waiting.insert(accept(listener).await).1,
            };
            match (self.places.wait(peer).await, waiting.take()) {
                (Ok(place), Some((accepted, peer))) => return (accepted, peer, place),
                _ => tracing::warn!(%peer, "a connection is refused: all of this caller's are busy"),
            }
        }
    }

    async fn serve_connection(self, accepted: Accepted, peer: Peer, place: Place) {
        let stream = match timeout(self.patience, accepted.into_stream()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "no TLS"),
            Err(_) => return tracing::debug!(%peer, "no TLS in time"),
        };
        let mut stream = Box::pin(TimeoutStream::new(stream));
        stream.as_mut().set_write_timeout_pinned(Some(self.patience));
        let end = place.end.clone();
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(|request| self.answer(&router, request, peer, &place));
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.patience)
                .max_header_size(HEAD)
                .max_headers(HEADERS)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = end.cancelled() => return,
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }

    /// One request, if this caller has not asked too much lately.
    fn answer(
        &self,
        router: &TowerToHyperService<Router>,
        mut request: Request<Incoming>,
        peer: Peer,
        place: &Place,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<> {
        let busy = place.busy();
        let answer = match self.too_fast(peer) {
            Some(wait) => Err(wait),
            None => {
                request.extensions_mut().insert(peer);
                Ok(router.call(request))
            }
        };
        async move {
            let response = match answer {
                Ok(response) => response.await?,
                Err(wait) => {
                    tracing::debug!(%peer, "too many requests");
                    too_many(wait)
                }
            };
            Ok(response.map(|body| Body::new(Answering { body, _busy: busy })))
        }
    }

    /// How long this caller has to wait, if it has to.
    fn too_fast(&self, peer: Peer) -> Option<Duration> {
        let rates = self.rates.as_ref()?;
        if rates.len() > REMEMBERED {
            rates.retain_recent();
        }
        let not_until = rates.check_key(&peer.party()).err()?;
        Some(not_until.wait_time_from(DefaultClock::default().now()))
    }
}

fn too_many(wait: Duration) -> Response<Body> {
    let seconds = wait.as_secs() + 1;
    let text = format!("too many requests; wait {seconds} s (api.max_rate)\n");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

/// The body of an answer: as long as it is being sent, its connection is busy.
struct Answering {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn accept(listener: &Listener) -> (Accepted, Peer) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The client gave up before we came to it.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | NotConnected)
}

/// Says so if a task has panicked.
fn log_panic(ended: Result<(), tokio::task::JoinError>) -> bool {
    if let Err(error) = &ended {
        tracing::error!(%error, "a connection's task failed");
    }
    true
}
