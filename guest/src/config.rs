//! The configuration of a guest: every key of `default.toml`, read and checked.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use vocable_config::{Application, Finding, NamedTables, Size, Span};
use vocable_logging::LogSettings;
use vocable_runtime::settings::WordsSettings;

/// How the configuration of guests is found and read.
pub const APPLICATION: Application = Application {
    name: "vocable",
    file_name: "guest.toml",
    default: include_str!("default.toml"),
    env_prefix: "VOCABLE_GUEST_",
    other_variables: &["VOCABLE_GUEST_CONFIG"],
    named_tables: &[NamedTables { parent: "words", template: "default" }],
};

/// Every key. What they mean is said in `default.toml`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "default.toml documents the keys, once, where people read them")]
pub struct Config {
    pub id: String,
    pub interface: String,
    pub broker: String,
    pub token_file: PathBuf,
    pub heartbeat: Span,
    pub beacon: Span,
    pub state: PathBuf,
    pub cache: PathBuf,
    pub reconnect: Reconnect,
    pub jobs: Jobs,
    pub words: WordsSettings,
    pub log: LogSettings,
}

/// `[reconnect]`
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "default.toml documents the keys, once, where people read them")]
pub struct Reconnect {
    pub first: Span,
    pub most: Span,
    pub jitter: f64,
}

/// `[jobs]`
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "default.toml documents the keys, once, where people read them")]
pub struct Jobs {
    pub spool_limit: Size,
    pub when_spool_full: WhenSpoolFull,
    pub keep: Span,
    pub home: PathBuf,
    pub env: BTreeMap<String, String>,
    pub max_running: usize,
}

/// What happens to a command that has written more than its spool may hold.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenSpoolFull {
    /// It is ended, and the result says so.
    Kill,
    /// It blocks until somebody makes room or it is ended.
    Pause,
}

/// What the types alone do not say.
pub fn check(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    if !(0.0..=1.0).contains(&config.reconnect.jitter) {
        found.push(Finding::error("reconnect.jitter", "expected a number from 0 to 1"));
    }
    if config.beacon.duration() < std::time::Duration::from_millis(100) {
        found.push(Finding::error("beacon", "expected at least 100ms"));
    }
    found.extend(config.words.findings());
    found
}
