//! One call of a word: what it may reach, what it may use up, and how it ends. The store of a call lives
//! as long as the call; whatever goes wrong, dropping it is all there is to do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::Engine;
use super::call_clock::CallClock;
use super::cpu_meter::CpuMeter;
use super::stderr_tail::StderrTail;
use crate::capabilities::{Caller, Capabilities, not_of_this_agent};
use crate::contract::Refusal;
use crate::folders::{Folders, MAX_WRITTEN};
use crate::policy::Limits;

/// Elements over all tables of a component. The largest seen had 9,000.
const TABLE_ELEMENTS: usize = 100_000;

/// On whose behalf a call is made, and what it can reach.
pub(crate) struct Scope {
    pub(crate) word: Arc<str>,
    pub(crate) agent: Arc<dyn Capabilities>,
    pub(crate) reach: Arc<BTreeSet<String>>,
    /// The words known here, with their versions.
    pub(crate) known: Arc<Vec<(String, String)>>,
    pub(crate) folders: Arc<Folders>,
    pub(crate) sender: Option<String>,
}

impl Scope {
    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller { word: &self.word, sender: self.sender.as_deref() }
    }
}

pub(crate) struct Call {
    pub(crate) scope: Arc<Scope>,
    pub(crate) quota: Quota,
    memory: Memory,
    guard: Arc<CallGuard>,
    table: ResourceTable,
    wasi: WasiCtx,
}

/// What is left of the things that are counted.
pub(crate) struct Quota {
    pub(crate) messages: u32,
    pub(crate) jobs: u32,
    /// Bytes it may write into files.
    pub(crate) written: u64,
    /// Bytes of log; none once a line did not fit.
    pub(crate) log: Option<usize>,
}

/// What is watched from outside while a call runs.
pub(crate) struct CallGuard {
    cpu: CpuMeter,
    stderr: StderrTail,
    clock: CallClock,
    /// Whether memory was asked for beyond the limit.
    out_of_memory: AtomicBool,
}

/// How a call ended that did not give what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("computed for more than {0:?}")]
    Computed(Duration),
    /// It waited for the agent in vain. No fault of the word.
    #[error("{0}")]
    AgentBusy(String),
    /// Its code was there when it was examined.
    #[error("cannot be loaded any more: {0}")]
    NotLoaded(String),
    #[error("took longer than {0:?}")]
    TooLong(Duration),
    #[error("trapped: {0}")]
    Trapped(String),
}

impl Call {
    pub(crate) fn store(engine: &Engine, scope: Scope, limits: &Limits) -> (Store<Self>, Arc<CallGuard>) {
        let guard = Arc::new(CallGuard {
            cpu: CpuMeter::default(),
            stderr: StderrTail::new(limits.log),
            clock: CallClock::new(limits.wait),
            out_of_memory: AtomicBool::new(false),
        });
        let call = Self {
            scope: Arc::new(scope),
            quota: Quota {
                messages: limits.messages,
                jobs: limits.jobs,
                written: MAX_WRITTEN,
                log: Some(limits.log),
            },
            memory: Memory { limit: limits.memory, used: 0, elements: 0, guard: guard.clone() },
            guard: guard.clone(),
            table: ResourceTable::new(),
            wasi: WasiCtxBuilder::new().stderr(guard.stderr.clone()).build(),
        };
        let mut store = Store::new(engine.wasm(), call);
        store.limiter(|call| &mut call.memory);
        store.set_epoch_deadline(1);
        let compute = limits.compute;
        store.epoch_deadline_callback(move |store| {
            if store.data().guard.cpu.spent() > compute {
                return Err(wasmtime::Error::new(Overrun));
            }
            store.data().guard.clock.yields();
            Ok(UpdateDeadline::Yield(1))
        });
        (store, guard)
    }

    /// Refuses what the word may not call. Imports were checked when it was loaded; this is for what was
    /// not there to be granted then, and it costs nothing.
    pub(crate) fn require(&self, interface: &'static str) -> Result<Reach, Refusal> {
        if !self.scope.reach.contains(interface) {
            return Err(not_of_this_agent(interface));
        }
        Ok(Reach { interface, scope: self.scope.clone(), guard: self.guard.clone() })
    }
}

/// An interface that a word may call.
pub(crate) struct Reach {
    interface: &'static str,
    pub(crate) scope: Arc<Scope>,
    guard: Arc<CallGuard>,
}

impl Reach {
    pub(crate) fn caller(&self) -> Caller<'_> {
        self.scope.caller()
    }

    /// Waits for the agent, as long as the word may.
    pub(crate) async fn wait<T>(&self, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        let clock = &self.guard.clock;
        clock.wait(work).await.unwrap_or_else(|| Err(Refusal::Failed(clock.timed_out(self.interface))))
    }
}

impl WasiView for Call {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A word has used up its time. Travels through wasmtime as the cause of a trap.
#[derive(Debug, thiserror::Error)]
#[error("computed too long")]
struct Overrun;

impl CallGuard {
    /// Runs a call to its end, or until one of its times is up.
    pub(crate) async fn guard<T>(
        &self,
        engine: &Engine,
        limits: &Limits,
        work: impl Future<Output = wasmtime::Result<T>>,
    ) -> Result<T, Fault> {
        let _ticking = engine.ticker().tick();
        match self.clock.within(limits.wall, self.cpu.count(work)).await {
            None => Err(Fault::TooLong(limits.wall)),
            Some(Err(error)) if error.is::<Overrun>() => Err(Fault::Computed(limits.compute)),
            Some(Err(error)) => Err(match self.clock.has_timed_out() {
                Some(interface) => Fault::AgentBusy(self.clock.timed_out(interface)),
                None => Fault::Trapped(self.explain(&error, limits)),
            }),
            Some(Ok(value)) => Ok(value),
        }
    }

    /// What is known about a crash. What the word said at the end tells more than the trap it ran into.
    fn explain(&self, error: &wasmtime::Error, limits: &Limits) -> String {
        let stderr = self.stderr.text();
        let memory = format!("it wanted more than {} bytes of memory", limits.memory);
        let trap = match error.downcast_ref::<Trap>() {
            Some(Trap::UnreachableCodeReached) if !stderr.is_empty() => String::new(),
            Some(trap) => trap.to_string().trim_start_matches("wasm trap: ").to_owned(),
            None => error.root_cause().to_string(),
        };
        let memory = if self.out_of_memory.load(Ordering::Relaxed) { memory } else { String::new() };
        let parts = [trap, memory, stderr];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

/// Counts what all memories and tables of a component hold together.
struct Memory {
    limit: usize,
    used: usize,
    elements: usize,
    guard: Arc<CallGuard>,
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = grow(&mut self.used, current, desired, self.limit);
        self.guard.out_of_memory.fetch_or(!fits, Ordering::Relaxed);
        Ok(fits)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(grow(&mut self.elements, current, desired, TABLE_ELEMENTS))
    }

    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }
}

fn grow(used: &mut usize, current: usize, desired: usize, limit: usize) -> bool {
    let total = used.saturating_sub(current).saturating_add(desired);
    let fits = total <= limit;
    if fits {
        *used = total;
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_counted_together() {
        let mut used = 0;
        assert!(grow(&mut used, 0, 60, 100));
        assert!(grow(&mut used, 0, 30, 100), "a second memory");
        assert!(!grow(&mut used, 60, 71, 100), "the first would take all there is and one more");
        assert!(grow(&mut used, 60, 70, 100));
        assert_eq!(used, 100);
    }
}
