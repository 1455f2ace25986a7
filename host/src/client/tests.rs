//! The client against the real endpoint, and against servers that are none.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    thread,
};

use crate::http::tests::{Bed, TOKEN};
use crate::http::{Identity, Listener};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// Calls `method` of the endpoint, off the thread that serves it.
async fn call(bed: &Bed, token: &str, method: &'static str, timeout: Duration) -> Result<Value, ClientError> {
    let client = Client::new(&format!("http://{}", bed.address), token).unwrap();
    let call = move || client.call(method, vec![Value::from("ü"), Value::Int(1)], timeout);
    tokio::task::spawn_blocking(call).await.unwrap()
}

/// A server that reads a request, answers with these bytes and closes.
fn canned(reply: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"</methodCall>\n") {
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).unwrap();
            request.extend_from_slice(&buffer[..length]);
        }
        stream.write_all(reply.as_bytes()).unwrap();
    });
    address
}

fn error_of(reply: &'static str) -> ClientError {
    let client = Client::new(&format!("http://{}/", canned(reply)), TOKEN).unwrap();
    client.call("m", vec![], PATIENCE).unwrap_err()
}

#[tokio::test]
async fn a_result_comes_back() {
    let bed = Bed::new().await;
    let expected = Value::from(vec![Value::from("ü"), Value::Int(1)]);
    assert_eq!(call(&bed, TOKEN, "echo", PATIENCE).await.unwrap(), expected);
}

#[tokio::test]
async fn a_fault_has_the_slug_of_its_text() {
    let bed = Bed::new().await;
    let error = call(&bed, TOKEN, "fault", PATIENCE).await.unwrap_err();
    assert_eq!(error.slug(), "guest-offline");
    assert!(matches!(&error, ClientError::Fault(fault) if fault.code() == 103), "{error:?}");
    assert_eq!(error.to_string(), "guest-offline: vm1 does not answer");
}

#[tokio::test]
async fn a_wrong_token_is_told_apart() {
    let bed = Bed::new().await;
    let error = call(&bed, "other", "echo", PATIENCE).await.unwrap_err();
    assert_eq!(error.slug(), "not-authorised");
    assert_eq!(error.to_string(), format!("the host agent at {} does not accept the token", bed.address));
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
    let error = client.call("m", vec![], PATIENCE).unwrap_err();
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
    assert!(error.to_string().ends_with("is no host agent: HTTP 404, \"nothing\""), "{error}");
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
    let error = client.call("m", vec![Value::Double(f64::NAN)], PATIENCE).unwrap_err();
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
        let call = move || Client::trusting(&url, TOKEN, &trusted)?.call("echo", vec![], PATIENCE);
        tokio::task::spawn_blocking(call)
    };
    assert_eq!(call(trusted).await.unwrap().unwrap(), Value::from(vec![]));
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
    let bed = Bed::at(Listener::Unix(crate::http::unix(&path, 0o600).unwrap())).await;
    let client = Client::new(&format!("unix:{}", path.display()), "").unwrap();
    let twice = move || (0..2).map(|_| client.call("echo", vec![], PATIENCE)).collect::<Vec<_>>();
    for answer in tokio::task::spawn_blocking(twice).await.unwrap() {
        assert_eq!(answer.unwrap(), Value::from(vec![]));
    }
    drop(bed);
    let gone = Client::new(&format!("unix:{}", folder.path().join("none").display()), "").unwrap();
    let error = tokio::task::spawn_blocking(move || gone.call("echo", vec![], PATIENCE)).await.unwrap();
    assert_eq!(error.unwrap_err().slug(), "no-agent");
}
