//! The broker's rules, told as behaviour. Frames are written in one line: `SEND destination:/queue/a | body`.

mod bench;
mod connecting;
mod limits;
mod properties;
mod queues;
mod topics;
mod transactions;
