//! The standard folders: systemd's and the FHS's for a service, the XDG base directories for a user.
//!
//! Computes paths from an environment it is given; it creates nothing and does not look whether they exist.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::sources::{Application, FileSource};

/// Where an agent's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Configuration, the weakest first.
    pub config: Vec<FileSource>,
    /// What must survive a restart.
    pub state: PathBuf,
    /// What can be made again.
    pub cache: PathBuf,
    /// Sockets; gone after a reboot.
    pub runtime: PathBuf,
    /// What is installed, later folders winning.
    pub data: Vec<PathBuf>,
    /// Secrets that systemd passes in.
    pub credentials: Option<PathBuf>,
}

/// A user without a home directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no home directory: HOME is not an absolute path, and {0} neither")]
pub struct NoHome(pub &'static str);

impl Places {
    /// Of root the system's, of anybody else the user's.
    ///
    /// # Errors
    /// [`NoHome`] if the user's folders cannot be told.
    pub fn of(app: &Application, environment: &BTreeMap<String, String>, uid: u32) -> Result<Self, NoHome> {
        if uid == 0 { Ok(Self::system(app, environment)) } else { Self::user(app, environment, uid) }
    }

    /// Of a service: `/etc`, and what systemd says or else `/var` and `/run`.
    pub fn system(app: &Application, environment: &BTreeMap<String, String>) -> Self {
        let given = |variable, standard: &str| {
            systemd_folder(environment, variable).unwrap_or_else(|| Path::new(standard).join(app.name))
        };
        Self {
            config: system_config(app),
            state: given("STATE_DIRECTORY", "/var/lib"),
            cache: given("CACHE_DIRECTORY", "/var/cache"),
            runtime: given("RUNTIME_DIRECTORY", "/run"),
            data: ["/usr/lib", "/var/lib"].map(|folder| Path::new(folder).join(app.name)).into(),
            credentials: systemd_folder(environment, "CREDENTIALS_DIRECTORY"),
        }
    }

    /// Of a user: the XDG base directories, and the system's configuration below the user's own.
    ///
    /// # Errors
    /// [`NoHome`] if a base directory is neither given nor can be found from `HOME`.
    pub fn user(app: &Application, environment: &BTreeMap<String, String>, uid: u32) -> Result<Self, NoHome> {
        let base = |variable, below_home: &str| match absolute(environment, variable) {
            Some(folder) => Ok(folder.join(app.name)),
            None => match absolute(environment, "HOME") {
                Some(home) => Ok(home.join(below_home).join(app.name)),
                None => Err(NoHome(variable)),
            },
        };
        let mut config = system_config(app);
        config.push(FileSource::Optional(base("XDG_CONFIG_HOME", ".config")?.join(app.file_name)));
        let runtime = absolute(environment, "XDG_RUNTIME_DIR");
        Ok(Self {
            config,
            state: base("XDG_STATE_HOME", ".local/state")?,
            cache: base("XDG_CACHE_HOME", ".cache")?,
            runtime: runtime.unwrap_or_else(|| format!("/run/user/{uid}").into()).join(app.name),
            data: vec![base("XDG_DATA_HOME", ".local/share")?],
            credentials: systemd_folder(environment, "CREDENTIALS_DIRECTORY"),
        })
    }
}

fn system_config(app: &Application) -> Vec<FileSource> {
    let folder = Path::new("/etc").join(app.name);
    vec![FileSource::Optional(folder.join(app.file_name)), FileSource::Folder(folder.join("conf.d"))]
}

/// The first of a list with colons (systemd.exec(5), `StateDirectory=`).
fn systemd_folder(environment: &BTreeMap<String, String>, variable: &str) -> Option<PathBuf> {
    let first = environment.get(variable)?.split(':').next()?;
    Some(PathBuf::from(first)).filter(|path| path.is_absolute())
}

/// A relative path is to be ignored (XDG Base Directory Specification).
fn absolute(environment: &BTreeMap<String, String>, variable: &str) -> Option<PathBuf> {
    environment.get(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: Application = Application {
        name: "vocable",
        file_name: "guest.toml",
        default: "",
        env_prefix: "VOCABLE_",
        other_variables: &[],
        named_tables: &[],
    };

    fn environment<const N: usize>(variables: [(&str, &str); N]) -> BTreeMap<String, String> {
        variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn root_uses_the_system_folders() {
        let places = Places::of(&APP, &environment([("HOME", "/root")]), 0).unwrap();
        assert_eq!(
            places.config,
            [
                FileSource::Optional("/etc/vocable/guest.toml".into()),
                FileSource::Folder("/etc/vocable/conf.d".into()),
            ]
        );
        assert_eq!(places.state, Path::new("/var/lib/vocable"));
        assert_eq!(places.cache, Path::new("/var/cache/vocable"));
        assert_eq!(places.runtime, Path::new("/run/vocable"));
        assert_eq!(places.data, [Path::new("/usr/lib/vocable"), Path::new("/var/lib/vocable")]);
        assert_eq!(places.credentials, None);
    }

    #[test]
    fn systemd_has_the_last_word() {
        let environment = environment([
            ("STATE_DIRECTORY", "/var/lib/private/vocable:/srv/more"),
            ("CACHE_DIRECTORY", ""),
            ("CREDENTIALS_DIRECTORY", "/run/credentials/vocable.service"),
        ]);
        let places = Places::system(&APP, &environment);
        assert_eq!(places.state, Path::new("/var/lib/private/vocable"));
        assert_eq!(places.cache, Path::new("/var/cache/vocable"));
        assert_eq!(places.credentials, Some("/run/credentials/vocable.service".into()));
    }

    #[test]
    fn a_user_has_base_directories_and_relative_ones_are_ignored() {
        let environment = environment([
            ("HOME", "/home/ada"),
            ("XDG_CONFIG_HOME", "/home/ada/etc"),
            ("XDG_STATE_HOME", "relative"),
        ]);
        let places = Places::of(&APP, &environment, 1000).unwrap();
        assert_eq!(
            places.config.last(),
            Some(&FileSource::Optional("/home/ada/etc/vocable/guest.toml".into()))
        );
        assert_eq!(places.config.len(), 3, "the system's files come first");
        assert_eq!(places.state, Path::new("/home/ada/.local/state/vocable"));
        assert_eq!(places.runtime, Path::new("/run/user/1000/vocable"));
        assert_eq!(places.data, [Path::new("/home/ada/.local/share/vocable")]);
    }

    #[test]
    fn a_user_without_a_home_is_told_so() {
        let error = Places::user(&APP, &environment([]), 1000).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no home directory: HOME is not an absolute path, and XDG_CONFIG_HOME neither"
        );
    }
}
