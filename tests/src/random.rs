//! Chance that can be had again: the seed is printed, and `VOCABLE_SEED` sets it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of chance (splitmix64): the same seed, the same numbers.
pub struct Random(u64);

impl Random {
    /// A new one, which says on standard error how to have it again.
    pub fn announced() -> Self {
        let from_clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var("VOCABLE_SEED").map_or_else(|_| from_clock(), |seed| seed.parse().unwrap());
        eprintln!("the seed of this story is {seed}; VOCABLE_SEED={seed} tells it again");
        Self(seed)
    }

    /// One of the numbers below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// Lets some time pass, so that what comes next comes at any point of what is going on. Nothing is waited for.
    pub fn pause(&mut self, most: Duration) {
        let most = u64::try_from(most.as_micros()).unwrap();
        std::thread::sleep(Duration::from_micros(self.below(most)));
    }
}
