//! Name → word, for one agent: calls words, and is kept current. Knows no word by name, and nothing of
//! how messages travel.

mod events;
mod health;
mod loader;
mod sources;
mod table;
mod watch;
mod word;

pub use self::events::{Events, LexiconEvent};
pub use self::health::WordState;
pub use self::sources::BuiltIn;
pub use self::watch::Watching;
pub use self::word::WordInfo;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, broadcast};

use self::health::Account;
use self::loader::Loader;
use self::sources::Sources;
use self::table::Table;
use self::word::Word;
use crate::capabilities::{Capabilities, interfaces};
use crate::contract::{Message, RUNTIMES_OWN, Refusal};
use crate::engine::{Engine, Fault, Scope};
use crate::error::{Problem, WordError};
use crate::intake;
use crate::json::{JsonBounds, JsonError, check_json};
use crate::policy::Policies;

/// Events that a slow reader may be behind before it misses some.
const EVENTS_KEPT: usize = 256;

/// Bytes that the body of a message may have, until the agent says otherwise.
const DEFAULT_MESSAGE_LIMIT: usize = 1 << 20;
/// Bytes of a header line, as it is sent: brokers take no more.
const MAX_HEADER_LINE: usize = 8 << 10;
/// Headers of what a word says. Brokers take a hundred of a message, and the core and they add their own.
const MAX_HEADERS: usize = 80;

/// The words of an agent. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Lexicon {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    agent: Arc<dyn Capabilities>,
    table: ArcSwap<Table>,
    dirs: Vec<PathBuf>,
    loader: Mutex<Loader>,
    /// Bytes that the body of a message may have.
    message_limit: AtomicUsize,
    events: broadcast::Sender<LexiconEvent>,
}

/// What a reload has brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// What happened, the same as the events.
    pub events: Vec<LexiconEvent>,
    /// Everything that could not be loaded, whether new or not.
    pub problems: Vec<Problem>,
}

impl Lexicon {
    /// Loads what is built in and what is in the directories: later ones
    /// win over earlier ones, and all over what is built in. A directory need not be there (yet). What
    /// cannot be loaded is told, and the rest goes on without.
    pub async fn open(
        engine: Engine,
        agent: Arc<dyn Capabilities>,
        policies: Policies,
        built_in: &[BuiltIn],
        dirs: Vec<PathBuf>,
    ) -> (Self, Vec<Problem>) {
        let dirs: Vec<_> = dirs.into_iter().map(|dir| std::path::absolute(&dir).unwrap_or(dir)).collect();
        let sources = Sources::new(built_in, dirs.clone());
        let here = interfaces(&*agent).into_iter().chain(RUNTIMES_OWN).collect();
        let loader = Loader::new(engine.clone(), here, sources, policies);
        let inner = Inner {
            engine,
            agent,
            table: ArcSwap::default(),
            dirs,
            loader: Mutex::new(loader),
            message_limit: AtomicUsize::new(DEFAULT_MESSAGE_LIMIT),
            events: broadcast::channel(EVENTS_KEPT).0,
        };
        let lexicon = Self { inner: Arc::new(inner) };
        let problems = lexicon.reload_dirs().await.problems;
        (lexicon, problems)
    }

    /// All words, in the order of their names.
    pub fn words(&self) -> Vec<WordInfo> {
        self.inner.table.load().words().map(|word| word.info()).collect()
    }

    /// One word.
    pub fn word(&self, name: &str) -> Option<WordInfo> {
        self.inner.table.load().get(name).map(|word| word.info())
    }

    /// Whether a word is known.
    pub fn knows(&self, name: &str) -> bool {
        self.inner.table.load().get(name).is_some()
    }

    /// Names and versions, in the order of the names.
    pub fn known(&self) -> Arc<Vec<(String, String)>> {
        self.inner.table.load().known.clone()
    }

    /// The names of the words that are said on an event, in their order.
    pub fn bound_to(&self, event: &str) -> Vec<String> {
        let table = self.inner.table.load();
        let bound = table.words().filter(|word| word.on().iter().any(|on| on == event));
        bound.map(|word| word.name().to_string()).collect()
    }

    /// Sets how many bytes the body of a message may have: what the broker takes. What a word says or answers beyond that
    /// is refused, and so are longer arguments. One mebibyte until then.
    pub fn limit_messages(&self, bytes: usize) {
        self.inner.message_limit.store(bytes, Ordering::Relaxed);
    }

    /// Lets a word build a message from arguments, which are JSON text.
    pub async fn say(&self, word: &str, args: String) -> Result<Message, WordError> {
        let word = self.find(word)?;
        self.require_fit_arguments(&word, &args)?;
        let account = Account::Arguments(digest(&args));
        let scope = self.admit(&word, account)?;
        let _permit = self.inner.engine.permit().await;
        let outcome = word.component.say(&self.inner.engine, scope, &word.policy.limits, &args).await;
        let said = self.record(&word, account, outcome)?;
        self.require_sendable(word.name(), &said)?;
        Ok(said)
    }

    /// Whether a broker takes what is said. A longer message is refused here, where it is known which word it is: a broker
    /// would end the connection. What the words of this lexicon say has passed already.
    pub fn require_sendable(&self, word: &str, said: &Message) -> Result<(), WordError> {
        require_size(word, "what it says", word.len() + 1 + said.body.len(), self.message_limit())?;
        if said.headers.len() > MAX_HEADERS {
            return Err(unfit(
                word,
                "too-large",
                format!("what it says has more than {MAX_HEADERS} headers"),
            ));
        }
        said.headers.iter().try_for_each(|(name, value)| {
            let shown: String = name.chars().take(40).filter(|c| !c.is_control()).collect();
            require_size(
                word,
                &format!("header {shown}"),
                1 + escaped(name) + escaped(value),
                MAX_HEADER_LINE,
            )
        })
    }

    /// Lets a word act on a message, if it listens at this end at all, and if the message is within bounds. `sender` is who
    /// the broker says has sent it. A value is the answer: JSON text.
    pub async fn listen(
        &self,
        word: &str,
        message: &Message,
        sender: Option<&str>,
    ) -> Result<Option<String>, WordError> {
        let word = self.find(word)?;
        self.require_fit_message(&word, message)?;
        let account = Account::Sender(sender);
        let scope = self.admit(&word, account)?;
        let _permit = self.inner.engine.permit().await;
        let outcome = word.component.listen(&self.inner.engine, scope, &word.policy.limits, message).await;
        let answer = self.record(&word, account, outcome)?;
        answer.map(|text| self.require_fit_answer(&word, text)).transpose()
    }

    /// Lets every word that is bound to an event say what it has to say; `facts` is the JSON text of an
    /// object. One after the other, in the order of their names.
    pub async fn raise(&self, event: &str, facts: String) -> Vec<(String, Result<Message, WordError>)> {
        let mut said = Vec::new();
        for word in self.bound_to(event) {
            let message = self.say(&word, facts.clone()).await;
            said.push((word, message));
        }
        said
    }

    /// Puts other policies in force. Words come and go by that; calls under way end as they began.
    pub async fn set_policies(&self, policies: Policies) -> Changes {
        let mut loader = self.inner.loader.lock().await;
        loader.policies = policies;
        self.reload(&mut loader, false).await.0
    }

    /// Looks at the directories anew.
    pub async fn reload_dirs(&self) -> Changes {
        self.reload(&mut *self.inner.loader.lock().await, false).await.0
    }

    /// What could not be loaded when the directories were last looked at.
    pub async fn problems(&self) -> Vec<Problem> {
        self.inner.loader.lock().await.problems().to_vec()
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        Events(self.inner.events.subscribe())
    }

    /// Looks at the directories anew; a file that may be half written is let be. Tells whether there is
    /// one.
    pub(crate) async fn reload_settled(&self) -> bool {
        self.reload(&mut *self.inner.loader.lock().await, true).await.1
    }

    pub(crate) fn dirs(&self) -> &[PathBuf] {
        &self.inner.dirs
    }

    async fn reload(&self, loader: &mut Loader, lenient: bool) -> (Changes, bool) {
        let old = self.inner.table.load_full();
        let outcome = loader.load(&old, lenient).await;
        let mut events = outcome.table.changes_since(&old);
        events.extend(outcome.new_problems.into_iter().map(LexiconEvent::Refused));
        self.inner.table.store(Arc::new(outcome.table));
        events.iter().for_each(|event| self.publish(event.clone()));
        (Changes { events, problems: loader.problems().to_vec() }, outcome.unsettled)
    }

    fn find(&self, name: &str) -> Result<Arc<Word>, WordError> {
        let table = self.inner.table.load();
        table.get(name).cloned().ok_or_else(|| WordError::Unknown { word: name.to_owned() })
    }

    /// What the word can reach while it works on an account, if it may.
    fn admit(&self, word: &Word, account: Account<'_>) -> Result<Scope, WordError> {
        word.admit(account)?;
        let sender = match account {
            Account::Arguments(_) => None,
            Account::Sender(sender) => sender.map(str::to_owned),
        };
        Ok(Scope {
            word: word.name().clone(),
            agent: self.inner.agent.clone(),
            reach: word.reach.clone(),
            known: self.known(),
            folders: word.folders.clone(),
            sender,
        })
    }

    /// Arguments that could not be sent anyway, or that would cost the word its memory, are the caller's mistake.
    fn require_fit_arguments(&self, word: &Word, args: &str) -> Result<(), WordError> {
        require_size(word.name(), "what it is to say", args.len(), self.message_limit())?;
        match check_json(args.as_bytes(), &JsonBounds::for_memory(word.policy.limits.memory)) {
            // What is no JSON the word refuses in its own words.
            Ok(_) | Err(JsonError::Syntax { .. }) => Ok(()),
            Err(problem) => Err(unfit(word.name(), problem.slug(), format!("what it is to say {problem}"))),
        }
    }

    fn require_fit_message(&self, word: &Word, message: &Message) -> Result<(), WordError> {
        let rules = &word.component.listen_rules;
        if let Some(there) = rules.elsewhere(self.inner.agent.role()) {
            let refusal = Refusal::Denied(format!("{} listens on a {there} only", word.name()));
            return Err(WordError::Refused { word: word.name().to_string(), refusal });
        }
        let bounds = JsonBounds::for_memory(word.policy.limits.memory);
        intake::check(&message.headers, &message.body, rules.is_bytes(message), &bounds)
            .map_err(|error| unfit(word.name(), error.slug(), error.to_string()))
    }

    /// An answer has to be JSON that whoever asked can take and show.
    fn require_fit_answer(&self, word: &Word, text: String) -> Result<String, WordError> {
        require_size(word.name(), "its answer", word.name().len() + 1 + text.len(), self.message_limit())?;
        match check_json(text.as_bytes(), &JsonBounds::MESSAGE) {
            Ok(_) => Ok(text),
            Err(problem) => Err(WordError::BadAnswer { word: word.name().to_string(), problem }),
        }
    }

    fn message_limit(&self) -> usize {
        self.inner.message_limit.load(Ordering::Relaxed)
    }

    fn record<T>(
        &self,
        word: &Word,
        account: Account<'_>,
        outcome: Result<Result<T, Refusal>, Fault>,
    ) -> Result<T, WordError> {
        let (result, quarantine) = word.record(account, outcome);
        if let Some(reason) = quarantine {
            self.publish(LexiconEvent::Quarantined { name: word.name().to_string(), reason });
        }
        result
    }

    /// It is no matter if nobody listens.
    pub(crate) fn publish(&self, event: LexiconEvent) {
        let _ = self.inner.events.send(event);
    }
}

fn require_size(word: &str, what: &str, bytes: usize, limit: usize) -> Result<(), WordError> {
    if bytes <= limit {
        return Ok(());
    }
    Err(WordError::TooLarge { word: word.to_owned(), what: what.to_owned(), bytes, limit })
}

fn unfit(word: &str, kind: &'static str, reason: String) -> WordError {
    WordError::Unfit { word: word.to_owned(), kind, reason }
}

/// Tells arguments apart: the same again will do the same.
fn digest(args: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    args.hash(&mut hasher);
    hasher.finish()
}

/// Bytes of a part of a header as it is sent: some are written as two.
fn escaped(part: &str) -> usize {
    part.len() + part.bytes().filter(|byte| matches!(byte, b'\\' | b':' | b'\n' | b'\r')).count()
}
