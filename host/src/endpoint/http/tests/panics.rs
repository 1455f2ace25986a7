//! A mistake of ours ends the request it happens in, and nothing else.

use super::*;

fn is_told(fault: &Fault) {
    assert_eq!((fault.code(), fault.slug()), (code::INTERNAL_ERROR, Some("internal")));
    assert!(fault.message().starts_with("panic failed by a mistake in the host agent"), "{fault}");
}

#[tokio::test]
async fn a_panic_ends_its_call_and_neither_others_nor_the_connection() {
    let bed = Bed::new().await;
    let mut waiting = bed.connect().await;
    waiting.send(&post(&document("wait", vec![]), "")).await;
    bed.wait_begun().await;
    let mut connection = bed.connect().await;
    for _ in 0..2 {
        connection.send(&post(&document("panic", vec![]), "")).await;
        is_told(&connection.reply().await.fault());
        connection.send(&post(&document("echo", vec![]), "")).await;
        assert_eq!(connection.reply().await.response(), Ok(Value::from(vec![])));
    }
    assert!(timeout(Duration::from_millis(10), waiting.reply()).await.is_err(), "others go on");
}

#[tokio::test]
async fn a_panic_in_a_multicall_is_a_fault_in_its_place() {
    let bed = Bed::new().await;
    let call = |name: &str| Value::from([("methodName", Value::from(name)), ("params", Value::from(vec![]))]);
    let calls = Value::from(vec![call("echo"), call("panic"), call("echo")]);
    let Value::Array(answers) = bed.call("system.multicall", vec![calls]).await.unwrap() else { panic!() };
    let echoed = Value::from(vec![Value::from(vec![])]);
    assert_eq!((&answers[0], &answers[2]), (&echoed, &echoed));
    assert_eq!(answers[1].member("faultCode"), Some(&Value::Int(code::INTERNAL_ERROR)));
}

#[tokio::test]
async fn a_panic_outside_of_calls_is_status_500_and_counted() {
    let extra = axum::Router::new().route("/broken", axum::routing::get(broken));
    let bed = Bed::with(HttpConfig { extra, ..HttpConfig::new(TOKEN) }).await;
    let get = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n")
            .into_bytes()
    };
    let mut connection = bed.connect().await;
    connection.send(&get("/broken")).await;
    let reply = connection.reply().await;
    assert_eq!(reply.status, 500);
    assert!(
        reply.text().starts_with("internal: \"/broken\" failed by a mistake in the host agent"),
        "{}",
        reply.text()
    );
    connection.send(&get("/metrics")).await;
    let metrics = connection.reply().await;
    let line = metrics.text().lines().find(|line| line.starts_with("vocable_panics_total")).unwrap();
    assert!(!line.ends_with(" 0"), "{line}");
    let api = bed.exchange(&get("/api/broken")).await;
    assert_eq!(api.status, 405, "{}", api.text());
}

async fn broken() -> &'static str {
    panic!("for tests")
}
