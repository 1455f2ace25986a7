//! From names to a process: finds the program as a shell would, checks what can be checked, and
//! puts what the kernel says about the rest into words.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use vocable_protocol::{Failure, FailureCode, excerpt};

use super::record::Record;

pub(crate) struct Launch<'a> {
    pub(crate) cmd: &'a str,
    pub(crate) args: &'a [String],
    /// The whole environment; of a name given twice, the last counts.
    pub(crate) env: &'a [(String, String)],
    pub(crate) directory: &'a Path,
}

impl<'a> Launch<'a> {
    pub(crate) fn of(record: &'a Record) -> Self {
        let Record { cmd, args, env, directory, .. } = record;
        Self { cmd, args, env, directory }
    }

    /// A command ready to be started; its program is found with the rights of the caller.
    pub(crate) fn command(&self) -> Result<Command, Failure> {
        self.check_directory()?;
        let mut command = Command::new(self.find_program()?);
        command
            .arg0(self.cmd)
            .args(self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory);
        Ok(command)
    }

    /// Puts into words why the command could not be started.
    pub(crate) fn failure(&self, cause: &io::Error) -> Failure {
        let cmd = excerpt(self.cmd);
        match cause.raw_os_error().map(Errno::from_raw) {
            // The program itself has been found already.
            Some(Errno::ENOENT) => Failure::new(
                FailureCode::NoInterpreter,
                format!("{cmd} cannot be executed: the interpreter it names is missing"),
            ),
            Some(Errno::EACCES | Errno::EPERM) => Failure::new(
                FailureCode::NotExecutable,
                format!("{cmd} cannot be executed in {}: {cause}", self.place()),
            ),
            Some(Errno::ENOEXEC) => Failure::new(
                FailureCode::NotExecutable,
                format!("{cmd} is no program for this machine, and no script that begins with #!"),
            ),
            Some(Errno::E2BIG) => Failure::new(
                FailureCode::BadArgument,
                format!("{cmd} cannot be started: its arguments and environment are too long for the kernel"),
            ),
            _ => Failure::new(
                FailureCode::NotStarted,
                format!("{cmd} cannot be started in {}: {cause}", self.place()),
            ),
        }
    }

    fn place(&self) -> String {
        excerpt(&self.directory.to_string_lossy())
    }

    fn check_directory(&self) -> Result<(), Failure> {
        let reason = match self.directory.metadata() {
            Ok(metadata) if !metadata.is_dir() => "it is not a directory".to_owned(),
            Ok(_) => match access(self.directory, AccessFlags::X_OK) {
                Ok(()) => return Ok(()),
                Err(cause) => cause.desc().to_owned(),
            },
            Err(cause) => cause.to_string(),
        };
        let message = format!("cannot run {} in {}: {reason}", excerpt(self.cmd), self.place());
        Err(Failure::new(FailureCode::NoDirectory, message))
    }

    fn find_program(&self) -> Result<PathBuf, Failure> {
        if self.cmd.contains('/') {
            return self.executable(self.directory.join(self.cmd));
        }
        let path = self.env.iter().rev().find(|(name, _)| name == "PATH").map_or("", |(_, value)| value);
        let mut refused = None;
        for folder in path.split(':') {
            match self.executable(self.directory.join(folder).join(self.cmd)) {
                Ok(program) => return Ok(program),
                Err(failure) if failure.is(FailureCode::NotFound) => {}
                Err(failure) => refused = refused.or(Some(failure)),
            }
        }
        let not_found = || self.not_found(&format!("in PATH {}", excerpt(path)));
        Err(refused.unwrap_or_else(not_found))
    }

    fn executable(&self, candidate: PathBuf) -> Result<PathBuf, Failure> {
        let refused = |reason: &str| {
            let message = format!("{} cannot be executed: {reason}", excerpt(&candidate.to_string_lossy()));
            Err(Failure::new(FailureCode::NotExecutable, message))
        };
        match candidate.metadata() {
            Ok(metadata) if metadata.is_dir() => refused("it is a directory"),
            Ok(_) => match access(&candidate, AccessFlags::X_OK) {
                Ok(()) => Ok(candidate),
                Err(cause) => refused(cause.desc()),
            },
            Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => refused("permission denied"),
            Err(_) => Err(self.not_found(&format!("(seen from {})", self.place()))),
        }
    }

    fn not_found(&self, whereabouts: &str) -> Failure {
        Failure::new(FailureCode::NotFound, format!("no program {} {whereabouts}", excerpt(self.cmd)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn code(cmd: &str, directory: &Path, path: &str) -> Option<String> {
        let env = [("PATH".to_owned(), path.to_owned())];
        let launch = Launch { cmd, args: &[], env: &env, directory };
        launch.command().err().map(|failure| failure.code)
    }

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        let dir = tempfile::tempdir().unwrap();
        let tool = dir.path().join("tool");
        fs::write(&tool, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join("text"), "").unwrap();
        let here = dir.path().to_str().unwrap();
        assert_eq!(code("tool", Path::new("/"), &format!("/nowhere:{here}")), None);
        assert_eq!(code("tool", dir.path(), "."), None);
        assert_eq!(code("./tool", dir.path(), ""), None);
        assert_eq!(code("tool", Path::new("/"), "/nowhere"), Some(FailureCode::NotFound.into()));
        assert_eq!(code("./tool", Path::new("/"), here), Some(FailureCode::NotFound.into()));
        assert_eq!(code("text", Path::new("/"), here), Some(FailureCode::NotExecutable.into()));
        assert_eq!(code("./", dir.path(), here), Some(FailureCode::NotExecutable.into()));
    }

    #[test]
    fn a_missing_directory_is_named_with_the_program() {
        let launch = Launch { cmd: "/bin/true", args: &[], env: &[], directory: Path::new("/no/such/place") };
        let failure = launch.command().unwrap_err();
        assert!(failure.is(FailureCode::NoDirectory));
        assert!(failure.message.contains("/bin/true") && failure.message.contains("/no/such/place"));
        assert_eq!(code("true", Path::new("/etc/passwd"), "/bin"), Some(FailureCode::NoDirectory.into()));
    }
}
