//! The program: its command line, and what its hidden arguments start.

use crate::config::{APPLICATION, Config, check};
use crate::{run, supervisor};
use anyhow::Context;
use clap::{Parser, Subcommand};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use vocable_config::{FileSource, Listing, Loaded, Setting, Sources};

/// Run commands and words for a Vocable host.
///
/// Without arguments and without configuration: connects to port 61613 of the default gateway, as the MAC address of
/// the network card that leads there.
#[derive(Parser)]
#[command(name = "vocable-guest", version)]
struct Arguments {
    /// Read this file instead of /etc/vocable/guest.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Be known by this name instead of the MAC address
    #[arg(long, global = true)]
    id: Option<String>,
    /// Connect to this broker instead of the default gateway
    #[arg(long, global = true, value_name = "HOST:PORT")]
    broker: Option<String>,
    /// Read the credential from this file
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Show or check the configuration
    #[command(subcommand)]
    Config(ConfigVerb),
}

#[derive(Subcommand)]
enum ConfigVerb {
    /// Check the configuration: all problems at once
    Check,
    /// Print the commented default file
    Default,
    /// Print every key with its value and where it comes from
    List {
        /// Only keys that somebody has set
        #[arg(long)]
        changed: bool,
    },
}

/// The program `vocable-guest`.
pub fn main() -> ExitCode {
    // A supervisor is this same program: it has to be small, so it is told apart before anything else happens.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == run::SUPERVISE) {
        return match arguments.next() {
            Some(folder) => supervisor::main(Path::new(&folder)),
            None => ExitCode::from(2),
        };
    }
    if let Some(code) = vocable_runtime::compile_if_asked() {
        return code;
    }
    match act(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let loaded = load(&arguments);
    match arguments.verb {
        None => serve(loaded),
        Some(Verb::Config(verb)) => configuration(&verb, &loaded),
    }
}

fn configuration(verb: &ConfigVerb, loaded: &Loaded<Config>) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match verb {
        ConfigVerb::Default => write!(out, "{}", APPLICATION.default)?,
        ConfigVerb::Check => write!(out, "{}", loaded.problems)?,
        ConfigVerb::List { changed } => {
            let shown = loaded.entries.iter().filter(|entry| !changed || entry.is_set()).collect();
            write!(out, "{}", Listing(shown))?;
        }
    }
    let failed = matches!(verb, ConfigVerb::Check) && loaded.problems.has_errors();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn load(arguments: &Arguments) -> Loaded<Config> {
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let named =
        arguments.config.clone().or_else(|| environment.get("VOCABLE_GUEST_CONFIG").map(PathBuf::from));
    let usual = vec![
        FileSource::Optional("/etc/vocable/guest.toml".into()),
        FileSource::Folder("/etc/vocable/guest.d".into()),
    ];
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let flags = [
        ("--id", "id", arguments.id.clone()),
        ("--broker", "broker", arguments.broker.clone()),
        ("--token-file", "token_file", arguments.token_file.as_ref().map(text)),
    ];
    let setting = |(flag, key, value): (&str, &str, Option<String>)| {
        Some(Setting {
            flag: flag.to_owned(),
            key: key.to_owned(),
            value: serde_json::Value::from(value?).to_string(),
        })
    };
    let sources = Sources {
        computed: Vec::new(),
        files: named.map_or(usual, |file| vec![FileSource::Required(file)]),
        environment,
        flags: flags.into_iter().filter_map(setting).collect(),
    };
    vocable_config::load(&APPLICATION, &sources, check)
}

fn serve(loaded: Loaded<Config>) -> anyhow::Result<ExitCode> {
    let mut err = std::io::stderr();
    if !loaded.problems.is_empty() {
        write!(err, "{}", loaded.problems)?;
    }
    let Some(config) = loaded.value else { return Ok(ExitCode::FAILURE) };
    vocable_logging::start(&config.log)?;
    // One thread: a command is a chain of short steps, and handing them from thread to thread costs more than they do.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be heard")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be heard")?;
        let running = run::run(config, stop.clone());
        tokio::pin!(running);
        tokio::select! {
            ended = &mut running => ended?,
            _ = terminate.recv() => { stop.cancel(); running.await? }
            _ = interrupt.recv() => { stop.cancel(); running.await? }
        }
        Ok(ExitCode::SUCCESS)
    })
}
