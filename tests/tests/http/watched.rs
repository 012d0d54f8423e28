//! What alerts and dashboard rest on: every metric is in their list with its labels, failures are there before the first one,
//! and a threshold lies where a quantile can come to.

use crate::kit::{Server, id, record};
use crate::metrics::{scrape, value};
use catalyst::app::App;
use catalyst_domain::{Fact, Status, Timestamp};
use catalyst_sandbox::Sandbox;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// What Prometheus makes of a histogram.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];
/// When the newest failure was.
const FAILED_AT: &str = "catalyst_deployment_failed_timestamp_seconds";

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The expressions of the alerts.
fn alerts() -> Vec<String> {
    let file: Value = serde_saphyr::from_str(&read("chart/files/alerts.yaml")).unwrap();
    let rules = file["groups"][0]["rules"].as_array().unwrap();
    rules.iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect()
}

/// Our metrics in an expression, with what is in their braces.
fn selectors(expression: &str) -> Vec<(&str, &str)> {
    let starts = expression.match_indices("catalyst_").map(|(at, _)| &expression[at..]);
    starts
        .map(|rest| {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            (name, rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default())
        })
        .collect()
}

/// A sample's name, and its labels with their values.
fn sample(line: &str) -> (&str, BTreeMap<&str, &str>) {
    let Some((name, rest)) = line.split_once('{') else { return (line.split(' ').next().unwrap(), BTreeMap::new()) };
    let labels = rest.rsplit_once("} ").unwrap().0;
    let pairs = labels.split("\",").map(|pair| pair.trim_end_matches('"').split_once("=\"").unwrap());
    (name, pairs.collect())
}

fn samples(text: &str) -> impl Iterator<Item = (&str, BTreeMap<&str, &str>)> {
    text.lines().filter(|line| !line.starts_with('#')).map(sample)
}

/// Every metric with its labels, as `metrics.txt` names them.
fn exported(texts: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    for text in texts {
        let histograms: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" histogram")).collect();
        for (name, labels) in samples(text) {
            let whole = PARTS.iter().find_map(|part| name.strip_suffix(part).filter(|name| histograms.contains(name)));
            let labels = labels.into_keys().filter(|label| *label != "le").map(str::to_owned);
            found.entry(whole.unwrap_or(name).to_owned()).or_default().extend(labels);
        }
    }
    found
}

/// The numbers of the same host whose folder of plugins holds a file that is none.
async fn with_a_broken_plugin(server: &Server) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.wasm"), "no component").unwrap();
    let sandbox = Sandbox::new(catalyst_sandbox::Settings::default()).unwrap();
    assert_eq!(sandbox.load_folder(folder.path()).await.failures.len(), 1);
    let app = &server.app;
    let broken = App {
        store: app.store.clone(),
        sandbox,
        outbound: app.outbound.clone(),
        names: app.names.clone(),
        driver: app.driver.clone(),
        auth: app.auth.clone(),
        audit: app.audit.clone(),
        metrics: app.metrics.clone(),
        stopping: app.stopping.clone(),
    };
    app.metrics.text(&broken)
}

/// Goes the way from a create to a failure, so that a phase is measured.
async fn fails(server: &Server) {
    server.store.create(record(7, Status::Provisioning)).await.unwrap();
    let fact = Fact::Interrupted { error: "restarted".into() };
    server.store.record(&id(7), &fact, Timestamp::now()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_metrics_is_what_a_host_exports() {
    let server = Server::with(&[]).await;
    server.get("/healthz").await;
    fails(&server).await;
    let (text, broken) = (scrape(&server).await, with_a_broken_plugin(&server).await);
    let listed = read("chart/files/metrics.txt");
    let listed = listed.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, labels) = line.split_once(' ').unwrap_or((line, ""));
        (name.to_owned(), labels.split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect())
    });
    assert_eq!(exported(&[&text, &broken]), listed.collect::<BTreeMap<String, BTreeSet<String>>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_that_is_counted_is_there_at_0_before_the_first() {
    let text = scrape(&Server::with(&[]).await).await;
    let measured = read("host/src/metrics/measured.rs");
    let operations: BTreeSet<&str> =
        measured.split("self.took(\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(operations.contains("put_state") && operations.len() >= 14, "{operations:?}");
    let mut series: Vec<String> = operations
        .iter()
        .map(|operation| format!(r#"catalyst_store_errors_total{{operation="{operation}"}}"#))
        .collect();
    for aim in ["apply", "destroy"] {
        for outcome in ["done", "failed", "timeout", "stopped", "staging", "storage"] {
            series.push(format!(r#"catalyst_tofu_runs_total{{aim="{aim}",outcome="{outcome}"}}"#));
        }
    }
    for reason in ["missing-token", "invalid-token", "too-many-wrong-tokens", "forbidden", "authentication-unavailable"]
    {
        series.push(format!(r#"catalyst_auth_failures_total{{reason="{reason}"}}"#));
    }
    let counted = ["catalyst_store_errors_total", "catalyst_tofu_runs_total", "catalyst_auth_failures_total"];
    assert_eq!(samples(&text).filter(|(name, _)| counted.contains(name)).count(), series.len(), "{text}");
    for series in series {
        assert_eq!(value(&text, &series), Some(0.0), "{series} in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_alert_asks_for_is_a_word_of_the_host() {
    let server = Server::with(&[record(1, Status::Destroyed)]).await;
    for path in ["/healthz", "/readyz", "/metrics", &format!("/api/v1/deployments/{}/logs", id(1))] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    let text = scrape(&server).await;
    let has = |name: &str, label: &str, word: &str| {
        samples(&text).filter(|(one, _)| *one == name).any(|(_, labels)| {
            let value = labels.get(label).copied().unwrap_or_default();
            word.strip_prefix(".*").map_or(value == word, |end| value.ends_with(end))
        })
    };
    let mut asked = 0;
    for expression in alerts() {
        for (name, inside) in selectors(&expression) {
            for matcher in inside.split(',').filter(|matcher| !matcher.is_empty()) {
                let (label, words) = matcher.trim_end_matches('"').split_once('"').unwrap();
                let label = label.trim_end_matches(['=', '~', '!']);
                for word in words.split('|').filter(|word| *word != "5..") {
                    assert!(has(name, label, word), "{name}{{{label}=\"{word}\"}} of {expression} in\n{text}");
                    asked += 1;
                }
            }
        }
    }
    assert!(asked >= 15, "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_threshold_of_a_quantile_lies_below_the_last_bound_of_its_buckets() {
    let server = Server::with(&[]).await;
    server.get("/healthz").await;
    server.store.create(record(1, Status::Provisioning)).await.unwrap();
    let text = scrape(&server).await;
    let mut looked = 0;
    for expression in alerts().iter().filter(|expression| expression.contains("histogram_quantile(")) {
        let threshold: f64 = expression.rsplit('>').next().unwrap().trim().parse().unwrap();
        let (name, _) = selectors(expression)[0];
        let bounds = samples(&text).filter(|(one, _)| *one == name).map(|(_, labels)| labels["le"].to_owned());
        let bounds = bounds.filter(|bound| bound != "+Inf").map(|bound| bound.parse::<f64>().unwrap());
        let last = bounds.fold(0.0, f64::max);
        assert!(threshold < last, "{expression} never is: no quantile of {name} is said to be beyond {last}");
        looked += 1;
    }
    assert!(looked >= 2, "{looked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restart_interrupted_is_the_newest_failure_until_it_is_taken_up() {
    let old = Timestamp::from_second(1_750_000_000).unwrap();
    let mut failed = record(2, Status::Failed);
    failed.finished_at = Some(old);
    let server = Server::with(&[record(1, Status::TofuApplying), failed]).await;
    assert_eq!(value(&scrape(&server).await, FAILED_AT), Some(1_750_000_000.0));
    let before = Timestamp::now().as_second();
    server.app.driver.start().await;
    let told = async {
        loop {
            let at = value(&scrape(&server).await, FAILED_AT).unwrap();
            if at > 1_750_000_000.0 {
                return at;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let at = tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
    let now = Timestamp::now().as_second();
    assert!((before..=now).any(|second| f64::from(u32::try_from(second).unwrap()).to_bits() == at.to_bits()), "{at}");
    for (n, left) in [(1, 1_750_000_000.0), (2, 0.0)] {
        server.store.record(&id(n), &Fact::DestroyRequested, Timestamp::now()).await.unwrap();
        assert_eq!(value(&scrape(&server).await, FAILED_AT), Some(left), "{n}");
    }
    server.down().await;
}

#[test]
fn a_selector_and_a_sample_are_read_as_prometheus_reads_them() {
    let expression = r#"sum(rate(catalyst_a_total{x="1",y!~"/b|.*/c"}[5m])) / catalyst_d > 1"#;
    assert_eq!(selectors(expression), [("catalyst_a_total", r#"x="1",y!~"/b|.*/c""#), ("catalyst_d", "")]);
    let (name, labels) = sample(r#"catalyst_a_total{route="/x/{id}",le="0.5"} 3"#);
    assert_eq!((name, labels["route"], labels["le"]), ("catalyst_a_total", "/x/{id}", "0.5"));
    assert_eq!(sample("catalyst_d 1").0, "catalyst_d");
}
