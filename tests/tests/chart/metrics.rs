//! Dashboard and alerts speak of metrics that the host has, and every alert has its paragraph in the runbook. That the list of
//! metrics is the host's own is shown where a host is scraped.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// What Prometheus makes of a histogram.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// The host's metrics and their labels.
fn known() -> BTreeMap<String, Vec<String>> {
    let text = read("chart/files/metrics.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, labels) = line.split_once(' ').unwrap_or((line, ""));
            (name.to_owned(), labels.split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect())
        })
        .collect()
}

/// Words of an expression that may be names: the host's own, and those that every process has.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("catalyst_") || word.starts_with("process_"))
}

pub fn alerts() -> Vec<Value> {
    let groups = &parsed(&read("chart/files/alerts.yaml"))[0]["groups"];
    groups.as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("chart/files/dashboard.json")).unwrap()
}

fn expressions() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let shown = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    shown.chain(alerts().iter().map(|rule| rule["expr"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn dashboard_and_alerts_name_metrics_that_there_are() {
    let known = known();
    let mut used = BTreeSet::new();
    for expression in expressions() {
        for name in names(&expression) {
            let whole = PARTS.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
            assert!(known.contains_key(whole), "{name} in {expression}");
            used.insert(whole.to_owned());
        }
    }
    let unseen: Vec<_> = known.keys().filter(|name| !used.contains(*name)).collect();
    assert!(unseen.is_empty(), "measured and never shown: {unseen:?}");
}

#[test]
fn what_is_asked_of_a_metric_is_one_of_its_labels() {
    let known = known();
    for expression in expressions() {
        let labels: BTreeSet<&str> = names(&expression)
            .flat_map(|name| known.get(PARTS.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)).unwrap())
            .map(String::as_str)
            .collect();
        for by in expression.split("by (").skip(1) {
            for label in by.split(')').next().unwrap().split(',').map(str::trim).filter(|label| *label != "le") {
                assert!(labels.contains(label), "{label} in {expression}");
            }
        }
    }
}

#[test]
fn every_alert_says_what_it_is_and_the_runbook_what_to_do() {
    let runbook = read("docs/operations.md");
    for rule in alerts() {
        let name = rule["alert"].as_str().unwrap();
        for text in ["summary", "description"] {
            assert!(rule["annotations"][text].as_str().is_some_and(|text| text.ends_with('.')), "{name}: {text}");
        }
        assert!(["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        assert!(runbook.contains(&format!("**{name}**")), "docs/operations.md does not say what to do at {name}");
    }
}

#[test]
fn panels_do_not_lie_over_each_other() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{}", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{} lies over another", panel["title"]);
            }
        }
    }
}
