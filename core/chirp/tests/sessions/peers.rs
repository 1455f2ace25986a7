//! The real programs at one end: {their client, htchirp} with our server, our client with their server, and theirs
//! with theirs, to see that the tests ask for nothing they can't do.

use crate::kit::{RealServer, hard_names, hard_tree, python, real_programs, run, same};
use crate::setup::Served;
use bytes::Bytes;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::time::Duration;
use tempfile::tempdir;
use tokio::net::TcpStream;
use tokio::time::timeout;
use vocable_chirp::client::{Algorithm, Body, Client, Config, Login};
use vocable_chirp::proto::{Code, Flags};
use vocable_chirp::{Ticket, TicketKey};

async fn put_and_get(host: &str) {
    let here = tempdir().unwrap();
    let (tree, back) = (here.path().join("tree"), here.path().join("back"));
    fs::create_dir(&tree).unwrap();
    hard_tree(&tree);
    symlink("empty", tree.join("link")).unwrap();
    symlink("no/where", tree.join("dangling")).unwrap();
    run("chirp_put", &["-a", "address", "-t", "20", tree.to_str().unwrap(), host, "/tree"]).await.unwrap();
    run("chirp_get", &["-a", "address", "-t", "20", host, "/tree", back.to_str().unwrap()]).await.unwrap();
    same(&tree, &back);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_clients_put_and_get_trees_at_the_real_server() {
    if real_programs() {
        let server = RealServer::start().await;
        put_and_get(&format!("127.0.0.1:{}", server.port)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_clients_put_and_get_trees_at_ours() {
    if !real_programs() {
        return;
    }
    let served = Served::new().await;
    put_and_get(&served.address.to_string()).await;
    let stat = fs::metadata(served.root().join("tree/big")).unwrap();
    assert_eq!(stat.mode() & 0o777, 0o644, "permissions are kept, not cut to the owner's");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_client_says_everything_it_can_to_our_server() {
    if !real_programs() {
        return;
    }
    let served = Served::new().await;
    let (host, root) = (served.address.to_string(), served.root());
    let chirp = async |words: &[&str]| {
        let mut all = vec!["-a", "address", "-t", "10", host.as_str()];
        all.extend(words);
        run("chirp", &all).await
    };
    fs::write(root.join("f"), "hello").unwrap();
    assert_eq!(chirp(&["whoami"]).await.unwrap().trim(), "address:127.0.0.1");
    chirp(&["mkdir", "/d"]).await.unwrap();
    chirp(&["mkdir", "-p", "/e/f/g"]).await.unwrap();
    assert!(root.join("e/f/g").is_dir());
    chirp(&["mv", "/f", "/d/moved"]).await.unwrap();
    assert_eq!(chirp(&["cat", "/d/moved"]).await.unwrap(), "hello");
    assert!(chirp(&["ls", "-la", "/d"]).await.unwrap().contains("moved"));
    assert!(chirp(&["ls", "/"]).await.unwrap().contains('e'));
    assert!(chirp(&["stat", "/d/moved"]).await.unwrap().contains("size:    5"));
    assert!(chirp(&["md5", "/d/moved"]).await.unwrap().contains("5D41402ABC4B2A76B9719D911017C592"));
    assert!(chirp(&["df"]).await.unwrap().contains("TOTAL"));
    assert!(chirp(&["getacl", "/"]).await.unwrap().contains("address:127.0.0.1 rwld"));
    chirp(&["chmod", "0600", "/d/moved"]).await.unwrap();
    assert_eq!(fs::metadata(root.join("d/moved")).unwrap().mode() & 0o777, 0o600);
    assert!(chirp(&["localpath", "/d"]).await.unwrap().contains(root.join("d").to_str().unwrap()));
    assert!(chirp(&["audit", "-r"]).await.unwrap().contains("address:127.0.0.1"));
    assert!(chirp(&["ln", "/d/moved", "/d/hard"]).await.is_ok());
    assert_eq!(fs::metadata(root.join("d/moved")).unwrap().nlink(), 2);
    // Refused, and the session goes on.
    assert!(chirp(&["setacl", "/", "unix:*", "rwlda"]).await.is_err());
    assert!(chirp(&["whoareyou", &host]).await.is_err());
    let sink = tempdir().unwrap();
    assert!(chirp(&["thirdput", "/d", &host, sink.path().to_str().unwrap()]).await.is_err());
    chirp(&["rm", "/d"]).await.unwrap();
    assert!(!root.join("d").exists());
    // Streams.
    let (file, back) = (sink.path().join("file"), sink.path().join("back"));
    fs::write(&file, b"one line\n".repeat(30_000)).unwrap();
    let copy = ["-a", "address", "copy", file.to_str().unwrap(), &host, "/streamed"];
    run("chirp_stream_files", &copy).await.unwrap();
    // A stream has no answer: the file is there a moment after the client has gone.
    let there = async {
        while !root.join("streamed").exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), there).await.expect("what was streamed");
    let join = ["-a", "address", "join", back.to_str().unwrap(), &host, "/streamed"];
    run("chirp_stream_files", &join).await.unwrap();
    assert!(fs::read(root.join("streamed")).unwrap() == fs::read(&file).unwrap());
    assert!(fs::read(&back).unwrap() == fs::read(&file).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_uses_the_real_server_and_sends_names_right() {
    if !real_programs() {
        return;
    }
    let server = RealServer::start().await;
    let connect = || async {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
        let token = Login::Token(vocable_chirp::Secret::random().unwrap());
        Client::login(stream, &[token, Login::Address], Config::default()).await.unwrap()
    };
    let client = connect().await;
    assert!(!client.is_ours());
    assert_eq!(client.subject(), "address:127.0.0.1");
    let more = ["ünïcode", "tab\tbed", "日本", "cr\r"].map(str::to_owned);
    for name in hard_names().into_iter().chain(more) {
        let path = format!("/{name}");
        let content = Bytes::from(name.clone());
        client.putfile(&path, 0o644, content.clone().into()).await.unwrap();
        assert_eq!(fs::read(server.root().join(&name)).unwrap(), content, "{name:?}");
        assert_eq!(client.getfile(&path, 999).await.unwrap(), content);
        assert!(client.getdir("/").await.unwrap().iter().any(|other| other.as_bytes() == name.as_bytes()));
    }
    client.putfile("/empty", 0o644, Bytes::new().into()).await.unwrap();
    let big = Bytes::from(vec![5; 5_000_000]);
    client.putfile("/big", 0o644, big.clone().into()).await.unwrap();
    assert_eq!(client.getfile("/big", 5_000_000).await.unwrap(), big);
    client.mkdir("/d", 0o755).await.unwrap();
    client.rename("/big", "/d/big").await.unwrap();
    client.symlink("big", "/d/link").await.unwrap();
    assert_eq!(client.readlink("/d/link").await.unwrap(), b"big");
    assert_eq!(client.hash(Algorithm::Sha1, "/d/big").await.unwrap().len(), 20);
    let refused = client.hash(Algorithm::Sha256, "/d/big").await;
    assert_eq!(refused.unwrap_err().code(), Some(Code::InvalidRequest));
    assert_eq!(client.vlist("/d").await.unwrap_err().code(), Some(Code::InvalidRequest));
    let (fd, _) =
        client.open("/d/big", Flags { read: true, write: true, ..Flags::default() }, 0).await.unwrap();
    client.pwrite(fd, Bytes::from("resumed"), 4_999_000).await.unwrap();
    assert_eq!(client.pread(fd, 7, 4_999_000).await.unwrap(), "resumed");
    client.close(fd).await.unwrap();
    assert!(client.statfs("/").await.unwrap().blocks > 0);
    assert_eq!(client.getlongdir("/d").await.unwrap().len(), 2);
    client.rmall("/d").await.unwrap();
    assert_eq!(client.stat("/d").await.unwrap_err().code(), Some(Code::DoesntExist));
    // A line the real server would hang up at is never sent.
    assert!(client.stat("x".repeat(2000)).await.is_err());
    client.stat("/").await.unwrap();
    let unix = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    let unix = Client::login(unix, &[Login::Unix("/tmp".into())], Config::default()).await.unwrap();
    assert!(unix.subject().starts_with("unix:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_of_the_real_client_is_good_at_both_servers() {
    if !real_programs() {
        return;
    }
    let server = RealServer::start().await;
    let here = tempdir().unwrap();
    let (host, file) = (format!("127.0.0.1:{}", server.port), here.path().join("my.ticket"));
    let create =
        ["ticket_create", "-output", file.to_str().unwrap(), "-bits", "2048", "-duration", "600", "/", "rwl"];
    run("chirp", &[&["-a", "address", host.as_str()][..], &create].concat()).await.unwrap();
    let key = TicketKey::from_pem(&fs::read_to_string(&file).unwrap()).unwrap();
    // Ours signs, theirs verifies.
    let login = [Login::Ticket(Box::new(key.clone()))];
    let stream = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    let client = Client::login(stream, &login, Config::default()).await.unwrap();
    client.putfile("/by-ticket", 0o644, Bytes::from("x").into()).await.unwrap();
    // Theirs signs, ours verifies.
    let served =
        Served::with(crate::setup::limits(), |config| config.logins.tickets = vec![key.ticket().clone()])
            .await;
    fs::write(served.root().join("f"), "hello").unwrap();
    let arguments =
        ["-a", "ticket", "-i", file.to_str().unwrap(), "-t", "10", &served.address.to_string(), "cat", "/f"];
    assert_eq!(run("chirp", &arguments).await.unwrap(), "hello");
    assert!(Ticket::from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_five_gibibytes_with_holes_goes_both_ways() {
    if !real_programs() {
        return;
    }
    // Most of it is a hole, and only its end is moved: through offsets no 32 bits hold.
    let far = 5 << 30;
    let served = Served::new().await;
    let file = fs::File::create(served.root().join("sparse")).unwrap();
    file.write_all_at(b"end", far).unwrap();
    let host = served.address.to_string();
    let told = run("chirp", &["-a", "address", &host, "stat", "/sparse"]).await.unwrap();
    assert!(told.contains(&(far + 3).to_string()), "{told}");
    let server = RealServer::start().await;
    for (port, address) in [(served.address.port(), Login::Address), (server.port, Login::Address)] {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let client = Client::login(stream, &[address], Config::default()).await.unwrap();
        let flags = Flags { read: true, write: true, create: true, ..Flags::default() };
        let (fd, _) = client.open("/sparse", flags, 0o644).await.unwrap();
        client.pwrite(fd, Bytes::from("end"), far).await.unwrap();
        assert_eq!(client.pread(fd, 10, far).await.unwrap(), "end");
        assert_eq!(client.fstat(fd).await.unwrap().size, far + 3);
    }
    let small = fs::metadata(served.root().join("sparse")).unwrap();
    assert!(small.blocks() * 512 < 1 << 20, "the hole is no content");
}

#[tokio::test(flavor = "multi_thread")]
async fn htchirp_reads_and_writes_by_its_own_escapes() {
    let Some(python) = python() else { return };
    let served =
        Served::with(crate::setup::limits(), |config| config.logins.cookie = Some("sesame".into())).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions/htchirp_client.py");
    let port = served.address.port().to_string();
    let said = run(python, &[script.to_str().unwrap(), &port, "sesame"]).await.unwrap();
    assert!(said.contains("htchirp is content"), "{said}");
    assert_eq!(fs::read(served.root().join("a b\\c")).unwrap(), b"written by htchirp");
    let here = tempdir().unwrap();
    let body = fs::File::create(here.path().join("x")).unwrap();
    let client = served.client().await;
    client.putfile("/x", 0o644, Body::file(body, 0, 0)).await.unwrap();
}
