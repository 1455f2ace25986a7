//! `ls`, `df` and what is wrong with a line of `cp`, against an agent that says what it was told to.

use crate::testing::{FakeAgent, Screen, json, on, vocable};
use vocable_api::UnixTime;
use vocable_api::file::{Df, Disk, Entry, EntryType, List, Stat};

fn entry(name: &str, kind: EntryType, mode: u32, size: Option<u64>) -> Entry {
    let mtime_unix = UnixTime(if kind == EntryType::Dir { 1_795_165_324.0 } else { 1_795_338_124.0 });
    Entry { name: name.into(), kind, mode, size, mtime_unix, ..Entry::default() }
}

fn inbox() -> Vec<Entry> {
    let link = entry("latest", EntryType::Link, 0o777, None);
    vec![
        entry("root.tar", EntryType::File, 0o644, Some(1 << 30)),
        entry("spool", EntryType::Dir, 0o1755, None),
        entry(".hidden", EntryType::File, 0o600, Some(0)),
        Entry { target: Some("root.tar".into()), ..link },
    ]
}

#[test]
fn a_folder_is_listed_in_names_or_at_length() {
    let agent = || FakeAgent::default().replies::<List>(inbox());
    let asked = agent();
    insta::assert_snapshot!(vocable(&asked, &["ls", "vm1:/inbox"]), @"
    root.tar
    spool
    latest
    ");
    insta::assert_snapshot!(asked.calls(), @r#"file.list("vm1", "/inbox")"#);
    insta::assert_snapshot!(vocable(&agent(), &["ls", "-la", "vm1:/inbox"]), @"
    MODE           SIZE  AGE  NAME
    -rw-r--r--  1.0 GiB  4m   root.tar
    drwxr-xr-t        -  2d   spool/
    -rw-------      0 B  4m   .hidden
    lrwxrwxrwx        -  4m   latest -> root.tar
    ");
    let wide = Screen::default().of_width(80);
    assert!(on(&wide, &agent(), &["ls", "vm1:/inbox"]).starts_with("MODE"), "on a terminal at length");
    insta::assert_snapshot!(vocable(&agent(), &["ls", "--json", "vm1:/inbox"]), @r#"{"entries":[{"guest":"vm1","mode":420,"mtime":"1970-01-01T00:00:00Z","mtime_unix":1795338124.0,"name":"root.tar","size":1073741824,"type":"file"},{"guest":"vm1","mode":1005,"mtime":"1970-01-01T00:00:00Z","mtime_unix":1795165324.0,"name":"spool","type":"dir"},{"guest":"vm1","mode":511,"mtime":"1970-01-01T00:00:00Z","mtime_unix":1795338124.0,"name":"latest","target":"root.tar","type":"link"}]}"#);
}

#[test]
fn folders_are_listed_with_what_is_in_them_and_a_file_by_itself() {
    let x = || entry("x", EntryType::File, 0o644, Some(1));
    let agent = FakeAgent::default().replies::<List>(inbox()).replies::<List>(vec![x()]);
    insta::assert_snapshot!(vocable(&agent, &["ls", "-R", "vm1:/inbox/"]), @"
    root.tar
    spool
    spool/x
    latest
    ");
    insta::assert_snapshot!(agent.calls(), @r#"
    file.list("vm1", "/inbox/")
    file.list("vm1", "/inbox/spool")
    "#);
    let agent = FakeAgent::default()
        .refuses("file.list", 205, "file-failed: vm1:/inbox/x: it is no directory")
        .replies::<Stat>(x());
    assert_eq!(vocable(&agent, &["ls", "vm1:/inbox/x"]), "x\n");
}

#[test]
fn space_is_shown_for_every_guest_and_who_does_not_answer_is_told() {
    let inbox = Disk { path: "/inbox".into(), size: 20 << 30, free: 9 << 30, files_free: 1 };
    let agent = FakeAgent::default()
        .answers("guest.select", json(r#"["vm1", "vm2"]"#))
        .replies::<Df>(vec![inbox])
        .refuses("file.df", 103, "guest-offline: vm2 does not answer: lost");
    insta::assert_snapshot!(vocable(&agent, &["df", "vm*"]), @"
    GUEST  PATH      SIZE    USED     FREE
    vm1    /inbox  20 GiB  11 GiB  9.0 GiB
    ------- stderr
    error[guest-offline]: vm2 does not answer
      cause: lost
      hint: vocable why vm2
    ------- exit code 1
    ");
}

#[test]
fn lines_that_make_no_sense_say_what_to_type() {
    let nobody = FakeAgent::default();
    insta::assert_snapshot!(vocable(&nobody, &["cp", "a", "b"]), @"
    ------- stderr
    error[usage]: neither side is on a guest
      hint: name the guest: GUEST:PATH
    ------- exit code 2
    ");
    insta::assert_snapshot!(vocable(&nobody, &["cp", "vm1:/a", "vm2:/b"]), @"
    ------- stderr
    error[not-yet]: copying from guest to guest is not there yet; copy to this machine first
    ------- exit code 2
    ");
    insta::assert_snapshot!(vocable(&nobody, &["cp", "-", "vm2:/b"]), @"
    ------- stderr
    error[not-yet]: a tar stream on standard input or output is not there yet
    ------- exit code 2
    ");
    insta::assert_snapshot!(vocable(&nobody, &["cp", "--exclude", "[", "a", "vm2:/b"]), @r#"
    ------- stderr
    error[bad-argument]: "[" is no valid glob: unclosed character class; missing ']'
    ------- exit code 2
    "#);
    insta::assert_snapshot!(vocable(&nobody, &["ls", "/inbox"]), @"
    ------- stderr
    error[usage]: /inbox names no guest
      hint: vocable ls GUEST:/inbox
    ------- exit code 2
    ");
}
