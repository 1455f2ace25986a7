//! A client of the host agent: [`Client::call`] calls a method by its type, [`Client::events`] listens to what happens,
//! [`Client::attach`] attaches to a command, all over one transport that knows TCP, TLS and the Unix socket.
//!
//! ```no_run
//! use std::time::Duration;
//! use vocable_api::{client::Client, guest};
//!
//! let token = std::fs::read_to_string("/var/lib/vocable/token")?;
//! let client = Client::new("http://127.0.0.1:8700", token.trim())?;
//! for guest in client.call(&guest::List {}, Duration::from_secs(30))? {
//!     println!("{} is {}", guest.guest, guest.state.as_str());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{fmt, io, time::Duration};

use crate::Method;
use ureq::{
    RequestBuilder,
    http::{Response, StatusCode},
};
use vocable_xmlrpc::{
    Call, Fault, Limits, Value, ValueError, WriteError, excerpt, from_value, parse_response, write_call,
};

mod attach;
mod events;
mod files;
mod proof;
mod socket;
mod tls;
mod transport;

pub use attach::Attachment;
pub use events::{EventFilter, EventMessage, EventStream};
pub use files::GuestFiles;
use transport::Transport;
pub use transport::Trust;

/// The longest reply we read, and the most values in it: listings of ten thousand guests fit.
const REPLY: Limits = Limits { max_bytes: 256 * 1024 * 1024, max_depth: 64, max_values: 5_000_000 };

/// How much of a refusal is read, bytes.
const STRANGE_REPLY: u64 = 4096;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Something answered, but not as a host agent does.
    #[error("{address} is not a Vocable host agent: {problem}")]
    BadReply {
        /// Where it answers.
        address: String,
        /// What was wrong with the reply.
        problem: String,
    },
    /// The call cannot be sent.
    #[error(transparent)]
    BadCall(#[from] WriteError),
    /// The parameters have no form on the wire.
    #[error(transparent)]
    BadParams(ValueError),
    /// The connection ended before the reply did. The call may have been carried out.
    #[error("the connection to the host agent at {address} broke")]
    Broken {
        /// Where it answers.
        address: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// The address is none we can call.
    #[error("{0} is not of the form http://HOST:PORT/, https://HOST:PORT/ or unix:/PATH")]
    BadUrl(String),
    /// What is to be trusted is no certificate.
    #[error("what the host agent is to be known by is no certificate in PEM")]
    BadCertificate,
    /// The host agent refused or failed.
    #[error("{0}")]
    Fault(Fault),
    /// The host agent does not know the token.
    #[error("the host agent at {address} does not accept the token")]
    NotAuthorised {
        /// Where it answers.
        address: String,
    },
    /// No reply in time. The call may have been carried out.
    #[error("the host agent at {address} did not answer within {} s", .timeout.as_secs_f64())]
    TimedOut {
        /// Where it listens.
        address: String,
        /// How long we waited.
        timeout: Duration,
    },
    /// It could not prove that it knows the token. Nothing was called, and the token was not sent.
    #[error(
        "what answers at {address} did not prove that it is your Vocable host agent; the token was not sent"
    )]
    Unproven {
        /// Where it answers.
        address: String,
        /// What it did instead.
        problem: String,
    },
    /// It is not the agent we trust, or does not speak TLS. Nothing was called.
    #[error("what answers at {address} is not trusted: {problem}")]
    Untrusted {
        /// Where it answers.
        address: String,
        /// What is wrong with its certificate, or who it is.
        problem: String,
    },
    /// Nobody listens there. Nothing was called.
    #[error("no host agent answers at {address}")]
    Unreachable {
        /// Where we asked.
        address: String,
        /// The operating system's error.
        source: io::Error,
    },
}

impl ClientError {
    /// The error's name, as users see it in `error[…]`: for a fault the one in its text.
    pub fn slug(&self) -> &str {
        match self {
            Self::BadReply { .. } => "bad-reply",
            Self::BadCall(_) | Self::BadParams(_) => "bad-argument",
            Self::BadCertificate => "bad-certificate",
            Self::BadUrl(_) => "bad-address",
            Self::Broken { .. } => "connection-lost",
            Self::Fault(fault) => fault.slug().unwrap_or("fault"),
            Self::NotAuthorised { .. } => "not-authorised",
            Self::TimedOut { .. } => "timed-out",
            Self::Unproven { .. } => "unproven",
            Self::Unreachable { .. } => "no-agent",
            Self::Untrusted { .. } => "untrusted",
        }
    }
}

/// A caller of one host agent. Connections are reused from call to call, by all clones.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// As [`trusting`](Self::trusting), for addresses that need no certificate.
    ///
    /// # Errors
    /// [`ClientError::BadUrl`] if this is no such address, [`ClientError::BadCertificate`] if it is one of TLS.
    pub fn new(url: &str, token: impl Into<String>) -> Result<Self, ClientError> {
        Self::trusting(url, token, &Trust::default())
    }

    /// A client of the endpoint at `url`: `http://HOST:PORT/RPC2`, `https://…`, both also without the path, or
    /// `unix:/PATH` of a socket. Whoever answers has to be the agent before it is sent the token or a call: at a socket
    /// the kernel says whose it is, over TLS its certificate, and in the clear it has to prove that it knows the token.
    /// No proxy is asked, whatever the environment says. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::BadUrl`] if this is no such address, [`ClientError::BadCertificate`] if there is no certificate
    /// in `trust` and one is needed.
    pub fn trusting(url: &str, token: impl Into<String>, trust: &Trust) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::new(url, token.into(), trust)? })
    }

    /// Where the host agent listens: host and port, or the path of a socket.
    pub fn address(&self) -> &str {
        self.transport.address()
    }

    /// Calls a method and waits for its reply, at most for `timeout`.
    ///
    /// # Errors
    /// [`ClientError`], which tells apart who failed.
    pub fn call<M: Method>(&self, method: &M, timeout: Duration) -> Result<M::Reply, ClientError> {
        let params = crate::method::write(method).map_err(ClientError::BadParams)?;
        let value = self.call_by_name(M::NAME, params, timeout)?;
        from_value(value).map_err(|error| self.bad_reply(format!("{}: {error}", M::NAME)))
    }

    /// Calls a method whatever it is, and waits for its result, at most for `timeout`.
    ///
    /// # Errors
    /// [`ClientError`], which tells apart who failed.
    pub fn call_by_name(
        &self,
        method: &str,
        params: Vec<Value>,
        timeout: Duration,
    ) -> Result<Value, ClientError> {
        let document = write_call(&Call { method: method.to_owned(), params })?;
        let request = self.authorised(self.transport.agent().post(self.transport.calls()));
        let request =
            request.content_type("text/xml; charset=utf-8").config().timeout_global(Some(timeout)).build();
        let reply = request.send(&document).map_err(|error| self.transport.failed(error, timeout))?;
        self.read(reply, timeout)
    }

    /// The files of a guest; see [`vocable_copy`] for what can be done with them.
    pub const fn files<'a>(&'a self, guest: &'a str) -> GuestFiles<'a> {
        GuestFiles::new(self, guest)
    }

    /// The request with what lets us in. By the time it is sent, it is known who gets it.
    fn authorised<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match self.transport.authorization() {
            Some(value) => request.header("Authorization", value),
            None => request,
        }
    }

    fn read(&self, mut reply: Response<ureq::Body>, timeout: Duration) -> Result<Value, ClientError> {
        match reply.status() {
            StatusCode::OK => {}
            status => {
                let body = reply.body_mut().with_config().limit(STRANGE_REPLY).read_to_vec();
                return Err(self.refused(status.as_u16(), &body.unwrap_or_default()));
            }
        }
        let limit = REPLY.max_bytes as u64;
        let document = reply.body_mut().with_config().limit(limit).read_to_vec();
        let document = document.map_err(|error| self.transport.failed(error, timeout))?;
        let response =
            parse_response(&document, &REPLY).map_err(|error| self.bad_reply(error.to_string()))?;
        response.map_err(ClientError::Fault)
    }

    /// Why the agent did not do what was asked beside calls: a fault in JSON, or whatever else it said.
    fn refused(&self, status: u16, body: &[u8]) -> ClientError {
        if status == StatusCode::UNAUTHORIZED {
            return self.not_authorised();
        }
        fault(body).map_or_else(
            || {
                let text = String::from_utf8_lossy(body);
                let line = text.lines().next().unwrap_or_default();
                self.bad_reply(format!("HTTP {status}, {}", excerpt(line)))
            },
            ClientError::Fault,
        )
    }

    fn bad_reply(&self, problem: String) -> ClientError {
        ClientError::BadReply { address: self.address().to_owned(), problem }
    }

    fn not_authorised(&self) -> ClientError {
        ClientError::NotAuthorised { address: self.address().to_owned() }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Client").field(&self.transport).finish()
    }
}

/// `{"error": {code, fault, message}}`
fn fault(body: &[u8]) -> Option<Fault> {
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    let error = json.get("error")?;
    let number = i32::try_from(error.get("fault")?.as_i64()?).ok()?;
    let text = |name| error.get(name).and_then(serde_json::Value::as_str);
    Some(Fault::new(number, format!("{}: {}", text("code")?, text("message")?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_before_the_connection_is_a_fault_like_others() {
        let body =
            br#"{"error": {"code": "no-such-command", "fault": 104, "message": "no command is called x"}}"#;
        let fault = fault(body).unwrap();
        assert_eq!((fault.code(), fault.slug()), (104, Some("no-such-command")));
        assert!(super::fault(b"<html>").is_none() && super::fault(b"{}").is_none());
    }
}
