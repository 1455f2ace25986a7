//! Whoever runs the agents: configuration, starting, stopping.

use serde_json::json;
use std::time::{Duration, Instant};
use vocable_api::client::Client;
use vocable_tests::TIMEOUT;
use vocable_tests::host::{Host, program, typed, vocable};
use vocable_xmlrpc::Value;

#[test]
fn a_bad_configuration_is_told_all_at_once_with_the_lines() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vocable.toml");
    std::fs::write(&file, "[broker]\nlisen = [\"127.0.0.1:0\"]\nheartbeat = \"soon\"\n[api]\nlisten = 5\n")
        .unwrap();
    let checked = typed(vocable(folder.path()).args(["config", "check"]));
    let all = format!("{}{}", checked.text(), checked.err);
    assert_eq!(checked.code, Some(1), "{all}");
    for told in
        ["vocable.toml\n", " 2:1 ", "broker.lisen; did you mean listen?", " 3:13 ", "heartbeat", " 5:10 "]
    {
        assert!(all.contains(told), "no {told} in {all}");
    }
    let served = typed(vocable(folder.path()).args(["serve"]));
    assert!(served.code != Some(0) && served.err.contains("vocable config check"), "{served:?}");

    let guest = folder.path().join("guest.toml");
    std::fs::write(&guest, "beacon = \"1ms\"\nbrokre = \"x\"\n").unwrap();
    let checked = typed(program("vocable-guest").arg("--config").arg(guest).args(["config", "check"]));
    let all = format!("{}{}", checked.text(), checked.err);
    assert!(checked.code == Some(1) && all.contains("beacon") && all.contains("brokre"), "{all}");
}

#[test]
fn the_default_configuration_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    for (name, file, variable) in [
        ("vocable", "vocable.toml", "VOCABLE_CONFIG"),
        ("vocable-guest", "guest.toml", "VOCABLE_GUEST_CONFIG"),
    ] {
        let printed = typed(program(name).args(["config", "default"]));
        assert_eq!(printed.code, Some(0), "{printed:?}");
        let path = folder.path().join(file);
        std::fs::write(&path, &printed.out).unwrap();
        let checked = typed(program(name).env(variable, path).args(["config", "check"]));
        assert_eq!(checked.code, Some(0), "{checked:?}");
    }
}

#[test]
fn a_port_that_is_taken_and_a_folder_that_is_in_use_are_refused_by_name() {
    let host = Host::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("vocable.toml"),
        format!(
            "state = {}\ncache = {0}\napi.listen = [\"127.0.0.1:0\"]\napi.socket = \"\"\n",
            json!(folder.path().join("state"))
        ),
    )
    .unwrap();
    let broker = host.broker().to_string();
    let taken = typed(vocable(folder.path()).args(["serve", "--broker", &broker]));
    assert_eq!(taken.code, Some(1), "{taken:?}");
    assert!(taken.err.contains("error[port-taken]") && taken.err.contains(&broker), "{}", taken.err);

    let second = host.types(&["serve"]);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(
        second.err.contains("error[already-running]") && second.err.contains("--state"),
        "{}",
        second.err
    );
    assert_eq!(host.types(&["guests"]).code, Some(0));
}

#[test]
fn a_second_guest_agent_leaves_the_commands_of_the_first_alone() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let config = host.folder().join("vm1.toml");
    let second = typed(program("vocable-guest").arg("--config").arg(config));
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.err.contains("vm1"), "{}", second.err);
    assert_eq!(host.runs("vm1", &["echo", "fine"]).well().text(), "fine\n");
}

#[test]
fn the_host_stops_at_once_though_callers_wait_and_can_start_again() {
    let mut host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let command = host.starts("vm1", &["sleep", "600"]);
    host.awaits("cmd.started", "vm1");
    let id = command.id.clone();
    let (url, token, waits) = (format!("http://{}", host.api()), host.token(), id.clone());
    let waiting = std::thread::spawn(move || {
        let params = vec![Value::from(waits), Value::from(20.0)];
        Client::new(&url, token).unwrap().call_by_name("cmd.wait", params, TIMEOUT)
    });
    // Those who wait are served side by side with those who do not.
    host.runs("vm1", &["true"]).well();
    let begun = Instant::now();
    assert!(host.stops().success());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let answer = waiting.join().unwrap();
    assert!(answer.is_err(), "{answer:?}");
    host.starts_again();
    assert_eq!(host.command(&id).polled()["state"], "running");
}
