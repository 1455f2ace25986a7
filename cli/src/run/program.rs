//! From the options of `run` to the parameters of `cmd.run`.

use super::{RunArgs, interactive};
use crate::CliError;
use vocable_api::cmd::Run;
use vocable_config::Span;

/// The shell of `--shell`.
const SHELL: &str = "/bin/sh";

/// `NAME=VALUE`
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// What the agent is asked for.
pub(super) fn request(args: &RunArgs) -> Result<Run, CliError> {
    let (cmd, arguments) = command_line(args)?;
    let env = args.env.iter().cloned().chain(interactive::environment(args)).collect();
    let seconds = |time: Span| time.duration().as_secs_f64();
    let flag = |is_set: bool| is_set.then_some(true);
    Ok(Run {
        target: args.target.clone(),
        cmd,
        args: arguments,
        env: Some(env).filter(|env: &std::collections::BTreeMap<_, _>| !env.is_empty()),
        path: args.workdir.clone(),
        stdin: None,
        stream_stdin: flag(args.stdin && !args.tty),
        tty: interactive::terminal(args),
        timeout_s: args.timeout.map(seconds),
        grace_s: None,
        user: args.user.clone(),
        nice: args.nice,
        limits: args.limits.clone(),
        on_disconnect: args.on_disconnect,
        except: args.except.clone(),
        alive: flag(args.alive),
        limit: args.limit,
        queue_s: args.queue.map(|time| time.duration().into()),
        deadline_s: args.deadline.map(|time| time.duration().into()),
        id: args.id.clone(),
    })
}

fn command_line(args: &RunArgs) -> Result<(String, Vec<String>), CliError> {
    if args.shell {
        return Ok((SHELL.to_owned(), vec!["-c".to_owned(), args.command.join(" ")]));
    }
    match args.command.split_first() {
        Some((program, arguments)) if !program.is_empty() => Ok((program.clone(), arguments.to_vec())),
        _ => Err(CliError::bad_argument("COMMAND is empty; nothing was run")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_a_name_and_may_be_empty() {
        assert_eq!(variable("A=b=c").unwrap(), ("A".into(), "b=c".into()));
        assert_eq!(variable("A=").unwrap(), ("A".into(), String::new()));
        assert!(variable("=x").is_err() && variable("A").is_err());
    }
}
