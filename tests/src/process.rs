//! A program that runs: what it says, how it ends. Killed when dropped, if it is still there; what it has said is
//! shown if the test has failed.

use crate::TIMEOUT;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

/// Lines of a log that are shown of a failed test.
const SHOWN: usize = 60;

/// Something that one thread tells and others wait for.
struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    fn new(value: T) -> Arc<Self> {
        Arc::new(Self { value: Mutex::new(value), changed: Condvar::new() })
    }

    fn change(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.value.lock().unwrap());
        self.changed.notify_all();
    }

    /// What `found` sees in it, as soon as it sees something.
    fn wait<R>(&self, mut found: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let deadline = Instant::now() + TIMEOUT;
        let mut value = self.value.lock().unwrap();
        loop {
            if let Some(result) = found(&value) {
                return Some(result);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            value = self.changed.wait_timeout(value, left).unwrap().0;
        }
    }
}

/// What a program has written to standard error.
#[derive(Default)]
struct Log {
    lines: Vec<String>,
    is_whole: bool,
}

/// A program that was started.
pub struct Process {
    name: String,
    pid: i32,
    stdout: Option<BufReader<ChildStdout>>,
    log: Arc<Watched<Log>>,
    ended: Arc<Watched<Option<ExitStatus>>>,
}

impl Process {
    /// Starts it. What it writes to standard error is its log.
    pub fn start(name: &str, command: &mut Command) -> Self {
        Self::watched(name, spawned(name, command.stdin(Stdio::null())))
    }

    /// Starts it, with a pipe to give it standard input through.
    pub fn start_fed(name: &str, command: &mut Command) -> (Self, ChildStdin) {
        let mut child = spawned(name, command.stdin(Stdio::piped()));
        let input = child.stdin.take().unwrap();
        (Self::watched(name, child), input)
    }

    fn watched(name: &str, mut child: Child) -> Self {
        let (log, ended) = (Watched::new(Log::default()), Watched::new(None));
        let errors = child.stderr.take().unwrap();
        // Not joined: whatever the program leaves running may hold the pipe for longer than we live.
        thread::spawn({
            let log = log.clone();
            move || {
                for line in BufReader::new(errors).split(b'\n').map_while(Result::ok) {
                    log.change(|log| log.lines.push(String::from_utf8_lossy(&line).into_owned()));
                }
                log.change(|log| log.is_whole = true);
            }
        });
        let stdout = child.stdout.take().map(BufReader::new);
        let pid = i32::try_from(child.id()).unwrap();
        thread::spawn({
            let ended = ended.clone();
            move || report_end(pid, child, &ended)
        });
        Self { name: name.to_owned(), pid, stdout, log, ended }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The next line it writes to standard output.
    pub fn next_line(&mut self) -> String {
        let mut line = String::new();
        // Ends with the process, whose end is bounded by that of the test.
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "{} has nothing more to say", self.name);
        line.trim_end_matches('\n').to_owned()
    }

    /// All else it writes to standard output, and how it ended.
    pub fn finishes(&mut self) -> (Vec<u8>, ExitStatus) {
        let mut rest = Vec::new();
        self.stdout.as_mut().unwrap().read_to_end(&mut rest).unwrap();
        (rest, self.ends())
    }

    /// Waits until its log has a line that contains all of these.
    pub fn logs(&self, texts: &[&str]) -> String {
        let has_all = |line: &&String| texts.iter().all(|text| line.contains(text));
        let found = self.log.wait(|log| log.lines.iter().find(has_all).cloned());
        found.unwrap_or_else(|| panic!("the log of {} has no line with {texts:?}", self.name))
    }

    /// What it has logged so far.
    pub fn logged(&self) -> String {
        self.log.value.lock().unwrap().lines.join("\n")
    }

    /// All that it and whatever it has started ever logged.
    pub fn all_logged(&self) -> String {
        let whole = self.log.wait(|log| log.is_whole.then(|| log.lines.join("\n")));
        whole.unwrap_or_else(|| panic!("somebody still holds the log of {}", self.name))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        // The process is not reaped while its end is being told, so the id is still its own.
        let ended = self.ended.value.lock().unwrap();
        if ended.is_none() {
            kill(Pid::from_raw(self.pid), signal).unwrap();
        }
    }

    /// Waits for its end.
    pub fn ends(&self) -> ExitStatus {
        self.ended.wait(|ended| *ended).unwrap_or_else(|| panic!("{} does not end", self.name))
    }

    /// The most memory it has ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The memory that is its own and comes from no file, in bytes.
    pub fn anonymous_memory(&self) -> u64 {
        self.memory("RssAnon:")
    }

    fn memory(&self, figure: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(figure)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Bytes that it has logged so far.
    pub fn logged_bytes(&self) -> usize {
        self.log.value.lock().unwrap().lines.iter().map(|line| line.len() + 1).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        self.ends();
        if thread::panicking() {
            let log = self.logged();
            let lines: Vec<_> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(SHOWN)..];
            eprintln!("---- the log of {}\n{}\n----", self.name, shown.join("\n"));
        }
    }
}

fn spawned(name: &str, command: &mut Command) -> Child {
    let started = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    started.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"))
}

/// Reaps the process when it has ended, and tells.
fn report_end(pid: i32, mut child: Child, ended: &Watched<Option<ExitStatus>>) {
    // Interrupted or not, the wait below decides.
    let _ = waitid(Id::Pid(Pid::from_raw(pid)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    ended.change(|status| *status = child.wait().ok());
}
