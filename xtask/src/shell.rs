//! Running programs, visibly.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::Write;
use std::process::Command;

/// A message to the developer, on standard error.
pub(crate) fn print(text: &str) {
    // There is nowhere to complain that nobody can be told anything.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A program to be run from the root of the workspace.
pub(crate) struct Run(Command);

impl Run {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root());
        Self(command)
    }

    pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Self {
        // The variables by which the outer cargo describes this very crate are not for the inner one.
        let mut run = Self::new("cargo").args(arguments);
        run.0.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_PKG_NAME");
        run
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.0.arg(argument);
        self
    }

    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.0.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it; its failure is ours.
    pub(crate) fn go(mut self) -> Result<()> {
        let shown = self.shown();
        print(&format!("+ {shown}"));
        let status = self.0.status().with_context(|| format!("{shown}: cannot be run"))?;
        if !status.success() {
            bail!("{shown}: {status}");
        }
        Ok(())
    }

    /// What it prints.
    pub(crate) fn read(mut self) -> Result<String> {
        let shown = self.shown();
        let output = self.0.output().with_context(|| format!("{shown}: cannot be run"))?;
        if !output.status.success() {
            bail!("{shown}: {}", output.status);
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn shown(&self) -> String {
        let words = std::iter::once(self.0.get_program()).chain(self.0.get_args());
        words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    }
}

/// The root of the workspace.
pub(crate) fn root() -> &'static std::path::Path {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}
