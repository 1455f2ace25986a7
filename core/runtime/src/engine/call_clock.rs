//! Whose time passes while a call is under way: the word's own, or that of the agent, which lets it wait. Knows neither
//! words nor what they wait for.
//!
//! A disk that takes ten seconds is not the word's doing, nor that of whoever sent the message, and neither is to pay for it.
//! So the clock of a call stands still while it waits for the agent, or for its turn on the processor; and what it
//! waits for has an end of its own.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

#[derive(Debug)]
pub(crate) struct CallClock {
    /// Time it may wait for the agent, over all its functions.
    limit: Duration,
    clocks: Mutex<Clocks>,
}

#[derive(Debug, Default)]
struct Clocks {
    /// Since when the agent lets it wait.
    waits: Option<Instant>,
    /// How long it did before that.
    waited: Duration,
    /// Whether it made room for others when it was last suspended, and is waiting for its turn.
    yielded: bool,
    /// What it waited for in vain.
    timed_out: Option<&'static str>,
}

/// The agent lets a word wait as long as this lives.
struct Waiting<'a>(&'a CallClock);

impl CallClock {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, clocks: Mutex::default() }
    }

    /// Runs a call to its end, or until it has let so much time pass by itself. None: until then.
    pub(crate) async fn within<T>(&self, limit: Duration, call: impl Future<Output = T>) -> Option<T> {
        let mut call = pin!(call);
        let mut alarm = pin!(sleep(limit));
        let mut left = limit;
        let mut idle_since: Option<Instant> = None;
        poll_fn(|context| {
            if let Some(since) = idle_since.take() {
                left = left.saturating_sub(since.elapsed());
            }
            self.clocks().yielded = false;
            if let Poll::Ready(value) = call.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            let now = Instant::now();
            let (waits, yielded) = self.waits_and_yielded();
            idle_since = (!waits && !yielded).then_some(now);
            if waits {
                return Poll::Pending;
            }
            if !yielded && left.is_zero() {
                return Poll::Ready(None);
            }
            // It may have got its turn at once and be idle after all: then the alarm makes sure that this is noticed.
            let pause = if yielded { left.max(MIN_PAUSE) } else { left };
            alarm.as_mut().reset(now.checked_add(pause).unwrap_or(now + FOREVER));
            // What it says is looked at when it wakes this task: an alarm is set anew each time.
            if alarm.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for the agent. None: in vain, for longer than the call may.
    pub(crate) async fn wait<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let left = {
            let mut clocks = self.clocks();
            clocks.waits = Some(Instant::now());
            self.limit.saturating_sub(clocks.waited)
        };
        let _waiting = Waiting(self);
        timeout(left, work).await.ok()
    }

    /// Notes what was waited for in vain; gives the reason.
    pub(crate) fn timed_out(&self, interface: &'static str) -> String {
        self.clocks().timed_out = Some(interface);
        format!("{interface}: the agent is busy, or this takes longer than {:?}", self.limit)
    }

    /// What was waited for in vain.
    pub(crate) fn has_timed_out(&self) -> Option<&'static str> {
        self.clocks().timed_out
    }

    /// The call makes room for others, and goes on when it is its turn again.
    pub(crate) fn yields(&self) {
        self.clocks().yielded = true;
    }

    /// What a call that is suspended is waiting for, if it is not idle.
    fn waits_and_yielded(&self) -> (bool, bool) {
        let clocks = self.clocks();
        (clocks.waits.is_some(), clocks.yielded)
    }

    fn clocks(&self) -> MutexGuard<'_, Clocks> {
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So long at least a call that made room for others is let be.
const MIN_PAUSE: Duration = Duration::from_millis(10);

/// A time beyond the end of time is as good as a century.
const FOREVER: Duration = Duration::from_secs(3_000_000_000);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut clocks = self.0.clocks();
        if let Some(since) = clocks.waits.take() {
            clocks.waited += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_agent_is_not_the_words_time() {
        let clock = CallClock::new(30 * SECOND);
        let call = async {
            for _ in 0..2 {
                sleep(4 * SECOND).await;
                assert_eq!(clock.wait(sleep(14 * SECOND)).await, Some(()));
            }
        };
        let before = Instant::now();
        assert_eq!(clock.within(10 * SECOND, call).await, Some(()));
        assert_eq!(before.elapsed(), 36 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn what_it_lets_pass_by_itself_is_counted_together() {
        let clock = CallClock::new(30 * SECOND);
        let before = Instant::now();
        let call = async {
            sleep(6 * SECOND).await;
            clock.wait(sleep(20 * SECOND)).await;
            pending::<()>().await;
        };
        assert_eq!(clock.within(10 * SECOND, call).await, None);
        assert_eq!(before.elapsed(), 30 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn the_agent_may_take_so_long_and_no_longer_over_all_it_does() {
        let clock = CallClock::new(30 * SECOND);
        let before = Instant::now();
        let call = async {
            assert_eq!(clock.wait(sleep(20 * SECOND)).await, Some(()));
            assert_eq!(clock.wait(sleep(20 * SECOND)).await, None);
            assert_eq!(clock.wait(async {}).await, Some(()), "what needs no time can be had");
            clock.wait(pending::<()>()).await
        };
        assert_eq!(clock.within(10 * SECOND, call).await, Some(None));
        assert_eq!(before.elapsed(), 30 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_turn_is_not_late() {
        let clock = CallClock::new(30 * SECOND);
        let mut turns = 0;
        let call = poll_fn(|context| {
            turns += 1;
            if turns > 3 {
                return Poll::Ready(());
            }
            clock.yields();
            context.waker().wake_by_ref();
            Poll::Pending
        });
        let mut call = pin!(clock.within(10 * SECOND, call));
        // A processor that is busy with others for a minute each time.
        let done = poll_fn(|context| {
            let poll = call.as_mut().poll(context);
            Poll::Ready(poll)
        });
        assert_eq!(done.await, Poll::Pending);
        for _ in 0..2 {
            tokio::time::advance(60 * SECOND).await;
            assert_eq!(poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await, Poll::Pending);
        }
        tokio::time::advance(60 * SECOND).await;
        assert_eq!(call.await, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_yields_and_is_idle_after_that_is_noticed() {
        let clock = CallClock::new(30 * SECOND);
        let mut polls = 0;
        let once = poll_fn(|_| {
            polls += 1;
            // Within one poll, as wasmtime goes on with a call that has yielded.
            if polls == 1 {
                clock.yields();
            }
            Poll::<()>::Pending
        });
        let before = Instant::now();
        assert_eq!(clock.within(10 * SECOND, once).await, None);
        assert_eq!(before.elapsed(), 20 * SECOND);
    }

    #[tokio::test]
    async fn times_beyond_reason_do_no_harm() {
        let clock = CallClock::new(Duration::MAX);
        let call = async {
            tokio::task::yield_now().await;
            clock.wait(tokio::task::yield_now()).await
        };
        assert_eq!(clock.within(Duration::MAX, call).await, Some(Some(())));
    }
}
