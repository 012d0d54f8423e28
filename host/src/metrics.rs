//! Numbers for whoever runs this, as Prometheus reads them (OpenMetrics text). What happens is counted here when it
//! does; what is so now is read from the rooms at each scrape. No label holds an id or anything that a client chose, so
//! that the number of series is bounded by the program and by the plugins that its operator put there.

mod classic;
mod disks;
mod measured;
mod now;
mod plugins;
mod process;

pub use classic::TextFormat;
pub use measured::Measured;

use crate::app::App;
use catalyst_domain::Status;
use disks::Disks;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::path::PathBuf;
use std::time::Duration;

/// Seconds of answers: reads take under a millisecond, a create with a plugin and syncs up to seconds.
const ANSWERS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];
/// Seconds of the store's work: memory below, a sync of a slow disk above. The last bound lies above whatever an alert asks
/// for, because no quantile is ever said to be beyond it.
const STORE: [f64; 11] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 2.5, 10.0];
/// Seconds of a deployment's phases: an apply takes minutes, a node up to the longest deadline.
const PHASES: [f64; 10] = [1.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 2700.0, 5400.0];

/// Why connections get no place.
const REFUSED_CONNECTIONS: [&str; 2] = ["address", "all"];
/// Why requests are refused that ask for more than a share.
const LIMITED_REQUESTS: [&str; 6] = [
    "too-many-creates",
    "too-many-changes",
    "too-many-questions",
    "too-many-live-deployments",
    "too-many-waiting-runs",
    "too-many-connections",
];

type Times<L> = Family<L, Histogram, fn() -> Histogram>;

/// What is counted.
pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    answers: Times<Asked>,
    store: Times<Operation>,
    store_errors: Family<Operation, Counter>,
    phases: Times<Phase>,
    auth_failures: Family<Reason, Counter>,
    wrong_bearers: Counter,
    refused_connections: Family<Reason, Counter>,
    limited_requests: Family<Reason, Counter>,
    viewers: Gauge,
    disks: Disks,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Asked {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: String,
    status: u64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Phase {
    status: &'static str,
    next: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Why a caller was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthFailure {
    /// No token.
    Missing,
    /// A wrong one.
    Invalid,
    /// Too many wrong ones before.
    Limited,
    /// A right one that does not allow it.
    Forbidden,
    /// Nobody could tell.
    Unavailable,
}

impl AuthFailure {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Missing, Self::Invalid, Self::Limited, Self::Forbidden, Self::Unavailable];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing-token",
            Self::Invalid => "invalid-token",
            Self::Limited => "too-many-wrong-tokens",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "authentication-unavailable",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("catalyst");
        let metrics = Self {
            requests: Family::default(),
            answers: Family::new_with_constructor(|| Histogram::new(ANSWERS)),
            store: Family::new_with_constructor(|| Histogram::new(STORE)),
            store_errors: Family::default(),
            phases: Family::new_with_constructor(|| Histogram::new(PHASES)),
            auth_failures: Family::default(),
            wrong_bearers: Counter::default(),
            refused_connections: Family::default(),
            limited_requests: Family::default(),
            viewers: Gauge::default(),
            disks: Disks::default(),
            registry: Registry::default(),
        };
        let m = &metrics;
        registry.register("http_requests", "Requests that were answered", m.requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time to the head of an answer; a stream goes on after it",
            m.answers.clone(),
        );
        registry.register("store_duration_seconds", "Time of the store's operations", m.store.clone());
        registry.register("store_errors", "Operations that the store could not do", m.store_errors.clone());
        let phases = "Time that deployments stood in a status, by the next one; not across a restart of the host";
        registry.register("phase_duration_seconds", phases, m.phases.clone());
        registry.register("auth_failures", "Requests whose caller was not let in", m.auth_failures.clone());
        registry.register("wrong_bearers", "Kubeconfig uploads with a wrong bearer", m.wrong_bearers.clone());
        let refused = "Connections that got no place: their address had its share, or all places were taken";
        registry.register("refused_connections", refused, m.refused_connections.clone());
        let limited = "Requests that were refused because their subject or client had its share";
        registry.register("limited_requests", limited, m.limited_requests.clone());
        registry.register("viewers", "Open event streams", m.viewers.clone());
        metrics.begin();
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// Those of a host that writes into these folders, each under the name that it has as a label.
    pub fn of_folders(folders: impl IntoIterator<Item = (&'static str, PathBuf)>) -> Self {
        Self { disks: Disks::new(folders), ..Self::default() }
    }

    /// Puts failures at 0: a series that begins with its first failure does not tell a scraper of it, because nothing rose.
    fn begin(&self) {
        for operation in measured::OPERATIONS {
            drop(self.store_errors.get_or_create(&Operation { operation }));
        }
        for failure in AuthFailure::ALL {
            drop(self.auth_failures.get_or_create(&Reason { reason: failure.as_str() }));
        }
        for reason in REFUSED_CONNECTIONS {
            drop(self.refused_connections.get_or_create(&Reason { reason }));
        }
        for reason in LIMITED_REQUESTS {
            drop(self.limited_requests.get_or_create(&Reason { reason }));
        }
    }

    /// A request was answered.
    pub fn answered(&self, method: &'static str, route: &str, status: u16, time: Duration) {
        let status = u64::from(status);
        self.requests.get_or_create(&Answered { method, route: route.to_owned(), status }).inc();
        self.answers.get_or_create(&Asked { method, route: route.to_owned() }).observe(time.as_secs_f64());
    }

    /// A caller was not let in.
    pub fn auth_failed(&self, failure: AuthFailure) {
        self.auth_failures.get_or_create(&Reason { reason: failure.as_str() }).inc();
    }

    /// A node, or somebody else, showed a wrong bearer.
    pub fn wrong_bearer(&self) {
        self.wrong_bearers.inc();
    }

    /// A connection got no place.
    pub fn connection_refused(&self, reason: &'static str) {
        self.refused_connections.get_or_create(&Reason { reason }).inc();
    }

    /// A request was refused because of this limit.
    pub fn refused(&self, reason: &'static str) {
        self.limited_requests.get_or_create(&Reason { reason }).inc();
    }

    /// Somebody follows a deployment until the guard is dropped.
    pub fn viewer(&self) -> Viewing {
        self.viewers.inc();
        Viewing(self.viewers.clone())
    }

    fn stored(&self, operation: &'static str, time: Duration, failed: Failed) {
        self.store.get_or_create(&Operation { operation }).observe(time.as_secs_f64());
        if failed == Failed::Yes {
            self.store_errors.get_or_create(&Operation { operation }).inc();
        }
    }

    fn phase_ended(&self, status: Status, next: Status, time: Duration) {
        let labels = Phase { status: status.as_str(), next: next.as_str() };
        self.phases.get_or_create(&labels).observe(time.as_secs_f64());
    }

    /// Asks the disks for their room, which takes a second at most. What they say is in the next text.
    pub async fn ask_disks(&self) {
        self.disks.ask().await;
    }

    /// Everything that was counted, and everything that is so now, in [`TextFormat::OpenMetrics`].
    pub fn text(&self, app: &App) -> String {
        let mut text = String::new();
        // Writing into a string fails never.
        let _ = encode_registry(&mut text, &self.registry);
        let mut now = now::registry(app);
        self.disks.add(&mut now);
        let _ = encode_registry(&mut text, &now);
        let _ = encode_registry(&mut text, &process::registry());
        let _ = encode_eof(&mut text);
        text
    }
}

/// Whether the store could not do it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failed {
    Yes,
    No,
}

/// A viewer that is counted.
pub struct Viewing(Gauge);

impl Drop for Viewing {
    fn drop(&mut self) {
        self.0.dec();
    }
}
