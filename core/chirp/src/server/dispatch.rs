//! From a request to the verb that answers it. Requests are done in batches: one visit to a thread that may wait for
//! a disk does all that a client has asked for meanwhile.

use super::files::Files;
use super::sink::{Sink, Upload};
use super::tree::Links;
use super::verbs::{self, change, list, open, read, upload};
use crate::proto::{Code, Malformed, Meta, Request, Strides};
use bytes::{BufMut, BytesMut};
use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

/// Something to be done, in the order it was asked for.
pub(super) struct Job {
    pub(super) request: Result<Request, Refused>,
    /// What belongs to it, if it has arrived.
    pub(super) body: Body,
}

/// What belongs to a request.
pub(super) enum Body {
    Here(BytesMut),
    /// It is still to be read: so many bytes.
    Coming(u64),
}

/// A line that is no request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refused {
    Malformed(Malformed),
    TooLong,
}

/// What the connection's task has to do before the next request.
pub(super) enum Then {
    /// The client wants nothing more, or can't be understood any more.
    Close(Option<&'static str>),
    /// Take a body from the stream: so many bytes, or until it is closed.
    Receive { sink: Sink, len: Option<u64> },
    /// Send a part of a file. `hashed`: also its digest. `close`: nothing can follow.
    Send { file: Arc<File>, offset: u64, len: u64, hashed: bool, close: bool },
}

impl Files {
    /// Does one after the other until something has to be streamed; answers go into `out`.
    pub(super) fn run(&mut self, jobs: &mut VecDeque<Job>, out: &mut BytesMut) -> Option<Then> {
        while let Some(Job { request, body }) = jobs.pop_front() {
            let then = match (request, body) {
                (Ok(Request::Vput { path, mode, mtime_ns, len }), Body::Here(bytes)) => {
                    let mut small = vec![self.vput(&path, Meta { mode, mtime_ns }, len, &bytes)];
                    self.more(jobs, &mut small);
                    self.place_all(small, out)
                }
                (Ok(request), body) => self.one(&request, body, out),
                (Err(refused), body) => refuse(refused, body, out),
            };
            if then.is_some() {
                return then;
            }
        }
        None
    }

    /// The small files that follow each other.
    fn more(&mut self, jobs: &mut VecDeque<Job>, small: &mut Vec<Result<Box<Upload>, Code>>) {
        let is_small =
            |job: &Job| matches!(job, Job { request: Ok(Request::Vput { .. }), body: Body::Here(_) });
        while jobs.front().is_some_and(is_small) {
            let Some(Job {
                request: Ok(Request::Vput { path, mode, mtime_ns, len }),
                body: Body::Here(bytes),
            }) = jobs.pop_front()
            else {
                return;
            };
            small.push(self.vput(&path, Meta { mode, mtime_ns }, len, &bytes));
        }
    }

    fn vput(&mut self, path: &[u8], meta: Meta, len: u64, bytes: &[u8]) -> Result<Box<Upload>, Code> {
        let mut upload = upload::vput(self, path, meta, len)?;
        upload.write(bytes);
        self.pending = self.pending.saturating_add(len);
        Ok(upload)
    }

    /// Small files go to the disk together, and then get their names.
    fn place_all(&mut self, small: Vec<Result<Box<Upload>, Code>>, out: &mut BytesMut) -> Option<Then> {
        for result in Sink::finish_all(small, self) {
            match result {
                Ok(result) => number(result, out),
                Err(code) => drop(fail(code, out)),
            }
        }
        self.pending = 0;
        None
    }

    fn one(&mut self, request: &Request, body: Body, out: &mut BytesMut) -> Option<Then> {
        if request.body().is_some() || matches!(request, Request::Putfile { .. } | Request::Putstream { .. })
        {
            return self.with_body(request, body, out);
        }
        match self.streamed(request, out) {
            Some(Ok(then)) => then,
            Some(Err(code)) => fail(code, out),
            None => match self.plain(request, out) {
                Ok(()) => None,
                Err(code) => fail(code, out),
            },
        }
    }

    /// Requests with a body, from where it goes to.
    fn with_body(&mut self, request: &Request, body: Body, out: &mut BytesMut) -> Option<Then> {
        let sink = match request {
            Request::Putfile { path, mode, len } => match upload::putfile(self, path, *mode, *len) {
                Ok(sink) => {
                    out.put_slice(b"0\n");
                    if *len == 0 {
                        return finish(sink, self, out);
                    }
                    return Some(Then::Receive { sink, len: Some(*len) });
                }
                Err(code) => return fail(code, out),
            },
            Request::Putstream { path } => match upload::putstream(self, path) {
                Ok(sink) => {
                    out.put_slice(b"0\n");
                    return Some(Then::Receive { sink, len: None });
                }
                Err(code) => return fail(code, out),
            },
            Request::Vput { path, mode, mtime_ns, len } => {
                let meta = Meta { mode: *mode, mtime_ns: *mtime_ns };
                upload::vput(self, path, meta, *len).map(Sink::Upload)
            }
            Request::Pwrite { fd, len, offset } => upload::pwrite(self, *fd, *len, *offset, None),
            Request::Swrite { fd, len, strides: Strides { stride, skip, offset } } => {
                upload::pwrite(self, *fd, *len, *offset, Some((*stride, *skip)))
            }
            Request::Write { fd, len } => upload::write(self, *fd, *len),
            _ => Err(Code::InvalidRequest),
        };
        let mut sink = sink.unwrap_or_else(|code| Sink::Nowhere(Some(code)));
        match body {
            Body::Here(bytes) => {
                sink.write(&bytes);
                finish(sink, self, out)
            }
            Body::Coming(len) => Some(Then::Receive { sink, len: Some(len) }),
        }
    }

    /// Requests whose answer may be as long as a file.
    fn streamed(&mut self, request: &Request, out: &mut BytesMut) -> Option<Result<Option<Then>, Code>> {
        Some(match request {
            Request::Getfile { path } => read::getfile(self, path, out),
            Request::Getstream { path } => read::getstream(self, path, out),
            Request::Pread { fd, len, offset } => read::pread(self, *fd, *len, *offset, out),
            Request::Read { fd, len } => read::read(self, *fd, *len, out),
            Request::Vget { path } => read::vget(self, path, out),
            _ => return None,
        })
    }

    /// All others: what they answer is short, or bounded by a limit.
    fn plain(&mut self, request: &Request, out: &mut BytesMut) -> Result<(), Code> {
        match request {
            Request::Access { path, mode } => verbs::access(self, path, *mode)?,
            Request::Audit { path } => return list::audit(self, path, out),
            Request::Chmod { path, mode } => change::chmod(self, path, *mode)?,
            Request::Chown { path } | Request::Lchown { path } => change::chown(self, path)?,
            Request::Close { fd } => open::close(self, *fd)?,
            Request::Fchmod { fd, mode } => open::fchmod(self, *fd, *mode)?,
            Request::Fchown { fd } => drop(self.opened(*fd)?),
            Request::Fstat { fd } => return open::fstat(self, *fd, out),
            Request::Fstatfs { fd } => return open::fstatfs(self, *fd, out),
            Request::Fsync { fd } => open::fsync(self, *fd)?,
            Request::Ftruncate { fd, len } => open::ftruncate(self, *fd, *len)?,
            Request::Getacl { path } => return verbs::getacl(self, path, out),
            Request::Getdir { path } => return list::getdir(self, path, out),
            Request::Getlongdir { path } => return list::getlongdir(self, path, out),
            Request::Hash { algorithm, path } => return read::hash(self, algorithm, path, out),
            Request::Link { from, to } => change::link(self, from, to)?,
            Request::Localpath { path } => return verbs::localpath(self, path, out),
            Request::Lseek { fd, offset, whence } => return open::lseek(self, *fd, *offset, *whence, out),
            Request::Lstat { path } => return verbs::stat(self, path, Links::Keep, out),
            Request::Md5 { path } => return read::hash(self, b"md5", path, out),
            Request::Mkdir { path, mode } => change::mkdir(self, path, *mode)?,
            Request::Open { path, flags, mode } => return open::open(self, path, *flags, *mode, out),
            Request::Readlink { path, max } => return verbs::readlink(self, path, *max, out),
            Request::Rename { from, to } => change::rename(self, from, to)?,
            Request::Rmall { path } => change::rmall(self, path)?,
            Request::Rmdir { path } => change::rmdir(self, path)?,
            Request::Search { .. } => return Err(Code::NotSupported),
            Request::Sread { fd, len, strides } => return read::sread(self, *fd, *len, *strides, out),
            Request::Stat { path } => return verbs::stat(self, path, Links::Follow, out),
            Request::Statfs { path } => return verbs::statfs(self, path, out),
            Request::Symlink { target, path } => change::symlink(self, target, path)?,
            Request::Truncate { path, len } => change::truncate(self, path, *len)?,
            Request::Unlink { path } => change::unlink(self, path)?,
            Request::Utime { path, atime, mtime } => change::utime(self, path, *atime, *mtime)?,
            Request::Vhello {} => {
                number(crate::proto::EXTENSIONS.unsigned_abs(), out);
                return Ok(());
            }
            Request::Vhash { path, len } => return read::vhash(self, path, *len, out),
            Request::Vsync {} => self.sync()?,
            Request::Vlist { path } => return list::vlist(self, path, out),
            Request::Vmeta { path, mode, mtime_ns } => change::vmeta(self, path, *mode, *mtime_ns)?,
            Request::Whoami { max } => {
                let subject = self.subject.name.clone();
                bytes(subject.as_bytes(), *max, out);
                return Ok(());
            }
            // Who may do what is the operator's to say; and nothing is dialled on a client's behalf.
            Request::Resetacl { .. } | Request::Setacl { .. } | Request::Whoareyou {} => {
                return Err(Code::NotAuthorized);
            }
            _ => return Err(Code::InvalidRequest),
        }
        number(0, out);
        Ok(())
    }
}

/// Answers when a body is through.
pub(super) fn finish(sink: Sink, files: &mut Files, out: &mut BytesMut) -> Option<Then> {
    match sink.finish(files)? {
        Ok(result) => number(result, out),
        Err(code) => return fail(code, out),
    }
    None
}

fn refuse(refused: Refused, body: Body, out: &mut BytesMut) -> Option<Then> {
    match refused {
        Refused::TooLong => return fail(Code::TooBig, out),
        Refused::Malformed(Malformed::Endless) => {
            let _ = fail(Code::InvalidRequest, out);
            return Some(Then::Close(Some("a body of unknown length")));
        }
        Refused::Malformed(_) => {}
    }
    match body {
        Body::Here(_) => fail(Code::InvalidRequest, out),
        Body::Coming(len) => {
            Some(Then::Receive { sink: Sink::Nowhere(Some(Code::InvalidRequest)), len: Some(len) })
        }
    }
}

fn fail(code: Code, out: &mut BytesMut) -> Option<Then> {
    out.put_slice(format!("{}\n", code.number()).as_bytes());
    None
}

pub(super) fn number(number: u64, out: &mut BytesMut) {
    out.put_slice(format!("{number}\n").as_bytes());
}

/// A result that is the length of what follows, cut to what the client has room for.
pub(super) fn bytes(bytes: &[u8], max: u64, out: &mut BytesMut) {
    let len = bytes.len().min(usize::try_from(max).unwrap_or(usize::MAX));
    number(len as u64, out);
    out.put_slice(bytes.get(..len).unwrap_or_default());
}
