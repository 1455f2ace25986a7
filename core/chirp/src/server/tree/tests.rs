//! Paths against a tree on disk: both ways to find one agree with the kernel's own idea of a chroot.

use super::*;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use proptest::prelude::*;
use rustix::fs::AtFlags;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Made {
    Directory(Vec<&'static str>),
    File(Vec<&'static str>),
    Link(Vec<&'static str>, bool, Vec<&'static str>),
}

fn path(up: bool) -> impl Strategy<Value = Vec<&'static str>> {
    let names = if up { vec!["a", "b", "c", "d", "..", "..", "."] } else { NAMES.to_vec() };
    // Nothing but a name at the end: a dot there asks of a file whether it is a directory.
    (
        proptest::collection::vec(proptest::sample::select(names), 0..4),
        proptest::sample::select(NAMES.to_vec()),
    )
        .prop_map(|(mut path, last)| {
            path.push(last);
            path
        })
}

fn made() -> impl Strategy<Value = Made> {
    prop_oneof![
        path(false).prop_map(Made::Directory),
        path(false).prop_map(Made::File),
        (path(false), any::<bool>(), path(true)).prop_map(|(at, absolute, to)| Made::Link(at, absolute, to)),
    ]
}

/// What can be made is made, beside a file that nothing may lead to.
fn tree(made: &[Made]) -> TempDir {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    for outside in NAMES {
        fs::write(folder.path().join(outside), "outside").unwrap();
    }
    for one in made {
        let (Made::Directory(at) | Made::File(at) | Made::Link(at, ..)) = one;
        let (parent, at) = (root.join(at[..at.len() - 1].join("/")), root.join(at.join("/")));
        // Not through links, which lead out of it here.
        let clean = parent.ancestors().take_while(|above| *above != root).all(|above| !above.is_symlink());
        if !clean || fs::create_dir_all(&parent).is_err() || at.symlink_metadata().is_ok() {
            continue;
        }
        match one {
            Made::Directory(_) => fs::create_dir(&at).unwrap(),
            Made::File(_) => fs::write(&at, "inside").unwrap(),
            Made::Link(_, absolute, to) => {
                let to = to.join("/");
                symlink(if *absolute { format!("/{to}") } else { to }, &at).unwrap();
            }
        }
    }
    folder
}

fn root(folder: &TempDir) -> Root {
    Root::new("/", Dir::open_ambient_dir(folder.path().join("root"), ambient_authority()).unwrap())
}

fn told(place: &Place) -> Option<(u64, u64)> {
    let (fd, name) = place.at()?;
    let stat = rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

/// What the kernel finds if the root is all there is.
fn oracle(root: &Path, path: &[u8], links: Links) -> Option<(u64, u64)> {
    let root = fs::File::open(root).unwrap();
    let names = normalize(path).ok()?;
    let joined = if names.is_empty() { b".".to_vec() } else { names.join(&b'/') };
    let mut flags = OFlags::PATH | OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, links == Links::Keep);
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&root, OsStr::from_bytes(&joined), flags, Mode::empty(), resolve) {
        Ok(fd) => {
            let stat = rustix::fs::fstat(fd).unwrap();
            Some((stat.st_dev, stat.st_ino))
        }
        Err(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_path_leads_where_it_would_in_a_chroot(
        made in proptest::collection::vec(made(), 1..12),
        paths in proptest::collection::vec(path(true), 1..8),
        follow: bool,
    ) {
        let folder = tree(&made);
        let links = if follow { Links::Follow } else { Links::Keep };
        let tree = Tree::new(vec![root(&folder)]).unwrap();
        for path in paths {
            let path = path.join("/").into_bytes();
            let expected = oracle(&folder.path().join("root"), &path, links);
            let found = tree.find(&path, links).ok().and_then(|place| told(&place));
            prop_assert_eq!(found, expected, "{:?}", crate::excerpt(&path));
            let names = normalize(&path).unwrap().into_iter().map(<[u8]>::to_vec).collect();
            let walked = tree.walk(names, links).ok().and_then(|place| told(&place));
            prop_assert_eq!(walked, expected, "{:?}, walked", crate::excerpt(&path));
            if let Some(stat) = tree.stat_cached(&path, links) {
                prop_assert_eq!(Some((stat.st_dev, stat.st_ino)), expected, "{:?}, cached", crate::excerpt(&path));
            }
        }
    }

    #[test]
    fn any_bytes_lead_nowhere_else(path in proptest::collection::vec(any::<u8>(), 0..400), follow: bool) {
        let folder = tree(&[Made::File(vec!["a"]), Made::Link(vec!["b"], false, vec!["..", "..", "c"])]);
        let _ = fuzz(vec![root(&folder)], &path, follow);
    }
}

#[test]
fn several_roots_are_one_tree() {
    let (one, two) = (tree(&[Made::File(vec!["a", "b"])]), tree(&[Made::File(vec!["c"])]));
    symlink("../two/c", one.path().join("root/across")).unwrap();
    symlink("/two/c", one.path().join("root/absolute")).unwrap();
    symlink("../../../three", one.path().join("root/nowhere")).unwrap();
    let dir = |folder: &TempDir| root(folder).dir;
    let tree =
        Tree::new(vec![Root::new("one", dir(&one)), Root::new("/two", dir(&two)).read_only()]).unwrap();
    let find = |path: &str| tree.find(path.as_bytes(), Links::Follow);
    assert!(matches!(find("/"), Ok(Place::Top)));
    assert!(matches!(find("/one/../"), Ok(Place::Top)));
    assert!(matches!(find("/two"), Ok(Place::Directory { root: 1, .. })));
    assert!(matches!(find("/one/across"), Ok(Place::Entry { root: 1, .. })));
    assert!(matches!(find("/one/absolute"), Ok(Place::Entry { root: 1, .. })));
    assert_eq!(find("/one/nowhere").unwrap_err(), Code::DoesntExist);
    assert_eq!(find("/three").unwrap_err(), Code::DoesntExist);
    assert!(tree.may_change(&find("/one/a/b").unwrap()));
    assert!(!tree.may_change(&find("/one/across").unwrap()), "through a link it is still read only");
    assert!(!tree.may_change(&Place::Top));
}

#[test]
fn roots_have_names_of_their_own() {
    let folder = tree(&[]);
    let dir = || root(&folder).dir;
    let new = |names: &[&str]| Tree::new(names.iter().map(|name| Root::new(name, dir())).collect()).err();
    assert!(new(&["/inbox", "outbox"]).is_none());
    assert_eq!(new(&["/inbox", "inbox"]).unwrap().to_string(), "two roots are called \"inbox\"");
    assert!(new(&["/a/b"]).is_some());
    assert!(new(&["/", "/a"]).is_some());
}
