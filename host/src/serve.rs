//! `vocable serve`: all of the host agent put together, from its configuration to its orderly end.
//!
//! ```text
//! configuration ─▶ store, words, broker ─▶ agent ─▶ endpoint ─▶ "ready" … SIGTERM ─▶ endpoint, agent and broker end
//! ```

use crate::agent::capabilities::HostCapabilities;
use crate::agent::handle::Handle;
use crate::agent::retention::{self, Retention};
use crate::agent::roster::Timeouts;
use crate::agent::store::{Store, StoreError};
use crate::agent::streams::Streams;
use crate::agent::{Agent, Parts};
use crate::audit::Audit;
use crate::config::{self, Config};
use crate::credentials::{Credentials, Token};
use crate::endpoint::attach;
use crate::endpoint::http::{self, HttpConfig, Identity, Listener};
use crate::endpoint::rpc::{self, About, Api, Context};
use crate::files::Files;
use crate::files::transfers::Transfers;
use crate::jobs::{Engines, Jobs};
use crate::machines::engine;
use crate::machines::service::Machines;
use crate::panics;
use crate::start_error::StartError;
use crate::words::InstalledWords;
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use vocable_api::clock::Now;
use vocable_config::{Problems, Setting, Size, private, write_private};
use vocable_protocol::{HOST, Mailbox};
use vocable_runtime::settings::Reload;
use vocable_runtime::{Compiler, Engine, EngineConfig, Lexicon};
use vocable_stomp::broker::{AckMode, Broker, BrokerConfig, BrokerLimits, Link, Principal};
use vocable_stomp::codec::Limits;
use vocable_stomp::heartbeat::HeartBeat;

/// How the agent is started.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// The configuration file, in place of the usual ones.
    pub config: Option<PathBuf>,
    /// Keys of the configuration that the command line sets.
    pub settings: Vec<Setting>,
    /// Folders of words beside those of the configuration.
    pub words: Vec<PathBuf>,
    /// What says that the agent is ready.
    pub announce: Announce,
}

/// How the agent says that it is ready.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Announce {
    /// One line of JSON on standard output.
    Json,
    /// Nothing.
    Quiet,
    /// For people, on standard error.
    #[default]
    Text,
}

/// In the state folder: words that came over the API.
const INSTALLED_WORDS: &str = "words.d";
/// How long the orderly end may take; a second signal does not wait for it.
const ENDING: Duration = Duration::from_secs(5);
/// How long the start waits for the hypervisor to list its machines.
const READING: Duration = Duration::from_secs(3);
const WAITING: usize = 1024;

/// Runs the agent until it is told to stop.
///
/// # Errors
/// [`StartError`] if it cannot start, or a part of it ended by itself.
pub fn serve(options: ServeOptions) -> Result<(), StartError> {
    let started = Instant::now();
    let loaded = config::load(options.config, options.settings)
        .map_err(|error| StartError::new("config", error.to_string()))?;
    print_problems(&loaded.problems);
    let Some(mut config) = loaded.value else {
        return Err(StartError::new("config", "the configuration has errors").hint("vocable config check"));
    };
    config.words.dirs.extend(options.words);
    vocable_logging::start(&config.log).map_err(|error| StartError::new("config", error.to_string()))?;
    panics::end_where_nobody_catches();
    // One thread: a command is a chain of short steps, and handing them from thread to thread costs more than they do.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::new("internal", "the agent cannot start").cause(error.to_string()))?;
    runtime.block_on(async {
        let host = Host::start(config).await?;
        host.announce(options.announce, started).await;
        host.until_stopped().await
    })
}

fn print_problems(problems: &Problems) {
    if !problems.is_empty() {
        // Nobody can be told that standard error is closed.
        let _ = write!(io::stderr(), "{problems}");
    }
}

struct Host {
    config: Config,
    /// Where callers come in: URLs.
    api: Vec<String>,
    broker: Vec<SocketAddr>,
    words: Vec<String>,
    machines: Machines,
    stop: CancellationToken,
    /// Cancelled when a caller wants the agent to stop.
    quit: CancellationToken,
    agent: tokio::task::JoinHandle<()>,
    endpoint: tokio::task::JoinHandle<()>,
    /// Writes audit lines until the endpoint has ended.
    auditing: Option<tokio::task::JoinHandle<()>>,
    /// Streams, transfers, and what forgets old commands.
    background: JoinSet<()>,
    machines_task: tokio::task::JoinHandle<()>,
    /// Held so that no second agent uses the same folder.
    _lock: File,
}

impl Host {
    async fn start(config: Config) -> Result<Self, StartError> {
        let lock = lock(&config.state)?;
        let token = own_token(&config.state)?;
        let broken = |error: StoreError| StartError::new("store", error.to_string());
        let store = Store::open(&config.state, config.commands.keep_free.bytes()).map_err(broken)?;
        let credentials = Credentials::new(config.broker.admit, store.credentials().await.map_err(broken)?);
        let under_way = store.under_way().await.map_err(broken)?;
        let (requests, asked) = mpsc::channel(WAITING);
        let handle = Handle::new(requests, store.clone(), config.commands.results_limit);

        let engine = EngineConfig {
            pooling: true,
            cache: Some(config.cache.join("words")),
            compiler: Compiler::this_program(),
            lazy: true,
        };
        let engine = Engine::new(engine).map_err(|error| StartError::new("words", error.to_string()))?;
        let capabilities = Arc::new(HostCapabilities::new(handle.clone()));
        let installed = config.state.join(INSTALLED_WORDS);
        let mut dirs = config.words.dirs.clone();
        if dirs.last() != Some(&installed) {
            dirs.push(installed);
        }
        let policies = config.words.policies();
        let (lexicon, problems) =
            Lexicon::open(engine, capabilities, policies, vocable_words::BUILT_IN, dirs).await;
        lexicon.limit_messages(broker_config(&config).frames.body);
        for problem in problems {
            tracing::error!("{problem}");
        }
        let (words_changed, watching) = match config.words.reload {
            Reload::Watch => {
                let (events, watching) = lexicon.watch();
                (events, Some(watching))
            }
            Reload::Never => (lexicon.events(), None),
        };

        let listeners = listen(&config.broker.listen, "broker", "broker.listen").await?;
        let unavailable = |error: String| StartError::new("broker", "the broker cannot start").cause(error);
        let broker = Broker::start(broker_config(&config), Arc::new(credentials.clone()), listeners)
            .map_err(|error| unavailable(error.to_string()))?;
        let broker_events = broker.events();
        let link =
            linked(&broker, Mailbox::FromGuest, AckMode::ClientIndividual).await.map_err(unavailable)?;
        let stream_link =
            linked(&broker, Mailbox::StreamsFromGuest, AckMode::Auto).await.map_err(unavailable)?;
        let (streams, streams_task) = Streams::new(stream_link);
        let broker_addresses = broker.local_addrs().to_vec();

        let (stop, quit) = (CancellationToken::new(), CancellationToken::new());
        let roots = config.files.roots.clone();
        let files = Files::new(handle.clone(), credentials.clone(), streams.clone(), roots);
        let (transfers, transfers_task) = Transfers::new(store.clone(), files.clone(), handle.clone());
        let mut background = JoinSet::new();
        background.spawn(streams_task.run(stop.child_token()));
        background.spawn(transfers_task.run(stop.child_token()));
        let driver =
            crate::machines::open(&config.hypervisor, Arc::new(handle.clone()), &config.state).await?;
        let engine_settings = engine::Settings {
            tag: config.hypervisor.tag.clone(),
            operation_timeout: config.hypervisor.operation_timeout.duration(),
        };
        let (machines, notices, machines_task) = engine::start(driver, engine_settings, stop.child_token());
        let parts = Parts {
            timeouts: Timeouts {
                beacon: config.roster.beacon.duration(),
                late_after: config.roster.late_after,
                lost_after: config.roster.lost_after,
            },
            groups: config.groups.clone(),
            broker,
            broker_events,
            link,
            streams,
            lexicon: lexicon.clone(),
            words: words_changed,
            requests: asked,
            machines: machines.clone(),
            machine_notices: notices,
            store,
            under_way,
            known: credentials.guests(),
            max_frame: bytes(config.broker.max_frame),
            output_limit: config.commands.output_limit,
        };
        let agent_stop = stop.child_token();
        let agent = tokio::spawn(async move {
            // Watching lasts as long as the agent does.
            let _watching = watching;
            Agent::run(parts, agent_stop).await;
        });

        let (listeners, api) = api_listeners(&config).await?;
        let words = lexicon.words().into_iter().map(|word| word.name).collect();
        let about = About {
            broker: broker_addresses.iter().map(SocketAddr::to_string).collect(),
            started: Now::read().utc,
        };
        let what = Retention {
            keep: config.commands.keep.duration(),
            keep_bytes: config.commands.keep_bytes.bytes(),
        };
        background.spawn(retention::run(handle.clone(), what, stop.child_token()));
        let longest_wait = config.api.longest_wait.duration();
        let (jobs, jobs_task) = Jobs::new(Engines {
            handle: handle.clone(),
            lexicon: lexicon.clone(),
            files: files.clone(),
            transfers: transfers.clone(),
            machines: machines.clone(),
        });
        background.spawn(jobs_task.run(stop.child_token()));
        let context = Context {
            handle,
            installed_words: InstalledWords::new(lexicon.clone(), config.state.join(INSTALLED_WORDS)),
            lexicon,
            longest_wait,
            max_message: bytes(config.broker.max_frame),
            about: Arc::new(about),
            credentials,
            jobs,
            fetched: Arc::default(),
            quit: quit.clone(),
            files: files.clone(),
            transfers,
            machines: machines.clone(),
        };
        let hangup_after = config.terminal.hangup_after.duration();
        let Context { handle, lexicon, .. } = context.clone();
        let terminals = attach::router(handle, lexicon, hangup_after, stop.child_token());
        let (audit, auditing) = open_audit(&config)?;
        let http = HttpConfig {
            max_request: bytes(config.api.max_request),
            max_connections: config.api.max_connections,
            max_connections_per_caller: config.api.max_connections_per_caller,
            max_rate: config.api.max_rate,
            audit,
            extra: rpc::live_events(context.clone(), stop.child_token())
                .merge(http::files::router(files))
                .merge(terminals),
            ..HttpConfig::new(token)
        };
        let endpoint = tokio::spawn(http::serve(listeners, Api::new(context), http, stop.child_token()));
        write_urls(&config.state, &api)?;
        Ok(Self {
            config,
            api,
            broker: broker_addresses,
            words,
            stop,
            quit,
            agent,
            endpoint,
            background,
            auditing,
            machines,
            machines_task,
            _lock: lock,
        })
    }

    /// Says where everything is: for people on standard error, for programs (`--json`) on standard output.
    async fn announce(&self, announce: Announce, started: Instant) {
        let hypervisor = self.hypervisor().await;
        let ms = started.elapsed().as_millis();
        let version = env!("CARGO_PKG_VERSION");
        let brokers: Vec<_> = self.broker.iter().map(SocketAddr::to_string).collect();
        let told = if announce == Announce::Json {
            let addresses: Vec<_> =
                self.api.iter().filter_map(|url| url.split_once("://")).map(|it| it.1).collect();
            let ready = json!({"event": "ready", "version": version, "broker": brokers,
                "api": addresses, "urls": self.api, "hypervisor": hypervisor, "words": self.words, "ms": u64::try_from(ms).unwrap_or(u64::MAX)});
            writeln!(io::stdout(), "{ready}")
        } else if announce == Announce::Quiet {
            Ok(())
        } else {
            writeln!(
                io::stderr(),
                "vocable {version}  state {}\n  broker      stomp {}\n  api         {}\n  hypervisor  {hypervisor}\n  words       {}\nready in {ms} ms",
                self.config.state.display(),
                brokers.join(", "),
                self.api.join(", "),
                self.words.join(" "),
            )
        };
        if let Err(error) = told {
            tracing::warn!("nobody was told that the agent is ready: {error}");
        }
    }

    /// `VirtualBox 7.2.22, 6 VMs (4 ours)`
    async fn hypervisor(&self) -> String {
        let about = self.machines.about();
        if !about.runs_machines {
            return about.name;
        }
        match tokio::time::timeout(READING, self.machines.read()).await {
            Ok(Ok(view)) => {
                let ours = |it: &&crate::machines::Machine| it.tag.as_deref() == Some(self.machines.tag());
                let (all, ours) = (view.machines.len(), view.machines.values().filter(ours).count());
                format!("{}, {all} VM{} ({ours} ours)", about.name, if all == 1 { "" } else { "s" })
            }
            Ok(Err(error)) => format!("{}: {error}", about.name),
            Err(_) => format!("{}, its machines are still being read", about.name),
        }
    }

    /// Waits for a signal, or the end of something that should not end; then ends everything, within bounds.
    async fn until_stopped(mut self) -> Result<(), StartError> {
        let heard = |kind| signal(kind).map_err(|error| StartError::new("internal", error.to_string()));
        let (mut terminate, mut interrupt) =
            (heard(SignalKind::terminate())?, heard(SignalKind::interrupt())?);
        let broken = tokio::select! {
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
            () = self.quit.cancelled() => None,
            _ = &mut self.agent => Some("the agent's task ended by itself"),
            _ = &mut self.endpoint => Some("the endpoint ended by itself"),
            _ = &mut self.machines_task => Some("the task of the machines ended by itself"),
            () = ended(&mut self.auditing) => Some("the task that writes the audit ended by itself"),
            () = panicked(&mut self.background) => Some("a background task ended by itself"),
        };
        tracing::info!("stopping");
        remove_url(&self.config.state);
        remove_socket(&self.config.api.socket);
        self.stop.cancel();
        let orderly = async {
            if broken.is_none() {
                // Both end by themselves now; that they ended is all that matters.
                let _ = (&mut self.endpoint).await;
                if let Some(auditing) = self.auditing.take() {
                    let _ = auditing.await;
                }
                let _ = (&mut self.agent).await;
                while self.background.join_next().await.is_some() {}
                let _ = (&mut self.machines_task).await;
            }
        };
        tokio::select! {
            () = orderly => {}
            _ = terminate.recv() => tracing::warn!("stopped at once"),
            _ = interrupt.recv() => tracing::warn!("stopped at once"),
            () = tokio::time::sleep(ENDING) => tracing::warn!("stopped after {} s", ENDING.as_secs()),
        }
        match broken {
            None => Ok(()),
            Some(what) => Err(StartError::new("internal", what)),
        }
    }
}

/// Waits until one of them panics. The agent would live on without it, and nobody would know.
async fn panicked(tasks: &mut JoinSet<()>) {
    loop {
        match tasks.join_next().await {
            Some(Err(error)) if error.is_panic() => return,
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

/// Waits until it has ended, if there is one.
async fn ended(task: &mut Option<tokio::task::JoinHandle<()>>) {
    match task {
        // However it has: it should not have.
        Some(task) => drop(task.await),
        None => std::future::pending().await,
    }
}

fn bytes(size: Size) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}

fn broker_config(config: &Config) -> BrokerConfig {
    let limits = BrokerLimits {
        connections: config.broker.max_connections,
        queue_bytes: bytes(config.broker.queue_limit),
        message_lifetime: Some(config.broker.mailbox_expires.duration()),
        ..BrokerLimits::default()
    };
    BrokerConfig {
        limits,
        frames: Limits { body: bytes(config.broker.max_frame), ..Limits::default() },
        heart_beat: HeartBeat::every(config.broker.heartbeat.duration()),
        ..BrokerConfig::default()
    }
}

/// A connection to the broker inside this process, subscribed to what all guests send there.
async fn linked(broker: &Broker, from: Mailbox, ack: AckMode) -> Result<Link, String> {
    let link = broker.link(Principal::new(HOST).many()).await.map_err(|error| error.to_string())?;
    let subscribed = link.sender().subscribe("guests", &from.of_all(), ack).await;
    subscribed.map_err(|error| error.to_string())?;
    Ok(link)
}

async fn listen(addresses: &[SocketAddr], what: &str, key: &str) -> Result<Vec<TcpListener>, StartError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let code = if error.kind() == io::ErrorKind::AddrInUse { "port-taken" } else { "no-address" };
            StartError::new(code, format!("{what} cannot listen on {address}"))
                .cause(error.to_string())
                .hint(format!("choose another address: {key} in the configuration, or port 0 for any"))
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Where calls that change something are written down, and the task that does it.
fn open_audit(config: &Config) -> Result<(Audit, Option<tokio::task::JoinHandle<()>>), StartError> {
    if config.api.audit.as_os_str().is_empty() {
        return Ok((Audit::none(), None));
    }
    let path = config.state.join(&config.api.audit);
    let (audit, writing) = Audit::to_file(&path, config.api.audit_size.bytes()).map_err(refused(&path))?;
    Ok((audit, Some(writing)))
}

/// Where callers come in, and the URL of each: loopback in the clear, other addresses with TLS, the socket.
async fn api_listeners(config: &Config) -> Result<(Vec<Listener>, Vec<String>), StartError> {
    let api = &config.api;
    let (mut listeners, mut urls) = (Vec::new(), Vec::new());
    for (listener, address) in listen(&api.listen, "api", "api.listen").await?.into_iter().zip(&api.listen) {
        let bound = listener.local_addr().map_err(|error| StartError::new("internal", error.to_string()))?;
        if address.ip().is_loopback() {
            urls.push(format!("http://{bound}"));
            listeners.push(Listener::Tcp(listener));
        } else {
            let acceptor = identity(config).and_then(|identity| identity.acceptor());
            let acceptor = acceptor.map_err(|error| {
                StartError::new("bad-certificate", format!("api cannot speak TLS on {address}"))
                    .cause(error.to_string())
            })?;
            urls.push(format!("https://{bound}"));
            listeners.push(Listener::Tls(listener, acceptor));
        }
    }
    if !api.socket.is_empty() {
        let mode = api.mode().unwrap_or(0o600);
        let socket = http::unix(Path::new(&api.socket), mode).map_err(|error| {
            StartError::new("no-socket", "the api's socket cannot be used")
                .cause(error.to_string())
                .hint("choose another: api.socket in the configuration, or \"\" for none")
        })?;
        listeners.push(Listener::Unix(socket));
        urls.push(format!("unix:{}", api.socket));
    }
    Ok((listeners, urls))
}

/// The certificate of the configuration, or one of our own for the addresses listened on.
fn identity(config: &Config) -> Result<Identity, http::TlsError> {
    let api = &config.api;
    if api.certificate.is_empty() {
        let addresses: Vec<_> = api.listen.iter().map(SocketAddr::ip).collect();
        return Identity::own(&config.state, &addresses);
    }
    Ok(Identity { certificate: api.certificate.clone().into(), key: api.key.clone().into() })
}

fn refused(path: &Path) -> impl Fn(io::Error) -> StartError {
    move |error| {
        StartError::new("state", format!("{} cannot be used", path.display())).cause(error.to_string())
    }
}

fn lock(state: &Path) -> Result<File, StartError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(refused(state))?;
    let path = state.join("lock");
    let file = private().create(true).truncate(false).open(&path).map_err(refused(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(StartError::new("already-running", format!("another host agent uses {}", state.display()))
                .hint("stop it, or give this one a folder of its own: --state FOLDER"))
        }
        Err(fs::TryLockError::Error(error)) => Err(refused(&path)(error)),
    }
}

/// The token callers need: found, or made at the first start.
fn own_token(state: &Path) -> Result<String, StartError> {
    let path = state.join("token");
    match fs::read_to_string(&path) {
        Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(&path)(error)),
        _ => {}
    }
    let token = Token::new("vc").map_err(|error| StartError::new("internal", error.to_string()))?;
    write_private(&path, token.as_str().as_bytes()).map_err(refused(&path))?;
    Ok(token.as_str().to_owned())
}

/// Tells the command line where this agent is: at its socket, where no token is needed, or else at its first address.
fn write_urls(state: &Path, urls: &[String]) -> Result<(), StartError> {
    let path = state.join("agent.url");
    let (sockets, others): (Vec<_>, Vec<_>) = urls.iter().partition(|url| url.starts_with("unix:"));
    let lines: String =
        sockets.into_iter().chain(others.into_iter().take(1)).map(|url| format!("{url}\n")).collect();
    write_private(&path, lines.as_bytes()).map_err(refused(&path))
}

fn remove_url(state: &Path) {
    if let Err(error) = fs::remove_file(state.join("agent.url")) {
        tracing::warn!("agent.url stays in {}: {error}", state.display());
    }
}

fn remove_socket(socket: &str) {
    if !socket.is_empty()
        && let Err(error) = fs::remove_file(socket)
    {
        tracing::warn!("{socket} stays: {error}");
    }
}
