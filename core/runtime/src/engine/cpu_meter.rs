//! How long a call has computed: the time on the processor of whatever thread polls it, and nothing
//! while it waits. Knows neither words nor limits.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time on the processor, in nanoseconds. Shared by the call and by what looks at it from inside.
#[derive(Debug, Default)]
pub(crate) struct CpuMeter {
    /// Until the call was last suspended.
    before: AtomicU64,
    /// What the thread's clock said when the call was last resumed.
    resumed: AtomicU64,
}

impl CpuMeter {
    /// Runs a future and counts the time spent inside it.
    pub(crate) async fn count<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.resumed.store(thread_time(), Ordering::Relaxed);
            let poll = work.as_mut().poll(context);
            self.before.store(self.so_far(), Ordering::Relaxed);
            poll
        })
        .await
    }

    /// How long it has computed. To be asked from inside the future.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.so_far())
    }

    fn so_far(&self) -> u64 {
        let now = thread_time().saturating_sub(self.resumed.load(Ordering::Relaxed));
        self.before.load(Ordering::Relaxed).saturating_add(now)
    }
}

/// The time this thread has had on the processor. The clock is always there on what we build for.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn computing_counts_and_waiting_does_not() {
        let meter = CpuMeter::default();
        let target = Duration::from_millis(20);
        meter
            .count(async {
                tokio::time::sleep(5 * target).await;
                assert!(meter.spent() < target, "waiting cost {:?}", meter.spent());
                while meter.spent() < target {
                    tokio::task::yield_now().await;
                }
            })
            .await;
    }
}
