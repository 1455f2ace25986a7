//! `vocable run`: parameters, output, exit codes.

use crate::testing::{FakeAgent, Screen, on, vocable};
use serde_json::json;
use vocable_api::client::ClientError;
use vocable_api::cmd::{Command, Failure, LeftOut, Poll, Run, State, Wait};
use vocable_api::{Any, Text, UnixTime};
use vocable_xmlrpc::Value;

fn command(guest: &str, state: State) -> Command {
    Command {
        cmd_id: format!("k7mq2x.{guest}"),
        guest: guest.to_owned(),
        state,
        cmd: Some("make".into()),
        args: Some(Vec::new()),
        ..Command::default()
    }
}

fn ended(state: State, finished: bool, code: i64) -> Command {
    Command { finished: Some(finished), exit_code_or_signal: Some(code), ..command("vm1", state) }
}

/// With output up to there.
fn wrote(command: Command, out: &[u8], err: &str) -> Command {
    Command {
        out: Some(Text(out.to_vec())),
        err: Some(Text(err.into())),
        out_offset: Some(out.len() as u64),
        err_offset: Some(err.len() as u64),
        more: Some(false),
        ..command
    }
}

fn done(guest: &str, code: i64, out: &str) -> Command {
    let ended = Command { guest: guest.to_owned(), ..ended(State::Done, true, code) };
    wrote(Command { cmd_id: format!("k7mq2x.{guest}"), ..ended }, out.as_bytes(), "")
}

fn failed(command: Command, code: &str, message: &str) -> Command {
    Command { error: Some(Failure::new(code, message)), ..command }
}

fn run(commands: Vec<Command>) -> Command {
    Command { cmd_id: "k7mq2x".into(), commands: Some(commands), ..Command::default() }
}

fn one(command: Command) -> FakeAgent {
    FakeAgent::default().replies::<Run>("k7mq2x.vm1".into()).replies::<Wait>(command)
}

fn several(commands: Vec<Command>) -> FakeAgent {
    FakeAgent::default().replies::<Run>("k7mq2x".into()).replies::<Wait>(run(commands))
}

#[test]
fn of_one_guest_bytes_and_exit_code_pass_through() {
    let running = wrote(command("vm1", State::Running), &[0, 255], "oops\n");
    let agent = one(running).replies::<Wait>(done("vm1", 3, "no end"));
    insta::assert_snapshot!(vocable(&agent, &["run", "vm1", "make", "-j4"]).escape_default().to_string().replace("\\n", "\n"), @r#"
    \u{0}\u{fffd}no end------- stderr
    oops
    ------- exit code 3
    "#);
    insta::assert_snapshot!(agent.calls(), @r#"
    cmd.run("vm1", "make", ["-j4"])
    cmd.wait("k7mq2x.vm1", 20.0, {"until":"output"})
    cmd.wait("k7mq2x.vm1", 20.0, {"offsets":{"k7mq2x.vm1":[2,5]},"until":"output"})
    "#);
}

#[test]
fn options_stand_before_and_after_the_target_and_never_after_the_command() {
    let agent = one(done("vm1", 0, ""));
    let line = [
        "run",
        "-e",
        "A=1",
        "vm1",
        "-w",
        "/tmp",
        "--timeout",
        "1m30s",
        "--id",
        "job-7",
        "ls",
        "-l",
        "-d",
        "--",
        "x",
    ];
    assert_eq!(vocable(&agent, &line), "");
    insta::assert_snapshot!(agent.calls(), @r#"
    cmd.run("vm1", "ls", ["-l","-d","--","x"], {"env":{"A":"1"},"id":"job-7","path":"/tmp","timeout_s":90.0})
    cmd.wait("k7mq2x.vm1", 20.0, {"until":"output"})
    "#);
    let agent = one(done("vm1", 0, ""));
    assert_eq!(vocable(&agent, &["exec", "vm1", "--", "-odd", "--json"]), "");
    insta::assert_snapshot!(agent.calls(), @r#"
    cmd.run("vm1", "-odd", ["--json"])
    cmd.wait("k7mq2x.vm1", 20.0, {"until":"output"})
    "#);
    let agent = one(done("vm1", 0, ""));
    assert_eq!(vocable(&agent, &["run", "vm1", "--shell", "--", "ls | wc -l"]), "");
    insta::assert_snapshot!(agent.calls(), @r#"
    cmd.run("vm1", "/bin/sh", ["-c","ls | wc -l"])
    cmd.wait("k7mq2x.vm1", 20.0, {"until":"output"})
    "#);
}

#[test]
fn a_mistyped_option_is_not_taken_for_the_command() {
    let agent = FakeAgent::default();
    insta::assert_snapshot!(vocable(&agent, &["run", "vm1", "--detahc", "ls"]), @r#"
    ------- stderr
    error[usage]: unexpected argument '--detahc' found
      hint: a similar argument exists: '--detach'
      hint: to pass '--detahc' as a value, use '-- --detahc'
    ------- exit code 125
    "#);
    insta::assert_snapshot!(vocable(&agent, &["run", "vm1", "-x"]), @r#"
    ------- stderr
    error[usage]: unexpected argument '-x' found
      hint: to pass '-x' as a value, use '-- -x'
      hint: vocable run --help
    ------- exit code 125
    "#);
    insta::assert_snapshot!(vocable(&agent, &["run", "vm1"]), @r#"
    ------- stderr
    error[usage]: the following required arguments were not provided: <COMMAND>...
      hint: vocable run --help
    ------- exit code 125
    "#);
    insta::assert_snapshot!(vocable(&agent, &["run", "vm1", "-e", "A", "ls"]), @r#"
    ------- stderr
    error[usage]: invalid value 'A' for '--env <NAME=VALUE>': expected NAME=VALUE
      hint: vocable run --help
    ------- exit code 125
    "#);
}

#[test]
fn a_terminal_is_for_one_guest_and_for_people() {
    insta::assert_snapshot!(vocable(&FakeAgent::default(), &["run", "-t", "vm*", "sh"]), @r#"
    ------- stderr
    error[usage]: a terminal (-t) is for one guest, not several; nothing was run
    ------- exit code 125
    "#);
    insta::assert_snapshot!(vocable(&FakeAgent::default(), &["run", "-t", "vm1", "--json", "sh"]), @r#"
    ------- stderr
    {"error":{"code":"usage","message":"what a terminal (-t) shows is no JSON; nothing was run","transient":false}}
    ------- exit code 125
    "#);
}

#[test]
fn of_several_guests_lines_have_names_and_a_summary_follows() {
    let agent = several(vec![
        done("vm1", 0, "one\ntwo\n"),
        wrote(command("vm2", State::Running), b"thr", ""),
        done("vm3", 2, ""),
    ]);
    let agent = agent.replies::<Wait>(run(vec![done("vm2", 0, "ee")]));
    insta::assert_snapshot!(vocable(&agent, &["run", "vm1,vm2,vm3", "make"]), @r#"
    vm1: one
    vm1: two
    vm2: three
    ------- stderr
    3 guests: 2 ok, 1 failed in 0 ms
      vm3  exit 2   vocable logs k7mq2x.vm3
    ------- exit code 123
    "#);
    insta::assert_snapshot!(agent.calls(), @r#"
    cmd.run("vm1,vm2,vm3", "make", [])
    cmd.wait("k7mq2x", 20.0, {"until":"output"})
    cmd.wait("k7mq2x", 1.0, {"offsets":{"k7mq2x.vm2":[3,0]},"until":"output"})
    "#);
}

#[test]
fn who_was_not_asked_weighs_most_and_equal_causes_are_one_line() {
    let away = |guest| {
        let message = format!("{guest} does not answer; nothing was run: lost since 09:01:54");
        failed(command(guest, State::Failed), "guest-offline", &message)
    };
    let agent = several(vec![away("vm1"), done("vm2", 1, ""), away("vm3")]);
    insta::assert_snapshot!(vocable(&agent, &["run", "*", "make"]), @r#"
    ------- stderr
    3 guests: 1 failed, 2 not run in 0 ms
      vm2  exit 1   vocable logs k7mq2x.vm2
      vm1, vm3 (2)  guest-offline: does not answer; nothing was run: lost since 09:01:54   vocable why vm1 vm3
    ------- exit code 125
    "#);
}

#[test]
fn a_glob_that_selects_one_guest_is_several_all_the_same() {
    let agent = several(vec![done("vm1", 0, "hello\n")]);
    insta::assert_snapshot!(vocable(&agent, &["run", "vm*", "make"]), @r#"
    vm1: hello
    ------- stderr
    vm1: ok in 0 ms
    "#);
    let agent = several(vec![done("vm1", 0, "hello\n")]);
    insta::assert_snapshot!(vocable(&agent, &["run", "-N", "-q", "vm*", "make"]), @"hello");
}

#[test]
fn the_failures_that_are_ours_end_in_an_error() {
    let line = ["run", "vm1", "make"];
    let timeout = ended(State::Timeout, false, 15);
    insta::assert_snapshot!(vocable(&one(timeout), &line), @r#"
    ------- stderr
    error[timed-out]: k7mq2x.vm1: it was ended, its time ran out
      hint: what it wrote is kept: vocable logs k7mq2x.vm1
    ------- exit code 124
    "#);
    let missing = ended(State::Failed, true, 127);
    let missing = failed(missing, "not-found", "vm1 has no program \"./missing\"");
    insta::assert_snapshot!(vocable(&one(missing), &line), @r#"
    ------- stderr
    error[not-found]: vm1 has no program "./missing"
    ------- exit code 127
    "#);
    let lost = command("vm1", State::Lost);
    insta::assert_snapshot!(vocable(&one(lost), &line), @r#"
    ------- stderr
    error[lost]: k7mq2x.vm1: what became of it is not known
      hint: vocable why vm1
      hint: vocable logs k7mq2x.vm1
    ------- exit code 125
    "#);
    let full = ended(State::Cancelled, false, 15);
    let full = failed(full, "spool-full", "its output spool is full (1 GiB)");
    insta::assert_snapshot!(vocable(&one(full), &line), @r#"
    ------- stderr
    error[spool-full]: k7mq2x.vm1: its output spool is full (1 GiB)
      hint: what it wrote is kept: vocable logs k7mq2x.vm1
    ------- exit code 125
    "#);
}

#[test]
fn output_that_was_dropped_is_said_and_never_0() {
    let left_out = LeftOut { out: 1_258_291, err: 0, reason: Some("spool limit 1 GiB".into()) };
    let cut = |code| Command { left_out: Some(left_out.clone()), ..ended(State::Done, true, code) };
    insta::assert_snapshot!(vocable(&one(cut(0)), &["run", "vm1", "make"]), @r#"
    ------- stderr
    error[output-dropped]: k7mq2x.vm1: a part of its output was dropped
      cause: 1.2 MiB of output dropped (spool limit 1 GiB)
      hint: what it wrote is kept: vocable logs k7mq2x.vm1
    ------- exit code 125
    "#);
    insta::assert_snapshot!(vocable(&one(cut(4)), &["run", "vm1", "make"]), @r#"
    ------- stderr
    warning: 1.2 MiB of output dropped (spool limit 1 GiB)
    ------- exit code 4
    "#);
}

#[test]
fn what_it_used_is_told_on_request() {
    let used = json!({"ru_utime": 36.1, "ru_stime": 2.8, "ru_maxrss": 421_888, "ru_inblock": 2_516_582,
        "ru_oublock": 180_224});
    let ended = Command {
        resources: Some(Any(vocable_xmlrpc::from_json(used).unwrap())),
        started_unix: Some(UnixTime(100.0)),
        ended_unix: Some(UnixTime(141.3)),
        ..ended(State::Done, true, 0)
    };
    insta::assert_snapshot!(vocable(&one(ended), &["run", "vm1", "--usage", "root"]), @r#"
    ------- stderr
    vm1: exit 0 in 41.3 s   cpu 38.9 s (user 36.1, sys 2.8)  max rss 412 MiB  read 1.2 GiB  written 88 MiB
    "#);
}

#[test]
fn detached_prints_the_id_and_who_has_not_got_it() {
    let queued = command("vm1", State::Queued);
    let agent = FakeAgent::default().replies::<Run>("k7mq2x.vm1".into()).replies::<Poll>(queued.clone());
    assert_eq!(vocable(&agent, &["run", "-d", "vm1", "make"]), "k7mq2x.vm1\n");
    insta::assert_snapshot!(agent.calls(), @r#"
    cmd.run("vm1", "make", [])
    cmd.poll("k7mq2x.vm1", {"err_offset":9007199254740992,"out_offset":9007199254740992})
    "#);
    let away = failed(command("vm2", State::Failed), "guest-offline", "vm2 does not answer");
    let agent = || {
        let both = run(vec![queued.clone(), away.clone()]);
        FakeAgent::default().replies::<Run>("k7mq2x".into()).replies::<Poll>(both)
    };
    insta::assert_snapshot!(vocable(&agent(), &["run", "*", "-d", "make"]), @r#"
    k7mq2x
    ------- stderr
    warning: 1 of 2 guests do not run it
      vm2  guest-offline: does not answer   vocable why vm2
    ------- exit code 125
    "#);
    insta::assert_snapshot!(vocable(&agent(), &["--json", "run", "*", "-d", "make"]), @r#"
    {"cmd_id":"k7mq2x","commands":[{"args":[],"cmd":"make","cmd_id":"k7mq2x.vm1","created":"1970-01-01T00:00:00Z","created_unix":0.0,"guest":"vm1","state":"queued"},{"args":[],"cmd":"make","cmd_id":"k7mq2x.vm2","created":"1970-01-01T00:00:00Z","created_unix":0.0,"error":{"code":"guest-offline","message":"vm2 does not answer"},"guest":"vm2","state":"failed"}],"created":"1970-01-01T00:00:00Z","created_unix":0.0,"state":"queued"}
    ------- stderr
    {"warning":{"code":"not-run","message":"1 of 2 guests do not run it"}}
    ------- exit code 125
    "#);
}

#[test]
fn json_is_one_report_or_a_line_for_each_piece() {
    let first = Command { more: Some(true), ..done("vm1", 0, "ab") };
    let agent = one(first).replies::<Poll>(done("vm1", 0, "c"));
    insta::assert_snapshot!(vocable(&agent, &["run", "--json", "vm1", "make"]), @r#"{"args":[],"cmd":"make","cmd_id":"k7mq2x.vm1","created":"1970-01-01T00:00:00Z","created_unix":0.0,"err":"","err_offset":0,"exitCodeOrSignal":0,"finished":true,"guest":"vm1","more":false,"out":"abc","out_offset":1,"state":"done"}"#);
    insta::assert_snapshot!(agent.calls(), @r#"
    cmd.run("vm1", "make", [])
    cmd.wait("k7mq2x.vm1", 20.0)
    cmd.poll("k7mq2x.vm1", {"err_offset":0,"out_offset":2})
    "#);
    insta::assert_snapshot!(vocable(&one(done("vm1", 0, "abc")), &["run", "--json", "-v", "vm1", "make"]), @r#"
    {"cmd_id":"k7mq2x.vm1","data":"abc","event":"output","guest":"vm1","offset":0,"stream":"out"}
    {"args":[],"by":"command","cmd":"make","cmd_id":"k7mq2x.vm1","created":"1970-01-01T00:00:00Z","created_unix":0.0,"event":"done","exitCodeOrSignal":0,"finished":true,"guest":"vm1","state":"done"}
    "#);
    let agent = several(vec![done("vm1", 0, "abc"), command("vm2", State::Lost)]);
    insta::assert_snapshot!(vocable(&agent, &["run", "--json", "*", "make"]), @r#"
    {"cmd_id":"k7mq2x.vm1","data":"abc","event":"output","guest":"vm1","offset":0,"stream":"out"}
    {"args":[],"by":"command","cmd":"make","cmd_id":"k7mq2x.vm1","created":"1970-01-01T00:00:00Z","created_unix":0.0,"event":"done","exitCodeOrSignal":0,"finished":true,"guest":"vm1","state":"done"}
    {"args":[],"by":"vocable","cmd":"make","cmd_id":"k7mq2x.vm2","created":"1970-01-01T00:00:00Z","created_unix":0.0,"event":"done","guest":"vm2","state":"lost"}
    ------- stderr
    {"warning":{"code":"not-run","message":"1 of 2 guests did not run it, or are lost"}}
    ------- exit code 125
    "#);
}

#[test]
fn the_status_file_tells_whose_failure_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("status.json");
    let status = |agent: FakeAgent, target: &str| {
        vocable(&agent, &["run", "--status", file.to_str().unwrap(), target, "make"]);
        std::fs::read_to_string(&file).unwrap()
    };
    insta::assert_snapshot!(status(one(done("vm1", 125, "")), "vm1"), @r#"{"args":[],"by":"command","cmd":"make","cmd_id":"k7mq2x.vm1","created":"1970-01-01T00:00:00Z","created_unix":0.0,"event":"done","exitCodeOrSignal":125,"finished":true,"guest":"vm1","state":"done"}"#);
    insta::assert_snapshot!(status(several(vec![done("vm1", 0, ""), command("vm2", State::Lost)]), "*"), @r#"{"by":"vocable","commands":[{"args":[],"by":"command","cmd":"make","cmd_id":"k7mq2x.vm1","created":"1970-01-01T00:00:00Z","created_unix":0.0,"event":"done","exitCodeOrSignal":0,"finished":true,"guest":"vm1","state":"done"},{"args":[],"by":"vocable","cmd":"make","cmd_id":"k7mq2x.vm2","created":"1970-01-01T00:00:00Z","created_unix":0.0,"event":"done","guest":"vm2","state":"lost"}]}"#);
    let offline = "guest-offline: vm1 does not answer; nothing was run: lost since 09:01:54";
    insta::assert_snapshot!(status(FakeAgent::default().refuses("cmd.run", 103, offline), "vm1"), @r#"{"by":"vocable","error":{"causes":["lost since 09:01:54"],"code":"guest-offline","fault":103,"guest":"vm1","hints":["vocable why vm1"],"message":"vm1 does not answer; nothing was run","transient":true}}"#);
}

fn broken() -> Result<Value, ClientError> {
    let source = std::io::Error::from_raw_os_error(104);
    Err(ClientError::Broken { address: "127.0.0.1:8700".to_owned(), source })
}

fn unreachable() -> Result<Value, ClientError> {
    let source = std::io::Error::from_raw_os_error(111);
    Err(ClientError::Unreachable { address: "127.0.0.1:8700".to_owned(), source })
}

#[test]
fn an_agent_that_is_restarted_costs_no_output() {
    let running = wrote(command("vm1", State::Running), b"a", "");
    let agent = one(running).says("cmd.wait", broken()).says("cmd.wait", unreachable());
    let agent = agent.replies::<Wait>(done("vm1", 0, "b\n"));
    insta::assert_snapshot!(vocable(&agent, &["run", "vm1", "make"]), @r#"
    ab
    ------- stderr
    note: the connection to the host agent at 127.0.0.1:8700 broke; asking again
    note: the host agent was away for 0 ms; nothing was lost
    "#);
    insta::assert_snapshot!(agent.calls(), @r#"
    cmd.run("vm1", "make", [])
    cmd.wait("k7mq2x.vm1", 20.0, {"until":"output"})
    cmd.wait("k7mq2x.vm1", 20.0, {"offsets":{"k7mq2x.vm1":[1,0]},"until":"output"})
    cmd.wait("k7mq2x.vm1", 20.0, {"offsets":{"k7mq2x.vm1":[1,0]},"until":"output"})
    cmd.wait("k7mq2x.vm1", 20.0, {"offsets":{"k7mq2x.vm1":[1,0]},"until":"output"})
    "#);
}

#[test]
fn a_command_that_may_have_been_taken_is_not_sent_twice() {
    let agent = || FakeAgent::default().says("cmd.run", broken());
    insta::assert_snapshot!(vocable(&agent(), &["run", "vm1", "make"]), @r#"
    ------- stderr
    error[connection-lost]: the connection to the host agent at 127.0.0.1:8700 broke
      cause: connection reset by peer [ECONNRESET]
      cause: the command may have been run
      hint: vocable ps -a
    ------- exit code 125
    "#);
    insta::assert_snapshot!(vocable(&agent(), &["run", "--id", "job-7", "vm1", "make"]), @r#"
    ------- stderr
    error[connection-lost]: the connection to the host agent at 127.0.0.1:8700 broke
      cause: connection reset by peer [ECONNRESET]
      cause: the command may have been run
      hint: again with --id job-7: nothing runs twice
    ------- exit code 125
    "#);
}

#[test]
fn an_agent_that_stays_away_leaves_the_command_running() {
    let agent = FakeAgent::default().replies::<Run>("k7mq2x.vm1".into());
    let agent = (0..21).fold(agent, |agent, _| agent.says("cmd.wait", unreachable()));
    insta::assert_snapshot!(vocable(&agent, &["run", "vm1", "make"]), @r#"
    ------- stderr
    note: no host agent answers at 127.0.0.1:8700; asking again
    error[no-agent]: no host agent answers at 127.0.0.1:8700
      cause: connection refused [ECONNREFUSED]
      cause: the command goes on
      hint: vocable serve
      hint: vocable logs -f k7mq2x.vm1
    ------- exit code 125
    "#);
}

#[test]
fn a_reader_that_leaves_is_no_failure_and_leaves_the_command_running() {
    let agent = one(done("vm1", 0, "y\ny\n"));
    insta::assert_snapshot!(on(&Screen::default().without_reader(), &agent, &["run", "vm1", "yes"]), @r#"
    ------- stderr
    note: nobody reads the output any more; k7mq2x.vm1 goes on, if it is not over
    hint: vocable logs k7mq2x.vm1   vocable wait k7mq2x.vm1
    "#);
}

#[test]
fn the_names_of_guests_have_colours_and_their_output_has_none() {
    let agent = several(vec![done("vm1", 0, "one\n"), done("vm2", 0, "two\n")]);
    let told = vocable(&agent, &["run", "--color", "always", "*", "make"]);
    insta::assert_snapshot!(told.replace('\u{1b}', "^"), @r#"
    ^[93mvm1^[0m: one
    ^[94mvm2^[0m: two
    ------- stderr
    2 guests: 2 ok in 0 ms
    "#);
}
