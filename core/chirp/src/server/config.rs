//! What is served, to whom, and how much of it.

use crate::proto::Name;
use crate::{Secret, Ticket};
use cap_std::fs::Dir;
use globset::{Glob, GlobMatcher};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All that a server is told when it starts.
#[derive(Debug, Default)]
pub struct Config {
    /// The directories.
    pub roots: Vec<Root>,
    /// How clients may log in.
    pub logins: Logins,
    /// What they may do, by a pattern of their subjects (`token:*`): the first that fits. None at all: everything.
    pub rights: Vec<(String, Rights)>,
    /// How much of everything.
    pub limits: Limits,
}

/// A directory that is served.
#[derive(Debug)]
pub struct Root {
    pub(super) name: Vec<u8>,
    pub(super) dir: Dir,
    pub(super) write: bool,
    pub(super) local: Option<PathBuf>,
}

impl Root {
    /// Serves it as `/name`; or, as `/`, as everything there is.
    pub fn new(name: impl AsRef<[u8]>, dir: Dir) -> Self {
        let name = name.as_ref();
        Self { name: name.strip_prefix(b"/").unwrap_or(name).to_vec(), dir, write: true, local: None }
    }

    /// Nobody may change anything in it.
    pub fn read_only(mut self) -> Self {
        self.write = false;
        self
    }

    /// Where it is on this machine: told to whoever asks with `localpath`. Without it
    /// he is told where it is in the tree he sees.
    pub fn shown_as(mut self, path: impl Into<PathBuf>) -> Self {
        self.local = Some(path.into());
        self
    }
}

/// How clients may log in. None of them: nobody can.
#[derive(Debug, Default)]
pub struct Logins {
    /// By a secret: it, and what its owner is called. The subject is `token:NAME`.
    pub tokens: Vec<(Secret, String)>,
    /// By a key. The subject is `ticket:DIGEST`.
    pub tickets: Vec<Ticket>,
    /// By the address one comes from, for networks where nobody can take another's. The subject is `address:ADDRESS`.
    pub addresses: Vec<IpAddr>,
    /// By a file made in that directory: root and this process's own user. The subject is `unix:USER`.
    pub unix: Option<PathBuf>,
    /// By a word, as Condor's clients do; they also escape paths in their own way. The subject is `cookie:condor`.
    pub cookie: Option<String>,
}

/// What one may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct Rights {
    /// `r`: read files.
    pub read: bool,
    /// `l`: see what is there.
    pub list: bool,
    /// `w`: make and change.
    pub write: bool,
    /// `d`: remove.
    pub delete: bool,
}

impl Rights {
    /// Everything.
    pub const ALL: Self = Self { read: true, list: true, write: true, delete: true };
    /// Nothing.
    pub const NONE: Self = Self { read: false, list: false, write: false, delete: false };

    /// From letters of `rwld`, or `-`.
    pub fn parse(letters: &str) -> Option<Self> {
        let mut rights = Self::NONE;
        for letter in letters.chars() {
            *match letter {
                'r' => &mut rights.read,
                'l' => &mut rights.list,
                'w' => &mut rights.write,
                'd' => &mut rights.delete,
                '-' => continue,
                _ => return None,
            } = true;
        }
        Some(rights)
    }
}

/// As the protocol shows them.
impl std::fmt::Display for Rights {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { read, list, write, delete } = *self;
        let letters = [(read, "r"), (write, "w"), (list, "l"), (delete, "d")];
        letters.iter().filter(|(set, _)| *set).try_for_each(|(_, letter)| formatter.write_str(letter))
    }
}

/// How much of everything. Sizes are in bytes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Clients that are logged in at a time.
    pub connections: usize,
    /// Connections at a time on which nobody has logged in yet, at least as many as may be logged in. For one more the
    /// oldest ends, of the address that has most.
    pub strangers: usize,
    /// Open files of one connection.
    pub descriptors: usize,
    /// Of a request. Longer ones are refused, and the connection goes on.
    pub line: usize,
    /// Of one file.
    pub file: u64,
    /// That one connection may store.
    pub stored: u64,
    /// That stay free on the file system, whatever is stored.
    pub keep_free: u64,
    /// Entries in one listing, or in a tree to be removed.
    pub entries: usize,
    /// Until somebody has logged in.
    pub handshake: Duration,
    /// Without a request.
    pub idle: Duration,
    /// Without any byte in mid-transfer.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            strangers: 64,
            descriptors: 64,
            line: 64 * 1024,
            file: 1 << 40,
            stored: u64::MAX,
            keep_free: 64 << 20,
            entries: 100_000,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            stall: Duration::from_secs(60),
        }
    }
}

/// What can't be served.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum ConfigError {
    /// A root by a name that can't be one.
    #[error("a root can't be called {name}: one name without slashes, or / if it is the only one")]
    Name { name: String },
    /// A pattern that is none.
    #[error("not a pattern of subjects: {pattern}: {source}")]
    Pattern { pattern: String, source: globset::Error },
    /// Two of one name.
    #[error("two roots are called {name}")]
    Twice { name: String },
    /// It could not be used.
    #[error("the root {name} can't be used: {source}")]
    Unusable { name: String, source: std::io::Error },
}

pub(super) fn check_names(roots: &[Root]) -> Result<(), ConfigError> {
    for (index, root) in roots.iter().enumerate() {
        let name = || crate::excerpt(&root.name);
        let whole = root.name.is_empty() && roots.len() == 1;
        if !whole && Name::new(root.name.clone()).is_err() {
            return Err(ConfigError::Name { name: name() });
        }
        if roots.iter().take(index).any(|other| other.name == root.name) {
            return Err(ConfigError::Twice { name: name() });
        }
    }
    Ok(())
}

pub(super) fn matchers(rights: Vec<(String, Rights)>) -> Result<Vec<(GlobMatcher, Rights)>, ConfigError> {
    let compile = |(pattern, rights): (String, Rights)| match Glob::new(&pattern) {
        Ok(glob) => Ok((glob.compile_matcher(), rights)),
        Err(source) => Err(ConfigError::Pattern { pattern, source }),
    };
    rights.into_iter().map(compile).collect()
}
