//! `vocable demo`: the whole story on this machine in a few seconds, no virtual machine needed.
//!
//! It starts the real host agent and three real guest agents as processes of their own, and types real commands: what
//! it prints is what they print. Everything happens in a temporary folder and on loopback, and is gone at the end.

use crate::{CliError, Global};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use vocable_api::Method;
use vocable_api::agent::Events;
use vocable_api::client::Client;
use vocable_api::guest::MakeToken;
use vocable_api::word;

/// Run a demonstration on this machine, without virtual machines
///
/// Starts a host agent and three guest agents as processes, runs commands on them, drops a new word in, kills a guest,
/// and stops everything. Takes a few seconds and leaves nothing behind.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// Component of a word that is not built in, to be dropped in while everything runs
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// Arguments of that word
    #[arg(long, value_name = "NAME=VALUE")]
    with: Vec<String>,
    /// Guest agent to start [default: vocable-guest beside this program]
    #[arg(long, value_name = "FILE")]
    guest_agent: Option<PathBuf>,
    /// Load the words in this folder instead of the built-in ones of the same names, on all four agents
    #[arg(long, value_name = "FOLDER")]
    words: Option<PathBuf>,
    /// Grant interfaces to a word beyond those of every word, on all four agents
    #[arg(long, value_name = "WORD=INTERFACE,...", value_parser = grant)]
    grant: Vec<Grant>,
}

/// A word, and the interfaces it may use.
type Grant = (String, Vec<String>);

fn grant(text: &str) -> Result<Grant, String> {
    let (word, interfaces) = text.split_once('=').ok_or("expected WORD=INTERFACE,...")?;
    Ok((word.to_owned(), interfaces.split(',').map(str::to_owned).collect()))
}

const GUESTS: [&str; 3] = ["blue", "green", "red"];
/// How long anything may take before the demonstration gives up.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long the host agent may take to be ready. It compiles the words, and large ones take tens of seconds; the
/// guests, who start after it, find them compiled.
const START_TIMEOUT: Duration = Duration::from_secs(300);

pub(crate) fn demo(_: &Global, arguments: DemoArgs) -> Result<ExitCode, CliError> {
    let broken = |error: std::io::Error| failed("the demonstration cannot start").cause(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    runtime.block_on(async {
        // Whichever ends first: dropping the stage kills what runs on it and removes its folder.
        tokio::select! {
            played = play(&arguments) => played.map(|()| ExitCode::SUCCESS),
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
        }
    })
}

async fn play(arguments: &DemoArgs) -> Result<(), CliError> {
    let started = Instant::now();
    let mut stage = Stage::set_up(arguments).await?;
    stage.guests_join(arguments).await?;

    stage.types(&["run", "@demo", "--", "uname", "-sr"]).await?;
    stage
        .types(&["run", "red", "--usage", "--", "sh", "-c", "head -c 20000000 /dev/zero | sha256sum"])
        .await?;
    stage.types(&["ps", "-a"]).await?;
    match &arguments.plugin {
        Some(plugin) => stage.drops_in(plugin, &arguments.with).await?,
        None => say("\n(no new word to drop in: give one with --plugin)"),
    }
    say("\nA word nobody knows:");
    stage.types(&["ask", "NOSUCH", "--to", "red"]).await?;
    stage.kills("green").await?;
    stage.types(&["guests"]).await?;
    stage.types(&["why", "green"]).await?;
    stage.ends().await?;
    say(&format!("\ndone in {:.1} s, nothing is left behind", started.elapsed().as_secs_f64()));
    Ok(())
}

fn failed(what: &str) -> CliError {
    CliError::new("demo", what)
}

fn say(text: &str) {
    // A demonstration nobody reads any more may go on to its end.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Everything the demonstration has started.
struct Stage {
    // Children before the folder they live in: fields are dropped in this order.
    guests: BTreeMap<&'static str, Child>,
    host: Child,
    client: Client,
    /// The number of the first event that was not looked at.
    next_event: f64,
    folder: TempDir,
}

impl Stage {
    async fn set_up(arguments: &DemoArgs) -> Result<Self, CliError> {
        let broken =
            |error: std::io::Error| failed("the demonstration cannot start").cause(error.to_string());
        let folder = tempfile::Builder::new().prefix("vocable-demo-").tempdir().map_err(broken)?;
        std::fs::create_dir(folder.path().join("words.d")).map_err(broken)?;
        write(&folder.path().join("vocable.toml"), &host_config(folder.path(), arguments), 0o644)?;
        let mut host = own_command(folder.path())?
            .args(["serve", "--json"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(broken)?;
        let ready = first_line(&mut host).await?;
        let ready: Json = serde_json::from_str(&ready)
            .map_err(|error| failed("the host agent said something strange").cause(error.to_string()))?;
        let address =
            |name: &str| ready.pointer(&format!("/{name}/0")).and_then(Json::as_str).unwrap_or_default();
        let words = ready.get("words").and_then(Json::as_array).map_or(0, Vec::len);
        say(&format!(
            "host ready in {} ms: broker {}, api {}, {words} words",
            ready.get("ms").unwrap_or(&Json::Null),
            address("broker"),
            address("api")
        ));
        let token = std::fs::read_to_string(folder.path().join("host/token")).map_err(broken)?;
        let client = Client::new(&format!("http://{}", address("api")), token)
            .map_err(|error| failed("the host agent cannot be asked").cause(error.to_string()))?;
        let stage = Self { guests: BTreeMap::new(), host, client, next_event: 1.0, folder };
        for guest in GUESTS {
            let token = stage.ask(MakeToken { guest: guest.to_owned() }).await?;
            let config = guest_config(stage.path(), guest, address("broker"), arguments);
            write(&stage.path().join(format!("{guest}.token")), &token, 0o600)?;
            write(&stage.path().join(format!("{guest}.toml")), &config, 0o644)?;
        }
        Ok(stage)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn ask<M: Method + Sync>(&self, method: M) -> Result<M::Reply, CliError> {
        let client = self.client.clone();
        let call = tokio::task::spawn_blocking(move || client.call(&method, TIMEOUT));
        let answer = call.await.map_err(|error| failed("a call was cut off").cause(error.to_string()))?;
        answer.map_err(|error| failed("the host agent did not answer").cause(error.to_string()))
    }

    async fn guests_join(&mut self, arguments: &DemoArgs) -> Result<(), CliError> {
        let beside = |program: PathBuf| program.with_file_name("vocable-guest");
        let program = match &arguments.guest_agent {
            Some(given) => given.clone(),
            None => std::env::current_exe().map(beside).unwrap_or_else(|_| "vocable-guest".into()),
        };
        for guest in GUESTS {
            let log = std::fs::File::create(self.path().join(format!("{guest}.log")));
            let log = log.map_err(|error| failed("no log can be written").cause(error.to_string()))?;
            let child = Command::new(&program)
                .arg("--config")
                .arg(self.path().join(format!("{guest}.toml")))
                .stdin(Stdio::null())
                .stderr(log)
                .kill_on_drop(true)
                .spawn();
            let missing = |error: std::io::Error| {
                failed(&format!("{} cannot be started", program.display()))
                    .cause(error.to_string())
                    .hint("build it, or name it with --guest-agent")
            };
            self.guests.insert(guest, child.map_err(missing)?);
        }
        let mut joined = Vec::new();
        while joined.len() < GUESTS.len() {
            joined.push(self.waits_for("guest.joined").await?);
        }
        joined.sort();
        say(&format!("{} have joined: three guest agents, here as processes", joined.join(", ")));
        Ok(())
    }

    /// The guest of the next event of that kind.
    async fn waits_for(&mut self, kind: &str) -> Result<String, CliError> {
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            let since = self.next_event;
            let page =
                self.ask(Events { since, timeout_s: 1.0, limit: Some(1), ..Events::default() }).await?;
            let Some(event) = page.events.into_iter().next() else { continue };
            self.next_event += 1.0;
            if event.kind == kind {
                return Ok(event.guest.unwrap_or_default());
            }
        }
        Err(failed(&format!("{kind} did not happen within {} s", TIMEOUT.as_secs())))
    }

    /// Runs this program as somebody at a terminal would.
    async fn types(&self, arguments: &[&str]) -> Result<(), CliError> {
        let shown: Vec<_> = arguments.iter().map(|word| quoted(word)).collect();
        say(&format!("\n$ vocable {}", shown.join(" ")));
        let mut command = own_command(self.path())?;
        // Both streams into one: in a story the order counts.
        let typed = command
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(std::io::stdout())
            .kill_on_drop(true)
            .status();
        match timeout(TIMEOUT, typed).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failed("a command cannot be run").cause(error.to_string())),
            Err(_) => Err(failed(&format!("vocable {} did not end", shown.join(" ")))),
        }
    }

    async fn drops_in(&mut self, plugin: &Path, with: &[String]) -> Result<(), CliError> {
        let name = plugin.file_name().unwrap_or_default().to_string_lossy().into_owned();
        say(&format!("\n$ cp {name} words.d/          a new word, dropped into the running agents"));
        let to = self.path().join("words.d").join(&name);
        let copied = std::fs::copy(plugin, to);
        copied.map_err(|error| {
            failed(&format!("{} cannot be copied", plugin.display())).cause(error.to_string())
        })?;
        self.waits_for("word.loaded").await?;
        // The guests look into the same folder; the first answer of each tells that it has the word too.
        let word = self.word_of(&name).await?;
        for guest in GUESTS {
            self.learns(guest, &word).await?;
        }
        let ask = ["ask", &word, "--to", "*"].into_iter().chain(with.iter().map(String::as_str));
        self.types(&ask.collect::<Vec<_>>()).await
    }

    /// What the word of that file calls itself.
    async fn word_of(&self, file: &str) -> Result<String, CliError> {
        let words = self.ask(word::List {}).await?;
        let found = words.into_iter().find(|word| word.source.ends_with(&format!("/{file}")));
        found.map(|word| word.word).ok_or_else(|| failed(&format!("no word came out of {file}")))
    }

    /// Waits until a guest knows a word: it says so by answering.
    async fn learns(&self, guest: &'static str, word: &str) -> Result<(), CliError> {
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            let ask = word::Ask { target: guest.to_owned(), word: word.to_owned(), ..word::Ask::default() };
            if self.ask(ask).await?.iter().any(|answer| answer.ok) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(failed(&format!("{guest} did not learn {word} within {} s", TIMEOUT.as_secs())))
    }

    async fn kills(&mut self, guest: &'static str) -> Result<(), CliError> {
        say(&format!("\nkill -9 the guest agent of {guest}:"));
        if let Some(mut child) = self.guests.remove(guest) {
            child
                .kill()
                .await
                .map_err(|error| failed("a guest cannot be killed").cause(error.to_string()))?;
        }
        self.waits_for("guest.lost").await.map(drop)
    }

    /// Asks everybody to stop, guests first, and waits until they have.
    async fn ends(&mut self) -> Result<(), CliError> {
        say("");
        for (guest, mut child) in std::mem::take(&mut self.guests) {
            stop(&mut child, guest).await?;
            self.waits_for("guest.left").await?;
            say(&format!("{guest} has left"));
        }
        stop(&mut self.host, "the host agent").await
    }
}

/// An orderly end of a process, within bounds.
async fn stop(child: &mut Child, name: &str) -> Result<(), CliError> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid {
        let told = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        told.map_err(|error| failed(&format!("{name} cannot be told to stop")).cause(error.to_string()))?;
    }
    match timeout(TIMEOUT, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(failed(&format!("{name} ended badly: {status}"))),
        Ok(Err(error)) => Err(failed(&format!("{name} is out of sight")).cause(error.to_string())),
        Err(_) => Err(failed(&format!("{name} did not stop"))),
    }
}

async fn first_line(child: &mut Child) -> Result<String, CliError> {
    let stdout = child.stdout.take().ok_or_else(|| failed("the host agent has no output"))?;
    let mut lines = BufReader::new(stdout).lines();
    match timeout(START_TIMEOUT, lines.next_line()).await {
        Ok(Ok(Some(line))) => Ok(line),
        Ok(Ok(None)) => Err(failed("the host agent ended at once")),
        Ok(Err(error)) => Err(failed("the host agent cannot be heard").cause(error.to_string())),
        Err(_) => Err(failed("the host agent is not ready in time")),
    }
}

/// This program, with the configuration of the demonstration and nothing of the user's.
fn own_command(folder: &Path) -> Result<Command, CliError> {
    let program = std::env::current_exe().map_err(|error| failed("who am I?").cause(error.to_string()))?;
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("VOCABLE_")) {
        command.env_remove(name);
    }
    command.env("VOCABLE_CONFIG", folder.join("vocable.toml"));
    Ok(command)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), CliError> {
    let written = std::fs::OpenOptions::new().create_new(true).write(true).mode(mode).open(path);
    let written = written.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| failed(&format!("{} cannot be written", path.display())).cause(error.to_string()))
}

fn host_config(folder: &Path, arguments: &DemoArgs) -> String {
    let path = |name: &str| json!(folder.join(name));
    format!(
        "state = {}\ncache = {}\n[broker]\nlisten = [\"127.0.0.1:0\"]\n[api]\nlisten = [\"127.0.0.1:0\"]\nsocket = \"\"\n\
         [words]\ndirs = {}\n[groups]\ndemo = {}\n[log]\nlevel = \"off\"\n{}",
        path("host"),
        path("cache"),
        words(folder, arguments),
        json!(GUESTS),
        grants(arguments),
    )
}

fn guest_config(folder: &Path, guest: &str, broker: &str, arguments: &DemoArgs) -> String {
    let path = |name: String| json!(folder.join(name));
    format!(
        "id = \"{guest}\"\nbroker = \"{broker}\"\ntoken_file = {}\nbeacon = \"1s\"\nstate = {}\ncache = {}\n\
         [words]\ndirs = {}\n{}",
        path(format!("{guest}.token")),
        path(guest.to_owned()),
        path("cache".to_owned()),
        words(folder, arguments),
        grants(arguments),
    )
}

fn words(folder: &Path, arguments: &DemoArgs) -> Json {
    let given = arguments.words.iter().map(|words| json!(words));
    given.chain([json!(folder.join("words.d"))]).collect()
}

/// The tables of the words that may do more than by default.
fn grants(arguments: &DemoArgs) -> String {
    let grants: BTreeMap<_, _> = arguments.grant.iter().cloned().collect();
    let tables =
        grants.iter().map(|(word, all)| format!("[words.{}]\ngrants = {}\n", json!(word), json!(all)));
    tables.collect()
}

/// A word as a shell wants it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}
