//! A component that has been looked at: compiled, its imports listed, described by itself with nothing
//! within reach. Whether it may be used is for the policy to say.
//!
//! What was found is kept beside the compiled code. Of a component that is part of the program the code can then be
//! loaded when it is first called: a word that nobody says takes no memory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::OnceCell;
use wasmtime::component::Component as Compiled;
use wasmtime::component::types::ComponentItem;

use super::Engine;
use super::call::{Call, Fault, Scope};
use crate::capabilities::{Caller, Capabilities, Level};
use crate::contract::bindings::FullPre;
use crate::contract::{ALWAYS_GRANTED, CONTRACT, Description, Import, Message, Refusal, Role, WORD};
use crate::error::LoadError;
use crate::listen_rules::ListenRules;
use crate::policy::Limits;
use crate::token;

/// How a description may be: these go into help texts and tables.
const MAX_TEXT: usize = 200;
/// A schema is read by every client.
const MAX_SCHEMA: usize = 64 << 10;
/// Events that one word may be bound to.
const MAX_EVENTS: usize = 32;

/// A component, not looked at yet.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) sha256: String,
    pub(crate) bytes: Bytes,
    /// Whether the bytes are part of the program: then they are there at any time.
    pub(crate) built_in: bool,
}

/// A sound component that is a word.
pub(crate) struct WordComponent {
    /// What is run, once it is loaded.
    code: OnceCell<FullPre<Call>>,
    /// What it is loaded from; nothing if it is loaded from the beginning.
    bytes: Bytes,
    pub(crate) sha256: String,
    /// The version of the contract it was built with.
    pub(crate) contract: String,
    /// The interfaces it imports, by their full names; those without functions do not count.
    pub(crate) imports: Vec<String>,
    pub(crate) about: About,
    pub(crate) listen_rules: ListenRules,
    /// Whether it is part of the program, wherever it was found this time.
    pub(crate) built_in: bool,
}

/// What was found when a component was examined: everything about it but its code.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Findings {
    contract: String,
    imports: Vec<String>,
    about: About,
}

/// What a word tells about itself, checked.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) version: String,
    pub(crate) on: Vec<String>,
    pub(crate) parameters: Value,
    pub(crate) reply: Value,
}

impl WordComponent {
    /// Compiles and examines a component, or remembers what was found when that was done before.
    pub(crate) async fn examine(engine: &Engine, content: Content) -> Result<Self, LoadError> {
        let Content { sha256, bytes, built_in } = content;
        let later = built_in && engine.is_lazy();
        let known = findings(engine, &sha256, bytes.clone()).await?;
        let (findings, code) = match known {
            Some(findings) if later => (findings, None),
            Some(findings) => {
                (findings, Some(linked(engine, &compiled(engine, &sha256, bytes.clone()).await?)?))
            }
            None => {
                let Examined { findings, code, .. } = examine(engine, &sha256, bytes.clone()).await?;
                let kept = keep(engine, &sha256, &findings).await?;
                (findings, Some(code).filter(|_| !(later && kept)))
            }
        };
        // What it can be loaded from later is needed only if it is.
        let bytes = if code.is_some() { Bytes::new() } else { bytes };
        let Findings { contract, imports, about } = findings;
        // It was found sound when the word was examined.
        let listen_rules = ListenRules::of(&about.parameters).unwrap_or_default();
        Ok(Self {
            code: OnceCell::new_with(code),
            bytes,
            sha256,
            contract,
            imports,
            about,
            listen_rules,
            built_in,
        })
    }

    /// Its code, loaded if it was not yet.
    async fn code(&self, engine: &Engine) -> Result<&FullPre<Call>, Fault> {
        let load = async || linked(engine, &compiled(engine, &self.sha256, self.bytes.clone()).await?);
        self.code.get_or_try_init(load).await.map_err(|error| Fault::NotLoaded(error.to_string()))
    }

    /// The short names of the interfaces of the contract that it imports.
    pub(crate) fn interfaces(&self) -> BTreeSet<&str> {
        let interface = |name| match Import::of(name) {
            Import::Contract(interface) => Some(interface),
            Import::Inert | Import::Foreign => None,
        };
        self.imports.iter().map(String::as_str).filter_map(interface).collect()
    }

    /// Those of them that have to be granted, on an agent with these interfaces.
    pub(crate) fn needs<'a>(&'a self, here: &[&str]) -> impl Iterator<Item = &'a str> {
        let needs = |interface: &&str| here.contains(interface) && !ALWAYS_GRANTED.contains(interface);
        self.interfaces().into_iter().filter(needs)
    }

    /// One call, one instance: builds a message.
    #[allow(clippy::ptr_arg, reason = "the generated function takes no less")]
    pub(crate) async fn say(
        &self,
        engine: &Engine,
        scope: Scope,
        limits: &Limits,
        args: &String,
    ) -> Result<Result<Message, Refusal>, Fault> {
        let code = self.code(engine).await?;
        let (mut store, guard) = Call::store(engine, scope, limits);
        let work = async {
            let word = code.instantiate_async(&mut store).await?;
            word.vocable_word_word().call_say(&mut store, args).await
        };
        guard.guard(engine, limits, work).await
    }

    /// One call, one instance: acts on a message.
    pub(crate) async fn listen(
        &self,
        engine: &Engine,
        scope: Scope,
        limits: &Limits,
        heard: &Message,
    ) -> Result<Result<Option<String>, Refusal>, Fault> {
        let code = self.code(engine).await?;
        let (mut store, guard) = Call::store(engine, scope, limits);
        let work = async {
            let word = code.instantiate_async(&mut store).await?;
            word.vocable_word_word().call_listen(&mut store, heard).await
        };
        guard.guard(engine, limits, work).await
    }
}

/// A component that was examined here and now.
pub(crate) struct Examined {
    pub(crate) compiled: Compiled,
    pub(crate) findings: Findings,
    code: FullPre<Call>,
}

/// Compiles and examines a component in this process.
pub(crate) async fn examine(engine: &Engine, sha256: &str, bytes: Bytes) -> Result<Examined, LoadError> {
    let compiled = compiled(engine, sha256, bytes).await?;
    let contract = contract(engine, &compiled)?;
    let imports = imports(engine, &compiled);
    require_known(&imports)?;
    let code = linked(engine, &compiled)?;
    let about = About::check(describe(engine, &code).await?)?;
    Ok(Examined { compiled, findings: Findings { contract, imports, about }, code })
}

/// What was found when it was examined before, or has just been found by the process that compiles, if there is one.
async fn findings(engine: &Engine, sha256: &str, bytes: Bytes) -> Result<Option<Findings>, LoadError> {
    let (engine, sha256) = (engine.clone(), sha256.to_owned());
    blocking(move || match engine.findings(&sha256) {
        Some(findings) => Ok(Some(findings)),
        None => {
            require_component(&bytes)?;
            engine.examine_elsewhere(&sha256, &bytes).map_err(LoadError::Invalid)
        }
    })
    .await
}

/// Keeps them for the next time. Whether they are kept.
async fn keep(engine: &Engine, sha256: &str, findings: &Findings) -> Result<bool, LoadError> {
    let (engine, sha256, findings) = (engine.clone(), sha256.to_owned(), findings.clone());
    blocking(move || Ok(engine.keep_findings(&sha256, &findings))).await
}

/// Compiles it, or takes it from where compiled words are kept.
async fn compiled(engine: &Engine, sha256: &str, bytes: Bytes) -> Result<Compiled, LoadError> {
    let (engine, sha256) = (engine.clone(), sha256.to_owned());
    blocking(move || match engine.compiled(&sha256) {
        Some(compiled) => Ok(compiled),
        None => {
            require_component(&bytes)?;
            engine.compile(&sha256, &bytes).map_err(LoadError::Invalid)
        }
    })
    .await
}

fn linked(engine: &Engine, compiled: &Compiled) -> Result<FullPre<Call>, LoadError> {
    let missing = |error: wasmtime::Error| LoadError::Missing(format!("{error:#}"));
    FullPre::new(engine.linker().instantiate_pre(compiled).map_err(missing)?).map_err(missing)
}

/// Does what takes its time where that is no matter.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(LoadError::Invalid(e.to_string())))
}

/// WebAssembly's own errors about these are hard to read.
fn require_component(bytes: &[u8]) -> Result<(), LoadError> {
    match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => Ok(()),
        Some(b"\0asm\x01\0\0\0") => Err(LoadError::CoreModule),
        _ => Err(LoadError::NotWasm),
    }
}

/// The version of the contract: the export tells, for a word need not import anything.
fn contract(engine: &Engine, compiled: &Compiled) -> Result<String, LoadError> {
    let ty = compiled.component_type();
    let version = ty.exports(engine.wasm()).find_map(|(name, _)| {
        let rest = name.strip_prefix(WORD)?;
        if rest.is_empty() { Some("no version") } else { rest.strip_prefix('@') }.map(str::to_owned)
    });
    let theirs = version.ok_or(LoadError::NoWord)?;
    if compatible(&theirs) { Ok(theirs) } else { Err(LoadError::OtherContract { theirs }) }
}

/// Before 1.0 the minor version has to be the same, after that the major one.
fn compatible(theirs: &str) -> bool {
    let significant = |version: &str| {
        let mut parts = version.split('.').map(str::to_owned);
        let major = parts.next().unwrap_or_default();
        let minor = if major == "0" { parts.next() } else { None };
        (major, minor)
    };
    !theirs.contains('-') && significant(theirs) == significant(CONTRACT)
}

/// Interfaces with at least one function: some share types only.
fn imports(engine: &Engine, compiled: &Compiled) -> Vec<String> {
    let ty = compiled.component_type();
    let does_something = |item: &ComponentItem| match item {
        ComponentItem::ComponentInstance(interface) => interface
            .exports(engine.wasm())
            .any(|(_, export)| matches!(export.ty, ComponentItem::ComponentFunc(_))),
        _ => true,
    };
    let imports = ty.imports(engine.wasm()).filter(|(_, import)| does_something(&import.ty));
    imports.map(|(name, _)| name.to_owned()).collect()
}

fn require_known(imports: &[String]) -> Result<(), LoadError> {
    let foreign: Vec<_> =
        imports.iter().filter(|name| Import::of(name) == Import::Foreign).cloned().collect();
    if foreign.is_empty() { Ok(()) } else { Err(LoadError::Foreign { imports: foreign }) }
}

/// Asks the component what it is. It can reach nothing, and has little time and room for it.
async fn describe(engine: &Engine, pre: &FullPre<Call>) -> Result<Description, LoadError> {
    let limits = Limits {
        compute: Duration::from_millis(500),
        wall: Duration::from_secs(5),
        log: 4 << 10,
        messages: 0,
        jobs: 0,
        ..Limits::default()
    };
    let scope = Scope {
        word: "?".into(),
        agent: Arc::new(NoAgent),
        reach: Arc::new(ALWAYS_GRANTED.map(str::to_owned).into()),
        known: Arc::default(),
        folders: Arc::default(),
        sender: None,
    };
    let (mut store, guard) = Call::store(engine, scope, &limits);
    let work = async {
        let word = pre.instantiate_async(&mut store).await?;
        word.vocable_word_word().call_describe(&mut store).await
    };
    guard.guard(engine, &limits, work).await.map_err(|fault| LoadError::Describe(fault.to_string()))
}

/// The agent of a component that has not been let in: it can do nothing, and does not even log.
struct NoAgent;

impl Capabilities for NoAgent {
    fn role(&self) -> Role {
        Role::Guest
    }

    fn id(&self) -> String {
        String::new()
    }

    fn ip(&self) -> String {
        String::new()
    }

    fn log(&self, _: Caller<'_>, _: Level, _: &str) {}
}

impl About {
    fn check(description: Description) -> Result<Self, LoadError> {
        let Description { name, summary, version, on, parameters, reply } = description;
        let bad = |what: String| Err(LoadError::BadDescription(what));
        if !token::is_word_name(&name) {
            let name = token::printable(name.as_bytes());
            return bad(format!("its name, {name:?}, is not one: A-Z, then up to 31 of A-Z 0-9 _ -"));
        }
        for (what, text) in [("summary", &summary), ("version", &version)] {
            if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
                return bad(format!("{name}: its {what} is not one line of at most {MAX_TEXT} bytes"));
            }
        }
        if on.len() > MAX_EVENTS || on.iter().any(|event| event.len() > MAX_TEXT) {
            return bad(format!("{name}: it names more than {MAX_EVENTS} events, or very long ones"));
        }
        let parameters = schema(&name, "parameters", &parameters)?;
        ListenRules::of(&parameters)
            .map_err(|why| LoadError::BadDescription(format!("{name}: parameters: {why}")))?;
        let reply = schema(&name, "reply", &reply)?;
        Ok(Self { name, summary, version, on, parameters, reply })
    }
}

fn schema(word: &str, what: &str, text: &str) -> Result<Value, LoadError> {
    let bad = |why: String| LoadError::BadDescription(format!("{word}: {what}: not a JSON Schema: {why}"));
    if text.len() > MAX_SCHEMA {
        return Err(bad(format!("more than {MAX_SCHEMA} bytes")));
    }
    match serde_json::from_str(text).map_err(|e| bad(e.to_string()))? {
        schema @ (Value::Object(_) | Value::Bool(_)) => Ok(schema),
        _ => Err(bad("neither an object nor a boolean".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        Description {
            name: "DF".into(),
            summary: "Tells".into(),
            version: "1.0.0".into(),
            on: vec![],
            parameters: "{}".into(),
            reply: "true".into(),
        }
    }

    #[test]
    fn patches_are_compatible_and_nothing_else_before_1_0() {
        assert!(compatible("0.1.0") && compatible("0.1.9"));
        for other in ["0.2.0", "1.1.0", "0.1.0-rc.1", "0", "", "no version"] {
            assert!(!compatible(other), "{other}");
        }
    }

    #[test]
    fn what_is_not_a_component_is_told_what_it_is() {
        assert_eq!(require_component(b"\0asm\x01\0\0\0..."), Err(LoadError::CoreModule));
        assert_eq!(require_component(b"#!/bin/sh\n"), Err(LoadError::NotWasm));
        assert_eq!(require_component(b"\0asm"), Err(LoadError::NotWasm));
    }

    #[test]
    fn a_good_description_is_taken_as_it_is() {
        let about = About::check(description()).unwrap();
        assert_eq!((about.name.as_str(), about.reply), ("DF", Value::Bool(true)));
    }

    #[test]
    fn a_bad_description_is_told_what_is_bad() {
        let bad = [
            (Description { name: "d f\u{1b}".into(), ..description() }, "its name, \"d f"),
            (Description { summary: "one\ntwo".into(), ..description() }, "DF: its summary is not one line"),
            (
                Description { on: vec![String::new(); 33], ..description() },
                "DF: it names more than 32 events",
            ),
            (
                Description { parameters: "{".into(), ..description() },
                "DF: parameters: not a JSON Schema: EOF",
            ),
            (Description { reply: "[]".into(), ..description() }, "DF: reply: not a JSON Schema: neither"),
            (
                Description { parameters: r#"{"x-heard": {"at": "moon"}}"#.into(), ..description() },
                "DF: parameters: x-heard: at is neither",
            ),
        ];
        for (description, expected) in bad {
            let error = About::check(description).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains('\u{1b}'), "{error}");
        }
    }
}
