//! What the agent shows before it is trusted with the token.

use super::*;

fn get(query: &str) -> Vec<u8> {
    format!("GET /proof{query} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn the_agent_proves_that_it_knows_the_token_without_being_told() {
    let bed = Bed::new().await;
    let nonce = vocable_api::proof::nonce().unwrap();
    let reply = bed.exchange(&get(&format!("?nonce={nonce}"))).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert!(vocable_api::proof::is_right(TOKEN, &nonce, json["proof"].as_str().unwrap()));
    assert!(!reply.text().contains(TOKEN));
}

#[tokio::test]
async fn what_is_no_nonce_is_refused() {
    let bed = Bed::new().await;
    for query in ["", "?nonce=", "?nonce=00", "?other=1", &format!("?nonce={}", "g".repeat(64))] {
        let reply = bed.exchange(&get(query)).await;
        assert_eq!(
            (reply.status, reply.text()),
            (400, "the nonce must be 64 hexadecimal digits\n"),
            "{query}"
        );
    }
}

#[tokio::test]
async fn proofs_are_limited_in_their_rate_like_everything() {
    let bed = Bed::with(HttpConfig { max_rate: 2, ..HttpConfig::new(TOKEN) }).await;
    let mut connection = bed.connect().await;
    let mut refused = false;
    for _ in 0..200 {
        connection.send(&get("")).await;
        refused |= connection.reply().await.status == 429;
        if refused {
            break;
        }
    }
    assert!(refused);
}
