//! Clients that want too much: length, memory, time, connections.

use super::*;

/// A server that takes requests of four thousand bytes.
async fn narrow() -> Bed {
    let read_timeout = Duration::from_millis(300);
    Bed::with(HttpConfig { max_request: 4000, read_timeout, ..HttpConfig::new(TOKEN) }).await
}

fn too_big(reply: &Reply) {
    assert_eq!(reply.fault().code(), code::TOO_BIG);
    assert_eq!(reply.fault().text(), "too-big: the request is longer than 4000 bytes (api.max_request)");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_a_fault_and_the_connection_goes_on() {
    let bed = narrow().await;
    let mut connection = bed.connect().await;
    connection.send(&post(&[b' '; 4001], "")).await;
    too_big(&connection.reply().await);
    connection.send(&post(&document("echo", vec![]), "")).await;
    assert_eq!(connection.reply().await.response(), Ok(Value::from(vec![])));
}

#[tokio::test]
async fn chunks_that_are_too_long_together_are_a_fault() {
    let bed = narrow().await;
    let head = head(0, "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let chunks = format!("3e8\r\n{}\r\n", " ".repeat(1000)).repeat(5);
    too_big(&bed.exchange(format!("{head}{chunks}0\r\n\r\n").as_bytes()).await);
}

#[tokio::test]
async fn a_body_that_does_not_end_is_given_up() {
    let bed = narrow().await;
    let mut connection = bed.connect().await;
    connection.send(head(usize::MAX / 4, "").as_bytes()).await;
    connection.send(&[b' '; 20_000]).await;
    let reply = connection.reply().await;
    too_big(&reply);
    assert_eq!(reply.header("connection"), Some("close"));
    connection.closed().await;
}

#[tokio::test]
async fn a_slow_body_is_given_up() {
    let bed = Bed::impatient().await;
    let mut connection = bed.connect().await;
    connection.send(head(100, "").as_bytes()).await;
    connection.send(b"<methodCall>").await;
    let reply = connection.reply().await;
    assert_eq!((reply.status, reply.text()), (408, "the request's body took too long\n"));
    connection.closed().await;
}

#[tokio::test]
async fn a_slow_head_is_given_up() {
    let bed = Bed::impatient().await;
    let mut connection = bed.connect().await;
    connection.send(b"POST /RPC2 HTTP/1.1\r\nHost: ").await;
    connection.closed().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let bed = Bed::impatient().await;
    let mut connection = bed.connect().await;
    connection.send(&post(&document("echo", vec![]), "")).await;
    assert_eq!(connection.reply().await.response(), Ok(Value::from(vec![])));
    connection.closed().await;
    bed.connect().await.closed().await;
}

#[tokio::test]
async fn a_reply_that_nobody_takes_is_given_up() {
    let config = HttpConfig::new(TOKEN);
    let bed =
        Bed::with(HttpConfig { max_connections: 1, read_timeout: Duration::from_millis(300), ..config })
            .await;
    let mut greedy = bed.connect().await;
    greedy.send(&post(&document("echo", vec![Value::Base64(vec![0; 11 << 20])]), "")).await;
    assert_eq!(bed.call("echo", vec![]).await, Ok(Value::from(vec![])));
}

#[tokio::test]
async fn a_long_head_is_refused() {
    let bed = Bed::new().await;
    let long = format!("X: {}\r\n", "x".repeat(40_000));
    assert_eq!(bed.exchange(&post(b"", &long)).await.status, 431);
    let many: String = (0..100).map(|number| format!("X{number}: x\r\n")).collect();
    assert_eq!(bed.exchange(&post(b"", &many)).await.status, 431);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_while_all_are_busy() {
    let bed = Bed::with(HttpConfig { max_connections: 2, ..HttpConfig::new(TOKEN) }).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut connection = bed.connect().await;
        connection.send(&post(&document("wait", vec![]), "")).await;
        bed.wait_begun().await;
        busy.push(connection);
    }
    let mut third = bed.connect().await;
    third.send(&post(&document("echo", vec![]), "")).await;
    assert!(
        timeout(Duration::from_millis(100), third.reply()).await.is_err(),
        "a third connection was served"
    );
    busy.pop();
    assert_eq!(third.reply().await.response(), Ok(Value::from(vec![])));
}

#[tokio::test]
async fn bodies_share_a_bounded_memory() {
    let bed = narrow().await;
    let full = document("wait", vec![Value::from(" ".repeat(3500))]);
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut connection = bed.connect().await;
        connection.send(&post(&full, "")).await;
        bed.wait_begun().await;
        waiting.push(connection);
    }
    let fault = bed.exchange(&post(&full, "")).await.fault();
    assert_eq!(fault.text(), "too-many: too many large requests at a time");
    waiting.pop();
    timeout(DEADLINE, bed.methods.dropped.acquire()).await.unwrap().unwrap().forget();
    assert_eq!(bed.call("echo", vec![]).await, Ok(Value::from(vec![])));
}

#[tokio::test]
async fn connections_that_say_nothing_make_room_for_those_that_ask() {
    let bed = Bed::with(HttpConfig { max_connections: 8, ..HttpConfig::new(TOKEN) }).await;
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(bed.connect().await);
    }
    assert_eq!(bed.call("echo", vec![]).await, Ok(Value::from(vec![])));
    idle.remove(0).closed().await;
}

#[tokio::test]
async fn who_asks_too_fast_is_told_when_to_come_back() {
    let bed = Bed::with(HttpConfig { max_rate: 2, ..HttpConfig::new(TOKEN) }).await;
    let mut connection = bed.connect().await;
    let mut refused = None;
    // Far more than two a second, whatever the machine does meanwhile.
    for _ in 0..200 {
        connection.send(&post(&document("echo", vec![]), "")).await;
        let reply = connection.reply().await;
        if reply.status != 200 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("a refusal");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert_eq!(refused.text(), "too many requests; wait 1 s (api.max_rate)\n");
}

/// A server whose answers have at most four thousand bytes.
async fn terse() -> Bed {
    Bed::with(HttpConfig { max_answer: 4000, ..HttpConfig::new(TOKEN) }).await
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_a_fault_that_says_so() {
    let bed = terse().await;
    let fault = bed.call("echo", vec![Value::from("x".repeat(5000))]).await.unwrap_err();
    assert_eq!(fault.code(), code::TOO_BIG);
    let text = "too-big: echo: the answer has 5064 bytes of 4000 at most; ask for less of it at a time";
    assert!(fault.text().starts_with(text), "{fault}");
    assert!(bed.call("echo", vec![Value::from("x".repeat(3000))]).await.is_ok());
    let body = format!("{{\"target\": \"{}\"}}", "x".repeat(5000));
    let request = format!(
        "POST /api/echo HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(bed.exchange(request.as_bytes()).await.status, 413);
}

#[tokio::test]
async fn the_answers_of_a_multicall_share_the_length_of_one() {
    let bed = terse().await;
    let call = |length: usize| {
        let params = Value::from(vec![Value::from("x".repeat(length))]);
        Value::from([("methodName", Value::from("echo")), ("params", params)])
    };
    let calls = Value::from(vec![call(1500), call(1500), call(1500), call(10), call(1500)]);
    let Ok(Value::Array(answers)) = bed.call("system.multicall", vec![calls]).await else { panic!() };
    let fits: Vec<_> = answers.iter().map(|answer| answer.member("faultCode").is_none()).collect();
    assert_eq!(fits, [true, true, false, true, false]);
    assert_eq!(answers[2].member("faultCode"), Some(&Value::Int(code::TOO_BIG)));
    let Some(Value::String(text)) = answers[2].member("faultString") else { panic!("{answers:?}") };
    assert_eq!(
        text,
        "too-big: echo was carried out, and its answer is left out: the answers to this system.multicall exceed 4000 \
         bytes; ask for it alone"
    );
}
