//! A sender that keeps the rules, one that does not, and a disk that is a folder.

use super::*;
use crate::files::local::{LocalTree, Reader};
use crate::files::plan::{Options, Step, plan};
use bytes::Bytes;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

fn at(path: &str) -> TreePath {
    TreePath::parse(path.as_bytes()).unwrap()
}

fn file(path: &str, octets: &[u8]) -> Vec<Item> {
    let entry =
        Entry { path: at(path), kind: Kind::File(octets.len() as u64), mode: 0o640, mtime: 5_000_000_007 };
    vec![
        Item::File { entry, offset: 0, length: octets.len() as u64 },
        Item::Octets(Bytes::copy_from_slice(octets)),
        Item::End(Some(Sha256::digest(octets).into())),
    ]
}

fn link(path: &str, target: &str) -> Item {
    Item::Entry(Entry { path: at(path), kind: Kind::Link(target.into()), mode: 0o777, mtime: 1 })
}

fn dir(path: &str) -> Item {
    Item::Entry(Entry { path: at(path), kind: Kind::Dir, mode: 0o755, mtime: 1 })
}

fn land(folder: &Path, items: impl IntoIterator<Item = Item>) -> Outcome {
    let mut landing = Landing::open(folder, Policy::default()).unwrap();
    for item in items {
        landing.take(item).unwrap();
    }
    landing.finish()
}

/// A folder to write to inside one that has to stay as it is.
fn somewhere() -> (tempfile::TempDir, std::path::PathBuf) {
    let outside = tempfile::tempdir().unwrap();
    let inside = outside.path().join("in");
    fs::create_dir(&inside).unwrap();
    (outside, inside)
}

#[test]
fn a_tree_that_was_read_is_written_the_same_and_the_second_time_nothing_is_sent() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir_all(from.path().join("a/b c")).unwrap();
    fs::write(from.path().join("a/empty"), "").unwrap();
    fs::write(from.path().join("a/b c/h\u{e4} %\n"), "text").unwrap();
    let large: Vec<u8> = (0..700_000_u32).map(|n| (n % 253) as u8).collect();
    fs::write(from.path().join("large"), &large).unwrap();
    fs::set_permissions(from.path().join("large"), fs::Permissions::from_mode(0o751)).unwrap();
    symlink("a/empty", from.path().join("link")).unwrap();
    fs::set_permissions(from.path().join("a"), fs::Permissions::from_mode(0o555)).unwrap();

    let source = LocalTree::open(from.path()).unwrap();
    let here = source.list(&|_| false).unwrap();
    let options = Options { resume: true, delete: false };
    let there = LocalTree::open(to.path()).unwrap();
    let steps = plan(&here, &there.list(&|_| false).unwrap(), options);
    assert_eq!(steps.files, 3);
    let outcome = land(to.path(), Reader::new(&source, steps.steps));
    assert_eq!((outcome.files, outcome.failed), (3, vec![]));

    assert_eq!(there.list(&|_| false).unwrap(), here);
    assert_eq!(fs::read(to.path().join("large")).unwrap(), large);
    let again = plan(&here, &there.list(&|_| false).unwrap(), options);
    assert!(again.steps.iter().all(|step| matches!(step, Step::Attributes(_))), "{again:?}");
    assert_eq!(again.same, 3);
}

#[test]
fn a_large_file_is_gone_on_with_where_it_was_left() {
    let (_outside, to) = somewhere();
    let octets: Vec<u8> = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
    let entry = Entry { path: at("x"), kind: Kind::File(600_000), mode: 0o600, mtime: 3 };
    let first = Item::File { entry: entry.clone(), offset: 0, length: 600_000 };
    land(&to, [first, Item::Octets(Bytes::copy_from_slice(&octets[..250_000]))]);
    assert!(!to.join("x").exists());

    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("x"), &octets).unwrap();
    let there = LocalTree::open(&to).unwrap().list(&|_| false).unwrap();
    assert_eq!(there.len(), 2, "the top and a part: {there:?}");
    let source = LocalTree::open(from.path()).unwrap();
    let mut here = source.list(&|_| false).unwrap();
    // The same version of the file as the part is of.
    set(&fs::File::open(from.path().join("x")).unwrap(), Mode::from_raw_mode(0o600), 3).unwrap();
    here[1].mtime = 3;
    let steps = plan(&here, &there, Options { resume: true, delete: false });
    assert_eq!((steps.resumed, steps.octets), (250_000, 350_000));
    let outcome = land(&to, Reader::new(&source, steps.steps));
    assert_eq!((outcome.files, outcome.bytes, outcome.failures), (1, 350_000, 0), "{outcome:?}");
    assert_eq!(fs::read(to.join("x")).unwrap(), octets);
    assert_eq!(fs::read_dir(&to).unwrap().count(), 1, "the part became the file");
}

#[test]
fn the_old_file_stays_until_the_new_one_is_whole_and_right() {
    let (_outside, to) = somewhere();
    fs::write(to.join("x"), "old").unwrap();
    let mut wrong = file("x", b"new");
    wrong[2] = Item::End(Some([1; 32]));
    let outcome = land(&to, wrong);
    assert_eq!(outcome.failed[0].code, "digest-mismatch");
    assert_eq!(fs::read(to.join("x")).unwrap(), b"old");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
    assert_eq!(land(&to, file("x", b"new")).files, 1);
    let metadata = fs::metadata(to.join("x")).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.mtime(), metadata.mtime_nsec()), (0o640, 5, 7));
}

#[test]
fn nothing_is_written_through_links_whoever_made_them() {
    let (outside, to) = somewhere();
    fs::create_dir(outside.path().join("other")).unwrap();
    fs::write(outside.path().join("victim"), "mine").unwrap();
    symlink("../other", to.join("there-before")).unwrap();
    symlink("../victim", to.join("f")).unwrap();
    let mut items = file("there-before/x", b"evil");
    // A link that stays within the tree, then the same name as a folder.
    items.extend([link("swap", "a"), dir("swap")]);
    items.extend(file("swap/x", b"evil"));
    items.extend(file("f", b"evil"));
    items.extend([link("out", "../other"), link("abs", "/etc"), dir("there-before")]);
    items.push(Item::Attributes(Entry { path: at("there-before"), kind: Kind::Dir, mode: 0, mtime: 1 }));
    let outcome = land(&to, items);
    let told: Vec<_> = outcome.failed.iter().map(|it| (it.path.as_str(), it.code.as_str())).collect();
    assert_eq!(
        told,
        [
            ("there-before/x", "not-a-directory"),
            ("swap", "not-a-directory"),
            ("swap/x", "not-a-directory"),
            ("out", "link-leads-out"),
            ("abs", "link-leads-out"),
            ("there-before", "not-a-directory"),
            ("there-before", "file-failed"),
        ],
        "{outcome:?}"
    );
    assert_eq!(fs::read_dir(outside.path().join("other")).unwrap().count(), 0);
    assert_eq!(fs::read(outside.path().join("victim")).unwrap(), b"mine");
    assert_eq!(fs::read(to.join("f")).unwrap(), b"evil", "the link was replaced, not followed");
}

#[test]
fn set_user_id_is_not_taken_over_unless_asked_for() {
    let (_outside, to) = somewhere();
    let mut items = file("x", b"1");
    if let Item::File { entry, .. } = &mut items[0] {
        entry.mode = 0o6755;
    }
    land(&to, items.clone());
    assert_eq!(fs::metadata(to.join("x")).unwrap().mode() & 0o7777, 0o755);
    let mut landing = Landing::open(&to, Policy { preserve: true }).unwrap();
    items.into_iter().for_each(|item| landing.take(item).unwrap());
    assert_eq!(fs::metadata(to.join("x")).unwrap().mode() & 0o7777, 0o6755);
}

#[test]
fn a_sender_that_lies_about_sizes_gets_nothing_done() {
    let (_outside, to) = somewhere();
    let mut more = file("x", b"abc");
    more[1] = Item::Octets("abcd".into());
    let mut less = file("y", b"abc");
    less[1] = Item::Octets("ab".into());
    let outcome = land(&to, more.into_iter().chain(less).chain([Item::Octets("stray".into())]));
    let told: Vec<_> = outcome.failed.iter().map(|it| it.code.as_str()).collect();
    assert_eq!(told, ["file-failed", "digest-mismatch", "file-failed"]);
    assert!(!to.join("x").exists() && !to.join("y").exists());
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_taken_for_the_file() {
    let (_outside, to) = somewhere();
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("x"), "0123456789").unwrap();
    let source = LocalTree::open(from.path()).unwrap();
    let here = source.list(&|_| false).unwrap();
    let steps = plan(&here, &[], Options { resume: true, delete: false }).steps;
    fs::write(from.path().join("x"), "01234").unwrap();
    let outcome = land(&to, Reader::new(&source, steps).filter(|item| !matches!(item, Item::Entry(_))));
    assert_eq!(outcome.failed[0].code, "digest-mismatch");
    assert!(!to.join("x").exists());
}

#[test]
fn what_is_excluded_is_not_listed() {
    let from = tempfile::tempdir().unwrap();
    fs::create_dir_all(from.path().join("a/skip/deep")).unwrap();
    fs::write(from.path().join("a/keep"), "").unwrap();
    let source = LocalTree::open(from.path()).unwrap();
    let skipped = |path: &TreePath| path.names().next_back() == Some(OsStr::new("skip"));
    let listed: Vec<_> = source.list(&skipped).unwrap().iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(listed, ["", "a", "a/keep"]);
}
