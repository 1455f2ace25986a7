//! How many connections there may be, of one caller and in all, and who goes when there are too many: the one that has
//! been idle the longest. So whoever opens connections and says nothing keeps nobody out.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::listener::Peer;

/// All places.
#[derive(Clone)]
pub(super) struct Places {
    shared: Arc<Mutex<Taken>>,
    /// Somebody has become idle, or has left.
    freed: Arc<Notify>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Everybody is busy.
    All,
    /// All connections of this caller are busy, and it may have no more.
    Theirs,
}

struct Taken {
    /// Of everybody together, and of one caller.
    most: usize,
    most_of_one: usize,
    next: u64,
    connections: HashMap<u64, Connection>,
}

struct Connection {
    party: Peer,
    /// Requests that are being answered; without any, since when.
    busy: usize,
    idle_since: Instant,
    end: CancellationToken,
}

/// A place, as long as it is held.
pub(super) struct Place {
    number: u64,
    places: Places,
    /// Cancelled when somebody else needs the place more.
    pub(super) end: CancellationToken,
}

/// A request that is being answered, as long as it is held.
pub(super) struct Busy {
    number: u64,
    places: Places,
}

impl Places {
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        let taken = Taken { most, most_of_one, next: 0, connections: HashMap::new() };
        Self { shared: Arc::new(Mutex::new(taken)), freed: Arc::default() }
    }

    /// As [`take`](Self::take), but waits while everybody is busy.
    pub(super) async fn wait(&self, peer: Peer) -> Result<Place, Full> {
        loop {
            let mut freed = pin!(self.freed.notified());
            // Before looking, so that nothing is missed between looking and waiting.
            freed.as_mut().enable();
            match self.take(peer, Instant::now()) {
                Err(Full::All) => freed.await,
                taken => return taken,
            }
        }
    }

    /// A place for a connection of `peer`, if need be that of another which is idle.
    fn take(&self, peer: Peer, now: Instant) -> Result<Place, Full> {
        let mut taken = self.lock();
        let party = peer.party();
        let theirs = taken.connections.values().filter(|it| it.party == party).count();
        if theirs >= taken.most_of_one {
            taken.free(|it| it.party == party).ok_or(Full::Theirs)?;
        } else if taken.connections.len() >= taken.most {
            taken.free(|_| true).ok_or(Full::All)?;
        }
        let number = taken.next;
        taken.next += 1;
        let end = CancellationToken::new();
        let connection = Connection { party, busy: 0, idle_since: now, end: end.clone() };
        taken.connections.insert(number, connection);
        drop(taken);
        Ok(Place { number, places: self.clone(), end })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing here panics half-way: what a panic elsewhere leaves is whole.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Ends the one of these connections that has been idle the longest.
    fn free(&mut self, of: impl Fn(&Connection) -> bool) -> Option<()> {
        let idle = self.connections.iter().filter(|(_, it)| it.busy == 0 && of(it));
        let longest = idle.min_by_key(|(number, it)| (it.idle_since, **number)).map(|(number, _)| *number)?;
        let connection = self.connections.remove(&longest)?;
        tracing::debug!(peer = %connection.party, "an idle connection makes room for another");
        connection.end.cancel();
        Some(())
    }
}

impl Place {
    /// The connection is busy until the result is dropped.
    pub(super) fn busy(&self) -> Busy {
        if let Some(connection) = self.places.lock().connections.get_mut(&self.number) {
            connection.busy += 1;
        }
        Busy { number: self.number, places: self.places.clone() }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(connection) = self.places.lock().connections.get_mut(&self.number) {
            connection.busy = connection.busy.saturating_sub(1);
            connection.idle_since = Instant::now();
        }
        self.places.freed.notify_waiters();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().connections.remove(&self.number);
        self.places.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn peer(last: u8) -> Peer {
        Peer::Ip([192, 168, 56, last].into())
    }

    #[test]
    fn the_longest_idle_connection_makes_room() {
        let places = Places::new(3, 3);
        let at = |s| Instant::now() + Duration::from_secs(s);
        let first = places.take(peer(1), at(0)).unwrap();
        let second = places.take(peer(2), at(1)).unwrap();
        let third = places.take(peer(3), at(2)).unwrap();
        let answering = first.busy();
        let fourth = places.take(peer(4), at(3)).unwrap();
        assert!(!first.end.is_cancelled() && second.end.is_cancelled() && !third.end.is_cancelled());
        let all_busy = [third.busy(), fourth.busy()];
        assert_eq!(
            places.take(peer(5), at(4)).err(),
            Some(Full::All),
            "nobody who is being answered has to go"
        );
        drop((answering, all_busy));
        assert!(places.take(peer(5), at(4)).is_ok());
    }

    #[test]
    fn one_caller_pushes_out_only_itself() {
        let places = Places::new(10, 2);
        let other = places.take(peer(9), Instant::now()).unwrap();
        let own: Vec<_> = (0..5).map(|_| places.take(peer(1), Instant::now()).unwrap()).collect();
        assert!(!other.end.is_cancelled());
        assert_eq!(own.iter().filter(|place| place.end.is_cancelled()).count(), 3);
        let _busy: Vec<_> = own.iter().map(Place::busy).collect();
        assert_eq!(places.take(peer(1), Instant::now()).err(), Some(Full::Theirs));
    }

    #[test]
    fn a_place_that_is_given_back_is_free() {
        let places = Places::new(1, 1);
        let busy = places.take(peer(1), Instant::now()).map(|place| (place.busy(), place)).unwrap();
        assert!(places.take(peer(2), Instant::now()).is_err());
        drop(busy);
        assert!(places.take(peer(2), Instant::now()).is_ok());
    }
}
