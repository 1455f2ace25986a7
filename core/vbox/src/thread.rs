//! The one thread that owns VirtualBox's objects. It does what it is sent, steps through what takes its time, and runs
//! VirtualBox's event queue meanwhile, from which a new request wakes it.

use crate::com::Com;
use crate::error::Error;
use crate::events::{self, Ask, Listener, Ready};
use crate::model::Event;
use crate::step::Job;
use crate::xpcom::{Library, Woken};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;
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

/// How long the thread of the events may take to end.
const LEAVING: Duration = Duration::from_secs(10);

/// Something to do on the thread. Gives a job if it is not over at once.
pub(crate) type Request = Box<dyn FnOnce(&Com) -> Option<Box<dyn Job>> + Send>;

/// What the thread is sent.
enum Message {
    /// Do this.
    Do(Request),
    /// Finish, without what is still under way.
    End,
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

    /// Sends a request.
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
        .spawn(move || live(&queue))
        .map_err(|error| Error::Invalid { what: "a thread for VirtualBox", reason: error.to_string() })?;
    // Nobody else is here: `OPEN` is ours.
    Ok(THREAD.get_or_init(|| starts))
}

/// The thread's life: one connection after the other.
fn live(queue: &Receiver<Start>) {
    let mut loaded: Option<&'static Library> = None;
    for Start { folder, events, ready, end } in queue {
        match load(&mut loaded, &folder).and_then(|library| Ok((Com::new(library)?, library))) {
            Ok((com, library)) => connect(com, library, events, ready),
            Err(error) => {
                OPEN.store(false, Ordering::Release);
                // Whoever opened it may not wait any more.
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

/// Serves a connection until its end, and gives VirtualBox back.
fn connect(
    com: Com,
    library: &'static Library,
    events: broadcast::Sender<Event>,
    ready: oneshot::Sender<Result<Sending, Error>>,
) {
    let (messages, queue) = channel();
    let sending = Sending { messages, library };
    let (alive, ended) = channel();
    match Listener::start(library, ask(sending.clone()), events, tell(sending, ready), alive) {
        Ok(listener) => {
            serve(&com, &queue);
            drop(listener);
        }
        Err(error) => tracing::error!("{error}"),
    }
    match ended.recv_timeout(LEAVING) {
        // It holds objects and cannot be stopped: VirtualBox has to stay as it is.
        Err(RecvTimeoutError::Timeout) => {
            tracing::error!(
                "VirtualBox does not let go of a thread: it cannot be opened again in this process"
            );
            std::mem::forget(com);
        }
        _ => {
            drop(com);
            OPEN.store(false, Ordering::Release);
        }
    }
}

/// Tells whoever opens VirtualBox that it is open, or ends if that is not so or nobody waits for it any more.
fn tell(sending: Sending, ready: oneshot::Sender<Result<Sending, Error>>) -> Ready {
    Box::new(move |result| {
        let end = sending.clone();
        let failed = result.is_err();
        let told = ready.send(result.map(|()| sending));
        if failed || told.is_err() {
            // It may have ended by itself.
            let _ = end.send(Message::End);
        }
    })
}

/// How the thread of the events asks this one.
fn ask(sending: Sending) -> Ask {
    Box::new(move |answer| {
        let request = move |com: &Com| {
            let source = events::source(com);
            if source.is_err() {
                com.forget();
            }
            // It may have ended.
            let _ = answer.send(source);
            None
        };
        sending.send(Message::Do(Box::new(request))).is_ok()
    })
}

/// Until the end.
fn serve(com: &Com, queue: &Receiver<Message>) {
    let mut jobs: Vec<Box<dyn Job>> = Vec::new();
    loop {
        loop {
            match queue.try_recv() {
                Ok(Message::Do(request)) => jobs.extend(request(com)),
                Ok(Message::End) | Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => break,
            }
        }
        jobs.retain_mut(|job| !job.step(com));
        let most = if jobs.is_empty() { IDLE } else { BUSY };
        if com.process_events(most) == Woken::Broken {
            std::thread::sleep(WITHOUT_QUEUE);
        }
    }
}
