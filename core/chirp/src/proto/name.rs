//! One name in a directory, checked: what no path can be made of but that one entry.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

/// A name that is no name of an entry.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{} is not a name for a file: it {why}", crate::excerpt(name))]
pub struct BadName {
    /// What was given.
    pub name: Vec<u8>,
    /// What is wrong with it.
    pub why: &'static str,
}

/// The name of one entry of a directory: 1 to 255 bytes, neither `.` nor `..`, without `/`, NUL and line feed.
///
/// Whoever has one may join it to a directory without leaving it.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name(Vec<u8>);

impl Name {
    /// Checks it.
    pub fn new(name: impl Into<Vec<u8>>) -> Result<Self, BadName> {
        let name = name.into();
        let why = match name.as_slice() {
            b"" => "is empty",
            b"." | b".." => "means another directory",
            long if long.len() > 255 => "is longer than 255 bytes",
            other if other.contains(&b'/') => "has a slash",
            other if other.contains(&0) => "has a NUL",
            other if other.contains(&b'\n') => "has a line feed",
            _ => return Ok(Self(name)),
        };
        Err(BadName { name, why })
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As the file system calls take it.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// Whether it is the server's own: such names are never shown, and nobody may ask for them.
    pub fn is_hidden(&self) -> bool {
        self.0.starts_with(b".__")
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.as_os_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_entry_is_named() {
        for bad in ["", ".", "..", "a/b", "/", "a\nb", "a\0", &"x".repeat(256)] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "...", " ", "-rf", "ü", "a\tb", "a\\b", &"x".repeat(255)] {
            assert_eq!(Name::new(good).unwrap().as_bytes(), good.as_bytes());
        }
        assert!(Name::new(".__acl").unwrap().is_hidden());
        assert_eq!(
            Name::new("../x").unwrap_err().to_string(),
            "\"../x\" is not a name for a file: it has a slash"
        );
    }
}
