//! The command line's side of the XML-RPC endpoint: one call after the other, blocking.
//! Not here: what is said to people about errors, beyond telling them apart.

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use ureq::{
    Agent,
    http::{Response, StatusCode, Uri},
    tls::{Certificate, RootCerts, TlsConfig},
};
use vocable_xmlrpc::{Call, Fault, Limits, Value, WriteError, excerpt, parse_response, write_call};

mod attach;
mod socket;

pub(crate) use attach::Attachment;
use attach::Way;

/// The longest reply we read, and the most values in it: listings of ten thousand guests fit.
const REPLY: Limits = Limits { max_bytes: 256 * 1024 * 1024, max_depth: 64, max_values: 5_000_000 };

/// How much of a reply that is no XML-RPC we read for the message, bytes.
const STRANGE_REPLY: u64 = 4096;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Something answered, but not as a host agent does.
    #[error("what answers at {address} is no host agent: {problem}")]
    BadReply {
        /// Where it answers.
        address: String,
        /// What was wrong with the reply.
        problem: String,
    },
    /// The call cannot be sent.
    #[error(transparent)]
    BadCall(#[from] WriteError),
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
    /// It is not the agent we trust, or does not speak TLS. Nothing was called.
    #[error("what answers at {address} is not trusted: {problem}")]
    Untrusted {
        /// Where it answers.
        address: String,
        /// What is wrong with its certificate.
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
            Self::BadCall(_) => "bad-argument",
            Self::BadCertificate => "bad-certificate",
            Self::BadUrl(_) => "bad-address",
            Self::Broken { .. } => "connection-lost",
            Self::Fault(fault) => fault.slug().unwrap_or("fault"),
            Self::NotAuthorised { .. } => "not-authorised",
            Self::TimedOut { .. } => "timed-out",
            Self::Unreachable { .. } => "no-agent",
            Self::Untrusted { .. } => "untrusted",
        }
    }
}

/// What the agent answered to a request for files: its status and its body, which is read as it comes.
pub struct Exchange {
    /// The status, such as 200.
    pub status: u16,
    /// The body.
    pub body: Box<dyn io::Read + Send>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Exchange").field("status", &self.status).finish_non_exhaustive()
    }
}

/// A caller of one host agent. Connections are reused from call to call, by all clones.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    url: String,
    address: String,
    token: String,
    way: Way,
}

impl Client {
    /// As [`trusting`](Self::trusting), for addresses that need no certificate.
    ///
    /// # Errors
    /// [`ClientError::BadUrl`] if this is no such address, [`ClientError::BadCertificate`] if it is one of TLS.
    pub fn new(url: &str, token: impl Into<String>) -> Result<Self, ClientError> {
        Self::trusting(url, token, &[])
    }

    /// A client of the endpoint at `url`: `http://HOST:PORT/RPC2`, `https://…`, both also without the path, or
    /// `unix:/PATH` of a socket. Over TLS the agent is known by `trusted`, certificates in PEM, and by nothing else. No
    /// proxy is asked, whatever the environment says. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::BadUrl`] if this is no such address, [`ClientError::BadCertificate`] if nothing in `trusted`
    /// is one and one is needed.
    pub fn trusting(url: &str, token: impl Into<String>, trusted: &[u8]) -> Result<Self, ClientError> {
        let bad_url = || ClientError::BadUrl(excerpt(url));
        let config = Agent::config_builder().proxy(None).max_redirects(0).http_status_as_error(false);
        let config = config.user_agent(concat!("vocable/", env!("CARGO_PKG_VERSION")));
        let token = token.into();
        if let Some(path) = url.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(bad_url());
            }
            let connector = socket::SocketConnector(Path::new(path).to_owned());
            let agent = Agent::with_parts(config.build(), connector, socket::NoResolver);
            return Ok(Self {
                agent,
                url: "http://localhost/RPC2".to_owned(),
                address: path.to_owned(),
                token,
                way: Way::Socket(path.into()),
            });
        }
        let uri: Uri = url.parse().map_err(|_| bad_url())?;
        let host = uri.host().ok_or_else(bad_url)?;
        let (scheme, usual) = match uri.scheme_str() {
            Some("http") => ("http", 80),
            Some("https") => ("https", 443),
            _ => return Err(bad_url()),
        };
        let address = format!("{host}:{}", uri.port_u16().unwrap_or(usual));
        let path = if uri.path() == "/" { "/RPC2" } else { uri.path() };
        let (config, way) = match scheme {
            "https" => {
                let name = host.trim_matches(['[', ']']).to_owned();
                (config.tls_config(trusting(trusted)?), Way::Tls(name, trusted.to_owned()))
            }
            _ => (config, Way::Tcp),
        };
        let url = format!("{scheme}://{address}{path}");
        Ok(Self { agent: config.build().into(), url, address, token, way })
    }

    /// Where the host agent listens: host and port, or the path of a socket.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Calls a method and waits for its result, at most for `timeout`.
    ///
    /// # Errors
    /// [`ClientError`], which tells apart who failed.
    pub fn call(&self, method: &str, params: Vec<Value>, timeout: Duration) -> Result<Value, ClientError> {
        let document = write_call(&Call { method: method.to_owned(), params })?;
        let request = self
            .agent
            .post(&self.url)
            .header("Authorization", format!("Bearer {}", self.token))
            .content_type("text/xml; charset=utf-8")
            .config()
            .timeout_global(Some(timeout))
            .build();
        let reply = request.send(&document).map_err(|error| self.failed(error, timeout))?;
        self.read(reply, timeout)
    }

    /// Reads from `/files/`: `place` is the rest of the address, escaped. The body comes for as long as it takes.
    ///
    /// # Errors
    /// [`ClientError`]; a refusal of the agent is none, it has a status.
    pub fn get_files(&self, place: &str, patience: Duration) -> Result<Exchange, ClientError> {
        let request = self
            .agent
            .get(format!("http://{}/files/{place}", self.address))
            .header("Authorization", format!("Bearer {}", self.token))
            .config()
            .timeout_recv_response(Some(patience))
            .build();
        self.exchanged(request.call().map_err(|error| self.failed(error, patience))?)
    }

    /// Writes to `/files/`, with `PUT` or `POST`, whatever can be read from `body`.
    ///
    /// # Errors
    /// As [`Self::get_files`].
    pub fn send_files(
        &self,
        method: &str,
        place: &str,
        body: &mut dyn io::Read,
        patience: Duration,
    ) -> Result<Exchange, ClientError> {
        let url = format!("http://{}/files/{place}", self.address);
        let request = if method == "POST" { self.agent.post(url) } else { self.agent.put(url) };
        let request = request
            .header("Authorization", format!("Bearer {}", self.token))
            .content_type("application/x-vocable-tree")
            .config()
            .timeout_recv_response(Some(patience))
            .build();
        let sent = request.send(ureq::SendBody::from_reader(&mut { body }));
        self.exchanged(sent.map_err(|error| self.failed(error, patience))?)
    }

    fn exchanged(&self, reply: Response<ureq::Body>) -> Result<Exchange, ClientError> {
        if reply.status() == StatusCode::UNAUTHORIZED {
            return Err(ClientError::NotAuthorised { address: self.address.clone() });
        }
        let status = reply.status().as_u16();
        Ok(Exchange { status, body: Box::new(reply.into_body().into_reader()) })
    }

    fn read(&self, mut reply: Response<ureq::Body>, timeout: Duration) -> Result<Value, ClientError> {
        match reply.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                return Err(ClientError::NotAuthorised { address: self.address.clone() });
            }
            status => {
                let text =
                    reply.body_mut().with_config().limit(STRANGE_REPLY).lossy_utf8(true).read_to_string();
                let text = text.unwrap_or_default();
                let line = text.lines().next().unwrap_or_default();
                return Err(self.bad_reply(format!("HTTP {}, {}", status.as_u16(), excerpt(line))));
            }
        }
        let limit = REPLY.max_bytes as u64;
        let document = reply.body_mut().with_config().limit(limit).read_to_vec();
        let document = document.map_err(|error| self.failed(error, timeout))?;
        let response =
            parse_response(&document, &REPLY).map_err(|error| self.bad_reply(error.to_string()))?;
        response.map_err(ClientError::Fault)
    }

    fn bad_reply(&self, problem: String) -> ClientError {
        ClientError::BadReply { address: self.address.clone(), problem }
    }

    fn failed(&self, error: ureq::Error, timeout: Duration) -> ClientError {
        let address = self.address.clone();
        match error {
            ureq::Error::Timeout(_) => ClientError::TimedOut { address, timeout },
            ureq::Error::Io(source) if source.get_ref().is_some_and(|cause| cause.is::<rustls::Error>()) => {
                ClientError::Untrusted { address, problem: source.to_string() }
            }
            ureq::Error::Rustls(error) => ClientError::Untrusted { address, problem: error.to_string() },
            ureq::Error::Io(source) if is_of_connecting(&source) => {
                ClientError::Unreachable { address, source }
            }
            ureq::Error::Io(source) => ClientError::Broken { address, source },
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                ClientError::Unreachable { address, source: error.into_io() }
            }
            other => self.bad_reply(excerpt(&other.to_string())),
        }
    }
}

/// TLS with those whom these certificates vouch for.
fn trusting(pem: &[u8]) -> Result<TlsConfig, ClientError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .map(|der| Certificate::from_der(&der).to_owned())
        .collect();
    if certificates.is_empty() {
        return Err(ClientError::BadCertificate);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::from(certificates))
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

/// Whether there never was a connection.
fn is_of_connecting(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::AddrNotAvailable
            | Kind::ConnectionRefused
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NotFound
            | Kind::PermissionDenied
    )
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
