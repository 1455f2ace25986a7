//! Whose message is heard next. Guests take turns by the time that their messages have cost, so that one which sends many,
//! or dear ones, waits behind the others and not they behind it.
//!
//! ```text
//!  arrived ─▶ waits (bounded for each guest) ─▶ heard: one of a guest, so many at once ─▶ done, its cost on the guest's account
//! ```
//! A guest that was silent does not save up: it begins where those are that are being heard now. Messages that are likely to
//! take long have places of their own, few, so that they never take those of the short ones.
//!
//! Turns alone leave a flood all the time that the others do not need, and the processor with it. So a guest rests when its
//! messages have had their part of the time: those for whose answers it does not wait always, the others while somebody
//! else is at work, too; and after messages that were refused one after the other. Agents wait for answers to whatever
//! there is much of, and after refusals.
//!
//! Pure: messages are anything; what they have cost and the clock are arguments.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How much may wait and be under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TurnLimits {
    /// Messages of one guest that wait.
    pub(crate) messages: usize,
    /// Bytes of one guest that wait, exceeded by one message at most.
    pub(crate) bytes: usize,
    /// Short messages that are heard at the same time, of different guests.
    pub(crate) short_at_once: usize,
    pub(crate) long_at_once: usize,
}

impl Default for TurnLimits {
    fn default() -> Self {
        // The broker gives out less of a guest's queue before the first of it is acknowledged.
        Self { messages: 256, bytes: 2 << 20, short_at_once: 64, long_at_once: 8 }
    }
}

/// From here on a message is a long one.
pub(crate) const LONG: Duration = Duration::from_millis(2);
/// Of a guest that is not known, messages of so many bytes are taken for long ones.
const LARGE: usize = 64 << 10;
/// Guests that are remembered while nothing of them waits.
const REMEMBERED: usize = 4096;
/// Messages for whose answers a guest does not wait have one part in so many of the time.
const UNASKED_PART: u32 = 8;
/// What they may cost at once.
const UNASKED_BURST: Duration = Duration::from_millis(100);
/// The same of messages for whose answers it waits, while others are at work.
const ASKED_PART: u32 = 3;
/// What those may cost at once.
const ASKED_BURST: Duration = Duration::from_millis(30);
/// So long after its last answer somebody is still taken to be at work.
const AT_WORK: Duration = Duration::from_millis(250);
/// Refused messages in a row that are followed by no rest.
const REFUSED_FREE: u32 = 3;
/// The rest after the next one; it doubles with each.
const REFUSED_REST: Duration = Duration::from_millis(20);
/// How often it doubles.
const REFUSED_DOUBLINGS: u32 = 4;

/// All that waits, and all that is being heard.
#[derive(Debug)]
pub(crate) struct Turns<M> {
    limits: TurnLimits,
    guests: HashMap<String, Account<M>>,
    /// Guests whose first message could be heard, short and long: by what they have spent, then by who came first.
    ready: [BTreeSet<(u64, u64, String)>; 2],
    /// Guests that rest, by when that is over.
    resting: BTreeSet<(Instant, String)>,
    /// Who was at work last, and who before, with whatever they wait for an answer to.
    at_work: [Option<(String, Instant)>; 2],
    /// Messages that are being heard, short and long.
    heard: [usize; 2],
    /// What the guest has spent whose turn it was last.
    clock: u64,
    count: u64,
}

#[derive(Debug)]
struct Account<M> {
    waiting: VecDeque<(M, usize)>,
    bytes: usize,
    /// Microseconds of work so far, beginning at where others were.
    spent: u64,
    /// What a message of it costs, microseconds; forgotten slowly when they become cheaper.
    cost: Option<u64>,
    /// Its place among those that are ready, if it is one of them.
    place: Option<(Length, u64)>,
    /// How long the message seems to be that is being heard.
    heard: Option<Length>,
    /// Nothing of it is heard before.
    rests_until: Option<Instant>,
    /// When the messages for whose answers it did not wait have had no more than their part of the time; and the others.
    even_at: [Option<Instant>; 2],
    /// Refused messages in a row.
    refused: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Outcome {
    /// The guest waits for an answer to it, or it was one.
    pub(crate) is_asked: bool,
    pub(crate) is_refused: bool,
}

/// Whether a message takes a place of the short or of the long ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Length {
    Short,
    /// It is expected to take long, or already has.
    Long,
}

#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Turn<M> {
    pub(crate) guest: String,
    pub(crate) message: M,
    pub(crate) length: Length,
}

impl<M> Default for Account<M> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            spent: 0,
            cost: None,
            place: None,
            heard: None,
            rests_until: None,
            even_at: [None, None],
            refused: 0,
        }
    }
}

impl<M> Account<M> {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.heard.is_none()
    }

    /// What its first message is likely to be.
    fn length(&self) -> Length {
        let bytes = self.waiting.front().map_or(0, |(_, bytes)| *bytes);
        let is_long = match self.cost {
            Some(cost) => cost >= micros(LONG),
            None => bytes >= LARGE,
        };
        if is_long { Length::Long } else { Length::Short }
    }

    /// Until when it rests after a message of that cost, if it does.
    fn rest_after(
        &mut self,
        cost: Duration,
        outcome: Outcome,
        has_company: bool,
        now: Instant,
    ) -> Option<Instant> {
        self.refused = if outcome.is_refused { self.refused.saturating_add(1) } else { 0 };
        let doublings = self.refused.checked_sub(REFUSED_FREE + 1).map(|more| more.min(REFUSED_DOUBLINGS));
        let after_refusal = doublings.map(|doublings| now + REFUSED_REST * (1 << doublings));
        let (part, burst) =
            if outcome.is_asked { (ASKED_PART, ASKED_BURST) } else { (UNASKED_PART, UNASKED_BURST) };
        let mut after_burst = None;
        if has_company || !outcome.is_asked {
            let even_at = &mut self.even_at[usize::from(outcome.is_asked)];
            let is_even = even_at.map_or(now, |at| at.max(now)) + cost * part;
            *even_at = Some(is_even);
            after_burst = is_even.checked_sub(burst * part).filter(|until| *until > now);
        }
        after_refusal.max(after_burst)
    }
}

impl<M> Turns<M> {
    pub(crate) fn new(limits: TurnLimits) -> Self {
        let (guests, ready, resting) = (HashMap::new(), Default::default(), BTreeSet::new());
        Self { limits, guests, ready, resting, at_work: [None, None], heard: [0; 2], clock: 0, count: 0 }
    }

    /// A message of so many bytes has arrived.
    ///
    /// # Errors
    /// The message, if too many of that guest wait.
    pub(crate) fn offer(&mut self, guest: &str, message: M, bytes: usize) -> Result<(), M> {
        let account = match self.guests.get_mut(guest) {
            Some(account) => account,
            None => self.guests.entry(guest.to_owned()).or_default(),
        };
        if account.waiting.len() >= self.limits.messages || account.bytes >= self.limits.bytes {
            return Err(message);
        }
        if account.is_idle() {
            account.spent = account.spent.max(self.clock);
        }
        account.waiting.push_back((message, bytes));
        account.bytes += bytes;
        self.make_ready(guest);
        Ok(())
    }

    /// The next message to be heard, if there is one and a place for it. Call it until there is none.
    pub(crate) fn next_turn(&mut self) -> Option<Turn<M>> {
        let at_once = [self.limits.short_at_once, self.limits.long_at_once];
        for length in [Length::Short, Length::Long] {
            if self.heard[length as usize] >= at_once[length as usize] {
                continue;
            }
            let Some((spent, _, guest)) = self.ready[length as usize].pop_first() else { continue };
            let Some(account) = self.guests.get_mut(&guest) else { continue };
            account.place = None;
            let Some((message, bytes)) = account.waiting.pop_front() else { continue };
            account.bytes -= bytes;
            account.heard = Some(length);
            self.heard[length as usize] += 1;
            self.clock = self.clock.max(spent);
            return Some(Turn { guest, message, length });
        }
        None
    }

    /// The message of a guest that is being heard takes longer than it seemed: it needs another place, and has it.
    pub(crate) fn is_long(&mut self, guest: &str) {
        let Some(account) = self.guests.get_mut(guest) else { return };
        if account.heard == Some(Length::Short) {
            account.heard = Some(Length::Long);
            self.heard[Length::Short as usize] -= 1;
            self.heard[Length::Long as usize] += 1;
        }
    }

    /// Has a guest rest whose message was heard, if by its outcome and cost it has to. To be told before that it is done.
    pub(crate) fn rest(&mut self, guest: &str, cost: Duration, outcome: Outcome, now: Instant) {
        let has_company = outcome.is_asked && self.works(guest, now);
        let Some(account) = self.guests.get_mut(guest) else { return };
        let Some(until) = account.rest_after(cost, outcome, has_company, now) else { return };
        if let Some(before) = account.rests_until.replace(until) {
            self.resting.remove(&(before, guest.to_owned()));
        }
        self.resting.insert((until, guest.to_owned()));
    }

    /// Notes that a guest is at work. Whether somebody else is, too.
    fn works(&mut self, guest: &str, now: Instant) -> bool {
        let [last, before] = &mut self.at_work;
        if last.as_ref().is_none_or(|(who, _)| who != guest) {
            *before = last.take();
        }
        *last = Some((guest.to_owned(), now));
        before.as_ref().is_some_and(|(_, at)| now.saturating_duration_since(*at) < AT_WORK)
    }

    /// When [`Self::wake`] has something to do next.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.resting.first().map(|(until, _)| *until)
    }

    /// Lines up those who have rested.
    pub(crate) fn wake(&mut self, now: Instant) {
        while self.resting.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, guest)) = self.resting.pop_first() else { return };
            if let Some(account) = self.guests.get_mut(&guest) {
                account.rests_until = None;
                self.make_ready(&guest);
            }
        }
    }

    /// The message of a guest that was being heard is done, at this cost.
    pub(crate) fn done(&mut self, guest: &str, cost: Duration) {
        let Some(account) = self.guests.get_mut(guest) else { return };
        if let Some(length) = account.heard.take() {
            self.heard[length as usize] -= 1;
        }
        // Nothing is free, or a guest whose messages cost too little to be measured would always be first.
        let cost = micros(cost).max(1);
        account.spent = account.spent.saturating_add(cost);
        account.cost = Some(account.cost.map_or(cost, |known| cost.max(known - known / 16)));
        self.make_ready(guest);
        if self.guests.len() > REMEMBERED {
            self.forget();
        }
    }

    /// So much was spent on a guest beside the hearing of its messages.
    pub(crate) fn charge(&mut self, guest: &str, cost: Duration) {
        let Some(account) = self.guests.get_mut(guest) else { return };
        // A place among those that are ready is by what was spent before.
        if let Some((length, number)) = account.place.take() {
            self.ready[length as usize].remove(&(account.spent, number, guest.to_owned()));
        }
        account.spent = account.spent.saturating_add(micros(cost));
        self.make_ready(guest);
    }

    /// Whether nothing of a guest waits or is being heard.
    pub(crate) fn is_idle(&self, guest: &str) -> bool {
        self.guests.get(guest).is_none_or(Account::is_idle)
    }

    /// Lines a guest up if it has something to be heard and is not being heard.
    fn make_ready(&mut self, guest: &str) {
        let Some(account) = self.guests.get_mut(guest) else { return };
        let rests = account.rests_until.is_some();
        if account.waiting.is_empty() || account.heard.is_some() || account.place.is_some() || rests {
            return;
        }
        let (length, number) = (account.length(), self.count);
        self.count += 1;
        account.place = Some((length, number));
        self.ready[length as usize].insert((account.spent, number, guest.to_owned()));
    }

    /// Forgets guests of which nothing waits and who do not rest; what they owe first of those who owe nothing.
    fn forget(&mut self) {
        let clock = self.clock;
        let is_needed = |account: &Account<M>| !account.is_idle() || account.rests_until.is_some();
        self.guests.retain(|_, account| is_needed(account) || account.spent > clock);
        if self.guests.len() > REMEMBERED {
            self.guests.retain(|_, account| is_needed(account));
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const MILLI: Duration = Duration::from_millis(1);

    fn turns(short_at_once: usize) -> Turns<u32> {
        Turns::new(TurnLimits { messages: 8, bytes: 1 << 20, short_at_once, long_at_once: 1 })
    }

    #[test]
    fn messages_of_one_guest_are_heard_in_their_order_one_at_a_time() {
        let mut turns = turns(9);
        for message in 0..3 {
            turns.offer("vm1", message, 1).unwrap();
        }
        for message in 0..3 {
            assert_eq!(turns.next_turn().unwrap().message, message);
            assert_eq!(turns.next_turn(), None);
            turns.done("vm1", MILLI);
        }
        assert!(turns.is_idle("vm1"));
    }

    #[test]
    fn a_guest_that_floods_waits_behind_the_others_after_each_message() {
        let mut turns = turns(1);
        for message in 0..8 {
            turns.offer("flooder", message, 1).unwrap();
        }
        assert_eq!(turns.offer("flooder", 8, 1), Err(8));
        let mut order = Vec::new();
        for n in 0..4 {
            let turn = turns.next_turn().unwrap();
            turns.offer(&format!("vm{n}"), 100, 1).unwrap();
            turns.done(&turn.guest, MILLI);
            order.push(turn.guest);
        }
        // Whoever comes is next; the flooder has the time that is left.
        assert_eq!(order, ["flooder", "vm0", "vm1", "vm2"]);
    }

    #[test]
    fn who_was_silent_has_not_saved_up_and_who_spent_alone_owes_nothing() {
        let mut turns = turns(1);
        for _ in 0..1000 {
            turns.offer("busy", 0, 1).unwrap();
            turns.next_turn().unwrap();
            turns.done("busy", MILLI);
        }
        // It comes for the first time, and gets its share from now on, not that of a thousand messages.
        let mut order = Vec::new();
        for message in 0..4 {
            turns.offer("busy", message, 1).unwrap();
            turns.offer("new", message, 1).unwrap();
        }
        while let Some(turn) = turns.next_turn() {
            turns.done(&turn.guest, MILLI);
            order.push(turn.guest);
        }
        assert!(order.iter().take(4).filter(|guest| *guest == "busy").count() >= 1, "{order:?}");
    }

    #[test]
    fn long_messages_have_places_of_their_own() {
        let mut turns = turns(1);
        turns.offer("large", 1, LARGE).unwrap();
        turns.offer("short", 2, 1).unwrap();
        let lengths: Vec<_> = std::iter::from_fn(|| turns.next_turn()).map(|turn| turn.length).collect();
        assert_eq!(lengths, [Length::Short, Length::Long]);
        turns.done("short", MILLI);
        // What turns out to be long leaves its place to others.
        turns.offer("short", 3, 1).unwrap();
        turns.offer("vm1", 4, 1).unwrap();
        let first = turns.next_turn().unwrap().guest;
        assert_eq!(turns.next_turn(), None);
        turns.is_long(&first);
        assert!(turns.next_turn().is_some());
        // And it is known from then on.
        turns.done(&first, 10 * LONG);
        turns.done("large", 10 * LONG);
        turns.offer(&first, 5, 1).unwrap();
        let next = turns.next_turn().unwrap();
        assert_eq!((next.guest, next.length), (first, Length::Long));
    }

    const UNASKED: Outcome = Outcome { is_asked: false, is_refused: false };
    const ASKED: Outcome = Outcome { is_asked: true, is_refused: false };
    const REFUSED: Outcome = Outcome { is_asked: true, is_refused: true };

    /// How many messages of that kind, a millisecond each, are heard within some time of a guest that always has more.
    fn heard_within(time: Duration, outcome: Outcome) -> u32 {
        let (mut turns, start) = (turns(1), Instant::now());
        let (mut now, mut heard) = (start, 0);
        while now < start + time {
            while turns.offer("flooder", 0, 1).is_ok() {}
            turns.wake(now);
            let Some(turn) = turns.next_turn() else {
                now = turns.next_wake().unwrap();
                continue;
            };
            (now, heard) = (now + MILLI, heard + 1);
            turns.rest(&turn.guest, MILLI, outcome, now);
            turns.done(&turn.guest, MILLI);
        }
        heard
    }

    #[test]
    fn a_flood_does_not_get_all_the_time_that_nobody_else_needs() {
        assert_eq!(
            heard_within(Duration::from_secs(10), ASKED),
            10_000,
            "who waits for answers floods nobody"
        );
        let unasked = heard_within(Duration::from_secs(10), UNASKED);
        assert!((1250..=1400).contains(&unasked), "a burst, and an eighth: {unasked}");
        let refused = heard_within(Duration::from_secs(10), REFUSED);
        assert!((20..=45).contains(&refused), "{refused}");
    }

    #[test]
    fn while_somebody_else_is_at_work_nobody_has_more_than_a_part_of_the_time() {
        let (mut turns, start) = (turns(2), Instant::now());
        let (mut now, mut heard, mut next) = (start, 0, start);
        while now < start + Duration::from_secs(10) {
            if next <= now {
                // A message of a command every 100 ms; it is never the one to rest.
                turns.offer("vm1", 0, 1).unwrap();
                next += Duration::from_millis(100);
            }
            while turns.offer("flooder", 0, 1).is_ok() {}
            turns.wake(now);
            let Some(turn) = turns.next_turn() else {
                now = turns.next_wake().unwrap().min(next);
                continue;
            };
            now += MILLI;
            turns.rest(&turn.guest, MILLI, ASKED, now);
            assert!(turn.guest == "flooder" || turns.guests["vm1"].rests_until.is_none());
            heard += u32::from(turn.guest == "flooder");
            turns.done(&turn.guest, MILLI);
        }
        assert!((3_300..=3_500).contains(&heard), "a burst, and a third: {heard}");
    }

    #[test]
    fn a_sign_of_life_now_and_then_and_some_refusals_cost_no_rest() {
        let (mut turns, mut now) = (turns(1), Instant::now());
        for n in 0..1000 {
            turns.offer("vm1", n, 1).unwrap();
            let turn = turns.next_turn().unwrap();
            let outcome = if n % 4 == 3 { UNASKED } else { Outcome { is_refused: true, ..UNASKED } };
            turns.rest(&turn.guest, MILLI, outcome, now);
            turns.done(&turn.guest, MILLI);
            assert_eq!(turns.next_wake(), None);
            now += Duration::from_secs(1);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Arrives(u8, usize),
        Next,
        Ends(u8, u64),
        Lasts(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u8..6, 0usize..200_000).prop_map(|(guest, bytes)| Step::Arrives(guest, bytes)),
            Just(Step::Next),
            (0u8..6, 0u64..20_000).prop_map(|(guest, cost)| Step::Ends(guest, cost)),
            (0u8..6).prop_map(Step::Lasts),
        ]
    }

    proptest! {
        /// Whatever happens: nothing is lost or heard twice, each guest's messages in their order and one at a time, no
        /// more at once than may be, no more waits than may.
        #[test]
        fn every_message_has_its_turn(steps in prop::collection::vec(step(), 0..400)) {
            let (mut turns, mut now): (Turns<u32>, _) = (turns(2), Instant::now());
            let mut expected: BTreeMap<String, VecDeque<u32>> = BTreeMap::new();
            let mut heard: BTreeMap<String, Length> = BTreeMap::new();
            let mut number = 0;
            for step in steps.into_iter().chain((0..2000).flat_map(|n| [Step::Next, Step::Ends((n % 6) as u8, 1)])) {
                match step {
                    Step::Arrives(guest, bytes) => {
                        number += 1;
                        let guest = guest.to_string();
                        let waiting = expected.entry(guest.clone()).or_default();
                        match turns.offer(&guest, number, bytes) {
                            Ok(()) => waiting.push_back(number),
                            Err(back) => {
                                prop_assert_eq!(back, number);
                                prop_assert!(!waiting.is_empty());
                            }
                        }
                        prop_assert!(waiting.len() <= 8);
                    }
                    Step::Next => {
                        now += MILLI * 50;
                        turns.wake(now);
                        let Some(Turn { guest, message, length }) = turns.next_turn() else { continue };
                        prop_assert_eq!(expected.get_mut(&guest).and_then(VecDeque::pop_front), Some(message));
                        prop_assert!(heard.insert(guest, length).is_none());
                        prop_assert!(heard.values().filter(|length| **length == Length::Short).count() <= 2);
                    }
                    Step::Ends(guest, cost) => {
                        if heard.remove(&guest.to_string()).is_some() {
                            let outcome = Outcome { is_asked: cost % 2 == 0, is_refused: cost % 3 == 0 };
                            turns.rest(&guest.to_string(), Duration::from_micros(cost), outcome, now);
                            turns.done(&guest.to_string(), Duration::from_micros(cost));
                        }
                    }
                    Step::Lasts(guest) => {
                        if let Some(length) = heard.get_mut(&guest.to_string()) {
                            turns.is_long(&guest.to_string());
                            *length = Length::Long;
                        }
                    }
                }
            }
            prop_assert!(expected.values().all(VecDeque::is_empty), "{expected:?}");
        }

        /// However many flood with however dear messages: who comes waits no longer than until each of them has had as much
        /// time as it had itself last time, and one message more.
        #[test]
        fn who_comes_waits_for_a_bounded_time(
            costs in prop::collection::vec(1u64..2_000, 1..12), warm in 1usize..200
        ) {
            let mut turns: Turns<u32> = turns(1);
            let flooders: Vec<_> = (0..costs.len()).map(|n| format!("flooder{n}")).collect();
            let refill = |turns: &mut Turns<u32>| {
                for flooder in &flooders {
                    while turns.offer(flooder, 0, 1).is_ok() {}
                }
            };
            let cost = |guest: &str| Duration::from_micros(
                flooders.iter().position(|it| it == guest).map_or(300, |n| costs[n]));
            for _ in 0..warm {
                refill(&mut turns);
                let turn = turns.next_turn().unwrap();
                turns.done(&turn.guest, cost(&turn.guest));
            }
            for _ in 0..20 {
                refill(&mut turns);
                let under_way = turns.next_turn().unwrap();
                turns.offer("honest", 1, 1).unwrap();
                let mut waited = Duration::ZERO;
                turns.done(&under_way.guest, cost(&under_way.guest));
                loop {
                    let turn = turns.next_turn().unwrap();
                    if turn.guest == "honest" {
                        break;
                    }
                    waited += cost(&turn.guest);
                    turns.done(&turn.guest, cost(&turn.guest));
                    refill(&mut turns);
                }
                let most: u64 = costs.iter().map(|cost| 300 + cost).sum();
                prop_assert!(waited <= Duration::from_micros(most), "waited {waited:?} for {costs:?}");
                turns.done("honest", Duration::from_micros(300));
                // It is silent for as long as a few of the others' messages take.
                for _ in 0..3 * flooders.len() {
                    refill(&mut turns);
                    let turn = turns.next_turn().unwrap();
                    turns.done(&turn.guest, cost(&turn.guest));
                }
            }
        }
    }
}
