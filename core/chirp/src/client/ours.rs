//! Our own requests, which only our own server knows: one round trip each, with digests and times of full precision.

use super::calls::bad_reply;
use super::driver::Payload;
use super::reply::Expect;
use super::{Client, Error};
use crate::proto::{Entry, Meta, Request};
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::sync::Arc;

/// A file that came whole, as its digest says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Got {
    /// Permissions and time of change.
    pub meta: Meta,
    /// Its content.
    pub bytes: Bytes,
}

impl Client {
    /// A whole small file: in place with all that belongs to it, or not at all.
    /// Fails with [`crate::proto::Code::DigestMismatch`] if it didn't arrive as it is.
    pub async fn vput(&self, path: impl AsRef<[u8]>, meta: Meta, bytes: Bytes) -> Result<(), Error> {
        let sha256 = Sha256::digest(&bytes).into();
        self.vput_known(path, meta, &bytes, sha256).await
    }

    /// The same with a digest that is known already.
    pub async fn vput_known(
        &self,
        path: impl AsRef<[u8]>,
        meta: Meta,
        bytes: &[u8],
        sha256: [u8; 32],
    ) -> Result<(), Error> {
        let body = Bytes::from([bytes, &sha256].concat());
        self.vput_payload(path.as_ref(), meta, bytes.len() as u64, Payload::Bytes(body)).await
    }

    /// The same with a file of this side, of that length, which is digested while it is sent.
    /// Fails also if it is shorter, which closes the connection.
    pub async fn vput_file(
        &self,
        path: impl AsRef<[u8]>,
        meta: Meta,
        file: File,
        len: u64,
    ) -> Result<(), Error> {
        let payload = Payload::Digested { file: Arc::new(file), len };
        self.vput_payload(path.as_ref(), meta, len, payload).await
    }

    async fn vput_payload(&self, path: &[u8], meta: Meta, len: u64, payload: Payload) -> Result<(), Error> {
        let Meta { mode, mtime_ns } = meta;
        let request = Request::Vput { path: path.into(), mode, mtime_ns, len };
        self.call_with(&request, payload, Expect::Number).await.map(drop)
    }

    /// A whole small file, if it has no more bytes than that. Its digest is checked.
    /// Fails also if its digest is another.
    pub async fn vget(&self, path: impl AsRef<[u8]>, limit: u64) -> Result<Got, Error> {
        let request = Request::Vget { path: path.as_ref().into() };
        let reply = self.call(&request, Expect::Bytes { max: limit, head: true, tail: 32 }).await?;
        let meta = meta(reply.lines.first(), &request)?;
        if Sha256::digest(&reply.bytes).as_slice() != reply.tail {
            return Err(Error::Digest { what: crate::excerpt(path.as_ref()) });
        }
        Ok(Got { meta, bytes: reply.bytes.into() })
    }

    /// A whole file, into a file of this side, as [`Client::fetch`] does it; it is as it should be if this succeeds.
    pub async fn vfetch(&self, path: impl AsRef<[u8]>, file: File) -> Result<(Meta, u64), Error> {
        let request = Request::Vget { path: path.as_ref().into() };
        let mut incoming = self.incoming(&request, true, 32).await?;
        let meta = meta(Some(&incoming.head), &request)?;
        let digest = incoming.save(&request, file, Sha256::new()).await?;
        let reply = incoming.end().await?;
        if digest.finalize().as_slice() != reply.tail {
            return Err(Error::Digest { what: crate::excerpt(path.as_ref()) });
        }
        Ok((meta, reply.result))
    }

    /// The entries of a directory, with all that belongs to them.
    /// Fails also if one of them is none, or comes twice.
    pub async fn vlist(&self, path: impl AsRef<[u8]>) -> Result<Vec<Entry>, Error> {
        let request = Request::Vlist { path: path.as_ref().into() };
        let reply = self.call(&request, Expect::Counted).await?;
        let entry = |line: BytesMut| {
            Entry::parse(&line).ok_or_else(|| bad_reply(request.to_string(), "an entry has no proper name"))
        };
        let entries = reply.lines.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        super::calls::check_unique(entries.iter().map(|entry| &entry.name), &request)?;
        Ok(entries)
    }

    /// Waits until all names that this connection has made are on the server's disk: what it has put is there even after
    /// the machine has crashed.
    /// Fails with [`crate::proto::Code::InvalidRequest`] if the server is older than that.
    pub async fn vsync(&self) -> Result<(), Error> {
        let request = Request::Vsync {};
        self.call_for(&request, Payload::Nothing, Expect::Number, self.about.config.digest).await.map(drop)
    }

    /// Sets permissions and time of change; of a link only the time.
    pub async fn vmeta(&self, path: impl AsRef<[u8]>, meta: Meta) -> Result<(), Error> {
        let Meta { mode, mtime_ns } = meta;
        self.done(Request::Vmeta { path: path.as_ref().into(), mode, mtime_ns }).await
    }

    /// SHA-256 of the first bytes of a file, or of all if it has fewer.
    pub async fn vhash(&self, path: impl AsRef<[u8]>, len: u64) -> Result<[u8; 32], Error> {
        let request = Request::Vhash { path: path.as_ref().into(), len };
        let expect = Expect::Bytes { max: 32, head: false, tail: 0 };
        let reply = self.call_for(&request, Payload::Nothing, expect, self.about.config.digest).await?;
        reply.bytes.try_into().map_err(|_| bad_reply(request.to_string(), "it is no such digest"))
    }
}

fn meta(line: Option<&BytesMut>, request: &Request) -> Result<Meta, Error> {
    let words = line.and_then(|line| std::str::from_utf8(line).ok()).and_then(|line| line.split_once(' '));
    let meta = words.and_then(|(mode, mtime_ns)| {
        Some(Meta { mode: mode.parse::<u32>().ok()? & 0o7777, mtime_ns: mtime_ns.trim().parse().ok()? })
    });
    meta.ok_or_else(|| bad_reply(request.to_string(), "it has no line about the file"))
}
