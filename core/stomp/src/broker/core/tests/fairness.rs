//! However much one queue holds, the others' messages are delivered after a bounded number of deliveries.

use super::bench::Bench;
use crate::broker::{BrokerLimits, ConnectionId, Principal};
use crate::frame::Frame;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

const PER_QUEUE: usize = 4;

fn limits(queues: usize) -> BrokerLimits {
    BrokerLimits {
        prefetch_messages: PER_QUEUE * queues,
        prefetch_bytes: 10_000 * queues,
        prefetch_messages_per_queue: PER_QUEUE,
        prefetch_bytes_per_queue: 10_000,
        queue_bytes: 8 << 20,
        // What is written is told of at once, and no message is larger than this.
        outgoing_bytes: 1 << 20,
        ..BrokerLimits::default()
    }
}

fn queue(number: usize) -> String {
    format!("/queue/vocable.out.{number}")
}

/// A host with one subscription to everybody's queue, and publishers that may write to all of them.
struct World {
    bench: Bench,
    publisher: ConnectionId,
    host: ConnectionId,
    /// What the host has and has not acknowledged, in the order in which it came.
    unacknowledged: Vec<Frame>,
    /// Messages of honest queues that were not delivered yet: by their queue, how many deliveries ago they were sent.
    waiting: BTreeMap<usize, usize>,
    queues: usize,
}

impl World {
    fn new(queues: usize, limits: BrokerLimits) -> Self {
        let mut bench = Bench::with(limits);
        let publisher = bench.core.link(Principal::new("a"), bench.now).unwrap();
        let host = bench.core.link(Principal::new("host"), bench.now).unwrap();
        bench.tell(host, "SUBSCRIBE id:1 destination:/queue/vocable.out.> ack:client-individual");
        Self { bench, publisher, host, unacknowledged: Vec::new(), waiting: BTreeMap::new(), queues }
    }

    fn publish(&mut self, to: usize, size: usize) {
        let send = format!("SEND destination:{} | {}", queue(to), "x".repeat(size));
        // A flooder's queue may be full.
        let _ = self.bench.say(self.publisher, &send);
    }

    /// An honest guest sends one message at a time, and no more than the host gets done with.
    fn publish_honestly(&mut self, from: usize) {
        // What came before it does not count.
        self.deliver();
        if !self.waiting.contains_key(&from) && self.given(from) < PER_QUEUE {
            self.waiting.insert(from, 0);
            self.publish(from, 10);
        }
    }

    /// How many messages of a queue the host has not acknowledged.
    fn given(&self, number: usize) -> usize {
        let is_its = |message: &&Frame| message.header("destination") == Some(&queue(number));
        self.unacknowledged.iter().filter(is_its).count()
    }

    fn acknowledge(&mut self, at: usize) {
        if !self.unacknowledged.is_empty() {
            let message = self.unacknowledged.remove(at % self.unacknowledged.len());
            self.bench.tell(self.host, &format!("ACK id:{}", message.header("ack").unwrap()));
        }
    }

    /// What was delivered; no message waits longer than for one of each other queue.
    fn deliver(&mut self) {
        for message in self.bench.frames(self.host) {
            let Some(from) =
                message.header("destination").and_then(|name| name.strip_prefix("/queue/vocable.out."))
            else {
                continue;
            };
            self.waiting.remove(&from.parse().unwrap());
            for (queue, deliveries) in &mut self.waiting {
                *deliveries += 1;
                assert!(*deliveries <= self.queues, "{queue} waits for more than one message of each queue");
            }
            if message.header("ack").is_some() {
                self.unacknowledged.push(message);
            }
        }
        for number in 0..self.queues {
            assert!(self.given(number) <= PER_QUEUE, "{number} holds more than its part");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn every_message_is_delivered_after_one_of_each_other_queue_at_most(
        queues in 2..12_usize,
        prefetch in (1..30_usize, 1..40_000_usize),
        flooders in 1..4_usize,
        sizes in vec(prop_oneof![Just(10), Just(3_000), Just(30_000)], 3),
        steps in vec((0..4_u8, any::<u8>(), any::<u8>()), 1..150),
    ) {
        let flooders = flooders.min(queues - 1);
        let (prefetch_messages, prefetch_bytes) = prefetch;
        let limits = BrokerLimits { prefetch_messages, prefetch_bytes, ..limits(queues) };
        let mut world = World::new(queues, limits);
        for (deed, x, y) in steps {
            let (x, y) = (usize::from(x), usize::from(y));
            match deed {
                0 => (0..=y % 20).for_each(|_| world.publish(x % flooders, sizes[x % flooders])),
                1 => world.publish_honestly(flooders + x % (queues - flooders)),
                _ => world.acknowledge(x),
            }
            world.deliver();
        }
        // The host goes on, and everybody is heard.
        for _ in 0..10 * queues * PER_QUEUE {
            world.publish(0, sizes[0]);
            world.acknowledge(0);
            world.deliver();
        }
        prop_assert!(world.waiting.is_empty(), "{:?}", world.waiting);
    }

    #[test]
    fn a_host_that_never_gets_done_with_a_flood_hears_the_others_all_the_same(
        queues in 2..12_usize,
        size in prop_oneof![Just(10), Just(3_000), Just(30_000)],
        speakers in vec(any::<u8>(), 1..100),
    ) {
        let mut world = World::new(queues, limits(queues));
        for speaker in speakers {
            (0..5).for_each(|_| world.publish(0, size));
            let speaker = 1 + usize::from(speaker) % (queues - 1);
            world.publish_honestly(speaker);
            world.deliver();
            prop_assert!(world.waiting.is_empty(), "it is delivered at once");
            let at = world.unacknowledged.iter().position(|message| message.header("destination") == Some(&queue(speaker)));
            world.acknowledge(at.unwrap());
            world.deliver();
        }
    }
}

#[test]
fn the_queue_just_acknowledged_is_served_after_those_that_wait() {
    let mut bench = Bench::with(BrokerLimits { prefetch_messages: 1, ..BrokerLimits::default() });
    let (a, host) = (bench.client("a", "1.2"), bench.client("host", "1.2"));
    bench.tell(host, "SUBSCRIBE id:1 destination:/queue/vocable.out.> ack:client-individual");
    (0..4).for_each(|_| bench.tell(a, "SEND destination:/queue/vocable.out.g1 | flood"));
    bench.tell(a, "SEND destination:/queue/vocable.out.g2 | one");
    bench.tell(a, "SEND destination:/queue/vocable.out.g3 | other");
    let mut heard = Vec::new();
    for _ in 0..6 {
        let message = bench.frames(host).remove(0);
        heard.push(String::from_utf8(message.body.to_vec()).unwrap());
        bench.tell(host, &format!("ACK id:{}", message.header("ack").unwrap()));
    }
    // The second waited before the others did; then it is their turn.
    assert_eq!(heard, ["flood", "flood", "one", "other", "flood", "flood"]);
}

#[test]
fn what_waits_when_a_subscription_is_made_is_served_in_turn_from_the_start() {
    let mut bench = Bench::with(BrokerLimits { prefetch_messages: 4, ..BrokerLimits::default() });
    let (a, host) = (bench.client("a", "1.2"), bench.client("host", "1.2"));
    for queue in ["g1", "g2"] {
        (0..10)
            .for_each(|_| bench.tell(a, &format!("SEND destination:/queue/vocable.out.{queue} | {queue}")));
    }
    bench.tell(host, "SUBSCRIBE id:1 destination:/queue/vocable.out.> ack:client-individual");
    let mut heard = bench.bodies(host);
    heard.sort();
    assert_eq!(heard, ["g1", "g1", "g2", "g2"]);
}

#[test]
fn a_flood_of_what_needs_no_acknowledgement_is_not_written_before_the_others() {
    let limits =
        BrokerLimits { outgoing_bytes: 160_000, prefetch_bytes_per_queue: 1_000, ..BrokerLimits::default() };
    let mut bench = Bench::with(limits);
    let (a, host) = (bench.client("a", "1.2"), bench.client("host", "1.2"));
    bench.tell(host, "SUBSCRIBE id:1 destination:/queue/vocable.out.> ack:auto");
    bench.stall(host);
    let flood = format!("SEND destination:/queue/vocable.out.g1 | {}", "x".repeat(1_000));
    (0..200).for_each(|_| bench.tell(a, &flood));
    bench.tell(a, "SEND destination:/queue/vocable.out.g2 | one");
    let heard = bench.bodies(host);
    assert_eq!(heard.last().map(String::as_str), Some("one"), "its own part is free for it");
    // What is told of what was written comes in steps of a sixteenth of the room: 10,000.
    assert!(heard.len() < 25, "{}", heard.len());
    bench.flow(host);
    bench.tell(a, &flood);
    assert_eq!(heard.len() + bench.bodies(host).len(), 202);
}

#[test]
fn the_subscriptions_of_one_connection_take_turns_as_well() {
    let mut bench = Bench::with(BrokerLimits { outgoing_bytes: 4_000, ..BrokerLimits::default() });
    let (a, b) = (bench.client("a", "1.2"), bench.client("b", "1.2"));
    bench.tell(b, "SUBSCRIBE id:1 destination:/queue/flood");
    bench.tell(b, "SUBSCRIBE id:2 destination:/queue/other");
    bench.stall(b);
    for queue in ["flood", "other"] {
        (0..20).for_each(|_| {
            bench.tell(a, &format!("SEND destination:/queue/{queue} | {queue} {}", "x".repeat(300)));
        });
    }
    let first = bench.bodies(b);
    assert!(first.iter().all(|body| body.starts_with("flood")), "there is no room for more");
    bench.flow(b);
    let next: Vec<String> = bench.bodies(b).into_iter().take(10).collect();
    let others = next.iter().filter(|body| body.starts_with("other")).count();
    assert!((4..=6).contains(&others), "{next:?}");
}
