//! The traps of STOMP, one by one: what other implementations were seen to fall into.

use crate::codec::{DecodeError, Decoder, Dialect, EncodeError, Item, Limits, encode};
use crate::frame::{Command, Frame, Version};
use bytes::BytesMut;

const V1_0: Dialect = Dialect::strict(Version::V1_0);
const V1_1: Dialect = Dialect::strict(Version::V1_1);
const V1_2: Dialect = Dialect::strict(Version::V1_2);
const UNKNOWN: Dialect = Dialect { version: None, lenient: false };
const LENIENT: Dialect = Dialect::lenient();

fn lenient(version: Version) -> Dialect {
    Dialect { version: Some(version), lenient: true }
}

fn decode_within(limits: Limits, dialect: Dialect, bytes: &[u8]) -> Result<Vec<Item>, DecodeError> {
    let mut decoder = Decoder::new(limits, dialect);
    let mut buffer = BytesMut::from(bytes);
    let mut items = Vec::new();
    while let Some(item) = decoder.decode(&mut buffer)? {
        items.push(item);
    }
    decoder.finish(&buffer)?;
    Ok(items)
}

fn decode(dialect: Dialect, bytes: &[u8]) -> Result<Vec<Item>, DecodeError> {
    decode_within(Limits::default(), dialect, bytes)
}

/// The one frame in those bytes.
fn frame(dialect: Dialect, bytes: &[u8]) -> Frame {
    match decode(dialect, bytes).unwrap().as_slice() {
        [Item::Frame(frame)] => frame.clone(),
        other => panic!("one frame was expected, not {other:?}"),
    }
}

fn error(dialect: Dialect, bytes: &[u8]) -> String {
    decode(dialect, bytes).unwrap_err().to_string()
}

fn encoded(frame: &Frame, version: Version) -> Result<String, EncodeError> {
    let mut buffer = BytesMut::new();
    encode(frame, version, &mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer).replace('\0', "^@"))
}

#[test]
fn a_body_with_nul_is_as_long_as_its_content_length_says_in_bytes() {
    let binary = frame(V1_2, b"SEND\ndestination:/q\ncontent-length:5\n\n\0\xff\n\0\0\0");
    assert_eq!(&binary.body[..], b"\0\xff\n\0\0");
    assert_eq!(binary.headers, [("destination".to_owned(), "/q".to_owned())]);
    let text = frame(V1_2, "SEND\ncontent-length:3\n\n\u{2603}\0".as_bytes());
    assert_eq!(&text.body[..], "\u{2603}".as_bytes());
}

#[test]
fn a_body_without_content_length_ends_at_the_first_nul() {
    let items = decode(V1_1, b"SEND\n\nabc\0SEND\n\n\0").unwrap();
    let bodies: Vec<_> = items
        .iter()
        .map(|item| match item {
            Item::Frame(frame) => frame.body.to_vec(),
            Item::HeartBeat => panic!("no line end was sent between the frames"),
        })
        .collect();
    assert_eq!(bodies, [b"abc".to_vec(), Vec::new()]);
}

#[test]
fn a_large_body_is_not_copied_out_of_the_buffer_it_was_read_into() {
    let mut bytes = b"SEND\ncontent-length:10000\n\n".to_vec();
    let start = bytes.len();
    bytes.resize(start + 10_000, b'x');
    bytes.push(0);
    let mut buffer = BytesMut::from(&bytes[..]);
    let body = buffer[start..].as_ptr();
    let item = Decoder::new(Limits::default(), V1_2).decode(&mut buffer).unwrap();
    assert!(matches!(item, Some(Item::Frame(frame)) if frame.body.as_ptr() == body));
}

#[test]
fn content_length_must_be_right() {
    let wrong = "no NUL follows the 2 bytes that the content-length of SEND announces";
    assert_eq!(error(V1_2, b"SEND\ncontent-length:2\n\nabc\0"), wrong);
    for number in ["+5", "-1", "0x5", "", " 5", "99999999999999999999"] {
        let bytes = format!("SEND\ncontent-length:{number}\n\nabcde\0");
        assert_eq!(
            error(V1_2, bytes.as_bytes()),
            "the content-length of SEND is not a number of bytes",
            "{number}"
        );
    }
    let repeated = frame(V1_2, b"SEND\ncontent-length:1\ncontent-length:9\n\n\0\0");
    assert_eq!((&repeated.body[..], repeated.headers.len()), (&b"\0"[..], 0));
}

#[test]
fn line_ends_between_frames_are_heart_beats_however_many() {
    let items =
        decode(V1_2, b"\n\nRECEIPT\nreceipt-id:1\n\n\0\n\n\r\n\nRECEIPT\nreceipt-id:2\n\n\0\r\n").unwrap();
    assert_eq!(items.len(), 5);
    assert!([0, 2, 4].iter().all(|&at| items[at] == Item::HeartBeat), "{items:?}");
}

#[test]
fn a_carriage_return_waits_for_its_line_feed() {
    let mut decoder = Decoder::new(Limits::default(), V1_2);
    let mut buffer = BytesMut::from("\r");
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    buffer.extend_from_slice(b"\nSEND\n\n\0");
    assert_eq!(decoder.decode(&mut buffer), Ok(Some(Item::HeartBeat)));
    assert_eq!(decoder.decode(&mut buffer), Ok(Some(Item::Frame(Frame::new(Command::Send)))));
}

#[test]
fn lines_may_end_with_crlf_in_1_2_and_before_the_version_is_known() {
    let bytes = b"CONNECT\r\naccept-version:1.2\r\n\r\n\0";
    for dialect in [V1_2, UNKNOWN, LENIENT, lenient(Version::V1_0)] {
        assert_eq!(frame(dialect, bytes).header("accept-version"), Some("1.2"), "{dialect:?}");
    }
    assert_eq!(error(V1_1, bytes), "\"CONNECT\\r\" is no STOMP command");
    assert_eq!(frame(V1_1, b"SEND\na:b\r\n\n\0").header("a"), Some("b\r"));
}

#[test]
fn headers_are_unescaped_by_the_version() {
    let bytes = b"SEND\na\\cb:\\\\c\\nd\n\n\0";
    assert_eq!(frame(V1_2, bytes).header("a:b"), Some("\\c\nd"));
    assert_eq!(frame(V1_1, bytes).header("a:b"), Some("\\c\nd"));
    assert_eq!(frame(V1_0, bytes).header("a\\cb"), Some("\\\\c\\nd"));
    assert_eq!(frame(V1_2, b"SEND\na:\\r\n\n\0").header("a"), Some("\r"));
}

#[test]
fn an_undefined_escape_is_fatal_unless_lenient() {
    let bytes = b"SEND\nok:1\na:x\\ty\n\n\0";
    assert_eq!(error(V1_2, bytes), "header 2 contains an escape sequence that STOMP 1.2 does not define");
    assert_eq!(
        error(V1_1, b"SEND\na:\\r\n\n\0"),
        "header 1 contains an escape sequence that STOMP 1.1 does not define"
    );
    assert_eq!(frame(lenient(Version::V1_2), bytes).header("a"), Some("x\\ty"));
}

#[test]
fn connect_and_connected_are_never_escaped() {
    for dialect in [UNKNOWN, V1_1, V1_2] {
        let connect = frame(dialect, b"CONNECT\npasscode:a:b\\n\\\\\n\n\0");
        assert_eq!(connect.header("passcode"), Some("a:b\\n\\\\"));
    }
    let connect = Frame::new(Command::Connect).with("passcode", "a:b\\n");
    assert_eq!(encoded(&connect, Version::V1_2).unwrap(), "CONNECT\npasscode:a:b\\n\n\n^@");
}

#[test]
fn a_refusal_before_the_version_is_known_is_understood_in_any_version() {
    let refusal = frame(UNKNOWN, b"ERROR\nmessage:no\\c C:\\temp\n\nbye\0");
    assert_eq!(refusal.header("message"), Some("no: C:\\temp"));
}

#[test]
fn values_keep_their_colons_and_spaces() {
    let spaced = frame(V1_2, b"SEND\n a : http://h:80/p \n\n\0");
    assert_eq!(spaced.headers, [(" a ".to_owned(), " http://h:80/p ".to_owned())]);
    let old = frame(LENIENT, b"CONNECT\nlogin: me \n\n\0");
    assert_eq!(old.header("login"), Some("me"));
    let new = frame(LENIENT, b"CONNECT\naccept-version:1.2\npasscode: x \n\n\0");
    assert_eq!(new.header("passcode"), Some(" x "));
}

#[test]
fn only_three_frames_have_bodies() {
    let refused = "RECEIPT has a body, which only SEND, MESSAGE and ERROR may have";
    assert_eq!(error(V1_2, b"RECEIPT\n\nx\0"), refused);
    assert_eq!(error(V1_2, b"RECEIPT\ncontent-length:1\n\n"), refused);
    for dialect in [V1_0, lenient(Version::V1_2)] {
        assert_eq!(&frame(dialect, b"RECEIPT\n\nx\0").body[..], b"x");
    }
    frame(V1_2, b"RECEIPT\ncontent-length:0\n\n\0");
}

#[test]
fn whoever_talks_something_else_is_told_at_once() {
    assert_eq!(error(UNKNOWN, b"GET / HTTP/1.1\r\n"), "\"GET / HTTP/1.1\\r\" is no STOMP command");
    assert_eq!(error(UNKNOWN, b"send\n\n\0"), "\"send\" is no STOMP command");
    assert_eq!(error(UNKNOWN, b"SEND\0"), "\"SEND\" is no STOMP command");
    assert_eq!(error(UNKNOWN, &[b'A'; 33]), "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA…\" is no STOMP command");
}

#[test]
fn malformed_headers_are_told_apart_by_number_never_by_content() {
    for (bytes, message) in [
        (&b"SEND\na:b\npasscode=x\n\n\0"[..], "header 2 has no colon"),
        (b"SEND\n:b\n\n\0", "header 1 has no name before its colon"),
        (b"SEND\na:\xff\n\n\0", "header 1 is not UTF-8"),
        (b"SEND\na:b\n\0", "NUL in header 2: the blank line that ends the headers is missing"),
        (b"SEND\na:b\0c\n\n\0", "NUL in header 1: the blank line that ends the headers is missing"),
        (b"SEND\na:b\rc\n\n\0", "header 1 contains a carriage return, which STOMP 1.2 writes as \\r"),
    ] {
        assert_eq!(error(V1_2, bytes), message);
    }
    assert_eq!(frame(LENIENT, b"DISCONNECT\nreceipt:1\n\0").header("receipt"), Some("1"));
}

#[test]
fn limits_are_enforced_and_named() {
    let limits = Limits { line: 16, headers: 2, body: 4 };
    let told = |bytes: &[u8]| decode_within(limits, V1_2, bytes).unwrap_err().to_string();
    let line = "header 1 is longer than the limit of 16 bytes a line";
    assert_eq!(told(b"SEND\na:345678901234567\n\n\0"), line);
    assert_eq!(told(b"SEND\na:345678901234567.."), line, "without waiting for its end");
    assert_eq!(told(b"SEND\na:1\nb:2\nc:3\n\n\0"), "SEND has more headers than the limit of 2");
    let body = "the body of SEND is longer than the limit of 4 bytes";
    assert_eq!(told(b"SEND\ncontent-length:5\n\n"), body, "without waiting for it");
    assert_eq!(told(b"SEND\n\n12345"), body);
    assert!(
        decode_within(limits, V1_2, b"SEND\r\na:34567890123456\r\nb:2\n\n1234\0").is_ok(),
        "each at its limit"
    );
}

#[test]
fn an_error_is_final() {
    let mut decoder = Decoder::new(Limits::default(), V1_2);
    let mut buffer = BytesMut::from("send\n");
    let error = decoder.decode(&mut buffer).unwrap_err();
    buffer = BytesMut::from("SEND\n\n\0");
    assert_eq!(decoder.decode(&mut buffer), Err(error.clone()));
    assert_eq!(decoder.finish(&buffer), Err(error));
}

#[test]
fn input_that_ends_within_a_frame_is_an_error() {
    for cut in [&b"SEN"[..], b"SEND\n", b"SEND\na:b", b"SEND\n\nbody", b"SEND\ncontent-length:9\n\nbody"] {
        assert_eq!(decode(V1_2, cut), Err(DecodeError::EndsInFrame));
    }
    assert_eq!(decode(V1_2, b""), Ok(Vec::new()));
}

#[test]
fn what_is_sent_carries_its_content_length_once() {
    let frame = Frame::new(Command::Send).with("content-length", "3").with("a", "b").with_body("\0x\n");
    assert_eq!(encoded(&frame, Version::V1_0).unwrap(), "SEND\na:b\ncontent-length:3\n\n^@x\n^@");
    let wrong = Frame::new(Command::Send).with("content-length", "4").with_body("abc");
    assert_eq!(
        encoded(&wrong, Version::V1_2).unwrap_err().to_string(),
        "the content-length of SEND is not the 3 bytes of its body (leave it out)"
    );
}

#[test]
fn what_is_sent_is_escaped_by_the_version() {
    let frame = Frame::new(Command::Send).with("a:b", "\\c\nd");
    assert_eq!(encoded(&frame, Version::V1_2).unwrap(), "SEND\na\\cb:\\\\c\\nd\n\n^@");
    assert_eq!(encoded(&frame, Version::V1_1).unwrap(), "SEND\na\\cb:\\\\c\\nd\n\n^@");
    let carriage_return = Frame::new(Command::Send).with("a", "\r");
    assert_eq!(encoded(&carriage_return, Version::V1_2).unwrap(), "SEND\na:\\r\n\n^@");
}

#[test]
fn what_a_version_cannot_express_is_refused() {
    let send = |name, value: &str| Frame::new(Command::Send).with(name, value);
    for (frame, version, message) in [
        (
            send("a", "x\ny"),
            Version::V1_0,
            "header 1 of SEND contains '\\n', which cannot be written in STOMP 1.0",
        ),
        (
            send("a:b", "x"),
            Version::V1_0,
            "header 1 of SEND contains ':', which cannot be written in STOMP 1.0",
        ),
        (
            send("a", "x\r"),
            Version::V1_1,
            "header 1 of SEND contains '\\r', which cannot be written in STOMP 1.1",
        ),
        (
            send("a", "\0"),
            Version::V1_2,
            "header 1 of SEND contains '\\0', which cannot be written in STOMP 1.2",
        ),
        (send("", "x"), Version::V1_2, "header 1 of SEND has no name"),
        (Frame::new(Command::Nack), Version::V1_0, "STOMP 1.0 has no NACK"),
        (
            Frame::new(Command::Ack).with_body("x"),
            Version::V1_2,
            "ACK cannot have a body, only SEND, MESSAGE and ERROR can",
        ),
        (
            Frame::new(Command::Connect).with("passcode", "a\nb"),
            Version::V1_2,
            "header 1 of CONNECT contains '\\n', which cannot be written in STOMP 1.2",
        ),
    ] {
        assert_eq!(encoded(&frame, version).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_decoder_changes_its_version_between_two_frames_of_one_read() {
    let mut decoder = Decoder::new(Limits::default(), UNKNOWN);
    let mut buffer = BytesMut::from("CONNECTED\nversion:1.1\nserver:a\\b\n\n\0MESSAGE\na:\\c\n\n\0\n");
    let connected = decoder.decode(&mut buffer).unwrap();
    assert!(matches!(connected, Some(Item::Frame(frame)) if frame.header("server") == Some("a\\b")));
    decoder.set_version(Version::V1_1);
    let message = decoder.decode(&mut buffer).unwrap();
    assert!(matches!(message, Some(Item::Frame(frame)) if frame.header("a") == Some(":")));
    assert_eq!(decoder.decode(&mut buffer), Ok(Some(Item::HeartBeat)));
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
}

/// Reads all of it as a connection does: as much at a time as there is room for. The frames, and the most room there was.
fn read_as_there_is_room(stream: &[u8], chunk: usize) -> (Vec<Frame>, usize) {
    let mut decoder = Decoder::new(Limits::default(), V1_2);
    let (mut buffer, mut rest) = (BytesMut::new(), stream);
    let (mut frames, mut most) = (Vec::new(), 0);
    while !rest.is_empty() {
        decoder.make_room(&mut buffer, chunk);
        most = most.max(buffer.capacity());
        let read = rest.split_off(..rest.len().min(buffer.capacity() - buffer.len())).unwrap();
        assert!(!read.is_empty());
        buffer.extend_from_slice(read);
        while let Some(item) = decoder.decode(&mut buffer).unwrap() {
            if let Item::Frame(frame) = item {
                frames.push(frame);
            }
        }
    }
    (frames, most)
}

#[test]
fn a_body_that_is_announced_gets_as_much_room_as_it_needs() {
    let body = vec![b'x'; 300_000];
    let head = |length: usize| format!("SEND\ndestination:/q\ncontent-length:{length}\n\n").into_bytes();
    let stream = [&head(300_000)[..], &body, b"\0", &head(3), b"end\0"].concat();
    let (frames, most) = read_as_there_is_room(&stream, 8192);
    assert_eq!((frames[0].body == body, &frames[1].body[..]), (true, &b"end"[..]));
    assert_eq!(most, body.len() + 1);
}

#[test]
fn who_announces_much_gets_no_room_for_what_does_not_come() {
    let (frames, most) =
        read_as_there_is_room(b"SEND\ndestination:/q\ncontent-length:9000000\n\nno more", 8192);
    assert!(frames.is_empty() && most <= 16_384, "{most}");
}
