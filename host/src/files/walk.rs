//! Everything below a folder of a guest, as it is found: a folder first, then what is in it, in the order of the names.
//! Held is only what is still to come of the folders on the way down, and that is bounded.

use super::download::ended;
use super::session::Session;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, FuturesOrdered, StreamExt};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use vocable_api::fault::{Fault, FaultKind};
use vocable_chirp::proto;
use vocable_copy::path::TreePath;
use vocable_copy::tree::{Entry, Item, Kind};

/// Folders that are asked for before their turn. Each may have as much in it as one answer may be long.
const AHEAD: usize = 4;
/// Files and folders of one tree on a guest: more is not listed in one go.
const MAX_ENTRIES: usize = vocable_copy::listing::Limits::GUEST.entries;
/// Entries that wait for whoever takes them.
const WAITING: usize = 64;
/// How long nothing may be asked of a guest: it ends sessions that are idle for a minute.
const IDLE: Duration = Duration::from_secs(20);
/// Bytes of names, and what belongs to them, that may be held.
const MAX_HELD: usize = 64 << 20;
/// What an entry takes beside its name.
const ENTRY: usize = size_of::<proto::Entry>();

/// A walk on its way.
pub(crate) struct Walk {
    session: Session,
    base: Vec<u8>,
    /// Told first.
    top: Option<Entry>,
    folders: Vec<Folder>,
    /// Folders that were asked for and have not had their turn.
    ahead: usize,
    listed: usize,
    held: usize,
}

/// What is still to be listed of a folder.
struct Folder {
    path: TreePath,
    rest: std::vec::IntoIter<proto::Entry>,
    /// Those of its folders that have not been asked for.
    folders: VecDeque<proto::Name>,
    ahead: FuturesOrdered<BoxFuture<'static, Result<Vec<proto::Entry>, Fault>>>,
}

impl Folder {
    fn new(path: TreePath, found: Vec<proto::Entry>) -> Self {
        let is_folder = |entry: &&proto::Entry| entry.kind == proto::Kind::Dir;
        let folders = found.iter().filter(is_folder).map(|entry| entry.name.clone()).collect();
        Self { path, rest: found.into_iter(), folders, ahead: FuturesOrdered::new() }
    }
}

impl Walk {
    /// Begins one.
    pub(crate) async fn begin(session: &Session, base: &[u8]) -> Result<Self, Fault> {
        let mut top = session.look(base).await?.ok_or_else(|| session.missing(base))?;
        if top.kind != Kind::Dir {
            return Err(Fault::new(FaultKind::FileFailed, format!("{} is no folder", session.shown(base))));
        }
        if let Some(exact) = session.exact(base).await {
            top = exact;
        }
        let found = session.found(base).await?;
        let mut walk = Self {
            session: session.clone(),
            base: base.to_vec(),
            top: Some(Entry { path: TreePath::top(), ..top }),
            folders: Vec::new(),
            ahead: 0,
            listed: 0,
            held: 0,
        };
        walk.enter(TreePath::top(), found)?;
        Ok(walk)
    }

    /// What comes next; nothing at the end.
    async fn next(&mut self) -> Result<Option<Entry>, Fault> {
        if let Some(top) = self.top.take() {
            return Ok(Some(top));
        }
        let (path, found) = loop {
            let Some(folder) = self.folders.last_mut() else { return Ok(None) };
            match folder.rest.next() {
                Some(found) => break (folder.path.join(found.name.as_bytes()), found),
                None => drop(self.folders.pop()),
            }
        };
        let path = path.map_err(|error| self.failed(FaultKind::FileFailed, &error.to_string()))?;
        self.held = self.held.saturating_sub(cost(&found));
        self.listed += 1;
        if self.listed > MAX_ENTRIES {
            let text = format!("more than {MAX_ENTRIES} files and folders are not listed in one go");
            return Err(self.failed(FaultKind::TooMany, &text));
        }
        let entry = Session::entry(path, found);
        if entry.kind == Kind::Dir {
            let inner = self.inside(&entry.path).await?;
            self.enter(entry.path.clone(), inner)?;
        }
        Ok(Some(entry))
    }

    /// What is in the next of the folders in the one that is being listed.
    async fn inside(&mut self, path: &TreePath) -> Result<Vec<proto::Entry>, Fault> {
        let Some(folder) = self.folders.last_mut() else { return Ok(Vec::new()) };
        while (self.ahead < AHEAD || folder.ahead.is_empty())
            && let Some(name) = folder.folders.pop_front()
        {
            let Ok(next) = folder.path.join(name.as_bytes()) else { break };
            let (session, next) = (self.session.clone(), next.below(&self.base));
            folder.ahead.push_back(Box::pin(async move { session.found(&next).await }));
            self.ahead += 1;
        }
        self.ahead = self.ahead.saturating_sub(1);
        match folder.ahead.next().await {
            Some(found) => found,
            None => self.session.found(&path.below(&self.base)).await,
        }
    }

    fn enter(&mut self, path: TreePath, found: Vec<proto::Entry>) -> Result<(), Fault> {
        self.held += found.iter().map(cost).sum::<usize>();
        if self.held > MAX_HELD {
            let text = format!(
                "the folders on the way to {} have more than {MAX_HELD} bytes of names, which is the limit of a walk",
                vocable_copy::path::shown(&path)
            );
            return Err(self.failed(FaultKind::TooMany, &text));
        }
        self.folders.push(Folder::new(path, found));
        Ok(())
    }

    fn failed(&self, kind: FaultKind, text: &str) -> Fault {
        Fault::new(kind, format!("{}: {text}", self.session.shown(&self.base)))
    }

    /// All of it, one after the other, and `done`; where it ends early the last item says why. Whoever takes it may take
    /// his time: the guest hears of this session meanwhile, and does not take it for an idle one.
    pub(crate) fn into_items(self) -> BoxStream<'static, Item> {
        let (sender, found) = mpsc::channel(WAITING);
        let task = AbortOnDropHandle::new(tokio::spawn(self.send_all(sender)));
        stream::unfold((found, task), |(mut found, task)| async move {
            let next = found.recv().await?;
            Some((next, (found, task)))
        })
        .boxed()
    }

    async fn send_all(mut self, to: mpsc::Sender<Item>) {
        loop {
            let next = match self.next().await {
                Ok(next) => next.map_or(Item::Done, Item::Entry),
                Err(fault) => ended(fault),
            };
            let room = loop {
                match timeout(IDLE, to.reserve()).await {
                    Ok(room) => break room,
                    // If the session is gone, the next listing says so.
                    Err(_) => drop(self.session.client().whoami().await),
                }
            };
            let (Ok(room), is_last) = (room, !matches!(next, Item::Entry(_))) else { return };
            room.send(next);
            if is_last {
                return;
            }
        }
    }
}

fn cost(entry: &proto::Entry) -> usize {
    ENTRY + entry.name.as_bytes().len() + entry.target.as_ref().map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cap_std::fs::Dir;
    use std::fs;
    use vocable_chirp::Stream;
    use vocable_chirp::client::{Client, Config, Login};
    use vocable_chirp::server::{self, Limits, Peer, Root, Server};
    use vocable_copy::local::LocalTree;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_walk_tells_the_tree_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..60_u32 {
            let inner = folder.path().join(format!("d/{}/{}/{n}", n % 7, n % 4));
            fs::create_dir_all(&inner).unwrap();
            fs::write(inner.join("f"), "x").unwrap();
            fs::write(folder.path().join(format!("d/{}/{n}.f", n % 7)), "").unwrap();
        }
        std::os::unix::fs::symlink("0", folder.path().join("d/link")).unwrap();
        let root = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).unwrap();
        let config = server::Config {
            roots: vec![Root::new("/", root)],
            limits: Limits { keep_free: 0, ..Limits::default() },
            ..server::Config::default()
        };
        let server = Server::new(config).unwrap();
        let (here, there) = tokio::io::duplex(64 << 10);
        let serving = tokio::spawn(async move {
            server.serve(Stream::other(there), Peer::Trusted("bus:host".into())).await
        });
        let client = Client::login(Stream::other(here), &[Login::Trusted], Config::default()).await.unwrap();
        let session = Session::new(client, "vm1", None);
        let walk = Walk::begin(&session, b"/d").await.unwrap();
        let walked: Vec<_> = walk.into_items().collect().await;
        let listed = LocalTree::open(&folder.path().join("d")).unwrap().list(&|_| false).unwrap();
        assert_eq!(walked, listed.entries().map(Item::Entry).chain([Item::Done]).collect::<Vec<_>>());
        let missing = Walk::begin(&session, b"/none").await.err().unwrap();
        assert_eq!(missing.kind, FaultKind::NoSuchPath);
        drop(session);
        serving.await.unwrap().unwrap();
    }
}
