//! Escape sequences of header names and values, which differ by version and by frame.
//!
//! 1.0 has none, 1.1 `\n` `\c` `\\`, 1.2 `\r` as well; `CONNECT`, `STOMP` and `CONNECTED` are never escaped, so that
//! peers that have not agreed upon a version yet understand each other.

use crate::codec::Dialect;
use crate::frame::{Command, Version};

/// Which escape sequences stand for something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Escapes {
    /// None: a backslash is a backslash.
    None,
    /// `\n`, `\c` and `\\`.
    Lf,
    /// `\r` as well.
    CrLf,
    /// All four where they are found; any other backslash is one.
    Lenient,
}

impl Escapes {
    /// Those of a frame that is to be read.
    pub(super) fn of(command: Command, dialect: Dialect) -> Self {
        match dialect.version {
            _ if command.precedes_version() => Self::None,
            Some(Version::V1_0) => Self::None,
            None => Self::Lenient,
            Some(_) if dialect.lenient => Self::Lenient,
            Some(Version::V1_1) => Self::Lf,
            Some(Version::V1_2) => Self::CrLf,
        }
    }

    /// Those of a frame that is to be written.
    pub(super) const fn written(command: Command, version: Version) -> Self {
        match version {
            _ if command.precedes_version() => Self::None,
            Version::V1_0 => Self::None,
            Version::V1_1 => Self::Lf,
            Version::V1_2 => Self::CrLf,
        }
    }

    /// The text that was meant, or `None` for an undefined sequence.
    pub(super) fn unescape(self, text: &str) -> Option<String> {
        if self == Self::None || !text.contains('\\') {
            return Some(text.to_owned());
        }
        let mut plain = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('\\') {
            plain.push_str(before);
            let meant = after.chars().next().and_then(|c| self.meaning(c));
            match meant {
                Some(character) => plain.push(character),
                None if self == Self::Lenient => plain.push('\\'),
                None => return None,
            }
            // Every sequence that means something is one byte after the backslash.
            rest = if meant.is_some() { after.get(1..).unwrap_or_default() } else { after };
        }
        plain.push_str(rest);
        Some(plain)
    }

    const fn meaning(self, letter: char) -> Option<char> {
        match (self, letter) {
            (Self::None, _) => None,
            (_, 'n') => Some('\n'),
            (_, 'c') => Some(':'),
            (_, '\\') => Some('\\'),
            (Self::CrLf | Self::Lenient, 'r') => Some('\r'),
            _ => None,
        }
    }

    /// How an byte is written; `None` for as it is.
    pub(super) const fn sequence(self, byte: u8) -> Option<&'static [u8]> {
        match (self, byte) {
            (Self::None, _) => None,
            (_, b'\n') => Some(b"\\n"),
            (_, b':') => Some(b"\\c"),
            (_, b'\\') => Some(b"\\\\"),
            (Self::CrLf | Self::Lenient, b'\r') => Some(b"\\r"),
            _ => None,
        }
    }

    /// The first character of a name or value that there is no way to write.
    pub(super) fn inexpressible(self, text: &str, is_name: bool) -> Option<char> {
        let special = |byte: &u8| match byte {
            // A raw CR, though 1.0 and 1.1 do not forbid it, would be half a line end to many peers.
            b'\n' | b'\r' => self.sequence(*byte).is_none(),
            b':' => is_name && self == Self::None,
            byte => *byte == 0,
        };
        text.bytes().find(special).map(char::from)
    }
}

/// What the first bytes that a peer sent look like, for a message.
pub(super) fn excerpt(bytes: &[u8], most: usize) -> String {
    let shown = bytes.get(..most).unwrap_or(bytes);
    let more = if shown.len() < bytes.len() { "…" } else { "" };
    format!("{}{more}", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_sequences() {
        for (escapes, text, plain) in [
            (Escapes::None, r"a\nb\c", Some(r"a\nb\c")),
            (Escapes::Lf, r"a\nb\cc\\d", Some("a\nb:c\\d")),
            (Escapes::Lf, r"a\rb", None),
            (Escapes::CrLf, r"a\rb", Some("a\rb")),
            (Escapes::CrLf, r"a\tb", None),
            (Escapes::CrLf, r"a\", None),
            (Escapes::CrLf, r"\\n", Some("\\n")),
            (Escapes::CrLf, r"\é", None),
            (Escapes::Lenient, r"a\tb\r\é\", Some("a\\tb\r\\é\\")),
        ] {
            assert_eq!(escapes.unescape(text).as_deref(), plain, "{escapes:?} {text}");
        }
    }

    #[test]
    fn connect_is_never_escaped() {
        for command in [Command::Connect, Command::Stomp, Command::Connected] {
            assert_eq!(Escapes::of(command, Dialect::strict(Version::V1_2)), Escapes::None);
            assert_eq!(Escapes::written(command, Version::V1_2), Escapes::None);
        }
        assert_eq!(Escapes::of(Command::Error, Dialect::default()), Escapes::Lenient);
    }

    #[test]
    fn an_excerpt_is_short_and_printable() {
        assert_eq!(excerpt(b"GET", 3), "GET");
        assert_eq!(excerpt(b"GET /", 3), "GET…");
        assert_eq!(excerpt(b"\x16\x03\x01", 3), "\\x16\\x03\\x01");
    }
}
