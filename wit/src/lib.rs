//! Write a word of Vocable in Rust: implement [`Word`], name the type in [`word!`].
//!
//! A word is one component that both agents load: it *says* (builds a message) and it *listens* (acts
//! on one). The contract is `word.wit`, beside this crate's sources; the names here are its names.
//! A complete word, with its test:
//!
//! ```
//! //! DF: how full the disc of a machine is.
//! use vocable_word::{Answer, Description, Message, Program, Value, Word, described, json, process, word};
//!
//! word!(Df);
//!
//! impl Word for Df {
//!     fn describe() -> Description {
//!         described!("DF", "Tells how full the disc of a machine is").reply(&json!({"type": "string"}))
//!     }
//!
//!     fn listen(_: Message) -> Answer<Option<Value>> {
//!         let df = process::run(&Program::new("df", &["-h", "/"]))?;
//!         Ok(Some(String::from_utf8_lossy(&df.out).into()))
//!     }
//! }
//!
//! # macro_rules! run_here { (#[test] $test:item) => { $test } }
//! # run_here! {
//! #[test]
//! fn tells_what_df_tells() {
//!     use vocable_word::testing::FakeAgent;
//!     let agent = FakeAgent::guest("vm1").answers("process.run", Ok(FakeAgent::output(0, "93 %")));
//!     assert_eq!(Df::listen(Message::new()), Ok(Some("93 %".into())));
//!     assert_eq!(agent.calls(), [json!(["process.run", {"cmd": "df", "args": ["-h", "/"]}])]);
//! }
//! # }
//! # fn main() { tells_what_df_tells() }
//! ```
//!
//! With `crate-type = ["cdylib"]` and this crate as the one dependency,
//! `cargo build --release --target wasm32-wasip2` makes the component, and plain `cargo test` runs
//! the test: away from Wasm the imports go to a [`testing::FakeAgent`].
//!
//! In reading order: [`Word`] and its macros; what a word handles ([`Message`], [`Description`],
//! [`Program`]); what it can ask of its agent ([`log`], [`about`], [`store`], [`speech`], [`files`], [`process`],
//! [`jobs`], [`roster`], [`commands`]); the fake agent of unit tests.

#![allow(clippy::test_attr_in_doctest, reason = "the example shows a word with its test, and does run it")]

mod word;

mod values;

mod imports;

#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[cfg(test)]
mod rules;

#[doc(hidden)]
pub mod bindings;

pub use bindings::vocable::word::about::Role;
pub use bindings::vocable::word::types::{Description, Message, Output, Program, Refusal};
pub use imports::{about, commands, files, jobs, log, process, roster, speech, store};
pub use serde::{self, Deserialize, Serialize};
pub use serde_json::{self, Map, Value, from_str, from_value, json};
pub use word::{Answer, Word};
