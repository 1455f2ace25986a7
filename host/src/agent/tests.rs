//! The agent's task, with a broker and a store of its own and no word.

use super::*;
use crate::agent::capabilities::HostCapabilities;
use crate::agent::commands::Program;
use crate::agent::events::Wanted;
use crate::agent::handle::Handle;
use crate::agent::reports::{News, Piece, Report, ReportError};
use crate::agent::store::{Run, Space};
use crate::config::Admit;
use crate::credentials::Credentials;
use crate::machines::{engine, none::PlainMachines};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use vocable_protocol::{HOST, Mailbox, Part};
use vocable_runtime::{Engine, EngineConfig};
use vocable_stomp::broker::{AckMode, BrokerConfig, Principal};

struct Running {
    handle: Handle,
    store: Store,
    requests: mpsc::Sender<Request>,
    stop: CancellationToken,
}

/// An agent with one command under way, `a.vm1`, of which the store has `output`.
async fn running(folder: &Path, output: &'static str, state: CommandState) -> Running {
    let store = Store::open(folder, 0).unwrap();
    let now = OffsetDateTime::UNIX_EPOCH;
    let mut command = Command::new("a", "vm1", Program::default(), now);
    let run = Run { id: "a".into(), target: "vm1".into(), single: true, request: "{}".into(), created: now };
    store.add(run, vec![command.clone()]).await.unwrap();
    if !output.is_empty() {
        store.append(command.id.clone(), Part::Out, 0, output.into(), Space::Usual).await.unwrap();
    }
    command.state = state;
    command.ended = state.is_over().then_some(now);
    store.update(command).await.unwrap();

    let (requests, asked) = mpsc::channel(64);
    let handle = Handle::new(requests.clone(), store.clone(), "64KiB".parse().unwrap());
    let engine = Engine::new(EngineConfig { lazy: true, ..EngineConfig::default() }).unwrap();
    let capabilities = Arc::new(HostCapabilities::new(handle.clone()));
    let (lexicon, _) = Lexicon::open(engine, capabilities, Default::default(), &[], Vec::new()).await;
    let credentials = Arc::new(Credentials::new(Admit::Any, BTreeMap::new()));
    let broker = Broker::start(BrokerConfig::default(), credentials, Vec::new()).unwrap();
    let broker_events = broker.events();
    let link = || async { broker.link(Principal::new(HOST).many()).await.unwrap() };
    let (messages, streams) = (link().await, link().await);
    let from = Mailbox::FromGuest.of_all();
    messages.sender().subscribe("guests", &from, AckMode::ClientIndividual).await.unwrap();
    let stop = CancellationToken::new();
    let driver = PlainMachines::open(Arc::new(handle.clone()), folder).unwrap();
    let settings = engine::Settings { tag: "vocable".into(), operation_timeout: Duration::from_secs(9) };
    let (machines, machine_notices, _) = engine::start(Arc::new(driver), settings, stop.clone());
    let parts = Parts {
        timeouts: Timeouts { beacon: Duration::from_secs(10), late_after: 1, lost_after: 3 },
        groups: BTreeMap::new(),
        broker,
        broker_events,
        link: messages,
        words: lexicon.events(),
        lexicon,
        requests: asked,
        streams: Streams::new(streams).0,
        store: store.clone(),
        machines,
        machine_notices,
        under_way: store.under_way().await.unwrap(),
        known: BTreeSet::new(),
        max_frame: 1 << 20,
        output_limit: "8B".parse().unwrap(),
    };
    tokio::spawn(Agent::run(parts, stop.clone()));
    Running { handle, store, requests, stop }
}

impl Running {
    async fn output(&self, offset: u64, text: &'static str) -> Result<(), ReportError> {
        self.handle.take_output("vm1", "a.vm1", Part::Out, offset, text.into()).await
    }

    async fn end(&self, results: serde_json::Value) -> Result<(), ReportError> {
        self.handle.take_results("vm1", "a.vm1", results.as_object().unwrap().clone()).await
    }

    async fn command(&self) -> Command {
        self.store.command("a.vm1".into()).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn output_and_end_are_on_the_disk_before_they_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let agent = running(folder.path(), "", CommandState::Running).await;
    agent.output(0, "hel").await.unwrap();
    // Told twice, in other pieces.
    agent.output(1, "ello").await.unwrap();
    let read = agent.store.read("a.vm1".into(), Part::Out, 0, 99).await.unwrap();
    assert_eq!(read.bytes, b"hello");
    let gap = agent.output(7, "x").await.unwrap_err().to_string();
    assert_eq!(gap, "a.vm1: out continues at 7, and only 5 bytes are here");
    let other = agent.handle.take_input("vm2", "a.vm1", 1).await.unwrap_err().to_string();
    assert_eq!(other, "command a.vm1 is not of vm2");
    let short = json!({"finished": true, "exitCodeOrSignal": 0, "out_bytes": 6});
    assert!(agent.end(short).await.unwrap_err().to_string().contains("5 bytes here, and 6 were told"));
    agent.handle.take_input("vm1", "a.vm1", 7).await.unwrap();
    let (command, mut changed) =
        agent.handle.request(|reply| Request::Active { id: "a.vm1".into(), reply }).await.unwrap().unwrap();
    assert_eq!((command.input_taken, command.out_bytes), (7, 5));
    // Small output comes with the end.
    let whole = json!({"finished": true, "exitCodeOrSignal": 3, "out_bytes": 5, "err": "oh", "err_bytes": 2});
    agent.end(whole.clone()).await.unwrap();
    while changed.changed().await.is_ok() {}
    let ended = agent.command().await;
    assert_eq!((ended.state, ended.err_bytes), (CommandState::Done, 2));
    assert_eq!(ended.results.unwrap().exit_code_or_signal, Some(3));
    // What is over is only told once more.
    agent.end(whole).await.unwrap();
    agent.output(5, "more").await.unwrap();
    let unknown = agent.handle.take_input("vm1", "b.vm1", 1).await.unwrap_err().to_string();
    assert_eq!(unknown, "the host knows no command \"b.vm1\"");
    agent.stop.cancel();
}

#[tokio::test]
async fn output_beyond_the_limit_is_held_up_and_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let agent = running(folder.path(), "", CommandState::Running).await;
    agent.output(0, "12345").await.unwrap();
    agent.output(5, "67890").await.unwrap();
    let refused = agent.output(10, "x").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no-space: a.vm1 is held up: the output limit of 8B is reached; vocable kill a.vm1 ends it, \
         commands.output_limit is the limit"
    );
    let roster = agent.handle.roster().await.unwrap();
    assert!(roster.paused["vm1"].starts_with("a.vm1 is held up: the output limit of 8B"));
    // What comes with the end is taken: else that could not be told.
    agent.end(json!({"finished": true, "exitCodeOrSignal": 0, "err": "x", "err_bytes": 1})).await.unwrap();
    agent.stop.cancel();
}

#[tokio::test]
async fn what_was_given_up_is_taken_up_when_its_guest_reports_it() {
    let folder = tempfile::tempdir().unwrap();
    let agent = running(folder.path(), "hello", CommandState::Lost).await;
    agent.output(5, " w").await.unwrap();
    let found = agent.handle.list(store::Filter { limit: 9, all: true, ..Default::default() }).await;
    assert_eq!(found.unwrap()[0].state, CommandState::Running);
    let whole = vocable_protocol::sha256_hex("hello w");
    agent
        .end(json!({"finished": true, "exitCodeOrSignal": 0, "out_bytes": 7, "out_sha256": whole}))
        .await
        .unwrap();
    assert_eq!(agent.command().await.state, CommandState::Done);
    agent.stop.cancel();
}

#[tokio::test]
async fn reports_that_nobody_waited_for_are_taken_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let agent = running(folder.path(), "", CommandState::Running).await;
    let mut answers = Vec::new();
    for (offset, text) in [(0, "ab"), (0, "abcd"), (2, "cdef")] {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let piece = Piece { part: Part::Out, offset, bytes: text.into(), space: Space::Usual };
        let report = Report::new("vm1".into(), "a.vm1".into(), [piece].into(), News::None, reply);
        agent.requests.send(Request::Report(report)).await.unwrap();
        answers.push(answer);
    }
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    let digest = vocable_protocol::sha256_hex("abcdef");
    agent
        .end(json!({"finished": true, "exitCodeOrSignal": 0, "out_bytes": 6, "out_sha256": digest}))
        .await
        .unwrap();
    agent.stop.cancel();
}

#[tokio::test]
async fn a_request_is_written_down_and_begun_even_if_nobody_waits_for_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let agent = running(folder.path(), "", CommandState::Done).await;
    agent.handle.credential("vm1", [7; 32]).await.unwrap();
    let wanted = |id: &str, queue_s| handle::RunRequest {
        target: "vm1".into(),
        program: Program { cmd: "true".into(), ..Program::default() },
        id: Some(id.into()),
        options: handle::RunOptions { queue_s, ..Default::default() },
    };
    let refused = agent.handle.run(wanted("b", None)).await.unwrap_err();
    assert!(
        refused.to_string().starts_with("guest-offline: vm1 does not answer; nothing was run"),
        "{refused}"
    );
    let (reply, answer) = tokio::sync::oneshot::channel();
    let request = Request::Run { wanted: Box::new(wanted("b", Some(60.0))), reply };
    agent.requests.send(request).await.unwrap();
    drop(answer);
    // The same once more is the same run.
    assert_eq!(agent.handle.run(wanted("b", Some(60.0))).await.unwrap(), "b.vm1");
    let begun = Wanted::of(None, &["cmd.queued".to_owned()]).unwrap();
    agent.handle.events(0, 9, &begun, tokio::time::Instant::now() + Duration::from_secs(9)).await.unwrap();
    let waiting = agent.handle.request(|reply| Request::Active { id: "b.vm1".into(), reply }).await.unwrap();
    assert_eq!(waiting.unwrap().0.state, CommandState::Queued);
    let other = agent.handle.run(wanted("b", Some(61.0))).await.unwrap_err();
    assert_eq!(other.kind.slug(), "already-exists");
    agent.stop.cancel();
}
