//! The built-in words are words like any other: RUN_CMD can be replaced and taken away.

use vocable_tests::files::{drop_into, word};
use vocable_tests::gate::Gate;
use vocable_tests::host::Host;

const TELL: &str = "echo \"loud: ${LOUD:-no}\"";
/// What the built-in word may do its name alone does not give to another.
const GRANTED: &str = "words.RUN_CMD.grants = [\"jobs\"]";

#[test]
fn another_run_cmd_takes_over_while_commands_are_in_flight() {
    let host = Host::start();
    let vm1 = host.guest("vm1").with(GRANTED).joins();
    let gate = Gate::new(host.folder(), "gate");
    let script = format!("{TELL}; {}; echo end", gate.wait());
    let before = host.starts("vm1", &["sh", "-c", &script]);
    before.prints("loud: no\n");

    let loud = drop_into(&vm1.words(), &word("word-run-cmd-loud"), "run-cmd.wasm");
    vm1.process().logs(&["word RUN_CMD", "replaced by 9.9.9"]);
    assert_eq!(host.shell("vm1", TELL).well().text(), "loud: 1\n");
    gate.open();
    assert_eq!(before.ends().well().text(), "loud: no\nend\n");

    std::fs::remove_file(loud).unwrap();
    vm1.process().logs(&["word RUN_CMD 9.9.9 replaced"]);
    assert_eq!(host.shell("vm1", TELL).well().text(), "loud: no\n");
}

#[test]
fn another_run_cmd_that_nobody_granted_anything_does_not_take_over() {
    let host = Host::start();
    let vm1 = host.guest("vm1").joins();
    drop_into(&vm1.words(), &word("word-run-cmd-loud"), "run-cmd.wasm");
    vm1.process().logs(&["run-cmd.wasm", "[words.RUN_CMD] grants does not allow", "grants = ", "jobs"]);
    assert_eq!(host.shell("vm1", TELL).well().text(), "loud: no\n");
}

#[test]
fn no_command_is_lost_while_the_word_is_swapped_again_and_again() {
    let host = Host::start();
    let vm1 = host.guest("vm1").with(GRANTED).joins();
    std::thread::scope(|scope| {
        let runs = scope.spawn(|| {
            for n in 0..20 {
                let ran = host.shell("vm1", &format!("echo {n}")).well();
                assert_eq!(ran.text(), format!("{n}\n"));
            }
        });
        while !runs.is_finished() {
            let loud = drop_into(&vm1.words(), &word("word-run-cmd-loud"), "run-cmd.wasm");
            host.runs("vm1", &["true"]).well();
            std::fs::remove_file(loud).unwrap();
            host.runs("vm1", &["true"]).well();
        }
        runs.join().unwrap();
    });
}

#[test]
fn a_guest_without_run_cmd_runs_nothing_and_says_which_words_it_knows() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").with("words.RUN_CMD.enabled = false").joins();
    let marker = host.folder().join("marker");
    let ran = host.runs("vm1", &["touch", marker.to_str().unwrap()]);
    assert_eq!(
        (ran.state(), &ran.report["error"]["code"]),
        ("failed", &"no-such-word".into()),
        "{:#}",
        ran.report
    );
    let message = ran.report["error"]["message"].as_str().unwrap();
    assert!(message.contains("HELLO") && message.contains("CMD_RESULTS"), "{message}");
    assert!(!marker.exists());
    let typed = host.types(&["run", "vm1", "--", "true"]);
    assert!(typed.code == Some(125) && typed.err.contains("error[no-such-word]"), "{typed:?}");
    assert_eq!(host.about("vm1")["state"], "alive");
}
