//! `cmd.*`: run programs on guests, and what came of them.

use super::{Context, Entry, deadline, fit_a_message, json_value, method};
use crate::agent::commands::Command;
use crate::agent::handle::{RunOptions, RunRequest};
use crate::agent::polling::{Report, Reported, WaitUntil, is_ok};
use crate::agent::store::Filter;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use vocable_api::cmd::{self, Forget, List, Poll, Run, State, Summary, Wait};
use vocable_api::fault::Fault;
use vocable_api::{Text, UnixTime};
use vocable_protocol::ReportedResults;
use vocable_xmlrpc::from_value;

/// Commands in one list, unless the caller wants fewer.
const MAX_LISTED: u32 = 1000;

pub(super) fn methods() -> Vec<Entry> {
    vec![method(forget), method(list), method(poll), method(run), method(wait)]
}

async fn run(context: Context, mut request: Run) -> Result<String, Fault> {
    let program = request.program();
    fit_a_message(&context, "cmd.run", &program)?;
    let Run { target, id, except, limit, queue_s, deadline_s, alive, .. } = request;
    let options = RunOptions {
        except,
        alive: alive.unwrap_or(false),
        limit,
        queue_s: queue_s.map(f64::from),
        deadline_s: deadline_s.map(f64::from),
    };
    context.handle.run(RunRequest { target, program, id, options }).await
}

async fn list(context: Context, request: List) -> Result<Vec<cmd::Command>, Fault> {
    let limit = request.limit.and_then(|n| u32::try_from(n).ok()).unwrap_or(MAX_LISTED);
    let after = match request.after {
        Some(id) => Some(context.handle.behind(&id).await?),
        None => None,
    };
    let filter = Filter {
        guest: request.guest,
        state: request.state,
        all: request.all.unwrap_or(false),
        since: request.since_unix.and_then(UnixTime::moment),
        limit: limit.clamp(1, MAX_LISTED),
        after,
    };
    Ok(context.handle.list(filter).await?.into_iter().map(shown).collect())
}

async fn forget(context: Context, request: Forget) -> Result<Vec<String>, Fault> {
    context.handle.forget(&request.cmd_id).await
}

async fn poll(context: Context, request: Poll) -> Result<cmd::Command, Fault> {
    Ok(reported(context.handle.poll(&request, None).await?))
}

async fn wait(context: Context, request: Wait) -> Result<cmd::Command, Fault> {
    let Wait { cmd_id, timeout_s, until, out_offset, err_offset, offsets, max_output } = request;
    let wanted = Poll { cmd_id, out_offset, err_offset, offsets, max_output };
    let wait = WaitUntil { until: until.unwrap_or_default(), deadline: deadline(&context, timeout_s) };
    Ok(reported(context.handle.poll(&wanted, Some(wait)).await?))
}

fn reported(reported: Reported) -> cmd::Command {
    let (run, commands, reports) = match reported {
        Reported::Command(report) => return with_output(*report),
        Reported::Run(run, commands, reports) => (run, commands, reports),
    };
    let count = |which: fn(&Command) -> bool| commands.iter().filter(|command| which(command)).count() as u64;
    let is_over = commands.iter().all(|command| command.state.is_over());
    cmd::Command {
        cmd_id: run.id,
        target: Some(run.target),
        created: run.created.into(),
        created_unix: run.created.into(),
        state: if is_over { State::Done } else { State::Running },
        summary: Some(Summary {
            ok: count(|it| it.state.is_over() && is_ok(it)),
            failed: count(|it| it.state.is_over() && !is_ok(it) && it.state != State::Lost),
            lost: count(|it| it.state == State::Lost),
            running: count(|it| !it.state.is_over()),
        }),
        commands: Some(reports.into_iter().map(with_output).collect()),
        ..cmd::Command::default()
    }
}

fn with_output(report: Report) -> cmd::Command {
    let Report { command, out, err, next } = report;
    let more = command.out_bytes > next.out || command.err_bytes > next.err;
    cmd::Command {
        out: Some(Text(out)),
        err: Some(Text(err)),
        out_offset: Some(next.out),
        err_offset: Some(next.err),
        more: Some(more),
        ..shown(command)
    }
}

/// Everything about a command but its output. What the guest said at the end stands beside what the host knows.
pub(crate) fn shown(command: Command) -> cmd::Command {
    let program = Arc::unwrap_or_clone(command.program);
    let mut results = command.results.map(ReportedResults::into_members).unwrap_or_default();
    let left_out = results.remove("left_out");
    let mut result = |name| results.remove(name);
    cmd::Command {
        cmd_id: command.id,
        guest: command.guest,
        state: command.state,
        cmd: Some(program.cmd),
        args: Some(program.args),
        path: program.path,
        created: command.created.into(),
        created_unix: command.created.into(),
        expires_unix: command.expires.map(UnixTime::from),
        deadline_unix: command.deadline.map(UnixTime::from),
        started: command.started.map(Into::into),
        started_unix: command.started.map(UnixTime::from),
        ended: command.ended.map(Into::into),
        ended_unix: command.ended.map(UnixTime::from),
        out_bytes: Some(command.out_bytes),
        err_bytes: Some(command.err_bytes),
        error: command.failure,
        finished: lenient(result("finished")),
        exit_code_or_signal: lenient(result("exitCodeOrSignal")),
        resources: lenient(result("resources")),
        // That something was dropped is said however odd the guest says it.
        left_out: left_out.map(|left_out| lenient(Some(left_out)).unwrap_or_default()),
        out_sha256: lenient(result("out_sha256")),
        err_sha256: lenient(result("err_sha256")),
        paused: command.paused,
        shortened: program.shortened.then_some(true),
        ..cmd::Command::default()
    }
}

/// What a guest said, within the bounds of what is shown, if it is of that type.
fn lenient<T: DeserializeOwned>(told: Option<serde_json::Value>) -> Option<T> {
    from_value(json_value(told?)).ok()
}
