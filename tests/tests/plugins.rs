//! The plugins folder of a host that serves, on the real binary: what comes, changes, fails and goes while requests are
//! answered; limits, signatures, and the compiler's own process.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use catalyst_tests::components::{compile_bomb, rebuilt};
use catalyst_tests::host::{Host, built, wait_for};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// For a machine that does other things as well.
const SOON: Duration = Duration::from_secs(60);

fn rehearsal() -> Vec<u8> {
    std::fs::read(built("plugins/rehearsal.wasm")).unwrap()
}

/// Puts a file in the place of another, whole or not at all.
fn put(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(".new"), bytes).unwrap();
    std::fs::rename(folder.join(".new"), folder.join(name)).unwrap();
}

fn providers(host: &Host) -> Value {
    let answer = host.api.get("/api/v1/providers");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn digest(host: &Host) -> String {
    providers(host)["providers"][0]["digest"].as_str().unwrap_or_default().to_owned()
}

/// The words on a file that was not loaded, and whether an earlier one serves.
fn failure(host: &Host, file: &str) -> Option<(String, bool)> {
    let all = providers(host);
    let of = all["failures"].as_array().unwrap().iter().find(|failure| failure["file"] == file)?.clone();
    Some((of["error"].as_str().unwrap().to_owned(), of["previousServes"].as_bool().unwrap()))
}

fn hang_up(host: &Host) {
    assert!(Command::new("kill").args(["-HUP", &host.pid().to_string()]).status().unwrap().success());
}

#[test]
fn the_folder_is_followed_and_a_bad_file_is_told_in_status_log_and_count_while_the_old_one_serves() {
    let (plugins, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = plugins.path();
    let good = rehearsal();
    put(folder, "rehearsal.wasm", &good);
    let mut host = Host::start(&[
        ("CATALYST_PLUGINS_DIR", folder.to_str().unwrap()),
        // Empty, so that the compiler's own process makes the code.
        ("CATALYST_CACHE_DIR", cache.path().to_str().unwrap()),
    ]);
    let first = digest(&host);
    let preview = host.api.post("/api/v1/previews", include_str!("../../scripts/rehearsal.json"));
    assert_eq!(preview.status, 200, "{}", preview.body);
    let one = &providers(&host)["providers"][0]["running"];
    assert_eq!((&one["compiled"], &one["breaker"]["state"]), (&json!("now"), &json!("closed")), "{one}");
    assert!(one["calls"]["answered"].as_u64().is_some_and(|calls| calls > 0), "{one}");
    assert_eq!(one["limits"]["memoryBytes"], 67_108_864, "{one}");
    assert!(one["calls"]["p99Micros"].as_u64().is_some_and(|micros| micros > 0), "{one}");

    put(folder, "rehearsal.wasm", &rebuilt(&good));
    let second = wait_for("the new plugin", SOON, || Some(digest(&host)).filter(|now| *now != first));

    put(folder, "rehearsal.wasm", b"no component");
    let (error, previous) = wait_for("a word on the bad file", SOON, || failure(&host, "rehearsal.wasm"));
    assert!(error.contains("not a binary WebAssembly component") && previous, "{error}");
    assert_eq!(digest(&host), second, "the old one serves");
    assert!(providers(&host)["sandbox"]["loadFailures"].as_u64().is_some_and(|count| count >= 1));
    assert!(host.trace().contains("plugin not loaded"));
    let named = "catalyst_plugin_file_failed{file=\"rehearsal.wasm\"} 1\n";
    assert!(host.api.get("/metrics").body.contains(named), "{}", host.api.get("/metrics").body);

    put(folder, "rehearsal.wasm", &good);
    wait_for("the first plugin", SOON, || (digest(&host) == first).then_some(()));
    assert_eq!(failure(&host, "rehearsal.wasm"), None);
    assert!(!host.api.get("/metrics").body.contains("catalyst_plugin_file_failed{"));
    let running = &providers(&host)["providers"][0]["running"];
    assert_eq!(running["compiled"], "cached", "known code is not made anew: {running}");

    // Asked for, it is read at once and stays as it is.
    let loads = providers(&host)["sandbox"]["loads"].as_u64().unwrap();
    hang_up(&host);
    wait_for("another load", SOON, || (providers(&host)["sandbox"]["loads"].as_u64().unwrap() > loads).then_some(()));

    std::fs::remove_file(folder.join("rehearsal.wasm")).unwrap();
    wait_for("the end of the plugin", SOON, || (host.api.get("/readyz").status == 503).then_some(()));
    host.down();
}

#[test]
fn a_start_beside_a_bomb_serves_what_was_compiled_before_and_tells_of_the_bomb() {
    let (plugins, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = plugins.path();
    put(folder, "rehearsal.wasm", &rehearsal());
    let limits = cache.path().join("limits.json");
    std::fs::write(&limits, json!({"plugins": {"a-bomb.wasm": {"component_bytes": 67_108_864}}}).to_string()).unwrap();
    let mut host = Host::start(&[
        ("CATALYST_PLUGINS_DIR", folder.to_str().unwrap()),
        ("CATALYST_CACHE_DIR", cache.path().join("cache").to_str().unwrap()),
        ("CATALYST_PLUGIN_LIMITS", limits.to_str().unwrap()),
    ]);
    host.down();
    // Whether the compiler ends before the start has waited enough or not.
    put(folder, "a-bomb.wasm", &compile_bomb());
    host.up();
    assert_eq!(host.api.get("/api/v1/providers/rehearsal").status, 200);
    let (error, previous) = wait_for("a word on the bomb", SOON * 3, || failure(&host, "a-bomb.wasm"));
    assert!(error.starts_with("could not be compiled within ") && !previous, "{error}");
    host.down();
}

#[test]
fn a_compile_bomb_is_stopped_by_time_or_memory_while_others_serve() {
    let (plugins, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = plugins.path();
    put(folder, "rehearsal.wasm", &rehearsal());
    let limits = cache.path().join("limits.json");
    let text = json!({"plugins": {
        "slow.wasm": {"compile_timeout_ms": 1500, "component_bytes": 67_108_864},
        "fat.wasm": {"compile_memory_bytes": 268_435_456, "component_bytes": 67_108_864},
    }});
    std::fs::write(&limits, text.to_string()).unwrap();
    let mut host = Host::start(&[
        ("CATALYST_PLUGINS_DIR", folder.to_str().unwrap()),
        ("CATALYST_CACHE_DIR", cache.path().join("cache").to_str().unwrap()),
        ("CATALYST_PLUGIN_LIMITS", limits.to_str().unwrap()),
    ]);
    let bomb = compile_bomb();
    for (file, words) in [
        ("slow.wasm", "could not be compiled within 1500 ms"),
        ("fat.wasm", "could not be compiled within 268435456 bytes of memory"),
    ] {
        put(folder, file, &bomb);
        let (error, previous) = wait_for("a word on the bomb", SOON * 2, || {
            assert_eq!(host.api.get("/api/v1/providers/rehearsal").status, 200, "others serve meanwhile");
            failure(&host, file)
        });
        assert_eq!((error.as_str(), previous), (words, false));
        std::fs::remove_file(folder.join(file)).unwrap();
        wait_for("a folder in order", SOON, || failure(&host, file).is_none().then_some(()));
    }
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", host.pid())).unwrap_or_default();
    assert_eq!(children, "", "no compiler is left behind");
    host.down();
}

#[test]
fn limits_that_break_a_rule_are_refused_at_the_start_by_file_key_and_rule() {
    let folder = tempfile::tempdir().unwrap();
    let limits = folder.path().join("limits.json");
    for (text, words) in [
        (
            r#"{"plugins": {"a.wasm": {"memory": 1}}}"#,
            "plugins.a.wasm.memory: is none of call_timeout_ms, memory_bytes",
        ),
        (r#"{"default": {"call_timeout_ms": 0}}"#, "default.call_timeout_ms: must be a whole number from 10 to 60000"),
        ("", "is not JSON"),
    ] {
        std::fs::write(&limits, text).unwrap();
        let mut host = Host::prepare(&[("CATALYST_PLUGIN_LIMITS", limits.to_str().unwrap())]);
        let said = host.refused();
        assert!(said.contains("CATALYST_PLUGIN_LIMITS: ") && said.contains("limits.json: "), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn with_keys_only_signed_plugins_serve_and_the_signature_is_followed() {
    let (plugins, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (folder, keys) = (plugins.path(), elsewhere.path().join("keys"));
    let (good, pair) = (rehearsal(), minisign::KeyPair::generate_unencrypted_keypair().unwrap());
    std::fs::write(&keys, pair.pk.to_box().unwrap().into_string()).unwrap();
    put(folder, "rehearsal.wasm", &good);
    let signed = minisign::sign(None, &pair.sk, std::io::Cursor::new(&good), Some("reviewed"), None).unwrap();
    put(folder, "rehearsal.wasm.minisig", signed.into_string().as_bytes());
    let mut host = Host::start(&[
        ("CATALYST_PLUGINS_DIR", folder.to_str().unwrap()),
        ("CATALYST_PLUGIN_KEYS", keys.to_str().unwrap()),
    ]);
    let signature = &providers(&host)["providers"][0]["running"]["signature"];
    assert_eq!(*signature, json!({"key": pair.pk.to_base64(), "comment": "reviewed"}));

    put(folder, "stranger.wasm", &rebuilt(&good));
    let (error, _) = wait_for("a word on the unsigned one", SOON, || failure(&host, "stranger.wasm"));
    assert!(error.starts_with("is not signed: stranger.wasm.minisig is not there"), "{error}");
    std::fs::write(&keys, minisign::KeyPair::generate_unencrypted_keypair().unwrap().pk.to_base64()).unwrap();
    hang_up(&host);
    wait_for("the end of a key", SOON, || (host.api.get("/readyz").status == 503).then_some(()));
    host.down();
}
