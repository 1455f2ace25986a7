//! What a guest can do for its words: run programs, look after commands, and say other words.

use crate::agent::SayRequest;
use crate::jobs::{self, JobError, Jobs};
use async_trait::async_trait;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use vocable_protocol::{HOST, Part, excerpt};
use vocable_runtime::capabilities::{self, Process, Speech, Store};
use vocable_runtime::{Caller, Capabilities, MemoryStore, Output, Program, Refusal, Role};

/// The most a word may read of what a program it runs writes: beyond that the program is refused, not cut.
const MAX_OUTPUT: usize = 1 << 20;

/// The guest, as its words see it.
pub(crate) struct GuestCapabilities {
    id: String,
    ip: String,
    jobs: Jobs,
    speech: AgentSpeech,
    store: MemoryStore,
}

/// Has the agent say other words.
struct AgentSpeech(mpsc::Sender<SayRequest>);

impl GuestCapabilities {
    /// Those of the guest of that name, at that address.
    pub(crate) fn new(id: String, ip: String, jobs: Jobs, say_requests: mpsc::Sender<SayRequest>) -> Self {
        Self { id, ip, jobs, speech: AgentSpeech(say_requests), store: MemoryStore::default() }
    }
}

impl Capabilities for GuestCapabilities {
    fn role(&self) -> Role {
        Role::Guest
    }

    fn id(&self) -> String {
        self.id.clone()
    }

    fn ip(&self) -> String {
        self.ip.clone()
    }

    fn jobs(&self) -> Option<&dyn capabilities::Jobs> {
        Some(&self.jobs)
    }

    fn process(&self) -> Option<&dyn Process> {
        Some(&self.jobs)
    }

    fn speech(&self) -> Option<&dyn Speech> {
        Some(&self.speech)
    }

    fn store(&self) -> Option<&dyn Store> {
        Some(&self.store)
    }
}

impl From<JobError> for Refusal {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Differs { .. } | JobError::Invalid { .. } | JobError::NotRunning { .. } => {
                Self::Invalid(error.to_string())
            }
            _ => Self::Failed(error.to_string()),
        }
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

#[async_trait]
impl Speech for AgentSpeech {
    async fn say(&self, _: Caller<'_>, word: String, to: String, args: String) -> Result<String, Refusal> {
        if to != HOST {
            return Err(Refusal::Denied(format!("speech: a guest speaks to \"{HOST}\" only")));
        }
        let leaving = || Refusal::Failed("speech: the guest agent is stopping".to_owned());
        let (reply, sent) = oneshot::channel();
        self.0.send(SayRequest { word, args, reply }).await.map_err(|_| leaving())?;
        sent.await.map_err(|_| leaving())?.map_err(Refusal::Failed)
    }
}

#[async_trait]
impl Process for Jobs {
    async fn run(&self, _: Caller<'_>, wanted: Program) -> Result<Output, Refusal> {
        let output = self.run_once(program(wanted)?, MAX_OUTPUT).await?;
        let jobs::Output { finished, exit_code_or_signal, out, err } = output;
        Ok(Output { finished, exit_code_or_signal, out, err })
    }
}

#[async_trait]
impl capabilities::Jobs for Jobs {
    async fn start(&self, _: Caller<'_>, cmd_id: String, wanted: Program) -> Result<(), Refusal> {
        self.start(&cmd_id, program(wanted)?).await?;
        Ok(())
    }

    async fn signal(&self, _: Caller<'_>, cmd_id: String, number: i32) -> Result<(), Refusal> {
        self.signal(&cmd_id, number).await?;
        Ok(())
    }

    async fn usage(&self, _: Caller<'_>, cmd_id: String) -> Result<String, Refusal> {
        Ok(json!(self.usage(&cmd_id).await?).to_string())
    }

    async fn read(
        &self,
        _: Caller<'_>,
        cmd_id: String,
        part: String,
        offset: u64,
        max: u32,
    ) -> Result<Vec<u8>, Refusal> {
        let neither = |_| Refusal::Invalid(format!("jobs: part {} is neither out nor err", excerpt(&part)));
        let part: Part = part.parse().map_err(neither)?;
        Ok(self.read(&cmd_id, part, offset, max as usize).await?)
    }

    async fn cancel(
        &self,
        _: Caller<'_>,
        cmd_id: String,
        number: i32,
        grace_ms: Option<u32>,
    ) -> Result<u32, Refusal> {
        let grace = grace_ms.map(|grace| Duration::from_millis(u64::from(grace)));
        let processes = self.cancel(&cmd_id, number, grace).await?;
        Ok(u32::try_from(processes).unwrap_or(u32::MAX))
    }

    async fn input(
        &self,
        _: Caller<'_>,
        cmd_id: String,
        offset: u64,
        bytes: Vec<u8>,
        end: bool,
    ) -> Result<String, Refusal> {
        Ok(json!(self.input(&cmd_id, offset, bytes, end).await?).to_string())
    }

    async fn resize(&self, _: Caller<'_>, cmd_id: String, rows: u16, columns: u16) -> Result<(), Refusal> {
        Ok(self.resize(&cmd_id, rows, columns).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_is_given_twice_is_refused() {
        let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let of = |options: &[(String, String)]| {
            program(Program {
                cmd: "true".into(),
                args: vec![],
                env: vec![],
                path: None,
                options: options.to_vec(),
            })
        };
        assert!(of(&[option("nice", "1"), option("grace", "2")]).is_ok());
        let refusal = of(&[option("nice", "1"), option("nice", "2")]).unwrap_err();
        assert_eq!(refusal.text(), "option \"nice\": is given twice");
    }
}
