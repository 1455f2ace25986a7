//! `cmd.*`: run programs on guests, and hear what came of them.

use super::{Context, Gives, Kind, Method, Param, deadline, json_value, optional, options, required, unix};
use crate::agent::commands::{Command, Program, State};
use crate::agent::handle::{Found, Handle, RunRequest, Share, Terms};
use crate::agent::store::{Filter, Run};
use base64::prelude::*;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};
use vocable_api::Part;
use vocable_api::fault::{Fault as HostFault, FaultKind};
use vocable_xmlrpc::{Fault, Options, Params, Value};

/// Octets of output in one answer, over all its commands, if the caller wants many: more is asked for with the next
/// offset.
const MOST_OUTPUT: usize = 1 << 20;
/// The same if the caller does not say: xmlrpc-c takes no answer of more than 512 KiB, and base64 adds a third.
const USUAL_OUTPUT: usize = 1 << 18;
/// Commands in one list, unless the caller wants fewer.
const MOST_LISTED: u32 = 1000;

const ID: Param = required("cmd_id", Kind::String, "the id, or a beginning that no other has");
const OUT_OFFSET: Param = optional("out_offset", Kind::Int, "give standard output from here on [default: 0]");
const ERR_OFFSET: Param = optional("err_offset", Kind::Int, "give standard error from here on [default: 0]");
const OFFSETS: Param = optional(
    "offsets",
    Kind::Map(&Kind::Array(&Kind::Int)),
    "of a request to several guests: the commands to report, each with its [out_offset, err_offset]",
);

const MAX_OUTPUT: Param =
    optional("max_output", Kind::Int, "octets of output in this answer, 1 MiB at most [default: 256 KiB]");

const FAILURE: &[Param] = &[
    required("code", Kind::String, "what kind of failure"),
    required("message", Kind::String, "a sentence"),
];

/// The size of a terminal.
const SIZE: &[Param] =
    &[required("rows", Kind::Int, "1 to 65535"), required("columns", Kind::Int, "1 to 65535")];

/// What is told of a command. Of a request to several guests only its id and state are, and `commands`.
const COMMAND: &[Param] = &[
    required("cmd_id", Kind::String, "its id"),
    optional("guest", Kind::String, "on which guest"),
    required("state", Kind::String, "queued, running, done, timeout, cancelled, lost or failed"),
    optional("cmd", Kind::String, "the program"),
    optional("args", Kind::Array(&Kind::String), "its arguments"),
    optional("path", Kind::String, "its working directory"),
    required("created", Kind::DateTime, "when it was asked for"),
    optional("created_unix", Kind::Double, "the same in seconds since 1970"),
    optional("started", Kind::DateTime, "when it was started"),
    optional("started_unix", Kind::Double, "the same in seconds since 1970"),
    optional("expires_unix", Kind::Double, "until when its guest may take it, in seconds since 1970"),
    optional("deadline_unix", Kind::Double, "when it is ended wherever it is, in seconds since 1970"),
    optional("ended", Kind::DateTime, "when it was over"),
    optional("ended_unix", Kind::Double, "the same in seconds since 1970"),
    optional("out_bytes", Kind::Int, "octets of standard output that are here"),
    optional("err_bytes", Kind::Int, "octets of standard error that are here"),
    optional("error", Kind::Struct(FAILURE), "why it was not run"),
    optional("finished", Kind::Bool, "whether it ended by itself, not by a signal"),
    optional("exitCodeOrSignal", Kind::Int, "its exit code, or the signal"),
    optional("resources", Kind::Struct(&[]), "what getrusage says"),
    optional("left_out", Kind::Any, "how much output a limit left out"),
    optional("out_sha256", Kind::String, "digest of all standard output, hexadecimal"),
    optional("err_sha256", Kind::String, "digest of all standard error, hexadecimal"),
    optional("paused", Kind::String, "why no more of its output is taken now: its guest holds it up"),
    optional(
        "shortened",
        Kind::Bool,
        "whether only the beginning of its program or arguments is shown: cmd.poll of that one command shows all",
    ),
];

/// The same with output.
const REPORT: &[Param] = &[
    required("cmd_id", Kind::String, "its id"),
    required("state", Kind::String, "queued, running, done, timeout, cancelled, lost or failed"),
    optional("out", Kind::Text, "standard output from out_offset on"),
    optional("err", Kind::Text, "standard error from err_offset on"),
    optional("out_offset", Kind::Int, "where to go on"),
    optional("err_offset", Kind::Int, "where to go on"),
    optional("more", Kind::Bool, "whether there is more output already"),
    optional("target", Kind::String, "of a request to several guests: whom it was for"),
    optional(
        "summary",
        Kind::Map(&Kind::Int),
        "of a request to several guests: how many are ok, failed, lost, running",
    ),
    optional("commands", Kind::Structs(&[]), "of a request to several guests: each one's command"),
];

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "cmd.forget",
        help: "Forgets a command that is over, or a request whose commands all are, with all output. Its id can be \
               used again.",
        params: &[ID],
        gives: Gives::value(Kind::Array(&Kind::String), "the commands that were forgotten"),
        changes: true,
        call: |context, params| Box::pin(forget(context, params)),
    },
    Method {
        name: "cmd.list",
        help: "Lists commands, newest first, without their output.",
        params: &[options(&[
            optional("guest", Kind::String, "only those of this guest"),
            optional("state", Kind::String, "only those in this state"),
            optional("all", Kind::Bool, "also those that are over"),
            optional("since_unix", Kind::Double, "only those asked for since then, in seconds since 1970"),
            optional("limit", Kind::Int, "at most so many, 1000 at most [default: 1000]"),
            optional(
                "after",
                Kind::String,
                "only those behind this one: the id of the last one of the page before",
            ),
        ])],
        gives: Gives::list(COMMAND),
        changes: false,
        call: |context, params| Box::pin(list(context, params)),
    },
    Method {
        name: "cmd.poll",
        help: "Tells how it stands with a command, with its output: `more` says that there is more already than fits in one answer.",
        params: &[ID, options(&[OUT_OFFSET, ERR_OFFSET, OFFSETS, MAX_OUTPUT])],
        gives: Gives { kind: Kind::Struct(REPORT), help: "what cmd.list tells of it, and its output" },
        changes: false,
        call: |context, params| Box::pin(poll(context, params)),
    },
    Method {
        name: "cmd.run",
        help: "Runs a program on guests, without a shell. The same `id` with the same request is the same command: a \
               retry runs nothing twice.",
        params: &[
            required("target", Kind::String, "a guest, a glob, @group or a comma list of them"),
            required("cmd", Kind::String, "the program"),
            optional("args", Kind::Array(&Kind::String), "its arguments"),
            options(&[
                optional("env", Kind::Map(&Kind::String), "variables of its environment"),
                optional("path", Kind::String, "its working directory"),
                optional("stdin", Kind::Bytes, "its standard input [default: nothing]"),
                optional("stream_stdin", Kind::Bool, "its standard input comes by cmd.input"),
                optional(
                    "tty",
                    Kind::Struct(SIZE),
                    "it has a terminal of that size; its input comes by cmd.input",
                ),
                optional("timeout_s", Kind::Double, "seconds after which it is ended"),
                optional("grace_s", Kind::Double, "seconds between TERM and KILL"),
                optional("user", Kind::String, "whose rights it has, if the guest's agent may give them"),
                optional("nice", Kind::Int, "-20 to 19, as far as the guest's agent may"),
                optional("limits", Kind::String, "resource limits: nofile=1024,as=1GiB"),
                optional(
                    "on_disconnect",
                    Kind::String,
                    "what its guest does when it loses the host: keep or kill",
                ),
                optional("except", Kind::String, "not these guests: a target"),
                optional("alive", Kind::Bool, "only guests that are there now"),
                optional("limit", Kind::String, "only so many of the guests, by chance: 10, or 10%"),
                optional(
                    "queue_s",
                    Kind::Double,
                    "seconds it waits for guests that are away [default: not at all]",
                ),
                optional(
                    "deadline_s",
                    Kind::Double,
                    "seconds after which it is ended wherever it is, or given up",
                ),
                optional("id", Kind::String, "the caller's own id"),
            ]),
        ],
        gives: Gives::value(Kind::String, "the id to ask about"),
        changes: true,
        call: |context, params| Box::pin(run(context, params)),
    },
    Method {
        name: "cmd.wait",
        help: "Waits until a command is over, and tells as cmd.poll does. Ask again while state is queued or running.",
        params: &[
            ID,
            required("timeout_s", Kind::Double, "seconds to wait at most; more than 20 are 20"),
            options(&[
                optional(
                    "until",
                    Kind::String,
                    "end, or output: until there is more than at the offsets [default: end]",
                ),
                OUT_OFFSET,
                ERR_OFFSET,
                OFFSETS,
                MAX_OUTPUT,
            ]),
        ],
        gives: Gives { kind: Kind::Struct(REPORT), help: "what cmd.list tells of it, and its output" },
        changes: false,
        call: |context, params| Box::pin(wait(context, params)),
    },
];

async fn run(context: Context, mut params: Params) -> Result<Value, Fault> {
    let target: String = params.required("target")?;
    let cmd: String = params.required("cmd")?;
    let args: Vec<String> = params.optional("args")?.unwrap_or_default();
    let mut options = params.options()?;
    let mut program = Program { cmd, args, ..Program::default() };
    program.env = options.take("env")?.unwrap_or_default();
    program.path = options.take("path")?;
    if let Some(stdin) = options.take::<Vec<u8>>("stdin")? {
        program.options.insert("stdin".into(), BASE64_STANDARD.encode(stdin));
    }
    for (name, option) in [("timeout_s", "timeout"), ("grace_s", "grace")] {
        if let Some(seconds) = options.take::<f64>(name)? {
            program.options.insert(option.into(), seconds.to_string());
        }
    }
    take_surroundings(&mut options, &mut program)?;
    let terms = terms(&mut options)?;
    let id = options.take("id")?;
    options.finish()?;
    super::fit_a_message(&context, "cmd.run", &program)?;
    Ok(Value::from(context.handle.run(RunRequest { target, program, id, terms }).await?))
}

fn terms(options: &mut Options) -> Result<Terms, Fault> {
    let limit = match options.take::<String>("limit")? {
        None => None,
        Some(text) => {
            let share = Share::parse(&text);
            let wrong = || options.invalid("option \"limit\": expected a number of guests or 1% to 100%");
            Some(share.ok_or_else(wrong)?)
        }
    };
    let mut terms = Terms {
        except: options.take("except")?,
        alive: options.take("alive")?.unwrap_or(false),
        limit,
        ..Terms::default()
    };
    for (name, place) in [("queue_s", &mut terms.queue_s), ("deadline_s", &mut terms.deadline_s)] {
        *place = options.take::<f64>(name)?;
        if place.is_some_and(|seconds| !seconds.is_finite() || seconds <= 0.0) {
            return Err(options.invalid(&format!("option \"{name}\": expected a number of seconds above 0")));
        }
    }
    Ok(terms)
}

/// What the guest does around the program: where its input comes from, whose rights and how much of the machine it has.
fn take_surroundings(options: &mut Options, program: &mut Program) -> Result<(), Fault> {
    if options.take("stream_stdin")?.unwrap_or(false) {
        program.options.insert("input".into(), "streamed".into());
    }
    if let Some(size) = options.take::<BTreeMap<String, i32>>("tty")? {
        let number = |name: &str| size.get(name).copied().filter(|number| (1..=65535).contains(number));
        let (Some(rows), Some(columns)) = (number("rows"), number("columns")) else {
            return Err(options.invalid("option \"tty\": expected {rows, columns}, each from 1 to 65535"));
        };
        program.options.insert("tty".into(), format!("{rows}x{columns}"));
    }
    if let Some(nice) = options.take::<i32>("nice")? {
        program.options.insert("nice".into(), nice.to_string());
    }
    for (name, option) in [("limits", "limits"), ("user", "user"), ("on_disconnect", "on-disconnect")] {
        if let Some(value) = options.take::<String>(name)? {
            program.options.insert(option.into(), value);
        }
    }
    Ok(())
}

async fn list(context: Context, params: Params) -> Result<Value, Fault> {
    let mut options = params.options()?;
    let state = match options.take::<String>("state")? {
        Some(name) => {
            Some(State::from_name(&name).ok_or_else(|| options.invalid("option \"state\": no such state"))?)
        }
        None => None,
    };
    let limit = options.take::<i32>("limit")?.and_then(|n| u32::try_from(n).ok()).unwrap_or(MOST_LISTED);
    let after: Option<String> = options.take("after")?;
    let mut filter = Filter {
        guest: options.take("guest")?,
        state,
        all: options.take("all")?.unwrap_or(false),
        since: options.take::<f64>("since_unix")?.and_then(since),
        limit: limit.clamp(1, MOST_LISTED),
        after: None,
    };
    options.finish()?;
    if let Some(after) = after {
        filter.after = Some(context.handle.behind(&after).await?);
    }
    Ok(context.handle.list(filter).await?.iter().map(|command| Value::from_iter(facts(command))).collect())
}

fn since(seconds: f64) -> Option<OffsetDateTime> {
    OffsetDateTime::UNIX_EPOCH.checked_add(time::Duration::saturating_seconds_f64(seconds))
}

async fn forget(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("cmd_id")?;
    params.finish()?;
    let forgotten = context.handle.forget(&id).await?;
    Ok(forgotten.into_iter().map(Value::from).collect())
}

async fn poll(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("cmd_id")?;
    let mut options = params.options()?;
    let offsets = Offsets::take(&mut options)?;
    options.finish()?;
    report(&context.handle, &id, &offsets, None).await
}

async fn wait(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("cmd_id")?;
    let timeout: f64 = params.required("timeout_s")?;
    let mut options = params.options()?;
    let until = match options.take::<String>("until")?.as_deref() {
        None | Some("end") => Until::End,
        Some("output") => Until::Output,
        Some(_) => return Err(options.invalid("option \"until\": expected end or output")),
    };
    let offsets = Offsets::take(&mut options)?;
    options.finish()?;
    let patience = Patience { until, deadline: deadline(&context, timeout) };
    report(&context.handle, &id, &offsets, Some(patience)).await
}

/// What a waiting caller waits for.
#[derive(Clone, Copy)]
enum Until {
    End,
    Output,
}

/// For what and until when.
#[derive(Clone, Copy)]
struct Patience {
    until: Until,
    deadline: Instant,
}

impl Patience {
    fn is_over(self, command: &Command, (out, err): (u64, u64)) -> bool {
        let more = command.out_bytes > out || command.err_bytes > err;
        command.state.is_over() || matches!(self.until, Until::Output) && more
    }
}

/// From where on the caller wants output.
struct Offsets {
    of_one: (u64, u64),
    of_each: Option<BTreeMap<String, (u64, u64)>>,
    /// How much of it at a time.
    most: usize,
}

impl Offsets {
    fn take(options: &mut Options) -> Result<Self, Fault> {
        // Offsets are exact in a double up to 8 PiB; what is below zero is the beginning.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to what a u64 holds"
        )]
        let offset = |number: f64| number.max(0.0) as u64;
        let out = options.take::<f64>("out_offset")?.map_or(0, offset);
        let err = options.take::<f64>("err_offset")?.map_or(0, offset);
        let each = options.take::<BTreeMap<String, Vec<f64>>>("offsets")?;
        let of_each = each.map(|each| {
            let pair = |numbers: Vec<f64>| {
                (numbers.first().copied().map_or(0, offset), numbers.get(1).copied().map_or(0, offset))
            };
            each.into_iter().map(|(id, numbers)| (id, pair(numbers))).collect()
        });
        let most = options.take::<f64>("max_output")?.map_or(USUAL_OUTPUT, |octets| {
            usize::try_from(offset(octets)).map_or(MOST_OUTPUT, |octets| octets.clamp(1, MOST_OUTPUT))
        });
        Ok(Self { of_one: (out, err), of_each, most })
    }

    fn of(&self, id: &str) -> (u64, u64) {
        self.of_each.as_ref().and_then(|each| each.get(id)).copied().unwrap_or(self.of_one)
    }

    fn wants(&self, id: &str) -> bool {
        self.of_each.as_ref().is_none_or(|each| each.contains_key(id))
    }
}

async fn report(
    handle: &Handle,
    id: &str,
    offsets: &Offsets,
    patience: Option<Patience>,
) -> Result<Value, Fault> {
    let mut budget = offsets.most;
    match handle.find(id).await? {
        Found::Command(mut command) => {
            if let Some(patience) = patience {
                let from = offsets.of(&command.id);
                let enough = |command: &Command| patience.is_over(command, from);
                *command = handle.watch(&command.id, patience.deadline, enough).await?;
            }
            Ok(with_output(handle, &command, offsets.of(&command.id), &mut budget).await?)
        }
        Found::Run(run, mut commands) => {
            if let Some(patience) = patience {
                wait_for_some(handle, &mut commands, offsets, patience).await?;
            }
            run_report(handle, &run, &commands, offsets, &mut budget).await
        }
    }
}

/// Waits until one of the commands has news (with [`Until::Output`]) or all are over (with [`Until::End`]).
async fn wait_for_some(
    handle: &Handle,
    commands: &mut [Command],
    offsets: &Offsets,
    patience: Patience,
) -> Result<(), Fault> {
    let mut waiting: FuturesUnordered<_> = commands
        .iter()
        .enumerate()
        .filter(|(_, command)| offsets.wants(&command.id))
        .map(|(n, command)| {
            let (id, from) = (command.id.clone(), offsets.of(&command.id));
            async move {
                let enough = |command: &Command| patience.is_over(command, from);
                let mut told = handle.watch(&id, patience.deadline, enough).await;
                // Many are in memory together.
                if let Ok(command) = &mut told {
                    command.shorten();
                }
                (n, told)
            }
        })
        .collect();
    let mut news = Vec::new();
    while let Ok(Some((n, command))) = timeout_at(patience.deadline, waiting.next()).await {
        news.push((n, command?));
        if matches!(patience.until, Until::Output) {
            break;
        }
    }
    drop(waiting);
    for command in commands.iter_mut().filter(|command| offsets.wants(&command.id)) {
        *command = handle.watch(&command.id, Instant::now(), |_| true).await?;
        command.shorten();
    }
    Ok(())
}

async fn run_report(
    handle: &Handle,
    run: &Run,
    commands: &[Command],
    offsets: &Offsets,
    budget: &mut usize,
) -> Result<Value, Fault> {
    let mut reports = Vec::new();
    for command in commands.iter().filter(|command| offsets.wants(&command.id)) {
        reports.push(with_output(handle, command, offsets.of(&command.id), budget).await?);
    }
    let count =
        |which: fn(&Command) -> bool| Value::from(commands.iter().filter(|it| which(it)).count() as u64);
    let over = commands.iter().all(|command| command.state.is_over());
    Ok(Value::from([
        ("cmd_id", Value::from(run.id.as_str())),
        ("target", Value::from(run.target.as_str())),
        ("created", Value::from(run.created)),
        ("state", Value::from(if over { "done" } else { "running" })),
        (
            "summary",
            Value::from([
                ("ok", count(|it| it.state.is_over() && is_ok(it))),
                ("failed", count(|it| it.state.is_over() && !is_ok(it) && it.state != State::Lost)),
                ("lost", count(|it| it.state == State::Lost)),
                ("running", count(|it| !it.state.is_over())),
            ]),
        ),
        ("commands", Value::from(reports)),
    ]))
}

fn is_ok(command: &Command) -> bool {
    let results = command.results.as_ref();
    command.state == State::Done
        && results.is_some_and(|it| it.finished == Some(true) && it.exit_code_or_signal == Some(0))
}

async fn with_output(
    handle: &Handle,
    command: &Command,
    (out, err): (u64, u64),
    budget: &mut usize,
) -> Result<Value, Fault> {
    let mut told = facts(command);
    let mut more = false;
    for (part, from, at) in [(Part::Out, out, "out_offset"), (Part::Err, err, "err_offset")] {
        let there = command.received(part).saturating_sub(from);
        let most = usize::try_from(there).unwrap_or(usize::MAX).min(*budget);
        let octets =
            if most == 0 { Vec::new() } else { handle.output(&command.id, part, from, most).await?.octets };
        if octets.len() < most {
            // Written down, told, and not there any more: say so rather than give less.
            let text =
                format!("{}: {} octets of {} are gone", command.id, most - octets.len(), part.as_str());
            return Err(HostFault::new(FaultKind::Internal, text).into());
        }
        *budget -= octets.len();
        let next = from + octets.len() as u64;
        more |= command.received(part) > next;
        told.push((at, Value::from(next)));
        told.push((part.as_str(), text_or_base64(octets)));
    }
    told.push(("more", Value::from(more)));
    Ok(told.into_iter().collect())
}

fn text_or_base64(octets: Vec<u8>) -> Value {
    String::from_utf8(octets).map_or_else(|binary| Value::Base64(binary.into_bytes()), Value::String)
}

/// Everything about a command but its output. What the guest told at the end stands beside what the host knows.
pub(super) fn facts(command: &Command) -> Vec<(&'static str, Value)> {
    let program = &command.program;
    let results = command.results.clone().map(vocable_protocol::ReportedResults::into_members);
    let told = |name: &str| results.as_ref().and_then(|results| results.get(name)).cloned().map(json_value);
    let failure = command.failure.as_ref().map(|failure| {
        Value::from([
            ("code", Value::from(failure.code.as_str())),
            ("message", Value::from(failure.message.as_str())),
        ])
    });
    let all = [
        ("cmd_id", Some(Value::from(command.id.as_str()))),
        ("guest", Some(Value::from(command.guest.as_str()))),
        ("state", Some(Value::from(command.state.as_str()))),
        ("cmd", Some(Value::from(program.cmd.as_str()))),
        ("args", Some(program.args.iter().map(|arg| Value::from(arg.as_str())).collect())),
        ("path", program.path.as_deref().map(Value::from)),
        ("created", Some(Value::from(command.created))),
        ("created_unix", Some(unix(command.created))),
        ("expires_unix", command.expires.map(unix)),
        ("deadline_unix", command.deadline.map(unix)),
        ("started", command.started.map(Value::from)),
        ("started_unix", command.started.map(unix)),
        ("ended", command.ended.map(Value::from)),
        ("ended_unix", command.ended.map(unix)),
        ("out_bytes", Some(Value::from(command.out_bytes))),
        ("err_bytes", Some(Value::from(command.err_bytes))),
        ("error", failure),
        ("finished", told("finished")),
        ("exitCodeOrSignal", told("exitCodeOrSignal")),
        ("resources", told("resources")),
        ("left_out", told("left_out")),
        ("out_sha256", told("out_sha256")),
        ("err_sha256", told("err_sha256")),
        ("paused", command.paused.as_deref().map(Value::from)),
        ("shortened", program.shortened.then(|| Value::from(true))),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
