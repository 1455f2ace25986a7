//! Chance that can be had again by its seed, which `VOCABLE_SEED` sets.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of chance (splitmix64): the same seed, the same numbers.
pub struct Random(u64);

impl Random {
    /// The one of that seed.
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed that nobody has had, unless `VOCABLE_SEED` says which.
    pub fn new_seed() -> u64 {
        let from_clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        std::env::var("VOCABLE_SEED").map_or_else(|_| from_clock(), |seed| seed.parse().unwrap())
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
