//! The `[words]` part of an agent's configuration, the same on both ends, and what it means to the lexicon.

use crate::contract::GRANTABLE;
use crate::folders::Folder;
use crate::policy::{Limits, Policies, Policy};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use vocable_config::{Finding, Size, Span};

/// `[words]`: where words are found, and the tables of each.
#[derive(Clone, Debug, Deserialize)]
pub struct WordsSettings {
    /// Folders of components; later ones win over earlier ones, all over the built-in words.
    pub dirs: Vec<PathBuf>,
    /// Whether changes there take effect while the agent runs.
    pub reload: Reload,
    /// `[words.NAME]` by name; `default` is where each starts from.
    #[serde(rename = "*")]
    pub named: BTreeMap<String, WordSettings>,
}

/// When changed components are loaded.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Reload {
    /// At the next start.
    Never,
    /// As soon as a file changes.
    Watch,
}

/// `[words.NAME]`. The units are in the values.
#[derive(Clone, Debug, Deserialize)]
pub struct WordSettings {
    /// Interfaces of the contract it may import.
    pub grants: Vec<String>,
    /// Folders whose files it may touch, by the names it knows them by: `ro:/path` or `rw:/path`.
    pub files: BTreeMap<String, String>,
    /// Whether it is loaded at all.
    pub enabled: bool,
    /// Events it is said on; empty means those it names itself.
    pub binds: Vec<String>,
    /// Time it may compute in one call.
    pub compute: Span,
    /// Time one call may take, without what it waits for the agent.
    pub wall: Span,
    /// Time one call may wait for the agent.
    pub wait: Span,
    /// Over all its memories.
    pub memory: Size,
    /// Log in one call.
    pub log: Size,
    /// Messages it may say in one call.
    pub messages: u32,
    /// Jobs it may start in one call.
    pub jobs: u32,
    /// Traps before it is quarantined.
    pub retries: u32,
    /// Pause after the first trap.
    pub retry_after: Span,
    /// How long it is out of service then.
    pub quarantine: Span,
}

/// The table the others start from.
const TEMPLATE: &str = "default";
impl WordsSettings {
    /// What they mean to the lexicon.
    pub fn policies(&self) -> Policies {
        let named = |(name, settings): (&String, &WordSettings)| (name.clone(), settings.policy());
        let default = self.named.get(TEMPLATE).map(WordSettings::policy).unwrap_or_default();
        let words = self.named.iter().filter(|(name, _)| *name != TEMPLATE).map(named).collect();
        Policies { default, words }
    }

    /// What the types alone do not say.
    pub fn findings(&self) -> Vec<Finding> {
        let of_word = |(name, settings): (&String, &WordSettings)| {
            let unknown = settings.grants.iter().filter(|grant| !GRANTABLE.contains(&grant.as_str()));
            let finding = |grant: &String| {
                let text =
                    format!("\"{grant}\" is no interface of the contract; known: {}", GRANTABLE.join(", "));
                Finding::error(format!("words.{name}.grants"), text)
            };
            let folders = settings.files.iter().filter(|(folder, place)| {
                folder.is_empty() || folder.contains('/') || Folder::parse(place).is_none()
            });
            let wrong = |(folder, place): (&String, &String)| {
                let text = format!(
                    "\"{place}\" under \"{folder}\": expected a name without /, and ro:/path or rw:/path"
                );
                Finding::error(format!("words.{name}.files"), text)
            };
            unknown.map(finding).chain(folders.map(wrong)).collect::<Vec<_>>()
        };
        self.named.iter().flat_map(of_word).collect()
    }
}

impl WordSettings {
    fn policy(&self) -> Policy {
        let bytes = |size: Size| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
        Policy {
            grants: self.grants.iter().cloned().collect(),
            folders: self
                .files
                .iter()
                .filter_map(|(name, place)| Some((name.clone(), Folder::parse(place)?)))
                .collect(),
            enabled: self.enabled,
            binds: (!self.binds.is_empty()).then(|| self.binds.clone()),
            limits: Limits {
                compute: self.compute.duration(),
                wall: self.wall.duration(),
                wait: self.wait.duration(),
                memory: bytes(self.memory),
                log: bytes(self.log),
                messages: self.messages,
                jobs: self.jobs,
                retries: self.retries,
                retry_after: self.retry_after.duration(),
                quarantine: self.quarantine.duration(),
            },
        }
    }
}
