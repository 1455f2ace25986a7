//! Our server against clients that mean no good: every limit, and what nothing may be made of.

use crate::kit::soon;
use crate::setup::{Served, limits};
use bytes::Bytes;
use std::fs;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use vocable_chirp::client::{self, Client, Login};
use vocable_chirp::proto::{Code, Flags};
use vocable_chirp::server::Limits;

/// Logged in by address, speaking for itself.
async fn raw(served: &Served) -> TcpStream {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"address\n").await.unwrap();
    let mut welcome = [0; b"yes\nyes\nyes\naddress\n127.0.0.1\n".len()];
    soon(stream.read_exact(&mut welcome)).await.unwrap();
    stream
}

/// What a server answers to all that, until it or the client has nothing more to say.
async fn answers(served: &Served, said: impl AsRef<[u8]>) -> String {
    let mut stream = raw(served).await;
    let (mut read, mut write) = stream.split();
    let mut answer = Vec::new();
    let say = async {
        let _ = write.write_all(said.as_ref()).await; // it may hang up before the end
        let _ = write.shutdown().await;
    };
    let (_, _) = soon(async { tokio::join!(say, read.read_to_end(&mut answer)) }).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_and_the_session_goes_on() {
    let served = Served::new().await;
    let said = "nonsense\n\nstat\nstat /a%zz\nstat /a%00b\nstat /a%0Ab\nopen / q 0\nclose 99999\n\
                job_create 5\nstat\npwrite 7 6 0\nstat /\nticket_register self 60 3\nabcthirdput / host /x\n\
                whoareyou evil.example:80 99\nsetacl / unix:* rwlda\nwhoami 4\n";
    let answer = answers(&served, said).await;
    let expected = "-8\n-8\n-8\n-8\n-8\n-8\n-12\n-8\n-12\n-8\n-8\n-2\n-2\n4\naddr";
    assert_eq!(answer, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_end_is_thrown_away_as_it_comes() {
    let served = Served::with(Limits { line: 100, ..limits() }, |_| ()).await;
    let mut said = b"stat /".to_vec();
    said.resize(20_000_000, b'x');
    said.extend_from_slice(b"\nwhoami 4\n");
    assert_eq!(answers(&served, said).await, "-5\n4\naddr");
    assert_eq!(answers(&served, format!("stat /{}\nwhoami 4\n", "x".repeat(99))).await, "-5\n4\naddr");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_whose_length_nobody_knows_ends_the_session() {
    let served = Served::new().await;
    assert_eq!(answers(&served, "pwrite 1 many 0\nrmall /\n").await, "-8\n");
    assert_eq!(answers(&served, "vput /a x\nrmall /\n").await, "-8\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_files_are_open_and_no_more_clients_are_served_than_allowed() {
    let served = Served::with(Limits { descriptors: 3, connections: 2, ..limits() }, |_| ()).await;
    let client = served.client().await;
    for _ in 0..3 {
        client.open("/", Flags::READ, 0).await.unwrap();
    }
    let refused = client.open("/", Flags::READ, 0).await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::TooManyOpen));
    let _second = served.client().await;
    let mut third = raw(&served).await;
    assert!(matches!(soon(third.read(&mut [0; 9])).await, Ok(0) | Err(_)), "the third is sent away");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_say_nothing_take_nobodys_place_and_the_oldest_of_them_ends() {
    let timeout = Duration::from_secs(3600);
    let limits = Limits { connections: 1, strangers: 16, handshake: timeout, ..limits() };
    let served = Served::with(limits, |_| ()).await;
    // Which of them is served first is not said; so there are never too many before the client has logged in.
    let mut silent = JoinSet::new();
    let address = served.address;
    let is_silent = move || async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(matches!(stream.read(&mut [0; 9]).await, Ok(0) | Err(_)), "nobody says anything to it");
    };
    for _ in 0..15 {
        silent.spawn(is_silent());
    }
    let client = served.client().await;
    client.stat("/").await.unwrap();
    // Who has logged in is none of them, however many come.
    for _ in 0..101 {
        silent.spawn(is_silent());
    }
    for _ in 0..100 {
        soon(silent.join_next()).await.unwrap().unwrap();
    }
    client.stat("/").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_stored_than_allowed_and_what_follows_is_understood() {
    let served = Served::with(Limits { file: 1_000_000, stored: 1_500_000, ..limits() }, |_| ()).await;
    let client = served.client().await;
    let put = |path: &'static str, len| client.putfile(path, 0o644, Bytes::from(vec![1; len]).into());
    assert_eq!(put("/big", 1_000_001).await.unwrap_err().code(), Some(Code::TooBig));
    put("/one", 1_000_000).await.unwrap();
    assert_eq!(put("/two", 600_000).await.unwrap_err().code(), Some(Code::TooBig));
    assert_eq!(client.truncate("/one", 1 << 40).await.unwrap_err().code(), Some(Code::TooBig));
    let flags = Flags { write: true, create: true, ..Flags::default() };
    let (fd, _) = client.open("/three", flags, 0o644).await.unwrap();
    let far = client.pwrite(fd, Bytes::from("x"), u64::MAX - 1).await.unwrap_err();
    assert_eq!(far.code(), Some(Code::TooBig));
    // A stream has no length that could be refused at once.
    let mut stream = raw(&served).await;
    stream.write_all(b"putstream /stream\n").await.unwrap();
    stream.write_all(&vec![2; 1_200_000]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    assert!(!served.root().join("stream").exists());
    let mut names: Vec<_> =
        fs::read_dir(served.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["one", "three"], "and nothing hidden is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn space_is_kept_free() {
    let served = Served::with(Limits { keep_free: u64::MAX / 2, ..limits() }, |_| ()).await;
    let client = served.client().await;
    let put = client.putfile("/f", 0o644, Bytes::from("x").into()).await;
    assert_eq!(put.unwrap_err().code(), Some(Code::NoSpace));
    assert_eq!(client.stat("/f").await.unwrap_err().code(), Some(Code::DoesntExist));
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_and_removals_have_an_end() {
    let served = Served::with(Limits { entries: 20, ..limits() }, |_| ()).await;
    let client = served.client().await;
    for number in 0..21 {
        fs::create_dir(served.root().join(number.to_string())).unwrap();
    }
    assert_eq!(client.getdir("/").await.unwrap_err().code(), Some(Code::TooBig));
    assert_eq!(client.vlist("/").await.unwrap_err().code(), Some(Code::TooBig));
    client.rmdir("/0").await.unwrap();
    assert_eq!(client.getdir("/").await.unwrap().len(), 20);
    // Deeper than any path may be.
    assert_eq!(client.stat("a/".repeat(300)).await.unwrap_err().code(), Some(Code::NameTooLong));
    assert_eq!(client.stat("x".repeat(256)).await.unwrap_err().code(), Some(Code::NameTooLong));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_stays_hidden() {
    let served = Served::new().await;
    fs::write(served.root().join(".__acl"), "secret").unwrap();
    let client = served.client().await;
    assert!(client.getdir("/").await.unwrap().is_empty());
    assert!(client.vlist("/").await.unwrap().is_empty());
    assert_eq!(client.getfile("/.__acl", 99).await.unwrap_err().code(), Some(Code::NotAuthorized));
    let put = client.putfile("/.__acl", 0o644, Bytes::new().into()).await;
    assert_eq!(put.unwrap_err().code(), Some(Code::NotAuthorized));
    assert_eq!(client.unlink("/.__acl").await.unwrap_err().code(), Some(Code::NotAuthorized));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_keeps_nobody_waiting_and_a_device_is_no_file() {
    let served = Served::new().await;
    let pipe = served.root().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let client = served.client().await;
    for refused in [
        soon(client.getfile("/pipe", 9)).await.map(drop),
        soon(client.putfile("/pipe", 0o644, Bytes::from("x").into())).await.map(drop),
        soon(client.open("/pipe", Flags::READ, 0)).await.map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code(), Some(Code::NotAuthorized));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_idle_and_the_stalled_are_sent_away() {
    let short = Duration::from_millis(100);
    let served = Served::with(Limits { idle: short, stall: short, ..limits() }, |_| ()).await;
    for said in ["", "stat /", "putfile /f 420 1000\nabc"] {
        let mut stream = raw(&served).await;
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon(stream.read_to_end(&mut answer)).await;
    }
    // One who asks for much and reads nothing.
    fs::File::create(served.root().join("big")).unwrap().set_len(1 << 30).unwrap();
    let mut stream = raw(&served).await;
    stream.write_all(b"getfile /big\n").await.unwrap();
    let closed = async {
        // His questions go nowhere when he has been sent away.
        while stream.write_all(b"stat /\n").await.is_ok() {
            tokio::time::sleep(short).await;
        }
    };
    soon(closed).await;
    assert!(!served.root().join("f").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_transfers_at_a_time() {
    let served = Served::with(Limits { connections: 200, ..limits() }, |_| ()).await;
    let transfers = (0..200_u32).map(|number| {
        let (address, secret) = (served.address, served.secret.clone());
        tokio::spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            let config = client::Config { handshake: Duration::from_secs(60), ..client::Config::default() };
            let client = Client::login(stream, &[Login::Token(secret)], config).await.unwrap();
            let content = Bytes::from(vec![number as u8; 300_000]);
            let path = format!("/{number}");
            client.putfile(&path, 0o644, content.clone().into()).await.unwrap();
            assert_eq!(client.getfile(&path, 300_000).await.unwrap(), content);
        })
    });
    for transfer in transfers.collect::<Vec<_>>() {
        soon(transfer).await.unwrap();
    }
}
