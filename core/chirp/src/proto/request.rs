//! Everything that can be asked, as one line each.

use super::escape::encode;
use super::flags::Flags;
use super::words::Words;
use std::fmt;

/// One request, without its body. Paths are raw bytes; lengths and offsets count octets.
#[derive(Clone, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "the verbs and their arguments are the protocol's")]
pub enum Request {
    Access {
        path: Vec<u8>,
        mode: u32,
    },
    Audit {
        path: Vec<u8>,
    },
    Chmod {
        path: Vec<u8>,
        mode: u32,
    },
    Chown {
        path: Vec<u8>,
    },
    Close {
        fd: u32,
    },
    Fchmod {
        fd: u32,
        mode: u32,
    },
    Fchown {
        fd: u32,
    },
    Fstat {
        fd: u32,
    },
    Fstatfs {
        fd: u32,
    },
    Fsync {
        fd: u32,
    },
    Ftruncate {
        fd: u32,
        len: u64,
    },
    Getacl {
        path: Vec<u8>,
    },
    Getdir {
        path: Vec<u8>,
    },
    Getfile {
        path: Vec<u8>,
    },
    Getlongdir {
        path: Vec<u8>,
    },
    Getstream {
        path: Vec<u8>,
    },
    Hash {
        algorithm: Vec<u8>,
        path: Vec<u8>,
    },
    Lchown {
        path: Vec<u8>,
    },
    Link {
        from: Vec<u8>,
        to: Vec<u8>,
    },
    Localpath {
        path: Vec<u8>,
    },
    Lseek {
        fd: u32,
        offset: i64,
        whence: u32,
    },
    Lstat {
        path: Vec<u8>,
    },
    Md5 {
        path: Vec<u8>,
    },
    Mkdir {
        path: Vec<u8>,
        mode: u32,
    },
    Open {
        path: Vec<u8>,
        flags: Flags,
        mode: u32,
    },
    Pread {
        fd: u32,
        len: u64,
        offset: u64,
    },
    Putfile {
        path: Vec<u8>,
        mode: u32,
        len: u64,
    },
    Putstream {
        path: Vec<u8>,
    },
    Pwrite {
        fd: u32,
        len: u64,
        offset: u64,
    },
    Read {
        fd: u32,
        len: u64,
    },
    Readlink {
        path: Vec<u8>,
        max: u64,
    },
    Rename {
        from: Vec<u8>,
        to: Vec<u8>,
    },
    Resetacl {
        path: Vec<u8>,
    },
    Rmall {
        path: Vec<u8>,
    },
    Rmdir {
        path: Vec<u8>,
    },
    Search {
        pattern: Vec<u8>,
        path: Vec<u8>,
        flags: u32,
    },
    Setacl {
        path: Vec<u8>,
    },
    Sread {
        fd: u32,
        len: u64,
        stride: u64,
        skip: u64,
        offset: u64,
    },
    Stat {
        path: Vec<u8>,
    },
    Statfs {
        path: Vec<u8>,
    },
    Swrite {
        fd: u32,
        len: u64,
        stride: u64,
        skip: u64,
        offset: u64,
    },
    Symlink {
        target: Vec<u8>,
        path: Vec<u8>,
    },
    Truncate {
        path: Vec<u8>,
        len: u64,
    },
    Unlink {
        path: Vec<u8>,
    },
    Utime {
        path: Vec<u8>,
        atime: i64,
        mtime: i64,
    },
    Whoami {
        max: u64,
    },
    Whoareyou,
    Write {
        fd: u32,
        len: u64,
    },
    // Ours: each does in one round trip what takes the others several.
    /// Which of our own requests are known.
    Vhello,
    /// The digest of the first octets of a file.
    Vhash {
        path: Vec<u8>,
        len: u64,
    },
    /// All about a directory's entries.
    Vlist {
        path: Vec<u8>,
    },
    /// Permissions and time of change, of a link itself too.
    Vmeta {
        path: Vec<u8>,
        mode: u32,
        mtime_ns: i128,
    },
    /// Waits until all names that this connection has made are on the disk.
    Vsync,
    /// A file with all that belongs to it.
    Vget {
        path: Vec<u8>,
    },
    /// A whole file, with its digest behind it: in place at once, or not at all.
    Vput {
        path: Vec<u8>,
        mode: u32,
        mtime_ns: i128,
        /// Without the digest.
        len: u64,
    },
}

/// How long the digest is that follows the content of a [`Request::Vput`], as it is: SHA-256.
const DIGEST: u64 = 32;

/// A line that is no request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// Refused; what follows is the next request.
    #[error("not a request")]
    Alone,
    /// Refused; so many octets after it belong to it.
    #[error("not a request, and {0} octets belong to it")]
    WithBody(u64),
    /// Nobody can tell where the next request begins.
    #[error("a request with a body of unknown length")]
    Endless,
}

/// Verbs of the protocol that are followed by a body which isn't taken here, and which argument is its length.
const BODIES: [(&[u8], usize); 5] =
    [(b"job_create", 1), (b"setxattr", 3), (b"fsetxattr", 3), (b"lsetxattr", 3), (b"ticket_register", 3)];

impl Request {
    /// Reads a line, without its end. `condor`: paths are escaped with backslashes.
    ///
    /// # Errors
    /// If it is none that is known here, telling whether the stream can be read on.
    pub fn parse(line: &[u8], condor: bool) -> Result<Self, Malformed> {
        let mut words = Words::new(line, condor);
        let verb = words.word().ok_or(Malformed::Alone)?;
        if let Some((_, position)) = BODIES.iter().find(|(known, _)| *known == verb) {
            let length = std::iter::from_fn(|| words.word()).nth(position - 1).and_then(whole);
            return Err(length.map_or(Malformed::Endless, Malformed::WithBody));
        }
        arguments(verb, &mut words).ok_or_else(|| malformed(verb, line))
    }

    /// How many octets follow the line at once.
    #[must_use]
    pub fn body(&self) -> Option<u64> {
        match self {
            Self::Pwrite { len, .. } | Self::Swrite { len, .. } | Self::Write { len, .. } => Some(*len),
            Self::Vput { len, .. } => Some(len.saturating_add(DIGEST)),
            _ => None,
        }
    }
}

/// If the arguments of a verb with a body are wrong, its length may still be right.
fn malformed(verb: &[u8], line: &[u8]) -> Malformed {
    let position = match verb {
        b"pwrite" | b"swrite" | b"write" => 2,
        b"vput" => 4,
        _ => return Malformed::Alone,
    };
    let behind = if verb == b"vput" { DIGEST } else { 0 };
    let length =
        line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()).nth(position);
    let length = length.and_then(whole).map(|length| length.saturating_add(behind));
    length.map_or(Malformed::Endless, Malformed::WithBody)
}

fn whole(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn arguments(verb: &[u8], words: &mut Words<'_>) -> Option<Request> {
    use Request as R;
    Some(match verb {
        b"access" => R::Access { path: words.path()?, mode: words.number()? },
        b"audit" => R::Audit { path: words.path()? },
        b"chmod" => R::Chmod { path: words.path()?, mode: words.number()? },
        b"chown" => R::Chown { path: words.path()? },
        b"close" => R::Close { fd: words.number()? },
        b"fchmod" => R::Fchmod { fd: words.number()?, mode: words.number()? },
        b"fchown" => R::Fchown { fd: words.number()? },
        b"fstat" => R::Fstat { fd: words.number()? },
        b"fstatfs" => R::Fstatfs { fd: words.number()? },
        b"fsync" => R::Fsync { fd: words.number()? },
        b"ftruncate" => R::Ftruncate { fd: words.number()?, len: words.number()? },
        b"getacl" => R::Getacl { path: words.path()? },
        b"getdir" => R::Getdir { path: words.path()? },
        b"getfile" => R::Getfile { path: words.path()? },
        b"getlongdir" => R::Getlongdir { path: words.path()? },
        b"getstream" => R::Getstream { path: words.path()? },
        b"hash" => R::Hash { algorithm: words.word()?.to_vec(), path: words.path()? },
        b"lchown" => R::Lchown { path: words.path()? },
        b"link" => R::Link { from: words.path()?, to: words.path()? },
        b"localpath" => R::Localpath { path: words.path()? },
        b"lseek" => R::Lseek { fd: words.number()?, offset: words.number()?, whence: words.number()? },
        b"lstat" => R::Lstat { path: words.path()? },
        b"md5" => R::Md5 { path: words.path()? },
        b"mkdir" => R::Mkdir { path: words.path()?, mode: words.number()? },
        b"open" => {
            R::Open { path: words.path()?, flags: Flags::parse(words.word()?)?, mode: words.number()? }
        }
        b"pread" => R::Pread { fd: words.number()?, len: words.number()?, offset: words.number()? },
        b"putfile" => R::Putfile { path: words.path()?, mode: words.number()?, len: words.number()? },
        b"putstream" => R::Putstream { path: words.path()? },
        b"pwrite" => R::Pwrite { fd: words.number()?, len: words.number()?, offset: words.number()? },
        b"read" => R::Read { fd: words.number()?, len: words.number()? },
        b"readlink" => R::Readlink { path: words.path()?, max: words.number()? },
        b"rename" => R::Rename { from: words.path()?, to: words.path()? },
        b"resetacl" => R::Resetacl { path: words.path()? },
        b"rmall" => R::Rmall { path: words.path()? },
        b"rmdir" => R::Rmdir { path: words.path()? },
        b"search" => R::Search { pattern: words.path()?, path: words.path()?, flags: words.number()? },
        b"setacl" => R::Setacl { path: words.path()? },
        b"sread" => {
            let (fd, len) = (words.number()?, words.number()?);
            let (stride, skip, offset) = strides(words)?;
            R::Sread { fd, len, stride, skip, offset }
        }
        b"stat" => R::Stat { path: words.path()? },
        b"statfs" => R::Statfs { path: words.path()? },
        b"swrite" => {
            let (fd, len) = (words.number()?, words.number()?);
            let (stride, skip, offset) = strides(words)?;
            R::Swrite { fd, len, stride, skip, offset }
        }
        b"symlink" => R::Symlink { target: words.path()?, path: words.path()? },
        b"truncate" => R::Truncate { path: words.path()?, len: words.number()? },
        b"unlink" => R::Unlink { path: words.path()? },
        b"utime" => R::Utime { path: words.path()?, atime: words.number()?, mtime: words.number()? },
        b"whoami" => R::Whoami { max: words.number()? },
        b"whoareyou" => R::Whoareyou,
        b"write" => R::Write { fd: words.number()?, len: words.number()? },
        _ => return ours(verb, words),
    })
}

/// Condor's clients put the offset first.
fn strides(words: &mut Words<'_>) -> Option<(u64, u64, u64)> {
    let (one, two, three) = (words.number()?, words.number()?, words.number()?);
    Some(if words.is_condor() { (two, three, one) } else { (one, two, three) })
}

fn ours(verb: &[u8], words: &mut Words<'_>) -> Option<Request> {
    use Request as R;
    Some(match verb {
        b"vhello" => R::Vhello,
        b"vsync" => R::Vsync,
        b"vhash" => R::Vhash { path: words.path()?, len: words.number()? },
        b"vlist" => R::Vlist { path: words.path()? },
        b"vmeta" => R::Vmeta { path: words.path()?, mode: words.number()?, mtime_ns: words.number()? },
        b"vget" => R::Vget { path: words.path()? },
        b"vput" => R::Vput {
            path: words.path()?,
            mode: words.number()?,
            mtime_ns: words.number()?,
            len: words.number()?,
        },
        _ => return None,
    })
}

/// As the line that is sent, without its end. Setting of rights is not asked by us, so it has no arguments here.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access { path, mode } => write!(f, "access {} {mode}", encode(path)),
            Self::Audit { path } => write!(f, "audit {}", encode(path)),
            Self::Chmod { path, mode } => write!(f, "chmod {} {mode}", encode(path)),
            Self::Chown { path } => write!(f, "chown {} 0 0", encode(path)),
            Self::Close { fd } => write!(f, "close {fd}"),
            Self::Fchmod { fd, mode } => write!(f, "fchmod {fd} {mode}"),
            Self::Fchown { fd } => write!(f, "fchown {fd} 0 0"),
            Self::Fstat { fd } => write!(f, "fstat {fd}"),
            Self::Fstatfs { fd } => write!(f, "fstatfs {fd}"),
            Self::Fsync { fd } => write!(f, "fsync {fd}"),
            Self::Ftruncate { fd, len } => write!(f, "ftruncate {fd} {len}"),
            Self::Getacl { path } => write!(f, "getacl {}", encode(path)),
            Self::Getdir { path } => write!(f, "getdir {}", encode(path)),
            Self::Getfile { path } => write!(f, "getfile {}", encode(path)),
            Self::Getlongdir { path } => write!(f, "getlongdir {}", encode(path)),
            Self::Getstream { path } => write!(f, "getstream {}", encode(path)),
            Self::Hash { algorithm, path } => write!(f, "hash {} {}", encode(algorithm), encode(path)),
            Self::Lchown { path } => write!(f, "lchown {} 0 0", encode(path)),
            Self::Link { from, to } => write!(f, "link {} {}", encode(from), encode(to)),
            Self::Localpath { path } => write!(f, "localpath {}", encode(path)),
            Self::Lseek { fd, offset, whence } => write!(f, "lseek {fd} {offset} {whence}"),
            Self::Lstat { path } => write!(f, "lstat {}", encode(path)),
            Self::Md5 { path } => write!(f, "md5 {}", encode(path)),
            Self::Mkdir { path, mode } => write!(f, "mkdir {} {mode}", encode(path)),
            Self::Open { path, flags, mode } => write!(f, "open {} {flags} {mode}", encode(path)),
            Self::Pread { fd, len, offset } => write!(f, "pread {fd} {len} {offset}"),
            Self::Putfile { path, mode, len } => write!(f, "putfile {} {mode} {len}", encode(path)),
            Self::Putstream { path } => write!(f, "putstream {}", encode(path)),
            Self::Pwrite { fd, len, offset } => write!(f, "pwrite {fd} {len} {offset}"),
            Self::Read { fd, len } => write!(f, "read {fd} {len}"),
            Self::Readlink { path, max } => write!(f, "readlink {} {max}", encode(path)),
            Self::Rename { from, to } => write!(f, "rename {} {}", encode(from), encode(to)),
            Self::Resetacl { path } => write!(f, "resetacl {}", encode(path)),
            Self::Rmall { path } => write!(f, "rmall {}", encode(path)),
            Self::Rmdir { path } => write!(f, "rmdir {}", encode(path)),
            Self::Search { pattern, path, flags } => {
                write!(f, "search {} {} {flags}", encode(pattern), encode(path))
            }
            Self::Setacl { path } => write!(f, "setacl {}", encode(path)),
            Self::Sread { fd, len, stride, skip, offset } => {
                write!(f, "sread {fd} {len} {stride} {skip} {offset}")
            }
            Self::Stat { path } => write!(f, "stat {}", encode(path)),
            Self::Statfs { path } => write!(f, "statfs {}", encode(path)),
            Self::Swrite { fd, len, stride, skip, offset } => {
                write!(f, "swrite {fd} {len} {stride} {skip} {offset}")
            }
            Self::Symlink { target, path } => write!(f, "symlink {} {}", encode(target), encode(path)),
            Self::Truncate { path, len } => write!(f, "truncate {} {len}", encode(path)),
            Self::Unlink { path } => write!(f, "unlink {}", encode(path)),
            Self::Utime { path, atime, mtime } => write!(f, "utime {} {atime} {mtime}", encode(path)),
            Self::Whoami { max } => write!(f, "whoami {max}"),
            Self::Whoareyou => write!(f, "whoareyou"),
            Self::Write { fd, len } => write!(f, "write {fd} {len}"),
            Self::Vhello => write!(f, "vhello"),
            Self::Vsync => write!(f, "vsync"),
            Self::Vhash { path, len } => write!(f, "vhash {} {len}", encode(path)),
            Self::Vlist { path } => write!(f, "vlist {}", encode(path)),
            Self::Vmeta { path, mode, mtime_ns } => write!(f, "vmeta {} {mode} {mtime_ns}", encode(path)),
            Self::Vget { path } => write!(f, "vget {}", encode(path)),
            Self::Vput { path, mode, mtime_ns, len } => {
                write!(f, "vput {} {mode} {mtime_ns} {len}", encode(path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Result<Request, Malformed> {
        Request::parse(line.as_bytes(), false)
    }

    #[test]
    fn lines_of_the_real_client() {
        let put = Request::Putfile { path: b"/d/a b.txt".to_vec(), mode: 33188, len: 2 };
        assert_eq!(parse("putfile /d/a%20b.txt 33188 2"), Ok(put));
        let open = Request::Open { path: b"/f".to_vec(), flags: Flags::parse(b"wct").unwrap(), mode: 511 };
        assert_eq!(parse("  open \t /f wct 511 "), Ok(open));
        assert_eq!(parse("stat"), Err(Malformed::Alone));
        assert_eq!(parse("stat /a%0Ab"), Err(Malformed::Alone));
        assert_eq!(parse("rm /a"), Err(Malformed::Alone));
    }

    #[test]
    fn condors_clients_write_backslashes() {
        let stat = Request::Stat { path: b"/a b\\%20".to_vec() };
        assert_eq!(Request::parse(br"stat /a\ b\\%20", true), Ok(stat));
    }

    #[test]
    fn a_body_is_never_taken_for_requests() {
        assert_eq!(parse("pwrite x 5 0"), Err(Malformed::WithBody(5)));
        assert_eq!(parse("pwrite 1 x 0"), Err(Malformed::Endless));
        assert_eq!(parse("ticket_register self 3600 451"), Err(Malformed::WithBody(451)));
        assert_eq!(parse("job_create 12"), Err(Malformed::WithBody(12)));
        assert_eq!(parse("vput /a 420 x 7"), Err(Malformed::WithBody(39)));
        assert_eq!(parse("vput /a 420 1 7").unwrap().body(), Some(39));
        assert_eq!(parse("pwrite 1 5 0").unwrap().body(), Some(5));
    }

    fn path() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(
            any::<u8>().prop_filter("no name", |byte| !matches!(byte, 0 | b'\n')),
            1..80,
        )
    }

    proptest! {
        #[test]
        fn said_and_read(path in path(), other in path(), mode: u32, len: u64, mtime_ns: i64) {
            let mtime_ns = mtime_ns.into();
            for request in [
                Request::Vput { path: path.clone(), mode, mtime_ns, len },
                Request::Rename { from: path.clone(), to: other.clone() },
                Request::Symlink { target: other, path: path.clone() },
                Request::Open { path: path.clone(), flags: Flags { write: true, create: true, ..Flags::default() }, mode },
                Request::Pwrite { fd: mode, len, offset: len },
                Request::Hash { algorithm: b"sha1".to_vec(), path },
            ] {
                let line = request.to_string();
                prop_assert!(!line.contains('\n'));
                prop_assert_eq!(Request::parse(line.as_bytes(), false), Ok(request));
            }
        }

        #[test]
        fn any_line(line in proptest::collection::vec(any::<u8>(), 0..200), condor: bool) {
            if let Ok(request) = Request::parse(&line, condor) {
                prop_assert_eq!(Request::parse(request.to_string().as_bytes(), false), Ok(request));
            }
        }
    }
}
