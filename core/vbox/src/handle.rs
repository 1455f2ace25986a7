//! The handle: what the rest of the project sees of VirtualBox. Everything is done on VirtualBox's own thread; here it
//! is sent there, and waited for.

mod machines;
mod networks;
mod settings;

use crate::com::Com;
use crate::error::Error;
use crate::install;
use crate::model::{Event, Reporter, Version};
use crate::step::{Step, Task};
use crate::thread::{Request, Worker};
use crate::work;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, oneshot};
use tokio::time::timeout;

/// Events that are kept for those who are slow to take them; beyond, they are told that they missed some.
const EVENTS: usize = 1024;

/// How VirtualBox is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder with VirtualBox's libraries. `None`: the one that `VBOX_APP_HOME` names, or one of the usual ones.
    pub folder: Option<PathBuf>,
    /// How long VirtualBox may take to answer a call, or to begin an operation.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { folder: None, timeout: Duration::from_secs(30) }
    }
}

/// A connection to VirtualBox, of which a process has one at a time. Clones are the same connection; it ends with the
/// last of them, or with [`VirtualBox::close`].
///
/// Machines and snapshots are named by name or UUID. A call that is not answered within the timeout fails with
/// [`Error::Deadline`]. An operation with a [`Reporter`] takes the time that it takes once VirtualBox has begun; if
/// its future is dropped, it is cancelled where VirtualBox can.
#[derive(Clone)]
pub struct VirtualBox {
    connection: Arc<Connection>,
}

struct Connection {
    /// `None` after it was closed.
    worker: Mutex<Option<Worker>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
    events: broadcast::Sender<Event>,
    timeout: Duration,
}

impl VirtualBox {
    /// Finds VirtualBox, opens its library, compares it with what this program is made for, and starts its service if
    /// that does not run.
    pub async fn open(settings: Settings) -> Result<Self, Error> {
        let folder = install::find(settings.folder.as_deref())?;
        let (events, _) = broadcast::channel(EVENTS);
        let starting = Worker::start(folder, events.clone());
        let late = |_| Error::Deadline { what: "opening VirtualBox", after: settings.timeout };
        let (worker, ended) = timeout(settings.timeout, starting).await.map_err(late)??;
        let connection = Connection {
            worker: Mutex::new(Some(worker)),
            ended: Mutex::new(Some(ended)),
            events,
            timeout: settings.timeout,
        };
        Ok(Self { connection: Arc::new(connection) })
    }

    /// Ends the connection, and waits until VirtualBox has been given back.
    pub async fn close(&self) {
        drop(lock(&self.connection.worker).take());
        let ended = lock(&self.connection.ended).take();
        if let Some(ended) = ended {
            // It ends with an error if somebody else closes it, too.
            let _ = timeout(self.connection.timeout, ended).await;
        }
    }

    /// Which VirtualBox this is.
    pub async fn version(&self) -> Result<Version, Error> {
        self.call("version", work::list::version).await
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.connection.events.subscribe()
    }

    /// Does something that is over at once.
    async fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Com) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let first = |com: &Com| work(com).map(Step::Done);
        let sent = self.begin(Reporter::none(), first)?;
        self.in_time(what, sent.answered).await?
    }

    /// The same with something that has a name.
    async fn call_on<T: Send + 'static>(
        &self,
        what: &'static str,
        which: &str,
        work: impl FnOnce(&Com, &str) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let which = which.to_owned();
        self.call(what, move |com| work(com, &which)).await
    }

    /// Does something that takes its time.
    async fn operation<T: Send + 'static>(
        &self,
        what: &'static str,
        reporter: Reporter,
        first: impl FnOnce(&Com) -> Result<Step<T>, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let sent = self.begin(reporter, first)?;
        self.in_time(what, sent.begun).await?;
        sent.answered.await.map_err(|_| self.dropped())?
    }

    /// The same with something that has a name.
    async fn operation_on<T: Send + 'static>(
        &self,
        what: &'static str,
        which: &str,
        reporter: Reporter,
        first: impl FnOnce(&Com, &str) -> Result<Step<T>, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let which = which.to_owned();
        self.operation(what, reporter, move |com| first(com, &which)).await
    }

    /// Sends it to VirtualBox's thread.
    fn begin<T: Send + 'static>(
        &self,
        reporter: Reporter,
        first: impl FnOnce(&Com) -> Result<Step<T>, Error> + Send + 'static,
    ) -> Result<Begun<T>, Error> {
        let (begin, begun) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let request: Request = Box::new(move |com| {
            // Nobody waits any more: then it is not begun.
            if answer.is_closed() {
                return None;
            }
            let first = first(com);
            let job = Task::begin(first, reporter, answer, com);
            let _ = begin.send(());
            job
        });
        lock(&self.connection.worker).as_ref().ok_or(Error::Closed)?.send(request)?;
        Ok(Begun { begun, answered })
    }

    async fn in_time<T>(&self, what: &'static str, answer: oneshot::Receiver<T>) -> Result<T, Error> {
        let after = self.connection.timeout;
        let answered = timeout(after, answer).await.map_err(|_| Error::Deadline { what, after })?;
        answered.map_err(|_| self.dropped())
    }

    /// Why a request was dropped without an answer.
    fn dropped(&self) -> Error {
        match *lock(&self.connection.worker) {
            Some(_) => Error::Unreachable,
            None => Error::Closed,
        }
    }
}

impl std::fmt::Debug for VirtualBox {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("VirtualBox").field("timeout", &self.connection.timeout).finish_non_exhaustive()
    }
}

/// Something that VirtualBox's thread was sent.
struct Begun<T> {
    /// Told when it has begun.
    begun: oneshot::Receiver<()>,
    /// Told when it is over.
    answered: oneshot::Receiver<Result<T, Error>>,
}

/// What is locked here is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
