//! From nothing to `CONNECTED`, and every way in which that fails.

use crate::client::{ClientConfig, Dial, Event};
use crate::codec::{DecodeError, Decoder, Item, encode};
use crate::frame::{Command, Frame, Version};
use crate::heartbeat::{Agreed, HeartBeat};
use bytes::BytesMut;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// The most of what a broker said that goes into a message: characters.
const SHOWN: usize = 80;

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
}

impl Failure {
    pub(super) fn reason(&self) -> String {
        match self {
            Self::BadFrame(reason) | Self::Broken(reason) => reason.clone(),
            Self::Refused(frame) => format!("the broker refused the connection: {}", words_of(frame)),
        }
    }

    pub(super) fn event(self, retry_in: Duration) -> Event {
        match self {
            Self::BadFrame(problem) => Event::BadFrame { problem, retry_in },
            Self::Broken(reason) => Event::Disconnected { reason, retry_in },
            Self::Refused(frame) => Event::Refused { message: words_of(&frame), frame, retry_in },
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
pub(super) fn words_of(error: &Frame) -> String {
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
    let mut stream = dial.dial().await.map_err(unreachable)?;
    let mut buffer = BytesMut::new();
    let connect = config.connect_frame();
    encode(&connect, Version::V1_0, &mut buffer)
        .map_err(|error| Failure::Broken(format!("the configuration cannot be sent: {error}")))?;
    stream.write_all(&buffer).await.map_err(|error| broken("cannot send CONNECT", &error))?;
    stream.flush().await.map_err(|error| broken("cannot send CONNECT", &error))?;
    buffer.clear();
    let mut decoder = Decoder::new(config.limits, config.dialect());
    let connected = first_frame(&mut stream, &mut decoder, &mut buffer).await?;
    let (version, agreed) = terms(&connected, config)?;
    decoder.set_version(version);
    Ok(Opened { stream, decoder, buffer, version, agreed, connected })
}

async fn first_frame(
    stream: &mut (impl AsyncReadExt + Unpin),
    decoder: &mut Decoder,
    buffer: &mut BytesMut,
) -> Result<Frame, Failure> {
    loop {
        match decoder.decode(buffer)? {
            Some(Item::Frame(frame)) => return Ok(frame),
            Some(Item::HeartBeat) => continue,
            None => {}
        }
        let octets =
            stream.read_buf(buffer).await.map_err(|error| broken("cannot read the answer", &error))?;
        if octets == 0 {
            decoder.finish(buffer)?;
            return Err(Failure::Broken(
                "the broker closed the connection without an answer to CONNECT".to_owned(),
            ));
        }
    }
}

/// What the answer to `CONNECT` says that we are going to speak.
fn terms(answer: &Frame, config: &ClientConfig) -> Result<(Version, Agreed), Failure> {
    match answer.command {
        Command::Connected => {}
        Command::Error => return Err(Failure::Refused(answer.clone())),
        other => return Err(Failure::BadFrame(format!("the broker answered CONNECT with {other}"))),
    }
    let version = answer.header("version").unwrap_or(Version::V1_0.as_str());
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
        assert_eq!(words_of(&frame), "long story");
        let frame = frame.with("message", "é".repeat(100));
        assert_eq!(words_of(&frame), "é".repeat(SHOWN) + "…");
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
