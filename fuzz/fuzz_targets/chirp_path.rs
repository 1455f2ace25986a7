//! Any links in a tree and any path: it leads to something in the tree, or to nothing.
#![no_main]

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use libfuzzer_sys::fuzz_target;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use vocable_chirp::server::{Root, fuzz};

fuzz_target!(|input: (Vec<Vec<u8>>, Vec<u8>, bool)| {
    let (targets, path, follow) = input;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("d/e")).unwrap();
    std::fs::write(folder.path().join("f"), "outside").unwrap();
    std::fs::write(root.join("f"), "inside").unwrap();
    // Links by short names, in turn at the top and below.
    for (number, target) in targets.iter().take(8).enumerate() {
        let at = if number % 2 == 0 { &root } else { &root.join("d") };
        let _ = symlink(OsStr::from_bytes(target), at.join(number.to_string()));
    }
    let dir = Dir::open_ambient_dir(&root, ambient_authority()).unwrap();
    if let Some(found) = fuzz(vec![Root::new("/", dir)], &path, follow) {
        assert!(inside(&root, found), "it leads out");
    }
});

fn inside(at: &Path, (device, inode): (u64, u64)) -> bool {
    let stat = at.symlink_metadata().unwrap();
    let below = || std::fs::read_dir(at).unwrap().any(|entry| inside(&entry.unwrap().path(), (device, inode)));
    (stat.dev(), stat.ino()) == (device, inode) || stat.is_dir() && below()
}
