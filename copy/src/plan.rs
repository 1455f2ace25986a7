//! What has to be done so that there is what is here: compares two listings of a tree. Pure.
//!
//! A file is the same if its size and the time of its last change are, as for rsync: every copy keeps times, so a copy that
//! was interrupted goes on with the rest. What was begun of a large file lies beside it under [`part_name`], which says of
//! which version of the file it is.
//!
//! Nothing that is there gives way to something of another kind, unless `delete` says so, as for cp(1) and rsync:
//!
//! | here | there: a file or link | there: a folder | there: a socket, pipe, device |
//! |---|---|---|---|
//! | file, link | is replaced by renaming | refused | refused |
//! | folder | refused | is gone on with | refused |
//! | socket, pipe, device | not copied | not copied | not copied |
//!
//! With `delete` what would be refused is made beside its place, under a name of [`part_name`]. It takes the place when
//! everything of the copy is whole ([`Plan::replacing`]), and only then is anything removed.

use crate::listing::{Id, Limits, Listing};
use crate::path::TreePath;
use crate::tree::{Entry, Item, Kind};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Files of more bytes are copied in stretches, into a part that survives an interruption.
pub const SMALL: u64 = 256 << 10;

/// How to compare.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Take what is there already for done, and go on with parts.
    pub resume: bool,
    /// Remove there what is not here, and what is of another kind.
    pub delete: bool,
}

/// One thing to do, in the order they are to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Task {
    /// Make this folder or link.
    Make(Entry),
    /// Send this file from an offset on. It is called `from` here.
    Send {
        /// Where it is.
        from: TreePath,
        /// Where it goes, and all else about it.
        entry: Entry,
        /// What is there already is not sent again.
        offset: u64,
    },
    /// Set mode and time.
    Attributes(Entry),
    /// Put what was made beside its place in its place, and remove what was there.
    Replace {
        /// The place.
        path: TreePath,
        /// What was made beside it.
        with: TreePath,
    },
    /// Remove what is there.
    Remove(TreePath),
}

impl Task {
    /// As one item, unless it is a file, which takes several.
    pub fn into_item(self) -> Option<Item> {
        Some(match self {
            Self::Make(entry) => Item::Entry(entry),
            Self::Send { .. } => return None,
            Self::Attributes(entry) => Item::Attributes(entry),
            Self::Replace { path, with } => Item::Replace { path, with },
            Self::Remove(path) => Item::Remove(path),
        })
    }
}

/// The same, without the paths: those are in the listings.
#[derive(Clone, Copy, Debug)]
enum Step {
    Make(Id),
    Send(Id, u64),
    Attributes(Id),
    Replace(Id),
    /// Remove what an earlier copy left where this is made beside its place.
    Clear(Id),
    /// Of the other listing.
    Remove(Id),
}

/// Why something may not take the place of what is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// A file or link, where a folder is.
    OntoFolder,
    /// A folder, where something else is.
    OntoOther,
    /// A file or link, where a socket, pipe or device is.
    OntoSpecial,
}

impl Refusal {
    /// The slug.
    pub const fn code(self) -> &'static str {
        match self {
            Self::OntoFolder => "is-a-directory",
            Self::OntoOther => "not-a-directory",
            Self::OntoSpecial => "special-file",
        }
    }

    /// The sentence, as cp(1) says it.
    pub fn of(self, path: &str) -> String {
        match self {
            Self::OntoFolder => format!("cannot overwrite directory '{path}' with non-directory"),
            Self::OntoOther => format!("cannot overwrite non-directory '{path}' with directory"),
            Self::OntoSpecial => format!("cannot overwrite special file '{path}'"),
        }
    }
}

/// Whether something may not take the place of what is there, and why.
pub const fn refusal(new: &Kind, old: &Kind) -> Option<Refusal> {
    match (new, old) {
        (Kind::Other, _) | (Kind::Dir, Kind::Dir) => None,
        (Kind::Dir, _) => Some(Refusal::OntoOther),
        (_, Kind::Dir) => Some(Refusal::OntoFolder),
        (_, Kind::Other) => Some(Refusal::OntoSpecial),
        (Kind::File(_) | Kind::Link(_), Kind::File(_) | Kind::Link(_)) => None,
    }
}

/// All there is to do, and what there isn't.
#[derive(Clone, Debug)]
pub struct Plan {
    here: Arc<Listing>,
    there: Arc<Listing>,
    making: Vec<Step>,
    replacing: Vec<Step>,
    finishing: Vec<Step>,
    /// What is made beside its place, and under which path.
    beside: BTreeMap<TreePath, TreePath>,
    others: Vec<Id>,
    refused: Vec<(Id, Refusal)>,
    /// Files to be sent.
    pub files: u64,
    /// Bytes to be sent.
    pub bytes: u64,
    /// Files that are there already.
    pub same: u64,
    /// Bytes that are there already, those of begun files included.
    pub same_bytes: u64,
    /// Bytes of begun files that are there already.
    pub resumed: u64,
}

impl Plan {
    /// What is done first: it makes what is missing, and replaces files and links when the new ones are whole.
    pub fn making(&self) -> impl Iterator<Item = Task> + '_ {
        self.making.iter().map(|step| self.task(*step))
    }

    /// Whether anything is removed or replaced.
    pub const fn replaces(&self) -> bool {
        !self.replacing.is_empty()
    }

    /// What is only done if nothing before it has failed: it removes things, or replaces them by others.
    pub fn replacing(&self) -> impl Iterator<Item = Task> + '_ {
        self.replacing.iter().map(|step| self.task(*step))
    }

    /// What is done last: the attributes of folders.
    pub fn finishing(&self) -> impl Iterator<Item = Task> + '_ {
        self.finishing.iter().map(|step| self.task(*step))
    }

    /// What cannot be copied: neither file nor folder nor link.
    pub fn others(&self) -> impl Iterator<Item = TreePath> + '_ {
        self.others.iter().map(|id| self.here.path(*id))
    }

    /// What is not copied as something of another kind is there. What is in such a folder is not copied either.
    pub fn refused(&self) -> impl Iterator<Item = (TreePath, Refusal)> + '_ {
        self.refused.iter().map(|(id, refusal)| (self.here.path(*id), *refusal))
    }

    /// Where something is made: in its place, or in what is made beside its place.
    pub fn placed(&self, path: &TreePath) -> TreePath {
        if self.beside.is_empty() {
            return path.clone();
        }
        let moved = path.upwards().find_map(|folder| Some((self.beside.get(&folder)?, folder)));
        let Some((beside, folder)) = moved else { return path.clone() };
        let inner = path.names().skip(folder.names().count());
        TreePath::of_names(beside.names().chain(inner).map(OsStrExt::as_bytes))
    }

    fn task(&self, step: Step) -> Task {
        let placed = |id| {
            let entry = self.here.entry(id);
            Entry { path: self.placed(&entry.path), ..entry }
        };
        match step {
            Step::Make(id) => Task::Make(placed(id)),
            Step::Send(id, offset) => Task::Send { from: self.here.path(id), entry: placed(id), offset },
            Step::Attributes(id) => Task::Attributes(placed(id)),
            Step::Replace(id) => {
                let path = self.here.path(id);
                Task::Replace { with: self.placed(&path), path }
            }
            Step::Clear(id) => Task::Remove(self.placed(&self.here.path(id))),
            Step::Remove(id) => Task::Remove(self.there.path(id)),
        }
    }
}

/// What a file is called while only part of it is there: hidden, beside the file, and of this version of it only.
pub fn part_name(name: &OsStr, size: u64, mtime: i64) -> Vec<u8> {
    let version = Sha256::digest(format!("{size} {mtime}"));
    let version = hex::encode(version.get(..8).unwrap_or_default());
    let name = name.as_bytes();
    let mut part = b".".to_vec();
    // The name of the part has to be a name too: 255 bytes.
    part.extend_from_slice(name.get(..name.len().min(220)).unwrap_or_default());
    if name.len() > 220 {
        let rest = Sha256::digest(name);
        part.extend_from_slice(hex::encode(rest.get(..2).unwrap_or_default()).as_bytes());
    }
    part.extend_from_slice(b".part-");
    part.extend_from_slice(version.as_bytes());
    part
}

/// Whether a name is one that [`part_name`] gives.
pub fn is_part(name: &[u8]) -> bool {
    let marked = name.len() > 22 && name.starts_with(b".");
    let (begin, version) = name.split_at(name.len().saturating_sub(16));
    marked && begin.ends_with(b".part-") && version.iter().all(u8::is_ascii_hexdigit)
}

/// The part of a file, beside it.
pub fn part_path(entry: &Entry) -> Option<TreePath> {
    let Kind::File(size) = entry.kind else { return None };
    let (folder, name) = entry.path.split()?;
    folder.join(&part_name(name, size, entry.mtime)).ok()
}

/// What is made beside its place, until it is whole.
fn beside(path: &TreePath) -> Option<TreePath> {
    let (folder, name) = path.split()?;
    folder.join(&part_name(name, u64::MAX, 0)).ok()
}

/// The plan.
pub fn plan(here: Arc<Listing>, there: Listing, options: Options) -> Plan {
    let plan = Plan {
        here,
        there: Arc::new(there),
        making: Vec::new(),
        replacing: Vec::new(),
        finishing: Vec::new(),
        beside: BTreeMap::new(),
        others: Vec::new(),
        refused: Vec::new(),
        files: 0,
        bytes: 0,
        same: 0,
        same_bytes: 0,
        resumed: 0,
    };
    let mut planner = Planner { here: Arc::clone(&plan.here), there: Arc::clone(&plan.there), plan, options };
    let top = planner.here.has_top();
    if top && !planner.there.has_top() {
        planner.plan.making.push(Step::Make(Id::TOP));
    }
    planner.folder(Id::TOP, Some(Id::TOP), false);
    if top {
        planner.plan.finishing.push(Step::Attributes(Id::TOP));
    }
    planner.plan
}

/// A plan on its way.
struct Planner {
    here: Arc<Listing>,
    there: Arc<Listing>,
    plan: Plan,
    options: Options,
}

impl Planner {
    /// What is in a folder, and what is in the one of that name there. `beside`: it is made beside its place.
    fn folder(&mut self, here: Id, there: Option<Id>, beside: bool) {
        let listing = Arc::clone(&self.there);
        let theirs = there.map(|there| listing.children(there)).unwrap_or_default();
        let find = |name: &[u8]| {
            let found = theirs.binary_search_by(|id| listing.name(*id).cmp(name));
            found.ok().and_then(|at| theirs.get(at)).copied()
        };
        let mut keep = BTreeSet::new();
        for id in self.here.children(here) {
            let old = find(self.here.name(id));
            keep.extend(old);
            match self.here.kind(id) {
                Kind::Other => self.plan.others.push(id),
                kind => match old.and_then(|old| refusal(&kind, &self.there.kind(old))) {
                    Some(refusal)
                        if self.options.delete && !old.is_some_and(|old| self.there.is_protected(old)) =>
                    {
                        keep.extend(self.beside(id, refusal, &find));
                    }
                    Some(refusal) => self.plan.refused.push((id, refusal)),
                    None => match kind {
                        Kind::File(size) => keep.extend(self.file(id, size, old, &find)),
                        Kind::Dir => self.inner(id, old, beside),
                        _ => self.link(id, &kind, old),
                    },
                },
            }
        }
        if self.options.delete {
            theirs.iter().filter(|id| !keep.contains(id)).for_each(|id| self.remove(*id));
        }
    }

    fn inner(&mut self, id: Id, old: Option<Id>, beside: bool) {
        if old.is_none() {
            self.plan.making.push(Step::Make(id));
        }
        self.folder(id, old, beside);
        // The deepest folders get their times first: making something in a folder changes its time.
        if beside { &mut self.plan.making } else { &mut self.plan.finishing }.push(Step::Attributes(id));
    }

    fn link(&mut self, id: Id, kind: &Kind, old: Option<Id>) {
        match old {
            None => self.plan.making.push(Step::Make(id)),
            Some(old) if self.options.resume && self.there.kind(old) == *kind => {}
            // A file of that name is lost by it.
            Some(_) => self.plan.replacing.push(Step::Make(id)),
        }
    }

    /// Gives what was begun of it, if anything.
    fn file(&mut self, id: Id, size: u64, old: Option<Id>, find: &dyn Fn(&[u8]) -> Option<Id>) -> Option<Id> {
        if self.options.resume
            && let Some(old) = old
            && self.is_same(id, old)
        {
            self.plan.same += 1;
            self.plan.same_bytes += size;
            if self.there.mode(old) != self.here.mode(id) {
                self.plan.finishing.push(Step::Attributes(id));
            }
            return None;
        }
        let part = part_name(OsStr::from_bytes(self.here.name(id)), size, self.here.mtime(id));
        let begun = if size > SMALL { find(&part) } else { None };
        let offset = match begun.map(|begun| self.there.kind(begun)) {
            Some(Kind::File(bytes)) if self.options.resume => bytes.min(size),
            _ => 0,
        };
        self.plan.files += 1;
        self.plan.bytes += size - offset;
        self.plan.resumed += offset;
        self.plan.same_bytes += offset;
        self.plan.making.push(Step::Send(id, offset));
        begun
    }

    /// Makes something beside its place, to take it in the end. Gives what an earlier copy left there.
    fn beside(&mut self, id: Id, refusal: Refusal, find: &dyn Fn(&[u8]) -> Option<Id>) -> Option<Id> {
        let path = self.here.path(id);
        let Some(place) = beside(&path) else {
            // The name would make the path too long.
            self.plan.refused.push((id, refusal));
            return None;
        };
        let left = place.split().and_then(|(_, name)| find(name.as_bytes()));
        self.plan.beside.insert(path, place);
        if left.is_some() {
            self.plan.making.push(Step::Clear(id));
        }
        match self.here.kind(id) {
            Kind::File(size) => {
                self.plan.files += 1;
                self.plan.bytes += size;
                self.plan.making.push(Step::Send(id, 0));
            }
            Kind::Dir => self.inner(id, None, true),
            Kind::Link(_) | Kind::Other => self.plan.making.push(Step::Make(id)),
        }
        self.plan.replacing.push(Step::Replace(id));
        left
    }

    /// Removes what is there, but for what was left out of the listing.
    fn remove(&mut self, id: Id) {
        if !self.there.is_protected(id) {
            self.plan.replacing.push(Step::Remove(id));
            return;
        }
        let inside = self.there.children(id);
        inside.into_iter().for_each(|id| self.remove(id));
    }

    /// Same size, same time; a file system that has only seconds is compared by seconds.
    fn is_same(&self, new: Id, old: Id) -> bool {
        self.here.kind(new) == self.there.kind(old)
            && is_same_time(self.here.mtime(new), self.there.mtime(old))
    }
}

fn is_same_time(new: i64, old: i64) -> bool {
    const SECOND: i64 = 1_000_000_000;
    let seconds_only = old % SECOND == 0 || new % SECOND == 0;
    old == new || seconds_only && old.div_euclid(SECOND) == new.div_euclid(SECOND)
}

/// The listing of nothing.
pub fn nothing() -> Listing {
    Listing::new(Limits::GUEST)
}

/// Whether what stands in a link leads out of the tree: an absolute path, or more `..` than there are folders above it.
pub fn leads_out(path: &TreePath, target: &[u8]) -> bool {
    let mut depth = path.names().count().saturating_sub(1);
    if target.starts_with(b"/") || target.is_empty() {
        return true;
    }
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return true,
            },
            _ => depth += 1,
        }
    }
    false
}

/// A file that somebody wants, and from where on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// As it was listed.
    pub entry: Entry,
    /// What is there already is not sent again.
    pub offset: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::shown;

    const BOTH: Options = Options { resume: true, delete: true };
    const NEITHER: Options = Options { resume: false, delete: false };

    fn entry(path: &str, kind: Kind, mtime: i64) -> Entry {
        Entry { path: TreePath::parse(path.as_bytes()).unwrap(), kind, mode: 0o644, mtime }
    }

    fn planned(here: &[Entry], there: &[Entry], options: Options) -> Plan {
        let listing = |entries: &[Entry]| Listing::of(entries.iter().cloned(), Limits::GUEST).unwrap();
        plan(Arc::new(listing(here)), listing(there), options)
    }

    fn told(plan: &Plan) -> Vec<String> {
        let one = |task: Task| match task {
            Task::Make(entry) => format!("make {}", entry.path),
            Task::Send { entry, offset, .. } => format!("send {} from {offset}", entry.path),
            Task::Attributes(entry) => format!("set {}", entry.path),
            Task::Replace { path, with } => format!("replace {path} with {with}"),
            Task::Remove(path) => format!("remove {path}"),
        };
        plan.making().chain(plan.replacing()).chain(plan.finishing()).map(one).collect()
    }

    #[test]
    fn to_nothing_everything_is_sent_and_folders_get_their_times_last() {
        let here = [
            entry("", Kind::Dir, 1),
            entry("a", Kind::Dir, 1),
            entry("a/f", Kind::File(3), 1),
            entry("a/l", Kind::Link(b"f".to_vec()), 1),
            entry("a/s", Kind::Other, 1),
        ];
        let plan = planned(&here, &[], BOTH);
        assert_eq!(told(&plan), ["make ", "make a", "send a/f from 0", "make a/l", "set a", "set "]);
        assert_eq!((plan.files, plan.bytes, plan.others().count()), (1, 3, 1));
    }

    #[test]
    fn what_is_there_stays_and_only_the_rest_is_sent() {
        let here = [
            entry("", Kind::Dir, 1),
            entry("big", Kind::File(1_000_000), 5),
            entry("changed", Kind::File(3), 9),
            entry("same", Kind::File(3), 7),
        ];
        let part = part_path(&here[1]).unwrap();
        let there = [
            entry("", Kind::Dir, 8),
            Entry { path: part, ..entry("x", Kind::File(400_000), 0) },
            entry("changed", Kind::File(3), 7),
            entry("old", Kind::Dir, 7),
            entry("old/x", Kind::File(1), 7),
            entry("same", Kind::File(3), 7),
        ];
        let plan = planned(&here, &there, BOTH);
        assert_eq!(told(&plan), ["send big from 400000", "send changed from 0", "remove old", "set "]);
        assert_eq!((plan.same, plan.resumed, plan.bytes), (1, 400_000, 600_003));
        let afresh = planned(&here, &there, NEITHER);
        assert_eq!(told(&afresh), ["send big from 0", "send changed from 0", "send same from 0", "set "]);
    }

    #[test]
    fn a_part_of_another_version_is_not_gone_on_with() {
        let here = [entry("", Kind::Dir, 1), entry("big", Kind::File(1_000_000), 5)];
        let older = entry("big", Kind::File(1_000_000), 4);
        let there = [Entry { path: part_path(&older).unwrap(), ..entry("x", Kind::File(400_000), 0) }];
        let plan = planned(&here, &there, Options { resume: true, delete: false });
        assert!(told(&plan).contains(&"send big from 0".to_owned()));
    }

    /// Every kind onto every other: what is done without and with `delete`.
    #[test]
    fn nothing_gives_way_to_another_kind_unless_asked_for_and_never_before_all_is_whole() {
        let kinds = || [Kind::File(3), Kind::Dir, Kind::Link(b"y".to_vec()), Kind::Other];
        let beside = beside(&TreePath::parse(b"x").unwrap()).unwrap();
        let (send, swap) = (format!("send {beside} from 0"), format!("replace x with {beside}"));
        let (make, set) = (format!("make {beside}"), format!("set {beside}"));
        for new in kinds() {
            for old in kinds() {
                let here = [entry("", Kind::Dir, 1), entry("x", new.clone(), 2)];
                let there = [entry("", Kind::Dir, 1), entry("x", old.clone(), 3)];
                let without = planned(&here, &there, Options { delete: false, ..BOTH });
                let with = planned(&here, &there, BOTH);
                let refused = |plan: &Plan| plan.refused().map(|(_, refusal)| refusal).collect::<Vec<_>>();
                let (why, lines): (Option<Refusal>, Vec<&str>) = match (&new, &old) {
                    (Kind::Other, _) => (None, vec!["set "]),
                    (Kind::File(_), Kind::File(_) | Kind::Link(_)) => (None, vec!["send x from 0", "set "]),
                    (Kind::Link(_), Kind::Link(_)) => (None, vec!["set "]),
                    (Kind::Link(_), Kind::File(_)) => (None, vec!["make x", "set "]),
                    (Kind::Dir, Kind::Dir) => (None, vec!["set x", "set "]),
                    (Kind::Dir, _) => (Some(Refusal::OntoOther), vec![&make, &set, &swap, "set "]),
                    (Kind::File(_), Kind::Dir) => (Some(Refusal::OntoFolder), vec![&send, &swap, "set "]),
                    (Kind::Link(_), Kind::Dir) => (Some(Refusal::OntoFolder), vec![&make, &swap, "set "]),
                    (Kind::File(_), Kind::Other) => (Some(Refusal::OntoSpecial), vec![&send, &swap, "set "]),
                    (Kind::Link(_), Kind::Other) => (Some(Refusal::OntoSpecial), vec![&make, &swap, "set "]),
                };
                assert_eq!(told(&with), lines, "{new:?} onto {old:?} with delete");
                assert!(refused(&with).is_empty());
                assert_eq!(refused(&without), Vec::from_iter(why), "{new:?} onto {old:?}");
                let done = if why.is_some() { vec!["set "] } else { lines };
                assert_eq!(told(&without), done, "{new:?} onto {old:?}");
                assert_eq!(without.making().filter(|task| matches!(task, Task::Remove(_))).count(), 0);
            }
        }
    }

    #[test]
    fn what_is_in_a_folder_that_is_refused_is_not_sent_and_one_that_replaces_is_made_whole_beside_its_place()
    {
        let here = [
            entry("x", Kind::Dir, 1),
            entry("x/a", Kind::Dir, 1),
            entry("x/a/f", Kind::File(3), 1),
            entry("x/l", Kind::Link(b"a/f".to_vec()), 1),
        ];
        let there = [entry("x", Kind::File(3), 1), entry("y", Kind::File(3), 1)];
        let plan = planned(&here, &there, NEITHER);
        assert_eq!(told(&plan), Vec::<String>::new());
        let refused: Vec<_> = plan.refused().map(|(path, why)| why.of(&shown(&path))).collect();
        assert_eq!(refused, ["cannot overwrite non-directory 'x' with directory"]);
        let part = beside(&TreePath::parse(b"x").unwrap()).unwrap();
        let left = Entry { path: part.clone(), ..entry("x", Kind::Dir, 1) };
        let plan = planned(&here, &[left, there[0].clone(), there[1].clone()], BOTH);
        let lines = [
            format!("remove {part}"),
            format!("make {part}"),
            format!("make {part}/a"),
            format!("send {part}/a/f from 0"),
            format!("set {part}/a"),
            format!("make {part}/l"),
            format!("set {part}"),
            format!("replace x with {part}"),
            "remove y".to_owned(),
        ];
        assert_eq!(told(&plan), lines);
        let from = plan.making().find_map(|task| match task {
            Task::Send { from, .. } => Some(from.to_string()),
            _ => None,
        });
        assert_eq!(from.as_deref(), Some("x/a/f"));
    }

    #[test]
    fn what_was_left_out_is_not_removed_and_neither_are_the_folders_it_is_in() {
        let mut there = Listing::new(Limits::GUEST);
        for (path, left_out) in [("a", Some("a/.git")), ("a/o", None), ("b", None)] {
            there.push(&entry(path, Kind::Dir, 1)).unwrap();
            left_out.into_iter().for_each(|path| there.leave_out(&TreePath::parse(path.as_bytes()).unwrap()));
        }
        let plan = plan(Arc::new(nothing()), there, BOTH);
        assert_eq!(told(&plan), ["remove a/o", "remove b"]);
    }

    #[test]
    fn seconds_are_enough_where_nothing_finer_is_kept() {
        let (fine, coarse) = (7_500_000_000, 7_000_000_000);
        assert!(is_same_time(fine, coarse) && is_same_time(coarse, fine));
        assert!(!is_same_time(fine, 7_600_000_000));
    }

    #[test]
    fn parts_are_known_by_their_names() {
        let part = part_name(OsStr::new("root.tar"), 5, 7);
        assert!(is_part(&part) && part.starts_with(b".root.tar.part-"));
        assert!(!is_part(b".root.tar") && !is_part(b".part-0123456789abcdeg"));
        let long = part_name(OsStr::from_bytes(&[b'x'; 255]), 5, 7);
        assert!(is_part(&long) && long.len() <= 255);
    }

    #[test]
    fn links_that_lead_out_are_told_from_those_that_do_not() {
        let at = |path: &str| TreePath::parse(path.as_bytes()).unwrap();
        for (path, target, out) in [
            ("a/l", "b", false),
            ("a/l", "../b", false),
            ("a/l", "../../b", true),
            ("l", "..", true),
            ("l", "/etc/passwd", true),
            ("a/b/l", "./../../c/../d", false),
        ] {
            assert_eq!(leads_out(&at(path), target.as_bytes()), out, "{path} -> {target}");
        }
    }
}
