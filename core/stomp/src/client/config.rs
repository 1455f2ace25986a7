//! What a client has to know before it starts, and how long it waits between two attempts.

use crate::codec::{Dialect, Limits};
use crate::frame::{Command, Frame, Version};
use crate::heartbeat::HeartBeat;
use crate::proof::Secret;
use std::fmt;
use std::time::Duration;

/// What shows the broker who we are. `Debug` hides it.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nothing but the login, if there is one.
    #[default]
    None,
    /// A passcode, sent in clear to whoever answers: all that other brokers understand.
    Passcode(String),
    /// The proof that we know the secret of our login, which is never sent. The broker has to prove it first: nobody is
    /// told or obeyed who has not. Only our own broker knows how.
    Proof(Secret),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Passcode(_) => "Passcode(…)",
            Self::Proof(_) => "Proof(…)",
        })
    }
}

/// Where to connect, as whom, and within which bounds. `Debug` hides the credentials.
#[derive(Clone)]
pub struct ClientConfig {
    /// `host:port`; a name is resolved again for each attempt.
    pub address: String,
    /// Who we are, if the broker asks.
    pub login: Option<String>,
    /// What shows it.
    pub credentials: Credentials,
    /// The `host` header: RabbitMQ wants one of its virtual hosts, others the name of the broker, most anything.
    pub virtual_host: String,
    /// Further headers of `CONNECT`.
    pub connect_headers: Vec<(String, String)>,
    /// How often we send a sign of life and want one; a broker silent for twice the agreed interval is dead. Zero:
    /// none, and then a broker that vanishes without closing the connection is never missed.
    pub heart_beat: Duration,
    /// How long to wait between two attempts.
    pub reconnect: Reconnect,
    /// How long a connection may take until the broker has said `CONNECTED`.
    pub connect_timeout: Duration,
    /// Bytes (see [`Frame::weight`]) that may wait to be sent. No single frame may be heavier.
    pub outgoing_limit: usize,
    /// What is accepted of the broker. As many bytes as a body may have may also wait as events.
    pub limits: Limits,
    /// Whether to bear with a broker that breaks the rules, see [`Dialect::lenient`].
    pub lenient: bool,
}

impl ClientConfig {
    /// The defaults: strict, no credentials, the host's name as virtual host, heart-beats every 10 s, 10 s to connect,
    /// 32 MiB to queue.
    pub fn new(address: impl Into<String>) -> Self {
        let address = address.into();
        let virtual_host = address.rsplit_once(':').map_or(&*address, |(host, _)| host).to_owned();
        Self {
            address,
            login: None,
            credentials: Credentials::None,
            virtual_host,
            connect_headers: Vec::new(),
            heart_beat: Duration::from_secs(10),
            reconnect: Reconnect::default(),
            connect_timeout: Duration::from_secs(10),
            outgoing_limit: 32 << 20,
            limits: Limits::default(),
            lenient: false,
        }
    }

    /// What we want of heart-beats.
    pub(super) const fn heart_beat(&self) -> HeartBeat {
        HeartBeat::every(self.heart_beat)
    }

    /// How to read the broker before it has chosen a version.
    pub(super) const fn dialect(&self) -> Dialect {
        Dialect { version: None, lenient: self.lenient }
    }

    /// The frame that opens a connection: `CONNECT`, not `STOMP`, which 1.0 does not know.
    pub(super) fn connect_frame(&self) -> Frame {
        let mut frame = Frame::new(Command::Connect)
            .with("accept-version", Version::ACCEPTED)
            .with("host", &*self.virtual_host)
            .with("heart-beat", self.heart_beat().to_string());
        if let Some(login) = &self.login {
            frame = frame.with("login", &**login);
        }
        if let Credentials::Passcode(passcode) = &self.credentials {
            frame = frame.with("passcode", &**passcode);
        }
        frame.headers.extend(self.connect_headers.iter().cloned());
        frame
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("address", &self.address)
            .field("login", &self.login)
            .field("credentials", &self.credentials)
            .field("virtual_host", &self.virtual_host)
            .field("heart_beat", &self.heart_beat)
            .field("reconnect", &self.reconnect)
            .field("connect_timeout", &self.connect_timeout)
            .field("outgoing_limit", &self.outgoing_limit)
            .field("limits", &self.limits)
            .field("lenient", &self.lenient)
            .finish_non_exhaustive()
    }
}

/// Exponential back-off: each wait twice the one before, some of it taken off at random, so that a thousand clients
/// of a broker that was restarted do not come back in the same instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reconnect {
    /// The first wait.
    pub first: Duration,
    /// The longest wait. A connection that lasted as long starts again with the first.
    pub most: Duration,
    /// Which part of a wait chance may take off: from 0, none of it, to 1, all.
    pub jitter: f64,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self { first: Duration::from_millis(200), most: Duration::from_secs(30), jitter: 0.5 }
    }
}

impl Reconnect {
    /// The wait after so many failures before this one, with chance between 0 and 1.
    pub fn wait(&self, failures: u32, chance: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures);
        let longest = self.first.saturating_mul(doubled).min(self.most);
        longest.mul_f64(1.0 - self.jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let reconnect =
            Reconnect { first: Duration::from_secs(1), most: Duration::from_secs(30), jitter: 0.5 };
        let seconds = |failures, chance| reconnect.wait(failures, chance).as_secs_f64();
        assert_eq!([0, 1, 4, 5, 4_000_000_000].map(|n| seconds(n, 0.0)), [1.0, 2.0, 16.0, 30.0, 30.0]);
        assert_eq!([0, 1, 4, 5].map(|n| seconds(n, 1.0)), [0.5, 1.0, 8.0, 15.0]);
        let wild = Reconnect { jitter: 7.0, ..reconnect };
        assert_eq!(wild.wait(3, 1.0), Duration::ZERO);
    }

    #[test]
    fn connect_says_who_and_what_and_a_log_does_not() {
        let config = ClientConfig {
            login: Some("g1".to_owned()),
            credentials: Credentials::Passcode("s:cret".to_owned()),
            connect_headers: vec![("client-id".to_owned(), "g1".to_owned())],
            ..ClientConfig::new("[::1]:61613")
        };
        let frame = config.connect_frame();
        for (name, value) in [
            ("accept-version", "1.0,1.1,1.2"),
            ("host", "[::1]"),
            ("heart-beat", "10000,10000"),
            ("login", "g1"),
            ("passcode", "s:cret"),
            ("client-id", "g1"),
        ] {
            assert_eq!(frame.header(name), Some(value), "{name}");
        }
        assert!(!format!("{config:?}{frame:?}").contains("cret"));
        assert_eq!(ClientConfig::new("a:1").connect_frame().header("login"), None);
        let proof = ClientConfig { credentials: Credentials::Proof(Secret::of("s:cret")), ..config };
        let digest = Secret::of("s:cret").to_string();
        let all = format!("{proof:?} {:?}", proof.connect_frame().headers);
        assert!(!all.contains("cret") && !all.contains(&digest), "{all}");
    }
}
