//! What people are told about their mistakes: all of them at once, each at its place.

use crate::agent::Layers;

#[test]
fn every_kind_of_mistake_is_told_at_once() {
    let layers = Layers::new().file(
        "vocable.toml",
        r#"
state = 5
[broker]
listen = ["127.0.0.1:61613",
          "0.0.0.0:61613"]
hartbeat = "5s"
max_frame = 128
max_connections = "many"

[roster]
beacon = 10
late_after = 300
forget_after = 48
tls = "auto"

[commands]
default_timeout = 90

[hypervisor]
driver = "virtualbx"

[brokr]
port = 1

[words]
reload = "true"
[words.SOAK]
memory = "256MiB"
[words.DFF]
grants = "log"
memroy = "1MiB"

[groups]
lab = [1, "vm2"]

[[callers]]
user = "alice"
[[callers]]
user = 7
can = []
"#,
    );
    let loaded = layers.load();
    assert!(loaded.value.is_none());
    insta::assert_snapshot!(layers.shown(loaded.problems), @r#"
    /etc/vocable/vocable.toml
      2:9  error    state = 5: expected text in quotes; did you mean "5"?
      5:11 error    broker.listen[1] = "0.0.0.0:61613": every interface; guests' commands would be open to your network
                    name an address, or set broker.tls = "auto" and write "any:61613"
      6:1  error    unknown key broker.hartbeat; did you mean heartbeat?
      7:13 error    broker.max_frame = 128: a size needs a unit; did you mean "128MiB"?
      8:19 error    broker.max_connections = "many": expected a whole number from 0 to 4294967295
     11:10 error    roster.beacon = 10: a duration needs a unit; did you mean "10s"?
     12:14 error    roster.late_after = 300: expected a whole number from 0 to 255
     13:16 error    roster.forget_after = 48: a duration needs a unit; did you mean "48d"?
     14:1  error    unknown key roster.tls; did you mean broker.tls?
     17:19 error    commands.default_timeout = 90: a duration needs a unit; did you mean "90s"?
     20:10 error    hypervisor.driver = "virtualbx": expected auto, none, qemu or virtualbox; did you mean virtualbox?
     22:1  error    unknown key brokr; did you mean broker?
     26:10 error    words.reload = "true": expected true or false; did you mean true?
     28:10 warning  words.SOAK.memory = "256MiB": more than vm2 has free
     29:1  warning  [words.DFF]: no such word is installed
     30:10 error    words.DFF.grants = "log": expected a list; did you mean ["log"]?
     31:1  error    unknown key words.DFF.memroy; did you mean memory?
     34:8  error    groups.lab[0] = 1: expected text in quotes; did you mean "1"?
     36:1  error    callers[0]: missing key can
     39:8  error    callers[1].user = 7: expected text in quotes; did you mean "7"?
    18 errors, 2 warnings
    "#);
}

#[test]
fn values_are_told_in_their_own_terms() {
    let layers = Layers::new().file(
        "vocable.toml",
        r#"
broker = true
roster.beacon = "10sec"
roster.forget_after = "soon"
commands.default_timeout = "never"
hypervisor.driver = 1
reconnect.jitter = "0.5"
words.reload = "yes"
words.default.memory = "64M"
words.default.grants = { log = true }
words."*" = 1
groups."a b\n" = 2000-01-01
"#,
    );
    insta::assert_snapshot!(layers.shown(layers.load().problems), @r#"
    /etc/vocable/vocable.toml
      2:10 error    broker = true: expected a table
      3:17 error    roster.beacon = "10sec": no unit of time is called "sec"; units are d h m s ms us ns
      4:23 error    roster.forget_after = "soon": not a duration, such as "10s" or "1h30m"
      5:28 error    commands.default_timeout = "never": not a duration, such as "10s" or "1h30m"
      6:21 error    hypervisor.driver = 1: expected auto, none, qemu or virtualbox
      7:20 error    reconnect.jitter = "0.5": expected a number; did you mean 0.5?
      8:16 error    words.reload = "yes": expected true or false
      9:24 error    words.default.memory = "64M": no unit of size is called "M"; did you mean "64MiB"?
     10:24 error    [words.default.grants]: expected a list
     11:13 error    words."*" = 1: expected a table
     12:18 error    groups."a b\n" = 2000-01-01: expected a list
    11 errors
    "#);
}

#[test]
fn files_variables_and_flags_are_told_apart() {
    let layers = Layers::new()
        .file("vocable.toml", "[roster]\nbeacn = '1s'")
        .file("conf.d/10-lab.toml", "[roster]\nbeacon = 5")
        .variable("VOCABLE_ROSTER_BEACON", "5s")
        .variable("VOCABLE_BROKER__HARTBEAT", "5s")
        .variable("VOCABLE_STATE__X", "5s")
        .variable("VOCABLE_ROSTER__", "5s")
        .variable("VOCABLE_FOO__A", "1")
        .variable("VOCABLE_FOO__B", "1")
        .variable("VOCABLE_COFIG", "/elsewhere.toml")
        .variable("VOCABLE_BROKER__MAX_FRAME", "64")
        .flag("--set", "broker.hartbeat", "5s")
        .flag("--set", "broker..tls", "auto")
        .flag("--hypervisor", "hypervisor.driver", "kvm");
    insta::assert_snapshot!(layers.shown(layers.load().problems), @r#"
    /etc/vocable/conf.d/10-lab.toml
     2:10 error    roster.beacon = 5: a duration needs a unit; did you mean "5s"?
    /etc/vocable/vocable.toml
     2:1 error    unknown key roster.beacn; did you mean beacon?
    environment
     VOCABLE_BROKER__MAX_FRAME error    broker.max_frame = 64: a size needs a unit; did you mean "64MiB"?
     VOCABLE_COFIG             warning  names no key; did you mean VOCABLE_CONFIG?
     VOCABLE_FOO__A            warning  names no key
     VOCABLE_FOO__B            warning  names no key
     VOCABLE_ROSTER_BEACON     warning  names no key; did you mean VOCABLE_ROSTER__BEACON?
     VOCABLE_ROSTER__          warning  names no key
     VOCABLE_STATE__X          warning  names no key
    command line
     --hypervisor error    hypervisor.driver = "kvm": expected auto, none, qemu or virtualbox
     --set        error    not a key: broker."".tls
     --set        error    unknown key broker.hartbeat; did you mean heartbeat?
    6 errors, 6 warnings
    "#);
}

#[test]
fn warnings_alone_do_not_stop_an_agent() {
    let layers = Layers::new().file("vocable.toml", "[words.DFF]\n").variable("VOCABLE_HOME", "/srv");
    let loaded = layers.load();
    assert!(loaded.value.is_some());
    insta::assert_snapshot!(layers.shown(loaded.problems), @r#"
    /etc/vocable/vocable.toml
     1:1 warning  [words.DFF]: no such word is installed
    environment
     VOCABLE_HOME warning  names no key
    2 warnings
    "#);
}

#[test]
fn a_mistake_in_the_template_is_told_once() {
    let layers = Layers::new()
        .file("vocable.toml", "[words.default]\nmemory = 64\nmemroy = 1\n[words.SOAK]\n[words.RUN_CMD]\n");
    insta::assert_snapshot!(layers.shown(layers.load().problems), @r#"
    /etc/vocable/vocable.toml
     2:10 error    words.default.memory = 64: a size needs a unit; did you mean "64MiB"?
     3:1  error    unknown key words.default.memroy; did you mean memory?
    2 errors
    "#);
}

#[test]
fn a_file_that_is_not_toml_is_told_by_line() {
    let layers = Layers::new()
        .file("vocable.toml", "state = /srv\nübung = \"ü\" x\nstate = 'a'\n[broker\nlisten = 'x'\n")
        .file("conf.d/10.toml", "roster.late_after = 99999999999999999999\nreconnect.jitter = 1e999")
        .file("conf.d/20.toml", "roster.late_after = 'one'");
    insta::assert_snapshot!(layers.shown(layers.load().problems), @r#"
    /etc/vocable/conf.d/10.toml
     1:21 error    roster.late_after = 99999999999999999999: a number has at most 64 bits
     2:20 error    reconnect.jitter = 1e999: a number has at most 64 bits
    /etc/vocable/conf.d/20.toml
     1:21 error    roster.late_after = "one": expected a whole number from 0 to 255
    /etc/vocable/vocable.toml
     1:9 error    not TOML: string values must be quoted, expected literal string
     2:1 error    not TOML: invalid unquoted key, expected letters, numbers, `-`, `_`
     3:1 error    not TOML: duplicate key
     4:8 error    not TOML: unclosed table, expected `]`
    7 errors
    "#);
}

#[test]
fn what_cannot_be_read_is_said() {
    let layers = Layers::new().file("long.toml", &"#\n".repeat(200_000));
    std::fs::create_dir(layers.folder.path().join("folder.toml")).unwrap();
    let layers = layers.file("bytes.toml", "");
    std::fs::write(layers.folder.path().join("bytes.toml"), [0xff, 0xfe]).unwrap();
    insta::assert_snapshot!(layers.shown(layers.load().problems), @r#"
    /etc/vocable/bytes.toml
     error    cannot be read: stream did not contain valid UTF-8
    /etc/vocable/long.toml
     error    cannot be read: it has more than 256 KiB
    2 errors
    "#);
}

#[test]
fn a_hundred_mistakes_are_enough() {
    let layers = Layers::new().file("vocable.toml", &format!("groups.lab = {:?}", vec![1; 50_000]));
    let loaded = layers.load();
    assert!(loaded.value.is_none());
    let last = loaded.problems.iter().last().unwrap();
    assert_eq!(last.message, "100 values do not fit; the rest was not looked at");
}

#[test]
fn what_people_typed_is_repeated_in_part_only() {
    let text = format!(
        "state = 1\n{} = 1\ngroups.{} = '{}\\u001b'",
        "k".repeat(500),
        "g".repeat(90),
        "v".repeat(500)
    );
    let layers = Layers::new().file("vocable.toml", &text);
    let listing = layers.shown(layers.load().problems);
    assert!(listing.lines().all(|line| line.chars().count() < 300), "{listing}");
    assert!(listing.contains('…') && !listing.contains('\u{1b}'), "{listing}");
}

#[test]
fn problems_are_json_for_scripts() {
    let layers = Layers::new().file("vocable.toml", "[roster]\nbeacon = 10").variable("VOCABLE_HOME", "/srv");
    let problems = serde_json::to_string_pretty(&layers.load().problems).unwrap();
    insta::assert_snapshot!(layers.shown(problems), @r#"
    {
      "problems": [
        {
          "source": "file",
          "file": "/etc/vocable/vocable.toml",
          "line": 2,
          "col": 10,
          "severity": "error",
          "key": "roster.beacon",
          "message": "roster.beacon = 10: a duration needs a unit",
          "hint": "did you mean \"10s\"?"
        },
        {
          "source": "environment",
          "variable": "VOCABLE_HOME",
          "severity": "warning",
          "key": "",
          "message": "names no key",
          "hint": null
        }
      ]
    }
    "#);
}
