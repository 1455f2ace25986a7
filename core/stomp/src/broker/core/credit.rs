//! What of a subscription's prefetch is used, and by which queue: so that no queue of a set uses it up alone.

use crate::ack::AckMode;
use crate::broker::destination::Destination;
use crate::broker::limits::BrokerLimits;
use std::collections::HashMap;

/// How much may be given to a subscription and not be settled yet.
#[derive(Clone, Copy, Debug)]
struct Prefetch {
    messages: usize,
    /// Of no queue more than its own part is counted.
    bytes: usize,
    messages_per_queue: usize,
    bytes_per_queue: usize,
}

impl Prefetch {
    const UNLIMITED: Self = Self {
        messages: usize::MAX,
        bytes: usize::MAX,
        messages_per_queue: usize::MAX,
        bytes_per_queue: usize::MAX,
    };

    fn new(limits: &BrokerLimits, ack: AckMode, is_wild: bool) -> Self {
        match (ack, is_wild) {
            // The connection's room alone decides: nothing but writing settles what was given.
            (AckMode::Auto, false) => Self::UNLIMITED,
            // Not by number: what is written is told in bytes, and not before so many of them.
            (AckMode::Auto, true) => Self {
                bytes_per_queue: limits.prefetch_bytes_per_queue.max(2 * limits.report_after()),
                ..Self::UNLIMITED
            },
            (AckMode::Client | AckMode::ClientIndividual, false) => {
                Self { messages: limits.prefetch_messages, bytes: limits.prefetch_bytes, ..Self::UNLIMITED }
            }
            (AckMode::Client | AckMode::ClientIndividual, true) => Self {
                messages: limits.prefetch_messages,
                bytes: limits.prefetch_bytes,
                messages_per_queue: limits.prefetch_messages_per_queue,
                bytes_per_queue: limits.prefetch_bytes_per_queue,
            },
        }
    }
}

#[derive(Debug)]
pub(super) struct Credit {
    prefetch: Prefetch,
    messages: usize,
    bytes: usize,
    /// What is used by those queues that use any.
    shares: HashMap<Destination, Share>,
}

#[derive(Debug, Default)]
struct Share {
    messages: usize,
    bytes: usize,
}

impl Credit {
    pub(super) fn new(limits: &BrokerLimits, ack: AckMode, is_wild: bool) -> Self {
        let prefetch = Prefetch::new(limits, ack, is_wild);
        Self { prefetch, messages: 0, bytes: 0, shares: HashMap::new() }
    }

    /// Whether there is any left.
    pub(super) const fn is_left(&self) -> bool {
        self.messages < self.prefetch.messages && self.bytes < self.prefetch.bytes
    }

    /// Whether that queue has some of its own part left. Of a queue that uses nothing one message is always taken,
    /// whatever its size.
    pub(super) fn is_left_for(&self, queue: &Destination) -> bool {
        let Prefetch { messages_per_queue, bytes_per_queue, .. } = self.prefetch;
        let is_left = |share: &Share| share.messages < messages_per_queue && share.bytes < bytes_per_queue;
        self.shares.get(queue).is_none_or(is_left)
    }

    /// A message of so many bytes is given out.
    pub(super) fn spend(&mut self, queue: &Destination, weight: usize) {
        let most = self.prefetch.bytes_per_queue;
        let share = self.shares.entry(queue.clone()).or_default();
        let before = share.bytes.min(most);
        share.messages += 1;
        share.bytes += weight;
        self.messages += 1;
        self.bytes += share.bytes.min(most) - before;
    }

    /// A message that was given out is settled, or comes back.
    pub(super) fn restore(&mut self, queue: &Destination, weight: usize) {
        let most = self.prefetch.bytes_per_queue;
        let Some(share) = self.shares.get_mut(queue) else { return };
        let before = share.bytes.min(most);
        share.messages -= 1;
        share.bytes -= weight;
        self.messages -= 1;
        self.bytes -= before - share.bytes.min(most);
        if share.messages == 0 {
            self.shares.remove(queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn limits() -> BrokerLimits {
        BrokerLimits {
            prefetch_messages: 8,
            prefetch_bytes: 100,
            prefetch_messages_per_queue: 2,
            prefetch_bytes_per_queue: 25,
            ..BrokerLimits::default()
        }
    }

    fn queue(number: usize) -> Destination {
        Destination::parse(&format!("/queue/{number}")).unwrap()
    }

    #[test]
    fn one_huge_message_of_one_queue_leaves_the_others_their_part() {
        let mut credit = Credit::new(&limits(), AckMode::ClientIndividual, true);
        credit.spend(&queue(1), 1_000_000);
        assert!(credit.is_left() && !credit.is_left_for(&queue(1)));
        for other in 2..=4 {
            assert!(credit.is_left() && credit.is_left_for(&queue(other)));
            credit.spend(&queue(other), 1_000_000);
        }
        assert!(!credit.is_left());
        credit.restore(&queue(1), 1_000_000);
        assert!(credit.is_left() && credit.is_left_for(&queue(1)));
    }

    #[test]
    fn a_subscription_to_one_queue_has_all_of_it() {
        let mut credit = Credit::new(&limits(), AckMode::Client, false);
        (0..8).for_each(|_| {
            assert!(credit.is_left() && credit.is_left_for(&queue(1)));
            credit.spend(&queue(1), 1);
        });
        assert!(!credit.is_left());
    }

    proptest! {
        #[test]
        fn what_was_spent_and_restored_leaves_nothing(messages in vec((0..6_usize, 0..60_usize), 0..40)) {
            let mut credit = Credit::new(&limits(), AckMode::ClientIndividual, true);
            let mut spent = Vec::new();
            for (number, weight) in messages {
                let queue = queue(number);
                if credit.is_left() && credit.is_left_for(&queue) {
                    credit.spend(&queue, weight);
                    spent.push((queue, weight));
                }
                let of = |number| spent.iter().filter(|(name, _)| *name == self::queue(number)).count();
                prop_assert!(spent.len() <= 8 && (0..6).all(|number| of(number) <= 2));
            }
            spent.iter().for_each(|(queue, weight)| credit.restore(queue, *weight));
            prop_assert_eq!((credit.messages, credit.bytes, credit.shares.len()), (0, 0, 0));
        }
    }
}
