//! What happens to the words of a lexicon.

use std::fmt;

use tokio::sync::broadcast;

use crate::error::{Problem, WordSource};

/// Something has happened to the words.
#[expect(missing_docs, reason = "their texts say it")]
#[derive(Clone, Debug, PartialEq)]
pub enum LexiconEvent {
    Loaded {
        name: String,
        version: String,
        source: WordSource,
    },
    Missed {
        count: u64,
    },
    Quarantined {
        name: String,
        reason: String,
    },
    Refused(Problem),
    Removed {
        name: String,
        version: String,
    },
    /// Another component is the word now: a newer one, or after the newer one was removed the one that
    /// is built in. Calls under way end on the old one.
    Replaced {
        name: String,
        old: String,
        new: String,
        source: WordSource,
    },
    Unwatched {
        reason: String,
    },
}

impl LexiconEvent {
    /// What kind it is, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Loaded { .. } => "word.loaded",
            Self::Missed { .. } => "word.missed",
            Self::Quarantined { .. } => "word.quarantined",
            Self::Refused(_) => "word.refused",
            Self::Removed { .. } => "word.removed",
            Self::Replaced { .. } => "word.replaced",
            Self::Unwatched { .. } => "word.unwatched",
        }
    }

    /// The word it is about, if it is about one.
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Loaded { name, .. }
            | Self::Quarantined { name, .. }
            | Self::Removed { name, .. }
            | Self::Replaced { name, .. } => Some(name),
            Self::Missed { .. } | Self::Refused(_) | Self::Unwatched { .. } => None,
        }
    }
}

impl fmt::Display for LexiconEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loaded { name, version, source } => write!(f, "word {name} {version} loaded: {source}"),
            Self::Missed { count } => write!(f, "{count} events of words were missed"),
            Self::Quarantined { name, reason } => write!(f, "word {name} is put in quarantine: {reason}"),
            Self::Refused(problem) => problem.fmt(f),
            Self::Removed { name, version } => write!(f, "word {name} {version} removed"),
            Self::Replaced { name, old, new, source } => {
                write!(f, "word {name} {old} replaced by {new}: {source}")
            }
            Self::Unwatched { reason } => {
                write!(f, "changes in the directories of words go unnoticed: {reason}")
            }
        }
    }
}

/// What happens to the words of a lexicon, one event after the other.
#[derive(Debug)]
pub struct Events(pub(super) broadcast::Receiver<LexiconEvent>);

impl Events {
    /// Waits for the next event; none when the lexicon is gone. Nothing is lost if the waiting is given up.
    pub async fn recv(&mut self) -> Option<LexiconEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(LexiconEvent::Missed { count }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
