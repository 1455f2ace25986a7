//! A sender that keeps the rules, one that does not, and a disk that is a folder.

use super::*;
use crate::listing::Listing;
use crate::local::{LocalTree, Reader};
use crate::outcome::Failed;
use crate::plan::{Options, Plan, Task, nothing, plan};
use bytes::Bytes;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;

fn at(path: &str) -> TreePath {
    TreePath::parse(path.as_bytes()).unwrap()
}

fn file(path: &str, bytes: &[u8]) -> Vec<Item> {
    let entry =
        Entry { path: at(path), kind: Kind::File(bytes.len() as u64), mode: 0o640, mtime: 5_000_000_007 };
    vec![
        Item::File { entry, offset: 0, length: bytes.len() as u64 },
        Item::Bytes(Bytes::copy_from_slice(bytes)),
        Item::End(Some(Sha256::digest(bytes).into())),
    ]
}

fn link(path: &str, target: &str) -> Item {
    Item::Entry(Entry { path: at(path), kind: Kind::Link(target.into()), mode: 0o777, mtime: 1 })
}

fn dir(path: &str) -> Item {
    Item::Entry(Entry { path: at(path), kind: Kind::Dir, mode: 0o755, mtime: 1 })
}

fn land(folder: &Path, items: impl IntoIterator<Item = Item>) -> Outcome {
    let mut writer = TreeWriter::open(folder, Policy::default()).unwrap();
    for item in items {
        writer.take(item).unwrap();
    }
    writer.finish()
}

/// What is in a tree now.
fn all(tree: &LocalTree) -> Listing {
    tree.list(&|_| false).unwrap()
}

fn planned(here: &Listing, there: Listing, delete: bool) -> Plan {
    plan(Arc::new(here.clone()), there, Options { resume: true, delete })
}

/// Everything that a plan has, in one go.
fn tasks(plan: &Plan) -> impl Iterator<Item = Task> + '_ {
    plan.making().chain(plan.replacing()).chain(plan.finishing())
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
    let here = all(&source);
    let there = LocalTree::open(to.path()).unwrap();
    let steps = planned(&here, all(&there), false);
    assert_eq!(steps.files, 3);
    let outcome = land(to.path(), Reader::new(&source, tasks(&steps)));
    assert_eq!((outcome.files, outcome.failed), (3, vec![]));

    assert_eq!(all(&there).entries().collect::<Vec<_>>(), here.entries().collect::<Vec<_>>());
    assert_eq!(fs::read(to.path().join("large")).unwrap(), large);
    let again = planned(&here, all(&there), false);
    assert!(tasks(&again).all(|task| matches!(task, Task::Attributes(_))), "{again:?}");
    assert_eq!(again.same, 3);
}

#[test]
fn a_large_file_is_gone_on_with_where_it_was_left() {
    let (_outside, to) = somewhere();
    let bytes: Vec<u8> = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
    let entry = Entry { path: at("x"), kind: Kind::File(600_000), mode: 0o600, mtime: 3 };
    let first = Item::File { entry: entry.clone(), offset: 0, length: 600_000 };
    land(&to, [first, Item::Bytes(Bytes::copy_from_slice(&bytes[..250_000]))]);
    assert!(!to.join("x").exists());

    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("x"), &bytes).unwrap();
    let there = all(&LocalTree::open(&to).unwrap());
    assert_eq!(there.len(), 2, "the top and a part: {there:?}");
    let source = LocalTree::open(from.path()).unwrap();
    // The same version of the file as the part is of.
    set(&fs::File::open(from.path().join("x")).unwrap(), Mode::from_raw_mode(0o600), 3).unwrap();
    let steps = planned(&all(&source), there, false);
    assert_eq!((steps.resumed, steps.bytes), (250_000, 350_000));
    let outcome = land(&to, Reader::new(&source, tasks(&steps)));
    assert_eq!((outcome.files, outcome.bytes, outcome.failures), (1, 350_000, 0), "{outcome:?}");
    assert_eq!(fs::read(to.join("x")).unwrap(), bytes);
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
    let mut writer = TreeWriter::open(&to, Policy { preserve: true }).unwrap();
    items.into_iter().for_each(|item| writer.take(item).unwrap());
    assert_eq!(writer.finish().files, 1);
    assert_eq!(fs::metadata(to.join("x")).unwrap().mode() & 0o7777, 0o6755);
}

#[test]
fn a_sender_that_lies_about_sizes_gets_nothing_done() {
    let (_outside, to) = somewhere();
    let mut more = file("x", b"abc");
    more[1] = Item::Bytes("abcd".into());
    let mut less = file("y", b"abc");
    less[1] = Item::Bytes("ab".into());
    let outcome = land(&to, more.into_iter().chain(less).chain([Item::Bytes("stray".into())]));
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
    let steps = planned(&all(&source), nothing(), false);
    fs::write(from.path().join("x"), "01234").unwrap();
    let outcome =
        land(&to, Reader::new(&source, tasks(&steps)).filter(|item| !matches!(item, Item::Entry(_))));
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
    let listed: Vec<_> =
        source.list(&skipped).unwrap().entries().map(|entry| entry.path.to_string()).collect();
    assert_eq!(listed, ["", "a", "a/keep"]);
}

/// What a tree looks like: names, kinds and contents.
fn look(tree: &Path) -> Vec<(String, Kind, Vec<u8>)> {
    let entries = all(&LocalTree::open(tree).unwrap());
    let one = |entry: Entry| {
        let path = entry.path.names().fold(tree.to_owned(), |path, name| path.join(name));
        // A pipe would never be read to its end.
        let is_file = matches!(entry.kind, Kind::File(_));
        let content = if is_file { fs::read(path).unwrap() } else { Vec::new() };
        (entry.path.to_string(), entry.kind, content)
    };
    entries.entries().map(one).collect()
}

fn make(folder: &Path, what: &str) {
    let at = folder.join("x");
    match what {
        "file" => fs::write(at, "content").unwrap(),
        "folder" => {
            fs::create_dir_all(at.join("src/.git")).unwrap();
            fs::write(at.join("src/.git/HEAD"), "main").unwrap();
        }
        "link" => symlink("nowhere", at).unwrap(),
        _ => {
            let mode = Mode::from_raw_mode(0o600);
            rustix::fs::mkfifoat(rustix::fs::CWD, at, mode).unwrap();
        }
    }
}

/// Copies a tree as `cp` and `file.pull` do; `broken`: the last file does not come whole.
fn copy(from: &Path, to: &Path, delete: bool, broken: bool) -> Outcome {
    use crate::arrival::Arrival;
    let source = LocalTree::open(from).unwrap();
    let plan = planned(&all(&source), all(&LocalTree::open(to).unwrap()), delete);
    let top = Dir::open_ambient_dir(to, ambient_authority()).unwrap();
    let mut arrival = Arrival::new(&plan, top, Policy::default(), None);
    // A guest sends a file under its own name, wherever it goes here.
    let sends = plan.making().filter_map(|task| match task {
        Task::Send { from, entry, offset } => {
            Some(Task::Send { entry: Entry { path: from.clone(), ..entry }, from, offset })
        }
        _ => None,
    });
    for item in Reader::new(&source, sends) {
        let item = match item {
            Item::End(Some(_)) if broken => Item::End(Some([1; 32])),
            item => item,
        };
        arrival.take(item).unwrap();
    }
    arrival.complete().unwrap();
    arrival.finish()
}

#[test]
fn every_kind_onto_every_other_is_refused_or_swapped_when_it_is_whole() {
    const KINDS: [&str; 4] = ["file", "folder", "link", "special"];
    for new in KINDS {
        for old in KINDS {
            let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            make(from.path(), new);
            make(to.path(), old);
            fs::write(to.path().join("extra"), "").unwrap();
            let (here, before) = (look(from.path()), look(to.path()));
            let refused = match (new, old) {
                ("special", _) => Some("not-copied"),
                ("folder", "folder") | ("file" | "link", "file" | "link") => None,
                ("folder", _) => Some("not-a-directory"),
                (_, "folder") => Some("is-a-directory"),
                _ => Some("special-file"),
            };
            let outcome = copy(from.path(), to.path(), false, false);
            let told: Vec<_> = outcome.failed.iter().map(|failed| failed.code.as_str()).collect();
            assert_eq!(told, Vec::from_iter(refused), "{new} onto {old}: {outcome:?}");
            let after = look(to.path());
            if refused.is_some() {
                assert_eq!(after, before, "{new} onto {old}");
            } else {
                assert_eq!(after.iter().filter(|it| it.0 != "extra").cloned().collect::<Vec<_>>(), here);
            }

            let outcome = copy(from.path(), to.path(), true, false);
            let after = look(to.path());
            if new == "special" {
                let kept: Vec<_> = before.into_iter().filter(|it| it.0 != "extra").collect();
                assert_eq!((after, outcome.failures), (kept, 1));
            } else {
                assert_eq!((after, outcome.failures), (here, 0), "{new} onto {old}: {outcome:?}");
            }
        }
    }
}

#[test]
fn nothing_is_removed_or_replaced_before_everything_is_whole() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(from.path().join("x"), "new").unwrap();
    symlink("x", from.path().join("l")).unwrap();
    make(to.path(), "folder");
    fs::write(to.path().join("l"), "a file").unwrap();
    fs::write(to.path().join("extra"), "").unwrap();
    let before = look(to.path());
    let outcome = copy(from.path(), to.path(), true, true);
    assert_eq!(outcome.failed[0].code, "digest-mismatch", "{outcome:?}");
    assert_eq!(look(to.path()), before);
    assert_eq!(copy(from.path(), to.path(), true, false).failures, 0);
    assert_eq!(look(to.path()), look(from.path()));
}

#[test]
fn a_guest_that_lists_a_tree_and_sends_nothing_or_something_else_changes_nothing() {
    use crate::arrival::Arrival;
    let to = tempfile::tempdir().unwrap();
    make(to.path(), "folder");
    let listed = ["", "d", "d/f", "x"].map(|path| {
        let kind = if ["", "d"].contains(&path) { Kind::Dir } else { Kind::File(7) };
        Entry { path: at(path), kind, mode: 0, mtime: 1 }
    });
    let here = Listing::of(listed, crate::listing::Limits::GUEST).unwrap();
    let before = look(to.path());
    let mode = fs::metadata(to.path()).unwrap().mode();
    let other: Vec<Item> =
        [file("y", b"evil"), file("x/src/.git/HEAD", b"evil")].into_iter().flatten().collect();
    let removing = vec![
        Item::Remove(at("x")),
        dir("new"),
        link("x/src", "nowhere"),
        Item::Replace { path: at("x"), with: at("y") },
        Item::Failed { path: at("x"), code: "no-such-path".into(), message: "gone".into() },
    ];
    for delete in [false, true] {
        for sent in [vec![], other.clone(), removing.clone()] {
            let plan = planned(&here, all(&LocalTree::open(to.path()).unwrap()), delete);
            let top = Dir::open_ambient_dir(to.path(), ambient_authority()).unwrap();
            let mut arrival = Arrival::new(&plan, top, Policy::default(), None);
            let nothing_came = sent.is_empty();
            sent.into_iter().for_each(|item| arrival.take(item).unwrap());
            if !nothing_came {
                arrival.complete().unwrap();
            }
            let outcome = arrival.finish();
            assert!(nothing_came || outcome.failures > 0 && outcome.files == 0, "{outcome:?}");
            assert_eq!(look(to.path()), before);
            assert_eq!(fs::metadata(to.path()).unwrap().mode(), mode);
        }
    }
}

#[test]
fn what_would_be_in_a_folder_that_cannot_be_made_is_one_failure() {
    let (_outside, to) = somewhere();
    fs::write(to.join("d"), "a file").unwrap();
    let mut items = vec![dir("d"), dir("d/e")];
    for n in 0..100 {
        items.extend(file(&format!("d/{n}"), b"x"));
        items.extend(file(&format!("d/e/{n}"), b"x"));
    }
    items.extend(file("f", b"x"));
    let outcome = land(&to, items);
    assert_eq!((outcome.files, outcome.failures), (1, 1), "{outcome:?}");
    assert_eq!(outcome.failed[0].line(), "cannot overwrite non-directory 'd' with directory");
}

#[test]
fn a_failure_names_its_file_once() {
    let told = |path: &str, message: &str| {
        Failed { path: path.into(), code: String::new(), message: message.into() }.line()
    };
    assert_eq!(told("a", "permission denied"), "a: permission denied");
    assert_eq!(told("a", "vm1:/inbox/a: not allowed"), "vm1:/inbox/a: not allowed");
    assert_eq!(told("", "the disk is gone"), "the disk is gone");
}
