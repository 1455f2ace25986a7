//! A place for the state of words: in memory, bounded, a shelf for each word. What has to outlive the
//! agent is not for here.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::contract::Refusal;
use crate::powers::{Caller, Soon};

/// Bytes of a key.
const LONGEST_KEY: usize = 256;
/// Bytes of a value.
const LARGEST_VALUE: usize = 64 << 10;
/// Bytes of keys and values of one word.
const SHELF: usize = 1 << 20;

/// What words remember, by word and key. For agents that have nothing better to stand behind the
/// contract's `store`.
#[derive(Debug, Default)]
pub struct Shelves(Mutex<BTreeMap<String, BTreeMap<String, String>>>);

impl Shelves {
    /// What the word has under a key.
    pub fn get<'a>(&'a self, caller: Caller<'a>, key: String) -> Soon<'a, Option<String>> {
        let value = self.lock().get(caller.word).and_then(|shelf| shelf.get(&key)).cloned();
        Box::pin(ready(Ok(value)))
    }

    /// Puts a value under a key. Denied if there is no room for it; what was there then stays.
    pub fn set<'a>(&'a self, caller: Caller<'a>, key: String, value: String) -> Soon<'a, ()> {
        Box::pin(ready(self.put(caller.word, key, value)))
    }

    /// Removes what the word has under a key.
    pub fn remove<'a>(&'a self, caller: Caller<'a>, key: String) -> Soon<'a, ()> {
        if let Some(shelf) = self.lock().get_mut(caller.word) {
            shelf.remove(&key);
        }
        Box::pin(ready(Ok(())))
    }

    fn put(&self, word: &str, key: String, value: String) -> Result<(), Refusal> {
        let no = |what, limit| Err(Refusal::Denied(format!("store: {what} of more than {limit} bytes")));
        if key.len() > LONGEST_KEY {
            return no("a key", LONGEST_KEY);
        }
        if value.len() > LARGEST_VALUE {
            return no("a value", LARGEST_VALUE);
        }
        let mut shelves = self.lock();
        let shelf = shelves.entry(word.to_owned()).or_default();
        let others = shelf.iter().filter(|(name, _)| **name != key);
        let used: usize = others.map(|(name, value)| name.len() + value.len()).sum();
        if used + key.len() + value.len() > SHELF {
            return no("a word with state", SHELF);
        }
        shelf.insert(key, value);
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
    async fn every_word_has_a_shelf_of_its_own() {
        let shelves = Shelves::default();
        shelves.set(A, "key".into(), "1".into()).await.unwrap();
        shelves.set(A, "key".into(), "2".into()).await.unwrap();
        assert_eq!(shelves.get(A, "key".into()).await, Ok(Some("2".into())));
        assert_eq!(shelves.get(B, "key".into()).await, Ok(None));
        shelves.remove(A, "key".into()).await.unwrap();
        shelves.remove(B, "key".into()).await.unwrap();
        assert_eq!(shelves.get(A, "key".into()).await, Ok(None));
    }

    #[tokio::test]
    async fn what_does_not_fit_is_denied_and_replaces_nothing() {
        let shelves = Shelves::default();
        assert!(shelves.put("A", "k".repeat(LONGEST_KEY + 1), "1".into()).is_err());
        shelves.put("A", "key".into(), "1".into()).unwrap();
        assert!(shelves.put("A", "key".into(), "v".repeat(LARGEST_VALUE + 1)).is_err());
        assert_eq!(shelves.get(A, "key".into()).await, Ok(Some("1".into())));
        let full =
            (0..).take_while(|n| shelves.put("A", n.to_string(), "v".repeat(LARGEST_VALUE)).is_ok()).count();
        assert!(full < SHELF / LARGEST_VALUE + 1, "{full} large values");
        assert!(shelves.put("A", "0".into(), "small".into()).is_ok(), "there is room again");
    }
}
