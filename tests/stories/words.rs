//! Words that come and go while everything runs, and components that are none.

use serde_json::json;
use std::collections::BTreeSet;
use std::time::Instant;
use vocable_tests::TIMEOUT;
use vocable_tests::files::{drop_into, word};
use vocable_tests::host::Host;

fn methods(host: &Host) -> Vec<String> {
    let listed = host.call("system.listMethods", json!([])).unwrap();
    listed.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_unknown_word_is_answered_by_naming_the_known_ones() {
    let host = Host::start();
    let _vm1 = host.guest("vm1").joins();
    let answer = host.call("word.ask", json!(["vm1", "NOSUCH"])).unwrap();
    assert_eq!((&answer[0]["ok"], &answer[0]["error"]["code"]), (&json!(false), &json!("no-such-word")));
    let message = answer[0]["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("NOSUCH") && message.contains("RUN_CMD") && message.contains("AINT"),
        "{message}"
    );
    let typed = host.types(&["ask", "NOSUCH", "--to", "vm1"]);
    assert!(typed.code == Some(1), "{typed:?}");
    assert!(format!("{}{}", typed.text(), typed.err).contains("RUN_CMD"), "{typed:?}");
}

#[test]
fn a_word_moves_files_in_the_folders_it_was_granted_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["source", "target", "else"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    std::fs::write(path("source/numbers"), "0123456789").unwrap();
    std::fs::write(path("else/secret"), "secret").unwrap();
    let grant = |name: &str, mode: &str| {
        let folders = format!("{{ {name} = \"{mode}:{}\" }}", path(name).display());
        ["words.CARRY.grants = [\"files\"]".to_owned(), format!("words.CARRY.files = {folders}")]
    };
    let on_host = grant("source", "ro");
    let host = Host::with(&[on_host[0].as_str(), on_host[1].as_str()]);
    let on_guest = grant("target", "rw");
    let plan = host.guest("vm1").with(&on_guest[0]).with(&on_guest[1]);
    drop_into(&plan.words(), &word("word-carry"), "carry.wasm");
    drop_into(&host.words(), &word("word-carry"), "carry.wasm");
    host.awaits("word.loaded", "CARRY");
    let _vm1 = plan.joins();
    let carry = |from: &str, to: &str| host.call("word.CARRY", json!(["vm1", {"from": from, "to": to}]));
    let told = carry("source/numbers", "target/there").unwrap();
    assert_eq!(told[0]["answer"]["size"], 10, "{told:#}");
    assert_eq!(std::fs::read(path("target/there")).unwrap(), b"0123456789");
    assert!(!path("target/there.part").exists());
    // Neither end gives what it has not granted.
    let denied = carry("else/secret", "target/x").unwrap_err();
    assert!(denied.contains("no folder else is granted; granted: source"), "{denied}");
    let outside = carry("source/../else/secret", "target/x").unwrap_err();
    assert!(outside.contains("source/../else/secret"), "{outside}");
    let refused = carry("source/numbers", "source/x").unwrap();
    assert!(refused[0]["error"]["message"].as_str().unwrap().contains("granted: target"), "{refused:#}");
    assert!(!path("target/x").exists() && !path("source/x").exists());
}

#[test]
fn a_word_dropped_in_is_a_method_until_it_is_taken_away() {
    let host = Host::start();
    let vm1 = host.guest("vm1").with("words.DF.grants = [\"process\"]").joins();
    assert!(!methods(&host).contains(&"word.DF".to_owned()));

    let on_host = drop_into(&host.words(), &word("word-df"), "df.wasm");
    let on_guest = drop_into(&vm1.words(), &word("word-df"), "df.wasm");
    let loaded = host.awaits("word.loaded", "DF");
    assert!(loaded["text"].as_str().unwrap().contains("df.wasm"), "{loaded:#}");
    vm1.process().logs(&["word DF", "loaded"]);
    assert!(methods(&host).contains(&"word.DF".to_owned()));
    let help = host.call("system.methodHelp", json!(["word.DF"])).unwrap();
    assert!(help.as_str().unwrap().contains("how full the file systems"), "{help}");
    let signature = host.call("system.methodSignature", json!(["word.DF"])).unwrap();
    assert_eq!(signature[1], json!(["array", "string", "struct"]));

    let answer = host.call("word.DF", json!(["vm1", {"path": "/"}])).unwrap();
    assert!(answer[0]["answer"][0]["size"].as_f64().unwrap() > 0.0, "{answer:#}");
    let refused = host.call("word.DF", json!(["vm1", {"path": "/no/such"}])).unwrap();
    assert_eq!(refused[0]["error"]["code"], "word-failed", "{refused:#}");
    let said = host.call("word.say", json!(["vm1", "DF", {"path": "/"}])).unwrap();
    assert_eq!(said, json!([{"guest": "vm1", "ok": true}]));
    let typed = host.types(&["ask", "DF", "--to", "vm1", "path=/", "--json"]);
    assert_eq!(typed.code, Some(0), "{typed:?}");

    std::fs::remove_file(on_host).unwrap();
    std::fs::remove_file(on_guest).unwrap();
    host.awaits("word.removed", "DF");
    vm1.process().logs(&["word DF", "removed"]);
    assert!(!methods(&host).contains(&"word.DF".to_owned()));
    let gone = host.call("word.DF", json!(["vm1"])).unwrap_err();
    assert!(gone.starts_with("no-such-method: "), "{gone}");
}

#[test]
fn a_word_that_is_not_granted_what_it_imports_is_not_loaded() {
    let host = Host::start();
    let vm1 = host.guest("vm1").joins();
    drop_into(&vm1.words(), &word("word-df"), "df.wasm");
    vm1.process().logs(&["df.wasm", "DF imports", "process", "[words.DF] grants does not allow"]);
    let answer = host.call("word.ask", json!(["vm1", "DF"])).unwrap();
    assert_eq!(answer[0]["error"]["code"], "no-such-word", "{answer:#}");
    assert_eq!(host.runs("vm1", &["echo", "fine"]).well().text(), "fine\n");
}

#[test]
fn a_word_that_traps_is_told_put_in_quarantine_and_takes_nobody_down() {
    let all = "words.PROBE.grants = [\"process\", \"jobs\", \"speech\"]";
    let host = Host::with(&[all, "words.PROBE.compute = \"100ms\"", "words.PROBE.retry_after = \"1ms\""]);
    let _vm1 = host.guest("vm1").joins();
    drop_into(&host.words(), &word("word-probe"), "probe.wasm");
    host.awaits("word.loaded", "PROBE");
    let asks = |what: &str| host.call("word.ask", json!(["vm1", "PROBE", {"do": what}]));
    for (what, slug) in [("refuse", "word-failed: "), ("panic", "word-trapped: ")] {
        let text = asks(what).unwrap_err();
        assert!(text.starts_with(slug) && text.contains("PROBE"), "{what}: {text}");
    }
    // Between its faults it rests for moments: calls that come then are refused at once.
    let deadline = Instant::now() + TIMEOUT;
    while state_of(&host, "PROBE") != "quarantined" {
        assert!(Instant::now() < deadline, "it may go on for ever");
        asks("loop").unwrap_err();
    }
    host.awaits("word.quarantined", "PROBE");
    assert_eq!(host.runs("vm1", &["echo", "fine"]).well().text(), "fine\n");
}

fn state_of(host: &Host, word: &str) -> String {
    let listed = host.call("word.list", json!([])).unwrap();
    let found = listed.as_array().unwrap().iter().find(|it| it["word"] == word).unwrap();
    found["state"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_no_word_is_refused_with_its_file_and_the_reason() {
    let host = Host::start();
    let sound = std::fs::read(word("word-df")).unwrap();
    let bad: [(&str, &[u8], &str); 4] = [
        ("text.wasm", b"hello", "not WebAssembly"),
        ("empty.wasm", b"", "not WebAssembly"),
        ("cut.wasm", &sound[..sound.len() / 2], "not a sound component"),
        ("module.wasm", b"\0asm\x01\0\0\0", "a core module, not a component"),
    ];
    for (name, bytes, why) in bad {
        std::fs::write(host.words().join(name), bytes).unwrap();
        let event = host.awaits("word.refused", name);
        assert!(event["text"].as_str().unwrap().contains(why), "{event:#}");
        host.process().logs(&[name, why]);
    }
    drop_into(&host.words(), &word("word-probe"), "probe.wasm");
    let event = host.awaits("word.refused", "probe.wasm");
    let text = event["text"].as_str().unwrap();
    assert!(text.contains("speech, which [words.PROBE] grants does not allow"), "{text}");
    let _vm1 = host.guest("vm1").joins();
    assert_eq!(host.runs("vm1", &["echo", "fine"]).well().text(), "fine\n");
}

#[test]
fn words_are_compiled_and_examined_by_others_and_loaded_when_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::with(&[&format!("cache = {}", json!(folder.path()))]);
    let known = host.ready()["words"].as_array().unwrap().len();
    let kept = || {
        let files = std::fs::read_dir(folder.path().join("words")).unwrap();
        let mut kept = [0, 0];
        for name in files.map(|file| file.unwrap().file_name().into_string().unwrap()) {
            let kind = [".cwasm", ".json"].iter().position(|ending| name.ends_with(ending));
            kept[kind.unwrap_or_else(|| panic!("{name}"))] += 1;
        }
        kept
    };
    let loaded = || {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", host.process().pid())).unwrap();
        let words = maps.lines().filter_map(|line| line.split_whitespace().last());
        words.filter(|file| file.ends_with(".cwasm")).collect::<BTreeSet<_>>().len()
    };
    assert_eq!((kept(), loaded()), ([known, known], 0));
    let _vm1 = host.guest("vm1").joins();
    assert_eq!(host.runs("vm1", &["echo", "well"]).well().text(), "well\n");
    let used = loaded();
    assert!((1..known).contains(&used), "{used} of {known}");
}
