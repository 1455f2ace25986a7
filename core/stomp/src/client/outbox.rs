//! What waits to be sent, in its order, and what of it is on its way into the socket. Pure: writes no socket itself.
//!
//! A frame leaves the box when its last byte was written. What is in it when the connection breaks was not
//! received whole by anybody, and can be sent again.

use crate::client::receipts::Reply;
use crate::client::{ConnectionId, Subscription};
use crate::codec::{EncodeError, encode};
use crate::frame::{Frame, Version};
use bytes::{BufMut, BytesMut};
use std::collections::VecDeque;
use tokio::sync::OwnedSemaphorePermit;

/// Bytes that are encoded ahead of the socket: enough to keep it busy.
const AHEAD: usize = 64 << 10;

/// Something to be sent, with its share of the queue's bound.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) outgoing: Outgoing,
    /// Given back when the request is dropped.
    #[expect(dead_code, reason = "held to be dropped, not to be read")]
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// What there is to send.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// The last frame of all.
    Disconnect(Reply),
    /// A frame as it is.
    Frame {
        frame: Frame,
        /// Who waits for which receipt.
        receipt: Option<(String, Reply)>,
        /// The only connection on which it means anything.
        only_on: Option<ConnectionId>,
    },
    /// A subscription that is to be kept.
    Subscribe(Subscription),
    /// The end of one, by its id.
    Unsubscribe(String),
}

impl Outgoing {
    /// Bytes that it keeps in memory, more or less.
    pub(super) fn weight(&self) -> usize {
        let held = match self {
            Self::Disconnect(_) => 0,
            Self::Frame { frame, .. } => frame.weight(),
            Self::Subscribe(subscription) => subscription.frame().weight(),
            Self::Unsubscribe(id) => id.len(),
        };
        held + size_of::<Request>()
    }
}

impl Request {
    /// Whether nobody wants it sent any more.
    fn is_void(&self) -> bool {
        matches!(&self.outgoing, Outgoing::Frame { receipt: Some((_, reply)), .. } if reply.is_closed())
    }

    const fn is_tied_to_connection(&self) -> bool {
        matches!(&self.outgoing, Outgoing::Frame { only_on: Some(_), .. })
    }
}

/// Everything on its way out.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queued: VecDeque<Request>,
    /// Encoded and not written yet; whoever writes takes from the front and says how much.
    pub(super) bytes: BytesMut,
    /// Of what is in `bytes`, in its order: how many bytes are left, and what they are if it matters.
    encoded: VecDeque<(usize, Option<Request>)>,
}

impl Outbox {
    /// Adds to the end of the queue.
    pub(super) fn queue(&mut self, request: Request) {
        self.queued.push_back(request);
    }

    /// Puts back to the front what [`Outbox::next`] gave.
    pub(super) fn put_back(&mut self, request: Request) {
        self.queued.push_front(request);
    }

    /// The next that is to be encoded, unless enough is.
    pub(super) fn next(&mut self) -> Option<Request> {
        while self.bytes.len() < AHEAD {
            let request = self.queued.pop_front()?;
            if !request.is_void() {
                return Some(request);
            }
        }
        None
    }

    /// Whoever asked to leave, if there is nothing to be sent before.
    pub(super) fn leave(&mut self) -> Option<Reply> {
        match self.queued.pop_front()? {
            Request { outgoing: Outgoing::Disconnect(reply), .. } => Some(reply),
            other => {
                self.queued.push_front(other);
                None
            }
        }
    }

    /// Encodes the frame, which is given up if the connection breaks before it is written.
    pub(super) fn encode(&mut self, frame: &Frame, version: Version) -> Result<(), EncodeError> {
        let before = self.bytes.len();
        encode(frame, version, &mut self.bytes)?;
        self.encoded.push_back((self.bytes.len() - before, None));
        Ok(())
    }

    /// What was just encoded is that request, to be queued again if the connection breaks before it is written.
    pub(super) fn keep(&mut self, request: Request) {
        if let Some((_, kept)) = self.encoded.back_mut() {
            *kept = Some(request);
        }
    }

    pub(super) fn heart_beat(&mut self) {
        self.bytes.put_u8(b'\n');
        self.encoded.push_back((1, None));
    }

    /// So many bytes were taken from `bytes` and written. Gives the receipts that may come from now on.
    pub(super) fn written(&mut self, mut bytes: usize) -> Vec<(String, Reply)> {
        let mut receipts = Vec::new();
        while let Some((left, _)) = self.encoded.front_mut() {
            if *left > bytes {
                *left -= bytes;
                break;
            }
            bytes -= *left;
            let whole = self.encoded.pop_front().and_then(|(_, request)| request);
            if let Some(Request { outgoing: Outgoing::Frame { receipt: Some(receipt), .. }, .. }) = whole {
                receipts.push(receipt);
            }
        }
        if self.bytes.is_empty() && self.bytes.capacity() > 4 * AHEAD {
            // A large frame has passed; its room is not needed for ever.
            self.bytes = BytesMut::new();
        }
        receipts
    }

    /// Queues again, in its order, what was not written whole, and forgets what has no meaning on another connection.
    pub(super) fn connection_lost(&mut self) {
        self.bytes.clear();
        for request in self.encoded.drain(..).rev().filter_map(|(_, request)| request) {
            self.queued.push_front(request);
        }
        self.queued.retain(|request| !request.is_tied_to_connection());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Command;
    use bytes::Buf;
    use tokio::sync::oneshot;

    fn request(body: &str, only_on: Option<ConnectionId>) -> Request {
        let frame = Frame::new(Command::Send).with_body(body.to_owned());
        Request { outgoing: Outgoing::Frame { frame, receipt: None, only_on }, room: None }
    }

    /// Encodes everything that is queued; gives the bodies in their order.
    fn encode_all(outbox: &mut Outbox) -> Vec<String> {
        let mut bodies = Vec::new();
        while let Some(request) = outbox.next() {
            if let Outgoing::Frame { frame, .. } = &request.outgoing {
                bodies.push(String::from_utf8(frame.body.to_vec()).unwrap());
                outbox.encode(frame, Version::V1_2).unwrap();
            }
            outbox.keep(request);
        }
        bodies
    }

    fn write(outbox: &mut Outbox, bytes: usize) -> Vec<(String, Reply)> {
        outbox.bytes.advance(bytes);
        outbox.written(bytes)
    }

    #[test]
    fn only_what_was_not_written_whole_is_sent_again_and_in_its_order() {
        let mut outbox = Outbox::default();
        ["a", "b", "c"].into_iter().for_each(|body| outbox.queue(request(body, None)));
        assert_eq!(encode_all(&mut outbox), ["a", "b", "c"]);
        let one_frame = outbox.bytes.len() / 3;
        write(&mut outbox, one_frame + 1);
        outbox.queue(request("d", None));
        outbox.connection_lost();
        assert!(outbox.bytes.is_empty());
        assert_eq!(encode_all(&mut outbox), ["b", "c", "d"]);
    }

    #[test]
    fn heart_beats_and_what_is_tied_to_the_connection_are_not_sent_again() {
        let mut outbox = Outbox::default();
        outbox.heart_beat();
        ["a", "b"].into_iter().for_each(|body| outbox.queue(request(body, Some(1))));
        outbox.encode(&Frame::new(Command::Subscribe), Version::V1_2).unwrap();
        encode_all(&mut outbox);
        outbox.queue(request("c", Some(1)));
        outbox.connection_lost();
        assert!(outbox.next().is_none());
    }

    #[test]
    fn a_receipt_may_come_once_the_last_byte_is_written() {
        let mut outbox = Outbox::default();
        let (reply, _outcome) = oneshot::channel();
        let frame = Frame::new(Command::Send);
        let receipt = Some(("r".to_owned(), reply));
        outbox.queue(Request { outgoing: Outgoing::Frame { frame, receipt, only_on: None }, room: None });
        encode_all(&mut outbox);
        let bytes = outbox.bytes.len();
        assert!(write(&mut outbox, bytes - 1).is_empty());
        assert_eq!(write(&mut outbox, 1).len(), 1);
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_sent() {
        let mut outbox = Outbox::default();
        let receipt = Some(("r".to_owned(), oneshot::channel().0));
        let frame = Frame::new(Command::Send);
        outbox.queue(Request { outgoing: Outgoing::Frame { frame, receipt, only_on: None }, room: None });
        assert!(outbox.next().is_none());
    }

    #[test]
    fn no_more_is_encoded_ahead_than_needed() {
        let mut outbox = Outbox::default();
        (0..100).for_each(|_| outbox.queue(request(&"x".repeat(AHEAD / 10), None)));
        assert_eq!(encode_all(&mut outbox).len(), 10);
        let bytes = outbox.bytes.len();
        write(&mut outbox, bytes);
        assert_eq!(encode_all(&mut outbox).len(), 10);
    }

    #[test]
    fn one_leaves_when_nothing_is_left_to_send() {
        let mut outbox = Outbox::default();
        outbox.queue(request("a", None));
        outbox.queue(Request { outgoing: Outgoing::Disconnect(oneshot::channel().0), room: None });
        assert!(outbox.leave().is_none());
        assert_eq!(encode_all(&mut outbox).len(), 1);
        assert!(outbox.leave().is_none(), "it was encoded");
    }
}
