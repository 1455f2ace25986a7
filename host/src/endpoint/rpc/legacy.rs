//! The legacy names, of the prototype of 2010: each stands for something that methods of today do.

use super::{Context, Entry, METHODS, fit_a_message, json_value, method, vm};
use crate::agent::commands::{Command, Program};
use crate::agent::handle::Found;
use crate::agent::run::{RunOptions, RunRequest};
use crate::agent::store::Filter;
use crate::jobs::copy;
use crate::machines::policy::Operation;
use crate::machines::{Machine, State, Usage};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::file::Direction;
use vocable_api::legacy::{
    self, Create, GetCommand, GetResults, GetState, GetUsage, Help, IdsToNames, ListAvailable, ListFinished,
    ListRegistered, ListRunning, NamesToIds, Pause, Ping, PowerOff, PullFile, PushFile, RestoreSnapshot,
    Results, Run, SaveSnapshot, SaveState, Start, Unpause,
};
use vocable_api::{AnyStruct, Method, Part, Text};
use vocable_xmlrpc::{Value, excerpt};

/// Ids of fetched results that are remembered.
const REMEMBERED: usize = 10_000;
/// Commands that are listed.
const MAX_LISTED: u32 = 1000;
/// Bytes of output that one result may have, and of a file that is standard input.
const MAX_BYTES: u64 = 8 << 20;
/// Bytes read at a time.
const PIECE: u64 = 1 << 20;

pub(super) fn methods() -> Vec<Entry> {
    vec![
        method(pull),
        method(push),
        method(create),
        method(command),
        method(results),
        method(async |context, _: IdsToNames| {
            let names = addresses(&context).await?.into_iter().map(|(name, mac)| (mac, name));
            Ok::<_, Fault>(names.collect::<BTreeMap<_, _>>())
        }),
        method(async |context, _: NamesToIds| addresses(&context).await),
        method(usage),
        method(state),
        method(help),
        method(async |context, _: ListAvailable| names(&context, |_| true).await),
        method(finished),
        method(registered),
        method(async |context, _: ListRunning| names(&context, |vm| vm.state == State::Running).await),
        alias(|Pause { vm }| (vm, Operation::Pause)),
        method(ping),
        alias(|PowerOff { vm }| (vm, Operation::PowerOff)),
        method(restore),
        method(run),
        alias(|SaveSnapshot { vm, name, desc }| {
            let description = desc.unwrap_or_default();
            (vm, Operation::TakeSnapshot { name: name.into(), description, replace: false })
        }),
        alias(|SaveState { vm }| (vm, Operation::Save)),
        alias(|Start { vm }| (vm, Operation::Start)),
        alias(|Unpause { vm }| (vm, Operation::Resume)),
    ]
}

/// A legacy name of an operation.
fn alias<M: Method<Reply = bool>>(take: fn(M) -> (String, Operation)) -> Entry {
    method(move |context: Context, request: M| async move {
        let (which, operation) = take(request);
        vm::perform(&context, &which, operation).await.map(|_| true)
    })
}

async fn create(context: Context, request: Create) -> Result<bool, Fault> {
    let image = request.hdd.filter(|hdd| !hdd.is_empty()).map(TryInto::try_into).transpose();
    let image = image.map_err(|problem: String| vocable_api::method::invalid::<Create>("hdd", &problem))?;
    let wanted = vocable_api::vm::Create { image, ..vocable_api::vm::Create::new(request.name) };
    vm::finish(&context, context.machines.create(wanted, None).await?, true).await.map(|_| true)
}

async fn restore(context: Context, request: RestoreSnapshot) -> Result<bool, Fault> {
    let all = context.machines.snapshots(&request.vm).await?;
    let newest = all.into_iter().max_by_key(|snapshot| snapshot.taken);
    let none = || Fault::new(FaultKind::NoSuchSnapshot, format!("{} has no snapshot", request.vm));
    let operation = Operation::RestoreSnapshot(newest.ok_or_else(none)?.name);
    vm::perform(&context, &request.vm, operation).await.map(|_| true)
}

async fn usage(context: Context, request: GetUsage) -> Result<Usage, Fault> {
    Ok(context.machines.usage(&request.vm).await?)
}

async fn state(context: Context, request: GetState) -> Result<String, Fault> {
    Ok(context.machines.find(&request.vm).await?.state.as_str().to_owned())
}

async fn names(context: &Context, wanted: fn(&Machine) -> bool) -> Result<Vec<String>, Fault> {
    let view = context.machines.read().await?;
    let names = view.machines.values().filter(|machine| wanted(machine)).map(|machine| machine.name.clone());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    Ok(names)
}

/// The address of each machine that has a network card.
async fn addresses(context: &Context) -> Result<BTreeMap<String, String>, Fault> {
    let view = context.machines.read().await?;
    let address = |machine: &Machine| Some((machine.name.clone(), machine.cards.first()?.mac.clone()));
    Ok(view.machines.values().filter_map(address).collect())
}

async fn registered(context: Context, _: ListRegistered) -> Result<Vec<String>, Fault> {
    let roster = context.handle.roster().await?;
    let online = roster.guests.iter().filter(|(_, (guest, _))| guest.state.is_there());
    let name = |id| vm::machine_of(id, &roster).map_or(id, |(machine, _)| machine).to_owned();
    let mut names: Vec<_> = online.map(|(id, _)| name(id.as_str())).collect();
    names.sort_unstable();
    Ok(names)
}

/// The guest in a machine.
async fn guest_of(context: &Context, which: &str) -> Result<String, Fault> {
    Ok(context.handle.roster().await?.guest_of(which)?.to_owned())
}

async fn ping(context: Context, request: Ping) -> Result<bool, Fault> {
    let seconds = request.timeout.unwrap_or(5.0).max(0.0);
    let timeout = Duration::try_from_secs_f64(seconds).unwrap_or(context.longest_wait);
    let ping = async {
        let guest = guest_of(&context, &request.vm).await?;
        context.handle.ping(&guest, timeout.min(context.longest_wait)).await
    };
    match ping.await {
        Ok(_) => Ok(true),
        // One that is not there (yet) is what is asked about, and no mistake.
        Err(fault) => match fault.kind {
            FaultKind::GuestOffline | FaultKind::NoSuchGuest | FaultKind::NoSuchVm | FaultKind::TimedOut => {
                Ok(false)
            }
            _ => Err(fault),
        },
    }
}

async fn push(context: Context, PushFile { vm, local, remote }: PushFile) -> Result<bool, Fault> {
    let guest = guest_of(&context, &vm).await?;
    copy(&context.transfers, Direction::Push, &guest, (&local, &remote), None).await.map(|()| true)
}

async fn pull(context: Context, PullFile { vm, remote, local }: PullFile) -> Result<bool, Fault> {
    let guest = guest_of(&context, &vm).await?;
    copy(&context.transfers, Direction::Pull, &guest, (&local, &remote), None).await.map(|()| true)
}

async fn help(_: Context, _: Help) -> Result<String, Fault> {
    let mut all: Vec<_> = METHODS.values().map(|method| method.info.text()).collect();
    all.sort_unstable();
    Ok(all.join("\n\n"))
}

async fn run(context: Context, request: Run) -> Result<String, Fault> {
    let target = guest_of(&context, &request.vm).await?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let Run { cmd, args, env, .. } = request;
    let mut program = Program { cmd, args, env, path: given(request.path), ..Program::default() };
    if let Some(file) = given(request.fileForStdin) {
        program.set_stdin(&content(&context, &target, &file).await?);
    }
    fit_a_message(&context, "runCmd", &program)?;
    let wanted = RunRequest { target, program, id: None, options: RunOptions::default() };
    context.handle.run(wanted).await
}

/// A file of a guest, within bounds.
async fn content(context: &Context, guest: &str, path: &str) -> Result<Vec<u8>, Fault> {
    let mut whole = Vec::new();
    loop {
        let piece = context.files.read(guest, path, whole.len() as u64, PIECE).await?;
        if piece.size > MAX_BYTES {
            let text = format!("{path} on {guest} is longer than {MAX_BYTES} bytes of standard input");
            return Err(Fault::new(FaultKind::TooBig, text));
        }
        whole.extend_from_slice(&piece.data);
        if piece.data.is_empty() || whole.len() as u64 >= piece.size {
            return Ok(whole);
        }
    }
}

/// Whose results were fetched: they are not given again. Forgotten when the agent ends.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    ids: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Fetched {
    fn add(&mut self, id: &str) {
        if self.ids.insert(id.to_owned()) {
            self.order.push_back(id.to_owned());
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

async fn find(context: &Context, id: &str) -> Result<Command, Fault> {
    match context.handle.find(id).await? {
        Found::Command(command) => Ok(*command),
        Found::Run(..) => {
            let text = format!("{} has several commands: use cmd.poll", excerpt(id));
            Err(Fault::new(FaultKind::NoSuchCommand, text))
        }
    }
}

async fn results(context: Context, GetResults { id }: GetResults) -> Result<Results, Fault> {
    if context.fetched.lock().await.ids.contains(&id) {
        let text = format!("the results of {id} were fetched before: cmd.poll still has them");
        return Err(Fault::new(FaultKind::NoSuchCommand, text));
    }
    let command = find(&context, &id).await?;
    if !command.state.is_over() {
        return Ok(Results::default());
    }
    if command.out_bytes + command.err_bytes > MAX_BYTES {
        let text = format!("the output of {id} is longer than {MAX_BYTES} bytes: fetch it with cmd.poll");
        return Err(Fault::new(FaultKind::TooBig, text));
    }
    let (out, err) =
        (output(&context, &command, Part::Out).await?, output(&context, &command, Part::Err).await?);
    context.fetched.lock().await.add(&id);
    let results = command.results.unwrap_or_default();
    Ok(Results {
        cmd_id: Some(id),
        out: Some(out),
        err: Some(err),
        finished: results.finished,
        exit_code_or_signal: results.exit_code_or_signal.and_then(|code| code.try_into().ok()),
        resources: results.resources.and_then(|resources| match json_value(resources) {
            Value::Struct(members) => Some(AnyStruct(members)),
            _ => None,
        }),
        error: command.failure,
    })
}

/// All that a command has written.
async fn output(context: &Context, command: &Command, part: Part) -> Result<Text, Fault> {
    let length = command.received(part);
    let most = usize::try_from(length).unwrap_or(usize::MAX);
    let output = context.handle.output(&command.id, part, 0, most).await?.bytes;
    if output.len() < most {
        // Written down, told, and not there any more: say so rather than give less.
        let text = format!("{}: {} bytes of {} are gone", command.id, most - output.len(), part.as_str());
        return Err(Fault::new(FaultKind::Internal, text));
    }
    Ok(Text(output))
}

async fn command(context: Context, GetCommand { id }: GetCommand) -> Result<legacy::Command, Fault> {
    let command = find(&context, &id).await?;
    Ok(legacy::Command {
        cmd_id: command.id,
        vm: command.guest,
        cmd: command.program.cmd.clone(),
        args: command.program.args.clone(),
        state: command.state.as_str().to_owned(),
    })
}

async fn finished(context: Context, _: ListFinished) -> Result<Vec<String>, Fault> {
    let all = context.handle.list(Filter { all: true, limit: MAX_LISTED, ..Filter::default() }).await?;
    let fetched = context.fetched.lock().await;
    let over = all.into_iter().filter(|command| command.state.is_over()).map(|command| command.id);
    Ok(over.filter(|id| !fetched.ids.contains(id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_is_remembered_within_bounds() {
        let mut fetched = Fetched::default();
        for n in 0..=REMEMBERED {
            fetched.add(&n.to_string());
            fetched.add("1");
        }
        assert_eq!(fetched.ids.len(), REMEMBERED);
        assert!(!fetched.ids.contains("0") && fetched.ids.contains(&REMEMBERED.to_string()));
    }
}
