//! The way to the host: every message that this guest says goes through here, where it is seen whether the bus takes it.
//!
//! A broker ends the connection of whoever sends more than it takes, and what was asked is asked again on the next one.
//! So what is too large is never sent: whoever waits for it is told so instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing::{debug, warn};
use vocable_runtime::{Envelope, PING, is_word_name, wrap_raw};
use vocable_stomp::client::{Client, ClientError, Delivery};
use vocable_stomp::{Command as Verb, Frame};

use vocable_protocol::{HOST, Mailbox, header};

/// The body of a frame where a broker does not say what it takes.
const USUAL_BODY: usize = 1 << 20;
/// Headers of a message, and bytes of each as it travels, that our broker takes; it does not say so.
const MAX_HEADERS: usize = 90;
const MAX_HEADER: usize = 8 << 10;

/// Why a message is not on its way.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// A message that the bus does not take.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum TooLarge {
    #[error(
        "{word} says {bytes} bytes, and the bus takes {limit} in one message (broker.max_frame of the host)"
    )]
    Body { word: String, bytes: usize, limit: usize },
    #[error("{word} says {bytes} bytes in the header {name}, and the bus takes {MAX_HEADER}")]
    Header { word: String, name: String, bytes: usize },
    #[error("{word} says {headers} headers, and the bus takes {MAX_HEADERS}")]
    Headers { word: String, headers: usize },
}

/// The way to the host. Clones are the same one.
#[derive(Clone)]
pub(super) struct Outbound {
    guest: Arc<str>,
    client: Client,
    /// The most bytes that the body of a frame may have.
    limit: Arc<AtomicUsize>,
}

impl Outbound {
    /// That of a guest of that name.
    pub(super) fn new(guest: &str, client: Client) -> Self {
        Self { guest: guest.into(), client, limit: Arc::new(AtomicUsize::new(USUAL_BODY)) }
    }

    /// A broker has accepted this guest, and may have said how many bytes it takes. Gives the most that a message may
    /// have.
    pub(super) fn set_limit(&self, told: Option<usize>) -> usize {
        let limit = told.unwrap_or(USUAL_BODY);
        self.limit.store(limit, Ordering::Relaxed);
        limit
    }

    /// Whether a message could be sent.
    pub(super) fn check(&self, message: &Envelope) -> Result<(), TooLarge> {
        check(message, self.limit.load(Ordering::Relaxed))
    }

    /// Queues a message, as soon as there is room for it.
    pub(super) async fn send(&self, message: Envelope) -> Result<(), SendError> {
        self.check(&message)?;
        Ok(self.client.send(self.frame(message)).await?)
    }

    /// Queues a message if there is room for it now.
    pub(super) fn try_send(&self, message: Envelope) -> Result<(), SendError> {
        self.check(&message)?;
        Ok(self.client.try_send(self.frame(message))?)
    }

    /// Queues a reply, as soon as there is room for it, or a refusal in its place.
    pub(super) async fn reply(&self, reply: Envelope) {
        let reply = match self.check(&reply) {
            Ok(()) => reply,
            Err(error) => {
                warn!(guest = &*self.guest, word = word_of(&reply.body), "not answered: {error}");
                let asked = reply.header(header::IN_REPLY_TO).unwrap_or(PING).to_owned();
                refusal(&reply.body, "too-large", &error.to_string(), &asked)
            }
        };
        if let Err(error) = self.send(reply).await {
            warn!(guest = &*self.guest, "not sent: {error}");
        }
    }

    /// Tells the broker that a message was dealt with; whether that is on its way.
    pub(super) async fn ack(&self, delivery: &Delivery) -> bool {
        let acknowledged = self.client.ack(delivery).await;
        acknowledged.inspect_err(|error| debug!(guest = &*self.guest, "not acknowledged: {error}")).is_ok()
    }

    fn frame(&self, message: Envelope) -> Frame {
        let to = Mailbox::FromGuest.of(&self.guest);
        message
            .headers
            .into_iter()
            .fold(Frame::new(Verb::Send).with("destination", to), |frame, (name, value)| {
                frame.with(&name, value)
            })
            .with_body(message.body)
    }
}

/// The refusal of what was asked under a name, by a body that begins with the word.
pub(super) fn refusal(body: &[u8], kind: &str, reason: &str, asked: &str) -> Envelope {
    let reason = serde_json::Value::from(reason).to_string();
    wrap_raw(word_of(body), reason.into()).refusal(kind).in_reply_to(asked).to(HOST)
}

/// The word that a body begins with, if it does.
pub(super) fn word_of(body: &[u8]) -> &str {
    let first = body.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    str::from_utf8(first).ok().filter(|word| is_word_name(word)).unwrap_or(PING)
}

fn check(message: &Envelope, limit: usize) -> Result<(), TooLarge> {
    let Envelope { headers, body } = message;
    let word = || word_of(body).to_owned();
    if body.len() > limit {
        return Err(TooLarge::Body { word: word(), bytes: body.len(), limit });
    }
    // The destination comes on top.
    if headers.len() >= MAX_HEADERS {
        return Err(TooLarge::Headers { word: word(), headers: headers.len() });
    }
    let long = headers.iter().map(|header| (header, escaped(header))).find(|(_, bytes)| *bytes > MAX_HEADER);
    match long {
        Some(((name, _), bytes)) => {
            let name = name.chars().take(80).collect();
            Err(TooLarge::Header { word: word(), name, bytes })
        }
        None => Ok(()),
    }
}

/// Bytes of a header as it travels.
fn escaped((name, value): &(String, String)) -> usize {
    let doubled = |byte: &u8| matches!(byte, b'\r' | b'\n' | b':' | b'\\');
    let escapes = name.bytes().chain(value.bytes()).filter(|byte| doubled(byte)).count();
    name.len() + value.len() + escapes + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: usize, value: &str, body: usize) -> Envelope {
        let headers = (0..headers).map(|n| (format!("h{n}"), value.to_owned())).collect();
        Envelope { headers, body: [b"DF ", &*vec![b'x'; body]].concat().into() }
    }

    #[test]
    fn what_the_bus_takes_is_told_from_what_it_does_not() {
        assert_eq!(check(&message(3, "short", 97), 100), Ok(()));
        let body = check(&message(3, "short", 98), 100).unwrap_err();
        assert_eq!(
            body.to_string(),
            "DF says 101 bytes, and the bus takes 100 in one message (broker.max_frame of the host)"
        );
        let fits = "x".repeat(MAX_HEADER - 3);
        assert_eq!(check(&message(1, &fits, 0), 100), Ok(()));
        let escaped = fits.replacen('x', ":", 1);
        assert!(matches!(check(&message(1, &escaped, 0), 100), Err(TooLarge::Header { bytes: 8193, .. })));
        assert!(matches!(check(&message(90, "", 0), 100), Err(TooLarge::Headers { headers: 90, .. })));
    }

    #[test]
    fn a_refusal_names_the_word_if_there_is_one() {
        let refused = refusal(b"DF {}", "too-large", "why \"so\"", "a1");
        assert_eq!(refused.body, &b"DF \"why \\\"so\\\"\""[..]);
        assert_eq!(
            (refused.header("in-reply-to"), refused.header("refusal")),
            (Some("a1"), Some("too-large"))
        );
        assert_eq!((word_of(b"df x"), word_of(b""), word_of(b"DF\nx")), ("?", "?", "DF"));
    }
}
