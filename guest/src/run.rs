//! All of the guest agent put together: from its configuration to its last word.

use crate::agent::{Agent, Parts};
use crate::capabilities::GuestCapabilities;
use crate::config::{Cgroup, Config};
use crate::files::{Files, FilesError};
use crate::identity::{IdentityError, Machine};
use crate::jobs::{JobError, Jobs, JobsConfig};
use crate::private;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use vocable_protocol::{Facts, Mailbox};
use vocable_runtime::settings::Reload;
use vocable_runtime::{Compiler, Engine, EngineConfig, Lexicon};
use vocable_stomp::client::{AckMode, Client, ClientConfig, Credentials, Reconnect, Secret, Subscription};

#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Jobs(#[from] JobError),
    #[error(transparent)]
    Words(#[from] vocable_runtime::EngineError),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{0} can be read by others, who could pretend to be this guest; chmod 600 {0}", path.display())]
    Readable { path: PathBuf },
}

/// The hidden first argument that makes this program the supervisor of the job in the folder that follows.
pub(crate) const SUPERVISE: &str = "supervise";
/// Messages that words want said and that may wait for the agent.
const SAY_REQUESTS: usize = 64;

/// Runs the agent until cancelled.
pub(crate) async fn run(config: Config, stop: CancellationToken) -> Result<(), StartError> {
    let machine = Machine::detect(Some(config.interface.as_str()).filter(|name| *name != "auto"));
    let id = machine.id(&config.id)?;
    let address = machine.broker(&config.broker)?;
    let passcode = credential(&config.token_file)?;
    private::folder(&config.state)
        .map_err(|source| StartError::File { path: config.state.clone(), source })?;
    let (jobs, job_events, _jobs_task) = Jobs::open(jobs_config(&config)).await?;
    let (say_sender, say_requests) = mpsc::channel(SAY_REQUESTS);
    let ip = own_ip(&address);
    let files = Files::open(&config, &id, passcode.as_deref(), &ip).await?;
    let capabilities = Arc::new(GuestCapabilities::new(id.clone(), ip, jobs.clone(), say_sender));
    let engine = Engine::new(EngineConfig {
        pooling: false,
        cache: Some(config.cache.join("words")),
        compiler: Compiler::this_program(),
        lazy: false,
    })?;
    let (lexicon, problems) = Lexicon::open(
        engine,
        capabilities,
        config.words.policies(),
        vocable_words::BUILT_IN,
        config.words.dirs.clone(),
    )
    .await;
    for problem in problems {
        warn!("{problem}");
    }
    let (words, _watching) = match config.words.reload {
        Reload::Watch => {
            let (events, watching) = lexicon.watch();
            (events, Some(watching))
        }
        Reload::Never => (lexicon.events(), None),
    };
    let names: Vec<_> = lexicon.words().into_iter().map(|word| word.name).collect();
    info!(guest = id, broker = address, "words: {}", names.join(" "));
    let client = client_config(&config, &id, address, passcode);
    let mailbox = Subscription::new("mailbox", Mailbox::ToGuest.of(&id), AckMode::ClientIndividual);
    let streams = Subscription::new("streams", Mailbox::StreamsToGuest.of(&id), AckMode::Auto);
    let (client, bus, _client_task) = Client::start(client, vec![mailbox, streams]);
    let facts = Facts { files: Some(files.fact()), ..facts(&config, machine) };
    let files_stop = stop.child_token();
    let (files, mut files_tasks) = files.serve(client.clone(), files_stop.clone());
    let beacon = config.beacon.duration();
    let kill_after = config.jobs.kill_after.duration();
    let parts = Parts {
        id,
        facts,
        beacon,
        kill_after,
        client,
        bus,
        lexicon,
        words,
        jobs,
        job_events,
        say_requests,
        files,
    };
    Agent::run(parts, stop).await;
    files_stop.cancel();
    files_tasks.shutdown().await;
    Ok(())
}

fn client_config(config: &Config, id: &str, address: String, passcode: Option<String>) -> ClientConfig {
    let reconnect = Reconnect {
        first: config.reconnect.first.duration(),
        most: config.reconnect.most.duration(),
        jitter: config.reconnect.jitter,
    };
    ClientConfig {
        login: Some(id.to_owned()),
        // A host without it is not obeyed, and none is sent it.
        credentials: passcode.map_or(Credentials::None, |passcode| Credentials::Proof(Secret::of(&passcode))),
        connect_headers: vec![("agent-version".into(), env!("CARGO_PKG_VERSION").into())],
        heart_beat: config.heartbeat.duration(),
        reconnect,
        ..ClientConfig::new(address)
    }
}

fn jobs_config(config: &Config) -> JobsConfig {
    JobsConfig {
        dir: config.state.join("jobs"),
        // Not the path of the program: after an upgrade another version would be there.
        supervisor: PathBuf::from("/proc/self/exe"),
        supervisor_args: vec![SUPERVISE.into()],
        spool_limit: config.jobs.spool_limit.bytes(),
        when_spool_full: config.jobs.when_spool_full,
        max_running: config.jobs.max_running,
        default_dir: config.jobs.home.clone(),
        env: config.jobs.env.clone(),
        keep: config.jobs.keep.duration(),
        cgroups: matches!(config.jobs.cgroup, Cgroup::Auto),
    }
}

/// The guest's credential; none is fine, the host decides.
fn credential(path: &Path) -> Result<Option<String>, StartError> {
    let read = std::fs::read_to_string(path).and_then(|text| Ok((text, std::fs::metadata(path)?)));
    match read {
        Ok((_, metadata)) if metadata.permissions().mode() & 0o077 != 0 => {
            Err(StartError::Readable { path: path.into() })
        }
        Ok((text, _)) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StartError::File { path: path.into(), source }),
    }
}

/// What the host is told of this guest when it joins.
fn facts(config: &Config, machine: Machine) -> Facts {
    Facts {
        agent: Some(env!("CARGO_PKG_VERSION").to_owned()),
        beacon: Some(config.beacon.duration().as_secs_f64().to_string()),
        boot_id: machine.boot_id,
        mac: machine.mac,
        ..Facts::default()
    }
}

/// The address this machine would send from to reach the broker: asking the kernel sends nothing.
fn own_ip(broker: &str) -> String {
    let local = || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(broker)?;
        socket.local_addr()
    };
    local().map(|address| address.ip().to_string()).unwrap_or_default()
}
