//! `cmd.cancel`, `cmd.signal`, `cmd.usage`, `cmd.input`, `cmd.resize`: what is done to commands that run.

use super::{
    Context, Gives, Kind, Method, Param, deadline, json_value, members, optional, options, required, unix,
};
use crate::agent::commands::Command;
use crate::agent::control::{Signal, Told};
use crate::agent::handle::Found;
use crate::agent::store::Filter;
use std::time::Duration;
use vocable_api::clock::Now;
use vocable_api::fault::Fault as HostFault;
use vocable_xmlrpc::{Fault, Options, Params, Value};

/// Commands that are measured at most.
const MOST_MEASURED: u32 = 1000;

const ID: Param = required("cmd_id", Kind::String, "a command, or a request: all of its commands");

const FAILURE: &[Param] = &[
    required("code", Kind::String, "what kind of failure"),
    required("message", Kind::String, "a sentence"),
];

const SIGNALLED: &[Param] = &[
    required("cmd_id", Kind::String, "the command"),
    required("guest", Kind::String, "its guest"),
    optional("signalled", Kind::Int, "how many processes heard of it"),
    optional("error", Kind::Struct(FAILURE), "why none did"),
];

const ALL_SIGNALLED: &[Param] = &[required("commands", Kind::Structs(SIGNALLED), "each command")];

const USE: &[Param] = &[
    required("cpu_s", Kind::Double, "seconds of computing, processes that have ended included"),
    required("user_s", Kind::Double, "of them in user mode"),
    required("system_s", Kind::Double, "of them in the kernel"),
    required("rss_bytes", Kind::Int, "octets in memory"),
    optional("read_bytes", Kind::Int, "octets read from storage"),
    optional("written_bytes", Kind::Int, "octets written to storage"),
    required("processes", Kind::Int, "how many there are"),
    required("source", Kind::String, "who keeps the books: cgroup or proc"),
];

const USED: &[Param] = &[
    required("cmd_id", Kind::String, "the command"),
    required("guest", Kind::String, "its guest"),
    required("cmd", Kind::String, "its program"),
    required("args", Kind::Array(&Kind::String), "the program's arguments"),
    optional("started_unix", Kind::Double, "when it was started, in seconds since 1970"),
    optional("usage", Kind::Struct(USE), "what it uses"),
    optional("error", Kind::Struct(FAILURE), "why nobody knows"),
];

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "cmd.cancel",
        help: "Ends a command: the signal to all of its processes, and KILL to what is left after the grace. It answers \
               at once, and cmd.wait tells of the end. A command that no guest has taken yet never runs; one that is \
               over stays as it is.",
        params: &[
            ID,
            options(&[
                optional("signal", Kind::Any, "its name or number [default: TERM]"),
                optional("grace_s", Kind::Double, "seconds from there to KILL [default: the command's own]"),
            ]),
        ],
        gives: Gives::one(ALL_SIGNALLED),
        changes: true,
        call: |context, params| Box::pin(cancel(context, params)),
    },
    Method {
        name: "cmd.input",
        help: "Gives a command standard input that was run with `stream_stdin` or `tty`. The same input twice is given \
               once. While the command does not read, it waits; then the answer says to go on before the end of the \
               data.",
        params: &[
            ID,
            required("offset", Kind::Int, "where the data belongs: so many octets came before"),
            required("data", Kind::Bytes, "the input"),
            options(&[
                optional("close", Kind::Bool, "that is all of it"),
                optional(
                    "timeout_s",
                    Kind::Double,
                    "seconds to wait at most; more than 20 are 20 [default: 20]",
                ),
            ]),
        ],
        gives: Gives::one(&[
            required("offset", Kind::Int, "where to go on"),
            required("over", Kind::Bool, "whether the command wants no more"),
        ]),
        changes: true,
        call: |context, params| Box::pin(input(context, params)),
    },
    Method {
        name: "cmd.resize",
        help: "Tells a command that was run with `tty` the new size of its terminal.",
        params: &[
            ID,
            required("rows", Kind::Int, "1 to 65535"),
            required("columns", Kind::Int, "1 to 65535"),
        ],
        gives: Gives::value(Kind::Bool, "true"),
        changes: true,
        call: |context, params| Box::pin(resize(context, params)),
    },
    Method {
        name: "cmd.signal",
        help: "Sends one signal to all processes of a command.",
        params: &[ID, required("signal", Kind::Any, "its name or number: INT, 10")],
        gives: Gives::one(ALL_SIGNALLED),
        changes: true,
        call: |context, params| Box::pin(signal(context, params)),
    },
    Method {
        name: "cmd.usage",
        help: "Tells what running commands use now, with all their processes.",
        params: &[optional("cmd_id", Kind::String, "a command, or a request [default: all that run]")],
        gives: Gives::one(&[
            required("time_unix", Kind::Double, "when, in seconds since 1970"),
            required("commands", Kind::Structs(USED), "each command"),
        ]),
        changes: false,
        call: |context, params| Box::pin(usage(context, params)),
    },
];

async fn cancel(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("cmd_id")?;
    let mut options = params.options()?;
    let number = match options.take::<Value>("signal")? {
        Some(signal) => {
            number_of(&signal).map_err(|why| options.invalid(&format!("option \"signal\": {why}")))?
        }
        None => Signal::TERM,
    };
    let end = Some(grace(&mut options)?);
    options.finish()?;
    Ok(told(context.handle.signal(&context.lexicon, &id, Signal { number, end }).await?))
}

fn grace(options: &mut Options) -> Result<Option<Duration>, Fault> {
    let Some(seconds) = options.take::<f64>("grace_s")? else { return Ok(None) };
    let grace = Duration::try_from_secs_f64(seconds);
    grace.map(Some).map_err(|_| options.invalid("option \"grace_s\": expected a number of seconds from 0 on"))
}

async fn signal(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("cmd_id")?;
    let signal: Value = params.required("signal")?;
    let number =
        number_of(&signal).map_err(|why| params.invalid(&format!("parameter 2 \"signal\": {why}")))?;
    params.finish()?;
    Ok(told(context.handle.signal(&context.lexicon, &id, Signal { number, end: None }).await?))
}

/// The number of a signal: 1 to 31, `TERM`, `SIGTERM` or `15`.
fn number_of(signal: &Value) -> Result<i32, String> {
    use nix::sys::signal::Signal as Known;
    let number = match signal {
        Value::Int(number) => Some(*number),
        Value::String(name) => name.parse().ok().or_else(|| {
            let name = name.to_ascii_uppercase();
            let full = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
            full.parse::<Known>().ok().map(|known| known as i32)
        }),
        _ => None,
    };
    let known = number.filter(|number| Known::try_from(*number).is_ok());
    known.ok_or_else(|| "expected the name or number of a signal: TERM, INT, 9".to_owned())
}

fn told(told: Vec<Told<u64>>) -> Value {
    let one = |Told { command, answer }: Told<u64>| {
        let (signalled, error) = apart(answer.map(Value::from));
        members([
            ("cmd_id", Some(Value::from(command.id.as_str()))),
            ("guest", Some(Value::from(command.guest.as_str()))),
            ("signalled", signalled),
            ("error", error),
        ])
    };
    [("commands", told.into_iter().map(one).collect::<Value>())].into()
}

fn apart(answer: Result<Value, HostFault>) -> (Option<Value>, Option<Value>) {
    match answer {
        Ok(value) => (Some(value), None),
        Err(fault) => {
            let error = [("code", Value::from(fault.kind.slug())), ("message", Value::from(fault.message))];
            (None, Some(error.into()))
        }
    }
}

async fn usage(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: Option<String> = params.optional("cmd_id")?;
    params.finish()?;
    let commands = match id {
        None => context.handle.list(Filter { limit: MOST_MEASURED, ..Filter::default() }).await?,
        Some(id) => match context.handle.find(&id).await? {
            Found::Command(command) => vec![*command],
            Found::Run(_, commands) => commands,
        },
    };
    let told = context.handle.usage(&context.lexicon, commands).await?;
    let commands: Value = told.into_iter().map(|Told { command, answer }| used(&command, answer)).collect();
    Ok([("time_unix", unix(Now::read().utc)), ("commands", commands)].into())
}

fn used(command: &Command, answer: Result<serde_json::Value, HostFault>) -> Value {
    let (usage, error) = apart(answer.map(json_value));
    members([
        ("cmd_id", Some(Value::from(command.id.as_str()))),
        ("guest", Some(Value::from(command.guest.as_str()))),
        ("cmd", Some(Value::from(command.program.cmd.as_str()))),
        ("args", Some(command.program.args.iter().map(|arg| Value::from(arg.as_str())).collect())),
        ("started_unix", command.started.map(unix)),
        ("usage", usage),
        ("error", error),
    ])
}

async fn input(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("cmd_id")?;
    let offset: f64 = params.required("offset")?;
    if offset.fract() != 0.0 || offset < 0.0 {
        return Err(params.invalid("parameter 2 \"offset\": expected a whole number from 0 on"));
    }
    let data: Vec<u8> = params.required("data")?;
    let mut options = params.options()?;
    let close = options.take("close")?.unwrap_or(false);
    let wait = options.take::<f64>("timeout_s")?.unwrap_or(f64::MAX);
    options.finish()?;
    // Whole, not negative, and exact up to 8 PiB.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    let offset = offset as u64;
    let deadline = deadline(&context, wait);
    let taken = context.handle.input(&context.lexicon, &id, offset, &data, close, deadline).await?;
    Ok([("offset", Value::from(taken.offset)), ("over", Value::from(taken.over))].into())
}

async fn resize(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("cmd_id")?;
    let mut number = |name| {
        let number: i32 = params.required(name)?;
        let fits = u16::try_from(number).ok().filter(|number| *number > 0);
        fits.ok_or_else(|| params.invalid(&format!("{name} is {number}, expected 1 to 65535")))
    };
    let (rows, columns) = (number("rows")?, number("columns")?);
    params.finish()?;
    context.handle.resize(&context.lexicon, &id, rows, columns).await?;
    Ok(Value::from(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        let numbers = ["TERM", "SIGINT", "kill", "9"].map(|name| number_of(&Value::from(name)));
        assert_eq!(numbers, [Ok(15), Ok(2), Ok(9), Ok(9)]);
        assert_eq!(number_of(&Value::Int(10)), Ok(10));
        for wrong in [Value::from("PLEASE"), Value::Int(0), Value::Int(99), Value::from(1.5), Value::from("")]
        {
            assert!(number_of(&wrong).is_err(), "{wrong:?}");
        }
    }
}
