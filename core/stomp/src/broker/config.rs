//! How the broker behaves on its sockets, and its [`BrokerLimits`].

use super::limits::BrokerLimits;
use crate::codec::{Dialect, Limits};
use crate::heartbeat::HeartBeat;
use std::time::Duration;

/// Everything about a broker but who may use it and where it listens.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// How much of everything.
    pub limits: BrokerLimits,
    /// How large frames may be once somebody is logged in. Before that far less is accepted. `CONNECTED` tells
    /// clients how large a body may be.
    pub frames: Limits,
    /// Bears with old clients, see [`Dialect::lenient`].
    pub lenient: bool,
    /// The heart-beats the broker offers and asks for. A peer that promised some and is silent for twice the
    /// agreed time is dead.
    pub heart_beat: HeartBeat,
    /// After so much silence the system asks whether the peer is still there: the only way to find out about peers
    /// that promise no heart-beats.
    pub keep_alive: Duration,
    /// How long a connection may take to log in.
    pub login_deadline: Duration,
    /// How long a connection that is to be closed may take to read what was sent before, and to close its end.
    pub linger: Duration,
    /// Events that wait for a slow receiver; what is more it misses.
    pub events: usize,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            limits: BrokerLimits::default(),
            frames: Limits::default(),
            lenient: false,
            heart_beat: HeartBeat::every(Duration::from_secs(10)),
            keep_alive: Duration::from_secs(60),
            login_deadline: Duration::from_secs(10),
            linger: Duration::from_secs(1),
            events: 4096,
        }
    }
}

impl BrokerConfig {
    /// What is enough for any `CONNECT`: strangers can make the broker keep 32 KiB each, not megabytes.
    pub(super) const BEFORE_LOGIN: Limits = Limits { line: 1 << 10, headers: 32, body: 0 };

    /// Bytes of frames that one connection may have waiting for the broker's attention, except that one frame is
    /// always allowed. Small beside a queue, so that a publisher that is left unread does not overrun it.
    pub(super) fn window(&self) -> u32 {
        let window = (self.limits.queue_bytes / 8).clamp(1, 1 << 20);
        u32::try_from(window).unwrap_or(1 << 20)
    }

    /// After so many bytes written the broker is told.
    pub(super) const fn report_after(&self) -> u64 {
        self.limits.report_after() as u64
    }

    pub(super) const fn dialect(&self) -> Dialect {
        Dialect { version: None, lenient: self.lenient }
    }
}
