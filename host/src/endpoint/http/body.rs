//! The body of a request, within bounds of length, memory and time.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_LENGTH, EXPECT},
    },
    response::Response,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::HttpConfig;
use vocable_api::fault::{Fault, FaultKind};

/// Memory for bodies is counted in pieces of this many bytes.
const PIECE: usize = 1024;

/// Bodies of full length for which there is memory at a time.
const FULL_BODIES: usize = 4;

/// How much of a body that is too long is read, and thrown away, as a multiple of the limit: a client that still
/// sends would not see the answer.
const DISCARDED: u64 = 4;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// The client went away, or broke the rules of HTTP.
    Broken,
    /// The other bodies take all the memory there is for them.
    Busy,
    Slow,
    /// The body is too long. `rest` says that the client is still sending it.
    TooLong {
        rest: bool,
    },
}

impl BodyError {
    pub(super) fn fault(&self, limit: usize) -> Fault {
        let (kind, text) = match self {
            Self::Broken => (FaultKind::InvalidParameter, "the request's body is broken".to_owned()),
            Self::Busy => (FaultKind::TooMany, "too many large requests at a time".to_owned()),
            Self::Slow => (FaultKind::TimedOut, "the request's body took too long".to_owned()),
            Self::TooLong { .. } => {
                (FaultKind::TooBig, format!("the request is longer than {limit} bytes (api.max_request)"))
            }
        };
        Fault::new(kind, text)
    }

    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// The answer, after which the connection ends if the client still sends what nobody will read.
    pub(super) fn close_if_unread(&self, mut response: Response) -> Response {
        if !matches!(self, Self::TooLong { rest: false }) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

pub(super) struct Bodies {
    pieces: Arc<Semaphore>,
    config: HttpConfig,
}

/// A body, and its share of the memory as long as it is held.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    pub(super) share: OwnedSemaphorePermit,
}

impl Bodies {
    pub(super) fn new(config: HttpConfig) -> Self {
        let pieces = FULL_BODIES * config.max_request.div_ceil(PIECE);
        Self { pieces: Arc::new(Semaphore::new(pieces.clamp(1, Semaphore::MAX_PERMITS))), config }
    }

    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Held, BodyError> {
        let deadline = Instant::now() + self.config.read_timeout;
        let announced = announced(headers);
        if announced.is_some_and(|length| length > self.config.max_request as u64) {
            // A client that asks first has not sent anything yet, and is spared it.
            let asks_first = headers.contains_key(EXPECT);
            return Err(if asks_first {
                BodyError::TooLong { rest: true }
            } else {
                self.discard(body, deadline).await
            });
        }
        let share = self.share(announced, deadline).await?;
        let bytes = self.collect(body, deadline).await?;
        Ok(Held { bytes, share })
    }

    /// Memory for a body of the announced length, or of the greatest if the client announced none.
    async fn share(
        &self,
        announced: Option<u64>,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, BodyError> {
        let length =
            announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(self.config.max_request);
        let pieces = u32::try_from(length.div_ceil(PIECE)).unwrap_or(u32::MAX);
        let share = timeout_at(deadline, self.pieces.clone().acquire_many_owned(pieces)).await;
        share.ok().and_then(Result::ok).ok_or(BodyError::Busy)
    }

    async fn collect(&self, body: Body, deadline: Instant) -> Result<Bytes, BodyError> {
        let mut stream = body.into_data_stream();
        let mut whole = BytesMut::new();
        loop {
            match timeout_at(deadline, stream.next()).await.map_err(|_| BodyError::Slow)? {
                None => return Ok(whole.freeze()),
                Some(Err(_)) => return Err(BodyError::Broken),
                Some(Ok(chunk)) if whole.len() + chunk.len() > self.config.max_request => {
                    return Err(self.discard(Body::from_stream(stream), deadline).await);
                }
                Some(Ok(chunk)) => whole.extend_from_slice(&chunk),
            }
        }
    }

    /// Reads over a body that is too long, as far as is reasonable.
    async fn discard(&self, body: Body, deadline: Instant) -> BodyError {
        let mut stream = body.into_data_stream();
        let mut left = DISCARDED * self.config.max_request as u64;
        loop {
            match timeout_at(deadline, stream.next()).await {
                Ok(None) => return BodyError::TooLong { rest: false },
                Ok(Some(Err(_))) => return BodyError::Broken,
                Ok(Some(Ok(chunk))) if chunk.len() as u64 <= left => left -= chunk.len() as u64,
                Ok(Some(Ok(_))) | Err(_) => return BodyError::TooLong { rest: true },
            }
        }
    }
}

/// The length the client announced; hyper has checked that it is a number.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
