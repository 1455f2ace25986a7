//! The broker's rules, told as behaviour. Frames are written in one line: `SEND destination:/queue/a | body`.

pub(in crate::broker) mod bench;
mod connecting;
mod exercise;
mod fairness;
mod limits;
mod properties;
mod proving;
mod queues;
mod topics;
mod transactions;
mod withdrawing;
