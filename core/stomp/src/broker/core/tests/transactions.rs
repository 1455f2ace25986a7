//! Transactions: all or nothing, and never without bounds.

use super::bench::Bench;
use crate::broker::BrokerLimits;

#[test]
fn nothing_takes_effect_before_commit_and_then_all_does_in_order() {
    let mut bench = Bench::new();
    let (a, b) = (bench.client("a", "1.2"), bench.client("b", "1.2"));
    bench.tell(b, "SUBSCRIBE id:1 destination:/queue/out");
    bench.tell(a, "SUBSCRIBE id:1 destination:/queue/in ack:client-individual");
    bench.tell(b, "SEND destination:/queue/in | request");
    let ack = bench.frames(a)[0].header("ack").unwrap().to_owned();
    bench.tell(a, "BEGIN transaction:t receipt:1");
    bench.tell(a, "SEND destination:/queue/out transaction:t receipt:2 | first");
    bench.tell(a, &format!("ACK id:{ack} transaction:t"));
    bench.tell(a, "SEND destination:/queue/out transaction:t | second");
    assert_eq!(bench.received(a), ["RECEIPT receipt-id:1", "RECEIPT receipt-id:2"]);
    assert_eq!(bench.received(b), [""; 0]);
    assert_eq!(bench.core.queues()[0].unacknowledged, 1);
    bench.tell(a, "COMMIT transaction:t");
    assert_eq!(bench.bodies(b), ["first", "second"]);
    assert_eq!(bench.core.queues()[0].unacknowledged, 0);
}

#[test]
fn what_is_aborted_or_cut_off_never_happened() {
    let mut bench = Bench::new();
    let (a, b) = (bench.client("a", "1.2"), bench.client("b", "1.2"));
    bench.tell(b, "SUBSCRIBE id:1 destination:/queue/out");
    bench.tell(a, "BEGIN transaction:t");
    bench.tell(a, "SEND destination:/queue/out transaction:t | aborted");
    bench.tell(a, "ABORT transaction:t");
    bench.tell(a, "BEGIN transaction:t");
    bench.tell(a, "SEND destination:/queue/out transaction:t | cut off");
    bench.close(a);
    assert_eq!(bench.received(b), [""; 0]);
}

#[test]
fn transactions_are_told_apart_by_their_names() {
    for (first, second, said) in [
        ("BEGIN transaction:t", "BEGIN transaction:t", "transaction \"t\" exists already"),
        ("BEGIN transaction:t", "COMMIT transaction:u", "no transaction \"u\""),
        ("BEGIN transaction:t", "ABORT transaction:u", "no transaction \"u\""),
        ("BEGIN transaction:t", "SEND destination:/queue/q transaction:u", "no transaction \"u\""),
        ("BEGIN transaction:t", "BEGIN receipt:1", "BEGIN without the header \"transaction\""),
    ] {
        let mut bench = Bench::new();
        let a = bench.client("a", "1.2");
        bench.tell(a, first);
        let error = bench.refused(a, second);
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn transactions_are_bounded() {
    let limits = BrokerLimits { transactions: 1, transaction_bytes: 4_000, ..BrokerLimits::default() };
    let mut bench = Bench::with(limits.clone());
    let a = bench.client("a", "1.2");
    bench.tell(a, "BEGIN transaction:1");
    assert!(bench.refused(a, "BEGIN transaction:2").contains("too many open transactions: the limit is 1"));
    let a = bench.client("a", "1.2");
    for round in 0..100 {
        bench.tell(a, &format!("BEGIN transaction:{round}"));
        bench.tell(a, &format!("SEND destination:/topic/x transaction:{round} | {}", "x".repeat(2_000)));
        bench.tell(a, &format!("ABORT transaction:{round}"));
    }
    bench.tell(a, "BEGIN transaction:t");
    bench.tell(a, &format!("SEND destination:/topic/x transaction:t | {}", "x".repeat(2_000)));
    let error = bench.refused(a, &format!("SEND destination:/topic/x transaction:t | {}", "x".repeat(2_000)));
    assert!(error.contains("too many bytes in transactions: the limit is 4000"), "{error}");
}

#[test]
fn a_commit_that_does_not_fit_changes_nothing() {
    let mut bench = Bench::with(BrokerLimits { queue_bytes: 2_000, ..BrokerLimits::default() });
    let a = bench.client("a", "1.2");
    bench.tell(a, "BEGIN transaction:t");
    for _ in 0..2 {
        bench.tell(a, &format!("SEND destination:/queue/q transaction:t | {}", "x".repeat(900)));
    }
    assert!(bench.refused(a, "COMMIT transaction:t receipt:c").starts_with("ERROR message:queue full"));
    assert!(bench.core.queues().is_empty());
}
