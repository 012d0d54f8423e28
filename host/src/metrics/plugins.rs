//! The plugins of this moment: who serves, how its calls go, and which file does not load. The one place where the
//! sandbox is read. A label holds what the operator put into the folder, so the number of series is bounded by the
//! folder's limit.

use catalyst_sandbox::{BreakerState, CallStats, LoadFailure, Outcome, Provider, Sandbox};
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

/// Digits of a digest: enough to tell two builds apart and to find the line of `plugins.lock`.
const DIGITS: usize = 12;

/// Files that are named. A folder has no more plugins than this; what is beyond it is a mistake in the path, and
/// counted.
const FILES: usize = 64;

/// Every so many bounds of the sandbox make one of a scrape: 16 µs, 64 µs, … 16.8 s. Its own are two to each doubling.
const STEP: usize = 4;

type ByState = Family<[(&'static str, &'static str); 1], Gauge>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Plugin {
    plugin: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Called {
    plugin: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Standing {
    plugin: String,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Identity {
    plugin: String,
    version: String,
    interface: String,
    digest: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Failed {
    file: String,
}

pub(super) fn add(sandbox: &Sandbox, registry: &mut Registry) {
    let (providers, failures) = (sandbox.providers(), sandbox.failures());
    let states = ByState::default();
    states.get_or_create(&[("state", "serving")]).set(super::now::whole(providers.len()));
    states.get_or_create(&[("state", "failed")]).set(super::now::whole(failures.len()));
    registry.register("plugins", "Plugins that serve, and files that could not be loaded", states);
    registry.register("plugin_file_failed", "Files that could not be loaded, by name", named(&failures));
    identities(&providers, registry);
    let stats: Vec<_> = providers.iter().map(|provider| (provider.descriptor().id.clone(), provider.stats())).collect();
    calls(&stats, registry);
    breakers(&stats, registry);
}

fn named(failures: &[LoadFailure]) -> Family<Failed, Gauge> {
    let family = Family::<Failed, Gauge>::default();
    for failure in failures.iter().take(FILES) {
        family.get_or_create(&Failed { file: failure.file.clone() }).set(1);
    }
    family
}

fn identities(providers: &[Arc<Provider>], registry: &mut Registry) {
    let family = Family::<Identity, Gauge>::default();
    for provider in providers {
        let (descriptor, digest) = (provider.descriptor(), provider.digest());
        let identity = Identity {
            plugin: descriptor.id.clone(),
            version: descriptor.version.clone(),
            interface: provider.interface_version().to_owned(),
            digest: digest.get(..DIGITS).unwrap_or(digest).to_owned(),
        };
        family.get_or_create(&identity).set(1);
    }
    registry.register("plugin_info", "Which plugin serves, in which version and with which bytes", family);
}

fn calls(stats: &[(String, CallStats)], registry: &mut Registry) {
    let ended = Family::<Called, Counter>::default();
    for (plugin, stats) in stats {
        for outcome in Outcome::ALL {
            let labels = Called { plugin: plugin.clone(), outcome: outcome.name() };
            ended.get_or_create(&labels).inc_by(stats.count(outcome));
        }
    }
    registry.register("plugin_calls", "Calls of plugins by how they ended, since their bytes were loaded", ended);
    let times = Times(stats.iter().map(|(plugin, stats)| (plugin.clone(), Histogram::of(stats))).collect());
    registry.register(
        "plugin_call_duration_seconds",
        "Time of a plugin's calls, from their slot to their answer",
        times,
    );
}

fn breakers(stats: &[(String, CallStats)], registry: &mut Registry) {
    let standing = Family::<Standing, Gauge>::default();
    let openings = Family::<Plugin, Counter>::default();
    for (plugin, stats) in stats {
        for state in [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen] {
            let labels = Standing { plugin: plugin.clone(), state: state.name() };
            standing.get_or_create(&labels).set(i64::from(stats.breaker.state == state));
        }
        openings.get_or_create(&Plugin { plugin: plugin.clone() }).inc_by(stats.openings);
    }
    registry.register("plugin_breaker", "Where a plugin's breaker stands: 1 at its state", standing);
    registry.register("plugin_breaker_openings", "How often a plugin's breaker opened", openings);
}

/// A histogram that somebody else has counted.
#[derive(Debug, Clone, PartialEq)]
struct Histogram {
    seconds: f64,
    count: u64,
    /// Upper bounds in seconds with the calls of each bucket alone; the last has no bound.
    buckets: Vec<(f64, u64)>,
}

impl Histogram {
    fn of(stats: &CallStats) -> Self {
        let mut below = 0;
        let mut buckets: Vec<(f64, u64)> = stats
            .buckets()
            .into_iter()
            .step_by(STEP)
            .map(|(bound, at_most)| (bound.as_secs_f64(), at_most - std::mem::replace(&mut below, at_most)))
            .collect();
        buckets.push((f64::INFINITY, stats.made() - below));
        Self { seconds: stats.total.as_secs_f64(), count: stats.made(), buckets }
    }
}

/// By plugin.
#[derive(Debug)]
struct Times(Vec<(String, Histogram)>);

impl EncodeMetric for Times {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.iter().try_for_each(|(plugin, times)| {
            let labels = [("plugin", plugin.as_str())];
            let mut encoder = encoder.encode_family(&labels)?;
            encoder.encode_histogram::<NoLabelSet>(times.seconds, times.count, &times.buckets, None)
        })
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    #[test]
    fn a_histogram_that_was_counted_elsewhere_is_written_as_any_other() {
        let histogram = Histogram { seconds: 2.5, count: 4, buckets: vec![(0.001, 1), (0.25, 2), (f64::INFINITY, 1)] };
        let mut registry = Registry::default();
        registry.register("x_seconds", "X", Times(vec![("a".to_owned(), histogram)]));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "# TYPE x_seconds histogram",
            "x_seconds_sum{plugin=\"a\"} 2.5",
            "x_seconds_count{plugin=\"a\"} 4",
            "x_seconds_bucket{le=\"0.001\",plugin=\"a\"} 1",
            "x_seconds_bucket{le=\"0.25\",plugin=\"a\"} 3",
            "x_seconds_bucket{le=\"+Inf\",plugin=\"a\"} 4",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn no_more_files_are_named_than_a_folder_may_hold() {
        let failure = |index: usize| LoadFailure {
            file: format!("{index}.wasm"),
            error: "is broken".to_owned(),
            previous_serves: false,
        };
        let failures: Vec<LoadFailure> = (0..1000).map(failure).collect();
        let mut registry = Registry::default();
        registry.register("failed", "Files", named(&failures));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert_eq!(text.matches("failed{file=").count(), FILES);
    }
}
