//! What is told about a file and about a file system, as a line of numbers.

use std::fmt;

/// What `stat` tells: thirteen numbers in this order.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[allow(missing_docs, reason = "they are the fields of stat(2), by their names")]
pub struct Stat {
    pub dev: u64,
    pub ino: u64,
    /// Type and permissions, as in st_mode.
    pub mode: u32,
    pub nlink: u64,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u64,
    /// Bytes.
    pub size: u64,
    pub blksize: u64,
    /// Of 512 bytes each.
    pub blocks: u64,
    /// Seconds since 1970, as the other two.
    pub atime: i64,
    pub mtime: i64,
    pub ctime: i64,
}

const TYPE: u32 = 0o170_000;

impl Stat {
    /// A line of thirteen numbers.
    ///
    /// `None` if it has fewer, more, or something else.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        let stat = Self {
            dev: wide(words.next()?)?,
            ino: wide(words.next()?)?,
            mode: u32::try_from(wide(words.next()?)?).ok()?,
            nlink: wide(words.next()?)?,
            uid: u32::try_from(wide(words.next()?)?).ok()?,
            gid: u32::try_from(wide(words.next()?)?).ok()?,
            rdev: wide(words.next()?)?,
            size: wide(words.next()?)?,
            blksize: wide(words.next()?)?,
            blocks: wide(words.next()?)?,
            atime: number(words.next()?)?,
            mtime: number(words.next()?)?,
            ctime: number(words.next()?)?,
        };
        words.next().is_none().then_some(stat)
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode & TYPE == 0o040_000
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & TYPE == 0o100_000
    }

    /// Whether it is a symbolic link.
    pub fn is_link(&self) -> bool {
        self.mode & TYPE == 0o120_000
    }
}

/// Unsigned; a negative one, as servers write device numbers beyond 2^63, is taken for its bits.
fn wide(word: &[u8]) -> Option<u64> {
    number::<u64>(word).or_else(|| number::<i64>(word).map(i64::cast_unsigned))
}

fn number<N: std::str::FromStr>(word: &[u8]) -> Option<N> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

impl fmt::Display for Stat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dev, ino, mode, nlink, uid, gid, rdev, size, blksize, blocks, atime, mtime, ctime } = self;
        write!(formatter, "{dev} {ino} {mode} {nlink} {uid} {gid} {rdev} ")?;
        write!(formatter, "{size} {blksize} {blocks} {atime} {mtime} {ctime}")
    }
}

/// What `statfs` tells: seven numbers in this order.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Statfs {
    /// The file system's type, as a number.
    pub kind: u64,
    /// Bytes in a block.
    pub bsize: u64,
    /// All blocks.
    pub blocks: u64,
    /// Free ones.
    pub bfree: u64,
    /// Free ones for whoever has no privileges.
    pub bavail: u64,
    /// All inodes.
    pub files: u64,
    /// Free ones.
    pub ffree: u64,
}

impl Statfs {
    /// A line of seven numbers.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        let mut next = || words.next().and_then(wide);
        let statfs = Self {
            kind: next()?,
            bsize: next()?,
            blocks: next()?,
            bfree: next()?,
            bavail: next()?,
            files: next()?,
            ffree: next()?,
        };
        words.next().is_none().then_some(statfs)
    }
}

impl fmt::Display for Statfs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, bsize, blocks, bfree, bavail, files, ffree } = self;
        write!(formatter, "{kind} {bsize} {blocks} {bfree} {bavail} {files} {ffree}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_of_the_real_server() {
        let stat =
            Stat::parse(b"65024 10232483 33152 1 995 995 0 12 4096 8 1795330871 1795330871 1795330871")
                .unwrap();
        assert!(stat.is_file() && !stat.is_dir() && !stat.is_link());
        assert_eq!((stat.size, stat.mode & 0o7777, stat.mtime), (12, 0o600, 1_795_330_871));
    }

    #[test]
    fn twelve_or_fourteen_numbers_are_no_stat() {
        assert_eq!(Stat::parse(b"1 2 3 4 5 6 7 8 9 10 11 12"), None);
        assert_eq!(Stat::parse(b"1 2 3 4 5 6 7 8 9 10 11 12 13 14"), None);
        assert_eq!(Stat::parse(b"1 2 3 4 5 6 7 8 9 10 11 12 x"), None);
    }

    proptest! {
        #[test]
        fn told_and_read(numbers: (u64, u32, u64, u32, u64, i64)) {
            let (dev, mode, nlink, uid, size, mtime) = numbers;
            let stat = Stat { dev, mode, nlink, uid, size, mtime, ..Stat::default() };
            prop_assert_eq!(Stat::parse(stat.to_string().as_bytes()), Some(stat));
        }

        #[test]
        fn any_line(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(stat) = Stat::parse(&line) {
                prop_assert_eq!(Stat::parse(stat.to_string().as_bytes()), Some(stat));
            }
        }
    }
}
