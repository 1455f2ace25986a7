//! Who waits for which receipt.

use crate::client::ClientError;
use std::collections::HashMap;
use tokio::sync::oneshot;

/// Where the outcome of a frame is awaited.
pub(super) type Reply = oneshot::Sender<Result<(), ClientError>>;

/// The frames that were written and not confirmed yet.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    waiting: HashMap<String, Reply>,
    /// From this many on it is worth looking for those who gave up.
    sweep_at: usize,
}

impl Receipts {
    const SWEEP_FROM: usize = 64;

    /// Somebody waits for that receipt.
    pub(super) fn insert(&mut self, id: String, reply: Reply) {
        if self.waiting.len() >= self.sweep_at.max(Self::SWEEP_FROM) {
            self.waiting.retain(|_, reply| !reply.is_closed());
            self.sweep_at = self.waiting.len() * 2;
        }
        self.waiting.insert(id, reply);
    }

    /// The broker confirmed or refused the frame with that receipt.
    pub(super) fn settle(&mut self, id: &str, outcome: Result<(), ClientError>) {
        match self.waiting.remove(id) {
            // Whoever gave up waiting does not mind.
            Some(reply) => drop(reply.send(outcome)),
            None => tracing::debug!("a receipt that nobody waits for"),
        }
    }

    /// The connection is gone, nothing on it will be confirmed any more.
    pub(super) fn fail_all(&mut self, error: &ClientError) {
        for (_, reply) in self.waiting.drain() {
            drop(reply.send(Err(error.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_gave_up_are_forgotten_however_many() {
        let mut receipts = Receipts::default();
        let (reply, mut patient) = oneshot::channel();
        receipts.insert("patient".to_owned(), reply);
        for number in 0..10_000 {
            receipts.insert(number.to_string(), oneshot::channel().0);
        }
        assert!(receipts.waiting.len() <= Receipts::SWEEP_FROM + 1, "{}", receipts.waiting.len());
        receipts.settle("patient", Ok(()));
        assert_eq!(patient.try_recv(), Ok(Ok(())));
    }
}
