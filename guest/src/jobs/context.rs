//! What all jobs of an agent share, and what commands find around them: the environment, the working directory, the user.
//! The agent's own environment is not handed on, since it may hold secrets: of that only `PATH`, `LANG`, `LC_ALL` and
//! `TZ`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nix::unistd::{Uid, User as Passwd};

use super::JobsConfig;
use super::error::JobError;
use super::spare::Spare;
use crate::job::cgroup;
use crate::job::command_id::CommandId;
use crate::job::folder::Folder;
use crate::job::processes;
use crate::job::record::User;
use crate::private;
use vocable_protocol::{Program, excerpt};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const HANDED_ON: [&str; 3] = ["LANG", "LC_ALL", "TZ"];

/// The configuration, and what was found out about the machine when the jobs were opened.
#[derive(Debug)]
pub(super) struct JobContext {
    pub(super) config: JobsConfig,
    pub(super) boot_id: String,
    /// A supervisor for the next job.
    pub(super) spare: Mutex<Option<Spare>>,
    /// Where commands get their cgroups.
    pub(super) cgroups: Option<cgroup::Parent>,
    /// Held while input is written: two pieces for one command must not see the same end of it.
    pub(super) input: Mutex<()>,
    /// The entry of the agent's own user, if there is one.
    own: Option<Passwd>,
}

impl JobContext {
    /// Makes the folder of the jobs, and makes its path absolute: supervisors work elsewhere.
    pub(super) fn prepare(mut config: JobsConfig) -> Result<Self, JobError> {
        private::folder(&config.dir).map_err(JobError::io("create", &config.dir))?;
        config.dir = config.dir.canonicalize().map_err(JobError::io("resolve", &config.dir))?;
        // What is recorded below is only as durable as the way to it.
        config
            .dir
            .ancestors()
            .take(3)
            .for_each(|folder| drop(File::open(folder).and_then(|it| it.sync_all())));
        let boot_id =
            processes::boot_id().map_err(JobError::io("read", "/proc/sys/kernel/random/boot_id".as_ref()))?;
        let own = Passwd::from_uid(Uid::effective()).ok().flatten();
        let cgroups = config.cgroups.then(|| cgroup::Parent::find(&config.dir)).flatten();
        Ok(Self { config, boot_id, cgroups, input: Mutex::default(), spare: Mutex::default(), own })
    }

    pub(super) fn folder(&self, cmd_id: &CommandId) -> Folder {
        Folder::new(self.config.dir.join(cmd_id.as_str()))
    }

    /// Whose rights a command has; its entry of the user database.
    pub(super) fn look_up(&self, user: Option<&str>) -> Result<Option<Passwd>, JobError> {
        let Some(name) = user else { return Ok(self.own.clone()) };
        let found = match name.parse() {
            Ok(number) => Passwd::from_uid(Uid::from_raw(number)),
            Err(_) => Passwd::from_name(name),
        };
        let invalid = |reason: String| Err(JobError::invalid("option \"user\"", reason));
        match found {
            Ok(Some(user)) => Ok(Some(user)),
            Ok(None) => invalid(format!("there is no user {}", excerpt(name))),
            Err(cause) => invalid(format!("{} cannot be looked up: {cause}", excerpt(name))),
        }
    }

    /// The whole environment of a command; of a name given twice, the last counts.
    pub(super) fn environment(&self, user: Option<&Passwd>, program: &Program) -> Vec<(String, String)> {
        let own = |name: &str| std::env::var(name).ok();
        let mut env = vec![("PATH".to_owned(), own("PATH").unwrap_or_else(|| DEFAULT_PATH.to_owned()))];
        env.extend(HANDED_ON.iter().filter_map(|name| Some(((*name).to_owned(), own(name)?))));
        if let Some(user) = user {
            env.extend(home(user));
        }
        env.extend(self.config.env.clone());
        env.extend(program.env.clone());
        env
    }

    /// The working directory, absolute.
    pub(super) fn directory(&self, program: &Program) -> PathBuf {
        let asked = program.path.as_deref().map_or(Path::new(""), Path::new);
        self.config.default_dir.join(asked)
    }
}

fn home(user: &Passwd) -> [(String, String); 4] {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    [
        ("HOME".to_owned(), text(&user.dir)),
        ("LOGNAME".to_owned(), user.name.clone()),
        ("SHELL".to_owned(), text(&user.shell)),
        ("USER".to_owned(), user.name.clone()),
    ]
}

impl From<&Passwd> for User {
    fn from(user: &Passwd) -> Self {
        Self { name: user.name.clone(), uid: user.uid.as_raw(), gid: user.gid.as_raw() }
    }
}
