//! What the host has yet to hear of each job: output in pieces, then the end, each until the host has it.
//!
//! ```text
//!  job writes ──▶ [ sent, not confirmed ≤ WINDOW pieces ] ──▶ confirmed
//!  job ends   ──▶ all output confirmed ──▶ end sent ──▶ confirmed: the job may be forgotten
//! ```
//! A job that ends before any of its output was sent, with little of it, is told in one message.
//!
//! Pure: it knows offsets and lengths, no bytes; the clock is an argument. Whatever is not confirmed is told again
//! after a reconnect or a refusal; the host keeps what it is told twice once. A host that has no room just now holds the
//! job up, and loses nothing: the same is offered again after a short pause. One that refuses for another reason may
//! have lost the end of what it had, with its machine: then more and more of what it confirmed is offered again.

use crate::job::INLINE;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::time::{Duration, Instant};
use vocable_protocol::Part;

/// Bytes of output in one message.
pub(crate) const PIECE: u64 = 128 * 1024;
/// Pieces of one job that may be on their way at once.
const WINDOW: usize = 4;
/// Pieces of all jobs that may be on their way at once, so that commands and signs of life keep their share of the line.
const WINDOW_OF_ALL: usize = 16;
/// What is not confirmed for so long is told again.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// Pauses after refusals double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// The same while the host has no room: nothing tells when it has.
const MAX_PAUSE_FOR_ROOM: Duration = Duration::from_secs(4);
/// So much of what the host has confirmed is offered again when it refuses what comes behind, and eight times as much
/// each time it goes on to refuse. A host has the last few mebibytes in memory only.
const FIRST_STEP_BACK: u64 = 8 << 20;

/// Why the host has not taken something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RejectReason {
    /// It went wrong, or the host lacks what comes before.
    Failed,
    /// There is no room for it now.
    NoRoom,
    /// The host has not even heard of it: no word could say it, or what it said is too large.
    NotSent,
}

/// Something to report the host.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Report {
    End {
        job: String,
        /// Whether its output goes with it.
        inline: bool,
    },
    Piece {
        job: String,
        part: Part,
        offset: u64,
        length: u64,
    },
}

impl Report {
    /// Which job it is about.
    pub(crate) fn job(&self) -> &str {
        match self {
            Self::End { job, .. } | Self::Piece { job, .. } => job,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    /// Bytes the job has written.
    written: u64,
    /// Bytes on their way or confirmed.
    sent: u64,
    /// Bytes the host has.
    confirmed: u64,
    /// Bytes from the beginning that cannot be told again: the host has them.
    freed: u64,
}

/// So much the host has to have taken before the job hears of it again.
const TAKEN_STEP: u64 = 1 << 20;

#[derive(Debug, Default)]
struct JobState {
    streams: BTreeMap<Part, Stream>,
    ended: bool,
    end_sent: bool,
    unwanted: bool,
    in_flight: BTreeMap<Report, Instant>,
    /// Bytes of which the job knows that the host has them.
    taken_told: u64,
    /// In a row, because it went wrong.
    refusals: u32,
    /// In a row, for whatever reason.
    pauses: u32,
    not_before: Option<Instant>,
}

impl JobState {
    fn total(&self) -> u64 {
        self.streams.values().map(|stream| stream.written).sum()
    }

    fn count_as_sent(&mut self) {
        for stream in self.streams.values_mut() {
            (stream.sent, stream.confirmed) = (stream.written, stream.written);
        }
    }

    fn next(&mut self, job: &str, sizes: Sizes) -> Option<Report> {
        if self.unwanted {
            return None;
        }
        let untouched = self.streams.values().all(|stream| stream.sent == 0);
        if self.ended && untouched && self.total() <= sizes.inline {
            return self.end(job, true);
        }
        if self.in_flight.len() >= WINDOW {
            return None;
        }
        let piece = |(part, stream): (&Part, &mut Stream)| {
            let length = (stream.written - stream.sent).min(sizes.piece);
            (length > 0).then(|| {
                let offset = stream.sent;
                stream.sent += length;
                Report::Piece { job: job.to_owned(), part: *part, offset, length }
            })
        };
        // Standard error first: it is short, and people wait for it.
        if let Some(piece) = self.streams.iter_mut().find_map(piece) {
            return Some(piece);
        }
        let all_there = self.streams.values().all(|stream| stream.confirmed == stream.written);
        if self.ended && all_there { self.end(job, false) } else { None }
    }

    fn end(&mut self, job: &str, inline: bool) -> Option<Report> {
        let first = !std::mem::replace(&mut self.end_sent, true);
        first.then(|| Report::End { job: job.to_owned(), inline })
    }

    /// Offers all again from where it still is.
    fn restart(&mut self) {
        self.step_back(u64::MAX);
    }

    /// Offers so much again of what the host has confirmed.
    fn step_back(&mut self, bytes: u64) {
        for stream in self.streams.values_mut() {
            stream.confirmed = stream.confirmed.saturating_sub(bytes).max(stream.freed);
        }
        self.rewind();
    }

    /// Has it offered again, and says how long to wait before.
    fn reject(&mut self, why: RejectReason) -> Duration {
        let steps = if why == RejectReason::Failed {
            self.refusals += 1;
            // Once is once: it may have been busy with something else.
            self.refusals.checked_sub(2)
        } else {
            None
        };
        self.step_back(steps.map_or(0, |steps| FIRST_STEP_BACK.saturating_mul(8_u64.saturating_pow(steps))));
        let longest = if why == RejectReason::NoRoom { MAX_PAUSE_FOR_ROOM } else { MAX_PAUSE };
        let pause = FIRST_PAUSE.saturating_mul(1 << self.pauses.min(6)).min(longest);
        self.pauses += 1;
        pause
    }

    fn rewind(&mut self) {
        self.streams.values_mut().for_each(|stream| stream.sent = stream.confirmed);
        self.in_flight.clear();
        self.end_sent = false;
    }
}

/// How much travels in one message.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    piece: u64,
    inline: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { piece: PIECE, inline: INLINE }
    }
}

/// All jobs of which the host has not heard everything.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    jobs: BTreeMap<String, JobState>,
    sizes: Sizes,
    /// Who had the line last, so that a job that writes without end leaves room for the others.
    last: Option<String>,
}

impl Reports {
    /// A message may have so many bytes.
    pub(crate) fn set_message_limit(&mut self, bytes: u64) {
        // Results are JSON, where a byte may take six, and the word has something to say, too.
        self.sizes = Sizes { piece: PIECE.min(bytes / 2).max(1), inline: INLINE.min(bytes / 8) };
    }

    /// A job has written so much of a stream by now.
    pub(crate) fn output(&mut self, job: &str, part: Part, bytes: u64) {
        let stream = self.jobs.entry(job.to_owned()).or_default().streams.entry(part).or_default();
        stream.written = stream.written.max(bytes);
        self.jobs.get_mut(job).filter(|state| state.unwanted).into_iter().for_each(JobState::count_as_sent);
    }

    /// A job is over, with so much output.
    pub(crate) fn ended(&mut self, job: &str, out_bytes: u64, err_bytes: u64) {
        self.output(job, Part::Out, out_bytes);
        self.output(job, Part::Err, err_bytes);
        self.jobs.entry(job.to_owned()).or_default().ended = true;
    }

    /// The next thing to report; it counts as on its way from now on. One piece of each job in turn.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Report> {
        if self.jobs.values().map(|state| state.in_flight.len()).sum::<usize>() >= WINDOW_OF_ALL {
            return None;
        }
        let after = self.last.take().unwrap_or_default();
        let (behind, before) = ((Excluded(&*after), Unbounded), (Unbounded, Included(&*after)));
        let report = next_of(self.jobs.range_mut::<str, _>(behind), self.sizes, now)
            .or_else(|| next_of(self.jobs.range_mut::<str, _>(before), self.sizes, now));
        self.last = Some(report.as_ref().map_or(after, |report| report.job().to_owned()));
        report
    }

    /// Whether it still counts as on its way: what is offered again later does not.
    pub(crate) fn is_in_flight(&self, report: &Report) -> bool {
        self.jobs.get(report.job()).is_some_and(|state| state.in_flight.contains_key(report))
    }

    /// The host has it. Gives whether it has everything of that job now.
    pub(crate) fn confirm(&mut self, report: &Report) -> bool {
        let Some(state) = self.jobs.get_mut(report.job()) else { return false };
        if state.in_flight.remove(report).is_none() {
            return false;
        }
        (state.refusals, state.pauses, state.not_before) = (0, 0, None);
        match report {
            Report::Piece { part, offset, length, .. } => {
                let stream = state.streams.entry(*part).or_default();
                // Pieces arrive and are confirmed in their order: one connection, one mailbox.
                stream.confirmed = stream.confirmed.max(offset + length);
                false
            }
            Report::End { job, .. } => self.jobs.remove(job).is_some(),
        }
    }

    /// How much of both streams, out and err, the host has by now, if the job should hear of it: every now and then,
    /// and when all is told, since then it may be waiting for room.
    pub(crate) fn newly_taken(&mut self, job: &str) -> Option<(u64, u64)> {
        let state = self.jobs.get_mut(job).filter(|state| !state.ended)?;
        let of = |part: Part| state.streams.get(&part).map_or(0, |stream| stream.confirmed);
        let (out, err) = (of(Part::Out), of(Part::Err));
        let new = (out + err).saturating_sub(state.taken_told);
        let is_worth_telling = new >= TAKEN_STEP || new > 0 && out + err == state.total();
        is_worth_telling.then(|| {
            state.taken_told = out + err;
            (out, err)
        })
    }

    /// The beginning of a job's streams can no longer be told: it was freed, because the host has it. All behind is
    /// offered again. Gives whether that was news.
    pub(crate) fn freed(&mut self, job: &str, out: u64, err: u64) -> bool {
        let Some(state) = self.jobs.get_mut(job) else { return false };
        let mut new = false;
        for (part, freed) in [(Part::Out, out), (Part::Err, err)] {
            let stream = state.streams.entry(part).or_default();
            new |= freed > stream.freed;
            stream.freed = stream.freed.max(freed);
        }
        if new {
            state.restart();
        }
        new
    }

    /// The host did not take it, and may later. Gives whether that is news: nothing of the job was refused before since
    /// the host has last taken something.
    pub(crate) fn reject(&mut self, report: &Report, why: RejectReason, now: Instant) -> bool {
        let state = self.jobs.get_mut(report.job()).filter(|state| state.in_flight.contains_key(report));
        let Some(state) = state else { return false };
        state.not_before = Some(now + state.reject(why));
        state.pauses == 1
    }

    /// The host does not want to hear of the job: it counts as having everything, until the connection is another one.
    pub(crate) fn mark_unwanted(&mut self, job: &str) {
        if let Some(state) = self.jobs.get_mut(job) {
            state.unwanted = true;
            state.in_flight.clear();
            state.count_as_sent();
        }
    }

    /// Whether the host does not want to hear of the job.
    pub(crate) fn is_unwanted(&self, job: &str) -> bool {
        self.jobs.get(job).is_some_and(|state| state.unwanted)
    }

    /// Takes a job that is unwanted and over from the books. Gives whether it was one.
    pub(crate) fn close_unwanted(&mut self, job: &str) -> bool {
        let over = self.jobs.get(job).is_some_and(|state| state.unwanted && state.ended);
        over && self.jobs.remove(job).is_some()
    }

    /// The connection is new: what was on its way may be lost.
    pub(crate) fn reconnected(&mut self) {
        for state in self.jobs.values_mut() {
            state.rewind();
            (state.not_before, state.unwanted) = (None, false);
        }
    }

    /// What was not confirmed for too long goes on its way again.
    pub(crate) fn resend_overdue(&mut self, now: Instant) {
        for state in self.jobs.values_mut() {
            if state.in_flight.values().any(|sent| now.saturating_duration_since(*sent) >= CONFIRM_TIMEOUT) {
                state.rewind();
            }
        }
    }

    /// When there may be something to do next without anything happening.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let due = |state: &JobState| {
            let overdue = state.in_flight.values().min().map(|sent| *sent + CONFIRM_TIMEOUT);
            [overdue, state.not_before].into_iter().flatten().min()
        };
        self.jobs.values().filter_map(due).min()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

/// The next thing to report of the first of these jobs that has any.
fn next_of<'a>(
    jobs: impl Iterator<Item = (&'a String, &'a mut JobState)>,
    sizes: Sizes,
    now: Instant,
) -> Option<Report> {
    let ready = |state: &JobState| state.not_before.is_none_or(|at| at <= now);
    jobs.filter(|(_, state)| ready(state)).find_map(|(job, state)| {
        // A pause that is over is no deadline any more.
        state.not_before = None;
        let report = state.next(job, sizes)?;
        state.in_flight.insert(report.clone(), now);
        Some(report)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(offset: u64, length: u64) -> Report {
        Report::Piece { job: "a".into(), part: Part::Out, offset, length }
    }

    fn end(inline: bool) -> Report {
        Report::End { job: "a".into(), inline }
    }

    #[test]
    fn a_short_job_is_told_in_one_message() {
        let now = Instant::now();
        let mut reports = Reports::default();
        reports.ended("a", 100, 5);
        assert_eq!(reports.next(now), Some(end(true)));
        assert_eq!(reports.next(now), None);
        assert!(reports.confirm(&end(true)));
        assert!(reports.is_empty());
    }

    #[test]
    fn the_end_waits_for_the_output() {
        let now = Instant::now();
        let mut reports = Reports::default();
        reports.output("a", Part::Out, 10);
        assert_eq!(reports.next(now), Some(piece(0, 10)));
        reports.ended("a", 12, 0);
        assert_eq!(reports.next(now), Some(piece(10, 2)));
        assert_eq!(reports.next(now), None);
        assert!(!reports.confirm(&piece(0, 10)));
        assert!(!reports.confirm(&piece(10, 2)));
        assert_eq!(reports.next(now), Some(end(false)));
        assert!(reports.confirm(&end(false)));
    }

    #[test]
    fn the_window_bounds_what_is_on_its_way() {
        let now = Instant::now();
        let mut reports = Reports::default();
        reports.output("a", Part::Out, 100 * PIECE);
        let mut sent = 0;
        while reports.next(now).is_some() {
            sent += 1;
        }
        assert_eq!(sent, WINDOW);
        reports.confirm(&piece(0, PIECE));
        assert_eq!(reports.next(now), Some(piece(4 * PIECE, PIECE)));
    }

    #[test]
    fn a_writer_without_end_leaves_room_for_others() {
        let now = Instant::now();
        let mut reports = Reports::default();
        reports.output("a", Part::Out, 100 * PIECE);
        reports.output("b", Part::Out, 1);
        let first: Vec<_> =
            (0..2).filter_map(|_| reports.next(now)).map(|report| report.job().to_owned()).collect();
        assert_eq!(first, ["a", "b"]);
    }

    #[test]
    fn what_was_refused_is_told_again_after_a_pause() {
        let now = Instant::now();
        let mut reports = Reports::default();
        reports.ended("a", 1, 0);
        reports.next(now);
        reports.reject(&end(true), RejectReason::Failed, now);
        assert_eq!(reports.next(now), None);
        assert_eq!(reports.next_deadline(), Some(now + FIRST_PAUSE));
        assert_eq!(reports.next(now + FIRST_PAUSE), Some(end(true)));
    }

    #[test]
    fn a_job_hears_now_and_then_what_the_host_has_and_when_it_has_all() {
        let now = Instant::now();
        let mut reports = Reports::default();
        let all = TAKEN_STEP + PIECE + 7;
        reports.output("a", Part::Out, all);
        let mut heard = Vec::new();
        while let Some(told) = reports.next(now) {
            reports.confirm(&told);
            heard.extend(reports.newly_taken("a"));
        }
        assert_eq!(heard, [(TAKEN_STEP, 0), (all, 0)]);
        assert_eq!(reports.newly_taken("a"), None);
        reports.ended("a", all + 1, 0);
        assert_eq!(reports.newly_taken("a"), None, "who has ended needs no room");
    }

    #[test]
    fn of_what_the_host_does_not_want_nothing_is_told_and_its_room_is_given_back() {
        let now = Instant::now();
        let mut reports = Reports::default();
        reports.output("a", Part::Out, 10);
        assert_eq!(reports.next(now), Some(piece(0, 10)));
        reports.mark_unwanted("a");
        assert_eq!((reports.next(now), reports.newly_taken("a")), (None, Some((10, 0))));
        reports.output("a", Part::Out, 30);
        assert_eq!(
            (reports.next(now), reports.newly_taken("a"), reports.next_deadline()),
            (None, Some((30, 0)), None)
        );
        assert!(!reports.close_unwanted("a"), "it runs");
        // Another connection may lead to a host that wants it.
        reports.reconnected();
        reports.output("a", Part::Out, 31);
        assert_eq!(reports.next(now), Some(piece(30, 1)));
        reports.mark_unwanted("a");
        reports.ended("a", 31, 0);
        assert_eq!(reports.next(now), None);
        assert!(reports.close_unwanted("a") && reports.is_empty());
    }

    #[test]
    fn what_was_freed_is_not_told_again() {
        let now = Instant::now();
        let mut reports = Reports::default();
        reports.output("a", Part::Out, 2 * PIECE);
        assert_eq!(reports.next(now), Some(piece(0, PIECE)));
        assert!(reports.freed("a", PIECE / 2, 0));
        assert_eq!(reports.next(now), Some(piece(PIECE / 2, PIECE)));
        assert!(!reports.freed("a", PIECE / 2, 0));
        reports.reject(&piece(PIECE / 2, PIECE), RejectReason::Failed, now);
        assert_eq!(reports.next(now + FIRST_PAUSE), Some(piece(PIECE / 2, PIECE)));
    }

    #[test]
    fn after_a_reconnect_only_the_unconfirmed_is_told_again() {
        let now = Instant::now();
        let mut reports = Reports::default();
        reports.output("a", Part::Out, PIECE + 5);
        assert_eq!((reports.next(now), reports.next(now)), (Some(piece(0, PIECE)), Some(piece(PIECE, 5))));
        reports.confirm(&piece(0, PIECE));
        reports.reconnected();
        assert_eq!(reports.next(now), Some(piece(PIECE, 5)));
        assert!(!reports.confirm(&piece(0, PIECE)));
    }

    #[test]
    fn a_host_without_room_holds_a_job_up_and_costs_nothing() {
        let mut now = Instant::now();
        let mut reports = Reports::default();
        reports.output("a", Part::Out, 3 * PIECE);
        reports.next(now);
        reports.confirm(&piece(0, PIECE));
        for pause in [1, 2, 4, 4, 4] {
            let report = reports.next(now).unwrap();
            assert_eq!(report, piece(PIECE, PIECE), "only what the host lacks is offered again");
            reports.reject(&report, RejectReason::NoRoom, now);
            let until = reports.next_deadline().unwrap();
            assert_eq!((until - now, reports.next(now)), (Duration::from_secs(pause), None));
            now = until;
        }
        reports.next(now);
        reports.confirm(&piece(PIECE, PIECE));
        assert_eq!(reports.next(now), Some(piece(2 * PIECE, PIECE)));
    }

    #[test]
    fn a_host_that_lost_the_end_of_what_it_had_is_given_that_and_not_all() {
        let now = Instant::now();
        let mut reports = Reports::default();
        let all = 64 * FIRST_STEP_BACK;
        reports.output("a", Part::Out, all);
        while let Some(report) = reports.next(now) {
            reports.confirm(&report);
        }
        reports.output("a", Part::Out, all + 1);
        // It lost five mebibytes.
        let mut now = now;
        let mut have = all - (5 << 20);
        let mut offered = 0;
        while let Some(report) = reports.next(now) {
            let Report::Piece { offset, length, .. } = report else { panic!("{report:?}") };
            offered += length;
            if offset > have {
                reports.reject(&report, RejectReason::Failed, now);
                now = reports.next_deadline().unwrap();
            } else {
                have = have.max(offset + length);
                reports.confirm(&report);
            }
        }
        assert_eq!(have, all + 1);
        assert!(offered < FIRST_STEP_BACK + 10 * PIECE, "{offered}");
    }

    #[test]
    fn what_cannot_be_said_is_tried_again_and_nothing_else_with_it() {
        let mut now = Instant::now();
        let mut reports = Reports::default();
        reports.ended("a", INLINE + 1, 0);
        let report = reports.next(now).unwrap();
        reports.confirm(&report);
        for n in 0..10 {
            assert_eq!(reports.next(now), Some(end(false)));
            assert_eq!(reports.reject(&end(false), RejectReason::NotSent, now), n == 0);
            now = reports.next_deadline().unwrap();
        }
    }

    #[test]
    fn pieces_stay_below_what_a_message_may_have() {
        let now = Instant::now();
        let mut reports = Reports::default();
        reports.set_message_limit(1000);
        reports.ended("a", 126, 0);
        assert_eq!(reports.next(now), Some(piece(0, 126)), "in JSON it might be too much");
        reports.ended("b", 125, 0);
        let end = reports.next(now).unwrap();
        assert!(matches!(end, Report::End { inline: true, .. }) && reports.confirm(&end));
        reports.output("a", Part::Out, 2000);
        assert_eq!(reports.next(now), Some(piece(126, 500)));
        reports.set_message_limit(1);
        assert_eq!(reports.next(now), Some(piece(626, 1)));
    }

    proptest! {
        /// Whatever is lost on the way or by the host, refused or confirmed, in the end the host has every byte once in
        /// order, and the end last.
        #[test]
        fn everything_is_told_in_the_end(
            out in 0..6 * PIECE, err in 0..2 * PIECE, fates in prop::collection::vec(0u8..10, 0..200)
        ) {
            let mut now = Instant::now();
            let mut reports = Reports::default();
            reports.output("a", Part::Out, out / 2);
            let mut have = BTreeMap::from([(Part::Out, 0), (Part::Err, 0)]);
            let mut fates = fates.into_iter();
            let mut told_end = false;
            for step in 0..10_000 {
                if step == 3 {
                    reports.ended("a", out, err);
                }
                let Some(report) = reports.next(now) else {
                    if step > 3 && reports.is_empty() {
                        break;
                    }
                    now = reports.next_deadline().unwrap_or(now) + Duration::from_millis(1);
                    reports.resend_overdue(now);
                    continue;
                };
                match fates.next().unwrap_or(9) {
                    0 => reports.reconnected(),
                    1 => drop(reports.reject(&report, RejectReason::Failed, now)),
                    3 => drop(reports.reject(&report, RejectReason::NoRoom, now)),
                    4 => have.values_mut().for_each(|have| *have /= 2),
                    2 => {}
                    _ => {
                        match &report {
                            Report::Piece { part, offset, length, .. } => {
                                let have = have.get_mut(part).unwrap();
                                if *offset > *have {
                                    reports.reject(&report, RejectReason::Failed, now);
                                    continue;
                                }
                                *have = (*have).max(offset + length);
                            }
                            Report::End { inline: true, .. } => have = BTreeMap::from([(Part::Out, out), (Part::Err, err)]),
                            Report::End { .. } => {
                                if have != BTreeMap::from([(Part::Out, out), (Part::Err, err)]) {
                                    reports.reject(&report, RejectReason::Failed, now);
                                    continue;
                                }
                            }
                        }
                        told_end |= reports.confirm(&report);
                    }
                }
            }
            prop_assert!(told_end && reports.is_empty());
            prop_assert_eq!(have, BTreeMap::from([(Part::Out, out), (Part::Err, err)]));
        }
    }
}
