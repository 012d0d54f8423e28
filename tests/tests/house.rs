//! Conventions as tests: the arrows between rooms, what a room must not know, and the one list of routes and variables.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file below a folder: its path from the root of the repository, and its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().display().to_string(), text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} holds no Rust");
    found
}

/// Crates of this workspace that a crate depends on, tests aside.
fn own_dependencies(manifest: &str) -> BTreeSet<String> {
    let text = read(manifest);
    let section = text.split("\n[dependencies]").nth(1).unwrap_or_default().split("\n[").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| name.starts_with("catalyst")).map(str::to_owned).collect()
}

/// A file without its inline tests, which stand at its end.
fn product(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

#[test]
fn arrows_point_inward() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("host/domain/Cargo.toml", &[] as &[&str]),
        ("host/store/Cargo.toml", &["catalyst-domain"]),
        ("host/sandbox/Cargo.toml", &["catalyst-domain"]),
        ("host/Cargo.toml", &["catalyst-domain", "catalyst-sandbox", "catalyst-store"]),
        ("plugins/sdk/Cargo.toml", &[]),
        ("plugins/hetzner/Cargo.toml", &["catalyst-plugin-sdk"]),
        ("plugins/openstack/Cargo.toml", &["catalyst-plugin-sdk"]),
        ("plugins/rehearsal/Cargo.toml", &["catalyst-plugin-sdk"]),
        ("plugins/examples/rust/Cargo.toml", &[]),
    ]);
    for (manifest, allowed) in allowed {
        let allowed: BTreeSet<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        let extra: Vec<_> = own_dependencies(manifest).difference(&allowed).cloned().collect();
        assert!(extra.is_empty(), "{manifest} must not depend on {extra:?}");
    }
}

#[test]
fn rooms_do_not_know_what_is_not_theirs() {
    let rules: &[(&str, &[&str])] = &[
        (
            "host/domain/src",
            // Addresses are values; sockets are not.
            &[
                "tokio",
                "std::fs",
                "std::env",
                "TcpStream",
                "TcpListener",
                "UdpSocket",
                "ToSocketAddrs",
                "::now",
                "wasmtime",
                "axum",
            ],
        ),
        ("host/store/src", &["axum", "hyper", "wasmtime", "kube::"]),
        ("host/sandbox/src", &["axum", "kube::", "catalyst_store", "std::process", "tokio::process"]),
        ("host/src/http", &["wasmtime", "kube::", "std::fs", "std::process", "tokio::fs", "cap_std", "std::path"]),
        ("host/src/driver", &["axum", "std::process", "std::fs", "tokio::process", "wasmtime"]),
        ("host/src/cluster", &["axum", "catalyst_store", "std::fs", "tokio::fs", "std::process"]),
        ("host/src/engine", &["wasmtime", "kube::", "catalyst_sandbox", "metrics"]),
        (
            "host/src/egress",
            &[
                "axum",
                "catalyst_store",
                "catalyst_sandbox",
                "std::fs",
                "std::process",
                "crate::engine",
                "crate::driver",
            ],
        ),
        // Beside a number for the kernel, in which the child says that it may be ended first.
        (
            "host/src/compile",
            &["wasmtime", "kube::", "axum", "catalyst_store", "use std::fs", "fs::read", "fs::File", "tokio::fs"],
        ),
        ("host/src/auth", &["axum", "catalyst_store", "std::process", "crate::http"]),
        ("host/src/audit", &["axum", "catalyst_store", "std::process", "crate::http"]),
    ];
    let mut broken = Vec::new();
    for (folder, words) in rules {
        for (path, text) in sources(folder) {
            // Tests may set up what the room itself must not touch.
            if path.contains("/tests/") || path.ends_with("_tests.rs") || path.ends_with("/tests.rs") {
                continue;
            }
            let product = product(&text);
            let code = product.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                broken.extend(
                    words.iter().filter(|word| line.contains(*word)).map(|word| format!("{path}: {word}: {line}")),
                );
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_word_of_any_cloud_stands_in_the_host() {
    let mut broken = Vec::new();
    for (path, text) in sources("host") {
        let lower = text.to_lowercase();
        broken.extend(
            ["hetzner", "hcloud", "openstack"].iter().filter(|w| lower.contains(*w)).map(|w| format!("{path}: {w}")),
        );
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn only_config_reads_the_environment_and_only_main_ends_the_process() {
    let mut broken = Vec::new();
    for (path, text) in sources("host") {
        let test_only = path.contains("/tests/") || path.ends_with("_tests.rs") || path.contains("/examples/");
        if path.ends_with("host/src/config.rs") || test_only {
            continue;
        }
        let product = product(&text);
        let words = ["env::var", "env::vars", "process::exit"];
        broken.extend(words.iter().filter(|word| product.contains(*word)).map(|word| format!("{path}: {word}")));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for_and_none_is_long() {
    for (path, text) in ["host", "plugins", "tests"].into_iter().flat_map(sources) {
        if path.contains("/target/") {
            continue;
        }
        assert!(text.starts_with("//! "), "{path} begins without a word on what it is for");
        assert!(text.lines().count() <= 400, "{path} is longer than 400 lines: which room is missing?");
    }
}

#[test]
fn the_readme_names_every_route() {
    let readme = read("README.md");
    for (method, path) in catalyst::http::ROUTES {
        assert!(readme.contains(&format!("{method} {path}")), "README.md does not name {method} {path}");
    }
}

#[test]
fn only_engine_compile_and_rehearse_start_processes() {
    // Playing a node is no part of a host that serves.
    let may = ["host/src/engine", "host/src/compile", "host/src/rehearse"];
    let mut broken = Vec::new();
    for folder in ["host/src", "host/domain/src", "host/sandbox/src", "host/store/src"] {
        for (path, text) in sources(folder) {
            let test_only = path.contains("/tests/") || path.ends_with("_tests.rs") || path.ends_with("/tests.rs");
            if test_only || may.iter().any(|room| path.contains(room)) {
                continue;
            }
            broken.extend(product(&text).contains("Command::new(").then_some(path));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn is_name(word: &str) -> bool {
    let plain = word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    ["CATALYST_", "OTEL_"].iter().any(|ours| word.starts_with(ours)) && !word.ends_with('_') && plain
}

#[test]
fn the_variables_are_one_list() {
    let names: Vec<&str> = catalyst::config::VARIABLES.iter().map(|v| v.name).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), unique.len(), "a variable is listed twice");
    let parts = sources("host/src/config").into_iter();
    let parts = parts.filter(|(path, _)| !path.ends_with("/vars.rs") && !path.ends_with("tests.rs"));
    let product =
        parts.map(|(_, text)| product(&text).to_owned()).collect::<String>() + product(&read("host/src/config.rs"));
    let read_there: BTreeSet<&str> = product.split('"').filter(|word| is_name(word)).collect();
    let unknown: Vec<_> = read_there.difference(&unique).collect();
    assert!(unknown.is_empty(), "read but not listed: {unknown:?}");
    let unread: Vec<_> =
        catalyst::config::VARIABLES.iter().filter(|v| !product.contains(v.name)).map(|v| v.name).collect();
    assert!(unread.is_empty(), "listed but not read: {unread:?}");
}

#[test]
fn the_log_that_a_silent_node_is_said_to_have_is_the_one_that_both_clouds_write() {
    let words = read("host/domain/src/transition.rs");
    let is_of_a_path = |c: char| c.is_ascii_alphanumeric() || "/.-".contains(c);
    let named: BTreeSet<&str> =
        words.split(|c| !is_of_a_path(c)).filter(|word| word.starts_with("/var/log/catalyst")).collect();
    assert_eq!(named.len(), 1, "{named:?}");
    for (cloud, log) in ["hetzner", "openstack"].into_iter().flat_map(|cloud| named.iter().map(move |log| (cloud, log)))
    {
        assert!(
            read(&format!("infra/{cloud}/cloudinit-base.tftpl")).contains(log),
            "no server of {cloud} writes {log}"
        );
    }
}

/// Names of all functions, tests among them.
fn functions() -> BTreeSet<String> {
    let texts = ["host", "plugins", "tests"].into_iter().flat_map(sources);
    texts
        .flat_map(|(_, text)| {
            let after = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            after.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_promise_of_security_md_has_a_test_that_is_there() {
    let text = read("SECURITY.md");
    let table = text.split("| promise | test |\n|---|---|\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let (functions, mut promises) = (functions(), 0);
    for row in table.lines() {
        let (promise, tests) = row.trim_matches('|').trim().rsplit_once(" | ").unwrap_or_else(|| panic!("{row}"));
        let tests: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{promise}: no test");
        for test in tests {
            assert!(functions.contains(test), "{promise}: there is no test {test}");
        }
        promises += 1;
    }
    assert!(promises > 20, "{promises}");
    // And where something is defended.
    let ours = ["host/", "chart/", "infra/", "scripts/", "tests/", "docs/", ".github/"];
    for path in text.split('`').skip(1).step_by(2).filter(|word| ours.iter().any(|room| word.starts_with(room))) {
        assert!(path.contains('*') || root().join(path).exists(), "SECURITY.md names {path}, which is not there");
    }
    assert!(read("README.md").contains("(SECURITY.md)"), "the README leads nobody there");
}

#[test]
fn product_code_holds_no_left_overs() {
    let mut broken = Vec::new();
    for folder in ["host", "plugins", "tests/src"] {
        for (path, text) in sources(folder) {
            broken.extend(
                ["todo!(", "unimplemented!(", "dbg!("]
                    .iter()
                    .filter(|w| text.contains(*w))
                    .map(|w| format!("{path}: {w}")),
            );
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
