//! Everything that happens, numbered: a bounded log that readers resume without a gap, or learn that there is one.

use crate::clock::Now;
use crate::pattern::{PatternError, Patterns};
use serde_json::{Map, Value};
use std::collections::VecDeque;
use time::OffsetDateTime;
use tokio::sync::watch;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Counts up by one, from 1 at the start of the agent.
    pub seq: u64,
    /// When.
    pub time: OffsetDateTime,
    /// `guest.joined`, `cmd.done`, `word.loaded` …
    pub kind: String,
    /// The guest it is about.
    pub guest: Option<String>,
    /// The command it is about.
    pub cmd_id: Option<String>,
    /// The machine it is about, by name.
    pub vm: Option<String>,
    /// In words.
    pub text: String,
    /// Further facts.
    pub data: Map<String, Value>,
}

/// Events since some number.
#[derive(Clone, Debug, PartialEq)]
pub struct Since {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// What to ask for next.
    pub next: u64,
    /// So many in between are no longer kept.
    pub dropped: u64,
}

/// The last events.
#[derive(Debug)]
pub struct EventLog {
    kept: VecDeque<Event>,
    next: u64,
    most: usize,
    newest: watch::Sender<u64>,
}

impl EventLog {
    /// A log that keeps the last `most` events.
    pub fn new(most: usize) -> Self {
        Self { kept: VecDeque::new(), next: 1, most, newest: watch::Sender::new(0) }
    }

    /// Notes an event; its number and time are set here.
    pub fn note(&mut self, kind: &str, about: About, text: impl Into<String>, now: Now) {
        let About { guest, cmd_id, vm, data } = about;
        let event = Event {
            seq: self.next,
            time: now.utc,
            kind: kind.to_owned(),
            guest,
            cmd_id,
            vm,
            text: text.into(),
            data,
        };
        self.next += 1;
        if self.kept.len() == self.most {
            self.kept.pop_front();
        }
        self.newest.send_replace(event.seq);
        self.kept.push_back(event);
    }

    /// Tells the number of the newest event, whenever there is a new one.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// At most `limit` events with numbers from `since` on.
    pub fn since(&self, since: u64, limit: usize) -> Since {
        let since = since.max(1);
        let oldest = self.kept.front().map_or(self.next, |event| event.seq);
        let wanted = self.kept.iter().filter(|event| event.seq >= since);
        let events: Vec<_> = wanted.take(limit).cloned().collect();
        let next = events.last().map_or(self.next.max(since.min(self.next)), |event| event.seq + 1);
        Since { events, next, dropped: oldest.saturating_sub(since) }
    }
}

/// Which events somebody wants; all of them by default.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    guest: Option<String>,
    kinds: Option<Patterns>,
}

impl Wanted {
    /// Those about a guest, if one is named, and of these kinds, which are globs: `guest.*`. No kinds are all kinds.
    ///
    /// # Errors
    /// If one of the kinds is no glob.
    pub fn of(guest: Option<String>, kinds: &[String]) -> Result<Self, PatternError> {
        if kinds.is_empty() {
            return Ok(Self { guest, kinds: None });
        }
        Ok(Self { guest, kinds: Some(Patterns::new(kinds)?) })
    }

    /// Whether it is wanted.
    pub fn matches(&self, event: &Event) -> bool {
        self.guest.as_ref().is_none_or(|guest| event.guest.as_ref() == Some(guest))
            && self.kinds.as_ref().is_none_or(|kinds| kinds.fit(&event.kind))
    }
}

/// Whom and what an event is about.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The guest.
    pub guest: Option<String>,
    /// The command.
    pub cmd_id: Option<String>,
    /// The machine, by name.
    pub vm: Option<String>,
    /// Further facts.
    pub data: Map<String, Value>,
}

impl About {
    /// About a guest.
    pub fn guest(id: &str) -> Self {
        Self { guest: Some(id.to_owned()), ..Self::default() }
    }

    /// About a command on a guest.
    pub fn command(cmd_id: &str, guest: &str) -> Self {
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
}
