//! One connection to a server, whose every byte may be hostile.
//!
//! A [`Client`] is a handle: one task owns the connection, writes requests as they come and hands out answers in their
//! order, so that many calls can be on their way at a time. Nothing is taken that is longer than its limit, no call
//! waits longer than its deadline, and after the first answer that makes no sense the connection is closed.
//!
//! Dropping a call whose answer is small does no harm; dropping one in the midst of a file closes the connection, as
//! the rest of the file could only be read and thrown away.

mod calls;
mod driver;
mod login;
mod ours;
mod reply;
mod transfer;

pub use calls::{Algorithm, Fd};
pub use ours::Got;
pub use transfer::Body;

use crate::proto::{BadName, Code};
use crate::stream::Stream;
use crate::{BadKey, Secret, TicketKey};
use driver::Job;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// A way to log in.
#[derive(Clone, Debug)]
pub enum Login {
    /// By the address one comes from.
    Address,
    /// By a word, with a server for Condor's clients. Such a server takes no escapes of ours: plain names only.
    Cookie(String),
    /// By the name of the address one comes from.
    Hostname,
    /// With a key.
    Ticket(Box<TicketKey>),
    /// With a shared secret: also the server has to know it.
    Token(Secret),
    /// Not at all: the transport tells the server who this is.
    Trusted,
    /// By making a file in that folder, with a server on this machine.
    Unix(PathBuf),
}

/// What is waited for, and how much is taken.
#[derive(Clone, Debug)]
pub struct Config {
    /// For the whole login.
    pub handshake: Duration,
    /// For an answer to begin, and in mid-answer for anything more. Reset by everything that is sent meanwhile.
    pub silence: Duration,
    /// For the digest of a whole file, which the server has to read for it.
    pub digest: Duration,
    /// Of a line; bytes.
    pub line: usize,
    /// Of a listing.
    pub entries: usize,
    /// Of a listing; bytes.
    pub listing: usize,
    /// Calls on their way at a time.
    pub in_flight: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            silence: Duration::from_secs(60),
            digest: Duration::from_secs(1800),
            line: 64 * 1024,
            entries: 100_000,
            listing: 64 << 20,
            in_flight: 128,
        }
    }
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    /// A name that can't be sent.
    #[error(transparent)]
    BadName(#[from] BadName),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broke(#[source] io::Error),
    /// It is closed already.
    #[error("the connection is closed: {why}")]
    Closed { why: String },
    /// What came isn't what its digest says.
    #[error("{what} was not sent as it is: the digest differs")]
    Digest { what: String },
    /// A key can't be used.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// More than is taken.
    #[error("{what} has more than {limit} {unit}")]
    Limit { what: String, limit: u64, unit: &'static str },
    /// Something on this side.
    #[error("{path}: {source}")]
    Local { path: String, source: io::Error },
    /// Nobody is let in that way.
    #[error("the server lets nobody in by {tried}: check its logins")]
    Login { tried: String },
    /// An answer that makes no sense.
    #[error("the answer to {what} makes no sense: {why}")]
    BadReply { what: String, why: &'static str },
    /// The server won't.
    #[error("{what}: {code}")]
    Refused { what: String, code: Code },
    /// Nothing came.
    #[error("no answer to {what} within {after:?}")]
    Silent { what: String, after: Duration },
}

impl Error {
    /// The server's reason, if it is a refusal.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the connection can't be used any more: another one might succeed.
    pub fn is_lost(&self) -> bool {
        matches!(
            self,
            Self::Broke(_)
                | Self::Closed { .. }
                | Self::BadReply { .. }
                | Self::Silent { .. }
                | Self::Limit { .. }
        )
    }
}

/// A connection on which somebody is logged in. Clones are the same connection; it closes with the last.
#[derive(Clone, Debug)]
pub struct Client {
    jobs: mpsc::Sender<Job>,
    about: Arc<About>,
}

#[derive(Debug)]
struct About {
    subject: String,
    ours: bool,
    config: Config,
    why: Arc<OnceLock<String>>,
    _task: AbortOnDropHandle<()>,
}

impl Client {
    /// Logs in by the first way that works; fails if none does, or not in time.
    pub async fn login(stream: impl Into<Stream>, logins: &[Login], config: Config) -> Result<Self, Error> {
        let (mut input, mut output) = stream.into().split();
        let limit = config.handshake;
        let hello = async {
            let subject = login::run(&mut input, &mut output, logins).await?;
            let ours = login::has_extensions(&mut input, &mut output).await?;
            Ok((subject, ours))
        };
        let silent = Error::Silent { what: "the login".into(), after: limit };
        let (subject, ours) = tokio::time::timeout(limit, hello).await.unwrap_or(Err(silent))?;
        let (jobs, queue) = mpsc::channel(config.in_flight);
        let why = Arc::new(OnceLock::new());
        let task = tokio::spawn(driver::run(input, output, queue, config.clone(), why.clone()));
        let about = About { subject, ours, config, why, _task: AbortOnDropHandle::new(task) };
        Ok(Self { jobs, about: Arc::new(about) })
    }

    /// Who the server takes this for, as far as it said so at login: `method:name`.
    pub fn subject(&self) -> &str {
        &self.about.subject
    }

    /// Whether the server knows our own requests.
    pub fn is_ours(&self) -> bool {
        self.about.ours
    }

    /// Whether no call can succeed any more.
    pub fn is_closed(&self) -> bool {
        self.jobs.is_closed()
    }

    fn closed(&self) -> Error {
        let why = self.about.why.get().cloned();
        Error::Closed { why: why.unwrap_or_else(|| "it ended".into()) }
    }
}
