//! A place for the state of words: in memory, bounded, a map for each word. What has to outlive the
//! agent is not for here.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::capabilities::{Caller, Store};
use crate::contract::Refusal;

/// Bytes of a key.
const MAX_KEY: usize = 256;
/// Bytes of a value.
const MAX_VALUE: usize = 64 << 10;
/// Bytes of keys and values of one word.
const WORD_LIMIT: usize = 1 << 20;

/// What words remember, by word and key. For agents that have nothing better to stand behind the
/// contract's `store`.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<String, BTreeMap<String, String>>>);

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, caller: Caller<'_>, key: String) -> Result<Option<String>, Refusal> {
        Ok(self.lock().get(caller.word).and_then(|values| values.get(&key)).cloned())
    }

    /// Denied if there is no room for it; what was there then stays.
    async fn set(&self, caller: Caller<'_>, key: String, value: String) -> Result<(), Refusal> {
        self.put(caller.word, key, value)
    }

    async fn remove(&self, caller: Caller<'_>, key: String) -> Result<(), Refusal> {
        if let Some(values) = self.lock().get_mut(caller.word) {
            values.remove(&key);
        }
        Ok(())
    }
}

impl MemoryStore {
    fn put(&self, word: &str, key: String, value: String) -> Result<(), Refusal> {
        let no = |what, limit| Err(Refusal::Denied(format!("store: {what} of more than {limit} bytes")));
        if key.len() > MAX_KEY {
            return no("a key", MAX_KEY);
        }
        if value.len() > MAX_VALUE {
            return no("a value", MAX_VALUE);
        }
        let mut store = self.lock();
        let values = store.entry(word.to_owned()).or_default();
        let others = values.iter().filter(|(name, _)| **name != key);
        let used: usize = others.map(|(name, value)| name.len() + value.len()).sum();
        if used + key.len() + value.len() > WORD_LIMIT {
            return no("a word with state", WORD_LIMIT);
        }
        values.insert(key, value);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<String, String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Caller<'_> = Caller { word: "A", sender: None };
    const B: Caller<'_> = Caller { word: "B", sender: Some("vm1") };

    #[tokio::test]
    async fn every_word_has_a_values_of_its_own() {
        let store = MemoryStore::default();
        store.set(A, "key".into(), "1".into()).await.unwrap();
        store.set(A, "key".into(), "2".into()).await.unwrap();
        assert_eq!(store.get(A, "key".into()).await, Ok(Some("2".into())));
        assert_eq!(store.get(B, "key".into()).await, Ok(None));
        store.remove(A, "key".into()).await.unwrap();
        store.remove(B, "key".into()).await.unwrap();
        assert_eq!(store.get(A, "key".into()).await, Ok(None));
    }

    #[tokio::test]
    async fn what_does_not_fit_is_denied_and_replaces_nothing() {
        let store = MemoryStore::default();
        assert!(store.put("A", "k".repeat(MAX_KEY + 1), "1".into()).is_err());
        store.put("A", "key".into(), "1".into()).unwrap();
        assert!(store.put("A", "key".into(), "v".repeat(MAX_VALUE + 1)).is_err());
        assert_eq!(store.get(A, "key".into()).await, Ok(Some("1".into())));
        let full = (0..).take_while(|n| store.put("A", n.to_string(), "v".repeat(MAX_VALUE)).is_ok()).count();
        assert!(full < WORD_LIMIT / MAX_VALUE + 1, "{full} large values");
        assert!(store.put("A", "0".into(), "small".into()).is_ok(), "there is room again");
    }
}
