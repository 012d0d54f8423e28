//! The list of fears, and the rule that each has its guest and each guest its fear.

use std::collections::BTreeSet;

use crate::hostile::all;
use crate::hostile::kinds::Guest;

/// What every plugin host has to fear. Further entries of the table are welcome; none of these may go.
const LIST: [&str; 39] = [
    "loop in describe",
    "loop in validate",
    "loop in render",
    "loop in read-outputs",
    "loop in diagnose",
    "loop in estimate",
    "loop in credential-probe",
    "loop in judge-credentials",
    "loop in start code",
    "memory bomb",
    "memory bomb over several memories",
    "table bomb",
    "deep recursion",
    "huge output",
    "huge log",
    "trap",
    "unreachable in the allocator",
    "invalid UTF-8",
    "wrong types",
    "an enum's case that is not there",
    "forbidden import",
    "text format",
    "precompiled bytes",
    "path traversal",
    "absolute path",
    "duplicate paths",
    "a variable from an undeclared secret",
    "a secret in a probe's URL",
    "a probe to an undeclared host",
    "non-determinism by clock, environment and files",
    "non-determinism by random numbers",
    "non-determinism by hash seed",
    "findings flood",
    "stale version",
    "a text out of bounds",
    "a list of 2^31 elements",
    "exit in an export",
    "polling for ever on nothing",
    "ten thousand core instances",
];

/// Fears that need more than one file or call, and the tests that face them.
const ELSEWHERE: [(&str, &str, &str); 7] = [
    ("truncated", "faced.rs", "async fn damaged_bytes_are_refused_or_harmless"),
    ("lying digest", "faced.rs", "async fn a_pin_of_other_bytes_lets_nothing_in"),
    (
        "compile bomb",
        "../../../../tests/tests/plugins.rs",
        "fn a_compile_bomb_is_stopped_by_time_or_memory_while_others_serve",
    ),
    ("a log cut at its limit", "bounds.rs", "async fn a_flood_of_log_is_cut_and_said"),
    ("one caller's loop in another's way", "bounds.rs", "async fn a_loop_ends_with_its_budget_and_others_go_on"),
    (
        "two files that claim one id",
        "loading.rs",
        "async fn who_serves_an_id_keeps_it_and_of_two_newcomers_neither_gets_it",
    ),
    (
        "a neighbour that burns the processor",
        "../neighbour/main.rs",
        "async fn a_neighbours_calls_stay_quick_while_guests_misbehave",
    ),
];

fn source(path: &str) -> String {
    let path = format!("{}/tests/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_fear_of_the_list_has_its_guest() {
    let names: Vec<&str> = all().map(|fear| fear.name).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), unique.len(), "a fear stands twice");
    let without: Vec<_> = LIST.iter().filter(|fear| !unique.contains(*fear)).collect();
    assert!(without.is_empty(), "without a guest: {without:?}");
    for (fear, file, test) in ELSEWHERE {
        assert!(source(&format!("sandbox/{file}")).contains(test), "{fear}: {file} has no {test}");
    }
}

#[test]
fn every_guest_has_its_fear() {
    let manifest = source("guests/Cargo.toml");
    let built: BTreeSet<&str> = manifest.split("name = \"").skip(2).filter_map(|rest| rest.split('"').next()).collect();
    let used: BTreeSet<&str> = all()
        .filter_map(|fear| match fear.guest {
            Guest::Built(name) => Some(name),
            _ => None,
        })
        // The latter makes an author's mistakes: `tests/tests/plugin_cli/mistakes.rs` has its table.
        .chain(["by_request", "author"])
        .collect();
    assert_eq!(used, built, "guests in Rust against guests in the table");
    let by_request = source("guests/examples/by_request.rs");
    let arms = by_request.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => "));
    let behaviours: BTreeSet<&str> = arms.map(|(name, _)| name).collect();
    let asked: BTreeSet<&str> = all()
        .filter_map(|fear| match fear.guest {
            Guest::Asked(name) | Guest::Rendering(name, _) if name != "behave" => Some(name),
            _ => None,
        })
        // The bundle's text is the policy's matter, with a table of its own.
        .chain(["module"])
        .collect();
    assert_eq!(asked, behaviours, "what the table asks for against what the guest can do");
}
