//! From the options of `run` to the parameters of `cmd.run`.

use super::{RunArgs, interactive};
use crate::CliError;
use std::collections::BTreeMap;
use vocable_xmlrpc::Value;

/// The shell of `--shell`.
const SHELL: &str = "/bin/sh";

/// `NAME=VALUE`
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Target, program, arguments, options.
pub(super) fn params(args: &RunArgs) -> Result<Vec<Value>, CliError> {
    let (program, arguments) = command_line(args)?;
    let env = args.env.iter().cloned().chain(interactive::environment(args));
    let env: BTreeMap<_, _> = env.map(|(name, value)| (name, Value::from(value))).collect();
    let all = [
        ("env", (!env.is_empty()).then_some(Value::Struct(env))),
        ("path", args.workdir.as_deref().map(Value::from)),
        ("stream_stdin", (args.stdin && !args.tty).then(|| Value::from(true))),
        ("timeout_s", args.timeout.map(|timeout| Value::from(timeout.duration().as_secs_f64()))),
        ("user", args.user.as_deref().map(Value::from)),
        ("nice", args.nice.map(Value::from)),
        ("limits", args.limits.as_deref().map(Value::from)),
        ("on_disconnect", args.on_disconnect.as_deref().map(Value::from)),
        ("except", args.except.as_deref().map(Value::from)),
        ("alive", args.alive.then(|| Value::from(true))),
        ("limit", args.limit.as_deref().map(Value::from)),
        ("queue_s", args.queue.map(|time| Value::from(time.duration().as_secs_f64()))),
        ("deadline_s", args.deadline.map(|time| Value::from(time.duration().as_secs_f64()))),
        ("id", args.id.as_deref().map(Value::from)),
    ];
    let terminal = interactive::options(args).into_iter().map(|(name, value)| (name, Some(value)));
    let options: BTreeMap<_, _> =
        all.into_iter().chain(terminal).filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    Ok(vec![Value::from(args.target.as_str()), program, arguments, Value::Struct(options)])
}

fn command_line(args: &RunArgs) -> Result<(Value, Value), CliError> {
    let texts = |texts: &[String]| texts.iter().map(|text| Value::from(text.as_str())).collect::<Value>();
    if args.shell {
        let script = args.command.join(" ");
        return Ok((Value::from(SHELL), texts(&["-c".to_owned(), script])));
    }
    match args.command.split_first() {
        Some((program, arguments)) if !program.is_empty() => {
            Ok((Value::from(program.as_str()), texts(arguments)))
        }
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
