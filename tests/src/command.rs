//! What is run, and what came of it.

use crate::TIMEOUT;
use crate::host::Host;
use base64::prelude::*;
use serde_json::{Value, json};
use std::time::Instant;

/// A command that was asked for, on a guest or several.
pub struct Command<'a> {
    host: &'a Host,
    /// The id to ask about.
    pub id: String,
}

/// What came of a command: the last report, and all the output.
#[derive(Debug)]
pub struct Ran {
    /// As `cmd.wait` gives it.
    pub report: Value,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: Vec<u8>,
}

impl Ran {
    /// Standard output, which has to be text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// Standard error, which has to be text.
    pub fn errors(&self) -> &str {
        std::str::from_utf8(&self.err).unwrap()
    }

    /// `done`, `failed` …
    pub fn state(&self) -> &str {
        self.report["state"].as_str().unwrap()
    }

    /// Whether it ended by itself, and its exit code or signal.
    pub fn ending(&self) -> (bool, i64) {
        let (finished, code) = (&self.report["finished"], &self.report["exitCodeOrSignal"]);
        match (finished.as_bool(), code.as_i64()) {
            (Some(finished), Some(code)) => (finished, code),
            _ => panic!("it did not end by itself: {:#}\n{}", self.report, self.errors()),
        }
    }

    /// Passes it on if the command succeeded.
    pub fn well(self) -> Self {
        assert_eq!(
            (self.state(), self.ending()),
            ("done", (true, 0)),
            "{:#}\n{}",
            self.report,
            self.errors()
        );
        self
    }
}

impl Host {
    /// Has a program run, with options of `cmd.run`, and does not wait for it.
    pub fn starts_with(&self, target: &str, line: &[&str], options: Value) -> Command<'_> {
        let (cmd, args) = line.split_first().unwrap();
        let id = self.call("cmd.run", json!([target, cmd, args, options])).unwrap();
        Command::new(self, id.as_str().unwrap().to_owned())
    }

    /// Has a program run and does not wait for it.
    pub fn starts(&self, target: &str, line: &[&str]) -> Command<'_> {
        self.starts_with(target, line, json!({}))
    }

    /// Has a program run, and waits for what comes of it.
    pub fn runs(&self, target: &str, line: &[&str]) -> Ran {
        self.starts(target, line).ends()
    }

    /// Has a shell run a script, and waits for what comes of it.
    pub fn shell(&self, target: &str, script: &str) -> Ran {
        self.runs(target, &["sh", "-c", script])
    }

    /// A command that was asked for before.
    pub fn command(&self, id: &str) -> Command<'_> {
        Command::new(self, id.to_owned())
    }
}

impl<'a> Command<'a> {
    fn new(host: &'a Host, id: String) -> Self {
        Self { host, id }
    }

    /// How it stands with it now.
    pub fn polled(&self) -> Value {
        self.host.call("cmd.poll", json!([self.id])).unwrap()
    }

    /// The same without any of its output.
    pub fn polled_quietly(&self) -> Value {
        let far = json!({"out_offset": 1e15, "err_offset": 1e15});
        self.host.call("cmd.poll", json!([self.id, far])).unwrap()
    }

    /// What a list of commands says about it.
    pub fn listed(&self) -> Value {
        let all = self.host.call("cmd.list", json!([{"all": true}])).unwrap();
        let found = all.as_array().unwrap().iter().find(|command| command["cmd_id"] == *self.id).cloned();
        found.unwrap_or_else(|| panic!("no {} in {all}", self.id))
    }

    /// Waits until it has written that to standard output.
    pub fn prints(&self, text: &str) -> &Self {
        let so_far = self.follow(|_, out| String::from_utf8_lossy(out).contains(text));
        assert!(String::from_utf8_lossy(&so_far.out).contains(text), "it ended without {text}: {so_far:?}");
        self
    }

    /// Waits until there is so much standard output here.
    pub fn has_written(&self, bytes: u64) -> &Self {
        let from = json!({"until": "output", "out_offset": bytes - 1});
        let deadline = Instant::now() + TIMEOUT;
        let mut report = self.polled();
        while report["out_bytes"].as_u64().unwrap() < bytes && is_under_way(&report) {
            assert!(Instant::now() < deadline, "{} does not write so much: {report:#}", self.id);
            report = self.host.call("cmd.wait", json!([self.id, 20.0, from])).unwrap();
        }
        assert!(report["out_bytes"].as_u64().unwrap() >= bytes, "{report:#}");
        self
    }

    /// Waits for its end, and collects all of its output.
    pub fn ends(&self) -> Ran {
        self.follow(|_, _| false)
    }

    fn follow(&self, mut enough: impl FnMut(&Value, &[u8]) -> bool) -> Ran {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let from = json!({"until": "output", "out_offset": out.len(), "err_offset": err.len()});
            let report = self.host.call("cmd.wait", json!([self.id, 20.0, from])).unwrap();
            out.extend(bytes(&report["out"]));
            err.extend(bytes(&report["err"]));
            let all_here = !is_under_way(&report) && report["more"] == false;
            if all_here || enough(&report, &out) {
                return Ran { report, out, err };
            }
            assert!(Instant::now() < deadline, "{} does not end: {report:#}", self.id);
        }
    }
}

/// Whether there is more to come.
pub fn is_under_way(report: &Value) -> bool {
    report["state"] == "queued" || report["state"] == "running"
}

/// Output as it stands in a report: text, or base64.
pub fn bytes(output: &Value) -> Vec<u8> {
    match output {
        Value::String(text) => text.clone().into_bytes(),
        other => BASE64_STANDARD.decode(other["b64"].as_str().unwrap()).unwrap(),
    }
}
