//! `vocable api`: the methods of the agent, called by hand.

use super::table::{Column, Table};
use super::{CliError, Session, completion};
use crate::reply::{Members, as_text};
use clap_complete::ArgValueCompleter;
use serde_json::{Value as Json, json};
use vocable_api::fault::FaultKind;
use vocable_xmlrpc::{Value, excerpt, from_json, to_json};

/// Methods asked about in one call; the endpoint takes no more.
const AT_ONCE: usize = 100;

/// Call a method of the agent, or list them
///
/// Parameters are JSON: '"vm1"', 20.0, '{"all":true}'; {"b64":"…"} is bytes. `vocable api faults` lists every way the
/// agent refuses.
#[derive(clap::Args, Debug)]
pub(super) struct ApiArgs {
    /// The method; all are listed without it
    #[arg(add = ArgValueCompleter::new(completion::methods))]
    method: Option<String>,
    /// Its parameters, as JSON
    #[arg(value_name = "JSON", allow_negative_numbers = true)]
    params: Vec<String>,
    /// Tell about the method instead of calling it
    #[arg(short, long)]
    list: bool,
    /// Print the call as Python
    #[arg(long, requires = "method", conflicts_with = "list")]
    python: bool,
}

/// Calls or lists methods.
pub(super) fn api(session: &mut Session<'_>, args: &ApiArgs) -> Result<u8, CliError> {
    match &args.method {
        None => list(session)?,
        Some(method) if method == "faults" => faults(session)?,
        Some(method) if args.list => describe(session, method)?,
        Some(method) if args.python => session.terminal.line(&python(method, &parameters(args)?))?,
        Some(method) => {
            let params = parameters(args)?.into_iter().map(value).collect::<Result<_, _>>()?;
            let reply = session.agent.call(method, params).map_err(|error| match error.code() {
                "invalid-parameter" => error.hint(format!("vocable api --list {method}")),
                _ => error,
            })?;
            session.terminal.document(&to_json(&reply))?;
        }
    }
    Ok(0)
}

/// Every way the agent refuses.
fn faults(session: &mut Session<'_>) -> Result<(), CliError> {
    if session.terminal.is_json() {
        let one = |kind: FaultKind| json!({"code": kind.slug(), "fault": kind.code(), "transient": kind.transient()});
        let all: Vec<_> = FaultKind::ALL.iter().map(|kind| one(*kind)).collect();
        return Ok(session.terminal.document(&json!({"faults": all}))?);
    }
    let mut table = Table::new([Column::text("code"), Column::number("fault"), Column::text("again later")]);
    for kind in FaultKind::ALL {
        let again = if kind.transient() { "may help" } else { "-" };
        table.row([kind.slug().into(), kind.code().to_string().into(), again.into()]);
    }
    Ok(table.print(session.terminal)?)
}

fn parameters(args: &ApiArgs) -> Result<Vec<Json>, CliError> {
    args.params.iter().map(|text| parse(text)).collect()
}

/// JSON from the command line.
pub(super) fn parse(text: &str) -> Result<Json, CliError> {
    serde_json::from_str(text).map_err(|error| {
        let told = CliError::bad_argument(format!("{} is no JSON", excerpt(text))).cause(error.to_string());
        let is_word = text.chars().all(|c| c.is_alphanumeric() || "._-@*".contains(c));
        if is_word && !text.is_empty() { told.hint(format!("a text has quotes: '\"{text}\"'")) } else { told }
    })
}

/// JSON as a parameter.
pub(super) fn value(json: Json) -> Result<Value, CliError> {
    from_json(json)
        .map_err(|error| CliError::bad_argument("the parameters cannot be sent").cause(error.to_string()))
}

fn list(session: &mut Session<'_>) -> Result<(), CliError> {
    let names = session.agent.call("system.listMethods", Vec::new())?;
    let names: Vec<_> = names.list().iter().filter_map(as_text).map(str::to_owned).collect();
    if session.terminal.is_json() {
        session.terminal.document(&json!({"methods": names}))?;
        return Ok(());
    }
    if session.terminal.is_quiet() {
        return Ok(names.iter().try_for_each(|name| session.terminal.line(name))?);
    }
    let mut table = Table::new([Column::text("method"), Column::prose("help")]);
    for names in names.chunks(AT_ONCE) {
        let helps = helps(session, names)?;
        for (name, help) in names.iter().zip(helps) {
            table.row([name.as_str().into(), help.into()]);
        }
    }
    table.print(session.terminal)?;
    session.terminal.hint("vocable api --list METHOD tells all about one")?;
    Ok(())
}

/// The help of several methods, a sentence each.
fn helps(session: &Session<'_>, names: &[String]) -> Result<Vec<String>, CliError> {
    let call = |name: &String| {
        Value::from([
            ("methodName", Value::from("system.methodHelp")),
            ("params", Value::from(vec![Value::from(name.as_str())])),
        ])
    };
    let reply = session.agent.call("system.multicall", vec![names.iter().map(call).collect()])?;
    // Each answer is a list of one, or a fault.
    let help = |answer: &Value| answer.list().first().and_then(as_text).map(first_sentence);
    Ok(reply.list().iter().map(|answer| help(answer).unwrap_or_default()).collect())
}

/// Without the name of the method, to the first full stop or colon.
fn first_sentence(help: &str) -> String {
    let line = help.lines().next().unwrap_or_default();
    let text = line.split_once("): ").map_or(line, |(_, text)| text);
    let end = [". ", ": "].iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len());
    text.get(..end).unwrap_or(text).trim_end_matches(['.', ':']).to_owned()
}

fn describe(session: &mut Session<'_>, method: &str) -> Result<(), CliError> {
    let name = || vec![Value::from(method)];
    let help = to_json(&session.agent.call("system.methodHelp", name())?);
    let signatures = to_json(&session.agent.call("system.methodSignature", name())?);
    if session.terminal.is_json() {
        let document = json!({"method": method, "help": help, "signatures": signatures});
        return Ok(session.terminal.document(&document)?);
    }
    for signature in signatures.as_array().into_iter().flatten() {
        let types: Vec<_> = signature.as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        let (result, params) =
            types.split_first().map_or(("", &[][..]), |(result, params)| (*result, params));
        session.terminal.line(&format!("{result} {method}({})", params.join(", ")))?;
    }
    Ok(session.terminal.line(help.as_str().unwrap_or_default())?)
}

/// The call as a program would make it. The token is left to be filled in.
fn python(method: &str, params: &[Json]) -> String {
    let params: Vec<_> = params.iter().map(python_value).collect();
    format!(
        "import xmlrpc.client\n\
         h = xmlrpc.client.ServerProxy(\"http://agent:TOKEN@127.0.0.1:8700/RPC2\", use_builtin_types=True)\n\
         print(h.{method}({}))",
        params.join(", ")
    )
}

fn python_value(json: &Json) -> String {
    match json {
        Json::Bool(true) => "True".to_owned(),
        Json::Bool(false) => "False".to_owned(),
        Json::Null => "None".to_owned(),
        Json::Array(items) => format!("[{}]", items.iter().map(python_value).collect::<Vec<_>>().join(", ")),
        Json::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .map(|(name, value)| format!("{}: {}", json!(name), python_value(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        other => other.to_string(),
    }
}
