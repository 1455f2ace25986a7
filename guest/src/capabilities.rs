//! What a guest can do for its words: run programs, look after commands, and say other words.

use crate::agent::SayRequest;
use crate::jobs::{self, JobError, Jobs};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use vocable_protocol::{HOST, Part, excerpt};
use vocable_runtime::{Caller, Output, Powers, Program, Refusal, Role, Shelves, Soon};

/// The most a word may read of what a program it runs writes: beyond that the program is refused, not cut.
const MOST_OUTPUT: usize = 1 << 20;

/// The guest's powers.
pub(crate) struct GuestCapabilities {
    id: String,
    ip: String,
    jobs: Jobs,
    say_requests: mpsc::Sender<SayRequest>,
    shelves: Shelves,
}

impl GuestCapabilities {
    /// Powers of the guest of that name, at that address.
    pub(crate) fn new(id: String, ip: String, jobs: Jobs, say_requests: mpsc::Sender<SayRequest>) -> Self {
        Self { id, ip, jobs, say_requests, shelves: Shelves::default() }
    }
}

fn refusal(error: JobError) -> Refusal {
    match error {
        JobError::Differs { .. } | JobError::Invalid { .. } | JobError::NotRunning { .. } => {
            Refusal::Invalid(error.to_string())
        }
        _ => Refusal::Failed(error.to_string()),
    }
}

/// A program as words ask for it. An option that is given twice is a mistake.
fn program(program: Program) -> Result<vocable_protocol::Program, Refusal> {
    let Program { cmd, args, env, path, options } = program;
    let mut known = BTreeMap::new();
    for (name, value) in options {
        if known.contains_key(&name) {
            return Err(Refusal::Invalid(format!("option {}: is given twice", excerpt(&name))));
        }
        known.insert(name, value);
    }
    let env = env.into_iter().collect();
    Ok(vocable_protocol::Program { cmd, args, env, path, options: known, shortened: false })
}

impl Powers for GuestCapabilities {
    fn role(&self) -> Role {
        Role::Guest
    }

    fn id(&self) -> String {
        self.id.clone()
    }

    fn ip(&self) -> String {
        self.ip.clone()
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["jobs", "process", "speech", "store"]
    }

    fn store_get<'a>(&'a self, caller: Caller<'a>, key: String) -> Soon<'a, Option<String>> {
        self.shelves.get(caller, key)
    }

    fn store_set<'a>(&'a self, caller: Caller<'a>, key: String, value: String) -> Soon<'a, ()> {
        self.shelves.set(caller, key, value)
    }

    fn store_remove<'a>(&'a self, caller: Caller<'a>, key: String) -> Soon<'a, ()> {
        self.shelves.remove(caller, key)
    }

    fn speech_say<'a>(&'a self, _: Caller<'a>, word: String, to: String, args: String) -> Soon<'a, String> {
        Box::pin(async move {
            if to != HOST {
                return Err(Refusal::Denied(format!("speech: a guest speaks to \"{HOST}\" only")));
            }
            let leaving = || Refusal::Failed("speech: the guest agent is stopping".to_owned());
            let (reply, said) = oneshot::channel();
            self.say_requests.send(SayRequest { word, args, reply }).await.map_err(|_| leaving())?;
            said.await.map_err(|_| leaving())?.map_err(Refusal::Failed)
        })
    }

    fn process_run<'a>(&'a self, _: Caller<'a>, wanted: Program) -> Soon<'a, Output> {
        Box::pin(async move {
            let output = self.jobs.run_once(program(wanted)?, MOST_OUTPUT).await.map_err(refusal)?;
            let jobs::Output { finished, exit_code_or_signal, out, err } = output;
            Ok(Output { finished, exit_code_or_signal, out, err })
        })
    }

    fn jobs_start<'a>(&'a self, _: Caller<'a>, cmd_id: String, wanted: Program) -> Soon<'a, ()> {
        Box::pin(async move { self.jobs.start(&cmd_id, program(wanted)?).await.map(drop).map_err(refusal) })
    }

    fn jobs_signal<'a>(&'a self, _: Caller<'a>, cmd_id: String, number: i32) -> Soon<'a, ()> {
        Box::pin(async move { self.jobs.signal(&cmd_id, number).await.map(drop).map_err(refusal) })
    }

    fn jobs_usage<'a>(&'a self, _: Caller<'a>, cmd_id: String) -> Soon<'a, String> {
        Box::pin(async move {
            let usage = self.jobs.usage(&cmd_id).await.map_err(refusal)?;
            Ok(json!(usage).to_string())
        })
    }

    fn jobs_cancel<'a>(
        &'a self,
        _: Caller<'a>,
        cmd_id: String,
        number: i32,
        grace_ms: Option<u32>,
    ) -> Soon<'a, u32> {
        Box::pin(async move {
            let grace = grace_ms.map(|grace| Duration::from_millis(u64::from(grace)));
            let processes = self.jobs.cancel(&cmd_id, number, grace).await.map_err(refusal)?;
            Ok(u32::try_from(processes).unwrap_or(u32::MAX))
        })
    }

    fn jobs_input<'a>(
        &'a self,
        _: Caller<'a>,
        cmd_id: String,
        offset: u64,
        bytes: Vec<u8>,
        end: bool,
    ) -> Soon<'a, String> {
        Box::pin(async move {
            let taken = self.jobs.input(&cmd_id, offset, bytes, end).await.map_err(refusal)?;
            Ok(json!(taken).to_string())
        })
    }

    fn jobs_resize<'a>(&'a self, _: Caller<'a>, cmd_id: String, rows: u16, columns: u16) -> Soon<'a, ()> {
        Box::pin(async move { self.jobs.resize(&cmd_id, rows, columns).await.map_err(refusal) })
    }

    fn jobs_read<'a>(
        &'a self,
        _: Caller<'a>,
        cmd_id: String,
        part: String,
        offset: u64,
        max: u32,
    ) -> Soon<'a, Vec<u8>> {
        Box::pin(async move {
            let neither =
                |_| Refusal::Invalid(format!("jobs: part {} is neither out nor err", excerpt(&part)));
            let part: Part = part.parse().map_err(neither)?;
            self.jobs.read(&cmd_id, part, offset, max as usize).await.map_err(refusal)
        })
    }
}
