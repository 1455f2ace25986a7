//! `vocable demo`, from beginning to end.

use vocable_tests::files::word;
use vocable_tests::host::{program, typed};

#[test]
fn the_demonstration_tells_its_story_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = program("vocable");
    demo.args(["demo", "--grant", "DF=process", "--with", "path=/", "--plugin"]).arg(word("word-df"));
    let shown = typed(demo.env("TMPDIR", folder.path()).env("TZ", "UTC"));
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""), "{}", shown.text());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something is left behind");
    insta::with_settings!({filters => FILTERS.to_vec()}, { insta::assert_snapshot!(in_order(shown.text())) });
}

/// What differs from run to run.
const FILTERS: [(&str, &str); 8] = [
    (r"127\.0\.0\.1:\d+", "[address]"),
    (r"\b[0-9a-z]{6}\.(blue|green|red)\b", "[id].$1"),
    (r"Linux \S+", "Linux [release]"),
    (r"\b\d+(\.\d+)? ?(ms|s|m|B|KiB|MiB|GiB|TiB|%)( |$|\n|,|:)", "[figure]$3"),
    (r"\b0\.\d\d\b", "[figure]"),
    (r" {2,}", "  "),
    (r"(?m)^(blue|green|red)  \S+  /  ", "$1  [device]  /  "),
    (r"\b\d+ (beacons heard|missed)", "[count] $1"),
];

/// What guests say at the same time comes in any order: sorts their lines where they stand together.
fn in_order(text: &str) -> String {
    let is_said = |line: &str| ["blue: ", "green: ", "red: "].iter().any(|name| line.starts_with(name));
    let lines: Vec<_> = text.lines().collect();
    let groups = lines.chunk_by(|one, other| is_said(one) && is_said(other));
    let sorted = groups.flat_map(|group| {
        let mut group = group.to_vec();
        if group.len() > 1 {
            group.sort_unstable();
        }
        group
    });
    sorted.collect::<Vec<_>>().join("\n")
}
