//! How much of everything the broker holds, and for how long.

use std::time::Duration;

/// Bounds on what grows. Bytes are those of [`Frame::weight`](crate::Frame::weight).
#[derive(Clone, Debug)]
pub struct BrokerLimits {
    /// Connections at a time, those included that have not logged in yet.
    pub connections: usize,
    /// Connections at a time that have not logged in yet. When there are more, the oldest of them is closed.
    pub pending: usize,
    /// Queues at a time. Topics are not counted: they keep nothing.
    pub queues: usize,
    /// Bytes that one queue holds, messages included that were delivered but not acknowledged. A publisher that
    /// fills half of it is read from again only when a quarter is left, see [`stall_timeout`](Self::stall_timeout).
    pub queue_bytes: usize,
    /// Bytes that all queues hold together.
    pub total_bytes: usize,
    /// Bytes that wait to be written to one connection. A connection that has more waiting is closed as a slow
    /// consumer. Messages of queues are given out only up to half of it, so that they never close a connection.
    /// Messages of topics do neither: from half of it on their publishers are not read from until a quarter is left,
    /// or until nothing at all was written for [`stall_timeout`](Self::stall_timeout), and the subscriber is closed. What
    /// publishers had under way already, and what links publish, which are always read from, may add up to
    /// twice the limit and one body more.
    pub outgoing_bytes: usize,
    /// Unacknowledged messages of one subscription; the others wait in their queues.
    pub prefetch_messages: usize,
    /// Unacknowledged bytes of one subscription, exceeded by one message at most. Of a subscription to a set of
    /// queues no more than [`prefetch_bytes_per_queue`](Self::prefetch_bytes_per_queue) are counted of each.
    pub prefetch_bytes: usize,
    /// Unacknowledged messages of each queue, where a subscription is to a set of queues: so that none of them uses up
    /// what is for all. One at least.
    pub prefetch_messages_per_queue: usize,
    /// The same in bytes, exceeded by one message at most.
    pub prefetch_bytes_per_queue: usize,
    /// Subscriptions of one connection.
    pub subscriptions: usize,
    /// Open transactions of one connection.
    pub transactions: usize,
    /// Bytes in the open transactions of one connection.
    pub transaction_bytes: usize,
    /// Headers of a message, those aside that the broker itself reads and writes. It leaves room for the broker's
    /// own below the number that a client is likely to accept.
    pub headers: usize,
    /// Bytes of one header line of a message, escaped as 1.2 has to: what one client can send in 1.0 must not be too
    /// long for another that reads 1.2.
    pub header_line: usize,
    /// How long a message waits in a queue before it expires; `None` for ever.
    pub message_lifetime: Option<Duration>,
    /// How long a publisher is left unread because of a full queue, before it is told so and closed; and how long
    /// publishers to topics wait for a subscriber that reads nothing, before that one is closed.
    pub stall_timeout: Duration,
}

impl Default for BrokerLimits {
    fn default() -> Self {
        Self {
            connections: 12_000,
            pending: 2_048,
            queues: 50_000,
            queue_bytes: 32 << 20,
            total_bytes: 512 << 20,
            outgoing_bytes: 4 << 20,
            prefetch_messages: 256,
            prefetch_bytes: 4 << 20,
            prefetch_messages_per_queue: 16,
            prefetch_bytes_per_queue: 256 << 10,
            subscriptions: 64,
            transactions: 16,
            transaction_bytes: 16 << 20,
            headers: 90,
            header_line: 8 << 10,
            message_lifetime: Some(Duration::from_secs(24 * 60 * 60)),
            stall_timeout: Duration::from_secs(30),
        }
    }
}

impl BrokerLimits {
    /// From here on a queue's publishers are not read from.
    pub(super) const fn high_water(&self) -> usize {
        self.queue_bytes / 2
    }

    /// From here down they are again.
    pub(super) const fn low_water(&self) -> usize {
        self.queue_bytes / 4
    }

    /// With so much waiting for it no subscriber of topics is waited for any longer.
    pub(super) const fn outgoing_most(&self, max_body: usize) -> usize {
        self.outgoing_bytes.saturating_mul(2).saturating_add(max_body)
    }

    /// From here down the publishers of topics are read from again.
    pub(super) const fn outgoing_low_water(&self) -> usize {
        self.outgoing_bytes / 4
    }

    /// After so many bytes written to a connection the broker's task is told.
    pub(super) const fn report_after(&self) -> usize {
        self.outgoing_bytes / 16
    }

    /// Messages of queues are given to a connection only while less than this waits to be written.
    pub(super) const fn outgoing_room(&self) -> usize {
        self.outgoing_bytes / 2
    }
}
