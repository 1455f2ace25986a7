//! The configuration of a guest: every key of `default.toml`, read and checked.

use crate::job::record::WhenSpoolFull;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use vocable_config::{Application, Finding, NamedTables, Size, Span};
use vocable_logging::LogSettings;
use vocable_runtime::settings::WordsSettings;

/// How the configuration of guests is found and read.
pub(crate) const APPLICATION: Application = Application {
    name: "vocable",
    file_name: "guest.toml",
    default: include_str!("default.toml"),
    env_prefix: "VOCABLE_GUEST_",
    other_variables: &["VOCABLE_GUEST_CONFIG"],
    named_tables: &[NamedTables { parent: "words", template: "default" }],
};

/// Every key. What they mean is said in `default.toml`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Config {
    pub(crate) id: String,
    pub(crate) interface: String,
    pub(crate) broker: String,
    pub(crate) token_file: PathBuf,
    pub(crate) heartbeat: Span,
    pub(crate) beacon: Span,
    pub(crate) state: PathBuf,
    pub(crate) cache: PathBuf,
    pub(crate) reconnect: Reconnect,
    pub(crate) jobs: Jobs,
    pub(crate) files: Files,
    pub(crate) words: WordsSettings,
    pub(crate) log: LogSettings,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Reconnect {
    pub(crate) first: Span,
    pub(crate) most: Span,
    pub(crate) jitter: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Jobs {
    pub(crate) spool_limit: Size,
    pub(crate) when_spool_full: WhenSpoolFull,
    pub(crate) kill_after: Span,
    pub(crate) keep: Span,
    pub(crate) home: PathBuf,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) max_running: usize,
    pub(crate) cgroup: Cgroup,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Files {
    pub(crate) roots: Vec<FilesRoot>,
    pub(crate) listen: Listen,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) keep_free: Size,
    pub(crate) max_connections: usize,
}

/// One of `files.roots`: a folder that the host may reach.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FilesRoot {
    /// The folder; a relative path is one below the state folder.
    pub(crate) path: PathBuf,
    /// What the host calls it: `/`, or a name below it. Without one, the folder's own name.
    pub(crate) at: Option<String>,
    /// Whether the host may change what is in it.
    #[serde(default)]
    pub(crate) write: bool,
}

impl FilesRoot {
    /// What the host calls it.
    pub(crate) fn place(&self) -> String {
        let name = || self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        self.at.clone().unwrap_or_else(|| format!("/{}", name().unwrap_or_default()))
    }
}

/// Where files are served over TCP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Listen {
    /// At the address from which the broker is reached, any free port.
    Auto,
    /// Nowhere: through the bus only.
    Off,
    /// At this address.
    At(SocketAddr),
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            other => other
                .parse()
                .map(Self::At)
                .map_err(|_| serde::de::Error::custom("expected auto, off or ADDRESS:PORT")),
        }
    }
}

/// Whether commands get cgroups of their own.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cgroup {
    /// Where one may be made.
    Auto,
    /// None does.
    Off,
}

/// What the types alone do not say.
pub(crate) fn check(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    if !(0.0..=1.0).contains(&config.reconnect.jitter) {
        found.push(Finding::error("reconnect.jitter", "expected a number from 0 to 1"));
    }
    if config.beacon.duration() < std::time::Duration::from_millis(100) {
        found.push(Finding::error("beacon", "expected at least 100ms"));
    }
    if matches!(config.files.listen, Listen::At(address) if address.ip().is_unspecified()) {
        let everywhere = "every interface; the files would be open to every network this guest is on";
        found.push(Finding::error("files.listen", everywhere).hint("name an address, or say auto"));
    }
    for (n, root) in config.files.roots.iter().enumerate() {
        let place = root.place();
        let name = place.strip_prefix('/').unwrap_or("/");
        if name.contains('/') || (name.is_empty() && config.files.roots.len() > 1) {
            let wrong = format!("{place:?} is neither \"/\" alone nor a name below it");
            found.push(
                Finding::error(format!("files.roots[{n}]"), wrong)
                    .hint("say what the host calls it: at = \"/data\""),
            );
        }
    }
    found.extend(config.words.findings());
    found
}
