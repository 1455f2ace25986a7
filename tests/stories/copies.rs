//! Files to guests and back: whole trees, interrupted and gone on with, by the command line and by calls.

use base64::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;
use vocable_copy::local::LocalTree;
use vocable_copy::tree::{Entry, Kind};
use vocable_tests::TIMEOUT;
use vocable_tests::host::{Host, Typed};
use vocable_tests::http::Caller;
use vocable_tests::isolation::{mount_small, own_mounts, resize};
use vocable_tests::proxy::Proxy;

/// A tree with everything that has to be kept: many small files, large and empty ones, links, modes, odd names.
fn make_tree(top: &Path, files: usize) {
    fs::create_dir(top).unwrap();
    for n in 0..files {
        let folder = top.join(format!("d{:02}", n / 100));
        if n % 100 == 0 {
            fs::create_dir(&folder).unwrap();
        }
        fs::write(folder.join(format!("f{n}")), format!("{n} ").repeat(n % 400)).unwrap();
    }
    fs::create_dir_all(top.join("sp ace/%41/gr\u{fc}\u{df}e")).unwrap();
    fs::write(top.join("sp ace/%41/gr\u{fc}\u{df}e/-dash\t"), "odd").unwrap();
    fs::write(top.join("empty"), "").unwrap();
    fs::write(top.join("large"), noise(700_001)).unwrap();
    fs::write(top.join("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(top.join("run.sh"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("../d00/f1", top.join("sp ace/link")).unwrap();
    symlink("nowhere", top.join("dangling")).unwrap();
    fs::create_dir(top.join("read-only")).unwrap();
    fs::write(top.join("read-only/file"), "kept").unwrap();
    fs::set_permissions(top.join("read-only"), fs::Permissions::from_mode(0o555)).unwrap();
}

fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).take(bytes).collect()
}

/// Names, kinds, modes, times and digests of everything below a folder.
fn all_of(top: &Path) -> BTreeMap<String, (Entry, Option<Vec<u8>>)> {
    let listing = LocalTree::open(top).unwrap().list(&|_| false).unwrap();
    let with_digest = |entry: Entry| {
        let path = entry.path.names().fold(top.to_owned(), |path, name| path.join(name));
        let digest =
            matches!(entry.kind, Kind::File(_)).then(|| Sha256::digest(fs::read(path).unwrap()).to_vec());
        (entry.path.to_string(), (entry, digest))
    };
    listing.entries().map(with_digest).collect()
}

fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (all_of(one), all_of(other));
    let names = |tree: &BTreeMap<String, _>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    for (name, it) in &one {
        assert_eq!(Some(it), other.get(name), "{name}");
    }
}

fn copied(typed: &Typed) -> Vec<Value> {
    assert_eq!(typed.code, Some(0), "{typed:?}");
    typed.json()["transfers"].as_array().unwrap().clone()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Waits until something is so, for whoever has no event to wait for.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::yield_now();
    }
}

/// The part of a file in a folder, if there is one, and its size.
fn part(folder: &Path) -> Option<(PathBuf, u64)> {
    let is_part = |name: &str| name.contains(".part-");
    fs::read_dir(folder).ok()?.flatten().find_map(|found| {
        let size = found.metadata().ok()?.len();
        is_part(found.file_name().to_str()?).then(|| (found.path(), size))
    })
}

#[test]
fn a_tree_goes_to_three_guests_and_comes_back_the_same_and_is_not_sent_twice() {
    const FILES: usize = 10_000;
    let host = Host::start();
    let _guests = host.guests(["vm1", "vm2", "vm3"]);
    let tree = host.folder().join("tree");
    make_tree(&tree, FILES);
    let sent = copied(&host.types(&["cp", "--json", "-r", text(&tree), "vm*:/inbox/"]));
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|one| one["files"] == FILES + 5), "{sent:#?}");
    for guest in ["vm1", "vm2", "vm3"] {
        assert_same(&tree, &host.folder().join(guest).join("inbox/tree"));
    }
    let again = copied(&host.types(&["cp", "--json", "-r", text(&tree), "vm1,vm2,vm3:/inbox/"]));
    for one in again {
        assert_eq!(
            (&one["files"], &one["bytes"], &one["skipped"]),
            (&json!(0), &json!(0), &json!(FILES + 5))
        );
    }
    let back = host.folder().join("back");
    let fetched =
        copied(&host.types(&["cp", "--json", "-r", "vm*:/inbox/tree", &format!("{}/", text(&back))]));
    assert_eq!(fetched.len(), 3);
    for guest in ["vm1", "vm2", "vm3"] {
        assert_same(&tree, &back.join(guest).join("tree"));
    }
    let direct = host.call("guest.why", json!(["vm1"])).unwrap();
    let checks = direct["checks"].as_array().unwrap();
    assert!(
        checks.iter().any(|it| it["link"] == "files" && it["text"].as_str().unwrap().contains("directly"))
    );
}

#[test]
fn only_what_changed_is_sent_what_is_excluded_is_not_and_what_is_gone_is_removed_if_asked() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let tree = host.folder().join("tree");
    make_tree(&tree, 250);
    let there = host.folder().join("vm1/inbox/copy");
    let cp = |more: &[&str]| {
        let line = [&["cp", "--json", "-r"], more, &[text(&tree), "vm1:/inbox/copy"]].concat();
        copied(&host.types(&line)).remove(0)
    };
    cp(&["--exclude", "d01", "--exclude", "sp ace/%41"]);
    assert!(!there.join("d01").exists() && !there.join("sp ace/%41").exists() && there.join("d00").exists());
    fs::write(tree.join("d00/f1"), "changed").unwrap();
    fs::remove_file(tree.join("d00/f2")).unwrap();
    fs::remove_dir_all(tree.join("d02")).unwrap();
    let rest = cp(&[]);
    assert_eq!(rest["files"], 100 + 1 + 1, "{rest:#}");
    assert!(there.join("d00/f2").exists());
    cp(&["--delete"]);
    assert_same(&tree, &there);
    let anew = cp(&["--no-resume"]);
    assert_eq!(anew["files"], 199 + 5 - 1 + 1, "{anew:#}");
}

#[test]
fn a_guest_killed_in_the_middle_has_the_rest_sent_when_it_is_back() {
    let host = Host::start();
    let mut vm1 = host.guest("vm1").joins();
    let big = host.folder().join("big");
    fs::write(&big, noise(160 << 20)).unwrap();
    let inbox = host.folder().join("vm1/inbox");
    fs::write(inbox.join("big"), "the old one").unwrap();
    let line = ["cp", "--json", text(&big), "vm1:/inbox/"];
    let mut cp = vocable_tests::process::Process::start("vocable", &mut host.command_line(&line));
    until("a part", || part(&inbox).is_some_and(|(_, size)| size > 8 << 20));
    vm1.is_killed();
    let (_, status) = cp.finishes();
    assert_eq!(status.code(), Some(1), "{}", cp.all_logged());
    let (_, begun) = part(&inbox).unwrap();
    assert!(begun < 160 << 20, "it was too fast to be interrupted");
    assert_eq!(fs::read_to_string(inbox.join("big")).unwrap(), "the old one");
    vm1.starts_again();
    host.awaits("guest.joined", "vm1");
    let rest = copied(&host.types(&line)).remove(0);
    assert!(rest["resumed_from"].as_u64().unwrap() >= 8 << 20, "{rest:#}");
    assert_eq!(rest["resumed_from"].as_u64().unwrap() + rest["bytes"].as_u64().unwrap(), 160 << 20);
    assert_eq!(rest["sha256"], hex::encode(Sha256::digest(noise(160 << 20))));
    assert!(fs::read(inbox.join("big")).unwrap() == fs::read(&big).unwrap());
    assert!(part(&inbox).is_none());
}

#[test]
fn without_a_way_to_the_guest_files_go_through_the_bus_and_commands_do_not_wait_for_them() {
    let host = Host::with(&[&format!("files.roots = [{}]", json!(std::env::temp_dir()))]);
    let proxy = Proxy::to(host.broker());
    let _vm1 = host.guest("vm1").through(proxy.address()).with("files.listen = \"off\"").joins();
    let tree = host.folder().join("tree");
    make_tree(&tree, 300);
    copied(&host.types(&["cp", "--json", "-r", text(&tree), "vm1:/inbox/"]));
    assert_same(&tree, &host.folder().join("vm1/inbox/tree"));
    let typed = host.types(&["why", "vm1", "--all"]);
    assert!(typed.text().contains("through the bus: the guest does not listen for it"), "{typed:?}");

    let big = host.folder().join("big");
    fs::write(&big, noise(48 << 20)).unwrap();
    let id = host.call("file.push", json!(["vm1", big, "/inbox/big"])).unwrap();
    let inbox = host.folder().join("vm1/inbox");
    until("a part", || part(&inbox).is_some_and(|(_, size)| size > 0));
    assert_eq!(host.runs("vm1", &["echo", "quick"]).well().text(), "quick\n");
    let meanwhile = host.call("file.transfer", json!([id])).unwrap();
    assert_eq!(meanwhile["state"], "running", "the command waited for the file: {meanwhile:#}");
    // In mid-transfer the connection breaks; the transfer goes on by itself.
    proxy.cuts();
    let done = host.awaits("file.done", "vm1");
    assert_eq!(done["data"]["state"], "done", "{done:#}");
    assert!(fs::read(inbox.join("big")).unwrap() == fs::read(&big).unwrap());
    let back = host.folder().join("back");
    let fetched = copied(&host.types(&["cp", "--json", "vm1:/inbox/big", text(&back)])).remove(0);
    assert_eq!(fetched["bytes"], 48 << 20);
    assert!(fs::read(&back).unwrap() == fs::read(&big).unwrap());
}

#[test]
fn a_guest_without_a_credential_has_its_files_through_the_bus_only() {
    let host = Host::with(&["broker.admit = \"any\""]);
    let _guest = host.guest("vm1").shows(None).with("id = \"stranger\"").starts();
    host.awaits("guest.joined", "stranger");
    let file = host.folder().join("file");
    fs::write(&file, "text").unwrap();
    copied(&host.types(&["cp", "--json", text(&file), "stranger:"]));
    assert_eq!(fs::read_to_string(host.folder().join("vm1/inbox/file")).unwrap(), "text");
    let typed = host.types(&["why", "stranger", "--all"]);
    assert!(typed.text().contains("through the bus: "), "{typed:?}");
}

#[test]
fn small_content_goes_in_calls() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let put = |path: &str, data: &[u8], options: Value| {
        host.call("file.put", json!(["vm1", path, {"b64": BASE64_STANDARD.encode(data)}, options]))
    };
    assert_eq!(put("/inbox/a", b"hello", json!({"mode": 0o600})).unwrap(), 5);
    assert_eq!(put("/inbox/a", b" world", json!({"append": true})).unwrap(), 6);
    assert_eq!(put("a", b"H", json!({"offset": 0})).unwrap(), 1);
    let got = host.call("file.get", json!(["vm1", "/inbox/a", {"offset": 1, "length": 4}])).unwrap();
    assert_eq!(got["data"], json!({"b64": BASE64_STANDARD.encode("ello")}), "{got:#}");
    assert_eq!((&got["eof"], &got["size"]), (&json!(false), &json!(11)));
    let stat = host.call("file.stat", json!(["vm1", "/inbox/a"])).unwrap();
    assert_eq!((&stat["name"], &stat["type"], &stat["mode"]), (&json!("a"), &json!("file"), &json!(0o600)));
    let digest = host.call("file.digest", json!(["vm1", "/inbox/a"])).unwrap();
    assert_eq!(digest, hex::encode(Sha256::digest("Hello world")));
    let wrong = put("/inbox/a", b"x", json!({"sha256": "00".repeat(32)})).unwrap_err();
    assert!(wrong.starts_with("digest-mismatch: "), "{wrong}");

    host.call("file.mkdir", json!(["vm1", "/inbox/x/y", {"parents": true}])).unwrap();
    host.call("file.rename", json!(["vm1", "/inbox/a", "/inbox/x/y/b"])).unwrap();
    let listed = host.call("file.list", json!(["vm1", "/inbox/x/y"])).unwrap();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["name"]), (1, &json!("b")));
    let full = host.call("file.remove", json!(["vm1", "/inbox/x"])).unwrap_err();
    assert!(full.contains("not empty"), "{full}");
    assert_eq!(host.call("file.remove", json!(["vm1", "/inbox/x", {"recursive": true}])).unwrap(), true);
    assert_eq!(host.call("file.remove", json!(["vm1", "/inbox/x"])).unwrap(), false);
    for (method, params, slug) in [
        ("file.get", json!(["vm1", "/inbox/none"]), "no-such-path"),
        ("file.get", json!(["vm1", "/inbox"]), "file-failed"),
        ("file.list", json!(["vm9", "/"]), "no-such-guest"),
        ("file.put", json!(["vm1", "/outbox/x", {"b64": ""}]), "not-permitted"),
        ("file.list", json!(["vm1", "/inbox/../../.."]), ""),
        ("file.push", json!(["vm1", "/etc/passwd", "/inbox/x"]), "not-permitted"),
        ("file.pull", json!(["vm1", "/inbox/a", "/tmp/../etc/x"]), "not-permitted"),
        ("file.transfer", json!(["none"]), "no-such-transfer"),
    ] {
        match host.call(method, params) {
            Err(text) => assert!(text.starts_with(slug) && !slug.is_empty(), "{method}: {text}"),
            // `..` at the top leads to the top, as real clients expect.
            Ok(found) => {
                assert!(slug.is_empty() && found.as_array().unwrap().len() == 2, "{method}: {found}");
            }
        }
    }
    let disks = host.call("file.df", json!(["vm1"])).unwrap();
    assert!(disks.as_array().unwrap().iter().all(|disk| disk["size"].as_f64().unwrap() > 0.0), "{disks:#}");
}

#[test]
fn transfers_outlive_the_host_agent_and_can_be_cancelled() {
    let roots = tempfile::Builder::new().prefix("vocable-roots-").tempdir().unwrap();
    let mut host = Host::with(&[&format!("files.roots = [{}]", json!(roots.path()))]);
    let proxy = Proxy::to(host.broker());
    let _vm1 = host.guest("vm1").through(proxy.address()).with("files.listen = \"off\"").joins();
    let (big, inbox) = (roots.path().join("big"), host.folder().join("vm1/inbox"));
    fs::write(&big, noise(64 << 20)).unwrap();
    let push = json!(["vm1", big, "/inbox/big", {"id": "mine"}]);
    assert_eq!(host.call("file.push", push.clone()).unwrap(), "mine");
    until("a part", || part(&inbox).is_some_and(|(_, size)| size > 1 << 20));
    host.is_killed();
    host.starts_again();
    proxy.leads_to(host.broker());
    host.awaits("guest.joined", "vm1");
    assert_eq!(host.call("file.push", push).unwrap(), "mine", "it is the same one");
    host.awaits("file.done", "vm1");
    let done = host.call("file.transfer", json!(["mine"])).unwrap();
    assert_eq!(done["state"], "done", "{done:#}");
    assert!(done["resumed_from"].as_u64().unwrap() >= 1 << 20, "{done:#}");
    assert!(fs::read(inbox.join("big")).unwrap() == fs::read(&big).unwrap());

    fs::write(&big, noise(96 << 20)).unwrap();
    let id = host.call("file.push", json!(["vm1", big, "/inbox/other"])).unwrap();
    until("a part", || part(&inbox).is_some());
    assert_eq!(host.call("file.cancel", json!([id])).unwrap(), true);
    let ended = host.call("file.transfer", json!([id, {"timeout_s": 20}])).unwrap();
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("cancelled"), &json!("cancelled")));
    assert!(!inbox.join("other").exists());
    assert_eq!(host.call("file.cancel", json!([id])).unwrap(), false);

    let pulled = roots.path().join("pulled");
    let id = host.call("file.pull", json!(["vm1", "/inbox/big", pulled])).unwrap();
    host.awaits("file.done", "vm1");
    let report = host.call("file.transfer", json!([id])).unwrap();
    assert_eq!((&report["state"], &report["bytes"]), (&json!("done"), &json!(64 << 20)));
    assert!(fs::read(&pulled).unwrap() == noise(64 << 20));
    let all = host.call("file.transfers", json!([])).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 3);
}

#[test]
fn a_disk_that_is_full_on_either_side_leaves_the_old_file_and_nothing_else() {
    if !own_mounts() {
        return;
    }
    const SMALL: &str = "4m";
    let host = Host::start();
    let inbox = host.folder().join("vm1/inbox");
    mount_small(&inbox, SMALL);
    let vm1 = host.guest("vm1").with("files.keep_free = \"0B\"").joins();
    let (here, big, old) = (host.folder().join("here"), noise(6 << 20), "the old one");
    mount_small(&here, SMALL);
    let there = host.folder().join("vm1/outbox");
    for folder in [&inbox, &here] {
        fs::write(folder.join("big"), old).unwrap();
    }
    let source = host.folder().join("big");
    for path in [&source, &there.join("big")] {
        fs::write(path, &big).unwrap();
    }
    for (line, folder) in [
        (["cp", text(&source), "vm1:/inbox/"], &inbox),
        (["cp", "vm1:/outbox/big", &format!("{}/", text(&here))], &here),
    ] {
        let typed = host.types(&line);
        assert_eq!(typed.code, Some(1), "{line:?}: {typed:?}");
        assert!(typed.err.contains("error[no-space]") && typed.err.contains("hint: "), "{typed:?}");
        assert_eq!(fs::read_to_string(folder.join("big")).unwrap(), old);
        let names = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let left: Vec<_> = fs::read_dir(folder).unwrap().map(names).filter(|name| name != "big").collect();
        let parts_only = left.iter().all(|name| name.to_string_lossy().contains(".part-"));
        assert!(parts_only, "{left:?}");
        // With room for it the rest is sent.
        resize(folder, "16m");
        let sent = copied(&host.types(&[&["cp", "--json"], &line[1..]].concat())).remove(0);
        assert_eq!(sent["files"], 1, "{sent:#}");
        assert!(fs::read(folder.join("big")).unwrap() == big);
        assert!(part(folder).is_none());
    }
    drop(vm1);
}

#[test]
fn what_cannot_be_copied_is_told_with_what_to_do() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").with("files.keep_free = \"4096TiB\"").joins();
    let vm2 = host.guest("vm2").joins();
    let tree = host.folder().join("tree");
    make_tree(&tree, 10);
    let outbox = host.folder().join("vm2/outbox");
    fs::write(outbox.join("good"), "good").unwrap();
    symlink("/etc/passwd", outbox.join("bad")).unwrap();
    let dst = host.folder().join("dst");
    for (line, code, slug) in [
        (vec!["cp", text(&tree), "vm2:/inbox/"], 2, "error[is-a-directory]"),
        (vec!["cp", "vm2:/inbox/none", text(&dst)], 1, "error[no-such-path]"),
        (vec!["cp", "-r", text(&tree), "vm1:/inbox/"], 1, "error[no-space]"),
        (vec!["cp", "-r", text(&tree), "vm2:/outbox/"], 1, "error[not-permitted]"),
        (vec!["cp", "-r", text(&tree), "vm9:/inbox/"], 1, "error[no-such-guest]"),
        (vec!["cp", "-r", "vm2:/outbox", text(&dst)], 1, "error[link-leads-out]"),
        (vec!["cp", text(&tree), text(&dst)], 2, "error[usage]"),
        (vec!["ls", "/inbox"], 2, "error[usage]"),
    ] {
        let typed = host.types(&line);
        assert_eq!(typed.code, Some(code), "{line:?}: {typed:?}");
        assert!(typed.err.contains(slug) && typed.err.contains("hint: "), "{line:?}: {}", typed.err);
    }
    let typed = host.types(&["cp", "/nowhere", "vm2:/inbox/"]);
    assert!(typed.err.contains("error[no-such-path]: /nowhere cannot be read"), "{typed:?}");
    assert_eq!(fs::read_to_string(dst.join("good")).unwrap(), "good");
    assert!(fs::symlink_metadata(dst.join("bad")).is_err());
    assert_eq!(
        fs::read_dir(host.folder().join("vm1/inbox")).unwrap().count(),
        1,
        "the folder, and nothing in it"
    );
    let listed = host.types(&["ls", "vm2:/outbox"]);
    assert_eq!(listed.text(), "bad\ngood\n");
    let listed = host.types(&["ls", "-l", "vm2:/"]);
    assert!(listed.text().contains("inbox/") && listed.text().contains("outbox/"), "{listed:?}");
    let space = host.types(&["df", "vm2"]);
    assert!(space.text().contains("/inbox") && space.text().contains("/outbox"), "{space:?}");
    drop(vm2);
}

/// A tree in which each is of another kind than in [`kinds_there`], and one file that is nowhere else.
fn kinds_here(top: &Path) {
    fs::create_dir_all(top.join("folder/inner")).unwrap();
    fs::write(top.join("folder/inner/file"), "new").unwrap();
    fs::write(top.join("src"), "new").unwrap();
    symlink("src", top.join("lib")).unwrap();
    fs::write(top.join("link"), "new").unwrap();
    fs::write(top.join("only here"), "new").unwrap();
}

fn kinds_there(top: &Path) {
    fs::create_dir(top).unwrap();
    fs::write(top.join("folder"), "old").unwrap();
    for folder in ["src/.git", "lib/.git"] {
        fs::create_dir_all(top.join(folder)).unwrap();
        fs::write(top.join(folder).join("HEAD"), "old").unwrap();
    }
    symlink("folder", top.join("link")).unwrap();
    fs::write(top.join("only there"), "old").unwrap();
}

/// What a copy without `--delete` makes of [`kinds_there`].
fn assert_only_added(top: &Path) {
    let read = |path: &str| fs::read_to_string(top.join(path)).unwrap();
    assert_eq!([read("folder"), read("src/.git/HEAD"), read("lib/.git/HEAD")], ["old", "old", "old"]);
    assert_eq!([read("link"), read("only here"), read("only there")], ["new", "new", "old"]);
    assert_eq!(fs::read_dir(top).unwrap().count(), 6, "and nothing beside it");
}

#[test]
fn a_folder_gives_way_to_nothing_else_either_way_unless_delete_says_so() {
    let roots = tempfile::Builder::new().prefix("vocable-roots-").tempdir().unwrap();
    let host = Host::with(&[&format!("files.roots = [{}]", json!(roots.path()))]);
    let _vm1 = host.guest("vm1").joins();
    let (source, inbox) = (roots.path().join("source"), host.folder().join("vm1/inbox"));
    let served = host.folder().join("vm1/outbox/source");
    kinds_here(&source);
    kinds_here(&served);
    let there = |folder: &Path, name: &str| {
        let path = folder.join(name);
        kinds_there(&path);
        path
    };
    let (pushed, pulled) = (there(&inbox, "pushed"), there(roots.path(), "pulled"));
    for (line, from, there) in [
        (["cp", "-r", text(&source), "vm1:/inbox/pushed"], &source, &pushed),
        (["cp", "-r", "vm1:/outbox/source", text(&pulled)], &served, &pulled),
    ] {
        let typed = host.types(&line);
        assert_eq!(typed.code, Some(1), "{line:?}: {typed:?}");
        for told in [
            "error[not-a-directory]: 3 of ",
            "cannot overwrite non-directory 'folder' with directory",
            "cannot overwrite directory 'lib' with non-directory",
            "cannot overwrite directory 'src' with non-directory",
            "hint: --delete",
        ] {
            assert!(typed.err.contains(told), "{line:?}: {told}: {}", typed.err);
        }
        assert_only_added(there);
        let typed = host.types(&[&line[..], &["--delete"]].concat());
        assert_eq!(typed.code, Some(0), "{line:?}: {typed:?}");
        assert_same(from, there);
    }

    let (pushed, pulled) = (there(&inbox, "by-call"), there(roots.path(), "by-call"));
    for (method, params, from, there) in [
        ("file.push", [json!("vm1"), json!(source), json!("/inbox/by-call")], &source, &pushed),
        ("file.pull", [json!("vm1"), json!("/outbox/source"), json!(pulled)], &served, &pulled),
    ] {
        let ended = |options: Value| {
            let id = host.call(method, json!([params[0], params[1], params[2], options])).unwrap();
            host.call("file.transfer", json!([id, {"timeout_s": 20}])).unwrap()
        };
        let refused = ended(json!({}));
        assert_eq!(
            (&refused["state"], &refused["error"]["code"]),
            (&json!("failed"), &json!("not-a-directory"))
        );
        assert_eq!(refused["failed"].as_array().unwrap().len(), 3, "{refused:#}");
        assert_only_added(there);
        let done = ended(json!({"delete": true}));
        assert_eq!(done["state"], "done", "{done:#}");
        assert_same(from, there);
    }

    // One file, and one folder, of a name that is taken: by every way there is.
    kinds_there(&inbox.join("one"));
    let file = source.join("only here");
    fs::create_dir(roots.path().join("lib")).unwrap();
    fs::create_dir(host.folder().join("vm1/outbox/lib")).unwrap();
    for (method, params) in [
        ("file.push", json!(["vm1", file, "/inbox/one/lib"])),
        ("file.push", json!(["vm1", source, "/inbox/one/folder"])),
        ("file.pull", json!(["vm1", "/outbox/source/src", roots.path().join("lib")])),
        ("file.pull", json!(["vm1", "/outbox/lib", roots.path().join("source/src")])),
    ] {
        let id = host.call(method, params.clone()).unwrap();
        let ended = host.call("file.transfer", json!([id, {"timeout_s": 20}])).unwrap();
        let why = ended["error"]["message"].as_str().unwrap_or_default();
        assert!(ended["state"] == "failed" && why.contains("cannot overwrite "), "{params}: {ended:#}");
    }
    for (line, told) in [
        (
            ["cp", "-r", text(&source), "vm1:/inbox/one/folder"],
            "cannot overwrite non-directory 'vm1:/inbox/one/folder'",
        ),
        (["cp", "-r", "vm1:/outbox/lib", text(&source.join("src"))], "cannot overwrite non-directory '"),
    ] {
        let typed = host.types(&line);
        assert_eq!(typed.code, Some(1), "{typed:?}");
        assert!(typed.err.contains(told) && typed.err.contains("hint: "), "{typed:?}");
    }
    let put = host.call("file.put", json!(["vm1", "/inbox/one/lib", {"b64": "AA=="}])).unwrap_err();
    assert!(put.contains("cannot overwrite directory 'vm1:/inbox/one/lib'"), "{put}");
    let renamed =
        host.call("file.rename", json!(["vm1", "/inbox/one/folder", "/inbox/one/lib"])).unwrap_err();
    assert!(renamed.contains("cannot overwrite directory 'vm1:/inbox/one/lib'"), "{renamed}");
    let mut caller = Caller::dial(host.api());
    let head = "PUT /files/vm1/inbox/one/lib HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3";
    caller.sends(format!("{head}\r\nAuthorization: Bearer {}\r\n\r\nnew", host.token()).as_bytes());
    let answer = caller.answer().unwrap();
    assert!(answer.status == 409 && answer.body.contains("cannot overwrite directory"), "{answer:?}");
    assert_eq!(fs::read_to_string(inbox.join("one/lib/.git/HEAD")).unwrap(), "old");
}

#[test]
fn what_is_excluded_stays_where_everything_else_is_replaced() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let (tree, back) = (host.folder().join("tree"), host.folder().join("back"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("src"), "new").unwrap();
    let inbox = host.folder().join("vm1/inbox/tree");
    for there in [&inbox, &back] {
        for folder in ["src/.git", "old/.git", "older"] {
            fs::create_dir_all(there.join(folder)).unwrap();
        }
        fs::write(there.join("old/file"), "").unwrap();
    }
    let outbox = host.folder().join("vm1/outbox/tree");
    fs::create_dir(&outbox).unwrap();
    fs::write(outbox.join("src"), "new").unwrap();
    for (line, there) in [
        (["cp", "-r", "--delete", "--exclude", ".git", text(&tree), "vm1:/inbox/tree"], &inbox),
        (["cp", "-r", "--delete", "--exclude", ".git", "vm1:/outbox/tree", text(&back)], &back),
    ] {
        let typed = host.types(&line);
        assert_eq!(typed.code, Some(1), "{typed:?}");
        assert!(typed.err.contains("cannot overwrite directory 'src' with non-directory"), "{typed:?}");
        let left: Vec<_> = all_of(there).into_keys().collect();
        assert_eq!(left, ["", "old", "old/.git", "src", "src/.git"]);
    }
}

#[test]
fn a_missing_folder_is_one_failure_and_every_failure_names_its_file() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let tree = host.folder().join("tree");
    make_tree(&tree, 250);
    for line in [
        ["cp", "-r", text(&tree), "vm1:/inbox/none/tree"],
        ["cp", "-r", &format!("{}/.", text(&tree)), "vm1:/inbox/none/tree"],
        ["cp", text(&tree.join("empty")), "vm1:/inbox/none/empty", "--no-resume"],
    ] {
        let typed = host.types(&line);
        assert_eq!(typed.code, Some(1), "{typed:?}");
        assert!(
            typed.err.starts_with("error[no-such-path]: vm1:/inbox/none: no such file or directory\n"),
            "{typed:?}"
        );
    }
    let put = host.call("file.put", json!(["vm1", "/inbox/none/x", {"b64": "AA=="}])).unwrap_err();
    assert!(put.contains("vm1:/inbox/none/x: "), "{put}");
    // What is in a folder makes the folder, as for cp(1).
    copied(&host.types(&["cp", "--json", "-r", &format!("{}/.", text(&tree)), "vm1:/inbox/made"]));
    assert_same(&tree, &host.folder().join("vm1/inbox/made"));
    // A name of one letter is in every sentence, and is told all the same.
    fs::create_dir(host.folder().join("vm1/inbox/one")).unwrap();
    symlink("/etc", host.folder().join("vm1/outbox/e")).unwrap();
    assert_eq!(host.call("file.list", json!(["vm1", "/outbox"])).unwrap()[0]["target"], "/etc");
    let typed = host.types(&["cp", "-r", "vm1:/outbox", text(&host.folder().join("back"))]);
    assert!(typed.err.contains("error[link-leads-out]: e: a link to /etc was not made"), "{typed:?}");
}

#[test]
fn connections_that_say_nothing_are_in_nobodys_way() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let why = |host: &Host| host.types(&["why", "vm1", "--all"]).text().to_owned();
    let told = why(&host);
    let at = told.split("directly, at ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    let silent: Vec<_> = (0..200).map(|_| std::net::TcpStream::connect(at).unwrap()).collect();
    let file = host.folder().join("file");
    fs::write(&file, noise(1 << 20)).unwrap();
    copied(&host.types(&["cp", "--json", text(&file), "vm1:/inbox/"]));
    assert!(why(&host).contains("directly, at "), "{}", why(&host));
    drop(silent);
}

/// How far the host agent's memory may grow while it tells a listing, however long that is.
const WALKED: u64 = 24 << 20;

#[test]
fn a_listing_of_many_long_paths_passes_through_the_host_and_takes_no_room_in_it() {
    let files: usize =
        std::env::var("VOCABLE_TESTS_WALK").ok().and_then(|text| text.parse().ok()).unwrap_or(8_000);
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    // Folders of 250 letters each, 14 deep: paths of 3.5 KB.
    let deep = (0..14).fold(host.folder().join("vm1/outbox/deep"), |path, _| path.join("d".repeat(250)));
    fs::create_dir_all(&deep).unwrap();
    for n in 0..files {
        let folder = deep.join((n / 5000).to_string());
        if n % 5000 == 0 {
            fs::create_dir(&folder).unwrap();
        }
        fs::write(folder.join(format!("f{n}")), "").unwrap();
    }
    host.call("file.list", json!(["vm1", "/outbox"])).unwrap();
    let before = host.process().peak_memory();
    let back = host.folder().join("back");
    let line = ["cp", "--json", "-r", "--exclude", "f*", "vm1:/outbox/deep", text(&back)];
    copied(&host.types(&line));
    let grown = host.process().peak_memory() - before;
    println!("a walk of {files} files: the host agent has grown by {} KiB", grown >> 10);
    assert!(grown < WALKED, "{grown} for {files} files");
    assert!(LocalTree::open(&back).unwrap().list(&|_| false).unwrap().len() >= 15);
}

/// Runs one of the real tools; what it says, and whether it was content.
fn tool(name: &str, arguments: &[&str]) -> (String, bool) {
    let ran = std::process::Command::new(name)
        .args(["-a", "address", "-t", "20"])
        .args(arguments)
        .output()
        .unwrap();
    (
        format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr)),
        ran.status.success(),
    )
}

#[test]
fn the_real_chirp_tools_work_with_a_guest() {
    if !vocable_tests::peers::there("coop-computing-tools", "/usr/bin/chirp_put") {
        return;
    }
    let host = Host::start();
    let _vm1 = host.guest("vm1").with("files.addresses = [\"127.0.0.1\"]").joins();
    let why = host.types(&["why", "vm1", "--all"]);
    let at = why.text().split("directly, at ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let at = at.unwrap_or_else(|| panic!("{why:?}")).to_owned();
    let (tree, back) = (host.folder().join("tree"), host.folder().join("back"));
    fs::create_dir_all(tree.join("a b")).unwrap();
    fs::write(tree.join("a b/small"), "small").unwrap();
    fs::write(tree.join("large"), noise(3_000_000)).unwrap();
    symlink("large", tree.join("link")).unwrap();
    let well = |name: &str, arguments: &[&str]| {
        let (said, well) = tool(name, arguments);
        assert!(well, "{name} {arguments:?}: {said}");
        said
    };
    well("chirp_put", &[text(&tree), &at, "/inbox/tree"]);
    assert_eq!(fs::read(host.folder().join("vm1/inbox/tree/large")).unwrap(), noise(3_000_000));
    well("chirp_get", &[&at, "/inbox/tree", text(&back)]);
    assert_eq!(fs::read_to_string(back.join("a b/small")).unwrap(), "small");
    assert_eq!(fs::read_link(back.join("link")).unwrap(), Path::new("large"));
    assert!(well("chirp", &[&at, "ls", "/inbox/tree"]).contains("large"));
    let digest = well("chirp", &[&at, "md5", "/inbox/tree/large"]);
    assert!(digest.split_whitespace().next().is_some_and(|digits| digits.len() == 32), "{digest}");
    let (said, put) = tool("chirp_put", &[text(&tree.join("large")), &at, "/outbox/large"]);
    assert!(!put && !host.folder().join("vm1/outbox/large").exists(), "{said}");
    // What they have put there, ours goes on with.
    let ours =
        copied(&host.types(&["cp", "--json", "-r", "vm1:/inbox/tree", text(&host.folder().join("ours"))]));
    assert_eq!(ours[0]["files"], 2);
    well("chirp", &[&at, "rm", "/inbox/tree"]);
    assert!(!host.folder().join("vm1/inbox/tree").exists());
}
