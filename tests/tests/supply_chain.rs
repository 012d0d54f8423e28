//! What the project takes from others: `deny.toml` refuses what it is there to refuse, digests stand where they were read,
//! modules of Go come from where they say, and workflows name what they run by digest.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A workspace of two crates, of which the first needs the second, with our `deny.toml`.
fn workspace(needed: &str, version: &str, licence: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let manifest = |name: &str, version: &str, licence: &str, rest: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\nlicense = \"{licence}\"\n{rest}"
        )
    };
    let needs = format!("[dependencies]\n{needed} = {{ path = \"../second\", version = \"{version}\" }}\n");
    write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"first\", \"second\"]\n");
    write("first/Cargo.toml", &manifest("first", "0.1.0", "Apache-2.0", &needs));
    write("second/Cargo.toml", &manifest(needed, version, licence, ""));
    write("first/src/lib.rs", "");
    write("second/src/lib.rs", "");
    write("deny.toml", &read("deny.toml"));
    folder
}

/// What `make lint` asks for, of this workspace: whether it passes, and what is said.
fn denied(folder: &Path) -> (bool, String) {
    let program = catalyst_tests::tools::path("cargo-deny").unwrap();
    let mut command = Command::new(program);
    // A small workspace does not use every licence that ours needs.
    let checks = ["check", "--allow", "license-not-encountered", "licenses", "bans", "sources"];
    let output = command.args(["--offline"]).args(checks).current_dir(folder).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn a_dependency_under_a_licence_of_the_list_passes() {
    let (passed, said) = denied(workspace("harmless", "1.0.0", "MIT OR Apache-2.0").path());
    assert!(passed, "{said}");
}

#[test]
fn banned_crates_are_refused_by_name() {
    for banned in ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "serde_yaml", "serde_yml", "unsafe-libyaml"] {
        let (passed, said) = denied(workspace(banned, "1.0.0", "MIT").path());
        assert!(!passed && said.contains("error[banned]") && said.contains(banned), "{banned}: {said}");
    }
}

#[test]
fn other_licences_are_refused() {
    for licence in ["GPL-3.0-only", "AGPL-3.0-only", "SSPL-1.0", "LGPL-2.1-or-later", "MPL-2.0"] {
        let (passed, said) = denied(workspace("lent", "1.0.0", licence).path());
        assert!(!passed && said.contains("error[rejected]") && said.contains(licence), "{licence}: {said}");
    }
}

#[test]
fn the_lint_asks_for_all_of_it() {
    let lint = read("scripts/lint.sh");
    for said in ["cargo-deny", "licenses bans sources", "cargo-shear"] {
        assert!(lint.contains(said), "scripts/lint.sh does not say {said}");
    }
    assert!(!lint.contains("--allow"), "the lint lets something pass");
}

#[test]
fn every_package_of_the_lock_comes_from_the_registry_with_a_checksum() {
    let lock = read("Cargo.lock");
    let mut from_registry = 0;
    for package in lock.split("[[package]]").skip(1) {
        let Some(source) = package.lines().find_map(|line| line.strip_prefix("source = ")) else { continue };
        assert_eq!(source, "\"registry+https://github.com/rust-lang/crates.io-index\"", "{package}");
        assert!(package.contains("\nchecksum = \""), "{package}");
        from_registry += 1;
    }
    assert!(from_registry > 100, "{from_registry}");
}

#[test]
fn modules_of_go_are_replaced_by_released_modules_alone() {
    let mut tools = 0;
    for entry in std::fs::read_dir(root().join("tests/tools")).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(module) = std::fs::read_to_string(folder.join("go.mod")) else { continue };
        assert!(folder.join("go.sum").exists(), "{} has no go.sum", folder.display());
        tools += 1;
        for line in module.lines().filter(|line| line.contains(" => ")) {
            let (old, new) = line.split_once(" => ").unwrap();
            let name = old.trim_start_matches("replace").split_whitespace().next().unwrap();
            let (new, version) = new.trim().split_once(' ').unwrap_or_else(|| panic!("{line}: no version"));
            let forked = name == "github.com/hashicorp/hcl/v2" && new == "github.com/opentofu/hcl/v2";
            assert!((new == name || forked) && version.starts_with('v'), "{}: {line}", folder.display());
        }
    }
    assert!(tools >= 7, "{tools}");
}

/// The entries of `infra/checksums.json`.
fn checksums() -> Vec<Value> {
    let file: Value = serde_json::from_str(&read("infra/checksums.json")).unwrap();
    file["entries"].as_array().unwrap().clone()
}

#[test]
fn a_digest_is_written_down_with_where_and_when_it_was_read() {
    for entry in checksums() {
        let text = |key: &str| entry[key].as_str().unwrap_or_else(|| panic!("{entry}: no {key}")).to_owned();
        assert!(["item", "version", "artifact"].iter().all(|key| !text(key).is_empty()), "{entry}");
        if text("sha256").is_empty() {
            assert!(text("source").is_empty() && text("read").is_empty(), "{entry}: read, and no digest?");
            continue;
        }
        assert!(
            text("sha256").len() == 64 && text("sha256").bytes().all(|b| b"0123456789abcdef".contains(&b)),
            "{entry}"
        );
        assert!(text("source").len() > 20 && text("read").parse::<jiff::civil::Date>().is_ok(), "{entry}");
    }
}

#[test]
fn the_digests_are_those_of_the_versions_that_are_used() {
    let variables = read("infra/hetzner/variables.tf");
    let default_of = |variable: &str| {
        let (_, block) = variables.split_once(&format!("variable \"{variable}\"")).unwrap();
        block.split("default     = \"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    for entry in checksums() {
        let (item, version) = (entry["item"].as_str().unwrap(), entry["version"].as_str().unwrap());
        let variable = match item.split(' ').next().unwrap() {
            "k3s" => "k3s_version",
            "helm" => "helm_version",
            "cilium" => "cilium_version",
            "flux" => "flux_version",
            "rust" | "go" => {
                let name = if item.starts_with("rust") { "RUST" } else { "GO" };
                let containerfile = read("Containerfile");
                let line = format!("ARG {name}={}\n", entry["artifact"].as_str().unwrap());
                assert!(containerfile.contains(&line), "Containerfile has no {line}");
                let line = format!("ARG {name}_DIGEST=@sha256:{}\n", entry["sha256"].as_str().unwrap());
                assert!(containerfile.contains(&line), "Containerfile has no {line}");
                assert!(containerfile.contains(&format!("FROM ${{{name}}}${{{name}_DIGEST}} AS ")), "{name}");
                continue;
            }
            other => panic!("{other}"),
        };
        assert_eq!(version, default_of(variable), "{entry}: {variable} has moved on");
    }
}

#[test]
fn the_readme_of_the_module_hands_on_the_digests_that_are_known() {
    let readme = read("infra/hetzner/README.md");
    for entry in checksums().iter().filter(|entry| !entry["sha256"].as_str().unwrap().is_empty()) {
        let (artifact, digest) = (entry["artifact"].as_str().unwrap(), entry["sha256"].as_str().unwrap());
        let image = artifact.contains('/');
        let said = readme.lines().any(|line| line.contains(&format!("\"{artifact}\"")) && line.contains(digest));
        assert!(said || image, "{entry}");
    }
}

#[test]
fn workflows_name_what_they_run_by_digest_and_may_only_read() {
    for entry in std::fs::read_dir(root().join(".github/workflows")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let workflow: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(workflow["permissions"], serde_json::json!({"contents": "read"}), "{}", path.display());
        for line in text.lines().filter_map(|line| line.split("uses: ").nth(1)) {
            let digest = line.split('@').nth(1).unwrap_or_default().split(' ').next().unwrap_or_default();
            assert!(digest.len() == 40 && digest.bytes().all(|b| b.is_ascii_hexdigit()), "{}: {line}", path.display());
        }
        for line in text.lines().filter(|line| line.contains("go run ")) {
            assert!(line.contains("@v"), "{}: {line}", path.display());
        }
    }
}
