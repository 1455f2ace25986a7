//! What becomes of a mistake of ours that panics: it is logged with its place, counted, and ends only what it happened in.
//! Whoever catches one tells by its number where to look.

use futures_util::FutureExt as _;
use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use vocable_api::fault::{Fault, FaultKind};

/// Panics of this process since [`watch`].
static SEEN: AtomicU64 = AtomicU64::new(0);

/// Whether a panic that nobody catches ends the process.
static ALONE_ENDS: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The number of the panic that this thread is unwinding from; 0 is none.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// Counts and logs the panics of this process from now on.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            note(info);
            before(info);
            if ALONE_ENDS.load(Ordering::Relaxed) && !is_caught(thread::current().name()) {
                process::abort();
            }
        }));
    });
}

/// From now on the process ends by a panic on a thread where nobody catches one: what waits for that thread would wait
/// for ever, and whoever started the agent starts it again.
pub(crate) fn end_where_nobody_catches() {
    watch();
    ALONE_ENDS.store(true, Ordering::Relaxed);
}

/// Whether panics of a thread of that name are caught: requests and tasks are done by the first thread, and what blocks
/// by tokio's. Threads of our own have names of their own.
fn is_caught(thread: Option<&str>) -> bool {
    thread.is_some_and(|name| name == "main" || name.starts_with("tokio-"))
}

fn note(info: &PanicHookInfo<'_>) {
    let number = SEEN.fetch_add(1, Ordering::Relaxed) + 1;
    NUMBER.set(number);
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(panic = number, place, "panicked: {}", text(info.payload()));
}

pub(crate) fn count() -> u64 {
    SEEN.load(Ordering::Relaxed)
}

/// What comes of it; if that is a panic, a fault which tells its number. What the future changed half-way is left so:
/// it must own nothing that others go on with, or put it right when dropped.
///
/// # Errors
/// [`FaultKind::Internal`] for a panic.
pub(crate) async fn caught<T>(what: &str, future: impl Future<Output = T>) -> Result<T, Fault> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|panic| fault(what, &*panic))
}

/// What a caller is told of a panic that was caught.
pub(crate) fn fault(what: &str, panic: &(dyn Any + Send)) -> Fault {
    // One that was relayed from another thread has its number there: the newest will be it, or close.
    let number = match NUMBER.replace(0) {
        0 => count(),
        number => number,
    };
    tracing::error!(panic = number, "{what} ended with a panic: {}", text(panic));
    Fault::new(
        FaultKind::Internal,
        format!("{what} failed by a mistake in the host agent; its log says more: panic={number}"),
    )
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let fixed = payload.downcast_ref::<&str>().copied();
    fixed.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_and_what_blocks_are_caught_and_threads_of_our_own_are_not() {
        let name = || thread::current().name().map(str::to_owned);
        assert!(is_caught(tokio::task::spawn_blocking(name).await.unwrap().as_deref()));
        assert!(is_caught(Some("main")));
        for thread in [Some("store"), Some("word-clock"), None] {
            assert!(!is_caught(thread), "{thread:?}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_counted_and_becomes_a_fault_that_names_it() {
        watch();
        let before = count();
        let fault = caught("echo", async { panic!("secret: {}", 1) }).await.unwrap_err();
        assert!(count() > before);
        assert_eq!(fault.kind, FaultKind::Internal);
        assert!(
            fault
                .message
                .starts_with("echo failed by a mistake in the host agent; its log says more: panic=")
        );
        assert!(!fault.message.contains("secret") && !fault.message.ends_with("=0"), "{fault}");
        assert_eq!(caught("echo", async { 7 }).await, Ok(7));
    }
}
