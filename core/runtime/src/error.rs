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
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// Its description is not what the contract asks for.
    #[error("describes itself badly: {0}")]
    BadDescription(String),
    /// A module, from before there were components.
    #[error("a core module, not a component: build with --target wasm32-wasip2")]
    CoreModule,
    /// `describe` went wrong.
    #[error("cannot describe itself: {0}")]
    Describe(String),
    /// The directory has the word already.
    #[error("word {word} is in {first} already; one of the two has to go")]
    Duplicate {
        /// The word that both claim to be.
        word: String,
        /// The file that has it.
        first: WordSource,
    },
    /// Imports that no agent offers to a word.
    #[error(
        "imports {}, which no word gets; leave it out (componentize-js: disableFeatures, componentize-py: --stub-wasi)",
        imports.join(", ")
    )]
    Foreign {
        /// Their full names.
        imports: Vec<String>,
    },
    /// WebAssembly does not read it.
    #[error("not a sound component: {0}")]
    Invalid(String),
    /// It uses what this version of the contract does not have.
    #[error("is written for a later vocable:word than the {CONTRACT} of this agent: {0}")]
    Missing(String),
    /// A component, but no word.
    #[error("a component, but no word: it does not export vocable:word/word")]
    NoWord,
    /// The operator has not granted it.
    #[error(
        "word {word} imports {}, which [words.{word}] grants does not allow; if it may, write there: grants = {}",
        names(interfaces),
        array(needs)
    )]
    NotGranted {
        /// The word.
        word: String,
        /// What is missing, by short names: `process`.
        interfaces: Vec<String>,
        /// All that it would have to be granted.
        needs: Vec<String>,
    },
    /// Not WebAssembly at all.
    #[error("not WebAssembly")]
    NotWasm,
    /// It speaks another contract.
    #[error("is written for vocable:word@{theirs}; this agent speaks {CONTRACT}")]
    OtherContract {
        /// The version it was built with.
        theirs: String,
    },
    /// More than any word needs.
    #[error("has more than {limit} bytes")]
    TooLarge {
        /// How many would be fine.
        limit: u64,
    },
    /// The system does not give it.
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
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WordError {
    /// It used up its time on the processor.
    #[error("word {word} computed for more than {limit:?}")]
    Computed {
        /// The word.
        word: String,
        /// How long it may.
        limit: Duration,
    },
    /// It answered, but not with JSON that others can take.
    #[error("the answer of word {word} {problem}")]
    BadAnswer {
        /// The word.
        word: String,
        /// What is wrong with it.
        problem: JsonError,
    },
    /// Its code could be loaded once, and cannot any more.
    #[error("word {word} cannot be loaded any more: {reason}")]
    NotLoaded {
        /// The word.
        word: String,
        /// What is in the way.
        reason: String,
    },
    /// It has gone wrong before, and is given no work for a while.
    #[error("word {word} rests for {} s more: {reason}", whole_seconds(*remaining))]
    Quarantined {
        /// The word.
        word: String,
        /// How much longer.
        remaining: Duration,
        /// How it went wrong last.
        reason: String,
    },
    /// It refused.
    #[error("word {word}, {}: {}", refusal.slug(), refusal.text())]
    Refused {
        /// The word.
        word: String,
        /// Its reason.
        refusal: Refusal,
    },
    /// It took longer than it may, waiting included.
    #[error("word {word} took longer than {limit:?}")]
    TooLong {
        /// The word.
        word: String,
        /// How long it may take.
        limit: Duration,
    },
    /// More bytes than an agent sends, or than it gives a word to say. The word was not asked, or has said it in vain.
    #[error("word {word}: {what} has {bytes} bytes; the limit is {limit}")]
    TooLarge {
        /// The word.
        word: String,
        /// What is too large: `what it is to say`, `what it says`, `its answer`, `header env`.
        what: String,
        /// How many there are.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
    /// It crashed.
    #[error("word {word} trapped: {message}")]
    Trapped {
        /// The word.
        word: String,
        /// The trap, and what the word wrote to its standard error.
        message: String,
    },
    /// What it was to hear or to say holds too much, or what nobody can show. It was not asked.
    #[error("word {word}: {reason}")]
    Unfit {
        /// The word.
        word: String,
        /// The kind: `too-large` or `invalid`.
        kind: &'static str,
        /// Which bound it is.
        reason: String,
    },
    /// There is no such word here.
    #[error("no word {word} is known here")]
    Unknown {
        /// What was asked for.
        word: String,
    },
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
