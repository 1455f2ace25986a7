//! The client against the real endpoint, and against servers that are none.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use super::{Bed, TOKEN};
use crate::endpoint::http::{Identity, Listener};
use std::io;
use std::time::Duration;
use vocable_api::client::{Client, ClientError, Trust};
use vocable_copy::Remote as _;
use vocable_copy::tree::Item;
use vocable_xmlrpc::Value;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Calls `method` of the endpoint, off the thread that serves it.
async fn call(bed: &Bed, token: &str, method: &'static str, timeout: Duration) -> Result<Value, ClientError> {
    let client = Client::new(&format!("http://{}", bed.address), token).unwrap();
    let call = move || client.call_by_name(method, vec![Value::from("ü"), Value::Int(1)], timeout);
    tokio::task::spawn_blocking(call).await.unwrap()
}

/// A server that proves who it is, reads a request, answers with these bytes and closes.
fn canned(reply: &'static str) -> SocketAddr {
    serving(move |stream| {
        let nonce = nonce(&read_to(stream, b"\r\n\r\n"));
        let body = format!("{{\"proof\": \"{}\"}}", vocable_api::proof::of(TOKEN, &nonce).unwrap());
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all([head, body].concat().as_bytes()).unwrap();
        read_to(stream, b"</methodCall>\n");
        stream.write_all(reply.as_bytes()).unwrap();
    })
}

/// A server that does this with its one connection.
fn serving(serve: impl FnOnce(&mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve(&mut listener.accept().unwrap().0));
    address
}

fn read_to(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    while !request.ends_with(end) {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).unwrap();
        assert_ne!(length, 0, "{:?}", String::from_utf8_lossy(&request));
        request.extend_from_slice(&buffer[..length]);
    }
    request
}

fn nonce(request: &[u8]) -> String {
    let text = String::from_utf8(request.to_vec()).unwrap();
    let rest = text.strip_prefix("GET /proof?nonce=").expect("a proof is asked for first");
    rest.split(' ').next().unwrap().to_owned()
}

/// A server of somebody else: it answers everything with this until the other end goes, and tells what it was sent.
fn stranger(reply: &'static str) -> (SocketAddr, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listening = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            received.extend_from_slice(&buffer[..length]);
            if stream.write_all(reply.as_bytes()).is_err() {
                break;
            }
        }
        received
    });
    (address, listening)
}

fn error_of(reply: &'static str) -> ClientError {
    let client = Client::new(&format!("http://{}/", canned(reply)), TOKEN).unwrap();
    client.call_by_name("m", vec![], TIMEOUT).unwrap_err()
}

/// What strangers may say; the last proves that it knows another token.
const STRANGERS: [&str; 5] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"proof\": \"12ab\"}",
    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"vocable\"\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
];

#[test]
fn no_stranger_is_sent_the_token_or_a_call_or_a_file() {
    for reply in STRANGERS {
        let ways: [fn(&Client) -> ClientError; 3] = [
            |client| client.call_by_name("m", vec![Value::from("secret argument")], TIMEOUT).unwrap_err(),
            |client| client.files("vm1").stat(b"secret").unwrap_err(),
            |client| client.files("vm1").put(b"secret", &mut [Item::Done].into_iter()).unwrap_err(),
        ];
        for way in ways {
            let (address, listening) = stranger(reply);
            let client = Client::new(&format!("http://{address}"), TOKEN).unwrap();
            let error = way(&client);
            assert_eq!(error.slug(), "unproven", "{error}");
            assert_eq!(
                error.to_string(),
                format!(
                    "what answers at {address} did not prove that it is your Vocable host agent; the token was not sent"
                )
            );
            drop(client);
            nothing_was_told(listening);
        }
    }
}

#[tokio::test]
async fn no_stranger_is_attached_to() {
    for reply in STRANGERS {
        let (address, listening) = stranger(reply);
        let client = Client::new(&format!("http://{address}"), TOKEN).unwrap();
        let Err(error) = client.attach("/secret").await else { panic!("attached") };
        assert_eq!(error.slug(), "unproven", "{error}");
        nothing_was_told(listening);
    }
}

fn nothing_was_told(listening: thread::JoinHandle<Vec<u8>>) {
    let told = String::from_utf8(listening.join().unwrap()).unwrap();
    assert!(told.starts_with("GET /proof?nonce=") && !told.contains("cret"), "{told}");
}

#[test]
fn without_a_token_nobody_is_told_anything() {
    let (address, listening) = stranger(STRANGERS[0]);
    let client = Client::new(&format!("http://{address}"), "").unwrap();
    assert_eq!(client.call_by_name("secret", vec![], TIMEOUT).unwrap_err().slug(), "not-authorised");
    drop(client);
    nothing_was_told(listening);
}

#[test]
fn each_connection_is_proven_anew() {
    // The agent answers one call and ends; whoever has its port then is somebody else.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let nonce = nonce(&read_to(&mut stream, b"\r\n\r\n"));
        let body = format!("{{\"proof\": \"{}\"}}", vocable_api::proof::of(TOKEN, &nonce).unwrap());
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all([head, body].concat().as_bytes()).unwrap();
        read_to(&mut stream, b"</methodCall>\n");
        drop(stream);
        let (mut stream, _) = listener.accept().unwrap();
        let request = read_to(&mut stream, b"\r\n\r\n");
        stream.write_all(STRANGERS[2].as_bytes()).unwrap();
        request
    });
    let client = Client::new(&format!("http://{address}"), TOKEN).unwrap();
    assert_eq!(client.call_by_name("m", vec![], TIMEOUT).unwrap_err().slug(), "connection-lost");
    assert_eq!(client.call_by_name("m", vec![], TIMEOUT).unwrap_err().slug(), "unproven");
    assert!(!String::from_utf8(serving.join().unwrap()).unwrap().contains(TOKEN));
}

#[test]
fn an_agent_that_ends_is_not_there() {
    let client = Client::new(&format!("http://{}", serving(|_| ())), TOKEN).unwrap();
    assert_eq!(client.call_by_name("m", vec![], TIMEOUT).unwrap_err().slug(), "no-agent");
}

#[tokio::test]
async fn a_result_comes_back() {
    let bed = Bed::new().await;
    let expected = Value::from(vec![Value::from("ü"), Value::Int(1)]);
    assert_eq!(call(&bed, TOKEN, "echo", TIMEOUT).await.unwrap(), expected);
}

#[tokio::test]
async fn a_fault_has_the_slug_of_its_text() {
    let bed = Bed::new().await;
    let error = call(&bed, TOKEN, "fault", TIMEOUT).await.unwrap_err();
    assert_eq!(error.slug(), "guest-offline");
    assert!(matches!(&error, ClientError::Fault(fault) if fault.code() == 103), "{error:?}");
    assert_eq!(error.to_string(), "guest-offline: vm1 does not answer");
}

#[tokio::test]
async fn with_a_wrong_token_nobody_can_be_recognised() {
    let bed = Bed::new().await;
    let error = call(&bed, "other", "echo", TIMEOUT).await.unwrap_err();
    assert_eq!(error.slug(), "unproven");
    assert!(
        matches!(&error, ClientError::Unproven { problem, .. } if problem == "it does not know the token")
    );
    assert_eq!(call(&bed, "", "echo", TIMEOUT).await.unwrap_err().slug(), "not-authorised");
}

#[tokio::test]
async fn waiting_has_an_end() {
    let bed = Bed::new().await;
    let error = call(&bed, TOKEN, "wait", Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.slug(), "timed-out");
    assert_eq!(error.to_string(), format!("the host agent at {} did not answer within 0.2 s", bed.address));
}

#[test]
fn nobody_there_is_told_with_address_and_reason() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(&format!("http://{address}"), TOKEN).unwrap();
    let error = client.call_by_name("m", vec![], TIMEOUT).unwrap_err();
    assert_eq!(error.slug(), "no-agent");
    assert_eq!(error.to_string(), format!("no host agent answers at {address}"));
    let ClientError::Unreachable { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_connection_that_breaks_is_told_apart() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<methodResponse>";
    for reply in ["", cut] {
        let error = error_of(reply);
        assert_eq!(error.slug(), "connection-lost", "{error:?}");
    }
}

#[test]
fn other_servers_are_told_apart() {
    let error = error_of("HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\nnothing\nhere\n");
    assert_eq!(error.slug(), "bad-reply");
    assert!(error.to_string().ends_with("is not a Vocable host agent: HTTP 404, \"nothing\""), "{error}");
    let error = error_of("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>");
    assert!(error.to_string().contains("the element \"html\", which XML-RPC does not have,"), "{error}");
    let error = error_of("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    assert!(error.to_string().contains("HTTP 302"), "{error}");
    assert_eq!(error_of("SSH-2.0-OpenSSH_9.2\r\n").slug(), "bad-reply");
}

#[test]
fn addresses_are_checked_and_never_shown_with_a_password() {
    for url in
        ["", "127.0.0.1:8700", "ftp://localhost", "http://", "http:///x", "/run/api.sock", "http://a b"]
    {
        let error = Client::new(url, TOKEN).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("\"{url}\" is not of the form http://HOST:PORT/, https://HOST:PORT/ or unix:/PATH")
        );
    }
    let client = Client::new("http://agent:hidden@127.0.0.1:8700/RPC2", TOKEN).unwrap();
    assert_eq!(client.address(), "127.0.0.1:8700");
    assert!(!format!("{client:?}").contains("hidden"));
    assert!(!format!("{client:?}").contains(TOKEN));
    assert_eq!(Client::new("http://[::1]:8700", TOKEN).unwrap().address(), "[::1]:8700");
}

#[test]
fn a_value_that_cannot_be_sent_is_a_bad_argument() {
    let client = Client::new("http://127.0.0.1:1", TOKEN).unwrap();
    let error = client.call_by_name("m", vec![Value::Double(f64::NAN)], TIMEOUT).unwrap_err();
    assert_eq!(error.slug(), "bad-argument");
}

#[tokio::test]
async fn over_tls_the_agent_is_known_by_its_certificate() {
    let state = tempfile::tempdir().unwrap();
    let own = Identity::own(state.path(), &[[127, 0, 0, 1].into()]).unwrap();
    let trusted = std::fs::read(&own.certificate).unwrap();
    let bed = Bed::listening(|listener| Listener::Tls(listener, own.acceptor().unwrap())).await;
    let url = format!("https://{}", bed.address);
    let call = |trusted: Vec<u8>| {
        let url = url.clone();
        let trust = Trust { certificates: trusted, owners: Vec::new() };
        let call = move || Client::trusting(&url, TOKEN, &trust)?.call_by_name("echo", vec![], TIMEOUT);
        tokio::task::spawn_blocking(call)
    };
    assert_eq!(call(trusted).await.unwrap().unwrap(), Value::from(vec![]));
    // Files go the same way: encrypted, and to nobody else. There are none here, and that is answered.
    let trust = Trust { certificates: std::fs::read(&own.certificate).unwrap(), owners: Vec::new() };
    let client = Client::trusting(&url, TOKEN, &trust).unwrap();
    let files = tokio::task::spawn_blocking(move || client.files("vm1").stat(b"x")).await.unwrap();
    let answer = files.unwrap_err();
    assert!(answer.to_string().ends_with("HTTP 404"), "{answer}");
    let other = tempfile::tempdir().unwrap();
    let stranger = Identity::own(other.path(), &[[127, 0, 0, 1].into()]).unwrap();
    let error = call(std::fs::read(&stranger.certificate).unwrap()).await.unwrap().unwrap_err();
    assert_eq!(error.slug(), "untrusted", "{error}");
    assert!(matches!(call(Vec::new()).await.unwrap(), Err(ClientError::BadCertificate)));
}

#[tokio::test]
async fn at_the_socket_the_kernel_vouches_for_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let bed = Bed::at(Listener::Unix(crate::endpoint::http::unix(&path, 0o600).unwrap())).await;
    let client = Client::new(&format!("unix:{}", path.display()), "").unwrap();
    let twice = move || (0..2).map(|_| client.call_by_name("echo", vec![], TIMEOUT)).collect::<Vec<_>>();
    for answer in tokio::task::spawn_blocking(twice).await.unwrap() {
        assert_eq!(answer.unwrap(), Value::from(vec![]));
    }
    drop(bed);
    let gone = Client::new(&format!("unix:{}", folder.path().join("none").display()), "").unwrap();
    let error =
        tokio::task::spawn_blocking(move || gone.call_by_name("echo", vec![], TIMEOUT)).await.unwrap();
    assert_eq!(error.unwrap_err().slug(), "no-agent");
}
