//! Requests that are no calls: without the token, of the wrong kind, from web pages, to elsewhere.

use super::*;

/// A request whose header fields are all the test's own.
fn request(fields: &str) -> Vec<u8> {
    let document = document("echo", vec![]);
    let head =
        format!("POST / HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {}\r\n\r\n", document.len());
    [head.as_bytes(), &document].concat()
}

#[tokio::test]
async fn without_the_token_nothing_is_called() {
    let bed = Bed::new().await;
    for authorization in ["", "Authorization: Bearer other\r\n", "Authorization: Basic YWdlbnQ6b3RoZXI=\r\n"]
    {
        let reply = bed.exchange(&request(&format!("{authorization}Content-Type: text/xml\r\n"))).await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.header("www-authenticate"), Some("Basic realm=\"vocable\""));
        assert!(!reply.text().contains(TOKEN));
    }
}

#[tokio::test]
async fn the_token_may_be_a_password() {
    let bed = Bed::new().await;
    // agent:s3cret
    let reply =
        bed.exchange(&request("Authorization: Basic YWdlbnQ6czNjcmV0\r\nContent-Type: text/xml\r\n")).await;
    assert_eq!(reply.response(), Ok(Value::from(vec![])));
}

#[tokio::test]
async fn a_refused_connection_may_try_again() {
    let bed = Bed::new().await;
    let mut connection = bed.connect().await;
    connection.send(&request("Content-Type: text/xml\r\n")).await;
    assert_eq!(connection.reply().await.status, 401);
    connection.send(&post(&document("echo", vec![]), "")).await;
    assert_eq!(connection.reply().await.response(), Ok(Value::from(vec![])));
}

#[tokio::test]
async fn only_xml_is_accepted() {
    let bed = Bed::new().await;
    let with = |content_type: &str| request(&format!("Authorization: Bearer {TOKEN}\r\n{content_type}"));
    for accepted in ["Content-Type: text/xml; charset=\"utf-8\"\r\n", "Content-Type: Application/XML\r\n"] {
        assert_eq!(bed.exchange(&with(accepted)).await.status, 200, "{accepted}");
    }
    for refused in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/json\r\n",
        "Content-Type: text/xml2\r\n",
        "Content-Type: text/xml\r\nContent-Encoding: gzip\r\n",
    ] {
        assert_eq!(bed.exchange(&with(refused)).await.status, 415, "{refused}");
    }
}

#[tokio::test]
async fn web_pages_are_refused() {
    let bed = Bed::new().await;
    let document = document("echo", vec![]);
    for origin in ["http://evil.example", "http://127.0.0.1", "null", ""] {
        let reply = bed.exchange(&post(&document, &format!("Origin: {origin}\r\n"))).await;
        assert_eq!(reply.status, 403, "{origin}");
    }
    let reply = bed.exchange(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a\r\n\r\n").await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn a_person_is_told_what_this_is() {
    let bed = Bed::new().await;
    for path in ["/", "/RPC2"] {
        let reply = bed.exchange(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.text().lines().count(), 1);
        assert!(reply.text().starts_with("Vocable host agent. XML-RPC: POST to /RPC2"));
    }
}

#[tokio::test]
async fn health_is_told_without_a_token() {
    let reply = Bed::new().await.exchange(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!((reply.status, reply.text()), (200, "ok\n"));
}

#[tokio::test]
async fn elsewhere_is_nothing() {
    let bed = Bed::new().await;
    assert_eq!(bed.exchange(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await.status, 404);
    let put = format!(
        "PUT /RPC2 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 0\r\n\r\n"
    );
    let put = bed.exchange(put.as_bytes()).await;
    assert_eq!((put.status, put.header("allow")), (405, Some("GET,HEAD,POST")));
    assert_eq!(bed.exchange(b"nonsense\r\n\r\n").await.status, 400);
}
