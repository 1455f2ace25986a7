//! The end: bounded, and said to those who wait.

use std::time::Instant;

use super::*;

#[tokio::test]
async fn a_waiting_call_is_told_that_the_agent_stops() {
    let mut bed = Bed::new().await;
    let mut connection = bed.connect().await;
    connection.send(&post(&document("wait", vec![]), "")).await;
    bed.wait_begun().await;
    let start = Instant::now();
    bed.shutdown.cancel();
    let fault = connection.reply().await.fault();
    assert_eq!((fault.code(), fault.slug()), (305, Some("stopping")));
    connection.closed().await;
    timeout(DEADLINE, &mut bed.server).await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let mut bed = Bed::new().await;
    let (idle, mut used) = (bed.connect().await, bed.connect().await);
    used.send(&post(&document("echo", vec![]), "")).await;
    assert_eq!(used.reply().await.response(), Ok(Value::from(vec![])));
    bed.shutdown.cancel();
    timeout(Duration::from_secs(1), &mut bed.server).await.expect("at once").unwrap();
    idle.closed().await;
    used.closed().await;
    assert!(TcpStream::connect(bed.address).await.is_err());
}

#[tokio::test]
async fn a_client_that_does_not_cooperate_is_cut_off() {
    let mut bed = Bed::new().await;
    let mut connection = bed.connect().await;
    connection.send(head(100, "").as_bytes()).await;
    // An answered call on another connection: by then the head has been read, too.
    assert_eq!(bed.call("echo", vec![]).await, Ok(Value::from(vec![])));
    bed.shutdown.cancel();
    let start = Instant::now();
    timeout(DEADLINE, &mut bed.server).await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    connection.closed().await;
}
