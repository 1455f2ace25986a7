//! Any bytes, in any version, cut anywhere: the decoder finds the same frames in them, holds no more than its limits
//! allow, and what it took can be written and read again.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use vocable_stomp::codec::{DecodeError, Decoder, Dialect, Item, Limits, encode};
use vocable_stomp::{Frame, Version};

const LIMITS: Limits = Limits { line: 256, headers: 16, body: 1024 };

fuzz_target!(|input: &[u8]| {
    let [way, piece, bytes @ ..] = input else { return };
    let dialect = dialect(*way);
    let (frames, end) = decode(bytes, usize::MAX, dialect);
    assert_eq!(decode(bytes, usize::from(*piece).max(1), dialect), (frames.clone(), end), "the cuts made a difference");
    if let Dialect { version: Some(version), lenient: false } = dialect {
        frames.iter().for_each(|frame| check_round_trip(frame, version));
    }
});

fn dialect(way: u8) -> Dialect {
    let version = match way & 3 {
        0 => None,
        1 => Some(Version::V1_0),
        2 => Some(Version::V1_1),
        _ => Some(Version::V1_2),
    };
    Dialect { version, lenient: way & 4 != 0 }
}

fn decode(bytes: &[u8], piece: usize, dialect: Dialect) -> (Vec<Frame>, Result<(), DecodeError>) {
    let mut decoder = Decoder::new(LIMITS, dialect);
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(Item::Frame(frame))) => frames.push(within_limits(frame)),
                Ok(Some(Item::HeartBeat)) => {}
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
        assert!(buffer.len() <= LIMITS.line.max(LIMITS.body) + 2, "{} bytes are held", buffer.len());
    }
    let end = decoder.finish(&buffer);
    (frames, end)
}

fn within_limits(frame: Frame) -> Frame {
    assert!(frame.headers.len() <= LIMITS.headers && frame.body.len() <= LIMITS.body);
    assert!(frame.headers.iter().all(|(name, value)| name.len() + value.len() < LIMITS.line));
    frame
}

fn check_round_trip(frame: &Frame, version: Version) {
    let mut bytes = BytesMut::new();
    if encode(frame, version, &mut bytes).is_ok() {
        // Written, a header may be longer than it was read, as a colon need not be escaped.
        let limits = Limits { line: 2 * LIMITS.line, headers: LIMITS.headers + 1, body: LIMITS.body };
        let again = Decoder::new(limits, Dialect::strict(version)).decode(&mut bytes);
        assert_eq!(again, Ok(Some(Item::Frame(frame.clone()))));
        assert!(bytes.is_empty());
    }
}
