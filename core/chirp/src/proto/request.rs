//! Everything that can be asked, as one line each.

use super::escape::encode;
use super::flags::Flags;
use super::words::Words;
use std::fmt;

/// An argument of a request, as one or more words of its line.
trait Argument: Sized {
    fn read(words: &mut Words<'_>) -> Option<Self>;
    fn write(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// Of a file, or the target of a link: raw bytes, which travel escaped.
type Path = Vec<u8>;

impl Argument for Path {
    fn read(words: &mut Words<'_>) -> Option<Self> {
        words.path()
    }

    fn write(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&encode(self))
    }
}

impl Argument for Flags {
    fn read(words: &mut Words<'_>) -> Option<Self> {
        Self::parse(words.word()?)
    }

    fn write(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Which bytes of a file are meant: `stride` together, from `offset` on, and `skip` from one such part to the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "they are the protocol's")]
pub struct Strides {
    pub stride: u64,
    pub skip: u64,
    pub offset: u64,
}

impl Argument for Strides {
    fn read(words: &mut Words<'_>) -> Option<Self> {
        let (one, two, three) = (words.number()?, words.number()?, words.number()?);
        // Condor's clients put the offset first.
        let (stride, skip, offset) = if words.is_condor() { (two, three, one) } else { (one, two, three) };
        Some(Self { stride, skip, offset })
    }

    fn write(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} {}", self.stride, self.skip, self.offset)
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl Argument for $number {
            fn read(words: &mut Words<'_>) -> Option<Self> {
                words.number()
            }

            fn write(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        })*
    };
}

numbers! { u32 u64 i64 i128 }

/// The verbs with their arguments in the order of the line; what is added to it when it is written.
macro_rules! requests {
    ($($(#[$doc:meta])* $verb:literal $name:ident { $($argument:ident: $kind:ty),* } $($rest:literal)?;)*) => {
        /// One request, without its body. Paths are raw bytes; lengths and offsets count bytes.
        #[derive(Clone, Debug, Eq, PartialEq)]
        #[allow(missing_docs, reason = "the verbs and their arguments are the protocol's")]
        pub enum Request {
            $($(#[$doc])* $name { $($argument: $kind),* },)*
        }

        fn arguments(verb: &[u8], words: &mut Words<'_>) -> Option<Request> {
            match std::str::from_utf8(verb).ok()? {
                $($verb => Some(Request::$name { $($argument: Argument::read(words)?),* }),)*
                _ => None,
            }
        }

        /// As the line that is sent, without its end. Setting of rights is not asked by us, so it has no arguments here.
        impl fmt::Display for Request {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name { $($argument),* } => {
                        formatter.write_str($verb)?;
                        $(
                            formatter.write_str(" ")?;
                            Argument::write($argument, formatter)?;
                        )*
                        $(formatter.write_str($rest)?;)?
                    })*
                }
                Ok(())
            }
        }
    };
}

requests! {
    "access" Access { path: Path, mode: u32 };
    "audit" Audit { path: Path };
    "chmod" Chmod { path: Path, mode: u32 };
    "chown" Chown { path: Path } " 0 0";
    "close" Close { fd: u32 };
    "fchmod" Fchmod { fd: u32, mode: u32 };
    "fchown" Fchown { fd: u32 } " 0 0";
    "fstat" Fstat { fd: u32 };
    "fstatfs" Fstatfs { fd: u32 };
    "fsync" Fsync { fd: u32 };
    "ftruncate" Ftruncate { fd: u32, len: u64 };
    "getacl" Getacl { path: Path };
    "getdir" Getdir { path: Path };
    "getfile" Getfile { path: Path };
    "getlongdir" Getlongdir { path: Path };
    "getstream" Getstream { path: Path };
    "hash" Hash { algorithm: Path, path: Path };
    "lchown" Lchown { path: Path } " 0 0";
    "link" Link { from: Path, to: Path };
    "localpath" Localpath { path: Path };
    "lseek" Lseek { fd: u32, offset: i64, whence: u32 };
    "lstat" Lstat { path: Path };
    "md5" Md5 { path: Path };
    "mkdir" Mkdir { path: Path, mode: u32 };
    "open" Open { path: Path, flags: Flags, mode: u32 };
    "pread" Pread { fd: u32, len: u64, offset: u64 };
    "putfile" Putfile { path: Path, mode: u32, len: u64 };
    "putstream" Putstream { path: Path };
    "pwrite" Pwrite { fd: u32, len: u64, offset: u64 };
    "read" Read { fd: u32, len: u64 };
    "readlink" Readlink { path: Path, max: u64 };
    "rename" Rename { from: Path, to: Path };
    "resetacl" Resetacl { path: Path };
    "rmall" Rmall { path: Path };
    "rmdir" Rmdir { path: Path };
    "search" Search { pattern: Path, path: Path, flags: u32 };
    "setacl" Setacl { path: Path };
    "sread" Sread { fd: u32, len: u64, strides: Strides };
    "stat" Stat { path: Path };
    "statfs" Statfs { path: Path };
    "swrite" Swrite { fd: u32, len: u64, strides: Strides };
    "symlink" Symlink { target: Path, path: Path };
    "truncate" Truncate { path: Path, len: u64 };
    "unlink" Unlink { path: Path };
    "utime" Utime { path: Path, atime: i64, mtime: i64 };
    "whoami" Whoami { max: u64 };
    "whoareyou" Whoareyou {};
    "write" Write { fd: u32, len: u64 };
    // Ours: each does in one round trip what takes the others several.
    /// Which of our own requests are known.
    "vhello" Vhello {};
    /// The digest of the first bytes of a file.
    "vhash" Vhash { path: Path, len: u64 };
    /// All about a directory's entries.
    "vlist" Vlist { path: Path };
    /// Permissions and time of change, of a link itself too.
    "vmeta" Vmeta { path: Path, mode: u32, mtime_ns: i128 };
    /// Waits until all names that this connection has made are on the disk.
    "vsync" Vsync {};
    /// A file with all that belongs to it.
    "vget" Vget { path: Path };
    /// A whole file, with its digest behind it: in place at once, or not at all. `len` is without the digest.
    "vput" Vput { path: Path, mode: u32, mtime_ns: i128, len: u64 };
}

/// How long the digest is that follows the content of a [`Request::Vput`], as it is: SHA-256.
const DIGEST: u64 = 32;

/// A line that is no request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// Refused; what follows is the next request.
    #[error("not a request")]
    Alone,
    /// Refused; so many bytes after it belong to it.
    #[error("not a request, and {0} bytes belong to it")]
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
    /// The error tells whether the stream can be read on.
    pub fn parse(line: &[u8], condor: bool) -> Result<Self, Malformed> {
        let mut words = Words::new(line, condor);
        let verb = words.word().ok_or(Malformed::Alone)?;
        if let Some((_, position)) = BODIES.iter().find(|(known, _)| *known == verb) {
            let length = std::iter::from_fn(|| words.word()).nth(position - 1).and_then(whole);
            return Err(length.map_or(Malformed::Endless, Malformed::WithBody));
        }
        arguments(verb, &mut words).ok_or_else(|| malformed(verb, line))
    }

    /// How many bytes follow the line at once.
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
