//! The books of commands: what was asked of whom, how far it is, what came of it.
//!
//! ```text
//!  queued ──(the guest has started it)──▶ running ──▶ done | timeout | cancelled | lost | failed
//!     └──────────────(refused, or nobody there)──────────────────────────────────▶ failed
//! ```
//!
//! Pure: it decides what an event does to a command, and says what has to be written down; [`crate::agent::store`] writes.
//! Telling twice changes nothing, and everything a guest says of a command is checked against what was asked of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use time::OffsetDateTime;
use vocable_protocol::{EndState, ReportedResults};
pub(crate) use vocable_protocol::{Failure, Part, Program};

mod brief;

/// How far a command is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Somebody stopped it.
    Cancelled,
    /// It ended by itself or by a signal of its own.
    Done,
    /// It never ran.
    Failed,
    /// What became of it is not known.
    Lost,
    /// Not yet taken by the guest.
    Queued,
    /// The guest has started it.
    Running,
    /// Its time ran out.
    Timeout,
}

impl State {
    /// The name it has everywhere.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Timeout => "timeout",
        }
    }

    /// The state of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let all = [
            Self::Cancelled,
            Self::Done,
            Self::Failed,
            Self::Lost,
            Self::Queued,
            Self::Running,
            Self::Timeout,
        ];
        all.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether nothing more will happen.
    pub(crate) const fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl From<EndState> for State {
    fn from(end: EndState) -> Self {
        match end {
            EndState::Cancelled => Self::Cancelled,
            EndState::Done => Self::Done,
            EndState::Failed => Self::Failed,
            EndState::Lost => Self::Lost,
            EndState::Timeout => Self::Timeout,
        }
    }
}

/// One command on one guest, as it is written down.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Command {
    /// `run.guest`.
    pub(crate) id: String,
    /// The request it is part of.
    pub(crate) run: String,
    /// Who runs it.
    pub(crate) guest: String,
    /// What was asked; shared, since a request to many guests may be large.
    pub(crate) program: Arc<Program>,
    /// How far.
    pub(crate) state: State,
    /// When it was asked for.
    pub(crate) created: OffsetDateTime,
    /// Until when its guest may take it; after that it is not run.
    pub(crate) expires: Option<OffsetDateTime>,
    /// When it is ended, wherever it is.
    pub(crate) deadline: Option<OffsetDateTime>,
    /// When the guest took it.
    pub(crate) started: Option<OffsetDateTime>,
    /// When its end was known.
    pub(crate) ended: Option<OffsetDateTime>,
    /// Octets of standard output received and written down.
    pub(crate) out_bytes: u64,
    /// The same of standard error.
    pub(crate) err_bytes: u64,
    /// Octets of streamed input it is known to have read; not written down.
    pub(crate) input_taken: u64,
    /// Why no more of its output is taken now, if so; not written down.
    pub(crate) paused: Option<String>,
    /// Whether somebody wants it to end: then what it has written is taken beyond a limit. Not written down.
    pub(crate) ending: bool,
    /// What the guest told at the end, but for the output.
    pub(crate) results: Option<Map<String, Value>>,
    /// Why it failed, if it did.
    pub(crate) failure: Option<Failure>,
}

impl Command {
    /// A command nobody has heard of yet.
    pub(crate) fn new(run: &str, guest: &str, program: impl Into<Arc<Program>>, now: OffsetDateTime) -> Self {
        Self {
            id: format!("{run}.{guest}"),
            run: run.to_owned(),
            guest: guest.to_owned(),
            program: program.into(),
            state: State::Queued,
            created: now,
            expires: None,
            deadline: None,
            started: None,
            ended: None,
            out_bytes: 0,
            err_bytes: 0,
            input_taken: 0,
            paused: None,
            ending: false,
            results: None,
            failure: None,
        }
    }

    /// When something has to be done about it without anybody asking.
    pub(crate) fn due(&self) -> Option<OffsetDateTime> {
        let expires = self.expires.filter(|_| self.state == State::Queued);
        [expires, self.deadline].into_iter().flatten().filter(|_| !self.state.is_over()).min()
    }

    /// Whether the host gave it up without having heard of its end: then the true end still counts.
    pub(crate) fn is_given_up(&self) -> bool {
        self.state == State::Lost && self.results.is_none()
    }

    /// Leaves what lists show of it: they hold many, and a program or results may be large.
    pub(crate) fn shorten(&mut self) {
        if let Some(program) = brief::program(&self.program) {
            self.program = Arc::new(program);
        }
        if let Some(results) = self.results.as_mut()
            && let Some(shown) = brief::results(results)
        {
            *results = shown;
        }
        if let Some(failure) = &mut self.failure {
            *failure = brief::failure(failure);
        }
    }

    /// Octets received of a part.
    pub(crate) const fn received(&self, part: Part) -> u64 {
        match part {
            Part::Err => self.err_bytes,
            Part::Out => self.out_bytes,
        }
    }

    fn received_mut(&mut self, part: Part) -> &mut u64 {
        match part {
            Part::Err => &mut self.err_bytes,
            Part::Out => &mut self.out_bytes,
        }
    }
}

/// Why something a guest says of a command is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BookError {
    /// Output that begins beyond what is there: something in between was lost, and has to be sent again.
    #[error("{id}: {part} continues at {offset}, and only {have} octets are here")]
    Gap {
        /// The command.
        id: String,
        /// `out` or `err`.
        part: &'static str,
        /// Where the guest goes on.
        offset: u64,
        /// How much is here.
        have: u64,
    },
    /// The end was told, and octets are missing or differ.
    #[error("{id}: {part} is {have} octets here, and {told} were told")]
    Incomplete {
        /// The command.
        id: String,
        /// `out` or `err`.
        part: &'static str,
        /// How much is here.
        have: u64,
        /// How much there should be.
        told: u64,
    },
    /// The end was told with another digest.
    #[error("{id}: {part} arrived with another digest than it left with")]
    Digest {
        /// The command.
        id: String,
        /// `out` or `err`.
        part: &'static str,
    },
    /// The agent was started anew, or the command was given up: what is here is being read once more.
    #[error("{id}: busy reading what is here of its output; tell it again")]
    Preparing {
        /// The command.
        id: String,
    },
    /// The results make no sense.
    #[error("{id}: results without {missing}")]
    Malformed {
        /// The command.
        id: String,
        /// The member that is missing or of the wrong type.
        missing: &'static str,
    },
}

/// How far the digest of a stream is: of all its bytes up to there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// So many bytes.
    pub(crate) bytes: u64,
    /// Their digest, which can go on.
    pub(crate) sha256: Sha256,
}

impl Progress {
    /// These bytes come next.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

/// How far the digests of both streams are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digests {
    /// Of standard output.
    pub(crate) out: Progress,
    /// Of standard error.
    pub(crate) err: Progress,
}

impl Digests {
    /// Of that part.
    pub(crate) const fn of(&self, part: Part) -> &Progress {
        match part {
            Part::Err => &self.err,
            Part::Out => &self.out,
        }
    }

    const fn of_mut(&mut self, part: Part) -> &mut Progress {
        match part {
            Part::Err => &mut self.err,
            Part::Out => &mut self.out,
        }
    }
}

/// A command that is not over, with the digests of what has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    /// As written down.
    pub(crate) command: Command,
    /// None while they are being made of what is on disk: until then nothing more is taken.
    digests: Option<Digests>,
}

/// What to append to a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Append {
    /// Where.
    pub(crate) at: u64,
    /// So many octets of what came are here already.
    pub(crate) skip: usize,
    /// Bytes of both streams that count against the limit; of a command that is being ended none do, so that its end
    /// can be told.
    pub(crate) counted: u64,
}

impl Active {
    /// A command of which nothing has arrived.
    pub(crate) fn new(command: Command) -> Self {
        Self { command, digests: Some(Digests::default()) }
    }

    /// A command as found after a restart, with the digests of what is on disk, if they are known already.
    pub(crate) const fn resumed(command: Command, digests: Option<Digests>) -> Self {
        Self { command, digests }
    }

    /// Whether more of it can be taken.
    pub(crate) const fn is_ready(&self) -> bool {
        self.digests.is_some()
    }

    /// The digests of what is on disk are made. Nothing was taken meanwhile.
    pub(crate) fn ready(&mut self, digests: Digests) {
        if self.digests.is_none() {
            (self.command.out_bytes, self.command.err_bytes) = (digests.out.bytes, digests.err.bytes);
            self.digests = Some(digests);
        }
    }

    /// How far the digests are, unless they are being made.
    pub(crate) const fn digests(&self) -> Option<&Digests> {
        self.digests.as_ref()
    }

    fn digested(&self) -> Result<&Digests, BookError> {
        self.digests.as_ref().ok_or_else(|| BookError::Preparing { id: self.command.id.clone() })
    }

    /// The guest has taken it.
    pub(crate) fn started(&mut self, now: OffsetDateTime) {
        if self.command.state == State::Queued {
            (self.command.state, self.command.started) = (State::Running, Some(now));
        }
    }

    /// Where a piece of output belongs; `None` if all of it is here already.
    pub(crate) fn place(&self, part: Part, offset: u64, len: usize) -> Result<Option<Append>, BookError> {
        self.digested()?;
        let have = self.command.received(part);
        if offset > have {
            let id = self.command.id.clone();
            return Err(BookError::Gap { id, part: part.as_str(), offset, have });
        }
        let skip = usize::try_from(have - offset).unwrap_or(usize::MAX);
        let counted = if self.command.ending { 0 } else { self.command.out_bytes + self.command.err_bytes };
        Ok((skip < len).then_some(Append { at: have, skip, counted }))
    }

    /// These octets were written down, at the end of that part.
    pub(crate) fn received(&mut self, part: Part, octets: &[u8]) {
        if let Some(digests) = &mut self.digests {
            digests.of_mut(part).update(octets);
        }
        *self.command.received_mut(part) += octets.len() as u64;
        self.command.paused = None;
    }

    /// Whether everything the guest says it sent of a part has arrived, byte for byte.
    pub(crate) fn complete(&self, part: Part, results: &ReportedResults) -> Result<(), BookError> {
        let (bytes, digest) = results.output(part);
        let sum = &self.digested()?.of(part).sha256;
        let id = || self.command.id.clone();
        let have = self.command.received(part);
        if let Some(told) = bytes
            && told != have
        {
            return Err(BookError::Incomplete { id: id(), part: part.as_str(), have, told });
        }
        match digest {
            Some(told) if told != hex::encode(sum.clone().finalize()) => {
                Err(BookError::Digest { id: id(), part: part.as_str() })
            }
            _ => Ok(()),
        }
    }

    /// It is over. `results` are the guest's, without the output; checked for what everybody relies on.
    pub(crate) fn finished(
        &mut self,
        results: Map<String, Value>,
        now: OffsetDateTime,
    ) -> Result<(), BookError> {
        let id = || self.command.id.clone();
        let told = ReportedResults::of(results.clone());
        if told.finished.is_none() {
            return Err(BookError::Malformed { id: id(), missing: "finished (boolean)" });
        }
        let state = told.state.map_or(State::Done, State::from);
        // Of a command nobody saw the end of there is no code.
        if state != State::Lost && told.exit_code_or_signal.is_none() {
            return Err(BookError::Malformed { id: id(), missing: "exitCodeOrSignal (integer)" });
        }
        self.complete(Part::Out, &told)?;
        self.complete(Part::Err, &told)?;
        self.command.state = state;
        self.command.failure = told.error.as_ref().map(brief::failure);
        self.command.paused = None;
        self.command.started = self.command.started.or(Some(now));
        (self.command.ended, self.command.results) = (Some(now), Some(results));
        Ok(())
    }

    /// It will not be run, or nothing more will be heard of it.
    pub(crate) fn failed(&mut self, state: State, failure: Failure, now: OffsetDateTime) {
        (self.command.state, self.command.failure, self.command.ended) = (state, Some(failure), Some(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn active() -> Active {
        Active::new(Command::new("k7mq2x", "vm1", Program::default(), OffsetDateTime::UNIX_EPOCH))
    }

    fn results(out: &[u8]) -> Map<String, Value> {
        let told = json!({"finished": true, "exitCodeOrSignal": 0, "state": "done",
            "out_bytes": out.len(), "out_sha256": vocable_protocol::sha256_hex(out), "err_bytes": 0});
        told.as_object().unwrap().clone()
    }

    #[test]
    fn output_told_twice_is_kept_once_and_a_gap_is_refused() {
        let mut it = active();
        it.received(Part::Out, b"hello ");
        assert_eq!(it.place(Part::Out, 0, 6).unwrap(), None);
        assert_eq!(it.place(Part::Out, 3, 6).unwrap(), Some(Append { at: 6, skip: 3, counted: 6 }));
        let gap = it.place(Part::Out, 7, 1).unwrap_err();
        assert_eq!(gap.to_string(), "k7mq2x.vm1: out continues at 7, and only 6 octets are here");
    }

    #[test]
    fn the_end_is_taken_only_with_every_octet() {
        let mut it = active();
        it.received(Part::Out, b"hell");
        assert!(matches!(
            it.finished(results(b"hello"), OffsetDateTime::UNIX_EPOCH),
            Err(BookError::Incomplete { have: 4, told: 5, .. })
        ));
        it.received(Part::Out, b"0");
        assert!(matches!(
            it.finished(results(b"hello"), OffsetDateTime::UNIX_EPOCH),
            Err(BookError::Digest { .. })
        ));
        let mut it = active();
        it.received(Part::Out, b"hello");
        it.finished(results(b"hello"), OffsetDateTime::UNIX_EPOCH).unwrap();
        assert_eq!(it.command.state, State::Done);
    }

    #[test]
    fn results_that_make_no_sense_are_refused_and_the_command_goes_on() {
        let mut it = active();
        it.started(OffsetDateTime::UNIX_EPOCH);
        let refused = it.finished(Map::new(), OffsetDateTime::UNIX_EPOCH).unwrap_err();
        assert_eq!(refused.to_string(), "k7mq2x.vm1: results without finished (boolean)");
        assert_eq!(it.command.state, State::Running);
    }

    #[test]
    fn until_the_digests_are_made_nothing_is_taken() {
        let mut it = Active::resumed(active().command, None);
        let busy = it.place(Part::Out, 0, 5).unwrap_err();
        assert!(matches!(busy, BookError::Preparing { .. }), "{busy}");
        assert!(it.finished(results(b""), OffsetDateTime::UNIX_EPOCH).is_err());
        let mut digests = Digests::default();
        digests.of_mut(Part::Out).update(b"hello");
        it.ready(digests);
        assert_eq!(it.command.out_bytes, 5);
        it.finished(results(b"hello"), OffsetDateTime::UNIX_EPOCH).unwrap();
    }

    #[test]
    fn the_output_of_a_command_that_is_being_ended_counts_no_more() {
        let mut it = active();
        it.received(Part::Out, b"123");
        it.received(Part::Err, b"45");
        it.command.paused = Some("full".into());
        let counted = |it: &Active| it.place(Part::Out, 3, 1).unwrap().unwrap().counted;
        assert_eq!(counted(&it), 5);
        it.command.ending = true;
        assert_eq!(counted(&it), 0);
        it.received(Part::Out, b"6");
        assert_eq!(it.command.paused, None, "what is taken is not held up");
    }

    proptest! {
        /// Whatever pieces come in whatever order, what is kept is a prefix of what was written.
        #[test]
        fn pieces_in_any_order_never_damage_the_stream(pieces in prop::collection::vec((0usize..40, 0usize..20), 0..60)) {
            let written: Vec<u8> = (0..60).collect();
            let mut it = active();
            let mut kept = Vec::new();
            for (from, len) in pieces {
                let piece = &written[from..(from + len).min(60)];
                if let Ok(Some(append)) = it.place(Part::Out, from as u64, piece.len()) {
                    prop_assert_eq!(append.at, kept.len() as u64);
                    kept.extend_from_slice(&piece[append.skip..]);
                    it.received(Part::Out, &piece[append.skip..]);
                }
            }
            prop_assert!(written.starts_with(&kept));
            prop_assert_eq!(it.command.out_bytes, kept.len() as u64);
        }
    }
}
