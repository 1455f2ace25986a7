//! `vocable guest-image`: a disc that puts the guest agent and its credential into a machine.

use super::{CliError, Kind, Session, completion, format};
use crate::image::{Program, SeedDisc, SeedError, SeedFile, write_seed};
use clap_complete::ArgValueCompleter;
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};
use vocable_api::guest::MakeToken;
use vocable_api::target::is_guest_id;

/// No agent is larger, and a wrong file is not read to its end.
const MAX_AGENT: u64 = 512 << 20;
/// No credential or configuration is larger.
const MAX_TEXT: u64 = 1 << 20;

/// Create a disc that installs the guest agent in a machine
///
/// The disc is for machines that configure themselves when they boot: with cloud-init (data source NoCloud), as Debian's
/// and others' images for clouds, or with the contextualisation of CernVM. Put it into the machine and boot: the agent
/// is installed with its credential, started, and started again at every boot. Where neither is there, mount the disc
/// and run `sh vocable/install.sh` on it, as root.
///
/// A new credential is created; it replaces the one the guest may have had. Who can read the disc can log in as
/// that guest: the file is private, keep it so.
#[derive(clap::Args, Debug)]
pub(super) struct GuestImageArgs {
    /// Name of the guest; it need not be known yet
    #[arg(long, add = ArgValueCompleter::new(completion::guests))]
    name: String,
    /// File to write the disc to [default: NAME.iso]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace that file if it exists
    #[arg(long)]
    force: bool,
    /// Address of the broker [default: port 61613 of the guest's default gateway]
    #[arg(long, value_name = "HOST:PORT")]
    broker: Option<String>,
    /// Use this credential of `vocable token new` instead of a new one; - is standard input
    #[arg(long, value_name = "FILE")]
    guest_token_file: Option<PathBuf>,
    /// Configuration of the guest agent, installed as /etc/vocable/guest.toml
    #[arg(long, value_name = "FILE")]
    guest_config: Option<PathBuf>,
    /// Guest agent to install [default: vocable-guest beside this program]
    #[arg(long, value_name = "FILE")]
    guest_agent: Option<PathBuf>,
    /// Accept an agent that is not static: the machine has to have the libraries it needs
    #[arg(long)]
    dynamic: bool,
    /// List the files of the disc; create no credential and no disc
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn guest_image(session: &mut Session<'_>, args: &GuestImageArgs) -> Result<u8, CliError> {
    if !is_guest_id(&args.name) {
        let wrong = CliError::bad_argument(format!("\"{}\" cannot be the name of a guest", args.name));
        return Err(wrong.cause("1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"));
    }
    if let Some(broker) = args.broker.as_deref().filter(|broker| !is_address(broker)) {
        return Err(CliError::bad_argument(format!("\"{broker}\" is no HOST:PORT")));
    }
    let output = args.output.clone().unwrap_or_else(|| format!("{}.iso", args.name).into());
    let (agent, program) = agent(args)?;
    let config = args.guest_config.as_deref().map(text).transpose()?;
    // Last, when nothing else can be wrong: a new credential shuts out whoever has the old one.
    if !args.force && !args.dry_run && output.exists() {
        let exists = CliError::new("exists", format!("{} exists", output.display())).kind(Kind::Usage);
        return Err(exists.hint("add --force to replace it, or name another file with -o"));
    }
    let token = if args.dry_run { String::new() } else { token(session, args)? };
    let disc = SeedDisc { guest: args.name.clone(), agent, token, broker: args.broker.clone(), config };
    let files = disc.files();
    let listed: Vec<_> = files.iter().map(listed).collect();
    if args.dry_run {
        return dry_run(session, &files, &listed);
    }
    let size = write_seed(&output, files).map_err(failed)?;
    if session.terminal.is_json() {
        let document = json!({
            "guest": args.name, "image": output, "kind": "seed", "size": size, "machine": program.machine,
            "static": program.is_static, "files": listed,
        });
        session.terminal.document(&document)?;
        return Ok(0);
    }
    session.terminal.line(&output.display().to_string())?;
    let credential = if args.guest_token_file.is_some() { "its credential" } else { "a new credential" };
    let agent = format::size(u64::try_from(disc.agent.len()).unwrap_or(u64::MAX));
    session.terminal.say(&format!(
        "a disc of {} for {}: the agent for {} ({agent}), {credential}",
        format::size(size),
        args.name,
        program.machine
    ))?;
    let path = output.display();
    let create = format!("vocable vm create {} --from IMAGE --seed {path}", args.name);
    session.terminal.hint(&format!("{create}   or put it into any machine with cloud-init"))?;
    Ok(0)
}

fn dry_run(
    session: &mut Session<'_>,
    files: &[SeedFile],
    listed: &[serde_json::Value],
) -> Result<u8, CliError> {
    if session.terminal.is_json() {
        session.terminal.document(&json!({"files": listed}))?;
        return Ok(0);
    }
    for file in files {
        let size = format::size(u64::try_from(file.content.len()).unwrap_or(u64::MAX));
        session.terminal.line(&format!("{:03o} {size:>8}  {}", file.mode, file.path))?;
    }
    Ok(0)
}

fn listed(file: &SeedFile) -> serde_json::Value {
    json!({"path": file.path, "mode": format!("{:04o}", file.mode), "size": file.content.len()})
}

/// The guest agent, once it is known to be one that will run.
fn agent(args: &GuestImageArgs) -> Result<(Vec<u8>, Program), CliError> {
    const HINT: &str = "cargo xtask static builds it; name it with --guest-agent";
    let beside = || std::env::current_exe().map(|this| this.with_file_name("vocable-guest"));
    let path = args.guest_agent.clone().or_else(|| beside().ok()).unwrap_or_else(|| "vocable-guest".into());
    let file = read(&path, MAX_AGENT).map_err(|error| error.hint(HINT))?;
    let unfit = |why: String| CliError::new("bad-agent", why).kind(Kind::Usage).hint(HINT);
    let program = Program::read(&file).map_err(|error| {
        unfit(format!("{} cannot be the guest agent", path.display())).cause(error.to_string())
    })?;
    if !program.is_static && !args.dynamic {
        return Err(unfit(format!("{} is not static: it needs libraries of the machine", path.display()))
            .hint("add --dynamic if the machine has them"));
    }
    Ok((file, program))
}

/// The credential: one that was made before, or a new one.
fn token(session: &Session<'_>, args: &GuestImageArgs) -> Result<String, CliError> {
    let Some(path) = &args.guest_token_file else {
        return session.agent.ask(&MakeToken { guest: args.name.clone() });
    };
    let given = if path.as_os_str() == "-" {
        let mut given = String::new();
        let read = std::io::stdin().take(MAX_TEXT).read_to_string(&mut given);
        read.map_err(|error| cannot_read(Path::new("standard input"), &format::io(&error)))?;
        given
    } else {
        text(path)?
    };
    let token = given.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(CliError::bad_argument(format!("there is no credential in {}", path.display()))
            .hint(format!("vocable token new {}", args.name)));
    }
    Ok(token.to_owned())
}

fn text(path: &Path) -> Result<String, CliError> {
    String::from_utf8(read(path, MAX_TEXT)?).map_err(|_| cannot_read(path, "it is no text in UTF-8"))
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, CliError> {
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error: std::io::Error| cannot_read(path, &format::io(&error)))?;
    let within = u64::try_from(bytes.len()).is_ok_and(|length| length <= most);
    let too_large = || cannot_read(path, &format!("it is larger than {}", format::size(most)));
    within.then_some(bytes).ok_or_else(too_large)
}

fn cannot_read(path: &Path, why: &str) -> CliError {
    CliError::new("cannot-read", format!("{} cannot be read", path.display())).cause(why).kind(Kind::Usage)
}

/// `HOST:PORT`; whether there is such a host is the guest's to find out.
fn is_address(text: &str) -> bool {
    let is_host =
        |host: &str| !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control());
    text.rsplit_once(':')
        .is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn failed(error: SeedError) -> CliError {
    let told = CliError::new("cannot-write", error.to_string());
    match error {
        SeedError::File { source, .. } => told.cause(format::io(&source)),
        SeedError::Format { .. } => told,
    }
}
