//! `catalyst plugin new`: what it refuses, where the SDK comes from, and what the README of the new folder says.

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

/// Prose and blocks of commands of a README.
fn parts(readme: &str) -> (String, Vec<&str>) {
    let parts: Vec<&str> = readme.split("```").collect();
    let blocks = parts.iter().skip(1).step_by(2).map(|block| block.strip_prefix("sh\n").unwrap());
    (parts.iter().step_by(2).copied().collect(), blocks.collect())
}

#[test]
fn the_readme_is_that_of_the_new_folder() {
    let of_git = ["--sdk", "https://git.example/catalyst"];
    for (language, more) in [("rust", &[][..]), ("rust", &of_git[..]), ("python", &[]), ("js", &[])] {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("made");
        let dir = text(&folder);
        let arguments = [&["new", "acme-2", "--lang", language, "--dir", dir.as_str()][..], more].concat();
        let made = plugin(&arguments);
        let (_, next) = made.ended(0).stdout.split_once("Next\n").unwrap();
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        assert!(readme.starts_with("# acme-2\n") && !readme.contains("mycloud"), "{arguments:?}: {readme}");
        for foreign in ["../", "docs/", "infra/", "plugins/sdk", "plugins/template", "plugins/examples"] {
            assert!(!readme.contains(foreign), "{arguments:?} names {foreign} of another folder: {readme}");
        }
        let (prose, blocks) = parts(&readme);
        // The first commands are those that `new` prints, within the folder; and then the snapshots.
        let mut printed: Vec<&str> = next.lines().map(str::trim).collect();
        assert_eq!(printed.remove(0), format!("cd {dir}"));
        let snapshots = printed.last().unwrap().replace(" check ", " test ") + " cases";
        printed.push(&snapshots);
        assert_eq!(blocks[0].lines().collect::<Vec<_>>(), printed, "{arguments:?}");
        let mut named = 0;
        for word in prose.split('`').skip(1).step_by(2).filter(|word| !word.contains(' ')) {
            let is_path = word.contains('/') || [".rs", ".toml", ".py", ".js"].iter().any(|end| word.ends_with(end));
            if is_path {
                assert!(folder.join(word).exists(), "{arguments:?} names {word}, which is not there");
                named += 1;
            }
        }
        assert!(named >= 4, "{arguments:?}: {prose}");
    }
}
