//! Connections on which nobody has logged in yet. They take no client's place, and there are only so many: when one more
//! comes, the oldest ends, of the address that has most of them. So whoever connects and says nothing is in nobody's way.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default)]
pub(super) struct Strangers {
    most: usize,
    // A lock and not a task: nobody holds it for longer than a look-up.
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    /// In the order they came.
    waiting: BTreeMap<u64, (Option<IpAddr>, CancellationToken)>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    all: Arc<Strangers>,
    number: u64,
    ended: CancellationToken,
}

impl Strangers {
    /// At most so many at a time.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), inside: Mutex::default() })
    }

    /// Lets one in, from that address.
    pub(super) fn enter(self: &Arc<Self>, from: Option<IpAddr>) -> Stranger {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.waiting.len() >= self.most
            && let Some(oldest) = inside.oldest_of_most()
            && let Some((_, ended)) = inside.waiting.remove(&oldest)
        {
            ended.cancel();
        }
        let (number, ended) = (inside.next, CancellationToken::new());
        inside.next += 1;
        inside.waiting.insert(number, (from, ended.clone()));
        drop(inside);
        Stranger { all: self.clone(), number, ended }
    }
}

impl Inside {
    fn oldest_of_most(&self) -> Option<u64> {
        let mut counts: HashMap<Option<IpAddr>, (usize, std::cmp::Reverse<u64>)> = HashMap::new();
        for (number, (from, _)) in &self.waiting {
            counts.entry(*from).or_insert((0, std::cmp::Reverse(*number))).0 += 1;
        }
        counts.into_values().max().map(|(_, std::cmp::Reverse(oldest))| oldest)
    }
}

impl Stranger {
    /// When another one needs the room.
    pub(super) async fn evicted(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.all.inside.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn the_oldest_of_the_address_that_has_most_gives_way() {
        let all = Strangers::new(4);
        let honest = all.enter(address(1));
        let many: Vec<_> = (0..3).map(|_| all.enter(address(2))).collect();
        let more: Vec<_> = (0..2).map(|_| all.enter(address(2))).collect();
        let ended: Vec<_> = many.iter().map(|one| one.ended.is_cancelled()).collect();
        assert_eq!(ended, [true, true, false]);
        assert!(!honest.ended.is_cancelled() && more.iter().all(|one| !one.ended.is_cancelled()));
        drop((many, more));
        assert_eq!(all.inside.lock().unwrap().waiting.len(), 1);
    }

    #[test]
    fn of_one_address_the_oldest_gives_way() {
        let all = Strangers::new(2);
        let one = [all.enter(None), all.enter(None), all.enter(None)];
        assert_eq!(one.map(|one| one.ended.is_cancelled()), [true, false, false]);
    }
}
