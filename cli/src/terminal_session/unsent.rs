//! What was typed and is not known to have been taken: sent again from there when a connection was lost. Pure, but for
//! the link it sends over.

use super::link::Link;
use std::collections::VecDeque;
use vocable_api::attach::{ClientMessage, FRAME, WINDOW};

/// Input on its way.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    /// Of the first byte that is held.
    offset: u64,
    held: VecDeque<u8>,
    /// How many of them were sent over this connection.
    sent: usize,
    ended: bool,
    end_sent: bool,
    /// Whether we have written before: then the offset is ours.
    began: bool,
}

impl Unsent {
    /// Takes what was typed.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.held.extend(bytes);
    }

    /// No more will be typed.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Whether more should be read now.
    pub(super) fn has_room(&self) -> bool {
        (self.held.len() as u64) < WINDOW / 2
    }

    /// A new connection: nothing was sent over it.
    pub(super) fn restart(&mut self) {
        (self.sent, self.end_sent) = (0, false);
    }

    /// We may write, and the agent has everything before that byte.
    pub(super) fn go_on_at(&mut self, offset: u64) {
        if !self.began {
            (self.offset, self.began) = (offset, true);
        }
        self.taken(offset);
        // Somebody else wrote meanwhile: what we hold comes after it.
        self.offset = offset;
        self.restart();
    }

    /// The agent has everything before that byte.
    pub(super) fn taken(&mut self, offset: u64) {
        let taken =
            usize::try_from(offset.saturating_sub(self.offset)).unwrap_or(usize::MAX).min(self.held.len());
        self.held.drain(..taken);
        self.offset += taken as u64;
        self.sent = self.sent.saturating_sub(taken);
    }

    /// The next piece to be sent, within the window.
    fn piece(&mut self) -> Option<Vec<u8>> {
        let window = usize::try_from(WINDOW).unwrap_or(usize::MAX);
        let until = self.held.len().min(window).min(self.sent + FRAME);
        let piece: Vec<u8> = self.held.range(self.sent..until.max(self.sent)).copied().collect();
        self.sent += piece.len();
        (!piece.is_empty()).then_some(piece)
    }

    /// Sends what the window allows.
    pub(super) fn send(&mut self, link: &mut Link) {
        while let Some(piece) = self.piece() {
            link.push_input(piece);
        }
        if self.ended && !self.end_sent && self.sent == self.held.len() {
            self.end_sent = true;
            link.push(&ClientMessage::End);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_not_taken_is_sent_again_over_the_next_connection() {
        let mut unsent = Unsent::default();
        unsent.push(b"abcdef");
        unsent.go_on_at(0);
        assert_eq!(unsent.piece().unwrap(), b"abcdef");
        assert_eq!(unsent.piece(), None);
        unsent.taken(2);
        unsent.restart();
        unsent.go_on_at(4);
        unsent.push(b"g");
        assert_eq!(unsent.piece().unwrap(), b"efg");
    }

    #[test]
    fn who_comes_later_writes_after_what_is_there() {
        let mut unsent = Unsent::default();
        unsent.push(b"ab");
        unsent.go_on_at(100);
        assert_eq!(unsent.piece().unwrap(), b"ab");
        unsent.taken(102);
        assert!(unsent.held.is_empty());
    }

    proptest! {
        #[test]
        fn every_byte_arrives_once_and_in_order(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20),
            losses in proptest::collection::vec(0usize..60, 0..20),
        ) {
            let all: Vec<u8> = pieces.concat();
            let (mut unsent, mut arrived) = (Unsent::default(), Vec::new());
            unsent.go_on_at(0);
            let mut losses = losses.into_iter();
            for piece in pieces {
                unsent.push(&piece);
                if let Some(mut sent) = unsent.piece() {
                    // The connection breaks after so many bytes.
                    if let Some(loss) = losses.next() {
                        sent.truncate(loss);
                        arrived.extend(sent);
                        unsent.restart();
                        unsent.go_on_at(arrived.len() as u64);
                    } else {
                        arrived.extend(sent);
                        unsent.taken(arrived.len() as u64);
                    }
                }
            }
            while let Some(sent) = unsent.piece() {
                arrived.extend(sent);
            }
            prop_assert_eq!(arrived, all);
        }
    }
}
