//! What a connection's task counts and the broker's task reads, without a message for every byte.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Meter {
    start: Instant,
    /// Bytes written since the beginning, as [`Frame::weight`](crate::Frame::weight) counts them.
    written: AtomicU64,
    /// How much of that the broker has been told to look at.
    reported: AtomicU64,
    /// How often something was written, be it a part of a frame only.
    writes: AtomicU64,
    /// Milliseconds from the start to the last byte received.
    last_byte: AtomicU64,
}

impl Meter {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            start: now,
            written: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            last_byte: AtomicU64::new(0),
        }
    }

    /// Counts what was written; whether so much is unreported that the broker should be told.
    pub(super) fn write(&self, weight: usize, report_after: u64) -> bool {
        let written = self.written.fetch_add(weight as u64, Ordering::Relaxed) + weight as u64;
        written - self.reported.load(Ordering::Relaxed) >= report_after
    }

    pub(super) fn note_write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// To be called before the broker is told.
    pub(super) fn report(&self) {
        self.reported.store(self.written(), Ordering::Relaxed);
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn receive(&self, now: Instant) {
        let elapsed = now.duration_since(self.start).as_millis();
        self.last_byte.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn last_byte(&self) -> Option<Instant> {
        self.start.checked_add(Duration::from_millis(self.last_byte.load(Ordering::Relaxed)))
    }
}
