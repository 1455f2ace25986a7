//! What Prometheus is told: how often methods were called and how long that took, what requests were answered with,
//! and how it stands with the agent, which [`Methods::samples`](super::Methods::samples) knows.

use crate::panics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The type of the text, as scrapers ask for it.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of how long calls took, seconds: from one that looks something up to the longest wait.
const SECONDS: [f64; 9] = [0.000_5, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0, 20.0, 30.0];

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Its name, with its unit at the end: `vocable_guests`.
    pub(crate) name: &'static str,
    /// What it is: a sentence without its full stop.
    pub(crate) help: &'static str,
    /// Whether it only ever grows.
    pub(crate) counts_up: bool,
    /// What tells it from others of the name.
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) value: f64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    method: String,
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResponseLabels {
    status: u16,
}

/// What the endpoint itself counts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    calls: Family<CallLabels, Counter>,
    seconds: Histogram_,
    responses: Family<ResponseLabels, Counter>,
}

#[derive(Clone, Debug)]
struct Histogram_(Histogram);

impl Default for Histogram_ {
    fn default() -> Self {
        Self(Histogram::new(SECONDS))
    }
}

impl Metrics {
    /// A call is over: `ok`, or the slug of its fault. `method` is one there is, or `unknown`.
    pub(super) fn called(&self, method: &str, outcome: &str, took: Duration) {
        let labels = CallLabels { method: method.to_owned(), outcome: outcome.to_owned() };
        self.calls.get_or_create(&labels).inc();
        self.seconds.0.observe(took.as_secs_f64());
    }

    pub(super) fn answered(&self, status: u16) {
        self.responses.get_or_create(&ResponseLabels { status }).inc();
    }

    pub(super) fn text(&self, samples: Vec<Sample>) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register("vocable_api_calls", "Calls of methods by what came of them", self.calls.clone());
        registry.register("vocable_api_call_seconds", "How long calls took", self.seconds.0.clone());
        registry.register(
            "vocable_api_responses",
            "Requests by the status they were answered with",
            self.responses.clone(),
        );
        let panics: Counter<u64> = Counter::default();
        panics.inc_by(panics::count());
        registry.register("vocable_panics", "Mistakes of the agent's own that it survived", panics);
        register(&mut registry, samples);
        let mut text = String::new();
        encode_registry(&mut text, &registry)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

type Labels = Vec<(&'static str, String)>;

/// Samples of one name are one family.
fn register(registry: &mut Registry, samples: Vec<Sample>) {
    let mut families: BTreeMap<&'static str, Vec<Sample>> = BTreeMap::new();
    for sample in samples {
        families.entry(sample.name).or_default().push(sample);
    }
    for (name, samples) in families {
        let Some(first) = samples.first() else { continue };
        let (help, counts_up) = (first.help, first.counts_up);
        if counts_up {
            let family = Family::<Labels, Counter<f64, AtomicU64>>::default();
            for it in &samples {
                family.get_or_create(&it.labels).inc_by(it.value.max(0.0));
            }
            registry.register(name, help, family);
        } else {
            let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
            for it in &samples {
                family.get_or_create(&it.labels).set(it.value);
            }
            registry.register(name, help, family);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_told_in_the_form_scrapers_read() {
        let metrics = Metrics::default();
        metrics.called("cmd.run", "ok", Duration::from_millis(1));
        metrics.called("cmd.run", "ok", Duration::from_millis(1));
        metrics.answered(401);
        let guests = |state: &str, value| Sample {
            name: "vocable_guests",
            help: "Guests by state",
            counts_up: false,
            labels: vec![("state", state.to_owned())],
            value,
        };
        let text = metrics.text(vec![guests("alive", 2.0), guests("lost", 1.0)]).unwrap();
        for line in [
            "vocable_api_calls_total{method=\"cmd.run\",outcome=\"ok\"} 2",
            "vocable_api_call_seconds_bucket{le=\"0.002\"} 2",
            "vocable_api_responses_total{status=\"401\"} 1",
            "# TYPE vocable_guests gauge",
            "vocable_guests{state=\"alive\"} 2.0",
            "vocable_guests{state=\"lost\"} 1.0",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
