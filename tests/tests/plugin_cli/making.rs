//! `catalyst plugin new`: what it refuses, and where the SDK comes from.

use super::{plugin, repository, text};
use serde_json::json;

#[test]
fn names_and_folders_are_checked_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let dir = text(&folder.path().join("new"));
    for name in ["Acme", "a_b", "a/b", "../a", "2a", "a-", "a b", "ä", ""] {
        let refused = plugin(&["new", name, "--dir", &dir]);
        assert!(refused.ended(2).stderr.contains("cannot be a cloud's id"), "{name}: {}", refused.stderr);
    }
    let foreign = plugin(&["new", "acme", "--lang", "python", "--sdk", "https://git.example/x", "--dir", &dir]);
    assert!(foreign.ended(2).stderr.contains("--sdk: is for Rust"), "{}", foreign.stderr);
    plugin(&["new", "acme", "--lang", "cobol", "--dir", &dir]).ended(2);
    let no_sdk = plugin(&["new", "acme", "--sdk", "/no/such", "--dir", &dir]);
    assert!(no_sdk.ended(2).stderr.contains("--sdk /no/such"), "{}", no_sdk.stderr);
    assert!(!std::path::Path::new(&dir).exists(), "nothing is made for a command that is refused");

    std::fs::write(folder.path().join("mine"), "x").unwrap();
    let full = plugin(&["new", "acme", "--dir", &text(folder.path())]);
    assert!(full.ended(2).stderr.contains("is not empty"), "{}", full.stderr);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn another_sdk_takes_the_place_of_the_copy() {
    let folder = tempfile::tempdir().unwrap();
    let sdk = text(&repository("plugins/sdk").canonicalize().unwrap());
    for (given, line) in [
        (sdk.as_str(), format!("path = {sdk:?}")),
        ("https://git.example/catalyst", "git = \"https://git.example/catalyst\"".to_owned()),
    ] {
        let dir = folder.path().join(given.replace('/', "_"));
        let report = plugin(&["new", "acme", "--dir", &text(&dir), "--sdk", given, "--json"]).ended(0).json();
        assert_eq!((&report["name"], &report["sdk"]), (&json!("acme"), &json!(given)));
        let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        assert_eq!(manifest.matches(&line).count(), 3, "{manifest}");
        assert!(!dir.join("catalyst").exists());
    }
}
