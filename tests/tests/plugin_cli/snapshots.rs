//! `catalyst plugin test`: a difference is never green, and neither is nothing to compare.

use super::{component, plugin, repository, text};
use serde_json::{Value, json};
use std::path::Path;

fn case(folder: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    let body = std::fs::read_to_string(repository("scripts/rehearsal.json")).unwrap();
    let mut body: Value = serde_json::from_str(&body).unwrap();
    change(&mut body);
    std::fs::write(folder.join(name), body.to_string()).unwrap();
}

fn outcomes(report: &Value) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    report["cases"].as_array().unwrap().iter().map(|case| (word(&case["name"]), word(&case["outcome"]))).collect()
}

fn all(outcome: &str) -> Vec<(String, String)> {
    ["plain", "refused"].map(|name| (name.to_owned(), outcome.to_owned())).to_vec()
}

#[test]
fn what_was_written_is_what_later_runs_are_held_to() {
    let folder = tempfile::tempdir().unwrap();
    let (cases, file) = (text(folder.path()), component("rehearsal"));
    case(folder.path(), "plain.json", |_| {});
    case(folder.path(), "refused.json", |body| body["regions"][0]["cloudRegion"] = json!("nowhere"));
    let test = |more: &[&str]| {
        let mut arguments = vec!["test", &file, &cases, "--json"];
        arguments.extend(more);
        plugin(&arguments)
    };
    let missing = test(&[]);
    assert_eq!(
        (missing.ended(1).json()["verdict"].clone(), outcomes(&missing.json())),
        (json!("fail"), all("missing"))
    );
    assert_eq!(outcomes(&test(&["--update"]).ended(0).json()), all("written"));
    assert_eq!(outcomes(&test(&[]).ended(0).json()), all("same"));
    let same = plugin(&["test", &file, &cases]);
    assert!(same.ended(0).stdout.ends_with("2 of 2 cases are as they were\n"), "{}", same.stdout);
    assert_eq!(outcomes(&test(&["--update"]).ended(0).json()), all("same"));

    let refused = std::fs::read_to_string(folder.path().join("refused.expected/findings.json")).unwrap();
    assert!(refused.contains("/regions/0/cloudRegion") && refused.contains("\"error\""), "{refused}");
    assert!(!folder.path().join("refused.expected/bundle.json").exists());

    let expected = folder.path().join("plain.expected");
    let main = std::fs::read_to_string(expected.join("module/main.tf")).unwrap();
    std::fs::write(expected.join("module/main.tf"), main.replacen("locals {", "locals { # was so", 1)).unwrap();
    std::fs::remove_file(expected.join("module/versions.tf")).unwrap();
    std::fs::write(expected.join("module/gone.tf"), "# no more\n").unwrap();
    let differs = test(&[]).ended(1).json();
    let differences = differs["cases"][0]["differences"].as_array().unwrap();
    let kinds: Vec<_> =
        differences.iter().map(|d| (d["file"].as_str().unwrap(), d["kind"].as_str().unwrap())).collect();
    let wanted = [("module/gone.tf", "removed"), ("module/main.tf", "changed"), ("module/versions.tf", "added")];
    assert_eq!(kinds, wanted);
    let diff = differences[1]["diff"].as_str().unwrap();
    assert!(diff.contains("-locals { # was so") && diff.contains("+locals {"), "{diff}");

    let page = plugin(&["test", &file, &cases]);
    assert!(page.ended(1).stdout.contains("+locals {") && page.stdout.contains("1 of 2 cases"), "{}", page.stdout);
    let updated = plugin(&["test", &file, &cases, "--update"]);
    let words = "1 of 2 cases are as they were, 1 updated\n";
    assert!(updated.ended(0).stdout.ends_with(words) && updated.stdout.contains("+locals {"), "{}", updated.stdout);
    assert_eq!(outcomes(&test(&["--update"]).ended(0).json()), all("same"));
}

#[test]
fn an_update_says_what_it_wrote_for_the_first_time_and_what_it_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (cases, file) = (text(folder.path()), component("rehearsal"));
    case(folder.path(), "old.json", |_| {});
    let first = plugin(&["test", &file, &cases, "--update"]);
    let told = &first.ended(0).stdout;
    assert!(told.contains("the first answer of this case; look at it, then commit it"), "{told}");
    assert!(told.ends_with("0 of 1 cases are as they were, 1 written for the first time\n"), "{told}");
    assert!(!told.contains("difference"), "there is none: {told}");

    std::fs::write(folder.path().join("old.expected/findings.json"), "[1]\n").unwrap();
    case(folder.path(), "new.json", |_| {});
    let second = plugin(&["test", &file, &cases, "--update", "--json"]).ended(0).json();
    let word = |name: &str, outcome: &str| (name.to_owned(), outcome.to_owned());
    assert_eq!(outcomes(&second), [word("new", "written"), word("old", "updated")]);
    assert_eq!(second["cases"][1]["differences"][0]["file"], "findings.json");
}

#[test]
fn nothing_to_test_and_a_case_that_cannot_be_read_are_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let (cases, file) = (text(folder.path()), component("rehearsal"));
    let empty = plugin(&["test", &file, &cases]);
    assert!(empty.ended(2).stderr.contains("nothing to test"), "{}", empty.stderr);
    std::fs::write(folder.path().join("broken.json"), "{").unwrap();
    let broken = plugin(&["test", &file, &cases, "--update"]);
    assert!(broken.ended(2).stderr.contains("broken.json"), "{}", broken.stderr);
    case(folder.path(), "broken.json", |body| body["regions"][0]["provider"] = json!("another"));
    let foreign = plugin(&["test", &file, &cases]);
    assert!(foreign.ended(2).stderr.contains("is for the provider `another`"), "{}", foreign.stderr);
}
