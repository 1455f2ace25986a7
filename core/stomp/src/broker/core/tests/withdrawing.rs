//! What a sender takes back is not delivered any more, and it learns whether somebody may have had it.

use super::bench::Bench;
use crate::broker::Destination;
use crate::broker::core::Withdrawn;

#[test]
fn what_waits_is_taken_back_once_and_by_its_sender_only() {
    let mut bench = Bench::new();
    let (a, b) = (bench.client("a", "1.2"), bench.client("b", "1.2"));
    let queue = Destination::parse("/queue/q").unwrap();
    for ask in ["x-1", "x-2", "x-3"] {
        bench.tell(a, &format!("SEND destination:/queue/q asked:{ask} | {ask}"));
    }
    assert_eq!(bench.core.withdraw(b, &queue, ("asked", "x-2")), Withdrawn::NotThere);
    assert_eq!(bench.core.withdraw(a, &queue, ("asked", "x-2")), Withdrawn::Removed { was_delivered: false });
    assert_eq!(bench.core.withdraw(a, &queue, ("asked", "x-2")), Withdrawn::NotThere);
    bench.tell(b, "SUBSCRIBE id:1 destination:/queue/q");
    assert_eq!(bench.bodies(b), ["x-1", "x-3"]);
}

#[test]
fn what_is_with_a_consumer_cannot_be_taken_back_and_what_came_back_from_one_is_told() {
    let mut bench = Bench::new();
    let (a, b) = (bench.client("a", "1.2"), bench.client("b", "1.2"));
    let queue = Destination::parse("/queue/q").unwrap();
    bench.tell(a, "SEND destination:/queue/q asked:x-1 | 1");
    bench.tell(b, "SUBSCRIBE id:1 destination:/queue/q ack:client-individual");
    assert_eq!(bench.core.withdraw(a, &queue, ("asked", "x-1")), Withdrawn::NotThere);
    bench.close(b);
    assert_eq!(bench.core.withdraw(a, &queue, ("asked", "x-1")), Withdrawn::Removed { was_delivered: true });
    let c = bench.client("c", "1.2");
    bench.tell(c, "SUBSCRIBE id:1 destination:/queue/q");
    assert!(bench.bodies(c).is_empty());
}
