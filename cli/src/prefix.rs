//! Whole lines of several commands, each with the name of its guest before it, so that two guests never share a line.
//! Bytes in, bytes out; the clock is an argument.

use std::time::{Duration, Instant};

/// How long a line without an end may wait for it.
pub(super) const HELD_FOR: Duration = Duration::from_secs(1);
/// How long such a line may grow, bytes.
const HELD_BYTES: usize = 64 * 1024;

/// One stream of one command.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    prefix: Vec<u8>,
    held: Vec<u8>,
    since: Option<Instant>,
}

impl Lines {
    /// A stream whose lines begin with `prefix`.
    pub(super) fn new(prefix: impl Into<Vec<u8>>) -> Self {
        Self { prefix: prefix.into(), held: Vec::new(), since: None }
    }

    /// Takes what came and gives the lines that are to be printed now.
    pub(super) fn push(&mut self, bytes: &[u8], now: Instant) -> Vec<u8> {
        let mut printed = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.held.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.print(&mut printed);
            }
            while self.held.len() >= HELD_BYTES {
                let rest = self.held.split_off(HELD_BYTES);
                self.print(&mut printed);
                self.held = rest;
            }
        }
        self.since = (!self.held.is_empty()).then(|| self.since.unwrap_or(now));
        printed
    }

    /// When the held line has to be printed, if there is one.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + HELD_FOR)
    }

    /// Gives the held line, end or no end.
    pub(super) fn flush(&mut self) -> Vec<u8> {
        let mut printed = Vec::new();
        if !self.held.is_empty() {
            self.print(&mut printed);
        }
        printed
    }

    fn print(&mut self, printed: &mut Vec<u8>) {
        printed.extend_from_slice(&self.prefix);
        printed.append(&mut self.held);
        if !printed.ends_with(b"\n") {
            printed.push(b'\n');
        }
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_lines_have_the_name_before_them() {
        let (mut lines, now) = (Lines::new("vm1: "), Instant::now());
        assert_eq!(lines.push(b"one\ntwo\nthr", now), b"vm1: one\nvm1: two\n");
        assert_eq!(lines.push(b"ee\n\n", now), b"vm1: three\nvm1: \n");
        assert_eq!(lines.due(), None);
    }

    #[test]
    fn a_line_without_end_is_printed_after_a_second_and_goes_on_with_the_same_name() {
        let (mut lines, now) = (Lines::new("vm1: "), Instant::now());
        assert_eq!(lines.push(b"[ 10%]", now), b"");
        assert_eq!(lines.push(b" building", now + HELD_FOR / 2), b"");
        assert_eq!(lines.due(), Some(now + HELD_FOR), "counted from its beginning");
        assert_eq!(lines.flush(), b"vm1: [ 10%] building\n");
        assert_eq!((lines.due(), lines.flush()), (None, vec![]));
        assert_eq!(lines.push(b" done\n", now), b"vm1:  done\n");
    }

    #[test]
    fn a_line_that_grows_without_end_is_printed_in_pieces() {
        let mut lines = Lines::new("x: ");
        let printed = lines.push(&[b'a'; 2 * HELD_BYTES + 1], Instant::now());
        let sizes: Vec<_> = printed.split(|byte| *byte == b'\n').map(<[u8]>::len).collect();
        assert_eq!(sizes, [HELD_BYTES + 3, HELD_BYTES + 3, 0]);
        assert_eq!(lines.flush(), b"x: a\n");
    }

    proptest! {
        /// However output is cut into pieces, the same lines come out.
        #[test]
        fn pieces_do_not_matter(pieces in proptest::collection::vec("[ab\n]{0,9}", 0..9)) {
            let (mut cut, mut whole) = (Lines::new("> "), Lines::new("> "));
            let now = Instant::now();
            let mut printed: Vec<u8> = pieces.iter().flat_map(|piece| cut.push(piece.as_bytes(), now)).collect();
            printed.extend(cut.flush());
            let mut expected = whole.push(pieces.concat().as_bytes(), now);
            expected.extend(whole.flush());
            prop_assert_eq!(printed, expected);
        }
    }
}
