//! What somebody asks to have run, and the checks it has to pass. Nothing here touches the system: whether the program,
//! the directory or the user exist is found out when it is started.

use serde::Serialize;
use vocable_protocol::{Options, Program, excerpt, sha256_hex};

use super::error::JobError;

/// A program that has passed all checks.
#[derive(Debug)]
pub(super) struct CheckedProgram {
    pub(super) program: Program,
    pub(super) options: Options,
    /// Tells programs apart.
    pub(super) digest: String,
}

impl CheckedProgram {
    /// Checks everything that can be checked without looking at the system.
    pub(super) fn new(program: Program) -> Result<Self, JobError> {
        if program.cmd.is_empty() {
            return Err(JobError::invalid("cmd", "is empty"));
        }
        without_nul("cmd", &program.cmd)?;
        program.args.iter().try_for_each(|arg| without_nul("args", arg))?;
        program.path.iter().try_for_each(|path| without_nul("path", path))?;
        program.env.iter().try_for_each(variable)?;
        Ok(Self { options: Options::parse(&program.options)?, digest: digest(&program), program })
    }
}

/// SHA-256 of the program as agents have always recorded it: what is a map is a list of pairs.
fn digest(program: &Program) -> String {
    #[derive(Serialize)]
    struct Recorded<'a> {
        cmd: &'a str,
        args: &'a [String],
        env: Vec<(&'a String, &'a String)>,
        path: Option<&'a str>,
        options: Vec<(&'a String, &'a String)>,
    }
    let Program { cmd, args, env, path, options, .. } = program;
    let (env, options) = (env.iter().collect(), options.iter().collect());
    let recorded = Recorded { cmd, args, env, path: path.as_deref(), options };
    sha256_hex(serde_json::to_vec(&recorded).unwrap_or_default())
}

fn without_nul(what: &str, text: &str) -> Result<(), JobError> {
    match text.find('\0') {
        None => Ok(()),
        Some(at) => Err(JobError::invalid(what, format!("has a NUL at byte {at} of {}", excerpt(text)))),
    }
}

fn variable((name, value): (&String, &String)) -> Result<(), JobError> {
    without_nul("env", name)?;
    without_nul("env", value)?;
    if name.is_empty() || name.contains('=') {
        return Err(JobError::invalid("env", format!("{} cannot name a variable", excerpt(name))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn nul_is_refused_wherever_it_stands() {
        let good = Program { cmd: "true".into(), ..Program::default() };
        assert!(CheckedProgram::new(good.clone()).is_ok());
        let variable = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        for bad in [
            Program { cmd: "tr\0ue".into(), ..good.clone() },
            Program { args: vec!["a\0".into()], ..good.clone() },
            Program { env: variable("A", "\0"), ..good.clone() },
            Program { env: variable("A=B", "c"), ..good.clone() },
            Program { path: Some("\0".into()), ..good.clone() },
            Program { cmd: String::new(), ..good.clone() },
        ] {
            assert!(matches!(CheckedProgram::new(bad.clone()), Err(JobError::Invalid { .. })), "{bad:?}");
        }
    }

    #[test]
    fn the_digest_is_that_of_older_agents() {
        let pair = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let program = Program {
            cmd: "ls".into(),
            args: vec!["-l".into()],
            env: pair("A", "b"),
            options: pair("nice", "1"),
            ..Program::default()
        };
        assert_eq!(digest(&program), "7e8236eaf85446962649c92a335a72326f938ddd15808ad5297e3e9b2f2b3397");
        assert_ne!(digest(&program), digest(&Program { args: vec!["x".into()], ..program.clone() }));
    }
}
