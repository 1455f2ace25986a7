//! The clock by which computing words are interrupted: every ten milliseconds the engine's epoch goes
//! on, as long as a call is under way. With none, the thread sleeps: an idle agent uses no processor.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often a computing word is looked at.
const TICK: Duration = Duration::from_millis(10);

/// The thread, and whether it has anything to do. Ends when dropped.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    calls: AtomicUsize,
    over: AtomicBool,
}

/// As long as this lives, the clock ticks.
pub(crate) struct Ticking<'a>(&'a Ticker);

impl Ticker {
    pub(crate) fn start(engine: wasmtime::Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let its = shared.clone();
        let thread =
            thread::Builder::new().name("word-clock".to_owned()).spawn(move || tick(&its, &engine))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// A call is under way.
    pub(crate) fn tick(&self) -> Ticking<'_> {
        if self.shared.calls.fetch_add(1, Ordering::SeqCst) == 0 {
            self.wake();
        }
        Ticking(self)
    }

    fn wake(&self) {
        self.thread.iter().for_each(|thread| thread.thread().unpark());
    }
}

/// Sleeping is not parking: a call that begins while the thread sleeps must not make it tick early.
fn tick(shared: &Shared, engine: &wasmtime::Engine) {
    while !shared.over.load(Ordering::SeqCst) {
        if shared.calls.load(Ordering::SeqCst) == 0 {
            thread::park();
        } else {
            thread::sleep(TICK);
            engine.increment_epoch();
        }
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.shared.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.wake();
        // At most one tick away.
        self.thread.take().map(JoinHandle::join);
    }
}
