//! Queues: one consumer gets each message, and nothing is lost until it is acknowledged.

use super::bench::Bench;
use crate::broker::{BrokerEvent, BrokerLimits, ConnectionId, Destination};
use std::time::Duration;

/// Sends bodies to `/queue/q`.
fn publish(bench: &mut Bench, from: ConnectionId, bodies: &[&str]) {
    bodies.iter().for_each(|body| bench.tell(from, &format!("SEND destination:/queue/q | {body}")));
}

/// The ids by which 1.2 acknowledges what came.
fn ack_ids(bench: &mut Bench, connection: ConnectionId) -> Vec<String> {
    let frames = bench.frames(connection);
    frames.iter().map(|frame| frame.header("ack").unwrap().to_owned()).collect()
}

#[test]
fn a_message_waits_for_its_consumer_and_carries_what_the_broker_says_before_what_the_sender_says() {
    let mut bench = Bench::new();
    let sender = bench.client("g1", "1.2");
    bench.tell(sender, "SEND destination:/queue/vocable.out.g1 cmd-id:7 from:host x:1 message-id:0 x:2 ack:9 subscription:s redelivered:true vocable-deliveries:4 receipt:r | hello");
    assert_eq!(bench.received(sender), ["RECEIPT receipt-id:r"]);
    let host = bench.client("host", "1.2");
    bench.tell(host, "SUBSCRIBE id:all destination:/queue/vocable.out.> ack:client-individual receipt:s");
    assert_eq!(
        bench.received(host),
        [
            "RECEIPT receipt-id:s",
            "MESSAGE subscription:all message-id:m-1 destination:/queue/vocable.out.g1 ack:1-2 from:g1 cmd-id:7 x:1 x:2 | hello"
        ]
    );
}

#[test]
fn consumers_take_turns() {
    let mut bench = Bench::new();
    let (a, b, c) = (bench.client("a", "1.2"), bench.client("b", "1.2"), bench.client("c", "1.2"));
    bench.tell(b, "SUBSCRIBE id:1 destination:/queue/q");
    bench.tell(c, "SUBSCRIBE id:1 destination:/queue/*");
    publish(&mut bench, a, &["1", "2", "3", "4"]);
    assert_eq!(bench.bodies(b), ["1", "3"]);
    assert_eq!(bench.bodies(c), ["2", "4"]);
}

#[test]
fn what_was_not_acknowledged_goes_back_in_order_and_is_marked() {
    let mut bench = Bench::new();
    let (a, b) = (bench.client("a", "1.2"), bench.client("b", "1.2"));
    bench.tell(b, "SUBSCRIBE id:1 destination:/queue/q ack:client-individual");
    publish(&mut bench, a, &["1", "2", "3"]);
    let ids = ack_ids(&mut bench, b);
    bench.tell(b, &format!("ACK id:{}", ids[1]));
    bench.close(b);
    publish(&mut bench, a, &["4"]);
    let c = bench.client("c", "1.1");
    bench.tell(c, "SUBSCRIBE id:1 destination:/queue/q ack:client");
    assert_eq!(
        bench.received(c),
        [
            "MESSAGE subscription:1 message-id:m-1 destination:/queue/q from:a redelivered:true vocable-deliveries:1 | 1",
            "MESSAGE subscription:1 message-id:m-3 destination:/queue/q from:a redelivered:true vocable-deliveries:1 | 3",
            "MESSAGE subscription:1 message-id:m-4 destination:/queue/q from:a | 4",
        ]
    );
}

#[test]
fn the_client_mode_acknowledges_everything_up_to_a_message() {
    for (version, ack) in
        [("1.2", "ACK id:1-3"), ("1.1", "ACK subscription:s message-id:m-2"), ("1.0", "ACK message-id:m-2")]
    {
        let mut bench = Bench::new();
        let (a, b) = (bench.client("a", "1.2"), bench.client("b", version));
        bench.tell(b, "SUBSCRIBE id:s destination:/queue/q ack:client");
        publish(&mut bench, a, &["1", "2", "3"]);
        bench.tell(b, ack);
        assert_eq!(bench.core.queues()[0].unacknowledged, 1, "{version}");
        bench.close(b);
        let c = bench.client("c", "1.2");
        bench.tell(c, "SUBSCRIBE id:s destination:/queue/q");
        assert_eq!(bench.bodies(c), ["3"], "{version}");
    }
}

#[test]
fn a_refused_message_goes_to_the_next_consumer() {
    let mut bench = Bench::new();
    let (a, b, c) = (bench.client("a", "1.2"), bench.client("b", "1.2"), bench.client("c", "1.2"));
    bench.tell(b, "SUBSCRIBE id:1 destination:/queue/q ack:client-individual");
    bench.tell(c, "SUBSCRIBE id:1 destination:/queue/q ack:client-individual");
    publish(&mut bench, a, &["1"]);
    let id = ack_ids(&mut bench, b).remove(0);
    bench.tell(b, &format!("NACK id:{id}"));
    assert_eq!(
        bench.received(c),
        [
            "MESSAGE subscription:1 message-id:m-1 destination:/queue/q ack:1-2 from:a redelivered:true vocable-deliveries:1 | 1"
        ]
    );
    assert_eq!(bench.received(b), [""; 0]);
}

#[test]
fn only_a_message_that_is_held_can_be_acknowledged() {
    let mut bench = Bench::new();
    for (version, ack) in [
        ("1.2", "ACK id:1-9"),
        ("1.2", "ACK id:nonsense"),
        ("1.2", "ACK message-id:m-1"),
        ("1.1", "ACK message-id:m-1"),
        ("1.1", "NACK subscription:x message-id:m-1"),
        ("1.0", "ACK message-id:m-77"),
        ("1.0", "ACK message-id:other-1"),
        ("1.0", "NACK message-id:m-1"),
    ] {
        let client = bench.client("a", version);
        bench.tell(client, "SUBSCRIBE id:s destination:/queue/q ack:client");
        let error = bench.refused(client, ack);
        assert!(error.starts_with("ERROR message:frame refused"), "{version} {ack}: {error}");
    }
}

#[test]
fn a_delivery_is_acknowledged_once_and_not_by_an_older_id() {
    let mut bench = Bench::new();
    let a = bench.client("a", "1.2");
    bench.tell(a, "SUBSCRIBE id:s destination:/queue/q ack:client-individual");
    publish(&mut bench, a, &["1"]);
    let old = ack_ids(&mut bench, a).remove(0);
    bench.tell(a, &format!("NACK id:{old}"));
    let new = ack_ids(&mut bench, a).remove(0);
    assert_ne!(old, new);
    assert!(bench.refused(a, &format!("ACK id:{old}")).contains("no unacknowledged message"));
}

#[test]
fn to_acknowledge_what_needs_no_acknowledgement_does_nothing() {
    for (version, ack) in [("1.1", "ACK subscription:s message-id:m-1"), ("1.0", "ACK message-id:m-1")] {
        let mut bench = Bench::new();
        let a = bench.client("a", version);
        bench.tell(a, "SUBSCRIBE id:s destination:/queue/q");
        publish(&mut bench, a, &["1"]);
        bench.tell(a, ack);
    }
}

#[test]
fn in_1_0_a_subscription_needs_no_id() {
    let mut bench = Bench::new();
    let a = bench.client("a", "1.0");
    bench.tell(a, "SUBSCRIBE destination:/queue/q");
    publish(&mut bench, a, &["1"]);
    assert_eq!(bench.received(a), ["MESSAGE message-id:m-1 destination:/queue/q from:a | 1"]);
    bench.tell(a, "UNSUBSCRIBE destination:/queue/q");
    publish(&mut bench, a, &["2"]);
    assert_eq!(bench.received(a), [""; 0]);
    for version in ["1.1", "1.2"] {
        let b = bench.client("b", version);
        assert!(
            bench
                .refused(b, "SUBSCRIBE destination:/queue/q")
                .contains("SUBSCRIBE without the header \"id\"")
        );
    }
}

#[test]
fn subscriptions_are_told_apart_by_their_ids() {
    let mut bench = Bench::new();
    let a = bench.client("a", "1.2");
    bench.tell(a, "SUBSCRIBE id:1 destination:/queue/q");
    let error = bench.refused(a, "SUBSCRIBE id:1 destination:/queue/other");
    assert!(error.contains("subscription \"1\" exists already"), "{error}");
    let a = bench.client("a", "1.2");
    assert!(bench.refused(a, "UNSUBSCRIBE id:2").contains("no subscription \"2\""));
    let a = bench.client("a", "1.2");
    assert!(bench.refused(a, "SUBSCRIBE id:1 destination:/queue/q ack:maybe").contains("ack mode \"maybe\""));
}

#[test]
fn unsubscribing_returns_what_was_not_acknowledged() {
    let mut bench = Bench::new();
    let (a, b) = (bench.client("a", "1.2"), bench.client("b", "1.2"));
    bench.tell(a, "SUBSCRIBE id:1 destination:/queue/q ack:client");
    publish(&mut bench, a, &["1", "2"]);
    bench.tell(a, "UNSUBSCRIBE id:1 receipt:r");
    bench.tell(b, "SUBSCRIBE id:1 destination:/queue/q");
    assert_eq!(bench.bodies(b), ["1", "2"]);
}

#[test]
fn an_auto_consumer_that_stalls_gets_what_there_is_room_for_and_loses_nothing() {
    let limits = BrokerLimits { outgoing_bytes: 4_000, ..BrokerLimits::default() };
    let mut bench = Bench::with(limits);
    let (a, b) = (bench.client("a", "1.2"), bench.client("b", "1.2"));
    bench.tell(b, "SUBSCRIBE id:1 destination:/queue/q");
    bench.stall(b);
    let bodies: Vec<String> = (0..40).map(|number| format!("{number:0100}")).collect();
    bodies.iter().for_each(|body| publish(&mut bench, a, &[body]));
    let some = bench.bodies(b);
    assert!(!some.is_empty() && some.len() < 10, "{}", some.len());
    assert!(!bench.closed.contains(&b));
    bench.flow(b);
    assert_eq!([some, bench.bodies(b)].concat(), bodies);
}

#[test]
fn what_was_not_written_to_an_auto_consumer_goes_back_when_it_is_cut_off() {
    let mut bench = Bench::new();
    let (a, b) = (bench.client("a", "1.2"), bench.client("b", "1.2"));
    bench.tell(b, "SUBSCRIBE id:1 destination:/queue/q");
    publish(&mut bench, a, &["1"]);
    bench.stall(b);
    publish(&mut bench, a, &["2", "3"]);
    bench.close(b);
    let c = bench.client("c", "1.2");
    bench.tell(c, "SUBSCRIBE id:1 destination:/queue/q");
    assert_eq!(bench.bodies(c), ["2", "3"]);
}

#[test]
fn unacknowledged_messages_are_bounded_and_the_others_wait() {
    let mut bench = Bench::with(BrokerLimits { prefetch_messages: 2, ..BrokerLimits::default() });
    let (a, b) = (bench.client("a", "1.2"), bench.client("b", "1.2"));
    bench.tell(b, "SUBSCRIBE id:1 destination:/queue/> ack:client");
    publish(&mut bench, a, &["1", "2", "3"]);
    bench.tell(a, "SEND destination:/queue/other | 4");
    let ids = ack_ids(&mut bench, b);
    assert_eq!(ids.len(), 2);
    bench.tell(b, &format!("ACK id:{}", ids[1]));
    let mut rest = bench.bodies(b);
    rest.sort();
    assert_eq!(rest, ["3", "4"], "queues are served in turn");
}

#[test]
fn a_message_that_waits_too_long_expires_and_the_owner_hears_of_it() {
    let limits = BrokerLimits { message_lifetime: Some(Duration::from_secs(60)), ..BrokerLimits::default() };
    let mut bench = Bench::with(limits);
    let a = bench.client("a", "1.2");
    bench.tell(a, "SUBSCRIBE id:1 destination:/queue/given ack:client");
    bench.tell(a, "SEND destination:/queue/given | given out in time");
    publish(&mut bench, a, &["1", "2"]);
    bench.pass(Duration::from_secs(59));
    publish(&mut bench, a, &["3"]);
    bench.events.clear();
    bench.pass(Duration::from_secs(1));
    let Some(BrokerEvent::Expired { destination, messages, bytes }) = bench.events.pop() else {
        panic!("no event")
    };
    assert_eq!((destination, messages), (Destination::parse("/queue/q").unwrap(), 2));
    assert!(bytes > 0 && bench.events.is_empty());
    bench.tell(a, "SUBSCRIBE id:2 destination:/queue/q");
    assert_eq!(bench.bodies(a), ["given out in time", "3"]);
}

#[test]
fn an_empty_queue_without_consumers_vanishes() {
    let mut bench = Bench::new();
    let (a, b) = (bench.client("a", "1.2"), bench.client("b", "1.2"));
    bench.tell(b, "SUBSCRIBE id:all destination:/queue/*");
    publish(&mut bench, a, &["1"]);
    bench.tell(a, "SUBSCRIBE id:1 destination:/queue/mine");
    assert!(bench.core.wants_tick());
    bench.pass(Duration::from_secs(1));
    let names: Vec<String> = bench.core.queues().iter().map(|queue| queue.destination.to_string()).collect();
    assert_eq!(names, ["/queue/mine"]);
    assert!(!bench.core.wants_tick(), "an idle broker sleeps");
    publish(&mut bench, a, &["2"]);
    assert_eq!(bench.bodies(b), ["1", "2"], "and comes back when it is needed");
}
