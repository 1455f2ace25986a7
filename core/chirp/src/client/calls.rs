//! The protocol's verbs as calls, but for those with large content.

use super::driver::{Job, Payload};
use super::reply::{Expect, Reply};
use super::{Client, Error};
use crate::proto::{CHUNK, Flags, Name, Request, Stat, Statfs};
use bytes::Bytes;
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::oneshot;

/// A file that is open on the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fd(pub(super) u32);

/// How digests are made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// 16 bytes. Real servers have it.
    Md5,
    /// 20 bytes. Real servers have it.
    Sha1,
    /// 32 bytes. Only ours.
    Sha256,
}

/// Longest request the real server takes; to a longer one it hangs up.
const REAL_LINE: usize = 1023;
/// Longest one ours takes.
const OUR_LINE: usize = 64 * 1024;

/// All calls fail if the server refuses, or if the connection is lost.
impl Client {
    /// About what the path leads to.
    pub async fn stat(&self, path: impl AsRef<[u8]>) -> Result<Stat, Error> {
        self.about(Request::Stat { path: path.as_ref().into() }).await
    }

    /// About what has that name, be it a link.
    pub async fn lstat(&self, path: impl AsRef<[u8]>) -> Result<Stat, Error> {
        self.about(Request::Lstat { path: path.as_ref().into() }).await
    }

    /// About an open file.
    pub async fn fstat(&self, Fd(fd): Fd) -> Result<Stat, Error> {
        self.about(Request::Fstat { fd }).await
    }

    async fn about(&self, request: Request) -> Result<Stat, Error> {
        let what = request.to_string();
        let reply = self.call(&request, Expect::Lines(1)).await?;
        reply
            .lines
            .first()
            .and_then(|line| Stat::parse(line))
            .ok_or_else(|| bad_reply(what, "it has no stat line"))
    }

    /// About the file system there.
    pub async fn statfs(&self, path: impl AsRef<[u8]>) -> Result<Statfs, Error> {
        let request = Request::Statfs { path: path.as_ref().into() };
        let reply = self.call(&request, Expect::Lines(1)).await?;
        let statfs = reply.lines.first().and_then(|line| Statfs::parse(line));
        statfs.ok_or_else(|| bad_reply(request.to_string(), "it has no statfs line"))
    }

    /// Whether the file may be read (4), written (2), executed (1), or is there at all (0).
    /// Fails also if it may not.
    pub async fn access(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<(), Error> {
        self.done(Request::Access { path: path.as_ref().into(), mode }).await
    }

    /// The names in a directory, without `.` and `..`.
    /// Fails also if one of the names is none, or comes twice.
    pub async fn getdir(&self, path: impl AsRef<[u8]>) -> Result<Vec<Name>, Error> {
        let request = Request::Getdir { path: path.as_ref().into() };
        let reply = self.call(&request, Expect::Listing).await?;
        let real = reply.lines.iter().filter(|name| !matches!(name.as_ref(), b"." | b".."));
        let names = real.map(|name| Ok(Name::new(name.to_vec())?)).collect::<Result<Vec<_>, Error>>()?;
        check_unique(names.iter(), &request)?;
        Ok(names)
    }

    /// The entries of a directory, without `.` and `..`.
    pub async fn getlongdir(&self, path: impl AsRef<[u8]>) -> Result<Vec<(Name, Stat)>, Error> {
        let request = Request::Getlongdir { path: path.as_ref().into() };
        let reply = self.call(&request, Expect::Listing).await?;
        let mut entries = Vec::with_capacity(reply.lines.len() / 2);
        for pair in reply.lines.chunks(2) {
            let [name, stat] = pair else {
                return Err(bad_reply(request.to_string(), "a stat line is missing"));
            };
            let stat =
                Stat::parse(stat).ok_or_else(|| bad_reply(request.to_string(), "it has no stat line"))?;
            if !matches!(name.as_ref(), b"." | b"..") {
                entries.push((Name::new(name.to_vec())?, stat));
            }
        }
        check_unique(entries.iter().map(|(name, _)| name), &request)?;
        Ok(entries)
    }

    /// Makes a directory.
    pub async fn mkdir(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<(), Error> {
        self.done(Request::Mkdir { path: path.as_ref().into(), mode }).await
    }

    /// Removes an empty directory.
    pub async fn rmdir(&self, path: impl AsRef<[u8]>) -> Result<(), Error> {
        self.done(Request::Rmdir { path: path.as_ref().into() }).await
    }

    /// Removes a name that is no directory's.
    pub async fn unlink(&self, path: impl AsRef<[u8]>) -> Result<(), Error> {
        self.done(Request::Unlink { path: path.as_ref().into() }).await
    }

    /// Removes whatever has that name, with all that is in it.
    pub async fn rmall(&self, path: impl AsRef<[u8]>) -> Result<(), Error> {
        self.done(Request::Rmall { path: path.as_ref().into() }).await
    }

    /// Gives it another name, whose file is replaced.
    pub async fn rename(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<(), Error> {
        self.done(Request::Rename { from: from.as_ref().into(), to: to.as_ref().into() }).await
    }

    /// Gives it one more name.
    pub async fn link(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<(), Error> {
        self.done(Request::Link { from: from.as_ref().into(), to: to.as_ref().into() }).await
    }

    /// Makes a link. A real server keeps the target as it is sent, escapes and all.
    pub async fn symlink(&self, target: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> Result<(), Error> {
        self.done(Request::Symlink { target: target.as_ref().into(), path: path.as_ref().into() }).await
    }

    /// Where a link leads to.
    pub async fn readlink(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
        let request = Request::Readlink { path: path.as_ref().into(), max: 4096 };
        Ok(self.call(&request, Expect::Bytes { max: 4096, head: false, tail: 0 }).await?.bytes)
    }

    /// Sets permissions.
    pub async fn chmod(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<(), Error> {
        self.done(Request::Chmod { path: path.as_ref().into(), mode }).await
    }

    /// Cuts a file, or makes it longer.
    pub async fn truncate(&self, path: impl AsRef<[u8]>, len: u64) -> Result<(), Error> {
        self.done(Request::Truncate { path: path.as_ref().into(), len }).await
    }

    /// Sets times: seconds since 1970.
    pub async fn utime(&self, path: impl AsRef<[u8]>, atime: i64, mtime: i64) -> Result<(), Error> {
        self.done(Request::Utime { path: path.as_ref().into(), atime, mtime }).await
    }

    /// Who the server takes this for.
    pub async fn whoami(&self) -> Result<String, Error> {
        let expect = Expect::Bytes { max: 4096, head: false, tail: 0 };
        let reply = self.call(&Request::Whoami { max: 4096 }, expect).await?;
        Ok(String::from_utf8_lossy(&reply.bytes).into_owned())
    }

    /// Who may do what there: subject and letters.
    pub async fn getacl(&self, path: impl AsRef<[u8]>) -> Result<Vec<(String, String)>, Error> {
        let reply = self.call(&Request::Getacl { path: path.as_ref().into() }, Expect::Listing).await?;
        let rule = |line: &bytes::BytesMut| {
            let line = String::from_utf8_lossy(line).into_owned();
            let (subject, rights) = line.rsplit_once(' ').unwrap_or((&line, ""));
            (subject.to_owned(), rights.to_owned())
        };
        Ok(reply.lines.iter().map(rule).collect())
    }

    /// The digest of a file's content.
    pub async fn hash(&self, algorithm: Algorithm, path: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
        let (name, len): (&[u8], _) = match algorithm {
            Algorithm::Md5 => (b"md5", 16),
            Algorithm::Sha1 => (b"sha1", 20),
            Algorithm::Sha256 => (b"sha256", 32),
        };
        let request = Request::Hash { algorithm: name.into(), path: path.as_ref().into() };
        let expect = Expect::Bytes { max: 64, head: false, tail: 0 };
        let digest = self.call_for(&request, Payload::Nothing, expect, self.about.config.digest).await?.bytes;
        if digest.len() == len {
            Ok(digest)
        } else {
            Err(bad_reply(request.to_string(), "it is no such digest"))
        }
    }

    /// Opens a file.
    pub async fn open(&self, path: impl AsRef<[u8]>, flags: Flags, mode: u32) -> Result<(Fd, Stat), Error> {
        let request = Request::Open { path: path.as_ref().into(), flags, mode };
        let reply = self.call(&request, Expect::Lines(1)).await?;
        let stat = reply.lines.first().and_then(|line| Stat::parse(line));
        let fd = u32::try_from(reply.result).ok().map(Fd);
        fd.zip(stat).ok_or_else(|| bad_reply(request.to_string(), "it has no stat line"))
    }

    /// Closes it.
    pub async fn close(&self, Fd(fd): Fd) -> Result<(), Error> {
        self.done(Request::Close { fd }).await
    }

    /// Waits until it is on the disk.
    pub async fn fsync(&self, Fd(fd): Fd) -> Result<(), Error> {
        self.done(Request::Fsync { fd }).await
    }

    /// Cuts it, or makes it longer.
    pub async fn ftruncate(&self, Fd(fd): Fd, len: u64) -> Result<(), Error> {
        self.done(Request::Ftruncate { fd, len }).await
    }

    /// Reads at an offset: at most 16 MiB, fewer at the end.
    pub async fn pread(&self, Fd(fd): Fd, len: u64, offset: u64) -> Result<Bytes, Error> {
        let len = len.min(CHUNK);
        let expect = Expect::Bytes { max: len, head: false, tail: 0 };
        Ok(self.call(&Request::Pread { fd, len, offset }, expect).await?.bytes.into())
    }

    /// Writes at an offset: at most 16 MiB are taken. How many were.
    pub async fn pwrite(&self, Fd(fd): Fd, bytes: Bytes, offset: u64) -> Result<u64, Error> {
        let len = bytes.len() as u64;
        let request = Request::Pwrite { fd, len, offset };
        let reply = self.call_with(&request, Payload::Bytes(bytes), Expect::Number).await?;
        if reply.result > len {
            return Err(bad_reply(request.to_string(), "more was written than was sent"));
        }
        Ok(reply.result)
    }

    pub(super) async fn done(&self, request: Request) -> Result<(), Error> {
        self.call(&request, Expect::Number).await.map(drop)
    }

    pub(super) async fn call(&self, request: &Request, expect: Expect) -> Result<Reply, Error> {
        self.call_with(request, Payload::Nothing, expect).await
    }

    pub(super) async fn call_with(
        &self,
        request: &Request,
        payload: Payload,
        expect: Expect,
    ) -> Result<Reply, Error> {
        self.call_for(request, payload, expect, self.about.config.silence).await
    }

    pub(super) async fn call_for(
        &self,
        request: &Request,
        payload: Payload,
        expect: Expect,
        timeout: Duration,
    ) -> Result<Reply, Error> {
        self.begin(request, payload, expect, timeout).await?.await.map_err(|_| self.closed())?
    }

    /// Sends it; the answer comes through the channel.
    pub(super) async fn begin(
        &self,
        request: &Request,
        payload: Payload,
        expect: Expect,
        timeout: Duration,
    ) -> Result<oneshot::Receiver<Result<Reply, Error>>, Error> {
        let line = request.to_string();
        let longest = if self.is_ours() { OUR_LINE } else { REAL_LINE };
        if line.len() > longest || line.contains("%00") || line.contains("%0A") {
            return Err(unsendable(&line, longest));
        }
        let (reply, answer) = oneshot::channel();
        let job = Job { line, payload, expect, timeout, reply };
        self.jobs.send(job).await.map_err(|_| self.closed())?;
        Ok(answer)
    }
}

fn unsendable(line: &str, longest: usize) -> Error {
    let why = if line.len() > longest {
        "makes a longer request than the server takes"
    } else {
        "has a NUL or a line feed"
    };
    crate::proto::BadName { name: line.as_bytes().to_vec(), why }.into()
}

/// No name may come twice: who goes by the first would be told about another thing by the second.
pub(super) fn check_unique<'a>(
    names: impl ExactSizeIterator<Item = &'a Name>,
    request: &Request,
) -> Result<(), Error> {
    let mut seen = HashSet::with_capacity(names.len());
    let mut names = names;
    if names.all(|name| seen.insert(name)) {
        Ok(())
    } else {
        Err(bad_reply(request.to_string(), "a name comes twice"))
    }
}

pub(super) fn bad_reply(what: String, why: &'static str) -> Error {
    Error::BadReply { what, why }
}
