//! Who answers in the clear has to prove that it is the agent before it is told anything: the first request on every
//! connection asks for a proof ([`crate::proof`]), and what is said later goes through that same connection. Parsing is
//! apart from I/O, which is done once for calls (blocking) and once for what goes both ways.

use std::{
    fmt, io,
    time::{Duration, Instant},
};

use serde_json::Value as Json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use ureq::{
    Error,
    unversioned::transport::{ConnectionDetails, Connector, NextTimeout, Transport, time},
};

use crate::proof;

/// How long a proof may take: it costs the agent nothing.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head, and the longest body, of an answer that can be a proof, bytes.
const HEAD: usize = 4096;
const BODY: usize = 1024;

/// Why nothing was said on a connection.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// We have no token. Whoever is there would not let us in, and we could not tell who it is.
    #[error("no token")]
    NoToken,
    /// It may be anybody.
    #[error("no proof: {0}")]
    NoProof(String),
    /// The connection was over before anybody had said anything: so does an agent that ends.
    #[error("the connection ended")]
    Ended,
}

impl Refusal {
    fn because(problem: impl Into<String>) -> Self {
        Self::NoProof(problem.into())
    }
}

impl Refusal {
    /// The end of a connection after so many bytes.
    fn at_end(received: usize) -> Self {
        if received == 0 { Self::Ended } else { Self::because("the connection ended") }
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::other(refusal)
    }
}

/// One question to whoever is at the other end.
struct Challenge {
    nonce: String,
}

impl Challenge {
    fn new() -> io::Result<Self> {
        Ok(Self { nonce: proof::nonce().map_err(io::Error::other)? })
    }

    fn request(&self) -> String {
        format!("GET /proof?nonce={} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.nonce)
    }

    /// How many bytes the answer has if it is whole and the proof is right; None as long as it is not whole.
    fn check(&self, token: &str, received: &[u8]) -> Result<Option<usize>, Refusal> {
        let Some((start, end)) = answer(received)? else { return Ok(None) };
        if received.len() > end {
            return Err(Refusal::because("it says more than it was asked"));
        }
        let json: Json = serde_json::from_slice(received.get(start..end).unwrap_or_default())
            .map_err(|_| Refusal::because("the answer is no JSON"))?;
        let given = json.get("proof").and_then(Json::as_str);
        let given = given.ok_or_else(|| Refusal::because("the answer has none"))?;
        if token.is_empty() {
            return Err(Refusal::NoToken);
        }
        if !proof::is_right(token, &self.nonce, given) {
            return Err(Refusal::because("it does not know the token"));
        }
        Ok(Some(end))
    }
}

/// Where the body of an answer with status 200 begins and ends, once all of it is there.
fn answer(received: &[u8]) -> Result<Option<(usize, usize)>, Refusal> {
    const START: &[u8] = b"HTTP/1.";
    let begins_so = received.iter().zip(START).all(|(one, other)| one == other);
    if !begins_so {
        return Err(Refusal::because("it does not speak HTTP"));
    }
    let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        let too_long = received.len() > HEAD;
        return if too_long { Err(Refusal::because("the answer's head is too long")) } else { Ok(None) };
    };
    let head = String::from_utf8_lossy(received.get(..end).unwrap_or_default());
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    if status != "200" {
        return Err(Refusal::because(format!("HTTP {}", vocable_xmlrpc::excerpt(status))));
    }
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.trim().eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, value)| value.trim().parse::<usize>().ok());
    let length = length.filter(|length| *length <= BODY);
    let length = length.ok_or_else(|| Refusal::because("the answer's length is unknown or too large"))?;
    let (start, end) = (end + 4, end + 4 + length);
    Ok((received.len() >= end).then_some((start, end)))
}

/// Asks for the proof on a connection of ureq's.
pub(super) struct ProvingConnector {
    pub(super) token: String,
}

impl<In: Transport> Connector<In> for ProvingConnector {
    type Out = In;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<In>, Error> {
        let Some(mut stream) = chained else { return Ok(None) };
        let (begun, timeout) = (Instant::now(), within(details.timeout));
        let challenge = Challenge::new()?;
        let request = challenge.request();
        let output = stream.buffers().output().get_mut(..request.len());
        output.ok_or_else(|| io::Error::other("no buffer"))?.copy_from_slice(request.as_bytes());
        stream.transmit_output(request.len(), timeout).map_err(ended)?;
        loop {
            let whole = challenge.check(&self.token, stream.buffers().input()).map_err(io::Error::from)?;
            if let Some(length) = whole {
                stream.buffers().input_consume(length);
                return Ok(Some(stream));
            }
            if !stream.await_input(left(timeout, begun)?).map_err(ended)? {
                return Err(io::Error::from(Refusal::at_end(stream.buffers().input().len())).into());
            }
        }
    }
}

/// A connection that breaks before anything was asked on it never was one.
fn ended(error: Error) -> Error {
    match error {
        Error::Io(_) => io::Error::from(Refusal::Ended).into(),
        other => other,
    }
}

/// The time of the call, or that of a proof if it is less.
fn within(timeout: NextTimeout) -> NextTimeout {
    let most = time::Duration::Exact(TIMEOUT);
    if timeout.after > most { NextTimeout { after: most, ..timeout } } else { timeout }
}

/// What is left of it, however slowly the answer drips.
fn left(timeout: NextTimeout, begun: Instant) -> Result<NextTimeout, Error> {
    let left = timeout.after.saturating_sub(begun.elapsed());
    if left.is_zero() {
        return Err(Error::Timeout(timeout.reason));
    }
    Ok(NextTimeout { after: time::Duration::Exact(left), ..timeout })
}

impl fmt::Debug for ProvingConnector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ProvingConnector").finish_non_exhaustive()
    }
}

/// Asks for the proof on a connection that goes both ways.
pub(super) async fn prove<S>(stream: &mut S, token: &str) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let challenge = Challenge::new()?;
    stream.write_all(challenge.request().as_bytes()).await.map_err(|_| Refusal::Ended)?;
    let mut received = Vec::new();
    while challenge.check(token, &received)?.is_none() {
        if stream.read_buf(&mut received).await.map_err(|_| Refusal::Ended)? == 0 {
            return Err(Refusal::at_end(received.len()).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOKEN: &str = "s3cret";

    fn answer_with(body: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    fn checked(challenge: &Challenge, received: &[u8]) -> Result<Option<usize>, String> {
        challenge.check(TOKEN, received).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn the_right_proof_is_taken_byte_by_byte() {
        let challenge = Challenge::new().unwrap();
        let proof = proof::of(TOKEN, &challenge.nonce).unwrap();
        let whole = answer_with(&format!("{{\"proof\": \"{proof}\"}}\n"));
        for length in 0..whole.len() {
            assert_eq!(checked(&challenge, &whole[..length]), Ok(None), "{length}");
        }
        assert_eq!(checked(&challenge, &whole), Ok(Some(whole.len())));
        assert_eq!(challenge.check("", &whole), Err(Refusal::NoToken));
        assert!(challenge.check("other", &whole).is_err());
    }

    #[test]
    fn who_answers_before_it_is_asked_is_refused() {
        let challenge = Challenge::new().unwrap();
        let proof = proof::of(TOKEN, &challenge.nonce).unwrap();
        let whole = answer_with(&format!("{{\"proof\": \"{proof}\"}}\n"));
        let more = [whole.as_slice(), b"HTTP/1.1 200 OK\r\n"].concat();
        assert_eq!(checked(&challenge, &more).unwrap_err(), "no proof: it says more than it was asked");
    }

    #[test]
    fn whoever_says_something_else_is_refused_with_the_reason() {
        let challenge = Challenge::new().unwrap();
        let reason = |received: &[u8]| checked(&challenge, received).unwrap_err();
        assert_eq!(reason(b"SSH-2.0"), "no proof: it does not speak HTTP");
        assert_eq!(reason(b"HTTP/1.1 404 Not Found\r\n\r\n"), "no proof: HTTP \"404\"");
        assert_eq!(reason(&answer_with("hello")), "no proof: the answer is no JSON");
        assert_eq!(reason(&answer_with("{}")), "no proof: the answer has none");
        assert_eq!(reason(&answer_with("{\"proof\": \"00\"}")), "no proof: it does not know the token");
        assert!(
            reason(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n").contains("length")
        );
        assert!(reason(&[b"HTTP/1.1 200 ".as_slice(), &[b'x'; HEAD]].concat()).contains("head"));
    }

    proptest! {
        /// An answer to one question proves nothing about another, and noise proves nothing at all.
        #[test]
        fn nothing_else_is_a_proof(head in "(HTTP/1\\.1 200 \r\n)?[ -~\r\n]{0,60}", body in any::<Vec<u8>>()) {
            let challenge = Challenge::new().unwrap();
            let noise = [head.as_bytes(), b"\r\n\r\n", &body].concat();
            prop_assert!(!matches!(challenge.check(TOKEN, &noise), Ok(Some(_))));
            let other = proof::of(TOKEN, &Challenge::new().unwrap().nonce).unwrap();
            let replayed = answer_with(&format!("{{\"proof\": \"{other}\"}}"));
            prop_assert!(challenge.check(TOKEN, &replayed).is_err());
        }
    }
}
