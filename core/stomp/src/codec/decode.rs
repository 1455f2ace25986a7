//! Bytes to frames, however the bytes were cut on their way.
//!
//! ```text
//!            command line            blank line            NUL
//! Between ──────────────▶ Headers ──────────────▶ Body ──────────▶ Between
//!    │ line end: HeartBeat    │ header line          │
//!    └────────────────────────┴──────────────────────┴── DecodeError ──▶ Failed (for good)
//! ```
//! Lines are taken from the buffer as they are complete, and of what is not complete it is remembered how far it
//! was searched: a frame that trickles in byte by byte costs no more than one that comes at once. The buffer
//! never has to hold more than one line or one body.

use crate::codec::escape::{Escapes, excerpt};
use crate::codec::{DecodeError, Dialect, Item, Limits};
use crate::frame::{Command, Frame, Version};
use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr2};
use std::mem;

/// Longer than any command, short enough to see at once that a peer talks something else.
const COMMAND_LINE: usize = 32;

/// Bodies from here on share the buffer they were read into. Smaller ones are copied, which costs as much as
/// sharing, and keeps a few bytes that somebody holds on to from holding a whole buffer.
const SHARED_BODY: usize = 4 << 10;

/// So long a body may be for all the room it needs to be made at once. Who says that a longer one comes has to send it
/// for the buffer to grow.
const MAX_PREALLOCATED: usize = 1 << 20;

/// Headers for which there is room from the start: more than brokers and clients usually send.
const USUAL_HEADERS: usize = 8;

/// Reads one direction of a connection.
#[derive(Clone, Debug)]
pub struct Decoder {
    limits: Limits,
    dialect: Dialect,
    state: State,
    /// What was read of the frame that went wrong.
    broken: Option<Box<Frame>>,
    /// Bytes at the head of the buffer that were searched in vain for the end of the line or body.
    searched: usize,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Between,
    Headers(Frame),
    Body(Frame, Option<usize>),
    Failed(DecodeError),
}

/// What one step through the states came to.
enum Step {
    Found(Item),
    Next(State),
    Starved(State),
}

/// What a line among the headers was.
enum Line {
    Header,
    Last,
    Unfinished,
}

impl Decoder {
    /// A decoder at the beginning of a connection.
    pub const fn new(limits: Limits, dialect: Dialect) -> Self {
        Self { limits, dialect, state: State::Between, broken: None, searched: 0 }
    }

    /// How bytes are read.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// From the next frame on, reads by that version: to be called between `CONNECT` and the frame after it.
    pub const fn set_version(&mut self, version: Version) {
        self.dialect.version = Some(version);
    }

    /// From the next line on, accepts that much: a peer that has not said who it is deserves less.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes the next item from the buffer; `None` when it takes more bytes to know.
    ///
    /// # Errors
    /// [`DecodeError`], and then the same one for ever: there is no way to find the next frame after a broken one.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Item>, DecodeError> {
        loop {
            match self.step(buffer) {
                Ok(Step::Found(item)) => return Ok(Some(item)),
                Ok(Step::Next(state)) => self.state = state,
                Ok(Step::Starved(state)) => {
                    self.state = state;
                    return Ok(None);
                }
                Err(error) => {
                    self.state = State::Failed(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// What was read of the frame that went wrong, if it came that far: its command, and the headers before the fault.
    pub fn broken(&self) -> Option<&Frame> {
        self.broken.as_deref()
    }

    /// Makes room in the buffer for what is read next: for the rest of a body whose length is known, and not an byte
    /// more, so that who shares the buffer with the body holds nothing else; in all other cases for `chunk` bytes at
    /// least, and the more the more there is already.
    pub fn make_room(&self, buffer: &mut BytesMut, chunk: usize) {
        let length = match self.state {
            State::Body(_, Some(length)) if length <= MAX_PREALLOCATED => length + 1,
            _ => 0,
        };
        if length <= buffer.len() {
            buffer.reserve(buffer.len().max(chunk));
        } else if length > buffer.capacity() {
            // `reserve` would make room for twice as much.
            let mut exact = BytesMut::with_capacity(length);
            exact.extend_from_slice(buffer);
            *buffer = exact;
        }
    }

    /// To be asked when the input has ended and `decode` found nothing more in the rest.
    ///
    /// # Errors
    /// [`DecodeError::EndsInFrame`] if it was cut off, or what `decode` failed with before.
    pub fn finish(&self, rest: &[u8]) -> Result<(), DecodeError> {
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            State::Between if matches!(rest, [] | [b'\r']) => Ok(()),
            _ => Err(DecodeError::EndsInFrame),
        }
    }

    fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, DecodeError> {
        match mem::take(&mut self.state) {
            State::Between => self.begin(buffer),
            State::Headers(frame) => self.headers(frame, buffer),
            State::Body(frame, Some(length)) => self.measured_body(frame, length, buffer),
            State::Body(frame, None) => self.terminated_body(frame, buffer),
            State::Failed(error) => Err(error),
        }
    }

    fn begin(&mut self, buffer: &mut BytesMut) -> Result<Step, DecodeError> {
        let line_ends = leading_line_ends(buffer);
        if line_ends > 0 {
            buffer.advance(line_ends);
            self.searched = 0;
            return Ok(Step::Found(Item::HeartBeat));
        }
        let end = self.search(buffer, |rest| memchr2(b'\n', 0, rest));
        let (line, rest) = buffer.split_at_checked(end.unwrap_or(buffer.len())).unwrap_or_default();
        let command = match rest.first() {
            None if line.len() <= COMMAND_LINE => return Ok(Step::Starved(State::Between)),
            Some(b'\n') => Command::from_name(self.without_carriage_return(line)),
            _ => None,
        };
        let command =
            command.ok_or_else(|| DecodeError::UnknownCommand { found: excerpt(line, COMMAND_LINE) })?;
        let taken = line.len() + 1;
        buffer.advance(taken);
        Ok(Step::Next(State::Headers(Frame {
            headers: Vec::with_capacity(USUAL_HEADERS),
            ..Frame::new(command)
        })))
    }

    fn headers(&mut self, mut frame: Frame, buffer: &mut BytesMut) -> Result<Step, DecodeError> {
        loop {
            match self.header(&mut frame, buffer) {
                Ok(Line::Header) => {}
                Ok(Line::Last) => return self.end_of_headers(frame),
                Ok(Line::Unfinished) => return Ok(Step::Starved(State::Headers(frame))),
                Err(error) => return self.fail(frame, error),
            }
        }
    }

    fn header(&mut self, frame: &mut Frame, buffer: &mut BytesMut) -> Result<Line, DecodeError> {
        let (command, header, limits) = (frame.command, frame.headers.len() + 1, self.limits);
        let end = self.search(buffer, |rest| memchr2(b'\n', 0, rest));
        let (whole, rest) = buffer.split_at_checked(end.unwrap_or(buffer.len())).unwrap_or_default();
        let line = self.without_carriage_return(whole);
        if line.len() > limits.line {
            return Err(DecodeError::LineTooLong { header, limit: limits.line });
        }
        match rest.first() {
            None => return Ok(Line::Unfinished),
            Some(0) if self.dialect.lenient && line.is_empty() => return Ok(Line::Last),
            Some(0) => return Err(DecodeError::NulInHeader { header }),
            Some(_) => {}
        }
        let (taken, is_last) = (whole.len() + 1, line.is_empty());
        if !is_last && header > limits.headers {
            return Err(DecodeError::TooManyHeaders { command, limit: limits.headers });
        }
        if !is_last {
            frame.headers.push(self.name_and_value(command, line, header)?);
        }
        buffer.advance(taken);
        Ok(if is_last { Line::Last } else { Line::Header })
    }

    fn name_and_value(
        &self,
        command: Command,
        line: &[u8],
        header: usize,
    ) -> Result<(String, String), DecodeError> {
        let special = memchr2(b'\\', b'\r', line).is_some();
        if special && self.dialect == Dialect::strict(Version::V1_2) && line.contains(&b'\r') {
            return Err(DecodeError::CarriageReturn { header });
        }
        let colon = memchr(b':', line).ok_or(DecodeError::HeaderWithoutColon { header })?;
        let line = str::from_utf8(line).map_err(|_| DecodeError::NotUtf8 { header })?;
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default();
        if name.is_empty() {
            return Err(DecodeError::HeaderWithoutName { header });
        }
        if !special {
            return Ok((name.to_owned(), value.to_owned()));
        }
        let escapes = Escapes::of(command, self.dialect);
        let version = self.dialect.version.unwrap_or(Version::V1_2);
        let plain = |text| escapes.unescape(text).ok_or(DecodeError::UndefinedEscape { header, version });
        Ok((plain(name)?, plain(value)?))
    }

    /// Keeps what was read, so that the peer can be told which frame it was.
    fn fail(&mut self, frame: Frame, error: DecodeError) -> Result<Step, DecodeError> {
        self.broken = Some(Box::new(frame));
        Err(error)
    }

    /// The blank line was found: how long is the body going to be?
    fn end_of_headers(&mut self, mut frame: Frame) -> Result<Step, DecodeError> {
        if self.pads_headers(&frame) {
            frame.headers.iter_mut().for_each(trim);
        }
        match self.length_of_body(&frame) {
            Ok(length) => {
                frame.headers.retain(|(name, _)| name != "content-length");
                Ok(Step::Next(State::Body(frame, length)))
            }
            Err(error) => self.fail(frame, error),
        }
    }

    fn length_of_body(&self, frame: &Frame) -> Result<Option<usize>, DecodeError> {
        let command = frame.command;
        let length = content_length(frame)?;
        if length.is_some_and(|bytes| bytes > 0) && !self.may_have_body(command) {
            return Err(DecodeError::BodyNotAllowed { command });
        }
        if length.is_some_and(|bytes| bytes > self.limits.body) {
            return Err(DecodeError::BodyTooLong { command, limit: self.limits.body });
        }
        Ok(length)
    }

    fn measured_body(
        &mut self,
        frame: Frame,
        length: usize,
        buffer: &mut BytesMut,
    ) -> Result<Step, DecodeError> {
        match buffer.get(length) {
            None => Ok(Step::Starved(State::Body(frame, Some(length)))),
            Some(0) => Ok(with_body(frame, length, buffer)),
            Some(_) => {
                let command = frame.command;
                self.fail(frame, DecodeError::ContentLengthWrong { command, length })
            }
        }
    }

    fn terminated_body(&mut self, frame: Frame, buffer: &mut BytesMut) -> Result<Step, DecodeError> {
        let command = frame.command;
        let end = self.search(buffer, |rest| memchr(0, rest));
        let so_far = end.unwrap_or(buffer.len());
        if so_far > 0 && !self.may_have_body(command) {
            return self.fail(frame, DecodeError::BodyNotAllowed { command });
        }
        if so_far > self.limits.body {
            return self.fail(frame, DecodeError::BodyTooLong { command, limit: self.limits.body });
        }
        Ok(match end {
            Some(length) => with_body(frame, length, buffer),
            None => Step::Starved(State::Body(frame, None)),
        })
    }

    /// Where in the buffer something is, searching no byte twice.
    fn search(&mut self, buffer: &[u8], find: impl FnOnce(&[u8]) -> Option<usize>) -> Option<usize> {
        let searched = mem::take(&mut self.searched);
        let found = buffer.get(searched..).and_then(find);
        if found.is_none() {
            self.searched = buffer.len();
        }
        found.map(|at| at + searched)
    }

    fn without_carriage_return<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        let ends_lines = self.dialect.lenient || matches!(self.dialect.version, None | Some(Version::V1_2));
        line.strip_suffix(b"\r").filter(|_| ends_lines).unwrap_or(line)
    }

    /// Whether the frame is from a peer that speaks 1.0 only and may write `name: value`.
    fn pads_headers(&self, frame: &Frame) -> bool {
        let knows_better = || frame.headers.iter().any(|(name, _)| name.trim() == "accept-version");
        self.dialect.lenient
            && match self.dialect.version {
                None => !knows_better(),
                Some(version) => version == Version::V1_0,
            }
    }

    fn may_have_body(&self, command: Command) -> bool {
        command.may_have_body() || self.dialect.lenient || self.dialect.version == Some(Version::V1_0)
    }
}

/// Bytes of line ends that the buffer begins with. A CR whose LF has not come yet is none.
fn leading_line_ends(buffer: &[u8]) -> usize {
    let mut rest = buffer;
    while let [b'\n', after @ ..] | [b'\r', b'\n', after @ ..] = rest {
        rest = after;
    }
    buffer.len() - rest.len()
}

fn trim((name, value): &mut (String, String)) {
    *name = name.trim().to_owned();
    *value = value.trim().to_owned();
}

fn content_length(frame: &Frame) -> Result<Option<usize>, DecodeError> {
    let Some(value) = frame.header("content-length") else { return Ok(None) };
    // `parse` alone would take "+5".
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let length = value.parse().ok().filter(|_| digits);
    length.map(Some).ok_or(DecodeError::ContentLengthInvalid { command: frame.command })
}

/// The frame with the next bytes of the buffer as its body, the NUL behind them taken too.
fn with_body(mut frame: Frame, length: usize, buffer: &mut BytesMut) -> Step {
    frame.body = if length < SHARED_BODY {
        let body = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
        buffer.advance(length);
        body
    } else {
        buffer.split_to(length).freeze()
    };
    buffer.advance(1);
    Step::Found(Item::Frame(frame))
}
