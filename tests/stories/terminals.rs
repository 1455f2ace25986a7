//! Terminals and streamed input: commands that are held from both ends, over the one route that goes both ways.

use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use vocable_tests::guest::Guest;
use vocable_tests::host::Host;
use vocable_tests::http::Caller;
use vocable_tests::proxy::Proxy;
use vocable_tests::terminal::Person;

fn bed() -> (Host, Guest) {
    let host = Host::start();
    let vm1 = host.guest("vm1").joins();
    (host, vm1)
}

fn at_terminal(host: &Host, line: &[&str]) -> Person {
    Person::starts(host.command_line(line).env("TERM", "xterm-story"))
}

/// The id of the only command there is.
fn only_command(host: &Host) -> String {
    let all = host.call("cmd.list", json!([{"all": true}])).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 1, "{all:#}");
    all[0]["cmd_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_shell_at_a_terminal_feels_local() {
    let (host, _vm1) = bed();
    let mut person = at_terminal(&host, &["run", "-it", "vm1", "-e", "PS1=ready> ", "--", "sh"]);
    person.sees("ready> ");
    assert!(!person.has_lines(), "keys are not ours while the command has them");
    person.types("test -t 0 && test -t 1 && test -t 2 && echo all $TERM; stty size\r");
    person.sees("all xterm-story").sees("24 80").sees("ready> ");
    // The size is told as soon as it is known, and the shell asks for it anew.
    person
        .resizes(50, 132)
        .types("until stty size | grep '50 132'; do :; done\r")
        .sees("\n50 132")
        .sees("ready> ");
    // Ctrl-C is a key like others, for whatever has the terminal over there.
    person
        .types("sh -c 'trap \"echo caught\" INT; echo go; read x'\r")
        .sees("\ngo\r\n")
        .types("\x03")
        .sees("caught");
    person.types("\r").sees("ready> ").types("exit 7\r");
    assert_eq!(person.leaves(), Some(7));
    assert!(person.has_lines(), "the terminal was not given back");
}

#[test]
fn a_terminal_is_left_and_come_back_to_and_one_writes() {
    let (host, _vm1) = bed();
    let mut first = at_terminal(&host, &["run", "-it", "vm1", "-e", "PS1=ready> ", "--", "sh"]);
    first.sees("ready> ");
    let id = only_command(&host);
    let mut second = at_terminal(&host, &["attach", &id]);
    second.sees("somebody else writes");
    first.types("echo both\r").sees("\nboth\r\n");
    second.sees("\nboth\r\n").types("echo in vain\r").sees("\x07");
    first.types("\x1d?").sees("d  detach").types("\x1dd").sees(&format!("left {id} running on vm1"));
    assert_eq!((first.leaves(), first.has_lines()), (Some(0), true));

    // Now the second one writes.
    first = at_terminal(&host, &["attach", &id, "--from-start", "--no-stdin"]);
    // Who only watches keeps his terminal as it is: it adds to the ends of lines what it always adds.
    first.sees("ready> ").sees("\nboth\r");
    let said = "the second says so";
    second
        .resizes(30, 100)
        .types(&format!("echo '{}'\r", said.replace(' ', "''  ''")))
        .sees("\nthe  second  says  so\r\n");
    first.sees("\nthe  second  says  so\r");
    // A shell that is spoken with does not listen to TERM, so it is killed after the grace.
    second.types("\x1dk");
    assert_eq!((second.leaves(), first.leaves()), (Some(128 + 9), Some(128 + 9)));
}

#[test]
fn a_terminal_that_is_lost_is_hung_up() {
    let host = Host::with(&["terminal.hangup_after = \"300ms\""]);
    let _vm1 = host.guest("vm1").joins();
    let script = "trap 'echo hung up; exit 3' HUP; echo ready; while :; do read x; done";
    let mut person = at_terminal(&host, &["run", "-it", "vm1", "--", "sh", "-c", script]);
    person.sees("ready");
    let command = host.command(&only_command(&host));
    person.is_killed();
    let ran = command.ends();
    assert!(ran.text().contains("hung up"), "{ran:?}");
    assert_eq!(ran.ending(), (true, 3));
}

#[test]
fn without_input_a_terminal_only_shows() {
    let (host, _vm1) = bed();
    let typed =
        host.types(&["run", "-t", "vm1", "--", "sh", "-c", "test -t 1 && echo shown; echo all >&2; exit 5"]);
    assert_eq!((typed.code, typed.text(), typed.err.as_str()), (Some(5), "shown\r\nall\r\n", ""));
    for (line, told) in [
        (&["run", "-t", "vm*", "--", "sh"][..], "one guest"),
        (&["run", "-t", "vm1", "--json", "--", "sh"], "no JSON"),
    ] {
        let typed = host.types(line);
        assert!(typed.code == Some(125) && typed.err.contains(told), "{typed:?}");
    }
}

/// A command line with pipes at its ends.
fn piped(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn input_arrives_while_it_is_typed() {
    let (host, _vm1) = bed();
    let id = host.starts_with("vm1", &["cat"], json!({"stream_stdin": true})).id;
    let mut cat = piped(&mut host.command_line(&["attach", &id]));
    let (mut keys, mut out) = (cat.stdin.take().unwrap(), BufReader::new(cat.stdout.take().unwrap()));
    for line in ["one\n", "two\n", "\u{fc}\n"] {
        keys.write_all(line.as_bytes()).unwrap();
        let mut came = String::new();
        out.read_line(&mut came).unwrap();
        assert_eq!(came, line);
    }
    drop(keys);
    assert_eq!(out.read_line(&mut String::new()).unwrap(), 0);
    assert_eq!(cat.wait().unwrap().code(), Some(0));
    let watched = host.types(&["attach", &only_command(&host), "--from-start"]);
    assert_eq!((watched.code, watched.text()), (Some(0), "one\ntwo\n\u{fc}\n"));
    let nobody = host.types(&["attach", "nosuch"]);
    assert!(nobody.code == Some(125) && nobody.err.contains("error[no-such-command]"), "{nobody:?}");
}

#[test]
fn who_may_not_call_may_not_attach_and_who_writes_is_written_down() {
    let (host, _vm1) = bed();
    let command = host.starts_with("vm1", &["cat"], json!({"stream_stdin": true}));
    host.awaits("cmd.started", "vm1");
    let bearer = format!("Authorization: Bearer {}", host.token());
    let knock = |path: &str, fields: &[&str]| {
        let mut caller = Caller::dial(host.api());
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let fields = [&[upgrade], fields].concat().join("\r\n");
        caller.sends(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n").as_bytes());
        (caller.answer().unwrap().status, caller)
    };
    let path = format!("/attach/{}", command.id);
    assert_eq!(knock(&path, &[]).0, 401);
    assert_eq!(knock(&path, &["Authorization: Bearer wrong"]).0, 401);
    assert_eq!(knock(&path, &[&bearer, "Origin: http://elsewhere.example"]).0, 403);
    assert_eq!(knock("/attach/nosuch", &[&bearer]).0, 404);
    assert_eq!(knock(&format!("{path}?input=9&fly=1"), &[&bearer]).0, 400);
    let (status, mut caller) = knock(&format!("{path}?input=1"), &[&bearer]);
    assert_eq!(status, 101);
    // No frame is so long: the agent hangs up and lives on. The command stays.
    caller.sends(&[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    drop(caller);
    host.call("agent.version", json!([])).unwrap();
    assert_eq!(command.polled()["state"], "running");
    host.call("cmd.cancel", json!([command.id])).unwrap();
    command.ends();
    assert!(host.stops().success());
    let written = std::fs::read_to_string(host.folder().join("host/audit.jsonl")).unwrap();
    assert!(
        written.lines().any(|line| line.contains("\"attach\"") && line.contains(&command.id)),
        "{written}"
    );
}

#[test]
fn much_input_and_output_pass_a_connection_that_breaks() {
    let (host, _vm1) = bed();
    let proxy = Proxy::to(host.api());
    let through = format!("http://{}", proxy.address());
    let id = host.starts_with("vm1", &["cat"], json!({"stream_stdin": true})).id;
    let mut cat = piped(&mut host.command_line(&["attach", &id, "--agent", &through]));
    let mut keys = cat.stdin.take().unwrap();
    let mut out = cat.stdout.take().unwrap();
    let bytes: Vec<u8> = (0_u32..1_000_000).flat_map(u32::to_le_bytes).collect();
    let sent = bytes.clone();
    let typing = std::thread::spawn(move || keys.write_all(&sent));
    let mut piece = vec![0; 300_000];
    for expected in bytes.chunks_exact(300_000).take(3) {
        out.read_exact(&mut piece).unwrap();
        assert!(piece == expected, "other bytes than were sent");
        proxy.cuts();
    }
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    typing.join().unwrap().unwrap();
    assert_eq!(cat.wait().unwrap().code(), Some(0));
    assert_eq!(rest.len() + 900_000, bytes.len());
    assert!(rest == bytes[900_000..], "other bytes than were sent");
}
