//! The jobs, and what the host is told of them: when is for [`Reports`](super::reports::Reports) to say.

use super::asks::Ask;
use super::reports::{RejectReason, Report};
use super::{Agent, Completed};
use crate::jobs::{JobEvent, Jobs};
use base64::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::time::Instant;
use tracing::{debug, info, warn};
use vocable_protocol::{Event, FailureCode, HOST, Part, ReportedResults, Results};
use vocable_runtime::{AskError, Lexicon, Message, wrap};

/// Why a report is not on its way, and what of the job's streams was freed from their beginnings.
pub(super) struct SendFailure {
    why: String,
    freed: (u64, u64),
}

impl Agent {
    pub(super) fn on_job_event(&mut self, event: JobEvent) {
        match event {
            JobEvent::Output { cmd_id, part, bytes } => {
                self.reports.output(&cmd_id, part, bytes);
                self.skip_unwanted(&cmd_id);
            }
            // If it is lost, nothing is: whoever has more input asks again by himself.
            JobEvent::Input { cmd_id, taken } if self.connected => {
                let facts = [("cmd-id".to_owned(), json!(cmd_id)), ("taken".to_owned(), json!(taken))];
                self.raise(Event::JobInput, Map::from_iter(facts));
            }
            JobEvent::Input { .. } => {}
            JobEvent::Ended { cmd_id, results } => {
                info!(guest = self.id, cmd = cmd_id, "ended: {:?}", results.state);
                self.reports.ended(&cmd_id, results.out_bytes, results.err_bytes);
                self.results.insert(cmd_id.clone(), results);
                self.skip_unwanted(&cmd_id);
            }
        }
    }

    /// Puts on their way as many reports as may be.
    pub(super) fn send_reports(&mut self) {
        while self.connected {
            let Some(report) = self.reports.next(Instant::now()) else { return };
            match self.composing.get_mut(report.job()) {
                Some(waiting) => {
                    // What is not to be sent now after all does not pile up behind a word that takes its time.
                    waiting.retain(|other| *other != report && self.reports.is_in_flight(other));
                    waiting.push_back(report);
                }
                None => {
                    self.composing.insert(report.job().to_owned(), VecDeque::new());
                    self.send_report(report);
                }
            }
        }
    }

    /// Has a report said and sent. It is asked before, so that its answer finds it.
    fn send_report(&mut self, report: Report) {
        let (lexicon, jobs, outbound) = (self.lexicon.clone(), self.jobs.clone(), self.outbound.clone());
        let results = self.results.get(report.job()).cloned();
        let ask = self.asks.add(Ask::Report(report.clone()));
        self.spawn(async move {
            let sent = match compose(&lexicon, &jobs, &report, results).await {
                Ok((word, message)) => {
                    let sent = outbound.send(wrap(&word, message).to(HOST).asked(&ask)).await;
                    sent.map_err(|error| error.to_string())
                }
                Err(why) => Err(why),
            };
            let result = match sent {
                Ok(()) => Ok(()),
                Err(why) => {
                    Err(SendFailure { why, freed: jobs.freed(report.job()).await.unwrap_or_default() })
                }
            };
            Completed::ReportSent { ask, report, result }
        });
    }

    pub(super) fn on_report_sent(&mut self, ask: &str, report: &Report, result: Result<(), SendFailure>) {
        if let Err(SendFailure { why, freed: (out, err) }) = result {
            self.asks.withdraw(ask);
            if self.reports.freed(report.job(), out, err) {
                debug!(guest = self.id, cmd = report.job(), "told from where it still is: {why}");
            } else {
                warn!(guest = self.id, cmd = report.job(), "not told yet: {why}");
                self.reports.reject(report, RejectReason::NotSent, Instant::now());
            }
        }
        self.send_next_report(report.job());
    }

    /// Has the next report of a job said, but for those that are not to be sent now after all.
    fn send_next_report(&mut self, job: &str) {
        // Without a connection, or before the host knows who is here, all of them are sent again anyway.
        let Some(waiting) = self.composing.get_mut(job).filter(|_| self.connected) else {
            self.composing.remove(job);
            return;
        };
        while let Some(report) = waiting.pop_front() {
            if self.reports.is_in_flight(&report) {
                return self.send_report(report);
            }
        }
        self.composing.remove(job);
    }

    pub(super) fn on_report_answered(&mut self, report: &Report, result: Result<Option<String>, AskError>) {
        let job = report.job();
        match result {
            Ok(_) => {
                if self.reports.confirm(report) {
                    self.forget(job);
                } else if let Some((out, err)) = self.reports.newly_taken(job) {
                    self.make_room(job, out, err);
                }
            }
            Err(AskError { kind, text }) if kind == "invalid" => {
                warn!(guest = self.id, cmd = job, "the host does not want it: {text}");
                self.reports.mark_unwanted(job);
                self.skip_unwanted(job);
            }
            Err(error) if is_no_room(&error) => {
                // Once: it is asked every few seconds for as long as that lasts.
                if self.reports.reject(report, RejectReason::NoRoom, Instant::now()) {
                    info!(guest = self.id, cmd = job, "held up: {}", error.text);
                }
            }
            Err(AskError { kind, text }) => {
                warn!(guest = self.id, cmd = job, "the host did not take it ({kind}): {text}");
                self.reports.reject(report, RejectReason::Failed, Instant::now());
            }
        }
    }

    /// Of a job that the host wants to hear nothing of: it goes on with room for what it writes, and is forgotten when
    /// it has ended. Of any other job nothing is done.
    fn skip_unwanted(&mut self, job: &str) {
        if !self.reports.is_unwanted(job) {
            return;
        }
        if let Some((out, err)) = self.reports.newly_taken(job) {
            self.make_room(job, out, err);
        }
        if self.reports.close_unwanted(job) {
            self.forget(job);
        }
    }

    /// Lets a job know what the host has, which makes room for more.
    fn make_room(&mut self, job: &str, out: u64, err: u64) {
        let (jobs, job) = (self.jobs.clone(), job.to_owned());
        self.spawn(async move {
            if let Err(error) = jobs.acknowledge_output(&job, out, err).await {
                warn!(cmd = job, "it may have to wait for room: {error}");
            }
            Completed::Nothing
        });
    }

    fn forget(&mut self, job: &str) {
        self.results.remove(job);
        let (jobs, job) = (self.jobs.clone(), job.to_owned());
        self.spawn(async move {
            if let Err(error) = jobs.acknowledge(&job).await {
                warn!(cmd = job, "not forgotten: {error}");
            }
            Completed::Nothing
        });
    }
}

/// Whether the host could not take it for want of room or time: that passes, and nothing is wrong. The kind is that of
/// the word, which knows of failures only; the text of the host begins with its own, or with what it is about and then that.
fn is_no_room(error: &AskError) -> bool {
    const KINDS: [&str; 2] = ["busy", "no-space"];
    let firsts = error.text.split(':').take(2).filter_map(|part| part.split_whitespace().next());
    firsts.chain([&*error.kind]).any(|first| KINDS.contains(&first))
}

/// Has the words bound to it say a report.
async fn compose(
    lexicon: &Lexicon,
    jobs: &Jobs,
    report: &Report,
    results: Option<Results>,
) -> Result<(String, Message), String> {
    let (event, facts) = match report {
        Report::Piece { job, part, offset, length } => {
            (Event::JobOutput, json!({"cmd-id": job, "part": part, "offset": offset, "length": length}))
        }
        Report::End { job, inline } => {
            let results = results.ok_or("its results are gone")?;
            let mut document = serde_json::to_value(&results).map_err(|error| error.to_string())?;
            if let Some(members) = document.as_object_mut() {
                if may_lack_output(&results) {
                    members.retain(|name, _| !ReportedResults::OUTPUT.contains(&&**name));
                }
                if *inline {
                    for (part, bytes) in [(Part::Out, results.out_bytes), (Part::Err, results.err_bytes)] {
                        members.insert(part.to_string(), text_or_base64(jobs, job, part, bytes).await?);
                    }
                }
            }
            (Event::JobEnded, json!({"cmd-id": job, "results": document}))
        }
    };
    match lexicon.raise(event.as_str(), facts.to_string()).await.into_iter().next() {
        None => Err(format!("no word is bound to {event}")),
        Some((word, Ok(message))) => Ok((word, message)),
        Some((_, Err(error))) => Err(error.to_string()),
    }
}

/// Whether the host may have output that is not here any more: what was written just before a machine stopped may not have
/// come to its disk. How much there was, nobody knows then.
fn may_lack_output(results: &Results) -> bool {
    results.error.as_ref().is_some_and(|error| error.is(FailureCode::GuestRestarted))
}

/// Output as it stands in results: text, or base64 where it is no text.
async fn text_or_base64(jobs: &Jobs, job: &str, part: Part, bytes: u64) -> Result<Value, String> {
    let most = usize::try_from(bytes).unwrap_or(usize::MAX);
    let bytes = jobs.read(job, part, 0, most).await.map_err(|error| error.to_string())?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(binary) => json!({"b64": BASE64_STANDARD.encode(binary.as_bytes())}),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocable_protocol::Failure;

    #[test]
    fn after_a_restart_of_the_machine_nobody_knows_how_much_output_there_was() {
        let of = |code| may_lack_output(&Results::not_started(Failure::new(code, ""), 0.0));
        assert!(of(FailureCode::GuestRestarted) && !of(FailureCode::NotStarted));
    }

    #[test]
    fn want_of_room_is_told_from_what_is_wrong() {
        let error = |kind: &str, text: &str| AskError { kind: kind.into(), text: text.into() };
        for text in [
            "no-space: c1 is held up: 1 GiB are here",
            "c1: busy reading what is here of its output; tell it again",
        ] {
            assert!(is_no_room(&error("failed", text)), "{text}");
        }
        assert!(is_no_room(&error("busy", "")));
        for text in ["c1: out continues at 5, and only 4 bytes are here", "it is busy", ""] {
            assert!(!is_no_room(&error("failed", text)), "{text}");
        }
    }
}
