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
    check(frame, version)?;
    let escapes = Escapes::written(frame.command, version);
    buffer.reserve(estimate(frame));
    buffer.put_slice(<&str>::from(frame.command).as_bytes());
    buffer.put_u8(b'\n');
    for (name, value) in frame.headers.iter().filter(|(name, _)| name != "content-length") {
        put_text(name, escapes, buffer);
        buffer.put_u8(b':');
        put_text(value, escapes, buffer);
        buffer.put_u8(b'\n');
    }
    if !frame.body.is_empty() {
        buffer.put_slice(b"content-length:");
        buffer.put_slice(frame.body.len().to_string().as_bytes());
        buffer.put_u8(b'\n');
    }
    buffer.put_u8(b'\n');
    buffer.put_slice(&frame.body);
    buffer.put_u8(0);
    Ok(())
}

/// Whether [`encode`] would take the frame: to tell whoever made it, before it waits in a queue.
///
/// # Errors
/// [`EncodeError`]
pub fn check(frame: &Frame, version: Version) -> Result<(), EncodeError> {
    let (command, length) = (frame.command, frame.body.len());
    if command == Command::Nack && version == Version::V1_0 {
        return Err(EncodeError::CommandNotInVersion { command, version });
    }
    if length > 0 && !command.may_have_body() {
        return Err(EncodeError::BodyNotAllowed { command });
    }
    if frame.header("content-length").is_some_and(|given| given.parse() != Ok(length)) {
        return Err(EncodeError::ContentLengthWrong { command, length });
    }
    let escapes = Escapes::written(command, version);
    for (header, (name, value)) in (1..).zip(&frame.headers) {
        if name.is_empty() {
            return Err(EncodeError::HeaderWithoutName { header, command });
        }
        let inexpressible = escapes.inexpressible(name, true).or_else(|| escapes.inexpressible(value, false));
        if let Some(character) = inexpressible {
            return Err(EncodeError::Inexpressible { header, command, character, version });
        }
    }
    Ok(())
}

fn put_text(text: &str, escapes: Escapes, buffer: &mut BytesMut) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| escapes.sequence(byte).is_some()) {
        let (before, from) = rest.split_at(at);
        buffer.put_slice(before);
        let Some((&byte, after)) = from.split_first() else { return };
        buffer.put_slice(escapes.sequence(byte).unwrap_or(&[]));
        rest = after;
    }
    buffer.put_slice(rest);
}

/// Bytes that the frame takes if little in it has to be escaped.
fn estimate(frame: &Frame) -> usize {
    const AROUND: usize = "UNSUBSCRIBE\ncontent-length:18446744073709551615\n\n\0".len();
    const AROUND_HEADER: usize = ":\n".len();
    let headers: usize = frame.headers.iter().map(|(n, v)| n.len() + v.len() + AROUND_HEADER).sum();
    AROUND + headers + frame.body.len()
}
