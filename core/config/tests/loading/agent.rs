//! An agent with one key of each kind, and a folder for its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use tempfile::TempDir;
use vocable_config::{
    Application, FileSource, Finding, Loaded, NamedTables, OrNone, Setting, Size, Sources, Span, load,
};

pub(crate) const APP: Application = Application {
    name: "vocable",
    file_name: "vocable.toml",
    default: r#"# every key with its default
state = "/var/lib/vocable"

[broker]
listen = ["127.0.0.1:61613"]
tls = "off"
heartbeat = "5s"
max_frame = "1MiB"
max_connections = 20000

[roster]
beacon = "10s"
late_after = 1
forget_after = "30d"

[commands]
default_timeout = "none"

[hypervisor]
driver = "auto"

[reconnect]
jitter = 0.5

[words]
reload = true
[words.default]
memory = "64MiB"
grants = ["log"]
[words.RUN_CMD]
grants = ["log", "jobs"]

[groups]
"#,
    env_prefix: "VOCABLE_",
    other_variables: &["VOCABLE_CONFIG", "VOCABLE_LOG"],
    named_tables: &[NamedTables { parent: "words", template: "default" }],
};

#[derive(Debug, Deserialize)]
pub(crate) struct Agent {
    pub(crate) state: PathBuf,
    pub(crate) broker: Broker,
    pub(crate) roster: Roster,
    pub(crate) commands: Commands,
    pub(crate) hypervisor: Hypervisor,
    pub(crate) reconnect: Reconnect,
    pub(crate) words: Words,
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) callers: Vec<Caller>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Broker {
    pub(crate) listen: Vec<String>,
    pub(crate) tls: String,
    pub(crate) heartbeat: Span,
    pub(crate) max_frame: Size,
    pub(crate) max_connections: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Roster {
    pub(crate) beacon: Span,
    pub(crate) late_after: u8,
    pub(crate) forget_after: Span,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Commands {
    pub(crate) default_timeout: OrNone<Span>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Hypervisor {
    pub(crate) driver: Driver,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Driver {
    Auto,
    None,
    Qemu,
    Virtualbox,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Reconnect {
    pub(crate) jitter: f64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Words {
    pub(crate) reload: bool,
    #[serde(rename = "*")]
    pub(crate) named: BTreeMap<String, Word>,
}

#[derive(Debug, Deserialize, PartialEq)]
pub(crate) struct Word {
    pub(crate) memory: Size,
    pub(crate) grants: Vec<String>,
    pub(crate) enabled: Option<bool>,
}

#[derive(Debug, Deserialize, PartialEq)]
pub(crate) struct Caller {
    pub(crate) user: String,
    pub(crate) can: Vec<String>,
}

/// The checks an agent might have beyond types.
pub(crate) fn check(agent: &Agent) -> Vec<Finding> {
    let open = agent.broker.listen.iter().enumerate().filter(|(_, address)| address.starts_with("0.0.0.0"));
    let open = open.map(|(index, _)| {
        let message = "every interface; guests' commands would be open to your network";
        Finding::error(format!("broker.listen[{index}]"), message)
            .hint("name an address, or set broker.tls = \"auto\" and write \"any:61613\"")
    });
    let large = agent.words.named.iter().filter(|(_, word)| word.memory > Size::new(200 << 20));
    let large =
        large.map(|(name, _)| Finding::warning(format!("words.{name}.memory"), "more than vm2 has free"));
    let known = ["default", "RUN_CMD", "SOAK"];
    let unknown = agent.words.named.keys().filter(|name| !known.contains(&name.as_str()));
    let unknown = unknown.map(|name| Finding::warning(format!("words.{name}"), "no such word is installed"));
    open.chain(large).chain(unknown).collect()
}

/// Layers in the making: files are written to a folder of the test's own.
pub(crate) struct Layers {
    pub(crate) folder: TempDir,
    pub(crate) sources: Sources,
}

impl Layers {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), sources: Sources::default() }
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn file(mut self, name: &str, text: &str) -> Self {
        let path = self.write(name, text);
        self.sources.files.push(FileSource::Optional(path));
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn flag(mut self, flag: &str, key: &str, value: &str) -> Self {
        let setting = Setting { flag: flag.to_owned(), key: key.to_owned(), value: value.to_owned() };
        self.sources.flags.push(setting);
        self
    }

    pub(crate) fn load(&self) -> Loaded<Agent> {
        load(&APP, &self.sources, check)
    }

    /// The agent, which must have no problem.
    pub(crate) fn agent(&self) -> Agent {
        let loaded = self.load();
        assert!(loaded.problems.is_empty(), "{}", loaded.problems);
        loaded.value.unwrap()
    }

    /// Any listing, with the test's folder as `/etc/vocable`.
    pub(crate) fn shown(&self, listing: impl ToString) -> String {
        listing.to_string().replace(self.folder.path().to_str().unwrap(), "/etc/vocable")
    }
}
