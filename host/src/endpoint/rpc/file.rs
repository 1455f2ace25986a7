//! `file.*`: what is on guests, small content in one call, and transfers that the agent makes by itself.

use super::{Context, Entry as MethodEntry, deadline, method};
use crate::agent::store::{self, Spec};
use crate::files::session::Session;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::file::{
    Cancel, Content, Df, DigestOf, Direction, Disk, Entry, EntryType, Failure, Get, GetTransfer, List, Mkdir,
    Pull, Push, Put, Remove, Rename, Stat, Transfer, TransferError, Transfers,
};
use vocable_api::method::invalid;
use vocable_chirp::client::Algorithm;
use vocable_chirp::proto::Meta;
use vocable_copy::path::{TreePath, escape};
use vocable_copy::tree::{self, Kind};

/// The most content of one call, bytes.
const MAX_CONTENT: u64 = 1 << 20;
/// The same if the caller does not say: xmlrpc-c takes no answer of more than 512 KiB, and base64 adds a third.
const USUAL_CONTENT: u64 = 1 << 18;

pub(super) fn methods() -> Vec<MethodEntry> {
    vec![
        method(cancel),
        method(df),
        method(digest),
        method(get),
        method(list),
        method(mkdir),
        method(pull),
        method(push),
        method(put),
        method(remove),
        method(rename),
        method(stat),
        method(transfer),
        method(transfers),
    ]
}

/// A session with a guest, and a path as the guest knows it.
async fn place(context: &Context, guest: &str, path: &str) -> Result<(Session, Vec<u8>), Fault> {
    let path = context.files.remote(guest, path.as_bytes()).await?;
    Ok((context.files.shared(guest).await?, path))
}

async fn list(context: Context, request: List) -> Result<Vec<Entry>, Fault> {
    let (session, path) = place(&context, &request.guest, &request.path).await?;
    let entries = session.list(&path, &TreePath::top()).await?;
    Ok(entries.iter().map(|found| entry(found, found.path.as_bytes())).collect())
}

async fn stat(context: Context, request: Stat) -> Result<Entry, Fault> {
    let (session, path) = place(&context, &request.guest, &request.path).await?;
    let found = session.look(&path).await?.ok_or_else(|| session.missing(&path))?;
    Ok(entry(&found, path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()))
}

fn entry(found: &tree::Entry, name: &[u8]) -> Entry {
    let (kind, size, target) = match &found.kind {
        Kind::Dir => (EntryType::Dir, None, None),
        Kind::File(size) => (EntryType::File, Some(*size), None),
        Kind::Link(target) => (EntryType::Link, None, Some(escape(target))),
        Kind::Other => (EntryType::Other, None, None),
    };
    let mtime = moment(found.mtime);
    let (mtime, mtime_unix) = (mtime.into(), mtime.into());
    Entry { name: escape(name), kind, mode: found.mode, mtime, mtime_unix, size, target }
}

/// A time of change; one beyond what a date can say is the beginning of 1970.
fn moment(mtime: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(mtime.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

async fn df(context: Context, request: Df) -> Result<Vec<Disk>, Fault> {
    let session = context.files.shared(&request.guest).await?;
    // One root is everything there is, and relative paths begin there; several are listed at the top.
    let paths = if context.files.remote(&request.guest, b"~").await? == b"/" {
        vec![b"/".to_vec()]
    } else {
        let listed = session.list(b"/", &TreePath::top()).await?;
        listed.iter().filter(|entry| entry.kind == Kind::Dir).map(|entry| entry.path.below(b"/")).collect()
    };
    let mut disks = Vec::new();
    for path in paths {
        let space = session.client().statfs(&path).await.map_err(|error| session.fault(error, &path))?;
        disks.push(Disk {
            path: escape(&path),
            size: space.blocks.saturating_mul(space.bsize),
            free: space.bavail.saturating_mul(space.bsize),
            files_free: space.ffree,
        });
    }
    Ok(disks)
}

async fn digest(context: Context, request: DigestOf) -> Result<String, Fault> {
    let (session, path) = place(&context, &request.guest, &request.path).await?;
    let digest = session.client().hash(Algorithm::Sha256, &path).await;
    digest.map(hex::encode).map_err(|error| session.fault(error, &path))
}

async fn get(context: Context, request: Get) -> Result<Content, Fault> {
    let (session, path) = place(&context, &request.guest, &request.path).await?;
    let offset = request.offset.unwrap_or(0);
    let found = session.look(&path).await?.ok_or_else(|| session.missing(&path))?;
    let Kind::File(size) = found.kind else {
        return Err(Fault::new(FaultKind::FileFailed, format!("{} is no file", session.shown(&path))));
    };
    let length = request.length.unwrap_or(USUAL_CONTENT).min(MAX_CONTENT).min(size.saturating_sub(offset));
    let data = session.read(&path, offset, length).await?;
    let eof = offset.saturating_add(data.len() as u64) >= size;
    let mtime = moment(found.mtime);
    let data = vocable_api::Bytes(data.into());
    Ok(Content { data, eof, size, mtime: mtime.into(), mtime_unix: mtime.into() })
}

async fn put(context: Context, request: Put) -> Result<u64, Fault> {
    let Put { guest, path, data: vocable_api::Bytes(data), mode, offset, append, sha256 } = request;
    if append && offset.is_some() {
        return Err(invalid::<Put>("append", "cannot be combined with option \"offset\""));
    }
    let (session, path) = place(&context, &guest, &path).await?;
    let mode = mode.map_or(0o644, |mode| mode.0);
    let length = data.len() as u64;
    if length > MAX_CONTENT {
        let text = format!("file.put takes {MAX_CONTENT} bytes; file.push takes more");
        return Err(Fault::new(FaultKind::TooBig, text));
    }
    let found: [u8; 32] = Sha256::digest(&data).into();
    if sha256.is_some_and(|expected| expected.0 != found) {
        let text = format!("{}: the data has another digest than sha256 says", session.shown(&path));
        return Err(Fault::new(FaultKind::DigestMismatch, text));
    }
    if append || offset.is_some() {
        session.write_into(&path, mode, offset, data.into()).await?;
    } else {
        let mtime_ns = OffsetDateTime::now_utc().unix_timestamp_nanos();
        session.put(&path, Meta { mode, mtime_ns }, &data, found).await?;
        session.sync().await?;
    }
    Ok(length)
}

async fn mkdir(context: Context, request: Mkdir) -> Result<bool, Fault> {
    let (session, path) = place(&context, &request.guest, &request.path).await?;
    let mode = request.mode.map_or(0o755, |mode| mode.0);
    if request.parents {
        session.make_parents(&path, mode).await?;
    }
    session.make_dir(&path, mode).await?;
    Ok(true)
}

async fn remove(context: Context, request: Remove) -> Result<bool, Fault> {
    let (session, path) = place(&context, &request.guest, &request.path).await?;
    let Some(found) = session.look(&path).await? else { return Ok(false) };
    if found.kind == Kind::Dir && !request.recursive {
        session.client().rmdir(&path).await.map_err(|error| session.fault(error, &path))?;
    } else {
        session.remove(&path).await?;
    }
    Ok(true)
}

async fn rename(context: Context, request: Rename) -> Result<bool, Fault> {
    let (session, path) = place(&context, &request.guest, &request.path).await?;
    let to = context.files.remote(session.guest(), request.to.as_bytes()).await?;
    // A folder takes no other's place, and nothing takes a folder's, whatever the guest's system thinks of empty ones.
    session.rename(&path, &to).await?;
    session.sync().await?;
    Ok(true)
}

/// What a transfer is to do: `file.push` and `file.pull` take the same.
macro_rules! spec {
    ($direction:ident, $request:ident) => {
        Spec {
            direction: Direction::$direction,
            guest: $request.guest,
            local: $request.local_path,
            remote: $request.remote_path,
            exclude: $request.exclude.unwrap_or_default(),
            delete: $request.delete.unwrap_or(false),
            resume: $request.resume.unwrap_or(true),
            preserve: $request.preserve.unwrap_or(false),
        }
    };
}

async fn push(context: Context, request: Push) -> Result<String, Fault> {
    context.transfers.start(spec!(Push, request), request.id).await
}

async fn pull(context: Context, request: Pull) -> Result<String, Fault> {
    context.transfers.start(spec!(Pull, request), request.id).await
}

async fn transfer(context: Context, request: GetTransfer) -> Result<Transfer, Fault> {
    let until = deadline(&context, request.timeout_s.unwrap_or(0.0));
    Ok(reply(context.transfers.wait(&request.transfer_id, until).await?))
}

async fn transfers(context: Context, _: Transfers) -> Result<Vec<Transfer>, Fault> {
    Ok(context.transfers.list().await?.into_iter().map(reply).collect())
}

async fn cancel(context: Context, request: Cancel) -> Result<bool, Fault> {
    context.transfers.cancel(&request.transfer_id).await
}

/// A transfer as callers see it.
fn reply(transfer: store::Transfer) -> Transfer {
    let store::Transfer { id, spec, state, created, ended, report } = transfer;
    let failed = report.outcome.failed.into_iter().map(|failed| Failure {
        path: failed.path,
        code: failed.code,
        message: failed.message,
    });
    Transfer {
        transfer_id: id,
        direction: spec.direction,
        guest: spec.guest,
        local_path: spec.local,
        remote_path: spec.remote,
        state,
        created: created.into(),
        created_unix: created.into(),
        ended: ended.map(Into::into),
        ended_unix: ended.map(Into::into),
        files: report.files,
        bytes: report.bytes,
        total_files: report.total_files,
        total_bytes: report.total_bytes,
        skipped: report.skipped,
        resumed_from: report.resumed_from,
        sha256: report.outcome.sha256,
        error: report.error.map(|(code, message)| TransferError { code, message }),
        failed: (report.outcome.failures > 0).then(|| failed.collect()),
    }
}
