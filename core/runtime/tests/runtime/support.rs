//! What the tests share: an agent that remembers, components to load, places to load them from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use vocable_runtime::capabilities::{Commands, Jobs, Process, Roster, Speech, Store};
use vocable_runtime::{
    BuiltIn, Caller, Capabilities, Engine, EngineConfig, Events, Level, Lexicon, LexiconEvent, Limits,
    MemoryStore, Message, Output, Policies, Policy, Problem, Program, Refusal, Role,
};
use vocable_words::BUILT_IN;

/// How long something may take that should take no time.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const HOST: &[&str] = &["commands", "roster", "speech", "store"];
const GUEST: &[&str] = &["jobs", "process", "speech", "store"];

/// An agent that does nothing, and remembers what it was asked to do.
pub(crate) struct FakeAgent {
    role: Role,
    calls: Mutex<Vec<String>>,
    /// A program called `wait` ends when this is told; any other at once.
    pub(crate) ended: Notify,
    /// And this is told when one begins.
    pub(crate) begun: Notify,
    store: MemoryStore,
}

impl FakeAgent {
    pub(crate) fn host() -> Arc<Self> {
        Self::new(Role::Host)
    }

    pub(crate) fn guest() -> Arc<Self> {
        Self::new(Role::Guest)
    }

    fn new(role: Role) -> Arc<Self> {
        Arc::new(Self {
            role,
            calls: Mutex::default(),
            ended: Notify::new(),
            begun: Notify::new(),
            store: MemoryStore::default(),
        })
    }

    /// What it was asked to do since the last time.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn note(&self, caller: Caller<'_>, what: String) {
        let Caller { word, sender } = caller;
        self.calls.lock().unwrap().push(format!("{word} for {}: {what}", sender.unwrap_or("itself")));
    }

    fn on<'a, T: ?Sized>(&self, role: Role, interface: &'a T) -> Option<&'a T> {
        (self.role == role).then_some(interface)
    }
}

impl Capabilities for FakeAgent {
    fn role(&self) -> Role {
        self.role
    }

    fn id(&self) -> String {
        if self.role == Role::Host { "host" } else { "vm1" }.to_owned()
    }

    fn ip(&self) -> String {
        "10.0.0.2".to_owned()
    }

    fn log(&self, caller: Caller<'_>, level: Level, text: &str) {
        self.note(caller, format!("{level:?} {text}"));
    }

    fn commands(&self) -> Option<&dyn Commands> {
        self.on(Role::Host, self)
    }

    fn jobs(&self) -> Option<&dyn Jobs> {
        self.on(Role::Guest, self)
    }

    fn process(&self) -> Option<&dyn Process> {
        self.on(Role::Guest, self)
    }

    fn roster(&self) -> Option<&dyn Roster> {
        self.on(Role::Host, self)
    }

    fn speech(&self) -> Option<&dyn Speech> {
        Some(self)
    }

    fn store(&self) -> Option<&dyn Store> {
        Some(&self.store)
    }
}

/// What no word does here.
fn untested<T>() -> Result<T, Refusal> {
    Err(Refusal::Failed("no test does this".to_owned()))
}

#[async_trait]
impl Speech for FakeAgent {
    async fn say(
        &self,
        caller: Caller<'_>,
        word: String,
        to: String,
        args: String,
    ) -> Result<String, Refusal> {
        self.note(caller, format!("say {word} to {to}: {args}"));
        Ok("m1".to_owned())
    }
}

#[async_trait]
impl Process for FakeAgent {
    async fn run(&self, caller: Caller<'_>, program: Program) -> Result<Output, Refusal> {
        self.note(caller, format!("run {}", program.cmd));
        if program.cmd == "wait" {
            self.begun.notify_one();
            self.ended.notified().await;
        }
        let out = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda1 10 4 6 40% /\n";
        Ok(Output { finished: true, exit_code_or_signal: 0, out: out.into(), err: vec![] })
    }
}

#[async_trait]
impl Jobs for FakeAgent {
    async fn start(&self, caller: Caller<'_>, cmd_id: String, program: Program) -> Result<(), Refusal> {
        self.note(caller, format!("start {cmd_id}: {} {:?}", program.cmd, program.args));
        Ok(())
    }

    async fn signal(&self, _: Caller<'_>, _: String, _: i32) -> Result<(), Refusal> {
        untested()
    }

    async fn usage(&self, _: Caller<'_>, _: String) -> Result<String, Refusal> {
        untested()
    }

    async fn read(
        &self,
        caller: Caller<'_>,
        cmd_id: String,
        part: String,
        offset: u64,
        max: u32,
    ) -> Result<Vec<u8>, Refusal> {
        self.note(caller, format!("read {cmd_id} {part} {offset}+{max}"));
        Ok(vec![0xff, 0])
    }

    async fn cancel(&self, _: Caller<'_>, _: String, _: i32, _: Option<u32>) -> Result<u32, Refusal> {
        untested()
    }

    async fn input(&self, _: Caller<'_>, _: String, _: u64, _: Vec<u8>, _: bool) -> Result<String, Refusal> {
        untested()
    }

    async fn resize(&self, _: Caller<'_>, _: String, _: u16, _: u16) -> Result<(), Refusal> {
        untested()
    }
}

#[async_trait]
impl Roster for FakeAgent {
    async fn joined(&self, caller: Caller<'_>, id: String, ip: String, facts: String) -> Result<(), Refusal> {
        self.note(caller, format!("joined {id} {ip} {facts}"));
        Ok(())
    }

    async fn alive(&self, caller: Caller<'_>, id: String) -> Result<(), Refusal> {
        self.note(caller, format!("alive {id}"));
        Ok(())
    }

    async fn left(&self, caller: Caller<'_>, id: String, reason: String) -> Result<(), Refusal> {
        self.note(caller, format!("left {id}: {reason}"));
        Ok(())
    }

    async fn look_up(&self, _: Caller<'_>, _: String) -> Result<String, Refusal> {
        untested()
    }
}

#[async_trait]
impl Commands for FakeAgent {
    async fn output(
        &self,
        caller: Caller<'_>,
        cmd_id: String,
        part: String,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Result<(), Refusal> {
        self.note(caller, format!("output {cmd_id} {part} {offset}: {bytes:?}"));
        Ok(())
    }

    async fn finished(&self, caller: Caller<'_>, cmd_id: String, results: String) -> Result<(), Refusal> {
        self.note(caller, format!("finished {cmd_id}: {results}"));
        Ok(())
    }

    async fn input_taken(&self, _: Caller<'_>, _: String, _: u64) -> Result<(), Refusal> {
        untested()
    }
}

/// The folder of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// PROBE as it is built.
pub(crate) fn probe() -> Vec<u8> {
    static PROBE: OnceLock<Vec<u8>> = OnceLock::new();
    PROBE.get_or_init(|| built("word-probe")).clone()
}

/// The plug-in DF as it is built.
pub(crate) fn df() -> Vec<u8> {
    static DF: OnceLock<Vec<u8>> = OnceLock::new();
    DF.get_or_init(|| built("word-df")).clone()
}

fn built(package: &str) -> Vec<u8> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = crate::nested::build(workspace(), target, &[package.to_owned()]).unwrap();
    std::fs::read(folder.join(format!("{}.wasm", package.replace('-', "_")))).unwrap()
}

/// PROBE of another version.
pub(crate) fn probe_version(version: &str) -> Vec<u8> {
    patched(probe(), "mark=PROBE=1.0.0=", &format!("mark=PROBE={version}="))
}

/// A component with every occurrence of a text replaced by one of the same length.
pub(crate) fn patched(mut component: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<_> =
        (0..component.len()).filter(|&at| component[at..].starts_with(from.as_bytes())).collect();
    assert!(!places.is_empty(), "{from} does not occur");
    for at in places {
        component[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    component
}

/// A built-in word by the name of its folder.
pub(crate) fn built_in(name: &str) -> BuiltIn {
    *BUILT_IN.iter().find(|word| word.name == name).unwrap()
}

/// An engine for all tests of this process, with compiled words kept between runs.
pub(crate) fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-words");
    ENGINE
        .get_or_init(|| {
            Engine::new(EngineConfig { pooling: true, cache: Some(cache), compiler: None, lazy: false })
                .unwrap()
        })
        .clone()
}

/// Every word may do everything; the limits are short.
pub(crate) fn generous() -> Policies {
    let grants = HOST.iter().chain(GUEST).map(|interface| (*interface).to_owned()).collect();
    let limits = Limits { compute: Duration::from_millis(300), ..Limits::default() };
    Policies { default: Policy { grants, limits, ..Policy::default() }, words: BTreeMap::new() }
}

/// As [`generous`], with one limit changed.
pub(crate) fn limited(limit: impl Fn(&mut Limits)) -> Policies {
    let mut policies = generous();
    limit(&mut policies.default.limits);
    policies
}

/// A lexicon with PROBE and nothing else.
pub(crate) async fn probing(agent: Arc<FakeAgent>, policies: Policies) -> Lexicon {
    let dir = Dir::with(&[("probe.wasm", &probe())]);
    let (lexicon, problems) = Lexicon::open(engine(), agent, policies, &[], vec![dir.path()]).await;
    assert_eq!(problems, []);
    lexicon
}

/// A lexicon with the built-in words.
pub(crate) async fn built_in_words(agent: Arc<FakeAgent>) -> Lexicon {
    let (lexicon, problems) = Lexicon::open(engine(), agent, generous(), BUILT_IN, vec![]).await;
    assert_eq!(problems, []);
    lexicon
}

/// Opens a lexicon over a directory, with what cannot be loaded.
pub(crate) async fn open(
    agent: Arc<FakeAgent>,
    policies: Policies,
    built_in: &[BuiltIn],
    dir: &Dir,
) -> (Lexicon, Vec<Problem>) {
    Lexicon::open(engine(), agent, policies, built_in, vec![dir.path()]).await
}

/// Tells PROBE to do something; gives the body of what it says.
pub(crate) async fn told(lexicon: &Lexicon, what: &str) -> Result<String, vocable_runtime::WordError> {
    let said = lexicon.say("PROBE", format!(r#"{{"do": "{what}"}}"#)).await?;
    Ok(String::from_utf8(said.body).unwrap())
}

/// A message that tells PROBE to do something.
pub(crate) fn telling(what: &str) -> Message {
    Message { headers: vec![("do".to_owned(), what.to_owned())], body: vec![] }
}

/// A directory of words.
pub(crate) struct Dir(tempfile::TempDir);

impl Dir {
    pub(crate) fn with(files: &[(&str, &[u8])]) -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, content)| std::fs::write(dir.path().join(name), content).unwrap());
        dir
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// Puts a file there as one should: under another name first.
    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        let unfinished = self.path().join(format!(".{name}.new"));
        std::fs::write(&unfinished, content).unwrap();
        std::fs::rename(unfinished, self.path().join(name)).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path().join(name)).unwrap();
    }
}

/// The next event.
pub(crate) async fn next(events: &mut Events) -> LexiconEvent {
    tokio::time::timeout(DEADLINE, events.recv()).await.expect("no event in time").unwrap()
}

/// What is expected of a refusal: kind and text.
pub(crate) fn refused(refusal: &Refusal) -> (&str, &str) {
    (refusal.slug(), refusal.text())
}
