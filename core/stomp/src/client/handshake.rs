//! From nothing to `CONNECTED`, and every way in which that fails.

use crate::client::{ClientConfig, Credentials, Dial, Event};
use crate::codec::{DecodeError, Decoder, Item, Limits, encode};
use crate::frame::{Command, Frame, Version};
use crate::heartbeat::{Agreed, HeartBeat};
use crate::proof::{self, CHALLENGE, Challenge, NONCE, PROOF, Secret, Side, from_hex};
use bytes::BytesMut;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// The most of what a broker said that goes into a message: characters.
const SHOWN: usize = 80;

/// What is read of somebody who has not proved to be the broker that we look for.
const BEFORE_PROOF: Limits = Limits { line: 1 << 10, headers: 32, body: 8 << 10 };

/// A connection that the broker accepted.
pub(super) struct Opened<S> {
    pub(super) stream: S,
    pub(super) decoder: Decoder,
    /// What was read behind `CONNECTED`.
    pub(super) buffer: BytesMut,
    pub(super) version: Version,
    pub(super) agreed: Agreed,
    pub(super) connected: Frame,
}

/// Why there is no connection (any more).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Failure {
    /// The broker sent nonsense.
    BadFrame(String),
    /// Anything else.
    Broken(String),
    /// The broker answered `CONNECT` with this `ERROR`.
    Refused(Frame),
    /// Whoever answered `CONNECT` with this has not proved to be the broker that we look for.
    Unproven { message: String, frame: Frame },
}

impl Failure {
    pub(super) fn reason(&self) -> String {
        match self {
            Self::BadFrame(reason) | Self::Broken(reason) | Self::Unproven { message: reason, .. } => {
                reason.clone()
            }
            Self::Refused(frame) => format!("the broker refused the connection: {}", error_text(frame)),
        }
    }

    pub(super) fn event(self, retry_in: Duration) -> Event {
        match self {
            Self::BadFrame(problem) => Event::BadFrame { problem, retry_in },
            Self::Broken(reason) => Event::Disconnected { reason, retry_in },
            Self::Refused(frame) => Event::Refused { message: error_text(&frame), frame, retry_in },
            Self::Unproven { message, frame } => Event::Refused { message, frame, retry_in },
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::EndsInFrame => {
                Self::Broken("the broker closed the connection within a frame".to_owned())
            }
            error => Self::BadFrame(format!("the broker sent what is no frame: {error}")),
        }
    }
}

/// What an `ERROR` frame says, in its `message` header or else in its body, shortened.
pub(super) fn error_text(error: &Frame) -> String {
    let body = String::from_utf8_lossy(&error.body);
    let words = error.header("message").unwrap_or(&body).trim();
    match words.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", words.get(..end).unwrap_or_default()),
        None => words.to_owned(),
    }
}

/// The reason for a stream that failed.
pub(super) fn broken(doing: &str, error: &io::Error) -> Failure {
    Failure::Broken(format!("{doing}: {error}"))
}

/// One attempt, within the time that the configuration gives it.
pub(super) async fn open<D: Dial>(dial: &D, config: &ClientConfig) -> Result<Opened<D::Stream>, Failure> {
    let late = || {
        Failure::Broken(format!(
            "no answer to CONNECT from {} within {:?}",
            config.address, config.connect_timeout
        ))
    };
    timeout(config.connect_timeout, attempt(dial, config)).await.unwrap_or_else(|_| Err(late()))
}

async fn attempt<D: Dial>(dial: &D, config: &ClientConfig) -> Result<Opened<D::Stream>, Failure> {
    let unreachable = |error| broken(&format!("cannot connect to {}", config.address), &error);
    let stream = dial.dial().await.map_err(unreachable)?;
    let decoder = Decoder::new(config.limits, config.dialect());
    let mut opening = Opening { stream, decoder, buffer: BytesMut::new() };
    let connected = match &config.credentials {
        Credentials::Proof(secret) => opening.prove(config, *secret).await?,
        Credentials::None | Credentials::Passcode(_) => opening.ask(&config.connect_frame()).await?,
    };
    let (version, agreed) = terms(&connected, config)?;
    let Opening { stream, mut decoder, buffer } = opening;
    decoder.set_version(version);
    Ok(Opened { stream, decoder, buffer, version, agreed, connected })
}

/// A connection on which nothing is agreed upon yet.
struct Opening<S> {
    stream: S,
    decoder: Decoder,
    buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Opening<S> {
    /// Sends `CONNECT`; what is answered.
    async fn ask(&mut self, connect: &Frame) -> Result<Frame, Failure> {
        let mut bytes = BytesMut::new();
        encode(connect, Version::V1_0, &mut bytes)
            .map_err(|error| Failure::Broken(format!("the configuration cannot be sent: {error}")))?;
        self.stream.write_all(&bytes).await.map_err(|error| broken("cannot send CONNECT", &error))?;
        self.stream.flush().await.map_err(|error| broken("cannot send CONNECT", &error))?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Frame, Failure> {
        loop {
            match self.decoder.decode(&mut self.buffer)? {
                Some(Item::Frame(frame)) => return Ok(frame),
                Some(Item::HeartBeat) => continue,
                None => {}
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            if read.map_err(|error| broken("cannot read the answer", &error))? == 0 {
                self.decoder.finish(&self.buffer)?;
                return Err(Failure::Broken(
                    "the broker closed the connection without an answer to CONNECT".to_owned(),
                ));
            }
        }
    }

    /// Has the broker prove that it knows our secret, and only then proves the same to it.
    async fn prove(&mut self, config: &ClientConfig, secret: Secret) -> Result<Frame, Failure> {
        let no_login = || Failure::Broken("a credential is of no use without a login".to_owned());
        let login = config.login.as_deref().ok_or_else(no_login)?;
        let nonce = proof::random()
            .map_err(|error| Failure::Broken(format!("the system gives no random bytes: {error}")))?;
        self.decoder.set_limits(BEFORE_PROOF);
        let answer = self.ask(&config.connect_frame().with(NONCE, hex::encode(nonce))).await?;
        let broker = match nonce_of_broker(&answer, login, &nonce, secret) {
            Ok(nonce) => nonce,
            Err(what) => return Err(unproven(what, config, login, answer)),
        };
        self.decoder.set_limits(config.limits);
        let challenge = Challenge { login, client: &nonce, broker: &broker };
        let proof = hex::encode(secret.proof(Side::Client, challenge));
        self.ask(&config.connect_frame().with(PROOF, proof)).await
    }
}

/// The broker's nonce, if it has proved to know our secret; otherwise what it did instead.
fn nonce_of_broker(
    answer: &Frame,
    login: &str,
    nonce: &[u8; 32],
    secret: Secret,
) -> Result<[u8; 32], &'static str> {
    match answer.command {
        Command::Receipt if answer.header("receipt-id") == Some(CHALLENGE) => {}
        Command::Connected => return Err("it said CONNECTED without one"),
        _ => return Err("it sent something else"),
    }
    let bytes = |name| answer.header(name).and_then(from_hex);
    let (Some(broker), Some(proof)) = (bytes(NONCE), bytes(PROOF)) else {
        return Err("its proof is none");
    };
    let challenge = Challenge { login, client: nonce, broker: &broker };
    match secret.is_proved(Side::Broker, challenge, &proof) {
        true => Ok(broker),
        false => Err("its proof is wrong"),
    }
}

fn unproven(what: &str, config: &ClientConfig, login: &str, frame: Frame) -> Failure {
    let address = &config.address;
    let message = match frame.command {
        Command::Error => {
            let words = error_text(&frame);
            format!("{words} (so says {address}, which has not proved to know the credential of {login})")
        }
        _ => format!(
            "who answers at {address} has not proved to know the credential of {login}: {what}; it is not the host agent \
             that issued the credential, or the credential is of another host or name; make one there with: vocable \
             token new {login}"
        ),
    };
    Failure::Unproven { message, frame }
}

/// What the answer to `CONNECT` says that we are going to speak.
fn terms(answer: &Frame, config: &ClientConfig) -> Result<(Version, Agreed), Failure> {
    match answer.command {
        Command::Connected => {}
        Command::Error => return Err(Failure::Refused(answer.clone())),
        other => return Err(Failure::BadFrame(format!("the broker answered CONNECT with {other}"))),
    }
    let version = answer.header("version").unwrap_or(Version::V1_0.into());
    let unknown = |error| Failure::BadFrame(format!("the broker chose a version: {error}"));
    let theirs = HeartBeat::of_header(answer.header("heart-beat"))
        .map_err(|error| Failure::BadFrame(format!("the broker answered CONNECT, but {error}")))?;
    Ok((version.parse().map_err(unknown)?, config.heart_beat().agree(theirs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_by_its_message_or_its_body_and_shortly() {
        let frame = Frame::new(Command::Error).with_body("long story\n");
        assert_eq!(error_text(&frame), "long story");
        let frame = frame.with("message", "é".repeat(100));
        assert_eq!(error_text(&frame), "é".repeat(SHOWN) + "…");
    }

    #[test]
    fn an_answer_without_version_is_1_0_and_without_heart_beats() {
        let config = ClientConfig::new("broker:61613");
        let terms = |frame| terms(&frame, &config);
        let connected = Frame::new(Command::Connected);
        assert_eq!(terms(connected.clone()), Ok((Version::V1_0, Agreed::default())));
        let new = connected.clone().with("version", "1.2").with("heart-beat", "0,20000");
        let agreed = Agreed { send: Some(Duration::from_secs(20)), expect: None };
        assert_eq!(terms(new), Ok((Version::V1_2, agreed)));
        for nonsense in [
            connected.clone().with("version", "1.3"),
            connected.with("heart-beat", "soon"),
            Frame::new(Command::Send),
        ] {
            assert!(matches!(terms(nonsense), Err(Failure::BadFrame(_))));
        }
    }
}
