//! Work that is done beside the agent's loop: how long it has computed, what happens when that is too long for the
//! agent's own thread, and when it panics.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::error;

/// From here on work is too long for the agent's own thread.
const TOO_LONG: Duration = crate::turns::LONG;

/// Work on the agent's thread, with the time that was spent in it.
pub(super) struct Metered<T> {
    work: Option<BoxFuture<'static, T>>,
    spent: Duration,
}

/// How work on the agent's thread came out.
pub(super) enum Worked<T> {
    /// It is done, after so much time spent in it.
    Done(T, Duration),
    /// It takes too long: it has to go on elsewhere.
    GoesOn(Metered<T>),
}

impl<T: Send + 'static> Metered<T> {
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { work: Some(Box::pin(work)), spent: Duration::ZERO }
    }

    /// Goes on on another thread, to the end or until the agent stops.
    pub(super) async fn elsewhere(self, stop: CancellationToken) -> Option<Worked<T>> {
        let runtime = tokio::runtime::Handle::current();
        let Self { work, mut spent } = self;
        let mut work = work?;
        let thread = tokio::task::spawn_blocking(move || {
            runtime.block_on(stop.run_until_cancelled(std::future::poll_fn(|context| {
                let begun = Instant::now();
                let poll = work.as_mut().poll(context);
                spent += begun.elapsed();
                poll.map(|done| Worked::Done(done, spent))
            })))
        });
        thread.await.ok().flatten()
    }
}

impl<T> Future for Metered<T> {
    type Output = Worked<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Once it has gone on elsewhere, nobody polls it here.
        let Some(work) = &mut self.work else { return Poll::Pending };
        let begun = Instant::now();
        let poll = work.as_mut().poll(context);
        self.spent += begun.elapsed();
        match poll {
            Poll::Ready(done) => Poll::Ready(Worked::Done(done, self.spent)),
            Poll::Pending if self.spent >= TOO_LONG => {
                Poll::Ready(Worked::GoesOn(Self { work: self.work.take(), spent: self.spent }))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A panic in work that was done for somebody: that work is over, and nothing else.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the host agent failed at it: {0}")]
pub(super) struct Panicked(String);

/// Does work for somebody; a panic in it is logged, and ends it only.
pub(super) async fn caught<T>(guest: &str, work: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
        let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
        let text = said.unwrap_or_else(|| "a panic without words".to_owned());
        error!(guest, "panicked: {text}");
        Panicked(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_computes_for_long_goes_on_elsewhere_and_comes_to_its_end() {
        let here = std::thread::current().id();
        let work = Metered::new(async move {
            let begun = Instant::now();
            while begun.elapsed() < 3 * TOO_LONG {
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
            // A timer works there as it does here.
            tokio::time::sleep(Duration::from_millis(1)).await;
            std::thread::current().id()
        });
        let Worked::GoesOn(rest) = work.await else { panic!("it was done here") };
        let Some(Worked::Done(there, spent)) = rest.elsewhere(CancellationToken::new()).await else {
            panic!("it was not done")
        };
        assert!(there != here && spent >= 3 * TOO_LONG);
    }

    #[tokio::test]
    async fn work_that_waits_stays_here_and_work_elsewhere_ends_with_the_agent() {
        let work = Metered::new(tokio::time::sleep(5 * TOO_LONG));
        assert!(matches!(work.await, Worked::Done((), spent) if spent < TOO_LONG));
        let stop = CancellationToken::new();
        let endless = Metered::new(std::future::pending::<()>()).elsewhere(stop.clone());
        stop.cancel();
        assert!(endless.await.is_none());
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_it_was_in() {
        let done = caught("vm1", async { std::future::ready(1).await }).await;
        assert_eq!(done, Ok(1));
        let failed = caught("vm1", async { panic!("no such thing") }).await;
        assert_eq!(failed, Err::<(), _>(Panicked("no such thing".to_owned())));
    }
}
