//! What a call of a word costs: a fresh sandbox for each, with a pool of memories and without, beside the
//! same function compiled natively and called without any.

#![allow(clippy::expect_used, reason = "a benchmark that cannot start has nothing to measure")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};
use vocable_runtime::capabilities::Commands;
use vocable_runtime::{
    Caller, Capabilities, Engine, EngineConfig, Lexicon, Message, Policies, Policy, Refusal, Role,
};
use vocable_word::json;
use vocable_words::BUILT_IN;

const COMMAND: &str =
    r#"{"cmd-id":"c1","cmd":"/bin/echo","args":["a","b"],"env":{"LANG":"C"},"path":"/tmp"}"#;
const RESULTS: &str = r#"{"cmd-id":"c1","err":"","exitCodeOrSignal":0,"finished":true,"out":"hello there\n","resources":{"ru_utime":0.01,"ru_stime":0.02,"ru_maxrss":2048}}"#;

/// A host whose books are not kept.
struct Host;

impl Capabilities for Host {
    fn role(&self) -> Role {
        Role::Host
    }

    fn id(&self) -> String {
        "host".to_owned()
    }

    fn ip(&self) -> String {
        String::new()
    }

    fn commands(&self) -> Option<&dyn Commands> {
        Some(self)
    }
}

#[async_trait]
impl Commands for Host {
    async fn output(
        &self,
        _: Caller<'_>,
        _: String,
        _: String,
        _: u64,
        bytes: Vec<u8>,
    ) -> Result<(), Refusal> {
        black_box(bytes);
        Ok(())
    }

    async fn finished(&self, _: Caller<'_>, _: String, results: String) -> Result<(), Refusal> {
        black_box(results);
        Ok(())
    }

    async fn input_taken(&self, _: Caller<'_>, _: String, offset: u64) -> Result<(), Refusal> {
        black_box(offset);
        Ok(())
    }
}

fn lexicon(runtime: &Runtime, pooling: bool, cache: Option<&Path>) -> Lexicon {
    let cache = cache.map(Path::to_owned);
    let engine = Engine::new(EngineConfig { pooling, cache, compiler: None, lazy: false })
        .expect("WebAssembly works here");
    let grants = ["commands", "roster"].map(str::to_owned).into();
    let policies = Policies { default: Policy { grants, ..Policy::default() }, ..Policies::default() };
    let (lexicon, problems) =
        runtime.block_on(Lexicon::open(engine, Arc::new(Host), policies, BUILT_IN, vec![]));
    assert!(problems.is_empty(), "{problems:?}");
    lexicon
}

/// What RUN_CMD does to say a command, without a sandbox round it.
fn say_natively(args: &str) -> vocable_word::Message {
    let args: vocable_word::Value = vocable_word::from_str(args).expect("it is JSON");
    let parts = ["cmd-id", "cmd", "args", "env", "path", "options"];
    parts.iter().fold(vocable_word::Message::new(), |message, part| message.with_value(part, &args[*part]))
}

/// What CMD_RESULTS does to listen to results, without a sandbox round it.
fn listen_natively(heard: &vocable_word::Message) -> String {
    let mut results: vocable_word::Map<String, vocable_word::Value> = heard.json().expect("it is JSON");
    let id = results.entry("cmd-id").or_insert_with(|| json!("c1"));
    assert_eq!(id.as_str(), heard.get("cmd-id"));
    vocable_word::Value::from(results).to_string()
}

fn words(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (pooled, on_demand) = (lexicon(&runtime, true, None), lexicon(&runtime, false, None));
    let sandboxes = [("pooled", &pooled), ("on demand", &on_demand)];

    let mut group = criterion.benchmark_group("RUN_CMD.say");
    group.bench_function("native", |bencher| bencher.iter(|| say_natively(black_box(COMMAND))));
    for (name, lexicon) in sandboxes {
        group.bench_function(name, |bencher| {
            let say = || async { lexicon.say("RUN_CMD", COMMAND.to_owned()).await.expect("it is a command") };
            bencher.to_async(&runtime).iter(say);
        });
    }
    group.finish();

    let headers = vec![("cmd-id".to_owned(), "c1".to_owned())];
    let native = vocable_word::Message { headers: headers.clone(), body: RESULTS.as_bytes().to_vec() };
    let heard = Message { headers, body: RESULTS.as_bytes().to_vec() };
    let mut group = criterion.benchmark_group("CMD_RESULTS.listen");
    group.bench_function("native", |bencher| bencher.iter(|| listen_natively(black_box(&native))));
    for (name, lexicon) in sandboxes {
        group.bench_function(name, |bencher| {
            let listen =
                || async { lexicon.listen("CMD_RESULTS", &heard, Some("vm1")).await.expect("results") };
            bencher.to_async(&runtime).iter(listen);
        });
    }
    group.finish();
}

/// How long an agent waits for the built-in words when it starts.
fn start(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let cache = tempfile::tempdir().expect("a directory");
    let mut group = criterion.benchmark_group("built-in words");
    group.sample_size(10);
    group.bench_function("compiled", |bencher| bencher.iter(|| lexicon(&runtime, false, None)));
    group.bench_function("from the cache", |bencher| {
        bencher.iter(|| lexicon(&runtime, false, Some(cache.path())));
    });
    group.bench_function("from the cache, with a pool", |bencher| {
        bencher.iter(|| lexicon(&runtime, true, Some(cache.path())));
    });
    group.finish();
}

criterion_group!(benches, words, start);
criterion_main!(benches);
