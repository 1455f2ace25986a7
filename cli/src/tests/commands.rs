//! `vocable ps`, `logs`, `wait`, `kill` and `top`.

use crate::testing::{FakeAgent, Screen, json, on, vocable};
use vocable_api::agent::{Event, EventPage, Events};
use vocable_api::cmd::{
    Cancel, Command, Failure, GetUsage, LeftOut, List, Poll, Resources, SendSignal, Signalled,
    SignalledCommand, State, Usage, Usages, UsedCommand, Wait,
};
use vocable_api::{Any, Text, UnixTime};

/// 2026-11-22 09:06:04 UTC less 12 minutes.
const CREATED: f64 = 1_795_337_644.0;

fn command(id: &str, state: State) -> Command {
    let guest = id.split_once('.').map(|(_, guest)| guest.to_owned()).unwrap_or_default();
    Command { cmd_id: id.to_owned(), guest, state, created_unix: UnixTime(CREATED), ..Command::default() }
}

fn running(program: &[&str]) -> Command {
    of_program(command("k7mq2x.vm1", State::Running), program)
}

fn of_program(command: Command, program: &[&str]) -> Command {
    let (cmd, args) = program.split_first().unwrap();
    let args = args.iter().map(ToString::to_string).collect();
    Command { cmd: Some(cmd.to_string()), args: Some(args), ..command }
}

fn done(id: &str, finished: bool, code: i64) -> Command {
    Command { finished: Some(finished), exit_code_or_signal: Some(code), ..command(id, State::Done) }
}

fn used(command: Command, ru_utime: f64, ru_stime: f64, ru_maxrss: i64) -> Command {
    let used = Resources { ru_utime, ru_stime, ru_maxrss, ..Resources::default() };
    Command { resources: Some(Any(vocable_xmlrpc::to_value(&used).unwrap())), ..command }
}

fn asked(command: Command, created: f64) -> Command {
    Command { created_unix: UnixTime(created), ..command }
}

fn lost() -> Failure {
    Failure::new("guest-offline", "vm1: lost")
}

fn listed() -> FakeAgent {
    let lost =
        Command { error: Some(Failure::new("lost", "nobody knows")), ..command("p3wd8n.vm2", State::Lost) };
    let failed = used(done("b9t4hc.vm1", true, 3), 36.1, 2.8, 421_888);
    let killed = used(done("x2vq7j.vm3", false, 11), 0.0, 0.01, 1024);
    let all = vec![
        running(&["make", "-j4", "world"]),
        of_program(lost, &["./soak.sh"]),
        asked(of_program(failed, &["sh", "-c", "exit 3"]), 1_795_334_000.0),
        asked(of_program(killed, &["/opt/sim", "--seed", "7"]), 1_795_330_000.0),
    ];
    let usage = Usage { cpu_s: 700.5, rss_bytes: 1_181_116_006, processes: 9, ..Usage::default() };
    let used = UsedCommand { cmd_id: "k7mq2x.vm1".into(), usage: Some(usage), ..UsedCommand::default() };
    FakeAgent::default().replies::<List>(all).replies::<GetUsage>(usages(vec![used]))
}

fn usages(commands: Vec<UsedCommand>) -> Usages {
    Usages { time_unix: UnixTime(1100.0), commands }
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
    let paused = Some("the output limit of 4GiB is reached".to_owned());
    let agent = FakeAgent::default().replies::<List>(vec![Command { paused, ..running(&["yes"]) }]);
    let agent = agent.replies::<GetUsage>(usages(Vec::new()));
    insta::assert_snapshot!(vocable(&agent, &["ps"]), @r#"
    ID          GUEST  STATE   AGE  CPU  RSS  EXIT  COMMAND
    k7mq2x.vm1  vm1    paused  12m                  yes
    ------- stderr
    note: k7mq2x.vm1 is paused: the output limit of 4GiB is reached
    "#);
}

#[test]
fn ps_says_when_there_is_nothing() {
    let none = || FakeAgent::default().replies::<List>(Vec::new());
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

/// With output up to there.
fn wrote(command: Command, out: &str, err: &str) -> Command {
    Command {
        out: Some(Text(out.into())),
        err: Some(Text(err.into())),
        out_offset: Some(out.len() as u64),
        err_offset: Some(err.len() as u64),
        more: Some(false),
        ..command
    }
}

#[test]
fn logs_print_what_is_there() {
    let facts = Command { out_bytes: Some(5), err_bytes: Some(4), ..running(&["make"]) };
    let output = wrote(running(&["make"]), "tick\n", "tock");
    let agent = || FakeAgent::default().replies::<Poll>(facts.clone()).replies::<Poll>(output.clone());
    let told = agent();
    insta::assert_snapshot!(vocable(&told, &["logs", "k7"]), @r#"
    tick
    ------- stderr
    tock
    "#);
    insta::assert_snapshot!(told.calls(), @r#"
    cmd.poll("k7", {"err_offset":9007199254740992,"out_offset":9007199254740992})
    cmd.poll("k7mq2x.vm1")
    "#);
    assert_eq!(vocable(&agent(), &["logs", "--stdout", "k7"]), "tick\n");
    insta::assert_snapshot!(vocable(&agent(), &["logs", "--json", "k7"]), @r#"
    {"cmd_id":"k7mq2x.vm1","data":"tick\n","event":"output","guest":"vm1","offset":0,"stream":"out"}
    {"cmd_id":"k7mq2x.vm1","data":"tock","event":"output","guest":"vm1","offset":0,"stream":"err"}
    "#);
}

#[test]
fn logs_follow_to_the_end() {
    let agent = FakeAgent::default()
        .replies::<Poll>(running(&["make"]))
        .replies::<Wait>(wrote(running(&["make"]), "one ", ""))
        .replies::<Wait>(wrote(done("k7mq2x.vm1", true, 7), "two", ""));
    assert_eq!(vocable(&agent, &["logs", "-f", "k7"]), "one two", "its exit code is not ours here");
    insta::assert_snapshot!(agent.calls(), @r#"
    cmd.poll("k7", {"err_offset":9007199254740992,"out_offset":9007199254740992})
    cmd.wait("k7mq2x.vm1", 20.0, {"until":"output"})
    cmd.wait("k7mq2x.vm1", 20.0, {"offsets":{"k7mq2x.vm1":[4,0]},"until":"output"})
    "#);
}

#[test]
fn logs_of_the_last_lines_begin_where_they_begin() {
    let facts = Command { out_bytes: Some(14), err_bytes: Some(0), ..running(&["make"]) };
    let piece = |out: &str| wrote(running(&["make"]), out, "");
    let agent = FakeAgent::default()
        .replies::<Poll>(facts)
        .replies::<Poll>(piece("one\ntwo\nthree\n"))
        .replies::<Poll>(piece("two\nthree\n"));
    assert_eq!(vocable(&agent, &["logs", "-n", "2", "k7mq2x.vm1"]), "two\nthree\n");
    insta::assert_snapshot!(agent.calls(), @r#"
    cmd.poll("k7mq2x.vm1", {"err_offset":9007199254740992,"out_offset":9007199254740992})
    cmd.poll("k7mq2x.vm1", {"err_offset":9007199254740992,"out_offset":0})
    cmd.poll("k7mq2x.vm1", {"offsets":{"k7mq2x.vm1":[4,0]}})
    "#);
}

#[test]
fn logs_of_a_run_have_names_and_say_what_is_missing() {
    let left_out = LeftOut { out: 1_258_291, err: 0, reason: Some("spool limit 1 GiB".into()) };
    let cut = Command { left_out: Some(left_out), ..wrote(done("k7mq2x.vm1", true, 0), "a\nb\n", "") };
    let error = Some(Failure::new("guest-offline", "vm2 does not answer"));
    let missed = Command { error, ..command("k7mq2x.vm2", State::Failed) };
    let run = Command { commands: Some(vec![cut, missed]), ..command("k7mq2x", State::Done) };
    let agent = FakeAgent::default().replies::<Poll>(run.clone()).replies::<Poll>(run);
    insta::assert_snapshot!(vocable(&agent, &["logs", "k7mq2x"]), @r#"
    vm1: a
    vm1: b
    ------- stderr
    warning: k7mq2x.vm1: 1.2 MiB of output dropped (spool limit 1 GiB)
    note: k7mq2x.vm2: guest-offline: vm2 does not answer
    ------- exit code 1
    "#);
}

fn ended(id: &str, code: i64) -> Command {
    Command {
        started_unix: Some(UnixTime(0.0)),
        ended_unix: Some(UnixTime(41.3)),
        ..wrote(done(id, true, code), "", "")
    }
}

#[test]
fn wait_tells_how_it_ended() {
    let agent = FakeAgent::default().replies::<Wait>(ended("k7mq2x.vm1", 2));
    insta::assert_snapshot!(vocable(&agent, &["wait", "k7"]), @r#"
    k7mq2x.vm1  exit 2   41.3 s
    ------- exit code 2
    "#);
    insta::assert_snapshot!(agent.calls(), @r#"cmd.wait("k7", 20.0, {"err_offset":9007199254740992,"out_offset":9007199254740992})"#);
    let two = || {
        FakeAgent::default().replies::<Wait>(ended("k7mq2x.vm1", 2)).replies::<Wait>(ended("b9t4hc.vm1", 0))
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
    {"by":"command","cmd_id":"k7mq2x.vm1","created":"1970-01-01T00:00:00Z","created_unix":1795337644.0,"ended_unix":41.3,"event":"done","exitCodeOrSignal":2,"finished":true,"guest":"vm1","started_unix":0.0,"state":"done"}
    {"by":"command","cmd_id":"b9t4hc.vm1","created":"1970-01-01T00:00:00Z","created_unix":1795337644.0,"ended_unix":41.3,"event":"done","exitCodeOrSignal":0,"finished":true,"guest":"vm1","started_unix":0.0,"state":"done"}
    ------- exit code 123
    "#);
}

#[test]
fn wait_asks_again_until_it_is_over_or_time_is_up() {
    let agent =
        FakeAgent::default().replies::<Wait>(running(&["make"])).replies::<Wait>(ended("k7mq2x.vm1", 0));
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
    let running = |id: &str| command(id, State::Running);
    let event = |seq: u64, cmd_id: Option<&str>| EventPage {
        next: seq + 1,
        events: vec![Event { seq, cmd_id: cmd_id.map(str::to_owned), ..Event::default() }],
        ..EventPage::default()
    };
    let agent = FakeAgent::default()
        .replies::<Events>(EventPage { next: 7, ..EventPage::default() })
        .replies::<Poll>(running("a.vm1"))
        .replies::<Poll>(running("b.vm1"))
        .replies::<Events>(event(7, None))
        .replies::<Events>(event(8, Some("b.vm1")))
        .replies::<Poll>(running("a.vm1"))
        .replies::<Poll>(ended("b.vm1", 4));
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

fn signalled(count: Option<u64>, error: Option<Failure>) -> Signalled {
    let (cmd_id, guest) = ("k7mq2x.vm1".to_owned(), "vm1".to_owned());
    Signalled { commands: vec![SignalledCommand { cmd_id, guest, signalled: count, error }] }
}

#[test]
fn kill_ends_commands_and_says_how_they_ended() {
    let agent = FakeAgent::default()
        .replies::<Cancel>(signalled(Some(9), None))
        .replies::<Wait>(Command { state: State::Cancelled, ..done("k7mq2x.vm1", false, 15) });
    insta::assert_snapshot!(vocable(&agent, &["kill", "k7", "--grace", "2s"]), @r#"k7mq2x.vm1: TERM sent to 9 processes, ended after 0 ms by SIGTERM"#);
    insta::assert_snapshot!(agent.calls(), @r#"
    cmd.cancel("k7", {"grace_s":2.0})
    cmd.wait("k7mq2x.vm1", 20.0, {"err_offset":9007199254740992,"out_offset":9007199254740992})
    "#);
    let agent = || {
        FakeAgent::default().replies::<Cancel>(signalled(Some(0), None)).replies::<Wait>(done(
            "k7mq2x.vm1",
            true,
            3,
        ))
    };
    insta::assert_snapshot!(vocable(&agent(), &["kill", "k7"]), @r#"k7mq2x.vm1: nothing was left to end, it ended with exit code 3"#);
    insta::assert_snapshot!(vocable(&agent(), &["kill", "--json", "k7"]), @r#"{"commands":[{"cmd_id":"k7mq2x.vm1","ended":true,"exitCodeOrSignal":3,"finished":true,"guest":"vm1","signalled":0,"state":"done"}]}"#);
    let agent = FakeAgent::default()
        .replies::<Cancel>(signalled(None, Some(lost())))
        .replies::<Wait>(running(&["make"]));
    insta::assert_snapshot!(vocable(&agent, &["kill", "k7"]), @r#"
    ------- stderr
    error[guest-offline]: k7mq2x.vm1: vm1: lost
      hint: vocable wait k7mq2x.vm1
    ------- exit code 1
    "#);
}

#[test]
fn kill_sends_one_signal_and_asks_before_it_ends_all() {
    let agent = FakeAgent::default().replies::<SendSignal>(signalled(Some(1), None));
    insta::assert_snapshot!(vocable(&agent, &["kill", "-s", "SIGUSR1", "k7"]), @r#"k7mq2x.vm1: USR1 sent to 1 process"#);
    insta::assert_snapshot!(agent.calls(), @r#"cmd.signal("k7", "USR1")"#);
    insta::assert_snapshot!(vocable(&listed(), &["kill", "--all", "vm1"]), @r#"
    ------- stderr
    error[needs-yes]: ending 2 commands on vm1 needs a yes, and nobody is there to give it
      hint: add --yes
    ------- exit code 2
    "#);
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
    let command = |id: &str, program: &[&str], started: Option<f64>| {
        let command = of_program(command(id, State::Running), program);
        UsedCommand {
            cmd_id: command.cmd_id,
            guest: command.guest,
            cmd: command.cmd.unwrap(),
            args: command.args.unwrap(),
            started_unix: started.map(UnixTime),
            ..UsedCommand::default()
        }
    };
    let sleeping = Usage {
        cpu_s: 0.01,
        rss_bytes: 9_437_184,
        read_bytes: Some(0),
        written_bytes: Some(0),
        processes: 1,
        ..Usage::default()
    };
    let making = Usage {
        cpu_s: 384.0,
        rss_bytes: 1_181_116_006,
        read_bytes: Some(1_258_291_200),
        processes: 9,
        ..Usage::default()
    };
    let used = || {
        let away = Failure::new("guest-offline", "vm2: lost");
        FakeAgent::default().replies::<GetUsage>(usages(vec![
            UsedCommand {
                usage: Some(sleeping.clone()),
                ..command("q8rf5z.vm3", &["sleep", "600"], Some(1000.0))
            },
            UsedCommand {
                usage: Some(making.clone()),
                ..command("k7mq2x.vm1", &["make", "-j4", "world"], Some(1000.0))
            },
            UsedCommand { error: Some(away), ..command("p3wd8n.vm2", &["./soak.sh"], None) },
        ]))
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
    insta::assert_snapshot!(vocable(&used(), &["top", "--once", "--json"]), @r#"{"guests":[{"commands":[{"cmd_id":"k7mq2x.vm1","command":"make -j4 world","cpu_pct":384.0,"processes":9,"read_bytes_s":12582912.0,"rss_bytes":1181116006,"written_bytes_s":null}],"cpu_pct":384.0,"guest":"vm1","rss_bytes":1181116006},{"commands":[{"cmd_id":"q8rf5z.vm3","command":"sleep 600","cpu_pct":0.0,"processes":1,"read_bytes_s":0.0,"rss_bytes":9437184,"written_bytes_s":0.0}],"cpu_pct":0.0,"guest":"vm3","rss_bytes":9437184}],"time_unix":1100.0}"#);
    let none = FakeAgent::default().replies::<GetUsage>(usages(Vec::new()));
    insta::assert_snapshot!(vocable(&none, &["top"]), @r#"
    ------- stderr
    note: no commands run
    "#);
}
