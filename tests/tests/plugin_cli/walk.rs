//! From an empty folder to a running cloud: new, build, check, into a host's plugins folder, a deployment that ends ready. Then
//! the same plugin with faults, each of which `check` names.

use super::{command, plugin, ran, text};
use catalyst_tests::host::{Host, built, free_port, wait_for};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// From `new` to `ready` on two cores with warm caches; the words.
const WALK: Duration = Duration::from_secs(120);
const COMPONENT: &str = "target/wasm32-wasip2/release/plugin.wasm";

/// As a person's shell runs it: without what cargo tells its tests, and with nothing from the network.
#[expect(clippy::disallowed_methods, reason = "a shell inherits its environment, but for what is taken out here")]
fn cargo(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(folder);
    let told = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_CRATE_",
        "CARGO_BIN_",
        "CARGO_TARGET_DIR",
        "OUT_DIR",
        "LD_LIBRARY_PATH",
    ];
    for (name, _) in std::env::vars().filter(|(name, _)| told.iter().any(|prefix| name.starts_with(prefix))) {
        command.env_remove(name);
    }
    let output = ran(&command.stdin(Stdio::null()).output().unwrap());
    assert_eq!(output.code, 0, "cargo {arguments:?}:\n{}", output.stderr);
}

fn build(folder: &Path) {
    cargo(folder, &["build", "--release", "--offline", "--target", "wasm32-wasip2"]);
}

/// Plays the deployment's node and its cluster; ends with the test.
struct Rehearsal(Child);

impl Rehearsal {
    fn of(host: &Host, id: &str) -> Self {
        let mut command = Command::new(built("release/catalyst"));
        command.args(["rehearse", id, "--seconds", "3"]).env("CATALYST_STATE_DIR", host.folder().join("state"));
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn deploy(host: &Host, request: &Value) {
    let answer = host.api.post("/api/v1/deployments", &request.to_string());
    assert_eq!(answer.status, 201, "{}", answer.body);
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let _rehearsal = Rehearsal::of(host, &id);
    wait_for("status ready", WALK, || {
        let state = host.api.get(&format!("/api/v1/deployments/{id}")).json();
        assert_ne!(state["status"], "failed", "{state}");
        (state["status"] == "ready").then_some(())
    });
}

#[test]
fn from_an_empty_folder_to_a_deployment_that_is_ready() {
    let home = tempfile::tempdir().unwrap();
    let (folder, plugins) = (home.path().join("acme-2"), home.path().join("plugins"));
    // It serves all along, and with another cloud.
    std::fs::create_dir(&plugins).unwrap();
    std::fs::copy(built("plugins/rehearsal.wasm"), plugins.join("rehearsal.wasm")).unwrap();
    let mut host = Host::start(&[("CATALYST_PLUGINS_DIR", &text(&plugins))]);
    let begun = Instant::now();
    // As a person types it: the folder takes the name.
    let made = ran(&command().args(["new", "acme-2"]).current_dir(home.path()).output().unwrap());
    assert!(made.ended(0).stdout.contains("cargo build --release"), "{}", made.stdout);
    build(&folder);
    let built_after = begun.elapsed();
    let component = folder.join(COMPONENT);
    plugin(&["check", &text(&component)]).ended(0);
    let checked_after = begun.elapsed();

    assert_eq!(host.api.get("/api/v1/providers/acme-2").status, 404);
    std::fs::copy(&component, plugins.join("acme-2.wasm")).unwrap();
    wait_for("the new cloud", WALK, || (host.api.get("/api/v1/providers/acme-2").status == 200).then_some(()));
    let case = std::fs::read_to_string(folder.join("cases/solo.json")).unwrap();
    let mut request: Value = serde_json::from_str(&case).unwrap();
    request["apiPort"] = json!(free_port());
    request["acme-2-token"] = json!("a-token");
    deploy(&host, &request);
    let took = begun.elapsed();
    println!("built after {built_after:.1?}, checked after {checked_after:.1?}, ready after {took:.1?}");
    assert!(took < WALK, "from new to ready took {took:?}");
    host.down();

    the_scaffold_is_in_order(&folder);
    faults_are_named(&folder);
}

/// What an author does next works too.
fn the_scaffold_is_in_order(folder: &Path) {
    cargo(folder, &["fmt", "--check"]);
    cargo(folder, &["test", "--offline", "--locked"]);
    let (component, cases) = (text(&folder.join(COMPONENT)), text(&folder.join("cases")));
    plugin(&["test", &component, &cases, "--update"]).ended(0);
    plugin(&["test", &component, &cases]).ended(0);
}

/// One fault for each rule that a component which loads can break, all in one build.
fn faults_are_named(folder: &Path) {
    for (file, good, bad) in [
        // Endpoints out of nothing.
        ("src/lib.rs", "outputs.address(\"control_plane_ip\")?", "\"192.0.2.1\".to_owned()"),
        ("src/lib.rs", "outputs.address(\"load_balancer_ip\")?", "\"192.0.2.1\".to_owned()"),
        ("src/lib.rs", "outputs.text(\"console_url\")?", "\"https://console.example\".to_owned()"),
        // validate passes what render refuses.
        (
            "src/lib.rs",
            "plan::read(request, &mut findings);\n        findings\n",
            "findings.iter().next();\n        findings\n",
        ),
        // A text of the request as a part of the module.
        (
            "src/render.rs",
            "let mut user_data = Vec::new();",
            "files.push(bundle::file(\"org.tf\", format!(\"locals {{\\n  org = \\\"{}\\\"\\n}}\\n\", request.org_name)));\n    \
             let mut user_data = Vec::new();",
        ),
        // A variable that the module does not have, and user data that is no cloud-config.
        ("src/render.rs", "(K3S_TOKEN, \"k3s_token\")", "(K3S_TOKEN, \"k3s_tokens\")"),
        ("module/cloudinit-worker.tftpl", "write_files:\n", "write_files: [\n"),
        // Advice that says nothing.
        ("src/lib.rs", "\"Read OpenTofu's words.\"", "\"\""),
    ] {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(good), "{file}: {good}");
        std::fs::write(&path, text.replacen(good, bad, 1)).unwrap();
    }
    build(folder);
    let component = text(&folder.join(COMPONENT));
    let report = plugin(&["check", &component, "--json"]).ended(1).json();
    assert_eq!(report["verdict"], "fail");
    let failed: Vec<&str> = report["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rule| rule["verdict"] == "fail")
        .map(|rule| rule["rule"].as_str().unwrap())
        .collect();
    for rule in ["bundle", "secrets", "user-data", "agreement", "settings", "text-stays-text", "outputs", "answers"] {
        assert!(failed.contains(&rule), "{rule}: {report:#}");
    }
    let page = plugin(&["check", &component]);
    assert!(page.ended(1).stdout.contains("FAIL    outputs"), "{}", page.stdout);
    let differs = plugin(&["test", &component, &text(&folder.join("cases"))]);
    assert!(differs.ended(1).stdout.contains("org.tf: is new"), "{}", differs.stdout);
}
