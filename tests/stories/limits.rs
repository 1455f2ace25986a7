//! A disk is not for one command alone: what is beyond a limit is held up, said to be, and not lost.

use serde_json::json;
use vocable_tests::host::Host;
use vocable_tests::isolation::{mount_small, own_mounts, resize};

#[test]
fn output_beyond_the_limit_is_held_up_and_whoever_ends_the_command_gets_all_of_it() {
    const WRITTEN: usize = 3_000_000;
    let host = Host::with(&["commands.output_limit = \"1MiB\""]);
    let _vm1 = host.guest("vm1").joins();
    let script = format!("head -c {WRITTEN} /dev/zero; exec sleep 600");
    let command = host.starts("vm1", &["sh", "-c", &script]);
    host.awaits("cmd.paused", "vm1");
    let told = command.polled();
    assert_eq!(told["state"], "running");
    assert!(told["paused"].as_str().unwrap().starts_with("the output limit of 1MiB is reached"), "{told}");
    assert_eq!(command.listed()["paused"], told["paused"]);
    let taken = told["out_bytes"].as_u64().unwrap();
    assert!((1 << 20..2 << 20).contains(&taken), "{taken}");
    let why = host.call("guest.why", json!(["vm1"])).unwrap();
    assert!(why.to_string().contains("is held up: the output limit"), "{why}");
    let ps = host.types(&["ps"]);
    assert!(ps.text().contains("paused") && ps.err.contains("the output limit of 1MiB is reached"), "{ps:?}");
    // Others go on.
    assert_eq!(host.runs("vm1", &["echo", "hello"]).well().text(), "hello\n");
    let killed = host.types(&["kill", &command.id]);
    assert_eq!(killed.code, Some(0), "{killed:?}");
    let ran = command.ends();
    assert_eq!((ran.state(), ran.out.len()), ("cancelled", WRITTEN));
}

#[test]
fn what_is_kept_free_keeps_the_agent_going_while_output_waits_for_room() {
    const WRITTEN: usize = 40_000_000;
    if !own_mounts() {
        return;
    }
    let mut host = Host::start();
    host.stops();
    let state = host.folder().join("host");
    mount_small(&state, "24m");
    host.starts_again();
    let _vm1 = host.guest("vm1").joins();
    let command = host.starts("vm1", &["sh", "-c", &format!("head -c {WRITTEN} /dev/zero; echo end >&2")]);
    let paused = host.awaits("cmd.paused", "vm1");
    assert!(paused["text"].as_str().unwrap().contains("commands.keep_free"), "{paused}");
    assert!(command.polled()["paused"].is_string());
    // Somebody else writes there, too. The agent works on, and says what it will not begin.
    std::fs::write(state.join("ballast"), vec![1; 1 << 20]).unwrap();
    assert_eq!(host.about("vm1")["state"], "alive");
    let refused = host.call("cmd.run", json!(["vm1", "true"])).unwrap_err();
    assert!(refused.contains("no-space") && refused.contains("nothing was run"), "{refused}");
    // Nothing of it was lost.
    resize(&state, "200m");
    let ran = command.ends().well();
    assert_eq!((ran.out.len(), ran.errors()), (WRITTEN, "end\n"));
}
