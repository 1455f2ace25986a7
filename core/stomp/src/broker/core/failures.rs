//! From where logins failed how often, and how late the next failure is told: bounded, and forgiven with time.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Addresses that are remembered. If there are more, the one that failed least recently is forgotten.
const ADDRESSES: usize = 1_024;

/// So many failures are told at once: a wrong credential, an address that several guests share.
const FREE: u32 = 3;

/// How late the first failure is told that is told late; each further one twice as late.
const FIRST: Duration = Duration::from_millis(250);

/// The latest. Below the time that clients wait for an answer.
const LATEST: Duration = Duration::from_secs(4);

/// After so much time half of the failures are forgiven.
const HALF_LIFE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Failures {
    addresses: HashMap<IpAddr, Record>,
    /// The same by when they failed last, counted in failures.
    order: BTreeMap<u64, IpAddr>,
    count: u64,
}

#[derive(Debug)]
struct Record {
    failures: u32,
    last: Instant,
    order: u64,
}

impl Failures {
    /// A login from there failed; how late that is to be told.
    pub(super) fn note(&mut self, address: IpAddr, now: Instant) -> Duration {
        let address = network_of(address);
        self.count += 1;
        let order = self.count;
        let record = self.addresses.entry(address).or_insert(Record { failures: 0, last: now, order });
        let halves = now.duration_since(record.last).as_secs() / HALF_LIFE.as_secs();
        let left =
            u32::try_from(halves).ok().and_then(|halves| record.failures.checked_shr(halves)).unwrap_or(0);
        self.order.remove(&record.order);
        *record = Record { failures: left.saturating_add(1), last: now, order };
        let delay = delay(record.failures);
        self.order.insert(order, address);
        self.forget_the_oldest();
        delay
    }

    fn forget_the_oldest(&mut self) {
        while self.addresses.len() > ADDRESSES
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.addresses.remove(&oldest);
        }
    }
}

fn delay(failures: u32) -> Duration {
    match failures.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(LATEST),
    }
}

/// Whoever has an IPv6 address usually has all that begin with the same 64 bits.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(failures: &mut Failures, address: &str, now: Instant) -> u128 {
        failures.note(address.parse().unwrap(), now).as_millis()
    }

    #[test]
    fn the_first_failures_are_told_at_once_and_the_others_later_and_later() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let delays: Vec<u128> = (0..10).map(|_| note(&mut failures, "10.0.0.1", now)).collect();
        assert_eq!(delays, [0, 0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
        assert_eq!(note(&mut failures, "10.0.0.2", now), 0, "another address");
        assert_eq!(note(&mut failures, "::ffff:10.0.0.1", now), 4000, "the same address");
    }

    #[test]
    fn failures_are_forgiven_with_time() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for _ in 0..8 {
            note(&mut failures, "10.0.0.1", now);
        }
        assert_eq!(note(&mut failures, "10.0.0.1", now + Duration::from_secs(60)), 500);
        assert_eq!(note(&mut failures, "10.0.0.1", now + Duration::from_secs(100 * 24 * 60 * 60)), 0);
    }

    #[test]
    fn all_addresses_of_one_network_are_one() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let delays: Vec<u128> =
            (0..4).map(|host| note(&mut failures, &format!("2001:db8::{host}"), now)).collect();
        assert_eq!(delays, [0, 0, 0, 250]);
        assert_eq!(note(&mut failures, "2001:db8:0:1::1", now), 0);
    }

    #[test]
    fn no_more_than_so_many_addresses_are_remembered_and_the_latest_are() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for number in 0..5_000_u32 {
            note(&mut failures, "10.0.0.1", now);
            failures.note(IpAddr::from(number.to_be_bytes()), now);
        }
        assert_eq!((failures.addresses.len(), failures.order.len()), (ADDRESSES, ADDRESSES));
        assert_eq!(note(&mut failures, "10.0.0.1", now), 4000);
        assert_eq!(note(&mut failures, "0.0.0.1", now), 0, "it was forgotten");
    }
}
