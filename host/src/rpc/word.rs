//! `word.*`: which words there are, and asking them.

use super::{Context, Method, json_value, members};
use crate::handle::Asked;
use crate::http::MethodInfo;
use std::time::Duration;
use vocable_runtime::{WordInfo, WordState};
use vocable_xmlrpc::{Fault, Options, Params, Value};

/// How long guests have to answer, unless the caller says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "word.ask",
        signatures: &[
            &["array", "string", "string"],
            &["array", "string", "string", "struct"],
            &["array", "string", "string", "struct", "struct"],
        ],
        help: "word.ask(target, word, args, {timeout_s}): says a word to guests and collects their answers: [{guest, ok, \
               answer | error: {code, message}}]. A word that is not installed here is said with its arguments as they \
               are; a guest that does not know it either says which words it knows.",
        call: |context, params| Box::pin(ask(context, params)),
    },
    Method {
        name: "word.list",
        signatures: &[&["array"]],
        help: "word.list(): the words of the host: [{word, version, summary, source, contract, sha256, imports, grants, \
               binds, calls, traps, state, reason}].",
        call: |context, params| Box::pin(list(context, params)),
    },
];

/// Whether a word is one that answers, and so is a method.
pub(super) fn answers(context: &Context, word: &str) -> bool {
    context.lexicon.words().iter().any(|known| known.name == word && is_askable(known))
}

/// A word that describes what it answers can be asked.
fn is_askable(word: &WordInfo) -> bool {
    schema(&word.reply).as_object().is_some_and(|reply| !reply.is_empty())
}

fn schema(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// The methods that words make: they come and go with their components.
pub(super) fn methods(context: &Context) -> Vec<MethodInfo> {
    let method = |word: WordInfo| MethodInfo {
        name: format!("word.{}", word.name),
        signature: [
            vec!["array", "string"],
            vec!["array", "string", "struct"],
            vec!["array", "string", "struct", "struct"],
        ]
        .map(|line| line.into_iter().map(str::to_owned).collect())
        .into(),
        help: help(&word),
    };
    context.lexicon.words().into_iter().filter(is_askable).map(method).collect()
}

fn help(word: &WordInfo) -> String {
    let name = &word.name;
    let parameters = schema(&word.parameters);
    let listed =
        parameters.get("properties").and_then(serde_json::Value::as_object).map_or_else(String::new, |all| {
            let one = |(name, schema): (&String, &serde_json::Value)| {
                let what = schema.get("description").and_then(serde_json::Value::as_str).unwrap_or("");
                format!("{name}{}{what}", if what.is_empty() { "" } else { ": " })
            };
            all.iter().map(one).collect::<Vec<_>>().join("; ")
        });
    let args = if listed.is_empty() { "args".to_owned() } else { format!("args {{{listed}}}") };
    format!(
        "word.{name}(target, {args}, {{timeout_s}}): {} (version {}). [{{guest, ok, answer | error}}]",
        word.summary, word.version
    )
}

async fn ask(context: Context, mut params: Params) -> Result<Value, Fault> {
    let target: String = params.required("target")?;
    let word: String = params.required("word")?;
    say(context, target, word, params).await
}

/// `word.<NAME>(target, args, {timeout_s})`.
pub(super) async fn ask_by_name(context: Context, word: String, mut params: Params) -> Result<Value, Fault> {
    let target: String = params.required("target")?;
    say(context, target, word, params).await
}

async fn say(context: Context, target: String, word: String, mut params: Params) -> Result<Value, Fault> {
    let args = params
        .optional::<Value>("args")?
        .map_or_else(|| serde_json::json!({}), |it| vocable_xmlrpc::to_json(&it));
    let timeout = timeout(params.options()?, context.longest_wait)?;
    let answers = context.handle.ask(&context.lexicon, &target, &word, &args, timeout).await?;
    Ok(answers.into_iter().map(answer).collect())
}

fn timeout(mut options: Options, longest: Duration) -> Result<Duration, Fault> {
    let wanted = options.take::<f64>("timeout_s")?;
    options.finish()?;
    let wanted =
        wanted.map_or(PATIENCE, |seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(longest));
    Ok(wanted.min(longest))
}

fn answer(Asked { guest, answer }: Asked) -> Value {
    let (ok, name, value) = match answer {
        Ok(answer) => (true, "answer", (!answer.is_null()).then(|| json_value(answer))),
        Err(fault) => {
            let error = Value::from([
                ("code", Value::from(fault.kind.slug())),
                ("fault", Value::from(fault.kind.code())),
                ("message", Value::from(fault.message)),
            ]);
            (false, "error", Some(error))
        }
    };
    members([("guest", Some(Value::from(guest))), ("ok", Some(Value::from(ok))), (name, value)])
}

async fn list(context: Context, params: Params) -> Result<Value, Fault> {
    params.finish()?;
    Ok(context.lexicon.words().into_iter().map(word_value).collect())
}

fn word_value(word: WordInfo) -> Value {
    let texts = |all: Vec<String>| all.into_iter().map(Value::from).collect::<Value>();
    let (state, reason) = match word.state {
        WordState::Ready => ("ready", None),
        WordState::Retrying { reason, .. } => ("retrying", Some(reason)),
        WordState::Quarantined { reason, .. } => ("quarantined", Some(reason)),
    };
    members([
        ("word", Some(Value::from(word.name))),
        ("version", Some(Value::from(word.version))),
        ("summary", Some(Value::from(word.summary))),
        ("source", Some(Value::from(word.source.to_string()))),
        ("contract", Some(Value::from(word.contract))),
        ("sha256", Some(Value::from(word.sha256))),
        ("imports", Some(texts(word.imports))),
        ("grants", Some(texts(word.grants.into_iter().collect()))),
        ("binds", Some(texts(word.on))),
        ("parameters", Some(json_value(schema(&word.parameters)))),
        ("reply", Some(json_value(schema(&word.reply)))),
        ("calls", Some(Value::from(word.calls))),
        ("traps", Some(Value::from(word.traps))),
        ("state", Some(Value::from(state))),
        ("reason", reason.map(Value::from)),
    ])
}
