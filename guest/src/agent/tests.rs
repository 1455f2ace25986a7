//! The agent over a real broker, with real words and commands; the host is the test.

use super::*;
use crate::capabilities::GuestCapabilities;
use crate::config::Config;
use crate::files::Files;
use crate::jobs::tests::test_config;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use vocable_runtime::{Engine, EngineConfig, Policies, Policy};
use vocable_stomp::broker::{AccessRules, Action, Broker, BrokerConfig, Link, Principal, Secret};
use vocable_stomp::client::{AckMode, ClientConfig, Credentials, Dial, Subscription};
use vocable_stomp::codec::Limits;
use vocable_stomp::{Command as Verb, Frame};

/// Nothing here takes nearly as long, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// The host's end of the bus.
struct Host {
    broker: Broker,
    link: Link,
}

impl Host {
    /// Its broker takes so many bytes at a time.
    async fn new(most: usize) -> Self {
        let rules = AccessRules::default().with_login(Principal::new("g1"), Secret::of("g1"));
        let rules = ["/queue/vocable.in.{login}", "/queue/vocable.stream.in.{login}"]
            .into_iter()
            .fold(rules, |rules, own| rules.allow("g1", Action::Read, own).unwrap());
        let rules = rules.allow("g1", Action::Write, "/queue/vocable.out.{login}").unwrap();
        let rules = rules.allow("host", Action::Write, "/queue/vocable.in.>").unwrap();
        let rules = rules.allow("host", Action::Read, "/queue/vocable.out.>").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let frames = Limits { body: most, ..Limits::default() };
        let config = BrokerConfig { frames, ..BrokerConfig::default() };
        let broker = Broker::start(config, Arc::new(rules), vec![listener]).unwrap();
        let link = broker.link(Principal::new("host")).await.unwrap();
        link.sender().subscribe("1", "/queue/vocable.out.g1", AckMode::Auto).await.unwrap();
        Self { broker, link }
    }

    /// Puts a message into the guest's mailbox.
    async fn says(&self, body: &str, headers: &[(&str, &str)]) {
        let frame = Frame::new(Verb::Send).with("destination", "/queue/vocable.in.g1");
        let frame = headers.iter().fold(frame, |frame, (name, value)| frame.with(name, *value));
        self.link.sender().send(frame.with_body(body.to_owned())).await.unwrap();
    }

    /// The guest's next message.
    async fn hears(&mut self) -> Frame {
        tokio::time::timeout(DEADLINE, self.link.receive()).await.unwrap().unwrap()
    }

    /// Answers what the guest has asked.
    async fn answers(&self, asked: &Frame) {
        self.says("CMD_RESULTS", &[("in-reply-to", asked.header("asked").unwrap())]).await;
    }
}

/// The two words that commands need, compiled once.
async fn words(capabilities: GuestCapabilities) -> Lexicon {
    static CACHE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
    let engine =
        Engine::new(EngineConfig { cache: Some(CACHE.path().join("words")), ..EngineConfig::default() });
    let grants = BTreeSet::from(["jobs".to_owned()]);
    let policies = Policies { default: Policy { grants, ..Policy::default() }, ..Policies::default() };
    let names = ["run-cmd", "cmd-results", "usage-cmd"];
    let words: Vec<_> =
        vocable_words::BUILT_IN.iter().copied().filter(|word| names.contains(&word.name)).collect();
    let (lexicon, problems) =
        Lexicon::open(engine.unwrap(), Arc::new(capabilities), policies, &words, Vec::new()).await;
    assert_eq!(problems, []);
    lexicon
}

/// The configuration that nobody has changed.
fn config(dir: &Path) -> Config {
    let sources = vocable_config::Sources {
        computed: Vec::new(),
        files: Vec::new(),
        environment: BTreeMap::new(),
        flags: Vec::new(),
    };
    let loaded = vocable_config::load(&crate::config::APPLICATION, &sources, crate::config::check);
    Config { state: dir.join("state"), ..loaded.value.unwrap() }
}

/// A connection that comes about once.
struct Once(Mutex<Option<DuplexStream>>);

impl Dial for Once {
    type Stream = DuplexStream;

    async fn dial(&self) -> std::io::Result<DuplexStream> {
        self.0.lock().unwrap().take().ok_or_else(|| std::io::Error::other("once only"))
    }
}

/// One process of the guest's agent.
struct Guest {
    jobs: Jobs,
    say_requests: mpsc::Sender<SayRequest>,
    agent: AbortOnDropHandle<()>,
    jobs_task: AbortOnDropHandle<()>,
    client_task: AbortOnDropHandle<()>,
    _files: tokio::task::JoinSet<()>,
}

impl Guest {
    async fn start(dir: &Path, host: &Host) -> Self {
        let config = ClientConfig {
            login: Some("g1".into()),
            credentials: Credentials::Proof(Secret::of("g1")),
            ..ClientConfig::new(host.broker.local_addrs()[0].to_string())
        };
        let mailbox = Subscription::new("mailbox", "/queue/vocable.in.g1", AckMode::ClientIndividual);
        Self::over(dir, Client::start(config, vec![mailbox])).await
    }

    async fn over(
        dir: &Path,
        (client, bus, client_task): (Client, mpsc::Receiver<BusEvent>, AbortOnDropHandle<()>),
    ) -> Self {
        let (jobs, job_events, jobs_task) = Jobs::open(test_config(dir)).await.unwrap();
        let (say_sender, say_requests) = mpsc::channel(1);
        let lexicon =
            words(GuestCapabilities::new("g1".into(), String::new(), jobs.clone(), say_sender.clone())).await;
        let files = Files::open(&config(dir), "g1", None, "127.0.0.1").await.unwrap();
        let (files, files_tasks) = files.serve(client.clone(), CancellationToken::new());
        let parts = Parts {
            id: "g1".into(),
            facts: Facts::default(),
            beacon: Duration::from_secs(3600),
            kill_after: Duration::from_secs(3600),
            client,
            bus,
            words: lexicon.events(),
            lexicon,
            jobs: jobs.clone(),
            job_events,
            say_requests,
            files,
        };
        let agent = AbortOnDropHandle::new(tokio::spawn(Agent::run(parts, CancellationToken::new())));
        Self { jobs, say_requests: say_sender, agent, jobs_task, client_task, _files: files_tasks }
    }

    /// Ends as by SIGKILL: nothing is said.
    async fn dies(self) {
        for task in [self.client_task, self.agent, self.jobs_task] {
            task.abort();
            let _ = task.await;
        }
    }
}

fn refusal_of(frame: &Frame) -> (&str, String) {
    let text = String::from_utf8(frame.body.to_vec()).unwrap();
    (frame.header("refusal").unwrap_or_default(), text)
}

#[tokio::test]
async fn answers_to_a_process_that_was_killed_do_not_make_the_next_forget_a_result() {
    let (dir, mut host) = (tempfile::tempdir().unwrap(), Host::new(1 << 20).await);
    let guest = Guest::start(dir.path(), &host).await;
    host.says("RUN_CMD", &[("asked", "h1"), ("cmd-id", "c1"), ("cmd", "/bin/true")]).await;
    let taken = host.hears().await;
    assert_eq!((taken.header("in-reply-to"), taken.header("refusal")), (Some("h1"), None));
    let told = host.hears().await;
    assert!(told.body.starts_with(b"CMD_RESULTS") && told.header("in-reply-to").is_none());
    guest.dies().await;

    let guest = Guest::start(dir.path(), &host).await;
    let again = host.hears().await;
    assert_eq!(again.header("cmd-id"), Some("c1"));
    assert_ne!(again.header("asked"), told.header("asked"));
    // What the host said to the process that was killed, and what one of an older version would have taken.
    host.answers(&told).await;
    host.says("CMD_RESULTS", &[("in-reply-to", "1")]).await;
    host.says("?", &[("asked", "h2")]).await;
    assert_eq!(host.hears().await.header("in-reply-to"), Some("h2"));
    assert_eq!(guest.jobs.unacknowledged().await.unwrap(), ["c1"]);
    host.answers(&again).await;
    let mark = dir.path().join("jobs/c1/acknowledged");
    crate::jobs::tests::until(|| mark.exists()).await;
    assert!(guest.jobs.unacknowledged().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_order_that_expired_in_the_mailbox_starts_nothing() {
    let (dir, mut host) = (tempfile::tempdir().unwrap(), Host::new(1 << 20).await);
    let program = [("cmd", "/bin/true"), ("host-time", "1000")];
    let order = |ask, cmd_id, valid_until| {
        [[("asked", ask), ("cmd-id", cmd_id)].to_vec(), vec![("valid-until", valid_until)], program.to_vec()]
            .concat()
    };
    host.says("RUN_CMD", &order("h1", "late", "5000")).await;
    host.says("RUN_CMD", &order("h2", "odd", "soon")).await;
    host.says("RUN_CMD", &order("h3", "good", "900000000")).await;
    let guest = Guest::start(dir.path(), &host).await;
    let (mut odd, mut question) = (host.hears().await, host.hears().await);
    if odd.header("in-reply-to").is_none() {
        std::mem::swap(&mut odd, &mut question);
    }
    assert_eq!((odd.header("in-reply-to"), refusal_of(&odd).0), (Some("h2"), "invalid"));
    assert_eq!((&question.body[..], question.header("in-reply-to")), (&b"?"[..], None));
    host.says("?", &[("in-reply-to", question.header("asked").unwrap()), ("host-time", "8000")]).await;
    let (mut refused, mut taken, mut told) = (None, None, None);
    for _ in 0..3 {
        let frame = host.hears().await;
        match frame.header("in-reply-to") {
            Some("h1") => refused = Some(frame),
            Some("h3") => taken = Some(frame),
            None => told = Some(frame),
            other => panic!("{other:?}"),
        }
    }
    let (kind, text) = refusal_of(refused.as_ref().unwrap()).clone();
    assert_eq!(kind, "expired");
    assert!(text.contains("1970-01-01T00:00:05Z") && text.contains("nothing was run"), "{text}");
    assert_eq!(taken.unwrap().header("refusal"), None);
    assert_eq!(told.unwrap().header("cmd-id"), Some("good"));
    assert!(!guest.jobs.is_known("late").await.unwrap());
    // An order that was carried out when it came the first time is not said to have expired.
    host.says("RUN_CMD", &order("h4", "good", "5000")).await;
    // It looks late: before anything is refused, the host is asked again.
    let question = host.hears().await;
    host.says("?", &[("in-reply-to", question.header("asked").unwrap()), ("host-time", "8000")]).await;
    let again = host.hears().await;
    assert_eq!((again.header("in-reply-to"), again.header("refusal")), (Some("h4"), None));
}

#[tokio::test]
async fn what_is_larger_than_the_bus_takes_is_told_in_pieces_or_refused() {
    const MOST: usize = 2000;
    let (dir, mut host) = (tempfile::tempdir().unwrap(), Host::new(MOST).await);
    let _guest = Guest::start(dir.path(), &host).await;
    let args = "[\"-c\",\"head -c 20000 /dev/zero\"]";
    host.says("RUN_CMD", &[("asked", "h1"), ("cmd-id", "c1"), ("cmd", "/bin/sh"), ("args", args)]).await;
    let mut output = 0;
    loop {
        let frame = host.hears().await;
        assert!(frame.body.len() <= MOST, "{} bytes", frame.body.len());
        match (frame.header("in-reply-to"), frame.header("offset")) {
            (Some(_), _) => continue,
            (None, Some(offset)) => {
                assert_eq!(offset.parse(), Ok(output));
                output += frame.body.len() - b"CMD_RESULTS ".len();
                host.answers(&frame).await;
            }
            (None, None) => break,
        }
    }
    assert_eq!(output, 20_000);
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_refused_instead_of_sent() {
    let (dir, mut host) = (tempfile::tempdir().unwrap(), Host::new(150).await);
    let _guest = Guest::start(dir.path(), &host).await;
    // Of each it says that it is not known.
    host.says("USAGE_CMD [\"c1\",\"c2\",\"c3\",\"c4\",\"c5\",\"c6\"]", &[("asked", "h2")]).await;
    let refused = host.hears().await;
    let (kind, text) = refusal_of(&refused);
    assert_eq!((refused.header("in-reply-to"), kind), (Some("h2"), "too-large"));
    assert!(text.contains("USAGE_CMD says") && text.contains("takes 150"), "{text}");
}

#[tokio::test]
async fn a_way_to_the_host_that_is_full_does_not_stop_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, mut theirs) = duplex(1 << 10);
    let dial = Once(Mutex::new(Some(ours)));
    let config = ClientConfig {
        outgoing_limit: 4 << 10,
        heart_beat: Duration::ZERO,
        ..ClientConfig::new("nowhere:1")
    };
    let mailbox = Subscription::new("m", "/queue/vocable.in.g1", AckMode::ClientIndividual);
    let guest = Guest::over(dir.path(), Client::start_over(dial, config, vec![mailbox])).await;
    let mut connect = [0; 512];
    assert!(theirs.read(&mut connect).await.unwrap() > 0);
    theirs.write_all(b"CONNECTED\nversion:1.2\n\n\0").await.unwrap();
    // Nobody reads what it answers.
    let long = "x".repeat(3000);
    for n in 0..8 {
        let ask = format!(
            "MESSAGE\nsubscription:m\nmessage-id:{n}\nack:{n}\ndestination:/queue/vocable.in.g1\nasked:{n}{long}\n\n?\0"
        );
        theirs.write_all(ask.as_bytes()).await.unwrap();
    }
    for _ in 0..3 {
        let (reply, answer) = oneshot::channel();
        guest.say_requests.send(SayRequest { word: "NOPE".into(), args: "{}".into(), reply }).await.unwrap();
        let answer = tokio::time::timeout(DEADLINE, answer).await.expect("the agent is stuck").unwrap();
        assert!(answer.unwrap_err().contains("NOPE"));
    }
}
