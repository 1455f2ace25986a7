//! Everything that happens, numbered: a bounded log that readers resume without a gap, or learn that there is one.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tokio::sync::watch;
use vocable_api::clock::Now;
use vocable_logging::{LeftOut, Limiter};
use vocable_pattern::{PatternError, Patterns};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// Counts up by one, from 1 at the start of the agent.
    pub(crate) seq: u64,
    pub(crate) time: OffsetDateTime,
    pub(crate) kind: String,
    pub(crate) guest: Option<String>,
    pub(crate) cmd_id: Option<String>,
    /// The machine it is about, by name.
    pub(crate) vm: Option<String>,
    pub(crate) text: String,
    pub(crate) data: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Since {
    /// The events, oldest first.
    pub(crate) events: Vec<Event>,
    pub(crate) next: u64,
    /// So many in between are no longer kept.
    pub(crate) dropped: u64,
}

/// The last events. Whom they are about has a share of the room: when there is no more, the oldest one goes of whoever has
/// most, so that one guest pushes out its own. What happens to one guest again and again is told some times, then counted.
#[derive(Debug)]
pub(crate) struct EventLog {
    kept: BTreeMap<u64, Event>,
    /// The numbers of the events of each share, oldest first.
    shares: HashMap<String, VecDeque<u64>>,
    /// The shares by size.
    sizes: BTreeSet<(usize, String)>,
    again: Limiter<Kind>,
    next: u64,
    most: usize,
    newest: watch::Sender<u64>,
}

/// What kind of event, and in whose share.
type Kind = (String, String);

/// Events of one kind about one guest in each stretch, those about commands aside: they are callers' doing.
const AT_ONCE: u32 = 20;
const STRETCH: Duration = Duration::from_secs(10);
/// Kinds times guests that are counted apart.
const KINDS: usize = 50_000;
/// The share of all who are no guests: whoever knocks picks his names.
const STRANGERS: &str = "?";

impl EventLog {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            kept: BTreeMap::new(),
            shares: HashMap::new(),
            sizes: BTreeSet::new(),
            again: Limiter::new(AT_ONCE, STRETCH, KINDS),
            next: 1,
            most,
            newest: watch::Sender::new(0),
        }
    }

    /// Notes an event; its number and time are set here.
    pub(crate) fn note(&mut self, kind: &str, about: About, text: impl Into<String>, now: Now) {
        let share = about.guest.clone().unwrap_or_default();
        self.note_in(share, kind, about, text.into(), now);
    }

    /// Notes an event about somebody who is no guest: all of these have one share.
    pub(crate) fn note_stranger(&mut self, kind: &str, name: &str, text: impl Into<String>, now: Now) {
        self.note_in(STRANGERS.to_owned(), kind, About::guest(name), text.into(), now);
    }

    fn note_in(&mut self, share: String, kind: &str, about: About, text: String, now: Now) {
        self.tick(now);
        let is_counted = !share.is_empty() && about.cmd_id.is_none();
        if is_counted && !self.again.admit(&(kind.to_owned(), share.clone()), now.mono) {
            return;
        }
        self.keep(share, kind, about, text, now);
    }

    /// Tells how many events were left out, of what happened again and again.
    pub(crate) fn tick(&mut self, now: Now) {
        for LeftOut { kind, count } in self.again.ended(now.mono) {
            let (kind, share) = kind.unwrap_or_else(|| ("guest.events".to_owned(), String::new()));
            let guest = Some(share.clone()).filter(|share| !share.is_empty() && share != STRANGERS);
            let data = Map::from_iter([("count".to_owned(), count.into())]);
            let text = format!("and {count} more like it in {} s", STRETCH.as_secs());
            self.keep(share, &kind, About { guest, data, ..About::default() }, text, now);
        }
    }

    /// When [`Self::tick`] has something to do next, if nothing else happens.
    pub(crate) fn next_tick(&self) -> Option<Instant> {
        self.again.next_end()
    }

    fn keep(&mut self, share: String, kind: &str, about: About, text: String, now: Now) {
        let About { guest, cmd_id, vm, data } = about;
        let (seq, kind) = (self.next, kind.to_owned());
        self.next += 1;
        if self.kept.len() == self.most {
            self.make_room();
        }
        let seqs = self.shares.entry(share.clone()).or_default();
        self.sizes.remove(&(seqs.len(), share.clone()));
        seqs.push_back(seq);
        self.sizes.insert((seqs.len(), share));
        self.kept.insert(seq, Event { seq, time: now.utc, kind, guest, cmd_id, vm, text, data });
        self.newest.send_replace(seq);
    }

    /// The oldest event goes of whoever has most.
    fn make_room(&mut self) {
        let Some((size, share)) = self.sizes.pop_last() else { return };
        let Some(seqs) = self.shares.get_mut(&share) else { return };
        if let Some(oldest) = seqs.pop_front() {
            self.kept.remove(&oldest);
        }
        if seqs.is_empty() {
            self.shares.remove(&share);
        } else {
            self.sizes.insert((size - 1, share));
        }
    }

    /// Tells the number of the newest event, whenever there is a new one.
    pub(crate) fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// At most `limit` events with numbers from `since` on.
    pub(crate) fn since(&self, since: u64, limit: usize) -> Since {
        let since = since.max(1);
        let events: Vec<_> = self.kept.range(since..).take(limit).map(|(_, event)| event.clone()).collect();
        let next = events.last().map_or(self.next, |event| event.seq + 1);
        let dropped = next.saturating_sub(since).saturating_sub(events.len() as u64);
        Since { events, next, dropped }
    }
}

/// Which events somebody wants; all of them by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    guest: Option<String>,
    kinds: Option<Patterns>,
}

impl Wanted {
    /// Those about a guest, if one is named, and of these kinds, which are globs: `guest.*`. No kinds are all kinds.
    ///
    /// # Errors
    /// If one of the kinds is no glob.
    pub(crate) fn of(guest: Option<String>, kinds: &[String]) -> Result<Self, PatternError> {
        if kinds.is_empty() {
            return Ok(Self { guest, kinds: None });
        }
        Ok(Self { guest, kinds: Some(Patterns::new(kinds)?) })
    }

    pub(crate) fn matches(&self, event: &Event) -> bool {
        self.guest.as_ref().is_none_or(|guest| event.guest.as_ref() == Some(guest))
            && self.kinds.as_ref().is_none_or(|kinds| kinds.fit(&event.kind))
    }
}

/// Whom and what an event is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) guest: Option<String>,
    pub(crate) cmd_id: Option<String>,
    /// The machine, by name.
    pub(crate) vm: Option<String>,
    pub(crate) data: Map<String, Value>,
}

impl About {
    pub(crate) fn guest(id: &str) -> Self {
        Self { guest: Some(id.to_owned()), ..Self::default() }
    }

    /// About a command on a guest.
    pub(crate) fn command(cmd_id: &str, guest: &str) -> Self {
        Self { cmd_id: Some(cmd_id.to_owned()), ..Self::guest(guest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_wanted_by_guest_and_kind() {
        let mut log = EventLog::new(9);
        log.note("guest.lost", About::guest("vm1"), "", Now::read());
        log.note("cmd.done", About::command("k7.vm1", "vm1"), "", Now::read());
        log.note("cmd.done", About::command("k7.vm2", "vm2"), "", Now::read());
        let count = |guest: Option<&str>, kinds: &[&str]| {
            let kinds: Vec<_> = kinds.iter().map(|&kind| kind.to_owned()).collect();
            let wanted = Wanted::of(guest.map(str::to_owned), &kinds).unwrap();
            log.since(0, 9).events.iter().filter(|event| wanted.matches(event)).count()
        };
        assert_eq!(count(None, &[]), 3);
        assert_eq!(count(Some("vm1"), &[]), 2);
        assert_eq!(count(Some("vm1"), &["cmd.*"]), 1);
        assert_eq!(count(None, &["guest.*", "word.*"]), 1);
        assert!(Wanted::of(None, &["[".to_owned()]).is_err());
    }

    #[test]
    fn readers_resume_without_a_gap_or_learn_of_it() {
        let mut log = EventLog::new(3);
        for n in 1..=5 {
            log.note("test", About::default(), n.to_string(), Now::read());
        }
        let all = log.since(0, 10);
        assert_eq!(all.events.iter().map(|e| e.seq).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!((all.next, all.dropped), (6, 2));
        let some = log.since(4, 1);
        assert_eq!((some.events.len(), some.next, some.dropped), (1, 5, 0));
        assert_eq!(log.since(6, 10).events, []);
        assert_eq!(*log.newest().borrow(), 5);
    }

    #[test]
    fn a_guest_that_makes_many_events_pushes_out_its_own() {
        let (mut log, now) = (EventLog::new(10), Now::read());
        for n in 0..3 {
            log.note("cmd.done", About::command("k7.vm1", "vm1"), n.to_string(), now);
        }
        for n in 0..100 {
            log.note("cmd.done", About::command("k7.vm2", "vm2"), n.to_string(), now);
        }
        let kept = log.since(1, 100);
        let of_vm1 = kept.events.iter().filter(|event| event.guest.as_deref() == Some("vm1")).count();
        assert_eq!((of_vm1, kept.events.len(), kept.dropped), (3, 10, 93));
    }

    #[test]
    fn what_happens_again_and_again_is_told_some_times_and_then_counted() {
        let (mut log, now) = (EventLog::new(1000), Now::read());
        for _ in 0..2300 {
            log.note("guest.joined", About::guest("vm1"), "", now);
            log.note_stranger("guest.refused", "x", "no credential", now);
        }
        log.note("guest.joined", About::guest("vm2"), "", now);
        assert_eq!(log.since(0, 1000).events.len(), 2 * AT_ONCE as usize + 1);
        let later = now.after(STRETCH);
        assert_eq!(log.next_tick(), Some(later.mono));
        log.tick(later);
        let told = log.since(0, 1000).events;
        let counts: Vec<_> =
            told.iter().rev().take(2).map(|event| (&*event.kind, event.data["count"].clone())).collect();
        assert_eq!(counts, [("guest.refused", 2280.into()), ("guest.joined", 2280.into())]);
        assert_eq!(told.last().unwrap().guest, None);
    }

    proptest::proptest! {
        /// Whoever makes events in whatever order: each that is no longer there is counted for a reader who goes on, and
        /// nobody has been pushed out by somebody with fewer.
        #[test]
        fn no_gap_goes_untold_and_no_small_share_is_cut(
            guests in proptest::collection::vec(0u8..5, 0..200), limit in 1usize..7
        ) {
            let (mut log, now) = (EventLog::new(20), Now::read());
            for guest in &guests {
                log.note("cmd.done", About::command("k7", &format!("vm{guest}")), "", now);
            }
            let (mut since, mut seen, mut dropped) = (1, Vec::new(), 0);
            while since < log.next {
                let found = log.since(since, limit);
                dropped += found.dropped;
                since = found.next;
                seen.extend(found.events);
            }
            proptest::prop_assert_eq!(seen.len() as u64 + dropped, guests.len() as u64);
            proptest::prop_assert!(log.kept.len() <= 20);
            for guest in 0u8..5 {
                let made = guests.iter().filter(|it| **it == guest).count();
                let kept = seen.iter().filter(|event| event.guest == Some(format!("vm{guest}"))).count();
                proptest::prop_assert!(kept >= made.min(20 / 5 - 1), "vm{guest}: {kept} of {made}");
            }
        }
    }
}
