//! What becomes of a word that goes wrong: it rests, longer each time, and then goes into quarantine.
//! Pure; the clock is an argument.
//!
//! Each instance is fresh, so a crash leaves nothing behind, and the next message may well be fine. Who
//! sends what crashes a word must not take it away from the others; so the books are kept by sender.
//! Only when one sender after the other fails, and nobody succeeds, is it the word, for everybody:
//!
//! ```text
//!          fault                 fault …              fault
//! ready ─────────▶ resting 1 s ─────────▶ 2 s, 4 s … ──────▶ quarantine 10 min
//!   ▲                                                            │
//!   └───────────────── a call that ends well ◀───────────────────┘ one chance
//! ```

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::policy::Limits;

/// Senders that are remembered for having made a word fail.
const REMEMBERED: usize = 1024;

/// How a word does.
#[derive(Clone, Debug, PartialEq)]
pub enum WordState {
    /// It takes calls.
    Ready,
    /// It went wrong, and gets another chance soon.
    Retrying {
        /// When.
        remaining: Duration,
        /// How it went wrong.
        reason: String,
    },
    /// It kept going wrong.
    Quarantined {
        /// How much longer.
        remaining: Duration,
        /// How it went wrong last.
        reason: String,
    },
}

/// A pause that somebody's faults have earned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rest {
    pub(crate) until: Instant,
    pub(crate) reason: String,
    pub(crate) quarantine: bool,
}

/// The books of one word.
#[derive(Debug, Default)]
pub(crate) struct Health {
    of_all: Record,
    of_each: HashMap<String, Record>,
    /// Who failed last, if nobody has succeeded since.
    failed_last: Option<String>,
}

#[derive(Debug, Default)]
struct Record {
    faults: u32,
    rest: Option<Rest>,
}

impl Health {
    /// Whether the word may work for a sender; none is the agent itself.
    pub(crate) fn admit(&self, sender: Option<&str>, now: Instant) -> Result<(), Rest> {
        let of_sender = self.of_each.get(sender.unwrap_or_default());
        let rest = self.of_all.resting(now).or_else(|| of_sender.and_then(|record| record.resting(now)));
        rest.map_or(Ok(()), |rest| Err(rest.clone()))
    }

    /// A call has ended well, or with a refusal: the word is sound.
    pub(crate) fn succeeded(&mut self, sender: Option<&str>) {
        self.of_all = Record::default();
        self.failed_last = None;
        self.of_each.remove(sender.unwrap_or_default());
    }

    /// A call has gone wrong. Tells whether that means quarantine, for the sender or for all.
    pub(crate) fn failed(
        &mut self,
        sender: Option<&str>,
        reason: &str,
        limits: &Limits,
        now: Instant,
    ) -> bool {
        let sender = sender.unwrap_or_default();
        let mut quarantine = false;
        if self.failed_last.as_deref() != Some(sender) {
            self.failed_last = Some(sender.to_owned());
            self.of_all.faults += 1;
            if self.of_all.faults > limits.retries {
                self.of_all.rest(reason, limits, now);
                quarantine = true;
            }
        }
        self.make_room(now);
        let record = self.of_each.entry(sender.to_owned()).or_default();
        record.faults = record.faults.saturating_add(1);
        record.rest(reason, limits, now) || quarantine
    }

    /// The state to show: the word's own, else the worst that a sender has brought about.
    pub(crate) fn state(&self, now: Instant) -> WordState {
        let worst = || {
            let resting = self.of_each.iter().filter_map(|(who, record)| Some((who, record.resting(now)?)));
            resting.max_by_key(|(_, rest)| (rest.quarantine, rest.until))
        };
        match (self.of_all.resting(now), worst()) {
            (Some(rest), _) => rest.state(rest.reason.clone(), now),
            (None, Some((who, rest))) if who.is_empty() => rest.state(rest.reason.clone(), now),
            (None, Some((who, rest))) => rest.state(format!("from {who}: {}", rest.reason), now),
            (None, None) => WordState::Ready,
        }
    }

    /// Forgets who has rested, or else who would soonest have.
    fn make_room(&mut self, now: Instant) {
        if self.of_each.len() < REMEMBERED {
            return;
        }
        self.of_each.retain(|_, record| record.resting(now).is_some());
        let soonest =
            self.of_each.iter().min_by_key(|(_, record)| record.rest.as_ref().map(|rest| rest.until));
        if let (true, Some(who)) = (self.of_each.len() >= REMEMBERED, soonest.map(|(who, _)| who.clone())) {
            self.of_each.remove(&who);
        }
    }
}

impl Record {
    fn resting(&self, now: Instant) -> Option<&Rest> {
        self.rest.as_ref().filter(|rest| rest.until > now)
    }

    /// Tells whether the rest is a quarantine.
    fn rest(&mut self, reason: &str, limits: &Limits, now: Instant) -> bool {
        let quarantine = self.faults > limits.retries;
        let doublings = self.faults.saturating_sub(1).min(31);
        let pause = limits.retry_after.saturating_mul(1 << doublings).min(limits.quarantine);
        let pause = if quarantine { limits.quarantine } else { pause };
        // A pause beyond the end of time is as good as one of a century.
        let until = now.checked_add(pause).unwrap_or(now + Duration::from_secs(3_000_000_000));
        self.rest = Some(Rest { until, reason: reason.to_owned(), quarantine });
        quarantine
    }
}

impl Rest {
    fn state(&self, reason: String, now: Instant) -> WordState {
        let remaining = self.until.saturating_duration_since(now);
        if self.quarantine {
            WordState::Quarantined { remaining, reason }
        } else {
            WordState::Retrying { remaining, reason }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::default()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rests_get_longer_until_the_quarantine() {
        let (mut health, mut now) = (Health::default(), Instant::now());
        for pause in [1, 2, 4] {
            assert!(!health.failed(None, "a trap", &limits(), now));
            assert_eq!(
                health.state(now),
                WordState::Retrying { remaining: pause * SECOND, reason: "a trap".into() }
            );
            assert!(health.admit(None, now).is_err());
            now += pause * SECOND;
            assert!(health.admit(None, now).is_ok());
        }
        assert!(health.failed(None, "a trap", &limits(), now));
        assert_eq!(
            health.state(now),
            WordState::Quarantined { remaining: 600 * SECOND, reason: "a trap".into() }
        );
        now += 600 * SECOND;
        assert!(health.admit(None, now).is_ok(), "one chance");
        assert!(health.failed(None, "a trap", &limits(), now), "and no more");
        health.succeeded(None);
        assert_eq!(health.state(now), WordState::Ready);
    }

    #[test]
    fn who_makes_a_word_fail_takes_it_from_nobody_else() {
        let (mut health, now) = (Health::default(), Instant::now());
        while !health.failed(Some("vm1"), "a trap", &limits(), now) {}
        assert!(health.admit(Some("vm1"), now).is_err());
        assert!(health.admit(Some("vm2"), now).is_ok());
        assert!(health.admit(None, now).is_ok());
        let WordState::Quarantined { reason, .. } = health.state(now) else {
            panic!("{:?}", health.state(now))
        };
        assert_eq!(reason, "from vm1: a trap");
    }

    #[test]
    fn when_everybody_fails_it_is_the_word() {
        let (mut health, now) = (Health::default(), Instant::now());
        for guest in ["vm1", "vm2", "vm3"] {
            health.failed(Some(guest), "a trap", &limits(), now);
        }
        assert!(health.admit(Some("vm5"), now).is_ok());
        assert!(health.failed(Some("vm4"), "a trap", &limits(), now));
        assert!(health.admit(Some("vm5"), now).is_err());
    }

    #[test]
    fn as_long_as_somebody_succeeds_it_is_not_the_word() {
        let (mut health, now) = (Health::default(), Instant::now());
        for guest in 0..100 {
            health.failed(Some(&format!("vm{guest}")), "a trap", &limits(), now);
            health.succeeded(Some("good"));
        }
        assert!(health.admit(Some("good"), now).is_ok());
    }

    #[test]
    fn the_books_are_bounded() {
        let (mut health, now) = (Health::default(), Instant::now());
        for guest in 0..3 * REMEMBERED {
            health.failed(Some(&guest.to_string()), "a trap", &limits(), now);
        }
        assert!(health.of_each.len() <= REMEMBERED);
        assert!(health.of_each.contains_key(&(3 * REMEMBERED - 1).to_string()));
    }

    #[test]
    fn limits_beyond_reason_do_no_harm() {
        let endless =
            Limits { retries: u32::MAX, retry_after: Duration::MAX, quarantine: Duration::MAX, ..limits() };
        let (mut health, now) = (Health::default(), Instant::now());
        for _ in 0..100 {
            health.failed(None, "a trap", &endless, now);
        }
        assert!(health.admit(None, now).is_err());
    }
}
