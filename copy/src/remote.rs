//! The other side of a copy: a guest's files, whichever way they are reached. Blocking.

use crate::exclude::Exclude;
use crate::listing::{Limits, Listing, ListingError};
use crate::local::{LocalError, code};
use crate::outcome::{Failed, Outcome};
use crate::path::BadPath;
use crate::plan::{Plan, Refusal, Wanted};
use crate::tree::{Item, Kind};
use std::fmt::Display;
use std::io;
use std::path::PathBuf;

/// Items as they come. The last is `Done`, or one that failed and has no path, which says why nothing else comes.
pub type Items<'a> = Box<dyn Iterator<Item = Item> + 'a>;

/// How far down a folder is listed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Depth {
    /// Only what is in it.
    Children,
    /// Everything below it, the folder itself first.
    Tree,
}

/// The files of one guest.
pub trait Remote {
    /// Why it cannot be asked.
    type Error: Display;

    /// What is at a path; nothing if there is nothing.
    ///
    /// # Errors
    /// Why it cannot be asked.
    fn stat(&self, path: &[u8]) -> Result<Option<Kind>, Self::Error>;

    /// What is in a folder, as entries; nothing if there is no such folder.
    ///
    /// # Errors
    /// Why it cannot be asked.
    fn list(&self, folder: &[u8], depth: Depth) -> Result<Option<Items<'_>>, Self::Error>;

    /// Does what the items say below a folder. That it stopped half-way is part of the outcome.
    ///
    /// # Errors
    /// Why nothing is known about what came of it.
    fn put(&self, folder: &[u8], items: &mut dyn Iterator<Item = Item>) -> Result<Outcome, Self::Error>;

    /// Files below a folder, in that order.
    ///
    /// # Errors
    /// Why it cannot be asked.
    fn get(&self, folder: &[u8], wanted: Vec<Wanted>) -> Result<Items<'_>, Self::Error>;

    /// A path in messages: `vm1:/data/x`.
    fn shown(&self, path: &[u8]) -> String;

    /// Whom to tell how far it is; [`Self::put`] does so itself.
    fn progress(&self) -> &dyn Progress;
}

/// Is told how far a copy is.
pub trait Progress {
    /// So much is to be done.
    fn planned(&self, _plan: &Plan) {}

    /// So many bytes more have come across, and so many files are whole.
    fn advanced(&self, _bytes: u64, _files: u64) {}
}

/// Nobody wants to know.
impl Progress for () {}

/// How to copy.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What is left out.
    pub exclude: Exclude,
    /// Take what is there already for done, and go on with parts.
    pub resume: bool,
    /// Remove at the destination what is not in the source, and what is of another kind.
    pub delete: bool,
    /// Take over set-user-id bits, and links that lead out of the tree.
    pub preserve: bool,
}

/// What was copied.
#[derive(Clone, Debug, Default)]
pub struct Copied {
    /// What came of it.
    pub outcome: Outcome,
    /// Files that were there already.
    pub skipped: u64,
    /// Bytes of begun files that were there already.
    pub resumed: u64,
}

impl Copied {
    pub(crate) const fn of(plan: &Plan, outcome: Outcome) -> Self {
        Self { outcome, skipped: plan.same, resumed: plan.resumed }
    }
}

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError<E> {
    /// The other side cannot be asked.
    #[error("{0}")]
    Remote(E),
    /// The other side has refused, or stopped in the middle.
    #[error("{}", .0.message)]
    Refused(Failed),
    /// What is here cannot be read.
    #[error(transparent)]
    Read(#[from] LocalError),
    /// The destination here cannot be written to.
    #[error("{path}: {source}")]
    Write {
        /// Which folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Nothing is there.
    #[error("{0}: no such file or directory")]
    Missing(String),
    /// Something of another kind is there.
    #[error("{}", .0.of(.1))]
    Occupied(Refusal, String),
    /// A path such as `/`.
    #[error("{0} has no name of its own")]
    Nameless(String),
    /// A name that cannot be copied.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// Too much of it.
    #[error("{0}: {1}")]
    Large(String, ListingError),
}

impl<E> CopyError<E> {
    /// The slug; nothing where the other side has its own.
    pub fn code(&self) -> Option<&str> {
        Some(match self {
            Self::Remote(_) => return None,
            Self::Refused(failed) => &failed.code,
            Self::Read(LocalError::Io { source, .. }) | Self::Write { source, .. } => code(source),
            Self::Read(_) => "file-failed",
            Self::Missing(_) => "no-such-path",
            Self::Occupied(refusal, _) => refusal.code(),
            Self::Nameless(_) | Self::Path(_) => "invalid-parameter",
            Self::Large(..) => "too-many",
        })
    }
}

/// What is in a folder there, without what is excluded; nothing if there is no such folder.
pub(crate) fn list<R: Remote>(
    remote: &R,
    folder: &[u8],
    depth: Depth,
    exclude: &Exclude,
) -> Result<Option<Listing>, CopyError<R::Error>> {
    let Some(items) = remote.list(folder, depth).map_err(CopyError::Remote)? else { return Ok(None) };
    let mut listing = Listing::new(Limits::GUEST);
    for item in items {
        match item {
            Item::Entry(entry) if exclude.fits(&entry.path) => listing.leave_out(&entry.path),
            Item::Entry(entry) => {
                let added = listing.push(&entry).map(drop);
                added.map_err(|error| CopyError::Large(remote.shown(folder), error))?;
            }
            Item::Failed { path, code, message } => {
                return Err(CopyError::Refused(Failed { path: path.to_string(), code, message }));
            }
            Item::Done => return Ok(Some(listing)),
            _ => {}
        }
    }
    Err(CopyError::Refused(cut()))
}

/// It ended without saying that it was all.
pub(crate) fn cut() -> Failed {
    let message = "the answer ended in the middle".to_owned();
    Failed { path: String::new(), code: "connection-lost".to_owned(), message }
}
