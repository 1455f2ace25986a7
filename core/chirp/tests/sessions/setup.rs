//! Servers and clients for the tests.

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;
use vocable_chirp::Secret;
use vocable_chirp::client::{self, Client, Login};
use vocable_chirp::server::{self, Config, Limits, Logins, Root, Server};

/// A server with one root, which is everything there is, on a port of its own.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) secret: Secret,
    pub(crate) folder: TempDir,
    _task: AbortOnDropHandle<()>,
}

pub(crate) fn dir(path: &Path) -> Dir {
    Dir::open_ambient_dir(path, ambient_authority()).unwrap()
}

/// Free space on a machine of tests is nobody's concern.
pub(crate) fn limits() -> Limits {
    Limits { keep_free: 0, ..Limits::default() }
}

impl Served {
    pub(crate) async fn new() -> Self {
        Self::with(limits(), |_| ()).await
    }

    pub(crate) async fn with(limits: Limits, change: impl FnOnce(&mut Config)) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("root")).unwrap();
        let root = folder.path().join("root");
        let secret = Secret::random().unwrap();
        let logins = Logins {
            tokens: vec![(Secret::random().unwrap(), "other".into()), (secret.clone(), "host".into())],
            addresses: vec!["127.0.0.1".parse().unwrap()],
            ..Logins::default()
        };
        let mut config = Config {
            roots: vec![Root::new("/", dir(&root)).shown_as(&root)],
            logins,
            rights: Vec::new(),
            limits,
        };
        change(&mut config);
        let server = Server::new(config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            server.run(listener, std::future::pending()).await.unwrap();
        });
        Self { address, secret, folder, _task: AbortOnDropHandle::new(task) }
    }

    /// Where its files are.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub(crate) async fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        Client::login(stream, &[Login::Token(self.secret.clone())], client::Config::default()).await.unwrap()
    }
}

/// A server that serves one end of a pipe; the other end.
pub(crate) fn piped(root: &Path) -> tokio::io::DuplexStream {
    let config = Config { roots: vec![Root::new("/", dir(root))], limits: limits(), ..Config::default() };
    let server = Server::new(config).unwrap();
    let (here, there) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move { server.serve(there, server::Peer::Trusted("bus:host".into())).await });
    here
}
