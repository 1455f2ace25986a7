//! `file.*`: what is on guests, small content in one call, and transfers that the agent makes by itself.

use super::{Context, Gives, Kind, Method, Param, deadline, members, optional, options, required, unix};
use crate::files::ledger::{Direction, Spec, Transfer};
use crate::files::session::Session;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use vocable_api::fault::{Fault as HostFault, FaultKind};
use vocable_chirp::proto::Meta;
use vocable_copy::path::{TreePath, escape};
use vocable_copy::tree::{Entry, Kind as What, digest, hexadecimal};
use vocable_xmlrpc::{Fault, Params, Value};

/// The most content of one call, octets.
const MOST: u64 = 1 << 20;
/// The same if the caller does not say: xmlrpc-c takes no answer of more than 512 KiB, and base64 adds a third.
const USUAL: u64 = 1 << 18;

const GUEST: Param = required("guest", Kind::String, "the guest");
const PATH: Param = required(
    "path",
    Kind::String,
    "a path of the guest; a relative one begins in the guest's first writable folder",
);
const ID: Param = required("transfer_id", Kind::String, "the id");

const ENTRY: &[Param] = &[
    required("name", Kind::String, "its name; % and what is no printable character as % and two digits"),
    required("type", Kind::String, "file, dir, link or other"),
    required("mode", Kind::Int, "the permissions, as chmod takes them"),
    required("mtime", Kind::DateTime, "when it was changed"),
    required("mtime_unix", Kind::Double, "the same in seconds since 1970"),
    optional("size", Kind::Int, "of a file: octets"),
    optional("target", Kind::String, "of a link: where it leads"),
];

const CONTENT: &[Param] = &[
    required("data", Kind::Bytes, "the octets"),
    required("eof", Kind::Bool, "whether they reach the end of the file"),
    required("size", Kind::Int, "octets of the whole file"),
    required("mtime", Kind::DateTime, "when it was changed"),
    required("mtime_unix", Kind::Double, "the same in seconds since 1970"),
];

const DISK: &[Param] = &[
    required("path", Kind::String, "a folder that the guest offers"),
    required("size", Kind::Int, "octets of the file system it is on"),
    required("free", Kind::Int, "octets that are free there"),
    required("files_free", Kind::Int, "files that can still be made"),
];

const TRANSFER: &[Param] = &[
    required("transfer_id", Kind::String, "its id"),
    required("direction", Kind::String, "push or pull"),
    required("guest", Kind::String, "the guest"),
    required("local_path", Kind::String, "the path on the host"),
    required("remote_path", Kind::String, "the path on the guest"),
    required("state", Kind::String, "queued, running, done, failed or cancelled"),
    required("created", Kind::DateTime, "when it was asked for"),
    required("created_unix", Kind::Double, "the same in seconds since 1970"),
    optional("ended", Kind::DateTime, "when it was over"),
    optional("ended_unix", Kind::Double, "the same in seconds since 1970"),
    required("files", Kind::Int, "files that are whole at their destination"),
    required("bytes", Kind::Int, "octets that were sent"),
    required("total_files", Kind::Int, "files to be sent"),
    required("total_bytes", Kind::Int, "octets to be sent"),
    required("skipped", Kind::Int, "files that were there already"),
    required("resumed_from", Kind::Int, "octets of begun files that were there already"),
    optional("sha256", Kind::String, "digest of the file, of several that of the last, hexadecimal"),
    optional("error", Kind::Struct(ERROR), "why it failed"),
    optional("failed", Kind::Structs(FAILED), "what failed, the first hundred"),
];

const ERROR: &[Param] = &[
    required("code", Kind::String, "what kind of failure"),
    required("message", Kind::String, "a sentence"),
];

const FAILED: &[Param] = &[
    required("path", Kind::String, "what"),
    required("code", Kind::String, "what kind of failure"),
    required("message", Kind::String, "a sentence"),
];

const COPYING: Param = options(&[
    optional("id", Kind::String, "the caller's own id: the same id with the same wish is the same transfer"),
    optional(
        "exclude",
        Kind::Array(&Kind::String),
        "globs of what is left out: names, or paths below the top",
    ),
    optional(
        "delete",
        Kind::Bool,
        "remove at the destination what is not in the source, and replace what is of another kind, once all else is whole \
         [default: false]",
    ),
    optional("resume", Kind::Bool, "send only what is missing or changed [default: true]"),
    optional(
        "preserve",
        Kind::Bool,
        "take over set-user-id bits and links that lead out of the tree [default: false]",
    ),
]);

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "file.cancel",
        help: "Ends a transfer. What has come across so far stays, for the next one to go on with.",
        params: &[ID],
        gives: Gives::value(Kind::Bool, "false if it was over already"),
        changes: true,
        call: |context, params| Box::pin(cancel(context, params)),
    },
    Method {
        name: "file.df",
        help: "Tells how much space there is in the folders that a guest offers.",
        params: &[GUEST],
        gives: Gives::list(DISK),
        changes: false,
        call: |context, params| Box::pin(df(context, params)),
    },
    Method {
        name: "file.digest",
        help: "Gives the SHA-256 of a file on a guest, computed there.",
        params: &[GUEST, PATH],
        gives: Gives::value(Kind::String, "64 hexadecimal digits"),
        changes: false,
        call: |context, params| Box::pin(digest_of(context, params)),
    },
    Method {
        name: "file.get",
        help: "Reads a file on a guest, at most 1 MiB of it in one call.",
        params: &[
            GUEST,
            PATH,
            options(&[
                optional("offset", Kind::Int, "from here on [default: 0]"),
                optional("length", Kind::Int, "so many octets, 1 MiB at most [default: 256 KiB]"),
            ]),
        ],
        gives: Gives::one(CONTENT),
        changes: false,
        call: |context, params| Box::pin(get(context, params)),
    },
    Method {
        name: "file.list",
        help: "Lists a folder on a guest.",
        params: &[GUEST, PATH],
        gives: Gives::list(ENTRY),
        changes: false,
        call: |context, params| Box::pin(list(context, params)),
    },
    Method {
        name: "file.mkdir",
        help: "Makes a folder on a guest; one that is there already is fine.",
        params: &[
            GUEST,
            PATH,
            options(&[
                optional("mode", Kind::Int, "the permissions [default: 0o755, which is 493]"),
                optional("parents", Kind::Bool, "also the folders around it [default: false]"),
            ]),
        ],
        gives: Gives::value(Kind::Bool, "always true"),
        changes: true,
        call: |context, params| Box::pin(mkdir(context, params)),
    },
    Method {
        name: "file.pull",
        help: "Begins to copy a file or folder from a guest to this host, below one of the host's files.roots. It goes on \
               after interruptions and restarts; see file.transfer.",
        params: &[
            GUEST,
            required("remote_path", Kind::String, "the path on the guest"),
            required("local_path", Kind::String, "what it shall be called here, an absolute path"),
            COPYING,
        ],
        gives: Gives::value(Kind::String, "the transfer's id"),
        changes: true,
        call: |context, params| Box::pin(copy(context, params, Direction::Pull)),
    },
    Method {
        name: "file.push",
        help: "Begins to copy a file or folder of this host, from below one of the host's files.roots, to a guest. It goes \
               on after interruptions and restarts; see file.transfer.",
        params: &[
            GUEST,
            required("local_path", Kind::String, "a file or folder of this host, an absolute path"),
            required("remote_path", Kind::String, "what it shall be called on the guest"),
            COPYING,
        ],
        gives: Gives::value(Kind::String, "the transfer's id"),
        changes: true,
        call: |context, params| Box::pin(copy(context, params, Direction::Push)),
    },
    Method {
        name: "file.put",
        help: "Writes a file on a guest, at most 1 MiB in one call. Without an offset the file is replaced: the old one \
               stays until the new one is whole.",
        params: &[
            GUEST,
            PATH,
            required("data", Kind::Bytes, "the octets"),
            options(&[
                optional("mode", Kind::Int, "the permissions [default: 0o644, which is 420]"),
                optional("offset", Kind::Int, "write here into the file that is there, or a new one"),
                optional("append", Kind::Bool, "write at the end of the file [default: false]"),
                optional("sha256", Kind::String, "refuse data with another digest than this, hexadecimal"),
            ]),
        ],
        gives: Gives::value(Kind::Int, "octets that were written"),
        changes: true,
        call: |context, params| Box::pin(put(context, params)),
    },
    Method {
        name: "file.remove",
        help: "Removes a file, link or folder on a guest. What is not there is fine.",
        params: &[
            GUEST,
            PATH,
            options(&[optional("recursive", Kind::Bool, "a folder with all that is in it [default: false]")]),
        ],
        gives: Gives::value(Kind::Bool, "false if it was not there"),
        changes: true,
        call: |context, params| Box::pin(remove(context, params)),
    },
    Method {
        name: "file.rename",
        help: "Renames a file or folder on a guest; a file of the new name is replaced.",
        params: &[GUEST, PATH, required("to", Kind::String, "its new path")],
        gives: Gives::value(Kind::Bool, "always true"),
        changes: true,
        call: |context, params| Box::pin(rename(context, params)),
    },
    Method {
        name: "file.stat",
        help: "Tells what is at a path of a guest, without following a link.",
        params: &[GUEST, PATH],
        gives: Gives::one(ENTRY),
        changes: false,
        call: |context, params| Box::pin(stat(context, params)),
    },
    Method {
        name: "file.transfer",
        help: "Tells how it stands with a transfer, once it is over or after timeout_s seconds, of which at most 20 count.",
        params: &[ID, options(&[optional("timeout_s", Kind::Double, "wait for its end [default: 0]")])],
        gives: Gives::one(TRANSFER),
        changes: false,
        call: |context, params| Box::pin(transfer(context, params)),
    },
    Method {
        name: "file.transfers",
        help: "Lists transfers, newest first.",
        params: &[],
        gives: Gives::list(TRANSFER),
        changes: false,
        call: |context, params| Box::pin(transfers(context, params)),
    },
];

/// The guest and the path of a call: a session, and the path as the guest knows it.
async fn place(context: &Context, params: &mut Params) -> Result<(Session, Vec<u8>), Fault> {
    let guest: String = params.required("guest")?;
    let path: String = params.required("path")?;
    let path = context.files.remote(&guest, path.as_bytes()).await?;
    Ok((context.files.shared(&guest).await?, path))
}

async fn list(context: Context, mut params: Params) -> Result<Value, Fault> {
    let (session, path) = place(&context, &mut params).await?;
    params.finish()?;
    let entries = session.list(&path, &TreePath::top()).await?;
    Ok(entries.iter().map(|entry| entry_value(entry, entry.path.as_bytes())).collect())
}

async fn stat(context: Context, mut params: Params) -> Result<Value, Fault> {
    let (session, path) = place(&context, &mut params).await?;
    params.finish()?;
    let found = session.look(&path).await?.ok_or_else(|| session.missing(&path))?;
    let name = path.rsplit(|octet| *octet == b'/').next().unwrap_or_default();
    Ok(entry_value(&found, name))
}

fn entry_value(entry: &Entry, name: &[u8]) -> Value {
    let (what, size, target) = match &entry.kind {
        What::Dir => ("dir", None, None),
        What::File(size) => ("file", Some(Value::from(*size)), None),
        What::Link(target) => ("link", None, Some(Value::from(escape(target)))),
        What::Other => ("other", None, None),
    };
    let mtime = moment(entry.mtime);
    members([
        ("name", Some(Value::from(escape(name)))),
        ("type", Some(Value::from(what))),
        ("mode", Some(Value::from(entry.mode))),
        ("mtime", Some(Value::from(mtime))),
        ("mtime_unix", Some(unix(mtime))),
        ("size", size),
        ("target", target),
    ])
}

/// A time of change; one beyond what a date can say is the beginning of 1970.
fn moment(mtime: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(mtime.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

async fn df(context: Context, mut params: Params) -> Result<Value, Fault> {
    let guest: String = params.required("guest")?;
    params.finish()?;
    let session = context.files.shared(&guest).await?;
    // One root is everything there is, and relative paths begin there; several are listed at the top.
    let paths = if context.files.remote(&guest, b"~").await? == b"/" {
        vec![b"/".to_vec()]
    } else {
        let listed = session.list(b"/", &TreePath::top()).await?;
        listed.iter().filter(|entry| entry.kind == What::Dir).map(|entry| entry.path.below(b"/")).collect()
    };
    let mut disks = Vec::new();
    for path in paths {
        let space = session.client().statfs(&path).await.map_err(|error| session.fault(error, &path))?;
        disks.push((path, space));
    }
    let octets = |blocks: u64, size: u64| Value::from(blocks.saturating_mul(size));
    Ok(disks
        .into_iter()
        .map(|(path, space)| {
            members([
                ("path", Some(Value::from(escape(&path)))),
                ("size", Some(octets(space.blocks, space.bsize))),
                ("free", Some(octets(space.bavail, space.bsize))),
                ("files_free", Some(Value::from(space.ffree))),
            ])
        })
        .collect())
}

async fn digest_of(context: Context, mut params: Params) -> Result<Value, Fault> {
    let (session, path) = place(&context, &mut params).await?;
    params.finish()?;
    let digest = session.client().hash(vocable_chirp::client::Algorithm::Sha256, &path).await;
    Ok(Value::from(hexadecimal(&digest.map_err(|error| session.fault(error, &path))?)))
}

async fn get(context: Context, mut params: Params) -> Result<Value, Fault> {
    let (session, path) = place(&context, &mut params).await?;
    let mut options = params.options()?;
    let offset = options.take::<i64>("offset")?.unwrap_or(0);
    let length = options.take::<i64>("length")?;
    let bad = |what| options.invalid(what);
    let offset = u64::try_from(offset).map_err(|_| bad("option \"offset\": expected no negative number"))?;
    let length = length.map(u64::try_from).transpose();
    let length = length.map_err(|_| bad("option \"length\": expected no negative number"))?;
    options.finish()?;
    let found = session.look(&path).await?.ok_or_else(|| session.missing(&path))?;
    let What::File(size) = found.kind else {
        let text = format!("{} is no file", session.shown(&path));
        return Err(HostFault::new(FaultKind::FileFailed, text).into());
    };
    let length = length.unwrap_or(USUAL).min(MOST).min(size.saturating_sub(offset));
    let octets = if length == 0 {
        Bytes::new()
    } else {
        let handle = session.open(&path).await?;
        let read = session.client().pread(handle, length, offset).await;
        let closed = session.client().close(handle).await;
        let octets = read.map_err(|error| session.fault(error, &path))?;
        closed.map_err(|error| session.fault(error, &path))?;
        octets
    };
    let mtime = moment(found.mtime);
    Ok(members([
        ("eof", Some(Value::from(offset.saturating_add(octets.len() as u64) >= size))),
        ("data", Some(Value::Base64(octets.to_vec()))),
        ("size", Some(Value::from(size))),
        ("mtime", Some(Value::from(mtime))),
        ("mtime_unix", Some(unix(mtime))),
    ]))
}

async fn put(context: Context, mut params: Params) -> Result<Value, Fault> {
    let (session, path) = place(&context, &mut params).await?;
    let data: Vec<u8> = params.required("data")?;
    let mut options = params.options()?;
    let mode = options.take::<i32>("mode")?.unwrap_or(0o644);
    let mode = u32::try_from(mode).ok().filter(|mode| *mode <= 0o7777);
    let mode = mode.ok_or_else(|| options.invalid("option \"mode\": expected 0 to 0o7777"))?;
    let offset = options.take::<i64>("offset")?.map(u64::try_from).transpose();
    let offset = offset.map_err(|_| options.invalid("option \"offset\": expected no negative number"))?;
    let append = options.take::<bool>("append")?.unwrap_or(false);
    let expected = options.take::<String>("sha256")?;
    let wrong = || options.invalid("option \"sha256\": expected 64 hexadecimal digits");
    let expected = expected.map(|digits| digest(&digits).ok_or_else(wrong)).transpose()?;
    if append && offset.is_some() {
        return Err(options.invalid("options \"append\" and \"offset\" exclude each other"));
    }
    options.finish()?;
    let too_big =
        || HostFault::new(FaultKind::TooBig, format!("file.put takes {MOST} octets; file.push takes more"));
    if data.len() as u64 > MOST {
        return Err(too_big().into());
    }
    let found: [u8; 32] = Sha256::digest(&data).into();
    if expected.is_some_and(|expected| expected != found) {
        let text = format!("{}: the data has another digest than sha256 says", session.shown(&path));
        return Err(HostFault::new(FaultKind::DigestMismatch, text).into());
    }
    let written = data.len() as u64;
    match (offset, append) {
        (None, false) => {
            let mtime_ns = OffsetDateTime::now_utc().unix_timestamp_nanos();
            session.put(&path, Meta { mode, mtime_ns }, &data, found).await?;
            session.sync().await?;
        }
        (offset, _) => write_into(&session, &path, mode, offset, data.into()).await?,
    }
    Ok(Value::from(written))
}

async fn write_into(
    session: &Session,
    path: &[u8],
    mode: u32,
    offset: Option<u64>,
    data: Bytes,
) -> Result<(), HostFault> {
    let failed = |error| session.fault(error, path);
    let flags = vocable_chirp::proto::Flags {
        read: true,
        write: true,
        create: true,
        ..vocable_chirp::proto::Flags::default()
    };
    let (handle, _) = session.client().open(path, flags, mode).await.map_err(failed)?;
    let written = async {
        let offset = match offset {
            Some(offset) => offset,
            None => session.client().fstat(handle).await.map_err(failed)?.size,
        };
        let length = data.len() as u64;
        let written = session.client().pwrite(handle, data, offset).await.map_err(failed)?;
        if written != length {
            let text = format!("{}: written in part only", session.shown(path));
            return Err(HostFault::new(FaultKind::FileFailed, text));
        }
        session.client().fsync(handle).await.map_err(failed)
    };
    let written = written.await;
    session.client().close(handle).await.map_err(failed)?;
    written?;
    session.sync().await
}

async fn mkdir(context: Context, mut params: Params) -> Result<Value, Fault> {
    let (session, path) = place(&context, &mut params).await?;
    let mut options = params.options()?;
    let mode = options.take::<i32>("mode")?.unwrap_or(0o755);
    let mode = u32::try_from(mode).ok().filter(|mode| *mode <= 0o7777);
    let mode = mode.ok_or_else(|| options.invalid("option \"mode\": expected 0 to 0o7777"))?;
    let parents = options.take::<bool>("parents")?.unwrap_or(false);
    options.finish()?;
    if parents {
        let slashes = path.iter().enumerate().skip(1).filter(|(_, octet)| **octet == b'/').map(|(at, _)| at);
        for parent in slashes.filter_map(|at| path.get(..at)) {
            // The roots themselves are there, and cannot be made.
            if session.look(parent).await?.is_none() {
                session.make_dir(parent, mode).await?;
            }
        }
    }
    session.make_dir(&path, mode).await?;
    Ok(Value::from(true))
}

async fn remove(context: Context, mut params: Params) -> Result<Value, Fault> {
    let (session, path) = place(&context, &mut params).await?;
    let mut options = params.options()?;
    let recursive = options.take::<bool>("recursive")?.unwrap_or(false);
    options.finish()?;
    let Some(found) = session.look(&path).await? else { return Ok(Value::from(false)) };
    if found.kind == What::Dir && !recursive {
        session.client().rmdir(&path).await.map_err(|error| session.fault(error, &path))?;
    } else {
        session.remove(&path).await?;
    }
    Ok(Value::from(true))
}

async fn rename(context: Context, mut params: Params) -> Result<Value, Fault> {
    let (session, path) = place(&context, &mut params).await?;
    let to: String = params.required("to")?;
    params.finish()?;
    let to = context.files.remote(session.guest(), to.as_bytes()).await?;
    // A folder takes no other's place, and nothing takes a folder's, whatever the guest's system thinks of empty ones.
    session.rename(&path, &to).await?;
    session.sync().await?;
    Ok(Value::from(true))
}

async fn copy(context: Context, mut params: Params, direction: Direction) -> Result<Value, Fault> {
    let guest: String = params.required("guest")?;
    let (local, remote) = match direction {
        Direction::Push => {
            let local = params.required("local_path")?;
            (local, params.required("remote_path")?)
        }
        Direction::Pull => {
            let remote = params.required("remote_path")?;
            (params.required("local_path")?, remote)
        }
    };
    let mut options = params.options()?;
    let id = options.take("id")?;
    let spec = Spec {
        direction,
        guest,
        local,
        remote,
        exclude: options.take("exclude")?.unwrap_or_default(),
        delete: options.take("delete")?.unwrap_or(false),
        resume: options.take("resume")?.unwrap_or(true),
        preserve: options.take("preserve")?.unwrap_or(false),
    };
    options.finish()?;
    Ok(Value::from(context.transfers.start(spec, id).await?))
}

async fn transfer(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("transfer_id")?;
    let mut options = params.options()?;
    let seconds = options.take::<f64>("timeout_s")?.unwrap_or(0.0);
    options.finish()?;
    let transfer = context.transfers.wait(&id, deadline(&context, seconds)).await?;
    Ok(transfer_value(&transfer))
}

async fn transfers(context: Context, params: Params) -> Result<Value, Fault> {
    params.finish()?;
    Ok(context.transfers.list().await?.iter().map(transfer_value).collect())
}

async fn cancel(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("transfer_id")?;
    params.finish()?;
    Ok(Value::from(context.transfers.cancel(&id).await?))
}

fn transfer_value(transfer: &Transfer) -> Value {
    let Transfer { id, spec, state, created, ended, report } = transfer;
    let text = |text: &str| Some(Value::from(text));
    let error = report.error.as_ref().map(|(code, message)| {
        Value::from([("code", Value::from(code.as_str())), ("message", Value::from(message.as_str()))])
    });
    let failed = report.outcome.failed.iter().map(|failed| {
        Value::from([
            ("path", Value::from(failed.path.as_str())),
            ("code", Value::from(failed.code.as_str())),
            ("message", Value::from(failed.message.as_str())),
        ])
    });
    members([
        ("transfer_id", text(id)),
        (
            "direction",
            text(match spec.direction {
                Direction::Push => "push",
                Direction::Pull => "pull",
            }),
        ),
        ("guest", text(&spec.guest)),
        ("local_path", text(&spec.local)),
        ("remote_path", text(&spec.remote)),
        ("state", text(state.as_str())),
        ("created", Some(Value::from(*created))),
        ("created_unix", Some(unix(*created))),
        ("ended", ended.map(Value::from)),
        ("ended_unix", ended.map(unix)),
        ("files", Some(Value::from(report.files))),
        ("bytes", Some(Value::from(report.bytes))),
        ("total_files", Some(Value::from(report.total_files))),
        ("total_bytes", Some(Value::from(report.total_bytes))),
        ("skipped", Some(Value::from(report.skipped))),
        ("resumed_from", Some(Value::from(report.resumed_from))),
        ("sha256", report.outcome.sha256.as_deref().map(Value::from)),
        ("error", error),
        ("failed", (report.outcome.failures > 0).then(|| failed.collect())),
    ])
}
