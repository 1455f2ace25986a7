//! Which layer wins, and whether every value knows where it comes from.

use std::path::Path;

use vocable_config::{Entry, FileSource, Listing, OrNone, Size, Span};

use crate::agent::{Driver, Layers};

#[test]
fn the_default_file_is_a_whole_configuration() {
    let agent = Layers::new().agent();
    assert_eq!(agent.state, Path::new("/var/lib/vocable"));
    assert_eq!(agent.broker.max_frame, Size::new(1 << 20));
    assert_eq!(agent.broker.max_connections, 20_000);
    assert_eq!((agent.broker.tls.as_str(), agent.broker.heartbeat.to_string().as_str()), ("off", "5s"));
    assert_eq!(agent.roster.late_after, 1);
    assert_eq!(agent.roster.forget_after.to_string(), "30d");
    assert_eq!(agent.commands.default_timeout, OrNone(None));
    assert_eq!(agent.reconnect.jitter, 0.5);
    assert!(agent.words.reload && agent.groups.is_empty() && agent.callers.is_empty());
}

#[test]
fn each_layer_beats_the_ones_below() {
    let driver = |layers: &Layers| layers.agent().hypervisor.driver;
    let mut layers = Layers::new().file("vocable.toml", "hypervisor.driver = 'qemu'");
    assert_eq!(driver(&layers), Driver::Qemu);
    layers.write("conf.d/10-lab.toml", "hypervisor.driver = 'virtualbox'");
    layers.write("conf.d/20-lab.toml", "hypervisor.driver = 'none'");
    layers.write("conf.d/30-lab.toml.bak", "hypervisor.driver = 'qemu'");
    layers.sources.files.push(FileSource::Folder(layers.folder.path().join("conf.d")));
    assert_eq!(driver(&layers), Driver::None, "the last in conf.d wins");
    let layers = layers.file("user.toml", "hypervisor.driver = 'qemu'");
    assert_eq!(driver(&layers), Driver::Qemu);
    let layers = layers.variable("VOCABLE_HYPERVISOR__DRIVER", "none");
    assert_eq!(driver(&layers), Driver::None);
    let layers = layers.flag("--hypervisor", "hypervisor.driver", "virtualbox");
    assert_eq!(driver(&layers), Driver::Virtualbox);
}

#[test]
fn tables_merge_and_arrays_replace() {
    let layers = Layers::new()
        .file("a.toml", "[broker]\nlisten = ['a', 'b']\ntls = 'auto'")
        .file("b.toml", "[broker]\nlisten = ['c']");
    let agent = layers.agent();
    assert_eq!((agent.broker.listen, agent.broker.tls), (vec!["c".to_owned()], "auto".to_owned()));
}

#[test]
fn a_named_table_starts_as_its_template() {
    let layers = Layers::new().file(
        "a.toml",
        "[words.default]\nmemory = '32MiB'\n[words.SOAK]\nenabled = false\n[words.RUN_CMD]\nmemory = '1MB'",
    );
    let words = layers.agent().words.named;
    assert_eq!(words["SOAK"].memory, Size::new(32 << 20));
    assert_eq!((&words["SOAK"].grants, words["SOAK"].enabled), (&vec!["log".to_owned()], Some(false)));
    assert_eq!((words["RUN_CMD"].memory, words["RUN_CMD"].grants.len()), (Size::new(1_000_000), 2));
}

#[test]
fn variables_are_toml_or_bare_text() {
    let layers = Layers::new()
        .variable("VOCABLE_BROKER__LISTEN", r#"["10.0.0.1:1", "[::1]:2"]"#)
        .variable("VOCABLE_BROKER__MAX_CONNECTIONS", " 7 ")
        .variable("VOCABLE_ROSTER__BEACON", "1m")
        .variable("VOCABLE_STATE", "\"/srv\"")
        .variable("VOCABLE_WORDS__SOAK__MEMORY", "1MiB")
        .variable("VOCABLE_WORDS__RUN_CMD__ENABLED", "false")
        .variable("VOCABLE_GROUPS__LAB", "['vm1']")
        .variable("VOCABLE_CONFIG", "/elsewhere.toml")
        .variable("OTHER_STATE", "/not/ours");
    let agent = layers.agent();
    assert_eq!(agent.broker.listen, ["10.0.0.1:1", "[::1]:2"]);
    assert_eq!(agent.broker.max_connections, 7);
    assert_eq!(agent.roster.beacon, "1m".parse::<Span>().unwrap());
    assert_eq!(agent.state, Path::new("/srv"));
    assert_eq!(agent.words.named["SOAK"].memory, Size::new(1 << 20));
    assert_eq!(agent.words.named["RUN_CMD"].enabled, Some(false));
    assert_eq!(agent.groups["lab"], ["vm1"]);
}

#[test]
fn computed_defaults_are_defaults() {
    let mut layers = Layers::new();
    layers.sources.computed = vec![("state", "/home/ada/.local/state/vocable".to_owned())];
    assert_eq!(layers.agent().state, Path::new("/home/ada/.local/state/vocable"));
    let loaded = layers.load();
    let state = loaded.entries.iter().find(|entry| entry.key == "state").unwrap();
    assert!(!state.is_set());
    assert_eq!(state.default.as_deref(), Some("\"/home/ada/.local/state/vocable\""));
}

#[test]
fn missing_files_are_fine_unless_somebody_named_them() {
    let mut layers = Layers::new();
    let missing = |name| layers.folder.path().join(name);
    let optional = vec![FileSource::Optional(missing("a.toml")), FileSource::Folder(missing("conf.d"))];
    let required = FileSource::Required(missing("b.toml"));
    layers.sources.files = optional;
    layers.agent();
    layers.sources.files.push(required);
    let problems = layers.load().problems;
    insta::assert_snapshot!(layers.shown(problems), @r#"
    /etc/vocable/b.toml
     error    cannot be read: No such file or directory (os error 2)
    1 error
    "#);
}

#[test]
fn every_entry_knows_where_it_was_written() {
    let layers = Layers::new()
        .file("vocable.toml", "state = '/srv'\n\n[words.SOAK]\nmemory = '256MiB'\n")
        .file(
            "conf.d/10-lab.toml",
            "[broker]\nlisten = ['127.0.0.1:61613', '10.1.0.1:61613']\nheartbeat = '5s'\n",
        )
        .variable("VOCABLE_ROSTER__BEACON", "5s")
        .flag("--hypervisor", "hypervisor.driver", "none");
    let entries = layers.load().entries;
    let listing = |entries| layers.shown(Listing(entries));
    insta::assert_snapshot!(listing(entries.iter().filter(|entry| entry.is_set()).collect()), @r#"
    broker.heartbeat   "5s"                                   /etc/vocable/conf.d/10-lab.toml:3
    broker.listen      ["127.0.0.1:61613", "10.1.0.1:61613"]  /etc/vocable/conf.d/10-lab.toml:2   (default ["127.0.0.1:61613"])
    hypervisor.driver  "none"                                 --hypervisor   (default "auto")
    roster.beacon      "5s"                                   VOCABLE_ROSTER__BEACON   (default "10s")
    state              "/srv"                                 /etc/vocable/vocable.toml:1   (default "/var/lib/vocable")
    words.SOAK.memory  "256MiB"                               /etc/vocable/vocable.toml:4   (default "64MiB")
    "#);
    insta::assert_snapshot!(listing(entries.iter().filter(|entry| !entry.is_set()).collect()), @r#"
    broker.max_connections    20000            default
    broker.max_frame          "1MiB"           default
    broker.tls                "off"            default
    commands.default_timeout  "none"           default
    reconnect.jitter          0.5              default
    roster.forget_after       "30d"            default
    roster.late_after         1                default
    words.RUN_CMD.grants      ["log", "jobs"]  default
    words.default.grants      ["log"]          default
    words.default.memory      "64MiB"          default
    words.reload              true             default
    "#);
}

#[test]
fn an_entry_is_json_for_scripts() {
    let layers = Layers::new().file("vocable.toml", "\n[roster]\n  beacon = '5s'\n");
    let entries = layers.load().entries;
    let beacon: Vec<&Entry> = entries.iter().filter(|entry| entry.key == "roster.beacon").collect();
    insta::assert_snapshot!(layers.shown(serde_json::to_string_pretty(&beacon).unwrap()), @r#"
    [
      {
        "key": "roster.beacon",
        "value": "\"5s\"",
        "origin": {
          "source": "file",
          "file": "/etc/vocable/vocable.toml",
          "line": 3,
          "col": 12
        },
        "default": "\"10s\""
      }
    ]
    "#);
}
