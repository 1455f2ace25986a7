//! Jobs over real processes.  The supervisor is this test executable itself: started with the
//! name of [`this_executable_can_supervise`] it runs only that, which then does what the agent's
//! `main` does under its hidden argument.

mod endings;
mod groups;
mod input;
mod once;
mod output;
mod restarts;
mod starts;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;
use tokio_util::task::AbortOnDropHandle;

use vocable_protocol::{
    EndState, FailureCode, InputStatus, OnDisconnect, Part, Program, Results, UsageSource, sha256_hex,
};

use super::{JobEvent, Jobs, JobsConfig};
use crate::job::processes::Snapshot;
use crate::job::record::WhenSpoolFull;
use crate::supervisor;

/// Nothing here takes nearly as long, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Tells the test below that it is wanted as a supervisor: a filter that matches no test.
const AS_SUPERVISOR: &str = "as-supervisor";

#[test]
fn this_executable_can_supervise() {
    let arguments: Vec<_> = std::env::args_os().collect();
    match arguments.iter().position(|argument| argument == AS_SUPERVISOR) {
        Some(at) => {
            supervisor::main(Path::new(&arguments[at + 1]));
            std::process::exit(0);
        }
        None => assert!(test_config(Path::new("/")).supervisor.is_file()),
    }
}

pub(crate) fn test_config(dir: &Path) -> JobsConfig {
    let test = concat!(module_path!(), "::this_executable_can_supervise").split_once("::").unwrap().1;
    JobsConfig {
        dir: dir.join("jobs"),
        supervisor: std::env::current_exe().unwrap(),
        supervisor_args: ["--exact", "--quiet", "--test-threads=2", test, AS_SUPERVISOR]
            .map(Into::into)
            .to_vec(),
        spool_limit: 1 << 30,
        when_spool_full: WhenSpoolFull::Pause,
        max_running: 300,
        default_dir: dir.to_owned(),
        env: BTreeMap::from([("FROM_AGENT".to_owned(), "yes".to_owned())]),
        keep: Duration::from_secs(3600),
        cgroups: false,
    }
}

/// Jobs in a folder of their own.
struct Bed {
    dir: TempDir,
    jobs: Jobs,
    events: Receiver<JobEvent>,
    task: AbortOnDropHandle<()>,
    /// What was heard on the way to something else.
    totals: BTreeMap<(String, Part), u64>,
    ended: BTreeMap<String, Results>,
    taken: BTreeMap<String, u64>,
}

impl Bed {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl Fn(&mut JobsConfig)) -> Self {
        Self::open(tempfile::tempdir().unwrap(), change).await
    }

    async fn open(dir: TempDir, change: impl Fn(&mut JobsConfig)) -> Self {
        let mut config = test_config(dir.path());
        change(&mut config);
        let (jobs, events, task) = Jobs::open(config).await.unwrap();
        let (totals, ended, taken) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { dir, jobs, events, task, totals, ended, taken }
    }

    /// Ends the agent's side, as its death would, and opens the same folder again.
    async fn again(self) -> Self {
        let dir = self.stop().await;
        Self::open(dir, |_| {}).await
    }

    async fn stop(self) -> TempDir {
        self.task.abort();
        let _ = self.task.await;
        self.dir
    }

    async fn hear(&mut self) {
        match tokio::time::timeout(DEADLINE, self.events.recv()).await.unwrap().unwrap() {
            JobEvent::Output { cmd_id, part, bytes } => {
                let before = self.totals.insert((cmd_id, part), bytes);
                assert!(before.is_none_or(|before| before < bytes), "totals only grow");
            }
            JobEvent::Input { cmd_id, taken } => {
                self.taken.insert(cmd_id, taken);
            }
            JobEvent::Ended { cmd_id, results } => {
                assert!(self.ended.insert(cmd_id, results).is_none(), "an end is announced once");
            }
        }
    }

    async fn start(&self, cmd_id: &str, program: Program) {
        assert!(!self.jobs.start(cmd_id, program).await.unwrap().already);
    }

    async fn end_of(&mut self, cmd_id: &str) -> Results {
        while !self.ended.contains_key(cmd_id) {
            self.hear().await;
        }
        let results = self.ended[cmd_id].clone();
        let total = |part| self.totals.get(&(cmd_id.to_owned(), part)).copied().unwrap_or(0);
        assert_eq!((total(Part::Out), total(Part::Err)), (results.out_bytes, results.err_bytes));
        results
    }

    async fn output_of(&mut self, cmd_id: &str, part: Part, at_least: u64) {
        let key = (cmd_id.to_owned(), part);
        while self.totals.get(&key).is_none_or(|total| *total < at_least) {
            self.hear().await;
        }
    }

    /// Waits until standard output has that in it.
    async fn reads(&mut self, cmd_id: &str, text: &str) {
        while !self.text(cmd_id, Part::Out).await.contains(text) {
            self.hear().await;
        }
    }

    /// Starts a command and waits for its end.
    async fn run(&mut self, cmd_id: &str, program: Program) -> Results {
        self.start(cmd_id, program).await;
        self.end_of(cmd_id).await
    }

    async fn text(&self, cmd_id: &str, part: Part) -> String {
        String::from_utf8(self.jobs.read(cmd_id, part, 0, usize::MAX).await.unwrap()).unwrap()
    }
}

fn program(cmd: &str, args: &[&str]) -> Program {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    Program { cmd: cmd.to_owned(), args, ..Program::default() }
}

fn shell(script: &str) -> Program {
    program("/bin/sh", &["-c", script])
}

fn option(mut program: Program, name: &str, value: &str) -> Program {
    program.options.insert(name.to_owned(), value.to_owned());
    program
}

/// A time to sleep that is nobody else's, to find processes by: far longer than any test.
fn unique_time() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("9{:07}.{:03}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// How many processes have this argument.
fn processes_with(argument: &str) -> usize {
    let has = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())
    };
    Snapshot::take().unwrap().pids().filter(|pid| has(pid)).count()
}

/// Waits for processes that are nobody's children here, so that nothing tells of their end.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "it never came to pass");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_there(command: &str) -> bool {
    Command::new("/bin/sh").args(["-c", &format!("command -v {command}")]).output().unwrap().status.success()
}
