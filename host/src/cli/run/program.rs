//! From the options of `run` to the parameters of `cmd.run`.

use super::RunArgs;
use crate::cli::CliError;
use crate::cli::human;
use std::collections::BTreeMap;
use std::io::Read;
use vocable_xmlrpc::Value;

/// The most standard input that fits into the one message a command travels in.
const MOST_STDIN: u64 = 512 * 1024;
/// The shell of `--shell`.
const SHELL: &str = "/bin/sh";

/// `NAME=VALUE`
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Target, program, arguments, options. Standard input is read only if it is wanted.
pub(super) fn params(
    args: &RunArgs,
    stdin: impl FnOnce() -> Result<Vec<u8>, CliError>,
) -> Result<Vec<Value>, CliError> {
    let (program, arguments) = command_line(args)?;
    let stdin = if args.stdin { Some(stdin()?) } else { None };
    let env = args.env.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    let all = [
        ("env", (!args.env.is_empty()).then(|| env.collect())),
        ("path", args.workdir.as_deref().map(Value::from)),
        ("stdin", stdin.map(Value::Base64)),
        ("timeout_s", args.timeout.map(|timeout| Value::from(timeout.duration().as_secs_f64()))),
        ("id", args.id.as_deref().map(Value::from)),
    ];
    let options: BTreeMap<_, _> =
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
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

/// Standard input to its end.
pub(super) fn read_stdin(input: impl Read) -> Result<Vec<u8>, CliError> {
    let mut octets = Vec::new();
    let read = input.take(MOST_STDIN + 1).read_to_end(&mut octets);
    read.map_err(|error| {
        CliError::new("cannot-read", "standard input cannot be read; nothing was run")
            .cause(human::io(&error))
    })?;
    if octets.len() as u64 > MOST_STDIN {
        let most = human::size(MOST_STDIN);
        let text = format!("standard input is longer than {most}, the most -i sends now; nothing was run");
        return Err(
            CliError::new("too-many", text).hint("bring it to the guest as a file, and run with < FILE")
        );
    }
    Ok(octets)
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

    #[test]
    fn standard_input_is_sent_whole_or_not_at_all() {
        assert_eq!(read_stdin(&b"a\0b"[..]).unwrap(), b"a\0b");
        let most = usize::try_from(MOST_STDIN).unwrap();
        assert_eq!(read_stdin(&vec![0; most][..]).unwrap().len(), most);
        let error = read_stdin(&vec![0; most + 1][..]).unwrap_err();
        assert_eq!(error.code(), "too-many");
        assert!(error.message().contains("512 KiB"), "{error}");
    }
}
