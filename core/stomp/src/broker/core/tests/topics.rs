//! Topics: everybody who listens gets a copy, and nothing is kept.

use super::bench::{Bench, frame};
use crate::broker::{BrokerEvent, BrokerLimits, Ending};
use std::time::Duration;

#[test]
fn everybody_who_listens_gets_a_copy_with_the_real_destination() {
    let mut bench = Bench::new();
    let (a, b, c) = (bench.client("a", "1.2"), bench.client("b", "1.1"), bench.client("c", "1.0"));
    bench.tell(a, "SEND destination:/topic/x.y | nobody listens");
    bench.tell(a, "SUBSCRIBE id:0 destination:/topic/x.*");
    bench.tell(b, "SUBSCRIBE id:1 destination:/topic/>");
    bench.tell(c, "SUBSCRIBE destination:/topic/x.y");
    bench.tell(a, "SEND destination:/topic/x.y k:v | hello");
    assert_eq!(
        bench.received(a),
        ["MESSAGE subscription:0 message-id:m-2 destination:/topic/x.y from:a k:v | hello"]
    );
    assert_eq!(
        bench.received(b),
        ["MESSAGE subscription:1 message-id:m-2 destination:/topic/x.y from:a k:v | hello"]
    );
    assert_eq!(bench.received(c), ["MESSAGE message-id:m-2 destination:/topic/x.y from:a k:v | hello"]);
    bench.tell(b, "UNSUBSCRIBE id:1");
    bench.tell(a, "UNSUBSCRIBE id:0");
    bench.tell(c, "UNSUBSCRIBE destination:/topic/x.y");
    bench.tell(a, "SEND destination:/topic/x.y | again");
    assert_eq!([bench.received(a), bench.received(b), bench.received(c)].concat(), [""; 0]);
}

#[test]
fn acknowledging_a_message_of_a_topic_is_allowed_and_does_nothing() {
    let mut bench = Bench::new();
    for (login, version, ack) in [
        ("a", "1.2", "ACK id:1-t1"),
        ("b", "1.1", "NACK subscription:s message-id:m-1"),
        ("c", "1.0", "ACK message-id:m-1"),
    ] {
        let client = bench.client(login, version);
        bench.tell(client, "SUBSCRIBE id:s destination:/topic/x ack:client");
        bench.tell(client, "SEND destination:/topic/x | hello");
        let message = bench.received(client).remove(0);
        assert_eq!(message.contains(" ack:1-t1 "), version == "1.2", "{message}");
        bench.tell(client, ack);
    }
}

#[test]
fn what_an_old_version_cannot_write_is_left_out_and_that_is_said() {
    let mut bench = Bench::new();
    let (a, b, c) = (bench.client("a", "1.0"), bench.client("b", "1.1"), bench.client("c", "1.2"));
    for client in [a, b, c] {
        bench.tell(client, "SUBSCRIBE id:s destination:/topic/x");
    }
    let send = frame("SEND destination:/topic/x plain:1")
        .with("lf", "x\nfrom:host")
        .with("cr", "x\r")
        .with("co:lon", "x");
    bench.send(c, send).unwrap();
    let names = |bench: &mut Bench, client| {
        let frame = bench.frames(client).remove(0);
        frame.headers.into_iter().skip(4).map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(&mut bench, a), ["omitted-headers", "plain"]);
    assert_eq!(names(&mut bench, b), ["omitted-headers", "plain", "lf", "co:lon"]);
    assert_eq!(names(&mut bench, c), ["plain", "lf", "cr", "co:lon"]);
}

#[test]
fn a_slow_consumer_loses_its_connection_and_the_publisher_nothing() {
    let mut bench = Bench::with(BrokerLimits { outgoing_bytes: 2_000, ..BrokerLimits::default() });
    let (a, b) = (bench.client("a", "1.2"), bench.client("b", "1.2"));
    bench.tell(b, "SUBSCRIBE id:q destination:/queue/q ack:client");
    bench.tell(b, "SUBSCRIBE id:t destination:/topic/x");
    bench.tell(a, "SEND destination:/queue/q | kept");
    bench.stall(b);
    for number in 0..20 {
        bench.tell(a, &format!("SEND destination:/topic/x receipt:{number} | {}", "x".repeat(100)));
    }
    assert_eq!(bench.received(a).len(), 20, "every one was confirmed");
    let error = bench.received(b).pop().unwrap();
    assert!(error.starts_with("ERROR message:slow consumer"), "{error}");
    let [.., BrokerEvent::Dropped { messages, .. }, BrokerEvent::LoggedOut { reason, .. }] =
        &bench.events[..]
    else {
        panic!("{:?}", bench.events)
    };
    assert!((2..20).contains(messages), "{messages}");
    assert!(matches!(reason, Ending::SlowConsumer(waiting) if *waiting >= 2_000), "{reason}");
    bench.pass(Duration::from_secs(1));
    bench.tell(a, "SUBSCRIBE id:q destination:/queue/q");
    assert_eq!(bench.bodies(a), ["kept"]);
}

#[test]
fn receipts_that_nobody_reads_count_as_well() {
    let mut bench = Bench::with(BrokerLimits { outgoing_bytes: 2_000, ..BrokerLimits::default() });
    let a = bench.client("a", "1.2");
    bench.stall(a);
    for number in 0..100 {
        bench.tell(a, &format!("SEND destination:/topic/x receipt:{number}"));
    }
    assert!(bench.closed.contains(&a));
    assert!(bench.received(a).len() < 40);
}

/// A publisher that is not read from any more because `b` reads nothing.
fn held_up(outgoing_bytes: usize) -> (Bench, [crate::broker::ConnectionId; 2]) {
    let mut bench = Bench::with(BrokerLimits { outgoing_bytes, ..BrokerLimits::default() });
    let (a, b) = (bench.client("a", "1.2"), bench.client("b", "1.2"));
    bench.tell(b, "SUBSCRIBE id:t destination:/topic/x");
    bench.stall(b);
    for _ in 0..100 {
        if bench.paused.contains(&a) {
            return (bench, [a, b]);
        }
        bench.tell(a, &publication());
    }
    panic!("nobody is held up")
}

fn publication() -> String {
    format!("SEND destination:/topic/x | {}", "x".repeat(100))
}

#[test]
fn a_publisher_waits_for_a_subscriber_that_has_much_to_read_and_goes_on_when_it_has_read() {
    let (mut bench, [a, b]) = held_up(20_000);
    let waiting = bench.core.connections().iter().find(|info| info.connection == b).unwrap().outgoing_bytes;
    assert!((10_000..11_000).contains(&waiting), "{waiting}");
    assert!(bench.core.wants_tick());
    let received = bench.received(b).len();
    assert!(received > 20);
    bench.flow(b);
    assert!(!bench.paused.contains(&a));
    assert!(!bench.core.wants_tick(), "nobody waits");
    bench.tell(a, &publication());
    assert_eq!(bench.received(b).len(), 1);
}

#[test]
fn who_reads_nothing_for_too_long_is_cut_off_and_who_reads_a_little_is_not() {
    let (mut bench, [a, b]) = held_up(20_000);
    for _ in 0..10 {
        bench.pass(Duration::from_secs(20));
        bench.core.progressed(b);
    }
    bench.pass(Duration::from_secs(1));
    bench.pass(Duration::from_secs(29));
    assert!(bench.paused.contains(&a) && !bench.closed.contains(&b));
    bench.pass(Duration::from_secs(1));
    assert!(bench.closed.contains(&b) && !bench.paused.contains(&a));
    let Some(BrokerEvent::LoggedOut { reason, .. }) = bench.events.last() else { panic!("no event") };
    assert!(matches!(reason, Ending::SlowConsumer(10_000..)), "{reason}");
    bench.tell(a, &publication());
    assert!(!bench.core.wants_tick(), "nobody waits");
}

#[test]
fn who_waits_and_leaves_is_waited_for_by_nobody() {
    let (mut bench, [a, b]) = held_up(20_000);
    bench.close(a);
    bench.pass(Duration::from_secs(100));
    assert!(!bench.closed.contains(&b), "nobody waits for it any more");
    let (mut bench, [a, b]) = held_up(20_000);
    bench.close(b);
    assert!(!bench.paused.contains(&a));
    bench.tell(a, &publication());
}

#[test]
fn what_topics_make_wait_does_not_count_against_receipts() {
    let (mut bench, [a, b]) = held_up(20_000);
    // What the publisher had under way already.
    (0..60).for_each(|_| bench.tell(a, &publication()));
    bench.tell(b, "SEND destination:/topic/y receipt:r");
    assert!(!bench.closed.contains(&b));
    bench.flow(b);
    assert!(bench.received(b).contains(&"RECEIPT receipt-id:r".to_owned()));
}
