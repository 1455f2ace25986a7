//! The words at one moment. Never changed, only replaced: who is in the middle of a call keeps the table
//! it began with.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::LexiconEvent;
use super::word::Word;
use crate::error::WordSource;

/// Name → word, and what is asked for often.
#[derive(Default)]
pub(crate) struct Table {
    words: BTreeMap<Arc<str>, Arc<Word>>,
    /// Names and versions, as words see them.
    pub(crate) known: Arc<Vec<(String, String)>>,
}

impl Table {
    pub(crate) fn new(words: Vec<Arc<Word>>) -> Self {
        let words: BTreeMap<_, _> = words.into_iter().map(|word| (word.name().clone(), word)).collect();
        let known = words.values().map(|word| (word.name().to_string(), version(word)));
        Self { known: Arc::new(known.collect()), words }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Word>> {
        self.words.get(name)
    }

    /// In the order of their names.
    pub(crate) fn words(&self) -> impl Iterator<Item = &Arc<Word>> {
        self.words.values()
    }

    /// What is different from an older table.
    pub(crate) fn changes_since(&self, old: &Self) -> Vec<LexiconEvent> {
        let removed = old.words().filter(|word| self.get(word.name()).is_none());
        let removed = removed
            .map(|word| LexiconEvent::Removed { name: word.name().to_string(), version: version(word) });
        removed.chain(self.words().filter_map(|word| arrival(word, old.get(word.name())))).collect()
    }
}

fn arrival(word: &Word, old: Option<&Arc<Word>>) -> Option<LexiconEvent> {
    let (name, source): (String, WordSource) = (word.name().to_string(), word.source.clone());
    match old {
        None => Some(LexiconEvent::Loaded { name, version: version(word), source }),
        Some(old) if old.component.sha256 != word.component.sha256 || old.source != source => {
            Some(LexiconEvent::Replaced { name, old: version(old), new: version(word), source })
        }
        Some(_) => None,
    }
}

fn version(word: &Word) -> String {
    word.component.about.version.clone()
}
