//! The methods callers have, by family: each takes its parameters apart, asks the agent, and puts the answer together.
//! Nothing is decided here.
//!
//! The list changes while the agent runs: every word that answers is a method `word.<NAME>`.

use crate::agent::handle::Handle;
use crate::endpoint::http::{Methods, Sample};
use crate::words::InstalledWords;
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use vocable_api::description::MethodInfo;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::{AnyStruct, Method as ApiMethod};
use vocable_runtime::Lexicon;
use vocable_xmlrpc::{Params, Value, to_value};

mod agent;
mod cmd;
mod control;
#[cfg(test)]
mod example;
mod file;
mod guest;
mod job;
mod legacy;
mod live;
mod samples;
mod vm;
mod word;

pub(crate) use cmd::shown as shown_command;
pub(crate) use legacy::Fetched;
pub(crate) use live::router as live_events;

/// How long the agent's task may take to show that it works.
const WELL_WITHIN: Duration = Duration::from_secs(2);

/// What a word may add to what callers give it, bytes of a message.
const OVERHEAD: usize = 4096;

#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) handle: Handle,
    pub(crate) lexicon: Lexicon,
    /// The longest a call waits: some clients give up after half a minute.
    pub(crate) longest_wait: Duration,
    /// What does not change while the agent runs.
    pub(crate) about: Arc<About>,
    /// Who may log in at the broker.
    pub(crate) credentials: crate::credentials::Credentials,
    /// What the body of a message may have, bytes.
    pub(crate) max_message: usize,
    /// Words that are installed over the API.
    pub(crate) installed_words: InstalledWords,
    /// Jobs.
    pub(crate) jobs: crate::jobs::Jobs,
    /// Results that were fetched under the legacy name.
    pub(crate) fetched: Arc<Mutex<Fetched>>,
    /// Cancelled when a caller wants the agent to stop.
    pub(crate) quit: CancellationToken,
    pub(crate) files: crate::files::Files,
    /// The copies that the agent makes by itself.
    pub(crate) transfers: crate::files::transfers::Transfers,
    pub(crate) machines: crate::machines::service::Machines,
}

/// What does not change while the agent runs.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) broker: Vec<String>,
    pub(crate) started: OffsetDateTime,
}

type Call = Box<dyn Fn(Context, Params) -> BoxFuture<'static, Result<Value, Fault>> + Send + Sync>;

/// One method: what it is, and what carries it out.
struct Entry {
    info: MethodInfo,
    call: Call,
}

/// The method that a function carries out.
fn method<M, F, R>(function: F) -> Entry
where
    M: ApiMethod,
    F: Fn(Context, M) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = Result<M::Reply, Fault>> + Send,
{
    let call = move |context, params| async move {
        let request = vocable_api::method::read::<M>(params)?;
        reply(M::NAME, &function(context, request).await?)
    };
    Entry {
        info: MethodInfo::of::<M>(),
        call: Box::new(move |context, params| Box::pin(call(context, params))),
    }
}

fn reply(method: &str, reply: &impl Serialize) -> Result<Value, Fault> {
    to_value(reply).map_err(|error| {
        let text = format!("{method}: the reply cannot be written: {error}");
        Fault::new(FaultKind::Internal, text)
    })
}

/// All methods that do not come from words, by name.
static METHODS: LazyLock<BTreeMap<Cow<'static, str>, Entry>> = LazyLock::new(|| {
    let families = [
        agent::methods(),
        cmd::methods(),
        control::methods(),
        file::methods(),
        guest::methods(),
        job::methods(),
        legacy::methods(),
        vm::methods(),
        word::methods(),
    ];
    let entries = families.into_iter().flatten();
    entries.map(|entry| (entry.info.name.clone(), entry)).collect()
});

/// The methods as the endpoint sees them.
pub(crate) struct Api {
    context: Context,
}

impl Api {
    pub(crate) const fn new(context: Context) -> Self {
        Self { context }
    }
}

impl Methods for Api {
    fn call(&self, method: String, params: Params) -> BoxFuture<'_, Result<Value, Fault>> {
        let context = self.context.clone();
        Box::pin(async move {
            if let Some(found) = METHODS.get(method.as_str()) {
                return (found.call)(context, params).await;
            }
            match method.strip_prefix("word.").filter(|word| word::is_word_method(&context, word)) {
                Some(word) => reply(&method, &word::ask_by_name(context, word, params).await?),
                None => Err(Fault::no_such_method(&method)),
            }
        })
    }

    fn is_well(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { matches!(timeout(WELL_WITHIN, self.context.handle.roster()).await, Ok(Ok(_))) })
    }

    fn samples(&self) -> BoxFuture<'_, Vec<Sample>> {
        Box::pin(samples::samples(&self.context))
    }

    fn list(&self) -> Vec<MethodInfo> {
        METHODS.values().map(|entry| entry.info.clone()).chain(word::word_methods(&self.context)).collect()
    }

    fn describe(&self, name: &str) -> Option<Cow<'static, MethodInfo>> {
        let fixed = METHODS.get(name).map(|entry| Cow::Borrowed(&entry.info));
        fixed.or_else(|| word::word_method(&self.context, name.strip_prefix("word.")?).map(Cow::Owned))
    }
}

/// How long a call may wait that may wait for `seconds`, within what is allowed.
fn answer_within(context: &Context, seconds: f64) -> Duration {
    let wanted = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(context.longest_wait);
    wanted.min(context.longest_wait)
}

/// When such a call has to answer.
fn deadline(context: &Context, seconds: f64) -> Instant {
    Instant::now() + answer_within(context, seconds)
}

/// JSON as a value; numbers beyond 32 bits as doubles, null members left out. What no document could carry is marked:
/// an odd value of one guest does not fail the answer about all.
pub(crate) fn json_value(json: serde_json::Value) -> Value {
    let json = crate::shape::bounded(json, crate::shape::Bounds::SHOWN);
    if json.is_null() { Value::from("null") } else { vocable_xmlrpc::shown_json(json) }
}

/// JSON of others as the struct it is.
fn json_struct(members: serde_json::Map<String, serde_json::Value>) -> AnyStruct {
    match json_value(members.into()) {
        Value::Struct(members) => AnyStruct(members),
        other => AnyStruct([("omitted".to_owned(), other)].into()),
    }
}

/// Refuses what would not fit a message, before any word is asked to make one of it. A word adds names and an id.
fn fit_a_message(context: &Context, what: &str, content: &impl Serialize) -> Result<(), Fault> {
    let most = context.max_message.saturating_sub(OVERHEAD);
    let mut length = Length(0);
    // What cannot be serialised cannot be said either; whoever says it tells why.
    let _ = serde_json::to_writer(&mut length, content);
    if length.0 <= most {
        return Ok(());
    }
    let text = format!(
        "{what}: what is to be said has {} bytes of {most} at most; send a file instead (broker.max_frame is {})",
        length.0, context.max_message
    );
    Err(Fault::new(FaultKind::TooBig, text))
}

struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::http::SYSTEM;
    use vocable_api::description::{document, schema};

    fn all() -> Vec<MethodInfo> {
        let mut all: Vec<_> =
            METHODS.values().map(|entry| entry.info.clone()).chain(SYSTEM.clone()).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    #[test]
    fn docs_are_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
        let page = document::page(&all());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        let differs = kept.lines().zip(page.lines()).find(|(kept, now)| kept != now);
        assert!(kept == page, "docs/api.md is not current, run this test with UPDATE_DOCS=1: {differs:?}");
    }

    #[test]
    fn every_method_is_described_for_all_readers() {
        let all = all();
        for method in &all {
            assert!(method.help.ends_with('.'), "{}: {}", method.name, method.help);
            for param in &method.params {
                let help = schema::description(&param.schema);
                assert!(!help.ends_with('.') && !help.is_empty(), "{} {}", method.name, param.name);
            }
            for (name, member) in schema::members(&method.returns.schema).into_iter().flatten() {
                let help = schema::description(member);
                assert!(!help.ends_with('.') && !help.is_empty(), "{} returns {name}", method.name);
            }
            let needed =
                method.params.iter().position(|param| !param.required).unwrap_or(method.params.len());
            assert!(method.params.iter().skip(needed).all(|param| !param.required), "{}", method.name);
            // Some clients take text as Latin-1.
            assert!(method.text().is_ascii(), "{}", method.text());
        }
        let named = all.windows(2).find(|pair| pair[0].name == pair[1].name);
        assert!(named.is_none(), "{named:?}");
    }
}
