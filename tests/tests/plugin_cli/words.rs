//! What a component says, in every command that calls it: its `log` lines, what it prints, and the text and the place of a panic, for
//! a person on standard error and as fields of the JSON.

use super::mistakes::author;
use super::{plugin, text};
use serde_json::{Value, json};
use std::path::Path;

/// A folder with a request that the guest takes.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let body = json!({
        "orgName": "Example", "orgEmail": "ops@author.example", "sovereignFQDN": "one.author.example",
        "regions": [{"provider": "author", "cloudRegion": "r1", "controlPlaneSize": "small", "workerSize": "small", "workerCount": 1}],
        "sshPublicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICvNPhTcqP2xjKPU6Vi7HE3wAlmK5uXYD8nZgkprXcRQ ops",
    });
    std::fs::create_dir(folder.path().join("cases")).unwrap();
    std::fs::write(folder.path().join("cases/one.json"), body.to_string()).unwrap();
    folder
}

/// The commands that call a component, with their arguments.
fn commands(folder: &Path, file: &str) -> Vec<Vec<String>> {
    let path = |name: &str| text(&folder.join(name));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    let (cases, case) = (path("cases"), path("cases/one.json"));
    vec![
        words(&["check", file]),
        words(&["inspect", file]),
        words(&["grant", file]),
        words(&["render", file, "--request", &case, "--out", &path("out")]),
        words(&["test", file, &cases]),
        words(&["bench", file, "--request", &case, "--calls", "2"]),
    ]
}

fn said<'a>(guest: &'a Value, function: &str, source: &str) -> &'a Value {
    let lines = guest["lines"].as_array().unwrap();
    let found = lines.iter().find(|line| line["function"] == function && line["source"] == source);
    found.unwrap_or_else(|| panic!("{function} said nothing to {source}: {guest:#}"))
}

#[test]
fn every_command_shows_what_a_component_logs_and_prints() {
    let folder = folder();
    let file = author(folder.path(), "talks");
    for arguments in commands(folder.path(), &file) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let page = plugin(&arguments);
        for words in [
            "describe log info: describe begins",
            "describe stdout debug: describe prints",
            "describe stderr warn: describe complains",
        ] {
            assert!(page.stderr.contains(words), "{arguments:?}: {}", page.stderr);
        }
        let _ = std::fs::remove_dir_all(folder.path().join("out"));
        let told = plugin(&[arguments.as_slice(), &["--json"]].concat());
        let guest = &told.json()["guest"];
        assert_eq!(said(guest, "describe", "log")["text"], "describe begins", "{arguments:?}");
        assert_eq!(said(guest, "describe", "log")["level"], "info");
        if ["render", "test", "bench", "check"].contains(&arguments[0]) {
            let line = said(guest, "validate", "stderr");
            assert_eq!(
                (&line["text"], &line["level"]),
                (&json!("validate complains"), &json!("warn")),
                "{arguments:?}"
            );
            assert!(line["count"].as_u64() > Some(0) && !line["call"].as_str().unwrap().is_empty(), "{line}");
        }
        assert_eq!((told.stderr.as_str(), &guest["faults"]), ("", &json!([])), "{arguments:?}");
    }
}

#[test]
fn a_panic_is_told_with_its_text_and_its_place_in_every_command_that_meets_it() {
    let folder = folder();
    for (mistake, function) in [("describe panics", "describe"), ("render panics", "render")] {
        let file = author(folder.path(), mistake);
        for arguments in commands(folder.path(), &file) {
            if function == "render" && ["inspect", "grant"].contains(&arguments[0].as_str()) {
                continue;
            }
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let page = plugin(&arguments);
            let sentence = format!("{function} has no plan for this");
            let shown = format!("{}{}", page.ended(1).stdout, page.stderr);
            assert!(shown.contains("; it panicked at ") && shown.contains(&sentence), "{arguments:?}: {shown}");
            let told = plugin(&[arguments.as_slice(), &["--json"]].concat());
            let told = told.ended(1).json();
            let fault = &told["guest"]["faults"][0];
            assert_eq!(
                (&fault["function"], &fault["message"]),
                (&json!(function), &json!(format!("{function} has no plan\nfor this"))),
                "{arguments:?}: {told:#}"
            );
            let place = fault["place"].as_str().unwrap_or_default();
            let (file, line) = place.split_once(".rs:").unwrap_or_else(|| panic!("{arguments:?}: {told:#}"));
            assert!(file.ends_with("examples/author") && line.starts_with(|c: char| c.is_ascii_digit()), "{place}");
            assert!(!fault["call"].as_str().unwrap().is_empty());
        }
    }
}

/// Failures in a row open a host's breaker; who looks for them is told each by its own words.
#[test]
fn no_case_is_left_alone_because_others_failed() {
    let folder = folder();
    let case = std::fs::read_to_string(folder.path().join("cases/one.json")).unwrap();
    for number in 0..8 {
        let other = case.replace("one.author", &format!("n{number}.author"));
        std::fs::write(folder.path().join(format!("cases/n{number}.json")), other).unwrap();
    }
    let file = author(folder.path(), "render panics");
    let told = plugin(&["test", &file, &text(&folder.path().join("cases")), "--json"]).ended(1).json();
    for case in told["cases"].as_array().unwrap() {
        let error = case["error"].as_str().unwrap();
        assert!(error.contains("render trapped") && error.contains("it panicked at "), "{error}");
    }
    assert_eq!(told["guest"]["faults"][0]["count"], 9);
}
