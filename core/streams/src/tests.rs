//! Two muxes with a bus between them.

use crate::{Kind, Limits, Mux, OpenError, Packet};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

async fn next(packets: &mut mpsc::Receiver<Packet>) -> Packet {
    timeout(SOON, packets.recv()).await.unwrap().unwrap()
}

fn pass(mut from: mpsc::Receiver<Packet>, to: Mux, streams: mpsc::Sender<crate::Incoming>) {
    tokio::spawn(async move {
        while let Some(packet) = from.recv().await {
            // As it travels: as bytes.
            if let Some(stream) = to.deliver(Packet::decode(packet.encode()).unwrap()) {
                streams.send(stream).await.unwrap();
            }
        }
    });
}

/// Two ends, and the streams that the second is asked for.
fn ends() -> (Mux, Mux, mpsc::Receiver<crate::Incoming>) {
    let (one, from_one) = Mux::new(Limits::default()).unwrap();
    let (other, from_other) = Mux::new(Limits::default()).unwrap();
    let (streams, asked) = mpsc::channel(8);
    pass(from_one, other.clone(), streams.clone());
    pass(from_other, one.clone(), streams);
    (one, other, asked)
}

#[tokio::test]
async fn megabytes_go_both_ways_and_both_ends_are_forgotten() {
    let (one, other, mut asked) = ends();
    let mut stream = one.open("echo").await.unwrap();
    let incoming = timeout(SOON, asked.recv()).await.unwrap().unwrap();
    assert_eq!(incoming.service, "echo");
    tokio::spawn(async move {
        let (mut from, mut to) = tokio::io::split(incoming.stream);
        tokio::io::copy(&mut from, &mut to).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7 % 251) as u8).collect();
    let (mut from, mut to) = tokio::io::split(&mut stream);
    let mut received = Vec::new();
    let written = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let (_, read) =
        timeout(SOON, async { tokio::join!(written, from.read_to_end(&mut received)) }).await.unwrap();
    read.unwrap();
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    drop(stream);
    while !(one.is_empty() && other.is_empty()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_more_is_on_its_way_than_the_window_and_the_rest_waits() {
    let limits = Limits { window: 1000, piece: 300, ..Limits::default() };
    let (one, mut packets) = Mux::new(limits).unwrap();
    let mut stream = one.open("x").await.unwrap();
    let Packet { stream: id, kind } = next(&mut packets).await;
    assert_eq!(kind, Kind::Open { service: "x".into(), window: 1000 });
    let writing = tokio::spawn(async move {
        stream.write_all(&[7; 5000]).await.unwrap();
        stream
    });
    one.deliver(Packet { stream: id, kind: Kind::Credit(700) });
    let mut came = 0;
    while came < 700 {
        let Kind::Data { offset, bytes } = next(&mut packets).await.kind else { panic!("no data") };
        assert_eq!(offset, came);
        assert!(bytes.len() <= 300);
        came += bytes.len() as u64;
    }
    assert_eq!(came, 700);
    assert!(packets.try_recv().is_err() && !writing.is_finished());
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules_loses_the_stream() {
    type Breaks = fn(u64) -> Packet;
    let cases: [(Breaks, &str); 4] = [
        (|id| Packet { stream: id, kind: Kind::Data { offset: 1, bytes: "x".into() } }, "bytes are missing"),
        (
            |id| Packet { stream: id, kind: Kind::Data { offset: 0, bytes: vec![0; 200_000].into() } },
            "more than the window allows",
        ),
        (|id| Packet { stream: id, kind: Kind::Open { service: "x".into(), window: 1 } }, "opened twice"),
        (|id| Packet { stream: id + 1, kind: Kind::Close }, "no such stream"),
    ];
    for (breaks, why) in cases {
        let (one, mut packets) = Mux::new(Limits::default()).unwrap();
        let mut stream = one.open("x").await.unwrap();
        let opened = next(&mut packets).await;
        let bad = breaks(opened.stream);
        assert!(one.deliver(bad.clone()).is_none());
        assert_eq!(next(&mut packets).await, Packet { stream: bad.stream, kind: Kind::Reset(why.into()) });
        if bad.stream == opened.stream {
            assert_eq!(timeout(SOON, stream.read(&mut [0; 8])).await.unwrap().unwrap(), 0, "{why}");
            assert!(one.is_empty());
        }
    }
}

#[tokio::test]
async fn there_are_only_so_many_streams() {
    let (one, _packets) = Mux::new(Limits { streams: 2, ..Limits::default() }).unwrap();
    let _held = (one.open("a").await.unwrap(), one.open("b").await.unwrap());
    assert_eq!(one.open("c").await.unwrap_err(), OpenError::TooMany(2));
    one.clear();
    assert!(one.open("c").await.is_ok());
}

#[tokio::test]
async fn a_reset_ends_both_directions() {
    let (one, other, mut asked) = ends();
    let mut stream = one.open("x").await.unwrap();
    let mut incoming = timeout(SOON, asked.recv()).await.unwrap().unwrap().stream;
    other.clear();
    assert_eq!(timeout(SOON, incoming.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
    // What the first still sends is answered: there is no such stream.
    let ended = async {
        while stream.write_all(&[0; 1024]).await.is_ok() {}
        while !one.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, ended).await.unwrap();
}
