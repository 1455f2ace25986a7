//! How it stands with the agent, in numbers for Prometheus.

use super::Context;
use crate::endpoint::http::Sample;
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// All numbers. Those the agent cannot give now are missing.
pub(super) async fn samples(context: &Context) -> Vec<Sample> {
    let mut samples = vec![
        gauge(
            "vocable_build_info",
            "Which version runs",
            1.0,
            vec![("version", env!("CARGO_PKG_VERSION").to_owned())],
        ),
        gauge("vocable_uptime_seconds", "Since the start of the agent", uptime(context), Vec::new()),
    ];
    if let Some(bytes) = resident_bytes() {
        samples.push(gauge("vocable_resident_bytes", "Memory of the agent", float(bytes), Vec::new()));
    }
    if let Ok(view) = context.handle.roster().await {
        let mut states = BTreeMap::<_, u64>::new();
        view.guests.values().for_each(|(guest, _)| *states.entry(guest.state.as_str()).or_default() += 1);
        let guests = |(state, count): (&str, u64)| {
            gauge("vocable_guests", "Guests by state", float(count), vec![("state", state.to_owned())])
        };
        samples.extend(states.into_iter().map(guests));
        let commands = view.commands.values().map(|count| u64::from(*count)).sum();
        samples.push(gauge(
            "vocable_commands_under_way",
            "Commands that are not over",
            float(commands),
            Vec::new(),
        ));
    }
    for word in context.lexicon.words() {
        let named = || vec![("word", word.name.clone())];
        samples.push(counter("vocable_word_calls", "Calls of a word", float(word.calls), named()));
        samples.push(counter(
            "vocable_word_traps",
            "Calls of a word that trapped",
            float(word.traps),
            named(),
        ));
    }
    samples
}

fn gauge(name: &'static str, help: &'static str, value: f64, labels: Vec<(&'static str, String)>) -> Sample {
    Sample { name, help, counts_up: false, labels, value }
}

fn counter(
    name: &'static str,
    help: &'static str,
    value: f64,
    labels: Vec<(&'static str, String)>,
) -> Sample {
    Sample { name, help, counts_up: true, labels, value }
}

pub(super) fn uptime(context: &Context) -> f64 {
    (OffsetDateTime::now_utc() - context.about.started).as_seconds_f64().max(0.0)
}

/// The memory this process holds, where the system tells.
pub(super) fn resident_bytes() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[expect(clippy::cast_precision_loss, reason = "counts; exact up to 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}
