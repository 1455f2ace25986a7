//! What holds for every frame and for any bytes at all.

use crate::codec::{DecodeError, Decoder, Dialect, EncodeError, Item, Limits, encode};
use crate::frame::{Command, Frame, Version};
use bytes::BytesMut;
use proptest::prelude::*;
use strum::VariantArray;

const SMALL: Limits = Limits { line: 64, headers: 4, body: 256 };

fn command() -> impl Strategy<Value = Command> {
    proptest::sample::select(Command::VARIANTS)
}

fn version() -> impl Strategy<Value = Version> {
    proptest::sample::select(Version::VARIANTS)
}

fn dialect() -> impl Strategy<Value = Dialect> {
    (proptest::option::of(version()), any::<bool>())
        .prop_map(|(version, lenient)| Dialect { version, lenient })
}

/// Names and values made mostly of what is hard: escapes, separators, spaces, characters of several bytes;
/// seldom of what no version can express.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![30 => "[a-z :\\\\\\n\\ré\u{2603}ncr]{1,12}", 1 => "[a\\x00]{0,2}"]
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let headers = proptest::collection::vec((text(), text()), 0..5);
    let body = proptest::collection::vec(any::<u8>(), 0..40);
    (command(), headers, body, proptest::bool::weighted(0.1)).prop_map(|(command, headers, body, wrong)| {
        let body = if command.may_have_body() || wrong { body } else { Vec::new() };
        Frame { command, headers, body: body.into() }
    })
}

/// Frames that every version can express.
fn plain_frame() -> impl Strategy<Value = Frame> {
    let headers = proptest::collection::vec(("[a-z-]{1,12}", "[ -9;-Z]{0,20}"), 0..5);
    let body = proptest::collection::vec(any::<u8>(), 0..40);
    let command = command().prop_filter("1.0 has no NACK", |command| *command != Command::Nack);
    (command, headers, body).prop_map(|(command, headers, body)| Frame {
        command,
        headers,
        body: if command.may_have_body() { body.into() } else { Vec::new().into() },
    })
}

/// Bytes that come near to being frames.
fn near_frames() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "SEND\n",
            "MESSAGE\r\n",
            "CONNECT\n",
            "RECEIPT\n",
            "a:b\n",
            "content-length:3\n",
            "content-length:0\r\n",
            "content-length:99999999999999999999\n",
            "x:\\n\\q\n",
            "\n",
            "\r\n",
            "\0",
            "abc\0",
            "a\\",
            ":",
            "\r",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

/// Everything that is found in bytes that come in pieces of that length, and how it ended.
fn decode_in_pieces(
    bytes: &[u8],
    piece: usize,
    limits: Limits,
    dialect: Dialect,
) -> (Vec<Frame>, Result<(), DecodeError>) {
    let mut decoder = Decoder::new(limits, dialect);
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(Item::Frame(frame))) => frames.push(frame),
                Ok(Some(Item::HeartBeat)) => {}
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
        let most = limits.line.max(limits.body) + 2;
        assert!(buffer.len() <= most, "{} bytes are held, {most} are enough", buffer.len());
    }
    let end = decoder.finish(&buffer);
    (frames, end)
}

fn encoded(frames: &[Frame], version: Version) -> Result<BytesMut, EncodeError> {
    let mut buffer = BytesMut::new();
    frames.iter().try_for_each(|frame| encode(frame, version, &mut buffer))?;
    Ok(buffer)
}

proptest! {
    #[test]
    fn what_can_be_encoded_is_decoded_as_it_was(frame in any_frame(), version in version()) {
        match encoded(std::slice::from_ref(&frame), version) {
            Ok(bytes) => {
                let (frames, end) = decode_in_pieces(&bytes, usize::MAX, Limits::default(), Dialect::strict(version));
                prop_assert_eq!(end, Ok(()));
                prop_assert_eq!(frames, [frame]);
            }
            Err(_) => {
                let mut before = BytesMut::from("before");
                prop_assert!(encode(&frame, version, &mut before).is_err());
                prop_assert_eq!(&before[..], b"before");
            }
        }
    }

    #[test]
    fn what_every_version_has_is_never_refused(
        frames in proptest::collection::vec(plain_frame(), 0..6),
        version in version(),
        piece in 1..80_usize,
    ) {
        let bytes = encoded(&frames, version).unwrap();
        let (decoded, end) = decode_in_pieces(&bytes, piece, Limits::default(), Dialect::strict(version));
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(decoded, frames);
    }

    #[test]
    fn where_the_bytes_are_cut_makes_no_difference(bytes in near_frames(), dialect in dialect(), piece in 1..9_usize) {
        let limits = Limits { body: 1 << 20, ..Limits::default() };
        let whole = decode_in_pieces(&bytes, usize::MAX, limits, dialect);
        prop_assert_eq!(decode_in_pieces(&bytes, piece, limits, dialect), whole);
    }

    #[test]
    fn any_bytes_are_survived_within_the_limits(
        bytes in prop_oneof![near_frames(), proptest::collection::vec(any::<u8>(), 0..2000)],
        dialect in dialect(),
        piece in 1..3_usize,
    ) {
        let (frames, _) = decode_in_pieces(&bytes, piece, SMALL, dialect);
        for frame in frames {
            prop_assert!(frame.headers.len() <= SMALL.headers && frame.body.len() <= SMALL.body);
            prop_assert!(frame.headers.iter().all(|(name, value)| name.len() + value.len() < SMALL.line));
        }
    }

    #[test]
    fn a_strict_peer_understands_whatever_a_strict_decoder_took(bytes in near_frames(), version in version()) {
        let (frames, _) = decode_in_pieces(&bytes, usize::MAX, Limits::default(), Dialect::strict(version));
        for frame in frames {
            if let Ok(bytes) = encoded(std::slice::from_ref(&frame), version) {
                let (again, _) = decode_in_pieces(&bytes, 1, Limits::default(), Dialect::strict(version));
                prop_assert_eq!(again, [frame]);
            }
        }
    }
}
