//! Files to guests and back: who is reached how, what is done in one go, and the transfers that take longer.
//!
//! In reading order: [`route`], [`session`] and [`walk`] (how guests are reached and listed), [`upload`] and [`download`]
//! (trees to and from a guest), [`remote`] (a guest's files for the copy engine, `vocable_copy`), and [`transfers`] (copies
//! the agent makes by itself). The command line uses the same engine on its side of the endpoint, so that the agent reads
//! no file on behalf of somebody who may not.

pub(crate) mod download;
mod read;
pub(crate) mod route;
pub(crate) mod session;
pub(crate) mod transfers;
pub(crate) mod upload;
pub(crate) mod walk;

mod remote;

use crate::agent::handle::Handle;
use crate::agent::request::Request;
use crate::agent::roster::Guest;
use crate::agent::streams::Streams;
use crate::credentials::Credentials;
use route::Route;
use session::Session;
use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use vocable_api::clock::age;
use vocable_api::fault::{Fault, FaultKind};
use vocable_chirp::client::{self, Client, Login};
use vocable_chirp::{Secret, Stream};
use vocable_protocol::{FILES_SERVICE, files_secret};
use vocable_xmlrpc::excerpt;

/// How long a guest may take to accept a connection before the bus is taken instead.
const DIALLING: Duration = Duration::from_secs(2);
/// How long it may take to let us in.
const LOGGING_IN: Duration = Duration::from_secs(20);
/// How long a way that did not work is not tried again, unless the guest joins anew.
const GIVEN_UP: Duration = Duration::from_secs(60);
/// A session that was used so recently is used again without asking whether it lives.
const FRESH: Duration = Duration::from_secs(1);
/// Sessions with one guest at a time, beside the one for what is done in one go.
const SESSIONS: usize = 4;
/// Bytes of one folder's listing: more than a hundred thousand names of usual length.
const LISTING: usize = 24 << 20;

/// The files of all guests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Files(Arc<Inner>);

struct Inner {
    handle: Handle,
    credentials: Credentials,
    streams: Streams,
    roots: Vec<PathBuf>,
    // A lock and not a task: nobody holds it for longer than a look-up.
    guests: Mutex<HashMap<String, Known>>,
}

/// How a guest's files are reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Way {
    /// In words.
    pub(crate) text: String,
    /// Whether it works, as far as is known.
    pub(crate) works: bool,
}

impl Way {
    /// The one that was taken last, or that would be; unless none has worked since some time.
    fn of(
        broken: Option<&(Instant, String)>,
        taken: Option<&Route>,
        planned: impl FnOnce() -> Route,
        now: Instant,
    ) -> Self {
        match (broken, taken) {
            (Some((when, why)), _) => {
                let ago = age(now.saturating_duration_since(*when));
                Self { text: format!("failed {ago} ago: {why}"), works: false }
            }
            (None, Some(route)) => Self { text: route.to_string(), works: true },
            (None, None) => Self { text: planned().to_string(), works: true },
        }
    }
}

/// What is known about reaching a guest.
struct Known {
    /// Of which of its connections to the broker that is true.
    since: Option<OffsetDateTime>,
    route: Option<Route>,
    /// When a direct way did not work, and why.
    failed: Option<(Instant, String)>,
    /// When no way worked, and why, unless one has worked since.
    broken: Option<(Instant, String)>,
    /// For what is done in one go.
    shared: Option<(Session, Instant)>,
    places: Arc<Semaphore>,
}

impl Files {
    /// The files of the agent at the end of that handle. Only below `roots` does it touch this machine's files.
    pub(crate) fn new(
        handle: Handle,
        credentials: Credentials,
        streams: Streams,
        roots: Vec<PathBuf>,
    ) -> Self {
        Self(Arc::new(Inner { handle, credentials, streams, roots, guests: Mutex::default() }))
    }

    fn guests(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A guest that is there, with its id. Whoever asks may name it by its machine.
    async fn guest(&self, name: &str) -> Result<(String, Guest), Fault> {
        let unknown = || Fault::new(FaultKind::NoSuchGuest, format!("no guest is called {}", excerpt(name)));
        let found = self.0.handle.request(|reply| Request::Guest { name: name.to_owned(), reply }).await?;
        let (id, guest) = found.ok_or_else(unknown)?;
        if guest.state.is_there() {
            return Ok((id, guest));
        }
        let reason = if guest.reason.is_empty() { String::new() } else { format!(": {}", guest.reason) };
        let text = format!("{id} does not answer: {}{reason}", guest.state.as_str());
        Err(Fault::new(FaultKind::GuestOffline, text))
    }

    /// A path of a guest, absolute. `~` stands for the folder where relative paths begin.
    pub(crate) async fn remote(&self, name: &str, path: &[u8]) -> Result<Vec<u8>, Fault> {
        let relative = match path {
            b"~" | b"" => b"".as_slice(),
            path => match path.strip_prefix(b"~/") {
                Some(rest) => rest,
                None if path.starts_with(b"/") => return Ok(path.to_vec()),
                None => path,
            },
        };
        let (id, guest) = self.guest(name).await?;
        let id = id.as_str();
        let home = offered(id, &guest)?.home;
        let mut absolute = home.trim_end_matches('/').as_bytes().to_vec();
        if !relative.is_empty() || absolute.is_empty() {
            absolute.push(b'/');
            absolute.extend_from_slice(relative);
        }
        Ok(absolute)
    }

    /// A session of one's own, for as long as it is held. There are only so many with each guest: more wait.
    pub(crate) async fn session(&self, name: &str) -> Result<Session, Fault> {
        let (id, guest) = self.guest(name).await?;
        let id = id.as_str();
        let places = self.known(id, &guest, |known| Arc::clone(&known.places));
        let place = places.acquire_owned().await;
        let place = place.map_err(|_| Fault::new(FaultKind::Stopping, "the host agent is stopping"))?;
        Ok(Session::new(self.connect(id, &guest).await?, id, Some(place)))
    }

    /// The session for what is done in one go.
    pub(crate) async fn shared(&self, name: &str) -> Result<Session, Fault> {
        let (id, guest) = self.guest(name).await?;
        let id = id.as_str();
        let found = self.known(id, &guest, |known| known.shared.clone());
        if let Some((session, used)) = found
            && (used.elapsed() < FRESH || session.client().whoami().await.is_ok())
        {
            self.keep(id, &guest, &session);
            return Ok(session);
        }
        let session = Session::new(self.connect(id, &guest).await?, id, None);
        self.keep(id, &guest, &session);
        Ok(session)
    }

    fn keep(&self, id: &str, guest: &Guest, session: &Session) {
        self.known(id, guest, |known| known.shared = Some((session.clone(), Instant::now())));
    }

    /// What is known of a guest, for its present connection to the broker.
    fn known<T>(&self, id: &str, guest: &Guest, with: impl FnOnce(&mut Known) -> T) -> T {
        let since = guest.connection.map(|connection| connection.since);
        let mut guests = self.guests();
        let known = guests.entry(id.to_owned()).or_insert_with(|| Known {
            since,
            route: None,
            failed: None,
            broken: None,
            shared: None,
            places: Arc::new(Semaphore::new(SESSIONS)),
        });
        if known.since != since {
            (known.since, known.route, known.failed) = (since, None, None);
            (known.broken, known.shared) = (None, None);
        }
        with(known)
    }

    /// How a guest is reached, as far as is known.
    pub(crate) async fn way(&self, name: &str) -> Option<Way> {
        let (id, guest) = self.guest(name).await.ok()?;
        let id = id.as_str();
        let Some(offer) = route::offer(&guest) else {
            return Some(Way { text: "its agent offers no files".to_owned(), works: true });
        };
        let planned = || route::route(&guest, &offer, self.0.credentials.digest_of(id).is_some());
        let now = Instant::now();
        Some(
            self.known(id, &guest, |known| {
                Way::of(known.broken.as_ref(), known.route.as_ref(), planned, now)
            }),
        )
    }

    /// A session the way that works, or why none does: that is known from then on, until one does.
    async fn connect(&self, id: &str, guest: &Guest) -> Result<Client, Fault> {
        let connected = self.try_ways(id, guest).await;
        self.known(id, guest, |known| match &connected {
            Ok((_, way)) => (known.route, known.broken) = (Some(way.clone()), None),
            Err(fault) => (known.route, known.broken) = (None, Some((Instant::now(), fault.message.clone()))),
        });
        connected.map(|(client, _)| client)
    }

    async fn try_ways(&self, id: &str, guest: &Guest) -> Result<(Client, Route), Fault> {
        let offer = offered(id, guest)?;
        let digest = self.0.credentials.digest_of(id);
        let mut way = route::route(guest, &offer, digest.is_some());
        if let Some((when, why)) = self.known(id, guest, |known| known.failed.clone())
            && when.elapsed() < GIVEN_UP
        {
            way = Route::Bus(why);
        }
        if let (Route::Direct(address), Some(secret)) = (&way, digest.and_then(|digest| secret(id, &digest)))
        {
            match dial(*address, secret).await {
                Ok(client) => return Ok((client, way)),
                Err(why) => {
                    tracing::info!(guest = id, "files go through the bus: {address}: {why}");
                    let why = format!("{address} was tried: {why}");
                    self.known(id, guest, |known| known.failed = Some((Instant::now(), why.clone())));
                    way = Route::Bus(why);
                }
            }
        }
        let offline = |why: String| {
            let text = format!("{id} cannot be reached: {why} ({way})");
            Fault::new(FaultKind::GuestOffline, text)
        };
        let stream =
            self.0.streams.open(id, FILES_SERVICE).await.map_err(|error| offline(error.to_string()))?;
        let login = Client::login(Stream::other(stream), &[Login::Trusted], limits());
        let client = timeout(LOGGING_IN, login).await;
        let client = client.map_err(|_| offline("it does not answer through the bus".to_owned()))?;
        let client = client.map_err(|error| offline(error.to_string()))?;
        Ok((client, way))
    }

    /// Where a path of this machine is: the folder around it, open, and its name there. Only below the configured roots,
    /// and never through a link.
    pub(crate) fn local(&self, path: &str) -> Result<(cap_std::fs::Dir, OsString), Fault> {
        let path = Path::new(path);
        let denied = || {
            let text = format!(
                "{} is not below one of files.roots of the host agent",
                excerpt(&path.to_string_lossy())
            );
            Fault::new(FaultKind::NotPermitted, text)
        };
        let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !path.is_absolute() || !plain {
            return Err(denied());
        }
        let root = self.0.roots.iter().find(|root| path.starts_with(root) && path != root.as_path());
        let root = root.ok_or_else(denied)?;
        let failed = |error: std::io::Error| {
            let kind = if error.kind() == std::io::ErrorKind::NotFound {
                FaultKind::NoSuchPath
            } else {
                FaultKind::NotPermitted
            };
            Fault::new(kind, format!("{}: {error}", excerpt(&path.to_string_lossy())))
        };
        let mut folder =
            cap_std::fs::Dir::open_ambient_dir(root, cap_std::ambient_authority()).map_err(failed)?;
        let below = path.strip_prefix(root).map_err(|_| denied())?;
        let name = below.file_name().ok_or_else(denied)?.to_owned();
        for part in below.parent().into_iter().flat_map(Path::components) {
            folder = cap_fs_ext::DirExt::open_dir_nofollow(&folder, part.as_os_str()).map_err(failed)?;
        }
        Ok((folder, name))
    }
}

fn offered(id: &str, guest: &Guest) -> Result<route::Offer, Fault> {
    route::offer(guest).ok_or_else(|| {
        Fault::new(
            FaultKind::FileFailed,
            format!("the agent of {id} offers no files; it may be older than this host"),
        )
    })
}

fn secret(id: &str, digest: &[u8; 32]) -> Option<Secret> {
    Secret::from_hex(&hex::encode(files_secret(id, digest)?)).ok()
}

/// What is taken from a guest.
fn limits() -> client::Config {
    client::Config { listing: LISTING, ..client::Config::default() }
}

async fn dial(address: SocketAddr, secret: Secret) -> Result<Client, String> {
    let stream = timeout(DIALLING, TcpStream::connect(address)).await;
    let stream = stream.map_err(|_| format!("no answer within {} s", DIALLING.as_secs()))?;
    let stream = stream.map_err(|error| error.to_string())?;
    let logins = [Login::Token(secret)];
    let login = Client::login(stream, &logins, limits());
    let client = timeout(LOGGING_IN, login).await.map_err(|_| "no answer to the login".to_owned())?;
    client.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_has_just_failed_is_not_told_as_good() {
        let direct = || Route::Direct("192.0.2.7:4242".parse().unwrap());
        let (failed, now) = (Instant::now(), Instant::now() + Duration::from_secs(5));
        let broken = (failed, "vm1 cannot be reached: it does not answer".to_owned());
        let way = Way::of(Some(&broken), Some(&direct()), direct, failed + Duration::from_secs(5));
        assert_eq!(way.text, "failed 5s ago: vm1 cannot be reached: it does not answer");
        assert!(!way.works);
        let way = Way::of(None, None, direct, now);
        assert_eq!((way.text.as_str(), way.works), ("directly, at 192.0.2.7:4242", true));
    }
}
