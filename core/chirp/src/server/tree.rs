//! Where a path leads: the roots as one tree that nothing leads out of.
//!
//! The kernel finds the directory that a path's last name is in, told to stay below the root. What it refuses, such as
//! absolute links, is walked name by name, on a stack of open directories: `..` takes one off, but never the last; an
//! absolute link begins again at the bottom. Whoever gets a [`Place`] acts on one checked name in an open directory and
//! follows no link, so that nothing another does meanwhile leads him elsewhere.

use super::config::{ConfigError, Root, check_names};
use crate::proto::{Code, Name};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Links in one path. The kernel's own limit.
const LINKS: usize = 40;
/// Directories in one path: each is an open file while it is walked.
const DEPTH: usize = 256;

/// Whether a link at the end of a path is meant itself or what it leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Links {
    Follow,
    Keep,
}

/// Where a path leads.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// The directory that holds the roots.
    Top,
    /// A directory itself: a root, or what `..` in a link led to.
    Directory { root: usize, fd: Arc<OwnedFd> },
    /// One name in a directory; nothing may be there.
    Entry { root: usize, fd: Arc<OwnedFd>, name: Name },
}

impl Place {
    /// A directory and the name in it: `.` for itself.
    pub(super) fn at(&self) -> Option<(BorrowedFd<'_>, &OsStr)> {
        match self {
            Self::Top => None,
            Self::Directory { fd, .. } => Some((fd.as_fd(), OsStr::new("."))),
            Self::Entry { fd, name, .. } => Some((fd.as_fd(), name.as_os_str())),
        }
    }

    /// A name in a directory, which can be made and removed. A root can't.
    pub(super) fn entry(&self) -> Result<(&Arc<OwnedFd>, &Name), Code> {
        match self {
            Self::Entry { fd, name, .. } => Ok((fd, name)),
            Self::Top | Self::Directory { .. } => Err(Code::NotAuthorized),
        }
    }
}

pub(super) struct Mount {
    pub(super) name: Vec<u8>,
    pub(super) fd: Arc<OwnedFd>,
    pub(super) write: bool,
    pub(super) local: Option<PathBuf>,
}

pub(super) struct Tree {
    mounts: Vec<Mount>,
}

impl Tree {
    pub(super) fn new(roots: Vec<Root>) -> Result<Self, ConfigError> {
        check_names(&roots)?;
        let mount = |root: Root| match root.dir.as_fd().try_clone_to_owned() {
            Ok(fd) => Ok(Mount { name: root.name, fd: Arc::new(fd), write: root.write, local: root.local }),
            Err(source) => Err(ConfigError::Unusable { name: crate::excerpt(&root.name), source }),
        };
        Ok(Self { mounts: roots.into_iter().map(mount).collect::<Result<_, _>>()? })
    }

    pub(super) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// Whether anything may change there.
    pub(super) fn may_change(&self, place: &Place) -> bool {
        match place {
            Place::Top => false,
            Place::Directory { root, .. } | Place::Entry { root, .. } => {
                self.mounts.get(*root).is_some_and(|mount| mount.write)
            }
        }
    }

    pub(super) fn find(&self, path: &[u8], links: Links) -> Result<Place, Code> {
        let names = normalize(path)?;
        if let Some(found) = self.find_fast(&names) {
            let place = found?;
            let is_link = links == Links::Follow
                && place.at().is_some_and(|(fd, name)| rustix::fs::readlinkat(fd, name, Vec::new()).is_ok());
            if !is_link {
                return Ok(place);
            }
        }
        self.walk(names.into_iter().map(<[u8]>::to_vec).collect(), links)
    }

    /// About what a path leads to, if the kernel has it all in memory: then nobody has to wait for a disk. `None`
    /// otherwise, and for everything that is to be refused.
    pub(super) fn stat_cached(&self, path: &[u8], links: Links) -> Option<rustix::fs::Stat> {
        let names = normalize(path).ok()?;
        let (mount, names) = match self.whole() {
            Some(mount) => (mount, names.as_slice()),
            None => {
                let (first, rest) = names.split_first()?;
                (self.mount(first)?.1, rest)
            }
        };
        if names.is_empty() {
            return None;
        }
        let mut flags = OFlags::PATH | OFlags::CLOEXEC;
        flags.set(OFlags::NOFOLLOW, links == Links::Keep);
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::CACHED;
        let path = names.join(&b'/');
        let fd =
            rustix::fs::openat2(&*mount.fd, OsStr::from_bytes(&path), flags, Mode::empty(), resolve).ok()?;
        rustix::fs::fstat(fd).ok()
    }

    /// Where that is on this machine; or, if that is nobody's concern, in this tree.
    pub(super) fn local(&self, path: &[u8]) -> Result<PathBuf, Code> {
        let names = normalize(path)?;
        let inside = || PathBuf::from("/").join(OsStr::from_bytes(&names.join(&b'/')));
        let (mount, rest) = match self.whole() {
            Some(mount) => (mount, names.as_slice()),
            None => {
                let Some((first, rest)) = names.split_first() else { return Ok(inside()) };
                (self.mount(first).ok_or(Code::DoesntExist)?.1, rest)
            }
        };
        let Some(mut local) = mount.local.clone() else { return Ok(inside()) };
        local.extend(rest.iter().map(|name| OsStr::from_bytes(name)));
        Ok(local)
    }

    fn whole(&self) -> Option<&Mount> {
        self.mounts.first().filter(|mount| mount.name.is_empty())
    }

    fn mount(&self, name: &[u8]) -> Option<(usize, &Mount)> {
        self.mounts.iter().enumerate().find(|(_, mount)| mount.name == name)
    }

    /// One call of the kernel's; `None` where it refuses to decide.
    fn find_fast(&self, names: &[&[u8]]) -> Option<Result<Place, Code>> {
        let (root, mount, rest) = match self.whole() {
            Some(mount) => (0, mount, names),
            None => {
                let (first, rest) = names.split_first()?;
                let (root, mount) = self.mount(first)?;
                (root, mount, rest)
            }
        };
        let Some((last, parents)) = rest.split_last() else {
            return Some(Ok(Place::Directory { root, fd: mount.fd.clone() }));
        };
        // All other mistakes are found by `normalize`.
        let Ok(name) = Name::new(*last) else { return Some(Err(Code::NameTooLong)) };
        if parents.is_empty() {
            return Some(Ok(Place::Entry { root, fd: mount.fd.clone(), name }));
        }
        let parent = parents.join(&b'/');
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&*mount.fd, OsStr::from_bytes(&parent), flags, Mode::empty(), resolve) {
            Ok(fd) => Some(Ok(Place::Entry { root, fd: Arc::new(fd), name })),
            Err(error @ (Errno::NOENT | Errno::NOTDIR | Errno::ACCESS)) => Some(Err(error.into())),
            Err(_) => None,
        }
    }

    fn walk(&self, mut names: VecDeque<Vec<u8>>, links: Links) -> Result<Place, Code> {
        let mut walk = Walk { tree: self, stack: self.bottom(), links: 0 };
        while let Some(name) = names.pop_front() {
            match name.as_slice() {
                b"" | b"." => {}
                b".." if walk.stack.len() > 1 => drop(walk.stack.pop()),
                b".." => {}
                name if name.starts_with(b".__") => return Err(Code::NotAuthorized),
                name => {
                    if let Some(place) = walk.step(name, &mut names, links)? {
                        return Ok(place);
                    }
                }
            }
        }
        walk.here()
    }

    fn bottom(&self) -> Vec<Option<(usize, Arc<OwnedFd>)>> {
        vec![self.whole().map(|mount| (0, mount.fd.clone()))]
    }
}

/// One path on its way; `None` on the stack is the directory that holds the roots.
struct Walk<'a> {
    tree: &'a Tree,
    stack: Vec<Option<(usize, Arc<OwnedFd>)>>,
    links: usize,
}

impl Walk<'_> {
    fn here(&self) -> Result<Place, Code> {
        match self.stack.last() {
            None | Some(None) => Ok(Place::Top),
            Some(Some((root, fd))) => Ok(Place::Directory { root: *root, fd: fd.clone() }),
        }
    }

    /// One name further; the place, if that was the last one.
    fn step(
        &mut self,
        name: &[u8],
        rest: &mut VecDeque<Vec<u8>>,
        links: Links,
    ) -> Result<Option<Place>, Code> {
        let Some(Some((root, fd))) = self.stack.last().cloned() else {
            let (root, mount) = self.tree.mount(name).ok_or(Code::DoesntExist)?;
            self.stack.push(Some((root, mount.fd.clone())));
            return Ok(None);
        };
        let name = Name::new(name).map_err(|_| Code::NameTooLong)?;
        let last = rest.iter().all(|name| matches!(name.as_slice(), b"" | b"."));
        if last && links == Links::Keep {
            return Ok(Some(Place::Entry { root, fd, name }));
        }
        match rustix::fs::readlinkat(&*fd, name.as_os_str(), Vec::new()) {
            Ok(target) => {
                self.link(target.to_bytes(), rest)?;
                Ok(None)
            }
            Err(Errno::INVAL | Errno::NOENT) if last => Ok(Some(Place::Entry { root, fd, name })),
            Err(Errno::INVAL) => {
                self.enter(root, &fd, &name)?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn link(&mut self, target: &[u8], rest: &mut VecDeque<Vec<u8>>) -> Result<(), Code> {
        self.links += 1;
        if self.links > LINKS {
            return Err(Code::Unknown); // the protocol has no number for ELOOP
        }
        if target.starts_with(b"/") {
            self.stack.truncate(1);
        }
        for name in target.split(|&byte| byte == b'/').rev() {
            rest.push_front(name.to_vec());
        }
        Ok(())
    }

    fn enter(&mut self, root: usize, fd: &OwnedFd, name: &Name) -> Result<(), Code> {
        if self.stack.len() > DEPTH {
            return Err(Code::NameTooLong);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(fd, name.as_os_str(), flags, Mode::empty())?;
        self.stack.push(Some((root, Arc::new(fd))));
        Ok(())
    }
}

/// The names of a path from the top: `..` takes the one before it off, as the real server does before it looks.
fn normalize(path: &[u8]) -> Result<Vec<&[u8]>, Code> {
    let mut names = Vec::new();
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            hidden if hidden.starts_with(b".__") => return Err(Code::NotAuthorized),
            long if long.len() > 255 => return Err(Code::NameTooLong),
            bad if bad.iter().any(|byte| matches!(byte, 0 | b'\n')) => return Err(Code::InvalidRequest),
            name => names.push(name),
        }
    }
    if names.len() > DEPTH { Err(Code::NameTooLong) } else { Ok(names) }
}

/// For the fuzz target and the property test: finds a path both ways and says where it led, as device and inode.
#[doc(hidden)]
pub fn fuzz(roots: Vec<Root>, path: &[u8], follow: bool) -> Option<(u64, u64)> {
    let tree = Tree::new(roots).ok()?;
    let links = if follow { Links::Follow } else { Links::Keep };
    let place = tree.find(path, links).ok()?;
    let (fd, name) = place.at()?;
    let stat = rustix::fs::statat(fd, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests;
