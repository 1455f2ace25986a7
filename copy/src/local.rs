//! Trees of files on this machine, read: listed and turned into [`Item`]s. Never follows a link below the top, and stays
//! below it whatever others do there meanwhile. Blocking.

use crate::listing::{Limits, Listing, ListingError};
use crate::path::{BadPath, TreePath};
use crate::plan::{SMALL, Task};
use crate::tree::{Entry, Item, Kind, PIECE};
use bytes::{Bytes, BytesMut};
use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, Metadata, MetadataExt, OpenOptions};
use sha2::{Digest, Sha256};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A large file goes in stretches of so many bytes, each of which can be confirmed.
pub const STRETCH: u64 = 32 << 20;

/// Why a tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// What.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A name that cannot be copied.
    #[error("{path}: {problem}")]
    Name {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        problem: BadPath,
    },
    /// Too much of it.
    #[error("{path}: {problem}")]
    Large {
        /// The top.
        path: PathBuf,
        /// Which limit.
        problem: ListingError,
    },
}

/// A folder that is read.
#[derive(Debug)]
pub struct LocalTree {
    top: Dir,
    /// For messages.
    shown: PathBuf,
}

impl LocalTree {
    /// A folder of the user's own choice.
    ///
    /// # Errors
    /// [`LocalError::Io`].
    pub fn open(folder: &Path) -> Result<Self, LocalError> {
        let top = Dir::open_ambient_dir(folder, ambient_authority());
        let top = top.map_err(|source| LocalError::Io { path: folder.into(), source })?;
        Ok(Self::of(top, folder))
    }

    /// A folder that is open already; `shown` is what it is called in messages.
    pub fn of(top: Dir, shown: &Path) -> Self {
        Self { top, shown: shown.to_owned() }
    }

    /// Everything in it, the top first, folders before what is in them. What `excluded` names is left out, with all
    /// that is in it.
    ///
    /// # Errors
    /// [`LocalError`].
    pub fn list(&self, excluded: &dyn Fn(&TreePath) -> bool) -> Result<Listing, LocalError> {
        let metadata = self.top.dir_metadata().map_err(|source| self.io(&TreePath::top(), source))?;
        let mut all = Listing::new(Limits::LOCAL);
        self.add(&entry(TreePath::top(), &metadata, Kind::Dir), &mut all)?;
        self.list_folder(&self.top, &TreePath::top(), excluded, &mut all)?;
        Ok(all)
    }

    /// A folder right below the top, which is no link.
    pub(crate) fn folder(&self, name: &OsStr) -> Result<Self, LocalError> {
        let shown = self.shown.join(name);
        match self.top.open_dir_nofollow(Path::new(name)) {
            Ok(top) => Ok(Self { top, shown }),
            Err(source) => Err(LocalError::Io { path: shown, source }),
        }
    }

    /// Only these entries.
    pub(crate) fn listing_of(&self, entries: impl IntoIterator<Item = Entry>) -> Result<Listing, LocalError> {
        let mut all = Listing::new(Limits::LOCAL);
        entries.into_iter().try_for_each(|entry| self.add(&entry, &mut all))?;
        Ok(all)
    }

    fn add(&self, entry: &Entry, all: &mut Listing) -> Result<(), LocalError> {
        let added = all.push(entry).map(drop);
        added.map_err(|problem| LocalError::Large { path: self.shown.clone(), problem })
    }

    fn list_folder(
        &self,
        folder: &Dir,
        path: &TreePath,
        excluded: &dyn Fn(&TreePath) -> bool,
        all: &mut Listing,
    ) -> Result<(), LocalError> {
        let io = |source| self.io(path, source);
        let names = folder.entries().map_err(io)?.map(|found| found.map(|found| found.file_name()));
        let mut names = names.collect::<io::Result<Vec<_>>>().map_err(io)?;
        // In their order, so that two listings of the same tree are the same.
        names.sort_unstable();
        for name in names {
            let below = self.join(path, &name)?;
            if excluded(&below) {
                all.leave_out(&below);
                continue;
            }
            let found = self.entry_of(folder, &name, below.clone())?;
            let Some(found) = found else { continue };
            let is_folder = found.kind == Kind::Dir;
            self.add(&found, all)?;
            if is_folder {
                let inner = folder.open_dir_nofollow(&name).map_err(|source| self.io(&below, source))?;
                self.list_folder(&inner, &below, excluded, all)?;
            }
        }
        Ok(())
    }

    /// One thing right below the top, without what is in it; nothing if there is none.
    ///
    /// # Errors
    /// [`LocalError`].
    pub fn one(&self, name: &OsStr) -> Result<Option<Entry>, LocalError> {
        let path = self.join(&TreePath::top(), name)?;
        self.entry_of(&self.top, name, path)
    }

    /// What lies right below the top, without what is in it.
    ///
    /// # Errors
    /// [`LocalError`].
    pub fn flat(&self) -> Result<Listing, LocalError> {
        let io = |source| self.io(&TreePath::top(), source);
        let names = self.top.entries().map_err(io)?.map(|found| found.map(|found| found.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>().map_err(io)?;
        let mut all = Listing::new(Limits::LOCAL);
        for name in names {
            if let Some(found) = self.one(&name)? {
                self.add(&found, &mut all)?;
            }
        }
        Ok(all)
    }

    fn entry_of(&self, folder: &Dir, name: &OsStr, path: TreePath) -> Result<Option<Entry>, LocalError> {
        let metadata = match folder.symlink_metadata(name) {
            // Gone since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.map_err(|source| self.io(&path, source))?,
        };
        let kind = if metadata.is_dir() {
            Kind::Dir
        } else if metadata.is_file() {
            Kind::File(metadata.len())
        } else if metadata.is_symlink() {
            let target = folder.read_link_contents(name).map_err(|source| self.io(&path, source))?;
            Kind::Link(target.as_os_str().as_bytes().to_vec())
        } else {
            Kind::Other
        };
        Ok(Some(entry(path, &metadata, kind)))
    }

    fn join(&self, path: &TreePath, name: &OsStr) -> Result<TreePath, LocalError> {
        let joined = path.join(name.as_bytes());
        joined.map_err(|problem| LocalError::Name { path: self.shown_path(path), problem })
    }

    fn shown_path(&self, path: &TreePath) -> PathBuf {
        path.names().fold(self.shown.clone(), |path, name| path.join(name))
    }

    fn io(&self, path: &TreePath, source: io::Error) -> LocalError {
        LocalError::Io { path: self.shown_path(path), source }
    }

    /// Opens a file below the top, through folders only, and without following it.
    fn open_file(&self, path: &TreePath) -> io::Result<File> {
        let (folder, name) =
            path.split().ok_or_else(|| io::Error::new(io::ErrorKind::IsADirectory, "is a directory"))?;
        let folder = open_folder(&self.top, &folder)?;
        let mut options = OpenOptions::new();
        options.read(true).follow(FollowSymlinks::No);
        // A pipe that took the file's place must not hold us.
        cap_std::fs::OpenOptionsExt::custom_flags(&mut options, nix::libc::O_NONBLOCK);
        folder.open_with(name, &options)
    }
}

/// A folder below another, through folders only.
pub(super) fn open_folder(top: &Dir, path: &TreePath) -> io::Result<Dir> {
    let mut folder = top.try_clone()?;
    for name in path.names() {
        folder = folder.open_dir_nofollow(Path::new(name))?;
    }
    Ok(folder)
}

fn entry(path: TreePath, metadata: &Metadata, kind: Kind) -> Entry {
    Entry { path, kind, mode: metadata.mode() & 0o7777, mtime: nanoseconds(metadata) }
}

/// When something was changed; times beyond the years 1677 to 2262 are moved there.
pub(super) fn nanoseconds(metadata: &Metadata) -> i64 {
    let nanoseconds = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

/// The items of a plan's tasks, one after the other, as they are asked for.
pub struct Reader<'a> {
    tree: &'a LocalTree,
    /// What the one file is called here, if that is not what it is called there.
    name: Option<OsString>,
    tasks: Box<dyn Iterator<Item = Task> + 'a>,
    open: Option<Open>,
}

/// A file that is being read.
#[derive(Debug)]
struct Open {
    entry: Entry,
    size: u64,
    file: File,
    hasher: Sha256,
    /// How far it is read.
    at: u64,
    /// Where the stretch ends; none if none has begun.
    until: Option<u64>,
    /// It is not what was listed any more: what is sent of it must not be taken for it.
    changed: bool,
}

impl<'a> Reader<'a> {
    /// Of these tasks.
    pub fn new(tree: &'a LocalTree, tasks: impl Iterator<Item = Task> + 'a) -> Self {
        Self { tree, name: None, tasks: Box::new(tasks), open: None }
    }

    /// Of one file, which is called so here whatever it is called there.
    #[must_use]
    pub fn called(self, name: &OsStr) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    fn begin(&mut self, from: TreePath, entry: Entry, offset: u64) -> Item {
        match self.opened(from, &entry, offset) {
            Ok(open) => {
                let mut open = open;
                let item = open.stretch();
                self.open = Some(open);
                item
            }
            Err(error) => {
                Item::Failed { path: entry.path, code: code(&error).to_owned(), message: error.to_string() }
            }
        }
    }

    fn opened(&self, from: TreePath, entry: &Entry, offset: u64) -> io::Result<Open> {
        let Kind::File(size) = entry.kind else { return Err(io::Error::other("is no file")) };
        let path = match &self.name {
            Some(name) => TreePath::top().join(name.as_bytes()).map_err(io::Error::other)?,
            None => from,
        };
        let file = self.tree.open_file(&path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("is no file any more"));
        }
        let mut open = Open {
            entry: entry.clone(),
            size,
            file,
            hasher: Sha256::new(),
            at: 0,
            until: None,
            changed: false,
        };
        // What is there already counts for the digest.
        while open.at < offset {
            open.read(offset - open.at)?;
        }
        Ok(open)
    }
}

impl Open {
    fn stretch(&mut self) -> Item {
        let length = if self.size <= SMALL { self.size } else { (self.size - self.at).min(STRETCH) };
        self.until = Some(self.at + length);
        Item::File { entry: self.entry.clone(), offset: self.at, length }
    }

    /// The next bytes, at most so many. What is missing of a file that became shorter is made up for by zeros.
    fn read(&mut self, most: u64) -> io::Result<Bytes> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(PIECE);
        let mut buffer = BytesMut::zeroed(most);
        let read = if self.changed { 0 } else { read_full(&mut self.file, &mut buffer)? };
        if read < most {
            self.changed = true;
        }
        self.hasher.update(&buffer);
        self.at += most as u64;
        Ok(buffer.freeze())
    }

    fn digest(&mut self) -> [u8; 32] {
        let same = self
            .file
            .metadata()
            .is_ok_and(|metadata| metadata.len() == self.size && nanoseconds(&metadata) == self.entry.mtime);
        if self.changed || !same {
            // No file has this digest: it is refused at the other end.
            return [0; 32];
        }
        std::mem::take(&mut self.hasher).finalize().into()
    }
}

fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(bytes) => read += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

impl Iterator for Reader<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if let Some(open) = &mut self.open {
            match open.until {
                Some(until) if open.at < until => {
                    let bytes = open.read(until - open.at).unwrap_or_else(|_| {
                        // The rest of the stretch has to come; that it is wrong shows in the digest.
                        open.changed = true;
                        let missing = (until - open.at).min(PIECE as u64);
                        open.at += missing;
                        Bytes::from(vec![0; usize::try_from(missing).unwrap_or(PIECE)])
                    });
                    return Some(Item::Bytes(bytes));
                }
                Some(_) if open.at < open.size => {
                    open.until = None;
                    return Some(Item::End(None));
                }
                Some(_) => {
                    let digest = open.digest();
                    self.open = None;
                    return Some(Item::End(Some(digest)));
                }
                None => return Some(open.stretch()),
            }
        }
        match self.tasks.next()? {
            Task::Send { from, entry, offset } => Some(self.begin(from, entry, offset)),
            task => task.into_item(),
        }
    }
}

/// The slug of an error of the file system.
pub fn code(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "no-such-path",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "not-permitted",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "no-space",
        io::ErrorKind::AlreadyExists => "already-exists",
        io::ErrorKind::NotADirectory => "not-a-directory",
        io::ErrorKind::IsADirectory => "is-a-directory",
        io::ErrorKind::DirectoryNotEmpty => "not-empty",
        _ => "file-failed",
    }
}

/// The folder something is in, as an open folder, and its name there; a link at the end is followed, since the user named
/// it.
///
/// # Errors
/// [`LocalError::Io`].
pub fn parent_and_name(path: &Path) -> Result<(PathBuf, OsString), LocalError> {
    let io = |source| LocalError::Io { path: path.into(), source };
    let real = path.canonicalize().map_err(io)?;
    match (real.parent(), real.file_name()) {
        (Some(parent), Some(name)) => Ok((parent.to_owned(), name.to_owned())),
        _ => Err(io(io::Error::other("is the root of the file system"))),
    }
}

/// Seeks, for those who resume.
pub(super) fn seek(file: &mut File, offset: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset)).map(drop)
}
