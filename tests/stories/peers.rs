//! Words by other people's means: the built-in one that has programs run, in Python.

use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use vocable_tests::files::drop_into;
use vocable_tests::host::{Host, program, typed};

const GRANTS: [&str; 6] = ["commands", "files", "jobs", "process", "roster", "speech"];

/// The component from Python. Without it the test has to end, and it fails where everything has to be there.
fn component() -> Option<PathBuf> {
    let path =
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers/run_cmd_python/run_cmd.wasm"));
    if path.exists() {
        return Some(path);
    }
    let reason = "componentize-py is not installed; cargo xtask test --peers installs it";
    assert!(std::env::var_os("CI").is_none(), "{reason}");
    // Not by println!, which the test harness keeps to itself.
    writeln!(std::io::stdout(), "skipped: {reason}").unwrap();
    None
}

#[test]
fn a_word_in_python_takes_the_place_of_a_built_in_one() {
    let Some(component) = component() else { return };
    let grants = format!("words.RUN_CMD.grants = {}", json!(GRANTS));
    let mut host = Host::with(&[&grants]);
    drop_into(&host.words(), &component, "run_cmd.wasm");
    // An agent that starts has compiled its words when it is ready, however long that takes; and the guest finds it
    // compiled.
    host.stops();
    host.starts_again();
    let words = host.call("word.list", json!([])).unwrap();
    let row = words.as_array().unwrap().iter().find(|word| word["word"] == "RUN_CMD").unwrap();
    assert!(row["source"].as_str().unwrap().ends_with("/run_cmd.wasm"), "{row:#}");

    let on_guest = host.folder().join("vm1.words.d");
    std::fs::create_dir(&on_guest).unwrap();
    drop_into(&on_guest, &component, "run_cmd.wasm");
    let vm1 = host.guest("vm1").with(&grants).joins();
    assert_eq!(host.runs("vm1", &["printf", "%s|%s", "a b", "ü"]).text(), "a b|ü");
    let options = json!({"env": {"COLOUR": "red"}, "path": "/usr"});
    let script = "echo $COLOUR $PWD; exit 3";
    let ran = host.starts_with("vm1", &["sh", "-c", script], options).ends();
    assert_eq!((ran.text(), ran.ending()), ("red /usr\n", (true, 3)));

    // What it cannot read it refuses, in its own words.
    let refused = host.call("word.ask", json!(["vm1", "RUN_CMD", {"args": "no list"}])).unwrap();
    let message = refused[0]["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("JSONDecodeError"), "{refused:#}");
    assert!(!vm1.process().logged().contains("ERROR"), "{}", vm1.process().logged());
}

#[test]
fn the_demonstration_goes_to_its_end_with_a_word_in_python() {
    let Some(component) = component() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut demo = program("vocable");
    let grant = format!("RUN_CMD={}", GRANTS.join(","));
    demo.args(["demo", "--grant", &grant, "--words"]).arg(component.parent().unwrap());
    let shown = typed(demo.env("TMPDIR", folder.path()));
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""), "{}", shown.text());
    assert!(shown.text().contains("Linux"), "{}", shown.text());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something is left behind");
}
