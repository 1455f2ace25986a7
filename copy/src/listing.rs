//! [`Listing`]: what is in a tree, compact. A path is kept once, as the names of the folders on its way: a hundred thousand
//! entries with long paths take a few megabytes. Bounded: whoever lists may be a hostile guest. Pure.

use crate::path::TreePath;
use crate::tree::{Entry, Kind};

/// How much one listing may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files, folders and links.
    pub entries: usize,
    /// Bytes of all names, and of what stands in links.
    pub names: usize,
}

impl Limits {
    /// Of a tree on a guest.
    pub const GUEST: Self = Self { entries: 1_000_000, names: 128 << 20 };
    /// Of a tree on this machine, which is its owner's business.
    pub const LOCAL: Self = Self { entries: 5_000_000, names: 1 << 30 };
}

/// What cannot be added to a listing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ListingError {
    /// Too many entries.
    #[error("more than {0} files and folders are not copied in one go")]
    Entries(usize),
    /// Too many bytes.
    #[error(
        "the names of its files and folders have more than {0} bytes together, which is the limit of one copy"
    )]
    Names(usize),
    /// An entry that does not follow the folder it is in.
    #[error("{0} was listed without the folder it is in, or twice")]
    Order(String),
}

/// An entry of one listing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Id(u32);

impl Id {
    /// The folder that everything is in, which may itself not have been listed.
    pub const TOP: Self = Self(0);

    const fn at(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Copy, Debug)]
enum What {
    Dir,
    File(u64),
    /// What stands in it: where among the names, and how long.
    Link(u32, u32),
    Other,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    mtime: i64,
    what: What,
    /// The folder it is in.
    parent: u32,
    /// Where its name begins.
    name: u32,
    /// The first entry that is neither it nor in it; zero while that is not known.
    end: u32,
    mode: u16,
    length: u8,
    /// Something in it was left out: whoever removes it would remove that too.
    protected: bool,
}

/// What is in a tree, folders before what is in them.
#[derive(Clone, Debug)]
pub struct Listing {
    nodes: Vec<Node>,
    names: Vec<u8>,
    /// The folders that the next entry may be in, from the top down.
    open: Vec<u32>,
    has_top: bool,
    limits: Limits,
}

impl Listing {
    /// An empty one.
    pub fn new(limits: Limits) -> Self {
        let top = Node {
            mtime: 0,
            what: What::Dir,
            parent: 0,
            name: 0,
            end: 0,
            mode: 0o755,
            length: 0,
            protected: false,
        };
        Self { nodes: vec![top], names: Vec::new(), open: vec![0], has_top: false, limits }
    }

    /// Of these entries.
    ///
    /// # Errors
    /// [`ListingError`].
    pub fn of(entries: impl IntoIterator<Item = Entry>, limits: Limits) -> Result<Self, ListingError> {
        let mut listing = Self::new(limits);
        entries.into_iter().try_for_each(|entry| listing.push(&entry).map(drop))?;
        Ok(listing)
    }

    /// Adds what follows in the order of a walk.
    ///
    /// # Errors
    /// [`ListingError`].
    pub fn push(&mut self, entry: &Entry) -> Result<Id, ListingError> {
        if self.nodes.len() >= self.limits.entries {
            return Err(ListingError::Entries(self.limits.entries));
        }
        let order = || ListingError::Order(crate::path::shown(&entry.path));
        let mode = u16::try_from(entry.mode & 0o7777).unwrap_or_default();
        let Some((folder, name)) = entry.path.split() else {
            let first = self.nodes.len() == 1 && !self.has_top && entry.kind == Kind::Dir;
            let top = self.nodes.first_mut().filter(|_| first).ok_or_else(order)?;
            (top.mode, top.mtime) = (mode, entry.mtime);
            self.has_top = true;
            return Ok(Id::TOP);
        };
        let depth = self.depth_of(&folder).ok_or_else(order)?;
        let name = std::os::unix::ffi::OsStrExt::as_bytes(name);
        let target = if let Kind::Link(target) = &entry.kind { target.as_slice() } else { &[] };
        if self.names.len() + name.len() + target.len() > self.limits.names {
            return Err(ListingError::Names(self.limits.names));
        }
        self.close(depth);
        let id = u32::try_from(self.nodes.len()).map_err(|_| ListingError::Entries(self.limits.entries))?;
        let parent = self.open.last().copied().unwrap_or_default();
        let length = u8::try_from(name.len()).map_err(|_| order())?;
        let (name, _) = self.keep(name)?;
        let what = match &entry.kind {
            Kind::Dir => What::Dir,
            Kind::File(size) => What::File(*size),
            Kind::Link(target) => {
                let (at, length) = self.keep(target)?;
                What::Link(at, length)
            }
            Kind::Other => What::Other,
        };
        let node = Node { mtime: entry.mtime, what, parent, name, end: 0, mode, length, protected: false };
        self.nodes.push(node);
        if matches!(what, What::Dir) {
            self.open.push(id);
        } else {
            self.set_end(id);
        }
        Ok(Id(id))
    }

    /// Notes that something was left out: the folders that it is in are not to be removed.
    pub fn leave_out(&mut self, path: &TreePath) {
        let depth = path.split().and_then(|(folder, _)| self.depth_of(&folder));
        for id in self.open.iter().take(depth.map_or(0, |depth| depth + 1)) {
            if let Some(node) = self.nodes.get_mut(*id as usize) {
                node.protected = true;
            }
        }
    }

    /// How far down a folder is, if it is one of those that the next entry may be in.
    fn depth_of(&self, folder: &TreePath) -> Option<usize> {
        let mut depth = 0;
        for name in folder.names() {
            depth += 1;
            let open = self.open.get(depth)?;
            if self.name(Id(*open)) != std::os::unix::ffi::OsStrExt::as_bytes(name) {
                return None;
            }
        }
        Some(depth)
    }

    fn close(&mut self, depth: usize) {
        while self.open.len() > depth + 1
            && let Some(id) = self.open.pop()
        {
            self.set_end(id);
        }
    }

    fn set_end(&mut self, id: u32) {
        let end = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if let Some(node) = self.nodes.get_mut(id as usize) {
            node.end = end;
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(u32, u32), ListingError> {
        let long = |_| ListingError::Names(self.limits.names);
        let at = u32::try_from(self.names.len()).map_err(long)?;
        let length = u32::try_from(bytes.len()).map_err(long)?;
        self.names.extend_from_slice(bytes);
        Ok((at, length))
    }

    /// Whether the top itself was listed.
    pub const fn has_top(&self) -> bool {
        self.has_top
    }

    /// Without the top itself, which keeps what it has where this goes.
    #[must_use]
    pub fn without_top(mut self) -> Self {
        self.has_top = false;
        self
    }

    /// Whether nothing was listed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries were listed.
    pub fn len(&self) -> usize {
        self.nodes.len() - usize::from(!self.has_top)
    }

    /// All of them, in their order.
    pub fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        let end = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        (u32::from(!self.has_top)..end).map(Id)
    }

    /// All of them, in their order, each with its whole path.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.ids().map(|id| self.entry(id))
    }

    /// What is in a folder, in the order of the names.
    pub fn children(&self, folder: Id) -> Vec<Id> {
        let mut children = Vec::new();
        let (mut next, end) = (folder.0 + 1, self.end(folder));
        while next < end {
            children.push(Id(next));
            next = self.end(Id(next)).max(next + 1);
        }
        children.sort_by(|one, other| self.name(*one).cmp(self.name(*other)));
        children.dedup_by(|one, other| self.name(*one) == self.name(*other));
        children
    }

    fn end(&self, id: Id) -> u32 {
        let all = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.get(id.at()).map(|node| node.end).filter(|end| *end > 0).unwrap_or(all)
    }

    /// The name in its folder; of the top nothing.
    pub fn name(&self, id: Id) -> &[u8] {
        let node = self.nodes.get(id.at());
        node.map(|node| self.bytes(node.name, u32::from(node.length))).unwrap_or_default()
    }

    fn bytes(&self, at: u32, length: u32) -> &[u8] {
        let at = at as usize;
        self.names.get(at..at + length as usize).unwrap_or_default()
    }

    /// Whether something in it was left out.
    pub fn is_protected(&self, id: Id) -> bool {
        self.nodes.get(id.at()).is_some_and(|node| node.protected)
    }

    /// The whole path.
    pub fn path(&self, id: Id) -> TreePath {
        let mut way = Vec::new();
        let mut at = id;
        while at != Id::TOP {
            way.push(self.name(at));
            at = Id(self.nodes.get(at.at()).map_or(0, |node| node.parent));
        }
        TreePath::of_names(way.into_iter().rev())
    }

    /// What it is.
    pub fn kind(&self, id: Id) -> Kind {
        match self.nodes.get(id.at()).map(|node| node.what) {
            Some(What::Dir) => Kind::Dir,
            Some(What::File(size)) => Kind::File(size),
            Some(What::Link(at, length)) => Kind::Link(self.bytes(at, length).to_vec()),
            Some(What::Other) | None => Kind::Other,
        }
    }

    /// The permissions.
    pub fn mode(&self, id: Id) -> u32 {
        self.nodes.get(id.at()).map_or(0, |node| node.mode.into())
    }

    /// When it was changed, nanoseconds since 1970.
    pub fn mtime(&self, id: Id) -> i64 {
        self.nodes.get(id.at()).map_or(0, |node| node.mtime)
    }

    /// All of it.
    pub fn entry(&self, id: Id) -> Entry {
        Entry { path: self.path(id), kind: self.kind(id), mode: self.mode(id), mtime: self.mtime(id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn at(path: &[u8]) -> TreePath {
        TreePath::parse(path).unwrap()
    }

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry { path: at(path.as_bytes()), kind, mode: 0o640, mtime: -7 }
    }

    const SMALL: Limits = Limits { entries: 5, names: 20 };

    #[test]
    fn what_does_not_follow_its_folder_is_refused() {
        let mut listing = Listing::new(SMALL);
        assert!(listing.is_empty());
        listing.push(&entry("a", Kind::Dir)).unwrap();
        listing.push(&entry("a/f", Kind::File(3))).unwrap();
        listing.push(&entry("b", Kind::Link(b"a/f".to_vec()))).unwrap();
        for wrong in ["b/x", "c/x", "a/f", ""] {
            let refused = listing.push(&entry(wrong, Kind::Dir));
            assert!(matches!(refused, Err(ListingError::Order(_))), "{wrong}: {refused:?}");
        }
        let told: Vec<_> = listing.entries().map(|entry| entry.path.to_string()).collect();
        assert_eq!((told, listing.len()), (vec!["a".to_owned(), "a/f".into(), "b".into()], 3));
    }

    #[test]
    fn the_limit_that_was_reached_is_named() {
        let mut listing = Listing::new(SMALL);
        let long = listing.push(&entry("a name of 21 bytes...", Kind::Dir)).unwrap_err();
        assert!(long.to_string().contains("more than 20 bytes"), "{long}");
        for name in ["a", "b", "c", "d"] {
            listing.push(&entry(name, Kind::Dir)).unwrap();
        }
        let many = listing.push(&entry("e", Kind::Dir)).unwrap_err();
        assert!(many.to_string().contains("more than 5 files and folders"), "{many}");
    }

    #[test]
    fn a_folder_with_something_left_out_is_marked_and_its_neighbours_are_not() {
        let mut listing = Listing::new(Limits::GUEST);
        for path in ["a", "a/b"] {
            listing.push(&entry(path, Kind::Dir)).unwrap();
        }
        listing.leave_out(&at(b"a/b/.git"));
        listing.push(&entry("a/c", Kind::Dir)).unwrap();
        let marked: Vec<_> = listing.ids().filter(|id| listing.is_protected(*id)).collect();
        assert_eq!(marked.iter().map(|id| listing.path(*id).to_string()).collect::<Vec<_>>(), ["a", "a/b"]);
    }

    proptest! {
        #[test]
        fn a_walk_is_told_again_as_it_was(
            paths in proptest::collection::vec(proptest::collection::vec("[a-c]{1,2}", 1..5), 0..40)
        ) {
            // Every prefix of a path is a folder; what is no prefix of another is a file or link.
            let mut folders = BTreeSet::new();
            let mut all = BTreeSet::new();
            for names in &paths {
                for n in 1..=names.len() {
                    all.insert(names[..n].to_vec());
                    if n < names.len() { folders.insert(names[..n].to_vec()); }
                }
            }
            let walk: Vec<Entry> = all.iter().enumerate().map(|(n, names)| {
                let kind = match n % 3 {
                    _ if folders.contains(names) => Kind::Dir,
                    0 => Kind::Other,
                    1 => Kind::File(n as u64),
                    _ => Kind::Link(vec![b'x'; n]),
                };
                Entry { path: at(names.join("/").as_bytes()), kind, mode: n as u32 & 0o7777, mtime: n as i64 }
            }).collect();
            let listing = Listing::of(walk.clone(), Limits::GUEST).unwrap();
            prop_assert_eq!(listing.entries().collect::<Vec<_>>(), walk.clone());
            for id in listing.ids() {
                let path = listing.path(id);
                let inside: Vec<_> = walk.iter().map(|entry| entry.path.clone())
                    .filter(|below| below.split().is_some_and(|(folder, _)| folder == path)).collect();
                let told: Vec<_> = listing.children(id).into_iter().map(|id| listing.path(id)).collect();
                prop_assert_eq!(told, inside);
            }
        }
    }
}
