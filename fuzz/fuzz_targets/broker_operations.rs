//! Any sequence of operations on the broker's core: it keeps its promises, and never panics.
#![no_main]

#[path = "../../core/stomp/src/broker/core/tests/exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|operations: Vec<[u8; 4]>| exercise::exercise(&operations));
