//! What is so now, read from the rooms at each scrape. A room gives a snapshot of its own and knows no metrics.

use super::plugins;
use crate::app::App;
use catalyst_domain::Status;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

type Word = [(&'static str, &'static str); 1];

/// The numbers of this moment.
pub fn registry(app: &App) -> Registry {
    let mut registry = Registry::with_prefix("catalyst");
    let version = Info::new([("version", env!("CARGO_PKG_VERSION")), ("auth", app.auth.mode().as_str())]);
    registry.register("build", "What runs here", version);
    deployments(app, &mut registry);
    runs(app, &mut registry);
    plugins::add(&app.sandbox, &mut registry);
    let usable = |works: bool| i64::from(works);
    registry.register(
        "store_usable",
        "Whether the store can be relied on",
        number(usable(app.store.unusable().is_none())),
    );
    registry.register(
        "audit_usable",
        "Whether the audit log can be written",
        number(usable(app.audit.unusable().is_none())),
    );
    registry.register(
        "auth_usable",
        "Whether callers are known by what the operator gives; 0 also while an earlier list still counts",
        number(usable(app.auth.trouble().is_none())),
    );
    registry.register("audit_lost_lines", "Lines that the audit log could not take", counted(app.audit.lost()));
    registry
}

fn deployments(app: &App, registry: &mut Registry) {
    let records = app.store.list();
    let family = Family::<Word, Gauge>::default();
    for status in Status::ALL {
        let count = records.iter().filter(|record| record.status == status).count();
        family.get_or_create(&[("status", status.as_str())]).set(whole(count));
    }
    registry.register("deployments", "Deployments by where they stand", family);
    // From the records, and not counted: whoever starts anew or scrapes another address finds the same number, also where
    // it was the restart that failed them.
    let failed = records.iter().filter(|record| record.status == Status::Failed);
    let newest = failed.filter_map(|record| record.finished_at).max();
    registry.register(
        "deployment_failed_timestamp_seconds",
        "When the newest failure was recorded that was neither retried nor destroyed; 0 without one",
        number(newest.map_or(0, |at| at.as_second())),
    );
}

fn runs(app: &App, registry: &mut Registry) {
    let load = app.driver.engine_load();
    let going = Family::<Word, Gauge>::default();
    going.get_or_create(&[("state", "running")]).set(whole(load.running));
    going.get_or_create(&[("state", "waiting")]).set(whole(load.waiting));
    registry.register("tofu_runs_now", "OpenTofu runs that go on or wait for their turn", going);
    let ended = Family::<Run, Counter>::default();
    for (aim, outcome, count) in load.ended {
        ended.get_or_create(&Run { aim, outcome }).inc_by(count);
    }
    registry.register("tofu_runs", "OpenTofu runs that ended", ended);
    let refused = Family::<Refused, Counter>::default();
    for (step, rule, count) in load.refused {
        refused.get_or_create(&Refused { step, rule }).inc_by(count);
    }
    registry.register("tofu_refused_connections", "Connections that runs asked for and did not get", refused);
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refused {
    step: &'static str,
    rule: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Run {
    aim: &'static str,
    outcome: &'static str,
}

pub(super) fn number(value: i64) -> impl Metric {
    let gauge = Gauge::<i64>::default();
    gauge.set(value);
    gauge
}

fn counted(value: u64) -> impl Metric {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    counter
}

pub(super) fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
