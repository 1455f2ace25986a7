//! `/files/<guest>/<path>`: content of guests' files as HTTP bodies, streamed both ways, with the same token as calls. For
//! whoever has files of his own: the agent only passes them on, and reads and writes none on his behalf.
//!
//! ```text
//! GET  /files/vm1/data/x             the content; Range: bytes=5-  from an offset
//! GET  /files/vm1/data?list          what is in a folder; ?walk: everything below it; ?stat: what it is
//! PUT  /files/vm1/data/x             the content; ?mode=420 ?mtime=NANOSECONDS; Repr-Digest: sha-256=:…:
//! PUT  /files/vm1/data?tree          a tree, see vocable_copy::tree; answered with what came of it
//! POST /files/vm1/data?fetch         the lines of a listing, of files that are wanted: answered with their tree
//! ```
//! A tree that ends early, a walk too, ends with an item `failed` without a path, which says why, and has no `done`.
//! `~` as the first name stands for the folder where the guest's relative paths begin.

use crate::audit::{Audit, Caller};
use crate::files::Files;
use crate::files::download::download;
use crate::files::session::Session;
use crate::files::upload::upload;
use crate::files::walk::Walk;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_RANGE, CONTENT_TYPE, RANGE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use axum::{Extension, Router};
use base64::prelude::*;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::time::timeout;
use vocable_api::fault::{Fault, FaultKind};
use vocable_copy::path::{TreePath, escape, split_parent, unescape};
use vocable_copy::plan::{Refusal, Wanted};
use vocable_copy::tree::{Decoder, Entry, Item, Kind, PIECE, encode};

/// How long a client may take for the next bytes of its body.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest list of wanted files, bytes: whoever wants more asks several times.
const MAX_WANTED: usize = 32 << 20;
/// Items that wait between guest and client.
const WAITING: usize = 64;
/// The media type of trees.
const TREE: &str = "application/x-vocable-tree";

/// The routes, to be put behind those that ask for the token.
pub(crate) fn router(files: Files) -> Router {
    Router::new().route("/files/{*place}", any(answer)).with_state(files)
}

async fn answer(
    State(files): State<Files>,
    Extension(caller): Extension<Caller>,
    Extension(audit): Extension<Audit>,
    request: Request,
) -> Response {
    let what = match *request.method() {
        Method::PUT => Some("files.put"),
        _ => None,
    };
    let place = request.uri().path().strip_prefix("/files/").unwrap_or_default().to_owned();
    let line = what.map(|what| audit.begin(&caller, what, [("place", place.as_str())]));
    let served = serve(&files, request).await;
    if let Some(line) = line {
        line.end(served.as_ref().err().map_or("ok", |fault| fault.kind.slug())).await;
    }
    served.unwrap_or_else(|fault| refused(&fault))
}

async fn serve(files: &Files, request: Request) -> Result<Response, Fault> {
    let (head, body) = request.into_parts();
    let invalid = |text: &str| Fault::new(FaultKind::InvalidParameter, text);
    let place = head.uri.path().strip_prefix("/files/").unwrap_or_default();
    let (guest, path) = place.split_once('/').unwrap_or((place, ""));
    let guest = text_of(guest).ok_or_else(|| invalid("the guest's name is no text"))?;
    let path = unescape(path).map_err(|error| invalid(&error.to_string()))?;
    let path = match path.as_slice() {
        b"~" => path,
        inner if inner.starts_with(b"~/") => path,
        inner => [b"/", inner].concat(),
    };
    let path = files.remote(&guest, &path).await?;
    let query = axum::extract::Query::<Query>::try_from_uri(&head.uri);
    let query = query.map_err(|_| invalid("mode, mtime: expected a number"))?.0;
    match (&head.method, query.tree.is_some(), query.fetch.is_some()) {
        (&Method::GET, ..) if query.list.is_some() => {
            let session = files.shared(&guest).await?;
            Ok(listing(session.list(&path, &TreePath::top()).await?))
        }
        (&Method::GET, ..) if query.walk.is_some() => {
            let session = files.session(&guest).await?;
            Ok(stream_of(Walk::begin(&session, &path).await?.into_items()))
        }
        (&Method::GET, ..) if query.stat.is_some() => {
            let session = files.shared(&guest).await?;
            let found = session.look(&path).await?.ok_or_else(|| session.missing(&path))?;
            Ok(listing(vec![found]))
        }
        (&Method::GET, ..) => content(files.session(&guest).await?, path, &head.headers).await,
        (&Method::PUT, true, _) => Ok(put_tree(&files.session(&guest).await?, &path, body).await),
        (&Method::PUT, ..) => {
            let session = files.session(&guest).await?;
            put(&session, &path, &query, &head.headers, body).await
        }
        (&Method::POST, _, true) => {
            let wanted = read_wanted(body).await?;
            Ok(stream_of(download(files.session(&guest).await?, path, wanted)))
        }
        _ => Err(Fault::new(FaultKind::NoSuchMethod, format!("there is no {} of files", head.method))),
    }
}

/// The query of an address.
#[derive(Deserialize)]
struct Query {
    fetch: Option<String>,
    list: Option<String>,
    stat: Option<String>,
    tree: Option<String>,
    walk: Option<String>,
    mode: Option<u32>,
    mtime: Option<i64>,
}

fn text_of(escaped: &str) -> Option<String> {
    String::from_utf8(unescape(escaped).ok()?).ok()
}

// ---- to the client

/// Entries, a line each.
fn listing(entries: Vec<Entry>) -> Response {
    let items = stream::iter(entries.into_iter().map(Item::Entry).chain([Item::Done]));
    stream_of(items.boxed())
}

/// Items as a body, many small ones in one piece.
fn stream_of(items: BoxStream<'static, Item>) -> Response {
    let encoded = items.ready_chunks(WAITING).map(|items| {
        let mut buffer = BytesMut::new();
        items.iter().for_each(|item| encode(item, &mut buffer));
        Ok::<_, std::io::Error>(buffer.freeze())
    });
    ([(CONTENT_TYPE, TREE)], Body::from_stream(encoded)).into_response()
}

/// One file.
async fn content(session: Session, path: Vec<u8>, headers: &HeaderMap) -> Result<Response, Fault> {
    let found = session.look(&path).await?.ok_or_else(|| session.missing(&path))?;
    let Kind::File(size) = found.kind else {
        let text = format!("{} is no file; ?list tells what is in a folder", session.shown(&path));
        return Err(Fault::new(FaultKind::FileFailed, text));
    };
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let Some((from, until)) = range.map_or(Some((0, size)), |range| byte_range(range, size)) else {
        let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
        if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
            response.headers_mut().insert(CONTENT_RANGE, value);
        }
        return Ok(response);
    };
    let handle = session.open(&path).await?;
    let pieces = stream::try_unfold((session, handle, from), move |(session, handle, at)| {
        let path = path.clone();
        async move {
            let length = (until - at).min(4 * PIECE as u64);
            if length == 0 {
                return Ok(None);
            }
            let bytes = session.client().pread(handle, length, at).await;
            let bytes = bytes.map_err(|error| session.fault(error, &path))?;
            if bytes.is_empty() {
                // What was promised is not there any more: the connection ends, and the client sees it.
                let text = format!("{}: the file became shorter", session.shown(&path));
                return Err(Fault::new(FaultKind::FileFailed, text));
            }
            let next = at + bytes.len() as u64;
            Ok(Some((bytes, (session, handle, next))))
        }
    });
    let length = until - from;
    let mut response = (
        if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK },
        [
            ("content-type", "application/byte-stream".to_owned()),
            ("content-length", length.to_string()),
            ("accept-ranges", "bytes".to_owned()),
            ("x-vocable-mode", found.mode.to_string()),
            ("x-vocable-mtime", found.mtime.to_string()),
        ],
        Body::from_stream(pieces),
    )
        .into_response();
    if range.is_some()
        && let Ok(value) = HeaderValue::from_str(&format!("bytes {from}-{}/{size}", until.saturating_sub(1)))
    {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
    Ok(response)
}

/// The first and the last byte but one of `bytes=FROM-TO`, of a file of that size.
fn byte_range(range: &str, size: u64) -> Option<(u64, u64)> {
    let (from, to) = range.trim().strip_prefix("bytes=")?.split_once('-')?;
    let (from, until) = match (from.trim(), to.trim()) {
        ("", last) => (size.saturating_sub(last.parse().ok()?), size),
        (from, "") => (from.parse().ok()?, size),
        (from, to) => (from.parse().ok()?, to.parse::<u64>().ok()?.saturating_add(1).min(size)),
    };
    (from < until || from == 0 && size == 0).then_some((from, until))
}

// ---- from the client

/// Reads a body as items.
struct Items {
    body: BoxStream<'static, Result<Bytes, axum::Error>>,
    decoder: Decoder,
    buffer: BytesMut,
}

impl Items {
    fn new(body: Body) -> Self {
        Self { body: body.into_data_stream().boxed(), decoder: Decoder::default(), buffer: BytesMut::new() }
    }

    async fn next(&mut self) -> Result<Option<Item>, Fault> {
        let broken = |text: String| Fault::new(FaultKind::InvalidParameter, text);
        loop {
            if let Some(item) =
                self.decoder.next(&mut self.buffer).map_err(|error| broken(error.to_string()))?
            {
                return Ok(Some(item));
            }
            match piece(&mut self.body).await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => {
                    let whole = self.decoder.finish(&self.buffer);
                    return whole.map(|()| None).map_err(|error| broken(error.to_string()));
                }
            }
        }
    }
}

async fn piece(body: &mut BoxStream<'static, Result<Bytes, axum::Error>>) -> Result<Option<Bytes>, Fault> {
    let slow = || Fault::new(FaultKind::TimedOut, "the client has stopped sending");
    match timeout(TIMEOUT, body.next()).await.map_err(|_| slow())? {
        None => Ok(None),
        Some(Ok(bytes)) => Ok(Some(bytes)),
        Some(Err(error)) => {
            Err(Fault::new(FaultKind::InvalidParameter, format!("the body is broken: {error}")))
        }
    }
}

async fn read_wanted(body: Body) -> Result<Vec<Wanted>, Fault> {
    let (mut items, mut wanted, mut size) = (Items::new(body), Vec::new(), 0);
    while let Some(item) = items.next().await? {
        match item {
            Item::File { entry, offset, .. } => {
                size += entry.path.as_bytes().len() + size_of::<Wanted>();
                wanted.push(Wanted { entry, offset });
            }
            Item::Done => {}
            _ => return Err(Fault::new(FaultKind::InvalidParameter, "only files can be wanted")),
        }
        if size > MAX_WANTED {
            return Err(Fault::new(FaultKind::TooBig, "too many files are wanted in one go"));
        }
    }
    Ok(wanted)
}

/// A whole tree. Whatever comes of it is in the answer: then the rest of the body, which is bounded by the client, is
/// read over, so that the client sees it.
async fn put_tree(session: &Session, path: &[u8], body: Body) -> Response {
    let mut items = Items::new(body);
    let mut stream =
        stream::unfold(&mut items, |items| async { Some((items.next().await.transpose()?, items)) }).boxed();
    let outcome = upload(session, path, &mut stream, &()).await;
    drop(stream);
    if outcome.ended.is_some() {
        while let Ok(Some(_)) = piece(&mut items.body).await {}
    }
    let document = serde_json::to_vec(&outcome).unwrap_or_default();
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}

/// One file.
async fn put(
    session: &Session,
    path: &[u8],
    query: &Query,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Fault> {
    let mode = query.mode.unwrap_or(0o644) & 0o7777;
    let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos();
    let mtime = query.mtime.unwrap_or_else(|| i64::try_from(now).unwrap_or_default());
    let expected = expected(headers)?;
    let (base, name) = split_parent(path).ok_or_else(|| {
        Fault::new(FaultKind::InvalidParameter, format!("{} has no name of its own", escape(path)))
    })?;
    // Before all of it is sent: in the place of a folder it could never get.
    if session.look(path).await?.is_some_and(|there| there.kind == Kind::Dir) {
        let text = Refusal::OntoFolder.of(&session.shown(path));
        return Err(Fault::new(FaultKind::FileFailed, text));
    }
    // How long it is shows at its end only: it goes into a part of its own, which nobody resumes.
    let part = vocable_copy::plan::part_name(std::ffi::OsStr::new("put"), 0, mtime);
    let part = [base, b"/", &part].concat();
    let handle = session.open_part(&part, true).await?;
    let (mut body, mut hasher, mut at) = (body.into_data_stream().boxed(), Sha256::new(), 0_u64);
    let written = async {
        while let Some(bytes) = piece(&mut body).await? {
            hasher.update(&bytes);
            let length = bytes.len() as u64;
            session.write(handle, bytes, at, path).await?;
            at += length;
        }
        Ok::<_, Fault>(())
    };
    let written = written.await;
    let synced = if written.is_ok() { session.client().fsync(handle).await } else { Ok(()) };
    let closed = session.client().close(handle).await;
    let finished = async {
        written?;
        synced.map_err(|error| session.fault(error, path))?;
        closed.map_err(|error| session.fault(error, path))?;
        let digest: [u8; 32] = hasher.finalize().into();
        let there = session.client().vhash(&part, at).await.map_err(|error| session.fault(error, path))?;
        if there != digest || expected.is_some_and(|expected| expected != digest) {
            let text = format!("{}: what arrived is not what was announced", session.shown(path));
            return Err(Fault::new(FaultKind::DigestMismatch, text));
        }
        let meta = vocable_chirp::proto::Meta { mode, mtime_ns: mtime.into() };
        session.set(&part, meta).await?;
        session.rename(&part, &name.below(base)).await?;
        session.sync().await?;
        Ok(digest)
    };
    match finished.await {
        Ok(digest) => {
            let document = json!({"bytes": at, "sha256": hex::encode(digest)});
            Ok((StatusCode::CREATED, [(CONTENT_TYPE, "application/json")], format!("{document}\n"))
                .into_response())
        }
        Err(fault) => {
            if let Err(error) = session.remove(&part).await {
                tracing::debug!(guest = session.guest(), "a part stays: {error}");
            }
            Err(fault)
        }
    }
}

/// The digest that the client announces: `Repr-Digest: sha-256=:BASE64:`.
fn expected(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Fault> {
    let Some(header) = headers.get("repr-digest") else { return Ok(None) };
    let wrong = || Fault::new(FaultKind::InvalidParameter, "Repr-Digest: expected sha-256=:BASE64:");
    let text = header.to_str().map_err(|_| wrong())?;
    let digest = text.split(',').find_map(|part| part.trim().strip_prefix("sha-256=:")?.strip_suffix(':'));
    let bytes = BASE64_STANDARD.decode(digest.ok_or_else(wrong)?).map_err(|_| wrong())?;
    bytes.try_into().map(Some).map_err(|_| wrong())
}

/// A refusal: the status that fits, and what a call would have told.
fn refused(fault: &Fault) -> Response {
    let status = match fault.kind {
        FaultKind::InvalidParameter => StatusCode::BAD_REQUEST,
        FaultKind::NoSuchGuest | FaultKind::NoSuchPath => StatusCode::NOT_FOUND,
        FaultKind::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
        FaultKind::NotPermitted => StatusCode::FORBIDDEN,
        FaultKind::AlreadyExists | FaultKind::FileFailed | FaultKind::DigestMismatch => StatusCode::CONFLICT,
        FaultKind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
        FaultKind::TooBig => StatusCode::PAYLOAD_TOO_LARGE,
        FaultKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let document = json!({"code": fault.kind.slug(), "fault": fault.kind.code(), "message": fault.message});
    // What the client still sends is not read.
    let headers = [("content-type", "application/json"), ("connection", "close")];
    (status, headers, format!("{document}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_within_the_file() {
        for (range, size, byte_range) in [
            ("bytes=0-", 10, Some((0, 10))),
            ("bytes=3-5", 10, Some((3, 6))),
            ("bytes=3-99", 10, Some((3, 10))),
            ("bytes=-4", 10, Some((6, 10))),
            ("bytes=10-", 10, None),
            ("bytes=5-3", 10, None),
            ("lines=1-2", 10, None),
            ("bytes=0-", 0, Some((0, 0))),
        ] {
            assert_eq!(super::byte_range(range, size), byte_range, "{range} of {size}");
        }
    }

    #[test]
    fn an_announced_digest_is_read_or_refused() {
        let with = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("repr-digest", HeaderValue::from_static(text));
            expected(&headers)
        };
        let digest = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let text: &'static str = Box::leak(format!("sha-512=:AA==:, sha-256=:{digest}:").into_boxed_str());
        assert_eq!(with(text).unwrap().unwrap()[..2], [0xe3, 0xb0]);
        assert!(with("sha-256=:AA==:").is_err() && with("md5=:AA==:").is_err());
        assert_eq!(expected(&HeaderMap::new()).unwrap(), None);
    }
}
