//! The alerts, tried by Prometheus' own tool on numbers as hosts export them.

use super::metrics::alerts;
use super::*;

const CASES: &str = "tests/tests/chart/alerts.test.yaml";

/// Prometheus' tool on files beside each other.
fn promtool(files: &[(&str, &str)], arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let mut command = Command::new(catalyst_tests::tools::path("promtool").unwrap());
    command.env_clear().env("HOME", folder.path()).current_dir(folder.path()).args(arguments).output().unwrap()
}

fn tried(rules: &str) -> Output {
    let files = [("alerts.yaml", rules), ("alerts.test.yaml", &read(CASES))];
    promtool(&files, &["test", "rules", "alerts.test.yaml"])
}

#[test]
fn prometheus_raises_each_alert_when_it_should_and_no_other() {
    let output = tried(&read("chart/files/alerts.yaml"));
    assert!(output.status.success(), "{}", words(&output));
}

#[test]
fn every_alert_is_raised_in_some_case() {
    let cases = read(CASES);
    for rule in alerts() {
        let name = rule["alert"].as_str().unwrap();
        assert!(cases.contains(&format!(r#"{{alertname="{name}"}}"#)), "{CASES} never raises {name}");
    }
}

#[test]
fn a_rule_that_never_fires_is_found() {
    let rules = read("chart/files/alerts.yaml").replace("[10m]))) > 1\n", "[10m]))) > 10\n");
    let output = tried(&rules);
    assert!(!output.status.success() && words(&output).contains("CatalystStoreSlow"), "{}", words(&output));
}

#[test]
fn the_rules_of_a_release_are_rules_and_look_at_its_own_claim() {
    let claims = [
        (vec![], r#"namespace="catalyst",persistentvolumeclaim="cat-catalyst""#),
        (vec![r#"persistence={"existingClaim":"older"}"#], r#"namespace="catalyst",persistentvolumeclaim="older""#),
    ];
    for (set, claim) in claims {
        let output = template(&values("default"), &[vec!["prometheusRule.enabled=true"], set].concat());
        let objects = parsed(&String::from_utf8(output.stdout).unwrap());
        let spec = &only(&objects, "PrometheusRule")["spec"];
        let rules = spec["groups"][0]["rules"].as_array().unwrap();
        let full = rules.iter().find(|rule| rule["alert"] == "CatalystVolumeFull").unwrap();
        assert_eq!(full["expr"].as_str().unwrap().matches(claim).count(), 2, "{full}");
        let checked = promtool(&[("rules.yaml", &spec.to_string())], &["check", "rules", "rules.yaml"]);
        assert!(checked.status.success(), "{}", words(&checked));
    }
}
