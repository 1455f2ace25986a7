//! Who may come in, and who may use which destination: the questions the broker asks.
//!
//! The broker decides nothing here by itself. [`super::rules::AccessRules`] is a ready answer to the questions.

use super::destination::{Destination, Pattern};
use crate::frame::Frame;
use crate::proof::Secret;
use std::net::SocketAddr;
use std::sync::Arc;

/// Somebody the broker has let in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Principal {
    /// The name stamped as `from` on everything this principal sends.
    pub login: Arc<str>,
    /// Whether it may be connected more than once at a time. Guests may not; the host's tools may.
    pub many: bool,
    /// Headers that `CONNECTED` tells it besides the usual ones, such as the token of its next login.
    pub headers: Vec<(String, String)>,
}

impl Principal {
    /// A principal that may be connected once.
    pub fn new(login: &str) -> Self {
        Self { login: login.into(), many: false, headers: Vec::new() }
    }

    /// Allows it several connections at a time.
    #[must_use]
    pub fn many(mut self) -> Self {
        self.many = true;
        self
    }
}

/// Why somebody was not let in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Denial {
    /// What the client is told: nothing that helps to guess.
    pub message: String,
    /// What the operator reads in the log.
    pub logged: String,
}

/// What somebody wants to do with a destination.
#[derive(Clone, Copy, Debug, strum::Display, Eq, Hash, PartialEq)]
#[strum(serialize_all = "lowercase")]
pub enum Action {
    /// `SUBSCRIBE`.
    Read,
    /// `SEND`.
    Write,
}

/// The broker's gatekeeper. It is asked by the task that owns the broker's state: it has to answer at once.
pub trait Access: Send + Sync {
    /// Decides who `connect` comes from. `peer` is absent for connections inside the process.
    ///
    /// # Errors
    /// What to tell the client, and what to log.
    fn authenticate(
        &self,
        login: Option<&str>,
        passcode: Option<&str>,
        connect: &Frame,
        peer: Option<SocketAddr>,
    ) -> Result<Principal, Denial>;

    /// What `login` may prove to know instead of sending it, if it may; the broker proves to know it first.
    fn secret_of(&self, _login: &str) -> Option<Secret> {
        None
    }

    /// Decides about somebody who was asked for a proof. `is_proved` says that it knows what
    /// [`secret_of`](Self::secret_of) returns for that login now.
    ///
    /// # Errors
    /// What to tell the client, and what to log.
    fn authenticate_by_proof(
        &self,
        _login: &str,
        _is_proved: bool,
        _connect: &Frame,
        _peer: Option<SocketAddr>,
    ) -> Result<Principal, Denial> {
        Err(Denial { message: "login refused".to_owned(), logged: "nobody may log in by a proof".to_owned() })
    }

    /// What the operator reads about somebody who hung up when the broker had proved itself: it was not convinced.
    fn describe_hang_up(&self, login: &str) -> String {
        match self.secret_of(login) {
            Some(_) => "hung up after the challenge: its credential is another one, or it goes by somebody else's name",
            None => "hung up after the challenge: nothing is known here that it could prove to know",
        }
        .to_owned()
    }

    /// Whether `who` may do `what` with this one destination.
    fn may(&self, who: &Principal, what: Action, destination: &Destination) -> bool;

    /// Whether `who` may read every destination of `pattern`, those included that do not exist yet.
    fn may_read_all(&self, who: &Principal, pattern: &Pattern) -> bool;
}
