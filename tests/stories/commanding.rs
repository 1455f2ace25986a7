//! Commands are signalled, ended, measured and given input while they run.

use base64::prelude::*;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;
use vocable_tests::host::Host;
use vocable_tests::process::Process;

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

fn run(host: &Host, arguments: &[&str]) -> Process {
    Process::start("vocable run", &mut host.command_line(&[&["run"], arguments].concat()))
}

#[test]
fn kill_ends_a_command_with_everything_it_has_started() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let script = "setsid sh -c 'echo $$; exec sleep 600' & sleep 600 & echo $!; echo ready; wait";
    let command = host.starts("vm1", &["sh", "-c", script]);
    command.prints("ready\n");
    let typed = host.types(&["kill", &command.id]);
    assert_eq!(typed.code, Some(0), "{typed:?}");
    let line = typed.text();
    assert!(line.starts_with(&format!("{}: TERM sent to ", command.id)), "{line}");
    assert!(line.contains(" processes, ended after ") && line.ends_with("by SIGTERM\n"), "{line}");
    let ran = command.ends();
    assert_eq!((ran.state(), ran.ending()), ("cancelled", (false, 15)));
    for pid in ran.text().lines().take(2) {
        assert!(!is_alive(pid), "{pid} still runs");
    }
    let again = host.types(&["kill", &command.id]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.text().contains("nothing was left to end"), "{again:?}");
}

#[test]
fn who_ignores_the_first_signal_is_killed_after_the_grace() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let stubborn =
        host.starts("vm1", &["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]);
    stubborn.prints("ready\n");
    let typed = host.types(&["kill", "--grace", "200ms", "--json", &stubborn.id]);
    let told = &typed.json()["commands"][0];
    assert_eq!((&told["ended"], &told["exitCodeOrSignal"]), (&json!(true), &json!(9)), "{told:#}");
}

#[test]
fn one_signal_is_one_signal() {
    let host = Host::start();
    // That the agent itself does not hang up is no business of the program's.
    let _vm1 = host.guest("vm1").by(&["nohup"]).joins();
    let script = "trap 'echo heard' USR1; trap 'exit 4' HUP; echo ready; while :; do sleep 0.02; done";
    let command = host.starts("vm1", &["sh", "-c", script]);
    command.prints("ready\n");
    let typed = host.types(&["kill", "-s", "usr1", &command.id]);
    assert!(typed.code == Some(0) && typed.text().contains(": USR1 sent to "), "{typed:?}");
    command.prints("heard\n");
    assert_eq!(command.polled()["state"], "running");
    let told = host.call("cmd.signal", json!([command.id, 1])).unwrap();
    assert!(told["commands"][0]["signalled"].as_u64().unwrap() >= 1, "{told:#}");
    assert_eq!(command.ends().ending(), (true, 4));

    let over = host.call("cmd.signal", json!([command.id, "TERM"])).unwrap();
    assert_eq!(over["commands"][0]["error"]["code"], "finished", "{over:#}");
    let nonsense = host.call("cmd.signal", json!([command.id, "PLEASE"])).unwrap_err();
    assert!(nonsense.contains("name or number of a signal"), "{nonsense}");
    let nobody = host.types(&["kill", "zzzzzz"]);
    assert!(nobody.code == Some(1) && nobody.err.contains("error[no-such-command]"), "{nobody:?}");
}

#[test]
fn all_commands_of_a_target_end_once_somebody_has_said_so() {
    let host = Host::start();
    let _guests = host.guests(["vm1", "vm2"]);
    let everywhere = host.starts("vm*", &["sh", "-c", "echo ready; exec sleep 600"]);
    for guest in ["vm1", "vm2"] {
        host.command(&format!("{}.{guest}", everywhere.id)).prints("ready\n");
    }
    let asked = host.types(&["kill", "--all", "vm*"]);
    assert!(asked.code == Some(2) && asked.err.contains("error[needs-yes]"), "{asked:?}");
    let ended = host.types(&["kill", "--yes", "--all", "vm*"]);
    assert_eq!((ended.code, ended.text().lines().count()), (Some(0), 2), "{ended:?}");
    let none = host.types(&["kill", "--yes", "--all", "vm*"]);
    assert!(none.code == Some(0) && none.err.contains("no commands under way"), "{none:?}");
}

#[test]
fn what_commands_use_is_told_while_they_run() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let busy = host.starts("vm1", &["sh", "-c", "echo ready; (while :; do :; done) & wait"]);
    busy.prints("ready\n");
    let cpu = || host.call("cmd.usage", json!([busy.id])).unwrap()["commands"][0]["usage"]["cpu_s"].as_f64();
    let deadline = std::time::Instant::now() + vocable_tests::TIMEOUT;
    while cpu().unwrap() < 0.2 {
        assert!(std::time::Instant::now() < deadline, "it computes, and nobody notices");
    }
    let usage = host.call("cmd.usage", json!([])).unwrap()["commands"][0]["usage"].clone();
    assert!(usage["processes"] == 2 && usage["rss_bytes"].as_u64().unwrap() > 100_000, "{usage:#}");

    let table = host.types(&["top", "--once"]);
    let lines: Vec<_> = table.text().lines().collect();
    assert_eq!(lines.len(), 2, "{table:?}");
    assert!(
        lines[0].starts_with("GUEST") && lines[1].contains(&busy.id) && lines[1].contains('%'),
        "{table:?}"
    );
    let mut watched =
        Process::start("vocable top", &mut host.command_line(&["top", "--json", "--interval", "100ms"]));
    watched.next_line();
    let second: Value = serde_json::from_str(&watched.next_line()).unwrap();
    assert_eq!(second["guests"][0]["commands"][0]["cmd_id"], busy.id.as_str(), "{second:#}");

    let listed = host.types(&["ps", "--json"]);
    assert!(listed.json()["commands"][0]["usage"]["cpu_s"].is_number(), "{listed:?}");
    host.types(&["kill", &busy.id]);
    let over = host.call("cmd.usage", json!([busy.id])).unwrap();
    assert_eq!(over["commands"][0]["error"]["code"], "finished", "{over:#}");
}

#[test]
fn control_c_interrupts_then_kills_and_control_backslash_leaves() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let script = "trap 'echo ouch' INT; echo ready; while :; do sleep 0.02; done";
    let mut typed = run(&host, &["vm1", "--", "sh", "-c", script]);
    assert_eq!(typed.next_line(), "ready");
    typed.signal(Signal::SIGINT);
    typed.logs(&["note: INT sent to", "on vm1", "Ctrl-C again: kill it"]);
    assert_eq!(typed.next_line(), "ouch");
    typed.signal(Signal::SIGINT);
    assert_eq!(typed.ends().code(), Some(137));

    let mut typed = run(&host, &["vm1", "--", "sh", "-c", "echo ready; exec sleep 600"]);
    assert_eq!(typed.next_line(), "ready");
    typed.signal(Signal::SIGINT);
    assert_eq!(typed.ends().code(), Some(130), "what INT ends has the exit code of that");

    let mut typed = run(&host, &["vm1", "--id", "stays", "--", "sh", "-c", "echo ready; exec sleep 600"]);
    assert_eq!(typed.next_line(), "ready");
    typed.signal(Signal::SIGQUIT);
    assert_eq!(typed.ends().code(), Some(130));
    typed.logs(&["left stays.vm1 running on vm1"]);
    assert_eq!(host.command("stays.vm1").polled()["state"], "running");
    host.types(&["kill", "stays"]);
}

#[test]
fn what_cancels_the_client_cancels_the_command_and_a_hang_up_does_if_it_is_to() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let script = "trap 'echo stopped; exit 9' TERM; echo ready; while :; do sleep 0.02; done";
    let mut typed = run(&host, &["vm1", "--", "sh", "-c", script]);
    assert_eq!(typed.next_line(), "ready");
    typed.signal(Signal::SIGTERM);
    let (rest, status) = typed.finishes();
    assert_eq!((rest.as_slice(), status.code()), (b"stopped\n".as_slice(), Some(9)));

    for (policy, state) in [("keep", "running"), ("kill", "cancelled")] {
        let line = [
            "vm1",
            "--on-disconnect",
            policy,
            "--id",
            policy,
            "--",
            "sh",
            "-c",
            "echo ready; exec sleep 600",
        ];
        let mut typed = run(&host, &line);
        assert_eq!(typed.next_line(), "ready");
        typed.signal(Signal::SIGHUP);
        assert_eq!(typed.ends().code(), Some(129));
        let command = host.command(&format!("{policy}.vm1"));
        let report = if policy == "kill" { command.ends().report } else { command.polled() };
        assert_eq!(report["state"], state, "{report:#}");
    }
    host.types(&["kill", "keep"]);
}

#[test]
fn input_is_streamed_while_the_command_runs() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let arguments =
        ["run", "-i", "vm1", "--", "sh", "-c", "while read line; do echo \"<$line>\"; done; echo end"];
    let (mut typed, mut input) = Process::start_fed("vocable run -i", &mut host.command_line(&arguments));
    for line in ["one", "two"] {
        writeln!(input, "{line}").unwrap();
        assert_eq!(typed.next_line(), format!("<{line}>"));
    }
    drop(input);
    let (rest, status) = typed.finishes();
    assert_eq!((rest.as_slice(), status.code()), (b"end\n".as_slice(), Some(0)));
}

#[test]
fn much_input_arrives_whole_though_the_guest_agent_is_killed_meanwhile() {
    const BYTES: usize = 12 << 20;
    let host = Host::start();
    let mut vm1 = host.guest("vm1").joins();
    let all: Vec<u8> = (0..=250).cycle().take(BYTES).collect();
    let arguments = ["run", "-i", "vm1", "--id", "much", "--", "sh", "-c", "echo ready; exec sha256sum"];
    let (mut typed, mut input) = Process::start_fed("vocable run -i", &mut host.command_line(&arguments));
    assert_eq!(typed.next_line(), "ready");
    let (first, rest) = all.split_at(BYTES / 2);
    input.write_all(first).unwrap();
    vm1.is_killed();
    vm1.starts_again();
    host.awaits("guest.joined", "vm1");
    input.write_all(rest).unwrap();
    drop(input);
    let digest: String = Sha256::digest(&all).iter().map(|byte| format!("{byte:02x}")).collect();
    let (out, status) = typed.finishes();
    assert_eq!((String::from_utf8(out).unwrap(), status.code()), (format!("{digest}  -\n"), Some(0)));
}

#[test]
fn input_goes_to_every_guest_of_a_request() {
    let host = Host::start();
    let _guests = host.guests(["vm1", "vm2"]);
    let (mut typed, mut input) =
        Process::start_fed("vocable run -i", &mut host.command_line(&["run", "-i", "vm*", "--", "cat"]));
    writeln!(input, "same").unwrap();
    drop(input);
    let (out, status) = typed.finishes();
    let mut lines: Vec<_> = std::str::from_utf8(&out).unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!((lines.as_slice(), status.code()), (["vm1: same", "vm2: same"].as_slice(), Some(0)));
}

#[test]
fn a_caller_gives_input_by_offset_and_waits_while_nobody_reads() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let slow = host.starts_with("vm1", &["sleep", "600"], json!({"stream_stdin": true}));
    let data = json!({"b64": BASE64_STANDARD.encode(vec![b'x'; 700_000])});
    let give = |offset: u64, options: Value| {
        host.call("cmd.input", json!([slow.id, offset, data, options])).unwrap()
    };
    assert_eq!(give(0, json!({}))["offset"], 700_000);
    assert_eq!(give(0, json!({}))["offset"], 700_000, "the same again");
    let full = give(700_000, json!({"timeout_s": 0.5}));
    // A mebibyte waits for the command, and some more is in its pipe.
    let taken = full["offset"].as_u64().unwrap();
    assert!((1 << 20..1_300_000).contains(&taken) && full["over"] == false, "{full:#}");
    let gap = give(2_000_000, json!({"timeout_s": 0.1}));
    assert_eq!(gap["offset"], taken, "it says where to go on");
    host.types(&["kill", &slow.id]);
    assert_eq!(give(taken, json!({}))["over"], true);

    let without = host.starts("vm1", &["sleep", "600"]);
    let refused = host.call("cmd.input", json!([without.id, 0, data])).unwrap_err();
    assert!(refused.contains("without streamed input"), "{refused}");
    host.types(&["kill", &without.id]);
}

#[test]
fn a_command_has_a_terminal_that_changes_its_size() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let script = "stty size; read name; stty size; echo hello $name >&2";
    let options = json!({"tty": {"rows": 24, "columns": 80}, "env": {"TERM": "xterm"}});
    let command = host.starts_with("vm1", &["sh", "-c", script], options);
    command.prints("24 80\r\n");
    assert_eq!(host.call("cmd.resize", json!([command.id, 50, 132])), Ok(json!(true)));
    let typed = json!({"b64": BASE64_STANDARD.encode("you\n")});
    host.call("cmd.input", json!([command.id, 0, typed])).unwrap();
    let ran = command.ends().well();
    assert!(ran.text().contains("50 132\r\n") && ran.text().ends_with("hello you\r\n"), "{ran:?}");
    assert!(ran.err.is_empty(), "a terminal is one stream");
}
