//! Transactions of one connection: what is to be done at `COMMIT`, bounded.

use super::message::Publication;
use super::refusal::Refusal;
use crate::broker::limits::BrokerLimits;
use std::collections::BTreeMap;

/// Something that takes effect at once, or at the end of a transaction.
#[derive(Debug)]
pub(super) enum Step {
    Publish(Publication),
    Settle(Settlement),
}

/// An `ACK` or `NACK` of a message that is held for its subscription.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settlement {
    pub(super) subscription: u64,
    pub(super) delivery: u64,
    /// `ACK`, otherwise `NACK`.
    pub(super) is_accepted: bool,
}

impl Step {
    fn weight(&self) -> usize {
        match self {
            Self::Publish(publication) => size_of::<Self>() + publication.weight,
            Self::Settle(_) => size_of::<Self>(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Transactions {
    open: BTreeMap<String, Vec<Step>>,
    bytes: usize,
}

impl Transactions {
    pub(super) fn begin(&mut self, name: &str, limits: &BrokerLimits) -> Result<(), Refusal> {
        if self.open.contains_key(name) {
            return Err(Refusal::Exists { what: "transaction", name: name.to_owned() });
        }
        if self.open.len() >= limits.transactions {
            return Err(Refusal::TooMany { what: "open transactions", limit: limits.transactions });
        }
        self.open.insert(name.to_owned(), Vec::new());
        Ok(())
    }

    pub(super) fn add(&mut self, name: &str, step: Step, limits: &BrokerLimits) -> Result<(), Refusal> {
        let steps = self.open.get_mut(name).ok_or_else(|| unknown(name))?;
        let weight = step.weight();
        if self.bytes + weight > limits.transaction_bytes {
            return Err(Refusal::TooMany { what: "bytes in transactions", limit: limits.transaction_bytes });
        }
        self.bytes += weight;
        steps.push(step);
        Ok(())
    }

    /// Ends a transaction: its steps are the caller's to carry out or to drop.
    pub(super) fn end(&mut self, name: &str) -> Result<Vec<Step>, Refusal> {
        let steps = self.open.remove(name).ok_or_else(|| unknown(name))?;
        self.bytes -= steps.iter().map(Step::weight).sum::<usize>();
        Ok(steps)
    }
}

fn unknown(name: &str) -> Refusal {
    Refusal::Unknown { what: "transaction", name: name.to_owned() }
}
