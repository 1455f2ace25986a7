//! `ls`, `df` and what is wrong with a line of `cp`, against an agent that says what it was told to.

use crate::testing::{FakeAgent, Screen, json, on, vocable};

const INBOX: &str = r#"[
    {"name": "root.tar", "type": "file", "mode": 420, "mtime_unix": 1795338124, "size": 1073741824},
    {"name": "spool", "type": "dir", "mode": 1005, "mtime_unix": 1795165324},
    {"name": ".hidden", "type": "file", "mode": 384, "mtime_unix": 1795338124, "size": 0},
    {"name": "latest", "type": "link", "mode": 511, "mtime_unix": 1795338124, "target": "root.tar"}
]"#;

#[test]
fn a_folder_is_listed_in_names_or_at_length() {
    let agent = || FakeAgent::default().answers("file.list", json(INBOX));
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
    insta::assert_snapshot!(vocable(&agent(), &["ls", "--json", "vm1:/inbox"]), @r#"{"entries":[{"guest":"vm1","mode":420,"mtime_unix":1795338124,"name":"root.tar","size":1073741824,"type":"file"},{"guest":"vm1","mode":1005,"mtime_unix":1795165324,"name":"spool","type":"dir"},{"guest":"vm1","mode":511,"mtime_unix":1795338124,"name":"latest","target":"root.tar","type":"link"}]}"#);
}

#[test]
fn folders_are_listed_with_what_is_in_them_and_a_file_by_itself() {
    let agent = FakeAgent::default()
        .answers("file.list", json(INBOX))
        .answers("file.list", json(r#"[{"name": "x", "type": "file", "mode": 420, "size": 1}]"#));
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
        .answers("file.stat", json(r#"{"name": "x", "type": "file", "mode": 420, "size": 1}"#));
    assert_eq!(vocable(&agent, &["ls", "vm1:/inbox/x"]), "x\n");
}

#[test]
fn space_is_shown_for_every_guest_and_who_does_not_answer_is_told() {
    let agent = FakeAgent::default()
        .answers("guest.select", json(r#"["vm1", "vm2"]"#))
        .answers("file.df", json(r#"[{"path": "/inbox", "size": 21474836480, "free": 9663676416}]"#))
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
