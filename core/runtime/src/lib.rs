//! Loads words, and lets them say and listen. The only crate that names wasmtime; it knows no word by
//! name, and nothing of the bus.
//!
//! A word is a component that speaks the contract `word.wit`. An agent makes an [`Engine`], says what it
//! can do for words ([`Powers`]) and what each may ([`Policies`]), and opens a [`Lexicon`]: name → word,
//! kept current while files change. An [`Interpreter`] tells it what becomes of a message it has heard.
//! Each call gets a fresh instance with nothing but what the policy grants; a word that loops, crashes
//! or takes too much ends that call, and nothing else.
//!
//! In reading order:
//!
//! - the contract: `contract`, what an agent can do for words: `powers`, what it allows them: `policy`, as
//!   it stands in a configuration: [`settings`], what goes wrong: `error`;
//! - one call: `call` (a store with its limits), `host` (the functions it can import), `meter` and `clock` (time),
//!   `last_words` (what a crash leaves behind);
//! - one component: `component`, what holds for it here: `word`, how it does: `health`, what it
//!   hears: `hearing`;
//! - all of them: `sources`, `loader`, `table`, `lexicon`, `watch`;
//! - messages: `token`, `json` and `intake` (what may come, and how much), `envelope`, `interpreter`;
//! - beneath: `engine`, its `ticker`, its `compiler` and its cache of `precompiled` words; `folders` (the files that words were
//!   granted); `shelves`, for agents that need a place for the state of words.

mod contract;
mod error;
mod policy;
mod powers;
pub mod settings;

mod call;
mod call_clock;
mod host;
mod last_words;
mod meter;

mod component;
mod health;
mod hearing;
mod word;

mod lexicon;
mod loader;
mod sources;
mod table;
mod watch;

mod envelope;
mod intake;
mod interpreter;
mod json;
mod token;

mod compiler;
mod engine;
mod folders;
mod precompiled;
mod shelves;
mod ticker;

pub use compiler::{Compiler, compile_if_asked};
pub use contract::{ALWAYS_GRANTED, CONTRACT, EVENTS, Message, Output, Program, Refusal, Role};
pub use engine::{Engine, EngineConfig, EngineError};
pub use envelope::{CORE_HEADERS, Envelope, wrap, wrap_raw};
pub use error::{LoadError, Problem, WordError, WordSource};
pub use folders::{Folder, Folders};
pub use health::WordState;
pub use interpreter::{Answer, AskError, HAIL, Heard, Interpreter};
pub use json::{JsonBounds, JsonError, check_json};
pub use lexicon::{Changes, Events, Lexicon, LexiconEvent};
pub use policy::{Limits, Policies, Policy};
pub use powers::{Caller, Level, Powers, Soon};
pub use shelves::Shelves;
pub use sources::BuiltIn;
pub use token::is_word_name;
pub use watch::Watching;
pub use word::WordInfo;
