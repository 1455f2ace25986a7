//! Whatever is done in whatever order, the broker keeps its promises.

use super::exercise::exercise;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn the_broker_keeps_its_promises(operations in vec(any::<[u8; 4]>(), 0..300)) {
        exercise(&operations);
    }
}
