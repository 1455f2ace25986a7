//! The files of this guest that its host may reach: a Chirp server over folders that the configuration names.
//!
//! Two ways lead to it. Over TCP, at the address towards the host and no other, for whoever proves to know the secret that
//! both sides derive from the guest's credential. And through the bus, in streams that only the host can send: where
//! the host cannot reach the guest, or where there is no credential to prove anything by.

use crate::config::{Config, FilesRoot, Listen};
use crate::private;
use bytes::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use sha2::{Digest, Sha256};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use vocable_chirp::server::{self, Limits, Logins, Peer, Root, Server};
use vocable_chirp::{Secret, Stream};
use vocable_protocol::{FILES_SERVICE, FilesFact, Mailbox, files_secret};
use vocable_stomp::client::Client;
use vocable_stomp::{Command as Verb, Frame};
use vocable_streams::{Incoming, Mux, Packet};

/// Who the host is to the server.
const HOST_PEER: &str = "bus:host";

/// Why the files cannot be served as configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    #[error("files: {0}")]
    Server(String),
    #[error("{path}: {source}")]
    Folder { path: PathBuf, source: io::Error },
}

/// Everything that is ready before the guest joins.
pub(crate) struct Files {
    id: String,
    server: Server,
    listener: Option<TcpListener>,
    /// Where relative paths of the host begin.
    home: String,
}

/// What the agent passes on to the task of the streams.
enum BusEvent {
    Packet(Bytes),
    /// The connection is gone, and with it whatever was on its way.
    Disconnected,
}

#[derive(Clone)]
pub(crate) struct FilesHandle(mpsc::UnboundedSender<BusEvent>);

impl FilesHandle {
    /// A packet of a stream has come. The host sends no more of them than it has credit for.
    pub(crate) fn packet(&self, body: Bytes) {
        // After its end nobody is interested.
        let _ = self.0.send(BusEvent::Packet(body));
    }

    /// The connection is gone.
    pub(crate) fn disconnected(&self) {
        let _ = self.0.send(BusEvent::Disconnected);
    }
}

impl Files {
    /// Opens the folders, makes those that are below the state folder, and listens. `ip` is the address towards the host.
    ///
    /// # Errors
    /// [`FilesError`] if a folder is missing. An address that cannot be listened on is a warning: the bus remains.
    pub(crate) async fn open(
        config: &Config,
        id: &str,
        passcode: Option<&str>,
        ip: &str,
    ) -> Result<Self, FilesError> {
        let roots = config.files.roots.iter().map(|root| open_root(&config.state, root));
        let roots = roots.collect::<Result<Vec<_>, _>>()?;
        let home = config.files.roots.iter().find(|root| root.write).or(config.files.roots.first());
        let home = home.map_or_else(|| "/".to_owned(), FilesRoot::place);
        let tokens = passcode.and_then(|passcode| Some((secret(id, passcode)?, HOST_PEER.to_owned())));
        let logins = Logins {
            tokens: tokens.into_iter().collect(),
            addresses: config.files.addresses.clone(),
            ..Logins::default()
        };
        let can_log_in = !(logins.tokens.is_empty() && logins.addresses.is_empty());
        let limits = Limits {
            connections: config.files.max_connections,
            keep_free: config.files.keep_free.bytes(),
            ..Limits::default()
        };
        let server = Server::new(server::Config { roots, logins, limits, ..server::Config::default() })
            .map_err(|error| FilesError::Server(error.to_string()))?;
        let listener = match address(config.files.listen, ip) {
            Some(_) if !can_log_in => {
                info!(guest = id, "files go through the bus only: without a credential nobody could log in");
                None
            }
            Some(address) => listen(address, id).await,
            None => None,
        };
        Ok(Self { id: id.to_owned(), server, listener, home })
    }

    /// What the host is told of it when the guest joins.
    pub(crate) fn fact(&self) -> FilesFact {
        let port = self.listener.as_ref().and_then(|listener| listener.local_addr().ok()).map(|it| it.port());
        FilesFact { home: Some(self.home.clone()), port }
    }

    /// Serves until cancelled. The handle is for what the agent hears.
    pub(crate) fn serve(self, client: Client, stop: CancellationToken) -> (FilesHandle, JoinSet<()>) {
        let (bus, bus_events) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        if let Some(listener) = self.listener {
            let (server, stop) = (self.server.clone(), stop.clone());
            tasks.spawn(async move {
                if let Err(error) = server.run(listener, stop.cancelled_owned()).await {
                    warn!("files are not served over TCP any more: {error}");
                }
            });
        }
        tasks.spawn(streams(self.id, self.server, client, bus_events, stop));
        (FilesHandle(bus), tasks)
    }
}

async fn streams(
    id: String,
    server: Server,
    client: Client,
    mut bus_events: mpsc::UnboundedReceiver<BusEvent>,
    stop: CancellationToken,
) {
    let (mux, mut packets) = match Mux::new(vocable_streams::Limits::default()) {
        Ok(new) => new,
        Err(error) => return warn!(guest = id, "no files through the bus: {error}"),
    };
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(event) = bus_events.recv() => match event {
                BusEvent::Packet(body) => match Packet::decode(body) {
                    Ok(packet) => {
                        if let Some(incoming) = mux.deliver(packet) {
                            begin(&mut sessions, &server, incoming);
                        }
                    }
                    Err(error) => debug!(guest = id, "{error}"),
                },
                BusEvent::Disconnected => mux.clear(),
            },
            Some(packet) = packets.recv() => {
                let frame = Frame::new(Verb::Send)
                    .with("destination", Mailbox::StreamsFromGuest.of(&id))
                    .with_body(packet.encode());
                if let Err(error) = client.send(frame).await {
                    debug!(guest = id, "not sent: {error}");
                }
            }
            Some(_) = sessions.join_next() => {}
            else => return,
        }
    }
}

fn begin(sessions: &mut JoinSet<()>, server: &Server, incoming: Incoming) {
    if incoming.service != FILES_SERVICE {
        // Dropped, it ends; the host learns that nobody is there.
        return debug!("there is no service {:?}", incoming.service);
    }
    let server = server.clone();
    sessions.spawn(async move {
        let served = server.serve(Stream::other(incoming.stream), Peer::Trusted(HOST_PEER.to_owned())).await;
        if let Err(error) = served {
            debug!("a session through the bus ended: {error}");
        }
    });
}

fn secret(id: &str, passcode: &str) -> Option<Secret> {
    let secret = files_secret(id, &Sha256::digest(passcode.trim()).into())?;
    Secret::from_hex(&hex::encode(secret)).ok()
}

fn address(listen: Listen, ip: &str) -> Option<SocketAddr> {
    match listen {
        Listen::Off => None,
        Listen::At(address) => Some(address),
        Listen::Auto => ip.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0)),
    }
}

async fn listen(address: SocketAddr, id: &str) -> Option<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Some(listener),
        Err(error) => {
            warn!(guest = id, "files go through the bus only: {address} cannot be listened on: {error}");
            None
        }
    }
}

fn open_root(state: &Path, root: &FilesRoot) -> Result<Root, FilesError> {
    // A relative path is one below the state folder, and made there.
    let path: PathBuf = state.join(&root.path);
    let failed = |source: io::Error| FilesError::Folder { path: path.clone(), source };
    if root.path.is_relative() {
        private::folder(&path).map_err(failed)?;
    }
    let dir = Dir::open_ambient_dir(&path, ambient_authority()).map_err(failed)?;
    let opened = Root::new(root.place(), dir);
    Ok(if root.write { opened } else { opened.read_only() })
}
