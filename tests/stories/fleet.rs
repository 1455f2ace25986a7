//! One command for several guests, and the exit codes of the command line.

use nix::sys::signal::Signal;
use serde_json::json;
use vocable_tests::host::Host;

#[test]
fn a_target_is_a_name_a_glob_a_group_or_a_list() {
    let host = Host::with(&["groups.lab = [\"vm1\", \"pi\"]"]);
    let _guests = host.guests(["pi", "vm1", "vm2"]);
    let ran_on = |target: &str| {
        let typed = host.types(&["run", target, "--", "echo", "hello"]);
        assert_eq!(typed.code, Some(0), "{typed:?}");
        let mut lines: Vec<_> = typed.text().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(ran_on("vm2"), ["hello"]);
    assert_eq!(ran_on("vm*"), ["vm1: hello", "vm2: hello"]);
    assert_eq!(ran_on("@lab"), ["pi: hello", "vm1: hello"]);
    assert_eq!(ran_on("vm2,@lab"), ["pi: hello", "vm1: hello", "vm2: hello"]);
    assert_eq!(ran_on("*").len(), 3);
}

#[test]
fn the_others_run_it_when_one_is_away_and_that_one_is_named() {
    let host = Host::start();
    let [_vm1, vm2, _vm3] = host.guests(["vm1", "vm2", "vm3"]);
    vm2.stops(Signal::SIGTERM);
    host.awaits("guest.left", "vm2");

    let id = host.call("cmd.run", json!(["*", "echo", ["hello"]])).unwrap();
    let report = host.call("cmd.wait", json!([id, 20.0])).unwrap();
    assert_eq!(report["summary"], json!({"ok": 2, "failed": 1, "lost": 0, "running": 0}), "{report:#}");
    let commands = report["commands"].as_array().unwrap();
    let vm2 = commands.iter().find(|command| command["guest"] == "vm2").unwrap();
    assert_eq!(vm2["error"]["code"], "guest-offline", "{vm2:#}");

    let typed = host.types(&["run", "*", "--", "echo", "hello"]);
    assert_eq!(typed.code, Some(125), "{typed:?}");
    assert!(typed.text().contains("vm1: hello\n") && typed.text().contains("vm3: hello\n"), "{typed:?}");
    assert!(typed.err.contains("vm2") && typed.err.contains("guest-offline"), "{typed:?}");

    let refused = host.call("cmd.run", json!(["vm2", "true"])).unwrap_err();
    assert!(refused.starts_with("guest-offline: vm2 does not answer"), "{refused}");
}

#[test]
fn the_exit_code_tells_whose_failure_it_was() {
    let host = Host::start();
    let _guests = host.guests(["vm1", "vm2"]);
    let code = |arguments: &[&str]| {
        let typed = host.types(&[["run"].as_slice(), arguments].concat());
        typed.code.unwrap_or_else(|| panic!("{typed:?}"))
    };
    assert_eq!(code(&["vm1", "--", "true"]), 0);
    assert_eq!(code(&["vm1", "--", "sh", "-c", "exit 3"]), 3);
    assert_eq!(code(&["vm1", "--", "sh", "-c", "kill -TERM $$"]), 128 + 15);
    assert_eq!(code(&["vm1", "--timeout", "300ms", "--", "sleep", "600"]), 124);
    assert_eq!(code(&["vm1", "--", "/etc/passwd"]), 126);
    assert_eq!(code(&["vm1", "--", "no-such-program"]), 127);
    assert_eq!(code(&["nobody", "--", "true"]), 125);
    assert_eq!(code(&["vm1", "--no-such-option", "--", "true"]), 125);
    assert_eq!(code(&["vm*", "--", "true"]), 0);
    assert_eq!(code(&["vm*", "--", "false"]), 123);
}

#[test]
fn a_command_nobody_can_take_says_what_to_type_next() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let typed = host.types(&["run", "vn1", "--", "true"]);
    assert!(typed.err.contains("error[no-such-guest]") && typed.err.contains("hint:"), "{}", typed.err);
    host.is_killed();
    let typed = host.types(&["guests"]);
    assert!(typed.code == Some(3) && typed.err.contains("error[no-agent]"), "{typed:?}");
}
