//! What configuration is made of: the agent's description of itself, and the layers of one run.
//!
//! Plain data. Which files exist on a machine is `places`'s business, reading them `layers`'.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What an agent's configuration is: the same for every run of it.
#[derive(Debug, Clone, Copy)]
pub struct Application {
    /// Name of its folder in `/etc`, `/var/lib` and so on, for example `vocable`.
    pub name: &'static str,
    /// Name of its main file in that folder, for example `vocable.toml`.
    pub file_name: &'static str,
    /// The commented default file, with every key; printed verbatim by `config default`.
    pub default: &'static str,
    /// What its environment variables begin with, for example `VOCABLE_`.
    pub env_prefix: &'static str,
    /// Variables that begin with the prefix and name no key, for example `VOCABLE_CONFIG`.
    pub other_variables: &'static [&'static str],
    /// Tables whose children are named by the user.
    pub named_tables: &'static [NamedTables],
}

/// A table that has, besides its own keys, one table for each name a user chooses: `[words.SOAK]`.
///
/// Each starts as a copy of the template (`[words.default]`), so a named table says only what differs.
/// The agent's type finds all of them, the template included, in a field named `*`:
///
/// ```
/// # use std::collections::BTreeMap;
/// # #[derive(serde::Deserialize)] struct Word;
/// #[derive(serde::Deserialize)]
/// struct Words {
///     reload: String,
///     #[serde(rename = "*")]
///     named: BTreeMap<String, Word>,
/// }
/// ```
/// (`serde(flatten)` would do the same, but hides which key a problem is at.) A table that has nothing but
/// free keys, such as `[groups]`, needs no declaration: it is a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedTables {
    /// Dotted key of the table they are in, for example `words`.
    pub parent: &'static str,
    /// Name of the one the others start from, for example `default`; it must be in the default file.
    pub template: &'static str,
}

/// The layers of one run, all optional.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Defaults that depend on the machine or the user, such as the state folder; they replace those of the
    /// default file and count as defaults.
    pub computed: Vec<(&'static str, String)>,
    /// Files and folders, the weakest first.
    pub files: Vec<FileSource>,
    /// The environment; only variables with the application's prefix matter.
    pub environment: BTreeMap<String, String>,
    /// Keys set on the command line, the weakest first.
    pub flags: Vec<Setting>,
}

/// A file or folder of configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// Every `*.toml` in a folder, in name order; nothing if there is no such folder.
    Folder(PathBuf),
    /// A file that may be missing.
    Optional(PathBuf),
    /// A file somebody named: an error if it is missing.
    Required(PathBuf),
}

/// One key set on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The flag as it was typed, for example `--hypervisor`.
    pub flag: String,
    /// Dotted key it sets, for example `hypervisor.driver`.
    pub key: String,
    /// A TOML value, or bare text, which is taken as a string.
    pub value: String,
}
