//! Messages that came to nothing: given out by the broker again and again, since the connection ended each time before
//! they were acknowledged. One that never gets through must not be heard for ever. Pure.

use std::collections::BTreeMap;

/// So often one process hears a message that it cannot acknowledge.
const MAX_ATTEMPTS: u32 = 5;
/// So often it may have been given out before, when it is the first that a process gets: then it may be what ends every
/// process that hears it. The count alone says nothing: whatever was on its way with such a one is counted, too.
const MAX_DELIVERIES: u32 = 16;
/// Messages whose redeliveries are counted.
const MAX_TRACKED: usize = 1024;

/// How often messages were heard that are not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Redeliveries {
    counted: BTreeMap<String, u32>,
    any: bool,
}

impl Redeliveries {
    /// A message has come that was given out so often before. Gives how often it has been tried if that was too often.
    pub(super) fn count(&mut self, id: &str, given_out: u32) -> Option<u32> {
        let is_first = !std::mem::replace(&mut self.any, true);
        if is_first && given_out >= MAX_DELIVERIES {
            return Some(given_out);
        }
        if !self.counted.contains_key(id) && self.counted.len() >= MAX_TRACKED {
            // Far more than are on their way at a time: whichever goes is one that never came again.
            self.counted.pop_first();
        }
        let heard = self.counted.entry(id.to_owned()).or_default();
        *heard += 1;
        (*heard > MAX_ATTEMPTS).then(|| *heard - 1)
    }

    /// It was acknowledged on the connection on which it came, which is there still.
    pub(super) fn acknowledged(&mut self, id: &str) {
        self.counted.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_gets_through_is_given_up_and_what_came_along_with_it_is_not() {
        let mut redeliveries = Redeliveries::default();
        for round in 0..MAX_ATTEMPTS {
            assert_eq!(redeliveries.count("bad", round), None);
            assert_eq!(redeliveries.count("good", round), None);
            redeliveries.acknowledged("good");
        }
        assert_eq!(redeliveries.count("good", MAX_ATTEMPTS), None);
        assert_eq!(redeliveries.count("bad", MAX_ATTEMPTS), Some(MAX_ATTEMPTS));
    }

    #[test]
    fn what_ends_every_process_is_given_up_by_the_count_of_the_broker() {
        assert_eq!(Redeliveries::default().count("bad", MAX_DELIVERIES), Some(MAX_DELIVERIES));
        let mut redeliveries = Redeliveries::default();
        redeliveries.count("first", 0);
        assert_eq!(redeliveries.count("behind", MAX_DELIVERIES), None);
    }

    #[test]
    fn what_never_comes_again_does_not_pile_up() {
        let mut redeliveries = Redeliveries::default();
        (0..10_000).for_each(|n| assert_eq!(redeliveries.count(&n.to_string(), 0), None));
        assert_eq!(redeliveries.counted.len(), MAX_TRACKED);
    }
}
