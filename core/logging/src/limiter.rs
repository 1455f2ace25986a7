//! How often things of one kind are let through: the first few of each period of time, then how many more there were.
//!
//! Pure: the clock is an argument. What it remembers is bounded, whoever chooses the kinds.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Counts things by their kind.
#[derive(Debug)]
pub struct Limiter<K> {
    most: u32,
    period: Duration,
    most_kinds: usize,
    kinds: HashMap<K, Count>,
    /// Kinds in the order in which their periods began, which is that in which they end.
    begun: VecDeque<(Instant, K)>,
    /// Of all kinds that are too many to be counted apart.
    others: Option<(Instant, Count)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    admitted: u32,
    left_out: u64,
}

impl Count {
    const fn admit(&mut self, most: u32) -> bool {
        if self.admitted < most {
            self.admitted += 1;
            return true;
        }
        self.left_out += 1;
        false
    }
}

/// What was left out of a period that is over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeftOut<K> {
    /// Of which kind; `None` for kinds that were too many to be counted apart.
    pub kind: Option<K>,
    /// How many.
    pub count: u64,
}

impl<K: Clone + Eq + Hash> Limiter<K> {
    /// Lets `most` things of a kind through in each period; one begins with the first thing. Kinds beyond
    /// `most_kinds` count as one.
    pub fn new(most: u32, period: Duration, most_kinds: usize) -> Self {
        Self { most, period, most_kinds, kinds: HashMap::new(), begun: VecDeque::new(), others: None }
    }

    /// Whether this one is to be told; if not, it is counted. Ask for [`Self::ended`] first.
    pub fn admit(&mut self, kind: &K, now: Instant) -> bool {
        if let Some(count) = self.kinds.get_mut(kind) {
            return count.admit(self.most);
        }
        if self.kinds.len() >= self.most_kinds {
            return self.others.get_or_insert((now, Count::default())).1.admit(self.most);
        }
        let mut count = Count::default();
        let is_admitted = count.admit(self.most);
        self.kinds.insert(kind.clone(), count);
        self.begun.push_back((now, kind.clone()));
        is_admitted
    }

    /// What was left out of the periods that are over by now.
    pub fn ended(&mut self, now: Instant) -> Vec<LeftOut<K>> {
        let mut ended = Vec::new();
        while let Some((_, kind)) = self.begun.pop_front_if(|(begun, _)| *begun + self.period <= now) {
            let count = self.kinds.remove(&kind).map_or(0, |count| count.left_out);
            if count > 0 {
                ended.push(LeftOut { kind: Some(kind), count });
            }
        }
        if let Some((_, count)) = self.others.take_if(|(begun, _)| *begun + self.period <= now)
            && count.left_out > 0
        {
            ended.push(LeftOut { kind: None, count: count.left_out });
        }
        ended
    }

    /// When [`Self::ended`] has something to tell next, if nothing else happens.
    pub fn next_end(&self) -> Option<Instant> {
        let kinds = self.begun.front().map(|(begun, _)| *begun);
        let begun = [kinds, self.others.map(|(begun, _)| begun)].into_iter().flatten().min()?;
        Some(begun + self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIOD: Duration = Duration::from_secs(10);

    #[test]
    fn the_first_few_are_told_and_the_rest_is_counted() {
        let (mut limiter, start) = (Limiter::new(2, PERIOD, 9), Instant::now());
        let told = (0..7).filter(|_| limiter.admit(&"vm1", start)).count();
        assert_eq!(told, 2);
        assert!(limiter.admit(&"vm2", start), "another kind is another matter");
        assert_eq!(limiter.ended(start + PERIOD / 2), []);
        assert_eq!(limiter.next_end(), Some(start + PERIOD));
        let ended = limiter.ended(start + PERIOD);
        assert_eq!(ended, [LeftOut { kind: Some("vm1"), count: 5 }]);
        assert!(limiter.admit(&"vm1", start + PERIOD));
    }

    proptest! {
        /// Whatever comes in whatever order: each thing is told or counted, never both and never neither; no more of a
        /// kind is told in a period than may be; and what is remembered is bounded.
        #[test]
        fn nothing_is_told_too_often_and_nothing_is_lost(
            things in prop::collection::vec((0u32..3000, 0u64..4000), 1..3000)
        ) {
            let (mut limiter, mut now) = (Limiter::new(3, PERIOD, 1000), Instant::now());
            let (mut told, mut left_out) = (0, 0);
            let mut told_of: HashMap<u32, Vec<Instant>> = HashMap::new();
            for (kind, millis) in &things {
                now += Duration::from_millis(*millis / 100);
                left_out += limiter.ended(now).iter().map(|left| left.count).sum::<u64>();
                if limiter.admit(kind, now) {
                    told += 1;
                    told_of.entry(*kind).or_default().push(now);
                }
                prop_assert!(limiter.kinds.len() <= 1000 && limiter.begun.len() <= 1000);
            }
            while let Some(end) = limiter.next_end() {
                left_out += limiter.ended(end).iter().map(|left| left.count).sum::<u64>();
            }
            prop_assert_eq!(told + left_out, things.len() as u64);
            for moments in told_of.values() {
                for window in moments.windows(7) {
                    // Two periods touch any time of the length of one.
                    prop_assert!(window[6] - window[0] >= PERIOD);
                }
            }
        }
    }
}
