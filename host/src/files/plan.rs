//! What has to be done so that there is what is here: compares two listings of a tree. Pure.
//!
//! A file is the same if its size and the time of its last change are, as for rsync: every copy keeps times, so a copy that
//! was interrupted goes on with the rest. What was begun of a large file lies beside it under [`part_name`], which says of
//! which version of the file it is.

use super::path::{TreePath, escape};
use super::tree::{Entry, Kind, hexadecimal};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Files of more octets are copied in stretches, into a part that survives an interruption.
pub const SMALL: u64 = 256 << 10;

/// How to compare.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Take what is there already for done, and go on with parts.
    pub resume: bool,
    /// Remove there what is not here.
    pub delete: bool,
}

/// One thing to do, in the order they are to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Remove what is there.
    Remove(TreePath),
    /// Make this folder or link.
    Make(Entry),
    /// Send this file from an offset on.
    Send(Entry, u64),
    /// Set mode and time.
    Attributes(Entry),
}

/// All there is to do, and what there isn't.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// Files to be sent, and octets of them.
    pub files: u64,
    /// Octets to be sent.
    pub octets: u64,
    /// Files that are there already.
    pub same: u64,
    /// Octets that are there already, those of begun files included.
    pub same_octets: u64,
    /// Octets of begun files that are there already.
    pub resumed: u64,
    /// What cannot be copied: neither file nor folder nor link.
    pub others: Vec<TreePath>,
}

/// What a file is called while only part of it is there: hidden, beside the file, and of this version of it only.
pub fn part_name(name: &OsStr, size: u64, mtime: i64) -> Vec<u8> {
    let version = Sha256::digest(format!("{size} {mtime}"));
    let version = hexadecimal(version.get(..8).unwrap_or_default());
    let name = name.as_bytes();
    let mut part = b".".to_vec();
    // The name of the part has to be a name too: 255 octets.
    part.extend_from_slice(name.get(..name.len().min(220)).unwrap_or_default());
    if name.len() > 220 {
        let rest = Sha256::digest(name);
        part.extend_from_slice(hexadecimal(rest.get(..2).unwrap_or_default()).as_bytes());
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

/// The plan. Both listings have parents before what is in them.
pub fn plan(here: &[Entry], there: &[Entry], options: Options) -> Plan {
    let known: BTreeMap<&TreePath, &Entry> = there.iter().map(|entry| (&entry.path, entry)).collect();
    let mut plan = Plan::default();
    let mut attributes = Vec::new();
    let mut keep = BTreeSet::new();
    let mut making = Vec::new();
    for entry in here {
        keep.insert(entry.path.clone());
        let old = known.get(&entry.path).copied();
        if old.is_some_and(|old| is_in_the_way(entry, old)) {
            plan.steps.push(Step::Remove(entry.path.clone()));
        }
        match &entry.kind {
            Kind::Other => plan.others.push(entry.path.clone()),
            Kind::Dir => {
                let exists = old.is_some_and(|old| old.kind == Kind::Dir);
                if !exists {
                    making.push(Step::Make(entry.clone()));
                }
                attributes.push(Step::Attributes(entry.clone()));
            }
            Kind::Link(_) if options.resume && old.is_some_and(|old| old.kind == entry.kind) => {}
            Kind::Link(_) => making.push(Step::Make(entry.clone())),
            Kind::File(size) => {
                if options.resume && old.is_some_and(|old| is_same(entry, old)) {
                    plan.same += 1;
                    plan.same_octets += size;
                    if old.is_some_and(|old| old.mode != entry.mode) {
                        attributes.push(Step::Attributes(entry.clone()));
                    }
                    continue;
                }
                let part = part_path(entry).filter(|_| *size > SMALL);
                let begun = part.as_ref().and_then(|part| known.get(part));
                let offset = match begun.map(|begun| &begun.kind) {
                    Some(Kind::File(octets)) if options.resume => (*octets).min(*size),
                    _ => 0,
                };
                keep.extend(part);
                plan.files += 1;
                plan.octets += size - offset;
                plan.resumed += offset;
                plan.same_octets += offset;
                making.push(Step::Send(entry.clone(), offset));
            }
        }
    }
    if options.delete {
        let gone = there.iter().map(|entry| &entry.path).filter(|path| !keep.contains(*path));
        // Not also what is in a folder that goes.
        let mut last: Option<&TreePath> = None;
        for path in gone {
            let inside = last.is_some_and(|last| is_below(path, last));
            if !inside && !path.is_top() {
                plan.steps.push(Step::Remove(path.clone()));
                last = Some(path);
            }
        }
    }
    // What is in the way goes first; the deepest folders get their times first, since making something in a folder
    // changes its time.
    plan.steps.append(&mut making);
    attributes.reverse();
    plan.steps.append(&mut attributes);
    plan
}

/// Whether `old` has to go before `new` can be there. Files and links replace each other, folders don't.
fn is_in_the_way(new: &Entry, old: &Entry) -> bool {
    (new.kind == Kind::Dir) != (old.kind == Kind::Dir)
}

fn is_below(path: &TreePath, folder: &TreePath) -> bool {
    path.as_bytes().strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
}

/// Same size, same time; a file system that has only seconds is compared by seconds.
fn is_same(new: &Entry, old: &Entry) -> bool {
    const SECOND: i64 = 1_000_000_000;
    let seconds_only = old.mtime % SECOND == 0 || new.mtime % SECOND == 0;
    let same_time = old.mtime == new.mtime
        || seconds_only && old.mtime.div_euclid(SECOND) == new.mtime.div_euclid(SECOND);
    old.kind == new.kind && same_time
}

/// Whether what stands in a link leads out of the tree: an absolute path, or more `..` than there are folders above it.
pub fn leads_out(path: &TreePath, target: &[u8]) -> bool {
    let mut depth = path.names().count().saturating_sub(1);
    if target.starts_with(b"/") || target.is_empty() {
        return true;
    }
    for name in target.split(|octet| *octet == b'/') {
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

/// A name for people.
pub fn shown(path: &TreePath) -> String {
    if path.is_top() { ".".to_owned() } else { escape(path.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Options = Options { resume: true, delete: true };

    fn entry(path: &str, kind: Kind, mtime: i64) -> Entry {
        Entry { path: TreePath::parse(path.as_bytes()).unwrap(), kind, mode: 0o644, mtime }
    }

    fn told(plan: &Plan) -> Vec<String> {
        let one = |step: &Step| match step {
            Step::Remove(path) => format!("remove {path}"),
            Step::Make(entry) => format!("make {}", entry.path),
            Step::Send(entry, offset) => format!("send {} from {offset}", entry.path),
            Step::Attributes(entry) => format!("set {}", entry.path),
        };
        plan.steps.iter().map(one).collect()
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
        let plan = plan(&here, &[], BOTH);
        assert_eq!(told(&plan), ["make ", "make a", "send a/f from 0", "make a/l", "set a", "set "]);
        assert_eq!((plan.files, plan.octets, plan.others.len()), (1, 3, 1));
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
        let plan = plan(&here, &there, BOTH);
        assert_eq!(told(&plan), ["remove old", "send big from 400000", "send changed from 0", "set "]);
        assert_eq!((plan.same, plan.resumed, plan.octets), (1, 400_000, 600_003));
        let afresh = super::plan(&here, &there, Options { resume: false, delete: false });
        assert_eq!(told(&afresh), ["send big from 0", "send changed from 0", "send same from 0", "set "]);
    }

    #[test]
    fn a_part_of_another_version_is_not_gone_on_with() {
        let here = [entry("", Kind::Dir, 1), entry("big", Kind::File(1_000_000), 5)];
        let older = entry("big", Kind::File(1_000_000), 4);
        let there = [Entry { path: part_path(&older).unwrap(), ..entry("x", Kind::File(400_000), 0) }];
        let plan = plan(&here, &there, Options { resume: true, delete: false });
        assert!(told(&plan).contains(&"send big from 0".to_owned()));
    }

    #[test]
    fn what_is_of_another_kind_makes_room() {
        let here = [entry("", Kind::Dir, 1), entry("x", Kind::File(3), 1)];
        let there = [entry("", Kind::Dir, 1), entry("x", Kind::Dir, 1)];
        assert_eq!(told(&plan(&here, &there, BOTH)), ["remove x", "send x from 0", "set "]);
    }

    #[test]
    fn seconds_are_enough_where_nothing_finer_is_kept() {
        let fine = entry("f", Kind::File(3), 7_500_000_000);
        let coarse = entry("f", Kind::File(3), 7_000_000_000);
        assert!(is_same(&fine, &coarse) && is_same(&coarse, &fine));
        assert!(!is_same(&fine, &entry("f", Kind::File(3), 7_600_000_000)));
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
