//! `word.*`: which words there are, and asking them.

use super::{Context, Entry, answer_within, fit_a_message, json_value, method};
use crate::agent::handle::GuestReply;
use crate::words::no_such_word;
use serde_json::Value as Json;
use std::sync::LazyLock;
use vocable_api::Any;
use vocable_api::description::MethodInfo;
use vocable_api::fault::{Failure, Fault, FaultKind};
use vocable_api::method::read_given;
use vocable_api::word::{
    Answer, Arguments, Ask, Info, Install, Installed, List, Reload, Reloaded, Remove, Removed, Said, Say,
    State, Word,
};
use vocable_runtime::{Changes, WordInfo, WordState};
use vocable_xmlrpc::{Params, Value, to_json};

/// How long guests have to answer, unless the caller says otherwise, seconds.
const TIMEOUT_S: f64 = 10.0;

/// The answers of all guests together, bytes as XML.
const MAX_ANSWERS: usize = 32 * 1024 * 1024;

/// What an answer has beside its content, bytes as XML.
const ANSWER_OVERHEAD: usize = 512;

pub(super) fn methods() -> Vec<Entry> {
    vec![
        method(ask),
        method(info),
        method(install),
        method(list),
        method(reload),
        method(remove),
        method(say),
    ]
}

/// The methods that words make: they come and go with their components.
pub(super) fn word_methods(context: &Context) -> impl Iterator<Item = MethodInfo> {
    context.lexicon.words().into_iter().filter(is_askable).map(describe)
}

pub(super) fn word_method(context: &Context, word: &str) -> Option<MethodInfo> {
    context.lexicon.word(word).filter(is_askable).map(describe)
}

/// Whether a word makes a method.
pub(super) fn is_word_method(context: &Context, word: &str) -> bool {
    context.lexicon.word(word).is_some_and(|word| is_askable(&word))
}

/// A word that describes what it answers can be asked.
fn is_askable(word: &WordInfo) -> bool {
    schema(&word.reply).as_object().is_some_and(|reply| !reply.is_empty())
}

fn schema(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_default()
}

/// `word.<NAME>(target, args, {timeout_s})`: that of [`Ask`], with the arguments that the word describes.
fn describe(word: WordInfo) -> MethodInfo {
    static ASK: LazyLock<MethodInfo> = LazyLock::new(MethodInfo::of::<Ask>);
    let mut info = ASK.clone();
    let summary = word.summary.trim_end_matches('.');
    info.help = format!(
        "{summary}. Says the word {} (version {}) and collects the answers.",
        word.name, word.version
    )
    .into();
    info.name = format!("word.{}", word.name).into();
    info.params.retain(|param| param.name != "word");
    if let Some(args) = info.params.iter_mut().find(|param| param.name == "args") {
        let help = args.schema["description"].take();
        args.schema = schema(&word.parameters);
        if let Some(schema) = args.schema.as_object_mut() {
            schema.entry("description").or_insert(help);
        }
    }
    info
}

/// Calls the method that a word makes.
pub(super) async fn ask_by_name(context: Context, word: &str, params: Params) -> Result<Vec<Answer>, Fault> {
    let name = format!("word.{word}");
    ask(context, read_given(&name, [("word", Value::from(word))], params)?).await
}

async fn ask(context: Context, request: Ask) -> Result<Vec<Answer>, Fault> {
    let Ask { target, word, args, timeout_s } = request;
    let args = arguments(&context, args)?;
    let timeout = answer_within(&context, timeout_s.unwrap_or(TIMEOUT_S));
    let answers = context.handle.ask(&context.lexicon, &target, &word, &args, timeout).await?;
    let mut left = MAX_ANSWERS;
    Ok(answers.into_iter().map(|asked| within(&mut left, asked)).collect())
}

fn arguments(context: &Context, args: Arguments) -> Result<Json, Fault> {
    let args = to_json(&args.0);
    fit_a_message(context, "args", &args)?;
    Ok(args)
}

/// The answer, or that there is no room for it beside those of other guests; a shorter one may still fit.
fn within(left: &mut usize, asked: GuestReply) -> Answer {
    let guest = asked.guest.clone();
    let answer = answer(asked);
    let weight = answer.answer.as_ref().map_or(0, |answer| answer.0.weight());
    let text = answer.error.as_ref().map_or(0, |error| error.message.len());
    if let Some(rest) = left.checked_sub(weight + text + ANSWER_OVERHEAD) {
        *left = rest;
        return answer;
    }
    let text = format!("the answers of all guests exceed {MAX_ANSWERS} bytes; ask {guest} alone");
    failed(guest, Fault::new(FaultKind::TooBig, text))
}

fn answer(GuestReply { guest, answer }: GuestReply) -> Answer {
    match answer {
        Ok(answer) => {
            let answer = (!answer.is_null()).then(|| Any(json_value(answer)));
            Answer { guest, ok: true, answer, error: None }
        }
        Err(fault) => failed(guest, fault),
    }
}

fn failed(guest: String, fault: Fault) -> Answer {
    Answer { guest, ok: false, answer: None, error: Some(fault.into()) }
}

async fn say(context: Context, request: Say) -> Result<Vec<Said>, Fault> {
    let Say { target, word, args } = request;
    let args = arguments(&context, args)?;
    let said = context.handle.say(&target, &word, &args).await?;
    let told = |(guest, said): (String, Result<(), Fault>)| Said {
        guest,
        ok: said.is_ok(),
        error: said.err().map(Failure::from),
    };
    Ok(said.into_iter().map(told).collect())
}

async fn info(context: Context, request: Info) -> Result<Word, Fault> {
    context.lexicon.word(&request.word).map(word).ok_or_else(|| no_such_word(&request.word))
}

async fn list(context: Context, _: List) -> Result<Vec<Word>, Fault> {
    Ok(context.lexicon.words().into_iter().map(word).collect())
}

fn word(word: WordInfo) -> Word {
    let (state, reason) = match word.state {
        WordState::Ready => (State::Ready, None),
        WordState::Retrying { reason, .. } => (State::Retrying, Some(reason)),
        WordState::Quarantined { reason, .. } => (State::Quarantined, Some(reason)),
    };
    Word {
        word: word.name,
        version: word.version,
        summary: word.summary,
        source: word.source.to_string(),
        contract: word.contract,
        sha256: word.sha256,
        imports: word.imports,
        grants: word.grants.into_iter().collect(),
        binds: word.on,
        parameters: Any(json_value(schema(&word.parameters))),
        reply: Any(json_value(schema(&word.reply))),
        calls: word.calls,
        traps: word.traps,
        state,
        reason,
    }
}

async fn install(context: Context, request: Install) -> Result<Installed, Fault> {
    let Install { word, component, replace } = request;
    let (WordInfo { name, version, sha256, .. }, changed) =
        context.installed_words.install(&word, component.0, replace).await?;
    Ok(Installed { word: name, version, sha256, changed })
}

async fn remove(context: Context, request: Remove) -> Result<Removed, Fault> {
    context.installed_words.remove(&request.word).await?;
    Ok(Removed { changed: true })
}

async fn reload(context: Context, _: Reload) -> Result<Reloaded, Fault> {
    let Changes { events, problems } = context.lexicon.reload_dirs().await;
    Ok(Reloaded {
        changes: events.iter().map(ToString::to_string).collect(),
        problems: problems.iter().map(ToString::to_string).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_for_which_there_is_no_room_is_told_as_such_and_others_are_there() {
        let asked = |guest: &str, length| GuestReply {
            guest: guest.to_owned(),
            answer: Ok(serde_json::json!({"text": "x".repeat(length)})),
        };
        let mut left = 3000;
        let told = [("vm1", 1000), ("vm2", 1000), ("vm3", 100)]
            .map(|(guest, length)| within(&mut left, asked(guest, length)));
        assert_eq!(told.each_ref().map(|answer| answer.ok), [true, false, true], "{told:?}");
        assert_eq!(told[1].guest, "vm2");
        let text = "the answers of all guests exceed 33554432 bytes; ask vm2 alone";
        assert_eq!(told[1].error.as_ref().unwrap().message, text);
    }
}
