//! The way of events to their consumer: bounded in number and in bytes, and never waited for.
//!
//! What does not fit stays here, and whoever reads the socket is told to stop until there is room.

use crate::client::Event;
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// Events that may wait; each is small or counts by its bytes.
const EVENTS: usize = 64;

#[derive(Debug)]
pub(super) struct Inbox {
    sender: mpsc::Sender<Event>,
    /// What is in the channel, oldest first: bytes of each. The consumer takes events without our knowing, only
    /// the free places tell how many.
    weights: VecDeque<usize>,
    held: usize,
    limit: usize,
    waiting: VecDeque<Event>,
    /// The free places of the channel when it was last found full.
    free: usize,
}

/// An inbox that holds not much more than so many bytes, and what comes out of it.
pub(super) fn channel(limit: usize) -> (Inbox, mpsc::Receiver<Event>) {
    let (sender, receiver) = mpsc::channel(EVENTS);
    let (weights, waiting) = (VecDeque::new(), VecDeque::new());
    (Inbox { sender, weights, held: 0, limit, waiting, free: EVENTS }, receiver)
}

impl Inbox {
    /// Delivers the event, or keeps it until there is room.
    pub(super) fn push(&mut self, event: Event) {
        self.waiting.push_back(event);
        self.flush();
    }

    /// Whether something waits for room: then nothing more should be read.
    pub(super) fn is_stalled(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Delivers as much as there is room for.
    pub(super) fn flush(&mut self) {
        self.forget_taken();
        while let Some(event) = self.waiting.pop_front() {
            if self.free == 0 || self.held > self.limit {
                self.waiting.push_front(event);
                return;
            }
            let weight = event.weight();
            // There is a free place and nobody else fills them: it fails only if nobody listens.
            if self.sender.try_send(event).is_ok() {
                self.weights.push_back(weight);
                self.held += weight;
                self.free -= 1;
            }
        }
    }

    /// Waits until the consumer has taken something since the last [`Inbox::flush`], or is gone.
    pub(super) async fn room(&self) {
        // Either way it is time to flush.
        drop(self.sender.reserve_many(self.free + 1).await);
    }

    /// Drops what waits: nobody is going to take it any more.
    pub(super) fn discard(&mut self) {
        self.waiting.clear();
    }

    fn forget_taken(&mut self) {
        self.free = self.sender.capacity();
        let there = EVENTS - self.free;
        while self.weights.len() > there {
            self.held -= self.weights.pop_front().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::mpsc::Receiver;

    fn event(bytes: usize) -> Event {
        Event::Disconnected { reason: "x".repeat(bytes), retry_in: Duration::ZERO }
    }

    fn drain(events: &mut Receiver<Event>) -> usize {
        std::iter::from_fn(|| events.try_recv().ok()).count()
    }

    #[tokio::test]
    async fn more_events_than_there_are_places_wait_for_their_turn() {
        let (mut inbox, mut events) = channel(1 << 20);
        (0..EVENTS).for_each(|_| inbox.push(event(1)));
        assert!(!inbox.is_stalled());
        inbox.push(event(1));
        inbox.push(event(1));
        assert!(inbox.is_stalled());
        events.recv().await.unwrap();
        inbox.room().await;
        inbox.flush();
        assert!(inbox.is_stalled());
        assert_eq!(drain(&mut events), EVENTS);
        inbox.room().await;
        inbox.flush();
        assert!(!inbox.is_stalled());
        assert_eq!(drain(&mut events), 1);
    }

    #[tokio::test]
    async fn more_bytes_than_the_limit_wait_even_if_there_are_places() {
        let (mut inbox, mut events) = channel(1000);
        (0..3).for_each(|_| inbox.push(event(2000)));
        assert!(inbox.is_stalled());
        events.recv().await.unwrap();
        inbox.room().await;
        inbox.flush();
        assert!(inbox.is_stalled());
        events.recv().await.unwrap();
        inbox.room().await;
        inbox.flush();
        assert!(!inbox.is_stalled());
    }

    #[tokio::test]
    async fn a_consumer_that_took_its_event_before_we_waited_is_not_waited_for() {
        let (mut inbox, mut events) = channel(1000);
        (0..2).for_each(|_| inbox.push(event(2000)));
        assert_eq!(drain(&mut events), 1);
        inbox.room().await;
        inbox.flush();
        assert_eq!(drain(&mut events), 1);
    }

    #[tokio::test]
    async fn without_a_consumer_nothing_waits() {
        let (mut inbox, events) = channel(10);
        (0..2).for_each(|_| inbox.push(event(2000)));
        drop(events);
        inbox.room().await;
        inbox.flush();
        assert!(!inbox.is_stalled());
    }
}
