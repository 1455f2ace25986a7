//! The one thread that owns VirtualBox's objects. It does what it is sent, steps through what takes its time, and runs
//! VirtualBox's event queue meanwhile, from which a new request wakes it.

use crate::com::Com;
use crate::error::Error;
use crate::events::{Listener, Ready};
use crate::model::Event;
use crate::step::Job;
use crate::xpcom::{Library, Woken};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, oneshot};

/// How long the event queue is waited for when nothing is under way. Requests wake it.
const IDLE: Duration = Duration::from_secs(60);

/// How often VirtualBox is asked how far it is, while something is under way. Percents are only to be had by asking.
const BUSY: Duration = Duration::from_millis(50);

/// How often requests are looked for if the event queue should not work.
const WITHOUT_QUEUE: Duration = Duration::from_millis(20);

/// VirtualBox can be initialised once in a process at a time.
static OPEN: AtomicBool = AtomicBool::new(false);

/// The thread, once it has been started: VirtualBox takes the thread that loads its library for the main one, and can
/// be initialised on no other. So it stays for the rest of the process's life, idle when nothing is open.
static THREAD: OnceLock<Sender<Start>> = OnceLock::new();

/// How long to wait before VBoxSVC is looked for again when it could not be started.
const RETRY: Duration = Duration::from_millis(500);

/// How long the thread of the events may take to end.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Something to do on the thread. Gives a job if it is not over at once.
pub(crate) type Request = Box<dyn FnOnce(&Com) -> Option<Box<dyn Job>> + Send>;

/// What the thread is sent.
enum Message {
    Do(Request),
    /// Finish, without what is still under way.
    End,
    /// VBoxSVC has gone: start over.
    Lost,
}

/// The way to the thread.
#[derive(Clone)]
struct Sending {
    messages: Sender<Message>,
    library: &'static Library,
}

impl Sending {
    fn send(&self, message: Message) -> Result<(), Error> {
        self.messages.send(message).map_err(|_| Error::Closed)?;
        self.library.wake();
        Ok(())
    }
}

/// What the thread needs to begin.
struct Start {
    folder: PathBuf,
    events: broadcast::Sender<Event>,
    /// Told the way to it when VirtualBox is initialised, or why it is not.
    ready: oneshot::Sender<Result<Sending, Error>>,
    /// Told when VirtualBox has been given back.
    end: oneshot::Sender<()>,
}

/// The connection that the thread serves. It ends when this is dropped.
pub(crate) struct Worker {
    sending: Sending,
}

impl Worker {
    /// Loads VirtualBox's library, if that has not been done, and initialises VirtualBox. The second is told when
    /// that has been given back.
    pub(crate) async fn start(
        folder: PathBuf,
        events: broadcast::Sender<Event>,
    ) -> Result<(Self, oneshot::Receiver<()>), Error> {
        if OPEN.swap(true, Ordering::AcqRel) {
            return Err(Error::AlreadyOpen);
        }
        let (ready, is_ready) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let start = Start { folder, events, ready, end };
        if let Err(error) = thread().and_then(|thread| thread.send(start).map_err(|_| Error::Closed)) {
            OPEN.store(false, Ordering::Release);
            return Err(error);
        }
        let sending = is_ready.await.map_err(|_| Error::Closed)??;
        Ok((Self { sending }, ended))
    }

    pub(crate) fn send(&self, request: Request) -> Result<(), Error> {
        self.sending.send(Message::Do(request))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.sending.send(Message::End);
    }
}

/// The way to the thread, which is started if there is none yet.
fn thread() -> Result<&'static Sender<Start>, Error> {
    if let Some(thread) = THREAD.get() {
        return Ok(thread);
    }
    let (starts, queue) = channel();
    let thread = std::thread::Builder::new().name("virtualbox".to_owned());
    thread
        .spawn(move || run(&queue))
        .map_err(|error| Error::Invalid { what: "a thread for VirtualBox", reason: error.to_string() })?;
    // Nobody else is here: `OPEN` is ours.
    Ok(THREAD.get_or_init(|| starts))
}

/// The thread's life: one connection after the other.
fn run(queue: &Receiver<Start>) {
    let mut loaded: Option<&'static Library> = None;
    for Start { folder, events, ready, end } in queue {
        match load(&mut loaded, &folder) {
            Ok(library) => {
                let (messages, queue) = channel();
                let sending = Sending { messages, library };
                let connection = Connection { sending, queue, events };
                connection.run(Some(ready));
            }
            Err(error) => {
                OPEN.store(false, Ordering::Release);
                // Whoever opens it may not wait any more.
                let _ = ready.send(Err(error));
            }
        }
        let _ = end.send(());
    }
}

/// The library, which can be loaded once.
fn load(loaded: &mut Option<&'static Library>, folder: &Path) -> Result<&'static Library, Error> {
    match *loaded {
        None => Ok(*loaded.insert(Library::open(folder)?)),
        Some(library) if library.folder == folder => Ok(library),
        Some(library) => {
            let reason = format!("this process has loaded the one in {}", library.folder.display());
            Err(Error::Library { path: folder.to_owned(), reason })
        }
    }
}

/// What is served until somebody closes it, by one VBoxSVC after the other.
struct Connection {
    sending: Sending,
    queue: Receiver<Message>,
    events: broadcast::Sender<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Somebody closed it.
    Closed,
    /// VBoxSVC has gone.
    Lost,
    /// A thread cannot be stopped: VirtualBox has to stay as it is.
    Stuck,
}

impl Connection {
    fn run(mut self, mut ready: Option<oneshot::Sender<Result<Sending, Error>>>) {
        loop {
            let ending = match Com::new(self.sending.library) {
                Ok(com) => self.serve_until_lost(com, ready.take()),
                Err(error) => match ready.take() {
                    Some(ready) => {
                        let _ = ready.send(Err(error));
                        Ending::Closed
                    }
                    None => {
                        tracing::debug!("VirtualBox cannot be reached: {error}");
                        self.pause()
                    }
                },
            };
            match ending {
                Ending::Lost => {}
                Ending::Closed => return OPEN.store(false, Ordering::Release),
                Ending::Stuck => {
                    return tracing::error!(
                        "a thread does not let go of VirtualBox: it stays open in this process"
                    );
                }
            }
        }
    }

    /// Serves by the VBoxSVC of that client, and gives the client back.
    fn serve_until_lost(
        &mut self,
        com: Com,
        opening: Option<oneshot::Sender<Result<Sending, Error>>>,
    ) -> Ending {
        let (alive, ended) = channel();
        let lost = self.sending.clone();
        let lost = Box::new(move || drop(lost.send(Message::Lost)));
        let is_opening = opening.is_some();
        let ready = match opening {
            Some(opening) => notify_opener(self.sending.clone(), opening),
            None => notify_listeners(self.sending.clone(), self.events.clone()),
        };
        let events = self.events.clone();
        let (listener, ending) = match Listener::start(&com, events, ready, lost, alive) {
            Ok(listener) => (Some(listener), self.serve(&com)),
            Err(_) if is_opening => (None, Ending::Closed),
            Err(error) => {
                tracing::debug!("VirtualBox cannot be reached: {error}");
                (None, self.pause())
            }
        };
        drop(listener);
        if let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(EXIT_TIMEOUT) {
            // It holds objects.
            std::mem::forget(com);
            return Ending::Stuck;
        }
        ending
    }

    /// Waits a little before VBoxSVC is looked for again. Whoever asks for something meanwhile learns that there is none,
    /// because the request is dropped.
    fn pause(&mut self) -> Ending {
        let until = Instant::now() + RETRY;
        loop {
            match self.queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Do(_) | Message::Lost) => {}
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return Ending::Closed,
                Err(RecvTimeoutError::Timeout) => return Ending::Lost,
            }
        }
    }

    fn serve(&mut self, com: &Com) -> Ending {
        let mut jobs: Vec<Box<dyn Job>> = Vec::new();
        loop {
            loop {
                match self.queue.try_recv() {
                    Ok(Message::Do(request)) => jobs.extend(request(com)),
                    Ok(Message::End) | Err(TryRecvError::Disconnected) => return Ending::Closed,
                    Ok(Message::Lost) => com.mark_lost(),
                    Err(TryRecvError::Empty) => break,
                }
            }
            // When VBoxSVC has gone each of them learns so in this step.
            jobs.retain_mut(|job| !job.step(com));
            if com.is_lost() {
                let _ = self.events.send(Event::Available(false));
                return Ending::Lost;
            }
            let most = if jobs.is_empty() { IDLE } else { BUSY };
            if com.process_events(most) == Woken::Broken {
                std::thread::sleep(WITHOUT_QUEUE);
            }
        }
    }
}

/// Tells whoever opens VirtualBox that it is open, or ends if that is not so or nobody waits for it any more.
fn notify_opener(sending: Sending, opening: oneshot::Sender<Result<Sending, Error>>) -> Ready {
    Box::new(move |result| {
        let end = sending.clone();
        let failed = result.is_err();
        let told = opening.send(result.map(|()| sending));
        if failed || told.is_err() {
            let _ = end.send(Message::End);
        }
    })
}

/// Tells those who listen that VBoxSVC is there again.
fn notify_listeners(sending: Sending, events: broadcast::Sender<Event>) -> Ready {
    Box::new(move |result| match result {
        // Nobody may be listening.
        Ok(()) => drop(events.send(Event::Available(true))),
        Err(error) => {
            tracing::debug!("no events from VirtualBox: {error}");
            let _ = sending.send(Message::Lost);
        }
    })
}
