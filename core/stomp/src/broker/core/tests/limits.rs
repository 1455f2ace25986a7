//! Whatever grows has a bound, and whoever meets it is told.

use super::bench::{Bench, frame};
use crate::broker::core::Refusal;
use crate::broker::{BrokerEvent, BrokerLimits, Ending, Principal};
use std::time::Duration;

fn kilobyte(destination: &str) -> String {
    format!("SEND destination:{destination} | {}", "x".repeat(1_000))
}

#[test]
fn a_full_queue_refuses_with_its_name_and_the_link_lives_on() {
    let mut bench = Bench::with(BrokerLimits { queue_bytes: 5_000, ..BrokerLimits::default() });
    let host = bench.core.link(Principal::new("host"), bench.now).unwrap();
    let send = kilobyte("/queue/vocable.in.g1");
    let accepted = (0..10).take_while(|_| bench.say(host, &send).is_ok()).count();
    assert_eq!(accepted, 4);
    let Err(Refusal::Full { destination, held, more, limit }) = bench.say(host, &send) else {
        panic!("not full")
    };
    assert_eq!((destination.as_str(), limit), ("/queue/vocable.in.g1", 5_000));
    assert!(held <= limit && held + more > limit);
    bench.say(host, &kilobyte("/queue/vocable.in.g2")).unwrap();
    assert!(matches!(bench.events.last(), Some(BrokerEvent::Full { .. })));
    let guest = bench.client("g1", "1.2");
    bench.tell(guest, "SUBSCRIBE id:1 destination:/queue/vocable.in.g1");
    assert_eq!(bench.bodies(guest).len(), 4);
    bench.say(host, &send).unwrap();
}

#[test]
fn a_publisher_is_left_unread_at_half_and_read_again_at_a_quarter() {
    let mut bench = Bench::with(BrokerLimits { queue_bytes: 20_000, ..BrokerLimits::default() });
    let (a, b) = (bench.client("a", "1.2"), bench.client("b", "1.2"));
    while !bench.paused.contains(&a) {
        bench.tell(a, &kilobyte("/queue/q"));
    }
    let stored = bench.core.stored_bytes();
    assert!((10_000..12_000).contains(&stored), "{stored}");
    assert!(bench.core.connections().iter().any(|info| info.paused));
    bench.tell(b, "SUBSCRIBE id:1 destination:/queue/q ack:client-individual");
    let ids: Vec<String> =
        bench.frames(b).iter().map(|frame| frame.header("ack").unwrap().to_owned()).collect();
    for id in ids {
        let was = bench.core.stored_bytes();
        assert_eq!(bench.paused.contains(&a), was > 5_000, "{was}");
        bench.tell(b, &format!("ACK id:{id}"));
    }
    bench.tell(a, &kilobyte("/queue/q"));
}

#[test]
fn patience_with_a_full_queue_ends() {
    let mut bench = Bench::with(BrokerLimits { queue_bytes: 20_000, ..BrokerLimits::default() });
    let a = bench.client("a", "1.2");
    while !bench.paused.contains(&a) {
        bench.tell(a, &kilobyte("/queue/q"));
    }
    bench.pass(Duration::from_secs(29));
    assert!(!bench.closed.contains(&a));
    bench.pass(Duration::from_secs(1));
    let error = bench.received(a).remove(0);
    assert_eq!(
        error,
        "ERROR message:queue full content-type:text/plain | /queue/q has been full for 30s: nobody reads it fast enough\n"
    );
    assert!(matches!(bench.events.last(), Some(BrokerEvent::LoggedOut { reason: Ending::Refused(_), .. })));
}

#[test]
fn a_guest_has_its_own_queues_and_no_others() {
    for frame in [
        "SUBSCRIBE id:1 destination:/queue/vocable.in.g2",
        "SUBSCRIBE id:1 destination:/queue/vocable.out.g1",
        "SUBSCRIBE id:1 destination:/queue/vocable.in.*",
        "SUBSCRIBE id:1 destination:/queue/vocable.in.>",
        "SUBSCRIBE id:1 destination:/queue/>",
        "SUBSCRIBE id:1 destination:/topic/>",
        "SUBSCRIBE id:1 destination:/queue/vocable.in.g1.x",
        "SEND destination:/queue/vocable.out.g2 | x",
        "SEND destination:/queue/vocable.in.g1 | x",
        "SEND destination:/queue/vocable.in.g2 | x",
        "SEND destination:/topic/x | x",
        "SEND destination:/queue/vocable.out.g1 destination:/queue/vocable.out.g2 transaction:none | first counts",
        "SEND destination:/queue/vocable.out.* | x",
        "SEND destination:vocable.out.g1 | x",
        "SEND x:y | x",
    ] {
        let mut bench = Bench::new();
        let other = bench.client("g2", "1.2");
        bench.tell(other, "SUBSCRIBE id:1 destination:/queue/vocable.in.g2");
        let guest = bench.client("g1", "1.2");
        let error = bench.refused(guest, frame);
        assert!(error.starts_with("ERROR "), "{frame}: {error}");
        assert_eq!(bench.received(other), [""; 0], "{frame}");
    }
}

#[test]
fn denied_access_is_an_event() {
    let mut bench = Bench::new();
    let guest = bench.client("g1", "1.2");
    bench.events.clear();
    bench.refused(guest, "SUBSCRIBE id:1 destination:/queue/vocable.in.>");
    let said = format!("{:?}", bench.events[0]);
    assert_eq!(said, "Denied { login: \"g1\", action: Read, destination: \"/queue/vocable.in.>\" }");
}

#[test]
fn subscriptions_queues_headers_and_all_bytes_are_bounded() {
    let limits = BrokerLimits {
        subscriptions: 1,
        queues: 2,
        headers: 3,
        header_line: 20,
        total_bytes: 3_000,
        ..BrokerLimits::default()
    };
    let mut bench = Bench::with(limits);
    for (line, said) in [
        ("SUBSCRIBE id:2 destination:/topic/x", "too many subscriptions: the limit is 1"),
        ("SEND destination:/queue/3 | x", "too many queues: the limit is 2"),
        ("SEND destination:/queue/1 a:1 b:2 c:3 d:4 | x", "too many headers of a message: the limit is 3"),
        ("SEND destination:/queue/1 long:\\\\:::::: | x", "too many bytes in a header: the limit is 20"),
        (
            &kilobyte("/queue/2").replace(" | ", " | yyyyyyyyyyyyyyyyyyyyyyy"),
            "too many bytes in all queues: the limit is 3000",
        ),
    ] {
        let a = bench.client("a", "1.2");
        bench.tell(a, "SUBSCRIBE id:1 destination:/queue/1");
        if bench.core.stored_bytes() == 0 {
            bench.tell(a, &kilobyte("/queue/2"));
            bench.tell(a, &kilobyte("/queue/2"));
        }
        let error = bench.refused(a, line);
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn an_empty_queue_makes_room_for_another() {
    let mut bench = Bench::with(BrokerLimits { queues: 1, ..BrokerLimits::default() });
    let a = bench.client("a", "1.2");
    bench.tell(a, "SUBSCRIBE id:1 destination:/queue/*");
    for number in 0..10 {
        bench.tell(a, &format!("SEND destination:/queue/{number} | x"));
    }
    assert_eq!(bench.bodies(a).len(), 10);
}

#[test]
fn a_header_that_no_version_can_write_is_refused() {
    let mut bench = Bench::new();
    let host = bench.core.link(Principal::new("a"), bench.now).unwrap();
    for (name, value) in [("", "x"), ("x", "\0"), ("\0", "x")] {
        let send = frame("SEND destination:/queue/q").with(name, value);
        assert!(matches!(bench.send(host, send), Err(Refusal::Header(_))), "{name:?} {value:?}");
    }
}
