//! How requests get to the host agent, and only to it, by any of three ways; everything the command line says goes
//! through here.
//!
//! | way | who it is | who we are |
//! |---|---|---|
//! | a Unix socket | the kernel tells who listens ([`socket`]) | the kernel tells; no token is sent |
//! | TLS | its certificate | the token |
//! | in the clear | a proof, on each connection, before anything else is sent ([`proof`]) | the token |
//!
//! Not here: what is said, and what answers mean.

use std::{fmt, io, time::Duration};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use ureq::{
    Agent,
    http::Uri,
    unversioned::{
        resolver::DefaultResolver,
        transport::{Connector, TcpConnector},
    },
};
use vocable_xmlrpc::excerpt;

use super::{
    ClientError,
    proof::{ProvingConnector, Refusal, prove},
    socket::{Foreign, NoResolver, Socket, SocketConnector},
    tls,
};

/// By what the host agent is known, beside the token.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Over TLS: by these certificates, in PEM, and by nothing else.
    pub certificates: Vec<u8>,
    /// At a socket: users whose it may be beside ourselves and root.
    pub owners: Vec<u32>,
}

/// How to get to the host agent.
#[derive(Clone)]
enum Way {
    Socket(Socket),
    Tcp,
    /// To that name, and to nobody whom these certificates (PEM) do not vouch for.
    Tls(String, Vec<u8>),
}

/// Anything bytes go through both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The way to one host agent. Connections are reused from request to request, by all clones.
#[derive(Clone)]
pub(super) struct Transport {
    agent: Agent,
    base: String,
    path: String,
    address: String,
    token: String,
    way: Way,
}

impl Transport {
    /// The way to `url`, as [`Client::trusting`](super::Client::trusting) says. Nothing is sent yet.
    pub(super) fn new(url: &str, token: String, trust: &Trust) -> Result<Self, ClientError> {
        let bad_url = || ClientError::BadUrl(excerpt(url));
        let config = Agent::config_builder().proxy(None).max_redirects(0).http_status_as_error(false);
        let config = config.user_agent(concat!("vocable/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = url.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(bad_url());
            }
            let socket = Socket { path: path.into(), owners: trust.owners.clone() };
            let agent = Agent::with_parts(config.build(), SocketConnector(socket.clone()), NoResolver);
            let (base, rpc) = ("http://localhost".to_owned(), "/RPC2".to_owned());
            return Ok(Self {
                agent,
                base,
                path: rpc,
                address: path.to_owned(),
                token,
                way: Way::Socket(socket),
            });
        }
        let uri: Uri = url.parse().map_err(|_| bad_url())?;
        let host = uri.host().ok_or_else(bad_url)?;
        let path = if uri.path() == "/" { "/RPC2" } else { uri.path() }.to_owned();
        let address = |usual| format!("{host}:{}", uri.port_u16().unwrap_or(usual));
        match uri.scheme_str() {
            Some("http") => {
                let address = address(80);
                let connector = ProvingConnector { token: token.clone() };
                let connector = Connector::<()>::chain(TcpConnector::default(), connector);
                let agent = Agent::with_parts(config.build(), connector, DefaultResolver::default());
                Ok(Self { agent, base: format!("http://{address}"), path, address, token, way: Way::Tcp })
            }
            Some("https") => {
                let address = address(443);
                let agent = config.tls_config(tls::config(&trust.certificates)?).build().into();
                let way = Way::Tls(host.trim_matches(['[', ']']).to_owned(), trust.certificates.clone());
                Ok(Self { agent, base: format!("https://{address}"), path, address, token, way })
            }
            _ => Err(bad_url()),
        }
    }

    /// Host and port, or the path of a socket.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// What sends requests that are answered, to addresses of this transport only.
    pub(super) const fn agent(&self) -> &Agent {
        &self.agent
    }

    pub(super) fn calls(&self) -> String {
        format!("{}{}", self.base, self.path)
    }

    /// The address of a route: `path` with its slash, escaped.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// What lets us in, where the kernel does not tell who we are.
    pub(super) fn authorization(&self) -> Option<String> {
        let needed = !matches!(self.way, Way::Socket(_)) && !self.token.is_empty();
        needed.then(|| format!("Bearer {}", self.token))
    }

    /// A connection on which both ends speak, with the agent at the other end.
    pub(super) async fn connect(&self) -> Result<Box<dyn Duplex>, ClientError> {
        self.open().await.map_err(|error| self.broken(error))
    }

    async fn open(&self) -> io::Result<Box<dyn Duplex>> {
        let tcp = async || {
            let stream = TcpStream::connect(self.address.as_str()).await?;
            // A key should not wait for the acknowledgement of the one before.
            stream.set_nodelay(true)?;
            Ok::<_, io::Error>(stream)
        };
        Ok(match &self.way {
            Way::Socket(socket) => {
                let stream = UnixStream::connect(&socket.path).await?;
                socket.check(&stream)?;
                Box::new(stream)
            }
            Way::Tcp => {
                let mut stream = tcp().await?;
                prove(&mut stream, &self.token).await?;
                Box::new(stream)
            }
            Way::Tls(name, trusted) => {
                let name = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
                Box::new(tls::connector(trusted)?.connect(name, tcp().await?).await?)
            }
        })
    }

    /// Why a connection is not there, or not any more.
    pub(super) fn broken(&self, source: io::Error) -> ClientError {
        let address = self.address.clone();
        if let Some(refusal) = cause::<Refusal>(&source) {
            return match refusal {
                Refusal::NoToken => ClientError::NotAuthorised { address },
                Refusal::Ended => ClientError::Unreachable { address, source },
                Refusal::NoProof(problem) => ClientError::Unproven { address, problem: problem.clone() },
            };
        }
        if let Some(foreign) = cause::<Foreign>(&source) {
            return ClientError::Untrusted { address, problem: foreign.to_string() };
        }
        if cause::<rustls::Error>(&source).is_some() {
            return ClientError::Untrusted { address, problem: source.to_string() };
        }
        if is_of_connecting(&source) {
            ClientError::Unreachable { address, source }
        } else {
            ClientError::Broken { address, source }
        }
    }

    /// Why a request was not answered.
    pub(super) fn failed(&self, error: ureq::Error, timeout: Duration) -> ClientError {
        let address = self.address.clone();
        match error {
            ureq::Error::Timeout(_) => ClientError::TimedOut { address, timeout },
            ureq::Error::Rustls(error) => ClientError::Untrusted { address, problem: error.to_string() },
            ureq::Error::Io(source) => self.broken(source),
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                ClientError::Unreachable { address, source: error.into_io() }
            }
            other => ClientError::BadReply { address, problem: excerpt(&other.to_string()) },
        }
    }
}

/// What somebody of ours put into an error of the system's.
fn cause<E: std::error::Error + 'static>(error: &io::Error) -> Option<&E> {
    error.get_ref()?.downcast_ref()
}

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

impl fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Transport").field("base", &self.base).finish_non_exhaustive()
    }
}
