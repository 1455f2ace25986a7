//! [`TreePath`]: a path below the top of a tree that is copied, which cannot lead out of it. Pure.
//!
//! Names are bytes, as on the file systems at both ends; where they have to be text they are escaped: `%` and what is no
//! printable character stands as `%` and two hexadecimal digits.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

/// The longest name, bytes: what Linux allows.
const MAX_NAME: usize = 255;
/// The longest path, bytes.
const MAX_PATH: usize = 4096;
/// Folders within folders.
const MAX_DEPTH: usize = 128;

/// A relative path whose components are names: not empty, not `.` or `..`, without slash and zero bytes. The empty
/// path is the top itself.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TreePath(Vec<u8>);

/// What is no path below the top of a tree.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadPath {
    /// A name that means something else, or nothing.
    #[error("\"{0}\" cannot be a name in a tree of files")]
    Name(String),
    /// More than anybody needs.
    #[error("a path of more than {MAX_PATH} bytes or {MAX_DEPTH} folders")]
    Long,
    /// An escape that is none.
    #[error("\"{0}\" has a % that no two hexadecimal digits follow")]
    Escape(String),
}

impl TreePath {
    /// The top itself.
    pub const fn top() -> Self {
        Self(Vec::new())
    }

    /// A path that somebody else gave.
    ///
    /// # Errors
    /// [`BadPath`] for whatever could lead elsewhere.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadPath> {
        if bytes.is_empty() {
            return Ok(Self::top());
        }
        let mut depth = 0;
        for name in bytes.split(|byte| *byte == b'/') {
            check(name)?;
            depth += 1;
        }
        if bytes.len() > MAX_PATH || depth > MAX_DEPTH {
            return Err(BadPath::Long);
        }
        Ok(Self(bytes.to_vec()))
    }

    /// One further down.
    ///
    /// # Errors
    /// [`BadPath`] if `name` is no single name, or the path would be too long.
    pub fn join(&self, name: &[u8]) -> Result<Self, BadPath> {
        check(name)?;
        let mut path = self.0.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        let path = Self(path);
        if path.0.len() > MAX_PATH || path.names().count() > MAX_DEPTH {
            return Err(BadPath::Long);
        }
        Ok(path)
    }

    /// Of names that a path was taken apart into before, from the top down.
    pub(super) fn of_names<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut path = Vec::new();
        for name in names {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
        }
        Self(path)
    }

    /// The folders it is in, from the nearest to the top, itself first.
    pub fn upwards(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self.clone()), |path| path.split().map(|(folder, _)| folder))
    }

    /// From its escaped form.
    ///
    /// # Errors
    /// [`BadPath`].
    pub fn unescape(text: &str) -> Result<Self, BadPath> {
        Self::parse(&unescape(text)?)
    }

    /// Its names, from the top down.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &OsStr> {
        self.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(OsStr::from_bytes)
    }

    /// The folder it is in, and its name there; nothing for the top.
    pub fn split(&self) -> Option<(Self, &OsStr)> {
        if self.0.is_empty() {
            return None;
        }
        let slash = self.0.iter().rposition(|byte| *byte == b'/');
        let (folder, name) = match slash {
            Some(at) => (self.0.get(..at)?, self.0.get(at + 1..)?),
            None => (&[][..], &self.0[..]),
        };
        Some((Self(folder.to_vec()), OsStr::from_bytes(name)))
    }

    /// Whether it is the top.
    pub const fn is_top(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, with slashes between the names.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Below `base`, an absolute path of somebody else's file system.
    pub fn below(&self, base: &[u8]) -> Vec<u8> {
        let mut path = base.to_vec();
        if !self.is_top() {
            if !path.ends_with(b"/") {
                path.push(b'/');
            }
            path.extend_from_slice(&self.0);
        }
        path
    }
}

/// A path for people.
pub fn shown(path: &TreePath) -> String {
    if path.is_top() { ".".to_owned() } else { escape(path.as_bytes()) }
}

/// The folder that somebody else's path is in, and its name there; nothing for what has no name of its own.
pub fn split_parent(path: &[u8]) -> Option<(&[u8], TreePath)> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let (folder, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (path.get(..slash.max(1))?, path.get(slash + 1..)?),
        None => (&[][..], path),
    };
    Some((folder, TreePath::top().join(name).ok()?))
}

/// Whether it is one name, and not something that leads elsewhere.
fn check(name: &[u8]) -> Result<(), BadPath> {
    let means_something = matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.contains(&0);
    if means_something || name.len() > MAX_NAME { Err(BadPath::Name(escape(name))) } else { Ok(()) }
}

impl fmt::Display for TreePath {
    /// Escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

/// Bytes as text: printable characters as they are, all else and `%` escaped.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '%' || c.is_control() {
                let mut buffer = [0; 4];
                c.encode_utf8(&mut buffer).bytes().for_each(|byte| push_escape(&mut text, byte));
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|byte| push_escape(&mut text, *byte));
    }
    text
}

fn push_escape(text: &mut String, byte: u8) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    text.push('%');
    for digit in [byte >> 4, byte & 15] {
        text.extend(DIGITS.get(usize::from(digit)));
    }
}

/// The bytes that escaped text stands for.
///
/// # Errors
/// [`BadPath::Escape`].
pub fn unescape(text: &str) -> Result<Vec<u8>, BadPath> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let value = after.get(..2).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
        });
        bytes.push(value.ok_or_else(|| BadPath::Escape(vocable_xmlrpc::excerpt(text)))?);
        rest = after.get(2..).unwrap_or_default();
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_is_split_into_folder_and_name() {
        let parts = |path: &'static str| {
            split_parent(path.as_bytes()).map(|(folder, name)| (escape(folder), name.to_string()))
        };
        assert_eq!(parts("/inbox/x/"), Some(("/inbox".into(), "x".into())));
        assert_eq!(parts("/x"), Some(("/".into(), "x".into())));
        assert_eq!(parts("x"), Some((String::new(), "x".into())));
        assert_eq!((parts("/"), parts("/..")), (None, None));
    }

    #[test]
    fn nothing_leads_out_of_the_tree() {
        for bad in ["..", "a/..", "../a", "/a", "a//b", "a/", ".", "a/./b", "a\0b"] {
            assert!(TreePath::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(TreePath::parse(&[b'x'; 256]).is_err() && TreePath::parse(&[b'x'; 255]).is_ok());
        let deep = ["a"; 129].join("/");
        assert_eq!(TreePath::parse(deep.as_bytes()), Err(BadPath::Long));
        assert!(TreePath::unescape("a%2F..").is_err() && TreePath::unescape("%zz").is_err());
    }

    #[test]
    fn a_path_is_taken_apart_and_put_together() {
        let path = TreePath::parse(b"a/b c/d").unwrap();
        let (folder, name) = path.split().unwrap();
        assert_eq!((folder.as_bytes(), name), (b"a/b c".as_slice(), OsStr::new("d")));
        assert_eq!(path.below(b"/x"), b"/x/a/b c/d");
        assert_eq!(path.below(b"/"), b"/a/b c/d");
        assert_eq!(TreePath::top().below(b"/x"), b"/x");
        assert!(TreePath::top().split().is_none());
    }

    #[test]
    fn names_that_are_no_text_are_escaped() {
        assert_eq!(escape(b"a b\n\xff%"), "a b%0A%FF%25");
        assert_eq!(escape("gr\u{fc}\u{df}e".as_bytes()), "gr\u{fc}\u{df}e");
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_read_again(bytes: Vec<u8>) {
            prop_assert_eq!(unescape(&escape(&bytes)).unwrap(), bytes);
        }

        #[test]
        fn a_path_that_is_taken_has_only_names(bytes: Vec<u8>) {
            if let Ok(path) = TreePath::parse(&bytes) {
                prop_assert_eq!(path.as_bytes(), bytes.as_slice());
                prop_assert!(path.names().all(|name| !["", ".", ".."].map(OsStr::new).contains(&name)));
            }
        }
    }
}
