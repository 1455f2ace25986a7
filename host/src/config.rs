//! The configuration of the host: every key of `default.toml`, read and checked. The command line reads it too, to
//! find the agent.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use vocable_config::{
    Application, FileSource, Finding, Loaded, NamedTables, NoHome, Places, Setting, Size, Sources, Span,
};
use vocable_logging::LogSettings;
use vocable_runtime::settings::WordsSettings;

/// How the configuration of hosts is found and read.
pub const APPLICATION: Application = Application {
    name: "vocable",
    file_name: "vocable.toml",
    default: include_str!("default.toml"),
    env_prefix: "VOCABLE_",
    other_variables: &["VOCABLE_AGENT", "VOCABLE_CONFIG", "VOCABLE_TOKEN_FILE"],
    named_tables: &[NamedTables { parent: "words", template: "default" }],
};

/// Every key. What they mean is said in `default.toml`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "default.toml documents the keys, once, where people read them")]
pub struct Config {
    pub state: PathBuf,
    pub cache: PathBuf,
    pub broker: Broker,
    pub api: Api,
    pub roster: Roster,
    pub commands: Commands,
    pub files: Files,
    pub hypervisor: Hypervisor,
    pub groups: BTreeMap<String, Vec<String>>,
    pub words: WordsSettings,
    pub log: LogSettings,
    pub terminal: Terminal,
    pub client: Client,
}

/// `[broker]`
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "default.toml documents the keys, once, where people read them")]
pub struct Broker {
    pub listen: Vec<SocketAddr>,
    pub admit: Admit,
    pub heartbeat: Span,
    pub max_frame: Size,
    pub queue_limit: Size,
    pub mailbox_expires: Span,
    pub max_connections: usize,
}

/// Whether guests need a token.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Admit {
    /// A guest without a credential may log in as itself: for networks that nobody else is on.
    Any,
    /// Only guests with a credential, and only with theirs.
    Token,
}

/// `[api]`
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "default.toml documents the keys, once, where people read them")]
pub struct Api {
    pub listen: Vec<SocketAddr>,
    pub socket: String,
    pub socket_mode: String,
    pub certificate: String,
    pub key: String,
    pub max_request: Size,
    pub longest_wait: Span,
    pub max_connections: usize,
    pub audit: PathBuf,
    pub audit_size: Size,
    pub max_connections_per_caller: usize,
    pub max_rate: u32,
}

impl Api {
    /// The bits of `socket_mode`, an octal number of three or four digits.
    pub fn mode(&self) -> Option<u32> {
        u32::from_str_radix(&self.socket_mode, 8).ok().filter(|mode| *mode <= 0o777)
    }
}

/// `[roster]`
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "default.toml documents the keys, once, where people read them")]
pub struct Roster {
    pub beacon: Span,
    pub late_after: u32,
    pub lost_after: u32,
}

/// `[files]`
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "default.toml documents the keys, once, where people read them")]
pub struct Files {
    pub roots: Vec<PathBuf>,
}

/// `[hypervisor]`
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "default.toml documents the keys, once, where people read them")]
pub struct Hypervisor {
    pub driver: Driver,
    pub tag: String,
    pub operation_timeout: Span,
    pub virtualbox: VirtualBox,
}

/// `[hypervisor.virtualbox]`
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "default.toml documents the keys, once, where people read them")]
pub struct VirtualBox {
    pub home: PathBuf,
    pub host_only: String,
}

/// Which hypervisor runs the machines.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// The one that is installed, or none.
    Auto,
    /// None: guests are plain machines, or in something that others run.
    None,
    /// VirtualBox; without it the agent does not start.
    VirtualBox,
}

/// `[terminal]`
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "default.toml documents the keys, once, where people read them")]
pub struct Terminal {
    pub hangup_after: Span,
}

/// `[commands]`
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "default.toml documents the keys, once, where people read them")]
pub struct Commands {
    pub keep: Span,
    pub keep_bytes: Size,
    pub output_limit: Size,
    pub keep_free: Size,
    pub results_limit: Size,
}

/// `[client]`
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "default.toml documents the keys, once, where people read them")]
pub struct Client {
    pub agent: String,
    pub certificate: String,
}

/// Reads the configuration of this user on this machine: `file` instead of the usual ones if given, and what the
/// command line sets on top.
pub fn load(file: Option<PathBuf>, flags: Vec<Setting>) -> Result<Loaded<Config>, NoHome> {
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let places = Places::of(&APPLICATION, &environment, nix::unistd::getuid().as_raw())?;
    let named = file.or_else(|| environment.get("VOCABLE_CONFIG").map(PathBuf::from));
    let quoted = |path: PathBuf| toml_text(&path.to_string_lossy());
    let words: Vec<_> = places.data.iter().map(|folder| quoted(folder.join("words.d"))).collect();
    let sources = Sources {
        computed: vec![
            ("state", quoted(places.state.clone())),
            ("cache", quoted(places.cache.clone())),
            ("api.socket", quoted(places.runtime.join("api.sock"))),
            ("words.dirs", format!("[{}]", words.join(", "))),
        ],
        files: named.map_or(places.config, |file| vec![FileSource::Required(file)]),
        environment,
        flags,
    };
    Ok(vocable_config::load(&APPLICATION, &sources, check))
}

/// A text as TOML writes it.
fn toml_text(text: &str) -> String {
    // JSON's escapes are TOML's.
    serde_json::Value::from(text).to_string()
}

/// Bytes of a message that the agents send by themselves, such as a piece of input in base64, with room for its envelope.
const SMALLEST_FRAME: u64 = 512 << 10;

/// What the types alone do not say.
fn check(config: &Config) -> Vec<Finding> {
    let everywhere = |address: &SocketAddr| address.ip().is_unspecified();
    let listening = config.broker.listen.iter().enumerate().filter(|(_, address)| everywhere(address));
    let mut found: Vec<_> = listening
        .map(|(n, _)| {
            Finding::error(
                format!("broker.listen[{n}]"),
                "every interface; guests' commands would be open to your network",
            )
            .hint("name an address, such as that of the host-only interface")
        })
        .collect();
    if config.api.listen.is_empty() && config.api.socket.is_empty() {
        found.push(Finding::error("api.listen", "nobody could call: neither an address nor a socket"));
    }
    if config.api.mode().is_none() {
        found.push(
            Finding::error("api.socket_mode", format!("\"{}\" is no mode", config.api.socket_mode))
                .hint("\"0660\" lets in owner and group, \"0600\" the owner"),
        );
    }
    if config.api.certificate.is_empty() != config.api.key.is_empty() {
        found
            .push(Finding::error("api.certificate", "certificate and key go together: one of them is empty"));
    }
    if config.roster.lost_after <= config.roster.late_after {
        found.push(Finding::error("roster.lost_after", "expected more than roster.late_after"));
    }
    if config.broker.max_frame.bytes() < SMALLEST_FRAME {
        let problem = format!("expected at least {} KiB", SMALLEST_FRAME / 1024);
        let hint = "pieces of input, of output and of files have to fit";
        found.push(Finding::error("broker.max_frame", problem).hint(hint));
    }
    if config.hypervisor.operation_timeout.duration().is_zero() {
        found.push(Finding::error("hypervisor.operation_timeout", "expected more than nothing"));
    }
    if config.hypervisor.tag.is_empty() {
        found.push(Finding::error("hypervisor.tag", "expected a name: what has no tag is never removed"));
    }
    if config.roster.beacon.duration().is_zero() {
        found.push(Finding::error("roster.beacon", "expected more than nothing"));
    }
    for (key, size) in [
        ("commands.output_limit", config.commands.output_limit),
        ("commands.results_limit", config.commands.results_limit),
    ] {
        if size.bytes() == 0 {
            found.push(Finding::error(key, "expected more than nothing"));
        }
    }
    for (n, root) in config.files.roots.iter().enumerate().filter(|(_, root)| !root.is_absolute()) {
        let problem = format!("{} is no absolute path", root.display());
        found.push(Finding::error(format!("files.roots[{n}]"), problem));
    }
    found.extend(config.words.findings());
    found
}
