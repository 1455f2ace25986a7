//! The caller's own ids: a retry runs nothing twice.

use serde_json::json;
use vocable_tests::host::Host;

#[test]
fn the_same_id_twice_is_the_same_command() {
    let mut host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let counter = host.folder().join("counter");
    let script = format!("echo ran >> {}", counter.display());
    let options = json!({"id": "nightly-1"});
    let line = ["sh", "-c", script.as_str()];
    let first = host.starts_with("vm1", &line, options.clone());
    first.ends().well();
    let again = host.starts_with("vm1", &line, options.clone());
    assert_eq!(again.id, first.id);
    again.ends().well();

    let refused = host.call("cmd.run", json!(["vm1", "echo", ["other"], options])).unwrap_err();
    assert!(refused.starts_with("already-exists: "), "{refused}");

    host.is_killed();
    host.starts_again();
    let id = host.call("cmd.run", json!(["vm1", "sh", ["-c", script], options])).unwrap();
    assert_eq!(id, "nightly-1.vm1");
    assert_eq!(std::fs::read_to_string(counter).unwrap(), "ran\n");
}

#[test]
fn callers_that_ask_at_the_same_time_share_one_command() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let counter = host.folder().join("counter");
    let script = format!("echo ran >> {}", counter.display());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let command = host.starts_with("vm1", &["sh", "-c", &script], json!({"id": "once"}));
                command.ends().well();
            });
        }
    });
    assert_eq!(std::fs::read_to_string(counter).unwrap(), "ran\n");
}
