//! A guest agent, and everything that runs under it.

use crate::TIMEOUT;
use crate::files;
use crate::host::{Host, program_at, write_config};
use crate::process::Process;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// The variable that every command finds in its environment, by which it is found when the story is over.
const MARK: &str = "VOCABLE_STORY_GUEST";

/// A guest that is to be started.
pub struct GuestPlan<'a> {
    host: &'a Host,
    id: String,
    name: String,
    broker: SocketAddr,
    token: Option<String>,
    settings: Vec<String>,
    start: Start,
}

/// How the program is started.
#[derive(Clone, Default)]
struct Start {
    /// Another file than the one that was built.
    program: Option<PathBuf>,
    /// Words in front of it: what has it started.
    before: Vec<String>,
    /// Added to its environment.
    env: Vec<(String, String)>,
}

/// A guest agent that runs.
pub struct Guest {
    process: Process,
    start: Start,
    /// Its id.
    pub id: String,
    name: String,
    folder: PathBuf,
    /// What the agents before this one have logged.
    former: String,
}

impl Host {
    /// A guest that is to be started.
    pub fn guest(&self, id: &str) -> GuestPlan<'_> {
        GuestPlan::new(self, id)
    }

    /// Guests that have joined.
    pub fn guests<const N: usize>(&self, ids: [&str; N]) -> [Guest; N] {
        let started = ids.map(|id| self.guest(id).starts());
        for id in ids {
            self.awaits("guest.joined", id);
        }
        started
    }
}

impl<'a> GuestPlan<'a> {
    fn new(host: &'a Host, id: &str) -> Self {
        let token = host.call("guest.token", json!([id])).unwrap();
        Self {
            host,
            id: id.to_owned(),
            name: id.to_owned(),
            broker: host.broker(),
            token: token.as_str().map(str::to_owned),
            settings: Vec::new(),
            start: Start::default(),
        }
    }

    /// Is started from this file instead of the one that was built.
    pub fn from(mut self, program: &Path) -> Self {
        self.start.program = Some(program.to_owned());
        self
    }

    /// Is started by these words: `ip netns exec vm1`.
    pub fn by(mut self, words: &[&str]) -> Self {
        self.start.before = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Has this variable in its environment.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.start.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Reaches the host by another way.
    pub fn through(self, broker: SocketAddr) -> Self {
        Self { broker, ..self }
    }

    /// Shows another token than its own, or none.
    pub fn shows(self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self }
    }

    /// Shows the same token as before: making a new one invalidates it.
    pub fn token(&self) -> String {
        self.token.clone().unwrap()
    }

    /// Is another machine than the one of that id.
    pub fn elsewhere(mut self) -> Self {
        self.name = format!("another-{}", self.id);
        self
    }

    /// Has this line of configuration too: `words.DF.grants = ["process"]`.
    pub fn with(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// Where components can be dropped in for it, before it starts too.
    pub fn words(&self) -> PathBuf {
        let folder = self.host.folder().join(format!("{}.words.d", self.name));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Starts it, and waits until the host has heard its HELLO.
    pub fn joins(self) -> Guest {
        let (host, id) = (self.host, self.id.clone());
        let guest = self.starts();
        host.awaits("guest.joined", &id);
        guest
    }

    /// Starts it.
    pub fn starts(self) -> Guest {
        let folder = self.host.folder();
        let path = |what: &str| json!(folder.join(format!("{}{what}", self.name)));
        let token_file = folder.join(format!("{}.token", self.name));
        if let Some(token) = &self.token {
            write_secret(&token_file, token);
        }
        let words = self.words();
        let config = [
            format!("id = \"{}\"", self.id),
            format!("broker = \"{}\"", self.broker),
            format!("token_file = {}", json!(token_file)),
            format!("state = {}", path("")),
            format!("cache = {}", json!(files::cache())),
            "beacon = \"500ms\"".to_owned(),
            "reconnect = { first = \"100ms\", most = \"500ms\", jitter = 0.5 }".to_owned(),
            format!("jobs.home = {}", json!(folder)),
            format!("jobs.env.{MARK} = {}", path("")),
            format!("words.dirs = [{}]", json!(words)),
        ];
        let file = folder.join(format!("{}.toml", self.name));
        write_config(&file, &config, &self.settings.iter().map(String::as_str).collect::<Vec<_>>());
        let process = self.start.process(&self.name, &file);
        Guest {
            process,
            start: self.start,
            id: self.id,
            folder: folder.to_owned(),
            name: self.name,
            former: String::new(),
        }
    }
}

impl Guest {
    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where components can be dropped in for this guest.
    pub fn words(&self) -> PathBuf {
        self.folder.join(format!("{}.words.d", self.name))
    }

    /// Kills the agent without warning.
    pub fn is_killed(&self) {
        self.process.signal(Signal::SIGKILL);
        self.process.ends();
    }

    /// Asks the agent to stop, and waits until it has.
    pub fn stops(&self, signal: Signal) -> ExitStatus {
        self.process.signal(signal);
        self.process.ends()
    }

    /// Starts it again, over the same state.
    pub fn starts_again(&mut self) {
        self.former += &format!("{}\n---- the next agent\n", self.process.logged());
        self.process = self.start.process(&self.name, &self.folder.join(format!("{}.toml", self.name)));
    }

    /// What all its agents have logged of a command, and what is in the folder of that.
    pub fn knows_of(&self, command: &str) -> String {
        let told = format!("{}{}", self.former, self.process.logged());
        let lines = told.lines().filter(|line| line.contains(command) || line.starts_with("----"));
        let mut told: String = lines.map(|line| format!("{line}\n")).collect();
        let folder = self.folder.join(&self.name).join("jobs").join(command);
        for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            // Nobody reads from a FIFO here.
            let is_file = file.file_type().is_ok_and(|kind| kind.is_file());
            let content = if is_file { std::fs::read(file.path()).unwrap_or_default() } else { Vec::new() };
            let shown = String::from_utf8_lossy(&content[..content.len().min(500)]).into_owned();
            told += &format!("{}: {} bytes: {shown}\n", file.file_name().to_string_lossy(), content.len());
        }
        told
    }

    /// Its supervisors: the process id and the command of each.
    pub fn supervisors(&self) -> Vec<(i32, String)> {
        let alive = |told: &Value| {
            let pid = i32::try_from(told["pid"].as_i64()?).ok()?;
            (born(pid)? == told["born"].as_u64()?).then_some(pid)
        };
        let told = self.supervisor_records();
        told.iter().filter_map(|told| Some((alive(told)?, told["job"].as_str()?.to_owned()))).collect()
    }

    /// What each supervisor told of itself, with the name of its `job`.
    fn supervisor_records(&self) -> Vec<Value> {
        let jobs = std::fs::read_dir(self.folder.join(&self.name).join("jobs"));
        let of = |job: std::fs::DirEntry| {
            let told = std::fs::read(job.path().join("supervisor.json")).ok()?;
            let mut told: Value = serde_json::from_slice(&told).ok()?;
            told["job"] = json!(job.file_name().to_string_lossy());
            Some(told)
        };
        jobs.into_iter().flatten().flatten().filter_map(of).collect()
    }

    /// The machine is switched off: agent, supervisors and commands are gone at once.
    pub fn loses_power(&self) {
        self.is_killed();
        self.leaves_nothing_behind();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGKILL);
        self.process.ends();
        self.leaves_nothing_behind();
    }
}

impl Guest {
    /// Kills the supervisors of this guest, which outlive their agent, and then their commands.
    fn leaves_nothing_behind(&self) {
        let state = self.folder.join(&self.name);
        let mark = format!("{MARK}={}", state.display());
        let is_ours = |pid: i32| environment(pid).contains(&mark);
        let jobs = state.join("jobs");
        // From the moment it has a job, a supervisor has files of it open.
        let supervises = |pid: i32| {
            let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            open.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|file| file.starts_with(&jobs))
        };
        for pid in processes().filter(|pid| supervises(*pid)).chain(processes().filter(|pid| is_ours(*pid))) {
            // It may end by itself in between.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        self.supervisor_records()
            .into_iter()
            .filter_map(|told| told["group"].as_str().map(PathBuf::from))
            .for_each(|group| {
                let deadline = Instant::now() + TIMEOUT;
                // Who was killed is in it until the kernel has done it; nothing tells when that is.
                while std::fs::remove_dir(&group).is_err() && group.exists() && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
    }
}

/// When a process was born (`starttime` of proc_pid_stat(5)); nothing if there is none.
fn born(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The environment of a process, as it was started with; nothing if it is gone.
fn environment(pid: i32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|variable| String::from_utf8_lossy(variable).into_owned()).collect()
}

impl Start {
    fn process(&self, name: &str, config: &Path) -> Process {
        let file = self.program.clone().unwrap_or_else(|| files::program("vocable-guest"));
        let mut command = match self.before.split_first() {
            None => program_at(&file),
            Some((first, rest)) => {
                let mut command = program_at(Path::new(first));
                command.args(rest).arg(&file);
                command
            }
        };
        command.envs(self.env.iter().cloned()).arg("--config").arg(config);
        Process::start(&format!("guest agent {name}"), &mut command)
    }
}

fn write_secret(path: &Path, text: &str) {
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).truncate(true).write(true).mode(0o600).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}
