//! What becomes of a word that goes wrong: it rests, longer each time, and then goes into quarantine; but only for
//! whoever made it go wrong. Pure; the clock is an argument.
//!
//! Each instance is fresh, so a crash leaves nothing behind, and the next message may well be fine. Who
//! sends what crashes a word must not take it away from anybody else. So there is a record for each sender it listens to,
//! and for each text of arguments it says something with: the same again will crash again, another may not.
//!
//! ```text
//!          fault                 fault …              fault
//! ready ─────────▶ paused 1 s ─────────▶ 2 s, 4 s … ──────▶ quarantine 10 min
//!   ▲                                                            │
//!   └───────────────── a call that ends well ◀───────────────────┘ one chance
//! ```
//!
//! No number of them closes the word to the others: whoever has made no fault is let in, always. A word that has failed for
//! [`BAD_AFTER`] of them, and for nobody well since, is bad, and says so; then one fault is enough for a quarantine,
//! so that it costs each of them one call in ten minutes. One that ends well is the end of that.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

use crate::policy::Limits;

/// Senders, and texts of arguments, that are remembered for having made a word fail.
const MAX_RECORDS: usize = 1024;

/// As many have to fail, one after the other and nobody well in between, until it is the word.
const BAD_AFTER: usize = 8;

/// On whose account a call is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Account<'a> {
    /// What it said something with: the digest of its arguments.
    Arguments(u64),
    /// Whom it listened to; none is the agent itself.
    Sender(Option<&'a str>),
}

/// How a word does.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Clone, Debug, PartialEq)]
pub enum WordState {
    Ready,
    /// It went wrong, and gets another chance soon.
    Retrying {
        remaining: Duration,
        reason: String,
    },
    Quarantined {
        remaining: Duration,
        reason: String,
    },
}

/// A pause that somebody's faults have earned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pause {
    pub(crate) until: Instant,
    pub(crate) reason: String,
    pub(crate) quarantine: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Health {
    saying: FaultRecords<u64>,
    listening: FaultRecords<String>,
}

/// Who made the word fail at one of its two halves.
#[derive(Debug)]
struct FaultRecords<K> {
    records: HashMap<K, Record>,
    /// Who failed since somebody has last succeeded, [`BAD_AFTER`] at most.
    failed: Vec<K>,
}

#[derive(Debug, Default)]
struct Record {
    faults: u32,
    rest: Option<Pause>,
}

impl Health {
    /// Whether the word may work on an account.
    pub(crate) fn admit(&self, account: Account<'_>, now: Instant) -> Result<(), Pause> {
        match account {
            Account::Arguments(digest) => self.saying.admit(&digest, now),
            Account::Sender(sender) => self.listening.admit(&name(sender), now),
        }
    }

    /// A call has ended well, or with a refusal: the word is sound.
    pub(crate) fn succeeded(&mut self, account: Account<'_>) {
        match account {
            Account::Arguments(digest) => self.saying.succeeded(&digest),
            Account::Sender(sender) => self.listening.succeeded(&name(sender)),
        }
    }

    /// A call has gone wrong. If that means quarantine, or that the word is bad, tells what has come of it.
    pub(crate) fn failed(
        &mut self,
        account: Account<'_>,
        reason: &str,
        limits: &Limits,
        now: Instant,
    ) -> Option<String> {
        let (outcome, only) = match account {
            Account::Arguments(digest) => {
                (self.saying.failed(digest, reason, limits, now), "for what it was told to say".to_owned())
            }
            Account::Sender(None) => {
                (self.listening.failed(String::new(), reason, limits, now), "for the agent itself".to_owned())
            }
            Account::Sender(Some(sender)) => {
                let outcome = self.listening.failed(sender.to_owned(), reason, limits, now);
                (outcome, format!("for {sender} and nobody else"))
            }
        };
        match outcome {
            Outcome::Bad => {
                Some(format!("it failed {BAD_AFTER} times for as many, and nobody in between: {reason}"))
            }
            Outcome::Quarantine => Some(format!("{only}: {reason}")),
            Outcome::Pause => None,
        }
    }

    /// The state to show: the worst that anybody has brought about.
    pub(crate) fn state(&self, now: Instant) -> WordState {
        let said = self.saying.worst(now).map(|(_, rest)| (rest, rest.reason.clone()));
        let heard = self.listening.worst(now).map(|(sender, rest)| {
            let from = if sender.is_empty() { String::new() } else { format!("from {sender}: ") };
            (rest, from + &rest.reason)
        });
        let worst = said.into_iter().chain(heard).max_by_key(|(rest, _)| (rest.quarantine, rest.until));
        worst.map_or(WordState::Ready, |(rest, reason)| rest.state(reason, now))
    }
}

/// A sender as the books have it.
fn name(sender: Option<&str>) -> String {
    sender.unwrap_or_default().to_owned()
}

enum Outcome {
    /// The word is bad, since now.
    Bad,
    Quarantine,
    Pause,
}

impl<K> Default for FaultRecords<K> {
    fn default() -> Self {
        Self { records: HashMap::new(), failed: Vec::new() }
    }
}

impl<K: Clone + Eq + Hash> FaultRecords<K> {
    fn admit(&self, who: &K, now: Instant) -> Result<(), Pause> {
        let rest = self.records.get(who).and_then(|record| record.paused(now));
        rest.map_or(Ok(()), |rest| Err(rest.clone()))
    }

    fn succeeded(&mut self, who: &K) {
        self.failed.clear();
        self.records.remove(who);
    }

    fn failed(&mut self, who: K, reason: &str, limits: &Limits, now: Instant) -> Outcome {
        let bad = self.failed.len() >= BAD_AFTER;
        if !bad && !self.failed.contains(&who) {
            self.failed.push(who.clone());
        }
        let now_bad = !bad && self.failed.len() >= BAD_AFTER;
        self.make_room(now);
        let record = self.records.entry(who).or_default();
        record.faults = record.faults.saturating_add(1);
        let enough = record.faults > limits.retries;
        record.rest(reason, enough || bad, limits, now);
        match (now_bad, enough) {
            (true, _) => Outcome::Bad,
            (false, true) => Outcome::Quarantine,
            (false, false) => Outcome::Pause,
        }
    }

    fn worst(&self, now: Instant) -> Option<(&K, &Pause)> {
        let paused = self.records.iter().filter_map(|(who, record)| Some((who, record.paused(now)?)));
        paused.max_by_key(|(_, rest)| (rest.quarantine, rest.until))
    }

    /// Forgets who has rested, or else who would soonest have.
    fn make_room(&mut self, now: Instant) {
        if self.records.len() < MAX_RECORDS {
            return;
        }
        self.records.retain(|_, record| record.paused(now).is_some());
        let soonest =
            self.records.iter().min_by_key(|(_, record)| record.rest.as_ref().map(|rest| rest.until));
        if let (true, Some(who)) = (self.records.len() >= MAX_RECORDS, soonest.map(|(who, _)| who.clone())) {
            self.records.remove(&who);
        }
    }
}

impl Record {
    fn paused(&self, now: Instant) -> Option<&Pause> {
        self.rest.as_ref().filter(|rest| rest.until > now)
    }

    fn rest(&mut self, reason: &str, quarantine: bool, limits: &Limits, now: Instant) {
        let doublings = self.faults.saturating_sub(1).min(31);
        let pause = limits.retry_after.saturating_mul(1 << doublings).min(limits.quarantine);
        let pause = if quarantine { limits.quarantine } else { pause };
        // A pause beyond the end of time is as good as one of a century.
        let until = now.checked_add(pause).unwrap_or(now + Duration::from_secs(3_000_000_000));
        self.rest = Some(Pause { until, reason: reason.to_owned(), quarantine });
    }
}

impl Pause {
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
    use proptest::prelude::*;

    use super::*;

    fn limits() -> Limits {
        Limits::default()
    }

    const SECOND: Duration = Duration::from_secs(1);
    const SAID: Account<'_> = Account::Arguments(7);

    fn guest(name: &str) -> Account<'_> {
        Account::Sender(Some(name))
    }

    #[test]
    fn rests_get_longer_until_the_quarantine() {
        let (mut health, mut now) = (Health::default(), Instant::now());
        for pause in [1, 2, 4] {
            assert_eq!(health.failed(SAID, "a trap", &limits(), now), None);
            assert_eq!(
                health.state(now),
                WordState::Retrying { remaining: pause * SECOND, reason: "a trap".into() }
            );
            assert!(health.admit(SAID, now).is_err());
            now += pause * SECOND;
            assert!(health.admit(SAID, now).is_ok());
        }
        let told = health.failed(SAID, "a trap", &limits(), now);
        assert_eq!(told.as_deref(), Some("for what it was told to say: a trap"));
        assert_eq!(
            health.state(now),
            WordState::Quarantined { remaining: 600 * SECOND, reason: "a trap".into() }
        );
        now += 600 * SECOND;
        assert!(health.admit(SAID, now).is_ok(), "one chance");
        assert!(health.failed(SAID, "a trap", &limits(), now).is_some(), "and no more");
        health.succeeded(SAID);
        assert_eq!(health.state(now), WordState::Ready);
    }

    #[test]
    fn who_makes_a_word_fail_takes_it_from_nobody_else() {
        let (mut health, now) = (Health::default(), Instant::now());
        let told = loop {
            if let Some(told) = health.failed(guest("vm1"), "a trap", &limits(), now) {
                break told;
            }
        };
        assert_eq!(told, "for vm1 and nobody else: a trap");
        assert!(health.admit(guest("vm1"), now).is_err());
        assert!(health.admit(guest("vm2"), now).is_ok());
        assert!(health.admit(Account::Sender(None), now).is_ok());
        assert!(health.admit(SAID, now).is_ok());
        let WordState::Quarantined { reason, .. } = health.state(now) else {
            panic!("{:?}", health.state(now))
        };
        assert_eq!(reason, "from vm1: a trap");
    }

    #[test]
    fn a_hundred_who_conspire_take_it_from_nobody_else_either() {
        let (mut health, now) = (Health::default(), Instant::now());
        for turn in 0..10 {
            for one in 0..100 {
                health.failed(guest(&format!("vm{one}")), "a trap", &limits(), now + turn * SECOND);
                health.failed(Account::Arguments(one), "a trap", &limits(), now + turn * SECOND);
            }
        }
        let now = now + 10 * SECOND;
        assert!(health.admit(guest("honest"), now).is_ok());
        assert!(health.admit(Account::Arguments(1000), now).is_ok());
        assert!(health.admit(guest("vm7"), now).is_err());
        assert!(health.admit(Account::Arguments(7), now).is_err());
    }

    #[test]
    fn when_many_fail_it_is_the_word_until_somebody_succeeds() {
        let (mut health, now) = (Health::default(), Instant::now());
        let names: Vec<_> = (0..=BAD_AFTER).map(|number| format!("vm{number}")).collect();
        let mut told = names.iter().map(|name| health.failed(guest(name), "a trap", &limits(), now));
        assert!(told.by_ref().take(BAD_AFTER - 1).all(|told| told.is_none()));
        let bad = told.next().flatten();
        assert_eq!(bad.as_deref(), Some("it failed 8 times for as many, and nobody in between: a trap"));
        assert_eq!(told.next(), Some(None), "it is told once");
        drop(told);
        assert!(matches!(health.state(now), WordState::Quarantined { .. }), "one fault is enough now");
        health.succeeded(guest("honest"));
        assert_eq!(health.failed(guest("vm99"), "a trap", &limits(), now), None);
        assert!(health.admit(guest("vm99"), now + SECOND).is_ok());
    }

    proptest! {
        #[test]
        fn who_has_made_no_fault_is_let_in_whatever_others_do(
            faults in prop::collection::vec((0..20_u64, any::<bool>(), any::<bool>(), 0..100_u32), 0..200),
        ) {
            let (mut health, mut now) = (Health::default(), Instant::now());
            for (who, says, well, pause) in faults {
                let name = who.to_string();
                let account = if says { Account::Arguments(who) } else { guest(&name) };
                if health.admit(account, now).is_ok() {
                    if well {
                        health.succeeded(account);
                    } else {
                        health.failed(account, "a trap", &limits(), now);
                    }
                }
                now += pause * SECOND;
                prop_assert!(health.admit(guest("honest"), now).is_ok());
                prop_assert!(health.admit(Account::Arguments(99), now).is_ok());
            }
        }
    }

    #[test]
    fn the_books_are_bounded() {
        let (mut health, now) = (Health::default(), Instant::now());
        for guest_ in 0..3 * MAX_RECORDS {
            health.failed(guest(&guest_.to_string()), "a trap", &limits(), now);
            health.failed(Account::Arguments(guest_ as u64), "a trap", &limits(), now);
        }
        assert!(health.listening.records.len() <= MAX_RECORDS && health.saying.records.len() <= MAX_RECORDS);
        assert!(health.listening.failed.len() <= BAD_AFTER);
        assert!(health.listening.records.contains_key(&(3 * MAX_RECORDS - 1).to_string()));
    }

    #[test]
    fn limits_beyond_reason_do_no_harm() {
        let endless =
            Limits { retries: u32::MAX, retry_after: Duration::MAX, quarantine: Duration::MAX, ..limits() };
        let (mut health, now) = (Health::default(), Instant::now());
        for _ in 0..100 {
            health.failed(SAID, "a trap", &endless, now);
        }
        assert!(health.admit(SAID, now).is_err());
    }
}
