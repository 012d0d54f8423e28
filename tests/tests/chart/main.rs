//! The Helm chart: rendered by the real Helm, taken by a real API server, and held to the host's settings and promises.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod alerts;
mod cluster;
mod metrics;
mod network;
mod rendering;
mod rules;
mod settings;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The value sets below `chart/ci`.
const SETS: [&str; 5] = ["default", "reference", "ingress", "gateway", "airgapped"];
/// The version that Helm is to render for: the API server's own, which the objects are shown to.
const KUBERNETES: &str = "1.36.3";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Helm with nothing of this machine's own settings.
fn helm(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(catalyst_tests::tools::path("helm").unwrap());
    command.env_clear().env("HOME", home.path()).current_dir(root()).args(arguments).output().unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

fn values(set: &str) -> String {
    format!("chart/ci/{set}-values.yaml")
}

/// The text of a rendered value set, `set` being further `--set` arguments.
fn template(values: &str, set: &[&str]) -> Output {
    let mut arguments =
        vec!["template", "cat", "chart", "--namespace", "catalyst", "--kube-version", KUBERNETES, "--values", values];
    for one in set {
        arguments.extend(["--set-json", one]);
    }
    helm(&arguments)
}

/// The objects of a rendered value set.
fn objects(set: &str) -> Vec<Value> {
    let output = template(&values(set), &[]);
    assert!(output.status.success(), "{set}: {}", words(&output));
    parsed(&String::from_utf8(output.stdout).unwrap())
}

fn parsed(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    documents.into_iter().filter(|one| !one.is_null()).collect()
}

/// The one object of a kind.
fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<&Value> = objects.iter().filter(|object| object["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

/// The Pod that a set's Deployment makes.
fn pod(objects: &[Value]) -> &Value {
    &only(objects, "Deployment")["spec"]["template"]["spec"]
}
