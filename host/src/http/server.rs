//! Connections: accepted up to a number, each served by a task that ends with the endpoint.
//!
//! axum's own server has no time limit for the head of a request, no bound on connections and waits for the last of
//! them at the end; hence hyper's, one level below.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::{HttpConfig, Methods, endpoint};

/// How long connections may go on once the endpoint is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// How long to wait after a failed accept: the usual reason, no free file descriptor, does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The longest head of a request, bytes.
const HEAD: usize = 32 * 1024;

/// The most header fields of a request.
const HEADERS: usize = 64;

/// Serves `methods` on `listener` until `shutdown` is cancelled, and returns at most two seconds after: calls under
/// way have one second to end before they are answered with a fault, then their connections end.
pub async fn serve(
    listener: TcpListener,
    methods: impl Methods,
    config: HttpConfig,
    shutdown: CancellationToken,
) {
    let router = endpoint::router(methods, config.clone(), shutdown.clone());
    let places = Arc::new(Semaphore::new(config.max_connections));
    let mut connections = JoinSet::new();
    loop {
        let (stream, place) = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => {
                log_panic(ended);
                continue;
            }
            accepted = accept(&listener, &places) => accepted,
        };
        let connection = serve_connection(stream, router.clone(), config.read_timeout, shutdown.clone());
        connections.spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, all_ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "closing connections whose calls have not ended");
    }
    connections.shutdown().await;
}

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let place = match places.clone().try_acquire_owned() {
            Ok(place) => Ok(place),
            Err(_) => {
                tracing::debug!("all connections are taken");
                places.clone().acquire_owned().await
            }
        };
        match (place, listener.accept().await) {
            (Ok(place), Ok((stream, _))) => return (stream, place),
            (_, Err(error)) if is_of_the_connection(&error) => {}
            (_, other) => {
                tracing::warn!(error = ?other.err(), "cannot accept connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The client gave up before we came to it.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve_connection(
    stream: TcpStream,
    router: Router,
    patience: Duration,
    shutdown: CancellationToken,
) {
    // Small replies should not wait for the acknowledgement of earlier ones. Without it, everything still works.
    let _ = stream.set_nodelay(true);
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream.as_mut().set_write_timeout_pinned(Some(patience));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .max_header_size(HEAD)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
