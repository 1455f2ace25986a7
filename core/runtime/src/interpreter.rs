//! What becomes of a message that has been received: which word listens, and what goes back. Knows no word
//! and nothing of the bus; sending is the agent's.
//!
//! - A message with the header `asked` always gets a reply: the answer, or why there is none.
//! - A message with `in-reply-to` never gets one. Whatever two agents do not understand about each other,
//!   they cannot send each other messages for ever.
//! - [`PING`] is no word: whoever is asked it answers with nothing, whatever words it knows.
//! - A word that is not known raises the event `unknown-word`; what is bound to it says so to the sender.

use bytes::Bytes;
use serde_json::json;
use vocable_protocol::header;

use crate::contract::Message;
use crate::envelope::{Envelope, wrap, wrap_raw};
use crate::error::WordError;
use crate::json::{JsonBounds, JsonError, check_json};
use crate::lexicon::Lexicon;
use crate::token;

/// The event of a word that is not known, and the header value of the same name.
const UNKNOWN: &str = "unknown-word";
/// In place of a word, where there is none that could be said.
const NO_WORD: &str = "?";
/// The message that is no word: who is asked it answers with nothing, and so tells that it is there.
pub const PING: &str = NO_WORD;
/// Bytes of a reason that somebody else gives.
const MAX_REASON: usize = 4 << 10;

/// Lets the words of a lexicon receive messages.
#[derive(Clone)]
pub struct Interpreter {
    lexicon: Lexicon,
}

/// What a message has come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Received {
    /// What it began with, as it can be shown: not necessarily a word.
    pub word: String,
    /// This goes back to the sender.
    pub reply: Option<Envelope>,
    /// This is for whoever asked.
    pub answer: Option<Answer>,
    /// What went wrong, for the log. It is in the reply already if there is one.
    pub error: Option<String>,
}

/// An answer, or the reason why there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The name under which it was asked for. Whether it was, and of this sender, is for the agent to
    /// know.
    pub to: String,
    /// JSON text, or nothing.
    pub result: Result<Option<String>, AskError>,
}

/// Why an ask has no answer, as the one who was asked tells it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{kind}: {text}")]
pub struct AskError {
    /// The kind: a [slug](WordError::slug).
    pub kind: String,
    /// The reason.
    pub text: String,
}

impl Interpreter {
    /// Speaks with these words.
    pub fn new(lexicon: Lexicon) -> Self {
        Self { lexicon }
    }

    /// Lets the word of a message act on it. `sender` is who the broker says has sent it.
    pub async fn receive(&self, envelope: Envelope, sender: &str) -> Received {
        let received = ParsedMessage::of(envelope);
        match (received.message.header(header::IN_REPLY_TO), received.message.header(header::ASKED)) {
            (Some(ask), _) => {
                let ask = ask.to_owned();
                self.receive_answer(received, ask, sender).await
            }
            (None, asked) => {
                let asked = asked.map(str::to_owned);
                self.receive_message(received, asked, sender).await
            }
        }
    }

    async fn receive_message(
        &self,
        received: ParsedMessage,
        asked: Option<String>,
        sender: &str,
    ) -> Received {
        if received.shown == PING && received.message.body.is_empty() && asked.is_some() {
            let reply = asked.map(|asked| reply(PING, Ok(&None), &asked, sender));
            return Received { word: received.shown, reply, ..Received::default() };
        }
        let Some(word) = received.word.filter(|word| self.lexicon.knows(word)) else {
            return self.receive_unknown(received.shown, &received.message, sender).await;
        };
        match self.lexicon.listen(&word, &received.message, Some(sender)).await {
            // It was removed since.
            Err(WordError::Unknown { .. }) => self.receive_unknown(word, &received.message, sender).await,
            result => {
                let reply = asked.map(|asked| reply(&word, result.as_ref(), &asked, sender));
                Received { word, reply, answer: None, error: result.err().map(|error| error.to_string()) }
            }
        }
    }

    /// Says that a word is not known, in whatever way is bound to that. The reply always answers
    /// something: a reply to it there will never be.
    async fn receive_unknown(&self, shown: String, message: &Message, sender: &str) -> Received {
        let facts = json!({"word": shown, "known": *self.lexicon.known()}).to_string();
        let said = self.lexicon.raise(UNKNOWN, facts).await;
        let said = said.into_iter().find_map(|(word, message)| Some(wrap(&word, message.ok()?)));
        let error = WordError::Unknown { word: shown.clone() }.to_string();
        let asked = message.header(header::ASKED);
        let bare = || asked.map(|_| wrap_raw(replying_word(&shown), text(&error)));
        let replied_to = asked.or_else(|| message.header(header::MESSAGE_ID)).unwrap_or(NO_WORD);
        let address = |said: Envelope| said.refusal(UNKNOWN).in_reply_to(replied_to).to(sender);
        let reply = said.or_else(bare).map(address);
        Received { word: shown, reply, answer: None, error: Some(error) }
    }

    /// Gives an answer to whoever asked. A word that says that it does not know another is listened to
    /// as well: it is not the word that was asked.
    async fn receive_answer(&self, received: ParsedMessage, ask: String, sender: &str) -> Received {
        let result = answer(&received.message);
        let unknown = received.message.header(header::REFUSAL) == Some(UNKNOWN);
        let listener = received.word.filter(|word| unknown && self.lexicon.bound_to(UNKNOWN).contains(word));
        let error = match listener {
            Some(word) => self.lexicon.listen(&word, &received.message, Some(sender)).await.err(),
            None => None,
        };
        let error = error.map(|error| error.to_string());
        Received { word: received.shown, reply: None, answer: Some(Answer { to: ask, result }), error }
    }
}

struct ParsedMessage {
    /// The word, if it begins with one.
    word: Option<String>,
    /// What it begins with, as it can be shown.
    shown: String,
    /// What the word gets to see.
    message: Message,
}

impl ParsedMessage {
    fn of(envelope: Envelope) -> Self {
        let Envelope { headers, body } = envelope;
        let (first, rest) = token::split(&body);
        let (word, shown) =
            (str::from_utf8(first).ok().filter(|word| token::is_word_name(word)), token::printable(first));
        let word = word.map(str::to_owned);
        Self { word, shown, message: Message { headers, body: body.slice(rest..).into() } }
    }
}

fn reply(word: &str, result: Result<&Option<String>, &WordError>, asked: &str, sender: &str) -> Envelope {
    let reply = match result {
        Ok(value) => wrap_raw(word, value.clone().unwrap_or_default().into()),
        Err(error) => wrap_raw(word, text(&reason(error))).refusal(error.slug()),
    };
    reply.in_reply_to(asked).to(sender)
}

/// The word's own words where it refused; the core's where it could not.
fn reason(error: &WordError) -> String {
    match error {
        WordError::Refused { refusal, .. } => refusal.text().to_owned(),
        other => other.to_string(),
    }
}

fn answer(message: &Message) -> Result<Option<String>, AskError> {
    if let Some(kind) = message.header(header::REFUSAL) {
        return Err(AskError { kind: kind_of(kind), text: reason_of(&message.body) });
    }
    if message.body.is_empty() {
        return Ok(None);
    }
    let bad = |problem: JsonError| AskError {
        kind: problem.slug().to_owned(),
        text: format!("the answer {problem}"),
    };
    check_json(&message.body, &JsonBounds::MESSAGE).map_err(bad)?;
    Ok(Some(String::from_utf8_lossy(&message.body).into_owned()))
}

/// A kind from outside is not taken at its word.
fn kind_of(kind: &str) -> String {
    let is_slug = kind.len() <= 32 && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    if is_slug { kind } else { "failed" }.to_owned()
}

/// A reason is a JSON string; what is not is shown as it is.
fn reason_of(body: &[u8]) -> String {
    let body = body.get(..MAX_REASON).unwrap_or(body);
    serde_json::from_slice::<String>(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned())
}

/// The reply to a word nobody knows carries it all the same, if it is one.
fn replying_word(shown: &str) -> &str {
    if token::is_word_name(shown) { shown } else { NO_WORD }
}

fn text(reason: &str) -> Bytes {
    json!(reason).to_string().into()
}
