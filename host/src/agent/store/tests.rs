//! The store, over a folder of its own.

use super::*;
use crate::agent::commands::{Failure, Program};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use vocable_protocol::ReportedResults;

fn run() -> Run {
    let created = moment(1_790_000_000_123);
    Run { id: "k7mq2x".into(), target: "vm1,vm2".into(), single: false, request: "{}".into(), created }
}

fn commands() -> Vec<Command> {
    let program = Program { cmd: "true".into(), ..Program::default() };
    ["vm1", "vm2"].map(|guest| Command::new("k7mq2x", guest, program.clone(), run().created)).into()
}

#[tokio::test]
async fn a_run_is_found_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 0).unwrap();
    store.add(run(), commands()).await.unwrap();
    store.append("k7mq2x.vm1".into(), Part::Out, 0, "hello ".into(), Space::Usual).await.unwrap();
    store.append("k7mq2x.vm1".into(), Part::Out, 6, "world".into(), Space::Usual).await.unwrap();
    drop(store);
    let store = Store::open(folder.path(), 0).unwrap();
    assert_eq!(store.run("k7mq2x".into()).await.unwrap(), Some(run()));
    let mut under_way = store.under_way().await.unwrap();
    assert_eq!(under_way.len(), 2);
    let mut first = under_way.remove(0);
    assert_eq!((first.command.id.as_str(), first.command.out_bytes), ("k7mq2x.vm1", 11));
    assert!(!first.is_ready(), "nothing is read at the start");
    assert!(under_way.remove(0).is_ready(), "there is nothing to read");
    first.set_digests(store.prepared("k7mq2x.vm1".into()).await.unwrap());
    let told =
        serde_json::json!({"out_bytes": 11, "out_sha256": vocable_protocol::sha256_hex("hello world")});
    first.check_complete(Part::Out, &ReportedResults::of(told.as_object().unwrap().clone())).unwrap();
}

fn given_up(mut active: Active) -> Active {
    let failure = Failure { code: "guest-lost".into(), message: "gone".into() };
    active.fail(State::Lost, failure, moment(1_790_000_000_500));
    active
}

/// Writes output as the agent does.
async fn write(store: &Store, active: &mut Active, bytes: Vec<u8>) {
    let id = active.command.id.clone();
    let at = active.command.out_bytes;
    let mark = store.append(id.clone(), Part::Out, at, bytes.clone().into(), Space::Usual).await.unwrap();
    active.add_output(Part::Out, &bytes);
    if mark {
        store.mark(id, Part::Out, active.digests().unwrap().out.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn a_command_that_was_given_up_is_taken_up_without_reading_its_output() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 0).unwrap();
    store.add(run(), commands()).await.unwrap();
    let mut active = Active::new(commands().remove(0));
    write(&store, &mut active, b"hello world".to_vec()).await;
    store.give_up(given_up(active)).await.unwrap();
    // Were it read, it would have another digest.
    fs::write(folder.path().join("output/k7mq2x.vm1/out"), "HELLO WORLD").unwrap();
    let resumed = store.resumed("k7mq2x.vm1".into()).await.unwrap().unwrap();
    assert!(resumed.is_ready() && resumed.command.is_given_up());
    let told =
        serde_json::json!({"out_bytes": 11, "out_sha256": vocable_protocol::sha256_hex("hello world")});
    resumed.check_complete(Part::Out, &ReportedResults::of(told.as_object().unwrap().clone())).unwrap();
    // What is shorter than what was digested is read anew.
    fs::write(folder.path().join("output/k7mq2x.vm1/out"), "hello").unwrap();
    assert!(!store.resumed("k7mq2x.vm1".into()).await.unwrap().unwrap().is_ready());
    let digests = store.prepared("k7mq2x.vm1".into()).await.unwrap();
    assert_eq!((digests.out.bytes, digests.err.bytes), (5, 0));
    assert_eq!(digests.out.sha256.finalize(), Sha256::digest("hello"));
}

#[tokio::test]
async fn after_a_restart_only_what_came_after_the_last_mark_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 0).unwrap();
    store.add(run(), commands()).await.unwrap();
    let mut active = Active::new(commands().remove(0));
    let piece = vec![7; 1 << 20];
    for _ in 0..35 {
        write(&store, &mut active, piece.clone()).await;
    }
    drop(store);
    let store = Store::open(folder.path(), 0).unwrap();
    let known = store.on_disk(|disk| disk.digests("k7mq2x.vm1")).await.unwrap();
    assert_eq!(known.out.bytes, digests::MARK);
    let made = store.prepared("k7mq2x.vm1".into()).await.unwrap();
    assert_eq!(made.out.bytes, 35 << 20);
    assert_eq!(made.out.sha256.finalize(), active.digests().unwrap().out.sha256.clone().finalize());
    // Once it has ended truly, no more is needed.
    let mut ended = active.command;
    (ended.state, ended.ended) = (State::Done, Some(moment(1_790_000_000_500)));
    ended.results = Some(ReportedResults { finished: Some(true), ..ReportedResults::default() });
    store.update(ended).await.unwrap();
    let known = store.on_disk(|disk| disk.digests("k7mq2x.vm1")).await.unwrap();
    assert_eq!(known.out.bytes, 0);
}

#[tokio::test]
async fn output_is_read_from_any_offset() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 0).unwrap();
    store.append("a.b".into(), Part::Err, 0, "0123456789".into(), Space::Usual).await.unwrap();
    let read = async |offset, most| store.read("a.b".into(), Part::Err, offset, most).await.unwrap().bytes;
    assert_eq!(read(3, 4).await, b"3456");
    assert_eq!(read(8, 100).await, b"89");
    assert_eq!(read(50, 1).await, b"");
    assert_eq!(store.read("a.b".into(), Part::Out, 0, 9).await.unwrap().bytes, b"");
}

#[tokio::test]
async fn the_end_of_a_command_is_written_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 0).unwrap();
    store.add(run(), commands()).await.unwrap();
    let mut ended = commands().remove(0);
    ended.state = State::Failed;
    ended.failure = Some(Failure { code: "not-found".into(), message: "no program".into() });
    ended.ended = Some(moment(1_790_000_000_500));
    store.update(ended.clone()).await.unwrap();
    assert_eq!(store.command("k7mq2x.vm1".into()).await.unwrap(), Some(ended));
    let under_way = store.list(Filter { limit: 10, ..Filter::default() }).await.unwrap();
    assert_eq!(under_way.iter().map(|c| c.guest.as_str()).collect::<Vec<_>>(), ["vm2"]);
    assert_eq!(store.list(Filter { limit: 10, all: true, ..Filter::default() }).await.unwrap().len(), 2);
    assert_eq!(store.ids_like("k7mq2x.".into()).await.unwrap(), ["k7mq2x.vm1", "k7mq2x.vm2"]);
}

fn numbered(n: usize, program: Program) -> (Run, Vec<Command>) {
    let id = format!("r{n:03}");
    let created = moment(1_790_000_000_000 + i64::try_from(n / 3).unwrap());
    let command = Command::new(&id, "vm1", program, created);
    (Run { id, created, ..run() }, vec![command])
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 0).unwrap();
    for n in 0..150 {
        let (run, commands) = numbered(n, Program::default());
        store.add(run, commands).await.unwrap();
    }
    let whole = store.list(Filter { limit: 1000, ..Filter::default() }).await.unwrap();
    assert_eq!(whole.len(), 150);
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(Filter { limit: 40, after, ..Filter::default() }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(Cursor::behind(last));
        pages.extend(page);
    }
    assert_eq!(pages, whole);
    assert_eq!(store.list(Filter { limit: 7, ..Filter::default() }).await.unwrap(), whole[..7]);
    assert_eq!(store.ids_like("r00".into()).await.unwrap().len(), 20);
    assert!(store.ids_like("r9".into()).await.unwrap().is_empty());
}

#[tokio::test]
async fn lists_show_the_beginning_of_what_is_large_and_a_command_has_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 0).unwrap();
    let large = Program { cmd: "sh".into(), args: vec!["x".repeat(100_000)], ..Program::default() };
    for n in 0..30 {
        let (run, commands) = numbered(n, large.clone());
        store.add(run, commands.clone()).await.unwrap();
        let mut command = commands[0].clone();
        (command.state, command.ended) = (State::Done, Some(command.created));
        let nested: Vec<serde_json::Value> = vec![serde_json::json!([[1], [2]]); 70_000];
        let results =
            serde_json::json!({"finished": true, "exitCodeOrSignal": 0, "resources": {"odd": nested}});
        command.results = results.as_object().cloned().map(ReportedResults::of);
        store.update(command).await.unwrap();
    }
    let before = resident_kib();
    let listed = store.list(Filter { all: true, limit: 1000, ..Filter::default() }).await.unwrap();
    let reports: Vec<_> = listed.iter().map(shown).collect();
    let xml = vocable_xmlrpc::write_response(&Ok(reports.into())).unwrap();
    println!(
        "list of 30 x 0.7 MiB: {} bytes of XML, {} KiB more resident",
        xml.len(),
        resident_kib() - before
    );
    assert!(xml.len() < 30 * 10_000, "{}", xml.len());
    assert!(
        listed.iter().all(|it| it.program.shortened && it.results.as_ref().unwrap().finished == Some(true))
    );
    let one = store.command(listed[0].id.clone()).await.unwrap().unwrap();
    assert_eq!(one.program.args[0].len(), 100_000);
    assert_eq!(one.results.unwrap().resources.unwrap()["odd"].as_array().unwrap().len(), 70_000);
}

fn shown(command: &Command) -> vocable_xmlrpc::Value {
    vocable_xmlrpc::to_value(&crate::endpoint::rpc::shown_command(command.clone())).unwrap()
}

fn resident_kib() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn one_odd_row_of_an_earlier_agent_fails_no_list() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 0).unwrap();
    for n in 0..3 {
        let (run, commands) = numbered(n, Program::default());
        store.add(run, commands).await.unwrap();
    }
    let deep =
        format!("{{\"finished\": true, \"resources\": {}1{}, \"x\": 1}}", "[".repeat(100), "]".repeat(100));
    let name = "{\"finished\": true, \"resources\": {\"a\\u0001\": 1}}";
    let odd = "UPDATE commands SET state = 'done', ended = 1, results = ?2 WHERE id = ?1";
    let database = Connection::open(folder.path().join("vocable.db")).unwrap();
    for (id, results) in [("r000.vm1", deep.as_str()), ("r001.vm1", name), ("r002.vm1", "{")] {
        database.execute(odd, [id, results]).unwrap();
    }
    let listed = store.list(Filter { all: true, limit: 10, ..Filter::default() }).await.unwrap();
    let reports: Vec<_> = listed.iter().map(shown).collect();
    let xml = String::from_utf8(vocable_xmlrpc::write_response(&Ok(reports.into())).unwrap()).unwrap();
    for told in ["nested deeper than 8", "a\\u{1}", "what is stored cannot be read"] {
        assert!(xml.contains(told), "{told}: {xml}");
    }
    let whole = store.command("r000.vm1".into()).await.unwrap().unwrap();
    vocable_xmlrpc::write_response(&Ok(shown(&whole))).unwrap();
}

#[tokio::test]
async fn nobody_else_can_read_it_whatever_the_mode_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &str| fs::metadata(folder.path().join(path)).unwrap().mode() & 0o777;
    let open_to_all = |path: &str, mode| {
        fs::set_permissions(folder.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    // An earlier agent was less careful.
    fs::write(folder.path().join("vocable.db"), "").unwrap();
    fs::create_dir(folder.path().join("output")).unwrap();
    for (path, mode) in [("", 0o777), ("vocable.db", 0o644), ("output", 0o755)] {
        open_to_all(path, mode);
    }
    let store = Store::open(folder.path(), 0).unwrap();
    store.add(run(), commands()).await.unwrap();
    store.append("k7mq2x.vm1".into(), Part::Out, 0, "secret".into(), Space::Usual).await.unwrap();
    for path in ["vocable.db", "vocable.db-wal", "vocable.db-shm", "output/k7mq2x.vm1/out"] {
        assert_eq!(mode(path), 0o600, "{path}");
    }
    for path in ["output", "output/k7mq2x.vm1"] {
        assert_eq!(mode(path), 0o700, "{path}");
    }
}

#[tokio::test]
async fn a_database_of_an_earlier_agent_is_read_on() {
    let folder = tempfile::tempdir().unwrap();
    let database = Connection::open(folder.path().join("vocable.db")).unwrap();
    database.execute_batch(books::MIGRATIONS[0]).unwrap();
    database.execute_batch(books::MIGRATIONS[1]).unwrap();
    database
        .execute_batch(
            "PRAGMA user_version = 2;
             INSERT INTO runs VALUES ('k7mq2x', 'vm1', 1, '{}', 1);
             INSERT INTO commands (id, run, guest, program, state, created)
             VALUES ('k7mq2x.vm1', 'k7mq2x', 'vm1', '{\"cmd\": \"true\"}', 'running', 1);",
        )
        .unwrap();
    let store = Store::open(folder.path(), 0).unwrap();
    let mut under_way = store.under_way().await.unwrap();
    let mut ended = under_way.remove(0).command;
    assert_eq!(ended.program.cmd, "true");
    (ended.state, ended.ended) = (State::Done, Some(moment(2)));
    store.update(ended).await.unwrap();
    assert_eq!(store.retire(moment(3), Duration::ZERO, 0).await.unwrap(), ["k7mq2x.vm1"]);
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(Books::open(folder.path()).unwrap());
    let database = Connection::open(folder.path().join("vocable.db")).unwrap();
    database.execute_batch("PRAGMA user_version = 99").unwrap();
    let refused = Books::open(folder.path()).err().unwrap().to_string();
    assert!(refused.contains("has version 99"), "{refused}");
}
