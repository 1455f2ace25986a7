//! A host agent: its endpoint, its events, its command line.

use crate::process::Process;
use crate::{TIMEOUT, files, http, replies};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vocable_api::client::{Client, ClientError};
use vocable_xmlrpc::{from_json, to_json};

/// What a call gives: the result, or the fault's text, which begins with its slug.
pub type Answer = Result<Value, String>;

/// A host agent that runs, with a folder for everything around it.
pub struct Host {
    // The process before the folder it works in: fields are dropped in this order.
    process: Process,
    ready: Value,
    client: Client,
    events: Mutex<Events>,
    env: Vec<(String, String)>,
    folder: TempDir,
}

/// Events so far; each can be awaited once.
#[derive(Default)]
struct Events {
    events: Vec<Option<Value>>,
    next: u64,
}

/// What a command line printed.
#[derive(Debug)]
pub struct Typed {
    /// Its exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: String,
}

impl Typed {
    /// Standard output, which has to be text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// Standard output, which has to be one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Host {
    /// A host agent that is ready.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A host agent that is ready, with these lines of configuration added: `broker.heartbeat = "1s"`.
    pub fn with(settings: &[&str]) -> Self {
        Self::with_env(&[], settings)
    }

    /// The same with these variables in its environment.
    pub fn with_env(env: &[(&str, &str)], settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("vocable-story-").tempdir().unwrap();
        std::fs::create_dir(folder.path().join("host.words.d")).unwrap();
        let path = |name: &str| json!(folder.path().join(name));
        let config = [
            format!("state = {}", path("host")),
            format!("cache = {}", json!(files::cache())),
            "broker.listen = [\"127.0.0.1:0\"]".to_owned(),
            "api.listen = [\"127.0.0.1:0\"]".to_owned(),
            "api.socket = \"\"".to_owned(),
            format!("words.dirs = [{}]", path("host.words.d")),
            // Other stories take the processor away for a while: that must not make anybody late here.
            "roster.late_after = 20".to_owned(),
            "roster.lost_after = 30".to_owned(),
        ];
        write_config(&folder.path().join("vocable.toml"), &config, settings);
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (process, ready, client) = serve(folder.path(), &env);
        Self { process, ready, client, events: Mutex::default(), env, folder }
    }

    /// Where everything of this story lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where components can be dropped in for the host.
    pub fn words(&self) -> PathBuf {
        self.folder().join("host.words.d")
    }

    /// Where its broker listens.
    pub fn broker(&self) -> SocketAddr {
        self.ready["broker"][0].as_str().unwrap().parse().unwrap()
    }

    /// Where its endpoint listens.
    pub fn api(&self) -> SocketAddr {
        self.ready["api"][0].as_str().unwrap().parse().unwrap()
    }

    /// The line it said when it was ready.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// The token callers need.
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.folder().join("host/token")).unwrap()
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where and how to call it, for another thread. A restart makes it stale.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { url: format!("http://{}", self.api()), token: self.token() }
    }

    /// Calls a method with a JSON array of parameters.
    pub fn call(&self, method: &str, params: Value) -> Answer {
        let params = params.as_array().unwrap().iter().cloned().map(|it| from_json(it).unwrap()).collect();
        match self.client.call_by_name(method, params, TIMEOUT) {
            Ok(value) => {
                let reply = to_json(&value);
                replies::check(method, &reply, || http::json(self.api(), &self.token(), "/api/openapi.json"));
                Ok(reply)
            }
            Err(ClientError::Fault(fault)) => Err(fault.text().to_owned()),
            Err(error) => panic!("{method}: {error}"),
        }
    }

    /// Waits for the next event of that kind about that guest, or with that text in it.
    pub fn awaits(&self, kind: &str, about: &str) -> Value {
        self.awaits_within(TIMEOUT, kind, about)
    }

    /// The same, of something that may take its time.
    pub fn awaits_within(&self, timeout: Duration, kind: &str, about: &str) -> Value {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(event) = self.events.lock().unwrap().take(kind, about) {
                return event;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{kind} of {about} did not happen");
            let next = self.events.lock().unwrap().next;
            let wait = left.min(Duration::from_secs(20)).as_secs_f64();
            let reply = self.call("agent.events", json!([next, wait])).unwrap();
            self.events.lock().unwrap().add(&reply);
        }
    }

    /// How it stands with a guest.
    pub fn about(&self, guest: &str) -> Value {
        let all = self.call("guest.list", json!([])).unwrap();
        let found = all.as_array().unwrap().iter().find(|it| it["guest"] == guest).cloned();
        found.unwrap_or_else(|| panic!("no {guest} in {all}"))
    }

    /// Waits until a guest has given a sign of life beyond so many.
    pub fn beats_again(&self, guest: &str, before: u64) {
        let deadline = Instant::now() + TIMEOUT;
        while self.about(guest)["beats"].as_u64().unwrap() <= before {
            assert!(Instant::now() < deadline, "{guest} gives no sign of life");
            // Signs of life are no events.
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What is wrong with a guest, in one sentence.
    pub fn why(&self, guest: &str) -> String {
        self.call("guest.why", json!([guest])).unwrap()["verdict"].as_str().unwrap().to_owned()
    }

    /// This host's command line, to be run by hand.
    pub fn command_line(&self, arguments: &[&str]) -> Command {
        let mut command = vocable(self.folder());
        command.args(arguments);
        command
    }

    /// Types a command line, and waits until it is over.
    pub fn types(&self, arguments: &[&str]) -> Typed {
        typed(&mut self.command_line(arguments))
    }

    /// Kills the agent without warning.
    pub fn is_killed(&self) {
        self.process.signal(Signal::SIGKILL);
        self.process.ends();
    }

    /// Asks the agent to stop, and waits until it has.
    pub fn stops(&self) -> ExitStatus {
        self.process.signal(Signal::SIGTERM);
        self.process.ends()
    }

    /// Starts it again, over the same state. Its addresses are new, its events begin again.
    pub fn starts_again(&mut self) {
        (self.process, self.ready, self.client) = serve(self.folder.path(), &self.env);
        self.events = Mutex::default();
    }
}

/// Where and how a host agent is called.
#[derive(Clone, Debug)]
pub struct Endpoint {
    url: String,
    token: String,
}

impl Endpoint {
    /// Calls a method with a JSON array of parameters; the agent may be gone.
    pub fn call(&self, method: &str, params: &Value) -> Result<Value, ClientError> {
        let params = params.as_array().unwrap().iter().cloned().map(|it| from_json(it).unwrap()).collect();
        let client = Client::new(&self.url, self.token.as_str())?;
        client.call_by_name(method, params, TIMEOUT).map(|value| to_json(&value))
    }
}

impl Events {
    fn add(&mut self, reply: &Value) {
        assert_eq!(reply["dropped"], 0, "events are missing");
        self.events.extend(reply["events"].as_array().unwrap().iter().cloned().map(Some));
        self.next = reply["next"].as_u64().unwrap();
    }

    fn take(&mut self, kind: &str, about: &str) -> Option<Value> {
        let fits = |event: &Value| {
            event["kind"] == kind
                && (event["guest"] == about || event["text"].as_str().unwrap().contains(about))
        };
        self.events.iter_mut().find(|event| event.as_ref().is_some_and(fits))?.take()
    }
}

/// Runs a command line to its end.
pub fn typed(command: &mut Command) -> Typed {
    let mut process = Process::start("vocable", command);
    let (out, status) = process.finishes();
    Typed { code: status.code(), out, err: process.all_logged() }
}

/// `vocable` with the configuration of that folder and nothing of the user's.
pub fn vocable(folder: &Path) -> Command {
    let mut command = program("vocable");
    command.env("VOCABLE_CONFIG", folder.join("vocable.toml"));
    command
}

/// A program under test, without the user's own settings.
pub fn program(name: &str) -> Command {
    program_at(&files::program(name))
}

/// The program in that file, without the variables that are ours.
pub fn program_at(file: &Path) -> Command {
    let mut command = Command::new(file);
    let ours = |name: &OsStr| name.to_string_lossy().starts_with("VOCABLE_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command
}

/// Writes a configuration file of whole keys, so that lines may be of any table and each can be set otherwise.
pub fn write_config(path: &Path, lines: &[String], settings: &[&str]) {
    let key = |line: &str| line.split(" = ").next().unwrap_or_default().to_owned();
    let is_set = |line: &&str| settings.iter().any(|setting| key(setting) == key(line));
    let lines = lines.iter().map(String::as_str).filter(|line| !is_set(line));
    let all: Vec<_> = lines.chain(settings.iter().copied()).collect();
    std::fs::write(path, all.join("\n")).unwrap();
}

fn serve(folder: &Path, env: &[(String, String)]) -> (Process, Value, Client) {
    let mut process =
        Process::start("the host agent", vocable(folder).args(["serve", "--json"]).envs(env.iter().cloned()));
    let ready: Value = serde_json::from_str(&process.next_line()).unwrap();
    let token = std::fs::read_to_string(folder.join("host/token")).unwrap();
    let client = Client::new(&format!("http://{}", ready["api"][0].as_str().unwrap()), token).unwrap();
    (process, ready, client)
}
