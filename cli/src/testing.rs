//! What the tests of the verbs stand on: a screen that remembers, and an agent that says what it was told to.

use super::agent::{Agent, Connection};
use super::output::TerminalInfo;
use super::{Cli, Session, Terminal, Verb, parse, usage};
use crate::{Program, Settings};
use futures_util::future::BoxFuture;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use time::UtcOffset;
use time::macros::datetime;
use vocable_api::Method;
use vocable_api::client::{Attachment, ClientError};
use vocable_api::clock::Now;
use vocable_config::{Application, FileSource, Loaded, Sources};
use vocable_xmlrpc::{Fault, Value, to_json, to_value};

/// The configuration of an agent that has little to configure.
pub(super) const DEFAULT_CONFIG: &str =
    "state = \"\"\n\n[api]\nsocket = \"\"\n\n[client]\nagent = \"\"\ncertificate = \"\"\n";

/// A program with an agent that cannot be started.
pub(super) fn program() -> Program {
    const APPLICATION: Application = Application {
        name: "vocable",
        file_name: "vocable.toml",
        default: DEFAULT_CONFIG,
        env_prefix: "VOCABLE_",
        other_variables: &[],
        named_tables: &[],
    };
    #[derive(serde::Deserialize)]
    struct Api {
        socket: String,
    }
    #[derive(serde::Deserialize)]
    struct Client {
        agent: String,
        certificate: String,
    }
    #[derive(serde::Deserialize)]
    struct Config {
        state: PathBuf,
        api: Api,
        client: Client,
    }
    Program {
        default_config: DEFAULT_CONFIG,
        load_config: |file| {
            let files = file.into_iter().map(FileSource::Required).collect();
            let sources = Sources { files, ..Sources::default() };
            let Loaded { value, problems, entries } =
                vocable_config::load(&APPLICATION, &sources, |_: &Config| Vec::new());
            let value =
                value.map(|Config { state, api: Api { socket }, client: Client { agent, certificate } }| {
                    Settings { state, socket, agent, certificate }
                });
            Ok(Loaded { value, problems, entries })
        },
        serve: |_, _| panic!("nobody starts an agent"),
    }
}

/// Both streams, remembered.
#[derive(Clone, Default)]
pub(super) struct Screen {
    out: Paper,
    err: Paper,
    around: TerminalInfo,
}

/// What is written on, until nobody reads it any more.
#[derive(Clone, Default)]
struct Paper {
    text: Rc<RefCell<Vec<u8>>>,
    is_gone: bool,
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.text.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Screen {
    /// A terminal of that width, without colours.
    pub(super) fn of_width(mut self, columns: usize) -> Self {
        self.around.out_is_terminal = true;
        self.around.no_colour = true;
        self.around.columns = Some(columns);
        self
    }

    /// A screen whose standard output goes to somebody who has left.
    pub(super) fn without_reader(mut self) -> Self {
        self.out.is_gone = true;
        self
    }

    /// A screen that shows more than ASCII.
    pub(super) fn utf8(mut self) -> Self {
        self.around.utf8 = true;
        self
    }

    /// A terminal with these options.
    pub(super) fn terminal(&self, options: &[&str]) -> Terminal {
        let args = [&["vocable"], options, &["guests"]].concat();
        let global = parse(&args.iter().map(OsString::from).collect::<Vec<_>>()).unwrap().global;
        self.terminal_of(&global)
    }

    fn terminal_of(&self, global: &super::Global) -> Terminal {
        Terminal::new(global, &self.around, Box::new(self.out.clone()), Box::new(self.err.clone()))
    }

    /// What was written since: standard output, then standard error under a line of its own.
    pub(super) fn take(&self) -> String {
        let (out, err) = (self.out.text.take(), self.err.text.take());
        let mut text = String::from_utf8_lossy(&out).into_owned();
        if !err.is_empty() {
            text.push_str("------- stderr\n");
            text.push_str(&String::from_utf8_lossy(&err));
        }
        text
    }
}

/// An agent that answers each method with what was put there, one after the other.
#[derive(Clone, Default)]
pub(super) struct FakeAgent(Rc<RefCell<Script>>);

#[derive(Default)]
struct Script {
    answers: BTreeMap<&'static str, VecDeque<Result<Value, ClientError>>>,
    calls: Vec<String>,
}

impl FakeAgent {
    /// The next answer to a method.
    pub(super) fn answers(self, method: &'static str, value: impl Into<Value>) -> Self {
        self.says(method, Ok(value.into()))
    }

    /// The next reply to a method.
    pub(super) fn replies<M: Method>(self, reply: M::Reply) -> Self {
        self.says(M::NAME, Ok(to_value(&reply).unwrap()))
    }

    /// The next answer to a method is a fault.
    pub(super) fn refuses(self, method: &'static str, code: i32, text: &str) -> Self {
        self.says(method, Err(ClientError::Fault(Fault::new(code, text))))
    }

    /// The next answer to a method.
    pub(super) fn says(self, method: &'static str, answer: Result<Value, ClientError>) -> Self {
        self.0.borrow_mut().answers.entry(method).or_default().push_back(answer);
        self
    }

    /// The calls so far, one a line: the method and its parameters as JSON.
    pub(super) fn calls(&self) -> String {
        self.0.borrow_mut().calls.drain(..).collect::<Vec<_>>().join("\n")
    }
}

impl Agent for FakeAgent {
    fn call(&self, method: &str, params: Vec<Value>, _: Duration) -> Result<Value, ClientError> {
        let mut script = self.0.borrow_mut();
        let told: Vec<_> = params.iter().map(|value| to_json(value).to_string()).collect();
        script.calls.push(format!("{method}({})", told.join(", ")));
        let answer = script.answers.get_mut(method).and_then(VecDeque::pop_front);
        answer.unwrap_or_else(|| panic!("nobody expects {method}"))
    }

    fn attach<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Attachment, ClientError>> {
        panic!("nobody expects {path}")
    }
}

/// What a test sees of a command line: both streams and, if it is not 0, the exit code.
pub(super) fn vocable(agent: &FakeAgent, line: &[&str]) -> String {
    on(&Screen::default(), agent, line)
}

/// The same on a given screen.
pub(super) fn on(screen: &Screen, agent: &FakeAgent, line: &[&str]) -> String {
    let args: Vec<OsString> = [&["vocable"], line].concat().into_iter().map(OsString::from).collect();
    let exit_code = match parse(&args) {
        Ok(Cli { global, verb: Verb::Asking(verb) }) => {
            let mut terminal = screen.terminal_of(&global);
            let connection = Connection::to(agent.clone());
            let mut session = Session {
                terminal: &mut terminal,
                agent: &connection,
                now: a_morning,
                offset: UtcOffset::UTC,
                pause: |_| {},
                process: None,
            };
            let result = verb.ask(&mut session);
            result.unwrap_or_else(|error| {
                terminal.error(&error).unwrap();
                error.exit_code()
            })
        }
        Ok(_) => panic!("a verb that does not ask the agent"),
        Err(error) => usage::report_on(&mut screen.terminal(&[]), &args, &error).unwrap(),
    };
    let text = screen.take();
    if exit_code == 0 { text } else { format!("{text}------- exit code {exit_code}\n") }
}

/// 2026-11-22 09:06:04 UTC, always.
fn a_morning() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    Now { mono: *START.get_or_init(Instant::now), utc: datetime!(2026-11-22 9:06:04 UTC) }
}

/// JSON as a value.
pub(super) fn json(text: &str) -> Value {
    vocable_xmlrpc::from_json(serde_json::from_str(text).unwrap()).unwrap()
}
