//! An entry of a directory as our own listing tells it: names escaped, times in nanoseconds, targets of links.

use super::escape;
use super::name::Name;
use super::words::Words;
use std::fmt;

/// What an entry is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A directory: `d`.
    Dir,
    /// A regular file: `f`.
    File,
    /// A symbolic link: `l`.
    Link,
    /// Pipe, socket, device: `o`.
    Other,
}

impl Kind {
    /// From the type in st_mode.
    pub fn of(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o040_000 => Self::Dir,
            0o100_000 => Self::File,
            0o120_000 => Self::Link,
            _ => Self::Other,
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Dir => 'd',
            Self::File => 'f',
            Self::Link => 'l',
            Self::Other => 'o',
        }
    }
}

/// What is kept of a file beside its content.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Meta {
    /// Permissions: the lowest twelve bits.
    pub mode: u32,
    /// When it was changed: nanoseconds since 1970.
    pub mtime_ns: i128,
}

/// One line of `vlist`: `TYPE MODE SIZE MTIME_NS NLINK NAME [TARGET]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Its name, checked.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
    /// Permissions and time of change.
    pub meta: Meta,
    /// Bytes.
    pub size: u64,
    /// How many names it has.
    pub nlink: u64,
    /// Where a link leads to, as it is written in the link.
    pub target: Option<Vec<u8>>,
}

impl Entry {
    /// `None` if the line is no entry, or its name none that may be joined to a directory.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut words = Words::new(line, false);
        let kind = match words.word()? {
            b"d" => Kind::Dir,
            b"f" => Kind::File,
            b"l" => Kind::Link,
            b"o" => Kind::Other,
            _ => return None,
        };
        let mode = words.number::<u32>()? & 0o7777;
        let size = words.number()?;
        let mtime_ns = words.number()?;
        let nlink = words.number()?;
        let name = Name::new(words.path()?).ok()?;
        let target = if kind == Kind::Link { Some(words.path()?) } else { None };
        words.word().is_none().then_some(Self {
            name,
            kind,
            meta: Meta { mode, mtime_ns },
            size,
            nlink,
            target,
        })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, meta: Meta { mode, mtime_ns }, size, nlink, target } = self;
        let name = escape::encode(name.as_bytes());
        write!(formatter, "{} {mode} {size} {mtime_ns} {nlink} {name}", kind.letter())?;
        target.as_ref().map_or(Ok(()), |target| write!(formatter, " {}", escape::encode(target)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_entry_that_leads_elsewhere_is_none() {
        assert!(Entry::parse(b"f 420 12 5 1 a%20b").is_some());
        for bad in
            ["f 420 12 5 1 ..", "f 420 12 5 1 a%2Fb", "f 420 12 5 1", "x 420 12 5 1 a", "l 511 1 5 1 a"]
        {
            assert_eq!(Entry::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn told_and_read(name in "[^/\n\0]{1,60}", target in "[^\n\0]{1,60}", mode in 0u32..0o7777, size: u64, mtime_ns: i64) {
            prop_assume!(name != "." && name != "..");
            let meta = Meta { mode, mtime_ns: mtime_ns.into() };
            let name = Name::new(name).unwrap();
            let entry = Entry { name, kind: Kind::Link, meta, size, nlink: 1, target: Some(target.into_bytes()) };
            prop_assert_eq!(Entry::parse(entry.to_string().as_bytes()), Some(entry));
        }

        #[test]
        fn any_line(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(entry) = Entry::parse(&line) {
                prop_assert_eq!(Entry::parse(entry.to_string().as_bytes()), Some(entry));
            }
        }
    }
}
