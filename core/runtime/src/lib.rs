//! Loads words, and lets them say and listen. The only crate that names wasmtime; it knows no word by
//! name, and nothing of the bus.
//!
//! A word is a component that speaks the contract `word.wit`. An agent makes an [`Engine`], says what it can do for words
//! ([`Capabilities`]) and what each may ([`Policies`]), and opens a [`Lexicon`]: name → word, kept current while files
//! change. An [`Interpreter`] tells it what becomes of a message it has received. Each call gets a fresh instance with
//! nothing but what the policy grants; a word that loops, crashes or takes too much ends that call, and nothing else.
//!
//! In reading order, each without what comes after it:
//!
//! - the contract: `contract`; how a word listens: `listen_rules`; what an agent can do for words: [`capabilities`], with
//!   `memory_store` for one that has no better place for their state; what it allows them: `policy`, `folders` (the files
//!   that they were granted), and as it stands in a configuration: [`settings`];
//! - messages: `token`, `json` and `intake` (what may come, and how much), `envelope`; what goes wrong: `error`;
//! - `engine`: compiling, examining and calling one component, with its limits. Nothing else uses wasmtime;
//! - `lexicon`: all of them, where they come from, and how they do;
//! - `interpreter`.

mod contract;
mod listen_rules;

pub mod capabilities;
mod memory_store;

mod folders;
mod policy;
pub mod settings;

mod envelope;
mod intake;
mod json;
mod token;

mod error;

mod engine;
mod lexicon;

mod interpreter;

pub use capabilities::{Caller, Capabilities, Level};
pub use contract::{ALWAYS_GRANTED, CONTRACT, EVENTS, Message, Output, Program, Refusal, Role};
pub use engine::{Compiler, Engine, EngineConfig, EngineError, compile_if_asked};
pub use envelope::{CORE_HEADERS, Envelope, wrap, wrap_raw};
pub use error::{LoadError, Problem, WordError, WordSource};
pub use folders::{Folder, Folders};
pub use interpreter::{Answer, AskError, Interpreter, PING, Received};
pub use json::{JsonBounds, JsonError, check_json};
pub use lexicon::{BuiltIn, Changes, Events, Lexicon, LexiconEvent, Watching, WordInfo, WordState};
pub use memory_store::MemoryStore;
pub use policy::{Limits, Policies, Policy};
pub use token::is_word_name;
