//! What a STOMP frame costs to read and to write, beside copying the same bytes: a message as the agents exchange
//! them, 230 bytes of headers and a body of 1 KiB.
#![expect(clippy::expect_used, reason = "a benchmark that fails has no figure to give")]

use bytes::{Buf, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use vocable_stomp::codec::{Decoder, Dialect, Item, Limits, encode};
use vocable_stomp::{Command, Frame, Version};

/// Frames of one read: what a busy socket gives.
const AT_ONCE: usize = 16;

fn message() -> Frame {
    Frame::new(Command::Message)
        .with("subscription", "guest-08:00:27:0A:0B:0C")
        .with("destination", "/guest/08:00:27:0A:0B:0C/cmd")
        .with("message-id", "0198c2d4-7a51-7c3e-9f0b-1d2e3f405162")
        .with("ack", "18446744073709551615")
        .with("cmd-id", "0198c2d4-7a51-7c3e-9f0b-1d2e")
        .with("content-type", "text/plain")
        .with_body(vec![b'x'; 1 << 10])
}

fn encoded(frame: &Frame, times: usize) -> BytesMut {
    let mut bytes = BytesMut::new();
    for _ in 0..times {
        encode(frame, Version::V1_2, &mut bytes).expect("it is a frame of 1.2");
    }
    bytes
}

fn decode_all(buffer: &mut BytesMut) -> usize {
    let mut decoder = Decoder::new(Limits::default(), Dialect::strict(Version::V1_2));
    let mut bytes = 0;
    while let Some(item) = decoder.decode(buffer).expect("it was encoded") {
        if let Item::Frame(frame) = black_box(item) {
            bytes += frame.body.len();
        }
    }
    bytes
}

fn codec(criterion: &mut Criterion) {
    let frame = message();
    let one = encoded(&frame, 1);
    let many = encoded(&frame, AT_ONCE);
    let headers = one.len() - frame.body.len();
    assert!((200..260).contains(&headers), "{headers} bytes of headers");

    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Bytes(many.len() as u64));
    group.bench_function("memcpy", |bencher| {
        let mut into = BytesMut::with_capacity(many.len());
        bencher.iter(|| {
            into.clear();
            into.extend_from_slice(black_box(&many));
            black_box(&into);
        });
    });
    group.bench_function("memcpy and decode", |bencher| {
        let mut buffer = BytesMut::with_capacity(many.len());
        bencher.iter(|| {
            buffer.extend_from_slice(black_box(&many));
            decode_all(&mut buffer)
        });
    });
    group.bench_function("decode in pieces of 64 bytes", |bencher| {
        bencher.iter(|| {
            let mut decoder = Decoder::new(Limits::default(), Dialect::strict(Version::V1_2));
            let mut buffer = BytesMut::with_capacity(4 << 10);
            let mut pieces = &many[..];
            while pieces.has_remaining() {
                let piece = pieces.copy_to_bytes(pieces.len().min(64));
                buffer.extend_from_slice(&piece);
                while let Some(item) = decoder.decode(&mut buffer).expect("it was encoded") {
                    black_box(item);
                }
            }
        });
    });
    group.bench_function("encode", |bencher| {
        let mut into = BytesMut::with_capacity(many.len());
        bencher.iter(|| {
            into.clear();
            for _ in 0..AT_ONCE {
                encode(black_box(&frame), Version::V1_2, &mut into).expect("it is a frame of 1.2");
            }
            black_box(&into);
        });
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
