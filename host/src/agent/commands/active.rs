//! A command that is not over: which of its output has arrived, and whether that is all of it.

use super::{Command, Failure, State, brief};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use vocable_protocol::{Part, ReportedResults};

/// Why something a guest says of a command is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum BookError {
    /// Output that begins beyond what is there: something in between was lost, and has to be sent again.
    #[error("{id}: {part} continues at {offset}, and only {have} bytes are here")]
    Gap { id: String, part: &'static str, offset: u64, have: u64 },
    /// The end was told, and bytes are missing or differ.
    #[error("{id}: {part} is {have} bytes here, and {told} were told")]
    Incomplete { id: String, part: &'static str, have: u64, told: u64 },
    #[error("{id}: {part} arrived with another digest than it left with")]
    Digest { id: String, part: &'static str },
    /// The agent was started anew, or the command was given up: what is here is being read once more.
    #[error("{id}: busy reading what is here of its output; tell it again")]
    Preparing { id: String },
    #[error("{id}: results without {missing}")]
    Malformed {
        id: String,
        /// The member that is missing or of the wrong type.
        missing: &'static str,
    },
}

/// How far the digest of a stream is: of all its bytes up to there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) bytes: u64,
    /// Their digest, which can go on.
    pub(crate) sha256: Sha256,
}

impl Progress {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Digests {
    pub(crate) out: Progress,
    pub(crate) err: Progress,
}

impl Digests {
    pub(crate) const fn of(&self, part: Part) -> &Progress {
        match part {
            Part::Err => &self.err,
            Part::Out => &self.out,
        }
    }

    pub(crate) const fn of_mut(&mut self, part: Part) -> &mut Progress {
        match part {
            Part::Err => &mut self.err,
            Part::Out => &mut self.out,
        }
    }
}

/// A command that is not over, with the digests of what has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub(crate) command: Command,
    /// None while they are being made of what is on disk: until then nothing more is taken.
    digests: Option<Digests>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Append {
    pub(crate) at: u64,
    /// So many bytes of what came are here already.
    pub(crate) skip: usize,
    /// Bytes of both streams that count against the limit; of a command that is being ended none do, so that its end
    /// can be told.
    pub(crate) counted: u64,
}

impl Active {
    pub(crate) fn new(command: Command) -> Self {
        Self { command, digests: Some(Digests::default()) }
    }

    /// A command as found after a restart, with the digests of what is on disk, if they are known already.
    pub(crate) const fn resumed(command: Command, digests: Option<Digests>) -> Self {
        Self { command, digests }
    }

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

    /// These bytes were written down, at the end of that part.
    pub(crate) fn received(&mut self, part: Part, bytes: &[u8]) {
        if let Some(digests) = &mut self.digests {
            digests.of_mut(part).update(bytes);
        }
        *self.command.received_mut(part) += bytes.len() as u64;
        self.command.paused = None;
    }

    /// Whether everything the guest says it sent of a part has arrived, byte for byte.
    pub(crate) fn check_complete(&self, part: Part, results: &ReportedResults) -> Result<(), BookError> {
        let (bytes, digest) = results.output(part);
        let sum = &self.digested()?.of(part).sha256;
        let id = || self.command.id.clone();
        let have = self.command.received(part);
        if let Some(told) = bytes.filter(|told| *told != have) {
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
        results: ReportedResults,
        now: OffsetDateTime,
    ) -> Result<(), BookError> {
        let missing = |missing| BookError::Malformed { id: self.command.id.clone(), missing };
        if results.finished.is_none() {
            return Err(missing("finished (boolean)"));
        }
        let state = results.state.map_or(State::Done, State::from);
        // Of a command nobody saw the end of there is no code.
        if state != State::Lost && results.exit_code_or_signal.is_none() {
            return Err(missing("exitCodeOrSignal (integer)"));
        }
        self.check_complete(Part::Out, &results)?;
        self.check_complete(Part::Err, &results)?;
        self.command.state = state;
        self.command.failure = results.error.as_ref().map(brief::failure);
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
    use crate::agent::commands::Program;
    use proptest::prelude::*;
    use serde_json::json;

    fn active() -> Active {
        Active::new(Command::new("k7mq2x", "vm1", Program::default(), OffsetDateTime::UNIX_EPOCH))
    }

    fn results(out: &[u8]) -> ReportedResults {
        let told = json!({"finished": true, "exitCodeOrSignal": 0, "state": "done",
            "out_bytes": out.len(), "out_sha256": vocable_protocol::sha256_hex(out), "err_bytes": 0});
        ReportedResults::of(told.as_object().unwrap().clone())
    }

    #[test]
    fn output_told_twice_is_kept_once_and_a_gap_is_refused() {
        let mut it = active();
        it.received(Part::Out, b"hello ");
        assert_eq!(it.place(Part::Out, 0, 6).unwrap(), None);
        assert_eq!(it.place(Part::Out, 3, 6).unwrap(), Some(Append { at: 6, skip: 3, counted: 6 }));
        let gap = it.place(Part::Out, 7, 1).unwrap_err();
        assert_eq!(gap.to_string(), "k7mq2x.vm1: out continues at 7, and only 6 bytes are here");
    }

    #[test]
    fn the_end_is_taken_only_with_every_byte() {
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
        let refused = it.finished(ReportedResults::default(), OffsetDateTime::UNIX_EPOCH).unwrap_err();
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
