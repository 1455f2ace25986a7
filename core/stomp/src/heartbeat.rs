//! Heart-beats: what is agreed, when the next one is due, and when the peer must be taken for dead.
//!
//! Pure: the clock is an argument, whoever holds the connection waits and sends. Any byte counts as a sign of
//! life, not only heart-beats (1.2, "Heart-beating").

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// What one side says of itself in its `heart-beat` header; both zero without the header.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HeartBeat {
    /// The least time between the heart-beats it can send; zero if it sends none.
    pub sends: Duration,
    /// The time between the heart-beats it would like to get; zero if it wants none.
    pub wants: Duration,
}

impl HeartBeat {
    /// Sends and wants heart-beats that often.
    pub const fn every(interval: Duration) -> Self {
        Self { sends: interval, wants: interval }
    }

    /// What the header says, or its absence.
    ///
    /// # Errors
    /// [`HeartBeatError`] if it is not `<milliseconds>,<milliseconds>`.
    pub fn of_header(value: Option<&str>) -> Result<Self, HeartBeatError> {
        value.map_or_else(|| Ok(Self::default()), str::parse)
    }

    /// What both sides have to keep to, seen from our side. The slower of what one can send and the other wants
    /// is agreed; zero on either side means that there are none in that direction.
    pub fn agree(self, theirs: Self) -> Agreed {
        Agreed { send: interval(self.sends, theirs.wants), expect: interval(theirs.sends, self.wants) }
    }
}

fn interval(can: Duration, wanted: Duration) -> Option<Duration> {
    (!can.is_zero() && !wanted.is_zero()).then(|| can.max(wanted))
}

impl fmt::Display for HeartBeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |d: Duration| u32::try_from(d.as_millis()).unwrap_or(u32::MAX);
        write!(f, "{},{}", milliseconds(self.sends), milliseconds(self.wants))
    }
}

impl FromStr for HeartBeat {
    type Err = HeartBeatError;

    fn from_str(value: &str) -> Result<Self, HeartBeatError> {
        let (sends, wants) = value.split_once(',').ok_or(HeartBeatError)?;
        Ok(Self { sends: milliseconds(sends)?, wants: milliseconds(wants)? })
    }
}

fn milliseconds(text: &str) -> Result<Duration, HeartBeatError> {
    let text = text.trim();
    // `parse` alone would take "+5".
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u32>().ok().filter(|_| digits);
    number.map(|ms| Duration::from_millis(ms.into())).ok_or(HeartBeatError)
}

/// A `heart-beat` header that says nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the heart-beat header is not two numbers of milliseconds, each at most {}, like 10000,10000",
    u32::MAX
)]
pub struct HeartBeatError;

/// What two sides agreed upon, seen from one of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Agreed {
    /// We promised something at least that often.
    pub send: Option<Duration>,
    /// They promised something at least that often.
    pub expect: Option<Duration>,
}

/// Keeps the times of one connection.
#[derive(Clone, Copy, Debug)]
pub struct HeartBeats {
    agreed: Agreed,
    sent: Instant,
    received: Instant,
}

impl HeartBeats {
    /// From the moment at which the heart-beats were agreed upon.
    pub const fn new(agreed: Agreed, now: Instant) -> Self {
        Self { agreed, sent: now, received: now }
    }

    /// What was agreed upon.
    pub const fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// Bytes were sent: there is no need for a heart-beat for a while.
    pub const fn sent(&mut self, now: Instant) {
        self.sent = now;
    }

    /// Bytes were received. To be called as well when we listen again after not having listened: what the peer
    /// said meanwhile waits in the socket, and its silence cannot be held against it.
    pub const fn received(&mut self, now: Instant) {
        self.received = now;
    }

    /// When a heart-beat is to be sent if nothing else is: at three quarters of the interval, so that it arrives
    /// within it even if both machines are busy. `None`: never.
    pub fn due(&self) -> Option<Instant> {
        self.agreed.send.and_then(|interval| self.sent.checked_add(interval * 3 / 4))
    }

    /// When the peer is dead unless it is heard of before: after twice the interval. `None`: never.
    pub fn dead(&self) -> Option<Instant> {
        self.agreed.expect.and_then(|interval| self.received.checked_add(interval * 2))
    }

    /// Whether a heart-beat is to be sent now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    /// Whether the peer must be taken for dead.
    pub fn is_dead(&self, now: Instant) -> bool {
        self.dead().is_some_and(|dead| dead <= now)
    }

    /// The next moment at which one of the two has to be asked again.
    pub fn next(&self) -> Option<Instant> {
        self.due().into_iter().chain(self.dead()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    const fn beat(sends: u64, wants: u64) -> HeartBeat {
        HeartBeat { sends: ms(sends), wants: ms(wants) }
    }

    #[test]
    fn the_slower_side_decides_and_zero_means_none() {
        for (ours, theirs, send, expect) in [
            (beat(1000, 2000), beat(500, 3000), Some(3000), Some(2000)),
            (beat(1000, 2000), beat(5000, 500), Some(1000), Some(5000)),
            (beat(0, 2000), beat(1000, 1000), None, Some(2000)),
            (beat(1000, 0), beat(1000, 1000), Some(1000), None),
            (beat(1000, 1000), HeartBeat::default(), None, None),
        ] {
            let agreed = Agreed { send: send.map(ms), expect: expect.map(ms) };
            assert_eq!(ours.agree(theirs), agreed, "{ours} and {theirs}");
        }
    }

    #[test]
    fn both_sides_agree_about_the_same() {
        let (ours, theirs) = (beat(1000, 2000), beat(3000, 500));
        let (here, there) = (ours.agree(theirs), theirs.agree(ours));
        assert_eq!((here.send, here.expect), (there.expect, there.send));
    }

    #[test]
    fn the_header_is_two_numbers_of_milliseconds() {
        assert_eq!(HeartBeat::of_header(Some("1000,0")), Ok(beat(1000, 0)));
        assert_eq!(HeartBeat::of_header(Some("1000, 2000")), Ok(beat(1000, 2000)));
        assert_eq!(HeartBeat::of_header(None), Ok(HeartBeat::default()));
        assert_eq!(beat(1000, 2).to_string(), "1000,2");
        assert_eq!(HeartBeat::every(Duration::MAX).to_string(), "4294967295,4294967295");
        for wrong in ["", "1000", "1,2,3", "-1,0", "+1,0", "a,b", "1.5,1", ",", "4294967296,0"] {
            assert_eq!(HeartBeat::of_header(Some(wrong)), Err(HeartBeatError), "{wrong}");
        }
    }

    #[test]
    fn a_beat_is_due_before_the_interval_is_over_and_whatever_is_sent_puts_it_off() {
        let start = Instant::now();
        let mut beats = HeartBeats::new(beat(1000, 0).agree(beat(0, 1000)), start);
        assert_eq!(
            (beats.due(), beats.dead(), beats.next()),
            (Some(start + ms(750)), None, Some(start + ms(750)))
        );
        assert!(!beats.is_due(start + ms(749)) && beats.is_due(start + ms(750)));
        beats.sent(start + ms(600));
        assert!(!beats.is_due(start + ms(1349)) && beats.is_due(start + ms(1350)));
    }

    #[test]
    fn a_peer_is_dead_after_twice_the_interval_and_any_byte_revives_it() {
        let start = Instant::now();
        let mut beats = HeartBeats::new(beat(0, 1000).agree(beat(1000, 0)), start);
        assert!(!beats.is_dead(start + ms(1999)) && beats.is_dead(start + ms(2000)));
        beats.received(start + ms(1500));
        assert!(!beats.is_dead(start + ms(3499)) && beats.is_dead(start + ms(3500)));
    }

    #[test]
    fn without_heart_beats_nothing_is_ever_due_and_nobody_dead() {
        let start = Instant::now();
        let beats = HeartBeats::new(Agreed::default(), start);
        assert_eq!(beats.next(), None);
        assert!(!beats.is_due(start + ms(1_000_000)) && !beats.is_dead(start + ms(1_000_000)));
    }
}
