//! Our client against servers that mean no good: a guest that was taken over is one.

use crate::kit::soon;
use bytes::Bytes;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use vocable_chirp::client::{Client, Config, Error, Login};
use vocable_chirp::{Secret, TicketKey};

/// Limits that a test reaches.
fn config() -> Config {
    Config {
        handshake: Duration::from_secs(5),
        silence: Duration::from_millis(300),
        digest: Duration::from_millis(300),
        line: 1000,
        entries: 50,
        listing: 10_000,
        in_flight: 8,
    }
}

/// A server that knows our requests and answers the first with that, and then more of it for ever if `again` isn't
/// empty.
async fn answering(answer: &[u8], again: &[u8]) -> Client {
    let (here, mut there) = duplex(4096);
    let (answer, again) = (answer.to_vec(), again.to_vec());
    tokio::spawn(async move {
        let _ = serve(&mut there, &answer, &again).await;
    });
    Client::login(here, &[Login::Trusted], config()).await.unwrap()
}

async fn serve(there: &mut DuplexStream, answer: &[u8], again: &[u8]) -> std::io::Result<()> {
    let mut hello = [0; 7];
    there.read_exact(&mut hello).await?;
    there.write_all(b"1\n").await?;
    let mut some = [0; 4096];
    let _ = there.read(&mut some).await?;
    there.write_all(answer).await?;
    while !again.is_empty() {
        there.write_all(again).await?;
    }
    // Silent, but there, until the client is gone.
    while there.read(&mut some).await? > 0 {}
    Ok(())
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_never_handed_out() {
    for name in ["../escaped", "a/b", "/etc/passwd", &"x".repeat(256), "nul\0"] {
        let client = answering(format!("0\n.\n..\n{name}\n\n").as_bytes(), b"").await;
        assert!(matches!(soon(client.getdir("/")).await, Err(Error::BadName(_))), "{name:?}");
        let stat = "1 2 33188 1 0 0 0 5 4096 8 1 1 1";
        let client = answering(format!("0\n{name}\n{stat}\n\n").as_bytes(), b"").await;
        assert!(matches!(soon(client.getlongdir("/")).await, Err(Error::BadName(_))), "{name:?}");
    }
    for name in ["..", "%2E%2E", "a%2Fb", "..%2Fescaped", "a%0Ab", "%00", "%zz", ""] {
        let client = answering(format!("1\nf 420 5 0 1 {name}\n").as_bytes(), b"").await;
        assert!(matches!(soon(client.vlist("/")).await, Err(Error::BadReply { .. })), "{name:?}");
    }
}

#[tokio::test]
async fn a_name_that_comes_twice_is_no_listing() {
    let stat = "1 2 33188 1 0 0 0 5 4096 8 1 1 1";
    let client = answering(b"3\nf 420 5 0 1 a\nd 493 0 0 1 b\nl 511 1 0 1 %61 x\n", b"").await;
    assert!(matches!(soon(client.vlist("/")).await, Err(Error::BadReply { .. })));
    let client = answering(b"0\n.\n..\na\na\n\n", b"").await;
    assert!(matches!(soon(client.getdir("/")).await, Err(Error::BadReply { .. })));
    let client = answering(format!("0\na\n{stat}\na\n{stat}\n\n").as_bytes(), b"").await;
    assert!(matches!(soon(client.getlongdir("/")).await, Err(Error::BadReply { .. })));
}

#[tokio::test]
async fn listings_without_end_are_given_up() {
    let client = answering(b"0\n", b"name\n").await;
    assert!(matches!(soon(client.getdir("/")).await, Err(Error::Limit { .. })));
    let client = answering(b"999999999999\n", b"f 420 5 0 1 name\n").await;
    assert!(matches!(soon(client.vlist("/")).await, Err(Error::Limit { .. })));
    let client = answering(b"0\n", &[b'x'; 100]).await;
    assert!(matches!(soon(client.getdir("/")).await, Err(Error::Limit { .. })), "a line without end");
    let client = answering(b"", &[b'9'; 100]).await;
    assert!(matches!(soon(client.stat("/")).await, Err(Error::Limit { .. })), "not even a result");
}

#[tokio::test]
async fn sizes_that_lie_are_found_out() {
    let client = answering(b"9223372036854775807\n", &[0; 100]).await;
    let error = soon(client.getfile("/f", 1000)).await.unwrap_err();
    assert!(matches!(error, Error::Limit { limit: 1000, .. }), "{error}");
    // Promised and never sent: nothing is made room for, and nobody waits for ever.
    let client = answering(b"100000000000\nabc", b"").await;
    assert!(matches!(soon(client.getfile("/f", u64::MAX)).await, Err(Error::Silent { .. })));
    let client = answering(b"5000\n", b"").await;
    assert!(matches!(soon(client.readlink("/l")).await, Err(Error::Limit { .. })));
    let client = answering(b"3\nabc", b"").await;
    let hash = client.hash(vocable_chirp::client::Algorithm::Sha256, "/f");
    assert!(matches!(soon(hash).await, Err(Error::BadReply { .. })));
    let client = answering(b"5\n420 0\nhello12345678901234567890123456789012", b"").await;
    assert!(matches!(soon(client.vget("/f", 99)).await, Err(Error::Digest { .. })));
}

#[tokio::test]
async fn answers_that_make_no_sense_end_the_connection() {
    for answer in ["yes\n", "\n", "0x10\n", "1e5\n", "99999999999999999999999\n", "--1\n"] {
        let client = answering(answer.as_bytes(), b"").await;
        let error = soon(client.stat("/")).await.unwrap_err();
        assert!(matches!(error, Error::BadReply { .. }), "{answer:?}: {error}");
        assert!(error.is_lost());
        assert!(soon(client.stat("/")).await.is_err());
    }
    for stat in ["1 2 3", "a b c d e f g h i j k l m", ""] {
        let client = answering(format!("0\n{stat}\n").as_bytes(), b"").await;
        assert!(matches!(soon(client.stat("/")).await, Err(Error::BadReply { .. })), "{stat:?}");
    }
}

#[tokio::test]
async fn silence_has_an_end_and_every_call_hears_of_it() {
    let client = answering(b"", b"").await;
    let first = client.stat("/first");
    let others = async { tokio::join!(client.stat("/second"), client.getdir("/third")) };
    let (first, (second, third)) = soon(async { tokio::join!(first, others) }).await;
    assert!(matches!(first, Err(Error::Silent { .. })), "{first:?}");
    assert!(matches!(second, Err(Error::Closed { .. })), "{second:?}");
    let third = third.unwrap_err().to_string();
    assert!(third.contains("no answer to stat /first"), "{third}");
}

#[tokio::test]
async fn more_than_was_written_is_a_lie() {
    let client = answering(b"0\n1 2 33188 1 0 0 0 5 4096 8 1 1 1\n", b"").await;
    let (fd, _) = soon(client.open("/f", vocable_chirp::proto::Flags::READ, 0)).await.unwrap();
    drop(soon(client.pwrite(fd, Bytes::from("abc"), 0)).await.unwrap_err());
    let client = answering(b"4\n", b"").await;
    assert!(matches!(soon(client.pwrite(fd, Bytes::from("abc"), 0)).await, Err(Error::BadReply { .. })));
}

#[tokio::test]
async fn a_server_that_does_not_know_the_secret_learns_nothing() {
    let (here, mut there) = duplex(4096);
    let impostor = tokio::spawn(async move {
        let mut heard = Vec::new();
        let mut some = [0; 4096];
        there.write_all(b"yes\n").await.unwrap();
        // The client's own nonce and whatever else it sends, sent back as a proof.
        let zeros = "0".repeat(64);
        there.write_all(format!("{zeros} {zeros}\n").as_bytes()).await.unwrap();
        while let Ok(len @ 1..) = there.read(&mut some).await {
            heard.extend_from_slice(&some[..len]);
        }
        String::from_utf8(heard).unwrap()
    });
    let login = [Login::Token(Secret::random().unwrap()), Login::Address];
    let error = soon(Client::login(here, &login, config())).await.unwrap_err();
    assert!(error.to_string().contains("does not know the secret"), "{error}");
    let heard = soon(impostor).await.unwrap();
    assert_eq!(heard.lines().count(), 2, "the method and a nonce: {heard}");
}

#[tokio::test]
async fn a_login_without_end_is_given_up() {
    let config = Config { handshake: Duration::from_millis(100), ..config() };
    let key = Login::Ticket(Box::new(TicketKey::from_pem(include_str!("ticket.pem")).unwrap()));
    for login in [Login::Address, key, Login::Unix("/tmp".into()), Login::Cookie("x".into())] {
        let (here, _there) = duplex(4096);
        let silent = soon(Client::login(here, &[login], config.clone())).await;
        assert!(matches!(silent, Err(Error::Silent { .. })));
    }
    let (here, mut there) = duplex(4096);
    tokio::spawn(async move { while there.write_all(&[b'y'; 1000]).await.is_ok() {} });
    let endless = soon(Client::login(here, &[Login::Address], config)).await;
    assert!(matches!(endless, Err(Error::BadReply { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_given_up_does_no_harm_but_in_the_midst_of_a_file() {
    let served = crate::setup::Served::new().await;
    std::fs::File::create(served.root().join("big")).unwrap().set_len(1 << 30).unwrap();
    let client = served.client().await;
    for _ in 0..50 {
        let stat = client.stat("/big");
        tokio::select! { biased; _ = stat => {}, () = std::future::ready(()) => {} }
    }
    assert_eq!(client.stat("/big").await.unwrap().size, 1 << 30);
    // A reader that fails in mid-file.
    let mut room = [0; 100_000];
    let mut full = std::io::Cursor::new(&mut room[..]);
    let error = soon(client.getfile_into("/big", &mut full)).await.unwrap_err();
    assert!(matches!(error, Error::Local { .. }), "{error}");
    assert!(soon(client.stat("/big")).await.is_err(), "the rest is not waited for");
}
