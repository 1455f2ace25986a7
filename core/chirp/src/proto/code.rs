//! Failures as numbers, and what they mean in words.

use std::io;

/// Why a request was refused. The numbers are the protocol's; [`Code::DigestMismatch`] is ours.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Code {
    /// Something of that name is there.
    #[error("file exists")]
    AlreadyExists,
    /// No such open file.
    #[error("no such open file")]
    BadDescriptor,
    /// In use by somebody else.
    #[error("device or resource busy")]
    Busy,
    /// A link or rename from one file system to another.
    #[error("cross-device link")]
    CrossDevice,
    /// What arrived has not the digest that was announced (ours: −125).
    #[error("what arrived is not what was announced: the digest differs")]
    DigestMismatch,
    /// Nothing of that name.
    #[error("no such file or directory")]
    DoesntExist,
    /// Not a request, or one with arguments that make no sense.
    #[error("unknown request, or invalid arguments")]
    InvalidRequest,
    /// A directory, where a file is needed.
    #[error("is a directory")]
    IsDirectory,
    /// A pipe or socket.
    #[error("is a pipe or socket")]
    IsPipe,
    /// A path or a name in it is too long.
    #[error("file name too long")]
    NameTooLong,
    /// The server has no memory left.
    #[error("the server is out of memory")]
    NoMemory,
    /// The server has no space left.
    #[error("no space left on device")]
    NoSpace,
    /// Nobody has logged in.
    #[error("not logged in")]
    NotAuthenticated,
    /// Not allowed.
    #[error("permission denied")]
    NotAuthorized,
    /// A file, where a directory is needed.
    #[error("not a directory")]
    NotDirectory,
    /// A directory that has something in it.
    #[error("directory not empty")]
    NotEmpty,
    /// The file system can't do that.
    #[error("operation not supported")]
    NotSupported,
    /// Another number.
    #[error("error {0}")]
    Other(i64),
    /// It took too long.
    #[error("timed out")]
    TimedOut,
    /// More than is allowed.
    #[error("too large")]
    TooBig,
    /// Too many open files or connections.
    #[error("too many open files")]
    TooManyOpen,
    /// Not now.
    #[error("temporarily unavailable, try again")]
    TryAgain,
    /// Something else.
    #[error("unknown error")]
    Unknown,
}

const NUMBERS: [(Code, i64); 21] = [
    (Code::NotAuthenticated, -1),
    (Code::NotAuthorized, -2),
    (Code::DoesntExist, -3),
    (Code::AlreadyExists, -4),
    (Code::TooBig, -5),
    (Code::NoSpace, -6),
    (Code::NoMemory, -7),
    (Code::InvalidRequest, -8),
    (Code::TooManyOpen, -9),
    (Code::Busy, -10),
    (Code::TryAgain, -11),
    (Code::BadDescriptor, -12),
    (Code::IsDirectory, -13),
    (Code::NotDirectory, -14),
    (Code::NotEmpty, -15),
    (Code::CrossDevice, -16),
    (Code::TimedOut, -18),
    (Code::IsPipe, -22),
    (Code::NotSupported, -23),
    (Code::NameTooLong, -24),
    (Code::DigestMismatch, -125),
];

impl Code {
    /// The number in the answer: always negative.
    pub fn number(self) -> i64 {
        match self {
            Self::Other(number) => number,
            _ => NUMBERS.iter().find(|(code, _)| *code == self).map_or(-127, |(_, number)| *number),
        }
    }

    /// What a negative number means; −127 is [`Code::Unknown`], one that nobody has described is [`Code::Other`].
    pub fn from_number(number: i64) -> Self {
        match NUMBERS.iter().find(|(_, known)| *known == number) {
            Some((code, _)) => *code,
            None if number == -127 => Self::Unknown,
            None => Self::Other(number),
        }
    }
}

impl From<rustix::io::Errno> for Code {
    fn from(error: rustix::io::Errno) -> Self {
        use rustix::io::Errno;
        match error {
            Errno::NOENT => Self::DoesntExist,
            Errno::EXIST => Self::AlreadyExists,
            Errno::NOTDIR => Self::NotDirectory,
            Errno::ISDIR => Self::IsDirectory,
            Errno::NOTEMPTY => Self::NotEmpty,
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Self::NotAuthorized,
            Errno::NOSPC | Errno::DQUOT => Self::NoSpace,
            Errno::FBIG => Self::TooBig,
            Errno::MFILE | Errno::NFILE | Errno::MLINK => Self::TooManyOpen,
            Errno::NAMETOOLONG => Self::NameTooLong,
            Errno::XDEV => Self::CrossDevice,
            Errno::BADF => Self::BadDescriptor,
            Errno::NOMEM => Self::NoMemory,
            Errno::BUSY | Errno::TXTBSY => Self::Busy,
            Errno::AGAIN => Self::TryAgain,
            Errno::INVAL => Self::InvalidRequest,
            Errno::SPIPE | Errno::PIPE | Errno::NXIO => Self::IsPipe,
            Errno::OPNOTSUPP | Errno::NOSYS => Self::NotSupported,
            Errno::TIMEDOUT => Self::TimedOut,
            _ => Self::Unknown,
        }
    }
}

impl From<io::Error> for Code {
    fn from(error: io::Error) -> Self {
        rustix::io::Errno::from_io_error(&error).map_or(Self::Unknown, Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_are_the_same_thing() {
        (-200..0).for_each(|number| assert_eq!(Code::from_number(number).number(), number));
        assert_eq!(Code::from_number(-3), Code::DoesntExist);
        assert_eq!(Code::Unknown.number(), -127);
        assert_eq!(Code::from(io::Error::from_raw_os_error(28)), Code::NoSpace);
        assert_eq!(Code::from(io::Error::other("no number")), Code::Unknown);
    }
}
