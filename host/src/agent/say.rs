//! What callers say to guests: words that are answered, words that are not, and pings.

use crate::agent::handle::Handle;
use crate::agent::request::{Answer, OutgoingMessage, Request, Selected};
use crate::shape::{self, Bounds};
use futures_util::StreamExt;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;
use vocable_api::fault::{Fault, FaultKind};
use vocable_api::target::Target;
use vocable_runtime::{AskError, Lexicon, Message, PING, Refusal, WordError};

/// Guests asked at the same time, so that a word that answers a megabyte each stays bounded.
const ASKED_AT_ONCE: usize = 256;
/// Bytes of all answers of one ask, and values in them: XML-RPC readers take 16 MiB and 250,000.
const ANSWERS: usize = 8 << 20;
const VALUES: usize = 100_000;

#[derive(Clone, Debug)]
pub(crate) struct GuestReply {
    pub(crate) guest: String,
    /// What it answered: JSON, `null` where the word answers with nothing.
    pub(crate) answer: Result<Value, Fault>,
}

impl Handle {
    /// How long a guest's agent takes to answer, whatever words it has.
    pub(crate) async fn ping(&self, guest: &str, timeout: Duration) -> Result<Duration, Fault> {
        let selected = self.select(Target::parse(guest)?).await?;
        let [Selected { guest, away }] = selected.as_slice() else {
            return Err(Fault::new(FaultKind::InvalidParameter, "one guest at a time can be pinged"));
        };
        if let Some(why) = away {
            return Err(offline(guest, why));
        }
        let message = Message { headers: Vec::new(), body: Vec::new() };
        let said = OutgoingMessage { word: PING.to_owned(), message };
        let begun = Instant::now();
        // That it answers is the answer, even of an agent that does not know what this is.
        drop(self.ask_guest(guest, said, timeout).await?);
        Ok(begun.elapsed())
    }

    /// Says a word to guests and collects their answers, each as soon as it is there, all by the deadline.
    pub(crate) async fn ask(
        &self,
        lexicon: &Lexicon,
        target: &str,
        word: &str,
        args: &Value,
        timeout: Duration,
    ) -> Result<Vec<GuestReply>, Fault> {
        let selected = self.select(Target::parse(target)?).await?;
        let said = OutgoingMessage { word: word.to_owned(), message: compose(lexicon, word, args).await? };
        let share = AnswerShare::of(selected.len());
        let asking = selected.into_iter().map(|Selected { guest, away }| {
            let said = said.clone();
            async move {
                let answer = match away {
                    Some(why) => Err(offline(&guest, &why)),
                    None => self.ask_guest(&guest, said, timeout).await,
                };
                let answer = answer.and_then(|answer| share.read(&guest, word, answer));
                GuestReply { guest, answer }
            }
        });
        let mut answers: Vec<_> =
            futures_util::stream::iter(asking).buffer_unordered(ASKED_AT_ONCE).collect().await;
        answers.sort_by(|one, other| one.guest.cmp(&other.guest));
        Ok(answers)
    }

    /// Says a message to a guest, and gives what that answers.
    pub(super) async fn ask_guest(
        &self,
        guest: &str,
        said: OutgoingMessage,
        timeout: Duration,
    ) -> Result<Answer, Fault> {
        self.request(|reply| Request::Ask { guest: guest.to_owned(), said, timeout, reply }).await?
    }

    /// Has a word of the host said to guests, and waits for no answer.
    pub(crate) async fn say(
        &self,
        target: &str,
        word: &str,
        args: &Value,
    ) -> Result<Vec<(String, Result<(), Fault>)>, Fault> {
        let mut said = Vec::new();
        for Selected { guest, .. } in self.select(Target::parse(target)?).await? {
            let (word, args, to) = (word.to_owned(), args.to_string(), guest.clone());
            let result = self.request(|reply| Request::Say { word, to, args, reply }).await?;
            said.push((guest, result.map(drop)));
        }
        Ok(said)
    }
}

fn offline(guest: &str, why: &str) -> Fault {
    Fault::new(FaultKind::GuestOffline, format!("{guest} does not answer: {why}"))
}

/// What a word's failure is to callers.
pub(crate) fn word_fault(error: WordError) -> Fault {
    let kind = match &error {
        WordError::Unknown { .. } => FaultKind::NoSuchWord,
        WordError::Refused { refusal: Refusal::Denied(_), .. } => FaultKind::WordDenied,
        WordError::Refused { refusal: Refusal::Invalid(_), .. } => FaultKind::WordInvalid,
        WordError::Refused { refusal: Refusal::Failed(_), .. } => FaultKind::WordFailed,
        WordError::TooLarge { .. } | WordError::Unfit { .. } => FaultKind::WordInvalid,
        _ => FaultKind::WordTrapped,
    };
    Fault::new(kind, error.to_string())
}

/// The message of a word: as the word itself says it, or, of a word not installed here, its arguments as they are. So
/// somebody who mistypes a word hears from the guests which ones they know.
async fn compose(lexicon: &Lexicon, word: &str, args: &Value) -> Result<Message, Fault> {
    match lexicon.say(word, args.to_string()).await {
        Err(WordError::Unknown { .. }) if vocable_runtime::is_word_name(word) => {
            let said = Message { headers: Vec::new(), body: args.to_string().into_bytes() };
            lexicon.require_sendable(word, &said).map_err(word_fault)?;
            Ok(said)
        }
        said => said.map_err(word_fault),
    }
}

/// How much each guest's answer may be, so that those of all fit into one.
#[derive(Clone, Copy, Debug)]
struct AnswerShare {
    guests: usize,
    bytes: usize,
    bounds: Bounds,
}

impl AnswerShare {
    fn of(guests: usize) -> Self {
        let guests = guests.max(1);
        let bounds = Bounds { values: (VALUES / guests).max(100), ..Bounds::SHOWN };
        Self { guests, bytes: ANSWERS / guests, bounds }
    }

    fn read(self, guest: &str, word: &str, answer: Answer) -> Result<Value, Fault> {
        match &answer {
            Ok(Some(text)) if text.len() > self.bytes => Err(Fault::new(
                FaultKind::TooBig,
                format!(
                    "{word} on {guest}: the answer has {} bytes, more than fits with those of {} guests; ask fewer",
                    text.len(),
                    self.guests
                ),
            )),
            _ => read_answer(guest, word, answer, self.bounds),
        }
    }
}

/// What a guest has answered, within bounds.
pub(super) fn read_answer(guest: &str, word: &str, answer: Answer, bounds: Bounds) -> Result<Value, Fault> {
    let of_guest = |kind, text: String| Fault::new(kind, format!("{word} on {guest}: {text}"));
    match answer {
        Ok(None) => Ok(Value::Null),
        Ok(Some(text)) => shape::parse(&text, bounds)
            .map_err(|e| of_guest(FaultKind::WordFailed, format!("the answer is no JSON: {e}"))),
        Err(AskError { kind, text }) => Err(match kind.as_str() {
            "unknown-word" => {
                Fault::new(FaultKind::NoSuchWord, format!("{guest} knows no word {word}: {text}"))
            }
            "denied" => of_guest(FaultKind::WordDenied, text),
            "invalid" => of_guest(FaultKind::WordInvalid, text),
            "failed" | "not-json" | "too-large" => of_guest(FaultKind::WordFailed, text),
            _ => of_guest(FaultKind::WordTrapped, text),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_answer_is_shown_as_far_as_it_goes() {
        let deep = format!("{{\"a\": {}1{}, \"b\\u0001\": 2}}", "[".repeat(500), "]".repeat(500));
        let answer = AnswerShare::of(1).read("vm1", "ODD", Ok(Some(deep))).unwrap();
        assert_eq!(answer["b\\u{1}"], 2);
        assert!(answer["a"].to_string().contains("nested deeper than 32"));
        let large = Value::from("x".repeat(1 << 20)).to_string();
        assert!(AnswerShare::of(2).read("vm1", "ODD", Ok(Some(large.clone()))).is_ok());
        let refused = AnswerShare::of(100).read("vm1", "ODD", Ok(Some(large))).unwrap_err();
        assert_eq!(refused.kind.slug(), "too-big");
    }
}
