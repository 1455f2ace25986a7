//! A server for directories, and for nothing outside of them.
//!
//! Whoever logs in sees the configured roots as one tree. `..` and links are followed as if that tree were everything
//! there is (as in a chroot), so that nothing leads out of it; files arrive under a hidden name and take the place of
//! the old ones only when they are complete. Each connection is one task; what waits for a disk runs on threads made
//! for that. Everything that a client could make grow has a limit in [`Limits`].
//!
//! Never: dialling out on a client's behalf, running programs, telling a catalog where we are.

mod config;
mod dispatch;
mod files;
mod login;
mod session;
mod sink;
mod strangers;
mod tree;
mod verbs;

pub use config::{Config, ConfigError, Limits, Logins, Rights, Root};

#[doc(hidden)]
pub use tree::fuzz;

use crate::stream::Stream;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use strangers::Strangers;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tree::Tree;

/// Who is at the other end, before anything is said.
#[derive(Clone, Debug)]
pub enum Peer {
    /// Somebody who has to log in, from there.
    Address(IpAddr),
    /// Somebody on this machine, who has to log in.
    Local,
    /// Somebody who needn't log in, as the transport tells who he is: `bus:host`.
    Trusted(String),
}

impl Peer {
    /// Of somebody who has to log in: where from, if that tells anything.
    const fn address(&self) -> Option<Option<IpAddr>> {
        match self {
            Self::Address(address) => Some(Some(*address)),
            Self::Local => Some(None),
            Self::Trusted(_) => None,
        }
    }
}

/// Why a connection ended before its client closed it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It broke.
    #[error("the connection broke: {0}")]
    Broke(#[from] io::Error),
    /// Too many others.
    #[error("{0} connections are open already (chirp limit `connections`)")]
    Full(usize),
    /// Nothing came.
    #[error("nothing came for {0:?}")]
    Idle(std::time::Duration),
    /// Nobody logged in.
    #[error("nobody logged in: {0}")]
    Login(&'static str),
    /// Something that nothing can follow.
    #[error("{0}: nobody can tell where the next request begins")]
    Lost(&'static str),
}

/// A server. Clones are the same server: limits hold for all connections together.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    tree: Tree,
    logins: Logins,
    rights: Vec<(globset::GlobMatcher, Rights)>,
    limits: Limits,
    places: Arc<Semaphore>,
    strangers: Arc<Strangers>,
}

/// Where connections come from.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => listener
                .accept()
                .await
                .map(|(stream, address)| (stream.into(), Peer::Address(address.ip().to_canonical()))),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| (stream.into(), Peer::Local)),
        }
    }
}

impl Server {
    /// A server for these roots.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let Config { roots, logins, rights, limits } = config;
        let tree = Tree::new(roots)?;
        let rights = config::matchers(rights)?;
        let places = Arc::new(Semaphore::new(limits.connections));
        // All places may be taken at the same moment.
        let strangers = Strangers::new(limits.strangers.max(limits.connections));
        Ok(Self { shared: Arc::new(Shared { tree, logins, rights, limits, places, strangers }) })
    }

    /// Serves one connection until its client closes it. Dropping the future ends it at once.
    pub async fn serve(&self, stream: impl Into<Stream>, peer: Peer) -> Result<(), Error> {
        let (mut input, mut output) = stream.into().split();
        // Who has not logged in takes no place of those who have.
        let subject = {
            let shared = &*self.shared;
            let login =
                login::login(login::Login { shared, input: &mut input, output: &mut output, peer: &peer });
            match peer.address() {
                None => login.await?,
                Some(address) => {
                    let stranger = self.shared.strangers.enter(address);
                    tokio::select! {
                        subject = login => subject?,
                        () = stranger.evicted() => return Err(Error::Login("others came after it")),
                    }
                }
            }
        };
        let full = Error::Full(self.shared.limits.connections);
        let _place = self.shared.places.clone().try_acquire_owned().map_err(|_| full)?;
        tracing::debug!(?peer, subject = subject.name, "chirp login");
        session::run(&self.shared, input, output, subject).await
    }

    /// Serves whoever connects, until `shutdown` is through: then all connections end at once.
    pub async fn run(
        &self,
        listener: impl Into<Listener>,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let listener = listener.into();
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return Ok(()), // the set ends its tasks when it is dropped
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let server = self.clone();
                        connections.spawn(async move {
                            let who = format!("{peer:?}");
                            if let Err(error) = server.serve(stream, peer).await {
                                tracing::debug!(peer = who, %error, "chirp connection ended");
                            }
                        });
                    }
                    // The one who connected is gone again, or for now there are no descriptors.
                    Err(error) if is_transient(&error) => {
                        tracing::warn!(%error, "chirp connection not accepted");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::CONNABORTED | Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::PROTO)
    )
}
