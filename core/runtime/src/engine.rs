//! WebAssembly, set up for words: one engine for an agent, its clock, its compiled-code cache, the functions a component
//! can import.
//!
//! - `component`: one component, examined; `call`: one call of it, a store with its limits (`call_clock`, `cpu_meter`), with
//!   `host_functions`, and `stderr_tail` for the message about a crash;
//! - `compiler`, `precompiled`: where its code comes from; `ticker`: the clock by which it is interrupted.

mod call;
mod call_clock;
mod compiler;
mod component;
mod cpu_meter;
mod host_functions;
mod precompiled;
mod stderr_tail;
mod ticker;

pub use self::compiler::{Compiler, compile_if_asked};

pub(crate) use self::call::{Call, Fault, Scope};
pub(crate) use self::component::{Content, WordComponent};

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use self::component::Findings;
use self::precompiled::{Cache, from_memory};
use self::ticker::Ticker;

/// Calls that may be under way at the same time; more wait. Each can take a word's whole memory.
const MAX_CALLS: u32 = 256;

/// Core instances that one component may consist of.
const MAX_INSTANCES: u32 = 64;

/// Bytes of a memory that are wiped instead of given back, where the system tells which were written to.
const KEEP_RESIDENT: usize = 1 << 20;

/// How an [`Engine`] is set up.
#[derive(Clone, Debug, Default)]
pub struct EngineConfig {
    /// Keep memories and stacks ready for the next call. Four times as fast; takes terabytes of address
    /// space, though hardly any memory. For hosts.
    pub pooling: bool,
    /// Where compiled words are kept; made if it is not there. A word takes 0.1 s to compile and 2 ms to
    /// read. It is not used unless it belongs to this user and nobody else can write there: what is read
    /// from it is run.
    pub cache: Option<PathBuf>,
    /// What compiles words for the cache, instead of this process.
    pub compiler: Option<Compiler>,
    /// Load a built-in word when it is first called, and not before: so those that nobody calls take no memory, and the
    /// first call of each takes some milliseconds more; seconds where instructions are translated, and an agent that
    /// ends does not have them for its last word.
    pub lazy: bool,
}

/// The engine cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No thread for its clock.
    #[error("no thread for the clock of the words: {0}")]
    Clock(#[from] io::Error),
    /// WebAssembly does not work on this machine.
    #[error("WebAssembly does not work here: {0}")]
    WebAssembly(String),
}

/// What all words of an agent run on. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    wasm: wasmtime::Engine,
    linker: Linker<Call>,
    ticker: Ticker,
    cache: Option<Cache>,
    pooling: bool,
    compiler: Option<Compiler>,
    lazy: bool,
    permits: Semaphore,
}

impl Engine {
    /// Sets WebAssembly up. Where there is not the address space for a pool, it goes without; where the
    /// cache is not safe, without that: both are logged, and neither is an error.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let EngineConfig { pooling, cache, compiler, lazy } = config;
        let unavailable = |e: wasmtime::Error| EngineError::WebAssembly(format!("{e:#}"));
        // Who has others compile has no compiler: it would not be used, and setting it up takes a megabyte.
        let compiles = compiler.is_none() || cache.is_none();
        let mut wasm = engine(pooling, compiles).map_err(unavailable)?;
        let cache = cache.and_then(|folder| match Cache::open(&folder, compatibility(&wasm)) {
            Ok(cache) => Some(cache),
            Err(reason) => {
                tracing::warn!("compiled words are not kept: {}: {reason}", folder.display());
                None
            }
        });
        let compiler = compiler.filter(|_| cache.is_some());
        if compiler.is_none() && !compiles {
            wasm = engine(pooling, true).map_err(unavailable)?;
        }
        let linker = host_functions::linker(&wasm).map_err(unavailable)?;
        let ticker = Ticker::start(wasm.clone())?;
        let permits = Semaphore::new(MAX_CALLS as usize);
        Ok(Self { inner: Arc::new(Inner { wasm, linker, ticker, cache, pooling, compiler, lazy, permits }) })
    }

    pub(crate) fn wasm(&self) -> &wasmtime::Engine {
        &self.inner.wasm
    }

    pub(crate) fn linker(&self) -> &Linker<Call> {
        &self.inner.linker
    }

    pub(crate) fn ticker(&self) -> &Ticker {
        &self.inner.ticker
    }

    /// Whether built-in words are loaded when they are first called.
    pub(crate) fn is_lazy(&self) -> bool {
        self.inner.lazy
    }

    /// Waits for room for one call. Without the permit there would be none; the semaphore is never closed.
    pub(crate) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.inner.permits.acquire().await.ok()
    }

    /// A component from the cache. This and the next four take their time: call them where blocking is fine.
    pub(crate) fn compiled(&self, sha256: &str) -> Option<Component> {
        self.inner.cache.as_ref()?.load(&self.inner.wasm, sha256)
    }

    /// What was found of a component when it was examined by this version.
    pub(crate) fn findings(&self, sha256: &str) -> Option<Findings> {
        self.inner.cache.as_ref()?.findings(sha256)
    }

    /// Has a component compiled and examined by another process, where there is one for that. Nothing: it has to be
    /// examined here.
    pub(crate) fn examine_elsewhere(&self, sha256: &str, bytes: &[u8]) -> Result<Option<Findings>, String> {
        let (Some(cache), Some(compiler)) = (&self.inner.cache, &self.inner.compiler) else {
            return Ok(None);
        };
        compiler.run(bytes, self.inner.pooling, cache)?;
        Ok(cache.findings(sha256))
    }

    /// Keeps what was found of a component. Whether it is kept.
    pub(crate) fn keep_findings(&self, sha256: &str, findings: &Findings) -> bool {
        self.inner.cache.as_ref().is_some_and(|cache| cache.keep_findings(sha256, findings))
    }

    /// Compiles a component into the cache.
    pub(crate) fn compile(&self, sha256: &str, bytes: &[u8]) -> Result<Component, String> {
        let cache = self.inner.cache.as_ref();
        let wasm = &self.inner.wasm;
        let (Some(cache), Some(compiler)) = (cache, &self.inner.compiler) else {
            let component = Component::new(wasm, bytes).map_err(|e| format!("{e:#}"))?;
            if let Some(cache) = cache {
                cache.store(sha256, component.serialize().map_err(io::Error::other));
            }
            return Ok(component);
        };
        compiler.run(bytes, self.inner.pooling, cache)?;
        if let Some(component) = cache.load(wasm, sha256) {
            return Ok(component);
        }
        tracing::warn!("what was compiled is not there; it is compiled once more, here");
        let code = compile(self.inner.pooling, bytes)?;
        cache.store(sha256, Ok(code.clone()));
        from_memory(wasm, &code).map_err(|e| e.to_string())
    }
}

/// Compiles a component for engines like those of agents.
pub(crate) fn compile(pooling: bool, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let compiled = engine(pooling, true).and_then(|wasm| wasm.precompile_component(bytes));
    compiled.map_err(|e| format!("{e:#}"))
}

/// Tells engines apart that cannot run each other's code: by the version of wasmtime, settings, target.
fn compatibility(wasm: &wasmtime::Engine) -> String {
    let mut hasher = DefaultHasher::new();
    (wasm.precompile_compatibility_hash(), TARGET).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// What words are compiled for: any processor of this architecture, and not just this one. A machine that is saved here may
/// go on elsewhere with what it has compiled, and compiled words can be put into an image: compiling takes minutes
/// where instructions are translated.
const TARGET: Option<&str> = match () {
    () if cfg!(not(target_os = "linux")) => None,
    () if cfg!(all(target_arch = "x86_64", target_env = "gnu")) => Some("x86_64-unknown-linux-gnu"),
    () if cfg!(all(target_arch = "x86_64", target_env = "musl")) => Some("x86_64-unknown-linux-musl"),
    () if cfg!(all(target_arch = "aarch64", target_env = "gnu")) => Some("aarch64-unknown-linux-gnu"),
    () if cfg!(all(target_arch = "aarch64", target_env = "musl")) => Some("aarch64-unknown-linux-musl"),
    () => None,
};

fn engine(pooling: bool, compiles: bool) -> wasmtime::Result<wasmtime::Engine> {
    let mut config = Config::new();
    config.enable_compiler(compiles);
    if let Some(target) = TARGET {
        config.target(target)?;
    }
    config.epoch_interruption(true);
    // Nobody sees the back-trace of a word: what it wrote to standard error says more.
    config.wasm_backtrace_max_frames(None);
    // So nobody needs to know what function an address belongs to; that would be half of a compiled word.
    config.generate_address_map(false).native_unwind_info(false);
    if pooling {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
        match wasmtime::Engine::new(&config) {
            Ok(engine) => return Ok(engine),
            Err(e) => tracing::warn!("words run without a pool of memories: {e:#}"),
        }
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    }
    wasmtime::Engine::new(&config)
}

/// Room for [`MAX_CALLS`] components of the sort that tools make: a few memories and tables each. Of instances one from
/// Python has 38, and they cost nothing until they are made. Wiping what was written to, instead of giving
/// memory back and getting it again, makes a call three times as fast.
fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(MAX_CALLS)
        .total_stacks(MAX_CALLS)
        .max_core_instances_per_component(MAX_INSTANCES)
        .total_core_instances(MAX_CALLS * MAX_INSTANCES)
        .max_memories_per_component(4)
        .total_memories(MAX_CALLS * 4)
        .max_tables_per_component(8)
        .total_tables(MAX_CALLS * 8);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(KEEP_RESIDENT)
            .table_keep_resident(KEEP_RESIDENT);
    }
    pool
}
