//! `word.*`: which words there are, and asking them.

use super::{
    Context, Gives, Kind, Method, Param, fit_a_message, json_value, members, optional, options, required,
};
use crate::agent::handle::Asked;
use install::Installed;
use serde_json::Value as Json;
use std::time::Duration;
use vocable_api::description::MethodInfo;
use vocable_api::fault::{self, FaultKind};
use vocable_runtime::{Changes, WordInfo, WordState};
use vocable_xmlrpc::{Fault, Options, Params, Value, excerpt};

mod install;

/// How long guests have to answer, unless the caller says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// The answers of all guests together, bytes as XML.
const MOST_ANSWERED: usize = 32 * 1024 * 1024;

/// What is told of one guest's answer.
const ANSWERS: Gives = Gives::list(&[
    required("guest", Kind::String, "who was asked"),
    required("ok", Kind::Bool, "whether it answered as wished"),
    optional("answer", Kind::Any, "what it answered; absent if nothing"),
    optional("error", Kind::Struct(ERROR), "why it did not"),
]);

const ERROR: &[Param] = &[
    required("code", Kind::String, "what kind of failure"),
    required("fault", Kind::Int, "its number"),
    required("message", Kind::String, "a sentence"),
];

const TARGET: Param = required("target", Kind::String, "a guest, a glob, @group or a comma list of them");
const ARGS: Param = optional("args", Kind::Struct(&[]), "what the word takes");
const OPTIONS: Param = options(&[optional(
    "timeout_s",
    Kind::Double,
    "seconds the guests have to answer; more than 20 are 20 [default: 10]",
)]);

/// What is told of a word.
const WORD: &[Param] = &[
    required("word", Kind::String, "its name"),
    required("version", Kind::String, "its version"),
    required("summary", Kind::String, "what it says of itself"),
    required("source", Kind::String, "built-in, or its file"),
    required("contract", Kind::String, "the contract it is written against"),
    required("sha256", Kind::String, "digest of the component, hexadecimal"),
    required("imports", Kind::Array(&Kind::String), "interfaces it wants"),
    required("grants", Kind::Array(&Kind::String), "interfaces it may use"),
    required("binds", Kind::Array(&Kind::String), "events that make it speak"),
    required("parameters", Kind::Any, "JSON Schema of what it takes"),
    required("reply", Kind::Any, "JSON Schema of what it answers"),
    required("calls", Kind::Int, "so often it was called"),
    required("traps", Kind::Int, "so often it trapped"),
    required("state", Kind::String, "ready, retrying or quarantined"),
    optional("reason", Kind::String, "why it is not ready"),
];

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "word.ask",
        help: "Says a word to guests and collects their answers. A word that is not installed here is said with its \
               arguments as they are; a guest that does not know it either says which words it knows.",
        params: &[TARGET, required("word", Kind::String, "its name"), ARGS, OPTIONS],
        gives: ANSWERS,
        changes: true,
        call: |context, params| Box::pin(ask(context, params)),
    },
    Method {
        name: "word.info",
        help: "Tells all about a word of the host.",
        params: &[required("word", Kind::String, "its name")],
        gives: Gives::one(WORD),
        changes: false,
        call: |context, params| Box::pin(tell(context, params)),
    },
    Method {
        name: "word.install",
        help: "Installs a component as a word of the host. What cannot be loaded leaves everything as it was. The same \
               component again changes nothing.",
        params: &[
            required("word", Kind::String, "the name it gives itself"),
            required("component", Kind::Bytes, "the component (.wasm)"),
            options(&[optional(
                "replace",
                Kind::Bool,
                "take the place of a word that is there [default: false]",
            )]),
        ],
        gives: Gives::one(&[
            required("word", Kind::String, "its name"),
            required("version", Kind::String, "its version"),
            required("sha256", Kind::String, "digest of the component, hexadecimal"),
            required("changed", Kind::Bool, "whether it was not there before"),
        ]),
        changes: true,
        call: |context, params| Box::pin(install(context, params)),
    },
    Method {
        name: "word.list",
        help: "Lists the words of the host.",
        params: &[],
        gives: Gives::list(WORD),
        changes: false,
        call: |context, params| Box::pin(list(context, params)),
    },
    Method {
        name: "word.reload",
        help: "Looks at the folders of words anew, whether or not they are watched.",
        params: &[],
        gives: Gives::one(&[
            required("changes", Kind::Array(&Kind::String), "what is different now"),
            required("problems", Kind::Array(&Kind::String), "what cannot be loaded"),
        ]),
        changes: true,
        call: |context, params| Box::pin(reload(context, params)),
    },
    Method {
        name: "word.remove",
        help: "Takes away a word that word.install has brought. What it stood in the place of is back.",
        params: &[required("word", Kind::String, "its name")],
        gives: Gives::one(&[required("changed", Kind::Bool, "true")]),
        changes: true,
        call: |context, params| Box::pin(remove(context, params)),
    },
    Method {
        name: "word.say",
        help: "Says a word of the host to guests and waits for no answer.",
        params: &[TARGET, required("word", Kind::String, "its name"), ARGS],
        gives: Gives::list(&[
            required("guest", Kind::String, "to whom"),
            required("ok", Kind::Bool, "whether it was said"),
            optional("error", Kind::Struct(ERROR), "why it was not"),
        ]),
        changes: true,
        call: |context, params| Box::pin(utter(context, params)),
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
pub(super) fn methods(context: &Context) -> impl Iterator<Item = MethodInfo> {
    context.lexicon.words().into_iter().filter(is_askable).map(info)
}

/// The method that a word makes.
pub(super) fn method(context: &Context, word: &str) -> Option<MethodInfo> {
    context.lexicon.words().into_iter().find(|known| known.name == word && is_askable(known)).map(info)
}

fn info(word: WordInfo) -> MethodInfo {
    let summary = word.summary.trim_end_matches('.');
    vocable_api::description::table::method(
        format!("word.{}", word.name),
        format!(
            "{summary}. Says the word {} (version {}) and collects the answers.",
            word.name, word.version
        ),
        const { &[TARGET, ARGS, OPTIONS] },
        ANSWERS,
        true,
        &[("args", schema(&word.parameters))],
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
    fit_a_message(&context, "args", &args)?;
    let answers = context.handle.ask(&context.lexicon, &target, &word, &args, timeout).await?;
    let mut left = MOST_ANSWERED;
    Ok(answers.into_iter().map(|asked| within(&mut left, asked)).collect())
}

/// The answer, or that there is no room for it beside those of other guests; a shorter one may still fit.
fn within(left: &mut usize, asked: Asked) -> Value {
    let guest = asked.guest.clone();
    let value = answer(asked);
    if let Some(rest) = left.checked_sub(value.weight()) {
        *left = rest;
        return value;
    }
    let text = format!("the answers of all guests exceed {MOST_ANSWERED} bytes; ask {guest} alone");
    answer(Asked { guest, answer: Err(fault::Fault::new(FaultKind::TooBig, text)) })
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

async fn tell(context: Context, mut params: Params) -> Result<Value, Fault> {
    let name: String = params.required("word")?;
    params.finish()?;
    let unknown = || host_fault(FaultKind::NoSuchWord, format!("the host has no word {}", excerpt(&name)));
    Ok(word_value(context.lexicon.word(&name).ok_or_else(unknown)?))
}

async fn install(context: Context, mut params: Params) -> Result<Value, Fault> {
    let name: String = params.required("word")?;
    let component: Vec<u8> = params.required("component")?;
    let mut options = params.options()?;
    let replace = options.take("replace")?.unwrap_or(false);
    options.finish()?;
    let Installed { word, changed } = install::install(&context, &name, component, replace).await?;
    Ok(Value::from([
        ("word", Value::from(word.name)),
        ("version", Value::from(word.version)),
        ("sha256", Value::from(word.sha256)),
        ("changed", Value::from(changed)),
    ]))
}

async fn remove(context: Context, mut params: Params) -> Result<Value, Fault> {
    let name: String = params.required("word")?;
    params.finish()?;
    install::remove(&context, &name).await?;
    Ok(Value::from([("changed", Value::from(true))]))
}

async fn reload(context: Context, params: Params) -> Result<Value, Fault> {
    params.finish()?;
    let Changes { events, problems } = context.lexicon.reload_dirs().await;
    let changes = events.iter().map(|event| Value::from(event.to_string())).collect();
    let problems = problems.iter().map(|problem| Value::from(problem.to_string())).collect();
    Ok(Value::from([("changes", changes), ("problems", problems)]))
}

async fn utter(context: Context, mut params: Params) -> Result<Value, Fault> {
    let target: String = params.required("target")?;
    let word: String = params.required("word")?;
    let args = params
        .optional::<Value>("args")?
        .map_or_else(|| serde_json::json!({}), |it| vocable_xmlrpc::to_json(&it));
    params.finish()?;
    fit_a_message(&context, "args", &args)?;
    let said = context.handle.utter(&target, &word, &args).await?;
    Ok(said
        .into_iter()
        .map(|(guest, said)| answer(Asked { guest, answer: said.map(|()| Json::Null) }))
        .collect())
}

fn host_fault(kind: FaultKind, text: String) -> Fault {
    fault::Fault::new(kind, text).into()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_for_which_there_is_no_room_is_told_as_such_and_others_are_there() {
        let asked = |guest: &str, length| Asked {
            guest: guest.to_owned(),
            answer: Ok(serde_json::json!({"text": "x".repeat(length)})),
        };
        let mut left = 2000;
        let told = [("vm1", 1000), ("vm2", 1000), ("vm3", 100)].map(|(guest, length)| {
            let told = within(&mut left, asked(guest, length));
            (told.member("guest").cloned(), told.member("ok").cloned(), told.member("error").cloned())
        });
        for (n, ok) in [(0, true), (1, false), (2, true)] {
            assert_eq!(told[n].1, Some(Value::from(ok)), "{told:?}");
        }
        assert_eq!(told[1].0, Some(Value::from("vm2")));
        let error = told[1].2.as_ref().and_then(|error| error.member("message")).cloned();
        let text = "the answers of all guests exceed 33554432 bytes; ask vm2 alone";
        assert_eq!(error, Some(Value::from(text)));
    }
}
