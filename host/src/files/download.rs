//! Files of a guest as a stream of a tree: many small ones are asked for at the same time, large ones in pieces.

use super::session::Session;
use super::upload::is_fatal;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, FuturesOrdered, StreamExt};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use vocable_api::fault::{Fault, FaultKind};
use vocable_copy::path::TreePath;
use vocable_copy::plan::{SMALL, Wanted};
use vocable_copy::tree::{Entry, Item, Kind, PIECE};

/// Items that wait for whoever takes them.
const WAITING: usize = 64;
/// Small files on their way at the same time.
const AT_ONCE: usize = 48;
/// A small file may have grown to so many bytes since it was listed.
const MOST_OF_SMALL: u64 = 16 * SMALL;
/// Pieces of a large file on their way at the same time.
const PIECES_AT_ONCE: usize = 4;
/// Bytes of such a piece.
const LONG_PIECE: u64 = 512 << 10;

/// Whoever takes the items is gone.
struct Gone;

/// The files below `base` that are wanted, in their order, and `done` at the end; or why nothing else comes. They are asked
/// for ahead of whoever takes them.
pub(crate) fn download(session: Session, base: Vec<u8>, wanted: Vec<Wanted>) -> BoxStream<'static, Item> {
    let (sender, items) = mpsc::channel(WAITING);
    let sending = async move {
        if let Err(fault) = send_all(&session, &base, wanted.into_iter(), &sender).await {
            // Whether anybody still takes it makes no difference now.
            let _ = sender.send(ended(fault)).await;
        }
    };
    let task = AbortOnDropHandle::new(tokio::spawn(sending));
    stream::unfold(
        (items, task),
        |(mut items, task)| async move { Some((items.recv().await?, (items, task))) },
    )
    .boxed()
}

/// Why nothing else comes.
pub(crate) fn ended(fault: Fault) -> Item {
    Item::Failed { path: TreePath::top(), code: fault.kind.slug().to_owned(), message: fault.message }
}

async fn send_all(
    session: &Session,
    base: &[u8],
    wanted: impl Iterator<Item = Wanted> + Send,
    items: &mpsc::Sender<Item>,
) -> Result<(), Fault> {
    let mut wanted = wanted.peekable();
    let mut small = FuturesOrdered::new();
    loop {
        while small.len() < AT_ONCE
            && let Some(next) = wanted.next_if(is_small)
        {
            small.push_back(async move {
                let got = session.get(&next.entry.path.below(base), MOST_OF_SMALL).await;
                (next.entry, got)
            });
        }
        let sent = match small.next().await {
            Some((entry, got)) => match got {
                Ok((meta, bytes)) => {
                    // As it is now, which may not be as it was listed.
                    let entry = Entry {
                        kind: Kind::File(bytes.len() as u64),
                        mode: meta.mode & 0o7777,
                        mtime: i64::try_from(meta.mtime_ns).unwrap_or_default(),
                        ..entry
                    };
                    whole(items, entry, bytes).await
                }
                Err(fault) => failed(items, entry, fault).await?,
            },
            None => match wanted.next() {
                Some(Wanted { entry, offset }) => match large(session, base, &entry, offset, items).await {
                    Ok(sent) => sent,
                    Err(fault) => failed(items, entry, fault).await?,
                },
                None => break,
            },
        };
        if sent.is_err() {
            return Ok(());
        }
    }
    // Whether anybody still hears it makes no difference now.
    let _ = items.send(Item::Done).await;
    Ok(())
}

fn is_small(wanted: &Wanted) -> bool {
    matches!(wanted.entry.kind, Kind::File(size) if size <= SMALL) && wanted.offset == 0
}

async fn whole(items: &mpsc::Sender<Item>, entry: Entry, bytes: Bytes) -> Result<(), Gone> {
    let digest = Sha256::digest(&bytes).into();
    send(items, Item::File { entry, offset: 0, length: bytes.len() as u64 }).await?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece = rest.split_to(rest.len().min(PIECE));
        send(items, Item::Bytes(piece)).await?;
    }
    send(items, Item::End(Some(digest))).await
}

async fn failed(items: &mpsc::Sender<Item>, entry: Entry, fault: Fault) -> Result<Result<(), Gone>, Fault> {
    if is_fatal(&fault) {
        return Err(fault);
    }
    let code = fault.kind.slug().to_owned();
    Ok(send(items, Item::Failed { path: entry.path, code, message: fault.message }).await)
}

async fn large(
    session: &Session,
    base: &[u8],
    entry: &Entry,
    offset: u64,
    items: &mpsc::Sender<Item>,
) -> Result<Result<(), Gone>, Fault> {
    let Kind::File(size) = entry.kind else {
        return Err(Fault::new(
            FaultKind::InvalidParameter,
            format!("{} is no file", session.shown(&entry.path.below(base))),
        ));
    };
    let path = entry.path.below(base);
    let handle = session.open(&path).await?;
    let file = Item::File { entry: entry.clone(), offset, length: size.saturating_sub(offset) };
    if send(items, file).await.is_err() {
        return Ok(Err(Gone));
    }
    let mut pieces = FuturesOrdered::new();
    let (mut asked, mut at) = (offset, offset);
    // Once the file has been announced all of it has to come; what is missing is made up for, and the digest shows it.
    let mut broken = false;
    while at < size {
        while asked < size && pieces.len() < PIECES_AT_ONCE && !broken {
            let length = LONG_PIECE.min(size - asked);
            let from = asked;
            pieces.push_back(async move { (length, session.client().pread(handle, length, from).await) });
            asked += length;
        }
        let mut bytes = match pieces.next().await {
            Some((length, Ok(bytes))) if bytes.len() as u64 == length => bytes,
            Some((_, Err(error))) if error.code().is_none() => return Err(session.fault(error, &path)),
            Some((length, _)) => {
                broken = true;
                Bytes::from(vec![0; usize::try_from(length).unwrap_or_default()])
            }
            None => Bytes::from(vec![0; usize::try_from((size - at).min(LONG_PIECE)).unwrap_or_default()]),
        };
        at += bytes.len() as u64;
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            if send(items, Item::Bytes(piece)).await.is_err() {
                return Ok(Err(Gone));
            }
        }
    }
    if let Err(error) = session.client().close(handle).await {
        tracing::debug!(guest = session.guest(), "not closed: {error}");
    }
    let digest = if broken { None } else { session.client().vhash(&path, size).await.ok() };
    Ok(send(items, Item::End(Some(digest.unwrap_or_default()))).await)
}

async fn send(items: &mpsc::Sender<Item>, item: Item) -> Result<(), Gone> {
    items.send(item).await.map_err(|_| Gone)
}
