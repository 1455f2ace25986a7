//! A message as it travels: headers, and a body that begins with the word. What belongs to the transport
//! (destination, subscription, length …) is not part of it, in either direction.

use bytes::Bytes;
use vocable_protocol::header;

use crate::contract::Message;

/// Headers that only the core writes. A word sees them when it listens; what it says cannot have them.
pub const CORE_HEADERS: [&str; 6] =
    [header::TO, header::FROM, header::MESSAGE_ID, header::IN_REPLY_TO, header::ASKED, header::REFUSAL];

/// A message as it travels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Envelope {
    /// Of repeated names the first counts.
    pub headers: Vec<(String, String)>,
    /// The word; and after a blank whatever it says.
    pub body: Bytes,
}

/// Puts what a word has said into an envelope. Headers that a word has no business to write are dropped.
pub fn wrap(word: &str, said: Message) -> Envelope {
    let mut headers = said.headers;
    headers.retain(|(name, _)| !CORE_HEADERS.iter().any(|core| core.eq_ignore_ascii_case(name)));
    Envelope { headers, body: body(word, &said.body) }
}

/// An envelope for a word that is not known here: what it would say is taken as it is.
pub fn wrap_raw(word: &str, said: Bytes) -> Envelope {
    Envelope { headers: Vec::new(), body: body(word, &said) }
}

fn body(word: &str, said: &[u8]) -> Bytes {
    let blank: &[u8] = if said.is_empty() { b"" } else { b" " };
    [word.as_bytes(), blank, said].concat().into()
}

impl Envelope {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Addresses it to an agent.
    #[must_use]
    pub fn to(self, agent: &str) -> Self {
        self.with(header::TO, agent)
    }

    /// Says which agent it is from.
    #[must_use]
    pub fn from(self, agent: &str) -> Self {
        self.with(header::FROM, agent)
    }

    /// Gives it a name of its own.
    #[must_use]
    pub fn message_id(self, id: &str) -> Self {
        self.with(header::MESSAGE_ID, id)
    }

    /// Asks for an answer, under a name.
    #[must_use]
    pub fn asked(self, id: &str) -> Self {
        self.with(header::ASKED, id)
    }

    /// Makes it the answer to what was asked under a name.
    #[must_use]
    pub fn in_reply_to(self, id: &str) -> Self {
        self.with(header::IN_REPLY_TO, id)
    }

    /// Makes it the reason why there is no answer; the kind is a [slug](crate::WordError::slug).
    #[must_use]
    pub fn refusal(self, kind: &str) -> Self {
        self.with(header::REFUSAL, kind)
    }

    /// Takes headers away, those of the transport for one.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        self.headers.retain(|(name, _)| !names.contains(&name.as_str()));
        self
    }

    /// Adds a header before all others, so that it counts.
    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(0, (name.to_owned(), value.to_owned()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: Vec<(String, String)>, body: &[u8]) -> Message {
        Message { headers, body: body.to_vec() }
    }

    #[test]
    fn the_word_comes_before_the_body() {
        assert_eq!(wrap("BYE", message(vec![], b"")).body, "BYE");
        assert_eq!(wrap("DF", message(vec![], b"\0\xff")).body, &b"DF \0\xff"[..]);
        assert_eq!(wrap_raw("DFF", "{}".into()).body, "DFF {}");
    }

    #[test]
    fn a_word_cannot_forge_an_address() {
        let forged = CORE_HEADERS.iter().flat_map(|name| [(*name).to_owned(), name.to_uppercase()]);
        let mut headers: Vec<_> = forged.map(|name| (name, "forged".to_owned())).collect();
        headers.push(("id".to_owned(), "vm1".to_owned()));
        let envelope = wrap("HELLO", message(headers, b"")).to("host").asked("a1");
        let expected = [("asked", "a1"), ("to", "host"), ("id", "vm1")];
        assert_eq!(envelope.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_the_transport_has_added_can_be_taken_away() {
        let envelope = Envelope::default().from("vm1").to("host").without(&["to", "destination"]);
        assert_eq!((envelope.header("to"), envelope.header("from")), (None, Some("vm1")));
    }
}
