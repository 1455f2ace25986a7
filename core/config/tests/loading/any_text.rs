//! Whatever stands in a file, a variable or a flag, there is an answer, and never a panic.

use proptest::prelude::*;
use vocable_config::FileSource;

use crate::agent::Layers;

/// Text that is often TOML and often about keys the agent has.
fn toml_like() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "state", "broker", "listen", "roster", "beacon", "words", "default", "SOAK", "*", "memory", "groups",
        "callers", "user", "\"a.b\"", "nonsense",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "1e400",
        "\"10s\"",
        "'x'",
        "true",
        "[]",
        "[1, 'a']",
        "{}",
        "{ user = 1 }",
        "2000-01-01",
        "oops",
        "[[[]]]",
        "\"\\u001b\"",
    ]);
    let path = prop::collection::vec(key, 1..4).prop_map(|keys| keys.join("."));
    let line = (path, value, 0..4_u8).prop_map(|(path, value, kind)| match kind {
        0 => format!("[{path}]"),
        1 => format!("[[{path}]]"),
        _ => format!("{path} = {value}"),
    });
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

/// Loads `text` from a file and checks that the answer is consistent.
fn load(text: &str) {
    let layers = Layers::new().file("any.toml", text);
    assert_eq!(layers.sources.files.len(), 1);
    assert!(matches!(layers.sources.files[0], FileSource::Optional(_)));
    let loaded = layers.load();
    assert_eq!(loaded.value.is_none(), loaded.problems.has_errors(), "{text}");
    assert!(!loaded.problems.to_string().chars().any(|c| c.is_control() && c != '\n'), "{}", loaded.problems);
}

proptest! {
    #[test]
    fn any_text_in_a_file_is_read_or_refused(text in "\\PC*|[\\x00-\\x7f]*") {
        load(&text);
    }

    #[test]
    fn almost_toml_in_a_file_is_read_or_refused(text in toml_like()) {
        load(&text);
    }

    #[test]
    fn any_variable_and_flag_is_read_or_refused(name in "[A-Z_]{0,12}", key in "\\PC{0,20}", value in "\\PC*") {
        let layers = Layers::new().variable(&format!("VOCABLE_{name}"), &value).flag("--set", &key, &value);
        let loaded = layers.load();
        prop_assert_eq!(loaded.value.is_none(), loaded.problems.has_errors());
    }
}
