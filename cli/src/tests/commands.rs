//! `vocable ps`, `logs`, `wait`, `kill` and `top`.

use crate::testing::{FakeAgent, Screen, json, on, vocable};

/// 2026-11-22 09:06:04 UTC less 12 minutes.
const CREATED: f64 = 1_795_337_644.0;

fn listed() -> FakeAgent {
    FakeAgent::default().answers(
        "cmd.list",
        json(&format!(
            r#"[
            {{"cmd_id": "k7mq2x.vm1", "guest": "vm1", "state": "running", "cmd": "make", "args": ["-j4", "world"], "created_unix": {CREATED}}},
            {{"cmd_id": "p3wd8n.vm2", "guest": "vm2", "state": "lost", "cmd": "./soak.sh", "args": [], "created_unix": {CREATED},
              "error": {{"code": "lost", "message": "nobody knows"}}}},
            {{"cmd_id": "b9t4hc.vm1", "guest": "vm1", "state": "done", "cmd": "sh", "args": ["-c", "exit 3"], "created_unix": 1795334000,
              "finished": true, "exitCodeOrSignal": 3, "resources": {{"ru_utime": 36.1, "ru_stime": 2.8, "ru_maxrss": 421888}}}},
            {{"cmd_id": "x2vq7j.vm3", "guest": "vm3", "state": "done", "cmd": "/opt/sim", "args": ["--seed", "7"], "created_unix": 1795330000,
              "finished": false, "exitCodeOrSignal": 11, "resources": {{"ru_utime": 0, "ru_stime": 0.01, "ru_maxrss": 1024}}}}
        ]"#
        )),
    )
    .answers(
        "cmd.usage",
        json(
            r#"{"time_unix": 1795338364, "commands": [
            {"cmd_id": "k7mq2x.vm1", "guest": "vm1", "usage": {"cpu_s": 700.5, "rss_bytes": 1181116006, "processes": 9}}
        ]}"#,
        ),
    )
}

#[test]
fn ps_lists_commands() {
    let agent = listed();
    insta::assert_snapshot!(vocable(&agent, &["ps", "-a"]), @r#"
    ID          GUEST  STATE    AGE    CPU      RSS  EXIT     COMMAND
    k7mq2x.vm1  vm1    running  12m    11m  1.1 GiB           make -j4 world
    p3wd8n.vm2  vm2    lost     12m                  lost     ./soak.sh
    b9t4hc.vm1  vm1    done     1h   38.9s  412 MiB  3        sh -c 'exit 3'
    x2vq7j.vm3  vm3    done     2h    10ms  1.0 MiB  SIGSEGV  /opt/sim --seed 7
    "#);
    assert_eq!(agent.calls(), "cmd.list({\"all\":true})\ncmd.usage()");
    let agent = listed();
    insta::assert_snapshot!(vocable(&agent, &["ps", "vm[13]", "-q"]), @r#"
    k7mq2x.vm1
    b9t4hc.vm1
    x2vq7j.vm3
    "#);
    assert_eq!(agent.calls(), r#"cmd.list({"all":false})"#);
    let agent = listed();
    vocable(&agent, &["ps", "vm1", "--state", "done", "-n", "5"]);
    assert!(agent.calls().starts_with(r#"cmd.list({"all":true,"guest":"vm1","limit":5,"state":"done"})"#));
    insta::assert_snapshot!(on(&Screen::default().of_width(72), &listed(), &["ps", "-a", "vm3"]), @r#"
    ID          GUEST  STATE  AGE   CPU      RSS  EXIT     COMMAND
    x2vq7j.vm3  vm3    done   2h   10ms  1.0 MiB  SIGSEGV  /opt/sim --seed 7
    "#);
}

#[test]
fn ps_says_what_is_held_up() {
    let agent = FakeAgent::default().answers(
        "cmd.list",
        json(&format!(
            r#"[{{"cmd_id": "k7mq2x.vm1", "guest": "vm1", "state": "running", "cmd": "yes", "args": [],
                "created_unix": {CREATED}, "paused": "the output limit of 4GiB is reached"}}]"#
        )),
    );
    let agent = agent.answers("cmd.usage", json(r#"{"time_unix": 1795338364, "commands": []}"#));
    insta::assert_snapshot!(vocable(&agent, &["ps"]), @r#"
    ID          GUEST  STATE   AGE  CPU  RSS  EXIT  COMMAND
    k7mq2x.vm1  vm1    paused  12m                  yes
    ------- stderr
    note: k7mq2x.vm1 is paused: the output limit of 4GiB is reached
    "#);
}

#[test]
fn ps_says_when_there_is_nothing() {
    let none = || FakeAgent::default().answers("cmd.list", json("[]"));
    insta::assert_snapshot!(vocable(&none(), &["ps"]), @r#"
    ------- stderr
    note: no commands under way; vocable ps -a lists all
    "#);
    insta::assert_snapshot!(vocable(&none().answers("guest.select", json(r#"["vm7"]"#)), &["ps", "-a", "vm7"]), @r#"
    ------- stderr
    note: no commands
    "#);
    assert_eq!(vocable(&none(), &["ps", "--json"]), "{\"commands\":[]}\n");
}

#[test]
fn ps_asks_the_agent_for_groups_and_for_the_guests_of_machines() {
    for target in ["@lab", "lin1"] {
        let agent = listed().answers("guest.select", json(r#"["vm1"]"#));
        let told = vocable(&agent, &["ps", "-q", target]);
        assert_eq!(told, vocable(&listed(), &["ps", "-q", "vm1"]));
        assert!(told.contains("vm1") && agent.calls().ends_with(&format!("guest.select(\"{target}\")")));
    }
}

#[test]
fn logs_print_what_is_there() {
    let facts = json(
        r#"{"cmd_id": "k7mq2x.vm1", "guest": "vm1", "state": "running", "out_bytes": 5, "err_bytes": 4}"#,
    );
    let output = json(
        r#"{"cmd_id": "k7mq2x.vm1", "guest": "vm1", "state": "running", "out": "tick\n", "err": "tock", "out_offset": 5, "err_offset": 4, "more": false}"#,
    );
    let agent =
        || FakeAgent::default().answers("cmd.poll", facts.clone()).answers("cmd.poll", output.clone());
    let told = agent();
    insta::assert_snapshot!(vocable(&told, &["logs", "k7"]), @r#"
    tick
    ------- stderr
    tock
    "#);
    insta::assert_snapshot!(told.calls(), @r#"
    cmd.poll("k7", {"err_offset":9007199254740992,"out_offset":9007199254740992})
    cmd.poll("k7mq2x.vm1", {})
    "#);
    assert_eq!(vocable(&agent(), &["logs", "--stdout", "k7"]), "tick\n");
    insta::assert_snapshot!(vocable(&agent(), &["logs", "--json", "k7"]), @r#"
    {"cmd_id":"k7mq2x.vm1","data":"tick\n","event":"output","guest":"vm1","offset":0,"stream":"out"}
    {"cmd_id":"k7mq2x.vm1","data":"tock","event":"output","guest":"vm1","offset":0,"stream":"err"}
    "#);
}

#[test]
fn logs_follow_to_the_end() {
    let facts = json(r#"{"cmd_id": "k7mq2x.vm1", "guest": "vm1", "state": "running"}"#);
    let piece = |state: &str, out: &str, at: usize| {
        json(&format!(
            r#"{{"cmd_id": "k7mq2x.vm1", "guest": "vm1", "state": "{state}", "finished": true, "exitCodeOrSignal": 7, "out": "{out}", "out_offset": {at}, "err_offset": 0, "more": false}}"#
        ))
    };
    let agent = FakeAgent::default()
        .answers("cmd.poll", facts)
        .answers("cmd.wait", piece("running", "one ", 4))
        .answers("cmd.wait", piece("done", "two", 7));
    assert_eq!(vocable(&agent, &["logs", "-f", "k7"]), "one two", "its exit code is not ours here");
    insta::assert_snapshot!(agent.calls(), @r#"
    cmd.poll("k7", {"err_offset":9007199254740992,"out_offset":9007199254740992})
    cmd.wait("k7mq2x.vm1", 20.0, {"until":"output"})
    cmd.wait("k7mq2x.vm1", 20.0, {"offsets":{"k7mq2x.vm1":[4,0]},"until":"output"})
    "#);
}

#[test]
fn logs_of_the_last_lines_begin_where_they_begin() {
    let facts = json(
        r#"{"cmd_id": "k7mq2x.vm1", "guest": "vm1", "state": "running", "out_bytes": 14, "err_bytes": 0}"#,
    );
    let whole = json(r#"{"cmd_id": "k7mq2x.vm1", "out": "one\ntwo\nthree\n", "more": false}"#);
    let rest = json(
        r#"{"cmd_id": "k7mq2x.vm1", "guest": "vm1", "state": "running", "out": "two\nthree\n", "out_offset": 14, "err_offset": 0, "more": false}"#,
    );
    let agent =
        FakeAgent::default().answers("cmd.poll", facts).answers("cmd.poll", whole).answers("cmd.poll", rest);
    assert_eq!(vocable(&agent, &["logs", "-n", "2", "k7mq2x.vm1"]), "two\nthree\n");
    insta::assert_snapshot!(agent.calls(), @r#"
    cmd.poll("k7mq2x.vm1", {"err_offset":9007199254740992,"out_offset":9007199254740992})
    cmd.poll("k7mq2x.vm1", {"err_offset":9007199254740992,"out_offset":0})
    cmd.poll("k7mq2x.vm1", {"offsets":{"k7mq2x.vm1":[4,0]}})
    "#);
}

#[test]
fn logs_of_a_run_have_names_and_say_what_is_missing() {
    let left_out = r#""left_out": {"out": 1258291, "err": 0, "reason": "spool limit 1 GiB"}"#;
    let reports = format!(
        r#"{{"cmd_id": "k7mq2x", "commands": [
            {{"cmd_id": "k7mq2x.vm1", "guest": "vm1", "state": "done", "finished": true, "exitCodeOrSignal": 0, "out": "a\nb\n", "more": false, {left_out}}},
            {{"cmd_id": "k7mq2x.vm2", "guest": "vm2", "state": "failed", "error": {{"code": "guest-offline", "message": "vm2 does not answer"}}}}
        ]}}"#
    );
    let agent = FakeAgent::default().answers("cmd.poll", json(&reports)).answers("cmd.poll", json(&reports));
    insta::assert_snapshot!(vocable(&agent, &["logs", "k7mq2x"]), @r#"
    vm1: a
    vm1: b
    ------- stderr
    warning: k7mq2x.vm1: 1.2 MiB of output dropped (spool limit 1 GiB)
    note: k7mq2x.vm2: guest-offline: vm2 does not answer
    ------- exit code 1
    "#);
}

fn ended(id: &str, code: i32) -> vocable_xmlrpc::Value {
    json(&format!(
        r#"{{"cmd_id": "{id}", "guest": "vm1", "state": "done", "finished": true, "exitCodeOrSignal": {code}, "started_unix": 0, "ended_unix": 41.3, "out": "", "out_offset": 9007199254740992}}"#
    ))
}

#[test]
fn wait_tells_how_it_ended() {
    let agent = FakeAgent::default().answers("cmd.wait", ended("k7mq2x.vm1", 2));
    insta::assert_snapshot!(vocable(&agent, &["wait", "k7"]), @r#"
    k7mq2x.vm1  exit 2   41.3 s
    ------- exit code 2
    "#);
    insta::assert_snapshot!(agent.calls(), @r#"cmd.wait("k7", 20.0, {"err_offset":9007199254740992,"out_offset":9007199254740992})"#);
    let two = || {
        FakeAgent::default()
            .answers("cmd.wait", ended("k7mq2x.vm1", 2))
            .answers("cmd.wait", ended("b9t4hc.vm1", 0))
    };
    insta::assert_snapshot!(vocable(&two(), &["wait", "k7", "b9"]), @r#"
    k7mq2x.vm1  exit 2   41.3 s
    b9t4hc.vm1  exit 0   41.3 s
    ------- exit code 123
    "#);
    insta::assert_snapshot!(vocable(&two(), &["wait", "-q", "k7", "b9"]), @r#"
    2
    0
    ------- exit code 123
    "#);
    insta::assert_snapshot!(vocable(&two(), &["wait", "--json", "k7", "b9"]), @r#"
    {"by":"command","cmd_id":"k7mq2x.vm1","ended_unix":41.3,"event":"done","exitCodeOrSignal":2,"finished":true,"guest":"vm1","started_unix":0,"state":"done"}
    {"by":"command","cmd_id":"b9t4hc.vm1","ended_unix":41.3,"event":"done","exitCodeOrSignal":0,"finished":true,"guest":"vm1","started_unix":0,"state":"done"}
    ------- exit code 123
    "#);
}

#[test]
fn wait_asks_again_until_it_is_over_or_time_is_up() {
    let running = || json(r#"{"cmd_id": "k7mq2x.vm1", "guest": "vm1", "state": "running"}"#);
    let agent =
        FakeAgent::default().answers("cmd.wait", running()).answers("cmd.wait", ended("k7mq2x.vm1", 0));
    assert_eq!(vocable(&agent, &["wait", "k7"]), "k7mq2x.vm1  exit 0   41.3 s\n");
    insta::assert_snapshot!(vocable(&FakeAgent::default(), &["wait", "k7", "--timeout", "0s"]), @r#"
    ------- stderr
    error[timed-out]: k7 is not over after 0s; it goes on
      hint: vocable logs -f k7
    ------- exit code 124
    "#);
}

#[test]
fn wait_for_any_looks_again_when_something_happens_to_a_command() {
    let running = |id: &str| json(&format!(r#"{{"cmd_id": "{id}", "guest": "vm1", "state": "running"}}"#));
    let agent = FakeAgent::default()
        .answers("agent.events", json(r#"{"next": 7, "dropped": 0, "events": []}"#))
        .answers("cmd.poll", running("a.vm1"))
        .answers("cmd.poll", running("b.vm1"))
        .answers(
            "agent.events",
            json(r#"{"next": 8, "events": [{"seq": 7, "kind": "guest.late", "guest": "vm1"}]}"#),
        )
        .answers(
            "agent.events",
            json(r#"{"next": 9, "events": [{"seq": 8, "kind": "cmd.done", "cmd_id": "b.vm1"}]}"#),
        )
        .answers("cmd.poll", running("a.vm1"))
        .answers("cmd.poll", ended("b.vm1", 4));
    insta::assert_snapshot!(vocable(&agent, &["wait", "--any", "a", "b"]), @r#"
    b.vm1  exit 4   41.3 s
    ------- exit code 4
    "#);
    insta::assert_snapshot!(agent.calls(), @r#"
    agent.events(9007199254740992, 0.0)
    cmd.poll("a", {"err_offset":9007199254740992,"out_offset":9007199254740992})
    cmd.poll("b", {"err_offset":9007199254740992,"out_offset":9007199254740992})
    agent.events(7.0, 20.0)
    agent.events(8.0, 20.0)
    cmd.poll("a", {"err_offset":9007199254740992,"out_offset":9007199254740992})
    cmd.poll("b", {"err_offset":9007199254740992,"out_offset":9007199254740992})
    "#);
}

fn signalled(error: &str) -> vocable_xmlrpc::Value {
    json(&format!(r#"{{"commands": [{{"cmd_id": "k7mq2x.vm1", "guest": "vm1", {error}}}]}}"#))
}

fn report(rest: &str) -> vocable_xmlrpc::Value {
    json(&format!(r#"{{"cmd_id": "k7mq2x.vm1", "guest": "vm1", {rest}}}"#))
}

#[test]
fn kill_ends_commands_and_says_how_they_ended() {
    let agent = FakeAgent::default()
        .answers("cmd.cancel", signalled(r#""signalled": 9"#))
        .answers("cmd.wait", report(r#""state": "cancelled", "finished": false, "exitCodeOrSignal": 15"#));
    insta::assert_snapshot!(vocable(&agent, &["kill", "k7", "--grace", "2s"]), @r#"k7mq2x.vm1: TERM sent to 9 processes, ended after 0 ms by SIGTERM"#);
    insta::assert_snapshot!(agent.calls(), @r#"
    cmd.cancel("k7", {"grace_s":2.0})
    cmd.wait("k7mq2x.vm1", 20.0, {"err_offset":9007199254740992,"out_offset":9007199254740992})
    "#);
    let agent = || {
        FakeAgent::default()
            .answers("cmd.cancel", signalled(r#""signalled": 0"#))
            .answers("cmd.wait", report(r#""state": "done", "finished": true, "exitCodeOrSignal": 3"#))
    };
    insta::assert_snapshot!(vocable(&agent(), &["kill", "k7"]), @r#"k7mq2x.vm1: nothing was left to end, it ended with exit code 3"#);
    insta::assert_snapshot!(vocable(&agent(), &["kill", "--json", "k7"]), @r#"{"commands":[{"cmd_id":"k7mq2x.vm1","ended":true,"exitCodeOrSignal":3,"finished":true,"guest":"vm1","signalled":0,"state":"done"}]}"#);
    let lost = r#""error": {"code": "guest-offline", "message": "vm1: lost"}"#;
    let agent = FakeAgent::default()
        .answers("cmd.cancel", signalled(lost))
        .answers("cmd.wait", report(r#""state": "running""#));
    insta::assert_snapshot!(vocable(&agent, &["kill", "k7"]), @r#"
    ------- stderr
    error[guest-offline]: k7mq2x.vm1: vm1: lost
      hint: vocable wait k7mq2x.vm1
    ------- exit code 1
    "#);
}

#[test]
fn kill_sends_one_signal_and_asks_before_it_ends_all() {
    let agent = FakeAgent::default().answers("cmd.signal", signalled(r#""signalled": 1"#));
    insta::assert_snapshot!(vocable(&agent, &["kill", "-s", "SIGUSR1", "k7"]), @r#"k7mq2x.vm1: USR1 sent to 1 process"#);
    insta::assert_snapshot!(agent.calls(), @r#"cmd.signal("k7", "SIGUSR1")"#);
    insta::assert_snapshot!(vocable(&listed(), &["kill", "--all", "vm1"]), @"
    ------- stderr
    error[needs-yes]: ending 2 commands on vm1 needs confirmation: use --yes
    ------- exit code 2
    ");
    insta::assert_snapshot!(vocable(&listed().answers("guest.select", json(r#"["vm7"]"#)), &["kill", "--all", "vm7"]), @r#"
    ------- stderr
    note: no commands under way on vm7
    "#);
    insta::assert_snapshot!(vocable(&FakeAgent::default(), &["kill"]), @r#"
    ------- stderr
    error[usage]: the following required arguments were not provided: <ID>...
      hint: vocable kill --help
    ------- exit code 2
    "#);
}

#[test]
fn top_shows_who_uses_most_first() {
    let used = || {
        FakeAgent::default().answers(
            "cmd.usage",
            json(
                r#"{"time_unix": 1100, "commands": [
                {"cmd_id": "q8rf5z.vm3", "guest": "vm3", "cmd": "sleep", "args": ["600"], "started_unix": 1000,
                 "usage": {"cpu_s": 0.01, "rss_bytes": 9437184, "read_bytes": 0, "written_bytes": 0, "processes": 1}},
                {"cmd_id": "k7mq2x.vm1", "guest": "vm1", "cmd": "make", "args": ["-j4", "world"], "started_unix": 1000,
                 "usage": {"cpu_s": 384, "rss_bytes": 1181116006, "read_bytes": 1258291200, "processes": 9}},
                {"cmd_id": "p3wd8n.vm2", "guest": "vm2", "cmd": "./soak.sh", "args": [],
                 "error": {"code": "guest-offline", "message": "vm2: lost"}}
            ]}"#,
            ),
        )
    };
    insta::assert_snapshot!(vocable(&used(), &["top"]), @r#"
    GUEST   CPU      RSS  READ/S  WRITE/S  PROCS  ID          COMMAND
    vm1    384%  1.1 GiB  12 MiB        ?      9  k7mq2x.vm1  make -j4 world
    vm3      0%  9.0 MiB       0        0      1  q8rf5z.vm3  sleep 600
    ------- stderr
    note: p3wd8n.vm2: vm2: lost
    "#);
    insta::assert_snapshot!(vocable(&used(), &["top", "vm3", "--sort", "rss"]), @r#"
    GUEST  CPU      RSS  READ/S  WRITE/S  PROCS  ID          COMMAND
    vm3     0%  9.0 MiB       0        0      1  q8rf5z.vm3  sleep 600
    "#);
    insta::assert_snapshot!(vocable(&used(), &["top", "--once", "--json"]), @r#"{"guests":[{"commands":[{"cmd_id":"k7mq2x.vm1","command":"make -j4 world","cpu_pct":384.0,"processes":9,"read_bytes_s":12582912.0,"rss_bytes":1181116006,"written_bytes_s":null}],"cpu_pct":384.0,"guest":"vm1","rss_bytes":1181116006},{"commands":[{"cmd_id":"q8rf5z.vm3","command":"sleep 600","cpu_pct":0.0,"processes":1,"read_bytes_s":0.0,"rss_bytes":9437184,"written_bytes_s":0.0}],"cpu_pct":0.0,"guest":"vm3","rss_bytes":9437184}],"time_unix":1100}"#);
    let none = FakeAgent::default().answers("cmd.usage", json(r#"{"time_unix": 1100, "commands": []}"#));
    insta::assert_snapshot!(vocable(&none, &["top"]), @r#"
    ------- stderr
    note: no commands run
    "#);
}
