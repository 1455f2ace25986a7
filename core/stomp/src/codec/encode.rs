//! Frames to bytes, by the letter: what a version cannot express is refused, and then nothing is written.

use crate::codec::EncodeError;
use crate::codec::escape::Escapes;
use crate::frame::{Command, Frame, Version};
use bytes::{BufMut, BytesMut};

/// Appends the frame as that version writes it, with its `content-length` if it has a body.
///
/// A `content-length` that the frame brings along must be right, and is written only once. `CONNECT`, `STOMP`
/// and `CONNECTED` look the same in every version.
///
/// # Errors
/// [`EncodeError`]; the buffer is then as it was before.
pub fn encode(frame: &Frame, version: Version, buffer: &mut BytesMut) -> Result<(), EncodeError> {
    let before = buffer.len();
    let written = Writer { command: frame.command, version, buffer }.frame(frame);
    if written.is_err() {
        buffer.truncate(before);
    }
    written
}

struct Writer<'a> {
    command: Command,
    version: Version,
    buffer: &'a mut BytesMut,
}

impl Writer<'_> {
    fn frame(&mut self, frame: &Frame) -> Result<(), EncodeError> {
        self.check(frame)?;
        self.buffer.reserve(estimate(frame));
        self.buffer.put_slice(self.command.as_str().as_bytes());
        self.buffer.put_u8(b'\n');
        for (at, (name, value)) in frame.headers.iter().enumerate() {
            if name != "content-length" {
                self.header(at + 1, name, value)?;
            }
        }
        if !frame.body.is_empty() {
            self.buffer.put_slice(b"content-length:");
            self.buffer.put_slice(frame.body.len().to_string().as_bytes());
            self.buffer.put_u8(b'\n');
        }
        self.buffer.put_u8(b'\n');
        self.buffer.put_slice(&frame.body);
        self.buffer.put_u8(0);
        Ok(())
    }

    fn check(&self, frame: &Frame) -> Result<(), EncodeError> {
        let (command, version, length) = (self.command, self.version, frame.body.len());
        if command == Command::Nack && version == Version::V1_0 {
            return Err(EncodeError::CommandNotInVersion { command, version });
        }
        if length > 0 && !command.may_have_body() {
            return Err(EncodeError::BodyNotAllowed { command });
        }
        match frame.header("content-length") {
            Some(given) if given.parse() != Ok(length) => {
                Err(EncodeError::ContentLengthWrong { command, length })
            }
            _ => Ok(()),
        }
    }

    fn header(&mut self, header: usize, name: &str, value: &str) -> Result<(), EncodeError> {
        if name.is_empty() {
            return Err(EncodeError::HeaderWithoutName { header, command: self.command });
        }
        self.text(name, true).map_err(|character| self.inexpressible(header, character))?;
        self.buffer.put_u8(b':');
        self.text(value, false).map_err(|character| self.inexpressible(header, character))?;
        self.buffer.put_u8(b'\n');
        Ok(())
    }

    /// Writes a name or value, or says which character cannot be written.
    fn text(&mut self, text: &str, is_name: bool) -> Result<(), char> {
        let escapes = Escapes::written(self.command, self.version);
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|octet| matches!(octet, b'\n' | b'\r' | b':' | b'\\' | 0)) {
            let (before, from) = rest.split_at(at);
            let [octet, after @ ..] = from else { break };
            self.buffer.put_slice(before);
            match (escapes.sequence(*octet), octet) {
                (Some(sequence), _) => self.buffer.put_slice(sequence),
                (None, b'\\') => self.buffer.put_u8(b'\\'),
                (None, b':') if !is_name => self.buffer.put_u8(b':'),
                // A raw CR, though 1.0 and 1.1 know no better, would be half a line end to many peers.
                (None, _) => return Err(char::from(*octet)),
            }
            rest = after;
        }
        self.buffer.put_slice(rest);
        Ok(())
    }

    const fn inexpressible(&self, header: usize, character: char) -> EncodeError {
        EncodeError::Inexpressible { header, command: self.command, character, version: self.version }
    }
}

/// Octets that the frame takes if little in it has to be escaped.
fn estimate(frame: &Frame) -> usize {
    const AROUND: usize = "UNSUBSCRIBE\ncontent-length:18446744073709551615\n\n\0".len();
    const AROUND_HEADER: usize = ":\n".len();
    let headers: usize = frame.headers.iter().map(|(n, v)| n.len() + v.len() + AROUND_HEADER).sum();
    AROUND + headers + frame.body.len()
}
