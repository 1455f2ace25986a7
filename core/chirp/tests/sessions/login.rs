//! Who gets in, and who doesn't.

use crate::kit::soon;
use crate::setup::{Served, limits};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vocable_chirp::client::{Client, Config, Error, Login};
use vocable_chirp::server::{Limits, Rights};
use vocable_chirp::{Secret, TicketKey};

/// Made with `openssl genpkey -algorithm RSA` for these tests; opens nothing.
const KEY: &str = include_str!("ticket.pem");

async fn login(served: &Served, logins: &[Login]) -> Result<Client, Error> {
    let stream = TcpStream::connect(served.address).await.unwrap();
    Client::login(stream, logins, Config::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_secret_both_ends_know() {
    let served = Served::new().await;
    assert_eq!(login(&served, &[Login::Token(served.secret.clone())]).await.unwrap().subject(), "token:host");
    let wrong = login(&served, &[Login::Token(Secret::random().unwrap())]).await.unwrap_err();
    assert!(wrong.to_string().contains("token"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_good_for_one_connection() {
    let served = Served::new().await;
    // A wire-tapper between client and server keeps what is said, and says it again.
    let tap = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, to) = (tap.local_addr().unwrap(), served.address);
    let tapped = tokio::spawn(async move {
        let (mut client, _) = tap.accept().await.unwrap();
        let mut server = TcpStream::connect(to).await.unwrap();
        let mut said = Vec::new();
        let (mut read, mut write) = client.split();
        let (mut answers, mut asks) = server.split();
        let copy = async {
            let mut piece = [0; 4096];
            loop {
                match read.read(&mut piece).await.unwrap() {
                    0 => return,
                    len => {
                        said.extend_from_slice(&piece[..len]);
                        asks.write_all(&piece[..len]).await.unwrap();
                    }
                }
            }
        };
        tokio::select! { () = copy => {}, _ = tokio::io::copy(&mut answers, &mut write) => {} }
        said
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let client =
        Client::login(stream, &[Login::Token(served.secret.clone())], Config::default()).await.unwrap();
    drop(client);
    let said = soon(tapped).await.unwrap();
    let mut again = TcpStream::connect(served.address).await.unwrap();
    again.write_all(&said).await.unwrap();
    again.shutdown().await.unwrap();
    let mut answer = String::new();
    soon(again.read_to_string(&mut answer)).await.unwrap();
    assert!(!answer.contains("host"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_challenged_anew_each_time() {
    let key = TicketKey::from_pem(KEY).unwrap();
    let served = Served::with(limits(), |config| config.logins.tickets = vec![key.ticket().clone()]).await;
    let client = login(&served, &[Login::Ticket(Box::new(key.clone()))]).await.unwrap();
    assert_eq!(client.subject(), format!("ticket:{}", key.ticket().digest()));
    let mut challenges = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(format!("ticket\n{}\n", key.ticket().digest()).as_bytes()).await.unwrap();
        let mut asked = [0; 4 + 3 + 64];
        soon(stream.read_exact(&mut asked)).await.unwrap();
        assert_eq!(&asked[..7], b"yes\n64\n");
        challenges.push(asked[7..].to_vec());
        // An old signature, or any other.
        stream.write_all(b"256\n").await.unwrap();
        stream.write_all(&[7; 256]).await.unwrap();
        let mut answer = [0; 8];
        soon(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"failure\n");
    }
    challenges.dedup();
    assert_eq!(challenges.len(), 3, "a signature made for one connection is worth nothing on another");
    // Another's ticket is declined, and one may try another way.
    let served = Served::new().await;
    let other = login(&served, &[Login::Ticket(Box::new(key)), Login::Address]).await.unwrap();
    assert_eq!(other.subject(), "address:127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_address_only_from_those_on_the_list() {
    let served =
        Served::with(limits(), |config| config.logins.addresses = vec!["192.0.2.1".parse().unwrap()]).await;
    assert!(matches!(login(&served, &[Login::Address, Login::Hostname]).await, Err(Error::Login { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_file_whose_owner_tells_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::with(limits(), |config| config.logins.unix = Some(folder.path().into())).await;
    let client = login(&served, &[Login::Unix(folder.path().into())]).await.unwrap();
    assert!(client.subject().starts_with("unix:"), "{}", client.subject());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    // A server that asks for a file elsewhere doesn't get it.
    let elsewhere = tempfile::tempdir().unwrap();
    login(&served, &[Login::Unix(elsewhere.path().into())]).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn before_that_nobody_is_served() {
    let served = Served::new().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"stat /\n\ngetdir /\nglobus\nkerberos\nhostname\ncookie x\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "no\nno\nno\nno\nno\nno\n-1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_is_sent_away() {
    let served = Served::with(Limits { handshake: Duration::from_millis(50), ..limits() }, |_| ()).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    assert_eq!(soon(stream.read(&mut [0; 9])).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_go_by_subject() {
    let served = Served::with(limits(), |config| {
        config.rights =
            vec![("token:*".into(), Rights::ALL), ("address:*".into(), Rights::parse("rl").unwrap())];
    })
    .await;
    std::fs::write(served.root().join("f"), "hello").unwrap();
    let reader = login(&served, &[Login::Address]).await.unwrap();
    assert_eq!(reader.getfile("/f", 9).await.unwrap(), "hello");
    for refused in [
        reader.putfile("/f", 0o644, bytes::Bytes::new().into()).await.map(drop),
        reader.unlink("/f").await,
        reader.rename("/f", "/g").await,
        reader.mkdir("/d", 0o755).await,
        reader.truncate("/f", 0).await,
        reader.symlink("f", "/l").await,
        reader.chmod("/f", 0o777).await,
    ] {
        assert_eq!(refused.unwrap_err().code(), Some(vocable_chirp::proto::Code::NotAuthorized));
    }
    assert_eq!(reader.getacl("/").await.unwrap(), [("address:127.0.0.1".to_owned(), "rl".to_owned())]);
    served.client().await.unlink("/f").await.unwrap();
}
