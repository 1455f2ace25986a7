//! Who is there: every guest the host knows, how alive it is, and the reason in words.
//!
//! ```text
//!            joins              first sign of life        a beacon missed        lost_after missed
//!  never ───────────▶ joined ───────────────────▶ alive ─────────────────▶ late ───────────────────▶ lost
//!    ▲                  ▲  any sign of life          ▲────────────────────────┘                        │
//!    │ told of it       └───────────────── joins ────┴──────────────── (from left and lost too) ◀──────┘
//!  (credential)         Says that it leaves, from anywhere: left.   Connection ended without that: lost.
//! ```
//! Nobody joins or comes alive without a connection: what is heard after its end was said before it.
//!
//! Pure: the clock is an argument, and what changed is returned. Identity is the broker's business; here an id is
//! somebody who was let in under it.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use vocable_api::clock::{Now, age};
use vocable_protocol::Facts;

/// When a silent guest is late, and when it is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// How often guests say that they are alive.
    pub(crate) beacon: Duration,
    /// So many beacons missed, and a guest is late.
    pub(crate) late_after: u32,
    /// So many missed, and it is lost.
    pub(crate) lost_after: u32,
}

impl Timeouts {
    /// Half an interval of grace: a beacon that is under way is not missed yet.
    fn silence(&self, missed: u32) -> Duration {
        self.beacon * missed + self.beacon / 2
    }
}

pub(crate) use vocable_api::guest::State;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Change {
    pub(crate) guest: String,
    pub(crate) state: State,
    /// Why, in words; may be empty for the good ones.
    pub(crate) reason: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Refusals {
    pub(crate) count: u64,
    pub(crate) reason: String,
    pub(crate) at: OffsetDateTime,
    pub(crate) peer: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) since: OffsetDateTime,
    /// The same, by the clock that never jumps.
    pub(crate) at: Instant,
}

#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) state: State,
    pub(crate) since: OffsetDateTime,
    pub(crate) reason: String,
    /// The address it gave of itself.
    pub(crate) ip: String,
    /// What else it told when it joined: agent version, MAC, boot id …
    pub(crate) facts: Map<String, Value>,
    pub(crate) hello: Option<OffsetDateTime>,
    pub(crate) last_sign: Option<OffsetDateTime>,
    pub(crate) beats: u64,
    pub(crate) connection: Option<Connection>,
    pub(crate) refusals: Option<Refusals>,
    pub(crate) last_error: Option<(OffsetDateTime, String)>,
    /// Its answers that nobody waited for: too late, or to another process.
    pub(crate) stray_answers: u64,
    /// Its messages that were not heard because too many of them waited.
    pub(crate) unheard: u64,
    pub(crate) last_peer: Option<IpAddr>,
    /// Its place among those that have to be judged: not later than it is to be.
    due: Option<Instant>,
    heard: Option<Instant>,
    /// How often it says that it beats.
    beacon: Option<Duration>,
}

/// A guest may say how often it beats, within these bounds: one that says "never" would never be late.
const BEACONS: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(5);

impl Guest {
    fn unknown(now: Now) -> Self {
        Self {
            state: State::Never,
            since: now.utc,
            reason: "no agent has ever joined under this name".into(),
            ip: String::new(),
            facts: Map::new(),
            hello: None,
            last_sign: None,
            beats: 0,
            connection: None,
            refusals: None,
            last_error: None,
            stray_answers: 0,
            unheard: 0,
            last_peer: None,
            due: None,
            heard: None,
            beacon: None,
        }
    }

    /// The timeouts with this guest: as everybody's, at its own pace.
    fn timeouts(&self, of_all: Timeouts) -> Timeouts {
        Timeouts { beacon: self.beacon.unwrap_or(of_all.beacon), ..of_all }
    }

    /// How often it says that it beats, if it said so.
    pub(crate) const fn beacon(&self) -> Option<Duration> {
        self.beacon
    }

    /// When it has to be judged next, if nothing is heard of it until then.
    fn judged_at(&self, of_all: Timeouts) -> Option<Instant> {
        let missed = match self.state {
            State::Alive | State::Joined => of_all.late_after,
            State::Late => of_all.lost_after,
            State::Left | State::Lost | State::Never => return None,
        };
        self.heard.map(|at| at + self.timeouts(of_all).silence(missed))
    }

    pub(crate) fn silent_for(&self, now: Now) -> Option<Duration> {
        self.heard.map(|at| now.mono.saturating_duration_since(at))
    }

    fn set_state(&mut self, state: State, reason: impl Into<String>, now: Now) {
        (self.state, self.since, self.reason) = (state, now.utc, reason.into());
    }
}

/// All guests.
#[derive(Debug)]
pub(crate) struct Roster {
    timeouts: Timeouts,
    guests: BTreeMap<String, Guest>,
    /// When guests have to be judged; a guest that is heard meanwhile is judged too early, which changes nothing.
    due: BTreeSet<(Instant, String)>,
    strangers: BTreeMap<String, Refusals>,
    forgotten: u64,
}

/// Refused logins under names nobody has are remembered for so many names: whoever knocks picks the names.
const MAX_STRANGERS: usize = 100;
/// So many of them are remembered of one address.
const STRANGERS_OF_ONE: usize = 20;

impl Roster {
    pub(crate) const fn new(timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            guests: BTreeMap::new(),
            due: BTreeSet::new(),
            strangers: BTreeMap::new(),
            forgotten: 0,
        }
    }

    pub(crate) const fn guests(&self) -> &BTreeMap<String, Guest> {
        &self.guests
    }

    pub(crate) const fn strangers(&self) -> &BTreeMap<String, Refusals> {
        &self.strangers
    }

    /// How many names were forgotten for which logins had been refused, because there were too many.
    pub(crate) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Guest> {
        self.guests.get(id)
    }

    pub(crate) const fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// How many beacons a guest should have sent since its last sign of life and has not.
    pub(crate) fn missed(&self, guest: &Guest, now: Now) -> u32 {
        if !guest.state.is_there() && guest.state != State::Lost {
            return 0;
        }
        let beacon = guest.timeouts(self.timeouts).beacon;
        let silent = guest.silent_for(now).unwrap_or_default().saturating_sub(beacon / 2);
        u32::try_from(silent.as_millis() / beacon.as_millis().max(1)).unwrap_or(u32::MAX)
    }

    /// The host has heard of a guest otherwise: a credential was made for it.
    pub(crate) fn add_known(&mut self, id: &str, now: Now) {
        self.strangers.remove(id);
        self.guests.entry(id.to_owned()).or_insert_with(|| Guest::unknown(now));
    }

    pub(crate) fn connected(&mut self, id: &str, peer: Option<SocketAddr>, now: Now) {
        self.strangers.remove(id);
        let guest = self.guests.entry(id.to_owned()).or_insert_with(|| Guest::unknown(now));
        guest.connection = Some(Connection { peer, since: now.utc, at: now.mono });
        guest.last_peer = peer.map(|peer| peer.ip()).or(guest.last_peer);
    }

    /// Its connection ended. If it did not say before that it leaves, it is lost.
    pub(crate) fn disconnected(&mut self, id: &str, reason: &str, now: Now) -> Option<Change> {
        let guest = self.guests.get_mut(id)?;
        guest.connection = None;
        if !guest.state.is_there() {
            return None;
        }
        guest.set_state(State::Lost, reason, now);
        self.schedule(id, true);
        Some(Change { guest: id.to_owned(), state: State::Lost, reason: reason.to_owned() })
    }

    pub(crate) fn refused(&mut self, id: &str, peer: Option<SocketAddr>, reason: &str, now: Now) {
        if let Some(guest) = self.guests.get_mut(id) {
            return count_refusal(&mut guest.refusals, peer, reason, now);
        }
        let mut refusals = self.strangers.remove(id);
        if refusals.is_none() {
            self.make_room_for_stranger(peer);
        }
        count_refusal(&mut refusals, peer, reason, now);
        self.strangers.extend(refusals.map(|told| (id.to_owned(), told)));
    }

    /// The name that was tried longest ago is forgotten: of the same address if that has its share, else of all.
    fn make_room_for_stranger(&mut self, peer: Option<SocketAddr>) {
        let ip = |peer: Option<SocketAddr>| peer.map(|peer| peer.ip());
        let is_theirs = |told: &&Refusals| ip(told.peer) == ip(peer);
        let has_share = self.strangers.values().filter(is_theirs).count() >= STRANGERS_OF_ONE;
        if !has_share && self.strangers.len() < MAX_STRANGERS {
            return;
        }
        let candidates = self.strangers.iter().filter(|(_, told)| !has_share || is_theirs(told));
        let oldest = candidates.min_by_key(|(_, told)| told.at).map(|(name, _)| name.clone());
        self.forgotten += u64::from(oldest.and_then(|name| self.strangers.remove(&name)).is_some());
    }

    /// It said that it is here. If its connection has ended meanwhile, what it told counts, and it is not here.
    pub(crate) fn joined(
        &mut self,
        id: &str,
        ip: &str,
        facts: Map<String, Value>,
        now: Now,
    ) -> Option<Change> {
        let guest = self.guests.entry(id.to_owned()).or_insert_with(|| Guest::unknown(now));
        guest.beacon = reported_beacon(&facts);
        (guest.ip, guest.facts, guest.beats) = (ip.to_owned(), facts, 0);
        guest.hello = Some(now.utc);
        guest.refusals = None;
        (guest.heard, guest.last_sign) = (Some(now.mono), Some(now.utc));
        let (state, reason) = match (guest.connection, guest.state) {
            (Some(_), _) => (State::Joined, ""),
            (None, State::Left | State::Lost) => return None,
            (None, _) => (State::Lost, "its connection ended before it was heard"),
        };
        guest.set_state(state, reason, now);
        self.schedule(id, true);
        Some(Change { guest: id.to_owned(), state, reason: reason.to_owned() })
    }

    pub(crate) fn alive(&mut self, id: &str, now: Now) -> Option<Change> {
        if let Some(guest) = self.guests.get_mut(id) {
            guest.beats += 1;
        }
        self.sign_of_life(id, now)
    }

    /// Anything was heard of it. One that has not joined, has left, or has no connection does not come alive by that.
    pub(crate) fn sign_of_life(&mut self, id: &str, now: Now) -> Option<Change> {
        let guest = self.guests.get_mut(id)?;
        guest.connection?;
        (guest.heard, guest.last_sign) = (Some(now.mono), Some(now.utc));
        let reason = match guest.state {
            State::Alive | State::Left | State::Never => return None,
            State::Joined => String::new(),
            State::Late | State::Lost => {
                format!("heard again after {}", age((now.utc - guest.since).unsigned_abs()))
            }
        };
        guest.set_state(State::Alive, reason.clone(), now);
        self.schedule(id, false);
        Some(Change { guest: id.to_owned(), state: State::Alive, reason })
    }

    pub(crate) fn left(&mut self, id: &str, reason: &str, now: Now) -> Option<Change> {
        let guest = self.guests.get_mut(id)?;
        guest.set_state(State::Left, reason, now);
        self.schedule(id, true);
        Some(Change { guest: id.to_owned(), state: State::Left, reason: reason.to_owned() })
    }

    /// Something failed for a guest; the last one is kept for whoever asks why.
    pub(crate) fn note_failure(&mut self, id: &str, error: &str, now: Now) {
        if let Some(guest) = self.guests.get_mut(id) {
            guest.last_error = Some((now.utc, error.to_owned()));
        }
    }

    pub(crate) fn count_stray_answer(&mut self, id: &str) {
        if let Some(guest) = self.guests.get_mut(id) {
            guest.stray_answers += 1;
        }
    }

    /// A message of it was not heard, because too many of them waited.
    pub(crate) fn count_unheard(&mut self, id: &str) {
        if let Some(guest) = self.guests.get_mut(id) {
            guest.unheard += 1;
        }
    }

    pub(crate) fn tick(&mut self, now: Now) -> Vec<Change> {
        let mut changes = Vec::new();
        while self.due.first().is_some_and(|(due, _)| *due <= now.mono) {
            let Some((_, id)) = self.due.pop_first() else { break };
            if let Some(guest) = self.guests.get_mut(&id) {
                guest.due = None;
                changes.extend(judge(&id, guest, self.timeouts, now));
            }
            self.schedule(&id, true);
        }
        changes
    }

    /// When [`Self::tick`] may have something to do next, if nobody gives a sign of life until then.
    pub(crate) fn next_tick(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Enters when a guest has to be judged. Unless it has to be exact, an earlier entry stays: a sign of life costs
    /// nothing then, however many there are.
    fn schedule(&mut self, id: &str, exactly: bool) {
        let Some(guest) = self.guests.get_mut(id) else { return };
        let due = guest.judged_at(self.timeouts);
        if !exactly && guest.due.is_some_and(|entered| due.is_none_or(|due| entered <= due)) {
            return;
        }
        if let Some(entered) = guest.due.take() {
            self.due.remove(&(entered, id.to_owned()));
        }
        guest.due = due;
        self.due.extend(due.map(|due| (due, id.to_owned())));
    }
}

fn judge(id: &str, guest: &mut Guest, of_all: Timeouts, now: Now) -> Option<Change> {
    let (silent, timeouts) = (guest.silent_for(now)?, guest.timeouts(of_all));
    let state = match guest.state {
        State::Alive | State::Joined | State::Late if silent >= timeouts.silence(timeouts.lost_after) => {
            State::Lost
        }
        State::Alive | State::Joined if silent >= timeouts.silence(timeouts.late_after) => State::Late,
        _ => return None,
    };
    let reason = format!("no beacon for {}", age(silent));
    guest.set_state(state, reason.clone(), now);
    Some(Change { guest: id.to_owned(), state, reason })
}

/// The fact `beacon`: seconds, as text.
fn reported_beacon(facts: &Map<String, Value>) -> Option<Duration> {
    let seconds = Facts::of(facts).beacon?.parse().ok()?;
    let beacon = Duration::try_from_secs_f64(seconds).ok()?;
    Some(beacon.clamp(*BEACONS.start(), *BEACONS.end()))
}

fn count_refusal(refusals: &mut Option<Refusals>, peer: Option<SocketAddr>, reason: &str, now: Now) {
    let count = refusals.as_ref().map_or(0, |so_far| so_far.count) + 1;
    *refusals = Some(Refusals { count, reason: reason.to_owned(), at: now.utc, peer });
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts { beacon: Duration::from_secs(10), late_after: 1, lost_after: 3 };

    fn at(start: Now, seconds: u64) -> Now {
        start.after(Duration::from_secs(seconds))
    }

    fn with_one(start: Now) -> Roster {
        let mut roster = Roster::new(TIMEOUTS);
        roster.connected("vm1", None, start);
        roster.joined("vm1", "10.0.0.1", Map::new(), start);
        roster
    }

    #[test]
    fn a_guest_joins_lives_misses_beacons_and_is_lost() {
        let start = Now::read();
        let mut roster = with_one(start);
        assert_eq!(roster.get("vm1").unwrap().state, State::Joined);
        assert_eq!(roster.alive("vm1", at(start, 10)).unwrap().state, State::Alive);
        assert_eq!(roster.tick(at(start, 24)), []);
        let late = roster.tick(at(start, 25));
        assert_eq!(late[0].state, State::Late);
        assert_eq!(late[0].reason, "no beacon for 15s");
        assert_eq!(roster.tick(at(start, 44)), []);
        assert_eq!(roster.tick(at(start, 45))[0].state, State::Lost);
        assert_eq!(roster.tick(at(start, 99)), []);
        assert_eq!(roster.alive("vm1", at(start, 100)).unwrap().reason, "heard again after 55s");
    }

    #[test]
    fn the_next_tick_is_exactly_when_the_next_judgement_falls() {
        let start = Now::read();
        let mut roster = with_one(start);
        let due = roster.next_tick().unwrap();
        assert_eq!(due, start.mono + Duration::from_secs(15));
        assert_eq!(roster.tick(Now { mono: due, ..start }).len(), 1);
        assert_eq!(roster.next_tick().unwrap(), start.mono + Duration::from_secs(35));
    }

    #[test]
    fn a_guest_is_judged_at_the_pace_it_told_within_bounds() {
        let start = Now::read();
        let mut roster = Roster::new(TIMEOUTS);
        let told = |beacon: &str| serde_json::json!({"beacon": beacon}).as_object().unwrap().clone();
        roster.connected("vm1", None, start);
        roster.joined("vm1", "", told("1"), start);
        assert_eq!(roster.next_tick().unwrap(), start.mono + Duration::from_millis(1500));
        roster.joined("vm1", "", told("1e300"), start);
        assert_eq!(roster.next_tick().unwrap(), start.mono + Duration::from_secs(15));
        roster.joined("vm1", "", told("86400"), start);
        assert_eq!(roster.next_tick().unwrap(), start.mono + Duration::from_secs(450));
    }

    #[test]
    fn a_connection_that_ends_without_bye_is_a_loss_and_with_bye_is_none() {
        let start = Now::read();
        let mut roster = with_one(start);
        let lost = roster.disconnected("vm1", "connection reset", at(start, 1)).unwrap();
        assert_eq!((lost.state, lost.reason.as_str()), (State::Lost, "connection reset"));
        let mut roster = with_one(start);
        roster.left("vm1", "stopping", at(start, 1));
        assert_eq!(roster.disconnected("vm1", "closed", at(start, 2)), None);
        assert_eq!(roster.get("vm1").unwrap().state, State::Left);
        assert_eq!(roster.sign_of_life("vm1", at(start, 3)), None);
    }

    #[test]
    fn a_sign_of_life_without_a_connection_is_no_life_and_what_was_told_counts() {
        let start = Now::read();
        let mut roster = with_one(start);
        roster.disconnected("vm1", "connection reset", at(start, 1));
        assert_eq!(roster.sign_of_life("vm1", at(start, 2)), None);
        assert_eq!(roster.alive("vm1", at(start, 2)), None);
        let facts = serde_json::json!({"agent": "0.3.0"}).as_object().unwrap().clone();
        assert_eq!(roster.joined("vm1", "10.0.0.2", facts, at(start, 3)), None);
        let guest = roster.get("vm1").unwrap();
        assert_eq!((guest.state, guest.ip.as_str(), guest.facts.len()), (State::Lost, "10.0.0.2", 1));
        assert_eq!(roster.next_tick(), None);
        // Of one that was never heard before either.
        roster.connected("vm2", None, start);
        roster.disconnected("vm2", "connection reset", start);
        let change = roster.joined("vm2", "", Map::new(), start).unwrap();
        assert_eq!(
            (change.state, change.reason.as_str()),
            (State::Lost, "its connection ended before it was heard")
        );
        roster.connected("vm1", None, at(start, 4));
        assert_eq!(roster.joined("vm1", "", Map::new(), at(start, 4)).unwrap().state, State::Joined);
    }

    proptest::proptest! {
        /// Whatever guests do: nobody is judged too late, and nobody is there without a connection.
        #[test]
        fn nobody_is_judged_late_and_nobody_is_there_without_a_connection(
            steps in proptest::collection::vec((0u8..6, 0u8..3, 0u64..9_000), 0..150)
        ) {
            let (mut now, mut roster) = (Now::read(), Roster::new(TIMEOUTS));
            for (step, guest, millis) in steps {
                now = now.after(Duration::from_millis(millis));
                let id = format!("vm{guest}");
                while roster.next_tick().is_some_and(|due| due <= now.mono) {
                    roster.tick(now);
                }
                for (id, guest) in roster.guests() {
                    let silent = guest.silent_for(now).unwrap_or_default();
                    let state = guest.state;
                    proptest::prop_assert!(!state.is_there() || guest.connection.is_some(), "{id} is {state:?}");
                    let late = TIMEOUTS.silence(TIMEOUTS.late_after);
                    proptest::prop_assert!(
                        !matches!(state, State::Alive | State::Joined) || silent < late, "{id} is {state:?} after {silent:?}"
                    );
                }
                match step {
                    0 => roster.connected(&id, None, now),
                    1 => drop(roster.disconnected(&id, "reset", now)),
                    2 => drop(roster.joined(&id, "", Map::new(), now)),
                    3 => drop(roster.alive(&id, now)),
                    4 => drop(roster.sign_of_life(&id, now)),
                    _ => drop(roster.left(&id, "", now)),
                }
            }
        }
    }

    #[test]
    fn refused_logins_are_counted_and_strangers_are_bounded() {
        let start = Now::read();
        let mut roster = with_one(start);
        roster.refused("vm1", None, "wrong token", start);
        roster.refused("vm1", None, "wrong token", start);
        assert_eq!(roster.get("vm1").unwrap().refusals.as_ref().unwrap().count, 2);
        let from = |ip: u8| Some(SocketAddr::from(([10, 0, 0, ip], 1)));
        roster.refused("vm7", from(1), "no credential was made for vm7", start);
        for n in 0..500 {
            roster.refused(&format!("stranger{n}"), from(2), "no such guest", at(start, n));
        }
        // Who knocks under many names pushes out his own.
        assert_eq!((roster.strangers().len(), roster.forgotten()), (1 + STRANGERS_OF_ONE, 480));
        assert!(roster.strangers().contains_key("vm7") && roster.strangers().contains_key("stranger499"));
        for n in 0..200 {
            roster.refused(&format!("many{n}"), from(n), "no such guest", at(start, 600));
        }
        assert_eq!(roster.strangers().len(), MAX_STRANGERS);
    }
}
