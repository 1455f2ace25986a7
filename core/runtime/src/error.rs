//! What can go wrong with a word: at load ([`Problem`]), when it is called ([`WordError`]). Messages are
//! for people and name the word and, at load, the file; slugs are for programs, and stay.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::contract::{CONTRACT, Refusal};
use crate::json::JsonError;

/// Where a component came from.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum WordSource {
    /// The agent itself.
    BuiltIn,
    /// A file in one of the directories.
    File(PathBuf),
}

impl fmt::Display for WordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// A component, or a whole directory, that could not be loaded. Never fatal: the other words go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{source}: {error}", source = .origin)]
pub struct Problem {
    /// What could not be loaded.
    pub origin: WordSource,
    /// Why not.
    pub error: LoadError,
}

/// Why a component is not in the lexicon.
#[expect(missing_docs, reason = "their messages say it")]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LoadError {
    #[error("describes itself badly: {0}")]
    BadDescription(String),
    #[error("a core module, not a component: build with --target wasm32-wasip2")]
    CoreModule,
    #[error("cannot describe itself: {0}")]
    Describe(String),
    #[error("word {word} is in {first} already; one of the two has to go")]
    Duplicate { word: String, first: WordSource },
    #[error(
        "imports {}, which no word gets; leave it out (componentize-js: disableFeatures, componentize-py: --stub-wasi)",
        imports.join(", ")
    )]
    Foreign { imports: Vec<String> },
    #[error("not a sound component: {0}")]
    Invalid(String),
    #[error("is written for a later vocable:word than the {CONTRACT} of this agent: {0}")]
    Missing(String),
    #[error("a component, but no word: it does not export vocable:word/word")]
    NoWord,
    #[error(
        "word {word} imports {}, which [words.{word}] grants does not allow; if it may, write there: grants = {}",
        names(interfaces),
        array(needs)
    )]
    NotGranted { word: String, interfaces: Vec<String>, needs: Vec<String> },
    #[error("not WebAssembly")]
    NotWasm,
    #[error("is written for vocable:word@{theirs}; this agent speaks {CONTRACT}")]
    OtherContract { theirs: String },
    #[error("has more than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

impl LoadError {
    /// Whether a file that is still being written could look like that.
    pub(crate) fn may_be_unfinished(&self) -> bool {
        matches!(self, Self::Invalid(_) | Self::NoWord | Self::NotWasm | Self::Unreadable(_))
    }
}

fn names(interfaces: &[String]) -> String {
    interfaces.iter().map(|name| format!("vocable:word/{name}")).collect::<Vec<_>>().join(", ")
}

/// As an array in a configuration.
fn array(interfaces: &[String]) -> String {
    let quoted: Vec<_> = interfaces.iter().map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

/// Why a call of a word gave nothing.
#[expect(missing_docs, reason = "their messages say it")]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WordError {
    #[error("word {word} computed for more than {limit:?}")]
    Computed { word: String, limit: Duration },
    #[error("the answer of word {word} {problem}")]
    BadAnswer { word: String, problem: JsonError },
    #[error("word {word} cannot be loaded any more: {reason}")]
    NotLoaded { word: String, reason: String },
    #[error("word {word} rests for {} s more: {reason}", whole_seconds(*remaining))]
    Quarantined { word: String, remaining: Duration, reason: String },
    #[error("word {word}, {}: {}", refusal.slug(), refusal.text())]
    Refused { word: String, refusal: Refusal },
    /// It took longer than it may, waiting included.
    #[error("word {word} took longer than {limit:?}")]
    TooLong { word: String, limit: Duration },
    #[error("word {word}: {what} has {bytes} bytes; the limit is {limit}")]
    TooLarge {
        word: String,
        /// What is too large: `what it is to say`, `what it says`, `its answer`, `header env`.
        what: String,
        bytes: usize,
        limit: usize,
    },
    #[error("word {word} trapped: {message}")]
    Trapped { word: String, message: String },
    #[error("word {word}: {reason}")]
    Unfit {
        word: String,
        /// The kind: `too-large` or `invalid`.
        kind: &'static str,
        reason: String,
    },
    #[error("no word {word} is known here")]
    Unknown { word: String },
}

/// Seconds, rounded up: after them it is over.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl WordError {
    /// The kind, as it goes over the bus in the header `refusal`.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Computed { .. } | Self::TooLong { .. } => "too-long",
            Self::BadAnswer { problem, .. } => problem.slug(),
            Self::NotLoaded { .. } => "not-loaded",
            Self::Quarantined { .. } => "quarantined",
            Self::Refused { refusal, .. } => refusal.slug(),
            Self::TooLarge { .. } => "too-large",
            Self::Trapped { .. } => "trapped",
            Self::Unfit { kind, .. } => kind,
            Self::Unknown { .. } => "unknown-word",
        }
    }
}
