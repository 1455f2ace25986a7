//! `vocable demo`, from beginning to end.

use vocable_tests::files::word;
use vocable_tests::host::{program, typed};

#[test]
fn the_demonstration_tells_its_story_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = word("word-df");
    let mut demo = program("vocable");
    demo.args(["demo", "--plugin"]).arg(plugin).env("TMPDIR", folder.path()).env("TZ", "UTC");
    let shown = typed(&mut demo);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert_eq!(shown.err, "");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something is left behind");
    insta::with_settings!({filters => vec![
        (r"127\.0\.0\.1:\d+", "[address]"),
        (r"\d+(\.\d+)? (ms|s)\b", "[time]"),
        (r"\b\d+(ms|s|m)\b", "[age]"),
        (r"\b[0-9a-z]{6}\.(blue|green|red)\b", "[id].$1"),
        (r"Linux \S+", "Linux [release]"),
        (r"\d+(\.\d+)? (GiB|MiB|KiB|TiB|B)\b", "[size]"),
        (r"\d+(\.\d+)? %", "[percent]"),
        (r" +\n", "\n"),
    ]}, { insta::assert_snapshot!(shown.text()) });
}
