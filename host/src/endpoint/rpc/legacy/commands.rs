//! Commands under the names of 2010: run, details, the list of those that are over, and results that can be had once.

use super::VM;
use crate::endpoint::rpc::inner::{call, guest_of, items, member, text};
use crate::endpoint::rpc::{Context, Gives, Kind, Method, optional, required};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use vocable_api::fault::{Fault as HostFault, FaultKind};
use vocable_xmlrpc::{Fault, Params, Value};

/// Ids of fetched results that are remembered.
const REMEMBERED: usize = 10_000;
/// Octets of output that one result may have; more is had with cmd.poll.
const MOST_OUTPUT: usize = 8 << 20;

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

const ID: vocable_api::description::table::Param = required("id", Kind::String, "what runCmd gave");

pub(super) const RUN: Method = Method {
    name: "runCmd",
    help: "Runs a program on a guest. The name that cmd.run had in 2010.",
    params: &[
        VM,
        required("cmd", Kind::String, "the program"),
        optional("args", Kind::Array(&Kind::String), "its arguments"),
        optional("env", Kind::Map(&Kind::String), "variables of its environment"),
        optional("path", Kind::String, "its working directory; empty: none in particular"),
        optional(
            "fileForStdin",
            Kind::String,
            "a file on the guest whose content is its standard input; empty: none",
        ),
    ],
    gives: Gives::value(Kind::String, "the id to ask about"),
    changes: true,
    call: |context, params| Box::pin(run(context, params)),
};

pub(super) const RESULTS: Method = Method {
    name: "getCmdResults",
    help: "Gives the results of a command once it is over, and only once: then it is forgotten. An empty struct means \
           that it is still under way.",
    params: &[ID],
    gives: Gives::one(&[
        optional("cmd-id", Kind::String, "its id"),
        optional("out", Kind::Text, "its standard output"),
        optional("err", Kind::Text, "its standard error"),
        optional("finished", Kind::Bool, "whether it ended by itself, not by a signal"),
        optional("exitCodeOrSignal", Kind::Int, "its exit code, or the signal"),
        optional("resources", Kind::Struct(&[]), "what getrusage says"),
        optional("error", Kind::Struct(&[]), "why it was not run, if it was not"),
    ]),
    changes: true,
    call: |context, params| Box::pin(results(context, params)),
};

pub(super) const DETAILS: Method = Method {
    name: "getCmdDetails",
    help: "Tells what a command is.",
    params: &[ID],
    gives: Gives::one(&[
        required("cmd-id", Kind::String, "its id"),
        required("vm", Kind::String, "where"),
        required("cmd", Kind::String, "the program"),
        required("args", Kind::Array(&Kind::String), "its arguments"),
        required("state", Kind::String, "queued, running, done and so on"),
    ]),
    changes: false,
    call: |context, params| Box::pin(details(context, params)),
};

pub(super) const FINISHED: Method = Method {
    name: "listFinishedCmds",
    help: "Lists the commands that are over and whose results were not fetched.",
    params: &[],
    gives: Gives::value(Kind::Array(&Kind::String), "their ids, newest first"),
    changes: false,
    call: |context, params| Box::pin(finished(context, params)),
};

async fn run(context: Context, mut params: Params) -> Result<Value, Fault> {
    let vm: String = params.required("vm")?;
    let cmd: String = params.required("cmd")?;
    let args: Vec<String> = params.optional("args")?.unwrap_or_default();
    let env: BTreeMap<String, String> = params.optional("env")?.unwrap_or_default();
    let path: Option<String> = params.optional("path")?;
    let stdin: Option<String> = params.optional("fileForStdin")?;
    params.finish()?;
    let guest = guest_of(&context, &vm).await?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let stdin = match given(stdin) {
        Some(file) => Some(Value::Base64(content(&context, &guest, &file).await?)),
        None => None,
    };
    let members = [
        ("target", text(&guest)),
        ("cmd", text(&cmd)),
        ("args", Some(args.into_iter().map(Value::from).collect())),
        ("env", Some(env.into_iter().map(|(name, value)| (name, Value::from(value))).collect())),
        ("path", given(path).map(Value::from)),
        ("stdin", stdin),
    ];
    call(&context, "cmd.run", members).await
}

/// A file of a guest, within bounds.
async fn content(context: &Context, guest: &str, path: &str) -> Result<Vec<u8>, Fault> {
    let mut whole = Vec::new();
    loop {
        let offset = Some(Value::from(whole.len() as u64));
        let members = [("guest", text(guest)), ("path", text(path)), ("offset", offset)];
        let piece = call(context, "file.get", members).await?;
        whole.extend_from_slice(octets(&piece, "data"));
        if piece.member("eof") == Some(&Value::Bool(true)) || octets(&piece, "data").is_empty() {
            return Ok(whole);
        }
        if whole.len() > MOST_OUTPUT {
            let text = format!("{path} on {guest} is longer than {MOST_OUTPUT} octets of standard input");
            return Err(HostFault::new(FaultKind::TooBig, text).into());
        }
    }
}

fn octets<'a>(value: &'a Value, name: &str) -> &'a [u8] {
    match value.member(name) {
        Some(Value::Base64(octets)) => octets,
        Some(Value::String(text)) => text.as_bytes(),
        _ => &[],
    }
}

async fn results(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("id")?;
    params.finish()?;
    if context.fetched.lock().await.ids.contains(&id) {
        let text = format!("the results of {id} were fetched before: cmd.poll still has them");
        return Err(HostFault::new(FaultKind::NoSuchCommand, text).into());
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let last = loop {
        let offset = |octets: &Vec<u8>| Some(Value::from(octets.len() as u64));
        let members = [
            ("cmd_id", text(&id)),
            ("out_offset", offset(&out)),
            ("err_offset", offset(&err)),
            ("max_output", Some(Value::from(1 << 20))),
        ];
        let told = call(&context, "cmd.poll", members).await?;
        if matches!(member(&told, "state"), "queued" | "running") {
            return Ok(Value::Struct(BTreeMap::new()));
        }
        out.extend_from_slice(octets(&told, "out"));
        err.extend_from_slice(octets(&told, "err"));
        if told.member("more") != Some(&Value::Bool(true)) {
            break told;
        }
        if out.len() + err.len() > MOST_OUTPUT {
            let text =
                format!("the output of {id} is longer than {MOST_OUTPUT} octets: fetch it with cmd.poll");
            return Err(HostFault::new(FaultKind::TooBig, text).into());
        }
    };
    context.fetched.lock().await.add(&id);
    let told = |name: &'static str| Some((name, last.member(name)?.clone()));
    let facts = ["finished", "exitCodeOrSignal", "resources", "error"].into_iter().filter_map(told);
    let output =
        [("cmd-id", Value::from(id.as_str())), ("out", text_or_octets(out)), ("err", text_or_octets(err))];
    Ok(output.into_iter().chain(facts).collect())
}

fn text_or_octets(octets: Vec<u8>) -> Value {
    String::from_utf8(octets).map_or_else(|binary| Value::Base64(binary.into_bytes()), Value::String)
}

async fn details(context: Context, mut params: Params) -> Result<Value, Fault> {
    let id: String = params.required("id")?;
    params.finish()?;
    let told =
        call(&context, "cmd.poll", [("cmd_id", text(&id)), ("max_output", Some(Value::from(1)))]).await?;
    Ok(Value::from([
        ("cmd-id", Value::from(member(&told, "cmd_id"))),
        ("vm", Value::from(member(&told, "guest"))),
        ("cmd", Value::from(member(&told, "cmd"))),
        ("args", told.member("args").cloned().unwrap_or_else(|| Value::from(Vec::new()))),
        ("state", Value::from(member(&told, "state"))),
    ]))
}

async fn finished(context: Context, params: Params) -> Result<Value, Fault> {
    params.finish()?;
    let all = items(call(&context, "cmd.list", [("all", Some(Value::from(true)))]).await?);
    let fetched = context.fetched.lock().await;
    let over = all.iter().filter(|command| !matches!(member(command, "state"), "queued" | "running"));
    let ids = over.map(|command| member(command, "cmd_id")).filter(|id| !fetched.ids.contains(*id));
    Ok(ids.map(Value::from).collect())
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
