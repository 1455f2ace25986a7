//! `cmd.cancel`, `cmd.signal`, `cmd.usage`, `cmd.input`, `cmd.resize`: what is done to commands that run.

use super::{Context, Entry, deadline, method};
use crate::agent::control::{Signal, Told};
use std::sync::Arc;
use std::time::Duration;
use vocable_api::clock::Now;
use vocable_api::cmd::{
    self, Cancel, Failure, GetUsage, Input, InputTaken, Resize, SendSignal, Signalled, SignalledCommand,
    TerminalSize, Usages, UsedCommand,
};
use vocable_api::fault::Fault;
use vocable_api::method::invalid;
use vocable_protocol::Usage;

pub(super) fn methods() -> Vec<Entry> {
    vec![method(cancel), method(input), method(resize), method(signal), method(usage)]
}

async fn cancel(context: Context, request: Cancel) -> Result<Signalled, Fault> {
    let signal = request.signal.unwrap_or(cmd::Signal::TERM);
    let grace = request.grace_s.map(Duration::try_from_secs_f64).transpose();
    let end = grace.map_err(|_| invalid::<Cancel>("grace_s", "expected a number of seconds from 0 on"))?;
    send(&context, &request.cmd_id, Signal { number: signal.number(), end: Some(end) }).await
}

async fn signal(context: Context, request: SendSignal) -> Result<Signalled, Fault> {
    send(&context, &request.cmd_id, Signal { number: request.signal.number(), end: None }).await
}

async fn send(context: &Context, id: &str, signal: Signal) -> Result<Signalled, Fault> {
    let replies = context.handle.signal(&context.lexicon, id, signal).await?;
    let shown = |Told { command, answer }: Told<u64>| {
        let (signalled, error) = split(answer);
        SignalledCommand { cmd_id: command.id, guest: command.guest, signalled, error }
    };
    Ok(Signalled { commands: replies.into_iter().map(shown).collect() })
}

fn split<T>(answer: Result<T, Fault>) -> (Option<T>, Option<Failure>) {
    match answer {
        Ok(value) => (Some(value), None),
        Err(fault) => (None, Some(Failure::new(fault.kind.slug(), fault.message))),
    }
}

async fn usage(context: Context, request: GetUsage) -> Result<Usages, Fault> {
    let replies = context.handle.usage(&context.lexicon, request.cmd_id.as_deref()).await?;
    let commands = replies.into_iter().map(used).collect();
    Ok(Usages { time_unix: Now::read().utc.into(), commands })
}

fn used(Told { command, answer }: Told<Usage>) -> UsedCommand {
    let (usage, error) = split(answer);
    let program = Arc::unwrap_or_clone(command.program);
    UsedCommand {
        cmd_id: command.id,
        guest: command.guest,
        cmd: program.cmd,
        args: program.args,
        started_unix: command.started.map(Into::into),
        usage,
        error,
    }
}

async fn input(context: Context, request: Input) -> Result<InputTaken, Fault> {
    let Input { cmd_id, offset, data, close, timeout_s } = request;
    let deadline = deadline(&context, timeout_s.unwrap_or(f64::MAX));
    let (handle, lexicon, ends) = (&context.handle, &context.lexicon, close.unwrap_or(false));
    handle.input(lexicon, &cmd_id, offset, &data.0, ends, deadline).await
}

async fn resize(context: Context, request: Resize) -> Result<bool, Fault> {
    let Resize { cmd_id, rows, columns } = request;
    context.handle.resize(&context.lexicon, &cmd_id, TerminalSize { rows, columns }).await?;
    Ok(true)
}
