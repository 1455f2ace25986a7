//! Work that is done beside the agent's loop: how long it computes, what happens when that is too long for the agent's own
//! thread, and when it panics.

use crate::agent::turns::{LONG, Length};
use crate::panics::caught;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// All of it.
pub(super) struct Work<T> {
    running: FuturesUnordered<BoxFuture<'static, Option<Worked<T>>>>,
    stop: CancellationToken,
    /// Held by what computes on another thread while it does: all of that together takes one processor and no more, and
    /// what waits there takes none.
    computing: Arc<Mutex<()>>,
}

pub(super) enum Worked<T> {
    /// It is done, after so much time spent in it.
    Done(T, Duration),
    /// It takes too long for the agent's thread, and goes on elsewhere.
    GoesOn(Metered<T>),
}

/// Work on the agent's thread, with the time that was spent in it.
pub(super) struct Metered<T> {
    /// The guest whose message is heard, if it is that.
    pub(super) guest: Option<String>,
    work: Option<BoxFuture<'static, T>>,
    spent: Duration,
}

impl<T: Send + 'static> Work<T> {
    /// None yet. Work on other threads ends when the agent stops.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { running: FuturesUnordered::new(), stop, computing: Arc::default() }
    }

    pub(super) fn push(&self, work: BoxFuture<'static, T>) {
        self.begin(Metered { guest: None, work: Some(work), spent: Duration::ZERO });
    }

    pub(super) fn hear(&self, guest: String, length: Length, work: BoxFuture<'static, T>) {
        let work = Metered { guest: Some(guest), work: Some(work), spent: Duration::ZERO };
        match length {
            Length::Short => self.begin(work),
            Length::Long => self.elsewhere(work),
        }
    }

    fn begin(&self, work: Metered<T>) {
        self.add(work.map(Some));
    }

    /// Goes on with something on another thread.
    pub(super) fn elsewhere(&self, work: Metered<T>) {
        self.add(elsewhere(work, self.stop.clone(), self.computing.clone()));
    }

    fn add(&self, work: impl Future<Output = Option<Worked<T>>> + Send + 'static) {
        // What matters to somebody is caught where it is begun; a panic is never to reach the loop.
        self.running.push(async { caught("work of the agent", work).await.ok().flatten() }.boxed());
    }

    /// The next thing that comes out; none while there is nothing to do. Nothing is lost if this is not waited for to
    /// its end.
    pub(super) async fn next(&mut self) -> Option<Worked<T>> {
        loop {
            // What was ended, because the agent stops or by a panic, has nothing to tell.
            if let Some(worked) = self.running.next().await? {
                return Some(worked);
            }
        }
    }
}

impl<T> Future for Metered<T> {
    type Output = Worked<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Once it goes on elsewhere, nobody polls it here.
        let Some(work) = &mut self.work else { return Poll::Pending };
        let begun = Instant::now();
        let poll = work.as_mut().poll(context);
        self.spent += begun.elapsed();
        let spent = self.spent;
        match poll {
            Poll::Ready(done) => Poll::Ready(Worked::Done(done, spent)),
            Poll::Pending if spent >= LONG => {
                let (guest, work) = (self.guest.take(), self.work.take());
                Poll::Ready(Worked::GoesOn(Self { guest, work, spent }))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Does work on another thread, to its end or until the agent stops.
async fn elsewhere<T: Send + 'static>(
    work: Metered<T>,
    stop: CancellationToken,
    computing: Arc<Mutex<()>>,
) -> Option<Worked<T>> {
    let runtime = tokio::runtime::Handle::current();
    let Metered { work, mut spent, .. } = work;
    let mut work = work?;
    let thread = tokio::task::spawn_blocking(move || {
        runtime.block_on(stop.run_until_cancelled(std::future::poll_fn(|context| {
            // A word that computes is interrupted every ten milliseconds: nobody waits here for long.
            let _turn = computing.lock().unwrap_or_else(PoisonError::into_inner);
            let begun = Instant::now();
            let poll = work.as_mut().poll(context);
            spent += begun.elapsed();
            poll.map(|done| Worked::Done(done, spent))
        })))
    });
    thread.await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work<T: Send + 'static>(stop: &CancellationToken) -> Work<T> {
        Work::new(stop.clone())
    }

    #[tokio::test]
    async fn what_computes_for_long_goes_on_elsewhere_and_comes_to_its_end() {
        let here = std::thread::current().id();
        let mut work = work(&CancellationToken::new());
        let long = async {
            let begun = Instant::now();
            while begun.elapsed() < 3 * LONG {
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
            // A timer works there as it does here.
            tokio::time::sleep(Duration::from_millis(1)).await;
            std::thread::current().id()
        };
        work.hear("vm1".to_owned(), Length::Short, long.boxed());
        let Some(Worked::GoesOn(rest)) = work.next().await else { panic!("it was done here") };
        assert_eq!(rest.guest.as_deref(), Some("vm1"));
        work.elsewhere(rest);
        let Some(Worked::Done(there, spent)) = work.next().await else { panic!("it was not done") };
        assert!(there != here && spent >= 3 * LONG);
    }

    #[tokio::test]
    async fn what_waits_stays_here_and_what_is_elsewhere_ends_with_the_agent() {
        let stop = CancellationToken::new();
        let mut work = work(&stop);
        work.push(tokio::time::sleep(5 * LONG).boxed());
        assert!(matches!(work.next().await, Some(Worked::Done((), spent)) if spent < LONG));
        work.hear("vm1".to_owned(), Length::Long, std::future::pending().boxed());
        stop.cancel();
        assert!(work.next().await.is_none());
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_it_was_in() {
        let mut work = work(&CancellationToken::new());
        work.push(std::future::ready("nobody catches it").map(|text| -> u8 { panic!("{text}") }).boxed());
        work.push(std::future::ready(7).boxed());
        assert!(matches!(work.next().await, Some(Worked::Done(7, _))));
    }
}
