//! What callers do works the same over TCP, over TLS and through the socket.

use std::fs;
use std::thread;
use std::time::Duration;
use vocable_api::client::{EventFilter, EventMessage};
use vocable_api::cmd::Run;
use vocable_tests::host::{Host, Transport, Typed, program, typed};
use vocable_tests::terminal::Person;

const TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn callers_do_the_same_over_every_transport() {
    let host = Host::on_all_transports();
    let _vm1 = host.guest("vm1").joins();
    thread::scope(|scope| {
        for transport in [Transport::Tcp, Transport::Tls, Transport::Unix] {
            let host = &host;
            scope.spawn(move || calls_copies_and_attaches(host, transport));
        }
    });
}

fn calls_copies_and_attaches(host: &Host, transport: Transport) {
    let url = host.url(transport);
    let with_url = |line: &[&str]| host.command_line(&[&["--agent", &url], line].concat());
    let types = |line: &[&str]| typed(&mut with_url(line));
    let done = |typed: Typed| {
        assert_eq!(typed.code, Some(0), "{transport:?}: {typed:?}");
        typed
    };
    let of_commands = EventFilter { kinds: vec!["cmd.done".to_owned()], ..EventFilter::default() };
    let mut events = host.client(transport).events(of_commands).unwrap();

    let ran = types(&["run", "vm1", "--", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((ran.code, ran.text()), (Some(3), "out\n"), "{transport:?}: {ran:?}");
    assert_eq!(ran.err, "err", "{transport:?}");

    let id = done(types(&["run", "-d", "vm1", "--", "echo", "logged"])).text().trim().to_owned();
    assert_eq!(done(types(&["wait", &id])).code, Some(0));
    assert_eq!(done(types(&["logs", &id])).text(), "logged\n");
    let told = events.find_map(|message| match message.unwrap() {
        EventMessage::Event(event) if event.cmd_id.as_deref() == Some(&id) => Some(event),
        EventMessage::Event(_) => None,
        EventMessage::Gap(gap) => panic!("{transport:?}: {gap:?}"),
    });
    assert_eq!(told.unwrap().guest.as_deref(), Some("vm1"));
    let told = done(types(&["events", "--no-follow", "--kind", "cmd.done", "--since", "#1"]));
    assert!(told.text().contains(&id), "{transport:?}: {told:?}");

    let name = format!("{transport:?}");
    let (sent, back) = (host.folder().join(&name), host.folder().join("back").join(&name));
    fs::create_dir_all(sent.join("inner")).unwrap();
    fs::create_dir_all(back.parent().unwrap()).unwrap();
    fs::write(sent.join("inner/file"), vec![7; 300_000]).unwrap();
    done(types(&["cp", "-r", sent.to_str().unwrap(), "vm1:/inbox/"]));
    done(types(&["cp", "-r", &format!("vm1:/inbox/{name}"), back.to_str().unwrap()]));
    assert_eq!(fs::read(back.join("inner/file")).unwrap(), vec![7; 300_000], "{transport:?}");

    let shell = ["run", "-it", "vm1", "-e", "PS1=ready> ", "--", "sh"];
    let mut person = Person::starts(with_url(&shell).env("TERM", "xterm-story"));
    person.sees("ready> ").types("echo at a $TERM\r").sees("at a xterm-story").sees("ready> ");
    person.types("exit 5\r");
    assert_eq!(person.leaves(), Some(5), "{transport:?}");

    let waits = Run {
        target: "vm1".to_owned(),
        cmd: "sh".to_owned(),
        args: ["-c", "read line; echo got $line"].map(str::to_owned).to_vec(),
        stream_stdin: Some(true),
        ..Run::default()
    };
    let id = host.client(transport).call(&waits, TIMEOUT).unwrap();
    let mut person = Person::starts(&with_url(&["attach", &id]));
    person.types("a line\r").sees("got a line");
    assert_eq!(person.leaves(), Some(0), "{transport:?}");
}

/// The example of `api/`: a program of somebody else.
#[test]
fn a_program_runs_a_command_and_follows_its_output() {
    let host = Host::on_all_transports();
    let _vm1 = host.guest("vm1").joins();
    let mut example = program("examples/run");
    example.args([&host.url(Transport::Unix), "vm1", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    let ran = typed(&mut example);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), "err"), "{ran:?}");
    assert!(ran.text().starts_with("out\n") && ran.text().ends_with(" on vm1: done\n"), "{ran:?}");
}
