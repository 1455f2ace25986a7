//! The broker on real sockets, told as behaviour.

mod closing;
mod crowd;
mod kit;
mod links;
mod liveness;
mod naive;
mod pressure;
mod wire;
